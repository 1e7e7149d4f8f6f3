import asyncio
import threading

import pytest

from fastlane.errors import FastlaneError, StoreDown
from fastlane.storage import sqlite_readers
from fastlane.storage.sqlite_readers import THREADS, Readers
from fastlane.storage.sqlite_schema import connect


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "bench.db"
    db = connect(path, 5.0)
    db.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY)")
    db.close()
    return path


@pytest.fixture
async def readers(path):
    readers = Readers(lambda: connect(path, 5.0), deadline=10.0)
    yield readers
    await readers.close()


async def test_a_reader_cannot_write(readers):
    with pytest.raises(StoreDown):
        await readers.run(lambda db: db.execute("INSERT INTO rows VALUES (1)"))
    assert await readers.run(lambda db: db.execute("SELECT count(*) FROM rows").fetchone()) == (0,)


async def test_no_more_connections_than_threads_are_made(path):
    made = []

    def connected():
        made.append(connect(path, 5.0))
        return made[-1]

    readers = Readers(connected, deadline=10.0)
    await asyncio.gather(*(readers.run(lambda db: db.execute("SELECT 1").fetchone()) for _ in range(100)))
    await readers.close()
    assert 1 <= len(made) <= THREADS


async def test_a_wrong_statement_is_no_outage(readers):
    for statement in ("SELECT nothing FROM nowhere", "SELECT ?"):
        with pytest.raises(FastlaneError) as raised:
            await readers.run(lambda db, statement=statement: db.execute(statement))
        assert not isinstance(raised.value, StoreDown)


async def test_a_read_that_takes_too_long_is_store_down_and_gives_its_place_back(path, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(sqlite_readers, "MAX_WAITING", THREADS)
    readers = Readers(lambda: connect(path, 5.0), deadline=0.2)
    slow = [asyncio.ensure_future(readers.run(lambda db: gate.wait(60))) for _ in range(THREADS)]
    await asyncio.sleep(0)
    with pytest.raises(StoreDown, match="wait"):
        await readers.run(lambda db: 1)
    outcomes = await asyncio.gather(*slow, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreDown] * THREADS
    gate.set()
    await readers.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sqlite-reader")]
