"""A backup of the store that is restored beside a Redis that lives on: nothing that ran since runs again until somebody says so."""

from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fastlane.errors import QueueDown
from fastlane.models.pool import REQUESTED, RESTORED, Pauses
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.models.store_version import StoreVersion
from fastlane.queue.port import mark_went_back
from fastlane.scheduler.rebuilder import Rebuilder
from tests.support.defaults import WithGeneration, ports_of
from tests.support.factories import make_entry, make_spec
from tests.support.fastlane import Fastlane
from tests.support.intercept import Died, Intercepted, dies
from tests.support.redis import RealRedis
from tests.support.stored_data import back_up
from tests.support.virtual_time import POOLS, VirtualFastlane


async def status(crew: Fastlane) -> Any:
    return (await crew.get("/status")).json


async def is_held(crew: Fastlane) -> bool:
    return (await status(crew))["dispatch"] == {"paused": True, "reason": "restored"}


async def test_a_restored_backup_is_noticed_and_nothing_is_dispatched_until_it_is_resumed(shared_redis: RealRedis, tmp_path: Path) -> None:
    named = {"installation": f"test-{uuid4().hex[:8]}"}
    async with Fastlane(tmp_path, shared_redis.url, **named) as crew:
        await crew.hire()
        await crew.until(lambda: is_built(crew), "the queue to be built")
        await crew.post("/pools/fast/pause")
        ran = await crew.enqueue("fast-ran")
        moved = await crew.enqueue("moved", startIn="1h")
        due = (await crew.get(moved["jobUrl"])).json["job"]["nextRunAt"]
        restore = back_up(crew.settings.store_url)
        await crew.post("/pools/fast/resume")
        await crew.until(lambda: has_ended(crew, ran), "the job to run")
        for hours in ("2h", "3h"):
            answer = await crew.put(f"/tasks/moved/jobs/{moved['jobId']}", {"image": "ubuntu", "startIn": hours})
            assert answer.status == 200
        since = await crew.enqueue("since", startIn="1h")
        for verb in ("pause", "resume", "pause", "resume"):
            await crew.post(f"/pools/default/{verb}")
    restore()
    async with Fastlane(tmp_path, shared_redis.url, **named) as crew:
        number = (await crew.store.generation()).number
        await crew.hire()
        await crew.until(lambda: is_built(crew, after=number), "the queue to be rebuilt")
        assert await is_held(crew)
        assert (await crew.get(f"/tasks/since/jobs/{since['jobId']}")).status == 404
        assert (await crew.post("/pools/fast/resume")).json == {"pool": "fast", "paused": False}
        waits = (await crew.get(f"/tasks/fast-ran/jobs/{ran['jobId']}/why")).json["waitingFor"]
        assert [wait["reason"] for wait in waits] == ["dispatch-paused"]
        assert "a backup was restored" in waits[0]["message"]
        assert waits[0]["resumeUrl"] == f"{crew.base}/dispatch/resume/"
        assert (await status(crew))["queues"]["fast"]["ready"] + (await status(crew))["queues"]["fast"]["timed"] == 1
        assert (await crew.get(f"/tasks/moved/jobs/{moved['jobId']}")).json["job"]["nextRunAt"] == due
        counts = await crew.queue.counts(["@ticks"])
        assert counts["@ticks"].timed == 1, "the job that is not in the backup has no entry any more"
        assert (await crew.post("/pools/default/pause")).json == {"pool": "default", "paused": True}
        held = await crew.enqueue("held")
        assert (await crew.post("/dispatch/resume")).json == {"paused": False}
        await crew.until(lambda: has_ended(crew, ran), "what the backup had waiting to run")
        assert (await crew.get(held["jobUrl"])).json["job"]["status"] == "enqueued", "the pool's pause does what it says"
        assert (await status(crew))["dispatch"] == {"paused": False, "reason": None}


async def has_ended(crew: Fastlane, reply: dict[str, Any]) -> bool:
    job = (await crew.get(f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}")).json["job"]
    return bool(job["status"] == "done")


async def test_an_api_alone_tells_the_queue_what_was_written_while_no_worker_was_alive(shared_redis: RealRedis, tmp_path: Path) -> None:
    named = {"installation": f"test-{uuid4().hex[:8]}"}
    async with Fastlane(tmp_path, shared_redis.url, **named) as crew:
        await crew.hire()
        await crew.until(lambda: is_built(crew), "the queue to be built")
        await crew.dismiss()
        restore = back_up(crew.settings.store_url)
        await crew.enqueue("only-now")
    restore()
    async with Fastlane(tmp_path, shared_redis.url, **named) as crew:
        await crew.hire()
        await crew.until(lambda: is_held(crew), "dispatch to be held")


async def test_what_is_written_before_the_first_worker_is_alive_does_not_hide_that_the_store_went_back(
    shared_redis: RealRedis, tmp_path: Path
) -> None:
    named = {"installation": f"test-{uuid4().hex[:8]}"}
    async with Fastlane(tmp_path, shared_redis.url, **named) as crew:
        await crew.hire()
        await crew.until(lambda: is_built(crew), "the queue to be built")
        restore = back_up(crew.settings.store_url)
        moved = await crew.enqueue("moved", startIn="1h")
    restore()
    async with Fastlane(tmp_path, shared_redis.url, **named) as crew:
        assert await is_held(crew)
        waiting = [await crew.enqueue("now") for _ in range(20)]
        refused = await crew.post("/dispatch/resume")
        assert (refused.status, await is_held(crew)) == (409, True), "the first worker would pause it again"
        assert "no worker has rebuilt the queue since" in refused.json["detail"]
    async with Fastlane(tmp_path, shared_redis.url, **named) as crew:
        number = (await crew.store.generation()).number
        await crew.hire()
        await crew.until(lambda: is_built(crew, after=number), "the queue to be rebuilt")
        assert await is_held(crew)
        assert await crew.queue.lane_of(moved["jobId"]) is None, "the queue has no entry that the store does not have"
        assert (await crew.post("/dispatch/resume")).json == {"paused": False}
        for reply in waiting:
            await crew.until(partial(has_ended, crew, reply), "what was written since to run")


async def test_a_new_store_beside_an_old_redis_is_not_held(shared_redis: RealRedis, tmp_path: Path) -> None:
    named = {"installation": f"test-{uuid4().hex[:8]}"}
    async with Fastlane(tmp_path / "old", shared_redis.url, **named) as crew:
        await crew.hire()
        await crew.enqueue("later", startIn="1h")
        await crew.until(lambda: is_built(crew), "the queue to be built")
    async with Fastlane(tmp_path / "new", shared_redis.url, **named) as crew:
        job = await crew.submit("exit", "0")
        await crew.hire()
        assert (await crew.cleaned(job)).status is Status.DONE
        await crew.idle()


async def is_built(crew: Fastlane, after: int = 0) -> bool:
    stored = await crew.store.generation()
    return stored.number > after and stored.builder is None


# each step of noticing may be a worker's last


async def ahead(virtual: VirtualFastlane, by: int = 1_000) -> None:
    """The queue has seen more commits than the store has, as after a backup was restored."""
    version = await virtual.real_store.version()
    await virtual.real_queue.generation.wipe(generation="1")
    await virtual.real_queue.generation.remember_store(StoreVersion(version.store, version.commits + by))


@pytest.mark.parametrize(("port", "verb"), [("store", "pause_pool"), ("data", "wipe"), ("data", "set_generation")])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_worker_that_dies_while_it_notices_leaves_dispatch_held(
    virtual: VirtualFastlane, port: str, verb: str, moment: str
) -> None:
    await virtual.rebuild()
    waiting = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await ahead(virtual)
    await die(virtual, port, verb, moment)
    await virtual.rebuild(flush=False)
    assert (await virtual.real_store.paused_pools()).hold == RESTORED
    assert await virtual.work() == []
    await virtual.services.pools.resume_all()
    assert await virtual.work() == [waiting.execution_id]


async def die(virtual: VirtualFastlane, port: str, verb: str, moment: str) -> None:
    """A worker ends before or after this call of its first look. A minute passes."""
    ports = {"store": Intercepted(virtual.real_store), "data": Intercepted(virtual.real_queue.generation)}
    getattr(ports[port], moment)(verb, dies)
    queue = WithGeneration(virtual.real_queue, ports["data"])
    with pytest.raises(Died):
        await Rebuilder(ports_of(ports["store"], queue, virtual.clock, pools=POOLS, owner="dying")).ensure()
    virtual.clock.set(virtual.clock.now() + 60_000)


@pytest.mark.parametrize(
    ("moment", "port", "verb"),
    [
        ("after", "data", "set_generation"),
        ("before", "store", "pause_pool"),
        ("after", "store", "pause_pool"),
        ("after", "store", "change_generation"),
        ("after", "data", "wipe"),
    ],
)
async def test_what_is_written_after_such_a_worker_died_does_not_hide_that_the_store_went_back(
    virtual: VirtualFastlane, port: str, verb: str, moment: str
) -> None:
    await virtual.rebuild()
    await virtual.real_queue.put([make_entry("gone", virtual.clock.now() + 3_600_000, "default")])
    await ahead(virtual, by=1)
    await die(virtual, port, verb, moment)
    waiting = await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.rebuild(flush=False)
    assert (await virtual.real_store.paused_pools()).hold == RESTORED
    assert await virtual.real_queue.lane_of("gone") is None
    assert await virtual.work() == []
    await virtual.services.pools.resume_all()
    assert await virtual.work() == [waiting.execution_id]


async def test_the_mark_of_another_process_is_enough(virtual: VirtualFastlane) -> None:
    await virtual.rebuild()
    assert await mark_went_back(virtual.real_queue.generation, await virtual.real_queue.generation.identity())
    await virtual.rebuild(flush=False)
    assert (await virtual.real_store.paused_pools()).hold == RESTORED


async def test_a_slow_worker_does_not_pause_again_what_was_resumed_meanwhile(virtual: VirtualFastlane) -> None:
    await virtual.rebuild()
    await ahead(virtual)
    data = Intercepted(virtual.real_queue.generation)

    async def others_resume() -> None:
        await virtual.rebuild(flush=False)
        await virtual.services.pools.resume_all()

    data.after("identity", others_resume)
    queue = WithGeneration(virtual.real_queue, data)
    with pytest.raises(QueueDown, match="another worker has begun"):
        await Rebuilder(ports_of(virtual.real_store, queue, virtual.clock, pools=POOLS, owner="slow")).ensure()
    assert (await virtual.real_store.paused_pools()).hold is None


# pausing all dispatch


async def test_all_dispatch_is_paused_and_resumed_beside_the_pauses_of_pools(virtual: VirtualFastlane) -> None:
    await virtual.services.pools.pause("other")
    for _ in range(2):
        assert (await virtual.services.pools.pause_all()).paused
    assert await virtual.real_store.paused_pools() == Pauses(2, frozenset({"other", REQUESTED}))
    held = [await virtual.services.submissions.enqueue(task, make_spec(), Schedule()) for task in ("t", "other-t")]
    assert await virtual.work() == []
    await virtual.rebuild()
    assert await virtual.work() == [], "a rebuild keeps it"
    for _ in range(2):
        assert not (await virtual.services.pools.resume_all()).paused
    assert await virtual.work() == [held[0].execution_id]
    await virtual.services.pools.resume("other")
    assert await virtual.work() == [held[1].execution_id]


async def test_ticks_fire_and_what_is_stopped_is_settled_while_all_dispatch_is_paused(virtual: VirtualFastlane) -> None:
    await virtual.services.pools.pause_all()
    job = await virtual.services.submissions.enqueue("t", make_spec(), virtual.at(60))
    virtual.clock.set(virtual.clock.now() + 60_000)
    assert await virtual.work() == []
    (execution,) = await virtual.executions(job.job_id)
    assert execution.status is Status.ENQUEUED
    await virtual.services.stops.stop_job("t", job.job_id)
    assert await virtual.work() == []
    (execution,) = await virtual.executions(job.job_id)
    assert (execution.status, execution.settled) == (Status.STOPPED, True)
