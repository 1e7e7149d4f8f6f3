"""A server as `fastlane api` has it: real HTTP, a real SQLite store, a real Redis. Nothing runs what it enqueues: tests play the worker."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.functional.server import Server
from tests.support.redis import RealRedis


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RealRedis]:
    with RealRedis() as redis:
        yield redis


@pytest.fixture
async def server(shared_redis, tmp_path) -> AsyncIterator[Server]:
    async with Server(tmp_path / "store.db", shared_redis.url) as server:
        yield server


@pytest.fixture
async def own_redis() -> AsyncIterator[RealRedis]:
    """One that the test may stop and pause."""
    with RealRedis() as redis:
        yield redis
