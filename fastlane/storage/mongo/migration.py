"""The migrations, and the process that applies them to a database, part by part, while the others wait.

A released migration is never edited; a later one adds to it. ``min_reader`` is the oldest schema version whose code may still use the
database after a migration, so that workers of two versions can share it while they are being replaced.

The process that migrates has a claim, a document with a count that it raises every ``BEAT`` seconds. When the count stands still for
``LOST_AFTER`` seconds by another process's own clock, that process takes the claim over, and begins again with the version that was under
way. No two clocks are compared.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from fastlane.errors import FastlaneError, StoreDown
from fastlane.models.ids import nonce
from fastlane.storage.mongo.database import Database, Document
from fastlane.storage.mongo.jobs import mark_all_late, write_all
from fastlane.storage.mongo.rows import (
    ARCHIVED_LOGS,
    BACKFILLS,
    CALENDARS,
    CHAIN_HEADS,
    CHUNKS,
    DELETED,
    DELIVERIES,
    EVENTS,
    EXECUTIONS,
    HOSTS,
    HOURS,
    IMAGES,
    INDEXES,
    JOBS,
    META,
    QUOTAS,
    RECEIPTS,
    RECEIVERS,
    SEALS,
    TASKS,
    TICKS,
)
from fastlane.storage.mongo.stored_counts import recount

log = structlog.get_logger()

Part = Callable[[Database], Awaitable[None]]
"""A step of a migration, which may be done again after it was done or interrupted. It may take minutes."""


@dataclass(frozen=True, slots=True)
class MongoMigration:
    """The step to a schema version: its parts, and the oldest version that may use the database after it and between its parts."""

    version: int
    min_reader: int
    parts: tuple[Part, ...]


async def _make_indexes(collection: str, db: Database) -> None:
    await db.make_indexes(collection, INDEXES[collection])


def _indexes_of(*collections: str) -> tuple[Part, ...]:
    return tuple(partial(_make_indexes, collection) for collection in collections if INDEXES[collection])


MIGRATIONS: Sequence[MongoMigration] = (
    MongoMigration(version=1, min_reader=1, parts=_indexes_of(TASKS, JOBS, TICKS, EXECUTIONS, CHUNKS, RECEIPTS, DELETED)),
    MongoMigration(version=2, min_reader=1, parts=_indexes_of(DELIVERIES, RECEIVERS)),
    MongoMigration(version=3, min_reader=1, parts=_indexes_of(QUOTAS)),
    MongoMigration(version=4, min_reader=1, parts=_indexes_of(DELIVERIES)),
    MongoMigration(version=5, min_reader=1, parts=_indexes_of(EXECUTIONS, HOURS)),
    MongoMigration(version=6, min_reader=1, parts=_indexes_of(EVENTS, EXECUTIONS)),
    MongoMigration(version=7, min_reader=1, parts=_indexes_of(JOBS)),
    MongoMigration(version=8, min_reader=1, parts=(write_all, *_indexes_of(JOBS))),
    MongoMigration(version=9, min_reader=1, parts=(mark_all_late, *_indexes_of(JOBS))),
    MongoMigration(version=10, min_reader=1, parts=_indexes_of(EVENTS, EXECUTIONS)),
    MongoMigration(version=11, min_reader=1, parts=_indexes_of(EXECUTIONS, JOBS)),
    MongoMigration(version=12, min_reader=1, parts=_indexes_of(IMAGES)),
    MongoMigration(version=13, min_reader=1, parts=_indexes_of(JOBS)),
    MongoMigration(version=14, min_reader=1, parts=_indexes_of(HOSTS)),
    MongoMigration(version=15, min_reader=1, parts=_indexes_of(BACKFILLS, JOBS)),
    # calendars, and which jobs name any
    MongoMigration(version=16, min_reader=1, parts=_indexes_of(CALENDARS, JOBS, EXECUTIONS)),
    # stored counts, jobs of a label by their status and task, and receipts: their seals, and where each chain ends
    MongoMigration(version=17, min_reader=1, parts=(*_indexes_of(TASKS, JOBS, SEALS, CHAIN_HEADS), recount)),
    # logs in the archive
    MongoMigration(version=18, min_reader=1, parts=_indexes_of(ARCHIVED_LOGS)),
)

VERSION = MIGRATIONS[-1].version

SCHEMA, CLAIM = "schema", "migration"
"""The ids of two documents: how far the database is, and who brings it up to date."""
BEAT, LOOK = 2.0, 0.25
"""Seconds between two signs of life, and between two looks of a process that waits."""
LOST_AFTER = 30.0
"""Seconds without a sign of life after which another process takes over."""
REPORT_EVERY = 5.0
"""Seconds between two lines of the log."""
LONGEST_PART = 24 * 3600.0
"""Seconds that one part may take, such as an index of a large collection."""


async def prepare(db: Database, migrations: Sequence[MongoMigration] = MIGRATIONS) -> None:
    """Returns when the database is up to date. Raises FastlaneError for one that only a newer fastlane may use."""
    claim = MigrationClaim(db)
    while await _missing(db, migrations):
        if await claim.take():
            await _migrate(db, migrations, claim)
            return
        await asyncio.sleep(LOOK)


class MigrationWatch:
    """Sees whether another process brings the database up to date: it has a claim there, and gives signs of life."""

    def __init__(self, db: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._monotonic = monotonic
        self._other: Document | None = None
        self._moved_at = monotonic()

    async def is_under_way(self) -> bool:
        """Looks once. After ``LOST_AFTER`` without a sign of life, the process has ended."""
        other = await self._db.call(lambda: self._db.one(META, CLAIM))
        return other is not None and not self.is_lost(other)

    def is_lost(self, other: Document | None) -> bool:
        """Whether this claim, which was read just now, has given no sign of life for ``LOST_AFTER``."""
        if other is None or other != self._other:
            self._other, self._moved_at = other, self._monotonic()
        return self._monotonic() - self._moved_at > LOST_AFTER


class MigrationClaim:
    """The right to bring a database up to date, which one process has at a time."""

    def __init__(self, db: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._monotonic = monotonic
        self._mine: Document = {"_id": CLAIM, "made": nonce(), "beat": 0}
        self._watch = MigrationWatch(db, monotonic)
        self._said_at = monotonic()

    async def take(self) -> bool:
        """Whether this process has it now."""
        if await self._db.call(lambda: self._db.insert(META, self._mine)):
            return True
        other = await self._db.call(lambda: self._db.one(META, CLAIM))
        if self._watch.is_lost(other) and other is not None:
            seen = {name: other[name] for name in ("made", "beat")}
            return await self._db.call(lambda: self._db.replace(META, CLAIM, seen, self._mine, self._is_mine))
        now = self._monotonic()
        if now - self._said_at > REPORT_EVERY:
            self._said_at = now
            log.info("store.waiting_to_migrate", error="another process brings the store up to date")
        return False

    async def keep(self, work: "asyncio.Task[None]", doing: dict[str, Any]) -> None:
        """Returns when the work is done. Raises StoreDown when another process took the claim over. Reports what is ``doing``."""
        said_at = time.monotonic()
        try:
            while not (await asyncio.wait({work}, timeout=BEAT))[0]:
                if not await self._db.call(lambda: self._db.update(META, CLAIM, {"made": self._mine["made"]}, {"$inc": {"beat": 1}})):
                    raise StoreDown("another process took over bringing the store up to date")
                if doing and time.monotonic() - said_at > REPORT_EVERY:
                    said_at = time.monotonic()
                    log.info("store.migrating", **doing)
            work.result()
        finally:
            work.cancel()

    async def release(self) -> None:
        """Lets others have it. When the store is away, they wait for ``LOST_AFTER``."""
        with suppress(StoreDown):
            await self._db.call(lambda: self._db.delete(META, {"_id": CLAIM, "made": self._mine["made"]}))

    def _is_mine(self, stored: Document) -> bool:
        return bool(stored["made"] == self._mine["made"])


async def _migrate(db: Database, migrations: Sequence[MongoMigration], claim: MigrationClaim) -> None:
    """Applies what is missing, while this process has the claim. Says how far it is, unless the database is new."""
    began, doing = time.monotonic(), dict[str, Any]()
    try:
        left = await _missing(db, migrations)
        is_new = left == list(migrations)
        parts = sum(len(migration.parts) for migration in left)
        await claim.keep(asyncio.ensure_future(_apply(db, left, {} if is_new else doing)), doing)
        if left and not is_new:
            log.info("store.migrated", version=migrations[-1].version, parts=parts, seconds=round(time.monotonic() - began, 1))
    finally:
        await claim.release()


async def _apply(db: Database, left: Sequence[MongoMigration], doing: dict[str, Any]) -> None:
    for migration in left:
        for number, part in enumerate(migration.parts):
            doing.update(version=migration.version, part=number + 1, parts=len(migration.parts))
            await db.call(partial(part, db), LONGEST_PART)
        reached = {"version": migration.version, "min_reader": migration.min_reader}
        await db.call(partial(db.upsert, META, SCHEMA, {"$max": reached}))


async def _missing(db: Database, migrations: Sequence[MongoMigration]) -> list[MongoMigration]:
    """The migrations that the database does not have yet. Raises FastlaneError for one that only a newer fastlane may use."""
    stored = await db.call(lambda: db.one(META, SCHEMA)) or {"version": 0, "min_reader": 0}
    newest = migrations[-1].version
    if stored["version"] > newest and stored["min_reader"] > newest:
        words = f"the store was made by a newer fastlane (it needs schema {stored['min_reader']}, this one has {newest}); install that one"
        raise FastlaneError(words)
    return [migration for migration in migrations if migration.version > stored["version"]]
