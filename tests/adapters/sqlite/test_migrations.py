"""Long migrations of a file that a running fastlane uses."""

import asyncio
import contextlib
import sqlite3
import time
from functools import partial
from pathlib import Path

import pytest
import structlog

from fastlane.errors import StoreDown
from fastlane.storage.sqlite import file as store, migration
from fastlane.storage.sqlite.migration import prepare
from fastlane.storage.sqlite.schema import COMMIT, MIGRATIONS, VERSION, Migration
from fastlane.storage.sqlite.store import SqliteStore
from tests.adapters.sqlite.test_faults import child
from tests.support.factories import new
from tests.support.waiting import until

SLOW = "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {}) SELECT max(n) AS n FROM number"
"""Some 0.1 s for a million."""


def make_migration(parts: int, steps: int, last: str = "SELECT 1") -> Migration:
    """The next one, whose parts take long; each makes a table, so that none can be done twice."""
    statements = [text for part in range(parts) for text in (f"CREATE TABLE part_{part} AS {SLOW.format(steps)}", COMMIT)]
    return Migration(VERSION + 1, VERSION, (*statements, last))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    prepare(tmp_path / "store.db", 5.0)
    return tmp_path / "store.db"


def parts_in(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'part%' ORDER BY name")]


def use(monkeypatch: pytest.MonkeyPatch, one: Migration) -> None:
    monkeypatch.setattr(store, "prepare", partial(prepare, migrations=[*MIGRATIONS, one]))


async def test_a_migration_may_take_longer_than_any_deadline_says_how_far_it_is_and_lets_others_write(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "GRACE", 0.1)
    monkeypatch.setattr(migration, "REPORT_EVERY", 0.1)
    use(monkeypatch, make_migration(3, 1_000_000))
    upgraded = SqliteStore(path, busy_timeout=0.05)
    with structlog.testing.capture_logs() as events:
        began = time.monotonic()
        opening = asyncio.create_task(upgraded.open())
        await until(lambda: parts_in(path), "the first part")
        with monkeypatch.context() as released:
            released.setattr(store, "prepare", prepare)
            released.setattr(store, "GRACE", 2.0)
            running = SqliteStore(path, busy_timeout=30.0)
            await running.open()
        writes = 0
        while not opening.done():
            await running.create(*new())
            writes += 1
        await opening
        took = time.monotonic() - began
    assert took > 3 * (0.05 + 0.1), "it was quicker than a deadline: make it slower"
    assert writes >= 2, "nobody else could write before its end"
    assert (await upgraded.counts()).jobs == writes
    said = [(event["part"], event["parts"]) for event in events if event["event"] == "store.migrating"]
    assert said[0] == (1, 4)
    assert said == sorted(said)
    assert {part for part, _ in said} == {1, 2, 3, 4}
    assert [event["version"] for event in events if event["event"] == "store.migrated"] == [VERSION + 1]
    await running.close()
    await upgraded.close()


async def test_a_migration_that_fails_in_between_goes_on_from_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, make_migration(2, 10, last="no statement"))
    with pytest.raises(StoreDown, match="syntax error"):
        await SqliteStore(path).open()
    assert parts_in(path) == ["part_0", "part_1"]
    old = SqliteStore(path)
    with monkeypatch.context() as released:
        released.setattr(store, "prepare", prepare)
        await old.open()
    await old.create(*new())
    await old.close()
    use(monkeypatch, make_migration(2, 10))
    again = SqliteStore(path)
    await again.open()
    assert (await again.counts()).jobs == 1
    await again.close()


async def test_two_that_migrate_at_once_do_each_part_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, make_migration(3, 300_000))
    stores = [SqliteStore(path) for _ in range(3)]
    await asyncio.gather(*(one.open() for one in stores))
    assert parts_in(path) == ["part_0", "part_1", "part_2"]
    for one in stores:
        await one.create(*new())
        await one.close()


async def test_a_start_that_is_given_up_ends_its_migration_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, make_migration(2, 10**12))
    with structlog.testing.capture_logs() as events:
        opening = asyncio.create_task(SqliteStore(path).open())
        await until(lambda: any(event["event"] == "store.migrating" for event in events), "the migration to begin")
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    other = SqliteStore(path, busy_timeout=20.0)
    with monkeypatch.context() as released:
        released.setattr(store, "prepare", prepare)
        await other.open()
    await other.create(*new())
    assert parts_in(path) == []
    await other.close()


async def test_a_file_that_is_up_to_date_opens_while_another_process_writes(path: Path) -> None:
    with child("lock", str(path)) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        one = SqliteStore(path, busy_timeout=0.2)
        await one.open()
        assert (await one.counts()).jobs == 0
        other.communicate("go\n", timeout=30)
        await one.create(*new())
        await one.close()


async def test_a_start_that_waits_for_another_process_to_migrate_says_so_and_goes_on_after_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "REPORT_EVERY", 0.05)
    one = make_migration(1, 10)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other, structlog.testing.capture_logs() as logs:
        other.execute("BEGIN IMMEDIATE")
        starting = asyncio.create_task(asyncio.to_thread(prepare, path, 5.0, migrations=[*MIGRATIONS, one]))
        await until(lambda: [line for line in logs if line["event"] == "store.waiting_to_migrate"], "the start to say that it waits")
        assert parts_in(path) == []
        other.execute("COMMIT")
        await starting
    assert parts_in(path) == ["part_0"]
