"""Finds stored statuses of jobs that are not what the rule says, and writes them. Triggers write the others (``status_tables``); here are
those that only the time has changed."""

import sqlite3
from collections.abc import Sequence

import orjson

from fastlane.storage.base import StatusWalk
from fastlane.storage.sqlite.status_tables import is_over, job_status

_NOW = "max(ifnull(next_tick, :now), :now)"
_PAGE = "SELECT id FROM jobs WHERE id > :after ORDER BY id LIMIT :limit"
_LATE = f"SELECT id FROM jobs INDEXED BY jobs_due WHERE next_tick < :now AND {is_over(_NOW)} LIMIT :limit"
_WRONG = f"""SELECT asked.value FROM json_each(:ids) AS asked CROSS JOIN jobs ON jobs.id = asked.value
    WHERE job_status IS NOT {job_status(_NOW)}"""
_WRITE = f"""UPDATE jobs SET job_status = {job_status(_NOW)} WHERE id IN (SELECT value FROM json_each(:ids))
    AND job_status IS NOT {job_status(_NOW)}"""


def wrong(db: sqlite3.Connection, now: int, after: str, limit: int) -> tuple[StatusWalk, list[str]]:
    """Of the next jobs by id, and of those that may have expired before their tick, the ids of those with a wrong status; and how far that
    is."""
    given = {"now": now, "after": after, "limit": limit}
    page = [id for (id,) in db.execute(_PAGE, given).fetchall()]
    late = [id for (id,) in db.execute(_LATE, given).fetchall()]
    found = db.execute(_WRONG, {"ids": _json({*page, *late}), "now": now}).fetchall()
    return StatusWalk(page[-1] if len(page) == limit else None), [id for (id,) in found]


def write(db: sqlite3.Connection, ids: Sequence[str], now: int) -> int:
    """Writes the statuses of these jobs; how many were others."""
    return db.execute(_WRITE, {"ids": _json(ids), "now": now}).rowcount


def _json(ids: Sequence[str] | set[str]) -> str:
    return orjson.dumps(sorted(ids)).decode()
