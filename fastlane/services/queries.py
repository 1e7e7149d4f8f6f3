"""What can be read of tasks, jobs, executions and their logs. Nothing is written here.

A log is read in slices of a bounded size, so that neither its length nor a slow reader costs memory.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from fastlane.errors import NotFound
from fastlane.models.execution import Execution
from fastlane.models.job import Job, job_status
from fastlane.models.log import STDERR, STDOUT, Head
from fastlane.models.status import FINAL, Status
from fastlane.models.task import Task
from fastlane.models.tick import Tick
from fastlane.storage.base import Store

SLICE = 128 * 1024
"""So many bytes of a log are in memory for one reader."""

TEXT = 64 * 1024
"""So many bytes of each stream come with an execution: its last ones."""

BEGUN = FINAL | {Status.RUNNING}


@dataclass(frozen=True, slots=True)
class Window:
    """A page of a list: ``page`` counts from 1 and has ``per_page`` rows at most."""

    page: int
    per_page: int

    @property
    def offset(self) -> int:
        """How many rows come before it."""
        return (self.page - 1) * self.per_page

    def pages(self, total: int) -> int:
        """How many pages a list of ``total`` rows has: at least one."""
        return max(1, -(-total // self.per_page))

    def check(self, total: int) -> None:
        """Raises NotFound when it lies past the end of a list of ``total`` rows."""
        if self.page > self.pages(total):
            raise NotFound(f"page {self.page} is past the last one, which is {self.pages(total)}")


@dataclass(frozen=True, slots=True)
class JobView:
    """A job, its status as the API tells it, and its execution under way or else its last one."""

    job: Job
    status: str
    latest: Execution | None


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task and a page of its jobs, newest first."""

    task: Task
    window: Window
    jobs: tuple[JobView, ...]


@dataclass(frozen=True, slots=True)
class ExecutionView:
    """An execution, how many bytes each stream has so far, and the last 64 KiB of each when they were asked for."""

    execution: Execution
    stdout_bytes: int
    stderr_bytes: int
    truncated: bool
    stdout: str | None = None
    stderr: str | None = None


@dataclass(frozen=True, slots=True)
class LogView:
    """An execution and the end of what is stored of its log: the whole of it once it is final."""

    execution: Execution
    head: Head


@dataclass(frozen=True, slots=True)
class JobDetail:
    """A job with a page of its executions, newest first."""

    view: JobView
    execution_count: int
    executions: tuple[ExecutionView, ...]


@dataclass(frozen=True, slots=True)
class TicksView:
    """A page of a job's tick ledger, the latest due first; ``total`` rows in all."""

    job: Job
    window: Window
    total: int
    ticks: tuple[Tick, ...]


class NotStarted(NotFound):
    """There is no log yet: nothing of it has started. ``status`` is the job's, or the execution's."""

    def __init__(self, message: str, status: str) -> None:
        super().__init__(message)
        self.status = status


class Queries:
    """Reads the store. Raises NotFound for what is not there, or is under another task; StoreDown when the store is."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def task(self, task_id: str, window: Window) -> TaskView:
        """A task with a page of its jobs."""
        task = await self._store.task(task_id)
        if task is None:
            raise NotFound(f"there is no task {task_id!r}; a POST of a job to it makes it")
        window.check(task.jobs_count)
        jobs = await self._store.jobs_of(task_id, window.per_page, window.offset)
        return TaskView(task, window, tuple(await self._views(jobs)))

    async def job(self, task_id: str, job_id: str, window: Window, *, texts: bool) -> JobDetail:
        """A job with a page of its executions, with the text of their logs if ``texts``."""
        job = await self._job(task_id, job_id)
        (view,) = await self._views([job])
        total = await self._store.count_executions(job_id)
        window.check(total)
        executions = await self._store.executions_of(job_id, window.per_page, window.offset)
        return JobDetail(view, total, tuple([await self._execution_view(one, texts=texts) for one in executions]))

    async def ticks(self, task_id: str, job_id: str, window: Window) -> TicksView:
        """A page of what became of a job's due times."""
        job = await self._job(task_id, job_id)
        total = await self._store.count_ticks(job_id)
        window.check(total)
        return TicksView(job, window, total, tuple(await self._store.ticks_of(job_id, window.per_page, window.offset)))

    async def execution(self, task_id: str, job_id: str, execution_id: str) -> ExecutionView:
        """One execution with the text of its log."""
        return await self._execution_view(await self._execution(task_id, job_id, execution_id), texts=True)

    async def log_of_job(self, task_id: str, job_id: str) -> LogView:
        """Whose log a job's reader gets: that of the newest execution that has started; while none has, the empty one of the newest that is
        final. Raises NotStarted."""
        job = await self._job(task_id, job_id)
        started = await self._store.last_started(job_id)
        if started is not None:
            return await self._log(started)
        begun = await self._store.executions_of(job_id, 1, statuses=FINAL)
        if not begun:
            (view,) = await self._views([job])
            raise NotStarted(f"job {job_id} has no output yet: it is {view.status} and nothing of it has started", view.status)
        return await self._log(begun[0])

    async def log_of_execution(self, task_id: str, job_id: str, execution_id: str) -> LogView:
        """One execution whose log is to be read. Raises NotStarted."""
        execution = await self._execution(task_id, job_id, execution_id)
        if execution.status not in BEGUN:
            words = f"execution {execution_id} has no output yet: it is {execution.status} and has not started"
            raise NotStarted(words, execution.status)
        return await self._log(execution)

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

    async def _views(self, jobs: Sequence[Job]) -> list[JobView]:
        latest = await self._store.latest([job.id for job in jobs])
        return [_view(job, latest.get(job.id)) for job in jobs]

    async def _log(self, execution: Execution) -> LogView:
        """The execution was read before the head: of a final one the head is complete."""
        return LogView(execution, await self._store.log_head(execution.id))

    async def _execution_view(self, execution: Execution, *, texts: bool) -> ExecutionView:
        if execution.status.final and not texts:
            return ExecutionView(execution, execution.stdout_bytes, execution.stderr_bytes, execution.truncated)
        head = await self._store.log_head(execution.id)
        truncated = head.truncated or execution.truncated
        if not texts:
            return ExecutionView(execution, head.stdout, head.stderr, truncated)
        stdout = await self._text(execution.id, STDOUT, head.stdout)
        stderr = await self._text(execution.id, STDERR, head.stderr)
        return ExecutionView(execution, head.stdout, head.stderr, truncated, stdout, stderr)

    async def _text(self, execution_id: str, stream: int, end: int) -> str:
        start = max(0, end - TEXT)
        data = b"".join([part async for part in self.read(execution_id, start, end, stream)])
        return (data if start == 0 else _from_whole_character(data)).decode(errors="replace")


def _view(job: Job, latest: Execution | None) -> JobView:
    return JobView(job, job_status(job, latest.status if latest else None), latest)


def _line_starts(data: bytes, end: int, missing: int) -> tuple[int | None, int]:
    """Goes back over ``missing`` line ends before ``end``: where the line after the last of them starts, or how many are missing still."""
    here = data.count(b"\n", 0, end)
    if here < missing:
        return None, missing - here
    for _ in range(missing):
        end = data.rfind(b"\n", 0, end)
    return end + 1, 0


def _from_whole_character(data: bytes) -> bytes:
    """Without the rest of a UTF-8 character that was cut at the start (at most three bytes)."""
    cut = 0
    while cut < min(3, len(data)) and data[cut] & 0xC0 == 0x80:
        cut += 1
    return data[cut:]
