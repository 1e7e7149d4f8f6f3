"""A PUT and another call on the same job, or the timer, who comes between a look and its write,
or between the store and the queue."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from fastlane.errors import Conflict
from fastlane.models.cron import Cron
from fastlane.models.schedule import Schedule, ScheduleKind
from tests.support.factories import make_spec
from tests.support.scenarios import first_minute, later

MINUTE = 60_000
EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
HOURLY = Schedule(ScheduleKind.CRON, None, Cron("0 * * * *"))


# a PUT, and the timer


async def test_a_tick_that_fires_just_before_a_put_runs_and_the_put_comes_after_it(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec("one"), virtual.at(60))
    virtual.clock.set(virtual.clock.now() + MINUTE)
    virtual.store.before("advance", virtual.work)
    await virtual.services.submissions.put("t", job.job_id, make_spec("two"), virtual.at(60))
    (first,) = await virtual.executions(job.job_id)
    assert (first.tick_id, first.spec.image) == (job.tick_id, "one")
    (second,) = await virtual.until(virtual.clock.now() + MINUTE)
    assert [one.id for one in await virtual.executions(job.job_id)] == [first.id, second]
    assert await virtual.ledger(job.job_id) == ["started", "started"]


@pytest.mark.parametrize("schedule", [EACH_MINUTE, HOURLY])
async def test_a_tick_that_a_put_takes_from_a_timer_does_not_fire(virtual, schedule):
    """The timer has read the job; the put's tick is fired at its own moment."""
    job = await virtual.others.submissions.enqueue("t", make_spec(), virtual.at(60))
    virtual.clock.set(virtual.clock.now() + MINUTE)
    virtual.worker_store.before("advance", lambda: virtual.services.submissions.put("t", job.job_id, make_spec(), schedule))
    assert await virtual.work() == []
    due = (await virtual.job(job.job_id)).next_tick
    assert due > virtual.clock.now()
    (started,) = await virtual.until(due)
    assert [one.id for one in await virtual.executions(job.job_id)] == [started]


async def test_an_unchanged_cron_s_tick_fires_once_when_a_put_meets_the_timer(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec("one"), EACH_MINUTE)
    minute = first_minute(virtual)
    virtual.clock.set(minute)
    virtual.worker_store.before("advance", lambda: virtual.services.submissions.put("t", job.job_id, make_spec("two"), EACH_MINUTE))
    (started,) = await virtual.work()
    (execution,) = await virtual.executions(job.job_id)
    assert (execution.id, execution.spec.image, execution.scheduled_for) == (started, "two", minute)
    assert len(await virtual.until(minute + MINUTE)) == 1


async def test_an_edit_that_meets_the_timer_keeps_what_the_timer_did(virtual):
    """The tick has fired with the old details between the edit's look and its write; the edit is made again to the job after that."""
    job = await virtual.others.submissions.enqueue("t", make_spec("one"), EACH_MINUTE)
    virtual.clock.set(first_minute(virtual))
    virtual.store.before("advance", virtual.work)
    await virtual.services.edits.edit("t", job.job_id, lambda seen, _now: (make_spec("two"), seen.schedule))
    (first,) = await virtual.executions(job.job_id)
    assert first.spec.image == "one"
    after = await virtual.job(job.job_id)
    assert (after.spec.image, after.next_tick) == ("two", first.scheduled_for + MINUTE)
    assert len(await virtual.until(after.next_tick)) == 1


async def test_a_put_that_comes_while_the_timer_gives_the_entry_back_has_its_tick_on_time(virtual):
    """The timer has fired, and is about to put the job to its cron's next tick; the put wants another one sooner."""
    job = await virtual.others.submissions.enqueue("t", make_spec(), HOURLY)
    due = (await virtual.job(job.job_id)).next_tick
    virtual.clock.set(due)
    (lease,) = await virtual.claim()
    virtual.worker_store.after("advance", lambda: virtual.services.submissions.put("t", job.job_id, make_spec(), virtual.at(90)))
    await virtual.timer.handle(lease, virtual.clock.now())
    (first,) = await virtual.work()
    (second,) = await virtual.until(due + 90_000)
    assert [one.id for one in await virtual.executions(job.job_id)] == [first, second]
    assert await later(virtual) == []


# two PUTs


@pytest.mark.parametrize("schedule", [Schedule(), EACH_MINUTE])
async def test_of_two_puts_that_make_a_job_the_second_replaces_the_first(virtual, schedule):
    id = str(uuid4())
    virtual.store.before("create", lambda: virtual.others.submissions.put("t", id, make_spec("first"), schedule))
    await virtual.services.submissions.put("t", id, make_spec("second"), schedule)
    assert (await virtual.job(id)).spec.image == "second"
    assert (await virtual.real_store.task("t")).jobs_count == 1
    virtual.clock.set(first_minute(virtual))
    started = await virtual.work()
    assert len(started) == len(await virtual.executions(id)) == (2 if schedule.kind is ScheduleKind.NOW else 1)


async def test_a_put_that_another_task_s_put_was_quicker_than_is_a_conflict(virtual):
    id = str(uuid4())
    virtual.store.before("create", lambda: virtual.others.submissions.put("u", id, make_spec(), Schedule()))
    with pytest.raises(Conflict, match="another task"):
        await virtual.services.submissions.put("t", id, make_spec(), Schedule())
    assert (await virtual.job(id)).task_id == "u"
    assert await virtual.real_store.task("t") is None


async def test_of_two_puts_on_one_job_each_counts(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    virtual.store.before("advance", lambda: virtual.others.submissions.put("t", job.job_id, make_spec("first"), Schedule()))
    await virtual.services.submissions.put("t", job.job_id, make_spec("second"), virtual.at(60))
    assert len(await virtual.work()) == 1
    assert len(await virtual.until(virtual.clock.now() + MINUTE)) == 1
    assert [one.spec.image for one in await virtual.executions(job.job_id)] == ["first", "second"]


async def test_many_puts_of_one_id_at_once_make_one_job_that_runs_each(virtual):
    id = str(uuid4())
    replies = await asyncio.gather(
        *((virtual.services, virtual.others)[turn % 2].submissions.put("t", id, make_spec(), Schedule()) for turn in range(24))
    )
    assert sorted(await virtual.work()) == sorted(str(reply.execution_id) for reply in replies)
    job = await virtual.job(id)
    assert (job.sequence, job.schedule_revision) == (24, 24)


async def test_an_expired_cron_is_not_brought_back_by_another_expiration_alone(virtual):
    """Nothing would ever start it, although the answer named a tick to come."""
    start = first_minute(virtual)
    job = await virtual.others.submissions.enqueue("t", make_spec(expiration=start + MINUTE), EACH_MINUTE)
    for moment in (start, start + MINUTE):
        await virtual.until(moment)
    assert (await virtual.job(job.job_id)).next_tick is None
    later = make_spec(expiration=start + 60 * MINUTE)
    with pytest.raises(Conflict, match="send a PUT"):
        await virtual.services.edits.edit("t", job.job_id, lambda seen, _now: (later, seen.schedule))
    await virtual.services.edits.edit("t", job.job_id, lambda seen, _now: (replace(seen.spec, name="over"), seen.schedule))
    await virtual.services.submissions.put("t", job.job_id, later, EACH_MINUTE)
    assert (await virtual.job(job.job_id)).next_tick == start + 2 * MINUTE
