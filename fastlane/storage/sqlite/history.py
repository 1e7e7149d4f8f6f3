"""Counts of ends: a trigger counts each execution in the commit that ends it."""

import sqlite3
from collections.abc import Sequence

from fastlane.models.retention import ENDS, HourCount, WantedHours
from fastlane.storage.sqlite.file import SqliteFile

_SUMS = f"hour, {', '.join(f'sum({status.value})' for status in ENDS)}, sum(started), sum(late), max(latest)"
_BEFORE = "FROM hours INDEXED BY hours_by_age WHERE hour < ?"


class SqliteHistory:
    """A ``HistoryStore`` beside the other verbs of the file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def count_ends(self, limit: int) -> int:
        del limit  # a trigger has counted them
        return 0

    async def hours(self, wanted: WantedHours) -> Sequence[HourCount]:
        return await self._file.list(lambda db: _hours(db, wanted))

    async def overdue_hours(self, before: int) -> int:
        return await self._file.list(lambda db: int(db.execute(f"SELECT count(*) {_BEFORE}", (before,)).fetchone()[0]))

    async def prune_hours(self, before: int, limit: int) -> int:
        statement = f"DELETE FROM hours WHERE rowid IN (SELECT rowid {_BEFORE} ORDER BY hour LIMIT ?)"
        return await self._file.write(lambda db: db.execute(statement, (before, limit)).rowcount)


def _hours(db: sqlite3.Connection, wanted: WantedHours) -> list[HourCount]:
    given = {"since": wanted.since, "until": wanted.until, "task": wanted.task_id, "pool": wanted.pool, "visible": wanted.visible}
    index = "hours_by_age" if wanted.task_id is None else "hours_of_task"
    conditions = ["hour >= :since", "hour < :until"]
    conditions += ["task_id = :task"] if wanted.task_id is not None else []
    conditions += ["pool = :pool"] if wanted.pool is not None else []
    conditions += ["visible(:visible, task_id)"] if wanted.visible is not None else []
    query = f"SELECT {_SUMS} FROM hours INDEXED BY {index} WHERE {' AND '.join(conditions)} GROUP BY hour ORDER BY hour"
    return [count_of(*row) for row in db.execute(query, given)]


def count_of(hour: int, *values: int) -> HourCount:
    """The counts of a row: how many ended in each of ``ENDS``, how many started, how late they did."""
    *ended, started, late, latest = values
    return HourCount(hour, {status: count for status, count in zip(ENDS, ended, strict=True) if count}, started, late, latest)
