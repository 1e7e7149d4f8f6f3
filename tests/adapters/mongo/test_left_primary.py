"""A primary that the others have left: it answers reads with what it had, and no majority confirms its writes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from fastlane.clock import SystemClock
from fastlane.errors import StoreDown
from fastlane.models.pool import RESTORED
from fastlane.queue.redis.queue import RedisQueue
from fastlane.scheduler.rebuilder import Rebuilder
from fastlane.services.startup import HighWaterMark
from fastlane.storage.mongo.database import Database
from fastlane.storage.mongo.store import MongoStore
from tests.adapters.mongo.test_faults import FAULTS, failing
from tests.support.defaults import ports_of
from tests.support.factories import new
from tests.support.mongo import RealMongo
from tests.support.redis import RealRedis
from tests.support.waiting import PATIENCE

Look = Callable[[MongoStore, RedisQueue], Awaitable[Any]]


@pytest.fixture
async def queue(shared_redis: RealRedis, installation: str) -> AsyncIterator[RedisQueue]:
    queue = RedisQueue(shared_redis.url, installation)
    await queue.open()
    yield queue
    await queue.close()


async def worker(store: MongoStore, queue: RedisQueue) -> None:
    rebuilder = Rebuilder(ports_of(store, queue, SystemClock()))
    try:
        await rebuilder.ensure()
    finally:
        await rebuilder.close()


async def server(store: MongoStore, queue: RedisQueue) -> None:
    await HighWaterMark(store, queue.generation, SystemClock())._compare()


@pytest.mark.parametrize("look", [worker, server])
async def test_a_primary_that_the_others_have_left_does_not_look_like_a_restored_backup(
    mongo_server: RealMongo, own_mongo_url: str, db: Database, queue: RedisQueue, look: Look
) -> None:
    before = MongoStore(own_mongo_url, deadline=PATIENCE)
    await before.open()
    await worker(before, queue)
    had = await before.version()
    await before.create(*new("t"))
    now = await before.version()
    await queue.generation.remember_store(now)
    await before.close()
    store = MongoStore(own_mongo_url, deadline=3.0)
    await store.open()
    assert await db.update("meta", "version", {}, {"$set": {"commits": had.commits}})
    with failing(mongo_server, "update", FAULTS["no majority in time"], times=1_000), pytest.raises(StoreDown):
        await look(store, queue)
    assert not (await queue.generation.identity()).store_went_back
    assert await db.update("meta", "version", {}, {"$set": {"commits": now.commits}})
    await look(store, queue)
    assert not (await queue.generation.identity()).store_went_back
    assert (await store.paused_pools()).hold is None
    await store.close()


@pytest.mark.parametrize("look", [worker, server])
async def test_a_backup_that_lacks_one_commit_is_noticed(store: MongoStore, db: Database, queue: RedisQueue, look: Look) -> None:
    """The write by which the store is asked again hides nothing."""
    await worker(store, queue)
    await store.create(*new("t"))
    now = await store.version()
    await queue.generation.remember_store(now)
    assert await db.update("meta", "version", {}, {"$inc": {"commits": -1}})
    await look(store, queue)
    assert (await store.paused_pools()).hold == RESTORED
