"""How many of SQLite's instructions each list, count and page takes, with 1,000 jobs and with 100,000: ``python -m
benchmarks.route_instructions`` prints the table of docs/internals/profiles.md.

The requests are those whose keys are counted on MongoDB (``route_keys``), and so are the rows: those of a few real jobs, of which the ones
that are over are copied. Each request is sent three times, and the least counts, since all connections of the process are counted.
"""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import uvloop

from benchmarks.stores import SQLITE, places
from fastlane import log
from fastlane.models.access import may_see
from tests.adapters.mongo.test_route_costs import CALLERS, ROUTES, TOKENS
from tests.adapters.mongo.test_route_keys import FEW, MANY, fill
from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis

STEP = 10
"""Instructions that are counted at once."""
TABLES = ("tasks", "jobs", "ticks", "executions", "events")
_OVER = {"jobs": "WHERE job_status NOT IN ('running', 'enqueued')", "executions": "WHERE status NOT IN ('running', 'enqueued')"}


class Counter:
    """Counts the instructions of all connections that are made meanwhile."""

    def __init__(self) -> None:
        self.steps = 0

    def move(self) -> int:
        self.steps += 1
        return 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Lets connections count."""
        real: Callable[..., sqlite3.Connection] = sqlite3.connect
        move = self.move

        def connect(*given: Any, factory: type[sqlite3.Connection] = sqlite3.Connection, **named: Any) -> sqlite3.Connection:
            class Counting(factory):  # type: ignore[misc, valid-type]
                def set_progress_handler(self, *_: object) -> None:
                    """Goes on counting."""

            db = real(*given, factory=Counting, **named)
            sqlite3.Connection.set_progress_handler(db, move, STEP)
            return db

        with patch.object(sqlite3, "connect", connect):
            yield


def grow(file: Path, jobs: int) -> None:
    """Copies the rows that are over, so that there are about so many jobs."""
    with closing(sqlite3.connect(file)) as db:
        db.create_function("visible", 2, may_see, deterministic=True)
        for table in TABLES:
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            where = _OVER.get(table, "")
            (over,) = db.execute(f"SELECT count(*) FROM {table} {where}").fetchone()
            copies = (jobs // 100 if table == "tasks" else jobs) // over
            ids = ("id", "job_id", "execution_id", "tick_id")
            start = "id || '-' || n" if table == "tasks" else "printf('%08x', n) || substr({0}, 9)"
            values = [start.format(name) if name in ids else name for name in columns]
            db.execute(
                f"""WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < {copies})
                    INSERT INTO {table} ({", ".join(columns)}) SELECT {", ".join(values)} FROM {table}, t {where}"""
            )
        db.execute("UPDATE tasks SET jobs_count = (SELECT count(*) FROM jobs WHERE jobs.task_id = tasks.id)")
        db.commit()


async def _instructions(folder: Path, redis: RealRedis, url: str, file: Path, jobs: int) -> dict[str, int]:
    log.configure("json", "error")
    async with Fastlane(folder, redis.url, store_url=url, tokens=TOKENS) as server:
        job = await fill(server)
    grow(file, jobs)
    counter, found = Counter(), dict[str, int]()
    with counter.counting():
        async with Fastlane(folder, redis.url, store_url=url, tokens=TOKENS) as server:
            for who, headers in CALLERS.items():
                for name, path in ROUTES.items():
                    costs = list[int]()
                    for _ in range(3):
                        counter.steps = 0
                        answer = await server.get(path.format(job=job).replace("perPage=20&page=5", "perPage=1&page=2"), headers=headers)
                        assert answer.status == 200, answer.body
                        costs.append(counter.steps * STEP)
                    found[f"{name}, for {who}"] = min(costs)
    return found


@click.command()
def main() -> None:
    """Prints the table."""
    sides = list[dict[str, int]]()
    for jobs in (FEW, MANY):
        with tempfile.TemporaryDirectory() as folder, RealRedis() as redis, places(Path(folder)) as make:
            url = make(SQLITE).url
            sides.append(uvloop.run(_instructions(Path(folder), redis, url, Path(url.removeprefix("sqlite:///")), jobs)))
    sizes = f"{FEW:,} jobs | {MANY:,}"
    click.echo(f"| route | {sizes} | for a user of some tasks: {sizes} |\n{'| --- ' * 5}|")
    for name in ROUTES:
        costs = [side[f"{name}, for {who}"] for who in CALLERS for side in sides]
        click.echo(f"| {name} | " + " | ".join(f"{cost:,}" for cost in costs) + " |")


if __name__ == "__main__":
    main()
