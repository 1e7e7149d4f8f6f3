"""The store on one SQLite file. Its statements are in the modules named for what they read and write, the tables in ``schema``."""

from pathlib import Path

from fastlane.models.store_version import StoreVersion
from fastlane.storage.logic import StoreLogic
from fastlane.storage.sqlite.executions import SqliteExecutions
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.job_lists import SqliteJobLists
from fastlane.storage.sqlite.jobs import SqliteDeletion, SqliteJobs
from fastlane.storage.sqlite.lists import SqliteLists
from fastlane.storage.sqlite.logs import SqliteLogs
from fastlane.storage.sqlite.rows import SqliteRows
from fastlane.storage.sqlite.upkeep import SqliteHistory, SqliteRetention, SqliteTransfer


class SqliteStore(SqliteJobs, SqliteExecutions, SqliteDeletion, SqliteLists, SqliteJobLists, SqliteLogs, StoreLogic):
    """A ``Store`` on the file at ``path``, see ``SqliteFile``."""

    def __init__(self, path: Path | str, *, busy_timeout: float = 5.0) -> None:
        self._file = SqliteFile(path, busy_timeout)
        self._rows = SqliteRows(self._file)
        self.retention = SqliteRetention(self._file, self._rows)
        self.history = SqliteHistory(self._file)
        self.transfer = SqliteTransfer(self._file, self._rows)
        self.open, self.close = self._file.open, self._file.close

    async def check(self) -> None:
        await self._file.write(lambda db: db.execute("UPDATE checks SET count = count + 1").rowcount)

    async def version(self) -> StoreVersion:
        query = "SELECT store, commits FROM version WHERE id = 1"
        return await self._file.read(lambda db: StoreVersion(*db.execute(query).fetchone()))
