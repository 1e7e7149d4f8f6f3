"""A snapshot of the server's disk, taken while fastlane writes, is a backup: all that was answered before it is there after a restore."""

import asyncio
from pathlib import Path

import pytest

from fastlane.models import transitions
from fastlane.models.status import Status
from fastlane.storage.mongo.store import MongoStore
from tests.support.factories import new
from tests.support.mongo import RealMongo
from tests.support.waiting import PATIENCE


@pytest.mark.thorough
async def test_a_snapshot_of_the_disk_has_all_that_was_answered_and_is_known_to_be_older(tmp_path: Path) -> None:
    with RealMongo() as server:
        store = MongoStore(server.url("fastlane"), deadline=PATIENCE)
        await store.open()
        before = [new("t") for _ in range(5)]
        for job, tick, execution in before:
            await store.create(job, tick, execution)
        claimed = await store.change(transitions.claim(before[0][2], host="h", pool="p", now=1))
        during = [new("t") for _ in range(5)]
        writing = asyncio.gather(*(store.create(*one) for one in during))
        await asyncio.to_thread(server.snapshot, tmp_path / "copy")
        await writing
        await store.create(*new("t"))
        seen = await store.version()
        await store.close()
        server.restore(tmp_path / "copy")
        restored = MongoStore(server.url("fastlane"), deadline=PATIENCE)
        await restored.open()
        assert [await restored.job(job.id) for job, _, _ in before] == [job for job, _, _ in before]
        assert await restored.execution(before[0][2].id) == claimed
        counts = await restored.counts()
        assert counts.executions[Status.ENQUEUED] + counts.executions[Status.PULLING] == counts.jobs >= len(before)
        assert (await restored.version()).went_back(seen, had_queue=True)
        await restored.close()
