"""A worker's leases in their tests: a queue that lends, work that goes on until it is let, and renewals by a clock that the test moves."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import cast

from fastlane.errors import QueueDown
from fastlane.queue.port import EntryKind, Lease, Renewal, TimedQueue
from fastlane.scheduler.leases import Assignment, Leases
from tests.support.clock import FakeClock, settle

DURATION, EVERY = 15.0, 5.0
MAX = 10


class Lender:
    """The part of a queue that leases use. ``answers`` by id (OK for others); ``down`` refuses every call."""

    def __init__(self) -> None:
        self.answers: dict[str, Renewal] = {}
        self.down = False
        self.renewed: list[list[str]] = []
        self.released: list[list[str]] = []
        self.said: set[tuple[str, ...]] = set()
        self.answer = asyncio.Event()
        self.answer.set()

    async def renew(self, generation: str, owner: str, ids: Sequence[str], *, lease: int) -> Mapping[str, Renewal]:
        self._called(list(ids), self.renewed)
        self.said.add((generation, owner, str(lease)))
        answers = {id: self.answers.get(id, Renewal.OK) for id in ids}
        await self.answer.wait()
        return answers

    async def release(self, owner: str, ids: Sequence[str]) -> None:
        assert owner == "w1"
        self._called(list(ids), self.released)

    def _called(self, ids: list[str], calls: list[list[str]]) -> None:
        if self.down:
            raise QueueDown("away")
        calls.append(ids)


class Work:
    """What is done about one assignment: it goes on until it is let, or cancelled."""

    def __init__(self) -> None:
        self.begun = False
        self.cancelled = False
        self.done = asyncio.Event()

    async def run(self) -> None:
        self.begun = True
        try:
            await self.done.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


class Bench:
    """Leases of a worker ``w1`` in generation 7, whose renewals run by a clock that the test moves."""

    def __init__(self) -> None:
        self.queue = Lender()
        self.clock = FakeClock()
        self.leases = Leases(cast(TimedQueue, self.queue), self.clock, "w1", duration=DURATION, every=EVERY, max_executions=MAX)
        self.leases.enter_generation("7")
        self._run: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Bench":
        self._run = asyncio.create_task(self.leases.run())
        await settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._run is not None
        self._run.cancel()
        await asyncio.gather(self._run, return_exceptions=True)
        self.queue.answer.set()
        await self.leases.close()

    @property
    def held(self) -> int:
        """How many executions it holds."""
        return MAX - self.leases.room.executions

    async def take(self, id: str, *, stop: bool = False) -> tuple[Assignment, Work]:
        assignment, work = Assignment(Lease(id, EntryKind.EXECUTION, "default", 0, stop=stop)), Work()
        self.leases.hold(assignment, work.run())
        await settle()
        assert work.begun
        return assignment, work
