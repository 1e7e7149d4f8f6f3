"""PUT and run as services: what each leaves in the store, queue and ledger; and what each call does without its job or the queue."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from fastlane.errors import Conflict, Invalid, NotFound, QueueDown
from fastlane.models.access import Requester
from fastlane.models.cron import Cron
from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule, ScheduleKind
from tests.support.factories import make_spec
from tests.support.scenarios import first_minute, ran
from tests.support.services import method, services_of

MINUTE = 60_000
EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
HOURLY = Schedule(ScheduleKind.CRON, None, Cron("0 * * * *"))
SOMEBODY = Requester("somebody", "10.0.0.1")


async def test_a_put_makes_a_job_under_its_id_and_runs_it(virtual):
    id = str(uuid4())
    reply = await virtual.services.submissions.put("t", id, make_spec(), Schedule(), SOMEBODY)
    assert (reply.task_id, reply.job_id) == ("t", id)
    assert await virtual.work() == [reply.execution_id]
    (execution,) = await virtual.executions(id)
    assert (execution.tick_id, execution.requested_by) == (reply.tick_id, SOMEBODY)
    assert (await virtual.job(id)).requested_by == SOMEBODY
    assert (await virtual.real_store.task("t")).jobs_count == 1


async def test_a_put_makes_a_job_for_later(virtual):
    id = str(uuid4())
    reply = await virtual.services.submissions.put("t", id, make_spec(), virtual.at(60))
    assert reply.execution_id is None
    (started,) = await virtual.until(virtual.clock.now() + MINUTE)
    (execution,) = await virtual.executions(id)
    assert (execution.id, execution.tick_id) == (started, reply.tick_id)


async def test_the_same_put_twice_runs_an_immediate_job_twice_and_the_first_is_left_alone(virtual):
    id = str(uuid4())
    first = await virtual.services.submissions.put("t", id, make_spec("one"), Schedule())
    second = await virtual.services.submissions.put("t", id, make_spec("one"), Schedule())
    assert sorted(await virtual.work()) == sorted([first.execution_id, second.execution_id])
    assert [one.spec.image for one in await virtual.executions(id)] == ["one", "one"]
    assert await virtual.ledger(id) == ["started", "started"]


async def test_a_put_leaves_what_runs_alone_and_changes_the_details_of_what_comes(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec("one"), Schedule())
    await virtual.work()
    running = await virtual.run(str(job.execution_id))
    await virtual.services.submissions.put("t", job.job_id, make_spec("two"), virtual.at(60))
    assert await virtual.real_store.execution(running.id) == running
    (started,) = await virtual.until(virtual.clock.now() + MINUTE)
    assert [one.spec.image for one in await virtual.executions(job.job_id)] == ["one", "two"]
    assert (await virtual.real_store.execution(started)).spec.image == "two"


@pytest.mark.parametrize(("before", "after"), [(60, 10), (10, 60)])
async def test_a_put_moves_the_tick_to_come(virtual, before, after):
    job = await virtual.services.submissions.enqueue("t", make_spec(), virtual.at(before))
    reply = await virtual.services.submissions.put("t", job.job_id, make_spec(), virtual.at(after))
    (started,) = await virtual.until(virtual.clock.now() + after * 1000)
    (execution,) = await virtual.executions(job.job_id)
    assert (execution.id, execution.tick_id) == (started, reply.tick_id)
    assert reply.tick_id != job.tick_id
    virtual.clock.set(virtual.clock.now() + 100_000)
    assert await virtual.work() == []


async def test_a_put_of_a_job_that_runs_now_takes_the_tick_to_come_out_of_the_queue(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), virtual.at(60))
    reply = await virtual.services.submissions.put("t", job.job_id, make_spec(), Schedule())
    assert [lease.id for lease in await virtual.claim()] == [reply.execution_id]
    virtual.clock.set(virtual.clock.now() + 10 * MINUTE)
    assert job.job_id not in [lease.id for lease in await virtual.claim()]


async def test_an_unchanged_cron_keeps_its_next_tick_and_gets_the_new_details(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec("one"), EACH_MINUTE)
    before = await virtual.job(job.job_id)
    reply = await virtual.services.submissions.put("t", job.job_id, make_spec("two"), EACH_MINUTE)
    assert reply.tick_id == job.tick_id
    assert (await virtual.job(job.job_id)).next_tick == before.next_tick
    await virtual.until(first_minute(virtual))
    (execution,) = await virtual.executions(job.job_id)
    assert (execution.spec.image, execution.tick_id) == ("two", job.tick_id)


async def test_a_changed_cron_meets_no_due_time_twice(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    minute = first_minute(virtual)
    (first,) = await virtual.until(minute)
    await virtual.services.submissions.put("t", job.job_id, make_spec(), Schedule(ScheduleKind.CRON, None, Cron("*/1 * * * *")))
    assert (await virtual.job(job.job_id)).next_tick == minute + MINUTE
    virtual.clock.set(minute + MINUTE)
    (second,) = await virtual.work()
    assert [one.id for one in await virtual.executions(job.job_id)] == [first, second]


@pytest.mark.parametrize("schedule", [Schedule(), EACH_MINUTE])
async def test_a_put_makes_a_stopped_job_alive_again(virtual, schedule):
    job = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    assert (await virtual.services.stops.stop_job("t", job.job_id)).status == "stopped"
    await virtual.services.submissions.put("t", job.job_id, make_spec(), schedule)
    assert not (await virtual.job(job.job_id)).stopped
    virtual.clock.set(first_minute(virtual))
    (started,) = await virtual.work()
    execution = await virtual.run(started)
    assert not (await virtual.job(job.job_id)).stops(execution.sequence)


async def test_a_put_ends_a_pause(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await virtual.services.pauses.pause("t", job.job_id)
    virtual.clock.set(first_minute(virtual) + 90_000)
    await virtual.services.submissions.put("t", job.job_id, make_spec(), EACH_MINUTE)
    assert not (await virtual.job(job.job_id)).paused
    assert await virtual.ledger(job.job_id) == ["skipped"]
    assert len(await virtual.until(first_minute(virtual))) == 1


async def test_an_id_that_lives_in_another_task_is_a_conflict(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    with pytest.raises(Conflict, match="another task"):
        await virtual.services.submissions.put("u", job.job_id, make_spec(), Schedule())
    assert await virtual.real_store.task("u") is None
    assert len(await virtual.executions(job.job_id)) == 1


async def test_a_put_to_a_task_that_no_pool_takes_is_invalid(virtual):
    nowhere = services_of(virtual.real_store, virtual.real_queue, virtual.clock, (Pool("only", "only-", ("h",)),))
    with pytest.raises(Invalid, match="no pool takes the task"):
        await nowhere.submissions.put("t", str(uuid4()), make_spec(), Schedule())
    assert (await virtual.real_store.counts()).jobs == 0


@pytest.mark.parametrize("schedule", [EACH_MINUTE, HOURLY, Schedule()])
async def test_a_run_is_one_more_execution_now_and_the_schedule_is_left(virtual, schedule):
    job = await virtual.services.submissions.enqueue("t", make_spec(), schedule)
    before = await virtual.job(job.job_id)
    reply = await virtual.services.manual_runs.run("t", job.job_id, SOMEBODY)
    assert reply.execution_id in await virtual.work()
    assert await virtual.job(job.job_id) == replace(before, sequence=before.sequence + 1)
    execution = await virtual.real_store.execution(reply.execution_id)
    assert (execution.tick_id, execution.requested_by, execution.scheduled_for) == (reply.tick_id, SOMEBODY, virtual.clock.now())
    if schedule is EACH_MINUTE:
        assert len(await virtual.until(first_minute(virtual))) == 1


async def test_a_run_of_a_stopped_cron_runs_and_leaves_it_stopped(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await virtual.services.stops.stop_job("t", job.job_id)
    reply = await virtual.services.manual_runs.run("t", job.job_id)
    assert await virtual.work() == [reply.execution_id]
    await virtual.finish(str(reply.execution_id))
    with pytest.raises(Conflict, match="was stopped"):
        await virtual.services.pauses.resume("t", job.job_id)
    virtual.clock.set(virtual.clock.now() + 10 * MINUTE)
    assert await virtual.work() == []


async def test_a_run_of_a_paused_job_runs_and_leaves_it_paused(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await virtual.services.pauses.pause("t", job.job_id)
    reply = await virtual.services.manual_runs.run("t", job.job_id)
    assert await virtual.work() == [reply.execution_id]
    assert (await virtual.job(job.job_id)).paused


@pytest.mark.parametrize("verb", ["run", "retry"])
async def test_a_request_that_another_change_overtakes_keeps_its_tick(virtual, verb):
    """Its store may have made the first of its tries: only the tick's id tells."""
    job = await ran(virtual)
    ticks = []

    async def overtaken(call):
        ticks.append(call.arguments[2][0].id)
        return len(ticks) == 3 and await call.carry()

    virtual.store.around("advance", overtaken)
    reply = await getattr(virtual.services.manual_runs, verb)("t", job.job_id)
    assert ticks == [reply.tick_id] * 3
    assert await virtual.work() == [reply.execution_id]


async def test_many_runs_at_once_all_run(virtual):
    job = await ran(virtual)
    replies = await asyncio.gather(*(virtual.services.manual_runs.run("t", job.job_id) for _ in range(30)))
    assert sorted(await virtual.work()) == sorted(str(reply.execution_id) for reply in replies)
    sequences = [one.sequence for one in await virtual.executions(job.job_id)]
    assert sequences == list(range(1, 32))


@pytest.mark.parametrize("verb", ["run", "retry"])
async def test_what_has_expired_for_good_is_not_run_by_hand(virtual, verb):
    job = await ran(virtual, expiration=virtual.clock.now() + MINUTE)
    virtual.clock.set(virtual.clock.now() + MINUTE - 1)
    reply = await method(virtual.services, verb)("t", job.job_id)
    await virtual.work()
    await virtual.finish(str(reply.execution_id))
    virtual.clock.set(virtual.clock.now() + 1)
    before = await virtual.job(job.job_id)
    with pytest.raises(Conflict, match=r"expiration of job .* was 20\d\d-.*send a PUT with a later one"):
        await method(virtual.services, verb)("t", job.job_id)
    assert await virtual.job(job.job_id) == before


@pytest.mark.parametrize("verb", ["run", "retry", "pause", "resume", "stop_job", "delete_job"])
async def test_what_is_not_there_is_not_found(virtual, verb):
    job = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    before = await virtual.job(job.job_id)
    for task_id, job_id in (("t", str(uuid4())), ("u", job.job_id)):
        with pytest.raises(NotFound):
            await method(virtual.services, verb)(task_id, job_id)
    assert await virtual.job(job.job_id) == before


@pytest.mark.parametrize("verb", ["stop_task", "delete_task"])
async def test_a_task_that_is_not_there_is_not_found(virtual, verb):
    with pytest.raises(NotFound):
        await method(virtual.services, verb)("u")


async def away() -> None:
    raise QueueDown("refused the connection")


@pytest.mark.parametrize("verb", ["put", "run", "retry", "resume"])
async def test_while_the_queue_is_away_nothing_is_armed_and_nothing_written(virtual, verb):
    job = await (ran(virtual) if verb == "retry" else virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE))
    if verb == "resume":
        await virtual.services.pauses.pause("t", job.job_id)
    before = await virtual.job(job.job_id)
    virtual.clock.set(virtual.clock.now() + 2_000)
    virtual.queue.before("check", away)
    more = (make_spec(), Schedule()) if verb == "put" else ()
    with pytest.raises(QueueDown):
        await method(virtual.services, verb)("t", job.job_id, *more)
    assert await virtual.job(job.job_id) == before


@pytest.mark.parametrize("verb", ["put", "run", "retry", "resume", "enqueue"])
async def test_once_the_store_has_it_a_queue_that_goes_away_hears_of_it_later(virtual, verb):
    job = await (ran(virtual) if verb == "retry" else virtual.services.submissions.enqueue("t", make_spec(), virtual.at(1)))
    if verb == "resume":
        await virtual.services.pauses.pause("t", job.job_id)
    virtual.queue.before("put", away)
    virtual.queue.before("put", away)
    more = (job.job_id, make_spec(), Schedule()) if verb == "put" else (make_spec(), Schedule()) if verb == "enqueue" else (job.job_id,)
    await method(virtual.services, verb)("t", *more)
    async with asyncio.timeout(20):
        await virtual.services.outbox.caught_up()
    assert virtual.queue.quiet
    virtual.clock.set(virtual.clock.now() + 5_000)
    assert len(await virtual.work()) == (2 if verb in ("run", "enqueue") else 1)


@pytest.mark.parametrize("verb", ["pause", "stop_job"])
async def test_a_pause_and_a_stop_hold_although_the_queue_does_not_hear_of_them(virtual, verb):
    job = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    virtual.queue.before("cancel", away)
    await method(virtual.services, verb)("t", job.job_id)
    assert virtual.queue.quiet
    virtual.clock.set(first_minute(virtual))
    assert await virtual.work() == []
    assert await virtual.claim() == []
