"""What this worker has been lent by the queue, and the loop that keeps it: renewals, and the hints of a stop.

A lease is a courtesy, not a lock: what makes a late owner harmless is the epoch in the store. So when the queue cannot be
reached, the work goes on; when the queue says that a lease is lost, the work on it ends at once.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine

import structlog

from fastlane.clock import Clock
from fastlane.errors import QueueDown
from fastlane.models.note import Note
from fastlane.queue.base import Lease, Queue, Renewal

log = structlog.get_logger()

MOST_REMEMBERED = 500
"""Notes of what was given back."""
GRACE = 5_000
"""Milliseconds for which such a note outlives the back-off: somebody is to claim the entry then, and to find out anew."""


class Assignment:
    """One entry that this worker has now. ``stop`` is set when a stop of it was hinted at; ``epoch`` once its execution is this
    worker's in the store too; ``followed`` once it was watched, so that some of its log may be stored; ``placed_on`` a host from the
    choice of it until it has a service there; ``note`` tells what stands in its way, asked for when a report is made."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.stop = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.epoch: int | None = None
        self.followed = False
        self.placed_on: str | None = None
        self.note: Callable[[], Note | None] = lambda: None
        if lease.stop:
            self.stop.set()

    @property
    def id(self) -> str:
        """The id of the job or execution."""
        return self.lease.id

    def keep(self, note: Note | None) -> None:
        """This stands in its way from now on; None: nothing."""
        self.note = lambda: note


class Leases:
    """The charges of one worker. ``duration`` and ``every`` in seconds."""

    def __init__(self, queue: Queue, clock: Clock, owner: str, *, duration: float, every: float) -> None:
        self.owner = owner
        self.generation = ""
        self._queue = queue
        self._clock = clock
        self._duration = round(duration * 1000)
        self._every = every
        self._charges: dict[str, Assignment] = {}
        self.placed: Counter[str] = Counter()
        """How many charges are placed on each host that no host can know of yet."""
        self._given_back: dict[str, tuple[Note, int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._doubts: list[tuple[str, asyncio.Future[bool], asyncio.Task[None] | None]] = []

    def __len__(self) -> int:
        return len(self._charges)

    @property
    def duration(self) -> int:
        """How long a lease lasts unless renewed, in milliseconds."""
        return self._duration

    def notes(self) -> list[Note | None]:
        """What stands in the way of each charge, and of those that were given back until later."""
        now = self._clock.now()
        self._given_back = {id: (note, until) for id, (note, until) in self._given_back.items() if now < until}
        return [charge.note() for charge in self._charges.values()] + [note for note, _ in self._given_back.values()]

    def remember(self, charge: Assignment, until: int) -> None:
        """Keeps the note of a charge that was given back until this moment (milliseconds): nobody else could tell why it waits."""
        note = charge.note()
        if note is not None and len(self._given_back) < MOST_REMEMBERED:
            self._given_back[charge.id] = (note, until + GRACE)

    def take(self, charge: Assignment, work: Coroutine[None, None, None]) -> None:
        """Makes a charge this worker's and works on it, until the work ends or the lease is lost."""
        self._given_back.pop(charge.id, None)
        old = self._charges.get(charge.id)
        if old is not None:
            self._drop(old)
        self._charges[charge.id] = charge
        charge.task = self._start(work, f"charge {charge.id}")
        charge.task.add_done_callback(lambda _: self.let_go(charge))

    def let_go(self, charge: Assignment) -> None:
        """It is settled, and no longer in the queue: nothing to renew. Work on it (cleaning) may go on."""
        if self._charges.get(charge.id) is charge:
            self.place(charge, None)
            del self._charges[charge.id]

    def place(self, charge: Assignment, host: str | None) -> None:
        """A host was chosen for it; None: it has its service there, and the host knows."""
        if self._charges.get(charge.id) is not charge:
            return
        if charge.placed_on is not None:
            self.placed[charge.placed_on] -= 1
        if host is not None:
            self.placed[host] += 1
        charge.placed_on = host

    def hint_stop(self, id: str) -> None:
        """A stop of this entry was asked for, says the queue."""
        charge = self._charges.get(id)
        if charge is not None:
            charge.stop.set()

    async def confirm(self, charge: Assignment) -> bool:
        """Whether it is still this worker's by the queue's word, asked now: just before something cannot be taken back. What is asked in
        one turn of the loop is one call. Who asks about its own charge is told that it is lost, and not cancelled."""
        answer = asyncio.get_running_loop().create_future()
        self._doubts.append((charge.id, answer, asyncio.current_task()))
        if len(self._doubts) == 1:
            self._start(self._confirm(), "confirmation")
        held: bool = await answer
        return held

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

    async def _renew(self, ids: list[str], spared: Collection[asyncio.Task[None] | None] = ()) -> dict[str, Renewal]:
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
                self._drop(charge, spared)
        return answers

    async def _confirm(self) -> None:
        doubts, self._doubts = self._doubts, []
        answers: dict[str, Renewal] | None = None
        failure = "the worker ends"
        try:
            answers = await self._renew([id for id, _, _ in doubts], {asker for _, _, asker in doubts})
        except QueueDown as error:
            failure = str(error)
        finally:
            for id, answer, _ in doubts:
                if answer.done():
                    continue
                if answers is None:
                    answer.set_exception(QueueDown(failure))
                else:
                    answer.set_result(answers[id] is not Renewal.LOST)

    def _start(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _drop(self, charge: Assignment, spared: Collection[asyncio.Task[None] | None] = ()) -> None:
        self.let_go(charge)
        if charge.task is not None and charge.task not in spared:
            charge.task.cancel()
