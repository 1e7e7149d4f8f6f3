"""Idempotency keys when the process that reserved one sleeps or dies: another takes the key over, and only one request has its effect."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fastlane.errors import Repeated
from fastlane.models.ids import DAY, IdempotencyRecord
from fastlane.models.job import Job
from fastlane.storage.mongo import commits, idempotency
from fastlane.storage.mongo.commits import complete
from fastlane.storage.mongo.database import Database
from fastlane.storage.mongo.rows import RECEIPTS
from fastlane.storage.mongo.store import MongoStore
from tests.adapters.mongo.ending import commit_alone
from tests.adapters.mongo.overtaking import once
from tests.support.factories import first_of, new, new_job
from tests.support.ledger import count_executions

Stores = tuple[MongoStore, MongoStore]
NOW = 10 * DAY


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "PATIENCE", 0.1)


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Lets the first commit sleep just before it writes its job: the first event says that it sleeps, the second wakes it."""
    sleeps, wake, write = asyncio.Event(), asyncio.Event(), commits._write

    async def sleepy(*given: Any, **named: Any) -> Any:
        if not sleeps.is_set():
            sleeps.set()
            await wake.wait()
        return await write(*given, **named)

    monkeypatch.setattr(commits, "_write", sleepy)
    return sleeps, wake


def record_for(job: Job, number: int = 1, now: int = NOW) -> IdempotencyRecord:
    tick, execution = first_of(job, key=f"r:{number}", sequence=number)
    return IdempotencyRecord("key", "body", now, job.task_id, job.id, tick.id, execution.id)


async def test_a_key_whose_process_sleeps_is_taken_over_and_the_sleeper_makes_no_second_job(
    stores: Stores, asleep: tuple[asyncio.Event, asyncio.Event]
) -> None:
    first, second = new("t"), new("t")
    sleeping = asyncio.ensure_future(stores[0].create(*first, record_for(first[0])))
    await asleep[0].wait()
    assert await stores[1].idempotency_record("key", 0) is None
    await stores[1].create(*second, record_for(second[0], now=NOW + 1))
    asleep[1].set()
    with pytest.raises(Repeated):
        await sleeping
    record = await stores[0].idempotency_record("key", 0)
    assert record == record_for(second[0], now=NOW + 1)
    assert await stores[0].job(first[0].id) is None
    assert (await stores[0].counts()).jobs == 1


async def test_a_key_of_an_advance_is_taken_over_and_the_sleeper_changes_nothing(
    stores: Stores, asleep: tuple[asyncio.Event, asyncio.Event]
) -> None:
    asleep[0].set()
    job = new_job("t", at=5_000, sequence=0)
    await stores[0].create(job, None, None)
    asleep[0].clear()
    after = replace(job, sequence=1)

    def advance(store: MongoStore, number: int) -> Any:
        tick, execution = first_of(job, key=f"r:{number}")
        return store.advance(job, after, [tick], execution, record_for(job, number, NOW + number))

    sleeping = asyncio.ensure_future(advance(stores[0], 1))
    await asleep[0].wait()
    assert await advance(stores[1], 2)
    asleep[1].set()
    with pytest.raises(Repeated):
        await sleeping
    assert await count_executions(stores[0], job.id) == 1
    assert await stores[0].idempotency_record("key", 0) == record_for(job, 2, NOW + 2)


async def test_a_reservation_of_a_process_that_died_does_not_keep_the_key(
    stores: Stores, asleep: tuple[asyncio.Event, asyncio.Event]
) -> None:
    first, second = new("t"), new("t")
    dying = asyncio.ensure_future(stores[0].create(*first, record_for(first[0])))
    await asleep[0].wait()
    dying.cancel()
    await stores[1].create(*second, record_for(second[0]))
    assert (await stores[1].idempotency_record("key", 0)) == record_for(second[0])
    assert await stores[1].job(first[0].id) is None


async def test_a_request_that_another_change_overtakes_gives_its_key_back(
    stores: Stores, db: Database, asleep: tuple[asyncio.Event, asyncio.Event]
) -> None:
    asleep[0].set()
    job = new_job("t", at=5_000, sequence=0)
    await stores[0].create(job, None, None)
    asleep[0].clear()
    tick, execution = first_of(job, key="r:1")
    overtaken = asyncio.ensure_future(stores[0].advance(job, replace(job, sequence=1), [tick], execution, record_for(job)))
    await asleep[0].wait()
    assert await db.one(RECEIPTS, "key")
    assert await stores[1].stop_job(job.id, NOW) is not None
    asleep[1].set()
    assert not await overtaken
    assert await db.one(RECEIPTS, "key") is None


async def test_an_old_key_that_is_used_again_as_it_is_about_to_be_forgotten_is_kept(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, again, other = new("t"), new("t"), new("t")
    await stores[0].create(*old, record_for(old[0]))
    reused = record_for(again[0], now=NOW + DAY + 2)
    monkeypatch.setattr(Database, "delete", once(lambda: stores[1].create(*again, reused), Database.delete, before=True))
    await stores[0].create(*other, replace(record_for(other[0], now=NOW + DAY + 1), key="another"))
    assert await stores[1].idempotency_record("key", 0) == reused


async def test_the_record_of_a_process_that_died_after_its_commit_is_read(stores: Stores, db: Database) -> None:
    made = new("t")
    await commit_alone(db, *made, record_for(made[0]))
    assert await stores[0].idempotency_record("key", 0) == record_for(made[0])


async def test_a_key_is_given_back_by_the_one_that_has_it(stores: Stores, db: Database) -> None:
    record = record_for(new_job("t"))
    await idempotency.reserve(db, record, "mine", [], lambda id: commits.current(db, id))
    await idempotency.release(db, record, "another")
    assert await db.one(RECEIPTS, "key")
    await idempotency.release(db, record, "mine")
    assert await db.one(RECEIPTS, "key") is None


async def test_a_request_that_is_completed_late_leaves_a_later_one_with_its_key_alone(stores: Stores, db: Database) -> None:
    made, later = new("t"), new_job("t")
    row = await commit_alone(db, *made, record_for(made[0]))
    await complete(db, row)
    await idempotency.reserve(db, record_for(later, now=NOW + DAY + 1), "later", [], lambda id: commits.current(db, id))
    await complete(db, row)
    stored = await db.one(RECEIPTS, "key")
    assert stored is not None
    assert (stored["op"], stored["done"]) == ("later", False)


async def test_of_two_that_take_a_key_over_at_once_one_does(stores: Stores, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    dead, first, second = new("t"), new("t"), new("t")
    await idempotency.reserve(db, record_for(dead[0]), "dead", [], lambda id: commits.current(db, id))
    earlier = once(lambda: stores[1].create(*first, record_for(first[0])), Database.replace, before=True)
    monkeypatch.setattr(Database, "replace", earlier)
    with pytest.raises(Repeated):
        await stores[0].create(*second, record_for(second[0]))
    assert await stores[0].idempotency_record("key", 0) == record_for(first[0])
    assert await stores[0].job(second[0].id) is None


@pytest.mark.parametrize("step", ["before it is looked for once more", "after that"])
async def test_a_key_is_not_taken_over_from_a_process_that_wakes_and_makes_its_commit(
    stores: Stores, asleep: tuple[asyncio.Event, asyncio.Event], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    asleep[0].set()
    job = new_job("t", at=5_000, sequence=0)
    await stores[0].create(job, None, None)
    asleep[0].clear()

    def advance(store: MongoStore, number: int) -> Any:
        tick, execution = first_of(job, key=f"r:{number}")
        return store.advance(job, replace(job, sequence=1), [tick], execution, record_for(job, number, NOW + number))

    sleeping = asyncio.ensure_future(advance(stores[0], 1))
    await asleep[0].wait()

    async def wake() -> None:
        asleep[1].set()
        assert await sleeping

    if step == "after that":
        monkeypatch.setattr(Database, "update", once(wake, Database.update, before=True))
    else:
        monkeypatch.setattr(idempotency, "_revoke", once(wake, idempotency._revoke, before=True))
    with pytest.raises(Repeated):
        await advance(stores[1], 2)
    assert await stores[1].idempotency_record("key", 0) == record_for(job, 1, NOW + 1)
    assert await count_executions(stores[1], job.id) == 1
