"""A fastlane with two workers that sends mails and posts to loopback."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.fastlane import Fastlane
from tests.support.mail_server import Server, mail_server
from tests.support.receiver import Receiver, receiving
from tests.support.redis import RealRedis


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with mail_server() as server:
        yield server


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def crew(shared_redis: RealRedis, tmp_path: Path, server: Server) -> AsyncIterator[Fastlane]:
    settings = {"webhook_allow": ("127.0.0.1",), "mail_interval": 0.0, **server.settings}
    async with Fastlane(tmp_path, shared_redis.url, workers=2, **settings) as crew:
        yield crew
