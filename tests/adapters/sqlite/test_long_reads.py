"""Reads that take long: they end at their deadline, leave readers for others, and cost no more when there is more that they do not show."""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fastlane.errors import ReadTooLong
from fastlane.models.paging import Page, Wanted, WantedJobs, Window
from fastlane.models.status import FINAL, Status
from fastlane.storage import pages
from fastlane.storage.lists import ListLogic, ListReader
from fastlane.storage.sqlite import connection, file as store, lists
from fastlane.storage.sqlite.connection import connect
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.factories import first_of, new, new_job
from tests.support.waiting import until

T = TypeVar("T")

MIXED = frozenset({Status.DONE, Status.PULLING})
ENDLESS = "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number) SELECT count(*) FROM number"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteStore]:
    monkeypatch.setattr(store, "LIST_DEADLINE", 0.3)
    opened = SqliteStore(path)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Makes each list of tasks endless; one entry for each that runs."""
    began: list[None] = []

    async def endless(reader: Any, *_: object) -> Any:
        began.append(None)
        try:
            return reader._db.execute(ENDLESS).fetchall()
        finally:
            began.pop()

    monkeypatch.setattr(lists.SqliteListReader, "tasks", endless)
    return began


async def test_lists_that_take_too_long_end_at_their_deadline_and_delay_no_other_read(opened: SqliteStore, running: list[None]) -> None:
    await opened.create(*new("t"))
    endless = [asyncio.ensure_future(opened.list_tasks(Window(1, 10))) for _ in range(6)]
    await until(lambda: len(running) == store.LIST_THREADS, "all threads for lists to be taken")
    assert (await opened.counts()).jobs == 1
    assert len(running) == store.LIST_THREADS
    for one in endless:
        with pytest.raises(ReadTooLong, match=r"within 0.3 s; .*ask for less"):
            await one
    await until(lambda: not running, "the endless reads to be interrupted")
    assert (await opened.list_jobs("t", Window(1, 10))).total == 1


async def test_a_list_that_nobody_waits_for_any_more_is_interrupted(
    opened: SqliteStore, running: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LIST_DEADLINE", 60.0)
    endless = asyncio.ensure_future(opened.list_tasks(Window(1, 10)))
    await until(lambda: running, "the read to run")
    endless.cancel()
    await until(lambda: not running, "the endless read to be interrupted")


async def fill(opened: SqliteStore, path: Path, task: str, count: int, *, due: int = 1_000) -> None:
    """So many executions of a task, in statuses by turns."""
    job = new_job(task, at=9_000, sequence=0)
    await opened.create(job, None, None)
    made = [first_of(job, key=f"c:{number}", due=due + number, sequence=number)[1] for number in range(1, count + 1)]
    await asyncio.gather(*(opened.insert(one) for one in made))
    rows = [(tuple(Status)[number % len(Status)].value, one.id) for number, one in enumerate(made)]
    write(path, "UPDATE executions SET status = ? WHERE id = ?", rows)


def write(path: Path, statement: str, rows: list[tuple[str, str]]) -> None:
    db = connect(path, 5.0)
    db.execute("BEGIN IMMEDIATE")
    db.executemany(statement, rows)
    db.execute("COMMIT")
    db.close()


class Lists(ListLogic):
    """The lists of a connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    async def _listed(self, read: Callable[[ListReader], Coroutine[Any, Any, T]], _: bool = False, /) -> T:
        return lists.result_of(self._db, read)


async def effort(path: Path, wanted: Wanted, window: Window) -> tuple[int, Page[Any]]:
    """What a list costs, in hundreds of SQLite's instructions; and the page."""
    cost = 0

    def count() -> int:
        nonlocal cost
        cost += 1
        return 0

    db = connect(path, 5.0)
    db.set_progress_handler(count, 100)
    page = await Lists(db).list_executions(wanted, window)
    db.close()
    return cost, page


@pytest.mark.parametrize("statuses", [frozenset(), FINAL, frozenset({Status.DONE})])
@pytest.mark.parametrize("since", [None, 1_500])
async def test_what_a_caller_may_not_see_makes_its_list_no_slower(
    opened: SqliteStore, path: Path, statuses: frozenset[Status], since: int | None
) -> None:
    await fill(opened, path, "mine", 40, due=2_000)
    await fill(opened, path, "theirs", 300, due=3_000)
    wanted, window = Wanted(statuses, since=since, visible="mine"), Window(1, 10)
    before, page = await effort(path, wanted, window)
    assert len(page.rows) == min(10, page.total) > 0
    await fill(opened, path, "others", 1_000, due=4_000)
    after, again = await effort(path, wanted, window)
    assert again == page
    assert after <= before + 5


async def test_a_pattern_is_asked_once_for_each_task_that_can_match(
    opened: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    matches = connection.may_see
    monkeypatch.setattr(connection, "may_see", lambda pattern, task: (asked.append(task), matches(pattern, task))[1])
    for task in ("other", "team-a", "team-b", "zebra"):
        await fill(opened, path, task, 30)
    _, page = await effort(path, Wanted(visible="team-[ab]$"), Window(1, 10))
    assert page.total == 60
    assert sorted(asked) == ["team-a", "team-b"]


@pytest.mark.parametrize(
    ("pattern", "start"),
    [("", ""), ("team-a", "team-a"), ("team-?", "team"), ("team-*x", "team"), ("team{2}", "tea"), ("team+", "team"), ("a|b", ""),
     ("(?i)team", ""), ("team[ab]", "team"), ("^team", ""), (r"a\.b", "a"), ("a.b", "a"), ("é", ""), ("(a|b)c", "")],
)  # fmt: skip
def test_the_literal_start_of_a_pattern_is_no_more_than_each_match_begins_with(pattern: str, start: str) -> None:
    assert pages.literal_start(pattern) == start


async def test_jobs_of_few_visible_tasks_and_of_many_are_the_same_pages(
    opened: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        task = ("other", "team-a", "team-b")[number % 3]
        await opened.create(new_job(task, now=1_000 + number // 4, sequence=0), None, None)
    db = connect(path, 5.0)
    seen = Lists(db)
    for statuses, page in itertools.product((frozenset[str](), frozenset({"expired"})), (1, 2, 4, 5)):
        wanted, window = WantedJobs(statuses, visible="team"), Window(page, 7)
        by_task = await seen.list_all_jobs(wanted, window)
        with monkeypatch.context() as patched:
            patched.setattr(pages, "FEW_TASKS", -1)
            assert await seen.list_all_jobs(wanted, window) == by_task
        assert by_task.total == 26
        if by_task.next is not None:
            following = Window(page + 1, 7, by_task.next)
            assert (await seen.list_all_jobs(wanted, following)).rows == (await seen.list_all_jobs(wanted, Window(page + 1, 7))).rows
    db.close()


@pytest.mark.parametrize("visible", ["team", "team-a$", "nobody", "(?i)TEAM-B"])
@pytest.mark.parametrize("since", [None, 1_010])
async def test_few_visible_tasks_and_many_give_the_same_pages(
    opened: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch, visible: str, since: int | None
) -> None:
    for task in ("other", "team-a", "team-b"):
        await fill(opened, path, task, 24)
    for statuses, page in itertools.product((frozenset(), FINAL, frozenset({Status.RUNNING}), MIXED), (1, 2, 5)):
        wanted, window = Wanted(frozenset(statuses), since=since, visible=visible), Window(page, 7)
        _, by_task = await effort(path, wanted, window)
        with monkeypatch.context() as patched:
            patched.setattr(pages, "FEW_TASKS", -1)
            _, passed_over = await effort(path, wanted, window)
        assert by_task == passed_over, (statuses, page)
        if by_task.next is not None:
            following = Window(page + 1, 7, by_task.next)
            assert (await effort(path, wanted, following))[1].rows == (await effort(path, wanted, Window(page + 1, 7)))[1].rows
