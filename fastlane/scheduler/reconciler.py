"""Repairs what a crash or a lost write left behind: entries missing from the queue, stops that did not reach it, final rows that are not
settled, services that are not removed.

It reads the store and the hosts in regular rounds, a page at a time, and repeats what is safe to repeat. Nothing else waits for it. What
needs no host has rounds of its own, and hosts get theirs side by side: so one that is away delays nothing but its own cleaning.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog

from fastlane.clock import Clock
from fastlane.errors import FastlaneError, HostDown, TransientError, Unreadable
from fastlane.executors.port import EngineService, Executor
from fastlane.metrics import Repair, Repaired, uncounted
from fastlane.models import transitions
from fastlane.models.execution import Execution
from fastlane.models.pool import Pool
from fastlane.models.status import STARTING, UNDER_WAY
from fastlane.queue.port import Entry, TimedQueue, execution_entry, job_entry, pass_on_stop, slotless_entry
from fastlane.scheduler.cleaner import Cleaner, side_by_side
from fastlane.scheduler.execution_watch import Lost, never_lost
from fastlane.scheduler.settler import Settler
from fastlane.storage.base import Store

log = structlog.get_logger()

PAGE = 500
SOON = 120_000
"""Each round puts jobs into the queue that are due within this time (milliseconds)."""
UNKNOWN_AFTER = 3_600_000
"""Milliseconds for which a service of this installation is left alone although the store has never heard of its execution. After that it is
removed if it is parked, and reported otherwise."""


Part = Callable[[], Awaitable[None]]


class Reconciler:
    """The rounds of one worker. ``every`` in seconds; ``first``: what each round begins with; ``prune`` removes old history, in rounds
    of its own; ``repaired`` counts what it put right."""

    def __init__(
        self,
        store: Store,
        queue: TimedQueue,
        executor: Executor,
        clock: Clock,
        settler: Settler,
        pools: Sequence[Pool],
        *,
        every: float,
        first: Part | None = None,
        prune: Part | None = None,
        repaired: Repaired = uncounted,
    ) -> None:
        self._store = store
        self._queue = queue
        self._executor = executor
        self._clock = clock
        self._settler = settler
        self._pools = pools
        self._every = every
        self._first = () if first is None else (first,)
        self._prune = () if prune is None else (prune,)
        self._pruned_up_to = self._shown_up_to = ""
        self._repaired = repaired
        self._cleaner = Cleaner(store, executor, settler, repaired)

    async def run(self) -> None:
        """Makes a round at each interval, forever. A failing part of a round does not stop the others."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._rounds(*self._first, self.pause, self.requeue, self.stop, self.settle, self.show, self.prune_logs))
            loops.create_task(self._rounds(self.clean, self.remove_leftovers))
            loops.create_task(self._rounds(*self._prune))

    async def _rounds(self, *parts: Part) -> None:
        while True:
            await self._clock.sleep(self._every)
            for part in parts:
                try:
                    await part()
                except TransientError as error:
                    log.warning("reconciler.waiting", part=part.__name__, error=str(error))
                except Exception:
                    log.exception("reconciler.failed", part=part.__name__)

    async def pause(self) -> None:
        """Tells the queue which pools are paused, in case the process that paused one ended before it did."""
        await self._queue.pause(await self._store.paused_pools())

    async def requeue(self) -> None:
        """Puts the entries of what is under way or due soon; an entry that is there stays as it is."""
        after: tuple[int, str] | None = None
        while page := await self._store.executions_in(UNDER_WAY, PAGE, after):
            await self._put([execution_entry(execution, self._pools) for execution in page], Repair.ENTRY)
            after = (page[-1].scheduled_for, page[-1].id)
            await asyncio.sleep(0)
        after = None
        while jobs := await self._store.jobs_due(self._clock.now() + SOON, PAGE, after):
            await self._put([job_entry(job) for job in jobs], Repair.ENTRY)
            after = (jobs[-1].next_tick or 0, jobs[-1].id)

    async def stop(self) -> None:
        """Passes a job's stop on to the executions that it covers, and an execution's stop to the queue, in case the process that stopped
        it ended before, or the queue was down. (An enqueued execution finds its stop when it is claimed.)"""
        after: tuple[int, str] | None = None
        while page := await self._store.executions_in(STARTING, PAGE, after):
            for execution in page:
                if execution.stop_requested_at is None:
                    await self._pass_on(execution)
                elif execution.service_id is None:
                    await pass_on_stop(self._queue, execution, now=self._clock.now())
            after = (page[-1].scheduled_for, page[-1].id)

    async def _pass_on(self, execution: Execution) -> None:
        try:
            job = await self._store.job(execution.job_id)
        except Unreadable as error:
            log.warning("execution.stop_unknown", **execution.names, error=str(error))
            return
        if job is None or not job.stops(execution.sequence):
            return
        if await self._store.change(transitions.flag_stop(execution, now=self._clock.now())) is not None:
            log.info("execution.stop_passed_on", task_id=execution.task_id, job_id=execution.job_id, execution_id=execution.id)
            self._repaired(Repair.STOP, 1)
            await pass_on_stop(self._queue, execution, now=self._clock.now())

    async def settle(self) -> None:
        """Puts entries of final rows that are not settled into the lane without a limit, so that a worker settles them."""
        now = self._clock.now()
        rows = await self._store.unsettled(PAGE)
        if rows:
            await self._put([slotless_entry(row, due=now) for row in rows], Repair.SETTLEMENT)

    async def _put(self, entries: Sequence[Entry], kind: Repair) -> None:
        self._repaired(kind, await self._queue.put(entries))

    async def clean(self) -> None:
        """Removes services that are still there although their rows are settled."""
        await self._cleaner.clean()

    async def remove_leftovers(self) -> None:
        """Removes services that can never be used: those whose execution is settled, or bound to another service."""
        usable = [view.name for view in self._executor.hosts() if view.usable]
        await side_by_side("remove_leftovers", {host: partial(self.remove_leftovers_of, host) for host in usable})

    async def remove_leftovers_of(self, host: str) -> None:
        """Removes those of one host."""
        await self._remove_leftovers(host, never_lost)

    async def clear(self, host: str, lost: Lost) -> None:
        """Removes those of a host that is to get work. Raises TransientError while a container that was given up may go on there: what is
        ``lost`` with the host has not been ended yet, or a removal fails by the host's own fault."""
        left = await self._remove_leftovers(host, lost)
        if left:
            raise TransientError(f"{left} of the services that were given up there are not removed yet")

    async def _remove_leftovers(self, host: str, lost: Lost) -> int:
        """How many had to be left. In another order each time: no few removals that hang can keep the others waiting."""
        services, left = await self._executor.services(host), 0
        for service in random.sample(services, len(services)):
            try:
                row = await self._store.execution(service.execution_id)
            except Unreadable as error:
                log.warning("service.left_alone", host=host, service_id=service.id, error=str(error))
                continue
            if row is None:
                await self._unknown(host, service)
            elif is_leftover(row, service):
                log.info("service.leftover_removed", host=host, service_id=service.id, execution_id=row.id)
                left += not await self._remove(host, service)
            else:
                left += lost(row) is not None if not row.status.final else row.exit_code is None
        return left

    async def show(self) -> None:
        """Puts right under which statuses jobs are listed: of a page of all jobs in each round, and of those where a crash or the time may
        have changed it."""
        walk = await self._store.walk_statuses(self._clock.now(), self._shown_up_to, PAGE)
        self._shown_up_to = walk.after or ""
        if walk.repaired:
            log.info("store.statuses_repaired", count=walk.repaired)

    async def prune_logs(self) -> None:
        """Removes logs that a process stored after their execution was deleted: a page in each round, over and over."""
        self._pruned_up_to = await self._store.prune_logs(self._pruned_up_to, PAGE) or ""

    async def _remove(self, host: str, service: EngineService) -> bool:
        """False when that failed by the host's own fault. (What an engine refuses, it may refuse forever.)"""
        try:
            await self._executor.remove(host, service.id)
            self._repaired(Repair.SERVICE, 1)
        except FastlaneError as error:
            log.warning("service.not_removed", host=host, service_id=service.id, error=str(error))
            return not isinstance(error, HostDown)
        return True

    async def _unknown(self, host: str, service: EngineService) -> None:
        """Handles a service whose execution the store does not have. A parked one whose execution was deleted goes at once, since nothing
        can bind it any more. If it names no execution, fastlane did not make it, whatever its labels say."""
        parked = not service.activated and bool(service.execution_id)
        deleted = parked and await self._store.was_deleted(service.execution_id)
        if not deleted and self._clock.now() - service.created_at <= UNKNOWN_AFTER:
            return
        if not parked:
            log.error("service.unknown", host=host, service_id=service.id, execution_id=service.execution_id)
        else:
            log.info("service.leftover_removed", host=host, service_id=service.id, execution_id=service.execution_id)
            await self._remove(host, service)


def is_leftover(row: Execution, service: EngineService) -> bool:
    """Whether a service of this execution will never be activated, or is no longer needed."""
    if row.service_id is not None and row.service_id != service.id:
        return True
    return row.status.final and row.settled
