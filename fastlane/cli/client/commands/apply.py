"""The commands ``fastlane apply`` and ``fastlane diff``: a team's schedules, kept in a file."""

import json
import os
import sys
from collections import Counter
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect, say
from fastlane.cli.client.output import printable

if TYPE_CHECKING:
    from fastlane.client import Client

FILES = click.option(
    "-f", "--file", "names", metavar="FILE", multiple=True, type=click.File(encoding="utf-8"), help="The file; - is stdin."
)
PRUNE = click.option("--prune", is_flag=True, help="Remove the jobs that the same set created and that are no longer in the file.")
DIFFERENT, WRONG = 1, 2
SIGNS = {"create": "+", "change": "~", "remove": "-"}
SECRET = "fastlane/secrets"


@click.command(cls=ClientCommand)
@FILES
@PRUNE
@click.option("-n", "--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of such files, for editors.")
@CONTEXT
def apply(names: tuple[Any, ...], prune: bool, dry_run: bool, schema: bool, context: str | None) -> None:
    """Makes the jobs on the server equal to a file, and shows each change. The second time it changes nothing.

    Every job is checked before the first one is changed. ${NAME} in the file takes the value of a variable.

    \b
    Examples:
      fastlane apply -f jobs.yaml
      fastlane apply -f jobs.yaml --prune
      fastlane apply --schema > jobs.schema.json
    """
    if schema:
        click.echo(files("fastlane.cli.client").joinpath("jobs.schema.json").read_text("utf-8"), nl=False)
        return
    _run(names, prune, context, change=not dry_run)


@click.command(cls=ClientCommand)
@FILES
@PRUNE
@CONTEXT
def diff(names: tuple[Any, ...], prune: bool, context: str | None) -> None:
    """Shows what apply would change. Ends with 0 when nothing would, with 1 when something would, with 2 for a wrong file.

    \b
    Example:
      fastlane diff -f jobs.yaml || echo "it would change something"
    """
    if _run(names, prune, context, change=False):
        sys.exit(DIFFERENT)


def _run(names: tuple[Any, ...], prune: bool, context: str | None, change: bool) -> bool:
    """Plans all files, then changes. Returns whether anything differs."""
    from fastlane.cli.client.job_file import FileFault, read_jobs
    from fastlane.cli.client.plan import Rejected, plan

    if not names:
        raise click.UsageError("name a file: -f jobs.yaml")
    with connect(context) as client:
        steps, faults = [], []
        for file in names:
            try:
                steps += plan(client, read_jobs(file.read(), os.environ))
            except (FileFault, Rejected, UnicodeDecodeError) as error:
                faults += [f"{file.name}: {line}" for line in str(error).splitlines()]
        if faults:
            for line in faults:
                say(line)
            sys.exit(WRONG)
        return _carry_out(client, steps, prune, change)


def _carry_out(client: "Client", steps: list[Any], prune: bool, change: bool) -> bool:
    from fastlane.cli.client.plan import KEEP, REMOVE, do

    counts: Counter[str] = Counter()
    for step in steps:
        if step.kind == REMOVE and not prune:
            click.echo(f"  {step.name} is not in the file; --prune removes it")
            continue
        counts[step.kind] += 1
        if step.kind == KEEP:
            continue
        click.echo(f"{SIGNS[step.kind]} {step.name}")
        for field, old, new in step.changes:
            click.echo(f"    {printable(_shown(field, old, new))}")
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
