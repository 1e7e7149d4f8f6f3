"""A deletion, and what comes to the same job meanwhile: who comes between its look and its steps."""

import asyncio

import pytest

from fastlane.errors import Conflict, NotFound
from fastlane.models.cron import Cron
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import next_execution
from fastlane.services.results import Deleted
from tests.support.factories import make_spec
from tests.support.ledger import count_executions, count_ticks
from tests.support.scenarios import first_minute, later, ran
from tests.support.services import method

MINUTE = 60_000
EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
HOURLY = Schedule(ScheduleKind.CRON, None, Cron("0 * * * *"))


# a PUT, and a delete


async def test_a_put_between_a_delete_s_look_and_its_first_step_keeps_the_job(virtual):
    job = await ran(virtual)
    virtual.store.before("delete_job", lambda: virtual.others.submissions.put("t", job.job_id, make_spec(), EACH_MINUTE))
    with pytest.raises(Conflict, match="has a tick to come"):
        await virtual.services.deletions.delete_job("t", job.job_id)
    assert await virtual.ledger(job.job_id) == ["started"]
    assert len(await virtual.until(first_minute(virtual))) == 1


async def test_a_put_amid_a_delete_keeps_the_job_and_runs_it(virtual):
    """A part of its history is gone by then."""
    job = await ran(virtual)
    await virtual.past(job.job_id, 600)
    virtual.store.after("delete_job", lambda: virtual.others.submissions.put("t", job.job_id, make_spec(), Schedule()))
    with pytest.raises(Conflict, match="is enqueued"):
        await virtual.services.deletions.delete_job("t", job.job_id)
    assert 1 < await count_ticks(virtual.real_store, job.job_id) < 602
    assert await count_executions(virtual.real_store, job.job_id) == 602
    assert len(await virtual.work()) == 1


@pytest.mark.parametrize("schedule", [Schedule(), EACH_MINUTE])
async def test_a_put_whose_job_is_deleted_before_its_write_makes_it_anew(virtual, schedule):
    job = await ran(virtual)
    before = await virtual.job(job.job_id)
    virtual.store.before("advance", lambda: virtual.others.deletions.delete_job("t", job.job_id))
    await virtual.services.submissions.put("t", job.job_id, make_spec(), schedule)
    assert (await virtual.job(job.job_id)).incarnation != before.incarnation
    virtual.clock.set(first_minute(virtual))
    (started,) = await virtual.work()
    assert started != job.execution_id
    assert [one.id for one in await virtual.executions(job.job_id)] == [started]


async def test_a_job_made_again_before_the_delete_of_the_old_one_has_told_the_queue_fires_on_time(virtual):
    """Both have an entry under the same id: the one before had been put far more often."""
    job = await virtual.others.submissions.enqueue("t", make_spec(), HOURLY)
    for _ in range(5):
        await virtual.others.submissions.put("t", job.job_id, make_spec(), HOURLY)
    virtual.queue.before("cancel", lambda: asyncio.sleep(0))
    virtual.queue.before("cancel", lambda: virtual.others.submissions.put("t", job.job_id, make_spec(), EACH_MINUTE))
    assert await virtual.services.deletions.delete_job("t", job.job_id, stop=True) == Deleted("t", job.job_id)
    assert len(await virtual.until(first_minute(virtual))) == 1


async def test_a_job_made_again_under_an_id_whose_old_entry_is_still_in_the_queue_fires_on_time(virtual):
    """Whoever deleted the old one died before it told the queue, and so did whoever stopped it."""
    job = await virtual.others.submissions.enqueue("t", make_spec(), HOURLY)
    for _ in range(5):
        await virtual.others.submissions.put("t", job.job_id, make_spec(), HOURLY)
    await virtual.real_store.stop_job(job.job_id, virtual.clock.now())
    await virtual.real_store.delete_job(job.job_id, (await virtual.job(job.job_id)).incarnation, virtual.clock.now())
    await virtual.others.submissions.put("t", job.job_id, make_spec(), EACH_MINUTE)
    assert len(await virtual.until(first_minute(virtual))) == 1


# a delete, and what runs, fires or settles


async def test_a_run_between_a_delete_s_look_and_its_step_keeps_the_job(virtual):
    job = await ran(virtual)
    virtual.store.before("delete_job", lambda: virtual.others.manual_runs.run("t", job.job_id))
    with pytest.raises(Conflict, match="is enqueued; stop it first"):
        await virtual.services.deletions.delete_job("t", job.job_id)
    assert len(await virtual.executions(job.job_id)) == 2


@pytest.mark.parametrize("verb", ["run", "retry", "pause", "resume", "stop_job"])
@pytest.mark.parametrize("at_first", [True, False])
async def test_what_comes_to_a_job_that_is_deleted_just_before_does_not_find_it(virtual, verb, at_first):
    """Just before its first look, or just before its write."""
    job = await (ran(virtual) if verb == "retry" else virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE))
    if verb == "resume":
        await virtual.others.pauses.pause("t", job.job_id)
    met = "job" if at_first else "stop_job" if verb == "stop_job" else "advance"
    virtual.store.before(met, lambda: virtual.others.deletions.delete_job("t", job.job_id, stop=True))
    with pytest.raises(NotFound):
        await method(virtual.services, verb)("t", job.job_id)
    assert await virtual.real_store.job(job.job_id) is None
    assert (await virtual.real_store.counts()).executions[Status.ENQUEUED] == 0
    assert await later(virtual) == []


async def test_a_tick_that_fires_between_a_delete_s_look_and_its_step_keeps_the_job(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), virtual.at(60))
    virtual.clock.set(virtual.clock.now() + MINUTE)
    virtual.store.before("delete_job", virtual.work)
    with pytest.raises(Conflict, match="is enqueued"):
        await virtual.services.deletions.delete_job("t", job.job_id)
    assert len(await virtual.executions(job.job_id)) == 1


async def test_a_timer_that_has_read_a_job_which_is_deleted_then_fires_nothing(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    virtual.clock.set(first_minute(virtual))
    virtual.worker_store.before("advance", lambda: virtual.services.deletions.delete_job("t", job.job_id, stop=True))
    assert await virtual.work() == []
    assert await virtual.real_store.executions_of(job.job_id, 10) == []
    assert await count_ticks(virtual.real_store, job.job_id) == 0
    assert await virtual.claim() == []


async def test_a_timer_that_has_read_a_job_which_is_deleted_and_made_again_leaves_the_new_one_alone(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    virtual.clock.set(first_minute(virtual))

    async def replace() -> None:
        await virtual.services.deletions.delete_job("t", job.job_id, stop=True)
        await virtual.services.submissions.put("t", job.job_id, make_spec(), EACH_MINUTE)

    virtual.worker_store.before("advance", replace)
    assert await virtual.work() == []
    assert len(await virtual.until(first_minute(virtual))) == 1
    assert len(await virtual.executions(job.job_id)) == 1


async def test_a_delete_waits_for_what_follows_an_end(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))
    ended = await virtual.end(str(job.execution_id))
    virtual.clock.in_sleep = [lambda: virtual.settler.settle(ended), lambda: virtual.settle(ended.id)]
    assert await virtual.services.deletions.delete_job("t", job.job_id) == Deleted("t", job.job_id)
    assert virtual.clock.in_sleep == []
    assert await virtual.real_store.execution(ended.id) is None


async def test_a_delete_of_a_failure_whose_retry_is_made_meanwhile_finds_that_it_runs(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(retries=1, retry_delay=0), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))
    ended = await virtual.end(str(job.execution_id), 1)
    virtual.clock.in_sleep = [lambda: virtual.settle(ended.id)]
    with pytest.raises(Conflict, match="is enqueued"):
        await virtual.services.deletions.delete_job("t", job.job_id)
    assert len(await virtual.work()) == 1


@pytest.mark.parametrize("again", [False, True])
async def test_a_settler_that_slept_while_its_job_was_deleted_brings_nothing_back(virtual, again):
    """It has read the failure and the job, and is about to insert the next attempt. Another settler did all that, the attempt ended, the
    job was deleted, and perhaps made again under its id."""
    job = await virtual.others.submissions.enqueue("t", make_spec(retries=1, retry_delay=0), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))
    ended = await virtual.end(str(job.execution_id), 1)
    following = next_execution(ended, due=virtual.clock.now(), now=virtual.clock.now())

    async def everything() -> None:
        await virtual.settle(ended.id)
        assert await virtual.work() == [following.id]
        await virtual.finish(following.id)
        await virtual.services.deletions.delete_job("t", job.job_id)
        if again:
            await virtual.services.submissions.put("t", job.job_id, make_spec(), virtual.at(60))

    virtual.worker_store.before("insert", everything)
    await virtual.settler.settle(ended)
    assert await virtual.work() == [following.id]
    assert await virtual.place(following.id) is None
    assert await virtual.work() == []
    assert await virtual.real_store.execution(following.id) is None
    assert len(await virtual.until(virtual.clock.now() + MINUTE)) == (1 if again else 0)
    counts = await virtual.real_store.counts()
    assert sum(counts.executions.values()) == (1 if again else 0)
