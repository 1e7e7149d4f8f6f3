"""Claims what is due and works on it: the loop that never polls, and the steps of one execution from its claim to its cleaning.

It sleeps until the moment that its last claim named, a wake-up, or two seconds. A worker whose clock is off from Redis's by over two
seconds says so and claims nothing.
"""

import asyncio
import random
from collections.abc import Callable

import structlog

from fastlane.clock import Clock, first_of
from fastlane.errors import RegistryDown, TransientError
from fastlane.executors.base import Executor
from fastlane.models import transitions
from fastlane.models.execution import Execution
from fastlane.models.placement.pool import Pool
from fastlane.models.status import STARTING, Status
from fastlane.queue.base import TICKS, Claim, EntryKind, Lane, Queue
from fastlane.scheduler import notes
from fastlane.scheduler.launcher import Launcher
from fastlane.scheduler.leases import Assignment, Leases
from fastlane.scheduler.repair.rebuilder import Rebuilder
from fastlane.scheduler.settler import Settler
from fastlane.scheduler.timer import Timer
from fastlane.scheduler.watch.watcher import Watcher
from fastlane.storage.base import Store

log = structlog.get_logger()

BATCH = 64
MOST_CHARGES = 2000
LONGEST_SLEEP = 2.0
MOST_SKEW = 2000
"""Milliseconds by which a worker's clock may differ from Redis's."""


def lanes_of(pools: tuple[Pool, ...], usable: frozenset[str]) -> list[Lane]:
    """The lanes to ask for work: the one of ticks, and each pool's that has a usable host."""
    lanes = [Lane(pool.name, pool.max_running) for pool in pools if usable.intersection(pool.hosts)]
    return [Lane(TICKS, None), *lanes]


class Dispatcher:
    """The claim loop of one worker. ``on_rebuilt`` is called when it met a queue that was built anew, which knows no worker yet."""

    def __init__(
        self,
        queue: Queue,
        executor: Executor,
        clock: Clock,
        leases: Leases,
        pools: tuple[Pool, ...],
        rebuilder: Rebuilder,
        steps: "Steps",
        on_rebuilt: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._executor = executor
        self._clock = clock
        self._leases = leases
        self._pools = pools
        self._rebuilder = rebuilder
        self._steps = steps
        self._on_rebuilt = on_rebuilt
        self._wake = asyncio.Event()
        self._skewed = False

    def wake(self) -> None:
        """Something may have become claimable."""
        self._wake.set()

    async def run(self) -> None:
        """Claims and works, for ever."""
        while True:
            self._wake.clear()
            try:
                wait = await self._round()
            except TransientError as error:
                log.warning("dispatcher.waiting", error=str(error))
                wait = 0.5 + random.random() / 2
            if wait > 0:
                await first_of(self._clock, wait, self._wake)

    async def _round(self) -> float:
        """One claim; the seconds to wait after it."""
        generation = await self._rebuilder.ensure()
        if generation != self._leases.generation:
            self._leases.generation = generation
            self._on_rebuilt()
        usable = frozenset(view.name for view in self._executor.hosts() if view.usable)
        count = 0 if self._skewed else max(0, min(BATCH, MOST_CHARGES - len(self._leases)))
        lanes = lanes_of(self._pools, usable)
        shut = [pool.name for pool in self._pools if pool.name not in {lane.name for lane in lanes}]
        claim = await self._queue.claim(self._leases.generation, self._leases.owner, lanes, count, lease=self._leases.duration, watch=shut)
        if claim.cold:
            self._rebuilder.doubt()
            return 0.0
        if await self._too_skewed(claim):
            return LONGEST_SLEEP
        for lease in claim.leases:
            charge = Assignment(lease)
            self._leases.take(charge, self._steps.work(charge, claim.now))
        if count == 0:
            return LONGEST_SLEEP
        if len(claim.leases) >= count:
            return 0.0
        return LONGEST_SLEEP if claim.wait is None else min(LONGEST_SLEEP, claim.wait)

    async def _too_skewed(self, claim: Claim) -> bool:
        skew = self._clock.now() - claim.now
        if self._skewed != (abs(skew) > MOST_SKEW):
            self._skewed = not self._skewed
            log.warning("clock.skewed" if self._skewed else "clock.right_again", milliseconds=skew)
        if self._skewed and claim.leases:
            await self._queue.release(self._leases.owner, [lease.id for lease in claim.leases])
        return self._skewed


class Steps:
    """The steps of one charge, from wherever its row stands to its end."""

    def __init__(
        self, store: Store, queue: Queue, clock: Clock, leases: Leases, timer: Timer, launcher: Launcher, watcher: Watcher, settler: Settler
    ) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._leases = leases
        self._timer = timer
        self._launcher = launcher
        self._watcher = watcher
        self._settler = settler

    async def work(self, charge: Assignment, now: int) -> None:
        """All there is to do about a charge; what may succeed later is tried again, from the row as it is then."""
        pause, said = 0.1, ""
        while True:
            try:
                if charge.lease.kind is EntryKind.JOB:
                    await self._timer.handle(charge.lease, now)
                else:
                    await self._execution(charge)
                return
            except TransientError as error:
                if said != str(error):  # once for each reason: an outage of an hour would else fill a disk
                    said = str(error)
                    log.warning("charge.waiting", id=charge.id, error=said)
            except Exception:
                log.exception("charge.failed", id=charge.id)
                charge.keep(notes.of_fault(charge.id, charge.epoch, charge.note(), self._clock.now()))
                pause = 5.0
            await self._clock.sleep(pause * (0.5 + random.random() / 2))
            pause = min(pause * 2, 5.0)

    async def _execution(self, charge: Assignment) -> None:
        execution = await self._store.execution(charge.id)
        if execution is None:
            await self._queue.finish({charge.id: charge.lease.revision})
            return
        if execution.status in STARTING and charge.epoch is None:
            taken = await self._store.change(transitions.take_over(execution))
            if taken is not None:
                charge.epoch = taken.epoch
                taking = log.info if charge.lease.resume else log.debug
                taking("execution.taken_over", execution_id=taken.id, epoch=taken.epoch)
            execution = taken or await self._store.execution(charge.id)
        while execution is not None and not execution.status.final:
            if execution.status in STARTING and execution.epoch != charge.epoch:
                return
            execution = await self._noted(charge, execution)
        if execution is not None:
            settled = await self._settler.settle(execution)
            self._leases.let_go(charge)
            await self._settler.clean(settled)

    async def _noted(self, charge: Assignment, execution: Execution) -> Execution | None:
        """A step; what is to be tried again is noted."""
        try:
            after = await self._step(charge, execution)
        except TransientError as error:
            charge.keep(notes.of_error(error, execution, charge.note(), self._clock.now(), self._launcher.limits))
            if not isinstance(error, RegistryDown) or charge.stop.is_set():
                raise
            await self._launcher.give_back(charge, execution, error)
            return None
        charge.keep(None)
        return after

    async def _step(self, charge: Assignment, execution: Execution) -> Execution | None:
        if execution.status is Status.ENQUEUED:
            return await self._launcher.take(charge, execution)
        if execution.service_id is None:
            return await self._launcher.bind(charge, execution)
        if not await self._launcher.activate(charge, execution):
            return None
        return await self._watcher.follow(charge, execution)
