"""A host that some workers do not know, because it is being added or removed: they leave what runs there to those that do. When no
worker knows it any more, what ran there ends, and can be deleted."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fastlane.errors import HostDown, RefusedForNow
from fastlane.models.host import HostView
from fastlane.models.job import Execution
from fastlane.models.pool import Pool
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.queue.port import Report
from fastlane.scheduler import worker
from fastlane.services.results import Enqueued
from tests.support.fastlane import Fastlane
from tests.support.instant import InstantExecutor
from tests.support.intercept import failing, intercept
from tests.support.redis import RealRedis

OLD, NEW = "unix:///old", "unix:///new"


@pytest.fixture
async def crew(shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fastlane]:
    monkeypatch.setattr(worker, "ANNOUNCE_EVERY", 0.1)
    monkeypatch.setattr(worker, "ANNOUNCE_TTL", 1_000)
    pools = (Pool("default", "", (NEW, OLD), max_running=30),)
    async with Fastlane(tmp_path, shared_redis.url, pools=pools, host_lost_after=1.0) as crew:
        crew.executor = InstantExecutor([NEW, OLD], crew.clock)
        yield crew


def knowing(crew: Fastlane, *hosts: str) -> InstantExecutor:
    """What the workers that are hired next know: these hosts, with all that runs there."""
    world = crew.executor.world
    crew.executor = InstantExecutor(hosts, crew.clock, world=world)
    return crew.executor


async def one_on_the_new_host(crew: Fastlane) -> tuple[Enqueued, Execution]:
    job = await crew.submit("hold", "exit", "3")
    row = await crew.reaches(job, "running")
    assert row.host == NEW
    return job, row


async def left_alone(crew: Fastlane, *ids: str) -> None:
    """Hires a worker that knows only the old host, beside one that has just reported the new one. Returns once the first has had each of
    these, and left it alone."""
    view = HostView(NEW, usable=True)
    await crew.queue.reports.announce(Report("another", crew.clock.now(), (view,)), ttl=60_000)
    knowing(crew, OLD)
    with capture_logs() as logs:
        await crew.hire()
        await crew.dismiss()

        async def handed_over() -> bool:
            return {line["id"] for line in logs if line["event"] == "assignment.handed_over"} >= set(ids)

        await crew.until(handed_over, "the hand-over of all")
    for id in ids:
        row = await crew.store.execution(id)
        assert row is not None
        assert (row.epoch, row.status.final) == (1, False)


async def test_what_runs_on_a_host_that_only_other_workers_know_is_left_to_them(crew: Fastlane) -> None:
    both = crew.executor
    await crew.hire()
    jobs = [await crew.submit("hold", "exit", "3") for _ in range(5)]
    rows = [await crew.reaches(job, "running") for job in jobs]
    there = [row.id for row in rows if row.host == NEW]
    assert len(there) > 1
    await left_alone(crew, *there)
    crew.executor = both
    await crew.hire()
    for row in rows:
        both.release(row.id)
    ends = [await crew.cleaned(job) for job in jobs]
    assert {(end.status, end.exit_code, end.epoch) for end in ends} == {(Status.FAILED, 3, 2)}
    assert sorted(both.starts) == sorted(row.id for row in rows)


async def test_what_is_about_to_start_in_a_pool_that_only_other_workers_know_is_left_to_them(crew: Fastlane) -> None:
    both, settings = crew.executor, crew.settings
    real = both.park
    intercept(both, "park", failing(RefusedForNow("not now")))
    crew.refused_after = 600.0
    await crew.hire()
    job = await crew.submit("exit", "3")
    row = await crew.reaches(job, "pulling")
    crew.settings = replace(settings, pools=(Pool("other", "other-", (OLD,)),))
    await left_alone(crew, row.id)
    both.park, crew.settings, crew.executor = real, settings, both
    await crew.hire()
    assert (await crew.cleaned(job)).exit_code == 3


async def test_a_worker_that_kept_an_execution_whose_host_it_does_not_know_gives_it_to_the_first_that_does(crew: Fastlane) -> None:
    crew.settings = replace(crew.settings, host_lost_after=600.0)
    both = crew.executor
    await crew.hire()
    job, row = await one_on_the_new_host(crew)
    await crew.dismiss()
    knowing(crew, OLD)
    await crew.hire()
    await crew.until(lambda: epoch_above(crew, row, 1), "the take-over by the worker that does not know the host")
    crew.executor = both
    await crew.hire()
    await crew.until(lambda: epoch_above(crew, row, 2), "the take-over by the worker that knows it")
    both.release(row.id)
    ended = await crew.cleaned(job)
    assert (ended.exit_code, both.starts) == (3, [row.id])


async def epoch_above(crew: Fastlane, row: Execution, epoch: int) -> bool:
    return (await crew.store.execution(row.id)).epoch > epoch


async def test_what_ran_on_a_host_that_no_worker_knows_any_more_ends_and_can_be_deleted(crew: Fastlane) -> None:
    await crew.hire()
    job, row = await one_on_the_new_host(crew)
    await crew.dismiss()
    knowing(crew, OLD)
    await crew.hire()
    ended = await crew.cleaned(job)
    assert ended.failure is not None
    assert (ended.failure.reason, ended.id) == (FailureReason.HOST_LOST, row.id)
    assert "not a registered host" in ended.failure.message
    assert (await crew.ask("DELETE", "/tasks/task")).status in {200, 204}


async def test_a_final_execution_is_not_called_clean_while_another_worker_knows_its_host(crew: Fastlane) -> None:
    both = crew.executor
    await crew.hire()
    job, row = await one_on_the_new_host(crew)
    refusals = []

    async def refuse(host: str, service_id: str) -> None:
        refusals.append(host)
        raise HostDown("not now")

    knowing(crew, OLD)
    await crew.hire()
    both.remove, real = refuse, both.remove
    both.release(row.id)
    await crew.reaches(job, "failed")
    await crew.until(lambda: seen(refusals, 6), "several rounds")
    assert not (await crew.store.execution(row.id)).cleaned
    both.remove = real
    await crew.cleaned(job)
    assert not both.world[NEW]


async def seen(refusals: list[str], count: int) -> bool:
    return len(refusals) >= count


async def test_a_service_that_comes_back_with_its_host_is_removed(crew: Fastlane) -> None:
    both = crew.executor
    await crew.hire()
    job, _ = await one_on_the_new_host(crew)
    await crew.dismiss()
    knowing(crew, OLD)
    await crew.hire()
    await crew.cleaned(job)
    assert both.world[NEW]
    crew.executor = both
    await crew.hire()

    async def gone() -> bool:
        return not both.world[NEW]

    await crew.until(gone, "the removal of what came back")
