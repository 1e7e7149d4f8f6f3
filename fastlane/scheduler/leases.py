"""The leases of a worker, how much it claims, and its notes about delays. An ``Assignment`` is the worker's knowledge of one entry: its
epoch, its host, a stop request, and the cause of a delay. ``Leases`` renews all leases, passes on hints of stops, and hands the entries
over when the worker ends. ``claim_request`` decides what to claim from the room that is left, and the ``note_of_…`` functions make the
notes for the worker's report.

A lease does not protect anything: the epoch in the store makes a late owner harmless. So the work continues while the queue cannot be
reached; when the queue says that a lease is lost, the work on it ends at once.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import structlog

from fastlane.clock import Clock
from fastlane.errors import FastlaneError, HostDown, NoHost, OrderRefused, QueueDown, RegistryDown, StoreDown
from fastlane.executors.port import EngineTask, Phase
from fastlane.models.event import Note, Obstacle
from fastlane.models.host import HostView
from fastlane.models.job import Execution, JobBounds
from fastlane.models.placement import has_place, slots_of
from fastlane.models.pool import Pool
from fastlane.models.status import Status
from fastlane.queue.port import TICKS, EntryKind, Lane, Lease, Renewal, TimedQueue
from fastlane.scheduler.verdict import Limits, note, registry_deadline, wait_ends

log = structlog.get_logger()

MAX_EXECUTIONS = 2_000
"""Executions that a worker holds before it starts no more."""
MAX_SHORT_WORK = 500
"""Settlements, and ends without a start, that a worker has under way before it claims no more."""
MAX_TICKS = 32
"""Ticks that a worker has under way before it claims no more; one claim may go beyond that."""
BATCH = 64
"""The most entries of one claim."""


class Work(StrEnum):
    """The purposes of a lease."""

    EXECUTION = "execution"
    SHORT_WORK = "short work"
    TICK = "tick"


def work_of(lease: Lease) -> Work:
    """The purpose of this lease. An execution that is taken over may continue to run, whatever its lane."""
    if lease.kind is EntryKind.JOB:
        return Work.TICK
    is_short = lease.expired or (lease.lane == TICKS and not lease.resume)
    return Work.SHORT_WORK if is_short else Work.EXECUTION


@dataclass(frozen=True, slots=True)
class Room:
    """How many more executions, pieces of short work and ticks a worker takes; below 1: none."""

    executions: int
    short_work: int
    ticks: int


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """The request of a claim: at most ``count`` entries from these lanes in all, and only expired entries from the lanes to ``watch``.
    Leases that ran out are always claimed."""

    lanes: tuple[Lane, ...]
    watch: tuple[str, ...]
    count: int


class PoolSlots:
    """How many executions of each pool may run at once on its hosts, counted again when the pool or what is known of a host changes: a
    worker claims hundreds of times a second, and there may be thousands of hosts."""

    def __init__(self) -> None:
        self._hosts: Sequence[HostView] = ()
        self._slots: dict[str, tuple[Pool, int | None]] = {}

    def of(self, pool: Pool, hosts: Sequence[HostView]) -> int | None:
        """The slots of a pool; None while none of its hosts may get work."""
        if hosts is not self._hosts:
            self._hosts, self._slots = hosts, {}
        known = self._slots.get(pool.name)
        if known is None or known[0] is not pool:
            known = self._slots[pool.name] = (pool, slots_of(pool, hosts) if has_place(pool, hosts) else None)
        return known[1]


def claim_request(pools: Sequence[Pool], hosts: Sequence[HostView], room: Room, slots: PoolSlots | None = None) -> ClaimRequest:
    """The request of a worker with these hosts and this room. Ticks do not depend on the hosts. A pool is served while one of its hosts may
    get work, however many ticks are under way. ``slots``: what the worker keeps between its requests."""
    if room.short_work < 1:
        return ClaimRequest((), (), BATCH)
    slots = PoolSlots() if slots is None else slots
    served = {pool.name: slots.of(pool, hosts) for pool in pools if room.executions > 0}
    ticks = (Lane(TICKS, None),) if room.ticks > 0 else ()
    lanes = (*ticks, *(Lane(pool.name, most, pool.fair_share) for pool in pools if (most := served.get(pool.name)) is not None))
    watch = tuple(pool.name for pool in pools if served.get(pool.name) is None)
    return ClaimRequest(lanes, watch, min(BATCH, room.short_work, *([room.executions] if len(watch) < len(pools) else [])))


def workers_needed(pools: Sequence[Pool], most: int) -> int:
    """How many workers it takes to hold as many executions as the pools may run, when each holds ``most``."""
    return -(-sum(pool.max_running for pool in pools) // most)


class Assignment:
    """One entry of the queue, from its claim until this worker has finished it or lost it."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._work = work_of(lease)
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._epoch: int | None = None
        self._bounds: JobBounds | None = None
        self._watched = False
        self._given_away = False
        self._host: str | None = None
        self._refused_since: int | None = None
        self._note: Callable[[], Note | None] = lambda: None
        if lease.stop:
            self._stop.set()

    @property
    def lease(self) -> Lease:
        """The lease as the queue granted it."""
        return self._lease

    @property
    def id(self) -> str:
        """The id of the job or execution."""
        return self._lease.id

    # the work on it

    @property
    def work(self) -> Work:
        """The kind of work that it counts as."""
        return self._work

    def count_as(self, work: Work) -> None:
        """Counts it as this kind of work, whatever it was claimed for."""
        self._work = work

    def start(self, task: asyncio.Task[None]) -> None:
        """Records the task that works on it."""
        self._task = task

    def cancel(self, *, spared: Collection[asyncio.Task[None] | None] = ()) -> None:
        """Cancels the work on it, unless its task is one of the spared ones."""
        if self._task is not None and self._task not in spared:
            self._task.cancel()

    # a stop

    def request_stop(self) -> None:
        """Records a hint that a stop of it was asked for. The row says whether that is so."""
        self._stop.set()

    @property
    def stop_requested(self) -> bool:
        """Whether a hint of a stop has not been handled."""
        return self._stop.is_set()

    @property
    def stop_event(self) -> asyncio.Event:
        """Set while a hint of a stop has not been handled: for waiting only."""
        return self._stop

    def take_stop_request(self) -> bool:
        """Whether there was a hint of a stop; it counts as handled from now on. The caller reads the row."""
        requested = self._stop.is_set()
        self._stop.clear()
        return requested

    # the execution

    @property
    def epoch(self) -> int | None:
        """The epoch under which this worker owns the execution in the store; None before it does."""
        return self._epoch

    def take_over(self, epoch: int) -> None:
        """Records that the store has this worker as the owner, under this epoch."""
        self._epoch = epoch

    def keep_bounds(self, bounds: JobBounds | None) -> None:
        """Records the bounds of its job, which were read once this worker owned it; None: they were not read, or the job does not exist."""
        self._bounds = bounds

    def take_bounds(self) -> JobBounds | None:
        """These bounds, once: a step that is tried again reads its job again."""
        bounds, self._bounds = self._bounds, None
        return bounds

    def begin_watch(self) -> bool:
        """Records that a watch of the execution begins; whether it is the first, so that this worker cannot have stored any of its log."""
        first, self._watched = not self._watched, True
        return first

    @property
    def given_away(self) -> bool:
        """Whether it is to go to another worker."""
        return self._given_away

    def give_away(self) -> None:
        """Records that it is to go to another worker, which can ask its host."""
        self._given_away = True

    @property
    def host(self) -> str | None:
        """The host that was chosen for it; None before that, and again once its service is there."""
        return self._host

    def place_on(self, host: str | None) -> None:
        """Records the chosen host; None: its service is there now."""
        self._host = host

    def refused_since(self, now: int) -> int:
        """Records that an engine refuses to make its service; since when (milliseconds) this worker knows that."""
        self._refused_since = now if self._refused_since is None else self._refused_since
        return self._refused_since

    # what delays it

    @property
    def note(self) -> Note | None:
        """The cause of its present delay, for the worker's report."""
        return self._note()

    def explain(self, note: Note | None) -> None:
        """Records the cause of its delay from now on; None: it has none."""
        self._note = lambda: note

    def explain_with(self, source: Callable[[], Note | None]) -> None:
        """Takes the cause of its delay from ``source``, each time that a report is made."""
        self._note = source


MAX_NOTES = 500
"""Notes in one report. An answer to why reads the reports of all workers, so each must stay small: this is about 200 KB at most."""
UNSUITABLE = "no suitable node"
"""What a swarm says of a task once it has looked for a node in vain."""
MET = (
    (RegistryDown, Obstacle.REGISTRY),
    (NoHost, Obstacle.NO_HOST),
    (HostDown, Obstacle.HOST_AWAY),
    (OrderRefused, Obstacle.REFUSED),
    (StoreDown, Obstacle.STORE),
)
"""The obstacle that an error means; the first that fits."""


def note_of_error(error: FastlaneError, execution: Execution, before: Note | None, now: int, limits: Limits) -> Note | None:
    """The note for an error after which a step is tried again; None when a note cannot describe it. ``before``: the note until then."""
    obstacle = next((met for kind, met in MET if isinstance(error, kind)), None)
    if obstacle is None:
        return None
    until = registry_deadline(execution, error, limits) if isinstance(error, RegistryDown) else None
    since = before.since if before is not None and before.obstacle is obstacle else now
    if obstacle is Obstacle.REGISTRY:
        since = execution.placed_at or now
    return note(execution, obstacle, str(error), since, _or_expiry(execution, until))


def note_of_fault(execution_id: str, epoch: int | None, before: Note | None, now: int) -> Note:
    """The note for an unexpected fault; the details are in the log."""
    since = before.since if before is not None and before.obstacle is Obstacle.FAULT else now
    return Note(execution_id, epoch, Obstacle.FAULT, "", since)


def note_of_tasks(execution: Execution, tasks: Sequence[EngineTask], limits: Limits) -> Note | None:
    """The note for a started service's task that waits for a node, or for the image on its node."""
    if execution.status is not Status.PULLING or execution.stop_requested_at is not None or not tasks:
        return None
    task = tasks[0]
    if task.phase not in {Phase.WAITING, Phase.PREPARING} or (not task.node_id and UNSUITABLE not in task.message):
        return None  # it starts or has ended, or the swarm has not looked for a node yet
    obstacle = Obstacle.IMAGE if task.node_id else Obstacle.NO_NODE
    since = max(execution.bound_at or 0, task.changed_at if task.node_id else 0)  # a task without a node changes at each try
    return note(execution, obstacle, task.message or task.state, since, _or_expiry(execution, wait_ends(execution, task, limits)))


def oldest_notes(notes: Iterable[Note | None]) -> tuple[Note, ...]:
    """The notes that fit into a report, the longest waits first."""
    return tuple(sorted((one for one in notes if one is not None), key=lambda one: one.since)[:MAX_NOTES])


def _or_expiry(execution: Execution, until: int | None) -> int | None:
    """This moment, or the execution's own expiration if that is sooner."""
    return min((moment for moment in (until, execution.expires_at) if moment is not None), default=None)


RENEWED_AT_ONCE = 500
"""Leases in one call of the queue."""
MAX_KEPT_NOTES = 500
"""Notes kept of assignments that were put back into the queue."""
GRACE = 5_000
"""Milliseconds for which a kept note outlives the back-off, so that a worker has time to claim the entry and make its own note."""
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
        """How much more work this worker takes."""
        held = self._held
        return Room(self._max_executions - held[Work.EXECUTION], MAX_SHORT_WORK - held[Work.SHORT_WORK], MAX_TICKS - held[Work.TICK])

    def subscribe(self, on_room: Callable[[], None]) -> None:
        """Calls ``on_room`` when there is room again for a kind of work that had none."""
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
        """The notes of all assignments, and of the ones that were put back into the queue until later."""
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
        """Stops renewing it: its entry has left the queue. Work on it (cleaning) may continue."""
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
        """Releases the lease of an assignment that is to go to another worker, and keeps this worker from claiming for a moment: otherwise
        it would be the first to claim it again."""
        self._rests_until = self._clock.now() + REST
        try:
            await self._queue.release(self.owner, [assignment.id])
        except QueueDown as error:
            log.warning("leases.not_released", held=1, error=str(error))  # it runs out by itself
        finally:
            self.forget(assignment)

    @property
    def rest(self) -> float:
        """Seconds for which this worker must not claim."""
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
        """Whether the queue says now that the lease is this worker's: ask it just before a step that cannot be undone. All questions of one
        turn of the event loop go out in one call. The task that asks is not cancelled when its lease is lost: it gets False."""
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
                    answer.exception()  # the asker may have failed meanwhile: then the error is of no use
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
