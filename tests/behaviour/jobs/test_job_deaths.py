"""A process that ends between the store and the queue, or between two steps, in each call on a job: what it leaves behind, who finds it,
and that a queue which is lost just then is built anew as the store says."""

import pytest

from fastlane.models.cron import Cron
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.services.results import Deleted, Enqueued
from tests.support.factories import make_spec
from tests.support.intercept import Died, dies
from tests.support.ledger import count_executions
from tests.support.services import method
from tests.support.virtual_time import VirtualFastlane

MINUTE = 60_000
EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
DAILY = Schedule(ScheduleKind.CRON, None, Cron("@daily"))

FINDERS = ["the reconciler", "a rebuild"]


def first_minute(virtual: VirtualFastlane) -> int:
    return virtual.clock.now() // MINUTE * MINUTE + MINUTE


async def found(virtual: VirtualFastlane, by: str) -> None:
    """Somebody looks after what was left behind."""
    if by == "a rebuild":
        await virtual.rebuild()
    else:
        for part in (virtual.reconciler.pause, virtual.reconciler.requeue, virtual.reconciler.stop, virtual.reconciler.settle):
            await part()


async def died(virtual: VirtualFastlane, verb: str, *arguments: object, at: str = "put", **named: object) -> None:
    """A client's call, whose process ends just before it calls that verb of the queue."""
    virtual.queue.before(at, dies)
    with pytest.raises(Died):
        await method(virtual.services, verb)(*arguments, **named)


async def ran(virtual: VirtualFastlane) -> Enqueued:
    job = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    await virtual.finish(str(job.execution_id))
    return job


# something is to run now


@pytest.mark.parametrize("finder", FINDERS)
@pytest.mark.parametrize("verb", ["put", "put anew", "run", "retry"])
async def test_what_was_to_run_now_runs_once(virtual, verb, finder):
    job = await ran(virtual)
    if verb == "put anew":
        await virtual.others.deletions.delete_job("t", job.job_id)
    more = (make_spec(), Schedule()) if verb.startswith("put") else ()
    await died(virtual, verb.split()[0], "t", job.job_id, *more)
    assert await virtual.work() == []
    for _ in range(2):
        await found(virtual, finder)
    (started,) = await virtual.work()
    await virtual.finish(started)
    await found(virtual, finder)
    assert await virtual.work() == []
    assert [one.id for one in await virtual.executions(job.job_id)][-1:] == [started]


# a tick is to come, or another one


@pytest.mark.parametrize("finder", FINDERS)
async def test_a_tick_that_a_put_moved_to_a_sooner_moment_fires_then(virtual, finder):
    job = await virtual.others.submissions.enqueue("t", make_spec(), DAILY)
    await died(virtual, "put", "t", job.job_id, make_spec(), virtual.at(90))
    due = virtual.clock.now() + 90_000
    await found(virtual, finder)
    assert len(await virtual.until(due)) == 1


@pytest.mark.parametrize("finder", [None, *FINDERS])
async def test_a_tick_that_a_put_moved_to_a_later_moment_fires_only_then(virtual, finder):
    """Where nobody looked before, the timer puts the entry right at the old moment."""
    job = await virtual.others.submissions.enqueue("t", make_spec(), virtual.at(30))
    due = virtual.clock.now() + 90_000
    await died(virtual, "put", "t", job.job_id, make_spec(), virtual.at(90))
    if finder:
        await found(virtual, finder)
    virtual.clock.set(due - 60_000)
    assert await virtual.work() == []
    assert len(await virtual.until(due)) == 1
    assert len(await virtual.executions(job.job_id)) == 1


@pytest.mark.parametrize("finder", [None, *FINDERS])
async def test_a_tick_whose_job_was_edited_fires_once_at_its_moment_with_the_new_details(virtual, finder):
    job = await virtual.others.submissions.enqueue("t", make_spec("old"), virtual.at(60))
    due = virtual.clock.now() + MINUTE
    await died(virtual, "edit", "t", job.job_id, lambda seen, _now: (make_spec("new"), seen.schedule))
    if finder:
        await found(virtual, finder)
    assert await virtual.work() == []
    assert len(await virtual.until(due)) == 1
    assert [one.spec.image for one in await virtual.executions(job.job_id)] == ["new"]


@pytest.mark.parametrize("finder", FINDERS)
async def test_a_put_of_a_job_that_runs_now_leaves_no_tick_to_fire(virtual, finder):
    """It died after it had put the execution, before the old tick's entry was out of the queue."""
    job = await virtual.others.submissions.enqueue("t", make_spec(), virtual.at(60))
    await died(virtual, "put", "t", job.job_id, make_spec(), Schedule(), at="cancel")
    await found(virtual, finder)
    (started,) = await virtual.work()
    virtual.clock.set(virtual.clock.now() + 10 * MINUTE)
    assert await virtual.work() == []
    assert await virtual.claim() == []
    assert [one.id for one in await virtual.executions(job.job_id)] == [started]


@pytest.mark.parametrize("finder", FINDERS)
@pytest.mark.parametrize("schedule", ["cron", "at", "past"])
async def test_a_job_that_was_resumed_fires(virtual, schedule, finder):
    due = first_minute(virtual) + MINUTE
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE if schedule == "cron" else Schedule(ScheduleKind.AT, due))
    await virtual.others.pauses.pause("t", job.job_id)
    if schedule == "past":
        virtual.clock.set(due + 5 * MINUTE)
    await died(virtual, "resume", "t", job.job_id)
    await found(virtual, finder)
    if schedule != "past":
        assert await virtual.until((await virtual.job(job.job_id)).next_tick) != []
    else:
        assert len(await virtual.work()) == 1
    assert len(await virtual.executions(job.job_id)) == 1


# nothing is to run


@pytest.mark.parametrize("finder", [None, *FINDERS])
@pytest.mark.parametrize("verb", ["pause", "stop_job"])
async def test_a_job_that_was_paused_or_stopped_does_not_fire(virtual, verb, finder):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await died(virtual, verb, "t", job.job_id, at="cancel")
    if finder:
        await found(virtual, finder)
    virtual.clock.set(first_minute(virtual) + 5 * MINUTE)
    assert await virtual.work() == []
    assert await virtual.claim() == []
    assert await virtual.executions(job.job_id) == []


@pytest.mark.parametrize("finder", FINDERS)
async def test_a_paused_job_is_still_paused_to_a_queue_built_anew_and_can_be_resumed(virtual, finder):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await virtual.others.pauses.pause("t", job.job_id)
    await found(virtual, finder)
    virtual.clock.set(first_minute(virtual) + 5 * MINUTE)
    assert await virtual.work() == []
    await virtual.others.pauses.resume("t", job.job_id)
    assert len(await virtual.until(first_minute(virtual))) == 1


@pytest.mark.parametrize("finder", FINDERS)
async def test_a_stop_that_covered_what_waits_and_what_runs_and_told_nobody_holds(virtual, finder):
    job = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))
    waiting = await virtual.others.manual_runs.run("t", job.job_id)
    virtual.store.before("executions_of", dies)
    with pytest.raises(Died):
        await virtual.services.stops.stop_job("t", job.job_id)
    await found(virtual, "the reconciler")
    await found(virtual, finder)
    running = await virtual.real_store.execution(job.execution_id)
    assert running.stop_requested_at is not None
    stopped = await virtual.real_store.execution(waiting.execution_id)
    assert (await virtual.job(job.job_id)).stops(stopped.sequence)


@pytest.mark.parametrize("finder", FINDERS)
async def test_a_task_s_stop_that_died_amid_its_jobs_is_completed_by_a_repeat(virtual, finder):
    jobs = [await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE) for _ in range(40)]
    await died(virtual, "stop_task", "t", at="cancel")
    await found(virtual, finder)
    assert not all([(await virtual.job(job.job_id)).stopped for job in jobs])
    await virtual.others.stops.stop_task("t")
    assert all([(await virtual.job(job.job_id)).stopped for job in jobs])
    virtual.clock.set(first_minute(virtual))
    assert await virtual.work() == []


# deletes


@pytest.mark.parametrize("finder", [None, *FINDERS])
async def test_a_job_that_was_deleted_before_its_entry_went_fires_nothing(virtual, finder):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await virtual.real_store.stop_job(job.job_id, virtual.clock.now())
    await died(virtual, "delete_job", "t", job.job_id, at="cancel")
    assert await virtual.real_store.job(job.job_id) is None
    if finder:
        await found(virtual, finder)
    virtual.clock.set(first_minute(virtual))
    assert await virtual.work() == []
    assert await virtual.claim() == []


@pytest.mark.parametrize("finder", FINDERS)
async def test_a_delete_that_died_amid_the_history_is_completed_by_a_repeat(virtual, finder):
    job = await ran(virtual)
    await virtual.past(job.job_id, 600)
    virtual.store.after("delete_job", dies)
    with pytest.raises(Died):
        await virtual.services.deletions.delete_job("t", job.job_id)
    assert await count_executions(virtual.real_store, job.job_id) > 0
    await found(virtual, finder)
    assert await virtual.work() == []
    assert await virtual.others.deletions.delete_job("t", job.job_id) == Deleted("t", job.job_id)
    counts = await virtual.real_store.counts()
    assert (counts.jobs, sum(counts.executions.values())) == (0, 0)
    assert (await virtual.real_store.task("t")).jobs_count == 0


@pytest.mark.parametrize("point", ["delete_job", "delete_task"])
async def test_a_task_s_delete_that_died_amid_its_jobs_is_completed_by_a_repeat(virtual, point):
    for _ in range(30):
        await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await virtual.others.stops.stop_task("t")
    virtual.store.after(point, dies)
    with pytest.raises(Died):
        await virtual.services.deletions.delete_task("t")
    left = await virtual.real_store.task("t")
    assert left is not None
    assert (left.jobs_count < 30) is (point == "delete_job")
    assert await virtual.others.deletions.delete_task("t") == Deleted("t", None)
    assert await virtual.real_store.task("t") is None
    counts = await virtual.real_store.counts()
    assert (counts.tasks, counts.jobs, counts.executions[Status.STOPPED]) == (0, 0, 0)


async def test_a_delete_with_stop_that_died_after_the_stop_leaves_a_stopped_job(virtual):
    job = await virtual.others.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    virtual.store.before("delete_job", dies)
    with pytest.raises(Died):
        await virtual.services.deletions.delete_job("t", job.job_id, stop=True)
    assert (await virtual.job(job.job_id)).stopped
    assert await virtual.others.deletions.delete_job("t", job.job_id) == Deleted("t", job.job_id)
