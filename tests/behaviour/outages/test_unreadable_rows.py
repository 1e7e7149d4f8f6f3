"""A row that cannot be read fails alone: its pool, the repair of the queue and its rebuild go on, and so do all lists."""

import contextlib
import sqlite3
from pathlib import Path

from fastlane.models.placement.pool import Pool
from fastlane.models.schedule.schedule import Schedule
from fastlane.models.status import Status
from fastlane.queue.redis.queue import RedisQueue
from tests.support.factories import make_spec
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Call, intercepted, keeping
from tests.support.redis import RealRedis
from tests.support.virtual_time import HOST as VIRTUAL_HOST
from tests.support.virtual_time import VirtualFastlane


def damage(path: Path, table: str, id: str | None) -> None:
    """Leaves half of the row's spec."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute(f"UPDATE {table} SET spec = substr(spec, 1, length(spec) / 2) WHERE id = ?", (id,)).rowcount == 1
        db.commit()


async def test_a_pool_with_one_slot_and_the_lists_go_on_beside_an_unreadable_execution(shared_redis: RealRedis, tmp_path: Path) -> None:
    """It is claimed first, and has the slot until it turns out that its row cannot be read. A lost queue is rebuilt without it."""
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("default", "", (HOST,), max_running=1),)) as server:
        bad, good = await server.submit("exit", "0"), await server.submit("exit", "0")
        damage(server.settings.store_path, "executions", bad.execution_id)
        await server.hire()
        assert (await server.cleaned(good)).status is Status.DONE
        assert server.executor.starts == [good.execution_id]
        await server.queue.generation.wipe()
        later = await server.submit("exit", "0")
        assert (await server.cleaned(later)).status is Status.DONE
        of_bad = f"/tasks/task/jobs/{bad.job_id}"
        for path in ("/executions", "/tasks/task", of_bad, f"{of_bad}/executions", "/status"):
            assert (await server.get(path)).status == 200, path
        answer = await server.get(f"{of_bad}/executions/{bad.execution_id}")
        assert "cannot be read from the store" in answer.json["detail"]
        assert (await server.ask("DELETE", "/tasks/task?stop=1")).status != 200


async def test_an_unreadable_execution_that_has_expired_is_looked_at_once_a_minute(shared_redis: RealRedis, tmp_path: Path) -> None:
    calls: list[Call] = []
    async with Fastlane(tmp_path, shared_redis.url, workers=1) as server:
        await server.dismiss()
        bad = await server.submit("exit", "0", expires_in=1)
        damage(server.settings.store_path, "executions", bad.execution_id)
        with intercepted(RedisQueue, "requeue", keeping(calls)):
            await server.hire()
            for _ in range(3):
                assert (await server.cleaned(await server.submit("exit", "0"))).status is Status.DONE
        assert [call.arguments[2] for call in calls].count(bad.execution_id) == 1
        assert (await server.queue.counts(["default"]))["default"].timed == 1


async def test_the_reconciler_does_its_work_on_all_other_rows(virtual: VirtualFastlane, tmp_path: Path) -> None:
    """The first execution cannot be read, and the job of the second; a stop of the third did not get through; the fourth has left a
    service."""
    jobs = [await virtual.services.submissions.enqueue("t", make_spec(), Schedule()) for _ in range(4)]
    await virtual.work()
    for job in jobs:
        await virtual.place(str(job.execution_id))
    await virtual.settler.settle(await virtual.end(str(jobs[3].execution_id)))
    assert await virtual.real_store.stop_job(jobs[2].job_id, virtual.clock.now()) is not None
    damage(tmp_path / "store.db", "executions", jobs[0].execution_id)
    damage(tmp_path / "store.db", "jobs", jobs[1].job_id)
    await virtual.reconciler.requeue()
    await virtual.reconciler.stop()
    await virtual.reconciler.remove_leftovers()
    flagged = await virtual.real_store.execution(str(jobs[2].execution_id))
    assert flagged is not None
    assert flagged.stop_requested_at is not None
    left = {service.execution_id for service in await virtual.executor.services(VIRTUAL_HOST)}
    assert left == {job.execution_id for job in jobs[:3]}
    await virtual.rebuild()
