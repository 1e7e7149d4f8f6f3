"""Events: reading pages of them and what comes after a position, counting who follows them, and recording logins and refusals.

The events of all sources are merged into one order.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog

from fastlane.clock import unless_cancelled
from fastlane.errors import FastlaneError
from fastlane.models.access import Requester
from fastlane.models.event import LAG, LAST_RANK, Event, EventFilter, EventKind, Position, Span, at
from fastlane.services.parts import Service, ServiceParts
from fastlane.storage.base import Store
from fastlane.streams.followers import CallerFollowsTooMany, TooManyFollowers

AFTER_ALL = "~"
"""Sorts after every id."""
MOST_LOOKED_AT = 20_000
"""About how many events are read for one page. A page that would need more says where to go on, and may be short."""
FOLLOWED_AT_ONCE = 2_000
"""About how many events are read at once for a follower, of whom there are many."""
MOST_COMMANDS, FOR_A_LOOK = 10, 4
"""Commands that a page may take on MongoDB: each look takes one, and one for each source that it reads; and how many have to be left for
another look at several sources."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of events, newest first. ``next``: the page after it begins after this position; None: there is none. ``looked_at``: how many
    rows were read for it at most."""

    events: tuple[Event, ...]
    next: Position | None
    looked_at: int = 0


class EventReader(Service):
    """Reads events. Raises StoreDown."""

    async def page(
        self, wanted: EventFilter, limit: int, *, since: int | None = None, until: int | None = None, after: Position | None = None
    ) -> EventPage:
        """The newest events from ``since`` to ``until`` (milliseconds), or the events that follow ``after`` in a walk to older ones."""
        start = after or end_of(10**14 if until is None else until)
        way = _narrowed(Span(start, at(since or 0), backwards=True), wanted)
        merged = await self._found(wanted, way, limit + 1)
        found, reached = merged.found, merged.reached
        if len(found) > limit:
            found, reached = found[:limit], found[limit - 1].position
        return EventPage(tuple(found), reached, merged.asked)

    def position_now(self) -> Position:
        """The position up to which a follower may read now."""
        return end_of(self._clock.now() - LAG)

    async def following(self, wanted: EventFilter, after: Position, limit: int) -> tuple[Sequence[Event], Position]:
        """Up to ``limit`` events that follow a position, and the position to go on from."""
        now = self.position_now()
        if now <= after:
            return (), after
        merged = await self._found(wanted, _narrowed(Span(after, now), wanted), limit, FOLLOWED_AT_ONCE)
        found = merged.found
        if len(found) > limit:
            return found[:limit], found[limit - 1].position
        return found, merged.reached or now

    async def _found(self, wanted: EventFilter, way: Span, limit: int, most: int | None = None) -> "MergedSources":
        """At least ``limit`` wanted events, if there are as many. Looks at about ``most`` rows, or as many as a page may.

        The first look suffices when every event is wanted. The last one that there are commands for reads all that a page may look at."""
        merged, count, left = MergedSources(self._store, wanted, way), limit + 1, MOST_COMMANDS
        most = MOST_LOOKED_AT if most is None else most
        while True:
            number = min(merged.open, left - 1)
            left -= number + 1
            is_last = left < min(FOR_A_LOOK, number + 1)
            await merged.look(number, max(count, most // max(1, number)) if is_last else count)
            if is_last or merged.reached is None or len(merged.found) >= limit:
                return merged
            count *= 4


class MergedSources:
    """The wanted events of all sources on a way. Each look goes on with the sources that were read least far."""

    def __init__(self, store: Store, wanted: EventFilter, way: Span) -> None:
        self._store, self._wanted, self._way = store, wanted, way
        self._events: list[Event] = []
        self.asked = 0
        self._places = dict.fromkeys(wanted.sources, way.first)
        """The sources that were not read to the end of the way, and up to where they were read."""

    @property
    def open(self) -> int:
        """How many sources were not read to the end of the way."""
        return len(self._places)

    @property
    def reached(self) -> Position | None:
        """The position up to which no event is missing; None: the end of the way."""
        return (max if self._way.backwards else min)(self._places.values(), default=None)

    @property
    def found(self) -> list[Event]:
        """The wanted events up to there, in the order of the way."""
        end = self.reached
        within = [event for event in self._events if _is_between(event.position, self._way, end)]
        return sorted(within, key=lambda event: event.position, reverse=self._way.backwards)

    async def look(self, number: int, count: int) -> None:
        """Reads ``count`` more rows of each of these ``number`` sources."""
        self.asked += number * count
        sources = sorted(self._places, key=lambda source: self._places[source], reverse=self._way.backwards)[:number]
        ways = [replace(self._way, first=self._places[source]) for source in sources]
        reads = (self._store.events(source, way, count) for source, way in zip(sources, ways, strict=True))
        found = await unless_cancelled(asyncio.gather(*reads))
        for source, way, rows in zip(sources, ways, found, strict=True):
            self._events += (event for event in rows if self._wanted.takes(event) and _is_between(event.position, way, None))
            if len(rows) < count:
                del self._places[source]
            else:
                self._places[source] = rows[-1].position


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


MOST, MOST_OF_CALLER = 200, 20


class EventFeeds:
    """Counts the event streams, or other long answers, of one server: at most ``most``, and ``most_of_caller`` for one caller. ``what``:
    what their clients do."""

    def __init__(self, most: int = MOST, most_of_caller: int = MOST_OF_CALLER, what: str = "follow events") -> None:
        self._what = what
        self._most = most
        self._most_of_caller = most_of_caller
        self._running: set[asyncio.Event] = set()
        self._callers: Counter[str] = Counter()
        self._closed = False

    @property
    def is_idle(self) -> bool:
        """Whether nobody follows."""
        return not self._running

    def close(self) -> None:
        """Ends every stream, and admits no other."""
        self._closed = True
        for ended in self._running:
            ended.set()

    @contextmanager
    def entered(self, caller: str | None, ended: asyncio.Event) -> Iterator[None]:
        """Counts a stream for a caller (None: for nobody) until the context ends. ``ended`` is set when it has to end. Raises
        TooManyFollowers and CallerFollowsTooMany."""
        if self._closed or len(self._running) >= self._most:
            raise TooManyFollowers("this server ends" if self._closed else f"{self._most} {self._what} here already")
        if caller is not None and self._callers[caller] >= self._most_of_caller:
            raise CallerFollowsTooMany(f"you {self._what} {self._most_of_caller} times here already; close one first")
        self._running.add(ended)
        if caller is not None:
            self._callers[caller] += 1
        try:
            yield
        finally:
            self._running.discard(ended)
            if caller is not None:
                self._callers[caller] -= 1
                if not self._callers[caller]:
                    del self._callers[caller]


MINUTE = 60_000
EVERY = 1.0
"""Seconds between two looks at what is to be recorded."""
MOST_CALLERS = 1_000
"""Users and addresses that are counted each by itself within a minute; all others count together."""
MOST_LOGINS = 1_000
"""Logins that wait to be recorded while the store is away; the first ones are kept."""
OTHERS = Requester(None, None)

log = structlog.get_logger()


class AccessEvents(Service):
    """Records the logins and refusals of one server. ``open`` and ``close`` it; the end records what still waits."""

    def __init__(self, parts: ServiceParts) -> None:
        super().__init__(parts)
        self._refused: Counter[tuple[int, EventKind, Requester]] = Counter()
        self._logins: list[Requester] = []
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begins to record."""
        self._task = asyncio.create_task(self._run(), name="access events")

    async def close(self) -> None:
        """Records what is left, including the minute that is not over."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._record(self._clock.now() + MINUTE)

    def logged_in(self, user: str, address: str | None) -> None:
        """A browser's login."""
        if len(self._logins) < MOST_LOGINS:
            self._logins.append(Requester(user, address))

    def refused(self, kind: EventKind, user: str | None, address: str | None) -> None:
        """A login or a request was refused. ``user`` is None unless there is such a user."""
        key = (self._clock.now() // MINUTE * MINUTE, kind, Requester(user, address))
        if key not in self._refused and len(self._refused) >= MOST_CALLERS:
            key = (*key[:2], OTHERS)
        self._refused[key] += 1

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            await self._record(self._clock.now())

    async def _record(self, now: int) -> None:
        """Records logins, and the counts of minutes that are over at ``now``. What the store does not take is kept."""
        over = {key: count for key, count in self._refused.items() if key[0] + MINUTE <= now}
        logins, at = len(self._logins), self._clock.now()
        events = [Event.now(EventKind.LOGIN, at, requester) for requester in self._logins]
        events += [Event.now(kind, at, requester, minute=minute, count=count) for (minute, kind, requester), count in over.items()]
        if not events:
            return
        try:
            await self._store.add_events(events)
        except FastlaneError as error:
            log.debug("access.not_recorded", error=str(error))
            return
        del self._logins[:logins]
        for key, count in over.items():
            self._refused[key] -= count
            if self._refused[key] <= 0:
                del self._refused[key]
