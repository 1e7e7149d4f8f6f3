"""Failed logins: who has to wait, for how long, and how much memory that takes."""

import pytest

from fastlane.web.security import auth
from fastlane.web.security.auth import LoginSlots, LoginThrottle


class Watch:
    """A clock in seconds, moved by hand."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def watch():
    return Watch()


def fail(tries: LoginThrottle, times: int, address: str = "10.0.0.1", name: str | None = None) -> None:
    for _ in range(times):
        tries.count_failure(address, name)


def test_a_few_failures_cost_nothing_and_each_further_one_doubles_the_wait(watch):
    tries = LoginThrottle(watch)
    fail(tries, auth.FREE_FAILURES - 1)
    assert tries.wait("10.0.0.1") == 0
    waits = []
    for _ in range(10):
        fail(tries, 1)
        waits.append(tries.wait("10.0.0.1"))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert tries.wait("10.0.0.2") == 0


def test_a_wait_is_over_when_it_is_over(watch):
    tries = LoginThrottle(watch)
    fail(tries, auth.FREE_FAILURES + 2)
    watch.time += 3
    assert tries.wait("10.0.0.1") == 1
    watch.time += 1
    assert tries.wait("10.0.0.1") == 0


def test_after_a_long_time_without_failures_the_count_starts_over(watch):
    tries = LoginThrottle(watch)
    fail(tries, auth.FREE_FAILURES + 5)
    watch.time += auth.RESET_AFTER
    fail(tries, 1)
    assert tries.wait("10.0.0.1") == 0


def test_a_good_login_takes_back_its_own_attempt_and_no_other(watch):
    tries = LoginThrottle(watch)
    fail(tries, auth.FREE_FAILURES)
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
    fail(tries, auth.FREE_FAILURES, one)
    assert (tries.wait(other) > 0) is same


def test_the_memory_is_bounded_and_the_latest_are_kept(watch, monkeypatch):
    monkeypatch.setattr(auth, "MAX_ADDRESSES", 100)
    tries = LoginThrottle(watch)
    fail(tries, auth.FREE_FAILURES, "10.0.0.1")
    for number in range(1_000):
        fail(tries, 1, "10.0.0.1" if number % 50 == 0 else f"10.1.{number // 256}.{number % 256}")
    assert len(tries._addresses) == 100
    assert tries.wait("10.0.0.1") > 0


@pytest.mark.parametrize(
    ("near", "far", "other"),
    [("10.0.0.{}", "10.0.0.200", "10.0.1.1"), ("2001:db8:0:{}::1", "2001:db8:0:ffff::1", "2001:db8:1::1")],
)
def test_one_network_with_many_addresses_has_to_wait(watch, near, far, other):
    tries = LoginThrottle(watch)
    for number in range(auth.FREE_IN_NETWORK):
        assert tries.wait(far) == 0
        fail(tries, 1, near.format(number))
    assert tries.wait(far) == 1
    assert tries.wait(other) == 0


def test_one_machine_with_an_old_password_keeps_nobody_else_out(watch):
    tries = LoginThrottle(watch)
    for _ in range(2 * auth.FREE_FOR_NAME):
        watch.time += tries.wait("10.0.0.1", "anna")
        fail(tries, 1, "10.0.0.1", "anna")
    assert tries.wait("10.0.0.1", "anna") == auth.MAX_WAIT
    assert (tries.wait("10.0.0.2", "rob"), tries.wait("10.9.9.9", "anna")) == (0, 0)
    for number in range(2, 2 + auth.FREE_IN_NETWORK // auth.FREE_FAILURES):
        fail(tries, auth.FREE_FAILURES, f"10.0.0.{number}")
    assert tries.wait("10.0.0.99", "rob") > 0


def test_a_good_login_takes_back_only_what_it_counted(watch):
    tries = LoginThrottle(watch)
    fail(tries, auth.FREE_IN_NETWORK - auth.FREE_FAILURES, "10.0.0.2", "anna")
    for number in range(3):
        fail(tries, auth.FREE_FAILURES, f"10.0.0.{number + 3}")
    assert tries.wait("10.0.0.99") > 0
    tries.count_failure("10.0.0.2", "anna")
    tries.refund("10.0.0.2", "anna")
    assert tries.wait("10.0.0.99") > 0


def test_guesses_at_one_name_from_everywhere_have_to_wait_and_other_names_do_not(watch):
    tries = LoginThrottle(watch)
    for number in range(auth.FREE_FOR_NAME):
        assert tries.wait("10.9.9.9", "anna") == 0
        fail(tries, 1, f"10.{number}.0.1", "anna")
    assert tries.wait("10.9.9.9", "anna") == 1
    assert tries.wait("10.9.9.9", "rob") == 0
    assert tries.wait("10.9.9.9") == 0


def test_where_a_user_logged_in_before_no_stranger_keeps_them_out(watch):
    tries = LoginThrottle(watch)
    fail(tries, 1, "10.9.9.9", "anna")
    tries.refund("10.9.9.9", "anna")
    for number in range(auth.FREE_FOR_NAME + 5):
        fail(tries, 1, f"10.{number}.0.1", "anna")
    assert tries.wait("10.9.9.9", "anna") == 0
    assert tries.wait("10.9.9.8", "anna") > 0
    fail(tries, auth.FREE_FAILURES, "10.9.9.9", "anna")  # who guesses there has to wait all the same
    assert tries.wait("10.9.9.9", "anna") > 0


def test_names_of_any_length_and_number_take_bounded_memory(watch, monkeypatch):
    monkeypatch.setattr(auth, "MAX_ADDRESSES", 100)
    tries = LoginThrottle(watch)
    for number in range(1_000):
        name = f"{number}" * 1_000
        fail(tries, 1, f"10.{number % 250}.{number // 250}.1", name)
        tries.refund("10.255.0.1", f"{number}")
    assert [len(part) for part in (tries._names, tries._networks, tries._known)] == [100, 100, 100]
    assert max(len(name) for name in tries._names._recent) == auth.LONGEST_NAME


def test_one_network_does_not_take_every_place():
    slots = LoginSlots(5, 3)
    assert [slots.acquire(f"10.0.0.{number}") for number in range(4)] == [True, True, True, False]
    assert [slots.acquire(f"10.0.{number}.1") for number in (1, 2, 3)] == [True, True, False]
    slots.release("10.0.0.99")
    assert [slots.acquire("10.0.3.1"), slots.acquire("10.0.0.1")] == [True, False]
