"""What becomes of jobs whose node is drained or changed, and whose engine is stopped, killed, frozen, or away for long."""

import asyncio
import contextlib
import re
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest

from fastlane.clock import SystemClock
from fastlane.errors import HostDown
from fastlane.executors.port import Activation, Order, Phase
from fastlane.executors.swarm import client
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.models.container import Container, Mount, MountKind
from fastlane.models.host import Endpoint
from fastlane.models.pool import Pull
from tests.integration.permissive import is_gone, permissive
from tests.support.defaults import default_rules
from tests.support.engine import IMAGE, open_probed, remove_all, task_in
from tests.support.installation import Installation
from tests.support.start_witness import HOLD as UNTIL_RELEASED
from tests.support.swarms import Node, Swarms
from tests.support.waiting import LONG_PATIENCE, outlast, until, wait_until

pytestmark = pytest.mark.thorough

HOLD = "trap 'echo bye; exit 5' TERM; echo begun; while :; do sleep 0.05; done"
PLAIN = "echo begun; exec sleep 600"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """The only node of a swarm of its own."""
    with Swarms("separate", nodes=1) as bed:
        yield bed.nodes[0]


@pytest.fixture(scope="module")
def fastlane(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with permissive(tmp_path_factory.mktemp("fastlane"), node.url, pending_deadline="4s", breaker_reset="2s") as fastlane:
        yield fastlane


@pytest.fixture
def api(node: Node) -> Iterator[docker.APIClient]:
    with contextlib.closing(node.client()) as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def halted(fastlane: Installation, node: Node) -> dict[str, Any]:
    """A job that ran while its engine was stopped in good order. Its log is looked for, for a minute: see the last test."""
    reply = begun(fastlane, PLAIN)
    node.halt()
    node.start()
    fastlane.until_healthy(120)
    return reply


def begun(fastlane: Installation, script: str = HOLD, **more: Any) -> dict[str, Any]:
    """A job that runs."""
    reply = fastlane.run_script(script, **more)
    fastlane.has_written(reply, b"begun\n")
    fastlane.reaches(reply, "running")
    return reply


def change_node(api: docker.APIClient, **changes: Any) -> None:
    """Changes the spec of the only node."""
    while True:
        (found,) = api.nodes()
        with contextlib.suppress(docker.errors.APIError):  # it changed meanwhile
            api.update_node(found["ID"], found["Version"]["Index"], {**found["Spec"], **changes})
            return


@contextlib.contextmanager
def drained(api: docker.APIClient) -> Iterator[None]:
    change_node(api, Availability="drain")
    try:
        yield
    finally:
        change_node(api, Availability="active")


def failure(ended: dict[str, Any]) -> tuple[Any, ...]:
    return ended["status"], ended["exitCode"], (ended["failure"] or {}).get("reason")


def check_starts(fastlane: Installation, *replies: dict[str, Any]) -> None:
    """Each of them has started once, and nothing of them is left."""
    assert [fastlane.witness.starts()[reply["executionId"]] for reply in replies] == [1] * len(replies)
    wait_until(lambda: all(is_gone(fastlane, reply) for reply in replies), "the engine to be clean of them")


# nodes


def test_a_job_whose_node_is_drained_while_it_runs_ends_as_killed_and_one_that_finds_no_node_as_unschedulable(
    fastlane: Installation, api: docker.APIClient
) -> None:
    reply = begun(fastlane)
    with drained(api):
        ended = fastlane.ends(reply)
        assert failure(ended) == ("failed", 5, "killed")
        assert re.fullmatch(r"its node \S+ was drained while it ran \(exit code 5\)", ended["failure"]["message"])
        ended = fastlane.ends(fastlane.run("true"))
        assert failure(ended) == ("failed", None, "unschedulable")
        assert ended["failure"]["message"] == "no node took it within 4 s: no suitable node (1 node not available for new tasks)"
    check_starts(fastlane, reply)


def test_a_job_whose_node_loses_the_label_that_it_asked_for_ends_as_killed_with_its_whole_log(
    fastlane: Installation, api: docker.APIClient
) -> None:
    change_node(api, Labels={"disk": "fast"})
    reply = begun(fastlane, container={"constraints": ["node.labels.disk==fast"]})
    change_node(api, Labels={})
    ended = fastlane.ends(reply)
    assert failure(ended) == ("failed", 5, "killed")
    words = "the swarm ended it (assigned node no longer meets constraints) while it ran (exit code 5)"
    assert ended["failure"]["message"] == words
    assert fastlane.output(reply) == b"begun\nbye\n"
    check_starts(fastlane, reply)


def test_stops_while_the_node_is_changed_all_the_time_keep_code_and_log(fastlane: Installation, api: docker.APIClient) -> None:
    """Swarm may call the task of a stop rejected then, while its container is in its grace."""
    replies = [begun(fastlane) for _ in range(10)]
    over = threading.Event()

    def change() -> None:
        for number in range(100_000):
            if over.is_set():
                return
            change_node(api, Labels={"number": str(number)})

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for reply in replies:
            fastlane.stop(reply)
        rows = [fastlane.ends(reply, 90) for reply in replies]
    finally:
        over.set()
        changing.join()
    change_node(api, Labels={})
    assert [failure(row) for row in rows] == [("stopped", 5, None)] * 10
    assert {fastlane.output(reply) for reply in replies} == {b"begun\nbye\n"}
    check_starts(fastlane, *replies)


# engines


def test_an_engine_that_is_killed_and_comes_back_ends_jobs_as_killed_and_starts_none_twice(fastlane: Installation, node: Node) -> None:
    plain, short, stopped = begun(fastlane, PLAIN), begun(fastlane, f"echo begun; {UNTIL_RELEASED}exit 3"), begun(fastlane, PLAIN)
    again = begun(fastlane, "echo begun; [ $FASTLANE_ATTEMPT = 2 ] && exit 0; exec sleep 600", retries=1, retryDelay="1s")
    node.kill()
    fastlane.stop(stopped)
    wait_until(lambda: fastlane.get("/healthcheck").status == 503, "the engine to be missed")
    fastlane.witness.release(short["jobId"])
    outlast(2)  # it ends by itself meanwhile, and nobody hears of it
    node.start()
    for reply, code in ((plain, 143), (short, None)):
        ended = fastlane.ends(reply, 120)
        assert failure(ended) == ("failed", code, "killed"), ended
        assert f"the engine of its node {ended['node']} went down while it ran" in ended["failure"]["message"]
    assert failure(fastlane.ends(stopped, 120))[0] == "stopped"
    assert fastlane.reaches(again, "done", patience=120)["attempt"] == 2
    assert set(fastlane.witness.starts().values()) == {1}


# calls that hang


class Freezing(SwarmExecutor):
    """The engine freezes between the look at a service and the update that follows, as often as is said: that one is made when it wakes."""

    freezes: Node | None = None

    async def _inspected(self, host: Any, service_id: str) -> Any:
        found = await super()._inspected(host, service_id)
        if self.freezes is not None:
            node, self.freezes = self.freezes, None
            await asyncio.to_thread(node.pause)
        return found


@pytest.fixture
async def executor(node: Node, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Freezing]:
    monkeypatch.setattr(client, "CallTimeouts", partial(client.CallTimeouts, read=3.0, whole=4.0))
    installation = f"late-{uuid4().hex[:8]}"
    executor = Freezing([Endpoint(node.url)], installation, SystemClock(), default_rules(probe_every=0.2, reset=0.5))
    await open_probed(executor)
    try:
        yield executor
    finally:
        await executor.close()
        remove_all(node.url, installation)


def order_of(witness: Path) -> Order:
    mount = Mount(MountKind.BIND, "/witness", str(witness))
    command = ("sh", "-c", "echo $FASTLANE_EXECUTION_ID >> /witness/starts; exec sleep 600")
    return Order(str(uuid4()), "task", "job", 1, 1, 0, command, {}, container=Container(stop_grace=1000, mounts=(mount,)))


async def parked(executor: Freezing, node: Node, witness: Path) -> str:
    return await executor.park(node.url, order_of(witness), await executor.resolve(node.url, IMAGE, Pull.MISSING))


async def awake(executor: Freezing, node: Node) -> None:
    """Wakes the engine up, and returns when it answers."""
    await asyncio.to_thread(node.resume)
    await until(lambda: executor.hosts()[0].usable, "the host to be usable", LONG_PATIENCE)


async def started(witness: Path) -> int:
    """How many have started, once one has written its line: the shell makes the file a moment before it writes."""
    starts = witness / "starts"
    await until(lambda: starts.exists() and starts.read_text().endswith("\n"), "a start", LONG_PATIENCE)
    return len(starts.read_text().split())


async def test_a_create_that_hung_and_was_made_late_is_found_again_and_runs_nothing(executor: Freezing, node: Node, tmp_path: Path) -> None:
    order, image = order_of(tmp_path), await executor.resolve(node.url, IMAGE, Pull.MISSING)
    await asyncio.to_thread(node.pause)
    with pytest.raises(HostDown):
        await executor.park(node.url, order, image)
    await awake(executor, node)
    late = await until(lambda: executor.services(node.url), "the late service", LONG_PATIENCE)
    assert [service.activated for service in late] == [False]
    assert await executor.park(node.url, order, image) == late[0].id
    assert await executor.activate(node.url, late[0].id) is Activation.STARTED
    assert await started(tmp_path) == 1


async def test_an_activation_that_hung_and_was_made_late_is_not_made_again(executor: Freezing, node: Node, tmp_path: Path) -> None:
    service = await parked(executor, node, tmp_path)
    executor.freezes = node
    with pytest.raises(HostDown):
        await executor.activate(node.url, service)
    await awake(executor, node)
    assert await started(tmp_path) == 1
    assert await executor.activate(node.url, service) is Activation.ALREADY
    await executor.stop(node.url, service)
    assert (await task_in(Phase.ENDED, executor, node.url, service)).exit_code == 143
    assert await started(tmp_path) == 1


@pytest.mark.thorough
async def test_an_activation_that_hung_starts_nothing_after_a_stop_was_answered(executor: Freezing, node: Node, tmp_path: Path) -> None:
    service = await parked(executor, node, tmp_path)
    executor.freezes = node
    with pytest.raises(HostDown):
        await executor.activate(node.url, service)
    waking = asyncio.create_task(awake(executor, node))
    while True:
        with contextlib.suppress(HostDown):
            await executor.stop(node.url, service)
            break
    await waking
    view = await executor.inspect(node.url, service)
    assert view.stopping
    if view.activated:
        await task_in(Phase.ENDED, executor, node.url, service)
    assert len([task for task in view.tasks if task.phase is not Phase.WAITING]) <= 1
    starts = tmp_path / "starts"
    assert len(starts.read_text().split() if starts.exists() else []) <= int(view.activated)


@pytest.mark.thorough
async def test_a_stop_that_hung_and_was_made_late_is_kept(executor: Freezing, node: Node, tmp_path: Path) -> None:
    running, waiting = [await parked(executor, node, tmp_path) for _ in range(2)]
    await executor.activate(node.url, running)
    assert await started(tmp_path) == 1
    for service in (running, waiting):
        executor.freezes = node
        with pytest.raises(HostDown):
            await executor.stop(node.url, service, "the first reason")
        await awake(executor, node)
    assert await executor.activate(node.url, waiting) is Activation.STOPPED
    assert (await task_in(Phase.ENDED, executor, node.url, running)).exit_code == 143
    for service in (running, waiting):
        await executor.stop(node.url, service, "another reason")
        view = await executor.inspect(node.url, service)
        assert (view.stopping, view.stop_why) == (True, "the first reason")
    assert await started(tmp_path) == 1


# at the end, when a minute has passed


def test_an_engine_that_is_stopped_ends_jobs_as_killed_without_an_exit_code(fastlane: Installation, halted: dict[str, Any]) -> None:
    ended = fastlane.ends(halted, 180)
    assert failure(ended) == ("failed", None, "killed")
    words = r"its container on (\S+) is gone: the engine of its node \1 was shut down, or someone removed the container"
    assert re.fullmatch(words, ended["failure"]["message"])
    assert (fastlane.exit_code_header(halted), fastlane.output(halted)) == (None, b"begun\n")
    check_starts(fastlane, halted)
