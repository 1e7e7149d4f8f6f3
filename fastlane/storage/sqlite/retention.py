"""Retention on SQLite: each step is one transaction of some milliseconds. What is overdue is found by a reader first, so that nobody takes
the lock for nothing."""

import sqlite3
from collections.abc import Sequence, Set

import orjson

from fastlane.models.retention import Cuts, JobHistory, PastExecution, overdue_executions, ticks_of
from fastlane.storage.base import ALL, ONE_STEP, HistoryPage, LogPage, Most, Removed, StoredLog
from fastlane.storage.histories import job_history
from fastlane.storage.readable import readable
from fastlane.storage.sqlite import deletion, events
from fastlane.storage.sqlite.driver.readers import Readers
from fastlane.storage.sqlite.driver.writer import Writer
from fastlane.storage.sqlite.event_tables import END_NOTED
from fastlane.storage.sqlite.jobs import FIRST, LAST
from fastlane.storage.sqlite.rows import fetched
from fastlane.storage.sqlite.schema import OVER, TO_COME, TO_SEND

FREE_PAGES, FREE_PART = 1_024, 16
"""So many free pages stay in the file, or this part of it, for what is written next."""
RELEASED_PAGES = 256
"""Pages that one step returns to the disk."""
INCREMENTAL = 2
"""SQLite's number of the mode in which it can return them."""

_HISTORIES = f"""SELECT id, task_id, incarnation, created_at, modified_at, sequence, {TO_COME}, spec
    FROM jobs INDEXED BY jobs_by_creation WHERE (created_at, id) > (?, ?) AND (created_at, id) <= (?, ?)
    AND NOT ({TO_COME} AND sequence = 0 AND last_tick IS NULL) ORDER BY created_at, id"""
_LAST_OF_PAGE = """SELECT created_at, id FROM jobs INDEXED BY jobs_by_creation WHERE (created_at, id) > (?, ?)
    ORDER BY created_at, id LIMIT 1 OFFSET ? - 1"""
_OWED = f"""EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_of_execution
    WHERE deliveries.execution_id = executions.id AND {TO_SEND})"""
_NEWEST = """SELECT sequence, finished_at FROM executions INDEXED BY executions_of_job WHERE job_id = ?
    ORDER BY sequence DESC, attempt DESC LIMIT 1 OFFSET ?"""
_UNFINISHED = """SELECT 1 FROM executions INDEXED BY executions_unfinished
    WHERE task_id = ? AND job_id = ? AND (settled = 0 OR cleaned = 0) LIMIT 1"""
_OWED_OF_JOB = f"SELECT 1 FROM executions INDEXED BY executions_of_job WHERE job_id = ? AND {_OWED} LIMIT 1"
_OLDEST = f"""SELECT id, tick_id, sequence, finished_at, settled, cleaned, {_OWED}
    FROM executions INDEXED BY executions_of_job WHERE job_id = :job AND sequence <= ifnull(
        (SELECT sequence FROM executions INDEXED BY executions_of_job WHERE job_id = :job
            ORDER BY sequence, attempt LIMIT 1 OFFSET :limit - 1), {2**62})
    ORDER BY sequence, attempt"""
_OLD_TICKS = """SELECT id FROM ticks INDEXED BY ticks_of_job WHERE job_id = :job
    AND due < max(:before, ifnull((SELECT due FROM ticks INDEXED BY ticks_of_job WHERE job_id = :job
        ORDER BY due DESC, id DESC LIMIT 1 OFFSET :kept - 1), :before))
    AND NOT EXISTS (SELECT 1 FROM executions WHERE executions.id = ticks.execution_id)
    ORDER BY due, id LIMIT :limit"""
_OLD_LOGS = """SELECT id FROM executions INDEXED BY executions_of_job WHERE job_id = ? AND finished_at < ? AND settled = 1 AND cleaned = 1
    AND EXISTS (SELECT 1 FROM log_chunks WHERE log_chunks.execution_id = executions.id) ORDER BY sequence, attempt LIMIT ?"""
_CANDIDATES = """SELECT value FROM json_each(:jobs) AS one WHERE EXISTS (SELECT 1 FROM job_counts WHERE job_id = value)
    OR EXISTS (SELECT 1 FROM ticks INDEXED BY ticks_of_job WHERE job_id = value AND due < :before
        AND NOT EXISTS (SELECT 1 FROM executions WHERE executions.id = ticks.execution_id))
    OR EXISTS (SELECT 1 FROM executions INDEXED BY executions_of_job WHERE job_id = value AND finished_at < :logs
        AND settled = 1 AND cleaned = 1 AND EXISTS (SELECT 1 FROM log_chunks WHERE log_chunks.execution_id = executions.id))"""
"""A job with more than one tick or execution has a row among the counts."""
_LOG_BYTES = "SELECT value FROM counters WHERE name = 'log_bytes'"
_LOGS = f"""WITH page AS (SELECT end_noted_at, id FROM executions INDEXED BY executions_by_end
        WHERE {END_NOTED} AND (end_noted_at, id) > (?, ?) ORDER BY end_noted_at, id LIMIT ?),
    sized AS (SELECT *, (SELECT end_offset FROM log_chunks WHERE execution_id = page.id ORDER BY sequence DESC LIMIT 1) AS size FROM page)
    SELECT *, CASE WHEN size IS NOT NULL THEN (SELECT settled AND cleaned FROM executions WHERE executions.id = sized.id) END FROM sized"""
_DELETE_TICKS = "DELETE FROM ticks WHERE id IN (SELECT value FROM json_each(?))"
_SENT = f"FROM deliveries INDEXED BY deliveries_by_age WHERE {OVER} AND created_at < ?"


class SqliteRetention:
    """A ``RetentionStore`` beside the other verbs of the file."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def histories(self, limit: int, after: tuple[int, str] | None = None) -> HistoryPage:
        return await self._readers.run(lambda db: _histories(db, limit, after or FIRST))

    async def candidates(self, jobs: Sequence[JobHistory], cuts: Cuts) -> Set[str]:
        given = {"jobs": orjson.dumps([job.job_id for job in jobs]).decode(), "before": cuts.executions, "logs": cuts.logs}
        rows = await self._readers.run(lambda db: db.execute(_CANDIDATES, given).fetchall())
        return {id for (id,) in rows}

    async def is_over(self, job: JobHistory, before: int) -> bool:
        return await self._readers.run(lambda db: _is_over(db, job, before))

    async def overdue(self, job: JobHistory, cuts: Cuts, *, whole: bool = False) -> Removed:
        return await self._readers.run(lambda db: _overdue(db, job, cuts, ALL if whole else ONE_STEP))

    async def prune(self, job: JobHistory, cuts: Cuts) -> Removed:
        return await self._writer.run(lambda db: _prune(db, job, cuts))

    async def overdue_deliveries(self, before: int) -> int:
        return await self._readers.run(lambda db: int(db.execute(f"SELECT count(*) {_SENT}", (before,)).fetchone()[0]))

    async def prune_events(self, before: int, limit: int) -> int:
        return await self._writer.run(lambda db: events.prune(db, before, limit))

    async def prune_deliveries(self, before: int, limit: int) -> int:
        statement = f"DELETE FROM deliveries WHERE rowid IN (SELECT rowid {_SENT} ORDER BY created_at, id LIMIT ?)"
        return await self._writer.run(lambda db: db.execute(statement, (before, limit)).rowcount)

    async def log_bytes(self) -> int:
        return await self._readers.run(lambda db: int(db.execute(_LOG_BYTES).fetchone()[0]))

    async def stored_logs(self, limit: int, after: tuple[int, str] | None = None) -> LogPage:
        rows = await self._readers.run(lambda db: db.execute(_LOGS, (*(after or FIRST), limit)).fetchall())
        logs = [StoredLog(id, size, bool(may_go)) for _, id, size, may_go in rows if size is not None]
        return LogPage(logs, rows[-1][:2] if len(rows) == limit else None)

    async def prune_log(self, execution_id: str) -> bool:
        return await self._writer.run(lambda db: _prune_log(db, execution_id))

    async def release_space(self) -> bool:
        if not await self._readers.run(_has_much_room):
            return False
        await self._writer.run(lambda db: len(db.execute(f"PRAGMA incremental_vacuum({RELEASED_PAGES})").fetchall()))
        return await self._readers.run(_has_much_room)


def _histories(db: sqlite3.Connection, limit: int, after: tuple[int, str]) -> HistoryPage:
    last = fetched(db, _LAST_OF_PAGE, (*after, limit))
    rows = fetched(db, _HISTORIES, (*after, *(last[0] if last else LAST)))
    return HistoryPage(readable(rows, lambda row: job_history(*row)), (last[0][0], last[0][1]) if last else None)


def _is_over(db: sqlite3.Connection, job: JobHistory, before: int) -> bool:
    if job.to_come or job.modified_at >= before or db.execute(_UNFINISHED, (job.task_id, job.job_id)).fetchall():
        return False
    newest = db.execute(_NEWEST, (job.job_id, 0)).fetchone()
    ended = newest is None or (newest[1] is not None and newest[1] < before)
    return ended and not db.execute(_OWED_OF_JOB, (job.job_id,)).fetchall()


def _overdue(db: sqlite3.Connection, job: JobHistory, cuts: Cuts, most: Most) -> Removed:
    executions = _oldest(db, job, cuts, most)
    ticks = [*ticks_of(executions), *_old_ticks(db, job, cuts, most)]
    going = {execution.id for execution in executions}
    logs = [id for id in _old_logs(db, job, cuts, most) if id not in going]
    more = len(executions) >= most.executions or len(ticks) >= most.ticks or len(logs) >= most.logs
    return Removed(len(executions), len(ticks), len(logs), more)


def _prune(db: sqlite3.Connection, job: JobHistory, cuts: Cuts) -> Removed:
    if not db.execute("SELECT 1 FROM jobs WHERE id = ? AND incarnation = ?", (job.job_id, job.incarnation)).fetchall():
        return Removed()
    executions = _oldest(db, job, cuts)
    if executions:
        db.execute("UPDATE jobs SET floor = max(floor, ?) WHERE id = ?", (executions[-1].sequence, job.job_id))
    gone, chunks = deletion.delete_executions(db, [execution.id for execution in executions[: ONE_STEP.executions]])
    left = set(ticks_of(executions[gone:]))
    ticks = [id for id in ticks_of(executions[:gone]) if id not in left]
    without = _old_ticks(db, job, cuts)
    rows = db.execute(_DELETE_TICKS, (orjson.dumps([*ticks, *without]).decode(),)).rowcount
    logs = _old_logs(db, job, cuts) if gone == len(executions) else []
    more = bool(logs) or len(executions) >= ONE_STEP.executions or gone < len(executions) or len(without) >= ONE_STEP.ticks
    return Removed(gone, rows, _delete_logs(db, logs, chunks), more)


def _oldest(db: sqlite3.Connection, job: JobHistory, cuts: Cuts, most: Most = ONE_STEP) -> list[PastExecution]:
    """The job's oldest executions that may go: so many at most, and the other attempts of the last one's tick."""
    newest = db.execute(_NEWEST, (job.job_id, 0)).fetchone()
    kept = db.execute(_NEWEST, (job.job_id, cuts.max_executions - 1)).fetchone()
    rows = db.execute(_OLDEST, {"job": job.job_id, "limit": most.executions}).fetchall()
    found = [PastExecution(*row[:4], *map(bool, row[4:])) for row in rows]
    return overdue_executions(found, cuts, newest=0 if newest is None else newest[0], kept_from=0 if kept is None else kept[0])


def _old_ticks(db: sqlite3.Connection, job: JobHistory, cuts: Cuts, most: Most = ONE_STEP) -> list[str]:
    """Old rows of the ledger that have no execution, or none any more."""
    given = {"job": job.job_id, "before": cuts.executions, "kept": cuts.max_executions, "limit": most.ticks}
    return [id for (id,) in db.execute(_OLD_TICKS, given)]


def _old_logs(db: sqlite3.Connection, job: JobHistory, cuts: Cuts, most: Most = ONE_STEP) -> list[str]:
    """Executions with an old log, the oldest first."""
    return [id for (id,) in db.execute(_OLD_LOGS, (job.job_id, cuts.logs, most.logs))]


def _delete_logs(db: sqlite3.Connection, execution_ids: Sequence[str], chunks: int) -> int:
    """Deletes so many chunks of these logs, each from its end; how many logs are gone."""
    for number, id in enumerate(execution_ids):
        db.execute("UPDATE executions SET truncated = 1 WHERE id = ?", (id,))
        chunks -= deletion.delete_chunks(db, id, chunks)
        if chunks == 0:
            return number + (not db.execute("SELECT 1 FROM log_chunks WHERE execution_id = ? LIMIT 1", (id,)).fetchall())
    return len(execution_ids)


def _prune_log(db: sqlite3.Connection, execution_id: str) -> bool:
    if db.execute("UPDATE executions SET truncated = 1 WHERE id = ? AND settled = 1 AND cleaned = 1", (execution_id,)).rowcount == 0:
        return False
    return deletion.delete_chunks(db, execution_id, deletion.CHUNKS) == deletion.CHUNKS


def _has_much_room(db: sqlite3.Connection) -> bool:
    """Whether more pages of the file are free than are to stay, and can be returned."""
    mode, free, all = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("auto_vacuum", "freelist_count", "page_count"))
    return mode == INCREMENTAL and free > max(FREE_PAGES, all // FREE_PART)
