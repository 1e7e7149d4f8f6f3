"""What leaves a stored status behind on MongoDB, and who puts it right."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from fastlane.models import transitions
from fastlane.models.job import Ending, Execution, Job, LateJob, Spec
from fastlane.models.paging import Window
from fastlane.models.status import Status
from fastlane.models.tick import next_execution
from fastlane.storage.base import Deletion, Store
from fastlane.storage.mongo import commits
from fastlane.storage.mongo.database import Database
from fastlane.storage.mongo.migration import SCHEMA
from fastlane.storage.mongo.rows import EXECUTIONS, JOBS, LATE, META
from fastlane.storage.mongo.store import MongoStore
from tests.adapters.mongo.overtaking import once
from tests.contract.statuses import ruled_statuses, stored_statuses
from tests.support.factories import first_of, new, new_job
from tests.support.recorded_calls import recorded_commands
from tests.support.waiting import PATIENCE, until

Write = Callable[[Store, Job, Execution], Awaitable[object]]

NEWER = {"job_status", "status_revision"}
"""Fields that an older fastlane does not write."""


async def ended(store: Store, job: Job, execution: Execution) -> object:
    claimed = await store.change(transitions.claim(execution, host="h", pool="p", now=1))
    assert claimed is not None
    return await store.change(transitions.give_up(claimed, Ending(Status.FAILED, 5)))


CHANGES: dict[str, Write] = {
    "claim": lambda store, job, one: store.claim(one.id, lambda row: transitions.claim(row, host="h", pool="p", now=1)),
    "change": ended,
    "insert": lambda store, job, one: store.insert(replace(next_execution(one, due=1, now=1), status=Status.RUNNING)),
    "discard": lambda store, job, one: store.discard(one),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_process_that_ends_before_the_status_follows_leaves_it_to_the_reconciler(
    stores: tuple[MongoStore, MongoStore], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        """The process has ended."""

    one, other = stores
    job, tick, execution = new("t")
    for step in ("follow", "show_claim", "follow_claim", "follow_change"):
        monkeypatch.setattr(one._rows.statuses, step, never)  # before what goes on behind the creation's answer, too
    await one.create(job, tick, execution)
    await CHANGES[name](one, job, execution)
    assert await stored_statuses(other) == {job.id: "enqueued"} != await ruled_statuses(other)
    walk = await other.walk_statuses(1, "~", 10)  # whichever page of all jobs it is at
    assert (walk.after, walk.repaired) == (None, 1)
    assert await stored_statuses(other) == await ruled_statuses(other)


def kill_after_a_change(act: str, url: str, execution_id: str) -> None:
    command = [sys.executable, "-m", "tests.adapters.mongo.child", act, url, execution_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "changed\n"
        process.kill()


KILLED_AT = {
    "claim": ("enqueued", "pulling"),
    "show": ("pulling", "enqueued"),
    "end": ("pulling", "failed"),
    "insert": ("failed", "enqueued"),
}
"""What is stored when the process is killed, and what follows from the executions."""


@pytest.mark.parametrize("act", KILLED_AT)
async def test_a_process_that_is_killed_between_a_change_and_the_status_leaves_it_to_the_reconciler(
    store: MongoStore, mongo_url: str, act: str
) -> None:
    job, tick, execution = new("t")
    await store.create(job, tick, replace(execution, status=Status.FAILED) if act == "insert" else execution)
    await asyncio.to_thread(kill_after_a_change, act, mongo_url, execution.id)
    stored, ruled = KILLED_AT[act]
    assert (await stored_statuses(store), await ruled_statuses(store)) == ({job.id: stored}, {job.id: ruled})
    assert (await store.walk_statuses(1, "", 10)).repaired == 1
    assert await stored_statuses(store) == {job.id: ruled}


async def test_a_claim_whose_status_comes_late_is_put_right_when_its_worker_is_refused(
    stores: tuple[MongoStore, MongoStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile the execution has failed elsewhere, and the next attempt waits, so the job looks as it did before the claim."""
    one, other = stores
    job, tick, execution = new("t")
    await one.create(job, tick, execution)

    async def claimed_row() -> Execution | None:
        row = await other.execution(execution.id)
        return row if row is not None and row.status is Status.PULLING else None

    async def sleep() -> None:
        row = await until(claimed_row, "the claim")
        assert row is not None
        taken = await other.change(transitions.take_over(row))
        assert taken is not None
        failed = await other.change(transitions.give_up(taken, Ending(Status.FAILED, 5)))
        assert failed is not None
        assert await other.insert(next_execution(failed, due=1, now=1))

    monkeypatch.setattr(Database, "change", once(sleep, Database.change, before=True))
    claimed = await one.claim(execution.id, lambda row: transitions.claim(row, host="h", pool="p", now=1))
    assert claimed is not None
    assert await stored_statuses(other) == {job.id: "pulling"}
    assert await one.change(transitions.give_up(claimed.execution, Ending(Status.FAILED, 9))) is None
    assert await stored_statuses(other) == await ruled_statuses(other) == {job.id: "enqueued"}


@pytest.mark.parametrize("number", [1, 2])
async def test_the_end_of_a_claimed_execution_gives_way_to_what_another_process_changed(
    stores: tuple[MongoStore, MongoStore], number: int
) -> None:
    """The claim has kept the job's row, which is no longer the stored one. ``number``: of its ticks, the one that runs."""
    one, other = stores
    job, tick, execution = new("t")
    await one.create(job, tick, execution)
    if number == 2:
        later, execution = first_of(job, key="r:2", sequence=2)
        assert await one.advance(job, replace(job, sequence=2), [later], execution)
        job = replace(job, sequence=2)
    claimed = await one.claim(execution.id, lambda row: transitions.claim(row, host="h", pool="p", now=1))
    assert claimed is not None
    assert await stored_statuses(other) == {job.id: "pulling"}
    assert await other.advance(job, replace(job, revision=2, next_tick=9), [], None)
    assert await one.change(transitions.give_up(claimed.execution, Ending(Status.FAILED, 5)))
    assert await stored_statuses(other) == await ruled_statuses(other)


async def test_the_end_of_a_claimed_execution_shows_another_that_still_runs(stores: tuple[MongoStore, MongoStore]) -> None:
    one, other = stores
    job, tick, execution = new("t")
    await one.create(job, tick, replace(execution, status=Status.RUNNING))
    later, second = first_of(job, key="r:2", sequence=2)
    assert await one.advance(job, replace(job, sequence=2), [later], second)
    claimed = await one.claim(second.id, lambda row: transitions.claim(row, host="h", pool="p", now=1))
    assert claimed is None or await one.change(transitions.give_up(claimed.execution, Ending(Status.FAILED, 5)))
    assert await stored_statuses(other) == await ruled_statuses(other) == {job.id: "running"}


async def test_the_walk_through_all_jobs_finds_a_status_that_nothing_else_tells_of(store: MongoStore, db: Database) -> None:
    job, tick, execution = new("t")
    await store.create(job, tick, replace(execution, status=Status.DONE))
    await db.update(JOBS, job.id, {}, {"$set": {"job_status": "failed"}})
    assert (await store.walk_statuses(1, job.id, 10)).repaired == 0
    assert (await store.walk_statuses(1, "", 10)).repaired == 1
    assert await stored_statuses(store) == {job.id: "done"}


async def test_a_writer_that_sleeps_between_its_reads_and_its_write_finds_the_status_written_meanwhile(
    stores: tuple[MongoStore, MongoStore], db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = stores
    job, tick, execution = new("t")
    await one.create(job, tick, execution)
    write, slept = commits.store, list[bool]()

    async def sleep(db: Database, row: dict[str, object], status: str) -> bool:
        if not slept:
            slept.append(True)
            await ended(other, job, execution)
        return await write(db, row, status)  # type: ignore[arg-type]

    monkeypatch.setattr(commits, "store", sleep)
    await commits.write(db, job.id)
    assert slept
    assert await stored_statuses(one) == {job.id: "failed"}


async def test_a_status_is_not_written_to_a_job_that_was_made_anew_under_the_id_meanwhile(
    stores: tuple[MongoStore, MongoStore], db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = stores
    job = new_job("t", sequence=0)
    again = replace(job, incarnation="another", sequence=1)
    await one.create(job, None, None)

    async def make_again() -> None:
        assert await other.delete_job(job.id, job.incarnation, 9) is Deletion.DONE
        await other.create(again, *first_of(again))

    monkeypatch.setattr(commits, "_latest", once(make_again, commits._latest, before=False))
    await commits.write(db, job.id)
    assert await stored_statuses(other) == await ruled_statuses(other) == {job.id: "enqueued"}


async def test_jobs_that_an_older_fastlane_wrote_back_have_their_status_in_lists_at_once(store: MongoStore, db: Database) -> None:
    made = [new("t") for _ in range(3)]
    for one in made:
        await store.create(*one)
    for job, *_ in made[:2]:
        row = await db.one(JOBS, job.id)
        assert row is not None
        await db.replace(JOBS, job.id, {}, {name: value for name, value in row.items() if name not in NEWER})
    assert (await store.jobs_by_status("other"), await store.jobs_by_status("t")) == ({}, {"enqueued": 3})
    for job, *_ in made[:2]:
        await db.update(JOBS, job.id, {}, {"$unset": dict.fromkeys(NEWER, "")})
    assert await store.jobs_by_status() == {"enqueued": 3}
    assert (await store.list_jobs("t", Window(1, 10), statuses=frozenset({"enqueued"}))).total == 3


async def test_an_execution_that_cannot_be_read_gives_way_to_the_next_under_way(store: MongoStore, db: Database) -> None:
    jobs = [new("t") for _ in range(2)]
    made = []
    for job, tick, execution in jobs:
        await store.create(job, tick, execution)
        made.append([execution])
        for number in range(2, 7):
            later, another = first_of(job, key=f"r:{number}", sequence=number)
            assert await store.advance(replace(job, sequence=number - 1), replace(job, sequence=number), [later], another)
            made[-1].append(another)
    for execution, damage in zip(made[0][2:], ({"spec": "{"}, {"spec": "[]"}, {"status": "lost"}, {"spec": ""}), strict=True):
        assert await db.update(EXECUTIONS, execution.id, {}, {"$set": damage})
    ids = [job.id for job, *_ in jobs]
    assert await store.latest(ids) == dict(zip(ids, (made[0][1], made[1][-1]), strict=True))
    assert len((await store.list_jobs("t", Window(1, 10))).rows) == 2


async def test_a_job_that_is_advanced_keeps_the_status_until_the_new_one_follows(store: MongoStore, db: Database) -> None:
    job, tick, execution = new("t")
    await store.create(job, tick, execution)
    before = await db.one(JOBS, job.id)
    later, again = first_of(job, key="r:2", sequence=2)
    assert await store.advance(job, replace(job, sequence=2, check_at=9), [later], again)
    after = await db.one(JOBS, job.id)
    assert before is not None
    assert after is not None
    assert after["status_revision"] == before["status_revision"] + 1
    assert await store.advance(replace(job, sequence=2, check_at=9), replace(job, sequence=3), [], None)
    assert await store.jobs_to_check(99, 9) == []


async def test_a_database_of_the_version_before_gets_the_statuses_of_all_its_jobs(mongo_url: str, db: Database) -> None:
    store = MongoStore(mongo_url, deadline=PATIENCE)
    await store.open()
    for status in (Status.DONE, Status.RUNNING, None):
        job, tick, execution = new("t")
        await store.create(job, *((tick, replace(execution, status=status)) if status else (None, None)))
        await db.update(JOBS, job.id, {}, {"$unset": dict.fromkeys(NEWER, "")})
    await store.close()
    await db.update(META, SCHEMA, {}, {"$set": {"version": 7}})
    again = MongoStore(mongo_url, deadline=PATIENCE)
    await again.open()
    rows = await db.with_ids(JOBS, list(await ruled_statuses(again)))
    await again.close()
    assert sorted(row["job_status"] for row in rows.values()) == ["done", "expired", "running"]


async def test_late_jobs_of_an_older_fastlane_are_found_after_the_migration_and_after_the_walk(mongo_url: str, db: Database) -> None:
    store = MongoStore(mongo_url, deadline=PATIENCE)
    await store.open()
    spec = Spec("ubuntu", name="nightly", expect_every=60_000)
    jobs = [new_job("t", spec=spec, late_since=5), new_job("t", spec=spec, late_since=5, stop_sequence=1), new_job("t", spec=spec)]
    for job in jobs:
        await store.create(job, None, None)
    await store.close()
    before = {"$unset": {LATE: "", "name": "", "expect_every": ""}}
    for job in jobs:
        await db.update(JOBS, job.id, {}, before)
    await db.update(META, SCHEMA, {}, {"$set": {"version": 8}})
    again = MongoStore(mongo_url, deadline=PATIENCE)
    await again.open()
    assert await again.late_jobs(10) == [LateJob(jobs[0].id, "t", 5, 60_000, "nightly")]
    await db.update(JOBS, jobs[0].id, {}, before)
    await db.update(JOBS, jobs[1].id, {}, {"$set": {LATE: True}})
    assert [job.id for job in await again.late_jobs(10)] == [jobs[1].id]
    await again.walk_statuses(1, "", 10)
    assert [job.id for job in await again.late_jobs(10)] == [jobs[0].id]
    await again.close()


async def test_late_jobs_are_read_without_their_specs(mongo_url: str) -> None:
    with recorded_commands() as commands:
        store = MongoStore(mongo_url, deadline=PATIENCE)
        await store.open()
    job = new_job("t", spec=Spec("ubuntu", name="nightly", expect_every=60_000, envs={"A": "x" * 1_000}), late_since=5)
    await store.create(job, None, None)
    commands.clear()
    assert await store.late_jobs(10) == [LateJob(job.id, "t", 5, 60_000, "nightly")]
    read = [command for name, command in commands if name == "find" and command.get("hint") == "jobs_late"]
    await store.close()
    assert [sorted(command["projection"]) for command in read] == [["_id", "done_by", "expect_every", "late_since", "name", "task_id"]]
