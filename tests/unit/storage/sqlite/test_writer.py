import asyncio
import sqlite3
import threading

import pytest

from fastlane.errors import Conflict, FastlaneError, StoreDown
from fastlane.storage.sqlite import threads as writer
from fastlane.storage.sqlite.connection import connect
from fastlane.storage.sqlite.threads import BatchOperation, Writer


class Bench:
    """A writer on a file with one table, the statements that it executed, and a gate that keeps it in the middle of a transaction."""

    def __init__(self, path, deadline=10.0):
        self.path = path
        self.statements = []
        self.entered, self.gate = threading.Event(), threading.Event()
        self.writer = Writer(self._connect, patience=5.0, deadline=deadline)
        db = connect(path, 5.0)
        db.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES rows (id) DEFERRABLE INITIALLY DEFERRED)")
        db.execute("PRAGMA journal_mode = WAL")
        db.close()
        self.writer.start()

    def _connect(self):
        db = connect(self.path, 5.0)
        db.execute("PRAGMA foreign_keys = ON")
        db.set_trace_callback(self.statements.append)
        return db

    def insert(self, id, parent=None):
        return self.writer.run(lambda db: db.execute("INSERT INTO rows VALUES (?, ?)", (id, parent)).rowcount)

    async def hold(self):
        """A transaction that is under way until the gate opens; what is asked for meanwhile waits."""

        def operation(db):
            self.entered.set()
            assert self.gate.wait(60)

        held = asyncio.ensure_future(self.writer.run(operation))
        await asyncio.to_thread(self.entered.wait, 60)
        return held

    async def later(self, *calls):
        """The calls as tasks, after each has put its operation in line."""
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0)
        return tasks

    def rows(self):
        db = sqlite3.connect(self.path)
        rows = [id for (id,) in db.execute("SELECT id FROM rows ORDER BY id")]
        db.close()
        return rows


@pytest.fixture
async def bench(tmp_path):
    bench = Bench(tmp_path / "bench.db")
    yield bench
    bench.gate.set()
    await bench.writer.close()


async def test_all_that_waits_goes_into_one_commit(bench):
    held = await bench.hold()
    waiting = await bench.later(*(bench.insert(number) for number in range(50)))
    bench.gate.set()
    await asyncio.gather(held, *waiting)
    assert bench.statements.count("COMMIT") == 2
    assert bench.rows() == list(range(50))


async def test_operations_of_one_kind_that_wait_are_run_as_one(bench):
    runs = []

    def insert_all(db, ids):
        runs.append(ids)
        return [db.execute("INSERT INTO rows VALUES (?, NULL)", (id,)).rowcount + id for id in ids]

    held = await bench.hold()
    waiting = await bench.later(*(bench.writer.run(BatchOperation(id, insert_all)) for id in range(5)), bench.insert(7))
    bench.gate.set()
    assert await asyncio.gather(*waiting) == [1, 2, 3, 4, 5, 1]
    await held
    assert runs == [[0, 1, 2, 3, 4]]
    assert bench.rows() == [0, 1, 2, 3, 4, 7]


async def test_one_of_a_kind_that_fails_undoes_itself_alone(bench):
    def insert_all(db, ids):
        return [db.execute("INSERT INTO rows VALUES (?, NULL)", (id,)).rowcount for id in ids]

    held = await bench.hold()
    waiting = await bench.later(*(bench.writer.run(BatchOperation(id, insert_all)) for id in (1, 2, 1, 3)))
    bench.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    await held
    assert [type(result) for result in results] == [int, int, Conflict, int]
    assert bench.rows() == [1, 2, 3]


async def test_an_operation_that_fails_undoes_itself_alone(bench):
    def fails(error):
        def operation(db):
            db.execute("INSERT INTO rows VALUES (100, NULL)")
            raise error

        return bench.writer.run(operation)

    held = await bench.hold()
    errors = [Conflict("no"), ValueError("bad"), OverflowError("large"), sqlite3.OperationalError("disk I/O error")]
    waiting = await bench.later(bench.insert(1), *map(fails, errors[:3]), bench.insert(1), bench.insert("x"), bench.insert(2))
    bench.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    await held
    assert [type(result) for result in results] == [int, Conflict, ValueError, OverflowError, Conflict, FastlaneError, int]
    assert bench.rows() == [1, 2]
    assert bench.statements.count("COMMIT") == 2


async def test_a_commit_that_fails_fails_all_of_it_and_writes_nothing(bench):
    held = await bench.hold()
    waiting = await bench.later(bench.insert(1), bench.insert(2, parent=77), bench.insert(3))
    bench.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    await held
    assert [type(result) for result in results] == [StoreDown] * 3
    assert len({id(result) for result in results}) == 3
    assert bench.rows() == []
    await bench.insert(4)
    assert bench.rows() == [4]


async def test_a_transaction_that_sqlite_undid_fails_all_of_it(bench):
    held = await bench.hold()

    def undone(db):
        db.execute("ROLLBACK")  # what SQLite does by itself on some errors
        raise sqlite3.OperationalError("disk I/O error")

    waiting = await bench.later(bench.insert(1), bench.writer.run(undone), bench.insert(2))
    bench.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    await held
    assert [type(result) for result in results] == [StoreDown] * 3
    assert bench.rows() == []
    await bench.insert(3)


async def test_a_programming_error_fails_its_batch_and_the_writer_goes_on(bench):
    def broken(db):
        db.execute("INSERT INTO rows VALUES (1, NULL)")
        return db.nothing_such

    with pytest.raises(StoreDown):
        await bench.writer.run(broken)
    assert bench.rows() == []
    await bench.insert(2)
    assert bench.rows() == [2]


async def test_what_was_cancelled_before_its_turn_is_not_done(bench):
    held = await bench.hold()
    first, second = await bench.later(bench.insert(1), bench.insert(2))
    first.cancel()
    await asyncio.wait([first])
    bench.gate.set()
    await asyncio.gather(held, second)
    assert bench.rows() == [2]


async def test_what_is_cancelled_in_its_turn_does_not_harm_the_others(bench):
    held = await bench.hold()
    (waiting,) = await bench.later(bench.insert(1))
    held.cancel()
    await asyncio.wait([held])
    bench.gate.set()
    assert await waiting == 1


async def test_a_full_line_is_store_down(bench, monkeypatch):
    monkeypatch.setattr(writer, "MAX_WAITING", 6)  # the one under way, and five
    held = await bench.hold()
    waiting = await bench.later(*(bench.insert(number) for number in range(5)))
    with pytest.raises(StoreDown, match="wait"):
        await bench.insert(5)
    bench.gate.set()
    await asyncio.gather(held, *waiting)
    await bench.insert(6)
    assert bench.rows() == [0, 1, 2, 3, 4, 6]


async def test_a_long_line_is_worked_off_in_batches_with_all_of_it(bench, monkeypatch):
    monkeypatch.setattr(writer, "MAX_BATCH", 10)
    held = await bench.hold()
    waiting = await bench.later(*(bench.insert(number) for number in range(25)))
    bench.gate.set()
    await asyncio.gather(held, *waiting)
    assert bench.statements.count("COMMIT") == 4
    assert bench.rows() == list(range(25))


async def test_a_disk_that_hangs_is_store_down_at_the_deadline(tmp_path):
    bench = Bench(tmp_path / "bench.db", deadline=0.2)
    held = await bench.hold()
    with pytest.raises(StoreDown, match=r"within 0\.2 s"):
        await bench.insert(1)
    with pytest.raises(StoreDown):
        await held
    bench.gate.set()
    await bench.writer.close()
    assert bench.rows() == []


async def test_closing_does_what_waits_and_refuses_what_comes(bench):
    held = await bench.hold()
    waiting = await bench.later(bench.insert(1), bench.insert(2))
    closing = asyncio.ensure_future(bench.writer.close())
    await asyncio.sleep(0)
    with pytest.raises(StoreDown, match="closed"):
        await bench.insert(3)
    bench.gate.set()
    await asyncio.gather(held, *waiting, closing)
    assert bench.rows() == [1, 2]
    assert "sqlite-writer" not in {thread.name for thread in threading.enumerate()}


def test_callers_of_two_loops_share_a_writer(tmp_path):
    bench = Bench(tmp_path / "bench.db")
    threads = [threading.Thread(target=lambda first=first: asyncio.run(inserts(bench, first))) for first in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    asyncio.run(bench.writer.close())
    assert bench.rows() == [*range(20), *range(100, 120)]


async def inserts(bench, first):
    await asyncio.gather(*(bench.insert(first + number) for number in range(20)))


async def test_a_batch_without_a_fault_needs_no_savepoint(bench):
    await asyncio.gather(*(bench.insert(number) for number in range(5)))
    assert not [statement for statement in bench.statements if "SAVEPOINT" in statement]


async def test_what_a_failed_batch_did_before_it_was_run_again_is_undone(bench):
    runs = []

    def counted(db):
        runs.append(db.execute("SELECT count(*) FROM rows").fetchone()[0])
        db.execute("INSERT INTO rows VALUES (1, NULL)")

    held = await bench.hold()
    waiting = await bench.later(bench.writer.run(counted), bench.insert(1), bench.insert(2))
    bench.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    await held
    assert [type(result) for result in results] == [type(None), Conflict, int]
    assert runs == [0, 0]
    assert bench.rows() == [1, 2]
