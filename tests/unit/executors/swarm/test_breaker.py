"""The breaker as a table: what happens, one thing after another, and the state after each."""

import pytest

from fastlane.executors.swarm.client import Breaker, Circuit

SHUT, OPEN, HALF = Circuit.CLOSED, Circuit.OPEN, Circuit.HALF_OPEN

# Each step: a moment, what happens (a call that succeeds, fails, or fails by silence, is given up, is refused; a probe that fails or
# goes through), and the state after it.
STORIES = {
    "faults in a row open it": [(0, "fail", SHUT), (1, "fail", SHUT), (2, "fail", OPEN), (3, "refuse", OPEN)],
    "a success between faults starts the count again": [
        (0, "fail", SHUT),
        (1, "fail", SHUT),
        (2, "succeed", SHUT),
        (3, "fail", SHUT),
        (4, "fail", SHUT),
    ],
    "it is half open after its time": [
        (0, "fail", SHUT),
        (1, "fail", SHUT),
        (2, "fail", OPEN),
        (101, "refuse", OPEN),
        (102, "nothing", HALF),
    ],
    "it is half open once the clock was set back": [
        (1000, "fail", SHUT),
        (1001, "fail", SHUT),
        (1002, "fail", OPEN),
        (500, "nothing", HALF),
        (501, "fail", OPEN),
        (600, "refuse", OPEN),
        (601, "nothing", HALF),
    ],
    "a success closes a half open one": [
        (0, "fail", SHUT),
        (1, "fail", SHUT),
        (2, "fail", OPEN),
        (102, "succeed", SHUT),
        (103, "fail", SHUT),
    ],
    "a fault opens a half open one again": [
        (0, "fail", SHUT),
        (1, "fail", SHUT),
        (2, "fail", OPEN),
        (102, "fail", OPEN),
        (201, "refuse", OPEN),
        (202, "nothing", HALF),
    ],
    "a call that is given up leaves it half open": [
        (0, "fail", SHUT),
        (1, "fail", SHUT),
        (2, "fail", OPEN),
        (102, "give up", HALF),
        (103, "succeed", SHUT),
    ],
    "probes that fail open it, and one that goes through closes it": [
        (0, "probe fails", SHUT),
        (1, "probe fails", SHUT),
        (2, "probe fails", OPEN),
        (3, "refuse", OPEN),
        (4, "probe passes", SHUT),
    ],
    "a probe closes what refused connections opened": [(0, "fail", SHUT), (1, "fail", SHUT), (2, "fail", OPEN), (3, "probe passes", SHUT)],
    "a probe that goes through does not close what silence opened": [
        (0, "hang", SHUT),
        (1, "hang", SHUT),
        (2, "hang", OPEN),
        (3, "probe passes", OPEN),
        (102, "probe passes", HALF),
        (103, "hang", OPEN),
        (104, "probe passes", OPEN),
        (203, "succeed", SHUT),
    ],
    "a probe that failed as well closes it when it goes through": [
        (0, "hang", SHUT),
        (1, "hang", SHUT),
        (2, "hang", OPEN),
        (3, "probe fails", OPEN),
        (4, "probe passes", SHUT),
    ],
    "a probe that goes through does not forgive silence": [
        (0, "hang", SHUT),
        (1, "hang", SHUT),
        (2, "probe passes", SHUT),
        (3, "hang", OPEN),
    ],
}


def happen(breaker: Breaker, now: int, event: str) -> None:
    if event in {"fail", "hang", "succeed", "give up", "refuse"}:
        assert breaker.admit(now) is (event != "refuse")
    match event:
        case "fail" | "hang":
            breaker.failed(now, visible=event == "fail")
        case "succeed":
            breaker.succeeded()
        case "give up":
            breaker.abandoned()
        case "probe fails":
            breaker.failed(now, visible=True)
        case "probe passes":
            breaker.recovered()


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_a_breaker(story: list[tuple[int, str, Circuit]]) -> None:
    breaker = Breaker(max_fails=3, reset=100)
    for now, event, state in story:
        happen(breaker, now, event)
        assert breaker.circuit(now) is state, (now, event)


def test_a_half_open_breaker_lets_one_call_through_at_a_time() -> None:
    breaker = Breaker(max_fails=1, reset=100)
    breaker.failed(0, visible=True)
    assert [breaker.admit(100), breaker.admit(100), breaker.admit(101)] == [True, False, False]
    breaker.abandoned()
    assert [breaker.admit(102), breaker.admit(102)] == [True, False]


def test_an_open_breaker_tells_its_faults_and_when_a_call_goes_through_again() -> None:
    breaker = Breaker(max_fails=2, reset=100)
    assert (breaker.faults, breaker.retry_at(0)) == (0, None)
    breaker.failed(5, visible=True)
    assert (breaker.faults, breaker.retry_at(5)) == (1, None)
    breaker.failed(7, visible=True)
    assert (breaker.faults, breaker.retry_at(7)) == (2, 107)
    assert breaker.retry_at(107) is None
    breaker.succeeded()
    assert (breaker.faults, breaker.retry_at(108)) == (0, None)


def test_it_tells_when_it_opens_tries_a_call_and_closes() -> None:
    told: list[Circuit] = []
    breaker = Breaker(2, 100)
    breaker.subscribe(told.append)
    for now in (0, 1, 2):
        breaker.failed(now, visible=True)
    assert told == [OPEN]
    assert breaker.admit(200)
    breaker.failed(200, visible=True)
    assert breaker.admit(300)
    breaker.succeeded()
    breaker.succeeded()
    assert told == [OPEN, HALF, OPEN, HALF, SHUT]
