"""A host that takes connections and says nothing, or fails at each call: what it may not delay."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from fastlane import app
from fastlane.config.settings import Settings
from fastlane.errors import HostDown
from fastlane.executors.port import Image, Order
from fastlane.models.job import Execution
from fastlane.models.pool import Pool, Pull
from fastlane.models.status import Status
from fastlane.scheduler import cleaner, launcher
from fastlane.scheduler.launcher import order_of
from tests.support.factories import new
from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis
from tests.support.waiting import until

OPENED_WITHIN = 5.0
"""Seconds: half of those after which a probe that is not answered ends."""
GONE, HERE = "gone:2375", "here:2375"
A_PAGE = 500


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The address of a host that takes every connection, and never answers."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_a_silent_host_delays_neither_the_server_nor_the_ticks(shared_redis: RealRedis, tmp_path: Path, silent: str) -> None:
    pools = (Pool("default", "", (silent,)),)
    settings = Settings.defaults(data_dir=tmp_path, port=0, pools=pools, redis_url=shared_redis.url, installation=tmp_path.name)
    async with aiohttp.ClientSession() as client, AsyncExitStack() as stack:
        async with asyncio.timeout(OPENED_WITHIN):
            running = await stack.enter_async_context(app.running("up", settings))
        base = f"http://127.0.0.1:{running.port}"
        async with client.get(f"{base}/livez") as answer:
            assert answer.status == 200
        async with client.post(f"{base}/tasks/test", json={"image": "ubuntu:latest", "startIn": "1s"}) as answer:
            url = (await answer.json())["jobUrl"]

        async def fired() -> bool:
            async with client.get(url) as answer:
                return bool((await answer.json())["job"]["status"] == "enqueued")

        await until(fired, "the tick to fire", OPENED_WITHIN)


async def test_a_host_that_is_away_keeps_no_other_hosts_services_from_being_removed(shared_redis: RealRedis, tmp_path: Path) -> None:
    pools = (Pool("gone", "gone-", (GONE,)), Pool("default", "", (HERE,)))
    async with Fastlane(tmp_path, shared_redis.url, pools=pools) as crew:
        never = asyncio.Event()

        async def remove(host: str, service_id: str, own: object = crew.executor.remove) -> None:
            if host == GONE:
                await never.wait()
            await own(host, service_id)  # type: ignore[operator]

        crew.executor.remove = remove
        await asyncio.gather(*(_left(crew, GONE, number) for number in range(A_PAGE + 1)))
        here = [await _left(crew, HERE, A_PAGE + number) for number in range(1, 4)]
        await crew.hire()

        async def cleaned() -> bool:
            found = [await crew.store.execution(one.id) for one in here]
            return all(one is not None and one.cleaned for one in found)

        await crew.until(cleaned, "the services of the host that answers to be removed")
        assert len(await crew.store.uncleaned(A_PAGE + 10)) == A_PAGE + 1


async def test_a_leftover_whose_removal_hangs_keeps_no_other_from_being_removed(
    shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaner, "WITHIN", 0.2)
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("default", "", (HERE,)),), reconcile=0.05) as crew:
        image = await crew.executor.resolve(HERE, "ubuntu", Pull.MISSING)
        ended = [await _left(crew, HERE, number) for number in range(1, 5)]
        first, *others = [await crew.executor.park(HERE, order_of(one, None), image) for one in ended]

        async def remove(host: str, service_id: str, own: object = crew.executor.remove) -> None:
            if service_id == first:
                await asyncio.Event().wait()
            await own(host, service_id)  # type: ignore[operator]

        crew.executor.remove = remove
        assert [service.id for service in await crew.executor.services(HERE)] == [first, *others]
        await crew.hire()

        async def is_alone() -> bool:
            return [service.id for service in await crew.executor.services(HERE)] == [first]

        await crew.until(is_alone, "the others to be removed")


async def _left(crew: Fastlane, host: str, finished_at: int) -> Execution:
    """An execution that has ended on this host, and whose service is still there."""
    job, tick, execution = new(f"{'gone' if host == GONE else 'here'}-task")
    ended = replace(
        execution,
        status=Status.DONE,
        epoch=1,
        host=host,
        swarm_id=f"swarm of {host}",
        service_id=f"service-{execution.id}",
        bound_at=1,
        finished_at=finished_at,
        settled=True,
    )
    await crew.store.create(job, tick, ended)
    return ended


async def test_a_start_that_keeps_failing_lets_others_have_its_slot(
    shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "HELD_FOR", 200)
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("default", "", (HERE,), max_running=1),)) as crew:
        tries, park = [], crew.executor.park
        well = asyncio.Event()

        async def failing(host: str, order: Order, image: Image) -> str:
            if order.task_id == "stuck" and not well.is_set():
                tries.append(crew.clock.now())
                raise HostDown(f"{host} could not reach its swarm in time")
            return str(await park(host, order, image))

        crew.executor.park = failing
        stuck = await crew.submit("exit", "0", task="stuck")
        other = await crew.submit("exit", "0")
        await crew.hire()
        await crew.reaches(other, "done")
        assert (await crew.reaches(stuck, "pulling")).service_id is None

        async def tried_again() -> bool:
            return len(tries) > 4

        await crew.until(tried_again, "further tries")
        well.set()
        assert (await crew.reaches(stuck, "done")).attempt == 1
        await crew.idle()
