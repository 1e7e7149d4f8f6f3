"""Pausing and resuming jobs as services: ticks that wait, what runs meanwhile, and what a resume makes of them. In virtual time."""

import pytest

from fastlane.errors import Conflict
from fastlane.models.cron import Cron
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.services.results import CurrentStatus
from tests.support.factories import make_spec
from tests.support.ledger import ticks_of
from tests.support.scenarios import first_minute, ran

MINUTE = 60_000
EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))


async def test_a_paused_job_fires_at_none_of_its_ticks_and_goes_on_after_its_resume(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    minute = first_minute(virtual)
    assert await virtual.services.pauses.pause("t", job.job_id) == CurrentStatus("t", job.job_id, None, "paused")
    for number in range(4):
        virtual.clock.set(minute + number * MINUTE + 1)
        assert await virtual.work() == []
    assert await virtual.services.pauses.resume("t", job.job_id) == CurrentStatus("t", job.job_id, None, "scheduled")
    assert await virtual.work() == []
    (tick,) = await ticks_of(virtual.real_store, job.job_id, 10)
    assert (tick.outcome, tick.due, tick.until, tick.count) == ("skipped", minute, minute + 3 * MINUTE, 4)
    assert len(await virtual.until(minute + 4 * MINUTE)) == 1
    assert (await virtual.job(job.job_id)).next_tick == minute + 5 * MINUTE


@pytest.mark.parametrize("rest", [10, 100])
async def test_a_job_for_a_moment_waits_for_its_resume_and_for_its_moment(virtual, rest):
    due = virtual.clock.now() + MINUTE
    job = await virtual.services.submissions.enqueue("t", make_spec(), Schedule(ScheduleKind.AT, due))
    await virtual.services.pauses.pause("t", job.job_id)
    virtual.clock.set(virtual.clock.now() + rest * 1000)
    assert await virtual.work() == []
    await virtual.services.pauses.resume("t", job.job_id)
    if rest == 10:
        assert await virtual.until(due) != []
    else:
        assert len(await virtual.work()) == 1
    (execution,) = await virtual.executions(job.job_id)
    assert (execution.scheduled_for, execution.tick_id) == (due, job.tick_id)


async def test_a_job_for_a_moment_whose_time_is_over_when_it_is_resumed_expires(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(expires_in=5_000), virtual.at(60))
    await virtual.services.pauses.pause("t", job.job_id)
    virtual.clock.set(virtual.clock.now() + 66_000)
    await virtual.services.pauses.resume("t", job.job_id)
    assert await virtual.work() == []
    assert await virtual.ledger(job.job_id) == ["expired"]


async def test_a_pause_leaves_what_runs_alone_and_shows_first(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    (started,) = await virtual.until(first_minute(virtual))
    running = await virtual.run(started)
    assert (await virtual.services.pauses.pause("t", job.job_id)).status == "paused"
    assert await virtual.real_store.execution(started) == running
    assert (await virtual.services.pauses.resume("t", job.job_id)).status == "running"


async def test_a_pause_and_a_resume_are_safe_to_repeat(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await virtual.services.pauses.pause("t", job.job_id)
    paused = await virtual.job(job.job_id)
    assert (await virtual.services.pauses.pause("t", job.job_id)).status == "paused"
    assert await virtual.job(job.job_id) == paused
    await virtual.services.pauses.resume("t", job.job_id)
    resumed = await virtual.job(job.job_id)
    assert (await virtual.services.pauses.resume("t", job.job_id)).status == "scheduled"
    assert await virtual.job(job.job_id) == resumed
    assert len(await virtual.until(first_minute(virtual))) == 1


async def test_there_is_nothing_to_pause_in_a_job_without_a_tick_to_come(virtual):
    job = await ran(virtual)
    with pytest.raises(Conflict, match="no tick to come"):
        await virtual.services.pauses.pause("t", job.job_id)
    assert (await virtual.services.pauses.resume("t", job.job_id)).status == "done"


async def test_a_stop_of_a_paused_job_stops_it_for_good(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await virtual.services.pauses.pause("t", job.job_id)
    assert (await virtual.services.stops.stop_job("t", job.job_id)).status == "stopped"
    with pytest.raises(Conflict, match="was stopped, so there is nothing to resume"):
        await virtual.services.pauses.resume("t", job.job_id)
    virtual.clock.set(first_minute(virtual))
    assert await virtual.work() == []
