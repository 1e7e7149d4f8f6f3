"""The command ``fastlane logs``."""

import sys
from typing import TYPE_CHECKING, cast

import click

from fastlane.cli.client.command import CONTEXT, PATIENCE, ClientCommand, connect, say
from fastlane.cli.client.reference import JOB, JobName, find_job

if TYPE_CHECKING:
    from fastlane.client import Client
    from fastlane.client.contract import Execution
    from fastlane.client.log_output import Stream


@click.command(cls=ClientCommand)
@JOB
@click.option("-f", "--follow", is_flag=True, help="More as it comes, through all attempts, until the job has ended.")
@click.option("--tail", metavar="LINES", type=click.IntRange(0), help="Only this many of the last lines.")
@click.option("--since", metavar="TIME", help="Only what was written since this time, or within this duration (1h).")
@click.option("--timestamps", is_flag=True, help="The time before each line.")
@click.option("--attempt", type=click.IntRange(1), metavar="NUMBER", help="This attempt of the newest run.")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only this one.")
@CONTEXT
def logs(
    job: str,
    follow: bool,
    tail: int | None,
    since: str | None,
    timestamps: bool,
    attempt: int | None,
    stream: str | None,
    context: str | None,
) -> None:
    """Prints what a job has written: of the newest run that has started. Its stdout comes to stdout, its stderr to stderr.

    \b
    Examples:
      fastlane logs backup
      fastlane logs -f --tail 20 backup
      fastlane logs --since 1h --timestamps backup
      fastlane logs --attempt 1 --stream stderr backup
    """
    from fastlane.client import AttemptBegan, Failed, LogQuery, Output

    write = LogPrinter(timestamps)
    with connect(context, PATIENCE) as client:
        name = find_job(client, job, newest=True, ran=True)
        execution = None if attempt is None else _execution(client, name, attempt)
        only = cast("Stream | None", stream)
        wanted = LogQuery(name.task, name.id, execution, execution is not None, follow, only, tail, since)
        for event in client.events(wanted, on_lost=lambda error: say(f"{error}; trying again")):
            if isinstance(event, Output):
                write(event.stream, event.data, event.time)
            elif isinstance(event, AttemptBegan):
                say(f"attempt {event.attempt}")
            elif isinstance(event, Failed):
                say(event.message)


class LogPrinter:
    """Writes output to the stream that it came from, with the time before each line if that is wanted."""

    def __init__(self, timestamps: bool) -> None:
        self._timestamps = timestamps
        self._line_begins = {"stdout": True, "stderr": True}

    def __call__(self, stream: str, data: bytes, time: str) -> None:
        """Writes a part."""
        target = sys.stdout.buffer if stream == "stdout" else sys.stderr.buffer
        target.write(self._timed(stream, data, time.encode() + b" ") if self._timestamps else data)
        target.flush()

    def _timed(self, stream: str, data: bytes, time: bytes) -> bytes:
        lines = data.split(b"\n")
        begins = self._line_begins[stream]
        self._line_begins[stream] = not lines[-1]
        rows = [time + line if (line or number < len(lines) - 1) and (number or begins) else line for number, line in enumerate(lines)]
        return b"\n".join(rows)


def _execution(client: "Client", name: JobName, attempt: int) -> str:
    """The execution that is this attempt of the newest run."""
    rows: list[Execution] = []
    for row in client.executions.of_job(name.task, name.id):
        if rows and row["queueJobId"] != rows[0]["queueJobId"]:
            break
        rows.append(row)
    for row in rows:
        if row["attempt"] == attempt:
            return row["executionId"]
    raise click.UsageError(f"--attempt: the newest run of {name} has {len(rows)} attempts")
