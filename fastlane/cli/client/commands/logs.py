"""The command ``fastlane logs``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from fastlane.cli.client.command import CONTEXT, PATIENCE, ClientCommand, connect, say
from fastlane.cli.client.reference import JOB, find_job, named_task
from fastlane.cli.client.runs import RunChoice, find_run, run_options

if TYPE_CHECKING:
    from fastlane.client.log_output import Stream


@click.command(cls=ClientCommand)
@JOB
@click.option("-f", "--follow", is_flag=True, help="More as it comes, through all attempts, until the job has ended.")
@click.option("--tail", metavar="LINES", type=click.IntRange(0), help="Only this many of the last lines.")
@click.option("--since", metavar="TIME", help="Only what was written since this time, or within this duration (1h).")
@click.option("--timestamps", is_flag=True, help="The time before each line.")
@run_options
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only this one.")
@click.option("--archive", metavar="FILE", help="Write the logs of all runs of the task or job to this file: .tar.gz, or - for stdout.")
@CONTEXT
def logs(
    job: str,
    follow: bool,
    tail: int | None,
    since: str | None,
    timestamps: bool,
    stream: str | None,
    context: str | None,
    **choice: Any,
) -> None:
    """Prints what a job has written: of the newest run that has started, or of the execution that is named. Its stdout comes to stdout, its
    stderr to stderr.

    \b
    Examples:
      fastlane logs backup
      fastlane logs -f --tail 20 backup
      fastlane logs --since 1h --timestamps backup
      fastlane logs --attempt 1 --stream stderr backup
      fastlane logs --tick 2026-11-30T03:00 backup
      fastlane logs backup --archive backup-logs.tar.gz --since 7d
    """
    if (archive := choice.pop("archive")) is not None:
        if follow or timestamps or tail is not None or stream is not None or any(value is not None for value in choice.values()):
            raise click.UsageError("--archive is of all runs, whole; of the other options, only --since and --context go with it")
        return _write_archive(job, archive, since, context)
    from fastlane.client import AttemptBegan, Failed, LogQuery, Output

    write = LogPrinter(timestamps)
    with connect(context, PATIENCE) as client:
        run = find_run(client, job, RunChoice(**choice), newest=True, ran=True)
        only = cast("Stream | None", stream)
        wanted = LogQuery(run.job.task, run.job.id, run.execution, run.execution is not None, follow, only, tail, since)
        for event in client.events(wanted, on_lost=lambda error: say(f"{error}; trying again")):
            if isinstance(event, Output):
                write(event.stream, event.data, event.time)
            elif isinstance(event, AttemptBegan):
                say(f"attempt {event.attempt}")
            elif isinstance(event, Failed):
                say(event.message)


def _write_archive(named: str, path: str, since: str | None, context: str | None) -> None:
    """Writes the archive of a task, or of a job of it. The file gets its name when it is whole."""
    with connect(context) as client:
        task, job = named, None
        if "/" in named:
            found = find_job(client, named)
            task, job = found.task, found.id
        with named_task(client, task):
            parts = client.log_archive(task, job, since=since)
            if path == "-":
                for part in parts:
                    sys.stdout.buffer.write(part)
                return
            unfinished = Path(f"{path}.part")
            try:
                with unfinished.open("wb") as file:
                    file.writelines(parts)
                unfinished.replace(path)
            except OSError as error:
                raise click.ClickException(f"{path}: {error.strerror}") from None
            finally:
                unfinished.unlink(missing_ok=True)


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
