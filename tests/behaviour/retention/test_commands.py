"""What `fastlane prune` and `fastlane compact` say and do."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fastlane.models.log import STDOUT, Head, Piece
from fastlane.models.status import Status
from fastlane.storage.sqlite.store import SqliteStore
from tests.behaviour.conftest import Run
from tests.support.factories import chunk, first_of, new_job

pytestmark = pytest.mark.sqlite

DAYS = 86_400_000


async def fill(folder: Path, executions: int, size: int) -> None:
    """A data folder with one job, whose executions ended in 1970, each with a log."""
    await asyncio.to_thread(folder.mkdir)
    store = SqliteStore(folder / "fastlane.db")
    await store.open()
    seen = new_job(at=10**15, sequence=0)
    await store.create(seen, None, None)
    job = replace(seen, sequence=executions)
    rows = [first_of(job, key=f"r:{number}", sequence=number, due=number) for number in range(1, executions + 1)]
    assert await store.advance(seen, job, [tick for tick, _ in rows], None)
    for tick, execution in rows:
        await store.insert(replace(execution, status=Status.DONE, finished_at=tick.due, settled=True, cleaned=True))
        await store.append(chunk(execution.id, Head(), [Piece(STDOUT, 1, b"x" * size)]))
    await store.close()


async def test_a_dry_run_says_what_a_run_then_removes(fastlane: Run, tmp_path: Path) -> None:
    await fill(tmp_path / "data", 120, 10)
    words = b"0 jobs, 119 executions, 119 ticks, 1 logs, 0 deliveries, 1 hours, 0 events\n"
    for _ in range(2):
        told = fastlane("prune", "--dry-run", "--data-dir", "data")
        assert (told.returncode, told.stdout, told.stderr) == (0, b"would go: " + words, b"")
    gone = fastlane("prune", "--data-dir", "data")
    assert (gone.returncode, gone.stdout) == (0, b"gone: " + words)
    assert (
        fastlane("prune", "--data-dir", "data").stdout == b"gone: 0 jobs, 0 executions, 0 ticks, 0 logs, 0 deliveries, 0 hours, 0 events\n"
    )


async def test_the_settings_say_what_goes(fastlane: Run, tmp_path: Path) -> None:
    await fill(tmp_path / "data", 20, 10)
    off = {"FASTLANE_KEEP_EXECUTIONS": "none", "FASTLANE_KEEP_LOGS": "None"}
    assert b"would go: 0 jobs, 0 exec" in fastlane("prune", "--dry-run", "--data-dir", "data", **off).stdout
    assert b"15 executions" in fastlane("prune", "--dry-run", "--data-dir", "data", **off, FASTLANE_MAX_EXECUTIONS="5").stdout
    wrong = fastlane("prune", "--data-dir", "data", FASTLANE_KEEP_LOGS="10s", FASTLANE_MAX_EXECUTIONS="0")
    assert wrong.returncode == 2
    assert b"must be at least 1m" in wrong.stderr
    assert b"not a whole number from 1 to 1000000" in wrong.stderr


@pytest.mark.parametrize("command", [("prune",), ("prune", "--dry-run"), ("compact",)])
def test_there_is_nothing_to_do_where_there_is_no_store(fastlane: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = fastlane(*command, "--data-dir", "nowhere")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"there is no store at" in done.stderr
    assert not (tmp_path / "nowhere").exists()


async def test_a_pruned_file_becomes_smaller_by_itself(fastlane: Run, tmp_path: Path) -> None:
    await fill(tmp_path / "data", 200, 100_000)
    file = tmp_path / "data" / "fastlane.db"
    assert file.stat().st_size > 20_000_000
    assert fastlane("prune", "--data-dir", "data").returncode == 0
    assert file.stat().st_size < 10_000_000


@pytest.mark.thorough
async def test_a_file_of_an_older_version_stays_as_large_until_it_is_compacted(fastlane: Run, tmp_path: Path) -> None:
    await fill(tmp_path / "data", 100, 100_000)
    file = tmp_path / "data" / "fastlane.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("PRAGMA auto_vacuum = NONE")
        db.execute("VACUUM")
    large = file.stat().st_size
    assert fastlane("prune", "--data-dir", "data").returncode == 0
    assert file.stat().st_size == large
    with closing(sqlite3.connect(file, isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        refused = fastlane("compact", "--data-dir", "data")
        assert refused.returncode == 1
        assert b"stop the servers and workers" in refused.stderr
    compacted = fastlane("compact", "--data-dir", "data")
    assert compacted.returncode == 0, compacted.stderr
    assert compacted.stdout.endswith(b"MiB now\n")
    assert file.stat().st_size < large / 5
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_database_of_mongodb_is_not_compacted(fastlane: Run) -> None:
    refused = fastlane("compact", FASTLANE_STORE_URL="mongodb://127.0.0.1:1/db")
    assert refused.returncode == 1
    assert b"MongoDB" in refused.stderr
