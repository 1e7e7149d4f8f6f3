"""The commands ``fastlane apply`` and ``fastlane diff``: a team's schedules, kept in a file; and those that write such a file:
``fastlane import-crontab``, ``import-ofelia`` and ``export --compose``."""

import json
import os
import re
import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect, message_of, say
from fastlane.cli.client.forecast_days import impact_lines
from fastlane.cli.client.output import echo, printable, printable_yaml
from fastlane.cli.client.reference import find_job

if TYPE_CHECKING:
    from fastlane.cli.client.job_file import JobSet
    from fastlane.client import Client


FILES = click.option(
    "-f", "--file", "names", metavar="FILE", multiple=True, type=click.File(encoding="utf-8"), help="The file; - is stdin."
)
PROJECT = click.option("--project", metavar="NAME", help="Of a compose file: the name of its project, or of its stack.")
PRUNE = click.option("--prune", is_flag=True, help="Remove the jobs that the same set created and that are no longer in the file.")
DIFFERENT, WRONG = 1, 2
STDIN = "<stdin>"
SIGNS = {"create": "+", "change": "~", "remove": "-"}
SECRET = "fastlane/secrets"


@click.command(cls=ClientCommand)
@FILES
@PROJECT
@PRUNE
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--forecast", is_flag=True, help="Show what each job that changes does to its pool in the next 7 days, by itself.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of such files, for editors.")
@CONTEXT
def apply(
    names: tuple[Any, ...], project: str | None, prune: bool, dry_run: bool, forecast: bool, schema: bool, context: str | None
) -> None:
    """Makes the jobs on the server equal to a file, and shows each change. The second time it changes nothing.

    The file has schedules, or is a compose file with `jobs:` or `x-jobs:`. Every job is checked before the first one is changed. ${NAME} in
    the file takes the value of a variable.

    \b
    Examples:
      fastlane apply -f jobs.yaml
      fastlane apply -f jobs.yaml --prune
      fastlane apply -f jobs.yaml --dry-run --forecast
      fastlane apply -f compose.yaml --project shop
      fastlane apply --schema > jobs.schema.json
    """
    if schema:
        click.echo(files("fastlane.cli.client").joinpath("jobs.schema.json").read_text("utf-8"), nl=False)
        return
    _run(names, project, prune, context, change=not dry_run, forecast=forecast)


@click.command(cls=ClientCommand)
@FILES
@PROJECT
@PRUNE
@CONTEXT
def diff(names: tuple[Any, ...], project: str | None, prune: bool, context: str | None) -> None:
    """Shows what apply would change. Ends with 0 when nothing would, with 1 when something would, with 2 for a wrong file.

    \b
    Example:
      fastlane diff -f jobs.yaml || echo "it would change something"
    """
    if _run(names, project, prune, context, change=False):
        sys.exit(DIFFERENT)


def _run(names: tuple[Any, ...], project: str | None, prune: bool, context: str | None, change: bool, forecast: bool = False) -> bool:
    """Plans all files, then changes. Returns whether anything differs."""
    from fastlane.cli.client.plan import Rejected, plan
    from fastlane.cli.client.yaml_text import FileFault

    if not names:
        raise click.UsageError("name a file: -f jobs.yaml")
    with connect(context) as client:
        steps, faults, notes = [], [], list[str]()
        for file in names:
            try:
                wanted = _read(file, project)
                steps += plan(client, wanted, forecast=forecast)
                notes += [f"{file.name}: {line}" for line in wanted.notes]
            except FileFault as error:
                lines = str(error).splitlines()
                faults += [f"{file.name}: {line}" for line in (*lines, *_more_faults(client, error.jobs, lines))]
            except (Rejected, UnicodeDecodeError) as error:
                faults += [f"{file.name}: {line}" for line in str(error).splitlines()]
        if faults:
            for line in faults:
                say(line)
            sys.exit(WRONG)
        for line in notes:
            say(line)
        return _carry_out(client, steps, prune, change)


def _read(file: Any, project: str | None) -> "JobSet":
    """The jobs of a file of either kind. Raises FileFault."""
    from fastlane.cli.client.compose_file import Origin, is_compose, read_compose
    from fastlane.cli.client.job_file import read_jobs
    from fastlane.cli.client.yaml_text import FileFault

    text = file.read()
    if is_compose(text):
        return read_compose(text, Origin(_path_of(file), os.environ, project))
    if project is not None:
        raise FileFault("--project is for compose files; the name of this file's jobs is its set")
    return read_jobs(text, os.environ)


def _path_of(file: Any) -> Path | None:
    """The path of a file; None for standard input, whose name is no path."""
    return Path(file.name) if isinstance(file.name, str) and file.name != STDIN else None


def _more_faults(client: "Client", jobs: tuple[Any, ...], known: list[str]) -> list[str]:
    """The faults that the server finds in the jobs of a file with faults; a server that is away has none."""
    from fastlane.cli.client.plan import faults_of
    from fastlane.client import ClientError

    try:
        return faults_of(client, jobs, known)
    except ClientError as error:
        return [f"the server could not check the rest: {error}"]


def _carry_out(client: "Client", steps: list[Any], prune: bool, change: bool) -> bool:
    from fastlane.cli.client.plan import KEEP, REMOVE, do

    counts: Counter[str] = Counter()
    for step in steps:
        if step.kind == REMOVE and not prune:
            echo(f"  {step.name} is not in the file; --prune removes it")
            continue
        counts[step.kind] += 1
        if step.kind == KEEP:
            continue
        echo(f"{SIGNS[step.kind]} {step.name}")
        for field, old, new in step.changes:
            echo(f"    {printable(_shown(field, old, new))}")
        for line in impact_lines(step.forecast):
            echo(f"    {line}")
        if change:
            do(client, step)
    verbs = ("created", "changed", "removed") if change else ("to create", "to change", "to remove")
    numbers = [f"{counts[kind]} {verb}" for kind, verb in zip(SIGNS, verbs, strict=True)]
    click.echo(f"{', '.join(numbers)}, {counts[KEEP]} unchanged")
    return any(counts[kind] for kind in SIGNS)


def _shown(field: str, old: object, new: object) -> str:
    if field == f"labels.{SECRET}":
        return "a secret value changes"
    return f"{field}: {json.dumps(old, ensure_ascii=False)} → {json.dumps(new, ensure_ascii=False)}"


ASSIGNMENT = re.compile(r"""\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$""")
SCHEDULE = re.compile(r"\s*(@[A-Za-z]+|(?:\S+\s+){4}\S+)\s+(.*)$")
OF_CRON = ("MAILFROM", "LOGNAME", "HOME", "PATH", "USER", "RANDOM_DELAY", "START_HOURS_RANGE")
"""Variables that say something to cron, or about its machine."""
UNESCAPED = re.compile(r"(?<!\\)%")


@click.command("import-crontab")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--image", required=True, help="The image in which the commands run.")
@click.option("--set", "set_name", default="crontab", show_default=True, help="The name of the set.")
@click.option("--task", help="The task of all jobs; the set's name unless given.")
@click.option("--timezone", metavar="ZONE", help="The zone of the machine that had the crontab; CRON_TZ in it goes first.")
@click.option("--system", is_flag=True, help="Lines have a user after the schedule, as in /etc/crontab. It is left out.")
def import_crontab(file: Any, image: str, set_name: str, task: str | None, timezone: str | None, system: bool) -> None:
    """Writes a file for `fastlane apply` from a crontab. What cannot be carried over is said on stderr, and left out. MAILTO becomes
    `notify`: its addresses get a mail when a job fails.

    \b
    Examples:
      crontab -l | fastlane import-crontab --image ubuntu - > jobs.yaml
      fastlane import-crontab --image ubuntu --system /etc/crontab
    """
    jobs = jobs_of(file.read(), system)
    defaults = {"image": image, "task": task or set_name, **({"timezone": timezone} if timezone else {})}
    content = {"set": set_name, "defaults": defaults, "jobs": jobs}
    click.echo(printable_yaml(content), nl=False)


def jobs_of(text: str, system: bool) -> dict[str, dict[str, Any]]:
    """The jobs of a crontab by name."""
    jobs: dict[str, dict[str, Any]] = {}
    envs: dict[str, str] = {}
    shell, timezone = "/bin/sh", None
    addresses: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if (assigned := ASSIGNMENT.match(line)) and not SCHEDULE.fullmatch(line.split("=")[0]):
            name, value = assigned[1], assigned[2].strip("\"'")
            if name == "SHELL":
                shell = value
            elif name in ("CRON_TZ", "TZ"):
                timezone = value
            elif name == "MAILTO":
                addresses = _addresses(number, value)
            elif name in OF_CRON:
                say(f"line {number}: {name} is left out; it is about cron's machine")
            else:
                envs = {**envs, name: value}
            continue
        found = SCHEDULE.match(line)
        if found is None:
            say(f"line {number}: is not a line of a crontab; it is left out")
            continue
        cron, command = found[1], found[2]
        if system:
            command = command.partition(" ")[2] if " " in command else command.partition("\t")[2]
        if (fault := _fault(cron, command)) is not None:
            say(f"line {number}: {fault}; it is left out")
            continue
        command = command.replace("\\%", "%").strip()
        job: dict[str, Any] = {"cron": " ".join(cron.split()), "command": [shell, "-c", _escaped(command)]}
        job |= {"envs": {name: _escaped(value) for name, value in envs.items()}} if envs else {}
        job |= {"timezone": timezone} if timezone else {}
        job |= {"notify": {"fails": addresses}} if addresses else {}
        jobs[_name(command, jobs)] = job
    return jobs


def _addresses(number: int, value: str) -> list[str]:
    """The addresses of a MAILTO. Says what becomes of them."""
    given = [text.strip() for text in value.split(",") if text.strip()]
    known = [text for text in given if "@" in text]
    if others := [text for text in given if "@" not in text]:
        say(f"line {number}: MAILTO {', '.join(others)} is left out; it is a mailbox of that machine, and notify needs an address")
    if known:
        say(f"line {number}: MAILTO became notify.fails: a mail when a job fails, where cron sent whatever a command wrote")
    return known


def _fault(cron: str, command: str) -> str | None:
    if cron == "@reboot":
        return "@reboot has no counterpart"
    if UNESCAPED.search(command):
        return "it gives the command an input by %; put that into a script"
    return None if command.strip() else "it has no command"


def _escaped(text: str) -> str:
    """The text so that the file's own variables are not replaced in it."""
    return text.replace("${", "$${")


def _name(command: str, taken: dict[str, Any]) -> str:
    """A name from the program's name, with a number where it is taken."""
    first = re.split(r"[\s;&|]", command)[0].rpartition("/")[2]
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", first).strip("-.") or "job"
    numbered = (f"{base}-{number}" for number in range(2, len(taken) + 3))
    return base if base not in taken else next(name for name in numbered if name not in taken)


@click.command("import-ofelia")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--image", help="The image for jobs that ran in another container, or on Ofelia's machine.")
@click.option("--set", "set_name", default="ofelia", show_default=True, help="The name of the set.")
@click.option("--task", help="The task of all jobs; the set's name unless given.")
@click.option("--timezone", metavar="ZONE", help="The zone of Ofelia's container.")
def import_ofelia(file: Any, image: str | None, set_name: str, task: str | None, timezone: str | None) -> None:
    """Writes a file for `fastlane apply` from Ofelia's config.ini, or from Ofelia's labels in a compose file. What becomes of each job is
    said on stderr, and what cannot be carried over is left out. `fastlane import ofelia` is the same.

    \b
    Examples:
      fastlane import-ofelia config.ini > jobs.yaml
      fastlane import-ofelia --image ubuntu --timezone Europe/Berlin config.ini
      fastlane import-ofelia compose.yaml
    """
    from fastlane.cli.client.ofelia_file import jobs_of_ofelia, read_ofelia
    from fastlane.cli.client.yaml_text import FileFault

    try:
        jobs = jobs_of_ofelia(read_ofelia(file.read()), image, say)
    except (FileFault, UnicodeDecodeError) as error:
        for line in str(error).splitlines():
            say(f"{file.name}: {line}")
        sys.exit(2)
    defaults = {"task": task or set_name, **({"timezone": timezone} if timezone else {})}
    content = {"set": set_name, "defaults": defaults, "jobs": jobs}
    click.echo(printable_yaml(content), nl=False)


def export_compose(job: str, output: Path | None) -> None:
    """Writes a job as the ``jobs:`` of a compose file: to a file, or to standard output."""
    from fastlane.cli.client.compose_export import compose_of
    from fastlane.client import ClientError

    try:
        with connect(None) as client:
            name = find_job(client, job)
            found = client.jobs.get(name.task, name.id)["job"]
    except ClientError as error:
        say(message_of(error))
        sys.exit(1)
    if not any(found["definition"].get(field) for field in ("cron", "manual", "after")):
        say(f"{name} ran once, or runs once; a compose file has jobs that run by a schedule, by hand, or after others")
        sys.exit(1)
    content, variables = compose_of({**found, "taskId": name.task})
    text = printable_yaml(content)
    if output is None:
        click.echo(text, nl=False)
    else:
        try:
            output.write_text(text, "utf-8")
        except OSError as error:
            say(f"{output} cannot be written: {error.strerror}")
            sys.exit(1)
    if variables:
        say(f"the server does not show some values; set {', '.join(variables)} before you apply the file")
