"""Rows that cannot be read, because a newer fastlane wrote them or because they are damaged: each fails alone."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from fastlane.errors import Unreadable
from fastlane.models import transitions
from fastlane.models.host import Uncleaned
from fastlane.models.paging import Wanted, Window
from fastlane.models.status import FINAL, UNDER_WAY, Status
from fastlane.storage import records as readable
from fastlane.storage.base import Store
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.factories import first_of, new, new_job
from tests.support.ledger import tick_of

DAMAGE = {
    "a field of a newer version": """json_set(spec, '$.resources', json('{"gpus": 2}'))""",
    "half of its text": "substr(spec, 1, length(spec) / 2)",
    "a number for an image": "json_set(spec, '$.image', 7)",
    "no list of variables": "json_remove(spec, '$.envs')",
    "bytes that are not UTF-8": "CAST(replace(CAST(spec AS BLOB), CAST('ubuntu' AS BLOB), x'fffefd') AS TEXT)",
}
BAD, WIDE = (1, 2), Window(1, 100)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    readable.report.cache_clear()
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    yield store
    await store.close()


def change(path: Path, statement: str, *given: object) -> None:
    """Changes the file beside fastlane."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute(statement, given).rowcount > 0
        db.commit()


@pytest.mark.parametrize("damage", DAMAGE)
async def test_an_unreadable_execution_fails_no_other_and_no_list(store: SqliteStore, tmp_path: Path, damage: str) -> None:
    job = new_job("t", at=9_000)
    await store.create(job, None, None)
    made = [first_of(job, key=f"c:{number}", due=number, sequence=number)[1] for number in range(1, 6)]
    for execution in made:
        assert await store.insert(execution)
    for place in BAD:
        change(tmp_path / "store.db", f"UPDATE executions SET spec = {DAMAGE[damage]} WHERE id = ?", made[place].id)
    good = [one.id for place, one in enumerate(made) if place not in BAD]
    with structlog.testing.capture_logs() as events:
        answers = await asyncio.gather(*(store.execution(one.id) for one in made), return_exceptions=True)
        assert [isinstance(answer, Exception) for answer in answers] == [place in BAD for place in range(5)]
        assert await found(store.executions_in, UNDER_WAY) == good
        assert [one.id for one in reversed(await store.executions_of(job.id, 10))] == good
        for page in (await store.list_executions_of(job.id, WIDE), await store.list_executions(Wanted(), WIDE)):
            assert (sorted(one.id for one in page.rows), page.total) == (sorted(good), 5)
    reported = [event["error"] for event in events if event["event"] == "store.row_unreadable"]
    assert len(reported) == len(set(reported)) == len(BAD)


async def found(read: Callable[..., Awaitable[Any]], statuses: frozenset[Status]) -> list[str]:
    """The ids that a walk in pages of two finds."""
    ids: list[str] = []
    after = None
    while page := await read(statuses, 2, after):
        ids += [one.id for one in page]
        after = (page[-1].scheduled_for, page[-1].id)
    return ids


@pytest.mark.parametrize("field", ["spec", "schedule"])
async def test_an_unreadable_job_fails_no_other_and_no_list(store: SqliteStore, tmp_path: Path, field: str) -> None:
    jobs = [new_job("t", at=1_000 + number) for number in range(5)]
    for job in jobs:
        await store.create(job, None, None)
    for place in BAD:
        change(tmp_path / "store.db", f"UPDATE jobs SET {field} = '{{\"kind' WHERE id = ?", jobs[place].id)
    good = [job.id for place, job in enumerate(jobs) if place not in BAD]
    answers = await asyncio.gather(*(store.job(job.id) for job in jobs), return_exceptions=True)
    assert [isinstance(answer, Unreadable) for answer in answers] == [place in BAD for place in range(5)]
    due, after = [], None
    while page := await store.jobs_due(9_000, 2, after):
        due += [job.id for job in page]
        after = (page[-1].next_tick or 0, page[-1].id)
    assert due == good
    assert sorted(job.id for job in await store.open_jobs("t", 3)) == sorted(good)
    assert sorted(job.id for job in await store.jobs_of("t", 3)) == sorted(good)
    for statuses in (frozenset[str](), frozenset({"scheduled"})):
        assert sorted(job.id for job in (await store.list_jobs("t", WIDE, statuses=statuses)).rows) == sorted(good)


async def test_an_unreadable_tick_and_an_unreadable_log_fail_alone(store: SqliteStore, tmp_path: Path) -> None:
    made = [new("t") for _ in range(3)]
    for job, tick, execution in made:
        await store.create(job, tick, execution)
    change(tmp_path / "store.db", "UPDATE ticks SET outcome = 'postponed' WHERE id = ?", made[1][1].id)
    assert [len((await store.list_ticks(job.id, WIDE)).rows) for job, *_ in made] == [1, 0, 1]
    assert await tick_of(store, made[0][0].id, made[0][1].id) == made[0][1]


async def test_an_unreadable_execution_counts_among_those_of_its_host_that_are_not_cleaned(store: SqliteStore, tmp_path: Path) -> None:
    job, tick, execution = new("t")
    await store.create(job, tick, replace(execution, status=Status.DONE, host="h:2375", finished_at=5, settled=True))
    change(tmp_path / "store.db", f"UPDATE executions SET spec = {DAMAGE['half of its text']} WHERE id = ?", execution.id)
    assert await store.uncleaned(10) == []
    assert await store.uncleaned_by_host(10) == [Uncleaned("h:2375", 1, 5)]


@pytest.mark.parametrize("damage", ["half of its text", "a number for an image", "bytes that are not UTF-8"])
async def test_what_runs_is_listed_without_what_has_no_image(store: SqliteStore, tmp_path: Path, damage: str) -> None:
    made = [new("t") for _ in range(3)]
    for job, tick, execution in made:
        await store.create(job, tick, replace(execution, status=Status.RUNNING))
    change(tmp_path / "store.db", f"UPDATE executions SET spec = {DAMAGE[damage]} WHERE id = ?", made[1][2].id)
    listed = {container.execution_id for container in await store.running_containers(3)}
    assert listed == {made[0][2].id, made[2][2].id}


async def test_a_change_of_an_unreadable_execution_fails_alone_and_changes_nothing(store: Store, tmp_path: Path) -> None:
    made = [new("t") for _ in range(3)]
    for job, tick, execution in made:
        await store.create(job, tick, execution)
    change(tmp_path / "store.db", "UPDATE executions SET failure = '{\"reason\": \"cosmic\"}', op = 'newer' WHERE id = ?", made[1][2].id)
    claims = [transitions.claim(execution, host="h", pool="p", now=1) for *_, execution in made]
    outcomes = await asyncio.gather(*(store.change(claim) for claim in claims), return_exceptions=True)
    assert [isinstance(outcome, Unreadable) for outcome in outcomes] == [False, True, False]
    assert (await store.counts()).executions[Status.PULLING] == 2
    assert not FINAL & {status for status, count in (await store.counts()).executions.items() if count}
