"""The table of changes: every condition of every rule matters, and nothing that is final ever becomes anything else."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from fastlane.models import transitions
from fastlane.models.job import Ending, Execution, Failure, Started
from fastlane.models.log import Head
from fastlane.models.retry import FailureReason
from fastlane.models.status import FINAL, STARTING, Status
from fastlane.models.transitions import RULES, ExecutionChange
from tests.support.factories import make_execution

NOW = 1_700_000_000_000
EPOCH = 3

PULLING = frozenset({Status.PULLING})
ENQUEUED = frozenset({Status.ENQUEUED})


def an_execution(**values: Any) -> Execution:
    return make_execution(**{"scheduled_for": NOW, "created_at": NOW, "epoch": EPOCH, **values})


def an_ending(final: Status) -> Ending:
    return Ending(final, NOW + 5, 0 if final is Status.DONE else None)


@dataclasses.dataclass(frozen=True)
class Row:
    """What DESIGN's table says of a change: where it holds, and what it must refuse."""

    make: Callable[[Execution], ExecutionChange]
    sources: frozenset[Status]
    target: Status | None
    fenced: bool
    bound: bool | None = None
    unstopped: bool = False
    settled: bool | None = None


TABLE = {
    "claim": Row(lambda e: transitions.claim(e, host="h", pool="p", now=NOW), ENQUEUED, Status.PULLING, True, unstopped=True),
    "cancel": Row(lambda e: transitions.cancel(e, now=NOW), ENQUEUED, Status.STOPPED, False),
    "expire": Row(lambda e: transitions.expire(e, now=NOW), ENQUEUED, Status.EXPIRED, False),
    "release": Row(transitions.release, ENQUEUED, None, False),
    "plan": Row(lambda one: transitions.plan(one, one.spec), ENQUEUED, None, True),
    "take-over": Row(transitions.take_over, STARTING, None, True),
    "re-place": Row(lambda e: transitions.re_place(e, host="h2"), PULLING, None, True, bound=False),
    "bind": Row(
        lambda e: transitions.bind(e, service_id="s", swarm_id="w", image_digest="d", now=NOW),
        PULLING,
        None,
        True,
        bound=False,
        unstopped=True,
    ),
    "give-up (stopped)": Row(lambda e: transitions.give_up(e, an_ending(Status.STOPPED)), PULLING, Status.STOPPED, True, bound=False),
    "give-up (expired)": Row(lambda e: transitions.give_up(e, an_ending(Status.EXPIRED)), PULLING, Status.EXPIRED, True, bound=False),
    "give-up (failed)": Row(lambda e: transitions.give_up(e, an_ending(Status.FAILED)), PULLING, Status.FAILED, True, bound=False),
    "flag-stop": Row(lambda e: transitions.flag_stop(e, now=NOW), STARTING, None, False, unstopped=True),
    "run": Row(lambda e: transitions.run(e, Started("et", "c", NOW)), PULLING, Status.RUNNING, True, bound=True),
    **{
        f"end ({final})": Row(lambda e, final=final: transitions.end(e, an_ending(final)), STARTING, final, True, bound=True)
        for final in sorted(FINAL)
    },
    "end-by-hand": Row(lambda e: transitions.end_by_hand(e, an_ending(Status.STOPPED), now=NOW), STARTING, Status.STOPPED, False),
    "settle": Row(transitions.settle, FINAL, None, False, settled=False),
    "clean": Row(transitions.clean, FINAL, None, False, settled=True),
    "stand-for": Row(lambda one: transitions.stand_for(one, sequence=9), FINAL, None, False),
}

SITUATIONS = [
    {"status": state, "service_id": service, "stop_requested_at": stop, "epoch": epoch, "settled": settled}
    for state, service, stop, epoch, settled in itertools.product(Status, (None, "s"), (None, NOW - 9), (EPOCH, EPOCH + 1), (False, True))
]


def expected(row: Row, found: dict[str, Any]) -> bool:
    conditions = [
        found["status"] in row.sources,
        not row.fenced or found["epoch"] == EPOCH,
        row.bound is None or row.bound == (found["service_id"] is not None),
        not row.unstopped or found["stop_requested_at"] is None,
        row.settled is None or row.settled == found["settled"],
    ]
    return all(conditions)


@pytest.mark.parametrize("name", TABLE)
def test_a_change_is_permitted_exactly_where_the_table_says(name: str) -> None:
    row = TABLE[name]
    change = row.make(an_execution())
    for found in SITUATIONS:
        assert change.permitted(an_execution(**found)) is expected(row, found), found


@pytest.mark.parametrize("name", TABLE)
def test_a_change_leads_where_the_table_says(name: str) -> None:
    row = TABLE[name]
    assert row.make(an_execution()).values.get("status") == row.target


def test_every_rule_of_the_table_is_looked_at() -> None:
    assert {name.split(" ")[0] for name in TABLE} == set(RULES)


@pytest.mark.parametrize(
    ("name", "holds", "fails"),
    [
        ("claim", {}, {"status": Status.PULLING}),
        ("claim", {}, {"epoch": EPOCH + 1}),
        ("claim", {}, {"stop_requested_at": NOW}),
        ("cancel", {}, {"status": Status.PULLING}),
        ("expire", {}, {"status": Status.PULLING}),
        ("give-up (expired)", {"status": Status.PULLING}, {"status": Status.PULLING, "service_id": "s"}),
        ("give-up (expired)", {"status": Status.PULLING}, {"status": Status.PULLING, "epoch": EPOCH + 1}),
        ("take-over", {"status": Status.RUNNING}, {"status": Status.RUNNING, "epoch": EPOCH + 1}),
        ("take-over", {"status": Status.PULLING}, {"status": Status.ENQUEUED}),
        ("re-place", {"status": Status.PULLING}, {"status": Status.PULLING, "service_id": "s"}),
        ("re-place", {"status": Status.PULLING}, {"status": Status.PULLING, "epoch": EPOCH + 1}),
        ("bind", {"status": Status.PULLING}, {"status": Status.PULLING, "service_id": "other"}),
        ("bind", {"status": Status.PULLING}, {"status": Status.PULLING, "stop_requested_at": NOW}),
        ("bind", {"status": Status.PULLING}, {"status": Status.PULLING, "epoch": EPOCH + 1}),
        ("give-up (failed)", {"status": Status.PULLING}, {"status": Status.PULLING, "service_id": "s"}),
        ("give-up (stopped)", {"status": Status.PULLING}, {"status": Status.PULLING, "epoch": EPOCH + 1}),
        ("flag-stop", {"status": Status.RUNNING, "epoch": EPOCH + 7}, {"status": Status.DONE}),
        ("flag-stop", {"status": Status.RUNNING}, {"status": Status.RUNNING, "stop_requested_at": NOW - 9}),
        ("run", {"status": Status.PULLING, "service_id": "s"}, {"status": Status.PULLING}),
        ("run", {"status": Status.PULLING, "service_id": "s"}, {"status": Status.RUNNING, "service_id": "s"}),
        ("end (done)", {"status": Status.RUNNING, "service_id": "s"}, {"status": Status.RUNNING, "service_id": "s", "epoch": EPOCH + 1}),
        ("end (done)", {"status": Status.PULLING, "service_id": "s"}, {"status": Status.PULLING}),
        ("settle", {"status": Status.DONE}, {"status": Status.DONE, "settled": True}),
        ("settle", {"status": Status.FAILED}, {"status": Status.RUNNING}),
        ("clean", {"status": Status.DONE, "settled": True}, {"status": Status.DONE}),
    ],
)
def test_a_condition_that_fails_alone_refuses_the_change(name: str, holds: dict[str, Any], fails: dict[str, Any]) -> None:
    change = TABLE[name].make(an_execution())
    assert change.permitted(an_execution(**holds))
    assert not change.permitted(an_execution(**fails))


@pytest.mark.parametrize("final", sorted(FINAL))
def test_a_final_status_is_never_changed(final: Status) -> None:
    for row in TABLE.values():
        change = row.make(an_execution())
        for settled, service in itertools.product((False, True), (None, "s")):
            if change.permitted(an_execution(status=final, settled=settled, service_id=service)):
                assert set(change.values) <= {"settled", "cleaned", "sequence"}


def test_statuses_only_move_forward() -> None:
    order = [Status.ENQUEUED, Status.PULLING, Status.RUNNING]
    for rule in RULES.values():
        for source, target in itertools.product(rule.sources, rule.targets):
            assert target in FINAL or order.index(target) > order.index(source)
            assert source not in FINAL


def test_an_owners_write_needs_its_epoch_and_an_epoch_only_grows() -> None:
    for row in TABLE.values():
        change = row.make(an_execution())
        assert change.epoch == (EPOCH if row.fenced else None)
        assert change.values.get("epoch", EPOCH + 1) == EPOCH + 1
    assert {name for name, row in TABLE.items() if "epoch" in row.make(an_execution()).values} == {"claim", "plan", "take-over"}


@pytest.mark.parametrize("name", RULES)
def test_a_change_refuses_every_target_that_its_rule_does_not_have(name: str) -> None:
    rule = RULES[name]
    for target in (None, *Status):
        values = {} if target is None else {"status": target}
        if target in rule.targets or (target is None and not rule.targets):
            assert ExecutionChange.of(name, an_execution(), **values).values == values
        else:
            with pytest.raises(ValueError, match="cannot make"):
                ExecutionChange.of(name, an_execution(), **values)


def test_no_two_changes_can_be_taken_for_each_other() -> None:
    changes = [transitions.take_over(an_execution()) for _ in range(50)]
    assert len({change.op for change in changes}) == 50
    assert all(change.op for change in changes)


def test_a_change_names_only_fields_that_an_execution_has() -> None:
    fields = {field.name for field in dataclasses.fields(Execution)}
    for name, row in TABLE.items():
        changed = set(row.make(an_execution()).values)
        assert changed <= fields - {"id", "op", "job_id", "task_id", "tick_id"}
        assert name == "plan" or "spec" not in changed  # what it runs stays; the plan says where


def test_a_claim_says_where_and_when() -> None:
    change = transitions.claim(an_execution(), host="unix:///d", pool="default", now=NOW)
    assert change.values == {"status": Status.PULLING, "epoch": EPOCH + 1, "host": "unix:///d", "pool": "default", "placed_at": NOW}


def test_a_cancelled_execution_has_nothing_to_clean() -> None:
    values = transitions.cancel(an_execution(), now=NOW).values
    assert values == {"status": Status.STOPPED, "stop_requested_at": NOW, "finished_at": NOW, "cleaned": True}


def test_an_expired_execution_has_nothing_to_clean_and_nobody_asked_for_its_stop() -> None:
    values = transitions.expire(an_execution(), now=NOW).values
    assert values == {"status": Status.EXPIRED, "finished_at": NOW, "cleaned": True}


def test_one_that_never_had_a_service_has_nothing_to_clean() -> None:
    assert transitions.give_up(an_execution(), an_ending(Status.STOPPED)).values["cleaned"] is True


def test_a_binding_says_which_service_of_which_swarm() -> None:
    values = transitions.bind(
        an_execution(), service_id="s", swarm_id="w", image_digest="sha256:1", now=NOW, image_reference="x@sha256:1"
    ).values
    assert values == {
        "service_id": "s",
        "swarm_id": "w",
        "image_digest": "sha256:1",
        "image_reference": "x@sha256:1",
        "service_version": None,
        "bound_at": NOW,
    }


def test_an_end_settles_with_it_only_where_it_is_told_to() -> None:
    assert "settled" not in transitions.end(an_execution(), an_ending(Status.DONE)).values
    assert transitions.end(an_execution(), an_ending(Status.DONE), settled=True).values["settled"] is True


def test_a_stop_is_kept_as_first_asked() -> None:
    assert transitions.flag_stop(an_execution(), now=NOW).values == {"stop_requested_at": NOW}
    assert not transitions.flag_stop(an_execution(), now=NOW).permitted(an_execution(status=Status.RUNNING, stop_requested_at=NOW - 9))


def test_an_ending_keeps_when_its_container_started_unless_it_learns_it_only_now() -> None:
    plain = transitions.end(an_execution(), Ending(Status.DONE, NOW, 0)).values
    assert not {"started_at", "container_id", "engine_task_id"} & set(plain)
    quick = transitions.end(an_execution(), Ending(Status.DONE, NOW, 0, started=Started("et", "c", NOW - 3))).values
    assert (quick["engine_task_id"], quick["container_id"], quick["started_at"]) == ("et", "c", NOW - 3)


def test_an_ending_says_everything_that_is_known_of_the_end() -> None:
    failure = Failure(FailureReason.EXIT, "task: non-zero exit (3)")
    values = transitions.end(an_execution(), Ending(Status.FAILED, NOW, 3, failure, None, 10, 20, True)).values
    assert values == {
        "status": Status.FAILED,
        "finished_at": NOW,
        "exit_code": 3,
        "failure": failure,
        "stdout_bytes": 10,
        "stderr_bytes": 20,
        "truncated": True,
    }


@pytest.mark.parametrize(("dropped", "lost", "truncated"), [(0, False, False), (1, False, True), (0, True, True), (1, True, True)])
def test_an_ending_says_how_much_log_there_is_and_whether_some_is_missing(dropped: int, lost: bool, truncated: bool) -> None:
    ending = Ending(Status.DONE, NOW, 0).with_log(Head(4, 30, 10, 20, dropped), lost=lost)
    assert (ending.stdout_bytes, ending.stderr_bytes, ending.truncated) == (10, 20, truncated)
    assert (ending.status, ending.exit_code) == (Status.DONE, 0)
