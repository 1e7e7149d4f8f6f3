"""Reads the schedules of all jobs, and says what they will come to (``models.forecast``), in pieces that take bounded time.

The schedules are read from the store together. When that takes long, they are used again for a while, so that a client which asks for one
piece after the other costs one reading now and then. The computing is done in small parts, between which other requests have their
turn.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fastlane.clock import unless_cancelled
from fastlane.errors import QueueDown
from fastlane.models.access import may_see
from fastlane.models.everywhere import choose
from fastlane.models.forecast import LAST_RUNS, Forecast, Forecaster, PlannedJob, PlannedRun, RunLister, planned, usual_duration
from fastlane.models.forecast_impact import ForecastImpact, ImpactFinder
from fastlane.models.host import HostView
from fastlane.models.job import Job, Spec
from fastlane.models.pool import Pool, pool_for
from fastlane.models.run_target import Everywhere
from fastlane.models.schedule import LAST_MOMENT, Schedule
from fastlane.services.parts import Service, ServiceParts
from fastlane.services.reads.pools import distinct_views
from fastlane.services.reads.status import SharedCheck

PAGE, AT_ONCE, STEP = 200, 8, 50
"""Jobs that are read together, jobs whose executions are looked up at once, and jobs or due times between which others have a turn."""
MOST_JOBS = 20_000
"""Jobs that are looked at: those whose next tick comes first."""
SHARE, CHEAP = 10, 0.5
"""For how many times as long as reading them took schedules count, and from how many seconds of reading on."""
MOST_RUNS = 500
"""Due times of a page, but for the others of the moment of the last one."""

IMPACT = 7 * 86_400_000
"""Milliseconds for which a preview says what a job would do to its pool."""


@dataclass(frozen=True, slots=True)
class WantedForecast:
    """The range of a forecast (milliseconds, the second excluded), and of which jobs: of one task, of tasks whose id matches ``visible``;
    None: of all."""

    since: int
    until: int
    task_id: str | None = None
    visible: str | None = None

    def has(self, job: PlannedJob) -> bool:
        """Whether it is one of the jobs."""
        return self.task_id in (None, job.task_id) and may_see(self.visible, job.task_id)


@dataclass(frozen=True, slots=True)
class Schedules:
    """The jobs with a tick to come. ``at_least``: not all of them."""

    jobs: Sequence[PlannedJob]
    at_least: bool


@dataclass(frozen=True, slots=True)
class ForecastView:
    """A piece of a forecast, and how many executions may run at once in each pool. ``next``: where the next piece begins (milliseconds);
    None: it is the last."""

    forecast: Forecast
    pools: Mapping[str, int]
    next: int | None


@dataclass(frozen=True, slots=True)
class RunsView:
    """Due times from ``since`` to before ``until`` (milliseconds), soonest first. ``next``: where the list goes on; None at its end."""

    since: int
    until: int
    runs: Sequence[PlannedRun]
    next: int | None


class ForecastReader(Service):
    """Forecasts what is stored. Keeps the schedules for a while, and how long jobs usually take. Raises StoreDown."""

    def __init__(self, parts: ServiceParts) -> None:
        super().__init__(parts)
        self._usual: dict[str, tuple[tuple[str, int], int | None]] = {}
        self._schedules = SharedCheck(self._read, 0, share=SHARE, cheap=CHEAP)

    async def read(self, wanted: WantedForecast) -> ForecastView:
        """The first piece of a forecast."""
        schedules = await self._schedules.answer()
        maker = Forecaster([job for job in schedules.jobs if wanted.has(job)], wanted.since, wanted.until)
        await _finish(maker)
        found = replace(maker.result, at_least=schedules.at_least)
        pools = {pool.name: pool.max_running for pool in self._pools}
        return ForecastView(found, pools, found.until if found.until < wanted.until else None)

    async def runs(self, wanted: WantedForecast, most: int) -> RunsView:
        """The first due times of a range: ``most``, and all others of the moment of the last one."""
        schedules = await self._schedules.answer()
        lister = RunLister([job for job in schedules.jobs if wanted.has(job)], wanted.since, wanted.until, most)
        await _finish(lister)
        return RunsView(wanted.since, wanted.until, lister.runs, lister.next)

    async def impact(self, task_id: str, job_id: str | None, spec: Spec, schedule: Schedule, runs: Sequence[int]) -> ForecastImpact | None:
        """What a job that is previewed would do to its pool in the next days, in place of the job that has its id. ``runs``: its next due
        times; None without any, and when no pool takes the task."""
        pool, now = pool_for(self._pools, task_id), self._clock.now()
        if pool is None or not runs:
            return None
        schedules = await self._schedules.answer()
        usual = next((job.usual for job in schedules.jobs if job.id == job_id), None)
        longest = _longest(pool) if spec.timeout is None else spec.timeout
        schedule = await self._calendars.schedule(schedule)
        first = runs[0] if schedule.cron is None else min(runs[0], schedule.first_tick(now) or runs[0])
        targets = _targets(spec.everywhere, pool, await self._views())
        own = PlannedJob(job_id or "", task_id, spec.name, schedule, first, spec.expiration, pool.name, targets, usual, longest)
        others = [job for job in schedules.jobs if job.pool == pool.name and job.id != job_id]
        finder = ImpactFinder(own, others, pool.max_running, min(now, first), now + IMPACT)
        await _finish(finder)
        return finder.result

    async def _read(self) -> Schedules:
        """Reads the schedules. A job whose tick comes while they are read may be found twice; it is as it was found first."""
        found, after = dict[str, Job](), None
        views = await self._views()
        while len(found) < MOST_JOBS:
            page = await self._store.jobs_due(LAST_MOMENT, PAGE, after)
            for job in await self._calendars.jobs(page):
                found.setdefault(job.id, job)
            if len(page) < PAGE:
                break
            after = (page[-1].next_tick or 0, page[-1].id)
        usual = await self._read_usual(list(found.values()))
        jobs = list[PlannedJob]()
        for place, job in enumerate(found.values()):
            if place % PAGE == 0:
                await asyncio.sleep(0)
            one = self._planned(job, usual.get(job.id), views)
            jobs += [] if one is None else [one]
        return Schedules(jobs, len(found) >= MOST_JOBS)

    async def _views(self) -> Sequence[HostView]:
        """The hosts as workers see them; none while the queue is down."""
        try:
            return distinct_views(await self._reports.current())
        except QueueDown:
            return ()

    def _planned(self, job: Job, usual: int | None, views: Sequence[HostView]) -> PlannedJob | None:
        pool = pool_for(self._pools, job.task_id)
        if pool is None:
            return planned(job, usual=usual)
        return planned(job, pool=pool.name, targets=_targets(job.spec.everywhere, pool, views), usual=usual, longest=_longest(pool))

    async def _read_usual(self, jobs: Sequence[Job]) -> Mapping[str, int | None]:
        """How long each of these jobs usually takes. Looked up again when it has run again."""
        known = {job.id: self._usual[job.id] for job in jobs if job.id in self._usual}
        missing = [job for job in jobs if job.sequence and known.get(job.id, (None, None))[0] != (job.incarnation, job.sequence)]
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            last = await unless_cancelled(asyncio.gather(*(self._store.executions_of(job.id, LAST_RUNS) for job in some)))
            for job, executions in zip(some, last, strict=True):
                is_over = all(execution.status.final for execution in executions)
                known[job.id] = ((job.incarnation, job.sequence if is_over else -1), usual_duration(executions))
        self._usual = known
        return {id: usual for id, (_, usual) in known.items()}


async def _finish(maker: Forecaster | RunLister | ImpactFinder) -> None:
    """Has it finish, while others have their turn in between."""
    is_finished = False
    while not is_finished:
        is_finished = maker.step(STEP)
        await asyncio.sleep(0)


def _longest(pool: Pool) -> int | None:
    """How long an execution of the pool may run by its own limit, in milliseconds."""
    return None if pool.hard_timeout is None else round(pool.hard_timeout * 1000)


def _targets(everywhere: Everywhere | None, pool: Pool, views: Sequence[HostView]) -> int:
    """How many executions each tick of a job makes, as the hosts are now."""
    return 1 if everywhere is None else max(1, len(choose(everywhere, pool, views).chosen))
