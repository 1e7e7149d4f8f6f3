"""Whether another attempt follows, and when."""

from uuid import uuid4

import pytest

from fastlane.models.job import FailureReason, backoff, next_attempt

TICK = "5f2c1f0e-7f0b-5b7e-9a53-0d1f2f3a4b5c"
ENDED = 1_800_000_000_000


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
    due = next_attempt(TICK, attempt, reason, retries=retries, retry_delay=None, finished_at=ENDED)
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
    due = {next_attempt(TICK, 3, FailureReason.EXIT, retries=5, retry_delay=None, finished_at=ENDED) for _ in range(5)}
    assert due == {ENDED + 4_462}


def test_the_jitter_differs_between_ticks_and_between_attempts() -> None:
    assert len({backoff(str(uuid4()), 8) for _ in range(50)}) > 45
    assert backoff(TICK, 2) != 2 * backoff(TICK, 1)


@pytest.mark.parametrize(("attempt", "retry_delay"), [(1, 5_000), (4, 5_000), (1, 0), (2, 3_600_000)])
def test_a_delay_of_the_users_own_is_kept_as_it_is(attempt: int, retry_delay: int) -> None:
    due = next_attempt(TICK, attempt, FailureReason.EXIT, retries=9, retry_delay=retry_delay, finished_at=ENDED)
    assert due == ENDED + retry_delay
