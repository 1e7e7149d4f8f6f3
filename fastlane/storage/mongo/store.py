"""The store in a MongoDB database, which processes on several machines share.

The calls are in the modules named for what they read and write, the collections and indexes in ``schema``, the driver in ``database``.
"""

import asyncio

from fastlane.models.store_version import StoreVersion
from fastlane.storage.logic import StoreLogic
from fastlane.storage.mongo.commits import CommittedRows, Finisher, complete_pending
from fastlane.storage.mongo.database import Database, Turns, read_url
from fastlane.storage.mongo.executions import MongoExecutions
from fastlane.storage.mongo.history import MongoHistory
from fastlane.storage.mongo.jobs import MongoDeletion, MongoJobs
from fastlane.storage.mongo.lists import MongoLists
from fastlane.storage.mongo.logs import MongoLogs
from fastlane.storage.mongo.migration import prepare
from fastlane.storage.mongo.rows import CommitCounter
from fastlane.storage.mongo.statuses import JobStatuses
from fastlane.storage.mongo.upkeep import MongoRetention, MongoTransfer

DEADLINE = 5.0
"""Seconds that a call may take."""


class MongoStore(MongoJobs, MongoExecutions, MongoDeletion, MongoLists, MongoLogs, StoreLogic):
    """A ``Store`` in the database that a URL names. Every call ends within ``deadline`` seconds, with StoreDown if it must."""

    _rows: CommittedRows

    def __init__(self, url: str, *, deadline: float = DEADLINE) -> None:
        self._db = Database(read_url(url), deadline)
        self._finisher = Finisher(self._db)
        self._commits = CommitCounter(self._db)
        self._turns = Turns()
        self._statuses = JobStatuses(self._db)
        self._rows = CommittedRows(self._db, self._commits)
        self.history = MongoHistory(self._db, self._rows)
        self.retention = MongoRetention(self._db, self._rows, self._statuses)
        self.transfer = MongoTransfer(self._db, self._rows, self._statuses)

    async def open(self) -> None:
        """Raises FastlaneError for a database that only a newer fastlane may use."""
        await asyncio.to_thread(self._db.open)  # a URL with +srv asks DNS
        try:
            await prepare(self._db)
            await self._db.call(self._commits.open)
            await self._db.call(lambda: complete_pending(self._db))
        except BaseException:
            await self._db.close()
            raise
        self._finisher.start()

    async def close(self) -> None:
        await self._finisher.close()
        await self._statuses.close()
        await self._commits.close()
        await self._db.close()

    async def check(self) -> None:
        await self._db.call(self._commits.check)

    async def version(self) -> StoreVersion:
        return await self._db.call(self._commits.version)
