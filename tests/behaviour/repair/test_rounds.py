"""The rounds of repair: each looks at what is due, a slow walk at everything that waits, and one worker does it for all."""

from functools import partial
from pathlib import Path

from fastlane.models.schedule import Schedule
from fastlane.scheduler import reconciler
from fastlane.scheduler.reconciler import LATELY, SOON, Reconciler
from fastlane.scheduler.worker import Worker
from fastlane.services.results import Enqueued
from tests.support.factories import make_spec
from tests.support.fastlane import Fastlane
from tests.support.intercept import Call, intercepted, keeping
from tests.support.redis import RealRedis
from tests.support.virtual_time import VirtualFastlane

MINUTE = 60_000


async def lost(virtual: VirtualFastlane) -> Enqueued:
    """A job whose execution waits, and is missing in the queue."""
    job = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.real_queue.finish({str(job.execution_id): 0})
    return job


async def is_back(virtual: VirtualFastlane, job: Enqueued) -> bool:
    return await virtual.real_queue.lane_of(str(job.execution_id)) is not None


async def test_a_round_looks_back_to_the_one_before_and_at_first_a_little_further(virtual: VirtualFastlane) -> None:
    old = await lost(virtual)
    virtual.clock.set(virtual.clock.now() + LATELY + 1)
    late = await lost(virtual)
    virtual.clock.set(virtual.clock.now() + LATELY)
    await virtual.reconciler.requeue()
    assert [await is_back(virtual, job) for job in (old, late)] == [False, True]
    later = await lost(virtual)
    virtual.clock.set(virtual.clock.now() + 10 * LATELY)
    await virtual.reconciler.requeue()
    assert [await is_back(virtual, job) for job in (old, later)] == [False, True]


async def test_a_retry_that_is_to_come_is_put_back_shortly_before_it_is_due(virtual: VirtualFastlane) -> None:
    job = await virtual.others.submissions.enqueue("t", make_spec(retries=1, retry_delay=60 * MINUTE), Schedule())
    assert await virtual.work() == [job.execution_id]
    await virtual.finish(str(job.execution_id), 1)
    second = (await virtual.executions(job.job_id))[-1]
    await virtual.real_queue.finish({second.id: 0})
    await virtual.reconciler.requeue()
    assert await virtual.real_queue.lane_of(second.id) is None
    virtual.clock.set(second.scheduled_for - SOON)
    await virtual.reconciler.requeue()
    assert await virtual.real_queue.lane_of(second.id) is not None


async def test_the_walk_puts_back_all_that_waits_in_pages_and_takes_an_hour(virtual: VirtualFastlane, monkeypatch) -> None:
    monkeypatch.setattr(reconciler, "PAGE", 2)
    jobs = [await lost(virtual) for _ in range(5)]
    virtual.clock.set(virtual.clock.now() + 24 * 60 * MINUTE)
    began = virtual.clock.now()
    await virtual.reconciler.requeue_all()
    assert [await is_back(virtual, job) for job in jobs] == [True] * 5
    assert virtual.clock.now() == began + 60 * MINUTE


async def test_each_execution_that_is_not_settled_is_put_back_however_many_there_are(virtual: VirtualFastlane, monkeypatch) -> None:
    """The first ones may be such as cannot be settled: their job cannot be read."""
    monkeypatch.setattr(reconciler, "PAGE", 1)
    jobs = [await virtual.others.submissions.enqueue("t", make_spec(retries=1), Schedule()) for _ in range(3)]
    await virtual.work()
    for job in jobs:
        await virtual.run(str(job.execution_id))
        await virtual.end(str(job.execution_id), 1)
        await virtual.real_queue.finish({str(job.execution_id): 0})
    await virtual.reconciler.settle()
    assert [await is_back(virtual, job) for job in jobs] == [True] * 3


async def test_one_worker_makes_the_rounds_for_all_and_another_one_once_it_has_gone(shared_redis: RealRedis, tmp_path: Path) -> None:
    calls: list[Call] = []
    async with Fastlane(tmp_path, shared_redis.url, reconcile=0.05) as server:
        with intercepted(Reconciler, "requeue", keeping(calls)):
            hired = sorted([await server.hire() for _ in range(3)], key=lambda worker: worker.id)

            async def makes_all(worker: Worker) -> bool:
                last = [call.arguments[0] for call in calls[-10:]]
                return last == [worker._parts.reconciler] * 10

            await server.until(partial(makes_all, hired[0]), "one worker to make all rounds")
            while hired[0].id in ids_of(server):
                await server.dismiss()
            next_one = min([worker for worker in hired if worker.id in ids_of(server)] or [await server.hire()], key=lambda one: one.id)
            await server.until(partial(makes_all, next_one), "another worker to make all rounds")


def ids_of(server: Fastlane) -> set[str]:
    """The workers that are there."""
    return {running.worker.id for running in server.workers_running if running.worker is not None}
