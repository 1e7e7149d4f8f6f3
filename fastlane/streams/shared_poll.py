"""Looks at the store for however many wait for the same thing: on a hint, and once a second in any case."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from fastlane.errors import TransientError
from fastlane.models.logs.hint import Hint
from fastlane.streams.hub import Hub

log = structlog.get_logger()

EVERY = 1.0
"""Seconds after which one looks although no hint came."""
HURRIED = 0.05
"""The same, at first, for what is about to be there and comes without a hint; doubled each time."""

T = TypeVar("T")


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Returns when it is set, or after that many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T]):
    """What a look shows: ``ids`` are the executions whose hints are a reason to look again, ``soon`` that it is worth hurrying."""

    value: T
    ids: frozenset[str]
    soon: bool = False


class SharedPoll(Generic[T]):
    """Looks as long as it is open. ``close`` ends its task."""

    def __init__(self, hub: Hub, look: Callable[[], Awaitable[Snapshot[T]]]) -> None:
        self._hub = hub
        self._look = look
        self._hinted = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()
        self._ears: dict[str, Callable[[], None]] = {}
        self._sight: Snapshot[T] | None = None
        self._turn = 0
        self._task = asyncio.create_task(self._run(), name="lookout")

    async def close(self) -> None:
        """Ends the looks."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._listen(())

    async def after(self, turn: int) -> tuple[int, T]:
        """What a look after that one showed, and its number; 0 is before the first."""
        while self._sight is None or self._turn <= turn:
            news = asyncio.get_running_loop().create_future()
            self._waiting.add(news)
            try:
                await news
            finally:
                self._waiting.discard(news)
        return self._turn, self._sight.value

    async def _run(self) -> None:
        pause = HURRIED
        while True:
            self._hinted.clear()
            soon = False
            try:
                sight = self._sight = await self._look()
                self._turn += 1
                soon = sight.soon
                self._listen(sight.ids)
                self._wake()
            except TransientError as error:
                log.warning("log.lookout_blind", error=str(error))
            except Exception:
                log.exception("log.lookout_failed")
            pause = min(EVERY, pause * 2) if soon else HURRIED
            await wait_for(self._hinted, pause if soon else EVERY)

    def _listen(self, ids: Iterable[str]) -> None:
        wanted = set(ids)
        for id in self._ears.keys() - wanted:
            self._ears.pop(id)()
        for id in wanted - self._ears.keys():
            self._ears[id] = self._hub.subscribe(id, self._on_hint)

    def _on_hint(self, _hint: Hint | None) -> None:
        self._hinted.set()

    def _wake(self) -> None:
        for news in self._waiting:
            if not news.done():
                news.set_result(None)
