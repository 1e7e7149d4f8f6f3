"""Reads lists in pages (tasks, jobs, executions, a job's ticks), a single job or execution with its log, and the hourly counts.

Lists over several tasks take ``visible``, a regular expression of the task ids that the caller may see (None: all).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from fastlane.clock import unless_cancelled
from fastlane.errors import Fault, Invalid, NotFound
from fastlane.models.access import Requester
from fastlane.models.delivery import webhooks_of
from fastlane.models.job import Execution, Job, Task, TaskSummary, job_status
from fastlane.models.log import STDERR, STDOUT, Head
from fastlane.models.notify import Webhook
from fastlane.models.paging import After, JobPage, Key, Page, Row, Wanted, WantedFailures, WantedJobs, Window
from fastlane.models.pool import Pool
from fastlane.models.retention import HOUR, MOST_HOURS, HourCount, WantedHours, all_hours, hour_of
from fastlane.models.tick import Tick
from fastlane.services.parts import Service
from fastlane.services.reads.fitting import fitting
from fastlane.storage.base import ExecutionStore, LogStore, find_execution, find_job
from fastlane.streams.reader import read_slices

TEXT = 64 * 1024
"""Bytes of each stream that come with an execution: the last ones."""

LOOKED_AT, MOST_LOOKED_AT = (500, 50, 5), 20_000
"""Jobs that a search reads at a time (fewer when they are large), and the most that it reads in all."""
TOO_MANY_JOBS = f"would have to look at more than {MOST_LOOKED_AT:,} jobs; add task, label or status, so that there are fewer"

AT_ONCE = 8
"""Executions of a list that are looked up at once, so that one list does not take all of the store's readers."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A job, its status in the API, its latest execution (the one under way, or else the last one), and when it runs next by its
    schedule (milliseconds). ``webhooks`` get messages about it: its own or its pool's."""

    job: Job
    status: str
    latest: Execution | None
    next_run: int | None = None
    webhooks: tuple[Webhook, ...] = ()

    @property
    def late_since(self) -> int | None:
        """Since when it is late (milliseconds); None when it is not."""
        return self.job.late_since if self.job.is_late else None


@dataclass(frozen=True, slots=True)
class ExecutionView:
    """An execution, the size of each stream so far, and the last 64 KiB of each if they were asked for. ``webhooks``, in a list of
    executions, get messages about it: its job's or its pool's."""

    execution: Execution
    stdout_bytes: int
    stderr_bytes: int
    truncated: bool
    stdout: str | None = None
    stderr: str | None = None
    webhooks: tuple[Webhook, ...] = ()


async def view_jobs(
    store: ExecutionStore, jobs: Sequence[Job], now: int, pools: Sequence[Pool], statuses: Mapping[str, str] | None = None
) -> list[JobView]:
    """Each job as it stands at ``now`` (milliseconds); those in ``statuses`` (by id) with the status there."""
    latest = await store.latest([job.id for job in jobs]) if jobs else {}
    return [_view(job, latest.get(job.id), now, pools, (statuses or {}).get(job.id)) for job in jobs]


async def view_executions(store: LogStore, executions: Sequence[Execution], *, texts: bool = False) -> list[ExecutionView]:
    """Each execution with the size of its log; with the end of the log if ``texts``."""
    heads = await store.log_heads([execution.id for execution in executions if texts or not execution.status.final])
    views: list[ExecutionView] = []
    for start in range(0, len(executions), AT_ONCE):
        some = executions[start : start + AT_ONCE]
        views += await asyncio.gather(*(_view_execution(store, one, heads.get(one.id), texts=texts) for one in some))
    return views


async def _view_execution(store: LogStore, execution: Execution, head: Head | None, *, texts: bool) -> ExecutionView:
    """An execution with the size of its log, which follows from its head if it has one; with the end of the log if ``texts``."""
    if head is None:
        return ExecutionView(execution, execution.stdout_bytes, execution.stderr_bytes, execution.truncated)
    truncated = head.truncated or execution.truncated
    if not texts:
        return ExecutionView(execution, head.stdout, head.stderr, truncated)
    stdout = await _text(store, execution.id, STDOUT, head.stdout)
    stderr = await _text(store, execution.id, STDERR, head.stderr)
    return ExecutionView(execution, head.stdout, head.stderr, truncated, stdout, stderr)


def _view(job: Job, latest: Execution | None, now: int, pools: Sequence[Pool], stored: str | None) -> JobView:
    status = stored or job_status(job, latest.status if latest else None, now)
    return JobView(job, status, latest, job.next_run(now), webhooks_of(job.spec, job.task_id, pools))


async def _text(store: LogStore, execution_id: str, stream: int, end: int) -> str:
    start = max(0, end - TEXT)
    data = b"".join([piece.data async for pieces in read_slices(store, execution_id, start, end, stream) for piece in pieces])
    return (data if start == 0 else from_whole_character(data)).decode(errors="replace")


def from_whole_character(data: bytes) -> bytes:
    """Drops the rest of a UTF-8 character that was cut at the start (at most three bytes)."""
    cut = 0
    while cut < min(3, len(data)) and data[cut] & 0xC0 == 0x80:
        cut += 1
    return data[cut:]


@dataclass(frozen=True, slots=True)
class FailedJobView:
    """A job that failed: the failure that ended last, and how many of its executions failed."""

    last: ExecutionView
    failures: int


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task with its jobs in short."""

    task: Task
    summary: TaskSummary


@dataclass(frozen=True, slots=True)
class TaskJobsView:
    """A task and a page of its jobs, newest first."""

    task: Task
    jobs: Page[JobView]


@dataclass(frozen=True, slots=True)
class ExecutionsView:
    """A job and a page of its executions, newest first."""

    job: Job
    executions: Page[ExecutionView]


@dataclass(frozen=True, slots=True)
class TicksView:
    """A job and a page of its ticks, the latest due first."""

    job: Job
    ticks: Page[Tick]


class Lists(Service):
    """Reads pages of lists. Raises NotFound for a page past the end and for the list of a task or job that does not exist, and
    StoreDown."""

    async def tasks(self, window: Window, visible: str | None = None) -> Page[TaskView]:
        """All tasks, most recently changed first."""
        return await self._in_short(_checked(await self._store.list_tasks(window, visible=visible)))

    async def search(self, words: Sequence[str], window: Window, visible: str | None = None) -> Page[TaskView]:
        """The tasks whose id contains all of these words or beginnings of words, most recently changed first."""
        return await self._in_short(_checked(await self._store.search_tasks(words, window, visible=visible)))

    async def _in_short(self, page: Page[Task]) -> Page[TaskView]:
        found = await self._store.task_summaries(page.rows, self._clock.now())
        return page.of([TaskView(task, found[task.id]) for task in page.rows])

    async def task(self, task_id: str, window: Window, wanted: WantedJobs, fewer: Sequence[int] = ()) -> TaskJobsView:
        """A task with a page of its jobs, those with the wanted statuses and label. When they are too large for a page, tries these smaller
        ones."""
        page = fitting(lambda some: self._jobs(task_id, some, wanted), window, fewer)
        both = asyncio.gather(self._store.task(task_id), page, return_exceptions=True)
        task, jobs = await unless_cancelled(both)  # at once: a store can share what both read
        if isinstance(task, BaseException):
            raise task
        if task is None:
            raise NotFound(f"there is no task {task_id!r}; a POST of a job to it makes it")
        if isinstance(jobs, BaseException):
            raise jobs
        return TaskJobsView(task, jobs)

    async def jobs(self, wanted: WantedJobs, window: Window) -> Page[JobView]:
        """Jobs of all tasks or of one, newest first."""
        return await self._view(await self._store.list_all_jobs(wanted, window), is_by_status=bool(wanted.statuses))

    async def matching_jobs(self, wanted: WantedJobs, window: Window, matches: Callable[[Job], bool]) -> Page[JobView]:
        """The wanted jobs for which ``matches`` is true, newest first. No index has what it looks at, so each wanted job is read; raises
        Invalid, for the parameter ``query``, when these are too many."""
        found, statuses = _MatchingPage(window), dict[str, str]()
        looked, part = 0, Window(1, LOOKED_AT[0])
        while True:
            some = await fitting(partial(self._store.list_all_jobs, wanted), part, LOOKED_AT)
            for job in filter(matches, some.rows):
                found.add(job)
            statuses |= {job.id: some.statuses[job.id] for job in found.rows if job.id in some.statuses}
            looked += len(some.rows)
            if some.next is None:
                break
            if looked >= MOST_LOOKED_AT:
                raise Invalid([Fault("query", TOO_MANY_JOBS)])
            part = replace(some.window, after=some.next)
        return await self._view(found.page(statuses), is_by_status=bool(wanted.statuses))

    async def executions(self, wanted: Wanted, window: Window) -> Page[ExecutionView]:
        """Executions of all tasks or of one, the latest due first."""
        page = _checked(await self._store.list_executions(wanted, window))
        return await self._with_receivers(page)

    async def failures(self, wanted: WantedFailures, window: Window) -> Page[FailedJobView]:
        """The jobs that failed, each with its last failure, the last end first."""
        page = _checked(await self._store.list_failures(wanted, window))
        views = (await self._with_receivers(page.of([row.last for row in page.rows]))).rows
        return page.of([FailedJobView(view, row.failures) for view, row in zip(views, page.rows, strict=True)])

    async def executions_of(self, task_id: str, job_id: str, window: Window) -> ExecutionsView:
        """A page of a job's executions."""
        job = await find_job(self._store, task_id, job_id)
        page = _checked(await self._store.list_executions_of(job_id, window))
        return ExecutionsView(job, await self._with_receivers(page))

    async def _with_receivers(self, page: Page[Execution]) -> Page[ExecutionView]:
        views = await view_executions(self._store, page.rows)
        pools = self._pools
        return page.of([replace(one, webhooks=webhooks_of(one.execution.spec, one.execution.task_id, pools)) for one in views])

    async def ticks(self, task_id: str, job_id: str, window: Window) -> TicksView:
        """A page of a job's ticks: what became of each due time."""
        job = await find_job(self._store, task_id, job_id)
        return TicksView(job, _checked(await self._store.list_ticks(job_id, window)))

    async def _view(self, page: JobPage, *, is_by_status: bool) -> Page[JobView]:
        """The jobs as they stand now; in a list by status, with the statuses by which they were found."""
        page.check()
        statuses = page.statuses if is_by_status else {}
        return page.of(await view_jobs(self._store, await self._calendars.jobs(page.rows), self._clock.now(), self._pools, statuses))

    async def _jobs(self, task_id: str, window: Window, wanted: WantedJobs) -> Page[JobView]:
        page = await self._store.list_jobs(task_id, window, statuses=wanted.statuses, label=wanted.label)
        return await self._view(page, is_by_status=bool(wanted.statuses))


@dataclass(slots=True)
class _MatchingPage:
    """A page of a list that is read as a whole: counts the jobs, and keeps one page."""

    window: Window
    total: int = 0
    has_more: bool = False
    rows: list[Job] = field(default_factory=list)

    def add(self, job: Job) -> None:
        """Takes the next job of the list."""
        place, after = self.total, self.window.after
        self.total += 1
        if (place < self.window.offset) if after is None else (_key(job) >= after.key):
            return
        if len(self.rows) < self.window.per_page:
            self.rows.append(job)
        else:
            self.has_more = True

    def page(self, statuses: Mapping[str, str]) -> JobPage:
        """The page."""
        following = After(self.total, _key(self.rows[-1])) if self.has_more else None
        return JobPage(self.window, self.total, tuple(self.rows), following, statuses)


def _key(job: Job) -> Key:
    """A job's place in the order of the lists of jobs."""
    return (job.created_at, job.id)


def _checked(page: Page[Row]) -> Page[Row]:
    page.check()
    return page


@dataclass(frozen=True, slots=True)
class JobDetail:
    """A job with a page of its executions, newest first. ``created_by`` made it; None where that was not recorded."""

    view: JobView
    executions: Page[ExecutionView]
    created_by: Requester | None


class Details(Service):
    """Reads one job or execution. Raises NotFound for what does not exist or belongs to another job or task, and StoreDown."""

    async def job(self, task_id: str, job_id: str, window: Window, *, texts: bool) -> JobDetail:
        """A job with a page of its executions; with the text of their logs if ``texts``."""
        job = await self._calendars.job(await find_job(self._store, task_id, job_id))
        (view,) = await view_jobs(self._store, [job], self._clock.now(), self._pools)
        page = await self._store.list_executions_of(job_id, window)
        page.check()
        creators = await self._store.transfer.creators([job.id])
        executions = page.of(await view_executions(self._store, page.rows, texts=texts))
        return JobDetail(view, executions, creators.get(job.id, job.requested_by))

    async def execution(self, task_id: str, job_id: str, execution_id: str) -> ExecutionView:
        """An execution with the text of its log."""
        execution = await find_execution(self._store, task_id, job_id, execution_id)
        return (await view_executions(self._store, [execution], texts=True))[0]

    async def check_exists(self, task_id: str, job_id: str, execution_id: str | None = None) -> None:
        """Returns when the job exists, or the execution if one is given; raises NotFound otherwise."""
        if execution_id is None:
            await find_job(self._store, task_id, job_id)
        else:
            await find_execution(self._store, task_id, job_id, execution_id)


@dataclass(frozen=True, slots=True)
class HistoryView:
    """The hours from ``since`` to ``until`` (milliseconds), each with its counts."""

    since: int
    until: int
    hours: Sequence[HourCount]


class History(Service):
    """Reads the hourly counts of a store."""

    async def hours(self, since: int, hours: int, *, task_id: str | None, pool: str | None, visible: str | None) -> HistoryView:
        """Hourly counts from the hour that contains ``since``: at most ``hours`` of them, up to the present hour."""
        first = hour_of(since)
        until = min(first + min(hours, MOST_HOURS) * HOUR, hour_of(self._clock.now()) + HOUR)
        wanted = WantedHours(first, max(first, until), task_id, pool, visible)
        return HistoryView(wanted.since, wanted.until, all_hours(await self._store.history.hours(wanted), wanted))
