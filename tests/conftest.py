"""The fixtures that any test may ask for, and which tests share a process when they run side by side."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from tests.support.engine import engine
from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis
from tests.support.registry import private_registry, registry
from tests.support.swarms import joined_managers, separate_swarms, three_managers, three_swarms

__all__ = ["engine", "joined_managers", "private_registry", "registry", "separate_swarms", "three_managers", "three_swarms"]

SHARED = {
    "browser_url": "browser",
    "joined_managers": "managers",
    "separate_swarms": "swarms",
    "runner": "crash",
    "registry": "registry",
    "private_registry": "registry",
}
"""Session fixtures that are costly to start, or that only one process may have, and the group of tests that uses each."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sends all tests of a group to one process of pytest-xdist."""
    for item in items:
        groups = {SHARED[name] for name in getattr(item, "fixturenames", ()) if name in SHARED}
        if groups:
            item.add_marker(pytest.mark.xdist_group(min(groups)))


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RealRedis]:
    with RealRedis() as redis:
        yield redis


@pytest.fixture
def installation() -> str:
    """A name of its own for each test, so that one Redis serves all."""
    return uuid4().hex


@pytest.fixture
async def own_redis() -> AsyncIterator[RealRedis]:
    """A Redis that the test may stop and pause."""
    with RealRedis() as redis:
        yield redis


@pytest.fixture
async def server(shared_redis, tmp_path) -> AsyncIterator[Fastlane]:
    """A server as `fastlane api` has it: real HTTP, a SQLite store, a Redis. Nothing runs what it enqueues: the test plays the worker."""
    async with Fastlane(tmp_path, shared_redis.url) as server:
        yield server
