"""Reads logs from the store, in slices of a bounded size, so that neither a long log nor a slow reader costs memory; and waits for a job's
end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastlane.clock import iso
from fastlane.errors import NotStarted, TransientError
from fastlane.models import tick
from fastlane.models.everywhere import is_one_of_many, stands_for_tick
from fastlane.models.job import Execution, is_under_way, retry_due
from fastlane.models.log import Head, Piece
from fastlane.models.status import FINAL
from fastlane.services.parts import Service, ServiceParts
from fastlane.services.reads.lists import ExecutionView, JobView, view_executions, view_jobs
from fastlane.services.results import Enqueued
from fastlane.storage.base import find_execution, find_job
from fastlane.streams.reader import HintWait, last_lines, last_lines_before, read_slices

ENDED = frozenset(map(str, FINAL))
"""Statuses of a job that will not start again."""


@dataclass(frozen=True, slots=True)
class LogView:
    """An execution, and where its stored log ends: the whole log once the execution is final."""

    execution: Execution
    head: Head


class Logs(Service):
    """Reads logs. Raises NotFound for an execution that does not exist or belongs to another job or task, and StoreDown."""

    async def of_job(self, task_id: str, job_id: str) -> LogView:
        """The log of the job's newest execution that has started. Raises NotStarted."""
        job = await self._calendars.job(await find_job(self._store, task_id, job_id))
        started = await self._store.last_started(job_id)
        if started is not None:
            return await self._log(started)
        now = self._clock.now()
        (view,) = await view_jobs(self._store, [job], now, self._pools)
        log = None if view.latest is None else await self._log_if_any(view.latest)  # it may have started since the read above
        if log is not None:
            return log
        raise _nothing_started(view, now)

    async def of_execution(self, task_id: str, job_id: str, execution_id: str) -> LogView:
        """The log of one execution. Raises NotStarted."""
        execution = await find_execution(self._store, task_id, job_id, execution_id)
        if (log := await self._log_if_any(execution)) is not None:
            return log
        status = execution.status
        words = _never(execution) if status.final else f"has no output yet: it is {status} and has not started"
        raise NotStarted(f"execution {execution_id} {words}", status, execution_id, execution.exit_code)

    async def pieces(self, execution_id: str, start: int, end: int, stream: int | None = None) -> AsyncIterator[list[Piece]]:
        """The log from ``start`` to ``end`` in slices of pieces, each with its stream and time: of one stream by its own offsets, or else
        of both in order of arrival."""
        async for pieces in read_slices(self._store, execution_id, start, end, stream):
            yield pieces

    async def last_lines_in_order(self, execution_id: str, lines: int, stream: int | None) -> int:
        """The offset in order of arrival at which the last ``lines`` lines begin: of one stream, or of both (None)."""
        return await last_lines(self._store, execution_id, lines, stream)

    async def last_lines(self, execution_id: str, stream: int | None, end: int, lines: int) -> int:
        """The offset, within a stream or in order of arrival (None), at which the last ``lines`` lines of the first ``end`` bytes begin."""
        return await last_lines_before(self._store, execution_id, stream, end, lines)

    async def since(self, execution_id: str, stream: int | None, moment: int) -> int:
        """The offset, as in ``last_lines``, of the first byte that was written at a moment (milliseconds) or later."""
        return await self._store.log_since(execution_id, stream, moment * 1_000_000)

    async def _log_if_any(self, execution: Execution) -> LogView | None:
        """None for an execution that has not started, unless it has a log: its container ran without having been seen."""
        view = await self._log(execution)
        return view if execution.has_started or view.head.offset else None

    async def _log(self, execution: Execution) -> LogView:
        """The execution was read before the head, so the head of a final execution is complete."""
        return LogView(execution, await self._store.log_head(execution.id))


def _nothing_started(view: JobView, now: int) -> NotStarted:
    """Says when the job is due, or that nothing will start."""
    latest, status = view.latest, view.status
    if status not in ENDED or (latest is not None and is_under_way(latest)):
        due = view.next_run if latest is None or latest.status.final else latest.scheduled_for
        words = f"has no output yet: it is {status} and nothing of it has started"
        words += f"; it is due at {iso(due)}" if due is not None and due > now else ""
    elif latest is not None and latest.status == status:
        words = _never(latest)
    else:
        words = f"has no output: it is {status}, and nothing of it ever started"
    id, code = (None, None) if latest is None else (latest.id, latest.exit_code)
    return NotStarted(f"job {view.job.id} {words}", status, id, code)


def _never(execution: Execution) -> str:
    why = "; its failure says why" if execution.failure is not None else ""
    return f"has no output: it ended as {execution.status} and never started{why}"


def _has_ended(execution: Execution) -> bool:
    """Whether it has ended for good, and its tick with it."""
    return not is_under_way(execution) and (not is_one_of_many(execution) or stands_for_tick(execution))


class CompletionWaiter(Service):
    """Waits for the end of accepted jobs. After ``close``, every wait returns what is known by then."""

    def __init__(self, parts: ServiceParts) -> None:
        super().__init__(parts)
        self._hub = parts.hub
        self._waits: set[HintWait] = set()
        self._closed = False

    async def wait(self, enqueued: Enqueued, seconds: float) -> ExecutionView | None:
        """The last attempt at an accepted job, with its log, once it has ended and none follows; or the newest one after that many seconds,
        None when there is none by then. While the store is down this waits on, since the job was accepted, and returns what was last
        seen."""
        if enqueued.tick_id is None:
            return None
        execution = await self._wait(enqueued.execution_id or tick.execution_id(enqueued.tick_id, 1), seconds)
        if execution is None:
            return None
        try:
            return (await view_executions(self._store, [execution], texts=True))[0]
        except TransientError:
            return ExecutionView(execution, execution.stdout_bytes, execution.stderr_bytes, execution.truncated)

    def close(self) -> None:
        """Ends all waits."""
        self._closed = True
        for wait in self._waits:
            wait.end()

    async def _wait(self, execution_id: str, seconds: float) -> Execution | None:
        loop = asyncio.get_running_loop()
        end, seen = loop.time() + seconds, None
        with self._hints(execution_id) as hints:
            while True:
                hints.clear()
                seen = await self._read(seen.id if seen is not None else execution_id) or seen
                left = end - loop.time()
                if left <= 0 or self._closed or (seen is not None and _has_ended(seen)):
                    return seen
                hints.subscribe([seen.id if seen is not None else execution_id])
                await hints.wait(hurry=True, at_most=left)

    @contextmanager
    def _hints(self, execution_id: str) -> Iterator[HintWait]:
        wait = HintWait(self._hub, [execution_id])
        self._waits.add(wait)
        try:
            yield wait
        finally:
            self._waits.discard(wait)
            wait.close()

    async def _read(self, execution_id: str) -> Execution | None:
        """An execution, or the newest attempt after it. Each attempt is inserted before the one that it follows is settled."""
        try:
            execution = following = await self._store.execution(execution_id)
            while following is not None and retry_due(following) is not None:
                execution = following
                following = await self._store.execution(tick.following_id(execution))
            found = following or execution
            return await self._end_of(found) if found is not None and is_one_of_many(found) else found
        except TransientError:
            return None

    async def _end_of(self, lead: Execution) -> Execution:
        """The execution that stands for a tick that runs everywhere, once it has ended; until then, the lead."""
        row = await self._store.tick(lead.tick_id)
        end = None if row is None or row.execution_id is None else await self._store.execution(row.execution_id)
        return end or lead
