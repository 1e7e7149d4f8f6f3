"""Counts those who follow events, so that they are bounded, and ends them with the server."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from fastlane.streams.followers import CallerFollowsTooMany, TooManyFollowers

MOST, MOST_OF_CALLER = 200, 20


class EventFeeds:
    """The feeds of one server: at most ``most``, and ``most_of_caller`` for one caller."""

    def __init__(self, most: int = MOST, most_of_caller: int = MOST_OF_CALLER) -> None:
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
        """Ends every feed, and admits no other."""
        self._closed = True
        for ended in self._running:
            ended.set()

    @contextmanager
    def entered(self, caller: str | None, ended: asyncio.Event) -> Iterator[None]:
        """Counts a feed for a caller (None: for nobody) until the context ends. ``ended`` is set when it has to end. Raises
        TooManyFollowers and CallerFollowsTooMany."""
        if self._closed or len(self._running) >= self._most:
            raise TooManyFollowers("this server ends" if self._closed else f"{self._most} follow events here already")
        if caller is not None and self._callers[caller] >= self._most_of_caller:
            raise CallerFollowsTooMany(f"you follow events {self._most_of_caller} times here already; close one first")
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
