"""A process of its own that uses the SQLite file, for tests of what happens between processes.

``python -m tests.adapters.sqlite.child write|create|lock PATH``
"""

import asyncio
import sqlite3
import sys

from fastlane.models.transitions import claim
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.factories import new


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


async def write(path: str) -> None:
    """Creates jobs and claims their executions forever, and says each one's id once it has the answer."""
    store = SqliteStore(path)
    await store.open()

    async def writer() -> None:
        while True:
            job, tick, execution = new()
            await store.create(job, tick, execution)
            say("created", job.id)
            await store.change(claim(execution, host="h", pool="p", now=1))
            say("claimed", execution.id)

    await asyncio.gather(*(writer() for _ in range(8)))


async def create(path: str) -> None:
    """Opens the store, creates 20 jobs, and ends."""
    store = SqliteStore(path)
    await store.open()
    await asyncio.gather(*(store.create(*new()) for _ in range(20)))
    await store.close()


async def lock(path: str) -> None:
    """Has the file locked until a line (or the end) comes in."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    say("locked")
    sys.stdin.readline()
    db.close()


if __name__ == "__main__":
    asyncio.run({"write": write, "create": create, "lock": lock}[sys.argv[1]](sys.argv[2]))
