"""The stop of a task: every job that has something before it, page by page. In virtual time."""

import asyncio

from fastlane.models.schedule.cron import Cron
from fastlane.models.schedule.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.services.results import TaskStopped
from tests.support.factories import make_spec
from tests.support.scenarios import ran

MINUTE = 60_000
EACH_MINUTE = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))


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
