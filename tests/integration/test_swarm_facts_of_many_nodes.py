"""What the Swarm adapter takes for granted of a swarm with several managers. A new engine on which one of these fails is no ground for it.

The services are one-shot as the adapter's are. Starts are counted on the nodes, by the containers that each engine has.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import randrange
from threading import Barrier
from typing import Any, TypeVar
from uuid import uuid4

import docker
import psutil
import pytest
import requests

from fastlane.executors.swarm import spec
from tests.support.engine import IMAGE, connect, update
from tests.support.swarms import Node, Swarms
from tests.support.waiting import ended, wait_until

pytestmark = pytest.mark.thorough

T = TypeVar("T")

PATIENCE = 90.0
FINAL = {"complete", "failed", "rejected", "shutdown", "orphaned"}
KILLED = {137, 143}
HOLD = ("sh", "-c", "trap 'exit 7' TERM; echo begun; while :; do sleep 0.05; done")


@dataclass(frozen=True)
class Manager:
    """One manager, and a client on its socket."""

    node: Node
    api: docker.APIClient

    def tasks(self, service: str) -> list[dict[str, Any]]:
        return sorted(self.api.tasks(filters={"service": service}), key=lambda task: task["CreatedAt"])

    def members(self) -> dict[str, dict[str, Any]]:
        """The swarm's nodes by host name."""
        return {member["Description"]["Hostname"]: member for member in self.api.nodes()}

    def leader(self) -> str:
        """The leader's host name."""
        return next(name for name, member in self.members().items() if member.get("ManagerStatus", {}).get("Leader"))

    def change(self, name: str, **changes: str) -> None:
        """Changes the spec of a node."""
        member = self.members()[name]
        self.api.update_node(member["ID"], member["Version"]["Index"], {**member["Spec"], **changes})

    def activate(self, service: str) -> requests.Response:
        raw = self.api.inspect_service(service)
        return update(self.api, raw, spec.activation(raw, uuid4().hex))


@pytest.fixture
def managers(three_managers: Swarms) -> Iterator[list[Manager]]:
    """The three managers; the last one leads."""
    with ExitStack() as stack:
        found = [Manager(node, connect(node.url)) for node in three_managers.nodes]
        for manager in found:
            stack.callback(manager.api.close)
        leader = found[0].leader()
        yield sorted(found, key=lambda manager: manager.node.name == leader)


def create(manager: Manager, command: Sequence[str], *, replicas: int = 1, constraint: str | None = None, name: str | None = None) -> str:
    """A service as the adapter makes it; its id."""
    container = {"Image": IMAGE, "Args": list(command), "Init": True, "StopGracePeriod": 5_000_000_000}
    template: dict[str, Any] = {"ContainerSpec": container, "RestartPolicy": {"Condition": "none"}, "LogDriver": {"Name": "local"}}
    if constraint:
        template["Placement"] = {"Constraints": [constraint]}
    made = manager.api.create_service(
        template,
        name=name or f"facts-{uuid4().hex}",
        mode={"Replicated": {"Replicas": replicas}},
        update_config={"Parallelism": 1, "Order": "stop-first", "FailureAction": "continue"},
    )
    return str(made["ID"])


def until(holds: Callable[[], T]) -> T:
    """The first true value, or whatever an engine without a leader lets us see of it."""
    troubles: list[Exception] = []

    def look() -> T | None:
        try:
            return holds()
        except (docker.errors.APIError, requests.RequestException) as error:
            troubles.append(error)
            return None

    return wait_until(look, troubles, PATIENCE)


def state(task: dict[str, Any]) -> str:
    return str(task["Status"]["State"])


def code(task: dict[str, Any]) -> int:
    return int(task["Status"]["ContainerStatus"]["ExitCode"])


def first_task(manager: Manager, service: str, *states: str) -> dict[str, Any]:
    """The service's oldest task, once it is in one of these states."""

    def found() -> dict[str, Any] | None:
        tasks = manager.tasks(service)
        return tasks[0] if tasks and state(tasks[0]) in states else None

    return until(found)


def starts(managers: Sequence[Manager], service: str) -> int:
    """How many containers of a service there are on all nodes, ended or not."""
    return sum(len(manager.api.containers(all=True, filters={"label": f"com.docker.swarm.service.id={service}"})) for manager in managers)


def everything_settled(manager: Manager) -> None:
    """Another service has run from its creation to its end: whatever the swarm was going to do before, it has begun."""
    first_task(manager, create(manager, ["true"]), "complete")


def of_host(manager: Manager, task: dict[str, Any]) -> str:
    return next(name for name, member in manager.members().items() if member["ID"] == task["NodeID"])


def long_sleep() -> tuple[str, str]:
    """A command that no other test of this machine runs."""
    return "sleep", str(100_000 + randrange(10**8))


def process(command: tuple[str, str]) -> psutil.Process:
    """The process of a container's command."""
    return next(found for found in psutil.process_iter(["cmdline"]) if found.info["cmdline"] == list(command))


def read_log(manager: Manager, task: str) -> bytes:
    """What a task has written, as one engine tells it; fails on an error that is told in the log's own stream."""
    url = f"{manager.api.base_url}/v{manager.api.api_version}/tasks/{task}/logs"
    answer = manager.api.get(url, params={"stdout": 1, "stderr": 1}, timeout=30)
    assert answer.status_code == 200, answer.text
    content, rest = b"", answer.content
    while rest:
        stream, size = struct.unpack_from(">BxxxI", rest)
        assert stream in {1, 2}, rest
        content, rest = content + rest[8 : 8 + size], rest[8 + size :]
    return content


@contextmanager
def drained(manager: Manager, name: str) -> Iterator[None]:
    """While a node takes no work and gives up what it has."""
    manager.change(name, Availability="drain")
    try:
        yield
    finally:
        manager.change(name, Availability="active")


# any manager will do


def test_a_service_made_through_one_manager_is_at_once_known_through_the_others(managers: list[Manager]) -> None:
    for maker in managers:
        service = create(maker, ["true"], replicas=0)
        assert [manager.api.inspect_service(service)["ID"] for manager in managers] == [service] * 3


def test_a_service_parked_through_one_manager_and_activated_through_another_starts_one_task(managers: list[Manager]) -> None:
    one, two, leader = managers
    for parker, activator in ((one, two), (two, leader), (leader, one)):
        service = create(parker, ["true"], replicas=0)
        assert activator.activate(service).status_code == 200
        first_task(parker, service, "complete")
        assert len(leader.tasks(service)) == starts(managers, service) == 1


def test_of_two_activations_at_one_version_through_two_managers_one_is_out_of_sequence(managers: list[Manager]) -> None:
    one, two, leader = managers
    for pair in ((one, two), (two, leader), (leader, one)):
        service = create(leader, ["true"], replicas=0)
        raw = leader.api.inspect_service(service)
        barrier = Barrier(2)

        def activate(manager: Manager, raw: dict[str, Any] = raw, barrier: Barrier = barrier) -> requests.Response:
            barrier.wait(PATIENCE)
            return update(manager.api, raw, spec.activation(raw, uuid4().hex))

        with ThreadPoolExecutor(2) as threads:
            answers = sorted(threads.map(activate, pair), key=lambda answer: answer.status_code)
        assert [answer.status_code for answer in answers] == [200, 500]
        assert "out of sequence" in answers[1].json()["message"]
        first_task(leader, service, "complete")
        assert starts(managers, service) == 1


def test_a_name_that_is_taken_is_a_conflict_through_every_manager(managers: list[Manager]) -> None:
    name = f"facts-{uuid4().hex}"
    create(managers[0], ["true"], replicas=0, name=name)
    for manager in managers:
        with pytest.raises(docker.errors.APIError, match="name conflicts with an existing object") as refused:
            create(manager, ["true"], replicas=0, name=name)
        assert refused.value.status_code == 409


def test_a_removed_service_is_gone_through_every_manager(managers: list[Manager]) -> None:
    for remover in managers:
        service = create(managers[0], ["true"], replicas=0)
        remover.api.remove_service(service)
        for manager in managers:
            with pytest.raises(docker.errors.NotFound):
                manager.api.inspect_service(service)


def test_the_log_of_a_task_on_any_node_is_read_through_every_manager(managers: list[Manager]) -> None:
    for runner in managers:
        service = create(managers[0], ["echo", runner.node.name], constraint=f"node.hostname=={runner.node.name}")
        task = first_task(managers[0], service, "complete")
        assert of_host(managers[0], task) == runner.node.name
        assert [read_log(manager, task["ID"]) for manager in managers] == [f"{runner.node.name}\n".encode()] * 3


# no node, or no longer


def test_a_task_that_no_node_may_run_is_pending_and_says_so_through_every_manager(managers: list[Manager]) -> None:
    service = create(managers[0], ["true"], constraint="node.hostname==nowhere")
    until(lambda: any("Err" in task["Status"] for task in managers[0].tasks(service)))
    for manager in managers:
        (task,) = manager.tasks(service)
        assert state(task) == "pending"
        assert "no suitable node (scheduling constraints not satisfied on 3 nodes)" in task["Status"]["Err"]


def test_the_task_of_a_drained_node_is_shutdown_with_its_own_code_and_has_no_successor(managers: list[Manager]) -> None:
    one, _, leader = managers
    service = create(leader, HOLD)
    task = first_task(leader, service, "running")
    until(lambda: read_log(leader, task["ID"]))
    with drained(leader, of_host(leader, task)):
        task = first_task(leader, service, *FINAL)
        everything_settled(one)
        assert (state(task), code(task)) == ("shutdown", 7)
        assert [found["ID"] for found in leader.tasks(service)] == [task["ID"]]
        assert starts(managers, service) == 1


def test_the_task_of_a_node_that_was_removed_by_force_is_orphaned_and_its_container_runs_on(managers: list[Manager]) -> None:
    leader, command = managers[-1], long_sleep()
    service = create(leader, command, constraint=f"node.hostname!={leader.node.name}")
    task = first_task(leader, service, "running")
    lost = next(manager for manager in managers if manager.node.name == of_host(leader, task))
    lost.node.kill()
    leader.change(lost.node.name, Role="worker")
    until(lambda: "ManagerStatus" not in leader.members()[lost.node.name])
    leader.api.remove_node(task["NodeID"], force=True)
    assert state(first_task(leader, service, *FINAL)) == "orphaned"
    everything_settled(leader)
    assert len(leader.tasks(service)) == 1
    leader.api.remove_service(service)
    assert process(command).is_running()


# an engine lost


def test_the_task_of_a_killed_engine_stays_running_on_a_node_that_is_down_and_ends_when_the_engine_is_back(managers: list[Manager]) -> None:
    leader, command = managers[-1], long_sleep()
    service = create(leader, command, constraint=f"node.hostname!={leader.node.name}")
    task = first_task(leader, service, "running")
    lost = next(manager for manager in managers if manager.node.name == of_host(leader, task))
    lost.node.kill()
    until(lambda: leader.members()[lost.node.name]["Status"]["State"] == "down")
    until(lambda: leader.tasks(service)[0]["DesiredState"] == "shutdown")
    everything_settled(leader)
    (task,) = leader.tasks(service)
    assert state(task) == "running"
    container = process(command)
    lost.node.start()
    task = first_task(leader, service, *FINAL)
    assert ended(container)
    assert state(task) in {"failed", "shutdown"}
    assert code(task) in KILLED
    everything_settled(leader)
    assert [found["ID"] for found in leader.tasks(service)] == [task["ID"]]
    assert starts(managers, service) == 1


@pytest.mark.thorough
def test_a_short_partition_ends_no_container(managers: list[Manager]) -> None:
    leader = managers[-1]
    service = create(leader, long_sleep(), constraint=f"node.hostname!={leader.node.name}")
    task = first_task(leader, service, "running")
    lost = next(manager for manager in managers if manager.node.name == of_host(leader, task))
    lost.node.cut()
    until(lambda: leader.members()[lost.node.name]["ManagerStatus"]["Reachability"] != "reachable")
    lost.node.mend()
    until(lambda: leader.members()[lost.node.name]["ManagerStatus"]["Reachability"] == "reachable")
    everything_settled(lost)
    assert state(leader.tasks(service)[0]) == "running"
    assert starts(managers, service) == 1


def test_calls_to_a_manager_that_hangs_are_carried_out_when_it_wakes_though_their_caller_has_gone_and_never_after_a_stop(
    managers: list[Manager],
) -> None:
    one, _, leader = managers
    stopped, untouched = (create(leader, ["true"], replicas=0) for _ in range(2))
    seen = {service: leader.api.inspect_service(service) for service in (stopped, untouched)}
    one.node.pause()
    for service, raw in seen.items():
        url = f"{one.api.base_url}/v{one.api.api_version}/services/{service}/update"
        with pytest.raises(requests.exceptions.ReadTimeout):
            one.api.post(url, params={"version": spec.version(raw)}, json=spec.activation(raw, "late"), timeout=1)
    assert not spec.is_activated(leader.api.inspect_service(untouched))
    assert update(leader.api, seen[stopped], spec.stop(seen[stopped])).status_code == 200
    one.node.resume()
    first_task(leader, untouched, "complete")
    everything_settled(one)
    assert spec.activator(leader.api.inspect_service(untouched)) == "late"
    assert not spec.is_activated(leader.api.inspect_service(stopped))
    assert [starts(managers, service) for service in (untouched, stopped)] == [1, 0]


@pytest.mark.parametrize(
    "lost", ["kill", pytest.param("cut", marks=pytest.mark.thorough), pytest.param("pause", marks=pytest.mark.thorough)]
)
def test_without_its_leader_a_swarm_finds_another_and_a_parked_service_is_activated_once(managers: list[Manager], lost: str) -> None:
    one, two, leader = managers
    service = create(one, ["true"], replicas=0)
    getattr(leader.node, lost)()

    def activated() -> bool:
        """An answer that was lost may have been applied: look before trying again."""
        return spec.is_activated(one.api.inspect_service(service)) or one.activate(service).status_code == 200

    until(activated)
    assert two.leader() in {one.node.name, two.node.name}
    first_task(two, service, "complete")
    everything_settled(one)
    assert starts([one, two], service) == len(one.tasks(service)) == 1
