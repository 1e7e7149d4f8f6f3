"""Records who logged in, and counts who was refused, by the minute: one event for each user and address, however often they try."""

import asyncio
from collections import Counter

import structlog

from fastlane.clock import Clock
from fastlane.errors import FastlaneError
from fastlane.models.access import Requester
from fastlane.models.event import Event, EventKind
from fastlane.storage.base import EventStore

MINUTE = 60_000
EVERY = 1.0
"""Seconds between two looks at what is to be recorded."""
MOST_CALLERS = 1_000
"""Users and addresses that are told apart while a minute is counted; all others count together."""
MOST_LOGINS = 1_000
"""Logins that wait to be recorded while the store is away; the first ones are kept."""
OTHERS = Requester(None, None)

log = structlog.get_logger()


class AccessEvents:
    """What one server tells of logins. ``open`` and ``close`` it; what waits then is recorded at the end."""

    def __init__(self, store: EventStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._refused: Counter[tuple[int, EventKind, Requester]] = Counter()
        self._logins: list[Requester] = []
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begins to record."""
        self._task = asyncio.create_task(self._run(), name="access events")

    async def close(self) -> None:
        """Records what is left, also of the minute that is not over."""
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
