"""Parts of fastlane over a real store and a real Redis: with workers (``crew``), or with the test as the worker (``virtual``); and its
command (``fastlane``)."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis
from tests.support.virtual_time import VirtualFastlane

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def fastlane(tmp_path: Path) -> Run:
    """Runs the command in a folder of its own."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("FASTLANE_", "DOCKER_"))}
        command = [sys.executable, "-m", "fastlane", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment | variables, capture_output=True, timeout=60, check=False)

    return run


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
