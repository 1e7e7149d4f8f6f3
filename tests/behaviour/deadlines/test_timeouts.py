"""Timeout, expiry and priority, seen from outside: a real store, a real Redis, workers, and an executor that counts every start."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.models.pool import Pool
from fastlane.models.status import Status
from fastlane.models.tick import Outcome
from tests.support.fastlane import HOST, Fastlane
from tests.support.ledger import tick_of
from tests.support.redis import RealRedis
from tests.support.scenarios import has_executions


@pytest.fixture
async def small(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    """A pool in which one runs at a time."""
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("small", "", (HOST,), max_running=1),)) as crew:
        yield crew


async def test_a_job_that_runs_longer_than_its_timeout_is_stopped_and_not_retried(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("out", "begun", "hold", timeout=300, retries=2, retry_delay=0)
    ended = await crew.cleaned(job)
    assert (ended.status, ended.exit_code, ended.failure) == (Status.TIMEDOUT, 143, None)
    assert int(ended.finished_at or 0) - int(ended.started_at or 0) >= 300
    assert await has_executions(crew, job, 1)
    await crew.idle()


async def test_what_waits_in_a_full_pool_until_its_time_is_over_never_starts(small: Fastlane) -> None:
    await small.hire()
    holder = await small.submit("hold")
    running = await small.reaches(holder, "running")
    late = await small.submit(expires_in=200)
    early = await small.submit(expires_in=600_000)
    waiting = await small.latest_execution(late)
    assert waiting is not None
    assert waiting.expires_at == waiting.scheduled_for + 200

    async def over() -> bool:
        return small.clock.now() > int(waiting.expires_at or 0)

    await small.until(over, "its time to be over")
    small.executor.release(running.id)
    ended = await small.cleaned(late)
    assert (ended.status, ended.started_at, ended.host, ended.service_id) == (Status.EXPIRED, None, None, None)
    assert (await small.cleaned(early)).status is Status.DONE
    assert ended.id not in small.executor.starts
    tick = await tick_of(small.store, late.job_id, late.tick_id)
    assert tick is not None
    assert (tick.outcome, tick.execution_id) == (Outcome.EXPIRED, ended.id)
    assert tick.reason
    await small.idle()


async def test_a_job_that_starts_in_time_runs_on_after_its_time_to_start(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("hold", expires_in=1_500)
    running = await crew.reaches(job, "running")

    async def over() -> bool:
        return crew.clock.now() > int(running.expires_at or 0) + 100

    await crew.until(over, "its time to start to be over")
    crew.executor.release(running.id)
    assert (await crew.cleaned(job)).status is Status.DONE


async def test_a_host_that_is_away_until_the_time_is_over_starts_nothing_when_it_is_back(crew: Fastlane) -> None:
    crew.executor.down(HOST)
    await crew.hire()
    job = await crew.submit(expires_in=200)
    execution = await crew.latest_execution(job)
    assert execution is not None

    async def over() -> bool:
        return crew.clock.now() > int(execution.expires_at or 0)

    await crew.until(over, "its time to be over")
    crew.executor.up(HOST)
    assert (await crew.cleaned(job)).status is Status.EXPIRED
    assert crew.executor.starts == []


async def test_what_waits_in_a_full_pool_starts_by_priority(small: Fastlane) -> None:
    await small.hire()
    holder = await small.submit("hold")
    running = await small.reaches(holder, "running")
    jobs = {priority: await small.submit(priority=priority) for priority in (-100, 0, 5, -1, 100)}
    small.executor.release(running.id)
    for job in jobs.values():
        await small.cleaned(job)
    ids = {str(job.execution_id): priority for priority, job in jobs.items()}
    assert [ids[id] for id in small.executor.starts[1:]] == [100, 5, 0, -1, -100]


async def test_among_equals_the_one_that_was_due_first_starts_first(small: Fastlane) -> None:
    await small.hire()
    holder = await small.submit("hold")
    running = await small.reaches(holder, "running")
    jobs = [await small.submit(priority=7) for _ in range(4)]
    small.executor.release(running.id)
    for job in jobs:
        await small.cleaned(job)
    assert small.executor.starts[1:] == [job.execution_id for job in jobs]
