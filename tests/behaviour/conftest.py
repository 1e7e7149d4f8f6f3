"""Parts of fastlane over a real store and a real Redis: with workers (``crew``), or with the test as the worker (``virtual``)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis
from tests.support.virtual_time import VirtualFastlane


@pytest.fixture
async def crew(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path, shared_redis.url) as crew:
        yield crew


@pytest.fixture
async def virtual(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[VirtualFastlane]:
    async with VirtualFastlane(tmp_path, shared_redis.url) as virtual:
        yield virtual
        assert virtual.store.quiet
        assert virtual.queue.quiet
        assert virtual.worker_store.quiet
