"""What a list of a swarm's nodes says of its managers, also in the moment after one was promoted."""

from typing import Any

from tests.support.nodes import leader_told


def node(name: str, state: str = "ready", **manager: Any) -> dict[str, Any]:
    return {"Description": {"Hostname": name}, "Status": {"State": state}} | ({"ManagerStatus": manager} if manager else {})


LEADER, OTHER = node("node1", Leader=True, Reachability="reachable"), node("node2", Reachability="reachable")


def test_a_list_of_managers_that_are_all_there_tells_the_leader() -> None:
    assert leader_told([OTHER, LEADER]) == "node1"
    assert leader_told([OTHER, OTHER]) is None


def test_managers_do_not_agree_while_one_of_them_is_promoted_or_away() -> None:
    assert leader_told([LEADER, node("node2")]) is None
    assert leader_told([LEADER, node("node2", Reachability="unreachable")]) is None
    assert leader_told([LEADER, node("node2", "down", Reachability="reachable")]) is None
