"""A step of retention on SQLite that ends between any two of its writes: what is left is whole, and the next step completes it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fastlane.models.retention import Cuts
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


async def test_a_step_that_ends_at_any_write_leaves_whole_executions_and_is_completed(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts, write = Cuts(max_executions=2), SqliteFile.write
    for allowed in range(10):
        job = await made(store, 6, chunks=2)
        writes: list[None] = []

        def end(file: SqliteFile, operation: Any, writes: list[None] = writes, allowed: int = allowed) -> Any:
            if len(writes) == allowed:
                raise Died
            writes.append(None)
            return write(file, operation)

        with monkeypatch.context() as patched:
            patched.setattr(SqliteFile, "write", end)
            try:
                await store.retention.prune(await history_of(store, job), cuts)
            except Died:
                is_whole = False
            else:
                is_whole = True
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
