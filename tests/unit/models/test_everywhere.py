"""The pure rules of ticks that run everywhere: which targets they have, and which execution stands for them."""

from dataclasses import replace

import pytest

from fastlane.models.everywhere import choose, others_of, planned, worst_of
from fastlane.models.host import HostView, Node
from fastlane.models.job_change import fire
from fastlane.models.pool import Pool
from fastlane.models.retention import Cuts, PastExecution, overdue_executions
from fastlane.models.run_target import MAX_TARGETS, Everywhere, RunTarget
from fastlane.models.status import Status
from fastlane.storage.values import spec_from_json, spec_to_json
from tests.support.factories import make_execution, make_job, make_spec

POOL = Pool("p", "", ("a:1", "b:1", "c:1"))


def host(name: str, swarm: str, **fields: object) -> HostView:
    return replace(HostView(name, True, swarm_id=swarm), **fields)


def test_managers_of_one_swarm_are_one_target_and_stand_in_for_each_other():
    found = choose(
        Everywhere.SWARMS, POOL, [host("a:1", "s", closed="is drained"), host("b:1", "s"), host("c:1", "t", closed="is drained")]
    )
    assert [(one.swarm, one.name) for one in found.chosen] == [("s", "b:1")]
    assert found.left_out == {"c:1": "is drained"}


def test_a_host_that_was_not_asked_yet_holds_the_decision_up_and_one_that_is_not_known_does_not():
    view = HostView("b:1", False, "is not probed yet")
    found = choose(Everywhere.SWARMS, POOL, [host("a:1", "s"), view])
    assert found.unknown == ("b:1",)
    assert found.left_out == {"b:1": "is not probed yet", "c:1": "is not known yet"}


def test_nodes_of_the_same_name_have_different_names():
    twins = (Node("1", "n", "ready", True), Node("2", "n", "ready", True), Node("3", "m", "ready", False))
    found = choose(Everywhere.NODES, POOL, [host("a:1", "s", members=twins), host("b:1", "t", members=(Node("4", "x", "ready", True),))])
    assert [(one.swarm, one.node, one.name, one.place) for one in found.chosen] == [
        ("s", "1", "1", 0),
        ("s", "2", "2", 1),
        ("t", "4", "x", 2),
    ]
    assert found.words == (
        "runs on 3 targets, and not on c:1, which is not known yet; node m of a:1, which is ready, but not active (docker node ls)"
    )


def test_no_tick_has_more_than_256_targets_and_those_that_are_left_out_are_named():
    nodes = tuple(Node(f"{number:03}", f"n{number:03}", "ready", True) for number in range(MAX_TARGETS + 2))
    found = choose(Everywhere.NODES, replace(POOL, hosts=("a:1",)), [host("a:1", "s", members=nodes)])
    assert len(found.chosen) == MAX_TARGETS
    assert list(found.left_out) == ["n256", "n257"]


def test_a_tick_takes_a_number_for_each_target_and_for_its_end():
    job = make_job(spec=make_spec(everywhere=Everywhere.SWARMS), sequence=4, next_tick=5)
    change = fire(job, now=5)
    assert change.execution is not None
    assert (change.execution.sequence, change.job.sequence) == (5, 5 + MAX_TARGETS)
    lead = replace(change.execution, spec=planned(change.execution, choose(Everywhere.SWARMS, POOL, [host("a:1", "s"), host("b:1", "t")])))
    (other,) = others_of(lead)
    assert lead.spec.target is not None
    assert (other.sequence, lead.spec.target.last, other.spec.plan, other.tick_id) == (6, change.job.sequence, None, lead.tick_id)
    assert other.id not in (lead.id, other.tick_id)
    assert spec_from_json(spec_to_json(lead.spec)) == lead.spec
    assert '"command":' not in spec_to_json(lead.spec)  # the release before would run it once


@pytest.mark.parametrize(
    ("ends", "standing"),
    [
        (["done", "failed", "failed"], 1),
        (["done", "done"], 0),
        (["stopped", "timedout", "expired"], 1),
        (["done", "stopped"], 1),
    ],
)
def test_the_execution_that_ended_worst_stands_for_the_tick(ends: list[str], standing: int) -> None:
    rows = [
        make_execution(
            id=str(place), status=Status(end), spec=make_spec(everywhere=Everywhere.SWARMS, target=RunTarget("s", "n", place=place))
        )
        for place, end in enumerate(ends)
    ]
    assert worst_of(rows).id == str(standing)


def test_only_the_last_attempt_at_a_target_counts():
    spec = make_spec(everywhere=Everywhere.SWARMS, target=RunTarget("s", "n"))
    first, second = (
        make_execution(id=str(number), attempt=number, spec=spec, status=end) for number, end in ((1, Status.FAILED), (2, Status.DONE))
    )
    assert worst_of([second, first]) is second


def test_retention_keeps_all_of_a_tick_while_one_of_its_executions_goes_on():
    def past(sequence: int, finished_at: int | None) -> PastExecution:
        return PastExecution(str(sequence), "tick", sequence, finished_at, finished_at is not None, True)

    assert overdue_executions([past(1, 1), past(2, None), past(3, 1)], Cuts(executions=100), newest=99, kept_from=50) == []
    assert len(overdue_executions([past(1, 1), past(2, 1)], Cuts(executions=100), newest=99, kept_from=0)) == 2
