"""Deleting jobs and tasks: when it may be done, what is waited for, and what the words say when it may not."""

import asyncio
from pathlib import Path

import pytest

from fastlane.errors import Conflict, NotFound
from fastlane.models.logs.chunk import STDOUT, Head, Piece
from fastlane.models.placement.pool import Pull
from fastlane.models.schedule.cron import Cron
from fastlane.models.schedule.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.scheduler.launcher import order_of
from fastlane.scheduler.repair.reconciler import UNKNOWN_AFTER
from fastlane.services.jobs.deletions import MAX_WAIT
from fastlane.services.results import Deleted, Enqueued
from tests.support.factories import chunk, make_spec
from tests.support.fastlane import Fastlane
from tests.support.ledger import count_executions, tick_of
from tests.support.redis import RealRedis
from tests.support.services import method
from tests.support.stage import HOST, Stage

MINUTE = 60_000
EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))


async def ran(stage: Stage, task: str = "t") -> Enqueued:
    job = await stage.services.submissions.enqueue(task, make_spec(), Schedule())
    await stage.work()
    await stage.finish(str(job.execution_id))
    return job


async def nothing_of(stage: Stage, job: Enqueued) -> bool:
    store = stage.real_store
    rows = [await store.job(job.job_id), await tick_of(store, job.job_id, job.tick_id), await store.execution(str(job.execution_id))]
    return rows == [None, None, None] and (await store.log_head(str(job.execution_id))).offset == 0


async def test_a_job_is_deleted_with_its_history_and_its_log(stage):
    kept, job = await ran(stage), await ran(stage)
    await stage.real_store.append(chunk(str(job.execution_id), Head(), [Piece(STDOUT, 1, b"text")]))
    assert await stage.services.deletions.delete_job("t", job.job_id) == Deleted("t", job.job_id)
    assert await nothing_of(stage, job)
    assert (await stage.real_store.task("t")).jobs_count == 1
    assert len(await stage.executions(kept.job_id)) == 1
    with pytest.raises(NotFound):
        await stage.services.deletions.delete_job("t", job.job_id)


async def test_a_task_outlives_its_last_job(stage):
    job = await ran(stage)
    await stage.services.deletions.delete_job("t", job.job_id)
    assert (await stage.real_store.task("t")).jobs_count == 0
    assert await stage.services.deletions.delete_task("t") == Deleted("t", None)
    with pytest.raises(NotFound):
        await stage.services.deletions.delete_task("t")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("scheduled", r"has a tick to come; stop it first, or delete it with stop=1"),
        ("paused", r"is paused, with a tick to come; stop it first"),
        ("waits", r"is enqueued; stop it first, or delete it with stop=1"),
        ("runs", r"is running; stop it first, or delete it with stop=1"),
    ],
)
@pytest.mark.parametrize("whole_task", [False, True])
async def test_what_is_scheduled_or_runs_is_not_deleted_and_the_words_say_so(stage, state, words, whole_task):
    done = await ran(stage)
    job = await stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE if state in ("scheduled", "paused") else Schedule())
    await stage.work()
    if state == "paused":
        await stage.services.pauses.pause("t", job.job_id)
    if state == "runs":
        await stage.run(str(job.execution_id))
    before = stage.clock.now()
    with pytest.raises(Conflict, match=words):
        await (stage.services.deletions.delete_task("t") if whole_task else stage.services.deletions.delete_job("t", job.job_id))
    assert stage.clock.now() == before
    assert len(await stage.executions(done.job_id)) == 1
    assert (await stage.real_store.task("t")).jobs_count == 2


@pytest.mark.parametrize("stop", [False, True])
async def test_an_end_that_nobody_settles_is_waited_for_and_named(stage, stop):
    job = await stage.services.submissions.enqueue("t", make_spec(), Schedule())
    await stage.work()
    await stage.run(str(job.execution_id))
    await stage.end(str(job.execution_id))
    before = stage.clock.now()
    with pytest.raises(Conflict, match=rf"execution {job.execution_id} .* has ended \(done\), but a worker has not settled it yet"):
        await stage.services.deletions.delete_job("t", job.job_id, stop=stop)
    assert MAX_WAIT <= stage.clock.now() - before <= MAX_WAIT + 1_000
    assert len(await stage.executions(job.job_id)) == 1


async def test_a_service_that_is_not_removed_yet_is_waited_for_and_its_host_named(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), Schedule())
    await stage.work()
    await stage.run(str(job.execution_id))
    await stage.settler.settle(await stage.end(str(job.execution_id)))
    with pytest.raises(Conflict, match=rf"the service of execution .* has not been removed from the host {HOST} yet"):
        await stage.services.deletions.delete_job("t", job.job_id)
    stage.clock.in_sleep = [lambda: asyncio.sleep(0)] * 3 + [lambda: stage.settle(str(job.execution_id))]
    assert await stage.services.deletions.delete_job("t", job.job_id) == Deleted("t", job.job_id)
    assert await nothing_of(stage, job)


async def test_with_stop_a_running_job_is_stopped_and_deleted_when_it_has_ended(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), Schedule())
    await stage.work()
    await stage.run(str(job.execution_id))

    async def ends() -> None:
        ended = await stage.end(str(job.execution_id))
        assert ended.status is Status.STOPPED

    stage.clock.in_sleep = [lambda: asyncio.sleep(0), ends, lambda: stage.settle(str(job.execution_id))]
    assert await stage.services.deletions.delete_job("t", job.job_id, stop=True) == Deleted("t", job.job_id)
    assert await nothing_of(stage, job)


async def test_with_stop_what_waits_is_stopped_and_deleted_once_it_is_settled(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), Schedule())
    stage.clock.in_sleep = [stage.work]
    assert await stage.services.deletions.delete_job("t", job.job_id, stop=True) == Deleted("t", job.job_id)
    assert await nothing_of(stage, job)
    assert await stage.work() == []


async def test_with_stop_one_that_does_not_end_in_time_is_kept_and_named(stage):
    job = await stage.services.submissions.enqueue("t", make_spec(), Schedule())
    await stage.work()
    await stage.run(str(job.execution_id))
    before = stage.clock.now()
    with pytest.raises(Conflict, match="was asked to stop and is still running; try again when it has ended"):
        await stage.services.deletions.delete_job("t", job.job_id, stop=True)
    assert MAX_WAIT <= stage.clock.now() - before <= MAX_WAIT + 1_000
    assert (await stage.real_store.execution(job.execution_id)).stop_requested_at is not None


@pytest.mark.parametrize("verb", ["run", "put"])
async def test_with_stop_a_job_that_is_armed_again_meanwhile_is_kept_at_once(stage, verb):
    job = await stage.services.submissions.enqueue("t", make_spec(), Schedule())
    await stage.work()
    await stage.run(str(job.execution_id))
    more = (make_spec(), EACH_MINUTE) if verb == "put" else ()
    stage.clock.in_sleep = [lambda: method(stage.others, verb)("t", job.job_id, *more)]
    before = stage.clock.now()
    with pytest.raises(Conflict, match="it was scheduled or run again after the stop"):
        await stage.services.deletions.delete_job("t", job.job_id, stop=True)
    assert stage.clock.now() - before < 1_000
    assert await stage.real_store.job(job.job_id) is not None


@pytest.mark.parametrize("schedule", [EACH_MINUTE, Schedule(ScheduleKind.AT, 2_000_000_000_000)])
@pytest.mark.parametrize("paused", [False, True])
async def test_with_stop_a_scheduled_job_is_deleted_and_leaves_the_queue(stage, schedule, paused):
    job = await stage.services.submissions.enqueue("t", make_spec(), schedule)
    if paused:
        await stage.services.pauses.pause("t", job.job_id)
    assert await stage.services.deletions.delete_job("t", job.job_id, stop=True) == Deleted("t", job.job_id)
    stage.clock.set(3_000_000_000_000)
    assert await stage.claim() == []


async def test_a_task_is_deleted_with_all_of_its_jobs(stage):
    other = await ran(stage, "u")
    jobs = [await ran(stage) for _ in range(40)]
    assert await stage.services.deletions.delete_task("t") == Deleted("t", None)
    assert all([await nothing_of(stage, job) for job in jobs])
    assert await stage.real_store.task("t") is None
    assert len(await stage.executions(other.job_id)) == 1
    counts = await stage.real_store.counts()
    assert (counts.tasks, counts.jobs, counts.executions[Status.DONE]) == (1, 1, 1)


async def test_a_task_of_more_than_a_page_is_deleted(stage):
    await asyncio.gather(*(stage.services.submissions.enqueue("t", make_spec(), EACH_MINUTE) for _ in range(450)))
    assert await stage.services.deletions.delete_task("t", stop=True) == Deleted("t", None)
    counts = await stage.real_store.counts()
    assert (counts.tasks, counts.jobs) == (0, 0)
    stage.clock.set(stage.clock.now() + 10 * MINUTE)
    assert await stage.claim() == []


async def test_with_stop_a_task_is_stopped_and_deleted_once_its_jobs_have_ended(stage):
    await ran(stage)
    running = await stage.services.submissions.enqueue("t", make_spec(), Schedule())
    await stage.work()
    await stage.run(str(running.execution_id))
    for schedule in (Schedule(), EACH_MINUTE):
        await stage.services.submissions.enqueue("t", make_spec(), schedule)

    async def ends() -> None:
        await stage.work()
        await stage.end(str(running.execution_id))

    stage.clock.in_sleep = [ends, lambda: stage.settle(str(running.execution_id))]
    assert await stage.services.deletions.delete_task("t", stop=True) == Deleted("t", None)
    assert await stage.real_store.task("t") is None
    assert (await stage.real_store.counts()).jobs == 0


async def test_a_job_that_comes_to_a_task_which_is_being_deleted_keeps_it(stage):
    await ran(stage)
    stage.store.before("delete_task", lambda: asyncio.sleep(0))
    stage.store.before("delete_task", lambda: stage.others.submissions.enqueue("t", make_spec(), Schedule()))
    with pytest.raises(Conflict, match="is enqueued"):
        await stage.services.deletions.delete_task("t")
    assert (await stage.real_store.task("t")).jobs_count == 1
    assert len(await stage.work()) == 1


async def test_a_job_that_comes_just_after_its_task_was_deleted_makes_it_anew(stage):
    await ran(stage)
    await stage.services.deletions.delete_task("t")
    await stage.services.submissions.enqueue("t", make_spec(), Schedule())
    assert (await stage.real_store.task("t")).jobs_count == 1
    assert (await stage.real_store.counts()).tasks == 1


@pytest.mark.parametrize("activated", [False, True])
async def test_a_service_of_a_deleted_job_is_removed_after_an_hour_if_it_never_was_activated(stage, activated):
    """A worker that woke up late parked one more. What runs is left to a person, who is told."""
    job = await stage.services.submissions.enqueue("t", make_spec("ubuntu"), Schedule())
    await stage.work()
    order = order_of(await stage.run(str(job.execution_id)), None)
    await stage.end(str(job.execution_id))
    await stage.settle(str(job.execution_id))
    await stage.services.deletions.delete_job("t", job.job_id)
    service = await stage.executor.park(HOST, order, await stage.executor.resolve(HOST, "ubuntu", Pull.MISSING))
    if activated:
        await stage.executor.activate(HOST, service)
    for wait, left in ((UNKNOWN_AFTER, True), (1, activated)):
        stage.clock.set(stage.clock.now() + wait)
        await stage.reconciler.remove_leftovers()
        assert [one.id for one in await stage.executor.services(HOST)] == ([service] if left else [])


async def test_while_a_long_history_is_deleted_others_write(stage):
    """Between any two of its steps at least one other write is through: each step is a commit of its own."""
    job = await ran(stage)
    await stage.past(job.job_id, 1_000)
    steps: list[int] = []

    async def other() -> None:
        steps.append(await count_executions(stage.real_store, job.job_id))
        await stage.others.submissions.enqueue("u", make_spec(), Schedule())

    for _ in range(5):
        stage.store.after("delete_job", other)
    await stage.services.deletions.delete_job("t", job.job_id)
    assert len(steps) == 5
    assert await stage.real_store.job(job.job_id) is None
    assert (await stage.real_store.task("u")).jobs_count == 5


async def test_with_workers_what_has_just_ended_is_deleted_and_what_runs_is_stopped_first(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url) as crew:
        await crew.hire()
        done, running, coming = await crew.submit("exit", "0"), await crew.submit("hold"), await crew.submit(schedule=EACH_MINUTE)
        await crew.reaches(done, "done")
        assert await crew.services.deletions.delete_job("task", done.job_id) == Deleted("task", done.job_id)
        await crew.reaches(running, "running")
        with pytest.raises(Conflict, match="is running"):
            await crew.services.deletions.delete_job("task", running.job_id)
        assert await crew.services.deletions.delete_task("task", stop=True) == Deleted("task", None)
        for job in (done, running, coming):
            assert await crew.store.job(job.job_id) is None
        assert not any(crew.executor.world.values())
        await crew.idle()
