"""The stores that the contract's tests run over."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from fastlane.storage.base import Store
from fastlane.storage.sqlite import SqliteStore

OpenStore = Callable[[], Awaitable[Store]]


@pytest.fixture(params=["sqlite"])
async def open_store(request, tmp_path) -> AsyncIterator[OpenStore]:
    """Opens one more store on the test's data; all are closed in the end."""
    opened = []

    async def open_one() -> Store:
        store = SqliteStore(tmp_path / "store.db")
        await store.open()
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store) -> Store:
    return await open_store()
