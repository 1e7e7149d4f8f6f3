"""How many requests a caller may make."""

import pytest

from fastlane.web.http.problems import Problem
from fastlane.web.security import auth
from fastlane.web.security.auth import RequestRates


class Moment:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(rates: RequestRates, caller: str | None, most: int = 1_000) -> int:
    """How many requests the caller may make at once."""
    return next((count for count in range(most) if rates.take(caller)), most)


def test_a_caller_may_make_ten_seconds_worth_of_requests_at_once_and_then_as_many_as_the_rate_says():
    clock = Moment()
    limited = RequestRates(5, clock)
    assert taken(limited, "anna") == 50
    assert limited.take("anna") == pytest.approx(0.2)
    clock.now += 2
    assert taken(limited, "anna") == 10
    clock.now += 1_000
    assert taken(limited, "anna") == 50


def test_callers_do_not_share_their_requests():
    limited = RequestRates(1, Moment())
    assert taken(limited, "anna") == taken(limited, "ben") == 10


@pytest.mark.parametrize(("rate", "caller"), [(None, "anna"), (1, None)])
def test_without_a_rate_or_a_caller_there_is_no_limit(rate: int | None, caller: str | None):
    assert taken(RequestRates(rate, Moment()), caller) == 1_000


def test_a_caller_that_has_to_wait_is_told_for_how_long():
    clock = Moment()
    limited = RequestRates(1, clock)
    taken(limited, "anna")
    with pytest.raises(Problem) as refused:
        limited.check("anna")
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "1")
    clock.now += 1
    limited.check("anna")


def test_only_so_many_callers_are_remembered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(auth, "MAX_CALLERS", 2)
    limited = RequestRates(1, Moment())
    taken(limited, "anna")
    for name in ("ben", "carl"):
        limited.take(name)
    assert taken(limited, "anna") == 10
