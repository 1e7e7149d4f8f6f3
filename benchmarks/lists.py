"""The cost over HTTP of a page of a long list, against the same page of a short one, on each store: ``fastlane api`` on two prepared ones.

The long store has a task with 100,000 jobs and a job with 10,000 executions, the short one a page's worth of each. Measured for each list:
its first page, every step along ``nextUrl`` from the first page to the last, and the pages in the middle and at the end by number; for
``/search`` and ``/status``, which have one page here, that page. Requests run one after another on one connection to each server, long and
short in turn.

Of MongoDB also the server's own times for the same rows: a count and a find by plain PyMongo, without fastlane; for ``/status`` the counts
that it shows. SecantusDB, on which the tests run, reads a whole collection for each of them (3 s of processor time for 100,000 jobs), and
a call of fastlane ends after 5 s: there the lists and the large pages are a twentieth as long.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from pymongo import MongoClient
from pymongo.database import Database

from benchmarks.figures import Figure, Target, percentile
from benchmarks.list_stores import Numbers, fill
from benchmarks.processes import api
from benchmarks.stores import MONGO, SQLITE, Place, places, reads_all
from fastlane.models.status import Status
from tests.support.redis import RealRedis

SMALL = 20
JOB = "{job}"
"""Stands for an id. No cursor of a list has braces in it."""
MAX_SHORT = 500
_ANY = {"$gte": -(2**53)}
MOST, MAX_LAST = Target(2.0, at_least=False), Target(10.0, at_least=False)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """The rows of the long lists, of a large page, how many steps of a walk are measured at most (on MongoDB), and how often each page is
    requested."""

    jobs: int = 100_000
    executions: int = 10_000
    page: int = 1_000
    steps: int = 500
    turns: int = 30

    @property
    def reduced(self) -> "Sizes":
        """Those for a server that reads all rows for each page."""
        return Sizes(self.jobs // 20, self.executions // 20, self.page // 20, max(1, self.steps // 20), max(3, self.turns // 3))


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a collection that the server finds along an index. ``order``: with which it gives a page of them; empty: it only counts."""

    collection: str
    filter: Mapping[str, Any]
    index: str
    order: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A list, and the number of rows in a page of it and in all (0: it has one page). ``bare``: what the server itself reads for it."""

    name: str
    path: str
    per_page: int = 0
    rows: int = 0
    bare: Sequence[Rows] = ()

    def page(self, number: int = 1) -> str:
        """The URL of a page."""
        return f"{self.path}?perPage={self.per_page}&page={number}" if self.per_page else self.path


@dataclass(frozen=True, slots=True)
class Side:
    """A server on a store, and the id of the store's job with many executions."""

    connection: HTTPConnection
    job: str

    def get(self, path: str) -> tuple[float, dict[str, Any]]:
        """The milliseconds of a GET, and its answer. ``JOB`` in the path stands for the id of the job with many executions."""
        began = time.perf_counter()
        self.connection.request("GET", path.replace(JOB, self.job))
        reply = self.connection.getresponse()
        body = reply.read()
        took = (time.perf_counter() - began) * 1000
        if reply.status != 200:
            raise RuntimeError(f"{path}: {body[:1000]!r}")
        return took, json.loads(body)


def cases(sizes: Sizes) -> list[Case]:
    """What is measured."""
    jobs = [Rows("jobs", {"task_id": "many"}, "jobs_of_task", ("created_at", "_id"))]
    of_job = [Rows("executions", {"job_id": JOB}, "executions_of_job", ("sequence", "attempt"))]
    counted = [Rows("tasks", {"modified_at": _ANY}, "tasks_by_change"), Rows("jobs", {"created_at": _ANY}, "jobs_by_creation")]
    counted += [Rows("executions", {"status": status.value}, "executions_by_status") for status in Status]
    executions = f"a job with {sizes.executions:,} executions"
    return [
        Case(f"a task with {sizes.jobs:,} jobs, {sizes.page:,} a page", "/tasks/many", sizes.page, sizes.jobs, jobs),
        Case(f"a task with {sizes.jobs:,} jobs, {SMALL} a page", "/tasks/many", SMALL, sizes.jobs, jobs),
        Case(executions, f"/tasks/one/jobs/{JOB}", SMALL, sizes.executions),
        Case(
            f"the list of {sizes.executions:,} executions",
            f"/tasks/one/jobs/{JOB}/executions",
            SMALL,
            sizes.executions,
            of_job,
        ),
        Case(f"a search beside {sizes.jobs:,} jobs", "/search?query=man"),
        Case(f"/status with {sizes.jobs:,} jobs", "/status", bare=counted),
    ]


def measure(rounds: int, say: Say, sizes: Sizes) -> list[Figure]:
    """Measures the cost of a page of a long list against one of a short list, on both stores."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name, places(Path(name)) as make:
        for store, size in ((SQLITE, sizes), (MONGO, sizes.reduced if reads_all() else sizes)):
            long, short = make(store), make(store)
            with _side(long, Numbers(size.jobs, size.executions), say) as ours, _side(short, Numbers(size.page, SMALL), say) as other:
                for case in cases(size):
                    found = _measure(store, (ours, other), case, rounds, size)
                    if store == MONGO and case.bare:
                        found += [_bare(long, ours, case, found[0], size.turns)]
                    say(f"{store}: {case.name}: " + ", ".join(f"{median(figure.compared):.2f}" for figure in found))
                    figures += found
    return figures


@contextmanager
def _side(place: Place, numbers: Numbers, say: Say) -> Iterator[Side]:
    began = time.monotonic()
    job = uvloop.run(fill(place, numbers))
    say(f"{place.name}: {numbers.jobs:,} jobs and {numbers.executions:,} executions in {time.monotonic() - began:.0f} s")
    with ExitStack() as stack:
        redis = stack.enter_context(RealRedis())
        port = stack.enter_context(api({"FASTLANE_STORE_URL": place.url, "FASTLANE_REDIS_URL": redis.url}))
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        stack.callback(connection.close)
        yield Side(connection, job)


def _measure(store: str, sides: tuple[Side, Side], case: Case, rounds: int, sizes: Sizes) -> list[Figure]:
    figures: dict[str, list[tuple[float, float]]] = {}
    last = case.rows // case.per_page if case.per_page else 1
    for _ in range(rounds):
        for name, page in {"first page": 1, **({"page in the middle": last // 2, "last page": last} if last > 1 else {})}.items():
            figures.setdefault(name, []).append(_in_turn(sides, case, page, sizes.turns))
        if last > 1:
            steps, shorts = _walk(sides, case, sizes.steps if store == MONGO else last)
            figures.setdefault("a step of a walk", []).append((median(steps), median(shorts)))
            figures.setdefault("a step of a walk, p99", []).append((percentile(steps, 99), percentile(shorts, 99)))
    return [
        Figure(
            f"{case.name}{'' if store == SQLITE else f', on {store}'}: {name}",
            "ms",
            [ours for ours, _ in pairs],
            [short for _, short in pairs],
            "a short one's",
            target=MAX_LAST if name in ("page in the middle", "last page") else MOST,
        )
        for name, pairs in figures.items()
    ]


def _in_turn(sides: tuple[Side, Side], case: Case, page: int, turns: int) -> tuple[float, float]:
    """The median times of a page and of the short list's page, requested in turn."""
    pairs = [(sides[0].get(case.page(page))[0], sides[1].get(case.page())[0]) for _ in range(turns)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def _walk(sides: tuple[Side, Side], case: Case, most: int) -> tuple[list[float], list[float]]:
    """The times of all steps to the list's end (or of ``most``), and of the short list's page, requested in between."""
    steps: list[float] = []
    shorts: list[float] = []
    url: str | None = case.page()
    whole = case.rows // case.per_page
    while url is not None and len(steps) < most:
        took, page = sides[0].get(url)
        steps.append(took)
        if len(steps) % -(-whole // MAX_SHORT) == 0:
            shorts.append(sides[1].get(case.page())[0])
        following = page["nextUrl"]
        url = None if following is None else str(following).split("/", 3)[3].join(("/", ""))
    if len(steps) != min(whole, most):
        raise RuntimeError(f"{case.path} was walked in {len(steps)} steps")
    return steps, shorts


def _bare(place: Place, side: Side, case: Case, ours: Figure, turns: int) -> Figure:
    """The first page against the counts, and the find if it is a list, with which the server alone gives its rows."""
    times = []
    with MongoClient[dict[str, Any]](place.url) as client:
        db = client.get_default_database()
        for _ in range(turns):
            began = time.perf_counter()
            for rows in case.bare:
                _read(db, rows, side.job, case.per_page)
            times.append((time.perf_counter() - began) * 1000)
    work = "a count and a find" if case.per_page else "its counts"
    return Figure(ours.name, "ms", ours.ours, [median(times)] * len(ours.ours), f"the server alone, {work}")


def _read(db: Database[dict[str, Any]], rows: Rows, job: str, limit: int) -> None:
    filter = {name: job if value == JOB else value for name, value in rows.filter.items()}
    db[rows.collection].count_documents(filter, hint=rows.index)
    if rows.order:
        db[rows.collection].find(filter, hint=rows.index, sort=[(name, -1) for name in rows.order], limit=limit).to_list()
