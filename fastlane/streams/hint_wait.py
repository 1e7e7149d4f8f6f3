"""Waits between two reads of the store: until a hint arrives, and for a second at most, since hints may be lost."""

import asyncio
from collections.abc import Callable, Iterable

from fastlane.models.logs.hint import Hint
from fastlane.streams.hub import Hub

EVERY = 1.0
"""Seconds after which a reader reads although no hint came."""
HURRIED = 0.05
"""Seconds after which a reader first asks for what is about to exist and comes without a hint; doubled each time."""


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Returns when the event is set, or after that many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


class HintWait:
    """The waits of one reader. Call ``clear`` before each read, so that a hint that arrives during the read ends the wait after it."""

    def __init__(self, hub: Hub, execution_ids: Iterable[str] = ()) -> None:
        self._hub = hub
        self._hinted = asyncio.Event()
        self._unsubscribe: dict[str, Callable[[], None]] = {}
        self._hurried = HURRIED
        self.subscribe(execution_ids)

    def subscribe(self, execution_ids: Iterable[str]) -> None:
        """Listens to the hints of exactly these executions."""
        wanted = set(execution_ids)
        for id in self._unsubscribe.keys() - wanted:
            self._unsubscribe.pop(id)()
        for id in wanted - self._unsubscribe.keys():
            self._unsubscribe[id] = self._hub.subscribe(id, self._on_hint)

    def clear(self) -> None:
        """Forgets hints that came before."""
        self._hinted.clear()

    def end(self) -> None:
        """Ends the wait that is under way, or the next one."""
        self._hinted.set()

    async def wait(self, *, hurry: bool, at_most: float = EVERY) -> None:
        """Waits for a hint. ``hurry``: not for a whole second, but briefly at first and longer each time; a wait without it starts over."""
        seconds = self._hurried if hurry else EVERY
        self._hurried = min(EVERY, self._hurried * 2) if hurry else HURRIED
        await wait_for(self._hinted, min(seconds, at_most))

    def close(self) -> None:
        """Ends the subscriptions."""
        self.subscribe(())

    def _on_hint(self, _hint: Hint | None) -> None:
        self._hinted.set()
