"""The commands ``fastlane context``: which server the other commands ask, and as whom."""

import sys

import click

from fastlane.cli.client.command import ClientCommand, ForgivingGroup, say


@click.group(cls=ForgivingGroup)
def context() -> None:
    """Which server the commands ask, and as whom: named contexts in a file that only you can read.

    A server is chosen in this order: --context NAME; FASTLANE_URL, with FASTLANE_TOKEN (or FASTLANE_TOKEN_FILE), or FASTLANE_USER and
    FASTLANE_PASSWORD, and FASTLANE_CA_FILE; the context that FASTLANE_CONTEXT names; the current context; this machine.

    \b
    Examples:
      fastlane context add prod https://fastlane.example.com
      fastlane context use prod
      FASTLANE_URL=http://127.0.0.1:10000 fastlane ps
    """


@context.command(cls=ClientCommand)
@click.argument("name")
@click.argument("url")
@click.option("--user", metavar="NAME", help="Log in as this user; asks for the password.")
@click.option("--token-stdin", is_flag=True, help="Read the token, or with --user the password, from standard input.")
@click.option(
    "--ca-file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, resolve_path=True), help="Trust these certificates."
)
def add(name: str, url: str, user: str | None, token_stdin: bool, ca_file: str | None) -> None:
    """Adds a context, or replaces one. Asks for a token, or with --user for a password; neither is ever an argument.

    \b
    Examples:
      fastlane context add local http://127.0.0.1:10000
      printf %s "$TOKEN" | fastlane context add ci http://127.0.0.1:10000 --token-stdin
    """
    from fastlane.cli.client.context_file import Contexts, load, path, save
    from fastlane.client import Address

    secret = _secret(user, token_stdin)
    address = Address(url, None if user else secret or None, user, secret if user else None, ca_file)
    if address.checked_url().password:
        say("a password in a URL ends up in logs and histories; use --user, which asks for it")
        sys.exit(2)
    address.options()
    known = load()
    save(Contexts(known.current or name, {**known.contexts, name: address}))
    click.echo(f"{path()} has the context {name}.")


def _secret(user: str | None, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.read().strip()
    if not sys.stdin.isatty():
        return ""
    words = f"Password of {user}" if user else "Token (leave it empty where none is needed)"
    return str(click.prompt(words, hide_input=True, default="", show_default=False, err=True))


@context.command("list", cls=ClientCommand)
def list_contexts() -> None:
    """Lists the contexts, without their credentials; the current one has a star.

    \b
    Example:
      fastlane context list
    """
    from fastlane.cli.client.context_file import load

    known = load()
    for name, address in known.contexts.items():
        credentials = "token" if address.token else f"user {address.user}" if address.user else "no credentials"
        click.echo(f"{'*' if name == known.current else ' '} {name}\t{address.shown}\t{credentials}")


@context.command(cls=ClientCommand)
@click.argument("name")
def use(name: str) -> None:
    """Makes a context the current one.

    \b
    Example:
      fastlane context use local
    """
    from fastlane.cli.client.context_file import Contexts, load, save

    known = load()
    known.get(name)
    save(Contexts(name, known.contexts))


@context.command("rm", cls=ClientCommand)
@click.argument("name")
def remove(name: str) -> None:
    """Removes a context with its credentials.

    \b
    Example:
      fastlane context rm local
    """
    from fastlane.cli.client.context_file import Contexts, load, save

    known = load()
    known.get(name)
    left = {one: address for one, address in known.contexts.items() if one != name}
    save(Contexts(None if known.current == name else known.current, left))
