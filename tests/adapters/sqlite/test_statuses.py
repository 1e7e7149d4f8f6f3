"""The stored statuses of jobs in a file that an older fastlane uses, too."""

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from fastlane.models.status import Status
from fastlane.models.tick import next_execution
from fastlane.storage.records import EXECUTIONS, JOBS
from fastlane.storage.sqlite.connection import connect
from fastlane.storage.sqlite.migration import migrate
from fastlane.storage.sqlite.rows import insert_into
from fastlane.storage.sqlite.schema import JOB_STATUSES, MIGRATIONS, NEW_STATUS_RULE
from fastlane.storage.sqlite.store import SqliteStore
from tests.contract.statuses import ruled_statuses, stored_statuses
from tests.support.factories import new, new_job
from tests.support.previous_release import make_file

ADDED = {text.split()[5] for one in MIGRATIONS for text in one.statements if text.startswith("ALTER TABLE")}
BEFORE = tuple(name for name in EXECUTIONS.fields if name not in ADDED)
JOB_BEFORE = tuple(name for name in JOBS.columns if name not in ADDED)
"""The columns that migrations add to a table, and those of an execution and a job that the version before had."""
INSERT_JOB, INSERT_EXECUTION = insert_into("jobs", JOB_BEFORE), insert_into("executions", BEFORE)
"""As an older fastlane has them."""


def insert(db: sqlite3.Connection, *statuses: Status) -> list[str]:
    """What an older fastlane inserts: a job for each status, with an execution that has it, and one without any. Their ids."""
    jobs = []
    for status in statuses:
        job, _, execution = new("t")
        jobs.append(job)
        db.execute(INSERT_JOB, tuple(JOBS.row(job)[name] for name in JOB_BEFORE))
        row = EXECUTIONS.row(replace(execution, status=status))
        db.execute(INSERT_EXECUTION, tuple(row[name] for name in BEFORE))
    jobs.append(new_job("t", next_tick=9))
    db.execute(INSERT_JOB, tuple(JOBS.row(jobs[-1])[name] for name in JOB_BEFORE))
    return [job.id for job in jobs]


async def test_a_file_of_the_version_before_gets_the_statuses_of_all_its_jobs(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    make_file(path)
    with closing(connect(path, 5.0)) as db:
        migrate(db, 5.0, [one for one in MIGRATIONS if one.version < 25])
        ids = insert(db, *Status)
    store = SqliteStore(path)
    await store.open()
    assert await stored_statuses(store) == dict(zip(ids, [*map(str, Status), "scheduled"], strict=True))
    await store.close()


async def test_the_status_follows_the_statements_of_an_older_fastlane(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    with closing(connect(tmp_path / "store.db", 5.0)) as db:
        running, waiting, scheduled = insert(db, Status.RUNNING, Status.ENQUEUED)
        assert await stored_statuses(store) == {running: "running", waiting: "enqueued", scheduled: "scheduled"}
        db.execute("UPDATE executions SET status = 'failed' WHERE job_id = ?", (running,))
        db.execute("UPDATE jobs SET held_tick = next_tick, next_tick = NULL WHERE id = ?", (scheduled,))
        assert await stored_statuses(store) == {running: "failed", waiting: "enqueued", scheduled: "paused"}
        attempt = next_execution((await store.executions_of(running, 1))[0], due=1, now=1)
        db.execute(INSERT_EXECUTION, tuple(EXECUTIONS.row(attempt)[name] for name in BEFORE))
        db.execute("DELETE FROM executions WHERE job_id = ?", (waiting,))
        assert await stored_statuses(store) == {running: "enqueued", waiting: "expired", scheduled: "paused"}
    assert await stored_statuses(store) == await ruled_statuses(store)
    await store.close()


async def test_a_status_that_someone_has_damaged_is_put_right(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    await store.create(*new("t"))
    with closing(connect(tmp_path / "store.db", 5.0)) as db:
        db.execute("UPDATE jobs SET job_status = 'done'")
    assert (await store.walk_statuses(1, "", 10)).repaired == 1
    assert await store.jobs_by_status() == {"enqueued": 1}
    await store.close()


def test_a_change_of_the_rule_comes_with_a_migration() -> None:
    """The triggers of files that have this one are of the rule as it was then: when this fails, add a migration that drops them and makes
    them again, and keep the text of this one."""
    found = ["\n".join(" ".join(one.split()) for one in statements) for statements in (JOB_STATUSES, NEW_STATUS_RULE)]
    assert [hashlib.sha256(text.encode()).hexdigest()[:16] for text in found] == ["0e94752881df10a9", "b90175a38c57fbed"]
