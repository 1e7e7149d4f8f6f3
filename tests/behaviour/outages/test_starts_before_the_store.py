"""A process that starts before its store, as services of one stack do: it waits, and says so."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviour.outages.test_check import check
from tests.support.engine_views import NoDocker
from tests.support.installation import Installation, installed
from tests.support.mongo import RealMongo
from tests.support.redis import RealRedis
from tests.support.waiting import wait_until

pytestmark = pytest.mark.thorough


@pytest.fixture
def absent() -> Iterator[RealMongo]:
    """A server of MongoDB's protocol that is not there yet."""
    with RealMongo() as server:
        server.kill()
        yield server


@pytest.fixture
def installation(tmp_path: Path, own_redis: RealRedis, absent: RealMongo) -> Iterator[Installation]:
    with installed(
        tmp_path, NoDocker("unix:///nowhere/docker.sock"), redis=own_redis.url, store_url=absent.url("fastlane")
    ) as installation:
        yield installation


def waits(installation: Installation, role: str, words: str = "the store did not answer") -> bool:
    lines = [json.loads(line) for line in installation.log(role).splitlines() if line.startswith("{")]
    return any(line["event"] == "store.waiting" and words in line["error"] for line in lines)


def test_an_api_and_a_worker_wait_for_the_store_and_for_redis(installation, own_redis, absent):
    own_redis.kill()
    api, worker = (installation.start(role) for role in ("api", "worker"))
    for role in ("api", "worker"):
        wait_until(lambda role=role: waits(installation, role), f"{role} to say what it waits for: {installation.log(role)}")
    assert (api.poll(), worker.poll()) == (None, None)
    assert check(installation).returncode == 0

    absent.start()
    own_redis.start()
    wait_until(lambda: installation.run("true")["jobId"], "the api to take a job")


def test_a_signal_ends_a_process_that_waits_for_the_store(installation):
    worker = installation.start("worker")
    wait_until(lambda: waits(installation, "worker"), "the worker to wait")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(5) == 0


def test_a_name_that_stands_for_no_servers_yet_is_looked_up_again(tmp_path, own_redis):
    engine = NoDocker("unix:///nowhere/docker.sock")
    with installed(tmp_path, engine, redis=own_redis.url, store_url="mongodb+srv://nowhere.invalid/fastlane") as installation:
        worker = installation.start("worker")
        wait_until(lambda: waits(installation, "worker", "(mongodb+srv) cannot be looked up"), f"the worker: {installation.log('worker')}")
        assert worker.poll() is None
