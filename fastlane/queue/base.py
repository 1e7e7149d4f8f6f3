"""The port of the timed queue. It holds ids and moments only; the store is the truth, and the queue can be built anew from it.

An entry stands in exactly one place: ``timed`` (not due yet), ``ready`` (due, waits for a slot of its lane), ``blocked`` (waits for its
group) or ``leased`` (a worker has it until a deadline). A lane is a pool's part of the queue. The lane ``@ticks`` has no limit: it holds
jobs whose next tick is to come, and whatever else takes no slot.

A group is a task's executions: those that hold a slot count, whatever lane they are in. What takes no slot neither counts nor waits.

Every method raises ``QueueDown`` when Redis cannot be reached, answers an error, or does not answer within the adapter's deadline.
``now`` (milliseconds) is None for Redis's own time; tests hand in theirs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from fastlane.models.execution import Execution
from fastlane.models.note import Note
from fastlane.models.placement.host import HostView
from fastlane.models.placement.pool import Pauses, Pool, pool_for

TICKS = "@ticks"


class EntryKind(StrEnum):
    """What an entry's id names."""

    JOB = "job"
    EXECUTION = "execution"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the queue. ``due`` in milliseconds; a higher ``revision`` replaces a lower one; a point of ``priority`` counts
    as a minute. It waits while ``concurrency`` of its ``group`` (no NUL in its name) hold slots; 0 is no limit, and "" no group.
    From the moment ``expires`` (milliseconds) on it must not start: it is then leased to be ended."""

    id: str
    kind: EntryKind
    lane: str
    due: int
    revision: int = 0
    priority: int = 0
    group: str = ""
    concurrency: int = 0
    expires: int | None = None


def entry_of(execution: Execution, pools: Sequence[Pool], *, due: int) -> Entry:
    """The entry of an execution under way: in its pool's lane; in the one without a limit when no pool is left for it."""
    pool = pool_for(pools, execution.task_id)
    return Entry(
        id=execution.id,
        kind=EntryKind.EXECUTION,
        lane=pool.name if pool else TICKS,
        due=due,
        priority=execution.spec.priority,
        group=execution.task_id,
        concurrency=execution.spec.concurrency,
        expires=execution.expires_at,
    )


@dataclass(frozen=True, slots=True)
class Lease:
    """An entry that a claim gave to its caller. ``resume``: another worker's lease on it had run out. ``stop``: a stop was asked for.
    ``expired``: its moment was over before anybody had it; it holds no slot, and must not be started."""

    id: str
    kind: EntryKind
    lane: str
    revision: int
    resume: bool = False
    stop: bool = False
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane that a worker asks for work, and how many of its entries may be leased at once (None: no limit, and no slots taken)."""

    name: str
    limit: int | None


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim gave: the leases, the next moment (milliseconds) at which a claim could give more (None: not by time alone), and
    Redis's time, ``micros`` microseconds after which it answered. ``cold``: the queue is of another generation than the caller's: nothing
    was given, it must be built anew."""

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
    """The answer to one renewed lease: still the caller's, lost, or still the caller's and to be stopped."""

    OK = "ok"
    LOST = "lost"
    STOP = "stop"


class Cancelled(StrEnum):
    """What a cancel found: the entry is removed, its owner was told, or there was none."""

    REMOVED = "removed"
    TOLD = "told"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Identity:
    """Which data this is: the generation that was written into it (None: none), and the server process that answers (its run id)."""

    generation: str | None
    run_id: str


@dataclass(frozen=True, slots=True)
class LaneCounts:
    """How many entries of a lane stand where. ``running``: leased ones that hold a slot. ``blocked``: due ones that wait for their
    group; they are not among the ready."""

    ready: int
    timed: int
    running: int
    blocked: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker says of itself, about every second: who it is, since when (milliseconds), how it sees the hosts, and what keeps
    executions of its own from going on. The workers of an installation may be of several versions: each reads of a report what it knows,
    so a field that is new needs a default."""

    worker: str
    started_at: int
    hosts: tuple[HostView, ...]
    notes: tuple[Note, ...] = ()


class Queue(Protocol):
    """The timed queue, as the services and the scheduler use it."""

    async def open(self) -> None:
        """Makes ready to be used; does not fail when Redis is away."""

    async def close(self) -> None:
        """Ends every connection and task of it."""

    async def check(self) -> None:
        """Returns when Redis answers and would accept a write; raises QueueDown otherwise."""

    def subscribe(self, on_wake: Callable[[], None], on_stop: Callable[[str], None]) -> None:
        """Calls ``on_wake`` whenever something may have become claimable (also after each reconnection), and ``on_stop`` with the id of a
        leased
        entry that is to be stopped. Hints only: one may be lost. To be called before ``open``."""

    async def put(self, entries: Sequence[Entry], *, now: int | None = None) -> None:
        """Inserts each entry that is absent; moves one that is there with a lower revision; leaves the same one as it is. A leased one
        stays leased, and a higher revision is kept for its ``finish``. Wakes the workers."""

    async def claim(
        self,
        generation: str,
        owner: str,
        lanes: Sequence[Lane],
        count: int,
        *,
        lease: int,
        watch: Sequence[str] = (),
        now: int | None = None,
    ) -> Claim:
        """Leases to ``owner``, for ``lease`` milliseconds, at most ``count`` entries: first those of any lane whose lease ran out; then, as
        ``expired`` and without a slot, those of these lanes and of the lanes to ``watch`` that must not start any more (these take half
        of what is left of ``count``, and the rest of it when nothing else wants it); then the best ready ones of these lanes with a
        free slot and room in their group. One whose group is full is put aside until the group has room, and keeps its rank."""

    async def renew(self, generation: str, owner: str, ids: Sequence[str], *, lease: int, now: int | None = None) -> Mapping[str, Renewal]:
        """Extends the leases to ``lease`` milliseconds from now; every one is LOST in another generation."""

    async def release(self, owner: str, ids: Sequence[str], *, now: int | None = None) -> None:
        """Ends the leases now and keeps the slots: others take these entries over at once."""

    async def requeue(self, owner: str, id: str, due: int, *, lane: str | None = None, now: int | None = None) -> None:
        """Gives an entry back to be claimed from ``due`` on (in another lane if one is named), and frees its slot."""

    async def cancel(self, id: str, *, revision: int | None = None, now: int | None = None) -> Cancelled:
        """Removes an entry that nobody has leased; tells the owner of a leased one to stop it. Where a ``revision`` is named, one that was
        put with a higher one stays as it is, and counts as absent."""

    async def pause(self, pauses: Pauses) -> None:
        """Says which lanes are paused: from then on a claim only watches them, whatever its caller asks for. What has the same revision as
        what was said before, or a lower one, changes nothing. Wakes the workers. A ``wipe`` forgets it."""

    async def finish(self, ids: Mapping[str, int], *, now: int | None = None) -> None:
        """Removes these entries (id → the revision that was worked on) wherever they stand, frees their slots, and wakes the workers.
        One that was put meanwhile with a higher revision stays, at its new due time. Those that waited for their group may be claimed
        then, in their order, as many as it has room for. Safe to repeat."""

    async def identity(self) -> Identity:
        """Which data this is; to be compared with what the store knows, after each connection."""

    async def wipe(self, *, generation: str | None = None) -> None:
        """Removes everything of this installation, and says at once of which generation it is then (None: of none)."""

    async def restore(self, entries: Sequence[Entry], limits: Sequence[Lane], *, now: int | None = None) -> None:
        """Puts back entries that were under way when the queue was lost, as leases that have run out, each with its slot."""

    async def set_generation(self, generation: str, *, before: str | None = None) -> bool:
        """Says which generation this queue is of from now on: claims of that one work. False, and nothing changed, when it is not of the
        generation ``before`` (None: of any, or of none)."""

    async def counts(self, lanes: Sequence[str]) -> Mapping[str, LaneCounts]:
        """How many entries stand where, for each lane."""

    async def announce(self, report: Report, *, ttl: int, now: int | None = None) -> None:
        """Keeps a worker's report for ``ttl`` milliseconds, in place of its earlier one."""

    async def reports(self, *, now: int | None = None) -> Sequence[Report]:
        """The reports of all workers that are alive."""

    async def leave_ticket(self, digest: str, text: str, *, ttl: int) -> bool:
        """Keeps a text under a digest for ``ttl`` milliseconds of Redis's own time; a ``wipe`` leaves it. False, and nothing changed, when
        there is one under it already."""

    async def take_ticket(self, digest: str) -> str | None:
        """The text, which is gone then: of all who ask for it, one gets it. None when there is none any more, or never was."""

    async def show_ticket(self, digest: str) -> str | None:
        """The text, which stays."""


class EntrySink(Protocol):
    """What ``pass_on_stop`` uses of a queue; also what hands entries over to a queue that may be down (``cancel`` answers None then)."""

    async def cancel(self, id: str, /) -> Cancelled | None:
        """Removes an entry, or tells its owner to stop it."""

    async def put(self, entries: Sequence[Entry], /) -> None:
        """Puts entries."""


async def pass_on_stop(queue: EntrySink, execution: Execution, *, now: int) -> None:
    """Tells the queue of an execution's stop. The worker that has it hears of it; where no worker has it, it is put without a slot, so that
    a worker ends it at once."""
    found = await queue.cancel(execution.id)
    if found is Cancelled.REMOVED or (execution.status.final and found is not Cancelled.TOLD):
        await queue.put([Entry(execution.id, EntryKind.EXECUTION, TICKS, now)])
