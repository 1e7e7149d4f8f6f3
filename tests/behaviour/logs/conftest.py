"""A server with settings of the test's own."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis


@pytest.fixture
def serve(shared_redis: RealRedis, tmp_path: Path) -> Callable[..., Fastlane]:
    """Makes a server with these settings."""
    return partial(Fastlane, tmp_path, shared_redis.url)
