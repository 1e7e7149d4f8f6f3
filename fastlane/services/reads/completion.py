"""Waits for a job's attempts to end, for a request that wants their result in the answer."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from fastlane.errors import TransientError
from fastlane.models.execution import Execution
from fastlane.models.schedule import tick
from fastlane.models.schedule.retry import is_under_way, retry_due
from fastlane.services.reads.views import ExecutionView, view_execution
from fastlane.services.results import Enqueued
from fastlane.storage.base import Store
from fastlane.streams.hint_wait import HintWait
from fastlane.streams.hub import Hub


class CompletionWaiter:
    """Waits. After ``close``, every wait returns what is known by then."""

    def __init__(self, store: Store, hub: Hub) -> None:
        self._store = store
        self._hub = hub
        self._waits: set[HintWait] = set()
        self._closed = False

    async def wait(self, enqueued: Enqueued, seconds: float) -> ExecutionView | None:
        """The last attempt at an accepted job, with its log, once it has ended and none follows; or the newest one after that many seconds,
        None when there is none by then. While the store is down this waits on, since the job was accepted, and returns what was last
        seen."""
        execution = await self._wait(enqueued.execution_id or tick.execution_id(enqueued.tick_id, 1), seconds)
        if execution is None:
            return None
        try:
            return await view_execution(self._store, execution, texts=True)
        except TransientError:
            return ExecutionView(execution, execution.stdout_bytes, execution.stderr_bytes, execution.truncated)

    def close(self) -> None:
        """Ends all waits."""
        self._closed = True
        for wait in self._waits:
            wait.end()

    async def _wait(self, execution_id: str, seconds: float) -> Execution | None:
        loop = asyncio.get_running_loop()
        end, seen = loop.time() + seconds, None
        with self._hints(execution_id) as hints:
            while True:
                hints.clear()
                seen = await self._read(seen.id if seen is not None else execution_id) or seen
                left = end - loop.time()
                if left <= 0 or self._closed or (seen is not None and not is_under_way(seen)):
                    return seen
                hints.subscribe([seen.id if seen is not None else execution_id])
                await hints.wait(hurry=True, at_most=left)

    @contextmanager
    def _hints(self, execution_id: str) -> Iterator[HintWait]:
        wait = HintWait(self._hub, [execution_id])
        self._waits.add(wait)
        try:
            yield wait
        finally:
            self._waits.discard(wait)
            wait.close()

    async def _read(self, execution_id: str) -> Execution | None:
        """An execution, or the newest attempt after it. Each attempt is inserted before the one that it follows is settled."""
        try:
            execution = following = await self._store.execution(execution_id)
            while following is not None and retry_due(following) is not None:
                execution = following
                following = await self._store.execution(tick.execution_id(execution.tick_id, execution.attempt + 1))
        except TransientError:
            return None
        return following or execution
