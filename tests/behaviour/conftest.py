"""Parts of fastlane over a real store and a real Redis: with workers (``crew``), or with the test as the worker (``stage``)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis
from tests.support.stage import Stage


@pytest.fixture
async def crew(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path, shared_redis.url) as crew:
        yield crew


@pytest.fixture
async def stage(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage(tmp_path, shared_redis.url) as stage:
        yield stage
