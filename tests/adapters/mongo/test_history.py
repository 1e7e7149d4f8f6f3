"""The counting of ends on MongoDB, ended between any two of its writes, or overtaken: each execution is counted once."""

from typing import Any

import pytest

from fastlane.models.retention import HourCount
from fastlane.models.status import Status
from fastlane.storage.mongo import history
from fastlane.storage.mongo.database import Database
from fastlane.storage.mongo.store import MongoStore
from tests.adapters.mongo.ending import end_at
from tests.contract.test_store_history import counted, enqueue, run_and_end
from tests.support.intercept import Died

WRITES = ("insert", "update", "update_all")


async def end(store: MongoStore, executions: int) -> None:
    for _ in range(executions):
        await run_and_end(store, await enqueue(store), Status.DONE, 5)


@pytest.mark.parametrize("after", [False, True])
async def test_counting_that_ends_at_any_write_counts_each_once(store: MongoStore, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
    total = 0
    for number in range(1, 10):
        await end(store, 3)
        total += 3
        with monkeypatch.context() as patched:
            end_at(patched, WRITES, number - 1, after=after)
            try:
                await store.history.count_ends(2)
                await store.history.count_ends(2)
            except Died:
                pass
            else:
                break
        assert await counted(store) == [HourCount(0, {Status.DONE: total})]
    else:
        raise AssertionError("it never came to its end")
    assert number > 3


async def test_one_that_is_overtaken_between_its_look_and_its_write_counts_none_twice(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await end(store, 3)
    await store.history.count_ends(10)
    await end(store, 3)
    real, overtaken = Database.with_ids, list[int]()

    async def overtake(self: Database, collection: str, *arguments: Any, **named: Any) -> Any:
        """Another one counts all of it after each of the two looks, and ends what follows, too."""
        found = await real(self, collection, *arguments, **named)
        if len(overtaken) < 2:
            overtaken.append(1)
            with monkeypatch.context() as undone:
                undone.setattr(Database, "with_ids", real)
                await end(store, 1)
                await store.history.count_ends(10)
        return found

    monkeypatch.setattr(Database, "with_ids", overtake)
    ids = [row["_id"] for row in await store._db.find("executions", {history.UNCOUNTED: True}, "executions_uncounted", fields=("_id",))]
    await history.count(store._db, ids)
    monkeypatch.setattr(Database, "with_ids", real)
    assert await counted(store) == [HourCount(0, {Status.DONE: 8})]
