"""The command ``fastlane receipt``: what proves that an execution ran, and how it ended."""

import json
from typing import Any

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect
from fastlane.cli.client.reference import JOB
from fastlane.cli.client.runs import RunChoice, find_execution_of, run_options


@click.command(cls=ClientCommand)
@JOB
@run_options
@CONTEXT
def receipt(job: str, context: str | None, **choice: Any) -> None:
    """Prints the receipt of an execution: of a job's newest one, or of the run of a due time. Keep the file; `fastlane verify` checks it
    without a server.

    \b
    Examples:
      fastlane receipt backup > backup.json
      fastlane receipt backup --tick 2026-03-03 > backup-2026-03-03.json
    """
    with connect(context) as client:
        name, execution = find_execution_of(client, job, RunChoice(**choice), newest=True)
        found = client.executions.receipt(name.task, name.id, execution)
    click.echo(json.dumps(found, indent=2))
