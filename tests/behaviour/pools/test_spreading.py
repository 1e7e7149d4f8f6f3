"""Jobs that are due at once are spread over the hosts of their pool: a worker counts what it has placed before any host can know of it."""

import asyncio
from collections import Counter
from pathlib import Path

from fastlane.executors.port import Image, Order
from fastlane.models.pool import HostRule, Pool
from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis

HOSTS = ("unix:///a", "unix:///b", "unix:///c")


async def test_jobs_that_are_due_at_once_are_spread_over_the_hosts(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("wide", "", HOSTS, max_running=100),)) as crew:
        jobs = [await crew.submit("hold") for _ in range(30)]
        await crew.hire()
        rows = [await crew.reaches(job, "running") for job in jobs]
        assert Counter(row.host for row in rows) == dict.fromkeys(HOSTS, 10)


async def test_a_host_of_twice_the_weight_gets_twice_the_work(shared_redis: RealRedis, tmp_path: Path) -> None:
    pool = Pool("wide", "", HOSTS[:2], max_running=100, rules={HOSTS[0]: HostRule(2)})
    async with Fastlane(tmp_path, shared_redis.url, pools=(pool,)) as crew:
        jobs = [await crew.submit("hold") for _ in range(30)]
        await crew.hire()
        rows = [await crew.reaches(job, "running") for job in jobs]
        assert Counter(row.host for row in rows) == {HOSTS[0]: 20, HOSTS[1]: 10}


async def test_no_more_run_than_the_hosts_may_have_and_the_others_follow(shared_redis: RealRedis, tmp_path: Path) -> None:
    pool = Pool("wide", "", HOSTS[:2], max_running=100, rules={HOSTS[0]: HostRule(1, 2), HOSTS[1]: HostRule(1, 3)})
    async with Fastlane(tmp_path, shared_redis.url, pools=(pool,)) as crew:
        jobs = [await crew.submit("hold", "exit", "0") for _ in range(12)]
        await crew.hire()
        most = 0
        while len(crew.executor.starts) < len(jobs):

            async def started(before: int = len(crew.executor.starts)) -> bool:
                return len(crew.executor.starts) > before

            await crew.until(started, "the next start")
            most = max(most, sum(run.running for host in HOSTS[:2] for run in crew.executor.world[host].values()))
            if len(crew.executor.starts) >= 5:
                crew.executor.release(crew.executor.starts[len(crew.executor.starts) - 5])
        for execution_id in crew.executor.starts:
            crew.executor.release(execution_id)
        assert {(await crew.reaches(job, "done")).status.value for job in jobs} == {"done"}
        assert most <= 5


async def test_two_workers_start_no_more_at_once_than_the_hosts_of_a_pool_may_have(shared_redis: RealRedis, tmp_path: Path) -> None:
    """Nothing of what they start is there yet when both choose a host, so neither sees what the other chose."""
    rules = {HOSTS[0]: HostRule(1, 3), HOSTS[1]: HostRule(1, 3)}
    pools = (Pool("wide", "", HOSTS[:2], max_running=100, rules=rules), Pool("barrier", "barrier", HOSTS[2:]))
    async with Fastlane(tmp_path, shared_redis.url, pools=pools[::-1], workers=2, max_executions=5) as crew:
        park, chosen, go_on = crew.executor.park, list[str](), asyncio.Event()

        async def hold(host: str, order: Order, image: Image) -> str:
            if host != HOSTS[2]:
                chosen.append(order.execution_id)
                await go_on.wait()
            service: str = await park(host, order, image)
            return service

        async def have_chosen() -> bool:
            return len(chosen) >= 6

        crew.executor.park = hold
        await crew.services.pools.pause("wide")
        jobs = [await crew.submit("hold") for _ in range(12)]
        await crew.services.pools.resume("wide")
        await crew.until(have_chosen, "six to be placed, by two workers that take five each")
        for _ in range(4):  # workers claim what is due, in the order of the lanes, until there is no more room
            await crew.cleaned(await crew.submit("exit", "0", task="barrier"))
        assert len(chosen) == 6
        go_on.set()
        for released in range(len(jobs)):

            async def started(wanted: int = released + 1) -> bool:
                return len(crew.executor.starts) - 4 >= wanted

            await crew.until(started, "the next start")
            running = [run for host in HOSTS[:2] for run in crew.executor.world[host].values() if run.running]
            assert len(running) <= 6
            if released >= 5:
                crew.executor.release(chosen[released - 5])
        for execution_id in chosen:
            crew.executor.release(execution_id)
        assert {(await crew.reaches(job, "done")).status.value for job in jobs} == {"done"}


ONE_HOST_AND_ALL = (Pool("one", "narrow", HOSTS[:1], max_running=100), Pool("all", "", HOSTS, max_running=100))


async def assert_the_next_are_spread(crew: Fastlane) -> None:
    """They do not avoid the first host, which would get 4 if 9 counted for it still. They are all there when their pool is resumed."""
    await crew.services.pools.pause("all")
    jobs = [await crew.submit("hold") for _ in range(30)]
    await crew.services.pools.resume("all")
    rows = [await crew.reaches(job, "running") for job in jobs]
    assert Counter(row.host for row in rows) == dict.fromkeys(HOSTS, 10)


async def test_what_has_ended_counts_for_no_host_any_more(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, pools=ONE_HOST_AND_ALL) as crew:
        await crew.hire()
        for job in [await crew.submit("exit", "0", task="narrow") for _ in range(9)]:
            await crew.cleaned(job)
        await assert_the_next_are_spread(crew)


async def test_what_no_host_took_counts_for_none(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, pools=ONE_HOST_AND_ALL) as crew:
        crew.executor._missing = frozenset({"ubuntu:latest"})
        await crew.hire()
        for job in [await crew.submit("exit", "0", task="narrow") for _ in range(9)]:
            await crew.reaches(job, "failed")
        crew.executor._missing = frozenset()
        await assert_the_next_are_spread(crew)
