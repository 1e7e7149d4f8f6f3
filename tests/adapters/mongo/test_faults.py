"""MongoDB when things go wrong around it: it is killed, frozen and restarted, or its primary steps down."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from pymongo.errors import AutoReconnect

from fastlane.errors import FastlaneError, ReadTooLong, StoreDown
from fastlane.models import transitions
from fastlane.models.paging import Window
from fastlane.storage.mongo.database import Database
from fastlane.storage.mongo.store import MongoStore
from fastlane.storage.mongo.url import read_url
from tests.support.factories import new
from tests.support.mongo import OUTSIDE, RealMongo
from tests.support.waiting import PATIENCE

SECRET = "s3cr3t-pa55word"


@pytest.fixture
def own_mongo() -> Iterator[RealMongo]:
    """A server that the test may stop and pause."""
    with RealMongo() as server:
        yield server


@asynccontextmanager
async def opened(url: str, deadline: float) -> AsyncIterator[MongoStore]:
    store = MongoStore(url, deadline=deadline)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def refused_in_time(store: MongoStore, deadline: float) -> None:
    """Reads, writes and lists all end, side by side, soon after the deadline."""
    began = time.monotonic()
    job, tick, execution = new()
    calls = (store.create(job, tick, execution), store.job(job.id), store.list_jobs("t", Window(1, 10)), store.check(), store.counts())
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, StoreDown) for answer in answers), answers
    assert time.monotonic() - began < deadline + 10


async def test_a_server_that_was_killed_is_store_down_in_time_and_is_used_again_when_it_is_back(own_mongo: RealMongo) -> None:
    async with opened(own_mongo.url("test"), PATIENCE) as store, opened(own_mongo.url("test"), 1.0) as hasty:
        made = new()
        await store.create(*made)
        own_mongo.kill()
        await refused_in_time(hasty, 1.0)
        waiting = asyncio.ensure_future(store.job(made[0].id))
        await asyncio.to_thread(own_mongo.start)
        assert await waiting == made[0]
        assert await store.execution(made[2].id) == made[2]
        await store.create(*new())


async def test_a_frozen_server_is_store_down_in_time_and_loses_nothing(own_mongo: RealMongo) -> None:
    async with opened(own_mongo.url("test"), PATIENCE) as store, opened(own_mongo.url("test"), 1.0) as hasty:
        made = new()
        await store.create(*made)
        own_mongo.pause()
        await refused_in_time(hasty, 1.0)
        late = new()
        creating = asyncio.ensure_future(store.create(*late))
        own_mongo.go_on()
        await creating
        assert [await store.job(one[0].id) for one in (made, late)] == [made[0], late[0]]


async def test_a_primary_that_steps_down_is_waited_for_and_nothing_is_made_twice(mongo_server: RealMongo, mongo_url: str) -> None:
    assert OUTSIDE is None, "a fail point would hit others, too"
    data = {"failCommands": ["insert"], "errorCode": 10107}
    async with opened(mongo_url, PATIENCE) as store:
        made = new()
        with mongo_server.client() as client:
            client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 2}, "data": data})
            await store.create(*made)
            claimed = await store.change(transitions.claim(made[2], host="h", pool="p", now=1))
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        assert claimed is not None
        assert await store.executions_of(made[0].id, 10) == [claimed]
        assert (await store.counts()).jobs == 1


async def test_an_error_tells_neither_the_url_nor_its_password() -> None:
    for url in (f"mongodb://u:{SECRET}@127.0.0.1:1/db", f"mongodb://u:{SECRET}@127.0.0.1:1/db?tls=maybe", f"mongodb://{SECRET}:x@/"):
        with pytest.raises(FastlaneError) as found:
            await MongoStore(url, deadline=0.3).open()
        assert SECRET not in f"{found.value!s}{found.value!r}"


async def test_a_read_that_takes_too_long_says_so_whatever_befalls_others_meanwhile() -> None:
    db = Database(read_url("mongodb://127.0.0.1:1/db"), deadline=0.3)

    async def cut() -> None:
        raise AutoReconnect("cut")

    troubled = db.call(lambda: db._repeated(cut))
    slow = db.call(lambda: asyncio.sleep(60), advice="ask for less")
    assert [type(end) for end in await asyncio.gather(troubled, slow, return_exceptions=True)] == [StoreDown, ReadTooLong]
