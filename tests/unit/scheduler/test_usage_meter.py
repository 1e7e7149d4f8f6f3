"""When samples of a container are taken, and what becomes of them. Time is virtual."""

import asyncio

import pytest

from fastlane.errors import FastlaneError, HostDown, OrderRefused, ServiceGone
from fastlane.executors.port import EngineTask, Phase
from fastlane.models.job import Usage
from fastlane.scheduler.watcher import UsageMeter
from tests.support.clock import FakeClock
from tests.support.instant import InstantExecutor

TASK = EngineTask("task", "service", Phase.RUNNING, "running", container_id="c", node_id="n")


class Engine(InstantExecutor):
    """``answers``, one each; the last one stays. ``asked``: when, in seconds."""

    def __init__(self, clock: FakeClock, *answers: Usage | Exception | None) -> None:
        super().__init__(clock=clock)
        self.time, self.began = clock, clock.now()
        self.answers = list(answers)
        self.asked: list[float] = []

    async def usage(self, host: str, task: EngineTask) -> Usage | None:
        self.asked.append((self.time.now() - self.began) / 1000)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def measured(clock: FakeClock, engine: Engine, seconds: float, every: float = 10.0) -> UsageMeter:
    """A meter that has run for so long."""
    meter = UsageMeter(engine, clock, "execution", every)
    meter.start("host", TASK)
    await clock.advance(seconds)
    await meter.close()
    return meter


async def test_samples_come_the_more_seldom_the_longer_it_runs_and_no_more_seldom_than_set() -> None:
    clock = FakeClock()
    engine = Engine(clock, Usage(1, 1))
    await measured(clock, engine, 120)
    assert engine.asked[:5] == [1, 2, 3, 4, 5]
    gaps = [later - before for before, later in zip(engine.asked, engine.asked[1:], strict=False)]
    assert sorted(gaps) == gaps
    assert gaps[-1] == pytest.approx(10, abs=0.3)
    assert len(engine.asked) < 25


async def test_the_peak_of_all_samples_and_the_last_sums_count() -> None:
    clock = FakeClock()
    meter = await measured(clock, Engine(clock, Usage(10, 5), None, Usage(90, 7), HostDown("x"), Usage(40, 9, 3, 4)), 6)
    assert meter.usage == Usage(90, 9, 3, 4)


async def test_what_ended_before_the_first_sample_has_none() -> None:
    clock = FakeClock()
    engine = Engine(clock, Usage(1, 1))
    assert (await measured(clock, engine, 0.75)).usage is None
    assert engine.asked == []


@pytest.mark.parametrize("refusal", [OrderRefused("403"), ServiceGone("No such container")])
async def test_an_engine_that_refuses_is_not_asked_again_about_this_container(refusal: FastlaneError) -> None:
    clock = FakeClock()
    engine = Engine(clock, Usage(3, 1), refusal)
    assert (await measured(clock, engine, 30)).usage == Usage(3, 1)
    assert engine.asked == [1, 2]


async def test_turned_off_nothing_is_asked() -> None:
    clock = FakeClock()
    engine = Engine(clock, Usage(1, 1))
    assert (await measured(clock, engine, 30, every=0)).usage is None
    assert engine.asked == []


async def test_it_is_measured_once_however_often_it_is_started() -> None:
    clock = FakeClock()
    engine = Engine(clock, Usage(1, 1))
    meter = UsageMeter(engine, clock, "execution", 10)
    for _ in range(3):
        meter.start("host", TASK)
        await asyncio.sleep(0)
    await clock.advance(1)
    await meter.close()
    assert engine.asked == [1]


async def test_an_error_of_fastlane_s_own_ends_the_measuring_and_keeps_what_was_measured() -> None:
    clock = FakeClock()
    engine = Engine(clock, Usage(3, 1), RuntimeError("Session is closed"))
    assert (await measured(clock, engine, 30)).usage == Usage(3, 1)
    assert engine.asked == [1, 2]
