"""The common part of the commands that talk to a server: the server that they ask, and one line for an error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from fastlane import __version__
from fastlane.cli.client.output import printable
from fastlane.cli.client.wording import in_commands

if TYPE_CHECKING:
    from fastlane.client import Address, Client

F = TypeVar("F", bound=Callable[..., Any])

PATIENCE = 300.0
"""Seconds for which a server may be away while its job or its events are followed."""
CONTEXT = click.option("-c", "--context", metavar="NAME", help="Ask the server of this context (see fastlane context).")


def with_options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """A decorator that gives a command these options and arguments, in this order."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


class ClientCommand(click.Command):
    """A command that ends with ``failure`` when a server or its answer is not as it should be."""

    failure = 1

    def invoke(self, ctx: click.Context) -> Any:
        """Does what click does; an error of the client becomes one line."""
        from fastlane.client import ClientError

        try:
            return super().invoke(ctx)
        except ClientError as error:
            say(message_of(error))
            ctx.exit(self.failure)
        except KeyboardInterrupt:
            ctx.exit(130)


class ForgivingGroup(click.Group):
    """A group that, for an unknown command, names the nearest one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Does what click does, and ends with the nearest name when there is one."""
        from difflib import get_close_matches

        known = self.list_commands(ctx)
        if args[0] not in known and not ctx.resilient_parsing and (near := get_close_matches(args[0], known, 1)):
            ctx.fail(f"there is no command {args[0]!r}; did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)


class WrongName(click.ClickException):
    """A name of a task, a job or an execution that means nothing, or several things: one line, and not the usage of the command."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints the line."""
        click.echo(_line(self.message), file=file or sys.stderr)


def say(text: str) -> None:
    """Prints one line to standard error."""
    click.echo(_line(text), err=True)


def _line(text: str) -> str:
    return f"fastlane: {printable(' '.join(text.split()))}"


def address_of(context: str | None) -> "Address":
    """The server to ask: of the context, else of the environment, else of the current context, else on this machine."""
    from fastlane.cli.client.context_file import choose

    return choose(context, interactive=sys.stdin.isatty() and sys.stderr.isatty())


@contextmanager
def connect(context: str | None, patience: float = 30.0) -> "Iterator[Client]":
    """A client of the server to ask."""
    from fastlane.client import Client, ClientError

    with Client(address_of(context), patience=patience) as client:
        try:
            yield client
        except ClientError as error:
            note_version(error, client.server_version)
            raise


def note_version(error: Exception, server: str | None) -> None:
    """Adds to an error that the server has another version, which may be its cause."""
    if server is not None and server != __version__:
        error.add_note(f"the server is fastlane {server}, and this command {__version__}")


def message_of(error: Exception) -> str:
    """An error in a line, with what to do."""
    from fastlane.client import Unauthorized

    words = in_commands(str(error))
    if isinstance(error, Unauthorized):
        words += "; set FASTLANE_TOKEN, or FASTLANE_USER and FASTLANE_PASSWORD, or use `fastlane context add`"
    return "; ".join([words, *getattr(error, "__notes__", ())])
