"""Pumps on the log of a real engine: two at once, cut off, reading on from any frame; and a log that went with its container."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fastlane.clock import SystemClock
from fastlane.errors import LogLost
from fastlane.executors.port import EngineTask, Phase
from fastlane.models.log import STDERR, STDOUT, Mark
from fastlane.storage.sqlite.store import SqliteStore
from fastlane.streams.pump import LogEnd, Pump
from tests.contract.test_executor import SHELL, Bench, content
from tests.support import frames
from tests.support.defaults import default_executor
from tests.support.engine import IMAGE, connect, open_probed, remove_all
from tests.support.factories import joined, new
from tests.support.installation import LINGER
from tests.support.intercept import Call, intercept
from tests.support.relay import Relay
from tests.support.waiting import wait_until

MUCH = 1 << 40
LABEL = f"pumps-{uuid4().hex[:8]}"
LONG = "head -c 40000 /dev/zero | tr '\\000' x; echo"
PAD = "x" * 60
POUR = f"""i=0; while [ $i -lt 40 ]; do seq $((i * 500)) $((i * 500 + 499)) | sed s/$/{PAD}/
echo error $i >&2; i=$((i + 1)); sleep 0.05; done"""
"""Writes for some two seconds."""
OUT = b"".join(b"%d%s\n" % (number, PAD.encode()) for number in range(20_000))
ERR = b"".join(b"error %d\n" % number for number in range(40))


class Slow(SystemClock):
    """The clock of a pump that stores other chunks than one whose clock is right."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds * 3.3)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def refused(store: SqliteStore) -> list[Call]:
    """The chunks that the store refuses."""
    refused: list[Call] = []

    async def append(call: Call) -> Any:
        kept = await call.carry()
        if not kept:
            refused.append(call)
        return kept

    intercept(store, "append", append)
    return refused


@pytest.fixture
async def relay(engine: str) -> AsyncIterator[Relay]:
    folder = Path(tempfile.mkdtemp(prefix="fl", dir="/tmp"))  # short: a socket's path holds 107 bytes
    passing = Relay(f"unix://{folder / 's'}", engine)
    await passing.start()
    yield passing
    await passing.stop()
    shutil.rmtree(folder)


@pytest.fixture
async def bench(engine: str, relay: Relay) -> AsyncIterator[Bench]:
    """The engine, and the same one behind the relay."""
    executor = default_executor([engine, relay.place], LABEL, probe_every=0.2, max_fails=1_000)
    await open_probed(executor)
    try:
        yield Bench(executor, engine, SHELL, lambda _view: 1)
    finally:
        await executor.close()
        remove_all(engine, LABEL)


async def an_execution(store: SqliteStore) -> str:
    job, tick, execution = new()
    await store.create(job, tick, execution)
    return execution.id


async def stored(store: SqliteStore, execution_id: str) -> tuple[bytes, bytes]:
    """Both streams, as they are stored."""
    pieces = (await store.read_log(execution_id, 0, MUCH)).pieces
    return joined(pieces, STDOUT), joined(pieces, STDERR)


async def test_two_pumps_at_once_store_one_log_though_one_is_cut_off_time_and_again(
    bench: Bench, relay: Relay, store: SqliteStore, refused: list[Call]
) -> None:
    id = await an_execution(store)
    service = await bench.start(("sh", "-c", POUR))
    task = await bench.task(service, Phase.RUNNING)
    clocks = [SystemClock(), Slow()]
    hosts = [bench.host, relay.place]
    pumps = [(host, Pump(store, bench.executor, clock, id, most=MUCH)) for host, clock in zip(hosts, clocks, strict=True)]
    following = [asyncio.create_task(pump.follow(host, task.id)) for host, pump in pumps]
    while (await bench.executor.inspect(bench.host, service)).tasks[0].phase is Phase.RUNNING:
        before = await store.log_head(id)
        await asyncio.sleep(0.1)  # some of the log between two cuts
        if refused and await store.log_head(id) != before:  # both have met by then
            await relay.cut()
    for follow in following:
        follow.cancel()
    await asyncio.wait(following)
    tails = await asyncio.gather(*(pump.finish(host, task.id) for host, pump in pumps))
    assert await stored(store, id) == (OUT, ERR)
    assert tails == [LogEnd(await store.log_head(id))] * 2
    assert refused


async def test_a_log_is_read_on_from_any_of_its_frames(bench: Bench) -> None:
    script = f"{LONG}; echo one; echo two >&2; {LONG}; {LONG} >&2; for i in 1 2 3 4 5 6 7 8; do echo $i; echo $i >&2; done; printf end"
    _, task = await bench.run(("sh", "-c", script))
    log = await asyncio.to_thread(raw, bench.host, task)
    assert len(log) > 25
    marks: dict[int, Mark] = {}
    for place, (stream, moment, _) in enumerate([(0, 0, b""), *log]):
        if stream:
            before = marks.get(stream)
            marks[stream] = Mark(moment, before.ordinal + 1 if before is not None and before.time == moment else 1)
        rest = await bench.log(task, dict(marks))
        for one in (STDOUT, STDERR):
            assert content(rest, one) == b"".join(text for of, _, text in log[place:] if of == one), (place, one)
        assert not any(portion.dropped for portion in rest)


async def test_a_log_that_went_with_its_container_is_lost_to_who_has_read_some_of_it(bench: Bench, store: SqliteStore) -> None:
    id = await an_execution(store)
    _, task = await bench.run(("sh", "-c", f"echo one; echo two >&2{LINGER}"))
    pump = Pump(store, bench.executor, SystemClock(), id, most=MUCH)
    assert (await pump.finish(bench.host, task.id)).gone is False
    await asyncio.to_thread(remove_container, bench.host, task)
    with pytest.raises(LogLost):
        await pump.finish(bench.host, task.id)
    assert await stored(store, id) == (b"one\n", b"two\n")


async def test_what_the_engine_threw_away_before_it_was_read_is_told_as_truncated(bench: Bench, store: SqliteStore) -> None:
    id = await an_execution(store)
    script = "echo first; while [ ! -e /go ]; do sleep 0.05; done; seq 1 300000; echo last"
    service = await asyncio.to_thread(small_log, bench.host, script)
    task = await asyncio.to_thread(reached, bench.host, service, "running")
    pump = Pump(store, bench.executor, SystemClock(), id, most=MUCH)
    async with asyncio.timeout(30):
        while not (await pump.finish(bench.host, task["ID"])).head.offset:
            pass
    await asyncio.to_thread(go_on, bench.host, task)
    await asyncio.to_thread(reached, bench.host, service, "complete")
    tail = await pump.finish(bench.host, task["ID"])
    out, _ = await stored(store, id)
    assert tail.head.truncated
    assert out.startswith(b"first\n")
    assert b"\n1\n2\n3\n" not in out
    assert out.endswith(b"299999\n300000\nlast\n")


def small_log(url: str, script: str) -> str:
    """A service whose engine keeps 200 KB of its log at most."""
    template = {
        "ContainerSpec": {"Image": IMAGE, "Args": ["sh", "-c", script]},
        "RestartPolicy": {"Condition": "none"},
        "LogDriver": {"Name": "local", "Options": {"max-size": "100k", "max-file": "2", "compress": "false"}},
    }
    with contextlib.closing(connect(url)) as client:
        service: str = client.create_service(template, labels={"fastlane.installation": LABEL})["ID"]
    return service


def reached(url: str, service: str, state: str) -> dict[str, Any]:
    """Its task, once it has come to that state."""
    with contextlib.closing(connect(url)) as client:

        def found() -> dict[str, Any] | None:
            tasks = client.tasks(filters={"service": service})
            return tasks[0] if tasks and tasks[0]["Status"]["State"] == state else None

        return wait_until(found, f"a task of {service} to be {state}")


def go_on(url: str, task: dict[str, Any]) -> None:
    with contextlib.closing(connect(url)) as client:
        client.exec_start(client.exec_create(task["Status"]["ContainerStatus"]["ContainerID"], ["touch", "/go"]))


def raw(url: str, task: EngineTask) -> list[frames.Frame]:
    with contextlib.closing(connect(url)) as client:
        address = f"{client.base_url}/v{client.api_version}/tasks/{task.id}/logs"
        return frames.read(client.get(address, params={"stdout": 1, "stderr": 1, "timestamps": 1}, timeout=30).content)


def remove_container(url: str, task: EngineTask) -> None:
    with contextlib.closing(connect(url)) as client:
        client.remove_container(task.container_id)
