import asyncio
import threading
import weakref

import pytest

from fastlane.errors import FastlaneError, StoreDown
from fastlane.storage.sqlite import threads as sqlite_readers
from fastlane.storage.sqlite.connection import connect
from fastlane.storage.sqlite.threads import THREADS, BatchOperation, Readers
from tests.support.waiting import until


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
    readers.start()
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
    readers.start()
    await asyncio.gather(*(readers.run(lambda db: db.execute("SELECT 1").fetchone()) for _ in range(100)))
    await readers.close()
    assert 1 <= len(made) <= THREADS


async def test_no_thread_keeps_an_answer_that_was_given(readers):
    """A page may have many MiB, and the next one may come hours later."""

    class Rows:
        pass

    answers = [readers.run(lambda _: Rows()) for _ in range(2 * THREADS)]
    kept = [weakref.ref(await answer) for answer in answers]
    del answers
    await until(lambda: not any(rows() for rows in kept), lambda: f"{sum(rows() is not None for rows in kept)} are kept")


async def test_a_wrong_statement_is_not_an_outage(readers):
    for statement in ("SELECT nothing FROM nowhere", "SELECT ?"):
        with pytest.raises(FastlaneError) as raised:
            await readers.run(lambda db, statement=statement: db.execute(statement))
        assert not isinstance(raised.value, StoreDown)


async def test_a_read_that_takes_too_long_is_store_down_and_gives_its_place_back(path, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(sqlite_readers, "MAX_READS", THREADS)
    readers = Readers(lambda: connect(path, 5.0), deadline=0.2)
    readers.start()
    slow = [asyncio.ensure_future(readers.run(lambda db: gate.wait(60))) for _ in range(THREADS)]
    await asyncio.sleep(0)
    with pytest.raises(StoreDown, match="wait"):
        await readers.run(lambda db: 1)
    outcomes = await asyncio.gather(*slow, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreDown] * THREADS
    gate.set()
    await readers.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sqlite-reader")]


async def test_a_mistake_in_one_query_is_its_callers_alone(readers):
    def broken(db):
        return db.nothing_such

    outcomes = await asyncio.gather(readers.run(lambda db: 1), readers.run(broken), readers.run(lambda db: 2), return_exceptions=True)
    assert (outcomes[0], type(outcomes[1]), outcomes[2]) == (1, AttributeError, 2)
    assert await readers.run(lambda db: 3) == 3


async def test_reads_of_one_kind_that_wait_are_one_query_and_one_that_fails_fails_alone(path):
    readers = Readers(lambda: connect(path, 5.0), deadline=10.0)
    runs = []

    def doubled(db, numbers):
        runs.append(numbers)
        return [number * 2 for number in numbers if number + 0 is not None]

    waiting = [asyncio.ensure_future(readers.run(BatchOperation(number, doubled))) for number in (1, 2, 3)]
    readers.start()
    assert await asyncio.gather(*waiting) == [2, 4, 6]
    assert runs == [[1, 2, 3]]
    outcomes = await asyncio.gather(*(readers.run(BatchOperation(number, doubled)) for number in (1, "x", 3)), return_exceptions=True)
    assert (outcomes[0], type(outcomes[1]), outcomes[2]) == (2, TypeError, 6)
    await readers.close()


async def test_what_is_quick_does_not_wait_for_the_slow_read_that_it_was_taken_with(path):
    readers = Readers(lambda: connect(path, 5.0), deadline=10.0)
    gate = threading.Event()
    slow = asyncio.ensure_future(readers.run(lambda db: gate.wait(60)))
    quick = asyncio.ensure_future(readers.run(BatchOperation(1, lambda db, numbers: numbers)))
    readers.start()
    assert await quick == 1
    assert not slow.done()
    gate.set()
    assert await slow
    await readers.close()


async def test_a_read_that_hangs_holds_up_only_what_it_was_taken_with(readers):
    gate, entered = threading.Event(), threading.Event()

    def hangs(db):
        entered.set()
        return gate.wait(60)

    hanging = asyncio.ensure_future(readers.run(hangs))
    await asyncio.to_thread(entered.wait, 60)
    assert await readers.run(lambda db: 1) == 1
    gate.set()
    assert await hanging


async def test_what_waits_is_answered_before_the_readers_close(path):
    readers = Readers(lambda: connect(path, 5.0), deadline=10.0)
    readers.start()
    waiting = [asyncio.ensure_future(readers.run(lambda db, number=number: number)) for number in range(200)]
    await asyncio.sleep(0)
    await readers.close()
    assert await asyncio.gather(*waiting) == list(range(200))
    with pytest.raises(StoreDown, match="closed"):
        await readers.run(lambda db: 1)
