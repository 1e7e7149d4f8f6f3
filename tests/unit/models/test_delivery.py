"""How a delivery goes on after each attempt, and when the next one is."""

from dataclasses import replace

import pytest

from fastlane.models.delivery import KEPT, MAX_DELAY, NO_OUTCOME, Delivery, DeliveryState, EndFacts, Reply, back_off, deliveries_of
from fastlane.models.notify import NotificationTrigger, Webhook
from fastlane.models.pool import Pool
from fastlane.models.status import Status
from tests.support.factories import make_execution, make_spec

HOOK = Webhook(NotificationTrigger.FINISHES, "https://example.com/x", {}, 2)
FAILED, TAKEN = Reply(500, "it answered 500"), Reply(200)


def fresh() -> Delivery:
    (delivery,) = deliveries_of(make_execution(status=Status.DONE, spec=make_spec(webhooks=(HOOK,))), (), EndFacts(), now=100)
    return delivery


def test_it_fails_for_good_after_its_retries() -> None:
    row, states = fresh(), []
    for now in (200, 300, 400):
        row = row.taken(now + 50, now).tried(FAILED, began=now, now=now + 5)
        states.append((row.state.value, row.attempts_left, row.due is None))
    assert states == [("pending", 2, False), ("pending", 1, False), ("failed", 0, True)]
    assert (row.version, row.attempts_made, [one.at for one in row.attempts]) == (7, 3, [200, 300, 400])


def test_a_failure_that_is_written_after_a_success_changes_nothing_of_it() -> None:
    row = fresh().tried(TAKEN, began=1, now=2).tried(FAILED, began=1, now=3)
    assert (row.state, row.due, row.attempts_made) == (DeliveryState.DELIVERED, None, 2)


def test_one_that_is_sent_again_by_hand_has_as_many_attempts_as_at_first() -> None:
    row = fresh().tried(TAKEN, began=1, now=2).again(9)
    assert (row.state, row.due, row.attempts_left, row.by_hand) == (DeliveryState.PENDING, 9, 3, True)
    again = row.tried(FAILED, began=9, now=10)
    assert (again.state, again.by_hand) == (DeliveryState.PENDING, True)


def test_an_attempt_without_an_outcome_counts_and_delays_the_next_one() -> None:
    row, dues = fresh(), []
    for now in (100, 200, 300):
        row = row.taken(now, now)
        dues.append((row.due or 0) - now)
    assert (row.lost, row.attempts_made, row.attempts_left) == (3, 3, 3)
    assert dues == [0, back_off(row.id, 1), back_off(row.id, 2)]
    known = row.tried(FAILED, began=300, now=301)
    assert (known.lost, known.attempts_made, known.attempts_left) == (0, 3, 2)
    assert [one.error for one in known.attempts] == [NO_OUTCOME, NO_OUTCOME, FAILED.error]


def test_an_attempt_that_was_not_made_does_not_count() -> None:
    row = fresh().taken(50, 40).postponed(90)
    assert (row.due, row.lost, row.attempts_made, row.attempts) == (90, 0, 0, ())
    held = fresh().taken(50, 40).tried(Reply(None, is_held=True), began=40, now=41)
    assert (held.state, held.attempts_made, held.attempts) == (DeliveryState.HELD, 0, ())


def test_only_the_last_attempts_are_kept() -> None:
    row = replace(fresh(), attempts_left=100)
    for now in range(30):
        row = row.tried(FAILED, began=now, now=now)
    assert (row.attempts_made, [one.at for one in row.attempts]) == (30, list(range(30 - KEPT, 30)))


def test_the_waits_grow_to_six_hours() -> None:
    waits = [back_off("an-id", made) for made in range(1, 12)]
    assert waits[:6] == sorted(waits[:6])
    for wait, least in zip(waits, (5_000, 20_000, 80_000, 320_000), strict=False):
        assert least <= wait <= least * 1.2
    assert MAX_DELAY / 1.2 <= waits[-1] <= MAX_DELAY
    assert len({back_off(str(id), 1) for id in range(50)}) > 40


@pytest.mark.parametrize("status", [status for status in Status if status.final])
def test_which_lists_are_told(status: Status) -> None:
    webhooks = tuple(Webhook(trigger, f"https://example.com/{trigger}") for trigger in NotificationTrigger)
    found = deliveries_of(make_execution(status=status, spec=make_spec(webhooks=webhooks)), (), EndFacts(will_retry=True), now=1)
    wanted = {
        Status.DONE: {"succeeds", "finishes"},
        Status.STOPPED: {"finishes"},
    }.get(status, {"fails", "finishes"})
    assert {one.target.trigger.value for one in found} == wanted
    assert {one.event for one in found} == {f"execution.{status}"}
    assert len({one.id for one in found}) == len(found)


def test_a_pools_webhooks_are_told_only_of_jobs_without_any() -> None:
    pools = (Pool("a", "a", ("h",)), Pool("t", "t", ("h",), webhooks=(HOOK,)), Pool("all", "", ("h",)))
    of_pool = deliveries_of(make_execution(status=Status.DONE), pools, EndFacts(), now=1)
    assert [one.target for one in of_pool] == [HOOK]
    own = Webhook(NotificationTrigger.FAILS, "https://example.com/own")
    assert deliveries_of(make_execution(status=Status.DONE, spec=make_spec(webhooks=(own,))), pools, EndFacts(), now=1) == []
    assert deliveries_of(make_execution(status=Status.DONE, task_id="other"), pools, EndFacts(), now=1) == []
