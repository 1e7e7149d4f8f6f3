"""A row that cannot be read fails alone: its pool, the repair of the queue and its rebuild go on, and so do all lists."""

import asyncio
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from fastlane.errors import Unreadable
from fastlane.models.host import HostRecord
from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.queue.redis.queue import RedisQueue
from fastlane.scheduler import runner
from fastlane.scheduler.watcher import Watcher
from fastlane.storage import records
from fastlane.storage.base import Store
from tests.support.factories import make_spec
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Call, Intercepted, intercepted, keeping
from tests.support.redis import RealRedis
from tests.support.stored_data import damage, damage_hosts_revision
from tests.support.virtual_time import HOST as VIRTUAL_HOST, VirtualFastlane
from tests.support.waiting import PATIENCE

ONE_SLOT = (Pool("default", "", (HOST,), max_running=1),)


async def test_a_pool_with_one_slot_and_the_lists_go_on_beside_an_unreadable_execution(shared_redis: RealRedis, tmp_path: Path) -> None:
    """It is claimed first, and has the slot until it turns out that its row cannot be read. A lost queue is rebuilt without it."""
    calls: list[Call] = []
    async with Fastlane(tmp_path, shared_redis.url, pools=ONE_SLOT, workers=1) as server:
        await server.dismiss()
        bad, good = await server.submit("exit", "0"), await server.submit("exit", "0")
        damage(server.settings.store_url, "executions", bad.execution_id)
        with intercepted(RedisQueue, "requeue", keeping(calls)):
            await server.hire()
            assert (await server.cleaned(good)).status is Status.DONE
        assert [call.arguments[2] for call in calls] == [bad.execution_id]
        assert server.executor.starts == [good.execution_id]
        await server.queue.generation.wipe()
        later = await server.submit("exit", "0")
        assert (await server.cleaned(later)).status is Status.DONE
        assert await server.queue.lane_of(str(bad.execution_id)) is None
        of_bad = f"/tasks/task/jobs/{bad.job_id}"
        listed = {row["executionId"] for row in (await server.get("/executions")).json["items"]}
        assert listed == {good.execution_id, later.execution_id}
        assert len((await server.get("/tasks/task")).json["jobs"]) == 3
        assert (await server.get(f"{of_bad}/executions")).json["items"] == []
        for path in (of_bad, "/status"):
            assert (await server.get(path)).status == 200, path
        answer = await server.get(f"{of_bad}/executions/{bad.execution_id}")
        assert "cannot be read from the store" in answer.json["detail"]
        assert (await server.ask("DELETE", "/tasks/task?stop=1")).status != 200


async def test_an_unreadable_execution_keeps_its_slot_until_its_service_has_ended(
    shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "UNREADABLE_BACK_OFF", 200)
    looks: list[Call] = []
    async with Fastlane(tmp_path, shared_redis.url, pools=ONE_SLOT, workers=1) as server:
        bad = await server.reaches(await server.submit("hold"), "running")
        await server.dismiss()
        damage(server.settings.store_url, "executions", bad.id)
        with intercepted(Watcher, "has_ended", keeping(looks)):
            await server.hire()
            good = await server.submit("exit", "0")

            async def looked() -> bool:
                return len(looks) > 2

            await server.until(looked, "some looks at its service")
            assert server.executor.starts == [bad.id]
            server.executor.release(bad.id)
            assert (await server.cleaned(good)).status is Status.DONE


async def test_an_unreadable_execution_goes_to_a_worker_that_can_read_it(
    shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "UNREADABLE_BACK_OFF", 200)
    async with Fastlane(tmp_path, shared_redis.url, pools=ONE_SLOT, workers=1) as server:
        job = await server.submit("hold", "exit", "4")
        running = await server.reaches(job, "running")
        store, old, tries = server.store, Intercepted(server.store), list[Call]()

        async def refuse(call: Call) -> None:
            tries.append(call)
            raise Unreadable("a newer fastlane wrote it", service_id=running.service_id, host=running.host, swarm_id=running.swarm_id)

        async def tried() -> bool:
            return bool(tries)

        old.around("execution", refuse)
        server.store = cast(Store, old)
        await server.hire()
        server.store = store
        await server.dismiss()
        await server.until(tried, "the older worker to have it")
        await server.hire()
        server.executor.release(running.id)
        assert (await server.cleaned(job)).exit_code == 4


async def test_an_unreadable_execution_that_has_expired_is_looked_at_once_a_minute(shared_redis: RealRedis, tmp_path: Path) -> None:
    calls: list[Call] = []
    async with Fastlane(tmp_path, shared_redis.url, workers=1) as server:
        await server.dismiss()
        bad = await server.submit("exit", "0", expires_in=1)
        damage(server.settings.store_url, "executions", bad.execution_id)
        with intercepted(RedisQueue, "requeue", keeping(calls)):
            await server.hire()
            for _ in range(3):
                assert (await server.cleaned(await server.submit("exit", "0"))).status is Status.DONE
        assert [call.arguments[2] for call in calls].count(bad.execution_id) == 1
        assert (await server.queue.counts(["default"]))["default"].timed == 1


async def test_the_reconciler_does_its_work_on_all_other_rows(virtual: VirtualFastlane) -> None:
    """The first execution cannot be read, and the job of the second; a stop of the third did not get through; the fourth has left a
    service."""
    jobs = [await virtual.services.submissions.enqueue("t", make_spec(), Schedule()) for _ in range(4)]
    await virtual.work()
    for job in jobs:
        await virtual.place(str(job.execution_id))
    await virtual.settler.settle(await virtual.end(str(jobs[3].execution_id)))
    assert await virtual.real_store.stop_job(jobs[2].job_id, virtual.clock.now()) is not None
    damage(virtual.store_url, "executions", jobs[0].execution_id)
    damage(virtual.store_url, "jobs", jobs[1].job_id)
    await virtual.reconciler.requeue()
    await virtual.reconciler.stop()
    await virtual.leftovers.remove_leftovers()
    flagged = await virtual.real_store.execution(str(jobs[2].execution_id))
    assert flagged is not None
    assert flagged.stop_requested_at is not None
    left = {service.execution_id for service in await virtual.executor.services(VIRTUAL_HOST)}
    assert left == {job.execution_id for job in jobs[:3]}
    await virtual.rebuild()


async def test_a_host_that_is_back_gets_work_although_the_job_of_what_was_lost_there_cannot_be_read(
    shared_redis: RealRedis, tmp_path: Path
) -> None:
    """The execution that was lost has ended, and whether it is to be retried, which follows from its job, remains unknown."""
    async with Fastlane(tmp_path, shared_redis.url, workers=1, host_lost_after=0.2) as server:
        bad = await server.submit("hold", retries=1, retry_delay=0)
        lost = await server.reaches(bad, "running")
        damage(server.settings.store_url, "jobs", bad.job_id)
        server.executor.down(HOST)
        assert (await server.reaches(bad, "failed")).settled is False
        server.executor.up(HOST)
        assert (await server.cleaned(await server.submit("exit", "0"))).status is Status.DONE
        assert [run.order.execution_id for run in server.executor.world[HOST].values()] == []
        assert server.executor.starts[0] == lost.id


@pytest.mark.parametrize("lose", [False, True])
async def test_a_lost_revision_of_the_hosts_keeps_no_host_from_anybody(virtual: VirtualFastlane, lose: bool) -> None:
    """It only says which hosts to read at a change: all are read then."""
    store, first, second = virtual.real_store, HostRecord("first", "a:1"), HostRecord("second", "b:1")
    assert await store.write_host(first)
    before = await store.directory_mark()
    damage_hosts_revision(virtual.store_url, lose=lose)
    records.report.cache_clear()
    with capture_logs() as lines:
        async with asyncio.timeout(PATIENCE):
            assert await store.write_host(second)
        for _ in range(3):
            await store.directory_mark()
    assert (await store.directory_mark()).hosts.since(before.hosts) is None
    assert {host.id for host in await store.hosts()} >= {"first", "second"}
    assert [line["event"] for line in lines].count("store.row_unreadable") == (0 if lose else 1)
