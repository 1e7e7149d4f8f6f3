"""An execution that waits for another of its job, and that one's end, a second run or a lost queue: who comes between a look and a write,
and who falls. What waits starts once, and never beside the other."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from fastlane.errors import Conflict, QueueDown, StoreDown
from fastlane.models import transitions
from fastlane.models.cron import Cron
from fastlane.models.job import Job, Spec
from fastlane.models.pool import REQUESTED
from fastlane.models.schedule import Overlap, Schedule, ScheduleKind
from fastlane.queue.redis.queue import RedisQueue
from fastlane.scheduler.settler import LOOK_AGAIN
from fastlane.services.jobs import RunWish
from tests.support.factories import make_spec
from tests.support.intercept import Died, dies, failing, intercepted
from tests.support.stored_data import damage
from tests.support.virtual_time import VirtualFastlane


async def run(virtual: VirtualFastlane, job_id: str) -> str:
    """Somebody else runs the job; the execution."""
    return str((await virtual.others.manual_runs.run("t", job_id)).execution_id)


async def running(virtual: VirtualFastlane, overlap: Overlap = Overlap.QUEUE) -> tuple[str, str]:
    """A job with that rule, and its execution, which runs."""
    schedule = Schedule(ScheduleKind.CRON, None, Cron("0 0 1 1 *"), overlap)
    job = await virtual.others.submissions.enqueue("t", make_spec(), schedule)
    first = await run(virtual, job.job_id)
    assert await virtual.work() == [first]
    await virtual.run(first)
    return job.job_id, first


async def waiting(virtual: VirtualFastlane, overlap: Overlap = Overlap.QUEUE) -> tuple[str, str, str]:
    """The same, and one that waits for it and that a worker has looked at."""
    job_id, first = await running(virtual, overlap)
    second = await run(virtual, job_id)
    assert await virtual.work() == []
    return job_id, first, second


def allow_overlap(job: Job, _now: int) -> tuple[Spec, Schedule]:
    """The change of a PATCH."""
    return job.spec, replace(job.schedule, overlap=Overlap.ALLOW)


async def over(virtual: VirtualFastlane, execution_id: str) -> None:
    await virtual.end(execution_id)
    await virtual.settle(execution_id)


async def test_one_that_waits_starts_once_the_other_is_settled(virtual):
    _, first, second = await waiting(virtual)
    await virtual.end(first)
    assert await virtual.work() == []
    await virtual.settle(first)
    assert await virtual.work() == [second]


async def test_one_that_ends_between_a_run_s_look_and_its_write_is_not_waited_for(virtual):
    job_id, first = await running(virtual)
    virtual.store.before("advance", lambda: over(virtual, first))
    second = await virtual.services.manual_runs.run("t", job_id)
    assert sorted(await virtual.ledger(job_id)) == ["queued", "started"]
    assert await virtual.work() == [second.execution_id]


@pytest.mark.parametrize("call", ["waiting", "job", "under_way_of"])
async def test_one_that_ends_amid_a_worker_s_look_at_what_waits_is_not_waited_for(virtual, call):
    job_id, first = await running(virtual)
    second = await run(virtual, job_id)
    virtual.worker_store.after(call, lambda: over(virtual, first))
    assert await virtual.work() == [second]
    assert await virtual.work() == []


@pytest.mark.parametrize("overlap", [Overlap.QUEUE, Overlap.SKIP])
async def test_of_two_runs_that_find_the_same_one_running_the_second_is_refused(virtual, overlap):
    job_id, first = await running(virtual, Overlap.QUEUE)
    if overlap is Overlap.SKIP:
        schedule = (await virtual.job(job_id)).schedule
        await virtual.others.submissions.put("t", job_id, make_spec(), Schedule(schedule.kind, None, schedule.cron, overlap))
        await over(virtual, first)
    virtual.store.before("advance", lambda: run(virtual, job_id))
    with pytest.raises(Conflict, match=r"force=1"):
        await virtual.services.manual_runs.run("t", job_id)
    assert len(await virtual.executions(job_id)) == 2


async def test_a_forced_run_is_waited_for_too(virtual):
    job_id, first, second = await waiting(virtual)
    forced = await virtual.others.manual_runs.run("t", job_id, wish=RunWish(force=True))
    assert await virtual.work() == [forced.execution_id]
    await virtual.run(str(forced.execution_id))
    await over(virtual, first)
    assert await virtual.work() == []
    await over(virtual, str(forced.execution_id))
    assert await virtual.work() == [second]


async def test_one_whose_release_reached_the_queue_never_starts_at_the_next_look(virtual):
    _, first, second = await waiting(virtual)
    await virtual.end(first)
    row = await virtual.real_store.execution(second)
    assert await virtual.real_store.change(transitions.release(row)) is not None
    virtual.clock.set(virtual.clock.now() + LOOK_AGAIN)
    assert await virtual.work() == [second]


async def test_one_is_released_at_the_next_look_where_nobody_looked_after_the_other_was_settled(virtual):
    """As where a worker of an older version settled it."""
    _, first, second = await waiting(virtual)
    await virtual.real_store.change(transitions.settle(await virtual.end(first)))
    await virtual.real_queue.finish({first: 0})
    assert await virtual.work() == []
    virtual.clock.set(virtual.clock.now() + LOOK_AGAIN)
    assert await virtual.work() == [second]


@pytest.mark.parametrize("point", ["waiting", "change"])
async def test_one_whose_job_came_to_allow_overlap_starts_at_the_next_look_although_the_call_fell(virtual, point):
    job_id, _, second = await waiting(virtual)
    (virtual.store.before if point == "waiting" else virtual.store.after)(point, dies)
    with pytest.raises(Died):
        await virtual.services.edits.edit("t", job_id, allow_overlap)
    assert await virtual.work() == []
    virtual.clock.set(virtual.clock.now() + LOOK_AGAIN)
    assert await virtual.work() == [second]


async def test_a_store_that_goes_away_once_the_job_allows_overlap_fails_no_call(virtual):
    job_id, _, second = await waiting(virtual)
    virtual.store.around("waiting", failing(StoreDown("away")))
    await virtual.services.edits.edit("t", job_id, allow_overlap)
    assert (await virtual.job(job_id)).schedule.overlap is Overlap.ALLOW
    virtual.clock.set(virtual.clock.now() + LOOK_AGAIN)
    assert await virtual.work() == [second]


async def test_one_whose_job_comes_to_allow_overlap_starts_at_once_and_once(virtual):
    job_id, _, second = await waiting(virtual)
    await virtual.services.edits.edit("t", job_id, allow_overlap)
    assert await virtual.work() == [second]
    virtual.clock.set(virtual.clock.now() + LOOK_AGAIN)
    assert await virtual.work() == []


@pytest.mark.parametrize("settled", [False, True])
async def test_a_lost_queue_neither_starts_one_that_waits_nor_forgets_it(virtual, settled):
    _, first, second = await waiting(virtual)
    if settled:
        await over(virtual, first)
    await virtual.rebuild()
    assert await virtual.work() == ([second] if settled else [first])
    if not settled:
        await over(virtual, first)
        assert await virtual.work() == [second]


async def test_the_reconciler_puts_back_one_that_waits_as_waiting(virtual):
    _, first, second = await waiting(virtual)
    await virtual.real_queue.cancel(second)
    await virtual.reconciler.requeue()
    assert await virtual.work() == []
    await over(virtual, first)
    assert await virtual.work() == [second]


async def test_one_that_replaces_another_stops_it_although_the_worker_fell_before_that(virtual):
    job_id, first = await running(virtual, Overlap.REPLACE)
    second = await run(virtual, job_id)
    await virtual.rebuild()
    assert await virtual.work() == [first]
    row = await virtual.real_store.execution(first)
    assert row is not None
    assert row.stop_requested_at is not None
    await over(virtual, first)
    assert await virtual.work() == [second]


@pytest.mark.parametrize("stop", [True, False])
async def test_one_that_waits_and_whose_job_is_stopped_ends_although_the_call_fell(virtual, stop):
    """The call ended after its write to the job: the stop is passed on by whoever looks at the execution."""
    job_id, first, second = await waiting(virtual)
    if stop:
        assert await virtual.real_store.stop_job(job_id, virtual.clock.now())
    else:
        await virtual.others.stops.stop_job("t", job_id)
    virtual.clock.set(virtual.clock.now() + LOOK_AGAIN)
    for started in await virtual.work():
        assert started == second
        await virtual.place(started)
        await virtual.settle(started)
    assert (await virtual.real_store.execution(second)).status == "stopped"
    await over(virtual, first)
    assert await virtual.work() == []


async def test_an_execution_that_cannot_be_read_may_run_so_nothing_starts_beside_it(virtual):
    job_id, first, _ = await waiting(virtual)
    damage(virtual.store_url, "executions", first, value="{}")
    virtual.clock.set(virtual.clock.now() + LOOK_AGAIN)
    assert await virtual.work() == []
    with pytest.raises(Conflict, match=r"cannot be read.*force=1"):
        await run(virtual, job_id)
    forced = await virtual.others.manual_runs.run("t", job_id, wish=RunWish(force=True))
    assert await virtual.work() == [forced.execution_id]


async def test_an_execution_ends_and_leaves_the_queue_although_its_job_cannot_be_read_while_another_waits(virtual):
    job_id, first, second = await waiting(virtual)
    damage(virtual.store_url, "jobs", job_id, "schedule", "{}")
    await over(virtual, first)
    assert await virtual.real_queue.lane_of(first) is None
    assert await virtual.real_queue.lane_of(second) is not None


@pytest.mark.parametrize("paused", ["default", REQUESTED])
async def test_nothing_is_stopped_for_one_that_a_pause_keeps_from_starting(virtual, paused):
    job_id, first = await running(virtual, Overlap.REPLACE)
    await virtual.real_store.pause_pool(paused, True)
    second = await run(virtual, job_id)
    assert await virtual.work() == []
    assert (await virtual.real_store.execution(first)).stop_requested_at is None
    await virtual.real_store.pause_pool(paused, False)
    virtual.clock.set(virtual.clock.now() + LOOK_AGAIN)
    assert await virtual.work() == []
    assert (await virtual.real_store.execution(first)).stop_requested_at is not None
    await over(virtual, first)
    assert await virtual.work() == [second]


async def test_the_log_names_the_execution_that_replaces_another_before_its_owner_is_told(virtual: VirtualFastlane) -> None:
    """The owner may end it at once; and it may never be told, because the queue is away."""
    job_id, first = await running(virtual, Overlap.REPLACE)
    second = await run(virtual, job_id)
    with capture_logs() as logs, intercepted(RedisQueue, "cancel", failing(QueueDown("away"))), pytest.raises(QueueDown):
        await virtual.work()
    (line,) = [line for line in logs if line["event"] == "execution.replaced"]
    assert (line["job_id"], line["execution_id"], line["by"]) == (job_id, first, second)
