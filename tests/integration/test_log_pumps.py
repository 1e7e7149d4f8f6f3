"""Pumps on the log of a real engine: two at once, cut off, reading on from any frame; and a log that went with its container."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from fastlane.clock import SystemClock
from fastlane.errors import LogLost
from fastlane.executors.base import Phase, TaskView
from fastlane.executors.swarm import SwarmExecutor
from fastlane.models.log import STDERR, STDOUT, Chunk, Mark
from fastlane.storage.sqlite import SqliteStore
from fastlane.streams.pump import Pump, Tail
from tests.contract.test_executor import SHELL, Bench, content
from tests.contract.values import joined, new
from tests.support import frames
from tests.support.engine import connect, remove_all
from tests.support.proxy import Proxy

MUCH = 1 << 40
LONG = "head -c 40000 /dev/zero | tr '\\000' x; echo"
PAD = "x" * 60
POUR = f"""i=0; while [ $i -lt 40 ]; do seq $((i * 500)) $((i * 500 + 499)) | sed s/$/{PAD}/
echo error $i >&2; i=$((i + 1)); sleep 0.05; done"""
"""Writes for some two seconds."""
OUT = b"".join(b"%d%s\n" % (number, PAD.encode()) for number in range(20_000))
ERR = b"".join(b"error %d\n" % number for number in range(40))


class Store(SqliteStore):
    """Counts the chunks that it refuses."""

    refused = 0

    async def append(self, chunk: Chunk) -> bool:
        kept = await super().append(chunk)
        self.refused += not kept
        return kept


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "store.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def proxy(engine: str) -> AsyncIterator[Proxy]:
    folder = Path(tempfile.mkdtemp(prefix="fl", dir="/tmp"))  # short: a socket's path holds 107 bytes
    passing = Proxy(folder / "s", engine)
    await passing.start()
    yield passing
    await passing.stop()
    shutil.rmtree(folder)


@pytest.fixture
async def bench(engine: str, proxy: Proxy) -> AsyncIterator[Bench]:
    """The engine, and the same one behind the proxy."""
    installation = f"pumps-{uuid4().hex[:8]}"
    executor = SwarmExecutor([engine, proxy.url], installation, SystemClock(), probe_every=0.2, max_fails=1_000)
    await executor.open()
    try:
        yield Bench(executor, engine, SHELL, lambda _view: 1)
    finally:
        await executor.close()
        remove_all(engine, installation)


async def an_execution(store: Store) -> str:
    job, tick, execution = new()
    await store.create(job, tick, execution)
    return execution.id


async def stored(store: Store, execution_id: str) -> tuple[bytes, bytes]:
    """Both streams, as they are stored."""
    pieces = (await store.read_log(execution_id, 0, MUCH)).pieces
    return joined(pieces, STDOUT), joined(pieces, STDERR)


async def test_two_pumps_at_once_store_one_log_though_one_is_cut_off_time_and_again(bench: Bench, proxy: Proxy, store: Store) -> None:
    id = await an_execution(store)
    service = await bench.start(("sh", "-c", POUR))
    task = await bench.task(service, Phase.RUNNING)
    clock = SystemClock()
    pumps = [(host, Pump(store, bench.executor, clock, id, most=MUCH)) for host in (bench.host, proxy.url)]
    following = [asyncio.create_task(pump.follow(host, task.id)) for host, pump in pumps]
    while (await bench.executor.inspect(bench.host, service)).tasks[0].phase is Phase.RUNNING:
        before = await store.log_head(id)
        await asyncio.sleep(0.1)
        if await store.log_head(id) != before:
            await proxy.cut()
    for follow in following:
        follow.cancel()
    await asyncio.wait(following)
    tails = await asyncio.gather(*(pump.finish(host, task.id) for host, pump in pumps))
    assert await stored(store, id) == (OUT, ERR)
    assert tails == [Tail(await store.log_head(id))] * 2
    assert store.refused > 0


async def test_a_log_is_read_on_from_any_of_its_frames(bench: Bench) -> None:
    script = f"{LONG}; echo one; echo two >&2; {LONG}; {LONG} >&2; for i in 1 2 3 4 5 6 7 8; do echo $i; echo $i >&2; done; printf end"
    _, task = await bench.run(("sh", "-c", script))
    log = await asyncio.to_thread(raw, bench.host, task)
    assert len(log) > 25
    marks: dict[int, Mark] = {}
    for place, (stream, time, _) in enumerate([(0, 0, b""), *log]):
        if stream:
            before = marks.get(stream)
            marks[stream] = Mark(time, before.ordinal + 1 if before is not None and before.time == time else 1)
        rest = await bench.log(task, dict(marks))
        for one in (STDOUT, STDERR):
            assert content(rest, one) == b"".join(text for of, _, text in log[place:] if of == one), (place, one)
        assert not any(portion.dropped for portion in rest)


async def test_a_log_that_went_with_its_container_is_lost_to_who_has_read_some_of_it(bench: Bench, store: Store) -> None:
    id = await an_execution(store)
    _, task = await bench.run(("sh", "-c", "echo one; echo two >&2"))
    pump = Pump(store, bench.executor, SystemClock(), id, most=MUCH)
    assert (await pump.finish(bench.host, task.id)).gone is False
    await asyncio.to_thread(remove_container, bench.host, task)
    with pytest.raises(LogLost):
        await pump.finish(bench.host, task.id)
    assert await stored(store, id) == (b"one\n", b"two\n")


def raw(url: str, task: TaskView) -> list[frames.Frame]:
    client = connect(url)
    try:
        address = f"{client.base_url}/v{client.api_version}/tasks/{task.id}/logs"
        return frames.read(client.get(address, params={"stdout": 1, "stderr": 1, "timestamps": 1}, timeout=30).content)
    finally:
        client.close()


def remove_container(url: str, task: TaskView) -> None:
    client = connect(url)
    try:
        client.remove_container(task.container_id)
    finally:
        client.close()
