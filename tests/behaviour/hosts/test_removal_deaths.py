"""A server or a worker that ends in the middle of a forced removal: it is repeated safely, or another one goes on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.errors import NotFound
from fastlane.models.host import EngineIdentity
from tests.behaviour.hosts.conftest import NEW, Administered
from tests.support.intercept import Call, Died, intercepted
from tests.support.redis import RealRedis


@pytest.fixture
async def grown(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Administered]:
    """A server with a registered host, and two workers whose leases are short, so that one soon goes on where another ended."""
    async with Administered(tmp_path, shared_redis.url, host_lost_after=3600.0, lease=1.0, renew=0.3) as server:
        assert (await server.register()).status == 200
        server.executor.engines[NEW] = EngineIdentity("engine", "swarm")
        for _ in range(2):
            await server.hire()
        await server.seen(NEW, available=True, engine="engine")
        yield server


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_server_that_ends_at_the_write_of_a_removal_has_removed_the_host_or_changed_nothing(grown: Administered, when: str) -> None:
    job = await grown.submit("hold", task="grown-task")
    await grown.reaches(job, "running")

    async def dying(call: Call) -> object:
        if when == "after":
            await call.carry()
        raise Died

    with intercepted(grown.store, "write_host", dying), pytest.raises(Died):
        await grown.services.hosts.remove(NEW, force=True)
    if when == "before":
        assert NEW in await grown.known()
        assert (await grown.latest_execution(job)).status.value == "running"
        assert (await grown.services.hosts.remove(NEW, force=True)).lost == 1
    lost = await grown.cleaned(job)
    assert (lost.status.value, lost.failure and lost.failure.reason.value) == ("failed", "host-lost")
    assert NEW not in await grown.known()
    with pytest.raises(NotFound):
        await grown.services.hosts.remove(NEW, force=True)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["end", "clean"])
async def test_what_a_worker_does_for_what_was_lost_is_done_once_though_it_ends_in_between(
    grown: Administered, step: str, when: str
) -> None:
    job = await grown.submit("hold", task="grown-task", retries=1, retry_delay=3600)
    await grown.reaches(job, "running")
    deaths: list[str] = []

    async def dying(call: Call) -> object:
        if call.name != step or deaths:
            return await call.carry()
        deaths.append(step)
        if when == "after":
            await call.carry()
        raise Died

    with intercepted(grown.store, "change", dying):
        assert (await grown.services.hosts.remove(NEW, force=True)).lost == 1

        async def settled() -> bool:
            rows = await grown.attempts(job)
            return [(row.status.value, row.cleaned) for row in rows] == [("failed", True), ("enqueued", False)]

        await grown.until(settled, "the lost attempt to be clean, and one more")
    assert deaths == [step]
    first, _ = await grown.attempts(job)
    assert first.failure is not None
    assert first.failure.reason.value == "host-lost"
    assert grown.executor.starts == [first.id]
