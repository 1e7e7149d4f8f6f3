"""Many due times that come up together: they have a share of a worker, and other jobs theirs."""

import asyncio
from pathlib import Path

import pytest

from fastlane.errors import StoreDown
from fastlane.models.status import Status
from fastlane.queue.port import Lease
from fastlane.scheduler import leases
from fastlane.scheduler.timer import Timer
from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis

AT_ONCE, BATCH, JOBS = 4, 8, 20


async def test_a_job_starts_while_many_ticks_are_under_way(
    shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "MAX_TICKS", AT_ONCE)
    monkeypatch.setattr(leases, "BATCH", BATCH)
    handled, goes_on, plain = set[str](), asyncio.Event(), Timer.handle

    async def handle(self: Timer, lease: Lease, now: int) -> None:
        handled.add(lease.id)
        await goes_on.wait()
        await plain(self, lease, now)

    monkeypatch.setattr(Timer, "handle", handle)

    async def are_full() -> bool:
        return len(handled) >= AT_ONCE

    async with Fastlane(tmp_path, shared_redis.url, workers=1) as crew:
        due = crew.clock.now() + 2_000
        storm = [await crew.submit(at=due) for _ in range(JOBS)]
        await crew.until(are_full, "ticks to be under way")
        other = await crew.submit("exit", "0")
        assert (await crew.cleaned(other)).status is Status.DONE
        assert AT_ONCE <= len(handled) < AT_ONCE + BATCH
        goes_on.set()
        for job in storm:
            assert (await crew.cleaned(job)).status is Status.DONE
        assert len(handled) == JOBS


async def test_ticks_that_fail_again_and_again_keep_no_others_from_firing(
    shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "MAX_TICKS", AT_ONCE)
    failing, tried, plain = set[str](), set[str](), Timer.handle

    async def handle(self: Timer, lease: Lease, now: int) -> None:
        if lease.id in failing:
            tried.add(lease.id)
            raise StoreDown("its row is locked")
        await plain(self, lease, now)

    monkeypatch.setattr(Timer, "handle", handle)

    async def have_failed() -> bool:
        return tried == failing

    async with Fastlane(tmp_path, shared_redis.url, workers=1) as crew:
        due = crew.clock.now() + 1_000
        stuck = [await crew.submit(at=due) for _ in range(3 * AT_ONCE)]
        failing.update(job.job_id for job in stuck)
        await crew.until(have_failed, "the ticks to fail")
        other = await crew.submit(at=crew.clock.now() + 1)
        assert (await crew.cleaned(other)).status is Status.DONE
        failing.clear()
        for job in stuck:
            assert (await crew.cleaned(job)).status is Status.DONE
