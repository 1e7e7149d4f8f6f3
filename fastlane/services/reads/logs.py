"""Reads logs from the store, in slices of a bounded size, so that neither a long log nor a slow reader costs memory."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastlane.clock import Clock
from fastlane.errors import NotStarted
from fastlane.models.execution import Execution
from fastlane.models.logs.chunk import Head
from fastlane.models.status import FINAL, Status
from fastlane.services.reads.views import view_jobs
from fastlane.storage.base import Store
from fastlane.storage.lookup import find_execution, find_job
from fastlane.streams.stored_log import last_lines_of_stream, read_slices

STARTED = FINAL | {Status.RUNNING}


@dataclass(frozen=True, slots=True)
class LogView:
    """An execution, and where its stored log ends: the whole log once the execution is final."""

    execution: Execution
    head: Head


class Logs:
    """Raises NotFound for an execution that does not exist or belongs to another job or task, and StoreDown."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def of_job(self, task_id: str, job_id: str) -> LogView:
        """The log of the job's newest execution that has started; while none has, the empty log of the newest final one. Raises
        NotStarted."""
        job = await find_job(self._store, task_id, job_id)
        started = await self._store.last_started(job_id)
        if started is not None:
            return await self._log(started)
        ended = await self._store.executions_of(job_id, 1, statuses=FINAL)
        if not ended:
            (view,) = await view_jobs(self._store, [job], self._clock.now())
            if view.latest is not None and view.latest.status in STARTED:  # since the reads above
                return await self._log(view.latest)
            raise NotStarted(f"job {job_id} has no output yet: it is {view.status} and nothing of it has started", view.status)
        return await self._log(ended[0])

    async def of_execution(self, task_id: str, job_id: str, execution_id: str) -> LogView:
        """The log of one execution. Raises NotStarted."""
        execution = await find_execution(self._store, task_id, job_id, execution_id)
        if execution.status not in STARTED:
            message = f"execution {execution_id} has no output yet: it is {execution.status} and has not started"
            raise NotStarted(message, execution.status)
        return await self._log(execution)

    async def read(self, execution_id: str, start: int, end: int, stream: int | None = None) -> AsyncIterator[bytes]:
        """The log's bytes from ``start`` to ``end``, in slices: of one stream by its own offsets, or else of both in order of arrival."""
        async for pieces in read_slices(self._store, execution_id, start, end, stream):
            yield b"".join(piece.data for piece in pieces)

    async def last_lines(self, execution_id: str, stream: int, end: int, lines: int) -> int:
        """The offset at which the last ``lines`` lines of a stream's first ``end`` bytes begin."""
        return await last_lines_of_stream(self._store, execution_id, stream, end, lines)

    async def since(self, execution_id: str, stream: int, moment: int) -> int:
        """The offset at which a stream's output from a moment (milliseconds) on begins."""
        return await self._store.log_since(execution_id, stream, moment * 1_000_000)

    async def _log(self, execution: Execution) -> LogView:
        """The execution was read before the head, so the head of a final execution is complete."""
        return LogView(execution, await self._store.log_head(execution.id))
