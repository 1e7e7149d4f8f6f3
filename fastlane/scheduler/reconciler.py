"""Repairs what a crash or a lost write left behind: entries missing from the queue, stops that did not reach it, final rows that are not
settled, services that are not removed.

It reads the store and the hosts in regular rounds, a page at a time, and repeats steps that are safe to repeat. Nothing else waits for it.
Work that needs no host has rounds of its own, and hosts get theirs side by side, so a host that is away delays only its own cleaning.

One worker does for all what any of them could do. Each round looks at what has changed lately, is due soon or may run; a slow walk looks at
everything that waits, at most once an hour.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from fastlane.clock import end_if_cancelled, unless_cancelled
from fastlane.errors import StoreDown, TransientError
from fastlane.metrics import Repair, StorePart
from fastlane.models.job import Execution
from fastlane.models.status import STARTING, UNDER_WAY, Status
from fastlane.queue.port import Entry, execution_entry, job_entry, slotless_entry
from fastlane.scheduler.cleaner import Cleaner, Leftovers
from fastlane.scheduler.ports import Ports
from fastlane.scheduler.pruner import Pruner
from fastlane.scheduler.rebuilder import Rebuilder

log = structlog.get_logger()

PAGE = 500
SOON = 120_000
"""Each round puts into the queue what is due within this time (milliseconds)."""
LATELY = 120_000
"""The first round of a worker looks back as far as this (milliseconds), and each further one to the round before."""
OVERLAP = 10_000
"""Milliseconds by which rounds overlap: until then, what was written has been put into the queue, or its writer has ended."""
WHOLE_EVERY = 3_600.0
"""Seconds between the beginnings of two walks through everything that waits."""
REST, LONGEST_REST = 99, 1.5
"""The walk rests after each page: this many times as long as the page took, and at most that many seconds. A walk through 1,000,000
executions takes less than an hour."""
FOREVER = 1 << 60

WAITING = UNDER_WAY - STARTING

Part = Callable[[], Awaitable[None]]


class Reconciler:
    """The rounds of one worker. It does the work of all workers while it ``is_chosen``. ``every`` in seconds."""

    def __init__(
        self,
        ports: Ports,
        cleaner: Cleaner,
        leftovers: Leftovers,
        rebuilder: Rebuilder,
        pruner: Pruner,
        is_chosen: Callable[[], Awaitable[bool]],
        every: float,
    ) -> None:
        self._store = ports.store
        self._queue = ports.queue
        self._clock = ports.clock
        self._pools = ports.pools
        self._metrics = ports.metrics
        self._stopper = ports.stopper()
        self._cleaner = cleaner
        self._leftovers = leftovers
        self._rebuilder = rebuilder
        self._pruner = pruner
        self._is_chosen = is_chosen
        self._every = every
        self._seen_up_to: int | None = None
        self._walked_up_to: tuple[int, str] | None = None
        self._pruned_up_to = self._shown_up_to = ""

    async def run(self) -> None:
        """Makes a round at each interval, forever. A failing part of a round does not stop the others."""
        async with asyncio.TaskGroup() as loops:
            shared = (self._rebuilder.audit, self.pause, self.requeue, self.stop, self.settle, self.show, self.prune_logs)
            loops.create_task(self._rounds(*shared, shared=True))
            loops.create_task(self._rounds(self.requeue_all, shared=True))
            loops.create_task(self._rounds(self._cleaner.clean, self._leftovers.remove_leftovers))
            loops.create_task(self._rounds(self._pruner.prune))

    async def _rounds(self, *parts: Part, shared: bool = False) -> None:
        """Makes rounds of these parts; ``shared``: only while this worker does them for all."""
        while True:
            await self._clock.sleep(self._every)
            for part in parts:
                try:
                    if not shared or await self._is_chosen():
                        await part()
                except TransientError as error:
                    if isinstance(error, StoreDown):
                        self._metrics.store_failed(StorePart.ROUNDS)
                    log.warning("reconciler.waiting", part=part.__name__, error=str(error))
                except Exception:
                    log.exception("reconciler.failed", part=part.__name__)
                end_if_cancelled()

    async def pause(self) -> None:
        """Passes the paused pools to the queue, in case the process that paused one ended before it did."""
        await self._queue.pause(await self._store.paused_pools())

    async def requeue(self) -> None:
        """Puts the entries of executions that may have a service, and of executions and jobs that are due since the last round or soon; an
        existing entry stays as it is."""
        now = self._clock.now()
        since = now - LATELY if self._seen_up_to is None else min(self._seen_up_to, now)
        await self._put_executions(STARTING, None, FOREVER)
        await self._put_executions(WAITING, (since, ""), now + SOON)
        after: tuple[int, str] | None = None
        while jobs := await self._store.jobs_due(now + SOON, PAGE, after):
            await self._put([job_entry(job) for job in jobs], Repair.ENTRY)
            after = (jobs[-1].next_tick or 0, jobs[-1].id)
        self._seen_up_to = now - OVERLAP

    async def _put_executions(self, statuses: frozenset[Status], after: tuple[int, str] | None, before: int) -> None:
        while page := await self._store.executions_in(statuses, PAGE, after):
            await self._put([execution_entry(one, self._pools) for one in page if one.scheduled_for <= before], Repair.ENTRY)
            after = (page[-1].scheduled_for, page[-1].id)
            if page[-1].scheduled_for > before:
                return
            await asyncio.sleep(0)

    async def requeue_all(self) -> None:
        """Puts the entries of all executions that wait, slowly, and returns when the next such walk is due. After a failure the next call
        goes on where this one was."""
        started = self._clock.elapsed()
        while True:
            began = self._clock.elapsed()
            page = await self._store.executions_in(WAITING, PAGE, self._walked_up_to)
            await self._put([execution_entry(one, self._pools) for one in page], Repair.ENTRY)
            if len(page) < PAGE:
                break
            self._walked_up_to = (page[-1].scheduled_for, page[-1].id)
            await self._clock.sleep(min(LONGEST_REST, REST * (self._clock.elapsed() - began)))
        self._walked_up_to = None
        await self._clock.sleep(max(0.0, WHOLE_EVERY - (self._clock.elapsed() - started)))

    async def stop(self) -> None:
        """Passes a job's stop on to the executions that it covers, and an execution's stop to the queue, in case the process that stopped
        it ended before, or the queue was down. (An enqueued execution finds its stop when it is claimed.)"""
        after: tuple[int, str] | None = None
        while page := await self._store.executions_in(STARTING, PAGE, after):
            unflagged = [execution for execution in page if execution.stop_requested_at is None]
            jobs = await unless_cancelled(asyncio.gather(*(self._store.job_bounds(execution.job_id) for execution in unflagged)))
            for execution, job in zip(unflagged, jobs, strict=True):
                if job is not None and job.stops(execution.sequence):
                    await self._stop(execution)
            for execution in page:
                if execution.stop_requested_at is not None and execution.service_id is None:
                    await self._stopper.pass_on(execution)
            after = (page[-1].scheduled_for, page[-1].id)

    async def _stop(self, execution: Execution) -> None:
        """Stops an execution that its job's stop covers."""
        if (flagged := await self._stopper.mark(execution)) is not None:
            log.info("execution.stop_passed_on", task_id=execution.task_id, job_id=execution.job_id, execution_id=execution.id)
            self._metrics.repaired(Repair.STOP, 1)
            await self._stopper.pass_on(flagged)

    async def settle(self) -> None:
        """Puts entries of final rows that are not settled into the lane without a limit, so that a worker settles them. Some cannot be
        settled, while their job cannot be read, and must not hide the others."""
        now = self._clock.now()
        after: tuple[int, str] | None = None
        while page := await self._store.unsettled(PAGE, after):
            await self._put([slotless_entry(row, due=now) for row in page], Repair.SETTLEMENT)
            after = (page[-1].finished_at or 0, page[-1].id)

    async def _put(self, entries: Sequence[Entry], kind: Repair) -> None:
        self._metrics.repaired(kind, await self._queue.put(entries))

    async def show(self) -> None:
        """Corrects the statuses under which jobs are listed: in each round, for a page of all jobs, and for jobs whose status a crash or
        the passing of time may have changed."""
        walk = await self._store.walk_statuses(self._clock.now(), self._shown_up_to, PAGE)
        self._shown_up_to = walk.after or ""
        if walk.repaired:
            log.info("store.statuses_repaired", count=walk.repaired)

    async def prune_logs(self) -> None:
        """Removes logs that a process stored after their execution was deleted: a page in each round, over and over."""
        self._pruned_up_to = await self._store.prune_logs(self._pruned_up_to, PAGE) or ""
