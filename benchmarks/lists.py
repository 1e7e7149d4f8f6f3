"""The cost over HTTP of a page of a long list, against the same page of a short one: ``fastlane api`` on a prepared store.

The pairs are a job with 10,000 executions and one with a page's worth, and a task with 100,000 jobs and one with a page's 1,000; both again
with small pages. Measured for each long list: its first page, every step along ``nextUrl`` from the first page to the last, and the pages
in the middle and at the end by number. Requests run one after another on one connection, long and short in turn.
"""

import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

import uvloop

from benchmarks.figures import Figure, Target, percentile
from benchmarks.processes import api
from fastlane.models.ids import new_id
from fastlane.models.job import Job, Spec
from fastlane.models.schedule.schedule import Schedule
from fastlane.models.schedule.tick import make_tick, next_execution, once_key
from fastlane.models.status import Status
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.redis import RealRedis

JOBS, EXECUTIONS = 100_000, 10_000
PAGE, SMALL = 1_000, 20
BEGAN = 1_700_000_000_000
TURNS, MAX_SHORT = 30, 500
MOST, MAX_LAST = Target(2.0, at_least=False), Target(10.0, at_least=False)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Case:
    """A long list and a short one, and the number of rows in a page of either."""

    name: str
    long: str
    short: str
    per_page: int
    rows: int


def measure(rounds: int, say: Say) -> list[Figure]:
    """Measures the cost of a page of a long list against one of a short list."""
    with tempfile.TemporaryDirectory() as folder, RealRedis() as redis:
        path = Path(folder) / "store.db"
        long, short = uvloop.run(_fill(path))
        cases = [
            Case(f"a task with {JOBS:,} jobs, {PAGE:,} a page", "/tasks/long", "/tasks/short", PAGE, JOBS),
            Case(f"a task with {JOBS:,} jobs, {SMALL} a page", "/tasks/long", "/tasks/short", SMALL, JOBS),
            Case(f"a job with {EXECUTIONS:,} executions", f"/tasks/jobs/jobs/{long}", f"/tasks/jobs/jobs/{short}", SMALL, EXECUTIONS),
            Case(
                f"the list of {EXECUTIONS:,} executions",
                f"/tasks/jobs/jobs/{long}/executions",
                f"/tasks/jobs/jobs/{short}/executions",
                SMALL,
                EXECUTIONS,
            ),
        ]
        with api({"FASTLANE_STORE_URL": f"sqlite:///{path}", "FASTLANE_REDIS_URL": redis.url}) as port:
            figures: list[Figure] = []
            for case in cases:
                figures += _measure(port, case, rounds)
                say(f"{case.name}: " + ", ".join(f"{median(figure.compared):.2f}" for figure in figures[-5:]))
            return figures


def _measure(port: int, case: Case, rounds: int) -> list[Figure]:
    last = case.rows // case.per_page
    pages = {"first page": 1, "page in the middle": last // 2, "last page": last}
    figures: dict[str, list[tuple[float, float]]] = {}
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        for _ in range(rounds):
            for name, page in pages.items():
                figures.setdefault(name, []).append(_in_turn(connection, case, f"{case.long}?perPage={case.per_page}&page={page}"))
            steps, shorts = _walk(connection, case)
            figures.setdefault("a step of a walk", []).append((median(steps), median(shorts)))
            figures.setdefault("a step of a walk, p99", []).append((percentile(steps, 99), percentile(shorts, 99)))
    finally:
        connection.close()
    return [
        Figure(
            f"{case.name}: {name}",
            "ms",
            [ours for ours, _ in pairs],
            [short for _, short in pairs],
            "a short one's",
            target=MAX_LAST if name in ("page in the middle", "last page") else MOST,
        )
        for name, pairs in figures.items()
    ]


def _in_turn(connection: HTTPConnection, case: Case, path: str) -> tuple[float, float]:
    """The median times of a page and of the short list's page, requested in turn."""
    pairs = [(_get(connection, path)[0], _short(connection, case)) for _ in range(TURNS)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def _walk(connection: HTTPConnection, case: Case) -> tuple[list[float], list[float]]:
    """The times of all steps to the list's end, and of the short list's page, requested in between."""
    steps: list[float] = []
    shorts: list[float] = []
    url: str | None = f"{case.long}?perPage={case.per_page}"
    while url is not None:
        took, page = _get(connection, url)
        steps.append(took)
        if len(steps) % -(-case.rows // case.per_page // MAX_SHORT) == 0:
            shorts.append(_short(connection, case))
        following = page["nextUrl"]
        url = None if following is None else str(following).split("/", 3)[3].join(("/", ""))
    if len(steps) != case.rows // case.per_page:
        raise RuntimeError(f"{case.long} was walked in {len(steps)} steps")
    return steps, shorts


def _short(connection: HTTPConnection, case: Case) -> float:
    return _get(connection, f"{case.short}?perPage={case.per_page}")[0]


def _get(connection: HTTPConnection, path: str) -> tuple[float, dict[str, object]]:
    began = time.perf_counter()
    connection.request("GET", path)
    reply = connection.getresponse()
    body = reply.read()
    took = (time.perf_counter() - began) * 1000
    if reply.status != 200:
        raise RuntimeError(f"{path}: {body[:1000]!r}")
    return took, json.loads(body)


async def _fill(path: Path) -> tuple[str, str]:
    """Makes one of each by the store itself, then copies of it; the ids of the job with many executions and of the one with few."""
    store = SqliteStore(path)
    await store.open()
    ids = []
    try:
        for task in ("long", "short", "jobs", "jobs"):
            job = Job(new_id(BEGAN), task, new_id(BEGAN), BEGAN, BEGAN, Spec("ubuntu:latest", ("true",)), Schedule(), sequence=1)
            tick, execution = make_tick(job, once_key(1), sequence=1, due=BEGAN, now=BEGAN)
            done = replace(execution, status=Status.DONE, exit_code=0, started_at=BEGAN, finished_at=BEGAN, settled=True, cleaned=True)
            await store.create(job, tick, done)
            ids.append(job.id)
            if task == "jobs":
                await store.insert(next_execution(done, due=BEGAN, now=BEGAN))
    finally:
        await store.close()
    db = sqlite3.connect(path)
    try:
        db.execute("PRAGMA synchronous = OFF")
        _copy_jobs(db, ids[0], JOBS - 1)
        _copy_jobs(db, ids[1], PAGE - 1)
        _copy_executions(db, ids[2], EXECUTIONS - 2)
        _copy_executions(db, ids[3], SMALL - 2)
        db.commit()
    finally:
        db.close()
    return ids[2], ids[3]


def _copy_jobs(db: sqlite3.Connection, job_id: str, count: int) -> None:
    """Adds ``count`` more jobs like this one, each with its tick and execution."""
    for table, changed in (
        ("jobs", {"id": _id("f"), "created_at": "created_at + n"}),
        ("ticks", {"id": _id("d"), "job_id": _id("f")}),
        ("executions", {"id": _id("e"), "job_id": _id("f"), "tick_id": _id("d"), "scheduled_for": "scheduled_for + n"}),
    ):
        _copy(db, table, f"{table}.{'id' if table == 'jobs' else 'job_id'} = '{job_id}'", changed, range(1, count + 1))
    db.execute("UPDATE tasks SET jobs_count = jobs_count + ? WHERE id = (SELECT task_id FROM jobs WHERE id = ?)", (count, job_id))


def _copy_executions(db: sqlite3.Connection, job_id: str, count: int) -> None:
    """Adds ``count`` more attempts like the job's first."""
    changed = {"id": f"substr(id, 1, 24) || {_hex('n')}", "attempt": "n", "scheduled_for": "scheduled_for + n"}
    _copy(db, "executions", f"job_id = '{job_id}' AND attempt = 1", changed, range(3, count + 3))


def _copy(db: sqlite3.Connection, table: str, which: str, changed: dict[str, str], numbers: Sequence[int]) -> None:
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(changed.get(column, column) for column in columns)
    counting = f"WITH RECURSIVE numbers (n) AS (VALUES ({numbers[0]}) UNION ALL SELECT n + 1 FROM numbers WHERE n < {numbers[-1]})"
    db.execute(f"INSERT INTO {table} {counting} SELECT {values} FROM numbers CROSS JOIN {table} WHERE {which}")


def _id(kind: str) -> str:
    """The id of a copy, as SQL: of its own for each template, which is told apart by its moment's id."""
    own = "substr(job_id, 25, 12)" if kind != "f" else "substr(id, 25, 12)"
    return f"'{kind}' || substr({own}, 1, 7) || '-' || substr({own}, 8, 4) || '-7000-8000-' || {_hex('n')}"


def _hex(number: str) -> str:
    return f"printf('%012x', {number})"
