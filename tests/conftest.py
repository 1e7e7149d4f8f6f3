"""The fixtures that any test may ask for, and which tests share a process when they run side by side."""

import gc
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from builder.client import ROOT, is_stale
from tests.support.engine import engine
from tests.support.fastlane import Fastlane
from tests.support.images import built_image
from tests.support.mongo import OUTSIDE, RealMongo, database_url, emptied, server_name
from tests.support.redis import RealRedis
from tests.support.registry import private_registry, registry
from tests.support.scratch import SCRATCH
from tests.support.shares import left_out
from tests.support.side_by_side import Units, check_units, in_order
from tests.support.stores import DATABASES, ON_MONGO, store_name
from tests.support.swarms import joined_managers, separate_swarms, three_managers, three_swarms

__all__ = ["built_image", "engine", "joined_managers", "private_registry", "registry", "separate_swarms", "three_managers", "three_swarms"]


# No example has to be quick: other processes, and a lower priority, delay any of them. The rest is as Hypothesis has it, here or in CI.
settings.register_profile("unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


# Where nothing configures the log, structlog prints a traceback in colours and with all variables: 80 ms for each fault that a test makes.
structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback


LONG_TIMEOUT = 400
"""Seconds after which a long test hangs, where it does not say so itself: much runs beside it."""


def pytest_configure(config: pytest.Config) -> None:
    """Says where the tests' folders are. Makes what is generated, where the code is newer; while the code cannot be imported, tests of its
    other parts go on."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(SCRATCH))
    if not hasattr(config, "workerinput") and is_stale():
        subprocess.run([sys.executable, "-m", "builder.client"], cwd=ROOT, check=False)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Units | None:
    """Its answer is what sends tests to processes; without one, pytest-xdist does as it was told."""
    return Units(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what only SQLite has and what is in the share of another commit, gives long tests more time, and brings tests that run
    side by side into the order in which they begin."""
    elsewhere = {item for item in items if ON_MONGO and item.get_closest_marker("sqlite")}.union(left_out(items))
    config.hook.pytest_deselected(items=list(elsewhere))
    items[:] = [item for item in items if item not in elsewhere]
    for item in items:
        if item.get_closest_marker("thorough") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_TIMEOUT))
    check_units(items)
    if getattr(config.option, "loadgroup", False):
        items[:] = in_order(items)


def pytest_collection_finish() -> None:
    """Leaves what was loaded, and the tests themselves, out of collections, which take a tenth of the processor time otherwise."""
    gc.freeze()


def pytest_report_header() -> str:
    """On which store the tests' own fastlane is, and against which server the tests of the store on MongoDB run."""
    return f"store: {store_name()}; tests of the store on MongoDB: against {server_name()}"


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RealRedis]:
    with RealRedis() as redis:
        yield redis


@pytest.fixture(scope="session", autouse=True)
def _databases() -> Iterator[None]:
    yield
    DATABASES.close()


@pytest.fixture(autouse=True)
def _released() -> Iterator[None]:
    """The databases that stand for a test's folders are free after it."""
    yield
    DATABASES.release()


@pytest.fixture(scope="session")
def mongo_server() -> RealMongo:
    """The server that a process's tests share."""
    return DATABASES.server


@pytest.fixture
def own_mongo_url(mongo_server: RealMongo) -> str:
    """The URL of an empty database of a server of the tests' own, in which a test may set fail points, and which a proxy may hide."""
    return emptied(mongo_server.url("test"))


@pytest.fixture
def mongo_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, at FASTLANE_TEST_MONGO_URL if that is set."""
    return request.getfixturevalue("own_mongo_url") if OUTSIDE is None else emptied(database_url(OUTSIDE, f"fastlane_test_{os.getpid()}"))


@pytest.fixture
def installation() -> str:
    """A name of its own for each test, so that one Redis serves all."""
    return uuid4().hex


@pytest.fixture
def own_redis() -> Iterator[RealRedis]:
    """A Redis that the test may stop and pause."""
    with RealRedis() as redis:
        yield redis


@pytest.fixture
async def server(shared_redis, tmp_path) -> AsyncIterator[Fastlane]:
    """A server as `fastlane api` has it: real HTTP, a SQLite store, a Redis. Nothing runs what it enqueues: the test plays the worker."""
    async with Fastlane(tmp_path, shared_redis.url) as server:
        yield server
