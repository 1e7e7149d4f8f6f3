"""How long it is until a moment of the queue's time."""

import pytest

from fastlane.scheduler.dispatcher import KEPT, QueueTime
from tests.support.clock import FakeClock

NOW = 1_700_000_000_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(5_000)


@pytest.fixture
def queue_time(clock: FakeClock) -> QueueTime:
    return QueueTime(clock)


async def test_it_counts_on_from_an_answer(clock, queue_time):
    queue_time.heard(NOW, 250)
    assert queue_time.until(NOW + 10) == pytest.approx(0.00975, abs=1e-6)
    await clock.advance(0.008)
    assert queue_time.until(NOW + 10) == pytest.approx(0.00175, abs=1e-6)
    await clock.advance(0.002)
    assert queue_time.until(NOW + 10) < 0


async def test_the_quickest_answer_counts_whichever_came_first(clock, queue_time):
    for slow in (0.003, 0.001, 0.002):
        began = clock.now()
        await clock.advance(slow)
        queue_time.heard(NOW + began, 0)
    assert queue_time.until(NOW + clock.now() + 10) == pytest.approx(0.011, abs=1e-6)


async def test_after_a_while_an_answer_is_forgotten_since_the_queues_clock_may_have_been_set_back(clock, queue_time):
    queue_time.heard(NOW, 0)
    await clock.advance(KEPT)
    queue_time.heard(NOW, 0)
    assert queue_time.until(NOW) == pytest.approx(-KEPT, abs=1e-6)
    await clock.advance(KEPT)
    queue_time.heard(NOW, 0)
    assert queue_time.until(NOW) == pytest.approx(-KEPT, abs=1e-6)
    await clock.advance(KEPT)
    queue_time.heard(NOW, 0)
    assert queue_time.until(NOW) == pytest.approx(-KEPT, abs=1e-6)


async def test_after_a_pause_only_the_new_answer_counts(clock, queue_time):
    queue_time.heard(NOW, 0)
    await clock.advance(3 * KEPT)
    queue_time.heard(NOW, 0)
    assert queue_time.until(NOW) == pytest.approx(0, abs=1e-6)


async def test_a_machines_clock_that_is_set_back_changes_nothing(clock, queue_time):
    queue_time.heard(NOW, 0)
    clock.set_back(60)
    assert queue_time.until(NOW + 10) == pytest.approx(0.01, abs=1e-6)


async def test_who_sleeps_for_as_long_as_it_says_arrives(clock, queue_time):
    for moment in range(NOW, NOW + 100):
        queue_time.heard(NOW, 0)
        while (wait := queue_time.until(moment)) > 0:
            assert wait >= 1e-6
            await clock.advance(wait)
