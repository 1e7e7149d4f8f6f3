"""Retention: removes history that is older than the rules allow, or exceeds the number that they keep, a little at a time.

It walks all jobs, the oldest first, and takes small steps, so that no other writer waits long. One worker does so at a time: the one with
the least id. If two do so for a moment, because one has not heard of the other, that does no harm, since each step checks again.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import TypeVar

import structlog

from fastlane.clock import Clock
from fastlane.errors import Unreadable
from fastlane.models.event import Source, Span, at
from fastlane.models.paging import Window
from fastlane.models.pool import Pool, pool_for
from fastlane.models.retention import NO_RETENTION, Cuts, JobHistory, Retention, hour_of, strictest
from fastlane.scheduler.known_workers import always
from fastlane.storage.base import Deletion, LogPage, Removed, Store, StoredLog

log = structlog.get_logger()

PAGE = 200
"""Jobs of a page, and deliveries that go together."""
PAGES = 20
"""Pages of a round on which nothing goes, after which the rest waits for the next round."""
LONGEST_REST = 1.0
"""Seconds that the pruner rests after a step at most: it rests for as long as the step took."""
ONE = Window(1, 1)
LOOKED_AT, LOGS = 1_000, 50
"""When all logs together are too large: the executions in one search for logs, and the logs that are removed before the size is measured
again."""
REMOVED_HOSTS_STAY = 7 * 86_400_000
"""Milliseconds for which the record of a removed host stays, as a deleted job's does. Until then it says that what was placed there is
lost, and that the host's engine is not used again by mistake."""
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

    def of(self, job: JobHistory, pools: Sequence[Pool]) -> Retention:
        """The rules for a job: its pool's or the server's, and its own where they are stricter."""
        pool = pool_for(pools, job.task_id)
        return job.retention.within((NO_RETENTION if pool is None else pool.retention).over(self.rules))


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
    """Removes old history of one store. ``is_chosen``: whether this worker is the one that does so; ``counted`` gets the counts of
    each round.
    ``pools`` may change meanwhile."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        pools: Sequence[Pool],
        rules: RetentionRules,
        is_chosen: Callable[[], Awaitable[bool]] = always,
        counted: Report = ignored,
    ) -> None:
        self._store = store
        self._clock = clock
        self._pools = pools
        self._rules = rules
        self._is_chosen = is_chosen
        self._counted = counted
        self._after: tuple[int, str] | None = None
        self._logs_after: tuple[int, str] | None = None

    async def prune(self) -> None:
        """Makes a round from where the last one ended, up to the last job, or until it has found nothing on some pages."""
        pruned, fruitless = Pruned(), 0
        try:
            if await self._is_chosen():
                await self._prune_by_age(pruned)
                await self._fit_logs(pruned)
                await self._release_space()
            while fruitless < PAGES and await self._is_chosen():
                before = pruned.counts
                self._after = await self._prune_page(self._after, pruned)
                fruitless = fruitless + 1 if pruned.counts == before else 0
                if self._after is None:
                    break
        finally:
            self._counted(pruned.counts)
            if any(pruned.counts.values()):
                log.info("retention.pruned", **pruned.counts)

    async def prune_all(self, report: Report = ignored) -> Pruned:
        """Walks all jobs once, and removes what is overdue."""
        pruned, after = Pruned(), None
        await self._prune_by_age(pruned)
        while True:
            after = await self._prune_page(after, pruned)
            report(pruned.counts)
            if after is None:
                await self._fit_logs(pruned)
                await self._release_space()
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

    async def _prune_page(self, after: tuple[int, str] | None, pruned: Pruned) -> tuple[int, str] | None:
        """Prunes the jobs of one page; where the next one begins, None after the last."""
        page = await self._store.retention.histories(PAGE, after)
        cuts = self._cuts_of(page.jobs)
        old = await self._store.retention.candidates(page.jobs, strictest(cuts)) if page.jobs else ()
        for job, cut in zip(page.jobs, cuts, strict=True):
            try:
                await self._prune_job(job, cut, pruned, has_old=job.job_id in old)
            except Unreadable as error:
                log.warning("retention.job_left_alone", job_id=job.job_id, error=str(error))
        return page.next

    async def _prune_job(self, job: JobHistory, cuts: Cuts, pruned: Pruned, *, has_old: bool) -> None:
        retention = self._store.retention
        if not job.to_come and job.modified_at < cuts.jobs and await retention.is_over(job, cuts.jobs):
            await self._delete(job, pruned)
        elif has_old and (await retention.overdue(job, cuts)).any:
            step = Removed(more=True)
            while step.more:
                step = await self._gently(lambda: retention.prune(job, cuts))
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
        await self._store.prune_hosts(now - REMOVED_HOSTS_STAY)

    async def _fit_logs(self, pruned: Pruned) -> None:
        """Removes logs, the oldest first, until all logs together fit into their limit. It continues where it stopped the last time, since
        hardly any logs are left before that."""
        most, is_first_time = self._rules.log_bytes, self._logs_after is None
        while most is not None and await self._is_chosen():
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

    async def _release_space(self) -> None:
        while await self._gently(self._store.retention.release_space):
            pass

    async def _gently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Takes a step, and rests for as long as it took, so that others write in between."""
        began = self._clock.now()
        answer = await step()
        await self._clock.sleep(min((self._clock.now() - began) / 1000, LONGEST_REST))
        return answer

    def _cuts(self, job: JobHistory) -> Cuts:
        return self._rules.of(job, self._pools).cuts(self._clock.now())

    def _cuts_of(self, jobs: Sequence[JobHistory]) -> Sequence[Cuts]:
        """The cuts of each job; they are the same for jobs of one task with the same rules."""
        known = {(job.task_id, job.retention): job for job in jobs}
        cuts = {rules: self._cuts(job) for rules, job in known.items()}
        return [cuts[job.task_id, job.retention] for job in jobs]
