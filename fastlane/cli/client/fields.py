"""The options of ``run`` and ``schedule`` that say what to run, and the fields of the job that they mean."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from fastlane.cli.client.completion import complete_task

if TYPE_CHECKING:
    from fastlane.client.contract import JobFields

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_TASK = "run"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

OPTIONS = (
    click.option("-t", "--task", metavar="TASK", default=DEFAULT_TASK, show_default=True, help="The task.", shell_complete=complete_task),
    click.option("--name", metavar="TEXT", help="A name for people, and for other commands: TASK/NAME."),
    click.option(
        "-e", "--env", "envs", metavar="NAME=VALUE", multiple=True, help="A variable; NAME alone takes the value that it has here."
    ),
    click.option("--env-file", "env_files", metavar="FILE", multiple=True, help="A file with a variable a line."),
    click.option("-l", "--label", "labels", metavar="NAME=VALUE", multiple=True, help="A label."),
    click.option("-m", "--memory", metavar="SIZE", help="The most memory that it gets: 512m."),
    click.option("--cpus", type=float, metavar="NUMBER", help="The most processors that it gets: 0.5."),
    click.option("-u", "--user", metavar="USER", help="The user that it runs as, by name or number: 1000:1000."),
    click.option("-w", "--workdir", metavar="DIR", help="The directory in which it starts."),
    click.option("-v", "--volume", "volumes", metavar="SOURCE:TARGET[:ro]", multiple=True, help="A path of the node, or a volume."),
    click.option("--network", "networks", metavar="NAME", multiple=True, help="A network."),
    click.option("--timeout", metavar="DURATION", help="How long it may run: 5m."),
    click.option("--retries", type=int, metavar="NUMBER", help="How many further attempts may follow a failed one."),
    click.option("--retry-delay", metavar="DURATION", help="The time before each further attempt."),
    click.option("--expires-in", metavar="DURATION", help="How long after it was due it may still start."),
    click.option("--priority", type=int, metavar="NUMBER", help="A point counts as a minute of waiting."),
    click.option("--concurrency", type=int, metavar="NUMBER", help="It waits while this many executions of its task run."),
    click.argument("image"),
    click.argument("command", nargs=-1, type=click.UNPROCESSED),
)
UNCHANGED = {
    "name": "name", "timeout": "timeout", "retries": "retries", "retry_delay": "retryDelay", "expires_in": "expiresIn",
    "priority": "priority", "concurrency": "concurrency",
}  # fmt: skip
"""The options that are fields, and the fields' names."""


def job_options(function: F) -> F:
    """Gives a command the options, the image and the command to run."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def job_fields(options: dict[str, Any]) -> "JobFields":
    """The fields of the job. Raises click.UsageError for options that cannot be read."""
    fields: dict[str, Any] = {"image": options["image"]}
    command = list(options["command"])
    if command[:1] == ["--"]:
        del command[0]
    if command:
        fields["command"] = command
    envs = {name: value for file in options["env_files"] for name, value in _variables_of(file)}
    envs |= dict(_variable(text) for text in options["envs"])
    labels = dict(_pair("--label", text) for text in options["labels"])
    resources = {name: options[name] for name in ("cpus", "memory") if options[name] is not None}
    container = {name: options[name] for name in ("user", "workdir") if options[name] is not None}
    container |= {"mounts": list(map(_mount, options["volumes"]))} if options["volumes"] else {}
    container |= {"networks": list(options["networks"])} if options["networks"] else {}
    groups = {"envs": envs, "labels": labels, "resources": resources, "container": container}
    fields |= {name: value for name, value in groups.items() if value}
    fields |= {field: options[name] for name, field in UNCHANGED.items() if options[name] is not None}
    return cast("JobFields", fields)


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"{option}: write NAME=VALUE, not {text!r}")
    return name, value


def _variable(text: str) -> tuple[str, str]:
    if "=" in text:
        return _pair("--env", text)
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


def _mount(text: str) -> dict[str, Any]:
    """A mount as docker run writes it."""
    source, colon, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not colon or not source or not target or mode not in ("", "ro", "rw"):
        raise click.UsageError(f"--volume: write SOURCE:TARGET or SOURCE:TARGET:ro, not {text!r}")
    type = "bind" if source.startswith("/") else "volume"
    return {"type": type, "source": source, "target": target, "readOnly": mode == "ro"}
