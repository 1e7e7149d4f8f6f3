"""The stores of one process, or of two, on an empty database."""

from collections.abc import AsyncIterator

import pytest

from fastlane.storage.mongo.database import Database, read_url
from fastlane.storage.mongo.store import MongoStore
from tests.support.waiting import PATIENCE


@pytest.fixture
async def stores(mongo_url: str) -> AsyncIterator[tuple[MongoStore, MongoStore]]:
    one, other = MongoStore(mongo_url, deadline=PATIENCE), MongoStore(mongo_url, deadline=PATIENCE)
    await one.open()
    await other.open()
    yield one, other
    await other.close()
    await one.close()


@pytest.fixture
async def store(mongo_url: str) -> AsyncIterator[MongoStore]:
    store = MongoStore(mongo_url, deadline=PATIENCE)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def db(mongo_url: str) -> AsyncIterator[Database]:
    """The calls of one more process."""
    db = Database(read_url(mongo_url), PATIENCE)
    db.open()
    yield db
    await db.close()
