"""Pauses and resumes of a job, and the timer, a stop or each other, who comes between a look and its write,
or between the store and the queue."""

import pytest

from fastlane.errors import Conflict
from fastlane.models.cron import Cron
from fastlane.models.schedule import Schedule, ScheduleKind
from tests.support.factories import make_spec
from tests.support.scenarios import first_minute, later

MINUTE = 60_000
EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
HOURLY = Schedule(ScheduleKind.CRON, None, Cron("0 * * * *"))


# a pause, and the timer


async def test_a_tick_that_fires_just_before_a_pause_runs_and_the_next_one_is_held(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    minute = first_minute(virtual)
    virtual.clock.set(minute)
    virtual.store.before("advance", virtual.work)
    assert (await virtual.services.pauses.pause("t", job.job_id)).status == "paused"
    assert (await virtual.job(job.job_id)).held_tick == minute + MINUTE
    assert len(await virtual.executions(job.job_id)) == 1
    assert await later(virtual) == []


async def test_a_job_whose_only_tick_fires_just_before_a_pause_is_not_paused(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), virtual.at(60))
    virtual.clock.set(virtual.clock.now() + MINUTE)
    virtual.store.before("advance", virtual.work)
    with pytest.raises(Conflict, match="no tick to come"):
        await virtual.services.pauses.pause("t", job.job_id)
    assert len(await virtual.executions(job.job_id)) == 1


@pytest.mark.parametrize("kind", ["at", "cron"])
async def test_a_pause_between_a_timer_s_look_and_its_write_keeps_the_tick_from_firing(virtual, kind):
    minute = first_minute(virtual)
    schedule = EACH_MINUTE if kind == "cron" else Schedule(ScheduleKind.AT, minute)
    job = await virtual.others.submissions.enqueue("t", make_spec(), schedule)
    virtual.clock.set(minute)
    virtual.worker_store.before("advance", lambda: virtual.services.pauses.pause("t", job.job_id))
    assert await virtual.work() == []
    assert await later(virtual, 1) == []
    assert await virtual.executions(job.job_id) == []
    await virtual.services.pauses.resume("t", job.job_id)
    started = await virtual.work()
    assert len(started) == (1 if kind == "at" else 0)
    assert await virtual.ledger(job.job_id) == (["started"] if kind == "at" else ["skipped"])


async def test_a_resume_while_a_timer_still_has_the_paused_job_s_entry_fires_on_time(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), HOURLY)
    due = (await virtual.job(job.job_id)).next_tick
    virtual.clock.set(due)
    (lease,) = await virtual.claim()
    await virtual.services.pauses.pause("t", job.job_id)
    virtual.clock.set(due + MINUTE)
    virtual.worker_store.after("job", lambda: virtual.services.pauses.resume("t", job.job_id))
    await virtual.timer.handle(lease, virtual.clock.now())
    assert len(await virtual.until(due + 60 * MINUTE)) == 1


# resumes, pauses, stops


async def test_of_two_resumes_one_writes_the_row_and_the_other_finds_nothing_to_do(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await virtual.others.pauses.pause("t", job.job_id)
    virtual.clock.set(first_minute(virtual) + 3 * MINUTE)
    virtual.store.before("advance", lambda: virtual.others.pauses.resume("t", job.job_id))
    assert (await virtual.services.pauses.resume("t", job.job_id)).status == "scheduled"
    assert await virtual.ledger(job.job_id) == ["skipped"]
    assert len(await virtual.until(first_minute(virtual))) == 1


async def test_a_pause_between_a_resume_s_write_and_its_word_to_the_queue_holds(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await virtual.others.pauses.pause("t", job.job_id)
    virtual.queue.before("put", lambda: virtual.others.pauses.pause("t", job.job_id))
    assert (await virtual.services.pauses.resume("t", job.job_id)).status == "scheduled"
    assert await later(virtual) == []
    assert (await virtual.job(job.job_id)).paused


async def test_a_resume_between_a_pause_s_write_and_its_word_to_the_queue_goes_on(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    virtual.queue.before("cancel", lambda: virtual.others.pauses.resume("t", job.job_id))
    await virtual.services.pauses.pause("t", job.job_id)
    assert len(await virtual.until(first_minute(virtual))) == 1


async def test_a_stop_between_a_pause_s_look_and_its_write_leaves_nothing_to_pause(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    virtual.store.before("advance", lambda: virtual.others.stops.stop_job("t", job.job_id))
    with pytest.raises(Conflict, match="no tick to come"):
        await virtual.services.pauses.pause("t", job.job_id)
    stored = await virtual.job(job.job_id)
    assert (stored.stopped, stored.paused) == (True, False)
    assert await later(virtual) == []


async def test_a_pause_just_before_a_stop_s_write_is_ended_by_it(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    virtual.store.before("stop_job", lambda: virtual.others.pauses.pause("t", job.job_id))
    assert (await virtual.services.stops.stop_job("t", job.job_id)).status == "stopped"
    assert not (await virtual.job(job.job_id)).paused
    assert await later(virtual) == []


async def test_a_stop_between_a_resume_s_look_and_its_write_keeps_it_stopped(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await virtual.others.pauses.pause("t", job.job_id)
    virtual.clock.set(first_minute(virtual) + MINUTE)
    virtual.store.before("advance", lambda: virtual.others.stops.stop_job("t", job.job_id))
    with pytest.raises(Conflict, match="was stopped"):
        await virtual.services.pauses.resume("t", job.job_id)
    assert await virtual.ledger(job.job_id) == ["skipped"]
    assert await later(virtual) == []
