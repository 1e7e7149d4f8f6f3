"""Pausing and resuming jobs as services: ticks that wait, what runs meanwhile, and what a resume makes of them. In virtual time."""

import pytest

from fastlane.errors import Conflict
from fastlane.models.schedule.cron import Cron
from fastlane.models.schedule.schedule import Schedule, ScheduleKind
from fastlane.services.results import CurrentStatus
from tests.support.factories import make_spec
from tests.support.ledger import ticks_of
from tests.support.scenarios import first_minute, ran

MINUTE = 60_000
EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))


async def test_a_paused_job_fires_at_none_of_its_ticks_and_goes_on_after_its_resume(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    minute = first_minute(stage)
    assert await stage.services.pauses.pause("t", job.job_id) == CurrentStatus("t", job.job_id, None, "paused")
    for number in range(4):
        stage.clock.set(minute + number * MINUTE + 1)
        assert await stage.work() == []
    assert await stage.services.pauses.resume("t", job.job_id) == CurrentStatus("t", job.job_id, None, "scheduled")
    assert await stage.work() == []
    (tick,) = await ticks_of(stage.real_store, job.job_id, 10)
    assert (tick.outcome, tick.due, tick.until, tick.count) == ("skipped", minute, minute + 3 * MINUTE, 4)
    assert len(await stage.until(minute + 4 * MINUTE)) == 1
    assert (await stage.job(job.job_id)).next_tick == minute + 5 * MINUTE


@pytest.mark.parametrize("rest", [10, 100])
async def test_a_job_for_a_moment_waits_for_its_resume_and_for_its_moment(stage, rest):
    due = stage.clock.now() + MINUTE
    job = await stage.services.submissions.enqueue("t", make_spec(), Schedule(ScheduleKind.AT, due))
    await stage.services.pauses.pause("t", job.job_id)
    stage.clock.set(stage.clock.now() + rest * 1000)
    assert await stage.work() == []
    await stage.services.pauses.resume("t", job.job_id)
    if rest == 10:
        assert await stage.until(due) != []
    else:
        assert len(await stage.work()) == 1
    (execution,) = await stage.executions(job.job_id)
    assert (execution.scheduled_for, execution.tick_id) == (due, job.tick_id)


async def test_a_job_for_a_moment_whose_time_is_over_when_it_is_resumed_expires(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(expires_in=5_000), stage.at(60))
    await stage.services.pauses.pause("t", job.job_id)
    stage.clock.set(stage.clock.now() + 66_000)
    await stage.services.pauses.resume("t", job.job_id)
    assert await stage.work() == []
    assert await stage.ledger(job.job_id) == ["expired"]


async def test_a_pause_leaves_what_runs_alone_and_shows_first(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    (started,) = await stage.until(first_minute(stage))
    running = await stage.run(started)
    assert (await stage.services.pauses.pause("t", job.job_id)).status == "paused"
    assert await stage.real_store.execution(started) == running
    assert (await stage.services.pauses.resume("t", job.job_id)).status == "running"


async def test_a_pause_and_a_resume_are_safe_to_repeat(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await stage.services.pauses.pause("t", job.job_id)
    paused = await stage.job(job.job_id)
    assert (await stage.services.pauses.pause("t", job.job_id)).status == "paused"
    assert await stage.job(job.job_id) == paused
    await stage.services.pauses.resume("t", job.job_id)
    resumed = await stage.job(job.job_id)
    assert (await stage.services.pauses.resume("t", job.job_id)).status == "scheduled"
    assert await stage.job(job.job_id) == resumed
    assert len(await stage.until(first_minute(stage))) == 1


async def test_there_is_nothing_to_pause_in_a_job_without_a_tick_to_come(stage):
    job = await ran(stage)
    with pytest.raises(Conflict, match="no tick to come"):
        await stage.services.pauses.pause("t", job.job_id)
    assert (await stage.services.pauses.resume("t", job.job_id)).status == "done"


async def test_a_stop_of_a_paused_job_stops_it_for_good(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await stage.services.pauses.pause("t", job.job_id)
    assert (await stage.services.stops.stop_job("t", job.job_id)).status == "stopped"
    assert (await stage.services.pauses.resume("t", job.job_id)).status == "stopped"
    stage.clock.set(first_minute(stage))
    assert await stage.work() == []
