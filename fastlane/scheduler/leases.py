"""The assignments of this worker: it renews their leases, passes hints of stops on to them, and hands them over when it ends.

A lease does not protect anything: the epoch in the store makes a late owner harmless. So while the queue cannot be reached, the work
goes on; when the queue says that a lease is lost, the work on it ends at once.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping

import structlog

from fastlane.clock import Clock
from fastlane.errors import QueueDown
from fastlane.models.event import Note
from fastlane.queue.port import Renewal, TimedQueue
from fastlane.scheduler.assignment import MAX_EXECUTIONS, MAX_SHORT_WORK, MAX_TICKS, Assignment, Room, Work

log = structlog.get_logger()

RENEWED_AT_ONCE = 500
"""Leases in one call of the queue."""
MAX_KEPT_NOTES = 500
"""Notes kept of assignments that were put back into the queue."""
GRACE = 5_000
"""Milliseconds for which such a note outlives the back-off, so that a worker has time to claim the entry and make its own note."""
REST = 250
"""Milliseconds in which another worker claims what was handed over."""
FULL_UNTIL = 0.9
"""The share of its executions below which a worker that was full no longer counts as that."""


class Leases:
    """The assignments of one worker. ``duration`` and ``every`` in seconds; ``max_executions``: how many it holds before it starts no
    more."""

    def __init__(
        self, queue: TimedQueue, clock: Clock, owner: str, *, duration: float, every: float, max_executions: int = MAX_EXECUTIONS
    ) -> None:
        self.owner = owner
        self._generation = ""
        self._queue = queue
        self._clock = clock
        self._duration = round(duration * 1000)
        self._every = every
        self._assignments: dict[str, Assignment] = {}
        self._held: Counter[Work] = Counter()
        self._max_executions = max_executions
        self._is_full = False
        self._on_room: Callable[[], None] = lambda: None
        self._placed: Counter[str] = Counter()
        self._kept_notes: dict[str, tuple[Note, int, int]] = {}
        self._rests_until = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._unconfirmed: list[tuple[str, asyncio.Future[bool], asyncio.Task[None] | None]] = []

    @property
    def room(self) -> Room:
        """How much more this worker takes."""
        held = self._held
        return Room(self._max_executions - held[Work.EXECUTION], MAX_SHORT_WORK - held[Work.SHORT_WORK], MAX_TICKS - held[Work.TICK])

    def subscribe(self, on_room: Callable[[], None]) -> None:
        """Calls ``on_room`` when there is room again for what there was none."""
        self._on_room = on_room

    @property
    def duration(self) -> int:
        """How long a lease lasts unless renewed, in milliseconds."""
        return self._duration

    @property
    def generation(self) -> str:
        """The queue's generation in which this worker claims and renews."""
        return self._generation

    def enter_generation(self, generation: str) -> bool:
        """Claims and renews in this generation from now on; whether it is another one than before."""
        changed, self._generation = generation != self._generation, generation
        return changed

    def notes(self) -> list[Note | None]:
        """What delays each assignment, and each of those that were put back into the queue until later."""
        now = self._clock.now()
        self._kept_notes = {id: kept for id, kept in self._kept_notes.items() if kept[1] <= now < kept[2]}
        return [assignment.note for assignment in self._assignments.values()] + [note for note, _, _ in self._kept_notes.values()]

    def keep_note(self, assignment: Assignment, until: int) -> None:
        """Keeps the note of an assignment that was put back until this moment (milliseconds): no other worker knows why it waits."""
        note = assignment.note
        if note is not None and len(self._kept_notes) < MAX_KEPT_NOTES:
            self._kept_notes[assignment.id] = (note, self._clock.now(), until + GRACE)

    def hold(self, assignment: Assignment, work: Coroutine[None, None, None]) -> None:
        """Renews the assignment and works on it, until the work ends or the lease is lost."""
        self._kept_notes.pop(assignment.id, None)
        old = self._assignments.get(assignment.id)
        if old is not None:
            self._lose(old)
        self._assignments[assignment.id] = assignment
        self._count(assignment, 1)
        task = self._start(work, f"assignment {assignment.id}")
        assignment.start(task)
        task.add_done_callback(lambda _: self.forget(assignment))

    def forget(self, assignment: Assignment) -> None:
        """Renews it no more: its entry has left the queue. Work on it (cleaning) may go on."""
        if self._assignments.get(assignment.id) is assignment:
            self.place(assignment, None)
            del self._assignments[assignment.id]
            self._count(assignment, -1)

    def count_as_execution(self, assignment: Assignment) -> None:
        """Counts the assignment as an execution from now on: its service is watched, which may take long, whatever the lease was for."""
        self._recount(assignment, Work.EXECUTION)

    def count_failed_tick(self, assignment: Assignment) -> None:
        """Counts a tick that failed, and is tried again, as short work from now on: it must not hold up the other ticks."""
        if assignment.work is Work.TICK:
            self._recount(assignment, Work.SHORT_WORK)

    def _recount(self, assignment: Assignment, work: Work) -> None:
        if self._assignments.get(assignment.id) is assignment and assignment.work is not work:
            self._count(assignment, -1)
            assignment.count_as(work)
            self._count(assignment, 1)

    async def hand_over(self, assignment: Assignment) -> None:
        """Releases the lease of an assignment that another worker is to have, and lets this worker claim nothing for a moment, or it would
        be the first to claim it again."""
        self._rests_until = self._clock.now() + REST
        try:
            await self._queue.release(self.owner, [assignment.id])
        except QueueDown as error:
            log.warning("leases.not_released", held=1, error=str(error))  # it runs out by itself
        finally:
            self.forget(assignment)

    @property
    def rest(self) -> float:
        """Seconds for which this worker is to claim nothing."""
        left = self._rests_until - self._clock.now()
        return left / 1000 if 0 < left <= REST else 0.0  # longer, once the clock was set back

    def place(self, assignment: Assignment, host: str | None) -> None:
        """Counts the assignment as placed on a host; None: its service is there now, and the host itself counts it."""
        if self._assignments.get(assignment.id) is not assignment:
            return
        if assignment.host is not None:
            self._placed[assignment.host] -= 1
            if not self._placed[assignment.host]:
                del self._placed[assignment.host]
        if host is not None:
            self._placed[host] += 1
        assignment.place_on(host)

    @property
    def placed(self) -> Mapping[str, int]:
        """How many assignments are placed on each host that does not have their services yet."""
        return self._placed

    def hint_stop(self, id: str) -> None:
        """Passes the queue's hint on that a stop of this entry was asked for."""
        assignment = self._assignments.get(id)
        if assignment is not None:
            assignment.request_stop()

    def confirm(self, assignment: Assignment) -> "asyncio.Future[bool]":
        """Whether the queue says now that the lease is this worker's: to be asked just before what cannot be undone. All questions of one
        turn of the event loop are one call. The task that asks is not cancelled when its lease is lost: it gets False."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._unconfirmed.append((assignment.id, answer, asyncio.current_task()))
        if len(self._unconfirmed) == 1:
            self._start(self._confirm(), "confirmation")
        return answer

    async def run(self) -> None:
        """Renews all leases, forever."""
        while True:
            await self._clock.sleep(self._every)
            try:
                await self._renew(list(self._assignments))
            except QueueDown as error:
                log.warning("leases.not_renewed", held=len(self._assignments), error=str(error))

    async def close(self) -> None:
        """Ends the work on every assignment, and then releases all leases, so that other workers can claim the entries at once."""
        assignments = list(self._assignments.values())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if assignments:
            try:
                await self._queue.release(self.owner, [assignment.id for assignment in assignments])
            except QueueDown as error:
                log.warning("leases.not_released", held=len(assignments), error=str(error))

    async def _renew(self, ids: list[str], spared: Collection[asyncio.Task[None] | None] = ()) -> dict[str, Renewal]:
        answers: dict[str, Renewal] = {}
        asked = {id: self._assignments.get(id) for id in ids}
        for start in range(0, len(ids), RENEWED_AT_ONCE):
            some = ids[start : start + RENEWED_AT_ONCE]
            answers.update(await self._queue.renew(self._generation, self.owner, some, lease=self._duration))
        for id, answer in answers.items():
            assignment = self._assignments.get(id)
            if assignment is not None and answer is Renewal.STOP:
                assignment.request_stop()
            elif assignment is not None and assignment is asked.get(id) and answer is Renewal.LOST:
                log.info("lease.lost", id=id)
                self._lose(assignment, spared)
        return answers

    async def _confirm(self) -> None:
        questions, self._unconfirmed = self._unconfirmed, []
        answers: dict[str, Renewal] | None = None
        failure = "the worker ends"
        try:
            answers = await self._renew([id for id, _, _ in questions], {asker for _, _, asker in questions})
        except QueueDown as error:
            failure = str(error)
        finally:
            for id, answer, _ in questions:
                if answer.done():
                    continue
                if answers is None:
                    answer.set_exception(QueueDown(failure))
                    answer.exception()  # whoever asked may have failed meanwhile: nobody need hear of this
                else:
                    answer.set_result(answers[id] is not Renewal.LOST)

    def _count(self, assignment: Assignment, change: int) -> None:
        before = self.room
        self._held[assignment.work] += change
        after = self.room
        if before.executions < 1 <= after.executions or before.short_work < 1 <= after.short_work or before.ticks < 1 <= after.ticks:
            self._on_room()
        executions = self._held[Work.EXECUTION]
        if executions >= self._max_executions and not self._is_full:
            log.warning("worker.full", executions=executions)
        # Logged once, and not at each execution that ends and each that takes its place.
        self._is_full = executions >= self._max_executions * (FULL_UNTIL if self._is_full else 1)

    def _start(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _lose(self, assignment: Assignment, spared: Collection[asyncio.Task[None] | None] = ()) -> None:
        self.forget(assignment)
        assignment.cancel(spared=spared)
