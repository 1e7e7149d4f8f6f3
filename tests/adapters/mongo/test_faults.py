"""MongoDB when things go wrong around it: it is killed, frozen and restarted, its primary steps down, no majority confirms."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import pytest
from pymongo import IndexModel
from pymongo.errors import AutoReconnect

from fastlane.errors import FastlaneError, ReadTooLong, StoreDown
from fastlane.models import transitions
from fastlane.models.paging import Wanted, WantedJobs, Window
from fastlane.storage.mongo import database, rows as mongo_rows
from fastlane.storage.mongo.database import Database, Document, read_url
from fastlane.storage.mongo.rows import META, CommitCounter
from fastlane.storage.mongo.store import MongoStore
from tests.support.factories import new
from tests.support.mongo import RealMongo
from tests.support.mongo_wire import mongo_wire
from tests.support.waiting import PATIENCE, until

SECRET = "s3cr3t-pa55word"
REFUSED_AFTER = 4.0
QUICK = ("not primary", "no majority in time")
QUICK_IN_A_WALK = ("connection closed", "cursor gone")
COMMANDS = ("insert", "update", "find")
FAULTS: dict[str, dict[str, Any]] = {
    "not primary": {"errorCode": 10107},
    "stepping down": {"errorCode": 189},
    "interrupted": {"errorCode": 11602},
    "shutting down": {"errorCode": 91},
    "connection closed": {"closeConnection": True},
    "no majority in time": {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
    "no majority left": {"writeConcernError": {"code": 100, "errmsg": "not enough members"}},
}
"""What a server may fail with, as MongoDB's own fail point has it. With the last two it has made the write."""
CASES = [
    pytest.param(fault, command, marks=() if fault in QUICK else pytest.mark.thorough)
    for fault in FAULTS
    for command in COMMANDS
    if command != "find" or "majority" not in fault
]


@pytest.fixture
def own_mongo() -> Iterator[RealMongo]:
    """A server that the test may stop and pause."""
    with RealMongo() as server:
        yield server


@asynccontextmanager
async def opened(url: str, deadline: float) -> AsyncIterator[MongoStore]:
    store = MongoStore(url, deadline=deadline)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def refused_in_time(store: MongoStore, deadline: float) -> None:
    """Reads, writes and lists all end, side by side, soon after the deadline."""
    began = time.monotonic()
    job, tick, execution = new()
    calls = (store.create(job, tick, execution), store.job(job.id), store.list_jobs("t", Window(1, 10)), store.check(), store.counts())
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, StoreDown) for answer in answers), answers
    assert time.monotonic() - began < deadline + 10


async def test_a_server_that_was_killed_is_store_down_in_time_and_is_used_again_when_it_is_back(own_mongo: RealMongo) -> None:
    async with opened(own_mongo.url("test"), PATIENCE) as store, opened(own_mongo.url("test"), 1.0) as hasty:
        made = new()
        await store.create(*made)
        own_mongo.kill()
        await refused_in_time(hasty, 1.0)
        waiting = asyncio.ensure_future(store.job(made[0].id))
        await asyncio.to_thread(own_mongo.start)
        assert await waiting == made[0]
        assert await store.execution(made[2].id) == made[2]
        await store.create(*new())


async def test_a_frozen_server_is_store_down_in_time_and_loses_nothing(own_mongo: RealMongo) -> None:
    async with opened(own_mongo.url("test"), PATIENCE) as store, opened(own_mongo.url("test"), 1.0) as hasty:
        made = new()
        await store.create(*made)
        own_mongo.pause()
        await refused_in_time(hasty, 1.0)
        late = new()
        creating = asyncio.ensure_future(store.create(*late))
        own_mongo.go_on()
        await creating
        assert [await store.job(one[0].id) for one in (made, late)] == [made[0], late[0]]


async def test_a_server_that_freezes_during_a_walk_is_store_down_in_time(own_mongo: RealMongo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver may give a call more time than its caller has. Its thread still reads from the walk's cursor then."""
    db = Database(read_url(own_mongo.url("test")), deadline=2 * PATIENCE)
    db.open()
    await make_rows(db)
    for in_time in (database.IN_TIME, 2 * PATIENCE):
        monkeypatch.setattr(database, "IN_TIME", in_time)
        began = time.monotonic()
        with pytest.raises(StoreDown):
            await db.call(lambda: walked(db, {}, own_mongo.pause), 1.0)
        assert time.monotonic() - began < PATIENCE
        own_mongo.go_on()
    await db.close()


async def test_a_write_that_was_refused_is_not_sent_later(
    mongo_server: RealMongo, own_mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last try waits for a server when its caller's time ends, and the server is back just then."""
    monkeypatch.setattr(database, "HEARTBEAT", 0.5)
    loop, made = asyncio.get_running_loop(), new()
    async with mongo_wire(mongo_server.port) as wire, opened(own_mongo_url, PATIENCE) as other:

        async def is_cut_off() -> bool:
            return wire.dead

        async with opened(mongo_server.url("test", f"127.0.0.1:{wire.port}"), REFUSED_AFTER) as store:
            wire.reset()
            wire.die_before, began = 1, loop.time()
            creating = asyncio.ensure_future(store.create(*made))
            await until(is_cut_off, "the write to be cut off")
            await asyncio.sleep(REFUSED_AFTER / 2 - (loop.time() - began))
            wire.dead, wire.die_before = False, 2
            await until(is_cut_off, "its second try to be cut off")
            with pytest.raises(StoreDown):
                await creating
            assert len(wire.writes) == 2
            wire.reset()
            await asyncio.sleep(REFUSED_AFTER)
            assert wire.writes == []
        assert await other.job(made[0].id) is None


@contextmanager
def failing(server: RealMongo, command: str, fault: dict[str, Any], times: int) -> Iterator[None]:
    """The server fails so at the next calls of this command."""
    point: dict[str, Any] = {"configureFailPoint": "failCommand", "mode": {"times": times}}
    with server.client() as client:
        client.admin.command({**point, "data": {"failCommands": [command], **fault}})
        try:
            yield
        finally:
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.mark.parametrize(("fault", "command"), CASES)
async def test_what_may_pass_is_tried_again_and_made_once(
    mongo_server: RealMongo, own_mongo_url: str, fault: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "HEARTBEAT", 0.5)
    async with opened(own_mongo_url, PATIENCE) as store:
        made = new()
        with failing(mongo_server, command, FAULTS[fault], times=2):
            await store.create(*made)
            claimed = await store.change(transitions.claim(made[2], host="h", pool="p", now=1))
        assert claimed is not None
        assert await store.executions_of(made[0].id, 10) == [claimed]
        assert (await store.counts()).jobs == 1


WALK_FAULTS = {**{fault: FAULTS[fault] for fault in FAULTS if "majority" not in fault}, "cursor gone": {"errorCode": 43}}
ROWS = 3 * database.BATCH + 5


async def walked(db: Database, part: Mapping[str, int], meanwhile: Callable[[], object] = lambda: None) -> list[str]:
    """The ids of a walk. ``meanwhile`` happens behind its fifth row."""
    ids: list[str] = []
    by_age = [("hour", 1), ("_id", -1)]
    async with aclosing(db.walk("hours", {"hour": {"$gte": 0, "$lte": ROWS}}, "hours_by_age", by_age, **part)) as rows:
        async for row in rows:
            ids.append(row["_id"])
            if len(ids) == 5:
                meanwhile()
    return ids


async def make_rows(db: Database) -> list[str]:
    """Rows to walk over: their ids in the order of the walk."""
    await db.make_indexes("hours", [IndexModel([("hour", 1)], name="hours_by_age")])
    made = {f"{number:03}": number // 10 for number in range(ROWS)}
    await db.insert_missing("hours", [{"_id": id, "made": "me", "hour": hour} for id, hour in made.items()])
    return sorted(made, key=lambda id: (made[id], -int(id)))


@pytest.fixture
async def own_db(own_mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setattr(database, "HEARTBEAT", 0.5)
    db = Database(read_url(own_mongo_url), PATIENCE)
    db.open()
    yield db
    await db.close()


@pytest.mark.parametrize("part", [{}, {"skip": 3}, {"skip": 3, "limit": ROWS - 10}, {"limit": database.BATCH}, {"limit": 6}])
@pytest.mark.parametrize(
    "fault", [pytest.param(fault, marks=() if fault in QUICK_IN_A_WALK else pytest.mark.thorough) for fault in WALK_FAULTS]
)
async def test_a_walk_continues_behind_its_last_row_after_a_passing_fault(
    mongo_server: RealMongo, own_db: Database, fault: str, part: dict[str, int]
) -> None:
    rows = await make_rows(own_db)
    start = part.get("skip", 0)
    expected = rows[start : start + part["limit"]] if "limit" in part else rows[start:]
    for command in ("find", "getMore"):
        with failing(mongo_server, command, WALK_FAULTS[fault], times=1):
            assert await own_db.call(lambda: walked(own_db, part)) == expected


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if "majority" not in fault])
async def test_a_job_refused_for_a_fault_that_lasts_is_made_once_when_it_is_sent_again(
    mongo_server: RealMongo, own_mongo_url: str, fault: str
) -> None:
    made = new()
    async with opened(own_mongo_url, 0.5) as store:
        with failing(mongo_server, "insert", FAULTS[fault], times=1_000), pytest.raises(StoreDown):
            await store.create(*made)
    async with opened(own_mongo_url, PATIENCE) as store:
        await store.create(*made)
        assert await store.executions_of(made[0].id, 10) == [made[2]]


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if "majority" in fault])
async def test_a_write_that_was_made_while_no_majority_confirmed_it_counts_once_a_majority_has_it(
    mongo_server: RealMongo, own_mongo_url: str, fault: str
) -> None:
    made = new()
    async with opened(own_mongo_url, 1.0) as store:
        with failing(mongo_server, "insert", FAULTS[fault], times=1_000):
            await store.create(*made)
        assert await store.executions_of(made[0].id, 10) == [made[2]]
        assert (await store.counts()).jobs == 1


async def test_a_document_that_no_majority_has_yet_is_no_ones(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server finds the id taken, and a majority read does not show by whom."""
    look, looks = db.one, []

    async def behind(*asked: Any) -> Document | None:
        looks.append(asked)
        return None if len(looks) < 3 else await look(*asked)

    monkeypatch.setattr(db, "one", behind)
    document = {"_id": "x", "made": "me"}
    assert await db.insert("executions", document)
    assert await db.insert("executions", document)
    assert not await db.insert("executions", {**document, "made": "another"})
    assert len(looks) == 4


async def test_an_error_tells_neither_the_url_nor_its_password() -> None:
    for url in (f"mongodb://u:{SECRET}@127.0.0.1:1/db", f"mongodb://u:{SECRET}@127.0.0.1:1/db?tls=maybe", f"mongodb://{SECRET}:x@/"):
        with pytest.raises(FastlaneError) as found:
            await MongoStore(url, deadline=0.3).open()
        assert SECRET not in f"{found.value!s}{found.value!r}"


async def test_a_read_that_takes_too_long_says_so_whatever_befalls_others_meanwhile() -> None:
    db = Database(read_url("mongodb://127.0.0.1:1/db"), deadline=0.3)

    async def cut() -> None:
        raise AutoReconnect("cut")

    troubled = db.call(lambda: db._repeated(cut))
    slow = db.call(lambda: asyncio.sleep(60), advice="ask for less")
    assert [type(end) for end in await asyncio.gather(troubled, slow, return_exceptions=True)] == [StoreDown, ReadTooLong]


async def test_tasks_that_no_filter_can_name_are_refused_and_fewer_are_listed(mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongo_rows, "MAX_VISIBLE", 150)
    async with opened(mongo_url, PATIENCE) as store:
        for number in range(10):
            await store.create(*new(f"{number % 2}-task-{number}"))
        reads = (
            lambda visible: store.list_all_jobs(WantedJobs(visible=visible), Window(1, 10)),
            lambda visible: store.list_executions(Wanted(visible=visible), Window(1, 10)),
            store.counts,
            store.jobs_by_status,
            lambda visible: store.next_jobs(10, 1, visible),
            lambda visible: store.running_containers(10, visible),
        )
        for read in reads:
            with pytest.raises(ReadTooLong, match="10 tasks, which is too much at once; ask for less"):
                await read(".*task")
            await read("1-")


async def test_a_commit_whose_count_failed_is_counted_once_the_store_can_be_written(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever follows the store's version would otherwise miss it until another commit."""
    real, before = CommitCounter.check, await store.version()

    async def away(_: CommitCounter) -> None:
        raise StoreDown("away")

    monkeypatch.setattr(CommitCounter, "check", away)
    await store.create(*new())
    for _ in range(2):
        with pytest.raises(StoreDown, match="away"):
            await store.version()
    monkeypatch.setattr(CommitCounter, "check", real)
    assert (await store.version()).commits == before.commits + 1


async def test_a_store_that_lost_its_data_is_no_store_that_can_be_written(store: MongoStore, db: Database) -> None:
    await store.check()
    assert await db.delete(META, {"_id": "version"}) == 1
    with pytest.raises(StoreDown, match="has lost its data while fastlane used it"):
        await store.check()
