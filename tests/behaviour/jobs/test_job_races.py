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
from tests.support.stage import Stage

MINUTE = 60_000
EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
HOURLY = Schedule(ScheduleKind.CRON, None, Cron("0 * * * *"))


@pytest.fixture
async def stage(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage(tmp_path, shared_redis.url) as stage:
        yield stage
        assert stage.store.quiet
        assert stage.queue.quiet
        assert stage.worker_store.quiet


def first_minute(stage: Stage) -> int:
    return stage.clock.now() // MINUTE * MINUTE + MINUTE


async def ran(stage: Stage, code: int = 0, **rules: int) -> Enqueued:
    """A job that ran at once, and is through."""
    job = await stage.others.submissions.enqueue("t", make_spec(**rules), Schedule())
    await stage.work()
    await stage.finish(str(job.execution_id), code)
    return job


async def later(stage: Stage, hours: int = 10) -> list[str]:
    """What is to be started hours from now."""
    stage.clock.set(stage.clock.now() + hours * 60 * MINUTE)
    return await stage.work()


# a PUT, and the timer


async def test_a_tick_that_fires_just_before_a_put_runs_and_the_put_comes_after_it(stage):
    job = await stage.others.submissions.enqueue("t", make_spec("one"), stage.at(60))
    stage.clock.set(stage.clock.now() + MINUTE)
    stage.store.before("advance", stage.work)
    await stage.services.submissions.put("t", job.job_id, make_spec("two"), stage.at(60))
    (first,) = await stage.executions(job.job_id)
    assert (first.tick_id, first.spec.image) == (job.tick_id, "one")
    (second,) = await stage.until(stage.clock.now() + MINUTE)
    assert [one.id for one in await stage.executions(job.job_id)] == [first.id, second]
    assert await stage.ledger(job.job_id) == ["started", "started"]


@pytest.mark.parametrize("schedule", [EACH_MINUTE, HOURLY])
async def test_a_tick_that_a_put_takes_from_a_timer_does_not_fire(stage, schedule):
    """The timer has read the job; the put's tick is fired at its own moment."""
    job = await stage.others.submissions.enqueue("t", make_spec(), stage.at(60))
    stage.clock.set(stage.clock.now() + MINUTE)
    stage.worker_store.before("advance", lambda: stage.services.submissions.put("t", job.job_id, make_spec(), schedule))
    assert await stage.work() == []
    due = (await stage.job(job.job_id)).next_tick
    assert due > stage.clock.now()
    (started,) = await stage.until(due)
    assert [one.id for one in await stage.executions(job.job_id)] == [started]


async def test_an_unchanged_cron_s_tick_fires_once_when_a_put_meets_the_timer(stage):
    job = await stage.others.submissions.enqueue("t", make_spec("one"), EACH_MINUTE)
    minute = first_minute(stage)
    stage.clock.set(minute)
    stage.worker_store.before("advance", lambda: stage.services.submissions.put("t", job.job_id, make_spec("two"), EACH_MINUTE))
    (started,) = await stage.work()
    (execution,) = await stage.executions(job.job_id)
    assert (execution.id, execution.spec.image, execution.scheduled_for) == (started, "two", minute)
    assert len(await stage.until(minute + MINUTE)) == 1


async def test_a_put_that_comes_while_the_timer_gives_the_entry_back_has_its_tick_on_time(stage):
    """The timer has fired, and is about to put the job to its cron's next tick; the put wants another one sooner."""
    job = await stage.others.submissions.enqueue("t", make_spec(), HOURLY)
    due = (await stage.job(job.job_id)).next_tick
    stage.clock.set(due)
    (lease,) = await stage.claim()
    stage.worker_store.after("advance", lambda: stage.services.submissions.put("t", job.job_id, make_spec(), stage.at(90)))
    await stage.timer.handle(lease, stage.clock.now())
    (first,) = await stage.work()
    (second,) = await stage.until(due + 90_000)
    assert [one.id for one in await stage.executions(job.job_id)] == [first, second]
    assert await later(stage) == []


# a PUT, and a stop


async def test_a_put_after_a_stop_is_alive_and_a_stop_after_a_put_stops(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await stage.services.stops.stop_job("t", job.job_id)
    reply = await stage.services.submissions.put("t", job.job_id, make_spec(), Schedule())
    assert await stage.work() == [reply.execution_id]
    again = await stage.services.submissions.put("t", job.job_id, make_spec(), Schedule())
    await stage.services.stops.stop_job("t", job.job_id)
    assert await stage.work() == []
    by_id = {one.id: one for one in await stage.executions(job.job_id)}
    assert by_id[again.execution_id].status is Status.STOPPED


@pytest.mark.parametrize("schedule", [Schedule(), EACH_MINUTE])
async def test_a_stop_between_a_put_s_look_and_its_write_comes_before_it(stage, schedule):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    stage.store.before("advance", lambda: stage.others.stops.stop_job("t", job.job_id))
    await stage.services.submissions.put("t", job.job_id, make_spec(), schedule)
    assert not (await stage.job(job.job_id)).stopped
    stage.clock.set(first_minute(stage))
    (started,) = await stage.work()
    assert (await stage.run(started)).stop_requested_at is None


@pytest.mark.parametrize(("verb", "when"), [("stop_job", "after"), ("executions_of", "before"), ("executions_of", "after")])
async def test_a_put_between_a_stop_s_write_and_its_end_is_not_stopped(stage, verb, when):
    job = await stage.others.submissions.enqueue("t", make_spec(), Schedule())
    getattr(stage.store, when)(verb, lambda: stage.others.submissions.put("t", job.job_id, make_spec(), Schedule()))
    await stage.services.stops.stop_job("t", job.job_id)
    first, second = await stage.executions(job.job_id)
    assert (first.status, second.status) == (Status.STOPPED, Status.ENQUEUED)
    assert await stage.work() == [second.id]


@pytest.mark.parametrize("schedule", [EACH_MINUTE, HOURLY])
async def test_a_put_between_a_stop_s_write_and_its_word_to_the_queue_fires_on_time(stage, schedule):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    stage.queue.before("cancel", lambda: stage.others.submissions.put("t", job.job_id, make_spec(), schedule))
    await stage.services.stops.stop_job("t", job.job_id)
    assert len(await stage.until((await stage.job(job.job_id)).next_tick)) == 1


@pytest.mark.parametrize("schedule", [Schedule(), EACH_MINUTE])
async def test_a_stop_between_a_put_s_write_and_its_word_to_the_queue_stops(stage, schedule):
    job = await stage.others.submissions.enqueue("t", make_spec(), HOURLY)
    stage.queue.before("put", lambda: stage.others.stops.stop_job("t", job.job_id))
    await stage.services.submissions.put("t", job.job_id, make_spec(), schedule)
    assert await later(stage) == []
    assert (await stage.job(job.job_id)).stopped
    assert {one.status for one in await stage.executions(job.job_id)} <= {Status.STOPPED}
    assert await stage.claim() == []


# two PUTs


@pytest.mark.parametrize("schedule", [Schedule(), EACH_MINUTE])
async def test_of_two_puts_that_make_a_job_the_second_replaces_the_first(stage, schedule):
    id = str(uuid4())
    stage.store.before("create", lambda: stage.others.submissions.put("t", id, make_spec("first"), schedule))
    await stage.services.submissions.put("t", id, make_spec("second"), schedule)
    assert (await stage.job(id)).spec.image == "second"
    assert (await stage.real_store.task("t")).jobs_count == 1
    stage.clock.set(first_minute(stage))
    started = await stage.work()
    assert len(started) == len(await stage.executions(id)) == (2 if schedule.kind is ScheduleKind.NOW else 1)


async def test_a_put_that_another_task_s_put_was_quicker_than_is_a_conflict(stage):
    id = str(uuid4())
    stage.store.before("create", lambda: stage.others.submissions.put("u", id, make_spec(), Schedule()))
    with pytest.raises(Conflict, match="another task"):
        await stage.services.submissions.put("t", id, make_spec(), Schedule())
    assert (await stage.job(id)).task_id == "u"
    assert await stage.real_store.task("t") is None


async def test_of_two_puts_on_one_job_each_counts(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    stage.store.before("advance", lambda: stage.others.submissions.put("t", job.job_id, make_spec("first"), Schedule()))
    await stage.services.submissions.put("t", job.job_id, make_spec("second"), stage.at(60))
    assert len(await stage.work()) == 1
    assert len(await stage.until(stage.clock.now() + MINUTE)) == 1
    assert [one.spec.image for one in await stage.executions(job.job_id)] == ["first", "second"]


async def test_many_puts_of_one_id_at_once_make_one_job_that_runs_each(stage):
    id = str(uuid4())
    replies = await asyncio.gather(
        *((stage.services, stage.others)[turn % 2].submissions.put("t", id, make_spec(), Schedule()) for turn in range(24))
    )
    assert sorted(await stage.work()) == sorted(str(reply.execution_id) for reply in replies)
    job = await stage.job(id)
    assert (job.sequence, job.schedule_revision) == (24, 24)


# a PUT, and a delete


async def test_a_put_between_a_delete_s_look_and_its_first_step_keeps_the_job(stage):
    job = await ran(stage)
    stage.store.before("delete_job", lambda: stage.others.submissions.put("t", job.job_id, make_spec(), EACH_MINUTE))
    with pytest.raises(Conflict, match="has a tick to come"):
        await stage.services.deletions.delete_job("t", job.job_id)
    assert await stage.ledger(job.job_id) == ["started"]
    assert len(await stage.until(first_minute(stage))) == 1


async def test_a_put_amid_a_delete_keeps_the_job_and_runs_it(stage):
    """A part of its history is gone by then."""
    job = await ran(stage)
    await stage.past(job.job_id, 600)
    stage.store.after("delete_job", lambda: stage.others.submissions.put("t", job.job_id, make_spec(), Schedule()))
    with pytest.raises(Conflict, match="is enqueued"):
        await stage.services.deletions.delete_job("t", job.job_id)
    assert 1 < await count_ticks(stage.real_store, job.job_id) < 602
    assert await count_executions(stage.real_store, job.job_id) == 602
    assert len(await stage.work()) == 1


@pytest.mark.parametrize("schedule", [Schedule(), EACH_MINUTE])
async def test_a_put_whose_job_is_deleted_before_its_write_makes_it_anew(stage, schedule):
    job = await ran(stage)
    before = await stage.job(job.job_id)
    stage.store.before("advance", lambda: stage.others.deletions.delete_job("t", job.job_id))
    await stage.services.submissions.put("t", job.job_id, make_spec(), schedule)
    assert (await stage.job(job.job_id)).incarnation != before.incarnation
    stage.clock.set(first_minute(stage))
    (started,) = await stage.work()
    assert started != job.execution_id
    assert [one.id for one in await stage.executions(job.job_id)] == [started]


async def test_a_job_made_again_before_the_delete_of_the_old_one_has_told_the_queue_fires_on_time(stage):
    """Both have an entry under the same id: the one before had been put far more often."""
    job = await stage.others.submissions.enqueue("t", make_spec(), HOURLY)
    for _ in range(5):
        await stage.others.submissions.put("t", job.job_id, make_spec(), HOURLY)
    stage.queue.before("cancel", lambda: asyncio.sleep(0))
    stage.queue.before("cancel", lambda: stage.others.submissions.put("t", job.job_id, make_spec(), EACH_MINUTE))
    assert await stage.services.deletions.delete_job("t", job.job_id, stop=True) == Deleted("t", job.job_id)
    assert len(await stage.until(first_minute(stage))) == 1


async def test_a_job_made_again_under_an_id_whose_old_entry_is_still_in_the_queue_fires_on_time(stage):
    """Whoever deleted the old one died before it told the queue, and so did whoever stopped it."""
    job = await stage.others.submissions.enqueue("t", make_spec(), HOURLY)
    for _ in range(5):
        await stage.others.submissions.put("t", job.job_id, make_spec(), HOURLY)
    await stage.real_store.stop_job(job.job_id, stage.clock.now())
    await stage.real_store.delete_job(job.job_id, (await stage.job(job.job_id)).incarnation, stage.clock.now())
    await stage.others.submissions.put("t", job.job_id, make_spec(), EACH_MINUTE)
    assert len(await stage.until(first_minute(stage))) == 1


# a run, and a stop


async def test_a_stop_between_a_run_s_look_and_its_write_does_not_cover_it(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    stage.store.before("advance", lambda: stage.others.stops.stop_job("t", job.job_id))
    reply = await stage.services.manual_runs.run("t", job.job_id)
    assert await stage.work() == [reply.execution_id]
    assert (await stage.run(str(reply.execution_id))).stop_requested_at is None
    assert (await stage.job(job.job_id)).stopped


@pytest.mark.parametrize(("verb", "when"), [("stop_job", "after"), ("executions_of", "before"), ("executions_of", "after")])
async def test_a_run_between_a_stop_s_write_and_its_end_is_not_stopped(stage, verb, when):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    getattr(stage.store, when)(verb, lambda: stage.others.manual_runs.run("t", job.job_id))
    await stage.services.stops.stop_job("t", job.job_id)
    (execution,) = await stage.executions(job.job_id)
    assert await stage.work() == [execution.id]
    assert not (await stage.job(job.job_id)).stops(execution.sequence)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_stop_before_a_run_is_answered_covers_it(stage, when):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    getattr(stage.queue, when)("put", lambda: stage.others.stops.stop_job("t", job.job_id))
    reply = await stage.services.manual_runs.run("t", job.job_id)
    assert await stage.work() == []
    execution = await stage.real_store.execution(reply.execution_id)
    assert (execution.status, execution.settled) == (Status.STOPPED, True)


# a retry, and the automatic one


async def test_a_failure_that_is_about_to_be_tried_again_is_not_retried(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(retries=1, retry_delay=0), Schedule())
    await stage.work()
    await stage.run(str(job.execution_id))
    await stage.end(str(job.execution_id), 1)
    with pytest.raises(Conflict, match="tried again by itself"):
        await stage.services.manual_runs.retry("t", job.job_id)
    await stage.settle(str(job.execution_id))
    assert len(await stage.work()) == 1


async def test_an_automatic_retry_between_a_retry_s_looks_is_under_way_to_it(stage):
    """The retry has read the job; the execution ends, fails, and the attempt after it is made, before it looks at that."""
    job = await stage.others.submissions.enqueue("t", make_spec(retries=1, retry_delay=0), Schedule())
    await stage.work()
    await stage.run(str(job.execution_id))

    async def fail() -> None:
        await stage.end(str(job.execution_id), 1)
        await stage.settle(str(job.execution_id))

    stage.store.before("latest", fail)
    with pytest.raises(Conflict, match="is enqueued"):
        await stage.services.manual_runs.retry("t", job.job_id)
    assert [one.attempt for one in await stage.executions(job.job_id)] == [1, 2]


async def test_a_run_between_a_retry_s_looks_and_its_write_is_under_way_to_it(stage):
    job = await ran(stage)
    stage.store.before("advance", lambda: stage.others.manual_runs.run("t", job.job_id))
    with pytest.raises(Conflict, match="is enqueued"):
        await stage.services.manual_runs.retry("t", job.job_id)
    assert len(await stage.executions(job.job_id)) == 2


@pytest.mark.parametrize(("verb", "when"), [("advance", "before"), ("latest", "before"), ("latest", "after"), ("job", "after")])
async def test_of_two_retries_one_wins(stage, verb, when):
    job = await ran(stage, 1)
    getattr(stage.store, when)(verb, lambda: stage.others.manual_runs.retry("t", job.job_id))
    with pytest.raises(Conflict, match="is enqueued"):
        await stage.services.manual_runs.retry("t", job.job_id)
    assert len(await stage.executions(job.job_id)) == 2
    assert len(await stage.work()) == 1


async def test_of_many_retries_at_once_one_wins(stage):
    job = await ran(stage, 1)
    answers = await asyncio.gather(
        *((stage.services, stage.others)[n % 2].manual_runs.retry("t", job.job_id) for n in range(20)), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict"] * 19 + ["Enqueued"]
    assert len(await stage.work()) == 1


# a pause, and the timer


async def test_a_tick_that_fires_just_before_a_pause_runs_and_the_next_one_is_held(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    minute = first_minute(stage)
    stage.clock.set(minute)
    stage.store.before("advance", stage.work)
    assert (await stage.services.pauses.pause("t", job.job_id)).status == "paused"
    assert (await stage.job(job.job_id)).held_tick == minute + MINUTE
    assert len(await stage.executions(job.job_id)) == 1
    assert await later(stage) == []


async def test_a_job_whose_only_tick_fires_just_before_a_pause_is_not_paused(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), stage.at(60))
    stage.clock.set(stage.clock.now() + MINUTE)
    stage.store.before("advance", stage.work)
    with pytest.raises(Conflict, match="no tick to come"):
        await stage.services.pauses.pause("t", job.job_id)
    assert len(await stage.executions(job.job_id)) == 1


@pytest.mark.parametrize("kind", ["at", "cron"])
async def test_a_pause_between_a_timer_s_look_and_its_write_keeps_the_tick_from_firing(stage, kind):
    minute = first_minute(stage)
    schedule = EACH_MINUTE if kind == "cron" else Schedule(ScheduleKind.AT, minute)
    job = await stage.others.submissions.enqueue("t", make_spec(), schedule)
    stage.clock.set(minute)
    stage.worker_store.before("advance", lambda: stage.services.pauses.pause("t", job.job_id))
    assert await stage.work() == []
    assert await later(stage, 1) == []
    assert await stage.executions(job.job_id) == []
    await stage.services.pauses.resume("t", job.job_id)
    started = await stage.work()
    assert len(started) == (1 if kind == "at" else 0)
    assert await stage.ledger(job.job_id) == (["started"] if kind == "at" else ["skipped"])


async def test_a_resume_while_a_timer_still_has_the_paused_job_s_entry_fires_on_time(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), HOURLY)
    due = (await stage.job(job.job_id)).next_tick
    stage.clock.set(due)
    (lease,) = await stage.claim()
    await stage.services.pauses.pause("t", job.job_id)
    stage.clock.set(due + MINUTE)
    stage.worker_store.after("job", lambda: stage.services.pauses.resume("t", job.job_id))
    await stage.timer.handle(lease, stage.clock.now())
    assert len(await stage.until(due + 60 * MINUTE)) == 1


# resumes, pauses, stops


async def test_of_two_resumes_one_writes_the_row_and_the_other_finds_nothing_to_do(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await stage.others.pauses.pause("t", job.job_id)
    stage.clock.set(first_minute(stage) + 3 * MINUTE)
    stage.store.before("advance", lambda: stage.others.pauses.resume("t", job.job_id))
    assert (await stage.services.pauses.resume("t", job.job_id)).status == "scheduled"
    assert await stage.ledger(job.job_id) == ["skipped"]
    assert len(await stage.until(first_minute(stage))) == 1


async def test_a_pause_between_a_resume_s_write_and_its_word_to_the_queue_holds(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await stage.others.pauses.pause("t", job.job_id)
    stage.queue.before("put", lambda: stage.others.pauses.pause("t", job.job_id))
    assert (await stage.services.pauses.resume("t", job.job_id)).status == "scheduled"
    assert await later(stage) == []
    assert (await stage.job(job.job_id)).paused


async def test_a_resume_between_a_pause_s_write_and_its_word_to_the_queue_goes_on(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    stage.queue.before("cancel", lambda: stage.others.pauses.resume("t", job.job_id))
    await stage.services.pauses.pause("t", job.job_id)
    assert len(await stage.until(first_minute(stage))) == 1


async def test_a_stop_between_a_pause_s_look_and_its_write_leaves_nothing_to_pause(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    stage.store.before("advance", lambda: stage.others.stops.stop_job("t", job.job_id))
    with pytest.raises(Conflict, match="no tick to come"):
        await stage.services.pauses.pause("t", job.job_id)
    stored = await stage.job(job.job_id)
    assert (stored.stopped, stored.paused) == (True, False)
    assert await later(stage) == []


async def test_a_pause_just_before_a_stop_s_write_is_ended_by_it(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    stage.store.before("stop_job", lambda: stage.others.pauses.pause("t", job.job_id))
    assert (await stage.services.stops.stop_job("t", job.job_id)).status == "stopped"
    assert not (await stage.job(job.job_id)).paused
    assert await later(stage) == []


async def test_a_stop_between_a_resume_s_look_and_its_write_keeps_it_stopped(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await stage.others.pauses.pause("t", job.job_id)
    stage.clock.set(first_minute(stage) + MINUTE)
    stage.store.before("advance", lambda: stage.others.stops.stop_job("t", job.job_id))
    assert (await stage.services.pauses.resume("t", job.job_id)).status == "stopped"
    assert await stage.ledger(job.job_id) == ["skipped"]
    assert await later(stage) == []


# a delete, and what runs, fires or settles


async def test_a_run_between_a_delete_s_look_and_its_step_keeps_the_job(stage):
    job = await ran(stage)
    stage.store.before("delete_job", lambda: stage.others.manual_runs.run("t", job.job_id))
    with pytest.raises(Conflict, match="is enqueued; stop it first"):
        await stage.services.deletions.delete_job("t", job.job_id)
    assert len(await stage.executions(job.job_id)) == 2


@pytest.mark.parametrize("verb", ["run", "retry", "pause", "resume", "stop_job"])
@pytest.mark.parametrize("at_first", [True, False])
async def test_what_comes_to_a_job_that_is_deleted_just_before_does_not_find_it(stage, verb, at_first):
    """Just before its first look, or just before its write."""
    job = await (ran(stage) if verb == "retry" else stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE))
    if verb == "resume":
        await stage.others.pauses.pause("t", job.job_id)
    met = "job" if at_first else "stop_job" if verb == "stop_job" else "advance"
    stage.store.before(met, lambda: stage.others.deletions.delete_job("t", job.job_id, stop=True))
    with pytest.raises(NotFound):
        await method(stage.services, verb)("t", job.job_id)
    assert await stage.real_store.job(job.job_id) is None
    assert (await stage.real_store.counts()).executions[Status.ENQUEUED] == 0
    assert await later(stage) == []


async def test_a_tick_that_fires_between_a_delete_s_look_and_its_step_keeps_the_job(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), stage.at(60))
    stage.clock.set(stage.clock.now() + MINUTE)
    stage.store.before("delete_job", stage.work)
    with pytest.raises(Conflict, match="is enqueued"):
        await stage.services.deletions.delete_job("t", job.job_id)
    assert len(await stage.executions(job.job_id)) == 1


async def test_a_timer_that_has_read_a_job_which_is_deleted_then_fires_nothing(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    stage.clock.set(first_minute(stage))
    stage.worker_store.before("advance", lambda: stage.services.deletions.delete_job("t", job.job_id, stop=True))
    assert await stage.work() == []
    assert await stage.real_store.executions_of(job.job_id, 10) == []
    assert await count_ticks(stage.real_store, job.job_id) == 0
    assert await stage.claim() == []


async def test_a_timer_that_has_read_a_job_which_is_deleted_and_made_again_leaves_the_new_one_alone(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    stage.clock.set(first_minute(stage))

    async def replace() -> None:
        await stage.services.deletions.delete_job("t", job.job_id, stop=True)
        await stage.services.submissions.put("t", job.job_id, make_spec(), EACH_MINUTE)

    stage.worker_store.before("advance", replace)
    assert await stage.work() == []
    assert len(await stage.until(first_minute(stage))) == 1
    assert len(await stage.executions(job.job_id)) == 1


async def test_a_delete_waits_for_what_follows_an_end(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), Schedule())
    await stage.work()
    await stage.run(str(job.execution_id))
    ended = await stage.end(str(job.execution_id))
    stage.clock.in_sleep = [lambda: stage.settler.settle(ended), lambda: stage.settle(ended.id)]
    assert await stage.services.deletions.delete_job("t", job.job_id) == Deleted("t", job.job_id)
    assert stage.clock.in_sleep == []
    assert await stage.real_store.execution(ended.id) is None


async def test_a_delete_of_a_failure_whose_retry_is_made_meanwhile_finds_that_it_runs(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(retries=1, retry_delay=0), Schedule())
    await stage.work()
    await stage.run(str(job.execution_id))
    ended = await stage.end(str(job.execution_id), 1)
    stage.clock.in_sleep = [lambda: stage.settle(ended.id)]
    with pytest.raises(Conflict, match="is enqueued"):
        await stage.services.deletions.delete_job("t", job.job_id)
    assert len(await stage.work()) == 1


@pytest.mark.parametrize("again", [False, True])
async def test_a_settler_that_slept_while_its_job_was_deleted_brings_nothing_back(stage, again):
    """It has read the failure and the job, and is about to insert the next attempt. Another settler did all that, the attempt ended, the
    job was deleted, and perhaps made again under its id."""
    job = await stage.others.submissions.enqueue("t", make_spec(retries=1, retry_delay=0), Schedule())
    await stage.work()
    await stage.run(str(job.execution_id))
    ended = await stage.end(str(job.execution_id), 1)
    following = next_execution(ended, due=stage.clock.now(), now=stage.clock.now())

    async def everything() -> None:
        await stage.settle(ended.id)
        assert await stage.work() == [following.id]
        await stage.finish(following.id)
        await stage.services.deletions.delete_job("t", job.job_id)
        if again:
            await stage.services.submissions.put("t", job.job_id, make_spec(), stage.at(60))

    stage.worker_store.before("insert", everything)
    await stage.settler.settle(ended)
    assert await stage.work() == [following.id]
    assert await stage.place(following.id) is None
    assert await stage.work() == []
    assert await stage.real_store.execution(following.id) is None
    assert len(await stage.until(stage.clock.now() + MINUTE)) == (1 if again else 0)
    counts = await stage.real_store.counts()
    assert sum(counts.executions.values()) == (1 if again else 0)


# a stop, and a worker's claim


@pytest.mark.parametrize(("side", "verb"), [("before", "change"), ("after", "change"), ("before", "job"), ("after", "job")])
async def test_a_stop_that_is_answered_before_a_service_is_bound_keeps_the_execution_from_one(stage, side, verb):
    """A worker claims the execution, reads its job, and binds a service: the stop comes before or after any of these."""
    job = await stage.others.submissions.enqueue("t", make_spec(), Schedule())
    (id,) = await stage.work()
    getattr(stage.worker_store, side)(verb, lambda: stage.others.stops.stop_job("t", job.job_id))
    placed = await stage.place(id)
    assert (placed.status, placed.service_id) == (Status.STOPPED, None)
    assert placed.stop_requested_at is not None


async def test_a_stop_that_comes_after_a_service_was_bound_flags_the_execution(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), Schedule())
    (id,) = await stage.work()
    placed = await stage.place(id)
    await stage.others.stops.stop_job("t", job.job_id)
    row = await stage.real_store.execution(id)
    assert (row.status, row.service_id) == (Status.PULLING, placed.service_id)
    assert row.stop_requested_at is not None


@pytest.mark.parametrize(("side", "verb"), [("before", "change"), ("after", "change"), ("before", "job")])
async def test_a_stop_that_died_before_it_listed_what_it_covers_is_read_from_the_job(stage, side, verb):
    job = await stage.others.submissions.enqueue("t", make_spec(), Schedule())
    (id,) = await stage.work()
    getattr(stage.worker_store, side)(verb, lambda: stage.real_store.stop_job(job.job_id, stage.clock.now()))
    placed = await stage.place(id)
    assert (placed.status, placed.service_id) == (Status.STOPPED, None)
    assert placed.stop_requested_at is not None


async def test_an_attempt_that_is_inserted_after_a_stop_was_answered_never_starts(stage):
    """A settler has read the job, and sleeps while it is stopped."""
    job = await stage.others.submissions.enqueue("t", make_spec(retries=1, retry_delay=0), Schedule())
    await stage.work()
    await stage.run(str(job.execution_id))
    ended = await stage.end(str(job.execution_id), 1)
    stage.worker_store.before("insert", lambda: stage.others.stops.stop_job("t", job.job_id))
    await stage.settler.settle(ended)
    (id,) = await stage.work()
    placed = await stage.place(id)
    assert (placed.attempt, placed.status, placed.service_id) == (2, Status.STOPPED, None)


async def test_who_takes_over_what_another_claimed_reads_the_stop_of_its_job(stage):
    """The one that claimed it died before it read the job; whoever stopped the job died before it listed what the stop covers."""
    job = await stage.others.submissions.enqueue("t", make_spec(), Schedule())
    (id,) = await stage.work()
    stage.worker_store.before("job", dies)
    with pytest.raises(Died):
        await stage.place(id)
    await stage.real_store.stop_job(job.job_id, stage.clock.now())
    placed = await stage.place(id)
    assert (placed.status, placed.service_id, placed.epoch) == (Status.STOPPED, None, 2)
