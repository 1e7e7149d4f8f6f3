import sqlite3
import stat
from dataclasses import replace

import pytest

from fastlane.errors import FastlaneError
from fastlane.models.paging import Window
from fastlane.models.status import FINAL, UNDER_WAY, Status
from fastlane.storage import records
from fastlane.storage.sqlite import schema
from fastlane.storage.sqlite.connection import connect
from fastlane.storage.sqlite.migration import migrate, prepare
from fastlane.storage.sqlite.schema import MIGRATIONS, VERSION, Migration
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.factories import new
from tests.support.previous_release import make_file, output_of

LATER = Migration(
    VERSION + 1, VERSION, ("ALTER TABLE executions ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'", "CREATE TABLE extra (id TEXT)")
)
BREAKING = Migration(VERSION + 2, VERSION + 2, ("DROP TABLE ticks",))


@pytest.fixture
def path(tmp_path):
    prepare(tmp_path / "store.db", 5.0)
    return tmp_path / "store.db"


def migrated(path, *more):
    db = connect(path, 5.0)
    migrate(db, 5.0, [*MIGRATIONS, *more])
    db.close()


OWN = {"created_by", "start_noted_at", "end_noted_at", "job_status"}
"""Columns that events and lists are read from; no value has them."""


@pytest.mark.parametrize("record", records.RECORDS, ids=lambda record: record.name)
def test_each_field_of_a_value_has_its_column(path, record):
    db = connect(path, 5.0)
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({record.name})")]
    db.close()
    assert sorted(column for column in columns if column not in OWN) == sorted(record.columns)


@pytest.mark.parametrize("index", [*records.INDEXES, *records.OF_SQLITE], ids=lambda index: index.name)
def test_each_index_has_the_fields_and_the_condition_that_its_record_declares(path, index):
    db = connect(path, 5.0)
    (text,) = db.execute("SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = ?", (index.name,)).fetchone()
    db.close()
    on, _, condition = text.partition(" WHERE ")
    assert on.endswith(f"ON {index.record.name} ({', '.join(index.keys)})")
    assert condition == ("" if index.where is None else index.where.sql)


def test_each_status_has_a_counter_and_stands_in_one_partial_condition(path):
    db = connect(path, 5.0)
    names = {name for (name,) in db.execute("SELECT name FROM counters")}
    db.close()
    assert names == {"tasks", "jobs", "log_bytes", *Status}
    for condition, statuses in ((schema.UNDER_WAY, UNDER_WAY), (schema.ENDED, FINAL)):
        assert {status for status in Status if f"'{status}'" in condition} == statuses


def test_a_connection_syncs_every_commit_into_the_write_ahead_log(path):
    db = connect(path, 5.0)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    db.close()


def test_the_file_is_its_owners_alone(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_later_migration_keeps_the_data_and_the_older_code_goes_on_with_it(path):
    before, after = new(), new()
    store = SqliteStore(path)
    await store.open()
    await store.create(*before)
    migrated(path, LATER)
    await store.create(*after)
    assert await store.execution(before[2].id) == before[2]
    await store.close()
    again = SqliteStore(path)
    await again.open()
    assert await again.execution(after[2].id) == after[2]
    await again.close()


async def test_a_file_that_only_a_newer_fastlane_may_use_is_refused_and_left_alone(path):
    migrated(path, LATER, BREAKING)
    content = path.read_bytes()
    with pytest.raises(FastlaneError, match=f"needs schema {VERSION + 2}, this one has {VERSION}"):
        await SqliteStore(path).open()
    assert path.read_bytes() == content


def test_a_migration_that_fails_leaves_nothing_of_it(path):
    db = connect(path, 5.0)
    with pytest.raises(sqlite3.OperationalError):
        migrate(db, 5.0, [*MIGRATIONS, Migration(VERSION + 1, 1, ("CREATE TABLE extra (id TEXT)", "no statement"))])
    assert db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'extra'").fetchone() == (0,)
    assert db.execute("SELECT max(version) FROM schema").fetchone() == (VERSION,)
    db.close()


def test_another_process_may_apply_the_last_part_just_before(path):
    looks = []

    def look(statement):
        """Just before the second look for what is missing, the other process applies it."""
        if "max(version)" in statement:
            looks.append(statement)
            if len(looks) == 2:
                migrated(path, LATER)

    db = connect(path, 5.0)
    db.set_trace_callback(look)
    migrate(db, 5.0, [*MIGRATIONS, LATER])
    assert len(looks) >= 2
    assert db.execute("SELECT max(version) FROM schema").fetchone() == (LATER.version,)
    db.close()


async def test_a_file_that_is_not_a_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, by far\n" * 100)
    with pytest.raises(FastlaneError, match="not an SQLite database"):
        await SqliteStore(path).open()
    assert path.read_text().startswith("not a database")


def shape(path):
    """The tables of a file with their columns, and its indexes and triggers, however they came about."""
    db = connect(path, 5.0)
    tables, rest = {}, {}
    for kind, name, text in db.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL"):
        if kind == "table":
            columns = {column[1:4] + column[5:] for column in db.execute(f"PRAGMA table_info({name})")}
            tables[name] = columns, "WITHOUT ROWID" in text, "STRICT" in text
        else:
            rest[name] = "".join(text.split())
    db.close()
    return {name: table for name, table in tables.items() if name != "schema_parts"}, rest


def test_a_new_file_has_the_tables_of_a_file_of_the_release_before_that_was_brought_up_to_date(path, tmp_path):
    make_file(tmp_path / "old.db")
    before = shape(tmp_path / "old.db")
    migrated(tmp_path / "old.db")
    new = shape(path)
    assert new == shape(tmp_path / "old.db")
    assert new != before
    assert len(new[0]) > 20
    assert len(new[1]) > 50


USE = """
import asyncio, sys
from fastlane.models.ids import new_id
from fastlane.models.job import Job, Spec
from fastlane.models.schedule.schedule import Schedule
from fastlane.models.schedule.tick import make_tick, once_key
from fastlane.storage.sqlite.store import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    job = Job(new_id(5), "t", new_id(5), 5, 5, Spec("ubuntu", ("true",)), Schedule(), sequence=1)
    tick, execution = make_tick(job, once_key(1), sequence=1, due=5, now=5)
    await store.create(job, tick, execution)
    assert await store.job(job.id) == job
    assert await store.execution(execution.id) == execution
    await store.close()
    print(job.id)

asyncio.run(main())
"""


async def test_the_release_before_goes_on_with_a_new_file(path):
    job_id = output_of(USE, str(path)).strip()
    store = SqliteStore(path)
    await store.open()
    page = await store.list_jobs("t", Window(1, 10))
    assert ([job.id for job in page.rows], page.statuses) == ([job_id], {job_id: "enqueued"})
    await store.close()


def test_each_migration_from_the_release_before_is_a_step_of_one(tmp_path):
    make_file(tmp_path / "old.db")
    db = connect(tmp_path / "old.db", 5.0)
    assert db.execute("SELECT max(version) FROM schema").fetchone() == (schema.OLDEST,)
    db.close()
    assert [one.version for one in MIGRATIONS] == list(range(schema.OLDEST + 1, VERSION + 1))


async def test_a_file_from_before_the_release_before_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "old.db"
    make_file(path)
    db = connect(path, 5.0)
    db.execute("DELETE FROM schema WHERE version = ?", (schema.OLDEST,))
    db.execute("PRAGMA journal_mode = WAL")
    db.close()
    content = path.read_bytes()
    with pytest.raises(FastlaneError, match=f"has schema {schema.OLDEST - 1}, from before 0.1.0; .* start 0.1.0 with it once"):
        await SqliteStore(path).open()
    assert path.read_bytes() == content


async def test_jobs_of_a_file_of_the_release_before_are_neither_paused_nor_armed_again(tmp_path):
    job, tick, execution = new(requested_by=None)
    execution = replace(execution, incarnation="")
    make_file(tmp_path / "store.db")
    db = connect(tmp_path / "store.db", 5.0)
    for table, document in (
        ("jobs", records.JOBS.row(job)),
        ("ticks", records.TICKS.row(tick)),
        ("executions", records.EXECUTIONS.row(execution)),
    ):
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] in document]
        values = [document[name] for name in columns]
        db.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", values)
    db.execute("INSERT INTO tasks VALUES (?, 1, 1, 1)", (job.task_id,))
    db.close()
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    assert await store.job(job.id) == job
    assert (job.armed, job.held_tick, job.floor) == (0, None, 0)
    assert execution.belongs_to(job)
    assert await store.open_jobs(job.task_id, 10) == [job]
    assert await store.unfinished(job.task_id, job.id, 10) == [execution]
    await store.close()
