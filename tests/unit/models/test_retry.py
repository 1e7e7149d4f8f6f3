"""Whether another attempt follows, and when."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from fastlane.models.container import Resources
from fastlane.models.job import Failure, Spec, retry_due
from fastlane.models.retry import FailureReason, OnOom, Remedy, RetryOn, backoff, more_memory
from fastlane.models.status import Status
from fastlane.models.tick import next_execution
from tests.support.factories import make_execution, make_spec

TICK = "5f2c1f0e-7f0b-5b7e-9a53-0d1f2f3a4b5c"
ENDED = 1_800_000_000_000


def due_after(attempt: int, reason: FailureReason | None, exit_code: int | None = None, **spec: Any) -> int | None:
    """When the attempt after this one is due."""
    failure = None if reason is None else Failure(reason, "it said so")
    values = {"tick_id": TICK, "attempt": attempt, "failure": failure, "exit_code": exit_code, "finished_at": ENDED}
    return retry_due(make_execution(status=Status.FAILED, spec=Spec("ubuntu", **spec), **values))


@pytest.mark.parametrize(
    ("attempt", "reason", "retries", "again"),
    [
        (1, FailureReason.EXIT, 0, False),
        (1, FailureReason.EXIT, 1, True),
        (2, FailureReason.EXIT, 1, False),
        (2, FailureReason.EXIT, 2, True),
        (10, FailureReason.EXIT, 10, True),
        (11, FailureReason.EXIT, 10, False),
        (1, FailureReason.OOM, 1, True),
        (1, FailureReason.KILLED, 1, True),
        (1, FailureReason.HOST_LOST, 1, True),
        (1, FailureReason.HOST_LOST, 0, False),
        (1, FailureReason.IMAGE, 10, False),
        (1, FailureReason.REJECTED, 10, False),
        (1, FailureReason.UNSCHEDULABLE, 10, False),
        (1, None, 10, False),
    ],
)
def test_an_attempt_is_followed_by_another_only_for_what_may_pass(
    attempt: int, reason: FailureReason | None, retries: int, again: bool
) -> None:
    due = due_after(attempt, reason, retries=retries)
    assert (due is not None) is again
    assert due is None or due > ENDED


@pytest.mark.parametrize(
    ("attempt", "shortest", "longest"),
    [
        (1, 1_000, 1_200),
        (2, 2_000, 2_400),
        (3, 4_000, 4_800),
        (5, 16_000, 19_200),
        (9, 256_000, 307_200),
        (10, 500_000, 600_000),
        (30, 500_000, 600_000),
        (10**9, 500_000, 600_000),
    ],
)
def test_the_delay_doubles_from_a_second_up_to_ten_minutes(attempt: int, shortest: int, longest: int) -> None:
    delays = [backoff(str(uuid4()), attempt) for _ in range(300)]
    assert shortest <= min(delays) < shortest + (longest - shortest) * 0.1
    assert shortest + (longest - shortest) * 0.9 < max(delays) <= longest


def test_every_worker_derives_the_same_moment() -> None:
    due = {due_after(3, FailureReason.EXIT, retries=5) for _ in range(5)}
    assert due == {ENDED + 4_462}


def test_the_jitter_differs_between_ticks_and_between_attempts() -> None:
    assert len({backoff(str(uuid4()), 8) for _ in range(50)}) > 45
    assert backoff(TICK, 2) != 2 * backoff(TICK, 1)


@pytest.mark.parametrize(("attempt", "retry_delay"), [(1, 5_000), (4, 5_000), (1, 0), (2, 3_600_000)])
def test_a_delay_of_the_users_own_is_kept_as_it_is(attempt: int, retry_delay: int) -> None:
    due = due_after(attempt, FailureReason.EXIT, retries=9, retry_delay=retry_delay)
    assert due == ENDED + retry_delay


OOM_OR_75 = RetryOn((FailureReason.OOM, FailureReason.IMAGE), (75,))


@pytest.mark.parametrize(
    ("reason", "exit_code", "again"),
    [
        (FailureReason.OOM, 137, True),
        (FailureReason.IMAGE, None, True),
        (FailureReason.EXIT, 75, True),
        (FailureReason.KILLED, 75, True),
        (FailureReason.EXIT, 1, False),
        (FailureReason.KILLED, 137, False),
        (FailureReason.HOST_LOST, None, False),
        (FailureReason.ENGINE, None, False),
        (None, None, False),
    ],
)
def test_a_job_that_says_so_is_tried_again_after_these_reasons_and_exit_codes_alone(
    reason: FailureReason | None, exit_code: int | None, again: bool
) -> None:
    assert (due_after(1, reason, exit_code, retries=1, retry_on=OOM_OR_75) is not None) is again
    assert due_after(2, reason, exit_code, retries=1, retry_on=OOM_OR_75) is None


GIB = 2**30


@pytest.mark.parametrize(
    ("rule", "had", "limit", "gets"),
    [
        (OnOom(2.0), GIB, None, 2 * GIB),
        (OnOom(2.0, 8 * GIB), 4 * GIB, None, 8 * GIB),
        (OnOom(2.0, 8 * GIB), 6 * GIB, None, 8 * GIB),
        (OnOom(2.0, 8 * GIB), 6 * GIB, 7 * GIB, 7 * GIB),
        (OnOom(1.5), GIB, 4 * GIB, 3 * GIB // 2),
        (OnOom(2.0), 4 * GIB, 4 * GIB, 4 * GIB),
        (OnOom(2.0, GIB), 2 * GIB, GIB, 2 * GIB),  # it never gets less
    ],
)
def test_more_memory_is_bounded_by_the_rule_and_the_pool(rule: OnOom, had: int, limit: int | None, gets: int) -> None:
    assert more_memory(rule, had, [limit]) == gets


def test_only_the_attempt_after_one_that_ran_out_of_memory_has_more() -> None:
    spec = make_spec(retries=5, resources=Resources(memory=GIB), on_oom=OnOom(2.0))
    found = []
    one = make_execution(spec=spec, status=Status.FAILED, host="h1", finished_at=ENDED)
    for reason in (FailureReason.OOM, FailureReason.OOM, FailureReason.EXIT, FailureReason.HOST_LOST, FailureReason.EXIT):
        one = replace(one, failure=Failure(reason, "it said so"), host="h1")
        one = next_execution(one, due=ENDED, now=ENDED, limit=8 * GIB)
        found.append((one.spec.resources.memory, one.spec.remedy))
    more, most = 2 * GIB, 4 * GIB
    assert found == [(more, Remedy(memory=GIB)), (most, Remedy(memory=more)), (most, None), (most, Remedy(avoid="h1")), (most, None)]
