"""A process that ends between the store and the queue, or between two steps, in each call on a job: what it leaves behind, who finds it,
and that a queue which is lost just then is built anew as the store says."""

import pytest

from fastlane.models.schedule.cron import Cron
from fastlane.models.schedule.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.services.results import Deleted, Enqueued
from tests.support.factories import make_spec
from tests.support.intercept import Died, dies
from tests.support.ledger import count_executions
from tests.support.services import method
from tests.support.stage import Stage

MINUTE = 60_000
EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
DAILY = Schedule(ScheduleKind.CRON, None, Cron("@daily"))

FINDERS = ["the reconciler", "a rebuild"]


def first_minute(stage: Stage) -> int:
    return stage.clock.now() // MINUTE * MINUTE + MINUTE


async def found(stage: Stage, by: str) -> None:
    """Somebody looks after what was left behind."""
    if by == "a rebuild":
        await stage.rebuild()
    else:
        for part in (stage.reconciler.pause, stage.reconciler.requeue, stage.reconciler.stop, stage.reconciler.settle):
            await part()


async def died(stage: Stage, verb: str, *arguments: object, at: str = "put", **named: object) -> None:
    """A client's call, whose process ends just before it calls that verb of the queue."""
    stage.queue.before(at, dies)
    with pytest.raises(Died):
        await method(stage.services, verb)(*arguments, **named)


async def ran(stage: Stage) -> Enqueued:
    job = await stage.others.submissions.enqueue("t", make_spec(), Schedule())
    await stage.work()
    await stage.finish(str(job.execution_id))
    return job


# something is to run now


@pytest.mark.parametrize("finder", FINDERS)
@pytest.mark.parametrize("verb", ["put", "put anew", "run", "retry"])
async def test_what_was_to_run_now_runs_once(stage, verb, finder):
    job = await ran(stage)
    if verb == "put anew":
        await stage.others.deletions.delete_job("t", job.job_id)
    more = (make_spec(), Schedule()) if verb.startswith("put") else ()
    await died(stage, verb.split()[0], "t", job.job_id, *more)
    assert await stage.work() == []
    for _ in range(2):
        await found(stage, finder)
    (started,) = await stage.work()
    await stage.finish(started)
    await found(stage, finder)
    assert await stage.work() == []
    assert [one.id for one in await stage.executions(job.job_id)][-1:] == [started]


# a tick is to come, or another one


@pytest.mark.parametrize("finder", FINDERS)
async def test_a_tick_that_a_put_moved_to_a_sooner_moment_fires_then(stage, finder):
    job = await stage.others.submissions.enqueue("t", make_spec(), DAILY)
    await died(stage, "put", "t", job.job_id, make_spec(), stage.at(90))
    due = stage.clock.now() + 90_000
    await found(stage, finder)
    assert len(await stage.until(due)) == 1


@pytest.mark.parametrize("finder", [None, *FINDERS])
async def test_a_tick_that_a_put_moved_to_a_later_moment_fires_only_then(stage, finder):
    """Where nobody looked before, the timer puts the entry right at the old moment."""
    job = await stage.others.submissions.enqueue("t", make_spec(), stage.at(30))
    due = stage.clock.now() + 90_000
    await died(stage, "put", "t", job.job_id, make_spec(), stage.at(90))
    if finder:
        await found(stage, finder)
    stage.clock.set(due - 60_000)
    assert await stage.work() == []
    assert len(await stage.until(due)) == 1
    assert len(await stage.executions(job.job_id)) == 1


@pytest.mark.parametrize("finder", FINDERS)
async def test_a_put_of_a_job_that_runs_now_leaves_no_tick_to_fire(stage, finder):
    """It died after it had put the execution, before the old tick's entry was out of the queue."""
    job = await stage.others.submissions.enqueue("t", make_spec(), stage.at(60))
    await died(stage, "put", "t", job.job_id, make_spec(), Schedule(), at="cancel")
    await found(stage, finder)
    (started,) = await stage.work()
    stage.clock.set(stage.clock.now() + 10 * MINUTE)
    assert await stage.work() == []
    assert await stage.claim() == []
    assert [one.id for one in await stage.executions(job.job_id)] == [started]


@pytest.mark.parametrize("finder", FINDERS)
@pytest.mark.parametrize("schedule", ["cron", "at", "past"])
async def test_a_job_that_was_resumed_fires(stage, schedule, finder):
    due = first_minute(stage) + MINUTE
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE if schedule == "cron" else Schedule(ScheduleKind.AT, due))
    await stage.others.pauses.pause("t", job.job_id)
    if schedule == "past":
        stage.clock.set(due + 5 * MINUTE)
    await died(stage, "resume", "t", job.job_id)
    await found(stage, finder)
    if schedule != "past":
        assert await stage.until((await stage.job(job.job_id)).next_tick) != []
    else:
        assert len(await stage.work()) == 1
    assert len(await stage.executions(job.job_id)) == 1


# nothing is to run


@pytest.mark.parametrize("finder", [None, *FINDERS])
@pytest.mark.parametrize("verb", ["pause", "stop_job"])
async def test_a_job_that_was_paused_or_stopped_does_not_fire(stage, verb, finder):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await died(stage, verb, "t", job.job_id, at="cancel")
    if finder:
        await found(stage, finder)
    stage.clock.set(first_minute(stage) + 5 * MINUTE)
    assert await stage.work() == []
    assert await stage.claim() == []
    assert await stage.executions(job.job_id) == []


@pytest.mark.parametrize("finder", FINDERS)
async def test_a_paused_job_is_still_paused_to_a_queue_built_anew_and_can_be_resumed(stage, finder):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await stage.others.pauses.pause("t", job.job_id)
    await found(stage, finder)
    stage.clock.set(first_minute(stage) + 5 * MINUTE)
    assert await stage.work() == []
    await stage.others.pauses.resume("t", job.job_id)
    assert len(await stage.until(first_minute(stage))) == 1


@pytest.mark.parametrize("finder", FINDERS)
async def test_a_stop_that_covered_what_waits_and_what_runs_and_told_nobody_holds(stage, finder):
    job = await stage.others.submissions.enqueue("t", make_spec(), Schedule())
    await stage.work()
    await stage.run(str(job.execution_id))
    waiting = await stage.others.manual_runs.run("t", job.job_id)
    stage.store.before("executions_of", dies)
    with pytest.raises(Died):
        await stage.services.stops.stop_job("t", job.job_id)
    await found(stage, "the reconciler")
    await found(stage, finder)
    running = await stage.real_store.execution(job.execution_id)
    assert running.stop_requested_at is not None
    stopped = await stage.real_store.execution(waiting.execution_id)
    assert (await stage.job(job.job_id)).stops(stopped.sequence)


@pytest.mark.parametrize("finder", FINDERS)
async def test_a_task_s_stop_that_died_amid_its_jobs_is_completed_by_a_repeat(stage, finder):
    jobs = [await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE) for _ in range(40)]
    await died(stage, "stop_task", "t", at="cancel")
    await found(stage, finder)
    assert not all([(await stage.job(job.job_id)).stopped for job in jobs])
    await stage.others.stops.stop_task("t")
    assert all([(await stage.job(job.job_id)).stopped for job in jobs])
    stage.clock.set(first_minute(stage))
    assert await stage.work() == []


# deletes


@pytest.mark.parametrize("finder", [None, *FINDERS])
async def test_a_job_that_was_deleted_before_its_entry_went_fires_nothing(stage, finder):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await stage.real_store.stop_job(job.job_id, stage.clock.now())
    await died(stage, "delete_job", "t", job.job_id, at="cancel")
    assert await stage.real_store.job(job.job_id) is None
    if finder:
        await found(stage, finder)
    stage.clock.set(first_minute(stage))
    assert await stage.work() == []
    assert await stage.claim() == []


@pytest.mark.parametrize("finder", FINDERS)
async def test_a_delete_that_died_amid_the_history_is_completed_by_a_repeat(stage, finder):
    job = await ran(stage)
    await stage.past(job.job_id, 600)
    stage.store.after("delete_job", dies)
    with pytest.raises(Died):
        await stage.services.deletions.delete_job("t", job.job_id)
    assert await count_executions(stage.real_store, job.job_id) > 0
    await found(stage, finder)
    assert await stage.work() == []
    assert await stage.others.deletions.delete_job("t", job.job_id) == Deleted("t", job.job_id)
    counts = await stage.real_store.counts()
    assert (counts.jobs, sum(counts.executions.values())) == (0, 0)
    assert (await stage.real_store.task("t")).jobs_count == 0


@pytest.mark.parametrize("point", ["delete_job", "delete_task"])
async def test_a_task_s_delete_that_died_amid_its_jobs_is_completed_by_a_repeat(stage, point):
    for _ in range(30):
        await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await stage.others.stops.stop_task("t")
    stage.store.after(point, dies)
    with pytest.raises(Died):
        await stage.services.deletions.delete_task("t")
    left = await stage.real_store.task("t")
    assert left is not None
    assert (left.jobs_count < 30) is (point == "delete_job")
    assert await stage.others.deletions.delete_task("t") == Deleted("t", None)
    assert await stage.real_store.task("t") is None
    counts = await stage.real_store.counts()
    assert (counts.tasks, counts.jobs, counts.executions[Status.STOPPED]) == (0, 0, 0)


async def test_a_delete_with_stop_that_died_after_the_stop_leaves_a_stopped_job(stage):
    job = await stage.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    stage.store.before("delete_job", dies)
    with pytest.raises(Died):
        await stage.services.deletions.delete_job("t", job.job_id, stop=True)
    assert (await stage.job(job.job_id)).stopped
    assert await stage.others.deletions.delete_job("t", job.job_id) == Deleted("t", job.job_id)
