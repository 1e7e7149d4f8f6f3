"""What a host's answers to a probe mean."""

from typing import Any

import pytest

from fastlane.clock import ROUNDING
from fastlane.errors import HostDown
from fastlane.executors.swarm.probe import EngineFacts, Info, Pace, largest, members, read_info
from fastlane.models.host import Node

READY = {"n1": "ready"}


def info(*, manager: bool = True, history: int | None = 5) -> dict[str, Any]:
    cluster = {"ID": "c1", "Spec": {"Orchestration": {} if history is None else {"TaskHistoryRetentionLimit": history}}}
    return {"Swarm": {"NodeID": "n1", "ControlAvailable": manager, "Cluster": cluster if manager else None}}


def test_a_manager_tells_its_swarm_and_node() -> None:
    facts = read_info(info(), READY, "h")
    assert facts == EngineFacts("c1", "n1", 5, READY)
    assert facts.one_node
    assert facts.flaw is None
    assert not read_info(info(), {**READY, "n2": "down"}, "h").one_node


@pytest.mark.parametrize("answer", [info(manager=False), {"Swarm": {"LocalNodeState": "inactive"}}, {}])
def test_the_fault_of_an_engine_that_is_not_a_manager_says_what_to_do(answer: dict[str, Any]) -> None:
    with pytest.raises(HostDown, match="h is not a swarm manager: run docker swarm init"):
        read_info(answer, READY, "h")


@pytest.mark.parametrize(("history", "usable"), [(0, False), (1, False), (2, True), (5, True), (None, True)])
def test_a_swarm_that_keeps_fewer_than_two_old_tasks_cannot_be_used(history: int | None, usable: bool) -> None:
    flaw = read_info(info(history=history), READY, "h").flaw
    assert (flaw is None) is usable
    assert flaw is None or "docker swarm update --task-history-limit" in flaw


@pytest.mark.parametrize(
    ("time", "skew"),
    [
        ("2026-11-25T13:02:35.100999999Z", 0),
        ("2026-11-25T14:02:35.1+01:00", 0),
        ("2026-11-25T13:02:45.3Z", 10_000 - ROUNDING),
        ("2026-11-25T13:02:25Z", -10_000 + ROUNDING),
        ("", None),
        ("soon", None),
    ],
)
def test_the_skew_of_a_hosts_clock_is_no_more_than_its_answer_shows(time: str, skew: int | None) -> None:
    asked = 1_795_611_755_000  # 13:02:35
    assert Info({"SystemTime": time}, asked, asked + 300).skew(0) == skew


def node(cpus: float, memory: int, *, state: str = "ready", availability: str = "active") -> dict[str, Any]:
    resources = {"NanoCPUs": int(cpus * 1e9), "MemoryBytes": memory}
    return {"Spec": {"Availability": availability}, "Status": {"State": state}, "Description": {"Resources": resources}}


@pytest.mark.parametrize(
    ("nodes", "cpus", "memory"),
    [
        ([node(2, 100), node(1.5, 300)], 2.0, 300),
        ([node(2, 100), node(8, 800, state="down"), node(4, 400, availability="drain")], 2.0, 100),
        ([node(8, 800, state="down")], None, None),
        ([{}], None, None),
    ],
    ids=["two", "some take no work", "none takes work", "says nothing"],
)
def test_the_largest_node_is_one_that_takes_work(nodes: list[dict[str, Any]], cpus: float | None, memory: int | None) -> None:
    assert largest(nodes) == {"node_cpus": cpus, "node_memory": memory}


@pytest.mark.parametrize(
    ("hosts", "away", "well", "pause"),
    [(1, 0, True, 2), (100, 0, True, 2), (1_000, 0, True, 20), (1_000, 40, False, 2), (1_000, 100, False, 5)],
)
def test_a_host_is_probed_less_often_among_many_like_it(hosts: int, away: int, well: bool, pause: float) -> None:
    assert Pace(2.0, lambda: hosts, lambda: away).pause(well=well) == pause


@pytest.mark.parametrize(
    ("hosts", "elapsed", "asks"), [(1, 1.9, True), (1, 0.5, False), (1_000, 48, False), (1_000, 50, True), (1, -1, True)]
)
def test_many_hosts_are_asked_less_often_for_what_rarely_changes(hosts: int, elapsed: float, asks: bool) -> None:
    assert Pace(2.0, lambda: hosts, lambda: 0).asks_info(elapsed) is asks


def test_the_nodes_of_a_swarm_of_several_are_told_by_name() -> None:
    def node(id: str, name: str, state: str = "ready", availability: str = "active") -> dict[str, Any]:
        resources = {"NanoCPUs": 1_500_000_000, "MemoryBytes": 7} if state == "ready" else None
        return {
            "ID": id,
            "Status": {"State": state},
            "Spec": {"Availability": availability},
            "Description": {"Hostname": name, "Resources": resources},
        }

    assert members([node("n1", "b")]) == ()
    assert members([node("n1", "b"), node("n2", "a", "down"), node("n3", "c", availability="drain")]) == (
        Node("n2", "a", "down", False),
        Node("n1", "b", "ready", True, 1.5, 7),
        Node("n3", "c", "ready", False, 1.5, 7),
    )
