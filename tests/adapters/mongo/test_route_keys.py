"""How many keys each list, count and page of the API walks through in MongoDB's indexes, with 1,000 jobs and with 100,000: the commands are
those of real requests, the keys are reckoned (``tests.support.index_walk`` says why and how)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fastlane.models.event import Event, EventKind
from fastlane.models.log import STDOUT
from fastlane.storage.mongo.database import Database
from tests.adapters.mongo.test_route_costs import CALLERS, COPIED, ROUTES, TOKENS
from tests.adapters.mongo.test_wire import DELIVERY
from tests.support.fastlane import Fastlane
from tests.support.index_walk import Document, Rows, Walked, walked
from tests.support.recorded_calls import Command, recorded_commands
from tests.support.redis import RealRedis

FEW, MANY, RATIO, RATIO_OF_STATUS = 1_000, 100_000, 3, 2
GROWN = (*(name for name in COPIED if name != "tasks"), "log_chunks")
"""The collections that have so many rows, half of them of one task. There are tasks for a hundredth of that."""
COUNTED_BY_WALKING = ("label", "since", "failures")
"""Words in the names of lists whose lengths are not stored: decision 0169 says why."""


async def fill(server: Fastlane) -> str:
    """Stores some rows of each kind. Returns the id of a job that has them."""
    server.client.headers.update(CALLERS["an administrator"])
    replies = [await server.enqueue(task, labels={"team": "red"}) for task in ("task", "task", "task", "task-other", "task-other")]
    for reply, code in zip(replies[1:], (0, 1, 0, 0), strict=True):
        execution = await server.run(reply)
        await server.append_log(execution, (STDOUT, b"x"))
        await server.end(execution, code)
    await server.count_ends()
    await server.run(replies[0])
    job: str = replies[1]["jobId"]
    await server.store.add_events([Event.now(EventKind.JOB_RUN, 1_000, task_id="task", job_id=job)])
    await server.store.insert_deliveries([replace(DELIVERY, task_id="task", job_id=job, execution_id=job)])
    return job


def grown(rows: Mapping[str, Sequence[Document]], jobs: int) -> dict[str, list[Rows]]:
    """The stored rows, and so many like those that are over: what runs does not grow with the history."""
    stored = {name: [Rows(row) for row in some] for name, some in rows.items()}
    for name, some in rows.items():
        over = [row for row in some if row.get("job_status", row.get("status")) not in ("running", "enqueued")]
        count = jobs if name in GROWN else jobs // 100 if name == "tasks" else 0
        stored[name] += [Rows.like(row, count // len(over)) for row in over]
    return stored


async def route_keys(server: Fastlane, commands: list[Command], db: Database) -> dict[str, tuple[Walked, Walked]]:
    """The keys of each route for each caller, among few jobs and among many."""
    job = await fill(server)
    names = (*COPIED, "log_chunks", "hours", "receivers")
    stored = {name: await db.find(name, {"_id": {"$gte": ""}}, "_id_") for name in names}
    few, many = grown(stored, FEW), grown(stored, MANY)
    found = {}
    for who, headers in CALLERS.items():
        for name, path in ROUTES.items():
            if "/receipts" in path:
                continue  # no row here has been sealed
            commands.clear()
            answer = await server.get(path.format(job=job).replace("perPage=20&page=5", "perPage=1&page=2"), headers=headers)
            assert answer.status == 200, answer.body
            keys = [sum((walked(verb, sent, size) for verb, sent in commands), Walked()) for size in (few, many)]
            found[f"{name}, for {who}"] = (keys[0], keys[1])
    return found


@pytest.fixture
async def recorded(mongo_url: str, shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[tuple[Fastlane, list[Command]]]:
    server = Fastlane(tmp_path, shared_redis.url, store_url=mongo_url, tokens=TOKENS)
    with recorded_commands(of_requests=True) as commands:
        await server.__aenter__()
    yield server, commands
    await server.__aexit__(None, None, None)


async def test_a_page_walks_through_as_many_keys_among_many_jobs_as_among_few(
    recorded: tuple[Fastlane, list[Command]], db: Database
) -> None:
    """The same for counts: how many tasks, jobs and executions there are is stored. The failures, what has a label and what was due since a
    time are counted. A search, and a user of some tasks, need the ids of these tasks."""
    found = await route_keys(*recorded, db)
    ids = {name: MANY // 100 if "visitor" in name or name.startswith("search") else 0 for name in found}
    assert {name: keys for name, keys in found.items() if keys[1].rows > RATIO * max(20, keys[0].rows) + ids[name]} == {}
    walked = {name for name in found if any(word in name for word in COUNTED_BY_WALKING)}
    assert {name: keys for name, keys in found.items() if keys[1].counts > RATIO * keys[0].counts and name not in walked} == {}
    few, many = found["status, for an administrator"]
    assert many.rows + many.counts <= RATIO_OF_STATUS * (few.rows + few.counts)
    assert all(any(keys[0].rows + keys[0].counts for name, keys in found.items() if who in name) for who in CALLERS)
    assert found["jobs by label, for an administrator"][1].counts > MANY, "what is counted by walking is seen"
