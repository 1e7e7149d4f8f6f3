"""Deleting jobs and tasks: when it may be done, what is waited for, and what the words say when it may not."""

import asyncio
from pathlib import Path

import pytest
import structlog

from fastlane.errors import Conflict, NotFound
from fastlane.executors.port import Order
from fastlane.models.cron import Cron
from fastlane.models.log import STDOUT, Head, Piece
from fastlane.models.pool import Pull
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.scheduler.cleaner import UNKNOWN_AFTER
from fastlane.scheduler.launcher import order_of
from fastlane.services.results import Deleted, Enqueued
from fastlane.services.stops import MAX_WAIT
from tests.support.factories import chunk, make_execution, make_spec
from tests.support.fastlane import Fastlane
from tests.support.intercept import Call, Died, dies, intercept
from tests.support.ledger import count_executions, tick_of
from tests.support.redis import RealRedis
from tests.support.services import method
from tests.support.virtual_time import HOST, VirtualFastlane
from tests.support.waiting import until

MINUTE = 60_000
EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))


async def ran(virtual: VirtualFastlane, task: str = "t") -> Enqueued:
    job = await virtual.services.submissions.enqueue(task, make_spec(), Schedule())
    await virtual.work()
    await virtual.finish(str(job.execution_id))
    return job


async def nothing_of(virtual: VirtualFastlane, job: Enqueued) -> bool:
    store = virtual.real_store
    rows = [await store.job(job.job_id), await tick_of(store, job.job_id, job.tick_id), await store.execution(str(job.execution_id))]
    return rows == [None, None, None] and (await store.log_head(str(job.execution_id))).offset == 0


async def test_a_job_is_deleted_with_its_history_and_its_log(virtual):
    kept, job = await ran(virtual), await ran(virtual)
    await virtual.real_store.append(chunk(str(job.execution_id), Head(), [Piece(STDOUT, 1, b"text")]))
    assert await virtual.services.deletions.delete_job("t", job.job_id) == Deleted("t", job.job_id)
    assert await nothing_of(virtual, job)
    assert (await virtual.real_store.task("t")).jobs_count == 1
    assert len(await virtual.executions(kept.job_id)) == 1
    with pytest.raises(NotFound):
        await virtual.services.deletions.delete_job("t", job.job_id)


async def test_a_task_outlives_its_last_job(virtual):
    job = await ran(virtual)
    await virtual.services.deletions.delete_job("t", job.job_id)
    assert (await virtual.real_store.task("t")).jobs_count == 0
    assert await virtual.services.deletions.delete_task("t") == Deleted("t", None)
    with pytest.raises(NotFound):
        await virtual.services.deletions.delete_task("t")


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
async def test_what_is_scheduled_or_runs_is_not_deleted_and_the_words_say_so(virtual, state, words, whole_task):
    done = await ran(virtual)
    job = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE if state in ("scheduled", "paused") else Schedule())
    await virtual.work()
    if state == "paused":
        await virtual.services.pauses.pause("t", job.job_id)
    if state == "runs":
        await virtual.run(str(job.execution_id))
    before = virtual.clock.now()
    with pytest.raises(Conflict, match=words):
        await (virtual.services.deletions.delete_task("t") if whole_task else virtual.services.deletions.delete_job("t", job.job_id))
    assert virtual.clock.now() == before
    assert len(await virtual.executions(done.job_id)) == 1
    assert (await virtual.real_store.task("t")).jobs_count == 2


@pytest.mark.parametrize("whole", [False, True])
async def test_what_is_being_stopped_is_stopping_for_a_deletion_and_a_retry(virtual, whole):
    job = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))
    if whole:
        await virtual.services.stops.stop_job("t", job.job_id)
    else:
        await virtual.services.stops.stop_execution("t", job.job_id, str(job.execution_id))
    for attempt in (virtual.services.deletions.delete_job, virtual.services.manual_runs.retry):
        with pytest.raises(Conflict, match=rf"{job.execution_id} of job .* is stopping; try again when it has ended"):
            await attempt("t", job.job_id)


@pytest.mark.parametrize("stop", [False, True])
async def test_an_end_that_nobody_settles_is_waited_for_and_named(virtual, stop):
    job = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))
    await virtual.end(str(job.execution_id))
    before = virtual.clock.now()
    with pytest.raises(Conflict, match=rf"execution {job.execution_id} .* has ended \(done\), but a worker has not settled it yet"):
        await virtual.services.deletions.delete_job("t", job.job_id, stop=stop)
    assert MAX_WAIT <= virtual.clock.now() - before <= MAX_WAIT + 1_000
    assert len(await virtual.executions(job.job_id)) == 1


async def test_a_service_that_is_not_removed_yet_is_waited_for_and_its_host_named(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))
    await virtual.settler.settle(await virtual.end(str(job.execution_id)))
    with pytest.raises(Conflict, match=rf"the service of execution .* has not been removed from the host {HOST} yet"):
        await virtual.services.deletions.delete_job("t", job.job_id)
    virtual.clock.in_sleep = [lambda: asyncio.sleep(0)] * 3 + [lambda: virtual.settle(str(job.execution_id))]
    assert await virtual.services.deletions.delete_job("t", job.job_id) == Deleted("t", job.job_id)
    assert await nothing_of(virtual, job)


async def test_with_stop_a_running_job_is_stopped_and_deleted_when_it_has_ended(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))

    async def ends() -> None:
        ended = await virtual.end(str(job.execution_id))
        assert ended.status is Status.STOPPED

    virtual.clock.in_sleep = [lambda: asyncio.sleep(0), ends, lambda: virtual.settle(str(job.execution_id))]
    assert await virtual.services.deletions.delete_job("t", job.job_id, stop=True) == Deleted("t", job.job_id)
    assert await nothing_of(virtual, job)


async def test_with_stop_what_waits_is_stopped_and_deleted_once_it_is_settled(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    virtual.clock.in_sleep = [virtual.work]
    assert await virtual.services.deletions.delete_job("t", job.job_id, stop=True) == Deleted("t", job.job_id)
    assert await nothing_of(virtual, job)
    assert await virtual.work() == []


async def test_with_stop_one_that_does_not_end_in_time_is_kept_and_named(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))
    before = virtual.clock.now()
    with pytest.raises(Conflict, match="is stopping; try again when it has ended"):
        await virtual.services.deletions.delete_job("t", job.job_id, stop=True)
    assert MAX_WAIT <= virtual.clock.now() - before <= MAX_WAIT + 1_000
    assert (await virtual.real_store.execution(job.execution_id)).stop_requested_at is not None


@pytest.mark.parametrize("verb", ["run", "put"])
async def test_with_stop_a_job_that_is_armed_again_meanwhile_is_kept_at_once(virtual, verb):
    job = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))
    more = (make_spec(), EACH_MINUTE) if verb == "put" else ()
    virtual.clock.in_sleep = [lambda: method(virtual.others, verb)("t", job.job_id, *more)]
    before = virtual.clock.now()
    with pytest.raises(Conflict, match="it was scheduled or run again after the stop"):
        await virtual.services.deletions.delete_job("t", job.job_id, stop=True)
    assert virtual.clock.now() - before < 1_000
    assert await virtual.real_store.job(job.job_id) is not None


@pytest.mark.parametrize("schedule", [EACH_MINUTE, Schedule(ScheduleKind.AT, 2_000_000_000_000)])
@pytest.mark.parametrize("paused", [False, True])
async def test_with_stop_a_scheduled_job_is_deleted_and_leaves_the_queue(virtual, schedule, paused):
    job = await virtual.services.submissions.enqueue("t", make_spec(), schedule)
    if paused:
        await virtual.services.pauses.pause("t", job.job_id)
    assert await virtual.services.deletions.delete_job("t", job.job_id, stop=True) == Deleted("t", job.job_id)
    virtual.clock.set(3_000_000_000_000)
    assert await virtual.claim() == []


async def test_a_task_is_deleted_with_all_of_its_jobs(virtual):
    other = await ran(virtual, "u")
    jobs = [await ran(virtual) for _ in range(40)]
    assert await virtual.services.deletions.delete_task("t") == Deleted("t", None)
    assert all([await nothing_of(virtual, job) for job in jobs])
    assert await virtual.real_store.task("t") is None
    assert len(await virtual.executions(other.job_id)) == 1
    counts = await virtual.real_store.counts()
    assert (counts.tasks, counts.jobs, counts.executions[Status.DONE]) == (1, 1, 1)


async def test_a_task_of_more_than_a_page_is_deleted(virtual):
    await asyncio.gather(*(virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE) for _ in range(450)))
    assert await virtual.services.deletions.delete_task("t", stop=True) == Deleted("t", None)
    counts = await virtual.real_store.counts()
    assert (counts.tasks, counts.jobs) == (0, 0)
    virtual.clock.set(virtual.clock.now() + 10 * MINUTE)
    assert await virtual.claim() == []


async def test_with_stop_a_task_is_stopped_and_deleted_once_its_jobs_have_ended(virtual):
    await ran(virtual)
    running = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    await virtual.run(str(running.execution_id))
    for schedule in (Schedule(), EACH_MINUTE):
        await virtual.services.submissions.enqueue("t", make_spec(), schedule)

    async def ends() -> None:
        await virtual.work()
        await virtual.end(str(running.execution_id))

    virtual.clock.in_sleep = [ends, lambda: virtual.settle(str(running.execution_id))]
    assert await virtual.services.deletions.delete_task("t", stop=True) == Deleted("t", None)
    assert await virtual.real_store.task("t") is None
    assert (await virtual.real_store.counts()).jobs == 0


async def test_a_job_that_comes_to_a_task_which_is_being_deleted_keeps_it(virtual):
    await ran(virtual)
    virtual.store.before("delete_task", lambda: asyncio.sleep(0))
    virtual.store.before("delete_task", lambda: virtual.others.submissions.enqueue("t", make_spec(), Schedule()))
    with pytest.raises(Conflict, match="is enqueued"):
        await virtual.services.deletions.delete_task("t")
    assert (await virtual.real_store.task("t")).jobs_count == 1
    assert len(await virtual.work()) == 1


async def test_a_job_that_comes_just_after_its_task_was_deleted_makes_it_anew(virtual):
    await ran(virtual)
    await virtual.services.deletions.delete_task("t")
    await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    assert (await virtual.real_store.task("t")).jobs_count == 1
    assert (await virtual.real_store.counts()).tasks == 1


@pytest.mark.parametrize("activated", [False, True])
async def test_a_service_of_a_deleted_job_is_removed_in_the_next_round(virtual, activated):
    """A worker that woke up late parked one more; or the host was away, and its container ran on."""
    job = await virtual.services.submissions.enqueue("t", make_spec("ubuntu"), Schedule())
    await virtual.work()
    order = order_of(await virtual.run(str(job.execution_id)), None)
    await virtual.end(str(job.execution_id))
    await virtual.settle(str(job.execution_id))
    await virtual.services.deletions.delete_job("t", job.job_id)
    await parked(virtual, order, activated=activated)
    await virtual.leftovers.remove_leftovers()
    assert await services(virtual) == []


@pytest.mark.parametrize("activated", [False, True])
async def test_a_service_that_the_store_never_knew_is_removed_after_an_hour_if_it_never_was_activated(virtual, activated):
    """Another store may know it, or this one after a restore."""
    service = await parked(virtual, order_of(make_execution(id="unknown"), None), activated=activated)
    for wait, left in ((UNKNOWN_AFTER, True), (1, activated)):
        virtual.clock.set(virtual.clock.now() + wait)
        await virtual.leftovers.remove_leftovers()
        assert await services(virtual) == ([service] if left else [])


async def test_an_unknown_service_is_reported_once_by_each_worker(virtual):
    await parked(virtual, order_of(make_execution(id="unknown"), None), activated=True)
    virtual.clock.set(virtual.clock.now() + UNKNOWN_AFTER + 1)
    with structlog.testing.capture_logs() as events:
        for _ in range(3):
            await virtual.leftovers.remove_leftovers()
    assert [event["event"] for event in events if event["log_level"] == "error"] == ["service.unknown"]


async def test_a_deletion_waits_until_what_a_worker_was_parking_is_removed(virtual):
    """The stop comes after the service was parked, and before it was bound."""
    job = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    deletions: list[asyncio.Task[Deleted]] = []

    async def park(call: Call) -> object:
        service = await call.carry()
        deletions.append(asyncio.create_task(virtual.services.deletions.delete_job("t", job.job_id, stop=True)))
        await until(lambda: stop_requested(virtual, job), "the stop")
        return service

    async def remove(call: Call) -> object:
        await asyncio.sleep(0)
        assert not deletions[0].done()
        return await call.carry()

    intercept(virtual.executor, "park", park)
    intercept(virtual.executor, "remove", remove)
    stopped = await virtual.place(str(job.execution_id))
    assert stopped is not None
    assert stopped.status is Status.STOPPED
    assert await services(virtual) == []
    await virtual.settle(stopped.id)
    assert await deletions[0] == Deleted("t", job.job_id)
    assert await nothing_of(virtual, job)


async def test_what_a_worker_that_died_had_parked_for_a_deleted_job_is_removed_in_the_next_round(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    virtual.worker_store.before("change", dies)  # the binding
    with pytest.raises(Died):
        await virtual.place(str(job.execution_id))
    assert len(await services(virtual)) == 1
    await virtual.services.stops.stop_job("t", job.job_id)
    await virtual.place(str(job.execution_id))
    await virtual.settle(str(job.execution_id))
    assert await virtual.services.deletions.delete_job("t", job.job_id) == Deleted("t", job.job_id)
    await virtual.leftovers.remove_leftovers()
    assert await services(virtual) == []


async def parked(virtual: VirtualFastlane, order: Order, *, activated: bool) -> str:
    """The id of a service that is parked for this order, and perhaps started."""
    service = await virtual.executor.park(HOST, order, await virtual.executor.resolve(HOST, "ubuntu", Pull.MISSING))
    if activated:
        await virtual.executor.activate(HOST, service)
    return service


async def services(virtual: VirtualFastlane) -> list[str]:
    return [one.id for one in await virtual.executor.services(HOST)]


async def stop_requested(virtual: VirtualFastlane, job: Enqueued) -> bool:
    row = await virtual.real_store.execution(str(job.execution_id))
    return row is not None and row.stop_requested_at is not None


async def test_while_a_long_history_is_deleted_others_write(virtual):
    """Between any two of its steps at least one other write is through: each step is a commit of its own."""
    job = await ran(virtual)
    await virtual.past(job.job_id, 1_000)
    steps: list[int] = []

    async def other() -> None:
        steps.append(await count_executions(virtual.real_store, job.job_id))
        await virtual.others.submissions.enqueue("u", make_spec(), Schedule())

    for _ in range(5):
        virtual.store.after("delete_job", other)
    await virtual.services.deletions.delete_job("t", job.job_id)
    assert len(steps) == 5
    assert await virtual.real_store.job(job.job_id) is None
    assert (await virtual.real_store.task("u")).jobs_count == 5


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
