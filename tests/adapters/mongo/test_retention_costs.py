"""What retention costs on MongoDB in commands, which go over the network: they grow by batches of jobs, and not by jobs, tasks or what else
is stored. So a job goes with a tenth of a command, and was made, started and ended by some seventeen."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fastlane.clock import SystemClock
from fastlane.models.retention import Retention
from fastlane.models.status import Status
from fastlane.scheduler.pruner import PAGE, Pruner, RetentionRules
from fastlane.storage.mongo import commits
from fastlane.storage.mongo.database import Database
from fastlane.storage.mongo.rows import EXECUTIONS, JOBS, META, TASKS, TICKS, UNCOUNTED
from fastlane.storage.mongo.store import MongoStore
from tests.support.factories import first_of, new_job
from tests.support.recorded_calls import recorded_commands
from tests.support.waiting import LONG_PATIENCE

RULES = RetentionRules(Retention(jobs=60_000))
OF_A_BATCH, OF_A_ROUND = 18, 30
"""The most commands for a batch of jobs, and for a round beside them."""


@pytest.fixture(autouse=True)
def _no_search_for_intents(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a store asks every two seconds depends on how long the test takes."""
    monkeypatch.setattr(commits, "ROUND", 3_600.0)


async def fill(store: MongoStore, db: Database, count: int, tasks: int) -> None:
    """Stores so many jobs of ``tasks`` tasks that ran and ended long ago: copies of one that is made as any other."""
    await db.delete(JOBS, {"_id": {"$gte": ""}})  # the tombstones of another round
    job = new_job("original", now=1_000)
    tick, execution = first_of(job)
    await store.create(job, tick, replace(execution, epoch=1, status=Status.DONE, finished_at=2_000, settled=True, cleaned=True))
    await store.executions_of(job.id, 1)  # its commit is whole then
    rows = {name: await db.find(name, {"_id": {"$gte": ""}}, "_id_") for name in (TASKS, JOBS, TICKS, EXECUTIONS)}
    (made,), (ended,), (ledger,) = rows[JOBS], rows[EXECUTIONS], rows[TICKS]
    (task,) = rows[TASKS]
    del ended[UNCOUNTED]
    for name in rows:
        await db.delete(name, {"_id": {"$gte": ""}})

    def copy(row: dict[str, Any], number: int) -> dict[str, Any]:
        ids = {key: f"{row[key]}-{number:04}" for key in ("_id", "job_id", "tick_id", "execution_id") if key in row}
        return row | ids | ({"task_id": f"task-{number % tasks}"} if "task_id" in row else {})

    await db.insert_missing(TASKS, [task | {"_id": f"task-{number}"} for number in range(tasks)])
    for start in range(0, count, 100):
        numbers = range(start, min(count, start + 100))
        for name, row in ((TICKS, ledger), (EXECUTIONS, ended), (JOBS, made)):
            await db.insert_missing(name, [copy(row, number) for number in numbers])


async def commands_of_a_round(mongo_url: str, db: Database, count: int, tasks: int) -> int:
    """How many commands it takes a worker's round to delete so many jobs of so many tasks."""
    with recorded_commands() as commands:
        store = MongoStore(mongo_url, deadline=LONG_PATIENCE)
        await store.open()
        try:
            await fill(store, db, count, tasks)
            while await store.history.count_ends(PAGE):  # as a worker did when they had ended
                pass
            pruner = Pruner(store, SystemClock(), (), RULES)
            commands.clear()
            await pruner.prune()
            made = sum(found[verb] != META for verb, found in commands)
        finally:
            await store.close()
    left = (db.find(name, {"_id": {"$gte": ""}}, "_id_", fields=("_id",)) for name in (TICKS, EXECUTIONS, TASKS))
    assert await asyncio.gather(*left) == [[], [], []]
    assert await db.find(JOBS, {"task_id": {"$gte": ""}}, "jobs_of_task", fields=("_id",)) == []
    return made


async def check(mongo_url: str, db: Database, counts: list[int], tasks: int) -> None:
    """The first batch of all, which finds how late the jobs are, has 50; then a page is one."""
    made = {count: await commands_of_a_round(mongo_url, db, count, min(count, tasks)) for count in counts}
    allowed = {count: OF_A_ROUND + OF_A_BATCH * (1 + -(-count // PAGE)) for count in counts}
    assert {count: commands for count, commands in made.items() if commands > allowed[count]} == {}


async def test_commands_grow_by_batches_of_jobs(mongo_url: str, db: Database) -> None:
    await check(mongo_url, db, [100, 200], 100)


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.parametrize("tasks", [3, 500])
async def test_commands_grow_by_batches_at_any_size(mongo_url: str, db: Database, tasks: int) -> None:
    await check(mongo_url, db, [100, 500, 1_000], tasks)
