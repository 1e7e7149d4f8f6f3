"""The ways to a Redis: TLS, a password in the URL, and Sentinels with a fail-over."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from fastlane.errors import QueueDown
from fastlane.queue.port import Lane
from tests.adapters.redis.sentinels import PASSWORD, QUOTED_PASSWORD, Sentinels, TlsFront, free_ports
from tests.support.certificates import make_certificate
from tests.support.clocked_queue import ClockedQueue
from tests.support.factories import make_entry
from tests.support.redis import RealRedis
from tests.support.waiting import PATIENCE, until

DEADLINE = 1.0
FAIL_OVER = 60.0
"""Seconds in which a fail-over must be over; it takes about three."""


@pytest.fixture
async def queue_at() -> AsyncIterator:
    """Opens a queue at a URL; all are closed in the end."""
    queues = []

    async def open_one(url: str, on_wake=lambda: None, deadline: float = DEADLINE) -> ClockedQueue:
        queue = ClockedQueue(url, "test", deadline=deadline)
        queue.subscribe(on_wake, lambda id: None)
        await queue.open()
        queues.append(queue)
        return queue

    yield open_one
    for queue in queues:
        await queue.close()


async def claimed(queue: ClockedQueue) -> list[str]:
    return [lease.id for lease in (await queue.claim("1", "me", [Lane("main", 9)], 10, lease=1000)).leases]


@pytest.fixture
async def tls(own_redis, tmp_path) -> AsyncIterator[TlsFront]:
    async with TlsFront(own_redis, *make_certificate(tmp_path, "localhost")) as front:
        yield front


async def test_a_queue_over_tls_works_and_is_woken(queue_at, tls, tmp_path):
    woken = asyncio.Event()
    queue = await queue_at(f"rediss://localhost:{tls.port}/0?ssl_ca_certs={tmp_path}/localhost.pem", woken.set, PATIENCE)
    await queue.generation.set_generation("1")
    await queue.put([make_entry("a")])
    assert await claimed(queue) == ["a"]
    async with asyncio.timeout(PATIENCE):
        await woken.wait()


async def test_a_certificate_of_an_unknown_authority_is_refused(queue_at, tls):
    queue = await queue_at(f"rediss://localhost:{tls.port}/0", deadline=PATIENCE)
    with pytest.raises(QueueDown, match="certificate verify failed"):
        await queue.check()


async def test_a_certificate_of_another_host_is_refused(queue_at, own_redis, tmp_path):
    async with TlsFront(own_redis, *make_certificate(tmp_path, "other.example")) as front:
        queue = await queue_at(f"rediss://localhost:{front.port}/0?ssl_ca_certs={tmp_path}/other.example.pem", deadline=PATIENCE)
        with pytest.raises(QueueDown, match="certificate"):
            await queue.check()


async def test_a_server_without_tls_is_refused_within_the_deadline(queue_at):
    (port,) = free_ports(1)
    with RealRedis("--port", str(port), "--bind", "127.0.0.1"):
        queue = await queue_at(f"rediss://127.0.0.1:{port}/0")
        since = time.monotonic()
        with pytest.raises(QueueDown):
            await queue.check()
        assert time.monotonic() - since < PATIENCE


@pytest.mark.parametrize("scheme", ["unix", "redis"])
async def test_a_password_in_the_url_opens_the_queue(queue_at, scheme):
    (port,) = free_ports(1)
    with RealRedis("--port", str(port), "--bind", "127.0.0.1", password=PASSWORD) as redis:
        rest = {"unix": str(redis.socket), "redis": f"127.0.0.1:{port}/0"}[scheme]
        queue = await queue_at(f"{scheme}://:{QUOTED_PASSWORD}@{rest}")
        await queue.check()
        without = await queue_at(f"{scheme}://{rest}")
        with pytest.raises(QueueDown, match="Authentication required"):
            await without.check()


async def test_a_port_where_nobody_listens_is_down_at_once(queue_at):
    queue = await queue_at(f"redis://127.0.0.1:{free_ports(1)[0]}/0", deadline=PATIENCE)
    since = time.monotonic()
    with pytest.raises(QueueDown, match="cannot be reached"):
        await queue.check()
    assert time.monotonic() - since < PATIENCE


async def test_sentinels_that_do_not_answer_are_down_within_the_deadline(queue_at):
    with contextlib.ExitStack() as stack:
        hung = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        addresses = ",".join(f"127.0.0.1:{one.getsockname()[1]}" for one in hung)
        queue = await queue_at(f"redis+sentinel://{addresses}/main", deadline=4.0)
        since = time.monotonic()
        with pytest.raises(QueueDown, match="no answering Sentinel"):
            await queue.check()
        assert time.monotonic() - since < PATIENCE
        await queue.close()


@pytest.fixture(scope="module")
def sentinels() -> Iterator[Sentinels]:
    with Sentinels() as sentinels:
        yield sentinels


async def test_a_service_that_no_sentinel_knows_is_down(queue_at, sentinels):
    queue = await queue_at(sentinels.url.replace("/main/0", "/nobody"))
    with pytest.raises(QueueDown, match="no answering Sentinel knows a live master of this service"):
        await queue.check()


async def test_the_queue_goes_on_at_the_new_master_after_a_fail_over(queue_at, sentinels):
    woken = asyncio.Event()
    queue = await queue_at(sentinels.url, woken.set)
    await queue.generation.set_generation("1")
    await queue.put([make_entry("a")])
    before = await queue.generation.identity()
    sentinels.copied()
    await asyncio.wait_for(woken.wait(), PATIENCE)
    woken.clear()
    sentinels.fail_over()
    await _until_it_works(queue)
    after = await queue.generation.identity()
    assert after.run_id != before.run_id
    assert after.generation == "1"
    assert await claimed(queue) == ["a"]
    await asyncio.wait_for(woken.wait(), FAIL_OVER)
    woken.clear()
    await queue.put([make_entry("b")])
    await asyncio.wait_for(woken.wait(), PATIENCE)
    assert await claimed(queue) == ["b"]


async def _until_it_works(queue: ClockedQueue) -> None:
    """Asks again and again; each answer comes in bounded time."""
    await until(lambda: _works(queue), "a new master", FAIL_OVER)


async def _works(queue: ClockedQueue) -> bool:
    since = time.monotonic()
    with contextlib.suppress(QueueDown):
        await queue.check()
        return True
    assert time.monotonic() - since < 5 * DEADLINE
    return False
