"""What is kept for a time alone is deleted with what comes after it, so that it does not grow."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from fastlane.models.ids import DAY, IdempotencyRecord
from fastlane.models.job import Job
from fastlane.storage.base import Deletion
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.factories import first_of, new_job

Act = Callable[[SqliteStore], Awaitable[None]]


async def discards(store: SqliteStore) -> None:
    job = new_job()
    tick, execution = first_of(job)
    await store.create(job, tick, execution)
    assert await store.discard(execution)


async def deletes(store: SqliteStore) -> None:
    job = new_job(sequence=0)
    await store.create(job, None, None)
    assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.DONE


@pytest.mark.parametrize("act", [discards, deletes])
async def test_deletions_of_more_than_a_day_ago_are_forgotten(tmp_path: Path, act: Act) -> None:
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    with closing(sqlite3.connect(tmp_path / "store.db")) as db:
        for id, ago in (("old", 86_500), ("older", 90_000), ("recent", 86_000)):
            db.execute("INSERT INTO deleted_executions VALUES (?, unixepoch() - ?)", (id, ago))
        db.commit()
        await store.give_up("given up")
        await store.give_up("long ago")
        for id, ago in (("given up", 30 * 86_400 - 400), ("long ago", 30 * 86_400 + 100)):
            db.execute("UPDATE deleted_executions SET deleted_at = deleted_at - ? WHERE id = ?", (ago, id))
        db.commit()
    await act(store)
    await act(store)
    names = ("old", "older", "recent", "given up", "long ago")
    assert [await store.was_deleted(id) for id in names] == [False, False, True, True, False]
    await store.close()


async def test_idempotency_records_of_more_than_a_day_ago_are_forgotten(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    for number, now in enumerate((1, 2, DAY, DAY + 2)):
        await store.create(*keyed(new_job(sequence=0), f"key {number}", now))
    with closing(sqlite3.connect(tmp_path / "store.db")) as db:
        assert db.execute("SELECT key FROM receipts ORDER BY key").fetchall() == [("key 1",), ("key 2",), ("key 3",)]
    await store.close()


def keyed(job: Job, key: str, now: int) -> tuple[Job, None, None, IdempotencyRecord]:
    return job, None, None, IdempotencyRecord(key, "body", now, job.task_id, job.id, "tick", None)
