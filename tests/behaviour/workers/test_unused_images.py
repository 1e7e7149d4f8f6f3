"""Images that only executions used are removed a while after their last use, when the setting says so."""

from pathlib import Path

import pytest

from fastlane.models.host import EngineIdentity
from fastlane.models.image import pulled_name
from tests.support.fastlane import HOST, Fastlane
from tests.support.redis import RealRedis


@pytest.mark.parametrize("after", [0.5, None])
async def test_an_image_goes_after_its_time_and_stays_without_one(shared_redis: RealRedis, tmp_path: Path, after: float | None) -> None:
    async with Fastlane(tmp_path, shared_redis.url, unused_images_after=after) as server:
        server.executor.engines[HOST] = EngineIdentity("engine", "swarm")
        for _ in range(2):
            await server.hire()
        held = await server.submit("hold")
        running = await server.reaches(held, "running")
        reference = pulled_name(running.image_reference or "")
        rounds = server.reconcile * 3

        async def expired() -> bool:
            rows = await server.store.pulled_images("engine")
            return any(row.keep_until > (running.bound_at or 0) + rounds * 1000 for row in rows)

        if after is not None:
            await server.until(expired, "a round that found it in use")
        assert server.executor.images == {HOST: {reference: False}}
        server.executor.release(running.id)
        await server.cleaned(held)

        async def gone() -> bool:
            return server.executor.images == {HOST: {}}

        if after is None:
            assert await server.store.pulled_images("engine") == []
            assert not await gone()
        else:
            await server.until(gone, "the image to go")
