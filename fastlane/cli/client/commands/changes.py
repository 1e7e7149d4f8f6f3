"""The commands that change what a job is: ``fastlane edit``, ``fastlane set`` and ``fastlane start``."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, cast

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect, say
from fastlane.cli.client.output import echo, local, printable, printable_yaml, relative
from fastlane.cli.client.reference import JOB, SEVERAL_JOBS, JobName, find_job
from fastlane.cli.client.wording import in_commands

if TYPE_CHECKING:
    from fastlane.client import Client, Refused

MASK = "********"
HEAD = """\
# {name}: change the fields, save and close. A field that you remove is removed from the job; the fields that you leave stay as they are.
# ******** is a secret that is not shown: leave it, with the object that it is in, or write a new one.
"""
WRONG = 1


@click.command(cls=ClientCommand)
@JOB
@CONTEXT
def edit(job: str, context: str | None) -> None:
    """Opens the fields of a job in your editor ($VISUAL or $EDITOR), and changes what you change. Faults are shown there, and nothing
    changes until there is none.

    \b
    Example:
      fastlane edit backup
    """
    if not (os.environ.get("VISUAL") or os.environ.get("EDITOR") or sys.stdin.isatty()):
        raise click.UsageError("there is no terminal for an editor; use `fastlane set JOB FIELD=VALUE`")
    with connect(context) as client:
        name = find_job(client, job)
        with NamedTemporaryFile("w", suffix=".yaml", prefix="fastlane-", delete=False) as file:  # has mode 0600
            path = Path(file.name)
        if Editing(client, name, path).done():
            path.unlink()
        else:
            say(f"nothing was changed; what you wrote is in {path}")
            sys.exit(WRONG)


class Editing:
    """A job's fields in a file that an editor opens, until they are accepted or the user gives up."""

    def __init__(self, client: "Client", name: JobName, path: Path) -> None:
        self._client, self._name, self._path = client, name, path
        self._read()

    def _read(self) -> None:
        found = self._client.jobs.get_with_etag(self._name.task, self._name.id)
        self._etag, self._base = found.etag, cast("dict[str, Any]", found.body["job"]["definition"])

    def done(self) -> bool:
        """Whether all was as the user wants it; False when the user gave up on faults."""
        fields, faults = self._base, list[str]()
        text = printable_yaml(fields)
        while True:
            marks = "".join(f"# FAULT: {printable(fault)}\n" for fault in faults)
            shown = HEAD.format(name=self._name) + marks + text
            edited = self._edited(shown)
            if edited == shown and faults not in ([], [MEANWHILE]):
                for fault in faults:
                    say(fault)
                return False
            text = "".join(line for line in edited.splitlines(keepends=True) if not line.startswith("#"))
            faults = self._try(text)
            if not faults:
                return True
            if faults == [MEANWHILE]:
                text = self._rebased(text)

    def _edited(self, text: str) -> str:
        self._path.write_text(text, "utf-8")
        click.edit(filename=str(self._path))
        return self._path.read_text("utf-8", errors="replace")

    def _try(self, text: str) -> list[str]:
        """The faults of what was written; none when it has been done, or nothing was to be done."""
        from fastlane.cli.client.job_file import read_fields
        from fastlane.cli.client.yaml_text import FileFault
        from fastlane.client import Changed, Conflict, Forbidden, Invalid

        try:
            changes = differences(self._base, read_fields(text) if text.strip() else self._base)
            if not changes:
                echo(f"{self._name}: nothing changes")
            else:
                change(self._client, self._name, changes, self._base, self._etag)
        except FileFault as fault:
            return str(fault).splitlines()
        except (Invalid, Forbidden, Conflict) as error:
            return fault_lines(error)
        except Changed:
            return [MEANWHILE]
        return []

    def _rebased(self, text: str) -> str:
        """The user's changes on the job as it is now."""
        from fastlane.cli.client.job_file import read_fields

        changes = differences(self._base, read_fields(text))
        self._read()
        return printable_yaml({name: value for name, value in {**self._base, **changes}.items() if value is not None})


MEANWHILE = "someone else has changed the job meanwhile; it is shown as it is now, with your changes"


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that differ, as PATCH takes them: whole, and None for one that is gone."""
    return {name: new.get(name) for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)}


def fault_lines(error: "Refused") -> list[str]:
    """A line for each fault of a refusal."""
    return [in_commands(f"{field}: {message}") for field, message in error.faults] or [in_commands(str(error))]


def change(client: "Client", name: JobName, changes: Mapping[str, Any], old: Mapping[str, Any], etag: str | None) -> None:
    """Changes these fields of the job, if it is still in this version, and says what has changed and when it runs next."""
    from fastlane.cli.client.plan import changes_between

    client.jobs.patch(name.task, name.id, cast("Any", changes), if_match=etag)
    job = client.jobs.get(name.task, name.id)["job"]
    for field, before, after in changes_between(old, cast("Any", job["definition"])):
        words = [json.dumps(value, ensure_ascii=False) for value in (before, after)]
        echo(printable(f"{field}: {words[0]} → {words[1]}" if before != after else f"{field}: changed"))
    echo(_as_it_is(name, job))


def _as_it_is(name: JobName, job: Any) -> str:
    """A job's status, and when it runs next."""
    next_run = job["nextRunAt"]
    return f"{name}: {job['status']}" + (f", next run {local(next_run)} ({relative(next_run)})" if next_run else "")


@click.command("set", cls=ClientCommand)
@JOB
@click.argument("fields", metavar="FIELD=VALUE…", nargs=-1, required=True)
@CONTEXT
def set_fields(job: str, fields: tuple[str, ...], context: str | None) -> None:
    """Changes fields of a job, and keeps all others. FIELD is a name of the API, with a dot for a field inside another: labels.team=data.
    Nothing after the = removes the field. A list or an object is JSON.

    \b
    Examples:
      fastlane set backup cron='0 4 * * *' timeout=20m
      fastlane set backup labels.team=data retries=
      fastlane set backup command='["sh", "-c", "echo hello"]'
    """
    with connect(context) as client:
        name = find_job(client, job)
        found = client.jobs.get_with_etag(name.task, name.id)
        old = cast("dict[str, Any]", found.body["job"]["definition"])
        changes = differences(old, with_fields(old, fields))
        if changes:
            change(client, name, changes, old, found.etag)
        else:
            echo(f"{name}: nothing changes")


def with_fields(old: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """The fields of a job with these changes, each FIELD=VALUE. Raises click.UsageError."""
    new = deepcopy(dict(old))
    properties: Any = json.loads(files("fastlane.cli.client").joinpath("jobs.schema.json").read_text("utf-8"))["$defs"]["job"]
    for text in given:
        field, equals, value = text.partition("=")
        if not equals or not all(field.split(".")):
            raise click.UsageError(f"write FIELD=VALUE, such as timeout=20m, not {text!r}")
        *above, last = field.split(".")
        place, schema = new, properties
        for part in above:
            place = place.setdefault(part, {})
            schema = schema.get("properties", {}).get(part, {})
            if not isinstance(place, dict):
                raise click.UsageError(f"{field}: {part} is not an object")
        schema = schema.get("properties", {}).get(last, {})
        if above and MASK in json.dumps(new[above[0]]):
            raise click.UsageError(
                f"{field}: {above[0]} has secrets that are not shown, and is replaced as a whole; use `fastlane edit` and write them again"
            )
        place[last] = read_value(field, value, schema)
        if place[last] is None:
            del place[last]
    return new


def read_value(field: str, text: str, schema: Mapping[str, Any]) -> Any:
    """The value that a text means for a field of this schema; None for one that is removed. Raises click.UsageError."""
    if text in ("", "null"):
        return None
    rows = schema.get("anyOf", [schema])
    types = {type for row in rows for type in ([row["type"]] if isinstance(row.get("type"), str) else row.get("type", ()))}
    if not text.startswith(("{", "[")) and ("string" in types or not types & {"integer", "number", "boolean"}):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        if text.startswith(("{", "[")):
            raise click.UsageError(f"{field}: is not JSON: {error}") from None
        return text  # the server says what it has to be


@click.command(cls=ClientCommand)
@SEVERAL_JOBS
@CONTEXT
def start(jobs: tuple[str, ...], context: str | None) -> None:
    """Starts the schedules of stopped jobs again. Due times that passed meanwhile do not run. To run a job once there is run-now.

    \b
    Example:
      fastlane start backup
    """
    with connect(context) as client:
        for job in jobs:
            name = find_job(client, job)
            client.jobs.start(name.task, name.id)
            echo(_as_it_is(name, client.jobs.get(name.task, name.id)["job"]))
