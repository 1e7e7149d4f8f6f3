"""A backfill that was under way when its job was exported goes on where it was after the import: each due time runs once."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from fastlane.models.backfill import Backfill, BackfillState
from fastlane.models.pool import RESTORED
from fastlane.storage.transfer import files
from tests.behaviour.schedule.test_backfills import ANNA, Filled, filled
from tests.contract.moving import exported, imported
from tests.support.intercept import Died, Intercepted, dies
from tests.support.redis import RealRedis
from tests.support.virtual_time import VirtualFastlane

HOURS = [6, 5, 4, 3, 2, 1, 0]


@pytest.fixture
async def new_one(virtual: VirtualFastlane, shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[VirtualFastlane]:
    """A fastlane with an empty store."""
    folder = tmp_path / "other"
    folder.mkdir()
    async with VirtualFastlane(folder, shared_redis.url) as other:
        yield other


@pytest.fixture(autouse=True)
def virtual_time(virtual: VirtualFastlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports and imports have the time of the test."""
    monkeypatch.setattr(files, "time", SimpleNamespace(time=lambda: virtual.clock.now() / 1000))


async def worked_off(there: VirtualFastlane, job: Filled) -> tuple[Backfill, list[int]]:
    """The backfill once it has ended there, and the hours ago of the due times that ran, there and before."""
    moved = Filled(there, job.job_id)
    moved.hour = job.hour
    await moved.look()
    assert (await moved.record()).ended_at is None
    await there.real_store.pause_pool(RESTORED, False)
    while (await moved.record()).ended_at is None:
        await moved.look()
        await there.reconciler.requeue()
        for id in await there.work():
            await there.finish(id)
    return await moved.record(), await moved.due_times()


@pytest.mark.parametrize("meanwhile", ["nothing", "before the job is read", "after the job was read"])
@pytest.mark.parametrize("how", ["goes on", "dies after the tick"])
async def test_each_due_time_runs_once(virtual: VirtualFastlane, new_one: VirtualFastlane, meanwhile: str, how: str) -> None:
    """While the job is exported a worker makes the next step, and ends or goes on."""
    job = await filled(virtual)
    begun = await job.begin(6)
    for _ in range(2):
        await job.look()
        (started,) = await virtual.work()
        await virtual.finish(started)
    await job.look()

    async def goes_on() -> None:
        for id in await virtual.work():
            await virtual.finish(id)
        if how == "goes on":
            await job.look()
            return
        virtual.worker_store.after("advance", dies)
        with pytest.raises(Died):
            await job.backfiller(virtual.worker_store).go_on(job.job_id)

    stored = Intercepted(virtual.real_store)
    if meanwhile != "nothing":
        stored.before("job" if meanwhile == "before the job is read" else "list_ticks", goes_on)
    lines = await exported(stored)
    assert stored.quiet
    (line,) = (line for line in lines if isinstance(line, Backfill))
    assert (line.request, line.remaining) == (begun.request, tuple(job.hour - hours * 3_600_000 for hours in HOURS[3:]))
    summary = (await imported(new_one.real_store, lines)).summary
    assert (summary.backfills, summary.first_backfills) == (1, [line])
    end, ran = await worked_off(new_one, job)
    assert sorted(ran, reverse=True) == HOURS
    assert (end.state, end.total, end.succeeded, end.requested_by) == (BackfillState.FINISHED, 7, 7, ANNA)


async def test_one_that_begins_or_ends_while_its_job_is_read_is_whole_or_over(virtual: VirtualFastlane, new_one: VirtualFastlane) -> None:
    begins, ends = await filled(virtual), await filled(virtual)
    await ends.begin(6)
    stored = Intercepted(virtual.real_store)

    async def begin() -> None:
        await begins.begin(6)
        await begins.look()

    async def end() -> None:
        await virtual.services.backfills.stop("t", ends.job_id)

    stored.before("job", begin)
    stored.before("job", end)
    lines = await exported(stored)
    summary = (await imported(new_one.real_store, lines)).summary
    assert [one.id for one in summary.first_backfills] == [begins.job_id]
    over = await new_one.services.backfills.get("t", ends.job_id)
    assert (over.state, over.reason) == (BackfillState.STOPPED, "it was stopped")
    assert sorted((await worked_off(new_one, begins))[1], reverse=True) == HOURS
