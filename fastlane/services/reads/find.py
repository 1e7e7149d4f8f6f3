"""What can be read of one job, one execution and their logs. Nothing is written here; ``lists`` has what comes in pages.

A log is read in slices of a bounded size, so that neither its length nor a slow reader costs memory.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastlane.errors import NotFound
from fastlane.models.execution import Execution
from fastlane.models.job import Job
from fastlane.models.logs.chunk import Head
from fastlane.models.paging import Page, Window
from fastlane.models.status import FINAL, Status
from fastlane.services.reads.views import ExecutionView, JobView, view_execution, view_executions, view_jobs
from fastlane.storage.base import Store

SLICE = 128 * 1024
"""So many bytes of a log are in memory for one reader."""

BEGUN = FINAL | {Status.RUNNING}


@dataclass(frozen=True, slots=True)
class LogView:
    """An execution and the end of what is stored of its log: the whole of it once it is final."""

    execution: Execution
    head: Head


@dataclass(frozen=True, slots=True)
class JobDetail:
    """A job with a page of its executions, newest first."""

    view: JobView
    executions: Page[ExecutionView]


class NotStarted(NotFound):
    """There is no log yet: nothing of it has started. ``status`` is the job's, or the execution's."""

    def __init__(self, message: str, status: str) -> None:
        super().__init__(message)
        self.status = status


class Find:
    """Reads the store. Raises NotFound for what is not there, or is under another task; StoreDown when the store is."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def job(self, task_id: str, job_id: str, window: Window, *, texts: bool) -> JobDetail:
        """A job with a page of its executions, with the text of their logs if ``texts``."""
        job = await self._job(task_id, job_id)
        (view,) = await view_jobs(self._store, [job])
        page = await self._store.list_executions_of(job_id, window)
        page.check()
        return JobDetail(view, page.of(await view_executions(self._store, page.rows, texts=texts)))

    async def execution(self, task_id: str, job_id: str, execution_id: str) -> ExecutionView:
        """One execution with the text of its log."""
        return await view_execution(self._store, await self._execution(task_id, job_id, execution_id), texts=True)

    async def log_of_job(self, task_id: str, job_id: str) -> LogView:
        """Whose log a job's reader gets: that of the newest execution that has started; while none has, the empty one of the newest that is
        final. Raises NotStarted."""
        job = await self._job(task_id, job_id)
        started = await self._store.last_started(job_id)
        if started is not None:
            return await self._log(started)
        begun = await self._store.executions_of(job_id, 1, statuses=FINAL)
        if not begun:
            (view,) = await view_jobs(self._store, [job])
            raise NotStarted(f"job {job_id} has no output yet: it is {view.status} and nothing of it has started", view.status)
        return await self._log(begun[0])

    async def log_of_execution(self, task_id: str, job_id: str, execution_id: str) -> LogView:
        """One execution whose log is to be read. Raises NotStarted."""
        execution = await self._execution(task_id, job_id, execution_id)
        if execution.status not in BEGUN:
            words = f"execution {execution_id} has no output yet: it is {execution.status} and has not started"
            raise NotStarted(words, execution.status)
        return await self._log(execution)

    async def known(self, task_id: str, job_id: str, execution_id: str | None = None) -> None:
        """Returns when there is such a job, or such an execution of it. Raises NotFound."""
        if execution_id is None:
            await self._job(task_id, job_id)
        else:
            await self._execution(task_id, job_id, execution_id)

    async def read(self, execution_id: str, start: int, end: int, stream: int | None = None) -> AsyncIterator[bytes]:
        """The log's bytes from ``start`` to ``end``, in slices: of one stream by its own offsets, else of both in order of arrival."""
        while start < end:
            part = await self._store.read_log(execution_id, start, min(SLICE, end - start), stream)
            data = b"".join(piece.data for piece in part.pieces)[: end - start]
            if not data:
                return
            start += len(data)
            yield data

    async def tail(self, execution_id: str, stream: int, end: int, lines: int) -> int:
        """Where the last ``lines`` lines of a stream's first ``end`` bytes begin. Reads backwards, a slice at a time."""
        missing = lines
        upper = end
        while missing and upper > 0:
            lower = max(0, upper - SLICE)
            data = b"".join([part async for part in self.read(execution_id, lower, upper, stream)])
            closes = upper == end and data.endswith(b"\n")
            place, missing = _line_starts(data, len(data) - closes, missing)
            if place is not None:
                return lower + place
            upper = lower
        return end if not lines else 0

    async def since(self, execution_id: str, stream: int, moment: int) -> int:
        """Where what a stream wrote at a moment (milliseconds) or later begins."""
        return await self._store.log_since(execution_id, stream, moment * 1_000_000)

    async def _job(self, task_id: str, job_id: str) -> Job:
        job = await self._store.job(job_id)
        if job is None or job.task_id != task_id:
            raise NotFound(f"task {task_id!r} has no job {job_id}")
        return job

    async def _execution(self, task_id: str, job_id: str, execution_id: str) -> Execution:
        execution = await self._store.execution(execution_id)
        if execution is None or execution.job_id != job_id or execution.task_id != task_id:
            raise NotFound(f"job {job_id} of task {task_id!r} has no execution {execution_id}")
        return execution

    async def _log(self, execution: Execution) -> LogView:
        """The execution was read before the head: of a final one the head is complete."""
        return LogView(execution, await self._store.log_head(execution.id))


def _line_starts(data: bytes, end: int, missing: int) -> tuple[int | None, int]:
    """Goes back over ``missing`` line ends before ``end``: where the line after the last of them starts, or how many are missing still."""
    here = data.count(b"\n", 0, end)
    if here < missing:
        return None, missing - here
    for _ in range(missing):
        end = data.rfind(b"\n", 0, end)
    return end + 1, 0
