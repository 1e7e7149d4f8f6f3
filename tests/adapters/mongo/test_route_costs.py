"""What each list, count and page of the API costs in commands, which go over the network: at most ``MOST``, however much is stored, and
however little of it a filter takes. (A few more or less follow from what is on the page. ``/status`` is a dozen lists and counts, and takes
at most ``MOST_OF_STATUS``.)"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fastlane.models.event import Event, EventKind
from fastlane.models.log import STDOUT
from fastlane.storage.mongo.database import Database
from fastlane.storage.mongo.rows import COUNTED, COUNTED_IN, TO_COUNT
from tests.adapters.mongo.test_wire import DELIVERY
from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane
from tests.support.recorded_calls import Command, recorded_commands
from tests.support.redis import RealRedis

MOST, MOST_OF_STATUS = 10, 11
FEW, MANY = 150, 750
"""Rows like each of the first two of a collection. A server's first answer has 101, unless it is asked for more."""
COPIED = ("tasks", "jobs", "ticks", "executions", "events", "deliveries")
TOKENS = (token("admin", "fl_admin", "admin"), token("visitor", "fl_visitor", "read", "task"), token("guest", "fl_guest", "read", "rare"))
CALLERS = {"an administrator": bearer("fl_admin"), "a visitor": bearer("fl_visitor")}
"""The visitor may see the tasks whose ids begin with "task"."""

ROUTES: Mapping[str, str] = {
    "tasks": "/tasks?perPage=20",
    "tasks, page 5": "/tasks?perPage=20&page=5",
    "search": "/search?query=task&perPage=20",
    "jobs": "/jobs?perPage=100",
    "jobs, page 5": "/jobs?perPage=20&page=5",
    "jobs by status": "/jobs?status=done&perPage=20",
    "jobs by two statuses": "/jobs?status=done,failed&perPage=20",
    "late jobs": "/jobs?late=1&perPage=20",
    "jobs by label": "/jobs?label=team%3Dred&perPage=20",
    "jobs by label and status": "/jobs?label=team%3Dred&status=done&perPage=20",
    "jobs of a task": "/tasks/task/jobs?perPage=20",
    "jobs of a task by status": "/tasks/task/jobs?status=done&perPage=20",
    "jobs of a task by label": "/tasks/task/jobs?label=team%3Dred&perPage=20",
    "executions": "/executions?perPage=100",
    "executions by status": "/executions?status=done&perPage=20",
    "executions that run": "/executions?status=running&perPage=100",
    "executions since": "/executions?since=24h&perPage=20",
    "executions of a task": "/executions?task=task&perPage=20",
    "executions of a task by status": "/executions?task=task&status=done&perPage=20",
    "executions of a task since": "/executions?task=task&since=24h&perPage=20",
    "failures": "/failures?perPage=20",
    "failures of a task": "/failures?task=task&since=24h&perPage=20",
    "executions of a job": "/tasks/task/jobs/{job}/executions?perPage=20",
    "ticks of a job": "/tasks/task/jobs/{job}/ticks?perPage=20",
    "deliveries of a job": "/tasks/task/jobs/{job}/deliveries",
    "a task": "/tasks/task",
    "a job": "/tasks/task/jobs/{job}",
    "why": "/tasks/task/jobs/{job}/why",
    "chain": "/tasks/task/jobs/{job}/chain",
    "status": "/status",
    "history": "/history",
    "history of a task": "/history?task=task",
    "events": "/events?perPage=20",
    "events of a kind": "/events?kind=job.run&perPage=20",
    "events of a task": "/events?task=task&perPage=20",
    "events of a job": "/events?job={job}&perPage=20",
    "events of a user": "/events?actor=nobody&perPage=20",
    "events of a host": "/events?host=10.0.0.9:2375&perPage=20",
    "events of a pool": "/events?pool=small&perPage=20",
    "events of a rare kind": "/events?kind=pool.paused,execution.stop&perPage=20",
}


TRENDS: Mapping[str, str] = {
    "stats of a job": "/tasks/task/jobs/{job}/stats",
    "advice on a job": "/tasks/task/jobs/{job}/advice",
    "usage by label, a piece of 100": "/usage?by=team&perPage=100",
    "usage of a task": "/usage?by=pool&task=task&perPage=100",
}


@pytest.fixture
async def recorded(mongo_url: str, shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[tuple[Fastlane, list[Command]]]:
    server = Fastlane(tmp_path, shared_redis.url, store_url=mongo_url, tokens=TOKENS)
    with recorded_commands(of_requests=True) as commands:
        await server.__aenter__()
    yield server, commands
    await server.__aexit__(None, None, None)


async def copy(db: Database, numbers: range) -> None:
    """Adds rows like the first two of each collection: tasks, jobs, and what belongs to the first two jobs. Tasks as if they were new."""
    for collection in COPIED:
        rows = await db.find(collection, {"_id": {"$gte": ""}}, "_id_", sort=[("_id", 1)], limit=2)
        new = {TO_COUNT: True} if collection == "tasks" else {}
        rows = [{name: value for name, value in row.items() if not new or name not in (COUNTED, COUNTED_IN)} for row in rows]
        await db.insert_missing(collection, [{**row, "_id": f"{row['_id']}-{number}", **new} for row in rows for number in numbers])


async def costs(server: Fastlane, commands: list[Command], job: str) -> dict[str, int]:
    """The commands of each route, for each caller."""
    found = {}
    for who, headers in CALLERS.items():
        for name, path in (ROUTES | TRENDS).items():
            commands.clear()
            answer = await server.get(path.format(job=job), headers=headers)
            assert answer.status == 200, answer.body
            found[f"{name}, for {who}"] = len(commands)
    return found


async def test_a_list_takes_a_few_commands_however_much_is_stored(recorded: tuple[Fastlane, list[Command]], db: Database) -> None:
    server, commands = recorded
    server.client.headers.update(CALLERS["an administrator"])
    reply = await server.enqueue("task", labels={"team": "red"})
    await server.end(await server.run(reply))
    await server.count_ends()
    await server.append_log(await server.run(await server.enqueue("task")), (STDOUT, b"x"))
    job = reply["jobId"]
    await server.store.add_events([Event.now(EventKind.JOB_RUN, 1_000, task_id="task", job_id=job)])
    await server.store.insert_deliveries([replace(DELIVERY, task_id="task", job_id=job, execution_id=job)])
    await copy(db, range(FEW))
    few = await costs(server, commands, job)
    await copy(db, range(FEW, MANY))
    many = await costs(server, commands, job)
    allowed = {name: MOST_OF_STATUS if name.startswith("status") else MOST for name in many}
    assert {name: (few[name], many[name]) for name in many if not 0 < max(few[name], many[name]) <= allowed[name]} == {}
    commands.clear()
    page = await server.get("/events?perPage=20", headers=bearer("fl_guest"))
    assert (page.json["items"], 0 < len(commands) <= MOST) == ([], True)
