"""Events: what people did and what the system did, in one order that every process agrees on.

Most are read from rows that exist anyway (see ``Source``). The others are recorded, in rows of their own that never change. A worker's
notes about what delays an execution are here, too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from fastlane.models.access import Requester, may_see
from fastlane.models.ids import new_id

LAG = 2_000
"""Milliseconds by which a follower stays behind: several processes write, and what one wrote first may be stored last."""
MOMENTS = frozenset({"due", "until", "scheduledFor", "startedAt", "created", "minute"})
MAX_DETAIL = 500
"""Characters of a text in ``detail``."""


class EventKind(StrEnum):
    """What happened."""

    JOB_CREATED = "job.created"
    JOB_CHANGED = "job.changed"
    JOB_RUN = "job.run"
    JOB_RETRIED = "job.retried"
    JOB_PAUSED = "job.paused"
    JOB_RESUMED = "job.resumed"
    JOB_STOPPED = "job.stopped"
    JOB_DELETED = "job.deleted"
    TASK_STOPPED = "task.stopped"
    TASK_DELETED = "task.deleted"
    LABELS_REFUSED = "labels.refused"
    LABELS_LIMITED = "labels.limited"
    BACKFILL_BEGUN = "backfill.begun"
    BACKFILL_ENDED = "backfill.ended"
    TICK_SKIPPED = "tick.skipped"
    TICK_MISSED = "tick.missed"
    TICK_EXPIRED = "tick.expired"
    TICK_FOLLOWED = "tick.followed"
    EXECUTION_ENQUEUED = "execution.enqueued"
    EXECUTION_STARTED = "execution.started"
    EXECUTION_STOP = "execution.stop"
    EXECUTION_ENDED = "execution.ended"
    EXECUTION_ENDED_BY_HAND = "execution.ended-by-hand"
    EXECUTION_MARKED_CLEANED = "execution.marked-cleaned"
    DELIVERY_REQUESTED = "delivery.requested"
    HOST_REGISTERED = "host.registered"
    HOST_DRAINED = "host.drained"
    HOST_UNDRAINED = "host.undrained"
    HOST_REMOVED = "host.removed"
    HOST_UNUSABLE = "host.unusable"
    HOST_USABLE = "host.usable"
    POOL_PAUSED = "pool.paused"
    POOL_RESUMED = "pool.resumed"
    CALENDAR_WRITTEN = "calendar.written"
    CALENDAR_DELETED = "calendar.deleted"
    POOLS_RELOADED = "pools.reloaded"
    DISPATCH_PAUSED = "dispatch.paused"
    DISPATCH_RESUMED = "dispatch.resumed"
    QUEUE_REBUILD = "queue.rebuild"
    QUEUE_REBUILT = "queue.rebuilt"
    WORKER_FORGOTTEN = "worker.forgotten"
    LOGIN = "login"
    LOGIN_REFUSED = "login.refused"
    ACCESS_REFUSED = "access.refused"


class Source(StrEnum):
    """Where events are read from: rows of their own; a job's row (it was created); an execution's row (it was enqueued, it started, it
    ended). Events of the same moment and row are in the order of their sources."""

    RECORDED = "recorded"
    CREATED = "created"
    ENQUEUED = "enqueued"
    STARTED = "started"
    ENDED = "ended"


SOURCES = tuple(Source)
READ_FROM_ROWS: Mapping[EventKind, Source] = {
    EventKind.JOB_CREATED: Source.CREATED,
    EventKind.EXECUTION_ENQUEUED: Source.ENQUEUED,
    EventKind.EXECUTION_STARTED: Source.STARTED,
    EventKind.EXECUTION_ENDED: Source.ENDED,
}
ABOUT_LOGINS = frozenset({EventKind.LOGIN, EventKind.LOGIN_REFUSED, EventKind.ACCESS_REFUSED})
"""Kinds that only administrators see: they name users and addresses, and no task."""


def source_of(kind: EventKind) -> Source:
    """Where events of this kind are read from."""
    return READ_FROM_ROWS.get(kind, Source.RECORDED)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the order of events, given by an event's ``time`` (milliseconds), row and rank of its source."""

    time: int
    id: str
    rank: int = 0

    def __str__(self) -> str:
        return f"{self.time}-{self.id}-{self.rank}"


LAST_RANK = len(SOURCES)
_CURSOR = re.compile(r"(\d{1,15})-([0-9a-f-]{36})-(\d)", re.ASCII)


def at(time: int) -> Position:
    """The place before all events of this moment and after all earlier ones."""
    return Position(max(0, time), "")


def read_cursor(text: str) -> Position:
    """The position that ``str(Position)`` wrote. Raises ValueError."""
    found = _CURSOR.fullmatch(text)
    if found is None or int(found[3]) >= LAST_RANK:
        raise ValueError("is not the id of an event; send one back as an event had it")
    return Position(int(found[1]), found[2], int(found[3]))


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. ``time`` in milliseconds, by the clock of the process that stored it.

    ``id`` is the id of the row that it is read from. ``actor`` asked for it; None: fastlane did it by itself, or nobody recorded who asked.
    ``detail`` has what else its kind has to say, as JSON; moments in it (see ``MOMENTS``) are in milliseconds.
    """

    id: str
    time: int
    kind: EventKind
    actor: Requester | None = None
    task_id: str | None = None
    job_id: str | None = None
    execution_id: str | None = None
    host: str | None = None
    pool: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def now(cls, kind: EventKind, time: int, actor: Requester | None = None, *, id: str | None = None, **values: Any) -> Self:
        """An event to be recorded. ``values`` are other fields, and what ``detail`` has: texts in it are cut, and what is None is left
        out."""
        fields = {name: values.pop(name) for name in ("task_id", "job_id", "execution_id", "host", "pool") if name in values}
        detail = {name: value[:MAX_DETAIL] if isinstance(value, str) else value for name, value in values.items() if value is not None}
        return cls(id or new_id(time), time, kind, actor, detail=detail, **fields)

    @property
    def position(self) -> Position:
        """Its place in the order of events, which is also its cursor."""
        return Position(self.time, self.id, SOURCES.index(source_of(self.kind)))


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the order of events: from ``first`` to ``last``, both included, forwards or backwards. With ``execution_id``, ``job_id`` or
    ``task_id`` only the events that name it; the store needs to look at only one of them, the first in this order."""

    first: Position
    last: Position
    backwards: bool = False
    task_id: str | None = None
    job_id: str | None = None
    execution_id: str | None = None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted; None, or no kind: any. ``visible``: a pattern of task ids; with it, only events of a task that matches.
    ``of_logins``: whether events about logins may be shown."""

    kinds: frozenset[EventKind] = frozenset()
    task_id: str | None = None
    job_id: str | None = None
    execution_id: str | None = None
    actor: str | None = None
    host: str | None = None
    pool: str | None = None
    visible: str | None = None
    of_logins: bool = True

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where the wanted events are read from."""
        without = {Source.CREATED} if self.execution_id is not None else set()
        without |= {Source.CREATED, Source.ENQUEUED} if self.host is not None or self.pool is not None else set()
        without |= {Source.STARTED, Source.ENDED} if self.actor is not None else set()
        known = [source for source in SOURCES if source not in without]
        return tuple(source for source in known if not self.kinds or source in map(source_of, self.kinds))

    def takes(self, event: Event) -> bool:
        """Whether this event is wanted, and may be shown."""
        if (self.kinds and event.kind not in self.kinds) or (event.kind in ABOUT_LOGINS and not self.of_logins):
            return False
        if self.visible is not None and (event.task_id is None or not may_see(self.visible, event.task_id)):
            return False
        named = ("task_id", "job_id", "execution_id", "host", "pool")
        if any(getattr(self, name) not in (None, getattr(event, name)) for name in named):
            return False
        return self.actor is None or (event.actor is not None and self.actor in (event.actor.user, event.actor.address))


class Obstacle(StrEnum):
    """What delays an execution. ``store``: its worker cannot use the store; ``fault``: its worker met an unexpected fault."""

    REGISTRY = "registry"
    NO_HOST = "no-host"
    HOST_AWAY = "host-away"
    REFUSED = "refused"
    NO_NODE = "no-node"
    IMAGE = "image"
    NODE_DOWN = "node-down"
    SERVICE_GONE = "service-gone"
    STORE = "store"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Note:
    """What delays this execution, since when, and until when its worker waits (milliseconds; None: for as long as it takes). ``words`` come
    from the engine, the registry or the store, "" when there are none. The note is about the owner of this ``epoch``, or about any
    owner (None)."""

    execution_id: str
    epoch: int | None
    obstacle: Obstacle
    words: str
    since: int
    until: int | None = None
