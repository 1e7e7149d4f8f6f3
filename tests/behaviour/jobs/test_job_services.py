"""PUT, run, retry, pause, resume and stop as services: what each leaves in the store, in the queue, and in the ledger. No worker but the
test, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from fastlane.errors import Conflict, Invalid, NotFound, QueueDown
from fastlane.models.access import Requester
from fastlane.models.placement.pool import Pool
from fastlane.models.schedule.cron import Cron
from fastlane.models.schedule.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.services.results import CurrentStatus, Enqueued, TaskStopped
from tests.support.factories import make_spec
from tests.support.ledger import ticks_of
from tests.support.redis import RealRedis
from tests.support.services import method, services_of
from tests.support.stage import Stage

MINUTE = 60_000
EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
HOURLY = Schedule(ScheduleKind.CRON, None, Cron("0 * * * *"))
SOMEBODY = Requester("somebody", "10.0.0.1")


@pytest.fixture
async def stage(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage(tmp_path, shared_redis.url) as stage:
        yield stage


def first_minute(stage: Stage) -> int:
    """The first full minute to come."""
    return stage.clock.now() // MINUTE * MINUTE + MINUTE


async def ran(stage: Stage, code: int = 0, **rules: int) -> Enqueued:
    """A job that ran at once, and is through."""
    job = await stage.services.submissions.enqueue("t", make_spec(**rules), Schedule())
    assert await stage.work() == [job.execution_id]
    await stage.finish(str(job.execution_id), code)
    return job


# PUT


async def test_a_put_makes_a_job_under_its_id_and_runs_it(stage):
    id = str(uuid4())
    reply = await stage.services.submissions.put("t", id, make_spec(), Schedule(), SOMEBODY)
    assert (reply.task_id, reply.job_id) == ("t", id)
    assert await stage.work() == [reply.execution_id]
    (execution,) = await stage.executions(id)
    assert (execution.tick_id, execution.requested_by) == (reply.tick_id, SOMEBODY)
    assert (await stage.job(id)).requested_by == SOMEBODY
    assert (await stage.real_store.task("t")).jobs_count == 1


async def test_a_put_makes_a_job_for_later(stage):
    id = str(uuid4())
    reply = await stage.services.submissions.put("t", id, make_spec(), stage.at(60))
    assert reply.execution_id is None
    (started,) = await stage.until(stage.clock.now() + MINUTE)
    (execution,) = await stage.executions(id)
    assert (execution.id, execution.tick_id) == (started, reply.tick_id)


async def test_the_same_put_twice_runs_an_immediate_job_twice_and_the_first_is_left_alone(stage):
    id = str(uuid4())
    first = await stage.services.submissions.put("t", id, make_spec("one"), Schedule())
    second = await stage.services.submissions.put("t", id, make_spec("one"), Schedule())
    assert sorted(await stage.work()) == sorted([first.execution_id, second.execution_id])
    assert [one.spec.image for one in await stage.executions(id)] == ["one", "one"]
    assert await stage.ledger(id) == ["started", "started"]


async def test_a_put_leaves_what_runs_alone_and_changes_the_details_of_what_comes(stage):
    job = await stage.services.submissions.enqueue("t", make_spec("one"), Schedule())
    await stage.work()
    running = await stage.run(str(job.execution_id))
    await stage.services.submissions.put("t", job.job_id, make_spec("two"), stage.at(60))
    assert await stage.real_store.execution(running.id) == running
    (started,) = await stage.until(stage.clock.now() + MINUTE)
    assert [one.spec.image for one in await stage.executions(job.job_id)] == ["one", "two"]
    assert (await stage.real_store.execution(started)).spec.image == "two"


@pytest.mark.parametrize(("before", "after"), [(60, 10), (10, 60)])
async def test_a_put_moves_the_tick_to_come(stage, before, after):
    job = await stage.services.submissions.enqueue("t", make_spec(), stage.at(before))
    reply = await stage.services.submissions.put("t", job.job_id, make_spec(), stage.at(after))
    (started,) = await stage.until(stage.clock.now() + after * 1000)
    (execution,) = await stage.executions(job.job_id)
    assert (execution.id, execution.tick_id) == (started, reply.tick_id)
    assert reply.tick_id != job.tick_id
    stage.clock.set(stage.clock.now() + 100_000)
    assert await stage.work() == []


async def test_a_put_of_a_job_that_runs_now_takes_the_tick_to_come_out_of_the_queue(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), stage.at(60))
    reply = await stage.services.submissions.put("t", job.job_id, make_spec(), Schedule())
    assert [lease.id for lease in await stage.claim()] == [reply.execution_id]
    stage.clock.set(stage.clock.now() + 10 * MINUTE)
    assert job.job_id not in [lease.id for lease in await stage.claim()]


async def test_an_unchanged_cron_keeps_its_next_tick_and_gets_the_new_details(stage):
    job = await stage.services.submissions.enqueue("t", make_spec("one"), EACH_MINUTE)
    before = await stage.job(job.job_id)
    reply = await stage.services.submissions.put("t", job.job_id, make_spec("two"), EACH_MINUTE)
    assert reply.tick_id == job.tick_id
    assert (await stage.job(job.job_id)).next_tick == before.next_tick
    await stage.until(first_minute(stage))
    (execution,) = await stage.executions(job.job_id)
    assert (execution.spec.image, execution.tick_id) == ("two", job.tick_id)


async def test_a_changed_cron_meets_no_due_time_twice(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    minute = first_minute(stage)
    (first,) = await stage.until(minute)
    await stage.services.submissions.put("t", job.job_id, make_spec(), Schedule(ScheduleKind.CRON, None, Cron("*/1 * * * *")))
    assert (await stage.job(job.job_id)).next_tick == minute + MINUTE
    stage.clock.set(minute + MINUTE)
    (second,) = await stage.work()
    assert [one.id for one in await stage.executions(job.job_id)] == [first, second]


@pytest.mark.parametrize("schedule", [Schedule(), EACH_MINUTE])
async def test_a_put_makes_a_stopped_job_alive_again(stage, schedule):
    job = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    assert (await stage.services.stops.stop_job("t", job.job_id)).status == "stopped"
    await stage.services.submissions.put("t", job.job_id, make_spec(), schedule)
    assert not (await stage.job(job.job_id)).stopped
    stage.clock.set(first_minute(stage))
    (started,) = await stage.work()
    execution = await stage.run(started)
    assert not (await stage.job(job.job_id)).stops(execution.sequence)


async def test_a_put_ends_a_pause(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await stage.services.pauses.pause("t", job.job_id)
    stage.clock.set(first_minute(stage) + 90_000)
    await stage.services.submissions.put("t", job.job_id, make_spec(), EACH_MINUTE)
    assert not (await stage.job(job.job_id)).paused
    assert await stage.ledger(job.job_id) == ["skipped"]
    assert len(await stage.until(first_minute(stage))) == 1


async def test_an_id_that_lives_in_another_task_is_a_conflict(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), Schedule())
    with pytest.raises(Conflict, match="another task"):
        await stage.services.submissions.put("u", job.job_id, make_spec(), Schedule())
    assert await stage.real_store.task("u") is None
    assert len(await stage.executions(job.job_id)) == 1


async def test_a_put_to_a_task_that_no_pool_takes_is_invalid(stage):
    nowhere = services_of(stage.real_store, stage.real_queue, stage.clock, (Pool("only", "only-", ("h",)),))
    with pytest.raises(Invalid, match="no pool takes the task"):
        await nowhere.submissions.put("t", str(uuid4()), make_spec(), Schedule())
    assert (await stage.real_store.counts()).jobs == 0


# run


@pytest.mark.parametrize("schedule", [EACH_MINUTE, HOURLY, Schedule()])
async def test_a_run_is_one_more_execution_now_and_the_schedule_is_left(stage, schedule):
    job = await stage.services.submissions.enqueue("t", make_spec(), schedule)
    before = await stage.job(job.job_id)
    reply = await stage.services.manual_runs.run("t", job.job_id, SOMEBODY)
    assert reply.execution_id in await stage.work()
    assert await stage.job(job.job_id) == replace(before, sequence=before.sequence + 1)
    execution = await stage.real_store.execution(reply.execution_id)
    assert (execution.tick_id, execution.requested_by, execution.scheduled_for) == (reply.tick_id, SOMEBODY, stage.clock.now())
    if schedule is EACH_MINUTE:
        assert len(await stage.until(first_minute(stage))) == 1


async def test_a_run_of_a_stopped_cron_runs_and_leaves_it_stopped(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await stage.services.stops.stop_job("t", job.job_id)
    reply = await stage.services.manual_runs.run("t", job.job_id)
    assert await stage.work() == [reply.execution_id]
    await stage.finish(str(reply.execution_id))
    assert (await stage.services.pauses.resume("t", job.job_id)).status == "stopped"
    stage.clock.set(stage.clock.now() + 10 * MINUTE)
    assert await stage.work() == []


async def test_a_run_of_a_paused_job_runs_and_leaves_it_paused(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await stage.services.pauses.pause("t", job.job_id)
    reply = await stage.services.manual_runs.run("t", job.job_id)
    assert await stage.work() == [reply.execution_id]
    assert (await stage.job(job.job_id)).paused


async def test_many_runs_at_once_all_run(stage):
    job = await ran(stage)
    replies = await asyncio.gather(*(stage.services.manual_runs.run("t", job.job_id) for _ in range(30)))
    assert sorted(await stage.work()) == sorted(str(reply.execution_id) for reply in replies)
    sequences = [one.sequence for one in await stage.executions(job.job_id)]
    assert sequences == list(range(1, 32))


@pytest.mark.parametrize("verb", ["run", "retry"])
async def test_what_has_expired_for_good_is_not_run_by_hand(stage, verb):
    job = await ran(stage, expiration=stage.clock.now() + MINUTE)
    stage.clock.set(stage.clock.now() + MINUTE - 1)
    reply = await method(stage.services, verb)("t", job.job_id)
    await stage.work()
    await stage.finish(str(reply.execution_id))
    stage.clock.set(stage.clock.now() + 1)
    before = await stage.job(job.job_id)
    with pytest.raises(Conflict, match=r"expiration of job .* was 20\d\d-.*PUT it with a later one"):
        await method(stage.services, verb)("t", job.job_id)
    assert await stage.job(job.job_id) == before


# retry


async def test_a_retry_runs_the_last_execution_again_as_it_was_then(stage):
    job = await ran(stage, code=1)
    await stage.services.submissions.put("t", job.job_id, make_spec("later"), stage.at(60))
    await stage.services.stops.stop_job("t", job.job_id)
    reply = await stage.services.manual_runs.retry("t", job.job_id, SOMEBODY)
    assert await stage.work() == [reply.execution_id]
    execution = await stage.real_store.execution(reply.execution_id)
    assert (execution.spec.image, execution.attempt, execution.requested_by) == ("ubuntu", 1, SOMEBODY)
    assert (await stage.job(job.job_id)).spec.image == "later"
    await stage.finish(execution.id)
    assert await stage.ledger(job.job_id) == ["started", "started"]


async def test_a_retry_of_a_stopped_job_runs(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), Schedule())
    await stage.services.stops.stop_job("t", job.job_id)
    await stage.work()
    reply = await stage.services.manual_runs.retry("t", job.job_id)
    assert await stage.work() == [reply.execution_id]
    assert (await stage.run(str(reply.execution_id))).stop_requested_at is None


async def test_a_retry_has_the_retries_of_its_spec_again(stage):
    job = await ran(stage, code=1, retries=1, retry_delay=0)
    (second,) = await stage.work()
    await stage.finish(second, 1)
    reply = await stage.services.manual_runs.retry("t", job.job_id)
    await stage.work()
    await stage.finish(str(reply.execution_id), 1)
    assert len(await stage.work()) == 1


@pytest.mark.parametrize("moment", ["waits", "runs"])
async def test_while_an_execution_is_under_way_there_is_no_retry(stage, moment):
    job = await stage.services.submissions.enqueue("t", make_spec(), Schedule())
    await stage.work()
    if moment == "runs":
        await stage.run(str(job.execution_id))
    with pytest.raises(Conflict, match=rf"{job.execution_id} .* is (enqueued|running); retry it when it has ended"):
        await stage.services.manual_runs.retry("t", job.job_id)
    assert len(await stage.executions(job.job_id)) == 1


@pytest.mark.parametrize("paused", [False, True])
async def test_a_job_with_a_tick_to_come_is_run_not_retried(stage, paused):
    job = await ran(stage)
    await stage.services.submissions.put("t", job.job_id, make_spec(), EACH_MINUTE)
    if paused:
        await stage.services.pauses.pause("t", job.job_id)
    with pytest.raises(Conflict, match="use run"):
        await stage.services.manual_runs.retry("t", job.job_id)


async def test_what_never_ran_is_not_retried(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await stage.services.stops.stop_job("t", job.job_id)
    with pytest.raises(Conflict, match=r"nothing of job .* ever ran"):
        await stage.services.manual_runs.retry("t", job.job_id)


# pause, resume


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


# a task's stop


async def test_the_stop_of_a_task_stops_every_job_that_has_something_before_it(stage):
    done = [await ran(stage) for _ in range(3)]
    waiting = [await stage.services.submissions.enqueue("t", make_spec(), Schedule()) for _ in range(3)]
    coming = [await stage.services.submissions.enqueue("t", make_spec(), schedule) for schedule in (EACH_MINUTE, stage.at(60))]
    held = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await stage.services.pauses.pause("t", held.job_id)
    other = await stage.services.submissions.enqueue("u", make_spec(), Schedule())
    started = [id for id in await stage.work() if id != other.execution_id]
    await stage.run(started[0])
    await stage.run(str(other.execution_id))
    assert await stage.services.stops.stop_task("t") == TaskStopped("t", 6)
    for job in (*waiting, *coming, held):
        stored = await stage.job(job.job_id)
        assert (stored.stopped, stored.next_tick, stored.held_tick) == (True, None, None)
    statuses = {one.status for job in waiting for one in await stage.executions(job.job_id)}
    assert statuses == {Status.STOPPED, Status.RUNNING}
    assert (await stage.real_store.execution(started[0])).stop_requested_at is not None
    assert not any([(await stage.job(job.job_id)).stopped for job in (*done, other)])
    await stage.end(started[0])
    for id in started:
        await stage.settle(id)
    assert await stage.services.stops.stop_task("t") == TaskStopped("t", 0)
    stage.clock.set(stage.clock.now() + 10 * MINUTE)
    assert await stage.work() == []


async def test_the_stop_of_a_task_takes_the_automatic_retry_with_it(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(retries=3, retry_delay=0), Schedule())
    await stage.work()
    await stage.run(str(job.execution_id))
    await stage.end(str(job.execution_id), 1)
    assert await stage.services.stops.stop_task("t") == TaskStopped("t", 1)
    await stage.settle(str(job.execution_id))
    assert await stage.work() == []
    assert len(await stage.executions(job.job_id)) == 1


async def test_a_task_with_many_jobs_is_stopped_page_by_page(stage):
    jobs = await asyncio.gather(*(stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE) for _ in range(450)))
    assert await stage.services.stops.stop_task("t") == TaskStopped("t", 450)
    assert all([(await stage.job(job.job_id)).stopped for job in jobs])


# what is not there, and a queue that is away


@pytest.mark.parametrize("verb", ["run", "retry", "pause", "resume", "stop_job", "delete_job"])
async def test_what_is_not_there_is_not_found(stage, verb):
    job = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    before = await stage.job(job.job_id)
    for task_id, job_id in (("t", str(uuid4())), ("u", job.job_id)):
        with pytest.raises(NotFound):
            await method(stage.services, verb)(task_id, job_id)
    assert await stage.job(job.job_id) == before


@pytest.mark.parametrize("verb", ["stop_task", "delete_task"])
async def test_a_task_that_is_not_there_is_not_found(stage, verb):
    with pytest.raises(NotFound):
        await method(stage.services, verb)("u")


async def away() -> None:
    raise QueueDown("refused the connection")


@pytest.mark.parametrize("verb", ["put", "run", "retry", "resume"])
async def test_while_the_queue_is_away_nothing_is_armed_and_nothing_written(stage, verb):
    job = await (ran(stage) if verb == "retry" else stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE))
    if verb == "resume":
        await stage.services.pauses.pause("t", job.job_id)
    before = await stage.job(job.job_id)
    stage.clock.set(stage.clock.now() + 2_000)
    stage.queue.before("check", away)
    more = (make_spec(), Schedule()) if verb == "put" else ()
    with pytest.raises(QueueDown):
        await method(stage.services, verb)("t", job.job_id, *more)
    assert await stage.job(job.job_id) == before


@pytest.mark.parametrize("verb", ["put", "run", "retry", "resume", "enqueue"])
async def test_once_the_store_has_it_a_queue_that_goes_away_hears_of_it_later(stage, verb):
    job = await (ran(stage) if verb == "retry" else stage.services.submissions.enqueue("t", make_spec(), stage.at(1)))
    if verb == "resume":
        await stage.services.pauses.pause("t", job.job_id)
    stage.queue.before("put", away)
    stage.queue.before("put", away)
    more = (job.job_id, make_spec(), Schedule()) if verb == "put" else (make_spec(), Schedule()) if verb == "enqueue" else (job.job_id,)
    await method(stage.services, verb)("t", *more)
    async with asyncio.timeout(20):
        await stage.services.outbox.caught_up()
    assert stage.queue.quiet
    stage.clock.set(stage.clock.now() + 5_000)
    assert len(await stage.work()) == (2 if verb in ("run", "enqueue") else 1)


@pytest.mark.parametrize("verb", ["pause", "stop_job"])
async def test_a_pause_and_a_stop_hold_although_the_queue_does_not_hear_of_them(stage, verb):
    job = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    stage.queue.before("cancel", away)
    await method(stage.services, verb)("t", job.job_id)
    assert stage.queue.quiet
    stage.clock.set(first_minute(stage))
    assert await stage.work() == []
    assert await stage.claim() == []
