"""Jobs that are due at once are spread over the hosts of their pool: a worker counts what it has placed before any host can know of it."""

from collections import Counter
from pathlib import Path

from fastlane.models.placement.pool import Pool
from tests.support.crew import Crew
from tests.support.redis import RealRedis

HOSTS = ("unix:///a", "unix:///b", "unix:///c")


async def test_jobs_that_are_due_at_once_are_spread_over_the_hosts(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Crew(tmp_path, shared_redis.url, pools=(Pool("wide", "", HOSTS, max_running=100),)) as crew:
        jobs = [await crew.enqueue("hold") for _ in range(30)]
        await crew.hire()
        rows = [await crew.reaches(job, "running") for job in jobs]
        assert Counter(row.host for row in rows) == dict.fromkeys(HOSTS, 10)


async def test_what_has_ended_counts_for_no_host_any_more(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Crew(tmp_path, shared_redis.url, pools=(Pool("wide", "", HOSTS, max_running=100),)) as crew:
        worker = await crew.hire()
        for job in [await crew.enqueue("exit", "0") for _ in range(30)]:
            await crew.cleaned(job)
        await crew.idle()
        assert worker._leases.placed.total() == 0


async def test_what_no_host_took_counts_for_none(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Crew(tmp_path, shared_redis.url, pools=(Pool("wide", "", HOSTS, max_running=100),)) as crew:
        crew.executor._missing = frozenset({"ubuntu:latest"})
        worker = await crew.hire()
        for job in [await crew.enqueue("exit", "0") for _ in range(9)]:
            await crew.reaches(job, "failed")
        await crew.idle()
        assert worker._leases.placed.total() == 0
