"""A step of retention, or of a deletion, on SQLite that ends between any two of its writes: what is left is whole, and the next step
completes it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastlane.models.retention import Cuts
from fastlane.storage.base import Deletion
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.store import SqliteStore
from tests.contract.test_store_retention import history_of, made, prune, sequences
from tests.support.intercept import Died
from tests.support.ledger import count_ticks, ticks_of


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    yield store
    await store.close()


@contextmanager
def ending_after(allowed: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[None]]:
    """Lets so many writes be made, and the process end before the next one. The list has an item once it has ended."""
    write, writes, ended = SqliteFile.write, list[None](), list[None]()

    def end(file: SqliteFile, operation: Any) -> Any:
        if len(writes) == allowed:
            raise Died
        writes.append(None)
        return write(file, operation)

    with monkeypatch.context() as patched:
        patched.setattr(SqliteFile, "write", end)
        try:
            yield ended
        except Died:
            ended.append(None)


async def test_a_step_that_ends_at_any_write_leaves_whole_executions_and_is_completed(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts = Cuts(max_executions=2)
    for allowed in range(10):
        job = await made(store, 6, chunks=2)
        with ending_after(allowed, monkeypatch) as ended:
            await store.retention.prune(await history_of(store, job), cuts)
        is_whole = not ended
        left = await sequences(store, job)
        assert left == list(range(7 - len(left), 7))
        stored = await store.job(job.id)
        assert stored is not None
        assert stored.floor in (0, 4)
        assert stored.floor == 4 or len(left) == 6
        await prune(store, job, cuts)
        assert (await sequences(store, job), await count_ticks(store, job.id)) == ([5, 6], 2)
        assert [tick.due for tick in await ticks_of(store, job.id)] == [6, 5]
        if is_whole:
            assert allowed >= 3
            return
    raise AssertionError("it never came to its end")


async def test_a_deletion_that_ends_at_any_write_leaves_nothing_that_may_run_and_is_completed(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for allowed in range(12):
        job = await made(store, 3, chunks=2)
        with ending_after(allowed, monkeypatch) as ended:
            assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.DONE
        stored = await store.job(job.id)
        if not ended:
            assert stored is None
            assert allowed >= 4
            return
        assert stored == (job if allowed == 0 else replace(job, floor=job.sequence))
        assert len(await store.executions_of(job.id, 10)) in (0, 3)
        assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.DONE
        assert (await store.job(job.id), await store.executions_of(job.id, 10), await ticks_of(store, job.id)) == (None, [], [])
    raise AssertionError("it never came to its end")
