"""What is shown of a job and of an execution: the values themselves, and what must be looked up beside them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.models.execution import Execution
from fastlane.models.job import Job, job_status
from fastlane.models.logs.chunk import STDERR, STDOUT
from fastlane.storage.base import Store

TEXT = 64 * 1024
"""So many bytes of each stream come with an execution: its last ones."""

AT_ONCE = 8
"""So many executions of a list are looked up at once: one list is not to take all of the store's readers."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A job, its status as the API tells it, and its execution under way or else its last one."""

    job: Job
    status: str
    latest: Execution | None


@dataclass(frozen=True, slots=True)
class ExecutionView:
    """An execution, how many bytes each stream has so far, and the last 64 KiB of each when they were asked for."""

    execution: Execution
    stdout_bytes: int
    stderr_bytes: int
    truncated: bool
    stdout: str | None = None
    stderr: str | None = None


async def view_jobs(store: Store, jobs: Sequence[Job]) -> list[JobView]:
    """Each job with its status and its latest execution."""
    latest = await store.latest([job.id for job in jobs]) if jobs else {}
    return [_view(job, latest.get(job.id)) for job in jobs]


async def view_executions(store: Store, executions: Sequence[Execution], *, texts: bool = False) -> list[ExecutionView]:
    """Each execution with the size of its log, and with its end if ``texts``."""
    views: list[ExecutionView] = []
    for start in range(0, len(executions), AT_ONCE):
        some = executions[start : start + AT_ONCE]
        views += await asyncio.gather(*(view_execution(store, execution, texts=texts) for execution in some))
    return views


async def view_execution(store: Store, execution: Execution, *, texts: bool) -> ExecutionView:
    """An execution with the size of its log, which grows while it is under way; and with its end if ``texts``."""
    if execution.status.final and not texts:
        return ExecutionView(execution, execution.stdout_bytes, execution.stderr_bytes, execution.truncated)
    head = await store.log_head(execution.id)
    truncated = head.truncated or execution.truncated
    if not texts:
        return ExecutionView(execution, head.stdout, head.stderr, truncated)
    stdout = await _text(store, execution.id, STDOUT, head.stdout)
    stderr = await _text(store, execution.id, STDERR, head.stderr)
    return ExecutionView(execution, head.stdout, head.stderr, truncated, stdout, stderr)


def _view(job: Job, latest: Execution | None) -> JobView:
    return JobView(job, job_status(job, latest.status if latest else None), latest)


async def _text(store: Store, execution_id: str, stream: int, end: int) -> str:
    start = place = max(0, end - TEXT)
    parts = []
    while place < end:
        part = await store.read_log(execution_id, place, end - place, stream)
        data = b"".join(piece.data for piece in part.pieces)[: end - place]
        if not data:
            break
        parts.append(data)
        place += len(data)
    whole = b"".join(parts)
    return (whole if start == 0 else from_whole_character(whole)).decode(errors="replace")


def from_whole_character(data: bytes) -> bytes:
    """Without the rest of a UTF-8 character that was cut at the start (at most three bytes)."""
    cut = 0
    while cut < min(3, len(data)) and data[cut] & 0xC0 == 0x80:
        cut += 1
    return data[cut:]
