"""Brings a file's tables up to date, part by part, while other processes continue to use it.

Each part of a migration is a commit of its own, and after a long one the others get the lock. The same commit records that the part is
done, so that another process can continue from there when one ends in between. A new file gets all parts at once.
"""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import structlog

from fastlane.errors import FastlaneError
from fastlane.storage.sqlite.connection import connect, execute_patiently, is_busy
from fastlane.storage.sqlite.schema import MIGRATIONS, NEW, OLDEST, Migration

log = structlog.get_logger()

LOCK_PATIENCE = 600.0
"""Seconds to wait for the lock while there is something to migrate: another process may be doing a long part."""
STUCK_AFTER = 120.0
"""Seconds without any progress after which a migration is given up. A commit shows none while it writes."""
REPORT_EVERY = 5.0
"""Seconds between two lines of the log during a long part."""
INSTRUCTIONS = 100_000
"""Instructions of SQLite between two signs of progress: some milliseconds."""
LONG, MAX_REST = 0.05, 1.0
"""Seconds after which a part counts as long, and how long the others get the lock after one at most."""

Part = tuple[Migration, int]
"""A migration, and which of its parts."""


class Progress:
    """The progress of a preparation. The thread that does it moves it on; another one may watch it or cancel it."""

    def __init__(self) -> None:
        self._moved_at = time.monotonic()
        self._said_at = self._moved_at
        self._cancelled = threading.Event()
        self._doing: dict[str, object] = {}

    def begin(self, **doing: object) -> None:
        """Begins a long step, which these fields describe in the log."""
        self._doing = doing
        self._said_at = time.monotonic() - REPORT_EVERY
        self.move()

    def move(self) -> int:
        """Records a sign of progress, and reports it now and then. Returns a number other than 0 when the work was cancelled, as SQLite
        expects."""
        self._moved_at = time.monotonic()
        if self._doing and self._moved_at - self._said_at >= REPORT_EVERY:
            self._said_at = self._moved_at
            log.info("store.migrating", **self._doing)
        return int(self._cancelled.is_set())

    def cancel(self) -> None:
        """Ends the work at its next sign of progress."""
        self._cancelled.set()

    async def watch(self, work: "asyncio.Future[None]", patience: float) -> None:
        """Returns when the work is done, or raises what it raises. Cancels it, and raises TimeoutError, when it has not moved for
        ``patience`` seconds; a migration gets ``STUCK_AFTER``."""
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=patience)
                allowed = STUCK_AFTER if self._doing else patience
                if not work.done() and time.monotonic() - self._moved_at >= allowed:
                    raise TimeoutError
            work.result()
        finally:
            self.cancel()


def prepare(path: Path, busy_timeout: float, progress: Progress | None = None, *, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Creates the file, readable by its owner only since specs may hold secrets, and brings its tables up to date.

    Raises FastlaneError for a file that only a newer fastlane may use or that is not a database; sqlite3.Error and OSError otherwise.
    """
    _create_file(path)
    try:
        with closing(connect(path, busy_timeout)) as db:
            if db.execute("PRAGMA page_count").fetchone() == (0,):  # a file that has pages gets this by ``compaction`` only
                execute_patiently(db, "PRAGMA auto_vacuum = INCREMENTAL", busy_timeout)
            execute_patiently(db, "PRAGMA journal_mode = WAL", busy_timeout)
            migrate(db, max(busy_timeout, LOCK_PATIENCE), migrations, progress)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise FastlaneError(f"{path} is not an SQLite database; name another file, or move it away") from error
        raise


def _create_file(path: Path) -> None:
    """Never opens an existing file: closing it would release the locks that this process's connections hold on it."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def migrate(
    db: sqlite3.Connection, patience: float, migrations: Sequence[Migration] = MIGRATIONS, progress: Progress | None = None
) -> None:
    """Applies the parts that the file does not have yet. Takes no lock when there are none. Waits ``patience`` seconds for the lock."""
    progress = progress or Progress()
    began, count, version = time.monotonic(), len(_missing(db, migrations)), 0
    while left := _missing(db, migrations):
        started = time.monotonic()
        version = _version(db)
        if version:
            progress.begin(version=left[0][0].version, part=count - len(left) + 1, parts=count)
        _begin(db, patience, progress)
        _apply_next(db, migrations, progress)
        took = time.monotonic() - started
        if version and took > LONG:
            time.sleep(min(took, MAX_REST))
    if count and version:
        log.info("store.migrated", version=migrations[-1].version, parts=count, seconds=round(time.monotonic() - began, 1))


def _begin(db: sqlite3.Connection, patience: float, progress: Progress) -> None:
    """Begins a transaction that may write, and says that it waits while others have the lock."""
    deadline = time.monotonic() + patience
    while True:
        try:
            execute_patiently(db, "BEGIN IMMEDIATE", min(patience, REPORT_EVERY))
        except sqlite3.OperationalError as error:
            if not is_busy(error) or progress.move() or time.monotonic() > deadline:
                raise
            log.info("store.waiting_to_migrate", error=str(error))
        else:
            return


def _apply_next(db: sqlite3.Connection, migrations: Sequence[Migration], progress: Progress) -> None:
    """Applies the next part, or all of them to a new file, in the transaction that has begun. Another process may have been faster."""
    db.set_progress_handler(progress.move, INSTRUCTIONS)
    try:
        left = _missing(db, migrations)
        for part in left if _version(db) == 0 else left[:1]:
            _apply(db, *part)
        db.execute("COMMIT")
    finally:
        db.set_progress_handler(None, 0)
        if db.in_transaction:
            db.execute("ROLLBACK")


def _apply(db: sqlite3.Connection, migration: Migration, number: int) -> None:
    for statement in migration.parts[number]:
        db.execute(statement)
    if number + 1 < len(migration.parts):
        db.execute("CREATE TABLE IF NOT EXISTS schema_parts (version INTEGER PRIMARY KEY, done INTEGER NOT NULL) STRICT")
        db.execute("INSERT OR REPLACE INTO schema_parts VALUES (?, ?)", (migration.version, number + 1))
    else:
        db.execute("CREATE TABLE IF NOT EXISTS schema (version INTEGER PRIMARY KEY, min_reader INTEGER NOT NULL) STRICT")
        db.execute("INSERT INTO schema VALUES (?, ?)", (migration.version, migration.min_reader))


def _missing(db: sqlite3.Connection, migrations: Sequence[Migration]) -> list[Part]:
    """The parts that the file does not have yet, in order. Raises FastlaneError for a file that only a newer fastlane may use."""
    version, newest = _version(db), migrations[-1].version
    if version > newest:
        (min_reader,) = db.execute("SELECT max(min_reader) FROM schema").fetchone()
        if min_reader > newest:
            words = f"the store was made by a newer fastlane (it needs schema {min_reader}, this one has {newest}); install that one"
            raise FastlaneError(words)
    if 0 < version < OLDEST:
        words = f"the store has schema {version}, from before 0.1.0; this fastlane brings files up to date from {OLDEST} on"
        raise FastlaneError(f"{words}: start 0.1.0 with it once, then this one")
    done = dict(db.execute("SELECT version, done FROM schema_parts").fetchall()) if _has(db, "schema_parts") else {}
    later = [*([NEW] if version == 0 else []), *(one for one in migrations if one.version > (version or NEW.version))]
    return [(one, number) for one in later for number in range(done.get(one.version, 0), len(one.parts))]


def _version(db: sqlite3.Connection) -> int:
    """The file's version; 0 for a new file."""
    return int(db.execute("SELECT ifnull(max(version), 0) FROM schema").fetchone()[0]) if _has(db, "schema") else 0


def _has(db: sqlite3.Connection, table: str) -> bool:
    return bool(db.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)).fetchall())
