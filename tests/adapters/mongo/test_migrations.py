"""A database that a newer fastlane brings up to date, while other processes start on it; and one that a newer fastlane has brought up to
date already."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import structlog
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from fastlane.errors import FastlaneError, StoreDown
from fastlane.storage.mongo import database, migration
from fastlane.storage.mongo.database import Database, read_url
from fastlane.storage.mongo.migration import CLAIM, MIGRATIONS, SCHEMA, VERSION, MongoMigration, prepare
from fastlane.storage.mongo.rows import INDEXES, META
from fastlane.storage.mongo.store import MongoStore
from tests.support.factories import new
from tests.support.mongo import RealMongo
from tests.support.waiting import PATIENCE, until

OTHER = {"_id": CLAIM, "made": "another process", "beat": 3}


class Part:
    """A part of a migration that takes until a test lets it go on."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.go_on = asyncio.Event()

    async def __call__(self, _: Database) -> None:
        self.begun += 1
        await self.go_on.wait()
        self.ended += 1

    @property
    def migrations(self) -> list[MongoMigration]:
        """Those that there are, and one with this part in the middle."""
        return [*MIGRATIONS, MongoMigration(VERSION + 1, VERSION, (nothing, self, nothing))]


async def nothing(_: Database) -> None:
    """A part that is done at once."""


@pytest.fixture
async def two(mongo_url: str) -> AsyncIterator[tuple[Database, Database]]:
    """The calls of two processes on a database of the present version, which is of that version again after the test."""
    one, other = (Database(read_url(mongo_url), PATIENCE) for _ in range(2))
    one.open()
    other.open()
    await prepare(one)
    yield one, other
    await one.upsert(META, SCHEMA, {"$set": {"version": VERSION, "min_reader": MIGRATIONS[-1].min_reader}})
    await one.delete(META, {"_id": CLAIM})
    await one.close()
    await other.close()


async def version(db: Database) -> int:
    stored = await db.one(META, SCHEMA)
    assert stored is not None
    return int(stored["version"])


async def test_of_processes_that_start_at_once_one_migrates_and_says_how_far_it_is_and_the_others_wait_and_say_so(
    two: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("BEAT", 0.05), ("LOOK", 0.02), ("REPORT_EVERY", 0.0)):
        monkeypatch.setattr(migration, name, seconds)
    part = Part()
    with structlog.testing.capture_logs() as logs:

        def said() -> set[str]:
            return {line["event"] for line in logs}

        starts = [asyncio.create_task(prepare(db, part.migrations)) for db in two]
        await until(lambda: {"store.migrating", "store.waiting_to_migrate"} <= said(), "one to migrate, and one to wait")
        assert [await version(db) for db in two] == [VERSION, VERSION]
        part.go_on.set()
        await asyncio.gather(*starts)
    assert (part.begun, part.ended) == (1, 1)
    assert await version(two[0]) == VERSION + 1
    assert await two[0].one(META, CLAIM) is None
    (about, *_) = [line for line in logs if line["event"] == "store.migrating"]
    assert (about["version"], about["part"], about["parts"]) == (VERSION + 1, 2, 3)
    assert [line["parts"] for line in logs if line["event"] == "store.migrated"] == [3]


async def test_what_a_process_that_died_had_begun_is_done_by_another(
    two: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "LOST_AFTER", 0.2)
    monkeypatch.setattr(migration, "LOOK", 0.02)
    assert await two[0].insert(META, OTHER)
    part = Part()
    part.go_on.set()
    await prepare(two[1], part.migrations)
    assert (part.ended, await version(two[0])) == (1, VERSION + 1)


async def test_a_claim_is_taken_over_only_when_its_count_stands_still_for_long(two: tuple[Database, Database]) -> None:
    now = 0.0
    claim, watch = migration.MigrationClaim(two[0], lambda: now), migration.MigrationWatch(two[1], lambda: now)
    assert not await watch.is_under_way()
    assert await two[1].insert(META, OTHER)
    for beat in range(4, 8):
        assert not await claim.take()
        assert await two[1].update(META, CLAIM, {}, {"$set": {"beat": beat}})
        now += migration.LOST_AFTER + 1
    assert not await claim.take()
    assert await watch.is_under_way()
    now += migration.LOST_AFTER - 1
    assert not await claim.take()
    assert await watch.is_under_way()
    now += 2
    assert not await watch.is_under_way()
    assert await claim.take()
    assert await watch.is_under_way()
    await claim.release()
    assert not await watch.is_under_way()


async def test_a_process_that_slept_while_another_took_over_stops(two: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "BEAT", 0.05)
    part = Part()
    start = asyncio.create_task(prepare(two[0], part.migrations))
    await until(lambda: part.begun, "the part to begin")
    assert await two[1].replace(META, CLAIM, {}, OTHER)
    with pytest.raises(StoreDown, match="another process took over"):
        await start
    part.go_on.set()
    assert (part.ended, await version(two[1])) == (0, VERSION)
    assert await two[1].one(META, CLAIM) == OTHER


async def test_a_database_of_a_newer_fastlane_is_used_when_that_allows_it_and_refused_otherwise(
    two: tuple[Database, Database], mongo_url: str
) -> None:
    store = MongoStore(mongo_url, deadline=PATIENCE)
    await two[0].upsert(META, SCHEMA, {"$set": {"version": VERSION + 2, "min_reader": VERSION}})
    await store.open()
    await store.create(*new())
    await store.close()
    await two[0].upsert(META, SCHEMA, {"$set": {"min_reader": VERSION + 2}})
    words = f"the store was made by a newer fastlane (it needs schema {VERSION + 2}, this one has {VERSION}); install that one"
    with pytest.raises(FastlaneError) as error:
        await store.open()
    assert str(error.value) == words
    assert await version(two[0]) == VERSION + 2


class Times(CommandListener):
    """The milliseconds that the server may take for each command of this name, and which members it waits for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.allowed: list[Any] = []
        self.quorums: list[Any] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == self._name:
            self.allowed.append(event.command.get("maxTimeMS"))
            self.quorums.append(event.command.get("commitQuorum"))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Is of no interest."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Is of no interest."""


async def test_an_index_of_a_large_collection_may_take_longer_than_a_call(mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    times = Times("createIndexes")
    monkeypatch.setattr(database, "AsyncIOMotorClient", lambda url, **options: AsyncIOMotorClient(url, event_listeners=[times], **options))
    db = Database(read_url(mongo_url), PATIENCE)
    db.open()
    await db.upsert(META, SCHEMA, {"$set": {"version": 0, "min_reader": 0}})
    await prepare(db)
    await db.close()
    assert len(times.allowed) == sum(isinstance(part, partial) for one in MIGRATIONS for part in one.parts)
    assert all(allowed is None or allowed > 3_600_000 for allowed in times.allowed)


@pytest.mark.parametrize("refusals", [0, 1])
async def test_an_index_waits_for_a_majority_where_the_server_can_be_told_so(
    mongo_server: RealMongo, own_mongo_url: str, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    times = Times("createIndexes")
    monkeypatch.setattr(database, "AsyncIOMotorClient", lambda url, **options: AsyncIOMotorClient(url, event_listeners=[times], **options))
    db = Database(read_url(own_mongo_url), PATIENCE)
    db.open()
    point = {"configureFailPoint": "failCommand", "mode": {"times": refusals}, "data": {"failCommands": ["createIndexes"], "errorCode": 2}}
    with mongo_server.client() as client:
        client.admin.command(point if refusals else {**point, "mode": "off"})
        try:
            await db.make_indexes("hours", INDEXES["hours"])
        finally:
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
    await db.close()
    assert times.quorums[: refusals + 1] == ["majority", None][: refusals + 1]
