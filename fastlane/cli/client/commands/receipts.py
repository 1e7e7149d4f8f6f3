"""The command ``fastlane receipt``: what proves that an execution ran, and how it ended. And the checks of chains by a server, for
``fastlane verify``.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, connect, say
from fastlane.cli.client.output import echo
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


class NotedChain(NamedTuple):
    """Where a chain ended once."""

    task: str
    number: int
    digest: str


@dataclass
class ChainReport:
    """Says what is wrong, and how much was looked at. ``noted``: where chains ended once, by job; ``chains``: where each ends now."""

    noted: Mapping[str, NotedChain]
    seals: int = 0
    faults: int = 0
    chains: dict[str, NotedChain] = field(default_factory=dict)

    def fault(self, where: str, what: str) -> None:
        """Says one fault."""
        self.faults += 1
        say(f"{where}: {what}")

    def job(self, name: str, seals: int, removed: int, faults: int) -> None:
        """Says what there was of one job."""
        gone = f", {removed:,} of rows that retention or a deletion removed" if removed else ""
        if seals or faults:
            echo(f"{name}: {seals:,} seals{gone}; {faults:,} faults")
        self.seals += seals


def check_by_server(client: Any, task: str | None, job: str | None, report: ChainReport) -> None:
    """Lets the server check the chains of a task, or of all (None), or of one job."""
    jobs = dict[str, str]()
    for one in _chains(client, task):
        jobs[one["jobId"]] = one["taskId"]
        report.chains[one["jobId"]] = NotedChain(one["taskId"], one["number"], one["digest"])
    jobs |= {row["id"]: row["taskId"] for row in client.jobs.list(task=task)}
    jobs = {id: noted.task for id, noted in report.noted.items() if task in (None, noted.task)} | jobs
    if job is not None:
        jobs = {job: task or jobs.get(job, "")}
    for id, owner in jobs.items():
        _check_job(client, owner, id, report)
    if not report.seals and not report.faults:
        report.fault("fastlane" if task is None else f"the task {task}", "has no receipts")


def _check_job(client: Any, task: str, job: str, report: ChainReport) -> None:
    from fastlane.client import NotFound

    name, noted, start = f"{task}/{job}", report.noted.get(job), None
    seals, removed, faults = 0, 0, report.faults
    while True:
        try:
            part = client.jobs.check_receipts(
                task, job, start=start, noted=f"{noted.number}:{noted.digest}" if noted is not None and start is None else None
            )
        except NotFound:
            if noted is not None or job in report.chains:
                report.fault(name, "has no chain any more: it was deleted")
            return
        seals += part["seals"]
        removed += part["removed"]
        for fault in part["faults"]:
            report.fault(name, f"{fault['where']}: {fault['what']}")
        start = part["next"]
        if start is None:
            report.job(name, seals, removed, report.faults - faults)
            return


def _chains(client: Any, task: str | None) -> Iterator[Any]:
    after = None
    while True:
        page = client.jobs.receipt_chains(task, after=after)
        yield from page["items"]
        after = page["next"]
        if after is None:
            return
