"""A deletion that another process overtakes between its reading and its writing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fastlane.models import transitions
from fastlane.models.delivery import Receiver
from fastlane.models.host import HostRecord
from fastlane.models.job import Job
from fastlane.models.status import Status
from fastlane.storage import logic
from fastlane.storage.base import Deletion
from fastlane.storage.logic import StoreLogic
from fastlane.storage.mongo import commits, jobs
from fastlane.storage.mongo.database import Database
from fastlane.storage.mongo.jobs import CommittedRows
from fastlane.storage.mongo.rows import EXECUTIONS, TASKS
from fastlane.storage.mongo.store import MongoStore
from tests.adapters.mongo.overtaking import once
from tests.support.factories import first_of, new, new_job
from tests.support.ledger import ticks_of

Stores = tuple[MongoStore, MongoStore]


async def kept(stores: Stores, job: Job, after: Job) -> None:
    """The job is as the other process left it, and its deletion sees what runs."""
    assert await stores[1].job(job.id) == after
    assert await stores[0].delete_job(job.id, job.incarnation, 9) is Deletion.KEPT
    assert len(await stores[1].executions_of(job.id, 10)) == 1


@pytest.mark.parametrize(
    ("owner", "step", "sequence", "answer"),
    [
        (CommittedRows, "catch_up", 0, Deletion.KEPT),
        (StoreLogic, "unfinished", 1, Deletion.KEPT),
        (StoreLogic, "_floored", 0, Deletion.MORE),
    ],
)
async def test_a_job_that_runs_again_amid_its_deletion_is_kept(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, owner: type, step: str, sequence: int, answer: Deletion
) -> None:
    """It runs again after the named step. With a sequence above 0, that is before its floor is raised."""
    job = new_job(sequence=sequence)
    after = replace(job, sequence=sequence + 1)
    await stores[0].create(job, None, None)
    tick, execution = first_of(job, key="r:1", sequence=after.sequence)

    async def run() -> None:
        assert await stores[1].advance(job, after, [tick], execution)

    monkeypatch.setattr(owner, step, once(run, getattr(owner, step), before=False))
    assert await stores[0].delete_job(job.id, job.incarnation, 9) is answer
    await kept(stores, job, after)


@pytest.mark.parametrize(("owner", "step", "before"), [(StoreLogic, "_floored", False), (logic, "delete_executions", True)])
async def test_a_deletion_that_sleeps_deletes_nothing_of_a_job_that_was_made_again_under_its_id(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str, before: bool
) -> None:
    job = new_job(sequence=0)
    again = replace(job, incarnation="another", sequence=1)
    tick, execution = first_of(again)
    await stores[0].create(job, None, None)

    async def make_again() -> None:
        assert await stores[1].delete_job(job.id, job.incarnation, 9) is Deletion.DONE
        await stores[1].create(again, tick, execution)

    monkeypatch.setattr(owner, step, once(make_again, getattr(owner, step), before=before))
    await stores[0].delete_job(job.id, job.incarnation, 9)
    assert await stores[0].delete_job(job.id, job.incarnation, 9) is Deletion.DONE
    assert await stores[1].job(job.id) == again
    assert await stores[1].executions_of(job.id, 10) == [execution]
    assert [row.id for row in await ticks_of(stores[1], job.id, 10)] == [tick.id]


@pytest.mark.parametrize("status", [Status.ENQUEUED, Status.PULLING])
async def test_an_execution_that_is_claimed_as_it_is_discarded_stays(
    stores: Stores, db: Database, monkeypatch: pytest.MonkeyPatch, status: Status
) -> None:
    job, tick, execution = new()
    execution = replace(execution, status=status, epoch=1)
    await stores[0].create(job, tick, execution)

    async def change() -> None:
        await db.update(EXECUTIONS, execution.id, {}, {"$set": {"op": "another", "epoch": 2}})

    monkeypatch.setattr(jobs, "note_deleted", once(change, jobs.note_deleted, before=False))
    assert not await stores[0].discard(execution)
    assert (await stores[1].execution(execution.id)) == replace(execution, epoch=2, op="another")
    assert not await stores[1].was_deleted(execution.id)


async def test_a_job_that_is_deleted_amid_a_list_of_open_jobs_is_left_out(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, left = (new_job("t", at=5_000) for _ in range(2))
    for job in (gone, left):
        await stores[0].create(job, None, None)

    async def delete() -> None:
        assert await stores[1].stop_job(gone.id, 2_000)
        assert await stores[1].delete_job(gone.id, gone.incarnation, 3_000) is Deletion.DONE

    monkeypatch.setattr(StoreLogic, "_bounds", once(delete, StoreLogic._bounds, before=True))
    assert await stores[0].open_jobs("t", 10) == [left]


async def test_a_task_that_gets_a_job_amid_its_deletion_is_kept(stores: Stores, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_job("t", sequence=0)
    await stores[0].create(first, None, None)
    assert await stores[0].delete_job(first.id, first.incarnation, 9) is Deletion.DONE
    second = new_job("t", sequence=0)
    monkeypatch.setattr(commits, "_has_jobs", once(lambda: stores[1].create(second, None, None), commits._has_jobs, before=False))
    assert not await stores[0].delete_task("t")
    task = await stores[1].task("t")
    assert task is not None
    assert task.jobs_count == 1
    row = await db.one(TASKS, "t")
    assert row is not None
    assert "deletion" not in row


async def test_a_task_that_gets_a_job_after_the_last_look_of_its_deletion_is_kept(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_job("t", sequence=0)
    await stores[0].create(first, None, None)
    assert await stores[0].delete_job(first.id, first.incarnation, 9) is Deletion.DONE
    looks, real = [0], commits._has_jobs

    async def look(db: Database, task_id: str) -> bool:
        answer = await real(db, task_id)
        looks[0] += 1
        if looks[0] == 2:
            await stores[1].create(new_job("t", sequence=0), None, None)
        return answer

    monkeypatch.setattr(commits, "_has_jobs", look)
    await stores[0].delete_task("t")
    task = await stores[1].task("t")
    assert task is not None
    assert task.jobs_count == 1


@pytest.mark.parametrize("place", ["before the mark", "before the look", "after the look"])
async def test_a_task_that_gets_a_job_amid_the_deletion_of_many_is_kept(
    stores: Stores, db: Database, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    for task in ("s", "t"):
        job = new_job(task, sequence=0)
        await stores[0].create(job, None, None)
        assert await stores[0].delete_job(job.id, job.incarnation, 9) is Deletion.DONE
    look, mark = commits._without_jobs, db.update_all

    async def reached(now: str) -> None:
        if now == place:
            await stores[1].create(new_job("t", sequence=0), None, None)

    async def looked(db: Database, task_ids: Sequence[str]) -> list[str]:
        await reached("before the look")
        found = await look(db, task_ids)
        await reached("after the look")
        return found

    async def marked(*arguments: Any) -> None:
        await reached("before the mark")
        await mark(*arguments)

    monkeypatch.setattr(commits, "_without_jobs", looked)
    monkeypatch.setattr(db, "update_all", marked)
    await commits.delete_empty_tasks(db, ["s", "t"])
    assert await stores[1].task("s") is None
    task = await stores[1].task("t")
    assert task is not None
    assert task.jobs_count == 1


async def test_tasks_with_many_jobs_hide_no_empty_one(stores: Stores, db: Database) -> None:
    for _ in range(4 * commits.A_FEW_JOBS):
        await stores[0].create(new_job("many", sequence=0), None, None)
    job = new_job("none", sequence=0)
    await stores[0].create(job, None, None)
    assert await stores[0].delete_job(job.id, job.incarnation, 9) is Deletion.DONE
    assert await commits._without_jobs(db, ["many", "none"]) == ["none"]
    assert await commits._without_jobs(db, ["many", "many2"]) == ["many2"]


async def test_a_removed_host_that_comes_back_as_it_is_pruned_is_kept(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    host = HostRecord("h", "a:1")
    removed = host.changed(removed_at=10)
    back = removed.changed(removed_at=None)
    for version in (host, removed):
        assert await stores[0].write_host(version)
    monkeypatch.setattr(Database, "delete", once(lambda: stores[1].write_host(back), Database.delete, before=True))
    await stores[0].prune_hosts(11)
    assert list(await stores[1].hosts()) == [back]


async def test_a_change_that_another_overtakes_is_decided_anew(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    job, tick, execution = new()
    await stores[0].create(job, tick, execution)
    first, second = (transitions.claim(execution, host=host, pool="p", now=1) for host in ("a:1", "b:1"))
    monkeypatch.setattr(Database, "update", once(lambda: stores[1].change(first), Database.update, before=True))
    assert await stores[0].change(second) is None
    stored = await stores[1].execution(execution.id)
    assert stored is not None
    assert stored.host == "a:1"


async def test_a_receiver_that_fails_again_as_old_failures_are_pruned_stays(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Receiver("r", "https://example.com:443", failing_since=5, failed_at=5, error="it said no")
    again = failed.failed("it said no again", 20)
    assert await stores[0].write_receiver(failed)

    async def fail_again() -> None:
        assert await stores[1].write_receiver(again)

    monkeypatch.setattr(Database, "delete", once(fail_again, Database.delete, before=True))
    await stores[0].prune_receivers(9)
    assert await stores[1].receiver("r") == again
