"""Which host an execution goes to, and why not to the others."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, strategies as st

from fastlane.models.host import HostView
from fastlane.models.placement import place
from fastlane.models.pool import HostRule, Pool


def a_pool(*hosts: str, **rules: HostRule) -> Pool:
    return Pool("default", "", hosts, rules=rules)


def a_host(name: str, running: int = 0, *, usable: bool = True, reason: str | None = None, **more: Any) -> HostView:
    return HostView(name, usable, reason, running=running, **more)


@pytest.mark.parametrize(
    ("hosts", "weights", "chosen"),
    [
        ([a_host("a"), a_host("b")], {}, "a"),
        ([a_host("a", 1), a_host("b", 0)], {}, "b"),
        ([a_host("a", 2), a_host("b", 1), a_host("c", 0)], {}, "c"),
        ([a_host("a", 0), a_host("b", 1), a_host("c", 0)], {}, "a"),
        ([a_host("a", 3), a_host("b", 1)], {"a": 4}, "a"),
        ([a_host("a", 4), a_host("b", 1)], {"a": 4}, "a"),
        ([a_host("a", 1), a_host("b", 1)], {"b": 2}, "b"),
        ([a_host("a", usable=False), a_host("b", 9)], {}, "b"),
        ([a_host("a", closed="is drained"), a_host("b", 9)], {}, "b"),
        ([a_host("b", 9)], {}, "b"),
    ],
)
def test_the_host_with_the_fewest_running_for_its_weight_is_chosen(hosts: Sequence[HostView], weights: dict[str, int], chosen: str) -> None:
    pool = a_pool("a", "b", "c", **{name: HostRule(weight) for name, weight in weights.items()})
    assert place(pool, hosts).host == chosen


def test_a_host_gets_no_more_than_it_may_have() -> None:
    pool = a_pool("a", "b", a=HostRule(max_running=2), b=HostRule(max_running=1))
    assert place(pool, [a_host("a", 1), a_host("b", 1)]).host == "a"
    full = place(pool, [a_host("a", 2), a_host("b", 1)])
    assert full.host is None
    assert full.passed_over["a"] == "has as many running as it may (maxRunning 2)"


def test_the_managers_of_a_swarm_count_once() -> None:
    managers = [a_host("a", 2, swarm_id="S"), a_host("b", 1, swarm_id="S")]
    assert place(a_pool("a", "b", "c"), [*managers, a_host("c", 2, swarm_id="T")]).host == "c"
    assert place(a_pool("a", "b", "c"), [*managers, a_host("c", 4, swarm_id="T")]).host == "b"
    assert place(a_pool("a", "b", "c", a=HostRule(2)), [*managers, a_host("c", 2, swarm_id="T")]).host == "b"


def test_a_limit_of_one_manager_is_its_swarms() -> None:
    managers = [a_host("a", 2, swarm_id="S"), a_host("b", 1, swarm_id="S")]
    assert place(a_pool("a", "b", a=HostRule(max_running=3)), managers).host is None
    assert place(a_pool("a", "b", a=HostRule(max_running=4)), managers).host == "b"


def test_a_manager_stands_in_for_another() -> None:
    managers = [a_host("a", 2, usable=False, reason="refused", swarm_id="S"), a_host("b", 1, swarm_id="S")]
    assert place(a_pool("a", "b"), managers).host == "b"


def test_the_pool_says_who_comes_first_not_the_order_of_what_is_known() -> None:
    assert place(a_pool("a", "b"), [a_host("b"), a_host("a")]).host == "a"


def test_a_host_of_another_pool_is_not_even_looked_at() -> None:
    placement = place(a_pool("a"), [a_host("a", 9), a_host("b", 0)])
    assert placement.host == "a"
    assert placement.passed_over == {}


def test_there_is_a_reason_for_each_host_that_was_passed_over() -> None:
    hosts = [
        a_host("a", usable=False, reason="connection refused"),
        a_host("b", usable=False),
        a_host("d", 5),
        a_host("e", 1),
        a_host("f", 1),
    ]
    placement = place(a_pool("a", "b", "c", "d", "e", "f"), hosts)
    assert placement.host == "e"
    assert placement.passed_over["a"] == "connection refused"
    assert placement.passed_over["b"] == placement.passed_over["c"] == "is not known yet"
    assert "5" in placement.passed_over["d"]
    assert "1" in placement.passed_over["f"]


def test_without_a_usable_host_nothing_is_chosen() -> None:
    placement = place(a_pool("a", "b"), [a_host("a", usable=False, reason="drained")])
    assert placement.host is None
    assert placement.passed_over == {"a": "drained", "b": "is not known yet"}


HOSTS = st.builds(
    HostView,
    st.sampled_from("abcd"),
    st.booleans(),
    running=st.integers(0, 5),
)
WEIGHTS = st.fixed_dictionaries({name: st.builds(HostRule, st.integers(1, 3)) for name in "abcd"})


@given(st.lists(HOSTS, unique_by=lambda host: host.name), st.permutations("abcd"), WEIGHTS)
def test_every_host_of_the_pool_is_either_the_choice_or_has_a_reason(
    hosts: list[HostView], names: list[str], rules: dict[str, HostRule]
) -> None:
    placement = place(a_pool(*names, **rules), hosts)
    assert {*placement.passed_over, placement.host} - {None} == set(names)
    assert placement.host not in placement.passed_over
    usable = [host for host in hosts if host.usable]
    assert (placement.host is None) is (not usable)
    if placement.host is not None:
        chosen = next(host for host in hosts if host.name == placement.host)
        assert chosen.usable
        assert all(chosen.running * rules[host.name].weight <= host.running * rules[chosen.name].weight for host in usable)
