"""A process that starts before its store, as services of one stack do: it waits, says so, and is not healthy until the store has opened.
A login that is refused ends it."""

import contextlib
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
from tests.support.waiting import LONG_PATIENCE, wait_until

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
    waiting = check(installation)
    assert (waiting.returncode, waiting.stdout) == (1, "")
    assert "is starting and waits for the store to answer: the store did not answer" in waiting.stderr

    absent.start()
    own_redis.start()

    def is_ready() -> bool:
        with contextlib.suppress(ConnectionError):  # it is just handing the port over
            return installation.get("/readyz").status == 200
        return False

    wait_until(is_ready, "the api to be ready")
    assert installation.run("true")["jobId"]
    wait_until(lambda: check(installation).returncode == 0, "the check to be good")


def test_until_then_an_api_is_alive_and_not_ready_and_refuses_the_rest_with_the_reason(installation, absent):
    installation.token = None
    installation.start("api")
    wait_until(lambda: waits(installation, "api"), f"api to say what it waits for: {installation.log('api')}")
    alive, ready, healthy = (installation.get(path) for path in ("/livez", "/readyz", "/healthcheck"))
    assert (alive.status, alive.json) == (200, {"alive": True})
    for answer in (ready, healthy, installation.get("/tasks"), installation.post("/tasks/t", {"command": ["x" * 300_000]})):
        assert (answer.status, answer.headers["Content-Type"]) == (503, "application/problem+json")
        assert answer.json["detail"] == "fastlane is starting and waits for the store to answer; send this again in a few seconds"
        assert answer.headers["Retry-After"] == "2"
    counted = installation.get("/metrics").body.decode()
    assert "fastlane_build_info" in counted
    for kind, count in (("read", 1), ("write", 1)):  # neither /readyz nor /healthcheck: their 503 refuses nothing
        assert f'fastlane_refused_requests_total{{kind="{kind}"}} {count}.0\n' in counted
    assert 'fastlane_http_requests_total{method="POST",route="/tasks/{task_id}",status="503"} 1.0\n' in counted
    absent.start()

    def is_ready() -> bool:
        with contextlib.suppress(ConnectionError):  # it is just handing the port over
            return installation.get("/readyz").status == 200
        return False

    wait_until(is_ready, "the api to be ready")


def test_a_password_that_redis_refuses_ends_a_process_that_starts(tmp_path):
    with RealRedis(password="right") as redis:
        wrong = redis.url.replace("unix://", "unix://:wrong@")
        with installed(tmp_path, NoDocker("unix:///nowhere/docker.sock"), redis=wrong) as installation:
            for role in ("api", "worker"):
                assert installation.start(role).wait(LONG_PATIENCE) == 1
                assert "Redis refuses the login" in installation.log(role)
                assert ":wrong@" not in installation.log(role)


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
