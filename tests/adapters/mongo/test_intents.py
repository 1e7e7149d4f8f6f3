"""Intents that cannot be read, and intents that other processes leave alone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog

from fastlane.errors import Unreadable
from fastlane.models.job import Job
from fastlane.models.paging import Wanted, WantedJobs, Window
from fastlane.models.status import Status
from fastlane.storage.base import Deletion
from fastlane.storage.mongo import commits
from fastlane.storage.mongo.commits import carry_out
from fastlane.storage.mongo.database import Database, Document
from fastlane.storage.mongo.rows import JOBS
from fastlane.storage.mongo.store import MongoStore
from tests.adapters.mongo.ending import commit_alone
from tests.adapters.mongo.test_late import committed
from tests.support.factories import first_of, new
from tests.support.mongo import RealMongo
from tests.support.mongo_wire import MongoWire, mongo_wire
from tests.support.waiting import PATIENCE, until

DAMAGES: dict[str, dict[str, Any]] = {
    "not a document": {"$set": {"intent": "torn"}},
    "without its op": {"$unset": {"intent.op": ""}},
    "without its ticks": {"$unset": {"intent.ticks": ""}},
    "an execution without an id": {"$unset": {"intent.execution._id": ""}},
    "a tick that is none": {"$set": {"intent.ticks": [7]}},
    "a task of another type": {"$set": {"intent.task_id": 7}},
    "events of another type": {"$set": {"intent.events": 7}},
}
REPAIR = {"$set": {"intent": None}, "$unset": {"is_pending": ""}}
"""What docs/troubleshooting.md says to do."""


async def is_completed(db: Database, job: Job) -> bool:
    row = await db.one(JOBS, job.id)
    return row is not None and row["intent"] is None


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_intent_keeps_only_its_own_job_from_being_changed(
    mongo_url: str, store: MongoStore, db: Database, monkeypatch: pytest.MonkeyPatch, damage: dict[str, Any]
) -> None:
    monkeypatch.setattr(commits, "ROUND", 0.05)
    job, _ = await committed(db)
    assert await db.update(JOBS, job.id, {}, damage)
    left, _ = await committed(db, "other")
    with structlog.testing.capture_logs() as logs:
        opened = MongoStore(mongo_url, deadline=PATIENCE)
        await opened.open()
        assert await is_completed(db, left)
        for one in (store, opened):
            assert (await one.counts()).jobs == 2
            assert {row.id for row in (await one.list_all_jobs(WantedJobs(), Window(1, 10))).rows} == {job.id, left.id}
            assert (await one.list_executions(Wanted(), Window(1, 10))).total == 1
            assert [each.job_id for each in await one.executions_in(frozenset({Status.ENQUEUED}), 10)] == [left.id]
            assert await one.execution(first_of(left)[1].id)
            assert await one.execution(first_of(job)[1].id) is None
            assert await one.executions_of(job.id, 10) == []
            assert set(await one.latest([job.id, left.id])) == {left.id}
            assert await one.task("other")
            assert await one.job(job.id) == job
        with pytest.raises(Unreadable, match=job.id):
            await store.stop_job(job.id, 9)
        assert await store.stop_job(left.id, 9)
        later, _ = await committed(db, "later")  # the rounds go on
        await until(lambda: is_completed(db, later), "the intent to be carried out")
        await until(lambda: both_said(logs, job), "both processes to log the fault")
        await opened.close()
    assert len([log for log in logs if log["log_level"] == "error"]) == 2  # once each
    assert await db.update(JOBS, job.id, {"is_pending": True}, REPAIR)
    assert await store.stop_job(job.id, 10)
    assert await store.delete_job(job.id, job.incarnation, 11) is Deletion.DONE


async def test_a_damaged_job_keeps_no_others_status_from_being_corrected(store: MongoStore, db: Database) -> None:
    damaged, other = new("t"), new("t")
    for made in (damaged, other):
        await store.create(*made)
        assert await db.update(JOBS, made[0].id, {}, {"$set": {"job_status": "done"}})
    assert await db.update(JOBS, damaged[0].id, {}, {"$unset": {"armed": ""}})
    assert (await store.walk_statuses(1, "", 100)).repaired == 1
    row = await db.one(JOBS, other[0].id)
    assert row is not None
    assert row["job_status"] == "enqueued"


async def both_said(logs: list[Any], job: Job) -> bool:
    return sum(log.get("job_id") == job.id and log["event"] == "store.intent_damaged" for log in logs) == 2


@pytest.fixture
async def wire(mongo_server: RealMongo, own_mongo_url: str) -> AsyncIterator[MongoWire]:
    async with mongo_wire(mongo_server.port) as wire:
        yield wire


async def test_a_list_leaves_a_commit_under_way_to_its_process(
    mongo_server: RealMongo, store: MongoStore, db: Database, wire: MongoWire
) -> None:
    async def read(reader: MongoStore) -> None:
        await reader.counts()
        await reader.list_all_jobs(WantedJobs(), Window(1, 10))
        await reader.list_executions(Wanted(), Window(1, 10))
        await reader.task("t")
        await reader.open_jobs("t", 10)

    reader = MongoStore(mongo_server.url("test", f"127.0.0.1:{wire.port}"), deadline=PATIENCE)
    await reader.open()
    job, tick, execution = new("t")
    await commit_alone(db, job, tick, execution)
    wire.reset()
    await read(reader)
    assert wire.writes == []
    assert not await is_completed(db, job)
    assert await reader.executions_of(job.id, 10) == [execution]  # what may be decided on it is read whole
    assert await is_completed(db, job)
    left, _ = await committed(db)
    await read(reader)
    assert await is_completed(db, left)
    await reader.close()


async def test_a_look_up_finds_the_execution_of_a_commit_that_was_just_made(store: MongoStore, db: Database) -> None:
    job, tick, execution = new("t")
    await commit_alone(db, job, tick, execution)
    assert await store.execution(execution.id) == execution


async def test_the_rounds_leave_alone_what_their_own_process_completes_just_now(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, begun, go_on = [0], [0], asyncio.Event()
    look = commits.pending

    async def hold(db: Database, row: Document) -> str | None:
        begun[0] += 1
        await go_on.wait()
        return await carry_out(db, row)

    async def counted(*given: Any) -> list[Document]:
        rounds[0] += 1
        return await look(*given)

    async def some_rounds() -> bool:
        return rounds[0] > 4

    monkeypatch.setattr(commits, "ROUND", 0.05)
    monkeypatch.setattr(commits, "carry_out", hold)
    monkeypatch.setattr(commits, "pending", counted)
    creating = asyncio.ensure_future(store.create(*new("t")))
    await until(some_rounds, "some rounds")
    assert begun == [1]
    go_on.set()
    await creating
