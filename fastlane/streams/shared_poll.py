"""Reads the store on behalf of everyone in this process who waits for the same thing: on each hint, and once a second in any case."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from fastlane.errors import TransientError
from fastlane.streams.hint_wait import HintWait
from fastlane.streams.hub import Hub

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T]):
    """What a read showed. A hint of one of the executions ``ids`` is a reason to read again; ``soon``: so is a short wait."""

    value: T
    ids: frozenset[str]
    soon: bool = False


class SharedPoll(Generic[T]):
    """Reads repeatedly until it is closed. ``close`` ends its task."""

    def __init__(self, hub: Hub, read: Callable[[], Awaitable[Snapshot[T]]]) -> None:
        self._read = read
        self._hints = HintWait(hub)
        self._waiting: set[asyncio.Future[None]] = set()
        self._latest: Snapshot[T] | None = None
        self._number = 0
        self._task = asyncio.create_task(self._run(), name="shared poll")

    async def close(self) -> None:
        """Ends the reads."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._hints.close()

    async def after(self, number: int) -> tuple[int, T]:
        """What a read after the one with that number showed, and its own number; 0 comes before the first."""
        while self._latest is None or self._number <= number:
            next_read = asyncio.get_running_loop().create_future()
            self._waiting.add(next_read)
            try:
                await next_read
            finally:
                self._waiting.discard(next_read)
        return self._number, self._latest.value

    async def _run(self) -> None:
        while True:
            self._hints.clear()
            hurry = False
            try:
                snapshot = self._latest = await self._read()
                self._number += 1
                hurry = snapshot.soon
                self._hints.subscribe(snapshot.ids)
                self._wake()
            except TransientError as error:
                log.warning("log.lookout_blind", error=str(error))
            except Exception:
                log.exception("log.lookout_failed")
            await self._hints.wait(hurry=hurry)

    def _wake(self) -> None:
        for next_read in self._waiting:
            if not next_read.done():
                next_read.set_result(None)
