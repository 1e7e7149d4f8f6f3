"""Retention: removes history that is older than the rules allow, or exceeds the number that they keep, a little at a time.

Three walks find what is overdue, each from where it ended the last time:

- all jobs by their creation: those that are over go, many in one step, and those that have given out more numbers than they may keep are
  pruned. The row of a job tells both;
- the executions by their ends, as far as these are older than an age that a rule names: their jobs are pruned. Each end is passed once, so
  nothing overdue costs one short read;
- all jobs once more, a few in a round, each looked at as a whole: this finds what could not go when it was passed.

Steps are small, and the pruner rests between them, so that no other writer waits long; when it is behind, it takes several at once and
rests no more, so that history goes faster than it comes. The live workers share the walks. If two look at the
same job, because one has not heard of the other, that does no harm, since each step checks again. A fault of one job is logged, and the
others go on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, fields
from functools import partial
from typing import TypeVar

import structlog

from fastlane.clock import Clock, unless_cancelled
from fastlane.errors import FastlaneError, TransientError
from fastlane.metrics import Metrics
from fastlane.models.backfill import KEPT as BACKFILLS_STAY
from fastlane.models.event import Source, Span, at
from fastlane.models.paging import Window
from fastlane.models.pool import Pool, pool_for
from fastlane.models.retention import NO_RETENTION, Cuts, JobHistory, Retention, hour_of, strictest
from fastlane.scheduler.known_workers import Share, alone
from fastlane.storage.base import Deletion, Store
from fastlane.storage.retention_port import LogPage, Removed, StoredLog, Swept

log = structlog.get_logger()

PAGE = 200
"""Jobs of a page, and deliveries that go together."""
PAGES = 20
"""Pages of a walk on which nothing goes, after which the rest waits for the next round."""
TOGETHER = 50
"""Jobs that are deleted together."""
ENDED = 500
"""Executions of a page of the walk by ends."""
LOOKED_INTO = 50
"""Jobs of which a round looks at the whole history."""
MOST_AGES = 16
"""Ages of jobs' own rules for which ends are walked. Jobs with further ones wait for the walk over whole histories."""
LONGEST_REST = 1.0
"""Seconds that the pruner rests after a step at most: it rests for as long as the step took."""
BEHIND, AT_ONCE = 600_000, 4
"""For how many milliseconds what goes has to be overdue so that the pruner no longer rests, because more is made than removed; and how many
times as many jobs that are over it then deletes at once: as several batches where these share a commit, otherwise as a larger one."""
ONE = Window(1, 1)
LOOKED_AT, LOGS = 1_000, 50
"""When all logs together are too large: the executions in one search for logs, and the logs that are removed before the size is measured
again."""
REMOVED_HOSTS_STAY = 7 * 86_400_000
"""Milliseconds for which the record of a removed host stays, as a deleted job's does. Until then it says that what was placed there is
lost, and that the host's engine is not used again by mistake."""
GONE_ENGINES_STAY = 30 * 86_400_000
"""Milliseconds after the time of an image after which its engine is gone: as long as it is there, a worker removes or keeps the image."""
MOST_COUNTED = 10_000
"""Events that are counted when nothing is to be removed."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """The server's rules: ``rules`` where a pool has none of its own, and the ages of deliveries, of the
    counts of hours and of recorded events (milliseconds; None: they stay). ``log_bytes``: how many all logs may take together."""

    rules: Retention = NO_RETENTION
    deliveries: int | None = None
    history: int | None = None
    events: int | None = None
    log_bytes: int | None = None

    def ages(self, pools: Sequence[Pool]) -> set[int]:
        """The ages at which executions or logs go, of the server's rules and the pools'."""
        rules = [self.rules, *(pool.retention.over(self.rules) for pool in pools)]
        return {age for rule in rules for age in ages_of(rule)}

    def of(self, job: JobHistory, pools: Sequence[Pool]) -> Retention:
        """The rules for a job: its pool's or the server's, and its own where they are stricter."""
        pool = pool_for(pools, job.task_id)
        return job.retention.within((NO_RETENTION if pool is None else pool.retention).over(self.rules))


def ages_of(rules: Retention) -> set[int]:
    """The ages at which these rules let executions or logs go."""
    return {age for age in (rules.executions, rules.logs) if age is not None}


@dataclass(slots=True)
class Pruned:
    """The numbers of things that were removed, or would be, by kind. ``logs``: logs of executions that stay; ``hours``: counts of one hour,
    task and pool."""

    jobs: int = 0
    executions: int = 0
    ticks: int = 0
    logs: int = 0
    deliveries: int = 0
    hours: int = 0
    events: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """The numbers by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def add(self, removed: Removed) -> None:
        """Adds what one step removed of a job that stays."""
        self.executions += removed.executions
        self.ticks += removed.ticks
        self.logs += removed.logs


Report = Callable[[Mapping[str, int]], None]
"""Gets the counts so far by kind, now and then."""


def ignored(_counts: Mapping[str, int]) -> None:
    """Ignores the counts."""


class Pruner:
    """Removes old history of one store. ``share``: the part of the work that is this worker's; ``metrics`` gets the counts of each round,
    and how late it is. ``pools`` may change meanwhile."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        pools: Sequence[Pool],
        rules: RetentionRules,
        share: Callable[[], Awaitable[Share]] = alone,
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._pools = pools
        self._rules = rules
        self._share = share
        self._metrics = metrics or Metrics()
        self._after: tuple[int, str] | None = None
        self._looked_into: tuple[int, str] | None = None
        self._ended: dict[int, tuple[int, str] | None] = {}
        self._own_ages: set[int] = set()
        self._logs_after: tuple[int, str] | None = None
        self._done_at = clock.now()
        self._late = 0

    async def prune(self) -> None:
        """Makes a round. Each walk goes on from where it ended, up to its end, or until it has found nothing on some pages."""
        pruned, self._late = Pruned(), 0
        try:
            if (await self._share()).number == 0:
                for part in (self._prune_by_age, self._fit_logs, self._release_space):
                    await self._unless_faulty(partial(part, pruned), part.__name__)
            for age in sorted(self._rules.ages(self._pools) | self._own_ages):
                await self._prune_ended(age, pruned)
            await self._look_into(pruned)
            await self._walk(pruned)
            self._done_at = self._clock.now()
        finally:
            self._metrics.pruned(pruned.counts)
            self._metrics.retention_lagged(max(self._late, self._clock.now() - self._done_at) / 1000)
            if any(pruned.counts.values()):
                log.info("retention.pruned", **pruned.counts)

    async def prune_all(self, report: Report = ignored) -> Pruned:
        """Walks all jobs once, and removes what is overdue."""
        pruned, after = Pruned(), None
        await self._prune_by_age(pruned)
        while True:
            page = await self._store.retention.histories(PAGE, after)
            await self._prune_jobs(page.jobs, pruned, whole=True)
            after = page.next
            report(pruned.counts)
            if after is None:
                await self._fit_logs(pruned)
                await self._release_space(pruned)
                return pruned

    async def overdue(self, report: Report = ignored) -> Pruned:
        """Walks all jobs once, and counts what is overdue; removes nothing."""
        found, after = Pruned(), None
        now = self._clock.now()
        if self._rules.deliveries is not None:
            found.deliveries = await self._store.retention.overdue_deliveries(now - self._rules.deliveries)
        if self._rules.history is not None:
            found.hours = await self._store.history.overdue_hours(hour_of(now - self._rules.history))
        if self._rules.events is not None:
            span = Span(at(0), at(now - self._rules.events))
            found.events = len(await self._store.events(Source.RECORDED, span, MOST_COUNTED))
        while True:
            page = await self._store.retention.histories(PAGE, after)
            for job in page.jobs:
                cuts = self._cuts(job)
                if await self._store.retention.is_over(job, cuts.jobs):
                    await self._count_whole(job, found)
                else:
                    found.add(await self._store.retention.overdue(job, cuts, whole=True))
            after = page.next
            report(found.counts)
            if after is None:
                break
        found.logs = max(found.logs, await self._count_logs_that_do_not_fit())  # these are mostly the ones that are too old
        return found

    async def _walk(self, pruned: Pruned) -> None:
        """Walks all jobs by their creation. The workers take turns with the pages."""
        fruitless = 0
        while fruitless < PAGES:
            share, before = await self._share(), pruned.counts
            skip = PAGE * (share.number if self._after is None else share.of - 1)
            page = await self._store.retention.histories(PAGE, self._after, skip)
            await self._prune_jobs(page.jobs, pruned, whole=False)
            self._after = page.next
            fruitless = fruitless + 1 if pruned.counts == before else 0
            if self._after is None:
                return

    async def _prune_ended(self, age: int, pruned: Pruned) -> None:
        """Prunes the jobs of executions that ended this long ago, and whose rules name this age."""
        fruitless, more = 0, True
        while more:
            share, before, until = await self._share(), pruned.counts, self._clock.now() - age
            page = await self._store.retention.ended(ENDED, until, self._ended.get(age))
            own = await self._store.retention.histories_of([id for id in page.job_ids if share.has(id)])
            jobs = [job for job in own if age in ages_of(self._rules.of(job, self._pools))]
            await self._prune_jobs(jobs, pruned, whole=True)
            self._ended[age], more = page.after, page.more
            fruitless = fruitless + 1 if pruned.counts == before else 0
            if more and fruitless == PAGES:
                self._late = max(self._late, until - (page.after or (until, ""))[0])
                return

    async def _look_into(self, pruned: Pruned) -> None:
        """Looks at the whole history of the next few jobs."""
        share = await self._share()
        skip = LOOKED_INTO * (share.number if self._looked_into is None else share.of - 1)
        page = await self._store.retention.histories(LOOKED_INTO, self._looked_into, skip)
        await self._prune_jobs(page.jobs, pruned, whole=True)
        self._looked_into = page.next

    async def _prune_jobs(self, jobs: Sequence[JobHistory], pruned: Pruned, *, whole: bool) -> None:
        """Deletes the jobs that are over, and prunes others: with ``whole`` every job of which something may be overdue, otherwise the jobs
        whose rows say that they have too much."""
        cuts = dict(zip((job.job_id for job in jobs), self._cuts_of(jobs), strict=True))
        self._learn_ages(jobs)
        ripe = [job for job in jobs if not job.to_come and job.modified_at < cuts[job.job_id].jobs]
        gone, left = await self._delete_ripe([(job, cuts[job.job_id].jobs) for job in ripe], pruned)
        rest = [job for job in jobs if job.job_id not in gone]
        chosen = await self._chosen(rest, cuts, whole=whole)
        for job in rest:
            if job.job_id in left or job.job_id in chosen:
                step = partial(self._prune_job, job, cuts[job.job_id], pruned, may_be_over=job.job_id in left)
                await self._unless_faulty(step, "_prune_job", job.job_id)

    async def _delete_ripe(self, ripe: Sequence[tuple[JobHistory, int]], pruned: Pruned) -> tuple[Set[str], Set[str]]:
        """Deletes jobs that are over, each with the moment before which it must have been. Returns the ids of the
        deleted jobs, and of the jobs to look at apart."""
        gone, left, start = set[str](), set[str](), 0
        while start < len(ripe):
            end = start + TOGETHER * (AT_ONCE if self._late > BEHIND else 1)
            size = TOGETHER if self._store.retention.shares_commits else end - start
            batches = [ripe[first : first + size] for first in range(start, min(end, len(ripe)), size)]
            steps = [self._unless_faulty(partial(self._delete_together, batch, pruned), "_delete_together") for batch in batches]
            done: list[Swept | None] = await unless_cancelled(asyncio.gather(*steps))
            for batch, swept in zip(batches, done, strict=True):
                gone |= swept.jobs if swept is not None else set()
                left |= swept.left if swept is not None else {job.job_id for job, _ in batch}
            start = end
        return gone, left

    async def _delete_together(self, jobs: Sequence[tuple[JobHistory, int]], pruned: Pruned) -> Swept:
        swept = await self._gently(lambda: self._store.retention.delete_over(jobs, self._clock.now()))
        pruned.jobs += len(swept.jobs)
        pruned.executions += swept.executions
        pruned.ticks += swept.ticks
        self._late = max(self._late, swept.late)
        return swept

    async def _chosen(self, jobs: Sequence[JobHistory], cuts: Mapping[str, Cuts], *, whole: bool) -> Set[str]:
        """The ids of the jobs to prune."""
        if not whole or not jobs:
            return {job.job_id for job in jobs if job.numbers > cuts[job.job_id].max_executions}
        asked = partial(self._store.retention.candidates, jobs, strictest([cuts[job.job_id] for job in jobs]))
        chosen = await self._unless_faulty(asked, "_chosen")
        return {job.job_id for job in jobs} if chosen is None else chosen

    async def _prune_job(self, job: JobHistory, cuts: Cuts, pruned: Pruned, *, may_be_over: bool) -> None:
        if may_be_over and await self._store.retention.is_over(job, cuts.jobs):
            await self._delete(job, pruned)
            return
        step = Removed(more=True)
        while step.more:
            step = await self._gently(lambda: self._store.retention.prune(job, cuts))
            pruned.add(step)

    async def _delete(self, job: JobHistory, pruned: Pruned) -> None:
        """Deletes a job with all that it has, and its task with the last of the task's jobs."""
        of_job = Pruned()
        await self._count_whole(job, of_job)
        step = Deletion.MORE
        while step is Deletion.MORE:
            step = await self._gently(lambda: self._store.delete_job(job.job_id, job.incarnation, self._clock.now()))
        if step is Deletion.DONE:
            pruned.jobs += 1
            pruned.executions += of_job.executions
            pruned.ticks += of_job.ticks
            task = await self._store.task(job.task_id)
            if task is not None and task.jobs_count == 0:
                await self._store.delete_task(job.task_id)

    async def _count_whole(self, job: JobHistory, found: Pruned) -> None:
        found.jobs += 1
        found.executions += (await self._store.list_executions_of(job.job_id, ONE)).total
        found.ticks += (await self._store.list_ticks(job.job_id, ONE)).total

    async def _prune_by_age(self, pruned: Pruned) -> None:
        """Counts what has ended, and removes what goes by its age alone."""
        while await self._gently(partial(self._store.history.count_ends, PAGE)) == PAGE:
            pass
        now, retention, history = self._clock.now(), self._store.retention, self._store.history
        if self._rules.deliveries is not None:
            pruned.deliveries += await self._in_pages(partial(retention.prune_deliveries, now - self._rules.deliveries))
        if self._rules.history is not None:
            pruned.hours += await self._in_pages(partial(history.prune_hours, hour_of(now - self._rules.history)))
        if self._rules.events is not None:
            pruned.events += await self._in_pages(partial(retention.prune_events, now - self._rules.events))
        await self._in_pages(partial(self._store.backfills.prune, now - BACKFILLS_STAY))
        await self._store.prune_hosts(now - REMOVED_HOSTS_STAY)
        await self._store.prune_images(now - GONE_ENGINES_STAY)

    async def _fit_logs(self, pruned: Pruned) -> None:
        """Removes logs, the oldest first, until all logs together fit into their limit. It continues where it stopped the last time, since
        hardly any logs are left before that."""
        most, is_first_time = self._rules.log_bytes, self._logs_after is None
        while most is not None and (await self._share()).number == 0:
            over = await self._store.retention.log_bytes() - most
            if over <= 0:
                return
            page = await self._store.retention.stored_logs(LOOKED_AT, self._logs_after)
            gone, tried_all = await self._prune_logs(page.logs, over)
            pruned.logs += gone
            if not tried_all:
                continue
            if page.next is None and is_first_time and not gone:
                self._logs_after = None
                log.warning("retention.logs_over_limit", bytes=over + most, limit=most)
                return
            is_first_time = is_first_time or page.next is None
            self._logs_after = page.next

    async def _prune_logs(self, logs: Sequence[StoredLog], over: int) -> tuple[int, bool]:
        """Removes the first of these logs that may go, until ``over`` bytes are gone, or it is time to measure again. Returns how many logs
        went, and whether all of them were tried."""
        gone = 0
        for stored in logs:
            if over <= 0 or gone == LOGS:
                return gone, False
            if stored.may_go:
                while await self._gently(partial(self._store.retention.prune_log, stored.execution_id)):
                    pass
                over -= stored.bytes
                gone += 1
        return gone, True

    async def _count_logs_that_do_not_fit(self) -> int:
        most, found = self._rules.log_bytes, 0
        over = 0 if most is None else await self._store.retention.log_bytes() - most
        page = LogPage((), (0, ""))
        while over > 0 and page.next is not None:
            page = await self._store.retention.stored_logs(LOOKED_AT, page.next)
            for stored in page.logs:
                if over > 0 and stored.may_go:
                    over -= stored.bytes
                    found += 1
        return found

    async def _in_pages(self, prune: Callable[[int], Awaitable[int]]) -> int:
        total = gone = await self._gently(partial(prune, PAGE))
        while gone == PAGE:
            gone = await self._gently(partial(prune, PAGE))
            total += gone
        return total

    async def _release_space(self, _pruned: Pruned) -> None:
        while await self._gently(self._store.retention.release_space):
            pass

    async def _gently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Takes a step, and rests for as long as it took, so that others write in between; not when it is behind."""
        began = self._clock.now()
        answer = await step()
        if self._late <= BEHIND:
            await self._clock.sleep(min((self._clock.now() - began) / 1000, LONGEST_REST))
        return answer

    async def _unless_faulty(self, step: Callable[[], Awaitable[T]], part: str, job_id: str | None = None) -> T | None:
        """The result of a step. A fault of the step is logged, and the result is None. ``job_id``: the only job that it is about. Raises
        TransientError while the store is down, which is no fault of the step."""
        try:
            return await step()
        except Exception as error:
            if isinstance(error, TransientError):
                await self._store.check()
            found = {"part": part, "error": str(error)} | ({} if job_id is None else {"job_id": job_id})
            log.warning(
                "retention.part_failed" if job_id is None else "retention.job_left_alone",
                exc_info=not isinstance(error, FastlaneError),
                **found,
            )
            return None

    def _learn_ages(self, jobs: Sequence[JobHistory]) -> None:
        for job in jobs:
            if len(self._own_ages) < MOST_AGES:
                self._own_ages |= ages_of(job.retention)

    def _cuts(self, job: JobHistory) -> Cuts:
        return self._rules.of(job, self._pools).cuts(self._clock.now())

    def _cuts_of(self, jobs: Sequence[JobHistory]) -> Sequence[Cuts]:
        """The cuts of each job; they are the same for jobs of one task with the same rules."""
        known = {(job.task_id, job.retention): job for job in jobs}
        cuts = {rules: self._cuts(job) for rules, job in known.items()}
        return [cuts[job.task_id, job.retention] for job in jobs]
