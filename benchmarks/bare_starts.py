"""The baseline for a start: two processes that keep a start's promise, and do nothing else. Each step is on disk before the next begins.

``serve`` commits a job to SQLite for each request, and puts its id into Redis. ``work`` takes the id, commits the claim and then the
binding, and records the start in the witness. Neither thread waits for another one: a commit blocks the loop of the server, as a program
for many clients would not let it.
"""

import asyncio
import sqlite3
import sys
import time
from pathlib import Path
from uuid import uuid4

import click
import orjson
import redis
import uvloop
from redis.asyncio import Redis
from tornado.web import Application, RequestHandler

from benchmarks.witness import note

KEY = "bare-starts"
TABLE = "CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, spec TEXT, status TEXT, epoch INTEGER, service TEXT) STRICT, WITHOUT ROWID"
INSERT = "INSERT INTO jobs VALUES (?, ?, 'enqueued', 0, NULL)"
CLAIM = "UPDATE jobs SET status = 'pulling', epoch = epoch + 1 WHERE id = ? AND status = 'enqueued' AND epoch = 0"
BIND = "UPDATE jobs SET service = ? WHERE id = ? AND status = 'pulling' AND epoch = 1 AND service IS NULL"


class Enqueue(RequestHandler):
    """``POST /tasks/T``."""

    def initialize(self, db: sqlite3.Connection, queue: Redis) -> None:
        """Tornado's way to give a handler what it needs."""
        self._db = db
        self._queue = queue

    async def post(self, task_id: str) -> None:
        """Answers once the job is on disk and in Redis."""
        spec = orjson.loads(self.request.body)
        id = str(uuid4())
        self._db.execute(INSERT, (id, orjson.dumps(spec).decode()))
        await self._queue.lpush(KEY, id)
        self.set_header("Content-Type", "application/json")
        self.finish(orjson.dumps({"taskId": task_id, "jobId": id}))


def connected(file: Path) -> sqlite3.Connection:
    """A connection that commits each statement as durably as fastlane's store does."""
    db = sqlite3.connect(file, timeout=30, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(TABLE)
    return db


async def serve(file: Path, url: str, port: int) -> None:
    """Serves forever."""
    queue = Redis.from_url(url, decode_responses=True)
    parts = {"db": connected(file), "queue": queue}
    Application([(r"/tasks/([^/]+)/?", Enqueue, parts)]).listen(port, "127.0.0.1")
    ready()
    await asyncio.Event().wait()


def work(file: Path, url: str) -> None:
    """Starts jobs forever."""
    db, queue = connected(file), redis.Redis.from_url(url, decode_responses=True, socket_timeout=None)
    ready()
    while True:
        (_, id) = queue.brpop([KEY])
        for statement, values in ((CLAIM, (id,)), (BIND, (f"service-{time.time_ns()}", id))):
            if db.execute(statement, values).rowcount != 1:
                raise RuntimeError(f"{id} was not as expected")
        note(id)


def ready() -> None:
    """Tells the parent process that the work begins."""
    click.echo("ready")
    sys.stdout.flush()


if __name__ == "__main__":
    role, path, url, *rest = sys.argv[1:]
    if role == "serve":
        uvloop.run(serve(Path(path), url, int(rest[0])))
    else:
        work(Path(path), url)
