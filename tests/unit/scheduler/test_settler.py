"""Whether an attempt is followed by another one, and when; whether anything follows it at all: tables of ends."""

from dataclasses import replace
from typing import Any

import pytest

from fastlane.models.job import Ending, Execution, Failure, Spec, Started, retry_due
from fastlane.models.notify import Mailbox, NotificationTrigger, Webhook
from fastlane.models.pool import Pool
from fastlane.models.retry import FailureReason, backoff
from fastlane.models.status import FINAL, UNDER_WAY, Status
from fastlane.scheduler.settler import is_last_word
from tests.support.factories import make_execution

ENDED = 1_700_000_000_000
TICK = "96812ec5-4574-8f3c-9ce4-0e4908a44783"
SPEC = Spec("ubuntu", retries=2, retry_delay=5_000)
WORDS = "it said so"


def failed(reason: FailureReason | None = FailureReason.EXIT, **values: Any) -> Execution:
    failure = None if reason is None else Failure(reason, WORDS)
    given = {"tick_id": TICK, "spec": SPEC, "status": Status.FAILED, "finished_at": ENDED, "failure": failure}
    return make_execution(**{"scheduled_for": ENDED - 9, "created_at": ENDED - 9, **given, **values})


@pytest.mark.parametrize(
    ("execution", "due"),
    [
        (failed(), ENDED + 5_000),
        (failed(FailureReason.OOM), ENDED + 5_000),
        (failed(FailureReason.KILLED), ENDED + 5_000),
        (failed(FailureReason.HOST_LOST), ENDED + 5_000),
        (failed(FailureReason.ENGINE), ENDED + 5_000),
        (failed(FailureReason.IMAGE), None),
        (failed(FailureReason.REJECTED), None),
        (failed(FailureReason.UNSCHEDULABLE), None),
        (failed(None), None),
        (failed(attempt=2), ENDED + 5_000),
        (failed(attempt=3), None),
        (failed(attempt=4), None),
        (failed(spec=Spec("ubuntu")), None),
        (failed(spec=replace(SPEC, retry_delay=0)), ENDED),
        (failed(spec=replace(SPEC, retry_delay=None)), ENDED + backoff(TICK, 1)),
        (failed(spec=replace(SPEC, retry_delay=None), attempt=2), ENDED + backoff(TICK, 2)),
        (failed(stop_requested_at=ENDED - 1), None),
        (failed(settled=True, cleaned=True), ENDED + 5_000),
        (failed(expires_at=ENDED + 5_001), ENDED + 5_000),
        (failed(expires_at=ENDED + 5_000), None),
        (failed(expires_at=ENDED - 1), None),
        (failed(finished_at=None), None),
    ],
)
def test_when_the_attempt_after_a_failed_one_is_due(execution: Execution, due: int | None) -> None:
    assert retry_due(execution) == due


@pytest.mark.parametrize("status", sorted((FINAL | UNDER_WAY) - {Status.FAILED}))
def test_only_a_failed_attempt_is_followed_by_another(status: Status) -> None:
    assert retry_due(failed(status=status)) is None


def test_the_first_wait_is_about_a_second_and_the_second_about_two() -> None:
    first = retry_due(failed(spec=replace(SPEC, retry_delay=None)))
    second = retry_due(failed(spec=replace(SPEC, retry_delay=None), attempt=2))
    assert first is not None
    assert second is not None
    assert 1_000 <= first - ENDED <= 1_200
    assert 2_000 <= second - ENDED <= 2_400


HOOK = (Webhook(NotificationTrigger.SUCCEEDS, "https://example.com/x"),)
EXIT, IMAGE = Failure(FailureReason.EXIT, WORDS), Failure(FailureReason.IMAGE, WORDS)
STARTED = Started("et", "c", ENDED - 5)


def runs(**values: Any) -> Execution:
    return failed(None, **{"status": Status.RUNNING, "finished_at": None, "started_at": ENDED - 5, **values})


@pytest.mark.parametrize(
    ("execution", "ending", "last"),
    [
        (runs(), Ending(Status.DONE, ENDED, 0), True),
        (runs(), Ending(Status.FAILED, ENDED, 3, EXIT), False),
        (runs(attempt=3), Ending(Status.FAILED, ENDED, 3, EXIT), True),
        (runs(spec=Spec("ubuntu")), Ending(Status.FAILED, ENDED, 3, EXIT), True),
        (runs(stop_requested_at=ENDED - 1), Ending(Status.FAILED, ENDED, 3, EXIT), True),
        (runs(expires_at=ENDED + 5_000), Ending(Status.FAILED, ENDED, 3, EXIT), True),
        (runs(started_at=None), Ending(Status.FAILED, ENDED, failure=IMAGE), True),
        (runs(), Ending(Status.TIMEDOUT, ENDED, 137), True),
        (runs(), Ending(Status.STOPPED, ENDED, 143), True),
        (runs(started_at=None), Ending(Status.STOPPED, ENDED), False),
        (runs(started_at=None), Ending(Status.EXPIRED, ENDED), False),
        (runs(started_at=None), Ending(Status.STOPPED, ENDED, 143, started=STARTED), True),
        (runs(started_at=None, attempt=2), Ending(Status.STOPPED, ENDED), True),
        (runs(spec=Spec("ubuntu", webhooks=HOOK)), Ending(Status.DONE, ENDED, 0), False),
        (runs(spec=Spec("ubuntu", notify=(Mailbox(NotificationTrigger.SUCCEEDS, "a@b"),))), Ending(Status.DONE, ENDED, 0), False),
        (runs(spec=Spec("ubuntu", notify=(Mailbox(NotificationTrigger.LATE, "a@b"),))), Ending(Status.DONE, ENDED, 0), True),
        (runs(spec=Spec("ubuntu", expect_every=1_000)), Ending(Status.DONE, ENDED, 0), False),
        (runs(spec=Spec("ubuntu", expect_every=1_000)), Ending(Status.TIMEDOUT, ENDED, 137), True),
        (runs(spec=Spec("ubuntu", webhooks=HOOK)), Ending(Status.FAILED, ENDED, 3, EXIT), True),
    ],
)
def test_whether_anything_but_its_slot_follows_an_end(execution: Execution, ending: Ending, last: bool) -> None:
    assert is_last_word(execution, ending) is last


def test_an_end_that_a_webhook_of_the_pool_is_told_of_is_not_the_last_word() -> None:
    pools = (Pool("told", "", ("h",), webhooks=HOOK),)
    assert not is_last_word(runs(), Ending(Status.DONE, ENDED, 0), pools)
    assert is_last_word(runs(), Ending(Status.TIMEDOUT, ENDED, 137), pools)
