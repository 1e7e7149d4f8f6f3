"""Pools that some workers do not know, because they are being added or removed: those workers leave what belongs there to the others."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fastlane.models import transitions
from fastlane.models.container import Container, Mount, MountKind, Policy
from fastlane.models.job import Execution, Spec
from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.queue.port import TICKS, Entry, EntryKind, Lane, Report, rules_of
from fastlane.scheduler import leases
from fastlane.scheduler.rebuilder import LaneKeeper
from fastlane.services.results import Enqueued
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Call, intercepted
from tests.support.redis import RealRedis

OLD = Pool("old", "old-", (HOST,))
NEW = Pool("new", "new-", (HOST,), policy=Policy(mounts=("/srv/",)))
MOUNTS = Container(mounts=(Mount(MountKind.BIND, "/data", "/srv/data"),))


class Mixed(Fastlane):
    """An api with all pools, and workers with some of them."""

    async def hire_with(self, *pools: Pool) -> None:
        """Hires one more worker, with these pools. The first one builds the queue, and so claims what a test puts into it meanwhile."""
        before, self.settings = self.settings, replace(self.settings, pools=pools)
        await self.hire()
        self.settings = before

        async def is_built() -> bool:
            generation = await self.store.generation()
            return generation.number > 0 and generation.builder is None

        await self.until(is_built, "the queue to be whole")

    async def report_of(self, *pools: Pool) -> None:
        """Another worker, which has these pools, is alive for a minute. It does no work."""
        await self.queue.reports.announce(Report("another", self.clock.now(), (), pools=rules_of(pools)), ttl=60_000)

    async def row(self, id: str | None) -> Execution:
        row = await self.store.execution(str(id))
        assert row is not None
        return row

    async def is_in(self, lane: str, id: str | None) -> bool:
        return await self.queue.lane_of(str(id)) == lane

    async def put_without_slot(self, job: Enqueued) -> None:
        """Puts its execution into the lane without slots, as a worker does that has no pool for it."""
        await self.queue.cancel(str(job.execution_id))
        await self.queue.put([Entry(str(job.execution_id), EntryKind.EXECUTION, TICKS, self.clock.now())])

    async def waits_in(self, lane: str, id: str | None) -> None:
        """Returns once a worker has put it into that lane."""
        await self.until(lambda: self.is_in(lane, id), f"{id} to be in the lane {lane}")

    async def looks(self, count: int) -> None:
        """Returns once a worker has looked at the lanes so often."""
        done: list[Call] = []

        async def look(call: Call) -> object:
            answer = await call.carry()
            done.append(call)
            return answer

        async def enough() -> Sequence[Call]:
            return done[count:]

        with intercepted(LaneKeeper, "look", look):
            await self.until(enough, f"{count} looks at the lanes")


@pytest.fixture
async def crew(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Mixed]:
    async with Mixed(tmp_path, shared_redis.url, pools=(OLD, NEW), reconcile=0.1) as crew:
        yield crew


async def test_a_job_of_a_pool_that_no_worker_has_yet_waits_for_one_that_has_it(crew: Mixed) -> None:
    await crew.hire_with(OLD)
    job = await crew.submit(task="new-1")
    await crew.looks(4)
    assert (await crew.cleaned(await crew.submit(task="old-1"))).status is Status.DONE
    assert (await crew.row(job.execution_id)).status is Status.ENQUEUED
    await crew.hire_with(OLD, NEW)
    ended = await crew.cleaned(job)
    assert (ended.status, ended.pool) == (Status.DONE, "new")


async def test_what_waits_for_a_worker_that_is_away_is_there_when_it_is_back(crew: Mixed) -> None:
    await crew.hire_with(NEW)
    await crew.hire_with(OLD)
    assert (await crew.cleaned(await crew.submit(task="new-1"))).status is Status.DONE
    await crew.dismiss()
    jobs = [await crew.submit(task="new-1") for _ in range(5)]
    await crew.looks(4)
    await crew.hire_with(NEW)
    assert {(await crew.cleaned(job)).status for job in jobs} == {Status.DONE}


async def test_a_tick_that_a_worker_without_its_pool_fires_goes_to_the_pool_of_another(crew: Mixed) -> None:
    await crew.hire_with(OLD)
    await crew.until(crew.is_healthy, "the queue to be built")
    await crew.report_of(NEW)
    job = await crew.submit(task="new-1", at=crew.clock.now() + 50)
    execution = await crew.reaches(job, "enqueued")
    await crew.waits_in("new", execution.id)
    await crew.hire_with(NEW)
    ended = await crew.cleaned(job)
    assert (ended.status, ended.pool) == (Status.DONE, "new")


# in the lane without slots


async def test_what_waits_without_a_pool_says_so_and_goes_to_the_first_that_comes(crew: Mixed) -> None:
    await crew.hire_with(OLD)
    job = await crew.submit(task="new-1")
    await crew.put_without_slot(job)

    async def told() -> bool:
        waits = (await crew.get(f"/tasks/new-1/jobs/{job.job_id}/why")).json["waitingFor"]
        return any("no live worker has a pool for the task 'new-1'" in wait["message"] for wait in waits)

    await crew.until(told, "the reason")
    await crew.hire_with(NEW)
    ended = await crew.cleaned(job)
    assert (ended.status, ended.pool) == (Status.DONE, "new")


async def test_what_waits_without_a_pool_is_stopped_although_the_call_that_stopped_its_job_died(crew: Mixed) -> None:
    await crew.hire_with(OLD)
    job = await crew.submit(task="new-1")
    await crew.store.stop_job(job.job_id, crew.clock.now())
    await crew.put_without_slot(job)
    assert (await crew.cleaned(job)).status is Status.STOPPED


async def test_what_was_placed_and_waits_without_a_slot_takes_one_before_it_starts(crew: Mixed) -> None:
    await crew.hire_with(replace(NEW, max_running=1))
    running = await crew.reaches(await crew.submit("hold", task="new-1"), "running")
    job = await crew.submit(task="new-1")
    await crew.change(transitions.claim(await crew.row(job.execution_id), host=HOST, pool="new", now=crew.clock.now()))
    await crew.put_without_slot(job)
    await crew.waits_in("new", job.execution_id)
    assert crew.executor.starts == [running.id]
    crew.executor.release(running.id)
    assert (await crew.cleaned(job)).status is Status.DONE


async def test_what_runs_without_a_pool_does_not_count_as_short_work(crew: Mixed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a worker that watches many of them for long would fire no tick and claim nothing."""
    monkeypatch.setattr(leases, "MAX_SHORT_WORK", 1)
    await crew.hire_with(NEW)
    running = await crew.reaches(await crew.submit("hold", task="new-1"), "running")
    await crew.dismiss()
    await crew.queue.finish({running.id: 0})
    await crew.queue.put([Entry(running.id, EntryKind.EXECUTION, TICKS, crew.clock.now())])
    await crew.hire_with(OLD)

    async def taken_over() -> bool:
        return (await crew.row(running.id)).epoch == running.epoch + 1

    await crew.until(taken_over, "the take-over")
    assert (await crew.cleaned(await crew.submit(task="old-1", at=crew.clock.now() + 50))).status is Status.DONE
    assert (await crew.row(running.id)).status is Status.RUNNING


async def test_what_runs_keeps_its_slot_when_a_worker_without_its_pool_rebuilds_the_queue(crew: Mixed) -> None:
    await crew.hire_with(replace(NEW, max_running=1))
    running = await crew.reaches(await crew.submit("hold", task="new-1"), "running")
    await crew.until(crew.is_healthy, "the first rebuild, which another worker would begin again much later")
    await crew.dismiss()
    await crew.hire_with(OLD)
    await crew.queue.generation.wipe()

    async def has_its_slot() -> bool:
        return (await crew.queue.counts(["new"]))["new"].running == 1

    await crew.until(has_its_slot, "the rebuild")
    await crew.hire_with(replace(NEW, max_running=1))
    waiting = await crew.submit(task="new-1")
    await crew.looks(2)
    assert crew.executor.starts == [running.id]
    crew.executor.release(running.id)
    assert (await crew.cleaned(waiting)).status is Status.DONE
    await crew.idle()


# what was placed, and its owner ended


@pytest.mark.parametrize("alive", [True, False])
async def test_what_is_placed_is_not_judged_by_a_worker_without_its_pool(crew: Mixed, alive: bool) -> None:
    """It asks for what no pool of this worker allows."""
    await crew.hire_with(OLD)
    await crew.until(crew.is_healthy, "the queue to be built")
    generation = str((await crew.store.generation()).number)
    job = await crew.services.submissions.enqueue("new-1", Spec("ubuntu:latest", container=MOUNTS), Schedule())
    await crew.change(transitions.claim(await crew.row(job.execution_id), host=HOST, pool="new", now=crew.clock.now()))
    if alive:
        await crew.report_of(NEW)
    (lease,) = (await crew.queue.claim(generation, "dead", [Lane("new", 1)], 1, lease=1)).leases
    assert lease.id == job.execution_id

    async def taken_over() -> bool:
        return (await crew.row(job.execution_id)).epoch == 2

    await crew.until(taken_over, "the take-over")
    await crew.hire_with(NEW)
    assert (await crew.cleaned(job)).status is Status.DONE
