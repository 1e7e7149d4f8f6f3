"""The length of a long list is kept for a moment; a short one is counted each time."""

import pytest

from fastlane.storage import records
from fastlane.storage.mongo import database
from fastlane.storage.mongo.database import LONG, MAX_LENGTHS, SHARE, Database, Lengths, read_url
from fastlane.storage.mongo.lists import MongoList


class Counting:
    """A list that takes a second to count."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
        self.rows, self.counted, self.now = rows, 0, 100.0
        monkeypatch.setattr(database, "time", self)

    def monotonic(self) -> float:
        return self.now

    async def count(self) -> int:
        self.counted += 1
        self.now += 1.0
        return self.rows


@pytest.mark.parametrize("rows", [0, LONG])
async def test_a_short_list_is_counted_each_time(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    kept, source = Lengths(), Counting(monkeypatch, rows)
    for expected in (1, 2):
        assert await kept.get("key", source.count, int) == rows
        assert source.counted == expected


async def test_a_long_one_is_counted_again_after_ten_times_as_long_as_that_took(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, source = Lengths(), Counting(monkeypatch, LONG + 1)
    assert await kept.get("key", source.count, int) == LONG + 1
    source.rows, source.now = 5, source.now + SHARE - 0.1
    assert await kept.get("key", source.count, int) == LONG + 1
    assert await kept.get("another key", source.count, int) == 5
    assert await kept.get("key", source.count, int) == 5
    assert source.counted == 3


async def test_no_more_than_so_many_are_kept_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, source = Lengths(), Counting(monkeypatch, LONG + 1)
    for key in range(MAX_LENGTHS + 1):
        source.now = 100.0
        await kept.get(key, source.count, int)
    source.now = 101.0
    for key in (1, MAX_LENGTHS):
        await kept.get(key, source.count, int)
    assert source.counted == MAX_LENGTHS + 1
    await kept.get(0, source.count, int)
    assert source.counted == MAX_LENGTHS + 2


async def test_what_is_kept_of_a_filter_is_short_however_many_tasks_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    db, source = Database(read_url("mongodb://127.0.0.1/unused"), 1.0), Counting(monkeypatch, LONG + 1)
    monkeypatch.setattr(db, "count", lambda *_: source.count())
    filter = {"task_id": {"$in": [f"task-{number}" for number in range(10_000)]}}
    for _ in range(2):
        assert await MongoList(db, records.JOBS_BY_CREATION, filter).total() == LONG + 1
    assert (source.counted, [len(repr(key)) < 200 for key in db.lengths._kept]) == (1, [True])
