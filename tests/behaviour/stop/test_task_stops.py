"""The stop of a task: every job that has something before it, page by page. In virtual time."""

import asyncio

from fastlane.models.cron import Cron
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.services.results import TaskStopped
from tests.support.factories import make_spec
from tests.support.scenarios import ran

MINUTE = 60_000
EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))


async def test_the_stop_of_a_task_stops_every_job_that_has_something_before_it(virtual):
    done = [await ran(virtual) for _ in range(3)]
    waiting = [await virtual.services.submissions.enqueue("t", make_spec(), Schedule()) for _ in range(3)]
    coming = [await virtual.services.submissions.enqueue("t", make_spec(), schedule) for schedule in (EACH_MINUTE, virtual.at(60))]
    held = await virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE)
    await virtual.services.pauses.pause("t", held.job_id)
    other = await virtual.services.submissions.enqueue("u", make_spec(), Schedule())
    started = [id for id in await virtual.work() if id != other.execution_id]
    await virtual.run(started[0])
    await virtual.run(str(other.execution_id))
    assert await virtual.services.stops.stop_task("t") == TaskStopped("t", 6)
    for job in (*waiting, *coming, held):
        stored = await virtual.job(job.job_id)
        assert (stored.stopped, stored.next_tick, stored.held_tick) == (True, None, None)
    statuses = {one.status for job in waiting for one in await virtual.executions(job.job_id)}
    assert statuses == {Status.STOPPED, Status.RUNNING}
    assert (await virtual.real_store.execution(started[0])).stop_requested_at is not None
    assert not any([(await virtual.job(job.job_id)).stopped for job in (*done, other)])
    await virtual.end(started[0])
    for id in started:
        await virtual.settle(id)
    assert await virtual.services.stops.stop_task("t") == TaskStopped("t", 0)
    virtual.clock.set(virtual.clock.now() + 10 * MINUTE)
    assert await virtual.work() == []


async def test_the_stop_of_a_task_takes_the_automatic_retry_with_it(virtual):
    job = await virtual.services.submissions.enqueue("t", make_spec(retries=3, retry_delay=0), Schedule())
    await virtual.work()
    await virtual.run(str(job.execution_id))
    await virtual.end(str(job.execution_id), 1)
    assert await virtual.services.stops.stop_task("t") == TaskStopped("t", 1)
    await virtual.settle(str(job.execution_id))
    assert await virtual.work() == []
    assert len(await virtual.executions(job.job_id)) == 1


async def test_a_task_with_many_jobs_is_stopped_page_by_page(virtual):
    jobs = await asyncio.gather(*(virtual.services.submissions.enqueue("t", make_spec(), EACH_MINUTE) for _ in range(450)))
    assert await virtual.services.stops.stop_task("t") == TaskStopped("t", 450)
    assert all([(await virtual.job(job.job_id)).stopped for job in jobs])
