"""The stores and the queue that the contract's tests run over, and an ear for what a queue tells the workers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient

from fastlane.queue.port import Entry, EntryKind, Lane
from fastlane.storage.base import Store
from fastlane.storage.mongo.store import MongoStore
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.clocked_queue import ClockedQueue, clocked_queues
from tests.support.waiting import LONG_PATIENCE, PATIENCE

OpenStore = Callable[[], Awaitable[Store]]


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.mongo)])
async def open_store(request, tmp_path) -> AsyncIterator[OpenStore]:
    """Opens one more store on the test's data; all are closed in the end."""
    opened = []
    url = request.getfixturevalue("mongo_url") if request.param == "mongo" else None

    async def open_one() -> Store:
        store: Store = SqliteStore(tmp_path / "store.db") if url is None else MongoStore(url, deadline=LONG_PATIENCE)
        await store.open()
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store) -> Store:
    return await open_store()


@pytest.fixture
async def other(store: Store, request, tmp_path) -> AsyncIterator[Store]:
    """An empty store of the other kind, to import into."""
    if isinstance(store, SqliteStore):
        url = urlsplit(request.getfixturevalue("mongo_url"))
        url = url._replace(path=f"{url.path}_imported")
        with MongoClient[dict[str, object]](url.geturl(), retryWrites=False) as client:
            client.drop_database(url.path.strip("/"))
        other: Store = MongoStore(url.geturl(), deadline=PATIENCE)
    else:
        other = SqliteStore(tmp_path / "other.db")
    await other.open()
    yield other
    await other.close()


@pytest.fixture
async def queue(shared_redis, installation) -> AsyncIterator[ClockedQueue]:
    async with clocked_queues(shared_redis.url, installation, 1) as (queue,):
        yield queue


@pytest.fixture
async def queues(shared_redis, installation) -> AsyncIterator[list[ClockedQueue]]:
    """Eight clients of one queue."""
    async with clocked_queues(shared_redis.url, installation) as queues:
        yield queues


@pytest.fixture
def leftovers(shared_redis, installation) -> Callable[[], set[str]]:
    """Asks the adapter's server what it still keeps of entries."""

    def look() -> set[str]:
        with shared_redis.client() as client:
            return {key.split("}:")[1] for key in client.keys(f"{{fl:{installation}:v1}}:*")} - {"gen", "lanes", "arrivals"}

    return look


@pytest.fixture
async def listened(queue, shared_redis, installation):
    """Runs an action and returns what a second queue of the same installation hears of it: the stops, and whether it was woken."""
    woken, told, stops = asyncio.Event(), asyncio.Event(), []
    listening = ClockedQueue(shared_redis.url, installation)
    listening.subscribe(woken.set, lambda id: (stops.append(id), told.set()))
    await queue.put([Entry("beacon", EntryKind.EXECUTION, "beacons", 1)])
    await queue.claim("1", "me", [Lane("beacons", None)], 1, lease=600_000)

    async def run(act):
        await until_told("beacon")  # what was done before is heard, too, and does not count
        woken.clear(), told.clear(), stops.clear()
        await act()
        await until_told("beacon")
        return [id for id in stops if id != "beacon"], woken.is_set()

    async def until_told(id):
        """The signals come in order: once this entry's stop is heard, so is everything before it."""
        await queue.cancel(id)
        while id not in stops:
            await told.wait()
            told.clear()

    async with asyncio.timeout(PATIENCE):
        await listening.open()
        await woken.wait()
        yield run
    await listening.close()
