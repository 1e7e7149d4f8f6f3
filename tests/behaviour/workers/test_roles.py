"""What each command runs, built as in production, but on an engine whose jobs end at once."""

import socket

import aiohttp
import pytest

from fastlane import app
from fastlane.config.settings import Settings
from fastlane.errors import FastlaneError
from fastlane.models.pool import Pool
from tests.support.defaults import hosts_of
from tests.support.instant import InstantExecutor
from tests.support.waiting import until

POOLS = (Pool("default", "", ("unix:///instant",)),)
FACTORIES = app.Factories(executor=lambda settings, clock: InstantExecutor(hosts_of(settings.pools), clock))


async def ended(client: aiohttp.ClientSession, url: str) -> dict[str, object]:
    """The job, once it is done."""

    async def found() -> dict[str, object] | None:
        async with client.get(url) as answer:
            found = await answer.json()
        return found if found["job"]["status"] == "done" else None

    return await until(found, "the job to end")


async def test_up_takes_a_job_and_runs_it(tmp_path):
    settings = Settings.defaults(tmp_path, port=0, pools=POOLS)
    async with app.running("up", settings, FACTORIES) as running, aiohttp.ClientSession() as client:
        await ready(client, running.port)
        reply = await enqueue(client, running.port)
        await ended(client, reply["jobUrl"])


async def test_an_api_and_a_worker_share_a_store_and_a_queue(tmp_path, shared_redis):
    settings = Settings.defaults(data_dir=tmp_path, port=0, pools=POOLS, redis_url=shared_redis.url, installation="test-roles")
    async with (
        app.running("api", settings, FACTORIES) as api,
        app.running("worker", settings, FACTORIES) as worker,
        aiohttp.ClientSession() as client,
    ):
        assert (api.worker, worker.services, worker.port) == (None, None, None)
        await ready(client, api.port)
        reply = await enqueue(client, api.port)
        await ended(client, reply["jobUrl"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Tornado leaves the socket that it could not bind
async def test_a_port_in_use_is_found_before_anything_starts(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings.defaults(tmp_path, port=taken.getsockname()[1], pools=POOLS)
        with pytest.raises(FastlaneError, match="choose another --port"):
            async with app.running("up", settings, FACTORIES):
                pass
    assert not (tmp_path / ".fastlane").exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as above
def test_a_port_in_use_is_found_before_an_engine_is_called(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket(socket.AF_UNIX) as engine:
        engine.bind(f"{tmp_path}/engine")
        engine.listen()
        engine.setblocking(False)
        pools = (Pool("default", "", (f"unix://{tmp_path}/engine",)),)
        with pytest.raises(FastlaneError, match="choose another --port"):
            app.run("up", Settings.defaults(tmp_path, port=taken.getsockname()[1], pools=pools), FACTORIES)
        with pytest.raises(BlockingIOError):
            engine.accept()


async def ready(client: aiohttp.ClientSession, port: int | None) -> None:
    """Returns once a worker has reported itself."""

    async def well() -> bool:
        async with client.get(f"http://127.0.0.1:{port}/healthcheck") as answer:
            return answer.status == 200

    await until(well, "a worker to report itself")


async def enqueue(client: aiohttp.ClientSession, port: int | None) -> dict[str, str]:
    async with client.post(f"http://127.0.0.1:{port}/tasks/test", json={"image": "ubuntu:latest"}) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()
