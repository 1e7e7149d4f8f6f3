"""What a host's answers to a probe mean."""

from typing import Any

import pytest

from fastlane.errors import HostDown
from fastlane.executors.swarm.probe import EngineFacts, read_info

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
