"""Completes intents: those of this process's commits at once, and those that other processes left behind after a while."""

import asyncio
import contextlib
from functools import partial

import structlog

from fastlane.errors import FastlaneError
from fastlane.storage.mongo.commits.intents import complete, complete_pending
from fastlane.storage.mongo.driver.database import Database, Document

log = structlog.get_logger()

PATIENCE = 2.0
"""Seconds that a commit's caller waits for its intent to be completed. The commit is made, so it succeeds in any case."""
ROUND = 2.0
"""Seconds between two looks for intents. One that is seen twice was left behind."""


class Finisher:
    """Owns the tasks that complete intents."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._running: set[asyncio.Task[None]] = set()
        self._rounds: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to look for intents that were left behind."""
        self._rounds = asyncio.create_task(self._look(), name="intents")

    async def close(self) -> None:
        """Ends when what was begun is done."""
        if self._rounds is not None:
            self._rounds.cancel()
            await asyncio.gather(self._rounds, return_exceptions=True)
        await asyncio.gather(*self._running, return_exceptions=True)

    async def finish(self, job: Document | None) -> None:
        """Completes the intent of a commit. Returns without an error when that takes long or fails: it is done later."""
        if job is None:
            return
        task = asyncio.create_task(self._complete(job))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait({task}, timeout=PATIENCE)

    async def _complete(self, job: Document) -> None:
        try:
            await self._db.call(lambda: complete(self._db, job))
        except FastlaneError as error:
            log.warning("store.intent_left", job_id=job["_id"], error=str(error))

    async def _look(self) -> None:
        seen: set[str] = set()
        while True:
            await asyncio.sleep(ROUND)
            with contextlib.suppress(FastlaneError):
                seen = await self._db.call(partial(complete_pending, self._db, seen))
