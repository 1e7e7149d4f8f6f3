"""When a registry that failed is asked again."""

import pytest

from fastlane.errors import RegistryDown
from fastlane.executors.swarm.images import FIRST_PAUSE, LONGEST_PAUSE, MOST, RegistryOutages
from tests.support.clock import FakeClock

HUB, OTHER = "docker.io", "other.example"
REFUSED = RegistryDown("connection refused", nameless=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def outages(clock: FakeClock) -> RegistryOutages:
    return RegistryOutages(clock)


def away(outages: RegistryOutages, registry: str = HUB) -> bool:
    """Whether a question would fail at once; if not, this was the question."""
    try:
        outages.check(registry)
    except RegistryDown as error:
        return (str(error), error.nameless) == ("connection refused", True)
    return False


async def test_a_registry_that_failed_is_asked_again_by_one_caller_after_each_pause(outages: RegistryOutages, clock: FakeClock) -> None:
    assert not away(outages)
    outages.failed(HUB, REFUSED)
    assert away(outages)
    assert not away(outages, OTHER)
    await clock.advance(FIRST_PAUSE / 1000)
    assert [away(outages) for _ in range(3)] == [False, True, True]
    outages.answered(HUB)
    assert not outages.is_away(HUB)
    assert [away(outages) for _ in range(3)] == [False] * 3


async def test_pauses_double_with_each_trial_that_fails_and_have_an_end(outages: RegistryOutages, clock: FakeClock) -> None:
    outages.failed(HUB, REFUSED)
    pause = FIRST_PAUSE
    for _ in range(10):
        await clock.advance((pause - 1) / 1000)
        assert away(outages)
        await clock.advance(0.001)
        assert not away(outages)
        outages.failed(HUB, REFUSED)
        pause = min(2 * pause, LONGEST_PAUSE)
    assert pause == LONGEST_PAUSE


async def test_questions_that_fail_together_are_one_failure(outages: RegistryOutages, clock: FakeClock) -> None:
    for _ in range(20):
        outages.failed(HUB, REFUSED)
    await clock.advance(FIRST_PAUSE / 1000)
    assert not away(outages)


async def test_a_trial_that_nobody_finished_is_followed_by_another(outages: RegistryOutages, clock: FakeClock) -> None:
    outages.failed(HUB, REFUSED)
    await clock.advance(FIRST_PAUSE / 1000)
    assert not away(outages)
    await clock.advance(FIRST_PAUSE / 1000)
    assert not away(outages)


def test_a_clock_that_was_set_back_keeps_no_registry_from_being_asked(outages: RegistryOutages, clock: FakeClock) -> None:
    outages.failed(HUB, REFUSED)
    clock.set_back(3600)
    assert not away(outages)
    assert away(outages)


def test_the_memory_is_bounded(outages: RegistryOutages) -> None:
    for number in range(MOST + 1):
        outages.failed(f"r{number}.example", REFUSED)
    assert not outages.is_away("r0.example")
    assert outages.is_away("r1.example")
