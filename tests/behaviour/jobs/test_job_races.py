"""Who comes between a look and its write, or between the store and the queue: each pair of calls on one job, in each order, always
the same way."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from fastlane.errors import Conflict, NotFound
from fastlane.models.schedule.cron import Cron
from fastlane.models.schedule.schedule import Schedule, ScheduleKind
from fastlane.models.schedule.tick import next_execution
from fastlane.models.status import Status
from fastlane.services.results import Deleted, Enqueued
from tests.support.factories import make_spec
from tests.support.intercept import Died, dies
from tests.support.ledger import count_executions, count_ticks
from tests.support.redis import RealRedis
from tests.support.services import method
from tests.support.virtual_time import VirtualFastlane

MINUTE = 60_000
EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
HOURLY = Schedule(ScheduleKind.CRON, None, Cron("0 * * * *"))


@pytest.fixture
async def virtual(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[VirtualFastlane]:
    async with VirtualFastlane(tmp_path, shared_redis.url) as virtual:
        yield virtual
        assert virtual.store.quiet
        assert virtual.queue.quiet
        assert virtual.worker_store.quiet


def first_minute(virtual: VirtualFastlane) -> int:
    return virtual.clock.now() // MINUTE * MINUTE + MINUTE


async def ran(virtual: VirtualFastlane, code: int = 0, **rules: int) -> Enqueued:
    """A job that ran at once, and is through."""
    job = await virtual.others.submissions.enqueue("t", make_spec(**rules), Schedule())
    await virtual.work()
    await virtual.finish(str(job.execution_id), code)
    return job


async def later(virtual: VirtualFastlane, hours: int = 10) -> list[str]:
    """What is to be started hours from now."""
    virtual.clock.set(virtual.clock.now() + hours * 60 * MINUTE)
    return await virtual.work()


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


# a retry, and the automatic one


async def test_a_failure_that_is_about_to_be_tried_again_is_not_retried(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(retries=1, retry_delay=0), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))
    await virtual.end(str(job.execution_id), 1)
    with pytest.raises(Conflict, match="tried again by itself"):
        await virtual.services.manual_runs.retry("t", job.job_id)
    await virtual.settle(str(job.execution_id))
    assert len(await virtual.work()) == 1


async def test_an_automatic_retry_between_a_retry_s_looks_is_under_way_to_it(virtual):
    """The retry has read the job; the execution ends, fails, and the attempt after it is made, before it looks at that."""
    job = await virtual.others.submissions.enqueue("t", make_spec(retries=1, retry_delay=0), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))

    async def fail() -> None:
        await virtual.end(str(job.execution_id), 1)
        await virtual.settle(str(job.execution_id))

    virtual.store.before("latest", fail)
    with pytest.raises(Conflict, match="is enqueued"):
        await virtual.services.manual_runs.retry("t", job.job_id)
    assert [one.attempt for one in await virtual.executions(job.job_id)] == [1, 2]


async def test_a_run_between_a_retry_s_looks_and_its_write_is_under_way_to_it(virtual):
    job = await ran(virtual)
    virtual.store.before("advance", lambda: virtual.others.manual_runs.run("t", job.job_id))
    with pytest.raises(Conflict, match="is enqueued"):
        await virtual.services.manual_runs.retry("t", job.job_id)
    assert len(await virtual.executions(job.job_id)) == 2


@pytest.mark.parametrize(("verb", "when"), [("advance", "before"), ("latest", "before"), ("latest", "after"), ("job", "after")])
async def test_of_two_retries_one_wins(virtual, verb, when):
    job = await ran(virtual, 1)
    getattr(virtual.store, when)(verb, lambda: virtual.others.manual_runs.retry("t", job.job_id))
    with pytest.raises(Conflict, match="is enqueued"):
        await virtual.services.manual_runs.retry("t", job.job_id)
    assert len(await virtual.executions(job.job_id)) == 2
    assert len(await virtual.work()) == 1


async def test_of_many_retries_at_once_one_wins(virtual):
    job = await ran(virtual, 1)
    answers = await asyncio.gather(
        *((virtual.services, virtual.others)[n % 2].manual_runs.retry("t", job.job_id) for n in range(20)), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict"] * 19 + ["Enqueued"]
    assert len(await virtual.work()) == 1


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
    assert (await virtual.services.pauses.resume("t", job.job_id)).status == "stopped"
    assert await virtual.ledger(job.job_id) == ["skipped"]
    assert await later(virtual) == []


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


# a stop, and a worker's claim


@pytest.mark.parametrize(("side", "verb"), [("before", "change"), ("after", "change"), ("before", "job_bounds"), ("after", "job_bounds")])
async def test_a_stop_that_is_answered_before_a_service_is_bound_keeps_the_execution_from_one(virtual, side, verb):
    """A worker claims the execution, reads its job, and binds a service: the stop comes before or after any of these."""
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


@pytest.mark.parametrize(("side", "verb"), [("before", "change"), ("after", "change"), ("before", "job_bounds")])
async def test_a_stop_that_died_before_it_listed_what_it_covers_is_read_from_the_job(virtual, side, verb):
    job = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    (id,) = await virtual.work()
    getattr(virtual.worker_store, side)(verb, lambda: virtual.real_store.stop_job(job.job_id, virtual.clock.now()))
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
    """The one that claimed it died before it read the job; whoever stopped the job died before it listed what the stop covers."""
    job = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    (id,) = await virtual.work()
    virtual.worker_store.before("job_bounds", dies)
    with pytest.raises(Died):
        await virtual.place(id)
    await virtual.real_store.stop_job(job.job_id, virtual.clock.now())
    placed = await virtual.place(id)
    assert (placed.status, placed.service_id, placed.epoch) == (Status.STOPPED, None, 2)
