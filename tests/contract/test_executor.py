"""What every executor promises (``fastlane/executors/port.py``), asked of the Swarm adapter on a real engine and on a simulated one, and of
the instant one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest

from fastlane.clock import SystemClock
from fastlane.errors import HostDown, ImageRefused, OrderRefused, RegistryDown, ServiceGone
from fastlane.executors.port import Activation, EngineService, EngineTask, Executor, Image, Order, Phase, TaskEnd
from fastlane.models.container import Container
from fastlane.models.job import Usage
from fastlane.models.log import STDERR, STDOUT, Mark, Portion
from fastlane.models.pool import Pull
from tests.support.defaults import default_executor
from tests.support.engine import IMAGE, connect, open_probed, remove_all, task_in
from tests.support.instant import InstantExecutor
from tests.support.simulated_engine import Simulation
from tests.support.waiting import until

T = TypeVar("T")
PATIENCE = 30.0
MISSING = "registry.invalid/no-such-image:1"


@dataclass(frozen=True)
class Commands:
    """The same commands in the words of each executor."""

    nothing: tuple[str, ...]
    exits: Callable[[int], tuple[str, ...]]
    holds: tuple[str, ...]
    """Writes ``begun`` to stdout and runs until it is stopped; then it exits with 143."""
    lacks_image: tuple[str, ...]
    """To be run with an image that the node does not have."""
    writes: Callable[[bytes, bytes], tuple[str, ...]]
    """Writes the first to stdout, then the other to stderr."""


def octal(data: bytes) -> str:
    """Bytes as printf takes them."""
    plain = b"0123456789abcdefghijklmnopqrstuvwxyz"
    return "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in data)


SHELL = Commands(
    nothing=("true",),
    exits=lambda code: ("sh", "-c", f"exit {code}"),
    holds=("sh", "-c", "trap 'exit 143' TERM; echo begun; while :; do sleep 0.05; done"),
    lacks_image=("true",),
    writes=lambda out, err: ("sh", "-c", f"printf '{octal(out)}'; printf '{octal(err)}' >&2"),
)
INSTANT = Commands(
    nothing=(),
    exits=lambda code: ("exit", str(code)),
    holds=("out", "begun\n", "hold"),
    lacks_image=("end", "image"),
    writes=lambda out, err: ("hex", out.hex(), "err", err.decode()),
)


@dataclass(frozen=True)
class Bench:
    """An executor under test, with what the tests need to know of it."""

    executor: Executor
    host: str
    commands: Commands
    starts: Callable[[EngineService], int]
    """How often a service's container was started, as an outsider counts it."""

    async def image(self) -> Image:
        return await self.executor.resolve(self.host, IMAGE, Pull.MISSING)

    async def park(self, command: tuple[str, ...] | None, **changes: object) -> str:
        return await self.executor.park(self.host, order(command, **changes), await self.image())

    async def start(self, command: tuple[str, ...] | None, **changes: object) -> str:
        service = await self.park(command, **changes)
        assert await self.executor.activate(self.host, service) is Activation.STARTED
        return service

    async def task(self, service: str, phase: Phase) -> EngineTask:
        """The service's first task once it is in this phase."""
        return await task_in(phase, self.executor, self.host, service)

    async def run(self, command: tuple[str, ...] | None, **changes: object) -> tuple[str, EngineTask]:
        """Starts it and waits for its end."""
        service = await self.start(command, **changes)
        return service, await self.task(service, Phase.ENDED)

    async def log(self, task: EngineTask, marks: Mapping[int, Mark] | None = None) -> list[Portion]:
        return [portion async for portion in self.executor.logs(self.host, task.id, marks or {}, follow=False)]


def order(command: tuple[str, ...] | None, **changes: object) -> Order:
    id = str(uuid4())
    made = Order(id, "a/task ✓ {{x", f"job-{id}", 1, 1, 1_700_000_000_123, command, {}, container=Container(stop_grace=5000))
    return replace(made, **changes)


def content(portions: list[Portion], stream: int) -> bytes:
    return b"".join(piece.data for portion in portions for piece in portion.pieces if piece.stream == stream)


def containers_of(url: str, service: str) -> int:
    client = connect(url)
    try:
        return len(client.containers(all=True, filters={"label": f"com.docker.swarm.service.id={service}"}))
    finally:
        client.close()


@contextlib.asynccontextmanager
async def simulated(folder: Path) -> AsyncIterator[Bench]:
    """The Swarm adapter on a simulated engine."""
    async with Simulation(folder, 1) as simulation:
        host = f"unix://{simulation.names[0]}"
        swarm = default_executor([host], "contract", probe_every=0.2)
        await open_probed(swarm)
        try:
            yield Bench(swarm, host, INSTANT, lambda view: simulation.runs.starts.count(view.execution_id))
        finally:
            await swarm.close()


@pytest.fixture(params=["swarm", "instant", "simulated"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    if request.param == "instant":
        instant = InstantExecutor(missing=frozenset({MISSING}))
        host = instant.hosts()[0].name
        yield Bench(instant, host, INSTANT, lambda view: instant.starts.count(view.execution_id))
        return
    if request.param == "simulated":
        async with simulated(tmp_path) as made:
            yield made
        return
    url = request.getfixturevalue("engine")
    installation = f"contract-{uuid4().hex[:8]}"
    swarm = default_executor([url], installation, probe_every=0.2)
    await open_probed(swarm)
    try:
        yield Bench(swarm, url, SHELL, lambda view: containers_of(url, view.id))
    finally:
        await swarm.close()
        remove_all(url, installation)


@pytest.fixture
def executor(bench: Bench) -> Executor:
    return bench.executor


# starting


async def test_an_opened_executor_knows_its_hosts(executor: Executor, bench: Bench) -> None:
    (view,) = executor.hosts()
    assert view.name == bench.host
    assert (view.usable, view.reason, view.since, view.circuit) == (True, None, None, "closed")
    assert view.swarm_id


async def test_a_parked_service_runs_nothing(executor: Executor, bench: Bench) -> None:
    service = await bench.park(bench.commands.nothing)
    view = await executor.inspect(bench.host, service)
    assert (view.activated, view.stopping, view.tasks) == (False, False, ())
    assert [found.id for found in await executor.services(bench.host)] == [service]
    assert service not in (await executor.snapshot()).tasks[bench.host]


async def test_a_service_parked_twice_is_one(executor: Executor, bench: Bench) -> None:
    made, image = order(bench.commands.nothing), await bench.image()
    first = await executor.park(bench.host, made, image)
    assert await executor.park(bench.host, made, image) == first
    both = await asyncio.gather(*(executor.park(bench.host, made, image) for _ in range(3)))
    assert set(both) == {first}


async def test_another_epoch_parks_another_service(executor: Executor, bench: Bench) -> None:
    made, image = order(bench.commands.nothing), await bench.image()
    first = await executor.park(bench.host, made, image)
    second = await executor.park(bench.host, replace(made, epoch=2), image)
    assert first != second
    assert {view.execution_id for view in await executor.services(bench.host)} == {made.execution_id}


async def test_an_activated_service_runs_once_however_often_it_is_activated(executor: Executor, bench: Bench) -> None:
    service = await bench.park(bench.commands.nothing)
    found = await asyncio.gather(*(executor.activate(bench.host, service) for _ in range(4)))
    assert sorted(found) == [Activation.ALREADY] * 3 + [Activation.STARTED]
    await bench.task(service, Phase.ENDED)
    assert await executor.activate(bench.host, service) is Activation.ALREADY
    view = await executor.inspect(bench.host, service)
    assert view.activated
    assert len(view.tasks) == 1
    assert bench.starts(view) == 1


async def test_a_service_is_known_without_a_call_once_after_its_activation(executor: Executor, bench: Bench) -> None:
    service = await bench.park(bench.commands.nothing)
    assert executor.just_activated(bench.host, service) is None
    assert await executor.activate(bench.host, service) is Activation.STARTED
    known = executor.just_activated(bench.host, service)
    assert known is not None
    assert (known.id, known.activated, known.stopping, known.scaled_away) == (service, True, False, False)
    assert executor.just_activated(bench.host, service) is None
    assert await executor.activate(bench.host, service) is Activation.ALREADY
    assert executor.just_activated(bench.host, service) is None


async def test_an_activated_service_parked_again_is_still_that_one(executor: Executor, bench: Bench) -> None:
    made, image = order(bench.commands.exits(0)), await bench.image()
    service = await executor.park(bench.host, made, image)
    await executor.activate(bench.host, service)
    assert await executor.park(bench.host, made, image) == service


async def test_what_the_engine_will_not_take_is_refused(executor: Executor, bench: Bench) -> None:
    with pytest.raises(OrderRefused, match="not a valid repository/tag"):
        await executor.park(bench.host, order(None), Image("no image", "sha256:0"))


async def test_an_image_that_is_not_there_cannot_be_resolved(executor: Executor, bench: Bench) -> None:
    with pytest.raises((ImageRefused, RegistryDown)):
        await executor.resolve(bench.host, MISSING, Pull.MISSING)


@pytest.mark.parametrize("pull", Pull)
async def test_what_was_submitted_before_is_submitted_again(executor: Executor, bench: Bench, pull: Pull) -> None:
    image = await bench.image()
    assert await executor.resolve(bench.host, image.reference, pull) == image


# ending


@pytest.mark.parametrize("code", [0, 3, 127])
async def test_an_exit_code_comes_back(executor: Executor, bench: Bench, code: int) -> None:
    service, task = await bench.run(bench.commands.exits(code))
    assert (task.phase, task.end, task.exit_code) == (Phase.ENDED, TaskEnd.EXITED, code)
    assert task.service_id == service
    assert task.container_id
    assert task.started_at is not None
    assert task.finished_at is not None
    assert 0 <= task.finished_at - task.started_at < 60_000
    assert abs(task.finished_at - SystemClock().now()) < 60_000


async def test_an_image_that_the_node_does_not_have_ends_it_before_its_start(executor: Executor, bench: Bench) -> None:
    nowhere = "sha256:" + "0" * 64
    service = await executor.park(bench.host, order(bench.commands.lacks_image), Image(nowhere, nowhere))
    await executor.activate(bench.host, service)
    task = await bench.task(service, Phase.ENDED)
    assert (task.end, task.exit_code, task.started_at) == (TaskEnd.IMAGE, None, None)
    assert task.message
    assert await bench.log(task) == []


async def test_a_look_sees_a_service_run_and_end(executor: Executor, bench: Bench) -> None:
    service = await bench.start(bench.commands.holds)

    async def seen(phase: Phase) -> bool | None:
        tasks = (await executor.snapshot()).tasks[bench.host].get(service, ())
        return (bool(tasks) and tasks[0].phase is phase) or None

    await until(lambda: seen(Phase.RUNNING), "it to be seen to run", PATIENCE)
    assert executor.hosts()[0].running == 1
    await executor.stop(bench.host, service)
    await until(lambda: seen(Phase.ENDED), "it to be seen to end", PATIENCE)
    assert executor.hosts()[0].running == 0


async def test_what_a_look_shows_of_a_task_is_completed_as_by_an_inspection(executor: Executor, bench: Bench) -> None:
    service, ended = await bench.run(bench.commands.exits(0))
    (seen,) = (await executor.snapshot()).tasks[bench.host][service]
    assert await executor.detail(bench.host, seen) == ended
    held = await bench.start(bench.commands.holds)
    running = await bench.task(held, Phase.RUNNING)
    (seen,) = (await executor.snapshot()).tasks[bench.host][held]
    found = await executor.detail(bench.host, seen)
    assert replace(found, started_at=running.started_at) == running
    assert abs((found.started_at or 0) - (running.started_at or 0)) < 1_000  # how far the clocks are apart was measured anew in between
    await executor.remove(bench.host, service)


async def test_a_running_service_that_is_stopped_keeps_its_exit_code_and_log(executor: Executor, bench: Bench) -> None:
    service = await bench.start(bench.commands.holds)
    running = await bench.task(service, Phase.RUNNING)
    assert running.exit_code is None
    follow = executor.logs(bench.host, running.id, {}, follow=True)
    async with contextlib.aclosing(follow), asyncio.timeout(PATIENCE):
        assert content([await anext(follow)], STDOUT) == b"begun\n"
    await executor.stop(bench.host, service)
    task = await bench.task(service, Phase.ENDED)
    assert (task.id, task.end, task.exit_code) == (running.id, TaskEnd.SHUTDOWN, 143)
    assert content(await bench.log(task), STDOUT) == b"begun\n"
    view = await executor.inspect(bench.host, service)
    assert (view.activated, view.stopping) == (True, True)
    assert view.tasks[0].id == task.id
    await executor.stop(bench.host, service)
    assert await executor.activate(bench.host, service) is Activation.ALREADY
    assert bench.starts(view) == 1


async def test_a_service_stopped_before_its_activation_never_starts(executor: Executor, bench: Bench) -> None:
    service = await bench.park(bench.commands.nothing)
    await executor.stop(bench.host, service)
    await executor.stop(bench.host, service)
    assert await executor.activate(bench.host, service) is Activation.STOPPED
    view = await executor.inspect(bench.host, service)
    assert (view.activated, view.stopping, view.tasks) == (False, True, ())
    assert bench.starts(view) == 0


async def test_a_finished_service_that_is_stopped_keeps_how_it_ended(executor: Executor, bench: Bench) -> None:
    service, ended = await bench.run(bench.commands.exits(3))
    await executor.stop(bench.host, service)
    view = await executor.inspect(bench.host, service)
    assert (view.tasks[0].id, view.tasks[0].end, view.tasks[0].exit_code) == (ended.id, TaskEnd.EXITED, 3)
    assert bench.starts(view) == 1


async def test_a_stop_and_an_activation_at_once_agree_on_what_happened(executor: Executor, bench: Bench) -> None:
    for _ in range(5):
        service = await bench.park(bench.commands.nothing)
        activation, _stopped = await asyncio.gather(executor.activate(bench.host, service), executor.stop(bench.host, service))
        view = await executor.inspect(bench.host, service)
        assert view.stopping
        assert view.activated is (activation is Activation.STARTED)
        assert (activation is Activation.STOPPED) is (not view.tasks)


# leaving


async def test_a_removed_service_is_gone_and_may_be_removed_again(executor: Executor, bench: Bench) -> None:
    service, _ = await bench.run(bench.commands.nothing)
    await executor.remove(bench.host, service)
    await executor.remove(bench.host, service)
    with pytest.raises(ServiceGone):
        await executor.inspect(bench.host, service)
    with pytest.raises(ServiceGone):
        await executor.activate(bench.host, service)
    with pytest.raises(ServiceGone):
        await executor.stop(bench.host, service)
    assert list(await executor.services(bench.host)) == []


async def test_the_log_of_a_removed_service_is_gone(executor: Executor, bench: Bench) -> None:
    service, task = await bench.run(bench.commands.nothing)
    await executor.remove(bench.host, service)

    async def gone() -> bool | None:
        try:
            return bool(await bench.log(task)) or None
        except ServiceGone:
            return True

    await until(gone, "the log to be gone", PATIENCE)


async def test_a_host_that_is_not_registered_is_down(executor: Executor) -> None:
    with pytest.raises(HostDown, match="not a registered host"):
        await executor.inspect("tcp://nowhere:1", "service")


# logs


@pytest.mark.parametrize(
    ("out", "err"),
    [
        (b"one\ntwo\n", b"three\n"),
        (b"no newline at the end", b""),
        (bytes(range(1, 256)) + b"\x00\r\n\xff", b"\n\n"),
        (b"", b""),
    ],
    ids=["lines", "open end", "binary", "nothing"],
)
async def test_a_log_comes_back_byte_for_byte(bench: Bench, out: bytes, err: bytes) -> None:
    _, task = await bench.run(bench.commands.writes(out, err))
    portions = await bench.log(task)
    assert (content(portions, STDOUT), content(portions, STDERR)) == (out, err)
    times = [piece.time for portion in portions for piece in portion.pieces]
    assert all(abs(moment / 1e6 - SystemClock().now()) < 60_000 for moment in times)


async def test_a_log_is_read_on_from_any_portion_of_it(bench: Bench) -> None:
    long = b"0123456789abcdef" * 2_560
    _, task = await bench.run(bench.commands.writes(b"first\n" + long + b"\nlast", b"warning\n"))
    portions = await bench.log(task)
    assert content(portions, STDOUT) == b"first\n" + long + b"\nlast"
    for read in range(len(portions) + 1):
        rest = await bench.log(task, portions[read - 1].marks if read else {})
        for stream in (STDOUT, STDERR):
            assert content(rest, stream) == content(portions[read:], stream), read


async def test_following_goes_on_after_the_end_until_it_is_closed(executor: Executor, bench: Bench) -> None:
    service, task = await bench.run(bench.commands.writes(b"all\n", b""))
    follow = executor.logs(bench.host, task.id, {}, follow=True)
    try:
        async with asyncio.timeout(PATIENCE):
            assert content([await anext(follow)], STDOUT) == b"all\n"
        waiting = asyncio.ensure_future(anext(follow))
        done, _ = await asyncio.wait({waiting}, timeout=0.5)
        assert not done
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
    finally:
        async with asyncio.timeout(1):
            await follow.aclose()
    await executor.remove(bench.host, service)


# what a container uses


async def test_it_tells_what_a_running_container_uses_and_nothing_of_one_that_does_not_run(executor: Executor, bench: Bench) -> None:
    made = order(bench.commands.holds)
    if isinstance(executor, InstantExecutor):
        executor.used[made.execution_id] = [Usage(5_000_000, 20)]
    service = await executor.park(bench.host, made, await bench.image())
    await executor.activate(bench.host, service)
    task = await bench.task(service, Phase.RUNNING)

    async def measured() -> Usage | None:
        usage = await executor.usage(bench.host, task)
        return usage if usage is not None and usage.memory_peak > 0 else None

    usage = await until(measured, "a sample", PATIENCE)
    assert usage is not None
    assert usage.cpu_ms > 0
    assert await executor.usage(bench.host, replace(task, node_id="elsewhere")) is None or isinstance(executor, InstantExecutor)
    await executor.stop(bench.host, service)
    await bench.task(service, Phase.ENDED)
    if not isinstance(executor, InstantExecutor):
        assert await executor.usage(bench.host, task) is None
