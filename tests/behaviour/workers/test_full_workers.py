"""A worker that holds as many executions as it can: it starts no more, and does everything else."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fastlane.models.job import Execution
from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.services.results import Enqueued
from tests.support.factories import make_spec
from tests.support.fastlane import HOST, Fastlane
from tests.support.redis import RealRedis

MOST = 2


@pytest.fixture
async def crew(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("default", "", (HOST,)),), max_executions=MOST) as crew:
        yield crew


async def fill(crew: Fastlane) -> list[Execution]:
    """Hires a worker, and gives it as much as it can hold."""
    await crew.hire()
    return [await crew.reaches(await crew.submit("hold"), "running") for _ in range(MOST)]


async def reasons(crew: Fastlane, job: Enqueued) -> set[str]:
    answer = await crew.get(f"/tasks/task/jobs/{job.job_id}/why")
    return {wait["reason"] for wait in answer.json["waitingFor"]}


async def test_what_it_has_no_room_for_waits_says_so_and_starts_when_there_is_room(crew: Fastlane) -> None:
    with capture_logs() as logs:
        running = await fill(crew)
    assert [line["event"] for line in logs if line["event"] in {"worker.holds_less_than_max_running", "worker.full"}] == [
        "worker.holds_less_than_max_running",
        "worker.full",
    ]
    waiting = await crew.submit("exit", "4")

    async def said() -> bool:
        return await reasons(crew, waiting) == {"workers-full"}

    await crew.until(said, "the reason")
    crew.executor.release(running[0].id)
    assert (await crew.cleaned(waiting)).exit_code == 4


async def test_it_fires_ticks(crew: Fastlane) -> None:
    await fill(crew)
    job = await crew.submit(at=crew.clock.now() + 200)

    async def fired() -> Execution | None:
        return await crew.latest_execution(job)

    row = await crew.until(fired, "the tick")
    assert row is not None
    assert row.status is Status.ENQUEUED


async def test_it_ends_what_is_stopped_and_what_has_expired_before_its_start(crew: Fastlane) -> None:
    await fill(crew)
    stopped = await crew.submit()
    await crew.services.stops.stop_job("task", stopped.job_id)
    assert (await crew.cleaned(stopped)).status is Status.STOPPED
    late = await crew.services.submissions.enqueue("task", make_spec(expires_in=300), Schedule())
    assert (await crew.cleaned(late)).status is Status.EXPIRED


async def test_it_stops_and_settles_what_it_holds(crew: Fastlane) -> None:
    running = await fill(crew)
    await crew.services.stops.stop_job("task", running[0].job_id)

    async def settled() -> bool:
        row = await crew.store.execution(running[0].id)
        return row is not None and row.status is Status.STOPPED and row.settled and row.cleaned

    await crew.until(settled, "the stop")


async def test_it_takes_over_what_another_worker_leaves(crew: Fastlane) -> None:
    running = await fill(crew)
    await crew.hire()
    others = [await crew.reaches(await crew.submit("hold", "exit", "3"), "running") for _ in range(MOST)]
    await crew.dismiss()

    async def taken_over() -> bool:
        return all([(await crew.store.execution(row.id)).epoch == 2 for row in running])

    await crew.until(taken_over, "the take-over")
    for row in (*running, *others):
        crew.executor.release(row.id)

    async def ended() -> bool:
        return all([(await crew.store.execution(row.id)).status.final for row in (*running, *others)])

    await crew.until(ended, "the end of all")
    await crew.idle()


@pytest.mark.parametrize("count", [30])
async def test_all_run_in_the_end_however_many_there_are(crew: Fastlane, count: int) -> None:
    await crew.hire()
    jobs = [await crew.submit("exit", "0") for _ in range(count)]
    for job in jobs:
        assert (await crew.cleaned(job)).status is Status.DONE
    await crew.idle()
