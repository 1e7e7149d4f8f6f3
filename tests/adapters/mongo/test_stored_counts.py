"""The stored counts of jobs and executions: the same as by looking at every row, also when a process ends at any of its writes, when
processes overtake each other, and after an older fastlane has written."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from fastlane.models.job import Job
from fastlane.models.status import Status
from fastlane.storage.mongo import stored_counts
from fastlane.storage.mongo.commits import delete_empty_tasks, delete_task
from fastlane.storage.mongo.database import Database
from fastlane.storage.mongo.rows import EXECUTIONS, GONE_AT, JOBS, META, TASKS as TASK_ROWS, TO_COUNT, VERSION
from fastlane.storage.mongo.store import MongoStore
from tests.adapters.mongo.ending import end_at
from tests.contract.test_store_deletion import delete, made
from tests.contract.test_store_history import enqueue, run_and_end
from tests.support.factories import first_of
from tests.support.intercept import Died

WRITES = ("insert", "insert_missing", "update", "update_all", "write_each", "replace", "delete")
TASKS = ("t", "u", "w")
Counts = dict[str, dict[str, Counter[str]]]


async def rows(db: Database) -> Counts:
    """What each row says, of all tasks and of each."""
    found: Counts = {}
    for kind, status in stored_counts.STATUS.items():
        found[kind] = {"": Counter(), **{task: Counter() for task in TASKS}}
        for row in await db.find(kind, {"_id": {"$gte": ""}}, "_id_"):
            if GONE_AT not in row:
                found[kind][""][row[status]] += 1
                found[kind][row["task_id"]][row[status]] += 1
    tasks = await db.find(TASK_ROWS, {"_id": {"$gte": ""}}, "_id_", fields=("_id",))
    found[TASK_ROWS] = {"": Counter({stored_counts.THERE: len(tasks)} if tasks else {})}
    return found


async def stored(db: Database) -> Counts | None:
    all = await stored_counts.read(db, None, *stored_counts.KINDS)
    each = await stored_counts.read(db, TASKS, JOBS, EXECUTIONS)
    return None if all is None or each is None else {kind: {**of, **each.get(kind, {})} for kind, of in all.items()}  # type: ignore[dict-item]


async def marked(db: Database) -> int:
    """Rows that are not counted yet."""
    return sum([len(await db.find(kind, {TO_COUNT: True}, "_id_", fields=("_id",))) for kind in stored_counts.KINDS])


async def some(store: MongoStore) -> Job:
    """Jobs of two tasks that have run, wait, or are gone. Returns one that may be deleted."""
    for task, status in (("t", Status.DONE), ("t", Status.FAILED), ("u", Status.STOPPED)):
        await run_and_end(store, await enqueue(store, task), status, 5)
    await enqueue(store, "u")
    gone, over = await made(store, "u"), await made(store, "t", executions=2)
    await delete(store, gone)
    return over


async def die_everywhere(
    store: MongoStore,
    dying: Database,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[], Awaitable[Any]],
    act: Callable[[Any], Awaitable[Any]],
) -> None:
    """Lets ``act`` of another process die before each of its writes, each time after a new ``prepare``. The counts are right at once, and
    still when all is counted."""
    for number in range(60):
        prepared = await prepare()
        with monkeypatch.context() as patched:
            end_at(patched, WRITES, number, unseen=("hours",), of=dying)
            try:
                await act(prepared)
            except Died:
                died = True
            else:
                died = False
        assert await stored(store._db) in (await rows(store._db), None)
        await store.history.count_ends(100)
        await store.history.count_ends(100)
        assert await stored(store._db) == await rows(store._db)
        if not died:
            break
    else:
        raise AssertionError("it never came to its end")
    assert number > 4


async def test_a_count_is_what_the_rows_say_before_and_after_they_are_counted(store: MongoStore, db: Database) -> None:
    assert await stored(db) == await rows(db)
    job = await some(store)
    assert await stored(db) == await rows(db)
    assert await marked(db) > 4
    await store.history.count_ends(100)
    assert await stored(db) == await rows(db)
    assert await marked(db) == 2, "what is under way is looked at each time"
    again = await made(store, "u")
    await store.history.count_ends(100)
    assert await store.insert(first_of(again, key="r:2", sequence=2, due=2)[1])
    await delete(store, job)
    assert await stored(db) == await rows(db)
    assert (await rows(db))[JOBS]["u"]["enqueued"] == 2


async def one_more(store: MongoStore) -> Job:
    """A job that has run, and one that may be deleted."""
    await run_and_end(store, await enqueue(store), Status.DONE, 5)
    return await made(store, "u")


async def test_counting_that_ends_at_any_write_counts_each_once(store: MongoStore, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await die_everywhere(store, db, monkeypatch, partial(one_more, store), lambda _: stored_counts.fold(db, 100))


async def test_a_deletion_that_ends_at_any_write_is_counted_once(
    stores: tuple[MongoStore, MongoStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, dying = stores

    async def prepare() -> Job:
        job = await made(store, "u")
        await store.history.count_ends(100)
        return job

    await die_everywhere(store, dying._db, monkeypatch, prepare, partial(delete, dying))


async def task_of_its_own(store: MongoStore) -> None:
    """A task without jobs."""
    await delete(store, await made(store, "w"))
    assert await store.history.count_ends(100)


@pytest.mark.parametrize("deletion", [lambda db: delete_task(db, "w"), lambda db: delete_empty_tasks(db, ["w", "t"])], ids=["one", "some"])
async def test_a_task_is_counted_until_it_is_deleted_whatever_write_a_process_ends_at(
    stores: tuple[MongoStore, MongoStore], monkeypatch: pytest.MonkeyPatch, deletion: Callable[[Database], Awaitable[object]]
) -> None:
    store, dying = stores
    await enqueue(store, "t")
    await die_everywhere(store, dying._db, monkeypatch, partial(task_of_its_own, store), lambda _: deletion(dying._db))
    assert (await store.counts()).tasks == 1


async def test_a_task_that_gets_a_job_while_it_is_deleted_stays_and_is_counted(
    stores: tuple[MongoStore, MongoStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, deleting = stores
    await task_of_its_own(store)
    real, revived = Database.update, list[str]()

    async def revive(self: Database, collection: str, id: str, condition: Any, change: Any, *more: Any) -> bool:
        if self is deleting._db and id == stored_counts.HEAD and not revived:
            revived.append((await made(store, "w")).id)
        return await real(self, collection, id, condition, change, *more)

    monkeypatch.setattr(Database, "update", revive)
    await delete_task(deleting._db, "w")
    assert revived
    assert await store.task("w") is not None
    assert await stored(store._db) == await rows(store._db)
    await store.history.count_ends(100)
    assert await stored(store._db) == await rows(store._db)


async def test_an_old_batch_does_not_count_a_task_that_was_made_again(
    store: MongoStore, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that slept within the batch goes on with it after the task was deleted and made again."""
    await made(store, "w")
    slept, real = list[Any](), stored_counts._carry_out

    async def carry_out(self: Database, head: Any) -> int:
        slept.append(head)
        return await real(self, head)

    with monkeypatch.context() as patched:
        patched.setattr(stored_counts, "_carry_out", carry_out)
        await store.history.count_ends(100)
    (job,) = [row["_id"] for row in await db.find(JOBS, {"task_id": "w"}, "jobs_of_task", fields=("_id",))]
    found = await store.job(job)
    assert found is not None
    await delete(store, found)
    assert await store.delete_task("w")
    await made(store, "w")
    assert any(batch[TASK_ROWS] for batch in slept)
    for batch in slept:
        await real(db, batch)
    assert await stored(db) == await rows(db)
    await store.history.count_ends(100)
    assert await stored(db) == await rows(db)


async def test_retention_is_counted(store: MongoStore, db: Database) -> None:
    jobs = [await one_more(store) for _ in range(3)]
    await store.history.count_ends(100)
    found = await store.retention.histories_of([job.id for job in jobs])
    swept = await store.retention.delete_over([(job, 2**50) for job in found], 2**50)
    assert len(swept.jobs) == 3
    assert await stored(db) == await rows(db)
    await store.history.count_ends(100)
    assert await stored(db) == await rows(db)
    assert await marked(db) == 0


async def test_counting_anew_that_ends_at_any_write_is_begun_again(
    store: MongoStore, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_more(store)

    async def older_writes() -> None:
        await db.upsert(META, VERSION, {"$inc": {"commits": 1}})

    await die_everywhere(store, db, monkeypatch, older_writes, lambda _: stored_counts.recount(db))


async def test_two_that_count_at_once_count_each_once(stores: tuple[MongoStore, MongoStore], db: Database) -> None:
    one, other = stores
    jobs = [await one_more(one) for _ in range(4)]
    acts = [one.history.count_ends(3), other.history.count_ends(100), *(delete(other, job) for job in jobs[:2]), one_more(one)]
    await asyncio.gather(*acts)
    assert await stored(db) == await rows(db)
    await asyncio.gather(one.history.count_ends(100), other.history.count_ends(100))
    assert await stored(db) == await rows(db)


async def test_a_read_that_a_batch_overtakes_begins_anew(
    stores: tuple[MongoStore, MongoStore], db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = stores
    await one_more(store)
    await stored(db)
    real, overtaken = Database.with_ids, list[int]()

    async def overtake(self: Database, collection: str, *arguments: Any, **named: Any) -> Any:
        if self is db and collection == META and not overtaken:
            overtaken.append(1)
            await store.history.count_ends(100)
        return await real(self, collection, *arguments, **named)

    monkeypatch.setattr(Database, "with_ids", overtake)
    assert await stored(db) == await rows(db)
    assert overtaken
    assert await marked(db) == 0


async def test_what_an_older_fastlane_writes_is_counted_by_walking_until_it_stands_still(store: MongoStore, db: Database) -> None:
    """It marks nothing, and counts its commits alone."""
    job = await one_more(store)
    await store.history.count_ends(100)
    await db.update(JOBS, job.id, {}, {"$set": {"job_status": "paused"}})
    await db.delete(EXECUTIONS, {"job_id": job.id, "_id": {"$gte": ""}})
    await db.update(META, VERSION, {}, {"$inc": {"commits": 1}})
    assert await stored(db) is None
    before = await store.counts()
    assert (before.jobs, before.executions[Status.DONE]) == (2, 1)
    await store.history.count_ends(100)
    assert await stored(db) is None, "it may still write"
    await store.history.count_ends(100)
    assert await stored(db) == await rows(db)
    assert await store.counts() == before
    assert await store.jobs_by_status() == {"done": 1, "paused": 1}
