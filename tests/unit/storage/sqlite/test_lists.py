"""A file that an older fastlane filled has all counts and words after its migration; and what one statement undoes stays in memory."""

from dataclasses import replace

import pytest

from fastlane.errors import Invalid
from fastlane.models.job import Spec
from fastlane.models.paging import Wanted, WantedJobs, Window
from fastlane.models.status import Status
from fastlane.models.tick import next_execution
from fastlane.storage import pages
from fastlane.storage.base import Deletion
from fastlane.storage.records import EXECUTIONS, JOBS, TICKS
from fastlane.storage.sqlite.connection import connect
from fastlane.storage.sqlite.migration import migrate
from fastlane.storage.sqlite.rows import insert_into
from fastlane.storage.sqlite.schema import MIGRATIONS
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.factories import first_of, new, new_job
from tests.support.previous_release import make_file

WIDE = Window(1, 100)


def write(db, table, document):
    """A row, as far as the file's version has columns for it."""
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    known = {name: value for name, value in document.items() if name in columns}
    db.execute(insert_into(table, list(known)), tuple(known.values()))


@pytest.mark.parametrize("steps", range(len(MIGRATIONS)))
async def test_an_older_file_is_counted_and_its_tasks_are_named(tmp_path, steps):
    make_file(tmp_path / "store.db")
    db = connect(tmp_path / "store.db", 1.0)
    if steps:
        migrate(db, 1.0, MIGRATIONS[:steps])
    job, tick, execution = new("old-task")
    failed = replace(execution, status=Status.FAILED, finished_at=5)
    single = new("old-task")
    for table, document in (
        ("jobs", JOBS.row(job)),
        ("ticks", TICKS.row(tick)),
        ("executions", EXECUTIONS.row(failed)),
        ("executions", EXECUTIONS.row(next_execution(failed, due=7, now=7))),
        ("jobs", JOBS.row(single[0])),
        ("ticks", TICKS.row(single[1])),
        ("executions", EXECUTIONS.row(single[2])),
    ):
        write(db, table, document)
    db.execute("INSERT INTO tasks VALUES ('old-task', 1, 1, 2)")
    db.close()

    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    again = first_of(job, key="c:9", due=9, sequence=2)
    assert await store.advance(job, replace(job, sequence=2), [again[0]], again[1])
    await store.create(*new("new-task"))
    assert (await store.list_executions_of(job.id, WIDE)).total == 3
    assert (await store.list_executions_of(single[0].id, WIDE)).total == 1
    assert (await store.list_ticks(job.id, WIDE)).total == 2
    for wanted, total in ((Wanted(task_id="old-task"), 4), (Wanted(frozenset({Status.FAILED}), "old-task"), 1), (Wanted(), 5)):
        page = await store.list_executions(wanted, WIDE)
        assert (page.total, len(page.rows)) == (total, total)
    page = await store.search_tasks(["task"], WIDE)
    assert {task.id for task in page.rows} == {"old-task", "new-task"}
    await store.close()


def test_one_statement_that_is_undone_needs_no_file(tmp_path):
    db = connect(tmp_path / "store.db", 1.0)
    assert db.execute("PRAGMA temp_store").fetchone() == (2,)
    db.close()


async def test_a_job_that_ran_once_has_no_row_of_counts(tmp_path):
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    await store.create(*new())
    job = new_job(at=5)
    await store.create(job, None, None)
    db = connect(tmp_path / "store.db", 1.0)
    assert db.execute("SELECT count(*) FROM job_counts").fetchone() == (0,)
    db.close()
    assert (await store.list_executions_of(job.id, WIDE)).total == 0
    await store.close()


async def test_a_page_that_is_too_large_to_be_held_is_refused_and_smaller_ones_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "MAX_TEXT", 5_000)
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    for _ in range(4):
        job = replace(new_job("t"), spec=Spec("ubuntu", ("x" * 2_000,)))
        await store.create(job, *first_of(job))
    for read in (lambda window: store.list_jobs("t", window), lambda window: store.list_executions(Wanted(), window)):
        with pytest.raises(Invalid, match="perPage: the rows of this page"):
            await read(WIDE)
        page = await read(Window(1, 2))
        assert len(page.rows) == 2
        assert len((await read(Window(2, 1, page.next))).rows) == 1
    await store.close()


async def test_what_is_deleted_leaves_no_counts_and_no_words_behind(tmp_path):
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    job, tick, execution = new("t")
    ended = replace(execution, status=Status.DONE, settled=True, cleaned=True)
    await store.create(job, tick, ended)
    again = replace(next_execution(ended, due=7, now=7), status=Status.FAILED, settled=True, cleaned=True)
    assert await store.insert(again)
    db = connect(tmp_path / "store.db", 1.0)
    tables = ("task_counts", "job_counts", "task_words")
    assert [db.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables] == [(3,), (1,), (1,)]
    assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.DONE
    assert await store.delete_task("t")
    assert [db.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables] == [(0,)] * 3
    db.close()
    await store.close()


async def test_jobs_with_a_status_are_the_same_whether_each_visible_task_is_walked_or_all_are(tmp_path, monkeypatch):
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    for number in range(40):
        job, tick, execution = new(f"task-{number % 3}", now=1_000 + number)
        status = (Status.DONE, Status.FAILED, Status.ENQUEUED, None)[number % 4]
        job = replace(job, next_tick=9_000 if number % 5 == 0 else None, held_tick=9_000 if number % 7 == 0 else None)
        await store.create(job, *((tick, replace(execution, status=status)) if status else (None, None)))

    async def found() -> list[object]:
        answers: list[object] = []
        for statuses in ({"done"}, {"failed", "paused"}, {"scheduled"}, {"enqueued", "done", "scheduled"}, {"timedout"}):
            for task_id, visible in ((None, None), ("task-1", None), (None, "task-[12]")):
                wanted = WantedJobs(frozenset(statuses), task_id, visible=visible)
                page = await store.list_all_jobs(wanted, Window(1, 3))
                answers.append((statuses, page.total, [job.id for job in page.rows]))
                answers.append([job.id for job in (await store.list_all_jobs(wanted, Window(2, 3))).rows])
                if page.next is not None:
                    answers.append([job.id for job in (await store.list_all_jobs(wanted, Window(2, 3, page.next))).rows])
        return answers

    ways = []
    for few in (0, 200):
        monkeypatch.setattr(pages, "FEW_TASKS", few)
        ways.append(await found())
    await store.close()
    assert ways[0] == ways[1]
    assert len(ways[0]) > 30
