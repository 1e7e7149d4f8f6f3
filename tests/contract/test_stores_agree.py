"""Both stores answer the same to the same history, whatever it is: each call's answer, and everything that can be read after it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastlane.errors import FastlaneError
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.job import Ending, Execution, Job, Task
from fastlane.models.log import STDERR, STDOUT, Head, Piece
from fastlane.models.paging import Wanted, WantedFailures, WantedJobs, Window
from fastlane.models.run_target import Everywhere
from fastlane.models.schedule import Overlap
from fastlane.models.status import FINAL, UNDER_WAY, Status
from fastlane.models.tick import Outcome, next_execution
from fastlane.models.transitions import RULES, ExecutionChange
from fastlane.storage.base import Store
from fastlane.storage.mongo.store import MongoStore
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.factories import chunk, first_of, new_job
from tests.support.mongo import RealMongo
from tests.support.waiting import LONG_PATIENCE, PATIENCE

pytestmark = pytest.mark.mongo

Call = Callable[[Store], Awaitable[Any]]

TASKS = ("team-a", "team-b", "Team Ä: größe", "x_y🐳", "café")
PATTERNS = (None, "team", "team-[ab]$", "x|c", "(?i)TEAM", "nobody", "")
WORDS = (["team"], ["te", "a"], ["grosse"], ["größe"], ["cafe"], ["🐳"], ["x"], ["team-a"], ["-"], ["T"])
LABELS = ({}, {"team": "a"}, {"team": "b", "n": "1"})


@pytest.fixture
async def stores(tmp_path: Path, mongo_url: str) -> AsyncIterator[tuple[Store, Store]]:
    sqlite, mongo = SqliteStore(tmp_path / "store.db"), MongoStore(mongo_url, deadline=PATIENCE)
    await sqlite.open()
    await mongo.open()
    yield sqlite, mongo
    await mongo.close()
    await sqlite.close()


class History:
    """Random calls, and what is known of the rows that they made."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 1_000
        self.jobs: list[Job] = []
        self.executions: list[Execution] = []
        self.heads: dict[str, Head] = {}

    def write(self) -> Call:
        """The next write."""
        self.now += self.chance.randrange(3)
        if not self.executions:
            return self.create()
        some = (self.create, self.advance, self.stop, self.delete, self.delete_task, self.insert, self.discard, self.append)
        return self.chance.choice((*some, self.close_tick, self.pause, self.change, self.change, self.change))()

    def create(self) -> Call:
        chance = self.chance
        at = chance.choice((None, self.now + 500))
        job = new_job(chance.choice(TASKS), at=at, now=self.now)
        job = replace(job, spec=replace(job.spec, labels=chance.choice(LABELS)))
        if chance.random() < 0.2 and self.jobs:
            job = replace(job, id=chance.choice(self.jobs).id)
        tick, execution = first_of(job, due=self.now)
        execution = replace(execution, status=chance.choice(tuple(Status)), waits=chance.choice((None, None, Overlap.QUEUE)))
        execution = replace(execution, settled=chance.random() < 0.5, finished_at=self.now, host=chance.choice((None, "a:1", "b:1")))
        execution = replace(execution, cleaned=chance.random() < 0.5, started_at=chance.choice((None, self.now)), epoch=chance.randrange(2))
        key = chance.choice((None, "k1", "k2"))
        record = key and IdempotencyRecord(key, "body", self.now, job.task_id, job.id, tick.id, execution.id)
        self.jobs.append(job)
        if at is not None:
            return lambda store: store.create(job, None, None, record or None)
        self.executions.append(execution)
        return lambda store: store.create(job, tick, execution, record or None)

    def advance(self) -> Call:
        chance, place = self.chance, self.chance.randrange(len(self.jobs))
        seen = self.jobs[place]
        revisions = {"revision": seen.revision + 1, "schedule_revision": seen.schedule_revision + 1}
        after = replace(seen, sequence=seen.sequence + 1, modified_at=self.now, **revisions)
        after = replace(after, next_tick=chance.choice((None, self.now + 9)), spec=replace(seen.spec, labels=chance.choice(LABELS)))
        tick, execution = first_of(after, key=f"r:{self.now}/{chance.random()}", sequence=after.sequence, due=self.now)
        if chance.random() < 0.9:
            self.jobs[place] = after
        self.executions.append(execution)
        return lambda store: store.advance(seen, after, [tick], execution)

    def stop(self) -> Call:
        id, now = self.chance.choice(self.jobs).id, self.now
        return lambda store: store.stop_job(id, now)

    def delete(self) -> Call:
        job, now = self.chance.choice(self.jobs), self.now
        return lambda store: store.delete_job(job.id, job.incarnation, now)

    def delete_task(self) -> Call:
        task = self.chance.choice(TASKS)
        return lambda store: store.delete_task(task)

    def insert(self) -> Call:
        """No two with the same number, which have no order."""
        following = self.chance.choice(self.executions)
        numbers = {(one.job_id, one.sequence, one.attempt) for one in self.executions}
        while (following.job_id, following.sequence, following.attempt) in numbers:
            following = next_execution(following, due=self.now, now=self.now)
        self.executions.append(following)
        return lambda store: store.insert(following)

    def change(self) -> Call:
        execution, name = self.chance.choice(self.executions), self.chance.choice(tuple(RULES))
        targets = sorted(RULES[name].targets)
        values = {"status": self.chance.choice(targets)} if targets else {}
        more = {"settle": {"settled": True}, "clean": {"cleaned": True}, "release": {"waits": None}, "flag-stop": {"stop_requested_at": 5}}
        if name == "bind":
            more["bind"] = {"service_id": "s", "swarm_id": "w"}
        if name == "end":
            more["end"] = dict(Ending(self.chance.choice(sorted(FINAL)), self.now, 3).values())
        if name == "plan":
            more["plan"] = {"spec": replace(execution.spec, everywhere=Everywhere.SWARMS)}
        if name == "stand-for":
            more["stand-for"] = {"sequence": self.chance.randrange(1_000, 10**9)}
        other = self.chance.randrange(2)
        change = ExecutionChange.of(name, replace(execution, epoch=other), **{**values, **more.get(name, {})})
        if other:  # no store has shown such a row
            change = replace(change, seen=None)
        return lambda store: store.change(change)

    def discard(self) -> Call:
        execution = replace(self.chance.choice(self.executions), epoch=self.chance.randrange(2))
        return lambda store: store.discard(execution)

    def append(self) -> Call:
        id = self.chance.choice(self.executions).id
        head = self.heads.get(id, Head())
        pieces = [
            Piece(self.chance.choice((STDOUT, STDERR)), self.now, b"x" * self.chance.randrange(9)) for _ in range(self.chance.randrange(3))
        ]
        part = chunk(id, head, pieces)
        self.heads[id] = part.end
        return lambda store: store.append(part)

    def close_tick(self) -> Call:
        id = self.chance.choice(self.executions).tick_id
        return lambda store: store.close_tick(id, Outcome.STOPPED, "stopped")

    def pause(self) -> Call:
        name, paused = self.chance.choice("ab"), self.chance.random() < 0.5
        return lambda store: store.pause_pool(name, paused)

    def reads(self) -> dict[str, Call]:
        """Everything that can be read, of rows by chance."""
        chance, now = self.chance, self.now
        job, execution = chance.choice(self.jobs), chance.choice(self.executions or [first_of(self.jobs[0])[1]])
        window, task = Window(chance.randrange(1, 4), chance.choice((1, 3, 100))), chance.choice(TASKS)
        statuses = frozenset(chance.sample(tuple(Status), chance.randrange(4)))
        visible, label = chance.choice(PATTERNS), chance.choice((None, ("team", "a"), ("n", "1")))
        job_statuses = frozenset(
            chance.sample(("scheduled", "stopped", "enqueued", "running", "done", "failed", "expired"), chance.randrange(3))
        )
        wanted = Wanted(statuses, chance.choice((None, task)), chance.choice((None, now - 5)), visible)
        wanted_jobs = WantedJobs(job_statuses, chance.choice((None, task)), label, visible)
        stream, offset, limit = chance.choice((None, STDOUT, STDERR)), chance.randrange(20), chance.randrange(1, 20)
        words, after = chance.choice(WORDS), chance.choice((None, (now - 5, execution.id)))
        return {
            "job": lambda store: store.job(job.id),
            "bounds": lambda store: store.job_bounds(job.id),
            "task": lambda store: store.task(task),
            "jobs_of": lambda store: store.jobs_of(task, 3),
            "jobs_due": lambda store: store.jobs_due(now + 9, 3, after),
            "open_jobs": lambda store: store.open_jobs(task, 2, chance.choice(("", job.id))),
            "record": lambda store: store.idempotency_record("k1", 0),
            "list_tasks": lambda store: store.list_tasks(window, visible=visible),
            "search_tasks": lambda store: store.search_tasks(words, window, visible=visible),
            "list_jobs": lambda store: store.list_jobs(task, window, statuses=frozenset(sorted(job_statuses)[:1])),
            "list_all_jobs": lambda store: store.list_all_jobs(wanted_jobs, window),
            "list_ticks": lambda store: store.list_ticks(job.id, window),
            "list_executions_of": lambda store: store.list_executions_of(job.id, window),
            "list_executions": lambda store: store.list_executions(wanted, window),
            "list_failures": lambda store: store.list_failures(WantedFailures(wanted.task_id, wanted.since, visible), window),
            "task_summaries": lambda store: store.task_summaries([Task(id, 1, 1, 0) for id in sorted({*TASKS, "none"})], now),
            "execution": lambda store: store.execution(execution.id),
            "executions_of": lambda store: store.executions_of(job.id, 3, 1, statuses=statuses or None),
            "last_started": lambda store: store.last_started(job.id),
            "latest": lambda store: store.latest([one.id for one in self.jobs[-5:]]),
            "waiting": lambda store: store.waiting(job.id),
            "under_way_of": lambda store: store.under_way_of(job.task_id, job.id),
            "unfinished": lambda store: store.unfinished(job.task_id, job.id, 3),
            "executions_in": lambda store: store.executions_in(statuses or UNDER_WAY, 4, after),
            "running": lambda store: store.running_containers(3),
            "unsettled": lambda store: store.unsettled(3),
            "uncleaned": lambda store: store.uncleaned(3, after),
            "by_host": lambda store: store.uncleaned_by_host(5),
            "host_load": lambda store: store.host_load("a:1", None, now - 3),
            "was_deleted": lambda store: store.was_deleted(execution.id),
            "counts": lambda store: store.counts(visible),
            "jobs_by_status": lambda store: store.jobs_by_status(visible),
            "log_head": lambda store: store.log_head(execution.id),
            "read_log": lambda store: store.read_log(execution.id, offset, limit, stream),
            "log_since": lambda store: store.log_since(execution.id, stream, now - 2),
            "pauses": lambda store: store.paused_pools(),
        }


async def answer(call: Call, store: Store) -> Any:
    """What a call returns, or the type of what it raises."""
    try:
        found = await call(store)
    except FastlaneError as error:
        return type(error)
    return list(found) if isinstance(found, (list, tuple)) else found


async def agree(stores: Sequence[Store], seed: int, steps: int, every: int) -> None:
    """Plays a history on both, with some reads after each write, and all of them every so many steps."""
    history = History(seed)
    for step in range(steps):
        write = history.write()
        ours, theirs = [await answer(write, store) for store in stores]
        assert ours == theirs, (step, write.__qualname__)
        reads = list(history.reads().items())
        for name, read in history.chance.sample(reads, 6) if step % every else reads:
            state = history.chance.getstate()
            ours = await answer(read, stores[0])
            history.chance.setstate(state)
            assert await answer(read, stores[1]) == ours, (step, name)


@pytest.mark.parametrize("seed", range(4))
async def test_both_stores_answer_the_same(stores: tuple[Store, Store], seed: int) -> None:
    await agree(stores, seed, steps=60, every=20)


@pytest.mark.thorough
async def test_another_server_of_mongodbs_protocol_answers_the_same(tmp_path: Path) -> None:
    with RealMongo(second=True) as server:
        sqlite, mongo = SqliteStore(tmp_path / "store.db"), MongoStore(server.url("test"), deadline=LONG_PATIENCE)
        await sqlite.open()
        await mongo.open()
        await agree((sqlite, mongo), 5, steps=40, every=13)
        await mongo.close()
        await sqlite.close()


async def test_a_walk_of_both_stores_gives_the_same_rows(stores: tuple[Store, Store]) -> None:
    history = History(99)
    creations = [history.create() for _ in range(40)]
    for creation in creations:
        await asyncio.gather(*(answer(creation, store) for store in stores))
    found = []
    for store in stores:
        ids, window = [], Window(1, 3)
        while True:
            page = await store.list_all_jobs(WantedJobs(visible="team"), window)
            ids += [job.id for job in page.rows]
            if page.next is None:
                break
            window = Window(window.page + 1, 3, page.next)
        found.append((ids, page.total))
    assert len(found[0][0]) == found[0][1]
    assert found[1] == found[0]
