"""Reads what happened: pages of it, and what comes after a position. The events of all sources are merged into one order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastlane.clock import Clock
from fastlane.models.event import LAG, LAST_RANK, Event, EventFilter, Position, Source, Span, at
from fastlane.storage.base import EventStore

AFTER_ALL = "~"
"""More than every id."""
MOST_AT_ONCE = 2_000
"""Rows of a source that are read at once."""
MOST_LOOKED_AT = 20_000
"""Events that are looked at for one page. A page for which that was not enough says where to go on, and may be short."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of events, newest first. ``next``: the page after it begins after this position; None: there is none."""

    events: tuple[Event, ...]
    next: Position | None


class EventReader:
    """Reads events. Raises StoreDown."""

    def __init__(self, store: EventStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def page(
        self, wanted: EventFilter, limit: int, *, since: int | None = None, until: int | None = None, after: Position | None = None
    ) -> EventPage:
        """The newest events from ``since`` to ``until`` (milliseconds), or those that follow ``after`` in a walk to older ones."""
        start = after or end_of(10**14 if until is None else until)
        way = _narrowed(Span(start, at(since or 0), backwards=True), wanted)
        found, reached = await self._found(wanted, way, limit + 1)
        if len(found) > limit:
            return EventPage(tuple(found[:limit]), found[limit - 1].position)
        return EventPage(tuple(found), reached)

    def position_now(self) -> Position:
        """The position up to which a follower may read now."""
        return end_of(self._clock.now() - LAG)

    async def following(self, wanted: EventFilter, after: Position, limit: int) -> tuple[Sequence[Event], Position]:
        """Up to ``limit`` events that follow a position, and the position to go on from."""
        now = self.position_now()
        if now <= after:
            return (), after
        found, reached = await self._found(wanted, _narrowed(Span(after, now), wanted), limit)
        if len(found) > limit:
            return found[:limit], found[limit - 1].position
        return found, reached or now

    async def _found(self, wanted: EventFilter, way: Span, limit: int) -> tuple[list[Event], Position | None]:
        """At least ``limit`` events that are wanted, if there are as many; and how far the way was looked at, None: to its end."""
        found: list[Event] = []
        looked_at, count = 0, min(MOST_AT_ONCE, limit + 1)
        while True:
            events, reached = await self._next(wanted.sources, way, count)
            found += filter(wanted.takes, events)
            looked_at += len(events)
            if reached is None or len(found) >= limit or looked_at >= MOST_LOOKED_AT:
                return found, reached
            way, count = replace(way, first=reached), min(MOST_AT_ONCE, 4 * count)

    async def _next(self, sources: Sequence[Source], way: Span, count: int) -> tuple[list[Event], Position | None]:
        """The next events of all these sources; and up to where they are all of them, None: to the end of the way."""
        events: list[Event] = []
        ends: list[Position] = []
        for source in sources:
            rows = await self._store.events(source, way, count)
            events += rows
            ends += [rows[-1].position] if len(rows) == count else []
        end = (max if way.backwards else min)(ends, default=None)
        within = [event for event in events if _is_between(event.position, way, end)]
        return sorted(within, key=lambda event: event.position, reverse=way.backwards), end


def end_of(time: int) -> Position:
    """The position after all events of this moment."""
    return Position(max(0, time), AFTER_ALL, LAST_RANK)


def _is_between(position: Position, way: Span, end: Position | None) -> bool:
    """Whether it lies after the first position of the way, and not beyond its last one nor beyond ``end``."""
    if way.backwards:
        return position < way.first and position >= max(way.last, end or way.last)
    return position > way.first and position <= min(way.last, end or way.last)


def _narrowed(way: Span, wanted: EventFilter) -> Span:
    return replace(way, task_id=wanted.task_id, job_id=wanted.job_id, execution_id=wanted.execution_id)
