"""What of a job is under way: the executions that another tick of it meets, and the one that waits for them."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from operator import attrgetter
from typing import Any

import orjson

from fastlane.models.execution import Execution
from fastlane.models.retry import is_under_way
from fastlane.storage.documents import execution_of
from fastlane.storage.overlaps import MOST, OVER
from fastlane.storage.readable import readable
from fastlane.storage.sqlite.executions import BELONGS, QUALIFIED
from fastlane.storage.sqlite.rows import fetched, with_any_text
from fastlane.storage.sqlite.schema import UNFINISHED, WAITING

_OVER = ", ".join(f"'{status}'" for status in OVER)
_UNDER_WAY = f"""SELECT {QUALIFIED} FROM jobs CROSS JOIN executions INDEXED BY executions_unfinished
    WHERE jobs.id = ? AND executions.task_id = ? AND executions.job_id = jobs.id AND {BELONGS} AND {UNFINISHED} AND settled = 0
        AND status NOT IN ({_OVER})
    ORDER BY executions.sequence, executions.attempt"""
_WAITING = f"""SELECT {QUALIFIED} FROM json_each(?) AS asked CROSS JOIN executions INDEXED BY executions_waiting
    ON executions.job_id = asked.value AND {WAITING}"""

_ENQUEUED = f"""SELECT count(*) FROM (SELECT 1 FROM executions INDEXED BY executions_unfinished
    WHERE task_id = ? AND {UNFINISHED} AND status = 'enqueued' LIMIT ?) AS one_page"""


def waiting(db: sqlite3.Connection, job_ids: Sequence[str]) -> list[Execution | None]:
    """The newest execution of each of these jobs that waits for others of its job, in their order."""
    found = readable(fetched(db, _WAITING, (orjson.dumps(list(job_ids)).decode(),)), _execution)
    newest = {execution.job_id: execution for execution in sorted(found, key=attrgetter("sequence"))}
    return [newest.get(id) for id in job_ids]


def waiting_of(db: sqlite3.Connection, task_id: str, most: int) -> int:
    """How many executions of the task are enqueued, at most so many."""
    return int(db.execute(_ENQUEUED, (task_id, most)).fetchone()[0])


def under_way_of(db: sqlite3.Connection, task_id: str, job_id: str) -> list[Execution]:
    """The oldest ``MOST`` executions of the job that are under way, and its newest one that waits, oldest first. One statement reads the
    former, so they are of one moment. Raises Unreadable: one that cannot be read may run."""
    found = with_any_text(db, lambda: _oldest(db, task_id, job_id))
    if len(found) < MOST:
        return found
    last = waiting(db, [job_id])[0]
    return found if last is None or last in found else [*found, last]


def _oldest(db: sqlite3.Connection, task_id: str, job_id: str) -> list[Execution]:
    with closing(db.execute(_UNDER_WAY, (job_id, task_id))) as rows:
        return list(islice(filter(is_under_way, map(_execution, rows)), MOST))


def _execution(row: Sequence[Any]) -> Execution:
    return execution_of(list(row))
