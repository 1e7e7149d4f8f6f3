"""A server in the test's process, and a client of it."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

import pytest

from fastlane.client import AsyncClient
from tests.support.command_line import CommandLine
from tests.support.fastlane import Fastlane
from tests.support.fork_server import ForkServer
from tests.support.redis import RealRedis


@pytest.fixture
async def crewed(shared_redis: RealRedis, tmp_path) -> AsyncIterator[Fastlane]:
    """A server with a worker: each job ends at once, and does what its command says (``tests/support/instant.py``)."""
    async with Fastlane(tmp_path / "crewed", shared_redis.url, workers=1) as server:
        yield server


@pytest.fixture
async def client(server: Fastlane) -> AsyncIterator[AsyncClient]:
    """A client of a server without workers."""
    async with AsyncClient(server.base) as client:
        yield client


@pytest.fixture
async def crewed_client(crewed: Fastlane) -> AsyncIterator[AsyncClient]:
    """A client of a server with a worker."""
    async with AsyncClient(crewed.base) as client:
        yield client


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    with ForkServer() as server:
        yield server


@pytest.fixture
def command_at(fork_server: ForkServer, tmp_path) -> Callable[..., CommandLine]:
    """Makes the command, asking the server of a URL."""
    return partial(CommandLine, fork_server, tmp_path / "home")


@pytest.fixture
def command_line(server: Fastlane, command_at: Callable[..., CommandLine]) -> CommandLine:
    """The command, asking a server without workers."""
    return command_at(server.base)


@pytest.fixture
def crewed_line(crewed: Fastlane, command_at: Callable[..., CommandLine]) -> CommandLine:
    """The command, asking a server with a worker."""
    return command_at(crewed.base)
