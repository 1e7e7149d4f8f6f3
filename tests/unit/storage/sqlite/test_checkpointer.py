import os
import sqlite3
import threading

import pytest

from fastlane.storage.sqlite.connection import LOG_PAGES, connect
from fastlane.storage.sqlite.store import SqliteStore
from fastlane.storage.sqlite.threads import COMMITS, Checkpointer, Writer
from tests.support.waiting import until, wait_until

PAGE = 4096


class Bench:
    """A writer whose commits a checkpointer counts, on a file with one table."""

    def __init__(self, path, commits, opened=connect):
        self.path = path
        self.checkpointer = Checkpointer(lambda: opened(path, 5.0), 10.0, commits)
        self.writer = Writer(lambda: connect(path, 5.0), 5.0, 10.0, after_commit=self.checkpointer.count_commit)
        db = connect(path, 5.0)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE rows (body BLOB)")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        db.close()
        self.keeps_the_log = connect(path, 5.0)  # the last connection that closes copies the log
        self.checkpointer.start()
        self.writer.start()

    async def commit(self, pages):
        await self.writer.run(lambda db: db.execute("INSERT INTO rows VALUES (zeroblob(?))", (pages * PAGE,)).rowcount)

    @property
    def pages(self):
        """Pages of the file without its log."""
        return os.stat(self.path).st_size // PAGE

    async def close(self):
        await self.writer.close()
        await self.checkpointer.close()
        self.keeps_the_log.close()


@pytest.fixture
async def bench(tmp_path):
    bench = Bench(tmp_path / "bench.db", commits=3)
    yield bench
    await bench.close()


async def test_the_log_is_copied_into_the_file_after_so_many_commits(bench):
    before = bench.pages
    for _ in range(2):
        await bench.commit(10)
    assert bench.pages == before
    await bench.commit(10)
    wait_until(lambda: bench.pages >= before + 30, "the log has been copied")
    for _ in range(3):
        await bench.commit(10)
    wait_until(lambda: bench.pages >= before + 60, "the log has been copied")


async def test_the_log_is_used_again_once_it_was_copied(bench):
    log = bench.path.with_name(bench.path.name + "-wal")

    async def used_again():
        long = log.stat().st_size
        await bench.commit(1)
        return log.stat().st_size == long  # unless a copy is under way

    for _ in range(3):
        await bench.commit(200)
    await until(used_again, "a commit that makes the log no longer")


async def test_a_commit_copies_only_a_long_log(tmp_path):
    bench = Bench(tmp_path / "bench.db", commits=1_000)
    before = bench.pages
    await bench.commit(LOG_PAGES - 100)
    assert bench.pages == before
    await bench.commit(200)
    assert bench.pages >= LOG_PAGES
    await bench.close()


async def test_a_closed_checkpointer_has_ended_its_thread(bench):
    running = [thread.name for thread in threading.enumerate()].count("sqlite-checkpointer")
    await bench.close()
    assert [thread.name for thread in threading.enumerate()].count("sqlite-checkpointer") == running - 1


async def test_a_copy_that_fails_is_made_up_for_by_the_next(tmp_path):
    fails = [OSError("too many open files"), sqlite3.OperationalError("disk I/O error")]

    def opened(path, patience):
        if fails:
            raise fails.pop()
        return connect(path, patience)

    bench = Bench(tmp_path / "bench.db", 1, opened)
    for left in (1, 0):
        await bench.commit(10)
        wait_until(lambda left=left: len(fails) == left, "it has tried to copy")
    await bench.commit(10)
    wait_until(lambda: bench.pages >= 30, "the log has been copied")
    await bench.close()


async def test_the_store_copies_its_log_beside_its_commits(tmp_path):
    store = SqliteStore(tmp_path / "fastlane.db")
    await store.open()
    before = (tmp_path / "fastlane.db").stat().st_mtime_ns
    for _ in range(COMMITS):
        await store.check()
    wait_until(lambda: (tmp_path / "fastlane.db").stat().st_mtime_ns > before, "the log has been copied")
    await store.close()
