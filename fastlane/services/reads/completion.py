"""Waiting for an execution's end, for whoever wants an answer with it: looks at the store on each hint, and once a second in any case."""

import asyncio

from fastlane.errors import TransientError
from fastlane.models.execution import Execution
from fastlane.models.schedule import tick
from fastlane.services.jobs.results import Enqueued
from fastlane.services.reads.views import ExecutionView, view_execution
from fastlane.storage.base import Store
from fastlane.streams.hub import Hub
from fastlane.streams.shared_poll import EVERY, HURRIED, wait_for


class CompletionWaiter:
    """Waits. ``close`` ends all waits: who waits gets what is known by then."""

    def __init__(self, store: Store, hub: Hub) -> None:
        self._store = store
        self._hub = hub
        self._news: set[asyncio.Event] = set()
        self._closed = False

    async def wait(self, made: Enqueued, seconds: float) -> ExecutionView | None:
        """The first execution of what was enqueued, with its log, once it has ended or that many seconds have passed; None when there is
        none by then. The job was accepted: when the store does not answer this waits on, and at last tells what it saw."""
        execution = await self._wait(made.execution_id or tick.execution_id(made.tick_id, 1), seconds)
        if execution is None:
            return None
        try:
            return await view_execution(self._store, execution, texts=True)
        except TransientError:
            return ExecutionView(execution, execution.stdout_bytes, execution.stderr_bytes, execution.truncated)

    def close(self) -> None:
        """Ends all waits."""
        self._closed = True
        for news in self._news:
            news.set()

    async def _wait(self, execution_id: str, seconds: float) -> Execution | None:
        loop = asyncio.get_running_loop()
        end, pause, seen = loop.time() + seconds, HURRIED, None
        news = asyncio.Event()
        self._news.add(news)
        deaf = self._hub.subscribe(execution_id, lambda _: news.set())
        try:
            while True:
                news.clear()
                seen = await self._look(execution_id) or seen
                left = end - loop.time()
                if left <= 0 or self._closed or (seen is not None and seen.status.final):
                    return seen
                await wait_for(news, min(pause, left))
                pause = min(pause * 2, EVERY)
        finally:
            deaf()
            self._news.discard(news)

    async def _look(self, execution_id: str) -> Execution | None:
        try:
            return await self._store.execution(execution_id)
        except TransientError:
            return None
