"""Hosts that are away, come back, hang or are cut off, as the Swarm adapter sees them: a relay stands before a real engine."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from fastlane.errors import HostDown, ImageRefused, OrderRefused, RegistryDown
from fastlane.executors.port import Activation, Order, Phase
from fastlane.executors.swarm import observe
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.models.container import Container
from fastlane.models.host import Endpoint, HostView
from fastlane.models.pool import Pull
from tests.support import waiting
from tests.support.defaults import default_executor
from tests.support.engine import IMAGE, open_probed, remove_all, task_in
from tests.support.relay import Relay

PATIENCE = 30.0
HOLD = ("sh", "-c", "trap 'exit 0' TERM; echo begun; while :; do sleep 0.05; done")


@pytest.fixture
async def relay(engine: str) -> AsyncIterator[Relay]:
    folder = Path(tempfile.mkdtemp(prefix="fl", dir="/tmp"))  # short: a socket's path holds 107 bytes
    passing = Relay(f"unix://{folder / 's'}", engine)
    yield passing
    await passing.stop()
    shutil.rmtree(folder)


@pytest.fixture
def installation(engine: str) -> Iterator[str]:
    name = f"hosts-{uuid4().hex[:8]}"
    yield name
    remove_all(engine, name)


@contextlib.asynccontextmanager
async def opened(hosts: Sequence[str | Endpoint], installation: str, **options: float) -> AsyncIterator[SwarmExecutor]:
    executor = default_executor(hosts, installation, probe_every=0.1, **options)
    await open_probed(executor)
    try:
        yield executor
    finally:
        async with asyncio.timeout(5):
            await executor.close()


async def until(executor: SwarmExecutor, holds: Callable[[HostView], bool]) -> HostView:
    """The first host's view once this holds for it."""
    return await waiting.until(lambda: view if holds(view := executor.hosts()[0]) else None, "a change of the host", PATIENCE)


def order(command: tuple[str, ...]) -> Order:
    id = str(uuid4())
    return Order(id, "task", "job", 1, 1, 0, command, {}, container=Container(stop_grace=5000))


async def start(executor: SwarmExecutor, host: str, command: tuple[str, ...]) -> str:
    service = await executor.park(host, order(command), await executor.resolve(host, IMAGE, Pull.MISSING))
    assert await executor.activate(host, service) is Activation.STARTED
    return service


async def running_task(executor: SwarmExecutor, host: str, service: str) -> str:
    return (await task_in(Phase.RUNNING, executor, host, service)).id


async def test_a_host_that_is_away_says_why_and_is_used_once_an_engine_comes_there(relay: Relay, installation: str) -> None:
    changes: list[bool] = []
    async with opened([relay.place], installation) as executor:
        executor.subscribe(lambda: changes.append(executor.hosts()[0].usable))
        (view,) = executor.hosts()
        assert (view.usable, view.reason) == (False, "has no socket there: is the engine running?")
        assert view.since is not None
        with pytest.raises(HostDown, match="has no socket there"):
            await executor.resolve(relay.place, IMAGE, Pull.MISSING)
        assert (await executor.snapshot()).tasks == {}
        await relay.start()
        await until(executor, lambda view: view.usable)
        assert changes == [True]
        await start(executor, relay.place, ("true",))


async def test_a_breaker_opens_after_faults_in_a_row_and_closes_when_the_engine_is_back(relay: Relay, installation: str) -> None:
    await relay.start()
    async with opened([relay.place], installation, max_fails=3, reset=600) as executor:
        assert executor.hosts()[0].usable
        service = await start(executor, relay.place, ("true",))
        await relay.stop()
        for _ in range(3):
            with pytest.raises(HostDown):
                await executor.inspect(relay.place, service)
        view = await until(executor, lambda view: view.circuit == "open" and not view.usable)
        assert view.reason
        with pytest.raises(HostDown, match="is not asked"):
            await executor.inspect(relay.place, service)
        await relay.start()
        await until(executor, lambda view: view.usable and view.circuit == "closed")
        assert (await executor.inspect(relay.place, service)).activated


async def test_a_container_outlives_its_hosts_absence_and_is_found_again(relay: Relay, installation: str) -> None:
    await relay.start()
    async with opened([relay.place], installation) as executor:
        service = await start(executor, relay.place, HOLD)
        task = await running_task(executor, relay.place, service)
        await relay.stop()
        await until(executor, lambda view: not view.usable)
        await relay.start()
        await until(executor, lambda view: view.usable)
        view = await executor.inspect(relay.place, service)
        assert [(found.id, found.phase) for found in view.tasks] == [(task, Phase.RUNNING)]
        assert await executor.activate(relay.place, service) is Activation.ALREADY


async def test_a_follow_ends_with_host_down_when_the_host_is_cut_off(relay: Relay, installation: str) -> None:
    await relay.start()
    async with opened([relay.place], installation) as executor:
        service = await start(executor, relay.place, HOLD)
        task = await running_task(executor, relay.place, service)
        follow = executor.logs(relay.place, task, {}, follow=True)
        async with contextlib.aclosing(follow), asyncio.timeout(PATIENCE):
            assert [piece.data for piece in (await anext(follow)).pieces] == [b"begun\n"]
            await relay.cut()
            with pytest.raises(HostDown):
                await anext(follow)


async def test_a_host_that_hangs_does_not_hold_up_a_look_for_long(relay: Relay, installation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await relay.start()
    async with opened([relay.place], installation) as executor:
        await executor.snapshot()
        relay.hang()

        async def missed() -> bool:
            """An idle host is not asked at each look: what it said a moment ago may count first."""
            began = time.monotonic()
            tasks = (await executor.snapshot()).tasks
            assert time.monotonic() - began < observe.ANSWER_WITHIN
            return tasks == {}

        await waiting.until(missed, "a look without the host", PATIENCE)
        monkeypatch.setattr(observe, "WAIT_FOR", 60.0)  # so that a look that waits for the first one's call is seen to wait
        began = time.monotonic()
        assert (await executor.snapshot()).tasks == {}
        assert time.monotonic() - began < observe.ANSWER_WITHIN - 2.0
        relay.flow()

        async def seen() -> bool:
            return relay.place in (await executor.snapshot()).tasks

        await waiting.until(seen, "the host in a snapshot", PATIENCE)


async def test_an_executor_closes_soon_although_calls_hang(relay: Relay, installation: str) -> None:
    await relay.start()
    async with opened([relay.place], installation) as executor:
        relay.hang()
        calls = [asyncio.ensure_future(executor.services(relay.place)) for _ in range(12)]
        await asyncio.wait(calls, timeout=0.3)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_two_managers_of_one_swarm_show_one_swarms_tasks(engine: str, relay: Relay, installation: str) -> None:
    await relay.start()
    async with opened([relay.place, engine], installation) as executor:
        one, other = executor.hosts()
        assert one.swarm_id == other.swarm_id
        service = await start(executor, engine, ("true",))
        await running_or_ended(executor, service)
        look = await executor.snapshot()
        assert set(look.tasks) == {relay.place, engine}
        assert look.tasks[relay.place] == look.tasks[engine]
        assert (await executor.inspect(relay.place, service)).id == service


async def running_or_ended(executor: SwarmExecutor, service: str) -> None:
    async def seen() -> bool:
        return any(service in tasks for tasks in (await executor.snapshot()).tasks.values())

    await waiting.until(seen, "the service in a snapshot", PATIENCE)


async def test_a_container_gets_its_environment_literally_and_what_it_is_for(engine: str, installation: str) -> None:
    script = ("sh", "-c", "env; sleep 1")  # a busy engine loses what a container writes in its last moments (docs/swarm.md)
    made = replace(order(script), task_id="a/{{task}} ✓", envs={"ONE": "{{.Service.Name}}", "TWO": "a=b }} {{{"}, attempt=2)
    async with opened([engine], installation) as executor:
        service = await executor.park(engine, made, await executor.resolve(engine, IMAGE, Pull.MISSING))
        await executor.activate(engine, service)
        await running_or_ended(executor, service)
        task = await task_in(Phase.ENDED, executor, engine, service)
        portions = [portion async for portion in executor.logs(engine, task.id, {}, follow=False)]
        lines = b"".join(piece.data for portion in portions for piece in portion.pieces).decode().splitlines()
    assert {
        "ONE={{.Service.Name}}",
        "TWO=a=b }} {{{",
        "FASTLANE_TASK_ID=a/{{task}} ✓",
        "FASTLANE_JOB_ID=job",
        f"FASTLANE_EXECUTION_ID={made.execution_id}",
        "FASTLANE_ATTEMPT=2",
        "FASTLANE_SCHEDULED_FOR=1970-01-01T00:00:00.000Z",
    } <= set(lines)


@pytest.mark.parametrize("image", ["../containers/json", "a//b", "http://x/y", "UPPER", "-x/y"])
async def test_what_is_no_reference_is_refused_as_an_image(engine: str, installation: str, image: str) -> None:
    async with opened([engine], installation) as executor:
        with pytest.raises(ImageRefused):
            await executor.resolve(engine, image, Pull.MISSING)
        assert executor.hosts()[0].usable


async def test_a_registry_that_cannot_be_reached_is_told_apart_from_one_without_a_name(engine: str, installation: str) -> None:
    async with opened([engine], installation) as executor:
        with pytest.raises(RegistryDown) as nameless:
            await executor.resolve(engine, "registry.invalid/image:1", Pull.ALWAYS)
        with pytest.raises(RegistryDown) as refused:
            await executor.resolve(engine, "127.0.0.1:1/image:1", Pull.ALWAYS)
        assert (nameless.value.nameless, refused.value.nameless) == (True, False)
        local = await executor.resolve(engine, IMAGE, Pull.ALWAYS)
        assert local.reference == local.digest == (await executor.resolve(engine, IMAGE, Pull.MISSING)).digest
        named = "ubuntu@sha256:" + "a" * 64
        assert (await executor.resolve(engine, named, Pull.ALWAYS)).reference == named


@pytest.mark.parametrize("prefix", ["", "sha256:"])
async def test_a_name_that_an_images_id_begins_with_is_not_that_image(engine: str, installation: str, prefix: str) -> None:
    async with opened([engine], installation) as executor:
        id = (await executor.resolve(engine, IMAGE, Pull.MISSING)).reference
        assert (await executor.resolve(engine, id, Pull.MISSING)).reference == id
        for pull in Pull:
            with pytest.raises((ImageRefused, RegistryDown)):
                await executor.resolve(engine, prefix + id.removeprefix("sha256:")[:12], pull)


async def test_an_installation_sees_nothing_of_anothers(engine: str, installation: str) -> None:
    async with opened([engine], installation) as ours, opened([engine], f"{installation}-2") as theirs:
        service = await start(ours, engine, ("true",))
        await running_or_ended(ours, service)
        assert await theirs.services(engine) == []
        assert (await theirs.snapshot()).tasks == {engine: {}}


async def test_a_name_that_somebody_else_took_is_refused(engine: str, installation: str) -> None:
    made = order(("true",))
    async with opened([engine], installation) as ours, opened([engine], f"{installation}-2") as theirs:
        image = await ours.resolve(engine, IMAGE, Pull.MISSING)
        service = await theirs.park(engine, made, image)
        with pytest.raises(OrderRefused, match="not this execution's"):
            await ours.park(engine, made, image)
        await theirs.remove(engine, service)
