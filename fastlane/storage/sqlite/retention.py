"""Retention on SQLite: each write is a transaction of some milliseconds."""

import sqlite3
from collections.abc import Sequence, Set

from fastlane.models.retention import Cuts, JobHistory
from fastlane.storage.retention import RetentionLogic
from fastlane.storage.rows import Rows
from fastlane.storage.sqlite import deletion
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.logs import logged
from fastlane.storage.sqlite.rows import as_json

FREE_PAGES, FREE_PART = 1_024, 16
"""So many free pages stay in the file, or this part of it, for what is written next."""
RELEASED_PAGES = 256
"""Pages that one step returns to the disk."""
INCREMENTAL = 2
"""SQLite's number of the mode in which it can return them."""

_CANDIDATES = """SELECT value FROM json_each(:jobs) AS one WHERE EXISTS (SELECT 1 FROM job_counts WHERE job_id = value)
    OR EXISTS (SELECT 1 FROM ticks INDEXED BY ticks_of_job WHERE job_id = value AND due < :before
        AND NOT EXISTS (SELECT 1 FROM executions WHERE executions.id = ticks.execution_id))
    OR EXISTS (SELECT 1 FROM executions INDEXED BY executions_of_job WHERE job_id = value AND finished_at < :logs
        AND settled = 1 AND cleaned = 1 AND EXISTS (SELECT 1 FROM log_chunks WHERE log_chunks.execution_id = executions.id))"""
"""A job with more than one tick or execution has a row among the counts."""


class SqliteRetention(RetentionLogic):
    """A ``RetentionStore`` of the file."""

    def __init__(self, file: SqliteFile, rows: Rows) -> None:
        super().__init__(rows)
        self._file = file

    async def candidates(self, jobs: Sequence[JobHistory], cuts: Cuts) -> Set[str]:
        given = {"jobs": as_json([job.job_id for job in jobs]), "before": cuts.executions, "logs": cuts.logs}
        rows = await self._file.read(lambda db: db.execute(_CANDIDATES, given).fetchall())
        return {id for (id,) in rows}

    async def logged(self, execution_ids: Sequence[str]) -> frozenset[str]:
        return await self._file.read(lambda db: logged(db, execution_ids))

    async def log_bytes(self) -> int:
        query = "SELECT value FROM counters WHERE name = 'log_bytes'"
        return await self._file.read(lambda db: int(db.execute(query).fetchone()[0]))

    async def prune_log(self, execution_id: str) -> bool:
        mark = "UPDATE executions SET truncated = 1 WHERE id = ? AND settled = 1 AND cleaned = 1"

        def prune(db: sqlite3.Connection) -> bool:
            if db.execute(mark, (execution_id,)).rowcount == 0:
                return False
            return deletion.delete_chunks(db, execution_id, deletion.MAX_CHUNKS) == deletion.MAX_CHUNKS

        return await self._file.write(prune)

    async def release_space(self) -> bool:
        if not await self._file.read(_has_much_room):
            return False
        await self._file.write(lambda db: len(db.execute(f"PRAGMA incremental_vacuum({RELEASED_PAGES})").fetchall()))
        return await self._file.read(_has_much_room)

    async def _raise_floor(self, job: JobHistory, floor: int) -> bool:
        statement = "UPDATE jobs SET floor = max(floor, ?) WHERE id = ? AND incarnation = ?"
        return await self._file.write(lambda db: db.execute(statement, (floor, job.job_id, job.incarnation)).rowcount == 1)

    async def _delete_executions(self, ids: Sequence[str]) -> tuple[int, int]:
        return await self._file.write(lambda db: deletion.delete_executions(db, ids)) if ids else (0, deletion.MAX_CHUNKS)

    async def _delete_logs(self, execution_ids: Sequence[str], chunks: int) -> int:
        return await self._file.write(lambda db: _delete_logs(db, execution_ids, chunks))


def _delete_logs(db: sqlite3.Connection, execution_ids: Sequence[str], chunks: int) -> int:
    """Deletes so many chunks of these logs, each from its end; how many logs are gone."""
    for number, id in enumerate(execution_ids):
        db.execute("UPDATE executions SET truncated = 1 WHERE id = ?", (id,))
        chunks -= deletion.delete_chunks(db, id, chunks)
        if chunks == 0:
            return number + (not db.execute("SELECT 1 FROM log_chunks WHERE execution_id = ? LIMIT 1", (id,)).fetchall())
    return len(execution_ids)


def _has_much_room(db: sqlite3.Connection) -> bool:
    """Whether more pages of the file are free than are to stay, and can be returned."""
    mode, free, all = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("auto_vacuum", "freelist_count", "page_count"))
    return mode == INCREMENTAL and free > max(FREE_PAGES, all // FREE_PART)
