"""Every query names its index, or asks for documents by their ids, so that none scans a collection; where the server can tell, its own plan
says that it uses that index."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from fastlane.storage.mongo.rows import INDEXES, META, TO_COUNT
from fastlane.storage.mongo.store import MongoStore
from fastlane.storage.mongo.stored_counts import HEAD
from tests.support.factories import make_job
from tests.support.recorded_calls import Command, recorded_commands
from tests.support.store_queries import QUERIES, Query
from tests.support.waiting import PATIENCE

NAMES = {collection: {index.document["name"] for index in indexes} for collection, indexes in INDEXES.items()}
KEYS = {index.document["name"]: index.document for indexes in INDEXES.values() for index in indexes}


async def test_what_the_database_itself_removes_stays_as_long_as_a_process_may_sleep(store: MongoStore, mongo_url: str) -> None:
    """A tombstone keeps a process that slept from making its job once more. The id of a deleted execution tells a worker of its end."""
    with MongoClient[dict[str, Any]](mongo_url) as client:
        database = client.get_default_database()
        found = {
            (collection, name): index["expireAfterSeconds"]
            for collection in database.list_collection_names()
            for name, index in database[collection].index_information().items()
            if "expireAfterSeconds" in index
        }
    assert found == {("jobs", "jobs_gone"): 7 * 86_400, ("deleted_executions", "deleted_by_age"): 86_400}


@pytest.fixture
async def traced(mongo_url: str) -> AsyncIterator[tuple[MongoStore, list[Command]]]:
    store = MongoStore(mongo_url, deadline=PATIENCE)
    with recorded_commands() as commands:
        await store.open()
    await store.create(make_job(task_id="another"), None, None)  # what is asked of the job itself, is asked only while it is there
    commands.clear()
    yield store, commands
    await store.close()


def is_by_id(filter: dict[str, Any]) -> bool:
    asked = filter.get("_id")
    return isinstance(asked, str) or (isinstance(asked, dict) and bool(asked.keys() & {"$in", "$gte", "$gt"}))


def faults_of(name: str, command: dict[str, Any]) -> list[str]:
    """What is wrong with how a command finds its documents."""
    collection = command[name]
    if name == "insert":
        return []
    if name in ("update", "delete"):
        return [f"{one}" for one in command[f"{name}s"] if not is_by_id(one["q"])]
    hint = command.get("hint")
    if name == "find":
        filter = command["filter"]
        if hint in (None, "_id_"):
            return [] if is_by_id(filter) else [f"{command}"]
    else:
        filter = command["pipeline"][0]["$match"]
    if hint not in NAMES[collection]:
        return [f"{command}"]
    index = KEYS[hint]
    first, text = next(iter(index["key"])), repr(filter)
    condition = index.get("partialFilterExpression", {})
    missing = [field for field in condition if f"'{field}'" not in text]
    return [f"{hint} without {missing}: {filter}"] if missing or (not condition and f"'{first}'" not in text) else []


QUERIES_HERE: dict[str, Query] = {**QUERIES, "count_ends": lambda store: store.history.count_ends(10)}
"""A trigger of SQLite counts ends."""


@pytest.mark.parametrize("name", QUERIES_HERE)
async def test_a_query_scans_no_collection(traced: tuple[MongoStore, list[Command]], mongo_url: str, name: str) -> None:
    store, commands = traced
    await QUERIES_HERE[name](store)
    sent = [(kind, command) for kind, command in commands if command[kind] != "meta"]
    assert sent
    assert [fault for kind, command in sent for fault in faults_of(kind, command)] == []
    with MongoClient[dict[str, Any]](mongo_url, timeoutMS=30_000) as client:
        for kind, command in sent:
            if kind == "find" and command.get("hint") not in (None, "_id_"):
                assert plan_names(client, command) <= {command["hint"]}, command


@pytest.mark.parametrize("name", ["jobs_by_status", "jobs_by_status of visible tasks"])
async def test_a_group_by_status_asks_for_nothing_but_what_its_index_has(traced: tuple[MongoStore, list[Command]], name: str) -> None:
    """A filter that names null makes a server fetch every document, since an index does not tell null from a missing field. The stored
    counts are not to be trusted."""
    store, commands = traced
    await store._db.update(META, HEAD, {}, {"$set": {"ready": False}})
    await QUERIES_HERE[name](store)
    (asked,) = [command for kind, command in commands if kind == "aggregate" and TO_COUNT not in command["pipeline"][0]["$match"]]
    filter = asked["pipeline"][0]["$match"]
    assert filter.keys() <= KEYS[asked["hint"]]["key"].keys()
    assert "None" not in repr(filter)


def plan_names(client: "MongoClient[dict[str, Any]]", command: dict[str, Any]) -> set[str]:
    """The indexes in the server's plan; none where it does not tell."""
    asked = {key: command[key] for key in ("find", "filter", "sort", "limit", "hint", "projection") if key in command}
    try:
        plan = client.get_default_database().command({"explain": asked, "verbosity": "queryPlanner"})
    except PyMongoError:
        return set()
    return set(re.findall(r"'indexName': '([^']*)'", repr(plan)))


OF_ONE_TASK = [name for name in QUERIES if name.startswith("events ") and name.endswith(" of task")]


@pytest.mark.parametrize("name", OF_ONE_TASK)
async def test_the_events_of_a_task_are_read_along_its_own_rows(traced: tuple[MongoStore, list[Command]], name: str) -> None:
    store, commands = traced
    await QUERIES[name](store)
    read = [command["hint"] for kind, command in commands if kind == "find" and command.get("hint") != "jobs_pending"]
    assert [next(iter(KEYS[hint]["key"])) for hint in read] == ["task_id"]
