"""Completes jobs and executions for an answer: with a job's status, with the size and the end of an execution's log."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastlane.models.execution import Execution
from fastlane.models.job import Job, job_status
from fastlane.models.logs.chunk import STDERR, STDOUT
from fastlane.storage.base import ExecutionStore, LogStore
from fastlane.streams.stored_log import read_slices

TEXT = 64 * 1024
"""Bytes of each stream that come with an execution: the last ones."""

AT_ONCE = 8
"""Executions of a list that are looked up at once, so that one list does not take all of the store's readers."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A job, its status in the API, its latest execution (the one under way, or else the last one), and when it runs next by its
    schedule (milliseconds)."""

    job: Job
    status: str
    latest: Execution | None
    next_run: int | None = None


@dataclass(frozen=True, slots=True)
class ExecutionView:
    """An execution, the size of each stream so far, and the last 64 KiB of each if they were asked for."""

    execution: Execution
    stdout_bytes: int
    stderr_bytes: int
    truncated: bool
    stdout: str | None = None
    stderr: str | None = None


async def view_jobs(store: ExecutionStore, jobs: Sequence[Job], now: int, statuses: Mapping[str, str] | None = None) -> list[JobView]:
    """Each job as it stands at ``now`` (milliseconds); those in ``statuses`` (by id) with the status there."""
    latest = await store.latest([job.id for job in jobs]) if jobs else {}
    return [_view(job, latest.get(job.id), now, (statuses or {}).get(job.id)) for job in jobs]


async def view_executions(store: LogStore, executions: Sequence[Execution], *, texts: bool = False) -> list[ExecutionView]:
    """Each execution with the size of its log; with the end of the log if ``texts``."""
    views: list[ExecutionView] = []
    for start in range(0, len(executions), AT_ONCE):
        some = executions[start : start + AT_ONCE]
        views += await asyncio.gather(*(view_execution(store, execution, texts=texts) for execution in some))
    return views


async def view_execution(store: LogStore, execution: Execution, *, texts: bool) -> ExecutionView:
    """An execution with the size of its log; with the end of the log if ``texts``."""
    if execution.status.final and not texts:
        return ExecutionView(execution, execution.stdout_bytes, execution.stderr_bytes, execution.truncated)
    head = await store.log_head(execution.id)
    truncated = head.truncated or execution.truncated
    if not texts:
        return ExecutionView(execution, head.stdout, head.stderr, truncated)
    stdout = await _text(store, execution.id, STDOUT, head.stdout)
    stderr = await _text(store, execution.id, STDERR, head.stderr)
    return ExecutionView(execution, head.stdout, head.stderr, truncated, stdout, stderr)


def _view(job: Job, latest: Execution | None, now: int, stored: str | None) -> JobView:
    return JobView(job, stored or job_status(job, latest.status if latest else None, now), latest, job.next_run(now))


async def _text(store: LogStore, execution_id: str, stream: int, end: int) -> str:
    start = max(0, end - TEXT)
    data = b"".join([piece.data async for pieces in read_slices(store, execution_id, start, end, stream) for piece in pieces])
    return (data if start == 0 else from_whole_character(data)).decode(errors="replace")


def from_whole_character(data: bytes) -> bytes:
    """Drops what is left of a UTF-8 character that was cut at the start (at most three bytes)."""
    cut = 0
    while cut < min(3, len(data)) and data[cut] & 0xC0 == 0x80:
        cut += 1
    return data[cut:]
