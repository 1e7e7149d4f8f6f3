"""Which host is asked: through whom a log is read while a manager is away, and which engines' words are waited for."""

from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from fastlane.errors import HostDown
from fastlane.executors.port import EngineTask, Phase, TaskEnd
from fastlane.executors.swarm.hosts import SwarmHosts
from fastlane.executors.swarm.probe import EngineFacts
from fastlane.executors.swarm.states import wait_for_engine
from fastlane.models.host import Disk, Endpoint
from fastlane.models.pool import KnownHost
from tests.support.defaults import default_executor

IMAGE = "app@sha256:12"
HERE, THERE, ELSEWHERE = "unix:///here", "unix:///there", "unix:///elsewhere"


@dataclass
class Known:
    """A host as the hosts see it."""

    name: str
    facts: EngineFacts | None
    reachable: bool = True
    failed_pulls: "Pulls | None" = None
    disk: Disk = field(default_factory=Disk)
    drained_engines: frozenset[str] = frozenset()


@dataclass
class Pulls:
    """Why the engine of a host cannot pull."""

    words: str | None

    async def cause(self, reference: str) -> str | None:
        assert reference == IMAGE
        return self.words


def node(name: str) -> str:
    return f"node of {name}"


@pytest.fixture
def known() -> dict[str, Known]:
    """Two managers of one swarm, and one of another."""
    swarms = {HERE: "one", THERE: "one", ELSEWHERE: "two"}
    return {name: Known(name, EngineFacts(swarm, node(name), 5, {"a": "ready", "b": "ready"})) for name, swarm in swarms.items()}


def hosts_of(known: dict[str, Known]) -> SwarmHosts:
    return SwarmHosts(cast(Any, list(known.values())))


def test_a_drained_host_s_node_gets_nothing_from_the_other_managers_of_its_swarm_either(known: dict[str, Known]) -> None:
    hosts = hosts_of(known)
    for one in known.values():
        assert one.facts is not None
        nodes = {node(HERE): "ready", node(THERE): "ready"} if one.facts.swarm_id == "one" else {node(ELSEWHERE): "ready"}
        one.facts = replace(one.facts, nodes=nodes, engine_id=f"engine of {one.name}")
    assert hosts.closed_nodes(hosts.named(HERE), 1) == []
    known[THERE].drained_engines = frozenset({f"engine of {THERE}"})
    assert hosts.closed_nodes(hosts.named(HERE), 1) == [node(THERE)]
    known[THERE].drained_engines = frozenset({"an engine that was there before"})
    assert hosts.closed_nodes(hosts.named(HERE), 1) == []
    known[ELSEWHERE].drained_engines = frozenset({f"engine of {ELSEWHERE}"})
    assert hosts.closed_nodes(hosts.named(ELSEWHERE), 1) == (), "the only node of a swarm cannot be left out"


def ended(code: int, node_id: str, end: TaskEnd = TaskEnd.EXITED) -> EngineTask:
    return EngineTask("t", "s", Phase.ENDED, "failed", end=end, exit_code=code, container_id="c", node_id=node_id)


@pytest.mark.parametrize(
    ("task", "lingering"),
    [
        (ended(143, node(THERE)), True),
        (ended(255, node(THERE)), True),
        (ended(3, node(THERE)), False),
        (ended(143, node(HERE)), False),
        (ended(143, "a node that is not a host"), False),
        (ended(143, node(THERE), TaskEnd.SHUTDOWN), False),
    ],
)
def test_a_code_is_doubted_only_while_the_engine_that_knows_does_not_answer(
    known: dict[str, Known], task: EngineTask, lingering: bool
) -> None:
    hosts = hosts_of(known)
    known[THERE].reachable = False
    assert wait_for_engine(task, hosts.silent_nodes(hosts.named(HERE))).lingering is lingering
    known[THERE].reachable = True
    assert wait_for_engine(task, hosts.silent_nodes(hosts.named(HERE))).lingering is False


def test_a_log_is_read_through_another_manager_of_its_swarm_while_its_own_is_away(known: dict[str, Known]) -> None:
    hosts = hosts_of(known)
    here = hosts.named(HERE)
    assert hosts.reachable_manager(here) is here
    known[HERE].reachable = False
    assert hosts.reachable_manager(here).name == THERE
    known[THERE].reachable = False
    assert hosts.reachable_manager(here) is here


def test_a_node_is_asked_only_while_its_host_answers_unless_it_is_asked_anyway(known: dict[str, Known]) -> None:
    hosts = hosts_of(known)
    here, there = hosts.named(HERE), hosts.named(THERE)
    assert hosts.at_node(node(THERE), asked=here) is there
    known[THERE].reachable = False
    assert hosts.at_node(node(THERE), asked=here) is None
    assert hosts.at_node(node(THERE), asked=there) is there
    assert hosts.at_node("a node that is not a host", asked=here) is None


@pytest.mark.parametrize(
    ("words", "end", "message"),
    [
        ("write /x: no space left on device", TaskEnd.NO_SPACE, "write /x: no space left on device"),
        ("dial tcp: connection refused", TaskEnd.IMAGE, "dial tcp: connection refused"),
        (None, TaskEnd.IMAGE, "No such image"),
    ],
)
async def test_why_an_image_could_not_be_pulled_is_asked_of_the_engine_of_its_node(
    known: dict[str, Known], words: str | None, end: TaskEnd, message: str
) -> None:
    hosts = hosts_of(known)
    known[THERE].failed_pulls = Pulls(words)
    failed = EngineTask("t", "s", Phase.ENDED, "rejected", "No such image", TaskEnd.IMAGE, node_id=node(THERE))
    other = ended(1, node(THERE))
    (found, same) = await hosts.explained([failed, other], IMAGE, asked=hosts.named(HERE))
    assert (found.end, found.message) == (end, message)
    assert same is other
    assert await hosts.explained([failed], "sha256:12", asked=hosts.named(HERE)) == (failed,), "an image that no registry has"
    known[THERE].reachable = False
    assert await hosts.explained([failed], IMAGE, asked=hosts.named(HERE)) == (failed,)


def test_a_host_that_is_not_registered_cannot_be_reached(known: dict[str, Known]) -> None:
    with pytest.raises(HostDown, match="not a registered host"):
        hosts_of(known).named("tcp://unknown:1")


async def test_hosts_that_are_reached_without_tls_are_named_once() -> None:
    plain = [Endpoint(f"127.0.0.{number}:1", insecure=True) for number in (1, 2, 3)]
    later = Endpoint("127.0.0.4:1", insecure=True)
    executor = default_executor([*plain, Endpoint("unix:///nowhere/docker.sock")], "named-once")
    with capture_logs() as lines:
        await executor.open()
        try:
            await executor.use_hosts([KnownHost(endpoint) for endpoint in (*plain, later)])
        finally:
            await executor.close()
    told = [line["hosts"] for line in lines if line["event"] == "host.insecure"]
    assert told == [[f"127.0.0.{number}:1" for number in (1, 2, 3)], ["127.0.0.4:1"]]
