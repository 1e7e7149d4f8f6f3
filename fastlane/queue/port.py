"""The ports of the queue, and their values. The queue holds ids and due times only: the store is the truth, and the queue can be
rebuilt from it.

An entry is in exactly one place: ``timed`` (not due yet), ``ready`` (due, waits for a slot of its lane), ``blocked`` (waits for its
group) or ``leased`` (a worker holds it until a deadline). A lane is a pool's part of the queue. The lane ``@ticks`` has no limit: it
holds jobs that wait for their next tick, and executions that need no slot.

A group is the executions of one task, or of one pool with the same ``concurrencyKey``. Its limit counts those that hold a
slot, in any lane; entries that take no slot neither count nor wait.

``TimedQueue`` schedules and leases entries, ``QueueGeneration`` says which data the queue holds and rebuilds it, ``WorkerReports``
keeps what workers say about themselves, and ``TicketStore`` keeps secrets that can be used once. Every method raises ``QueueDown``
when Redis cannot be reached, answers with an error, or does not answer within the adapter's deadline.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from fastlane.models.event import Note
from fastlane.models.host import HostView
from fastlane.models.job import Execution, Job
from fastlane.models.pool import Pauses, Pool, pool_for
from fastlane.models.store_version import StoreVersion

TICKS = "@ticks"
WENT_BACK = ", store went back"
"""The end of a queue's generation after its store went back, until the rebuild begins."""


class EntryKind(StrEnum):
    """The kinds of things that an entry's id names."""

    JOB = "job"
    EXECUTION = "execution"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the queue. ``due`` is in milliseconds; a higher ``revision`` replaces a lower one; a point of ``priority`` counts as a
    minute of waiting. The entry waits while ``concurrency`` members of its ``group`` hold slots (0: no limit; "": no group; a group's
    name contains no NUL). From ``expires`` (milliseconds) on it must not start: it is then leased only to be ended. In a fair lane it is
    served in the turn of ``task`` ("": of its group)."""

    id: str
    kind: EntryKind
    lane: str
    due: int
    revision: int = 0
    priority: int = 0
    group: str = ""
    concurrency: int = 0
    expires: int | None = None
    task: str = ""


def job_entry(job: Job) -> Entry:
    """The entry that makes a worker fire the job's next tick."""
    return Entry(job.id, EntryKind.JOB, TICKS, job.next_tick or 0, job.revision)


def execution_entry(execution: Execution, pools: Sequence[Pool]) -> Entry:
    """The entry that makes a worker run the execution: in its pool's lane, or in ``@ticks`` when no pool matches its task any more. While
    the execution waits for others of its job, its entry is in ``@ticks`` too, with a lower revision: a worker checks whether it still has
    to wait, and the entry of the released execution moves it."""
    pool = pool_for(pools, execution.task_id)
    group = group_of(execution, pool)
    return Entry(
        id=execution.id,
        kind=EntryKind.EXECUTION,
        lane=pool.name if pool and execution.waits is None else TICKS,
        due=execution.scheduled_for,
        revision=0 if execution.waits is None else -1,
        priority=execution.spec.priority,
        group=group,
        concurrency=execution.spec.concurrency,
        expires=execution.expires_at,
        task="" if group == execution.task_id else execution.task_id,
    )


def group_of(execution: Execution, pool: Pool | None) -> str:
    """The group of an execution: its task, or its pool and its ``concurrencyKey``. No task's id contains a slash."""
    key = execution.spec.concurrency_key
    return execution.task_id if key is None or pool is None else f"/{pool.name}\x1f{key}"


def slotless_entry(execution: Execution, *, due: int) -> Entry:
    """The entry that makes a worker end or settle the execution. It needs no slot, because nothing will start."""
    return Entry(execution.id, EntryKind.EXECUTION, TICKS, due)


@dataclass(frozen=True, slots=True)
class Lease:
    """An entry that a claim leased to its caller. ``resume``: another worker's lease on it ran out. ``stop``: it must be stopped.
    ``expired``: it was leased after its ``expires``; it holds no slot and must not be started. ``due``: it was leased ahead, and is not to
    be worked on before that moment (milliseconds of Redis's time)."""

    id: str
    kind: EntryKind
    lane: str
    revision: int
    resume: bool = False
    stop: bool = False
    expired: bool = False
    due: int | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane that a worker claims from, and how many of its entries may be leased at once (None: no limit, and no slots taken). ``fair``:
    its tasks take turns."""

    name: str
    limit: int | None
    fair: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """The result of a claim: the leases, the next moment (milliseconds) at which a claim could give more (None: time alone changes
    nothing), and Redis's time: ``now`` in milliseconds and ``micros`` microseconds. ``cold``: the queue is of another generation than
    the caller's, so nothing was leased and the queue must be rebuilt."""

    leases: tuple[Lease, ...]
    next_at: int | None
    now: int
    cold: bool = False
    micros: int = 0

    @property
    def wait(self) -> float | None:
        """Seconds from the answer to ``next_at``; None without one."""
        return None if self.next_at is None else max(0.0, (self.next_at - self.now) / 1_000 - self.micros / 1_000_000)


class Renewal(StrEnum):
    """The answer for one renewed lease: still the caller's, lost, or still the caller's but to be stopped."""

    OK = "ok"
    LOST = "lost"
    STOP = "stop"


class Cancelled(StrEnum):
    """The outcome of a cancel: it removed the entry, notified its owner to stop, or found no entry."""

    REMOVED = "removed"
    NOTIFIED = "notified"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Identity:
    """Which data the queue holds: the generation written into it (None: none), and the run id of the server process that answered.
    ``store``: the highest version of the store that the queue has seen."""

    generation: str | None
    run_id: str
    store: StoreVersion | None = None

    @property
    def number(self) -> int:
        """The number of the generation, whole, damaged or in the making; 0 without one."""
        digits = re.match(r"\d+", self.generation or "")
        return int(digits.group()) if digits else 0

    @property
    def store_went_back(self) -> bool:
        """Whether the queue is marked because its store went back."""
        return (self.generation or "").endswith(WENT_BACK)


@dataclass(frozen=True, slots=True)
class AuditPage:
    """The damage found on a page of the queue's data (None: none), and the name of the next page (None: that was the last). ``is_rest``:
    all further pages have only waiting entries; the leased ones, which are few, came before."""

    wrong: str | None
    next: str | None
    is_rest: bool = False


@dataclass(frozen=True, slots=True)
class LanePage:
    """The ids on a page of a lane's entries, and the name of the next page (None: that was the last)."""

    ids: tuple[str, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class LaneCounts:
    """How many entries of a lane are in each place. ``running``: leased ones that hold a slot. ``blocked``: due ones that wait for
    their group; ``ready`` does not include them."""

    ready: int
    timed: int
    running: int
    blocked: int = 0


@dataclass(frozen=True, slots=True)
class Turns:
    """What comes before an entry of a fair lane: how many entries of its own task, and how many other tasks take turns with it, with the
    first names of these (groups, where tasks share one), in the order of their turns."""

    own: int
    others: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The report that a worker gives about itself every second: its id, when it started (milliseconds), how it sees the hosts, and the
    reasons for which its executions wait. ``clock_skew``: how far its clock is ahead of Redis's, in milliseconds. ``room``: how many more
    executions it takes. ``pools``: the name and ``match`` of each of its pools, in order, and ``pools_digest`` the digest of all their
    settings; ``version``: of its fastlane. (None: it does not say.) ``reads_labels``: whether it makes jobs of the labels of services,
    and ``labels_unread`` the ids of the swarms whose services it cannot list.
    Workers of several versions may run side by side, and each reads only the fields that it knows: a new field needs a default."""

    worker: str
    started_at: int
    hosts: tuple[HostView, ...]
    notes: tuple[Note, ...] = ()
    clock_skew: int | None = None
    room: int | None = None
    pools: tuple[tuple[str, str], ...] | None = None
    pools_digest: str | None = None
    version: str | None = None
    reads_labels: bool = False
    labels_unread: tuple[str, ...] = ()


def rules_of(pools: Sequence[Pool]) -> tuple[tuple[str, str], ...]:
    """The pools as a report names them."""
    return tuple((pool.name, pool.match) for pool in pools)


def stranded_lanes(lanes: Iterable[str], pools: Sequence[Pool], reports: Sequence[Report]) -> list[str]:
    """The lanes that belong neither to one of these pools nor to one that a live worker reports."""
    served = {TICKS, *(pool.name for pool in pools), *(name for report in reports for name, _ in report.pools or ())}
    return sorted(set(lanes) - served)


class TimedQueue(Protocol):
    """Entries with due times, and the leases on them."""

    async def open(self) -> None:
        """Prepares for use; succeeds even when Redis is away."""

    async def close(self) -> None:
        """Ends all connections and tasks."""

    async def time(self) -> int:
        """Redis's time (milliseconds), which decides when entries are due and leases end."""

    async def check(self) -> None:
        """Returns when Redis answers and accepts a write; raises QueueDown otherwise."""

    def subscribe(self, on_wake: Callable[[], None], on_stop: Callable[[str], None]) -> None:
        """Calls ``on_wake`` whenever something may have become claimable, and after each reconnection; calls ``on_stop`` with the id of
        a leased entry that must be stopped. These are hints: one may be lost. Call this before ``open``."""

    async def put(self, entries: Sequence[Entry]) -> int:
        """Inserts each absent entry, and moves one that is present with a lower revision; the same revision changes nothing. A leased
        entry stays leased: a higher revision is kept for its ``finish``. Wakes the workers, and returns how many were absent."""

    async def claim(
        self, generation: str, owner: str, lanes: Sequence[Lane], count: int, *, lease: int, watch: Sequence[str] = (), ahead: int = 0
    ) -> Claim:
        """Leases at most ``count`` entries to ``owner`` for ``lease`` milliseconds. First come entries of any lane whose lease ran out
        (at the latest in two such times, so that a Redis whose clock was set back keeps none for longer).
        Then come expired entries of these lanes, and of the lanes to ``watch``: as ``expired``, without a slot. They take half of
        what is left of ``count``, and the rest when nothing else wants it. Then come the best ready entries of these lanes that find
        a free slot and room in their group. An entry whose group is full is set aside until the group has room, and keeps its rank. In a
        fair lane, the best is the first entry of the task that has waited longest, counted from its due time or from the task's last
        claim in that lane, whichever is later; tasks without a claim for a day start anew. What is
        left of ``count`` goes to entries of ``@ticks``, if that is among the lanes, that are due within ``ahead`` milliseconds: each lease
        says when. A release lets others have such an entry before its due time; ``requeue`` does not."""

    async def renew(self, generation: str, owner: str, ids: Sequence[str], *, lease: int) -> Mapping[str, Renewal]:
        """Extends the leases to ``lease`` milliseconds from now. In another generation, every lease is LOST."""

    async def release(self, owner: str, ids: Sequence[str]) -> None:
        """Ends the leases now but keeps the slots, so that other workers take the entries over at once."""

    async def requeue(self, owner: str, id: str, due: int, *, lane: str | None = None, strict: bool = False) -> None:
        """Gives an entry back, claimable from ``due`` on, in ``lane`` if one is named, and frees its slot. One whose stop was asked for
        since its claim, or that has expired, is claimable at once, unless ``strict``. Does nothing when the lease is not the owner's. If a
        higher revision was put in between, the entry takes its due time and lane."""

    async def cancel(self, id: str, *, revision: int | None = None) -> Cancelled:
        """Removes an entry that is not leased; notifies the owner of a leased one to stop it. When ``revision`` is given, an entry with a
        higher one stays as it is and counts as absent."""

    async def pause(self, pauses: Pauses) -> None:
        """Replaces the set of paused lanes. A claim only watches a paused lane, whatever its caller asks for; while all dispatch is paused,
        that goes for all lanes but ``@ticks``. Pauses whose revision is not higher than the known one change nothing. Wakes the workers.
        A ``wipe`` forgets the pauses."""

    async def finish(self, ids: Mapping[str, int]) -> None:
        """Removes these entries (id to the revision that was worked on) from wherever they are, frees their slots, and wakes the workers.
        An entry for which a higher revision was put in between stays, at its new due time. Entries that waited for a freed group become
        ready in their order, as many as the group has room for. Safe to repeat."""

    async def adopt(self, entries: Sequence[Entry], lanes: Sequence[str] | None = None) -> int:
        """Moves entries to the lanes that they name, because their pools were renamed or removed. Only entries that are in one of ``lanes``
        move (None: in any lane). A waiting entry keeps its rank and its time; a leased entry keeps its lease and its slot. Nothing leaves
        ``@ticks``, and nothing leased goes there. Wakes the workers, and returns how many entries moved."""

    async def lane_of(self, id: str) -> str | None:
        """The lane of an entry; None when there is no entry with this id."""

    async def members(self, lane: str, page: str | None = None) -> LanePage:
        """A page of the ids of a lane's entries that wait or hold a slot (``page`` None: the first). A walk over all pages meets each
        entry, those that hold a slot first. An entry that moves meanwhile may be met twice, or not at all."""

    async def counts(self, lanes: Sequence[str] | None = None) -> Mapping[str, LaneCounts]:
        """How many entries are in each place, per lane; None: for every lane that holds any. A due entry counts as timed until a claim
        sees it."""

    async def oldest_waiting(self, lanes: Sequence[str]) -> Mapping[str, int]:
        """Milliseconds since the longest-waiting entry of each lane became due; 0: none waits for a slot. A claim need not have seen it.
        Entries that wait for their group do not count. Only the first ones in line are looked at, at most 256 of all lanes."""

    async def turns(self, lane: str, id: str) -> Turns | None:
        """What comes before an entry of a fair lane; None when a claim has not brought it into line yet."""


class QueueGeneration(Protocol):
    """Which data the queue holds, and how it is rebuilt after a loss."""

    async def identity(self) -> Identity:
        """Which data the queue holds now. Compare it with the store's generation after each connection."""

    async def remember_store(self, version: StoreVersion) -> None:
        """Keeps the store's version, so that the queue can tell when the store went back to an earlier state. The version of another store
        stays until a ``wipe``."""

    async def refuse_eviction(self) -> None:
        """Raises QueueUnfit when the server drops entries on its own once its memory is full."""

    async def audit(self, generation: str, page: str | None = None) -> AuditPage:
        """Checks a page of the data of this generation (None: the first) for entries that were lost, or changed by another program. Damaged
        data is condemned: nothing is claimed from it any more, so that it is rebuilt."""

    async def wipe(self, *, generation: str | None = None, lanes: Sequence[str] = ()) -> None:
        """Removes everything of this installation but the tickets, and sets the generation in the same step (None: none). ``lanes`` are
        removed even if the list of all lanes was lost."""

    async def restore(self, entries: Sequence[Entry], limits: Sequence[Lane]) -> None:
        """Puts back entries that were under way when the queue was lost, as leases that have run out. Each holds a slot, but for those in
        ``@ticks`` and in lanes whose limit is None."""

    async def set_generation(self, generation: str, *, before: str | None = None) -> bool:
        """Sets the generation: from now on, claims in that generation work. When ``before`` is given and the queue is of another
        generation, changes nothing and returns False."""


class WorkerReports(Protocol):
    """What the workers say about themselves."""

    async def announce(self, report: Report, *, ttl: int) -> None:
        """Keeps a worker's report for ``ttl`` milliseconds, in place of its earlier one."""

    async def current(self) -> Sequence[Report]:
        """The reports of all live workers."""


class TicketStore(Protocol):
    """Texts under digests. Each can be taken once."""

    async def put(self, digest: str, text: str, *, ttl: int) -> bool:
        """Keeps a text for ``ttl`` milliseconds of Redis's own time; a ``wipe`` of the queue leaves it. Returns False, and changes
        nothing, when the digest is in use."""

    async def take(self, digest: str) -> str | None:
        """Returns the text and removes it: one caller gets it, everyone else None."""

    async def peek(self, digest: str) -> str | None:
        """Returns the text and leaves it."""


class Queue(TimedQueue, Protocol):
    """The timed queue and the other ports, as one adapter provides them. Only ``app`` needs it: everything else takes the
    ports that it uses."""

    @property
    def generation(self) -> QueueGeneration:
        """Which data the queue holds."""

    @property
    def reports(self) -> WorkerReports:
        """What the workers say about themselves."""

    @property
    def tickets(self) -> TicketStore:
        """One-use tickets."""


def needs_entry(found: Cancelled, *, absent_too: bool) -> bool:
    """Whether an execution that was asked to stop must be put back after a cancel, so that a worker ends or settles it. ``absent_too``:
    even when it had no entry, as is the case for an execution that has ended already."""
    return found is Cancelled.REMOVED or (absent_too and found is Cancelled.ABSENT)


async def mark_went_back(data: QueueGeneration, seen: Identity) -> bool:
    """Marks the queue because its store went back to an earlier state: nothing is claimed from it any more, and the worker that rebuilds it
    pauses all dispatch. False when the queue is no longer the one that was ``seen``: another process has marked it, or begun to rebuild
    it."""
    return await data.set_generation(f"{seen.number}{WENT_BACK}", before=seen.generation)
