"""Services that someone else removes, and images that do not come, by a scheduler in this process with short deadlines."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from fastlane.executors.port import Phase
from fastlane.models.container import NO_CONTAINER, Container, Mount, MountKind, Policy
from fastlane.models.job import Execution, Spec
from fastlane.models.pool import Pool
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.services.results import Enqueued
from tests.support.defaults import default_executor
from tests.support.engine import IMAGE, connect, open_probed, remove_all
from tests.support.fastlane import Fastlane
from tests.support.intercept import Call, Intercepted
from tests.support.redis import RealRedis
from tests.support.registry import Registry
from tests.support.relay import Relay

pytestmark = pytest.mark.thorough

HOLD = ("sh", "-c", "echo begun; exec sleep 600")


@pytest.fixture
def api(engine: str) -> Iterator[docker.APIClient]:
    with contextlib.closing(connect(engine)) as client:
        yield client


@asynccontextmanager
async def crew_on(folder: Path, shared_redis: RealRedis, engine: str, **settings: float) -> AsyncIterator[tuple[Fastlane, Intercepted]]:
    pool = Pool("default", "", (engine,), policy=Policy(mounts=("*",)))
    async with Fastlane(folder, shared_redis.url, pools=(pool,), **settings) as crew:
        executor = Intercepted(default_executor([engine], crew.installation, probe_every=0.2))
        await open_probed(executor)
        crew.executor = executor  # type: ignore[assignment]
        try:
            await crew.hire()
            yield crew, executor
        finally:
            await crew.dismiss()
            await executor.close()
            await asyncio.to_thread(remove_all, engine, crew.installation)


async def run(crew: Fastlane, *command: str, image: str = IMAGE, container: Container = NO_CONTAINER) -> Enqueued:
    return await crew.services.submissions.enqueue("task", Spec(image, command, container=container), Schedule())


async def ended(crew: Fastlane, job: Enqueued) -> Execution:
    found = await crew.reaches(job, "failed", "done", "stopped", "expired", "timedout")
    assert await crew.cleaned(job) is not None
    return found


def check_gone(execution: Execution) -> None:
    assert (execution.status, execution.exit_code) == (Status.FAILED, None)
    assert execution.failure is not None
    assert execution.failure.reason is FailureReason.KILLED
    assert execution.failure.message == "someone removed its service from the swarm"


async def test_a_service_removed_before_its_activation_is_a_failure_and_is_not_made_again(
    engine: str, shared_redis: RealRedis, tmp_path: Path, api: docker.APIClient
) -> None:
    async with crew_on(tmp_path, shared_redis, engine, gone_after=2.0) as (crew, executor):
        removed: list[str] = []

        async def remove_first(call: Call) -> Any:
            _, service_id = call.arguments
            if not removed:
                await asyncio.to_thread(api.remove_service, service_id)
            removed.append(service_id)
            return await call.carry()

        executor.around("activate", remove_first)
        execution = await ended(crew, await run(crew, "true"))
        check_gone(execution)
        assert execution.started_at is None
        assert set(removed) == {execution.service_id}
        assert list(await executor.services(engine)) == []


async def test_a_service_removed_while_its_container_runs_is_a_failure_that_keeps_its_log(
    engine: str, shared_redis: RealRedis, tmp_path: Path, api: docker.APIClient
) -> None:
    async with crew_on(tmp_path, shared_redis, engine, gone_after=2.0) as (crew, _):
        job = await run(crew, *HOLD)
        running = await crew.reaches(job, "running")
        await crew.until(lambda: logged(crew, running), "its first line")
        api.remove_service(running.service_id)
        execution = await ended(crew, job)
        check_gone(execution)
        assert execution.truncated
        assert await crew.stored_log(execution) == b"begun\n"


async def logged(crew: Fastlane, execution: Execution) -> bytes:
    return await crew.stored_log(execution)


async def test_a_service_removed_while_its_image_is_pulled_is_a_failure(
    engine: str, shared_redis: RealRedis, tmp_path: Path, api: docker.APIClient, registry: Registry
) -> None:
    async with (
        crew_on(tmp_path, shared_redis, engine, gone_after=2.0) as (crew, executor),
        pulling(crew, executor, registry, engine) as job,
    ):
        placed = await crew.reaches(job, "pulling")
        api.remove_service(placed.service_id)
        check_gone(await ended(crew, job))


async def test_an_image_that_does_not_come_in_time_is_the_reason(
    engine: str, shared_redis: RealRedis, tmp_path: Path, registry: Registry
) -> None:
    async with (
        crew_on(tmp_path, shared_redis, engine, gone_after=60.0, pull_deadline=3.0) as (crew, executor),
        pulling(crew, executor, registry, engine) as job,
    ):
        execution = await ended(crew, job)
        assert (execution.status, execution.exit_code, execution.started_at) == (Status.FAILED, None, None)
        assert execution.failure is not None
        assert execution.failure.reason is FailureReason.IMAGE
        assert execution.failure.message == f"the image {execution.spec.image} was not on its node within 3 s"


async def test_a_job_is_stopped_at_once_while_its_image_is_pulled(
    engine: str, shared_redis: RealRedis, tmp_path: Path, registry: Registry
) -> None:
    async with (
        crew_on(tmp_path, shared_redis, engine, gone_after=60.0) as (crew, executor),
        pulling(crew, executor, registry, engine) as job,
    ):
        await crew.services.stops.stop_job("task", job.job_id)
        execution = await ended(crew, job)
        assert (execution.status, execution.failure, execution.started_at) == (Status.STOPPED, None, None)


@asynccontextmanager
async def pulling(crew: Fastlane, executor: Intercepted, registry: Registry, engine: str) -> AsyncIterator[Enqueued]:
    """A job whose node waits for a registry that has fallen silent since it was asked for the digest."""
    pushed = registry.push(engine, "slow:1", "slow")
    executor.before("activate", lambda: asyncio.to_thread(registry.pause))
    job = await run(crew, "true", image=pushed.reference)
    try:
        await crew.until(lambda: prepares(crew, executor, job, engine), "its node to begin to pull")
        yield job
    finally:
        registry.resume()


async def prepares(crew: Fastlane, executor: Intercepted, job: Enqueued, engine: str) -> bool:
    execution = await crew.latest_execution(job)
    if execution is None or execution.service_id is None:
        return False
    tasks = (await executor.inspect(engine, execution.service_id)).tasks
    return bool(tasks) and tasks[0].phase is Phase.PREPARING


async def test_what_was_given_up_as_lost_is_ended_with_its_grace_and_removed_when_its_host_is_back(
    engine: str, shared_redis: RealRedis, tmp_path: Path, api: docker.APIClient
) -> None:
    """Its container runs on while the host is away; once the host is back nothing of the container's fate changes the row any more."""
    told = tmp_path / "told"
    told.mkdir()
    script = "trap 'sleep 1; echo ended > /told/end; exit 5' TERM; echo begun; while :; do sleep 0.05; done"
    mounted = Container(mounts=(Mount(MountKind.BIND, "/told", str(told)),))
    relay = Relay(f"unix://{tmp_path / 'e'}", engine)
    await relay.start()
    async with crew_on(tmp_path, shared_redis, relay.place, gone_after=60.0, host_lost_after=1.0) as (crew, _):
        job = await run(crew, "sh", "-c", script, container=mounted)
        running = await crew.reaches(job, "running")
        await crew.until(lambda: logged(crew, running), "its first line")
        await relay.stop()
        lost = await crew.reaches(job, "failed")
        assert lost.failure is not None
        assert (lost.failure.reason, lost.exit_code) == (FailureReason.HOST_LOST, None)
        assert f"its container may still run on its node {lost.node}" in lost.failure.message
        assert api.inspect_container(running.container_id)["State"]["Running"]
        await relay.start()
        clean = await crew.cleaned(job)
        assert (clean.status, clean.failure, clean.exit_code) == (lost.status, lost.failure, None)
        await crew.until(lambda: holds((told / "end").exists()), "its container to end by its signal")
        await crew.until(lambda: holds(not containers(api, running)), "its container to go")
    await relay.stop()


async def holds(value: bool) -> bool:
    return value


def containers(api: docker.APIClient, execution: Execution) -> list[object]:
    return list(api.containers(all=True, filters={"label": f"com.docker.swarm.service.id={execution.service_id}"}))
