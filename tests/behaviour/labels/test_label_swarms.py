"""Jobs that labels declare, with several swarms and several workers: where they run, who looks, and what a swarm that is gone leaves."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.executors.port import ServiceTemplate
from fastlane.models.job import ServiceVersion
from fastlane.models.job_source import declared_id
from fastlane.models.pool import Pool
from fastlane.models.status import Status
from tests.behaviour.labels.test_label_jobs import NIGHTLY, STACK, Swarm
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Call, Intercepted, keeping
from tests.support.redis import RealRedis

OTHER = "10.0.0.8:2375"
MANUAL = {**STACK, "fastlane.manual": "true"}


@pytest.fixture
async def swarm(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Swarm]:
    """The swarms of two hosts, in one pool."""
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("default", "", (HOST, OTHER), services=("shop_*",)),)) as server:
        yield Swarm(server)


async def test_a_job_runs_in_the_swarm_whose_service_declares_it(swarm: Swarm) -> None:
    server, hosts = swarm.server, (HOST, OTHER)
    service = swarm.deploy(MANUAL)
    swarm.executor.labelled_services[OTHER][service.name] = service
    for version, host in enumerate(hosts):
        swarm.executor.deployed[host] = {"shop_web": ServiceTemplate(ServiceVersion("id", version), "shop:1", {})}
    await swarm.look()
    await server.hire()
    for host in hosts:
        job_id = declared_id(f"swarm of {host}", "shop_web", "")
        made = (await server.post(f"/tasks/shop/jobs/{job_id}/run")).json

        async def ended(id: str = made["executionId"]) -> object:
            execution = await server.store.execution(id)
            return execution if execution is not None and execution.status.final else None

        execution = await server.until(ended, f"the end of the run on {host}")
        assert (execution.status, execution.host) == (Status.DONE, host)


async def test_a_change_of_a_service_without_labels_of_jobs_has_nothing_compared(swarm: Swarm) -> None:
    swarm.deploy(NIGHTLY)
    calls: list[Call] = []
    source = swarm.another(Intercepted(swarm.server.store, keeping(calls)))
    await source.look()
    calls.clear()
    for name, labels in (("shop_db", STACK), ("fastlane-1", {"fastlane.installation": "x", "fastlane.job": "y"}), ("shop_db", STACK)):
        swarm.deploy(labels, name)
        await source.look()
    assert calls == []
    swarm.deploy(STACK)
    await source.look()
    assert (await swarm.job()).stopped
