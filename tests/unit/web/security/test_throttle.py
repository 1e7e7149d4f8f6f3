"""Failed logins: who has to wait, for how long, and how much memory that takes."""

import pytest

from fastlane.web.security import throttle
from fastlane.web.security.throttle import LoginThrottle


class Watch:
    """A clock in seconds, moved by hand."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def watch():
    return Watch()


def fail(tries: LoginThrottle, times: int, address: str = "10.0.0.1") -> None:
    for _ in range(times):
        tries.count_failure(address)


def test_a_few_failures_cost_nothing_and_each_further_one_doubles_the_wait(watch):
    tries = LoginThrottle(watch)
    fail(tries, throttle.FREE_FAILURES - 1)
    assert tries.wait("10.0.0.1") == 0
    waits = []
    for _ in range(10):
        fail(tries, 1)
        waits.append(tries.wait("10.0.0.1"))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert tries.wait("10.0.0.2") == 0


def test_a_wait_is_over_when_it_is_over(watch):
    tries = LoginThrottle(watch)
    fail(tries, throttle.FREE_FAILURES + 2)
    watch.time += 3
    assert tries.wait("10.0.0.1") == 1
    watch.time += 1
    assert tries.wait("10.0.0.1") == 0


def test_after_a_long_time_without_failures_the_count_starts_over(watch):
    tries = LoginThrottle(watch)
    fail(tries, throttle.FREE_FAILURES + 5)
    watch.time += throttle.RESET_AFTER
    fail(tries, 1)
    assert tries.wait("10.0.0.1") == 0


def test_a_good_login_takes_back_its_own_attempt_and_no_other(watch):
    tries = LoginThrottle(watch)
    fail(tries, throttle.FREE_FAILURES)
    tries.refund("10.0.0.1")
    assert tries.wait("10.0.0.1") == 0
    fail(tries, 1)
    assert tries.wait("10.0.0.1") == 1


def test_a_good_login_of_an_address_that_was_forgotten_is_no_matter(watch):
    tries = LoginThrottle(watch)
    tries.refund("10.0.0.1")
    fail(tries, 1)
    tries.refund("10.0.0.1")
    assert not tries._addresses


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("10.0.0.1", "10.0.0.2", False),
        ("unknown", "???", True),
    ],
)
def test_a_network_of_one_machine_counts_as_one_address(watch, one, other, same):
    tries = LoginThrottle(watch)
    fail(tries, throttle.FREE_FAILURES, one)
    assert (tries.wait(other) > 0) is same


def test_the_memory_is_bounded_and_the_latest_are_kept(watch, monkeypatch):
    monkeypatch.setattr(throttle, "MAX_ADDRESSES", 100)
    tries = LoginThrottle(watch)
    fail(tries, throttle.FREE_FAILURES, "10.0.0.1")
    for number in range(1_000):
        fail(tries, 1, "10.0.0.1" if number % 50 == 0 else f"10.1.{number // 256}.{number % 256}")
    assert len(tries._addresses) == 100
    assert tries.wait("10.0.0.1") > 0
