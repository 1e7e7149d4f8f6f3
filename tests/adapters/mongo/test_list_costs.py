"""What a list costs in commands, which go one after another over the network: a few, however much is stored."""

from collections.abc import AsyncIterator

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from fastlane.models.paging import Window
from fastlane.storage.mongo import database
from fastlane.storage.mongo.database import Database
from fastlane.storage.mongo.store import MongoStore
from tests.support.factories import new
from tests.support.store_queries import QUERIES, Query
from tests.support.waiting import PATIENCE

ROWS, MOST = 150, 9
"""Rows of each kind, more than a server returns in its first answer; and the commands that a list may take beside the look for commits that
are not complete, which the store makes now and then, too."""
LISTS: dict[str, Query] = {name: query for name, query in QUERIES.items() if name.startswith(("list_", "jobs_by_status", "next_jobs"))} | {
    "counts": lambda store: store.counts(),
    "counts of visible tasks": lambda store: store.counts("t"),
    "search_tasks": lambda store: store.search_tasks(["t"], Window(1, 10)),
    "events of a task": QUERIES["events enqueued of task"],
}


class Reads(CommandListener):
    """The reads that clients send, and how each continues."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in ("find", "aggregate", "getMore") and event.command.get("hint") != "jobs_pending":
            self.sent.append(event.command_name)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Is of no interest."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Is of no interest."""


@pytest.fixture
async def counted(mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[MongoStore, Reads]]:
    reads = Reads()
    monkeypatch.setattr(database, "AsyncIOMotorClient", lambda url, **options: AsyncIOMotorClient(url, event_listeners=[reads], **options))
    store = MongoStore(mongo_url, deadline=PATIENCE)
    await store.open()
    job, tick, execution = new("t")
    await store.create(job, tick, execution)
    yield store, reads
    await store.close()


async def copy(db: Database, numbers: range) -> None:
    """Adds tasks, jobs, ticks and executions like the only ones: each of its own, and each of the first job."""
    for collection in ("tasks", "jobs", "ticks", "executions"):
        rows = await db.find(collection, {"_id": {"$gte": ""}}, "_id_", limit=1)
        await db.insert_missing(collection, [{**rows[0], "_id": f"{rows[0]['_id']}-{number}"} for number in numbers])


async def commands(store: MongoStore, reads: Reads) -> dict[str, list[str]]:
    found = {}
    for name, query in LISTS.items():
        reads.sent.clear()
        await query(store)
        found[name] = list(reads.sent)
    return found


async def test_a_list_takes_a_few_commands_however_much_is_stored(counted: tuple[MongoStore, Reads], db: Database) -> None:
    await copy(db, range(ROWS))
    few = await commands(*counted)
    await copy(db, range(ROWS, 4 * ROWS))
    assert await commands(*counted) == few
    assert {name: sent for name, sent in few.items() if not 0 < len(sent) <= MOST} == {}
