"""What this worker knows of one entry that it holds by lease: its epoch, its host, a stop asked for, and what delays it.

It reads and writes nothing outside itself, and only its own methods change it.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fastlane.errors import FastlaneError, HostDown, NoHost, OrderRefused, RegistryDown, StoreDown
from fastlane.executors.port import EngineTask, Phase
from fastlane.models.event import Note, Obstacle
from fastlane.models.execution import Execution
from fastlane.models.host import HostView
from fastlane.models.job import JobBounds
from fastlane.models.placement import has_place, slots_of
from fastlane.models.pool import Pool
from fastlane.models.status import Status
from fastlane.queue.port import TICKS, EntryKind, Lane, Lease
from fastlane.scheduler.verdict import Limits, note, registry_deadline, wait_ends

MAX_EXECUTIONS = 2_000
"""Executions that a worker holds before it starts no more."""
MAX_SHORT_WORK = 500
"""Settlements, and ends without a start, that a worker has under way before it claims no more."""
MAX_TICKS = 32
"""Ticks that a worker has under way before it claims no more; one claim may go beyond that."""
BATCH = 64
"""The most entries of one claim."""


class Work(StrEnum):
    """What a lease is for."""

    EXECUTION = "execution"
    SHORT_WORK = "short work"
    TICK = "tick"


def work_of(lease: Lease) -> Work:
    """What this lease is for. An execution that is taken over may run on, in whatever lane it is."""
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
    """What to claim: from these lanes, at most ``count`` entries in all; of the lanes to ``watch`` only what has expired. Leases that ran
    out are claimed whatever it says."""

    lanes: tuple[Lane, ...]
    watch: tuple[str, ...]
    count: int


def claim_request(pools: Sequence[Pool], hosts: Sequence[HostView], room: Room) -> ClaimRequest:
    """What a worker with these hosts and this room claims. Ticks are asked for whatever the hosts do; a pool is served while one of its
    hosts may get work, however many ticks are under way."""
    if room.short_work < 1:
        return ClaimRequest((), (), BATCH)
    served = [pool for pool in pools if room.executions > 0 and has_place(pool, hosts)]
    ticks = (Lane(TICKS, None),) if room.ticks > 0 else ()
    lanes = (*ticks, *(Lane(pool.name, slots_of(pool, hosts)) for pool in served))
    watch = tuple(pool.name for pool in pools if pool not in served)
    return ClaimRequest(lanes, watch, min(BATCH, room.short_work, *([room.executions] if served else [])))


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
        """What it is counted as."""
        return self._work

    def count_as(self, work: Work) -> None:
        """Counts it as this, whatever it was claimed for."""
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
        """Whether there is such a hint that has not been handled."""
        return self._stop.is_set()

    @property
    def stop_event(self) -> asyncio.Event:
        """Set while there is such a hint: for waiting only."""
        return self._stop

    def take_stop_request(self) -> bool:
        """Whether there is such a hint; the caller follows it up by reading the row."""
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
        """Records the bounds of its job, which were read once this worker owned it; None: there is no such job, or they were not read."""
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
        """Whether another worker is to have it."""
        return self._given_away

    def give_away(self) -> None:
        """Records that another worker is to have it, which can ask its host."""
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
        """What delays it now, for the worker's report."""
        return self._note()

    def explain(self, note: Note | None) -> None:
        """Records what delays it from now on; None: nothing does."""
        self._note = lambda: note

    def explain_with(self, source: Callable[[], Note | None]) -> None:
        """Asks ``source`` for what delays it, each time that a report is made."""
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


def of_error(error: FastlaneError, execution: Execution, before: Note | None, now: int, limits: Limits) -> Note | None:
    """The note for an error after which a step is tried again; None when a note cannot describe it. ``before``: the note until then."""
    obstacle = next((met for kind, met in MET if isinstance(error, kind)), None)
    if obstacle is None:
        return None
    until = registry_deadline(execution, error, limits) if isinstance(error, RegistryDown) else None
    since = before.since if before is not None and before.obstacle is obstacle else now
    if obstacle is Obstacle.REGISTRY:
        since = execution.placed_at or now
    return note(execution, obstacle, str(error), since, _or_expiry(execution, until))


def of_fault(execution_id: str, epoch: int | None, before: Note | None, now: int) -> Note:
    """The note for an unexpected fault; the details are in the log."""
    since = before.since if before is not None and before.obstacle is Obstacle.FAULT else now
    return Note(execution_id, epoch, Obstacle.FAULT, "", since)


def of_tasks(execution: Execution, tasks: Sequence[EngineTask], limits: Limits) -> Note | None:
    """The note for a started service's task that waits for a node, or for the image on its node."""
    if execution.status is not Status.PULLING or execution.stop_requested_at is not None or not tasks:
        return None
    task = tasks[0]
    if task.phase not in {Phase.WAITING, Phase.PREPARING} or (not task.node_id and UNSUITABLE not in task.message):
        return None  # it starts or has ended, or the swarm has not looked for a node yet
    obstacle = Obstacle.IMAGE if task.node_id else Obstacle.NO_NODE
    since = max(execution.bound_at or 0, task.changed_at if task.node_id else 0)  # a task without a node changes at each try
    return note(execution, obstacle, task.message or task.state, since, _or_expiry(execution, wait_ends(execution, task, limits)))


def oldest(notes: Iterable[Note | None]) -> tuple[Note, ...]:
    """As many notes as a report holds, those of the longest waits first."""
    return tuple(sorted((one for one in notes if one is not None), key=lambda one: one.since)[:MAX_NOTES])


def _or_expiry(execution: Execution, until: int | None) -> int | None:
    """This moment, or the execution's own expiration if that is sooner."""
    return min((moment for moment in (until, execution.expires_at) if moment is not None), default=None)
