"""SQLite when things go wrong around it: a full disk, a file that cannot grow, a lock that another process keeps, a kill -9."""

import asyncio
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fastlane.errors import StoreDown
from fastlane.models.log import STDOUT, Head, Piece
from fastlane.models.status import Status
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.factories import chunk, new
from tests.support.ledger import tick_of

ROOT = Path(__file__).parents[3]


def child(*words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.adapters.sqlite.child", *words]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@asynccontextmanager
async def opened(path: Path, **settings: float) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, **settings)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def tiny_disk(tmp_path) -> Iterator[Path]:
    """A real file system of 12 MiB; to mount it takes root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


async def create_until_down(store: SqliteStore, most: int) -> tuple[list, list]:
    """Creates jobs until one is refused: those that were accepted, and those that were not."""
    accepted, refused = [], []
    while len(accepted) < most and not refused:
        batch = [new() for _ in range(20)]
        outcomes = await asyncio.gather(*(store.create(*values) for values in batch), return_exceptions=True)
        for values, outcome in zip(batch, outcomes, strict=True):
            assert outcome is None or isinstance(outcome, StoreDown), outcome
            (accepted if outcome is None else refused).append(values)
    return accepted, refused


async def assert_there(store: SqliteStore, accepted: list, refused: list) -> None:
    """What was accepted is there as a whole; of what was refused there is nothing."""
    for job, tick, execution in accepted:
        assert await store.job(job.id) == job
        assert await tick_of(store, tick.job_id, tick.id) == tick
        assert await store.execution(execution.id) == execution
    for job, tick, execution in refused:
        assert await store.job(job.id) is None
        assert await tick_of(store, tick.job_id, tick.id) is None
        assert await store.execution(execution.id) is None
    counts = await store.counts()
    assert counts.jobs == counts.executions[Status.ENQUEUED] == (await store.task("my-task")).jobs_count == len(accepted)


async def test_a_full_disk_is_store_down_with_nothing_half_written_and_passes_without_a_restart(tiny_disk):
    ballast = tiny_disk / "ballast"
    async with opened(tiny_disk / "store.db") as store:
        ballast.write_bytes(bytes(8_000_000))
        accepted, refused = await create_until_down(store, 10_000)
        assert accepted
        assert refused
        large = chunk(accepted[0][2].id, Head(), [Piece(STDOUT, 1, bytes(500_000))])
        with pytest.raises(StoreDown):
            await store.append(large)
        assert await store.log_head(large.execution_id) == Head()
        await assert_there(store, accepted, refused)
        ballast.unlink()
        for values in refused:
            await store.create(*values)
        assert await store.append(large)
        await store.check()
        await assert_there(store, accepted + refused, [])
    async with opened(tiny_disk / "store.db") as store:
        await assert_there(store, accepted + refused, [])


async def test_a_store_on_a_disk_that_is_full_from_the_start_opens_once_there_is_room(tiny_disk):
    ballast = tiny_disk / "ballast"
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(bytes(20_000_000))
    store = SqliteStore(tiny_disk / "store.db")
    with pytest.raises(StoreDown):
        await store.open()
    ballast.unlink()
    await store.open()
    await store.check()
    await store.close()


async def test_a_file_that_cannot_be_written_is_store_down_until_it_can(tmp_path):
    """A limit on the size of files makes every write beyond it an I/O error."""
    async with opened(tmp_path / "store.db") as store:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
        try:
            accepted, refused = await create_until_down(store, 10_000)
            assert refused
            with pytest.raises(StoreDown):
                await store.append(chunk(accepted[0][2].id, Head(), [Piece(STDOUT, 1, bytes(500_000))]))
            await assert_there(store, accepted, refused)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await store.check()
        for values in refused:
            await store.create(*values)
        await assert_there(store, accepted + refused, [])


async def test_a_folder_that_is_not_there_is_store_down(tmp_path):
    with pytest.raises(StoreDown, match="no-such-folder"):
        await SqliteStore(tmp_path / "no-such-folder" / "store.db").open()


async def test_a_file_that_another_process_keeps_locked_is_store_down_in_time_and_can_still_be_read(tmp_path):
    async with opened(tmp_path / "store.db", busy_timeout=0.3) as store:
        accepted = [new()]
        await store.create(*accepted[0])
        with child("lock", str(tmp_path / "store.db")) as other:
            assert other.stdout.readline() == "locked\n"
            refused = [new() for _ in range(50)]
            began = time.monotonic()
            outcomes = await asyncio.gather(*(store.create(*values) for values in refused), return_exceptions=True)
            assert time.monotonic() - began < 3
            assert all(isinstance(outcome, StoreDown) for outcome in outcomes)
            with pytest.raises(StoreDown):
                await store.check()
            await assert_there(store, accepted, refused)
            other.communicate("go\n", timeout=30)
        await store.check()
        for values in refused:
            await store.create(*values)
        await assert_there(store, accepted + refused, [])


async def test_a_write_waits_for_a_lock_that_is_given_back(tmp_path):
    async with opened(tmp_path / "store.db", busy_timeout=30) as store:
        with child("lock", str(tmp_path / "store.db")) as other:
            assert other.stdout.readline() == "locked\n"
            creation = asyncio.ensure_future(store.create(*new()))
            reading = await store.counts()
            assert reading.jobs == 0
            assert not creation.done()
            other.communicate("go\n", timeout=30)
            await creation


async def test_processes_that_open_a_new_file_at_once_all_write_to_it(tmp_path):
    children = [child("create", str(tmp_path / "store.db")) for _ in range(4)]
    for process in children:
        process.communicate(timeout=60)
    assert [process.returncode for process in children] == [0] * 4
    async with opened(tmp_path / "store.db") as store:
        counts = await store.counts()
        assert counts.jobs == counts.executions[Status.ENQUEUED] == (await store.task("my-task")).jobs_count == 80


@pytest.mark.parametrize("writes", [1, 30, 400])
async def test_a_process_killed_while_it_writes_leaves_all_that_it_had_acknowledged(tmp_path, writes):
    path = tmp_path / "store.db"
    with child("write", str(path)) as writer:
        lines = [writer.stdout.readline() for _ in range(writes)]
        writer.kill()
        lines += writer.stdout.readlines()
    said = [line.split() for line in lines if line.endswith("\n")]
    created = [name for word, name in said if word == "created"]
    claimed = [name for word, name in said if word == "claimed"]
    async with opened(path) as store:
        for name in created:
            job = await store.job(name)
            (execution,) = await store.executions_of(name, 2)
            assert job is not None
            assert await tick_of(store, execution.job_id, execution.tick_id) is not None
        for name in claimed:
            assert (await store.execution(name)).status is Status.PULLING
        counts = await store.counts()
        assert counts.jobs >= len(created) > 0
        assert sum(counts.executions.values()) == counts.jobs == (await store.task("my-task")).jobs_count
        await store.check()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
