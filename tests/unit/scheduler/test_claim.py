"""Which execution a worker claims, and why it declines another one."""

from dataclasses import replace
from typing import Any

import pytest

from fastlane.models.host import HostView
from fastlane.models.placement import Ranking
from fastlane.models.pool import Pool
from fastlane.models.retry import Remedy
from fastlane.models.schedule import Overlap
from fastlane.models.status import Status
from fastlane.queue.port import TICKS, EntryKind, Lease
from fastlane.scheduler.launcher import ClaimSituation, Declined, decide
from tests.support.factories import make_execution

NOW = 1_700_000_000_000
HOST = "h:1"
POOLS = (Pool("other", "other-", (HOST,)), Pool("default", "task", (HOST,)))


def situation(**values: Any) -> ClaimSituation:
    """A worker that has a host for the pool ``default``, and an entry of that pool's lane."""
    lease = Lease("e", EntryKind.EXECUTION, values.pop("lane", "default"), 0, expired=values.pop("expired", False))
    return ClaimSituation(**{"lease": lease, "pools": POOLS, "host": HOST, "now": NOW, **values})


def test_an_execution_of_the_pool_in_whose_lane_it_is_is_claimed_for_the_host() -> None:
    decision = decide(make_execution(task_id="task"), situation())
    assert decision.declined is None
    assert decision.change is not None
    expected = {"status": Status.PULLING, "epoch": 1, "host": HOST, "pool": "default", "placed_at": NOW}
    assert {name: decision.change.values[name] for name in expected} == expected


def test_an_attempt_after_a_lost_host_is_claimed_for_another_one_if_there_is_one() -> None:
    pool = Pool("default", "task", (HOST, "h:2"))
    row = make_execution(task_id="task", spec=replace(make_execution().spec, remedy=Remedy(avoid=HOST)))
    for others, expected in (([], HOST), ([HostView("h:2", usable=True)], "h:2")):
        ranking = Ranking(pool, [HostView(HOST, usable=True), *others])
        for execution, host in ((row, expected), (make_execution(task_id="task"), HOST)):
            change = decide(execution, situation(pools=(pool,), ranking=ranking)).change
            assert change is not None
            assert change.values["host"] == host


@pytest.mark.parametrize(
    ("row", "seen", "reason"),
    [
        ({"status": Status.PULLING, "epoch": 1}, {}, Declined.STARTED),
        ({"status": Status.STOPPED}, {"expired": True}, Declined.STARTED),
        ({}, {"expired": True}, Declined.EXPIRED),
        ({"expires_at": NOW, "waits": Overlap.QUEUE}, {}, Declined.EXPIRED),
        ({"waits": Overlap.REPLACE, "task_id": "another"}, {"lane": TICKS}, Declined.WAITS),
        ({"task_id": "another"}, {}, Declined.NO_POOL),
        ({"task_id": "other-1"}, {}, Declined.OTHER_LANE),
        ({}, {"lane": TICKS, "host": None}, Declined.OTHER_LANE),
        ({}, {"host": None}, Declined.NO_HOST),
    ],
)
def test_the_first_reason_against_a_claim_counts(row: dict[str, Any], seen: dict[str, Any], reason: Declined) -> None:
    decision = decide(make_execution(**{"task_id": "task", **row}), situation(**seen))
    assert (decision.change, decision.declined) == (None, reason)


def test_an_execution_is_claimed_until_the_moment_at_which_it_expires() -> None:
    assert decide(make_execution(task_id="task", expires_at=NOW + 1), situation()).change is not None


def test_an_execution_for_which_no_worker_has_a_pool_is_claimed_without_a_host_in_order_to_end_it() -> None:
    decision = decide(make_execution(task_id="another"), situation(without_pool=True))
    assert decision.change is not None
    assert (decision.change.values["host"], decision.change.values["pool"]) == (None, None)


def test_a_pool_that_has_come_meanwhile_is_not_passed_over() -> None:
    decision = decide(make_execution(task_id="task"), situation(without_pool=True, host=None))
    assert decision.declined is Declined.NO_HOST
