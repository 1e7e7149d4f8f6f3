"""A step of retention on MongoDB that ends between any two of its writes: what is left is whole, and the next step completes it."""

from dataclasses import replace
from typing import Any

import pytest

from fastlane.models.retention import Cuts
from fastlane.models.status import Status
from fastlane.storage.mongo import store as stores
from fastlane.storage.mongo.commits import carry_out, complete
from fastlane.storage.mongo.database import Database
from fastlane.storage.mongo.store import MongoStore
from tests.adapters.mongo.ending import end_at
from tests.contract.test_store_retention import history_of, made, prune, sequences
from tests.support.factories import first_of
from tests.support.intercept import Died
from tests.support.ledger import count_ticks, ticks_of

WRITES = ("update", "delete", "upsert")


async def test_a_step_that_ends_at_any_write_leaves_whole_executions_and_is_completed(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts, ended = Cuts(max_executions=2), 0
    for number in range(50):
        job = await made(store, 6, chunks=2)
        with monkeypatch.context() as patched:
            end_at(patched, WRITES, number)
            try:
                await store.retention.prune(await history_of(store, job), cuts)
            except Died:
                ended += 1
        left = await sequences(store, job)
        assert left == list(range(7 - len(left), 7))
        stored = await store.job(job.id)
        assert stored is not None
        assert stored.floor in (0, 4)
        assert stored.floor == 4 or len(left) == 6
        await prune(store, job, cuts)
        assert (await sequences(store, job), await count_ticks(store, job.id)) == ([5, 6], 2)
        assert [tick.due for tick in await ticks_of(store, job.id)] == [6, 5]
        assert await store.delete_job(job.id, job.incarnation, 9) == "done"
        if ended == number:
            assert number > 5
            return
    raise AssertionError("it never came to its end")


async def test_jobs_that_go_together_and_end_at_any_write_go_the_next_time(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        jobs = [await made(store, 1, chunks=2), await made(store, 2)]
        seen = [(await history_of(store, job), 1_000) for job in jobs]
        with monkeypatch.context() as patched:
            end_at(patched, (*WRITES, "write_each", "update_all", "insert_missing"), number)
            try:
                died = not await store.retention.delete_over(seen, 2_000)
            except Died:
                died = True
        for job in jobs:
            stored = await store.job(job.id)
            assert stored is None or stored.floor in (0, job.sequence)
            assert stored is None or stored.floor == job.sequence or len(await sequences(store, job)) == job.sequence
        await store.retention.delete_over(seen, 2_000)
        for job in jobs:
            assert await store.job(job.id) is None
            assert (await sequences(store, job), await count_ticks(store, job.id)) == ([], 0)
        if not died:
            assert number > 5
            return
    raise AssertionError("it never came to its end")


async def test_a_late_completion_of_a_commit_takes_away_nothing_after_a_prune(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process reads an intent and sleeps. Another completes it, and history is pruned, which raises the job's floor."""
    job = await made(store, 3)
    after = replace(job, sequence=4)
    tick, execution = first_of(after, key="r:4", sequence=4)
    held: list[tuple[Database, dict[str, Any]]] = []

    async def hold(db: Database, row: dict[str, Any]) -> str | None:
        held.append((db, row))
        return await carry_out(db, row)

    monkeypatch.setattr("fastlane.storage.mongo.commits.carry_out", hold)
    assert await store.advance(job, after, [tick], execution)
    assert (await prune(store, after, Cuts(executions=3))).executions == 2
    ((db, row),) = held
    await complete(db, row)
    stored = await store.execution(execution.id)
    assert stored is not None
    assert stored.status is Status.ENQUEUED
    assert stored.belongs_to(await store.job(job.id))  # type: ignore[arg-type]


async def test_a_job_that_runs_again_while_its_history_goes_stays(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    job, other = await made(store, 1), await made(store, 1)
    seen = [(await history_of(store, one), 1_000) for one in (job, other)]
    delete = stores._delete_parts

    async def overtaken(*arguments: Any) -> None:
        await delete(*arguments)
        stored = await store.job(job.id)
        assert stored is not None
        tick, execution = first_of(job, key="r:2", sequence=2)
        assert await store.advance(stored, replace(stored, sequence=2), [tick], execution)

    monkeypatch.setattr(stores, "_delete_parts", overtaken)
    swept = await store.retention.delete_over(seen, 2_000)
    assert (swept.jobs, swept.executions) == ({other.id}, 1)
    assert (await sequences(store, job), await store.job(other.id)) == ([2], None)
