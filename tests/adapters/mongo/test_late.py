"""Intents that several processes carry out at once, and processes that sleep in the middle of it, while the job goes on without them."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fastlane.models import transitions
from fastlane.models.job import Ending, Job, Task
from fastlane.models.paging import Wanted, Window
from fastlane.models.status import Status
from fastlane.storage.base import Deletion
from fastlane.storage.mongo import commits, jobs as executions
from fastlane.storage.mongo.commits import complete
from fastlane.storage.mongo.database import Database, Document
from fastlane.storage.mongo.jobs import CommittedRows
from fastlane.storage.mongo.rows import EXECUTIONS, JOBS, TASKS, TICKS
from fastlane.storage.mongo.store import MongoStore
from tests.adapters.mongo.ending import commit_alone
from tests.adapters.mongo.overtaking import once
from tests.support.factories import first_of, new, new_job
from tests.support.intercept import Died
from tests.support.ledger import count_executions, count_ticks
from tests.support.waiting import until

Stores = tuple[MongoStore, MongoStore]


async def committed(db: Database, task_id: str = "t") -> tuple[Job, Document]:
    """A commit by a process that carried nothing out, and ended some seconds ago: the job, and its row as that process has it."""
    made = new(task_id)
    row = await commit_alone(db, *made)
    assert await db.update(JOBS, made[0].id, {}, {"$inc": {"intent.made_at": -10_000}})
    return made[0], row


async def ended(store: MongoStore, job: Job) -> None:
    """Ends what the job runs."""
    for execution in await store.executions_of(job.id, 10):
        pulling = await store.change(transitions.claim(execution, host="h", pool="p", now=1))
        assert pulling is not None
        assert await store.change(transitions.give_up(pulling, Ending(Status.FAILED, 2)))
        assert await store.change(transitions.settle(execution))


async def deleted(store: MongoStore, job: Job) -> None:
    """Ends what the job runs, and deletes it with its task."""
    await ended(store, job)
    assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.DONE
    assert await store.delete_task(job.task_id)


async def test_an_intent_that_many_carry_out_at_once_is_carried_out_once(stores: Stores, db: Database) -> None:
    job, row = await committed(db)
    await asyncio.gather(*(complete(db, row) for _ in range(6)), stores[0].counts(), stores[1].list_ticks(job.id, Window(1, 10)))
    assert (await count_ticks(stores[0], job.id), await count_executions(stores[0], job.id)) == (1, 1)
    task = await stores[0].task("t")
    assert task is not None
    assert task.jobs_count == 1


async def test_of_two_commits_from_the_same_row_the_second_finds_the_job_changed(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both give the same ids. The first comes between the second's look at the job and the one at these ids."""
    job = new_job("t", at=5_000, sequence=0)
    await stores[0].create(job, None, None)
    tick, execution = first_of(job, key="r:1", sequence=1)
    look, is_first, first_is_done = commits.current, [True], asyncio.Event()
    look_at_ids = commits._is_taken

    async def before(db: Database, job_id: str) -> Document | None:
        row = await look(db, job_id)
        if is_first.pop() if is_first else False:
            assert await stores[1].advance(job, replace(job, sequence=1), [tick], execution)
            first_is_done.set()
        return row

    async def after(db: Database, effects: Any) -> bool:
        if not is_first:
            return await look_at_ids(db, effects)
        await first_is_done.wait()
        return await look_at_ids(db, effects)

    monkeypatch.setattr(commits, "current", before)
    monkeypatch.setattr(commits, "_is_taken", after)
    assert not await stores[0].advance(job, replace(job, sequence=1), [tick], execution)
    assert await count_executions(stores[1], job.id) == 1


@pytest.mark.parametrize(
    "read",
    [
        lambda store, job: store.executions_of(job.id, 10),
        lambda store, job: store.latest([job.id]),
        lambda store, job: store.unfinished("t", job.id, 10),
        lambda store, job: store.under_way_of("t", job.id),
        lambda store, job: store.open_jobs("t", 10),
        lambda store, job: store.executions_in(frozenset({Status.ENQUEUED}), 10),
        lambda store, job: store.execution(first_of(job)[1].id),
        lambda store, job: store.task("t"),
    ],
)
async def test_every_read_sees_what_was_committed_by_a_process_that_died(stores: Stores, db: Database, read) -> None:  # type: ignore[no-untyped-def]
    job, _ = await committed(db)
    assert await read(stores[0], job)
    assert (await stores[1].list_executions(Wanted(), Window(1, 10))).total == 1


async def test_a_read_finds_what_another_carries_out_amid_it(stores: Stores, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks before, and looks for the intent after."""
    job, row = await committed(db)
    look = executions.complete_pending
    monkeypatch.setattr(executions, "complete_pending", once(lambda: complete(db, row), look, before=True))
    assert await stores[0].execution(first_of(job)[1].id)


async def test_what_was_left_behind_is_carried_out_without_any_read(mongo_url: str, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "ROUND", 0.05)
    store = MongoStore(mongo_url)
    await store.open()
    job, _ = await committed(db)

    async def carried_out() -> bool:
        row = await db.one("jobs", job.id)
        return row is not None and row["intent"] is None

    await until(carried_out, "the intent to be carried out")
    assert await db.one(EXECUTIONS, first_of(job)[1].id)
    await store.close()


async def test_a_process_that_wakes_leaves_the_intent_of_the_next_commit_to_be_carried_out(stores: Stores, db: Database) -> None:
    job, row = await committed(db)
    await complete(db, row)
    tick, execution = first_of(job, key="r:2", sequence=2)
    await commit_alone(db, replace(job, sequence=2), tick, execution, seen=job)
    await complete(db, row)
    assert execution in await stores[0].executions_of(job.id, 10)


async def test_a_process_that_wakes_while_the_job_is_deleted_brings_nothing_back(
    stores: Stores, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: Any) -> bool:
        raise Died

    job, row = await committed(db)
    await complete(db, row)
    await ended(stores[0], job)
    monkeypatch.setattr(CommittedRows, "commit", die)
    with pytest.raises(Died):  # before the job itself goes
        await stores[0].delete_job(job.id, job.incarnation, 9)
    await complete(db, row)
    tick, execution = first_of(job)
    assert [await db.one(*key) for key in ((TICKS, tick.id), (EXECUTIONS, execution.id))] == [None, None]
    assert await stores[1].job(job.id) == replace(job, floor=job.sequence)


async def test_a_process_that_wakes_leaves_a_task_that_was_kept_without_its_job(stores: Stores, db: Database) -> None:
    job, row = await committed(db)
    await complete(db, row)
    await ended(stores[0], job)
    assert await stores[0].delete_job(job.id, job.incarnation, 9) is Deletion.DONE
    await complete(db, row)
    assert await stores[1].task("t") == Task("t", job.created_at, job.created_at, 0)


async def test_a_process_that_wakes_leaves_a_task_that_somebody_has_used_since(
    stores: Stores, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes the task again in vain; before it takes that back, a job comes there and is deleted: a task stays without its last job."""
    job, row = await committed(db)
    await complete(db, row)
    await deleted(stores[0], job)
    other = new_job("t", sequence=0)

    async def use() -> None:
        await stores[1].create(other, None, None)
        assert await stores[1].delete_job(other.id, other.incarnation, 9) is Deletion.DONE

    monkeypatch.setattr(commits, "_undo_if_late", once(use, commits._undo_if_late, before=True))
    await complete(db, row)
    task = await stores[1].task("t")
    assert task is not None
    assert task.jobs_count == 0


async def test_an_execution_that_comes_back_late_and_is_claimed_at_once_is_left_to_its_worker(
    stores: Stores, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker finds that it belongs to no job, and may have parked a service for it meanwhile."""
    job, row = await committed(db)
    await complete(db, row)
    await deleted(stores[0], job)
    execution = first_of(job)[1]
    claim = transitions.claim(execution, host="h", pool="p", now=1)
    monkeypatch.setattr(commits, "_undo_if_late", once(lambda: stores[1].change(claim), commits._undo_if_late, before=True))
    await complete(db, row)
    left = await db.one(EXECUTIONS, execution.id)
    assert left is not None
    assert left["epoch"] == 1


async def test_a_process_that_wakes_after_the_job_was_deleted_leaves_nothing(stores: Stores, db: Database) -> None:
    job, row = await committed(db)
    await complete(db, row)
    await deleted(stores[0], job)
    await complete(db, row)
    tick, execution = first_of(job)
    assert [await db.one(*key) for key in ((TICKS, tick.id), (EXECUTIONS, execution.id), (TASKS, "t"))] == [None] * 3
    assert (await stores[1].counts()).tasks == 0


async def test_a_process_that_wakes_after_the_job_was_made_again_leaves_the_new_one_alone(stores: Stores, db: Database) -> None:
    job, row = await committed(db)
    await complete(db, row)
    await deleted(stores[0], job)
    again = replace(job, incarnation="another")
    tick, execution = first_of(again)
    await stores[0].create(again, tick, execution)
    await complete(db, row)
    assert [one.id for one in (await stores[1].list_ticks(job.id, Window(1, 10))).rows] == [tick.id]
    assert await stores[1].executions_of(job.id, 10) == [execution]
    assert (await stores[1].counts()).tasks == 1
