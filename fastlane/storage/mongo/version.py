"""The store's id and the number of its commits, which are one document.

To raise the number in each write would double the writes, all of one document. So a process raises it for what it has written in the last
moment, and before it reads it; a write that was answered is counted within ``PAUSE`` seconds.
"""

import asyncio
import contextlib
from datetime import UTC, datetime

from fastlane.errors import FastlaneError, StoreDown
from fastlane.models.ids import nonce
from fastlane.models.store_version import StoreVersion
from fastlane.storage.mongo.driver.database import Database
from fastlane.storage.mongo.schema import META

PAUSE = 0.25
"""Seconds between two counts of a process that keeps writing."""

_ID = "version"


class CommitCounter:
    """Counts the commits of this process."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._uncounted = False
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Gives a new store its id."""
        await self._db.upsert(META, _ID, {"$setOnInsert": {"store": nonce(), "commits": 0, "made_at": datetime.now(UTC)}})

    async def close(self) -> None:
        """Counts what is not counted yet, if the store answers."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(FastlaneError):
            await self._db.call(self._count)

    def committed(self) -> None:
        """Takes note of a commit."""
        self._uncounted = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._count_soon(), name="commit counter")

    async def check(self) -> None:
        """Raises the number: the store can be written."""
        if not await self._db.update(META, _ID, {}, {"$inc": {"commits": 1}}):
            raise StoreDown("the store has lost its data while fastlane used it; start fastlane again")

    async def version(self) -> StoreVersion:
        """How far the store has come, all commits of this process counted."""
        await self._count()
        stored = await self._db.one(META, _ID)
        if stored is None:
            raise StoreDown("the store has lost its data while fastlane used it; start fastlane again")
        return StoreVersion(stored["store"], stored["commits"])

    async def _count(self) -> None:
        if self._uncounted:
            self._uncounted = False
            try:
                await self.check()
            except BaseException:
                self._uncounted = True
                raise

    async def _count_soon(self) -> None:
        while self._uncounted:
            await asyncio.sleep(PAUSE)
            with contextlib.suppress(StoreDown):
                await self._db.call(self._count)
