"""Ticks that a worker claims a little before they are due: they fire when they are due, whoever has them by then."""

from collections import Counter

import pytest

from fastlane.models.status import Status
from fastlane.queue.port import TICKS, Lane, Lease
from fastlane.scheduler.timer import Timer
from tests.support.fastlane import Fastlane

SOON = 400
LEASE = 10_000


@pytest.fixture
def begun(crew: Fastlane, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The ticks that were begun, each with the moment, which is Redis's time too."""
    moments, plain = list[tuple[str, int]](), Timer.handle

    async def handle(self: Timer, lease: Lease, now: int) -> None:
        moments.append((lease.id, crew.clock.now()))
        await plain(self, lease, now)

    monkeypatch.setattr(Timer, "handle", handle)
    return moments


async def test_ticks_a_few_milliseconds_apart_each_fire_once_and_not_before_their_time(
    crew: Fastlane, begun: list[tuple[str, int]]
) -> None:
    await crew.hire()
    first = crew.clock.now() + SOON
    jobs = [await crew.submit("exit", "0", at=first + 3 * number) for number in range(30)]
    for number, job in enumerate(jobs):
        ended = await crew.cleaned(job)
        assert ended.status is Status.DONE
        assert ended.scheduled_for == first + 3 * number <= ended.created_at
    assert Counter(crew.executor.starts).most_common(1)[0][1] == 1
    due = {job.job_id: first + 3 * number for number, job in enumerate(jobs)}
    assert [id for id, moment in begun if moment < due[id]] == []
    await crew.idle()


async def test_a_tick_that_another_worker_claimed_ahead_and_gave_up_does_not_fire_before_its_time(crew: Fastlane) -> None:
    await crew.hire()
    await crew.until(crew.is_healthy, "the worker")
    generation = (await crew.queue.generation.identity()).generation
    assert generation is not None
    due = crew.clock.now() + SOON
    job = await crew.submit("exit", "0", at=due)
    claim = await crew.queue.claim(generation, "gone", [Lane(TICKS, None)], 10, lease=LEASE, ahead=2 * SOON)
    assert [(lease.id, lease.due) for lease in claim.leases] == [(job.job_id, due)]
    await crew.queue.release("gone", [job.job_id])  # the worker takes it over at once
    ended = await crew.cleaned(job)
    assert ended.scheduled_for == due <= ended.created_at
    assert crew.executor.starts == [ended.id]
    await crew.idle()


async def test_a_job_that_is_stopped_after_its_tick_was_claimed_ahead_does_not_run(crew: Fastlane) -> None:
    await crew.hire()
    await crew.until(crew.is_healthy, "the worker")
    generation = (await crew.queue.generation.identity()).generation
    assert generation is not None
    job = await crew.submit("exit", "0", at=crew.clock.now() + SOON)
    claim = await crew.queue.claim(generation, "gone", [Lane(TICKS, None)], 10, lease=LEASE, ahead=2 * SOON)
    assert [lease.id for lease in claim.leases] == [job.job_id]
    await crew.services.stops.stop_job("task", job.job_id)
    await crew.queue.release("gone", [job.job_id])

    async def is_gone() -> bool:
        return await crew.queue.lane_of(job.job_id) is None

    await crew.until(is_gone, "the end of the entry")
    assert await crew.latest_execution(job) is None
    assert crew.executor.starts == []
