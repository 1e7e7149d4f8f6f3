"""Claims due entries from the queue, and starts the work on them.

It does not poll: it sleeps until the moment that its last claim named, or a wake-up, or for two seconds. A worker goes by Redis's time.
While its clock is over two seconds away from that (it has not heard the time from Redis yet), it claims nothing.

Entries that need no slot are claimed a little ahead, many at once, and work on them begins when they are due, without another call to Redis
in between.
"""

import asyncio
import math
import random
from collections.abc import Callable, Coroutine

import structlog

from fastlane.clock import Clock, corrected, first_of
from fastlane.errors import TransientError
from fastlane.queue.port import Claim
from fastlane.scheduler.known_workers import WorkerHosts
from fastlane.scheduler.leases import Assignment, Leases, PoolSlots, claim_request
from fastlane.scheduler.ports import Ports
from fastlane.scheduler.rebuilder import Rebuilder

KEPT = 1.0
"""Seconds after which another answer may be the best one; an answer is forgotten after twice this time, since a clock may be set."""


class QueueTime:
    """Keeps the queue's time between its answers. It counts by ``clock``, which may show anything."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = -math.inf
        self._best = self._best_before = -math.inf

    def heard(self, now: int, micros: int) -> None:
        """Records an answer that has just come: the queue's time in milliseconds, and the microseconds."""
        here = self._clock.elapsed()
        ahead = now / 1_000 + micros / 1_000_000 - here
        if here < self._since + KEPT:
            self._best = max(self._best, ahead)
            return
        self._best_before = self._best if here < self._since + 2 * KEPT else -math.inf
        self._since, self._best = here, ahead

    def until(self, moment: int) -> float:
        """Seconds until that moment of the queue's time (milliseconds), in whole microseconds, since what is less is an error of floating
        point; at most 0 when it is over. Only after an answer."""
        return round(moment / 1_000 - max(self._best, self._best_before) - self._clock.elapsed(), 6)


log = structlog.get_logger()

MAX_SLEEP = 2.0
AHEAD = 20
"""Milliseconds. If the worker dies, the entries that it claimed ahead wait for the end of their leases; so this is short."""
MAX_SKEW = 2000
"""Milliseconds by which the clock that a worker goes by may differ from Redis's."""

Run = Callable[[Assignment, int], Coroutine[None, None, None]]
"""Does all the work on an assignment; the number is the queue's time at its claim."""


class Dispatcher:
    """The claim loop of one worker. ``run`` works on what it claims. It calls ``on_rebuilt`` when it finds a rebuilt queue, which knows no
    worker yet. It only measures the clock of the ``machine``."""

    def __init__(
        self,
        ports: Ports,
        hosts: WorkerHosts,
        leases: Leases,
        rebuilder: Rebuilder,
        run: Run,
        on_rebuilt: Callable[[], None] = lambda: None,
        machine: Clock | None = None,
    ) -> None:
        self._queue = ports.queue
        self._clock = ports.clock
        self._pools = ports.pools
        self._machine = machine or ports.clock
        self._hosts = hosts
        self._leases = leases
        self._rebuilder = rebuilder
        self._run = run
        self._on_rebuilt = on_rebuilt
        self._slots = PoolSlots()
        self._wake = asyncio.Event()
        self._unaligned = False
        self._off = 0
        self._skew: int | None = None
        self._time = QueueTime(ports.clock)

    @property
    def clock_skew(self) -> int | None:
        """How far the machine's clock is ahead of the queue's, in milliseconds, by the last claim; None before the first."""
        return self._skew

    def wake(self) -> None:
        """Claims again soon: something may have become claimable."""
        self._wake.set()

    async def run(self) -> None:
        """Claims entries, forever."""
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
        """Claims once, and returns the seconds to wait after that."""
        if self._leases.rest:
            return self._leases.rest
        generation = await self._rebuilder.ensure()
        if self._leases.enter_generation(generation):
            self._on_rebuilt()
        request = claim_request(self._pools, self._hosts.views(), self._leases.room, self._slots)
        count = 0 if self._unaligned else request.count
        before, shown = self._clock.now(), self._machine.now()
        claim = await self._queue.claim(
            self._leases.generation,
            self._leases.owner,
            request.lanes,
            count,
            lease=self._leases.duration,
            watch=request.watch,
            ahead=AHEAD,
        )
        if claim.cold:
            self._rebuilder.doubt()
            return 0.0
        self._time.heard(claim.now, claim.micros)
        self._skew = _ahead(self._skew or 0, claim.now, shown, self._machine.now())
        self._off = _ahead(self._off, claim.now, before, self._clock.now())
        if await self._is_unaligned(claim):
            return MAX_SLEEP
        for lease in claim.leases:
            assignment = Assignment(lease)
            work = self._run(assignment, claim.now) if lease.due is None else self._run_when_due(assignment, lease.due)
            self._leases.hold(assignment, work)
        if count == 0:
            return MAX_SLEEP
        if len(claim.leases) >= count:
            return 0.0
        return MAX_SLEEP if claim.wait is None else min(MAX_SLEEP, claim.wait)

    async def _run_when_due(self, assignment: Assignment, due: int) -> None:
        while (wait := self._time.until(due)) > 0:
            await self._clock.sleep(wait)  # uvloop rounds to milliseconds, so this may return too early
        await self._run(assignment, due)

    async def _is_unaligned(self, claim: Claim) -> bool:
        if self._unaligned != (abs(self._off) > MAX_SKEW):
            self._unaligned = not self._unaligned
            log.warning("dispatcher.clock_unaligned" if self._unaligned else "dispatcher.clock_aligned", milliseconds=self._off)
        if self._unaligned and claim.leases:
            await self._queue.release(self._leases.owner, [lease.id for lease in claim.leases])
        return self._unaligned


def _ahead(known: int, queue_time: int, before: int, after: int) -> int:
    """How far a clock that showed ``before`` and ``after`` around an answer is ahead of the queue's; ``known``: the estimate until now."""
    return -corrected(-known, queue_time, before, after)
