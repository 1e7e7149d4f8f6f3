"""A fastlane that sends mail, and a mail server on loopback."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.fastlane import Fastlane
from tests.support.mail_server import Server, mail_server
from tests.support.redis import RealRedis


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with mail_server() as server:
        yield server


@pytest.fixture
async def crew(shared_redis: RealRedis, tmp_path: Path, server: Server) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path, shared_redis.url, smtp_timeout=5.0, public_url="https://fl.example.com", **server.settings) as crew:
        yield crew
