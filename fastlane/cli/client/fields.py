"""The options of ``run`` and ``schedule``, and the fields of the job that they mean."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from fastlane.cli.client.command import with_options
from fastlane.cli.client.reference import complete_task

if TYPE_CHECKING:
    from fastlane.client.contract import JobFields

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_TASK = "run"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

TASK = click.option("-t", "--task", metavar="TASK", default=DEFAULT_TASK, show_default=True, help="The task.", shell_complete=complete_task)
ROWS = json.loads(Path(__file__).with_name("options.json").read_text("utf-8"))
"""The options that are fields: written from the server's declarations of the fields by tests/support/generated.py."""
TYPES = {"integer": int, "number": float}
REPEATED = ("variables", "pairs", "mounts", "configs", "list", "failures")
"""The kinds of options that may be given several times."""


def job_options(*, scheduled: bool = False) -> Callable[[F], F]:
    """Gives a command the options, the image and the command to run; when it is ``scheduled``, also the options that say when."""

    return with_options(
        TASK,
        *(_option(row) for row in ROWS if scheduled or not row["scheduled"]),
        click.option("--env-file", "env_files", metavar="FILE", multiple=True, help="A file with a variable a line."),
        click.argument("image", required=False),
        click.argument("command", nargs=-1, type=click.UNPROCESSED),
    )


def _option(row: Mapping[str, Any]) -> Callable[[F], F]:
    kind = row["kind"]
    if kind in ("flag", "off"):
        return click.option(*row["flags"], _name(row), is_flag=True, default=None, help=row["help"])
    type = click.Choice(kind.split("|")) if "|" in kind else TYPES.get(kind)
    return click.option(*row["flags"], _name(row), metavar=row["metavar"] or None, type=type, multiple=kind in REPEATED, help=row["help"])


def _name(row: Mapping[str, Any]) -> str:
    """What click calls the option."""
    return str(row["field"]).replace(".", "_")


def job_fields(options: dict[str, Any]) -> "JobFields":
    """The fields of the job. Raises click.UsageError for options that cannot be read."""
    command = list(options["command"])
    if options["service"] is not None:  # there is no IMAGE, and the command begins where it would be
        fields: dict[str, Any] = {}
        command[:0] = [] if options["image"] is None else [options["image"]]
    elif options["image"] is None:
        raise click.UsageError("Missing argument 'IMAGE'; or name a service of the swarm: --service NAME.")
    else:
        fields = {"image": options["image"]}
    if command[:1] == ["--"]:
        del command[0]
    if command:
        fields["command"] = command
    variables = {name: value for file in options["env_files"] for name, value in _variables_of(file)}
    for row in ROWS:
        given: Any = options.get(_name(row))
        match row["kind"]:
            case "variables":
                given = variables | dict(map(_variable, given))
            case "pairs":
                given = dict(pair(row["flags"][-1], text) for text in given)
            case "mounts":
                given = list(map(_mount, given))
            case "configs":
                given = list(map(_config, given))
            case "off":
                given = False if given else None
            case "failures":
                given = _failures(given)
        if given is not None and given != () and given != [] and given != {}:
            *above, last = row["field"].split(".")
            place = fields
            for name in above:
                place = place.setdefault(name, {})
            place[last] = list(given) if isinstance(given, tuple) else given
    return cast("JobFields", fields)


def pair(option: str, text: str) -> tuple[str, str]:
    """NAME=VALUE, as an option has it. Raises click.UsageError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"{option}: write NAME=VALUE, not {text!r}")
    return name, value


def _variable(text: str) -> tuple[str, str]:
    if "=" in text:
        return pair("--env", text)
    if text not in os.environ:
        raise click.UsageError(f"--env: {text} is not set here; write {text}=VALUE")
    return text, os.environ[text]


def _variables_of(file: str) -> Sequence[tuple[str, str]]:
    try:
        lines = Path(file).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--env-file: {file} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}") from None
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name = line.partition("=")[0]
        if not NAME.fullmatch(name):
            raise click.UsageError(f"--env-file: line {number} of {file} is not NAME=VALUE")
        found.append(_variable(line))
    return found


def _config(text: str) -> dict[str, str]:
    """The name of a config, and its file."""
    name, _, target = text.partition(":")
    return {"name": name, "target": target} if target else {"name": name}


def _failures(texts: Sequence[str]) -> list[Any]:
    """Reasons of failures, and exit codes."""
    codes = [int(text) for text in texts if text.isdecimal()]
    return [*(text for text in texts if not text.isdecimal()), *([{"exitCodes": codes}] if codes else [])]


def _mount(text: str) -> dict[str, Any]:
    """A mount as docker run writes it."""
    source, colon, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not colon or not source or not target or mode not in ("", "ro", "rw"):
        raise click.UsageError(f"--volume: write SOURCE:TARGET or SOURCE:TARGET:ro, not {text!r}")
    type = "bind" if source.startswith("/") else "volume"
    return {"type": type, "source": source, "target": target, "readOnly": mode == "ro"}
