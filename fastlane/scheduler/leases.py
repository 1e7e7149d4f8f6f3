"""What this worker has been lent by the queue, and the loop that keeps it: renewals, and the hints of a stop.

A lease is a courtesy, not a lock: what makes a late owner harmless is the epoch in the store. So when the queue cannot be
reached, the work goes on; when the queue says that a lease is lost, the work on it ends at once.
"""

import asyncio
from collections.abc import Coroutine

import structlog

from fastlane.clock import Clock
from fastlane.errors import QueueDown
from fastlane.queue.base import Lease, Queue, Renewal

log = structlog.get_logger()


class Charge:
    """One entry that this worker has now. ``stop`` is set when a stop of it was hinted at; ``epoch`` once its execution is this
    worker's in the store too."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.stop = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.epoch: int | None = None
        if lease.stop:
            self.stop.set()

    @property
    def id(self) -> str:
        """The id of the job or execution."""
        return self.lease.id


class Leases:
    """The charges of one worker. ``duration`` and ``every`` in seconds."""

    def __init__(self, queue: Queue, clock: Clock, owner: str, *, duration: float, every: float) -> None:
        self.owner = owner
        self.generation = ""
        self._queue = queue
        self._clock = clock
        self._duration = round(duration * 1000)
        self._every = every
        self._charges: dict[str, Charge] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._charges)

    @property
    def duration(self) -> int:
        """How long a lease lasts unless renewed, in milliseconds."""
        return self._duration

    def take(self, charge: Charge, work: Coroutine[None, None, None]) -> None:
        """Makes a charge this worker's and works on it, until the work ends or the lease is lost."""
        old = self._charges.get(charge.id)
        if old is not None:
            self._drop(old)
        self._charges[charge.id] = charge
        charge.task = asyncio.create_task(work, name=f"charge {charge.id}")
        self._tasks.add(charge.task)
        charge.task.add_done_callback(lambda task: self._ended(charge, task))

    def let_go(self, charge: Charge) -> None:
        """It is settled, and no longer in the queue: nothing to renew. Work on it (cleaning) may go on."""
        if self._charges.get(charge.id) is charge:
            del self._charges[charge.id]

    def hint_stop(self, id: str) -> None:
        """A stop of this entry was asked for, says the queue."""
        charge = self._charges.get(id)
        if charge is not None:
            charge.stop.set()

    async def confirm(self, charge: Charge) -> bool:
        """Whether it is still this worker's by the queue's word, asked now: just before something cannot be taken back."""
        return (await self._renew([charge.id]))[charge.id] is not Renewal.LOST

    async def run(self) -> None:
        """Renews all that is held, for ever."""
        while True:
            await self._clock.sleep(self._every)
            try:
                await self._renew(list(self._charges))
            except QueueDown as error:
                log.warning("leases.not_renewed", held=len(self._charges), error=str(error))

    async def close(self) -> None:
        """Ends the work on every charge, and hands all of them to whoever claims next."""
        charges = list(self._charges.values())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if charges:
            try:
                await self._queue.release(self.owner, [charge.id for charge in charges])
            except QueueDown as error:
                log.warning("leases.not_released", held=len(charges), error=str(error))

    async def _renew(self, ids: list[str]) -> dict[str, Renewal]:
        answers: dict[str, Renewal] = {}
        asked = {id: self._charges.get(id) for id in ids}
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            answers.update(await self._queue.renew(self.generation, self.owner, some, lease=self._duration))
        for id, answer in answers.items():
            charge = self._charges.get(id)
            if charge is not None and answer is Renewal.STOP:
                charge.stop.set()
            elif charge is not None and charge is asked.get(id) and answer is Renewal.LOST:
                log.info("lease.lost", id=id)
                self._drop(charge)
        return answers

    def _drop(self, charge: Charge) -> None:
        self.let_go(charge)
        if charge.task is not None and charge.task is not asyncio.current_task():
            charge.task.cancel()

    def _ended(self, charge: Charge, task: asyncio.Task[None]) -> None:
        self.let_go(charge)
        self._tasks.discard(task)
