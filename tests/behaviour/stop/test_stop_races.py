"""A stop and another call on the same job, or a worker's claim, who comes between a look and its write,
or between the store and the queue."""

import pytest

from fastlane.models.cron import Cron
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from tests.support.factories import make_spec
from tests.support.intercept import Died, dies
from tests.support.scenarios import first_minute, later

EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
HOURLY = Schedule(ScheduleKind.CRON, None, Cron("0 * * * *"))


# a PUT, and a stop


async def test_a_put_after_a_stop_is_alive_and_a_stop_after_a_put_stops(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await virtual.services.stops.stop_job("t", job.job_id)
    reply = await virtual.services.submissions.put("t", job.job_id, make_spec(), Schedule())
    assert await virtual.work() == [reply.execution_id]
    again = await virtual.services.submissions.put("t", job.job_id, make_spec(), Schedule())
    await virtual.services.stops.stop_job("t", job.job_id)
    assert await virtual.work() == []
    by_id = {one.id: one for one in await virtual.executions(job.job_id)}
    assert by_id[again.execution_id].status is Status.STOPPED


@pytest.mark.parametrize("schedule", [Schedule(), EACH_MINUTE])
async def test_a_stop_between_a_put_s_look_and_its_write_comes_before_it(virtual, schedule):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    virtual.store.before("advance", lambda: virtual.others.stops.stop_job("t", job.job_id))
    await virtual.services.submissions.put("t", job.job_id, make_spec(), schedule)
    assert not (await virtual.job(job.job_id)).stopped
    virtual.clock.set(first_minute(virtual))
    (started,) = await virtual.work()
    assert (await virtual.run(started)).stop_requested_at is None


@pytest.mark.parametrize(("verb", "when"), [("stop_job", "after"), ("executions_of", "before"), ("executions_of", "after")])
async def test_a_put_between_a_stop_s_write_and_its_end_is_not_stopped(virtual, verb, when):
    job = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    getattr(virtual.store, when)(verb, lambda: virtual.others.submissions.put("t", job.job_id, make_spec(), Schedule()))
    await virtual.services.stops.stop_job("t", job.job_id)
    first, second = await virtual.executions(job.job_id)
    assert (first.status, second.status) == (Status.STOPPED, Status.ENQUEUED)
    assert await virtual.work() == [second.id]


@pytest.mark.parametrize("schedule", [EACH_MINUTE, HOURLY])
async def test_a_put_between_a_stop_s_write_and_its_word_to_the_queue_fires_on_time(virtual, schedule):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    virtual.queue.before("cancel", lambda: virtual.others.submissions.put("t", job.job_id, make_spec(), schedule))
    await virtual.services.stops.stop_job("t", job.job_id)
    assert len(await virtual.until((await virtual.job(job.job_id)).next_tick)) == 1


@pytest.mark.parametrize("schedule", [Schedule(), EACH_MINUTE])
async def test_a_stop_between_a_put_s_write_and_its_word_to_the_queue_stops(virtual, schedule):
    job = await virtual.others.submissions.enqueue("t", make_spec(), HOURLY)
    virtual.queue.before("put", lambda: virtual.others.stops.stop_job("t", job.job_id))
    await virtual.services.submissions.put("t", job.job_id, make_spec(), schedule)
    assert await later(virtual) == []
    assert (await virtual.job(job.job_id)).stopped
    assert {one.status for one in await virtual.executions(job.job_id)} <= {Status.STOPPED}
    assert await virtual.claim() == []


# a run, and a stop


async def test_a_stop_between_a_run_s_look_and_its_write_does_not_cover_it(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    virtual.store.before("advance", lambda: virtual.others.stops.stop_job("t", job.job_id))
    reply = await virtual.services.manual_runs.run("t", job.job_id)
    assert await virtual.work() == [reply.execution_id]
    assert (await virtual.run(str(reply.execution_id))).stop_requested_at is None
    assert (await virtual.job(job.job_id)).stopped


@pytest.mark.parametrize(("verb", "when"), [("stop_job", "after"), ("executions_of", "before"), ("executions_of", "after")])
async def test_a_run_between_a_stop_s_write_and_its_end_is_not_stopped(virtual, verb, when):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    getattr(virtual.store, when)(verb, lambda: virtual.others.manual_runs.run("t", job.job_id))
    await virtual.services.stops.stop_job("t", job.job_id)
    (execution,) = await virtual.executions(job.job_id)
    assert await virtual.work() == [execution.id]
    assert not (await virtual.job(job.job_id)).stops(execution.sequence)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_stop_before_a_run_is_answered_covers_it(virtual, when):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    getattr(virtual.queue, when)("put", lambda: virtual.others.stops.stop_job("t", job.job_id))
    reply = await virtual.services.manual_runs.run("t", job.job_id)
    assert await virtual.work() == []
    execution = await virtual.real_store.execution(reply.execution_id)
    assert (execution.status, execution.settled) == (Status.STOPPED, True)


# a stop, and a worker's claim


@pytest.mark.parametrize(("side", "verb"), [("before", "claim"), ("after", "claim"), ("before", "change")])
async def test_a_stop_that_is_answered_before_a_service_is_bound_keeps_the_execution_from_one(virtual, side, verb):
    """A worker claims the execution, reading its job with it, and binds a service: the stop comes before or after the claim."""
    job = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    (id,) = await virtual.work()
    getattr(virtual.worker_store, side)(verb, lambda: virtual.others.stops.stop_job("t", job.job_id))
    placed = await virtual.place(id)
    assert (placed.status, placed.service_id) == (Status.STOPPED, None)
    assert placed.stop_requested_at is not None


async def test_a_stop_that_comes_after_a_service_was_bound_flags_the_execution(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    (id,) = await virtual.work()
    placed = await virtual.place(id)
    await virtual.others.stops.stop_job("t", job.job_id)
    row = await virtual.real_store.execution(id)
    assert (row.status, row.service_id) == (Status.PULLING, placed.service_id)
    assert row.stop_requested_at is not None


async def test_a_stop_that_died_before_it_listed_what_it_covers_is_read_from_the_job(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    (id,) = await virtual.work()
    virtual.worker_store.before("claim", lambda: virtual.real_store.stop_job(job.job_id, virtual.clock.now()))
    placed = await virtual.place(id)
    assert (placed.status, placed.service_id) == (Status.STOPPED, None)
    assert placed.stop_requested_at is not None


async def test_an_attempt_that_is_inserted_after_a_stop_was_answered_never_starts(virtual):
    """A settler has read the job, and sleeps while it is stopped."""
    job = await virtual.others.submissions.enqueue("t", make_spec(retries=1, retry_delay=0), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))
    ended = await virtual.end(str(job.execution_id), 1)
    virtual.worker_store.before("insert", lambda: virtual.others.stops.stop_job("t", job.job_id))
    await virtual.settler.settle(ended)
    (id,) = await virtual.work()
    placed = await virtual.place(id)
    assert (placed.attempt, placed.status, placed.service_id) == (2, Status.STOPPED, None)


async def test_who_takes_over_what_another_claimed_reads_the_stop_of_its_job(virtual):
    """The one that claimed it died before it knew of the job; whoever stopped the job died before it listed what the stop covers."""
    job = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    (id,) = await virtual.work()
    virtual.worker_store.after("claim", dies)
    with pytest.raises(Died):
        await virtual.place(id)
    await virtual.real_store.stop_job(job.job_id, virtual.clock.now())
    placed = await virtual.place(id)
    assert (placed.status, placed.service_id, placed.epoch) == (Status.STOPPED, None, 2)


async def test_an_entry_that_was_stopped_under_its_owner_waits_for_the_next_tick_although_a_put_died_before_its_word(virtual):
    """It kept being claimed at once, hundreds of times a second, until that tick."""
    job = await virtual.others.submissions.enqueue("t", make_spec(), virtual.at(1))
    virtual.clock.set(virtual.clock.now() + 1_000)
    (lease,) = await virtual.claim()
    await virtual.others.stops.stop_job("t", job.job_id)
    virtual.queue.before("put", dies)
    with pytest.raises(Died):
        await virtual.services.submissions.put("t", job.job_id, make_spec(), virtual.at(3600))
    claims = 0
    while lease is not None and claims < 20:
        await virtual.timer.handle(lease, virtual.clock.now())
        lease = next(iter(await virtual.claim()), None)
        claims += lease is not None
    assert claims <= 1
    assert len(await virtual.until((await virtual.job(job.job_id)).next_tick)) == 1
