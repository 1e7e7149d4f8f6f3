"""Enqueue and dispatch on both stores in turn: what MongoDB costs beside SQLite, and how much of it is the server's own.

The server is the one that the tests use (``tests.support.mongo`` says which). The bare figure is how many documents it takes a second from
one process of 32 tasks, each write confirmed like fastlane's. An enqueue writes five of them, one after the other but for two.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvloop
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import MongoClient

from benchmarks import load
from benchmarks.dispatch import dispatch
from benchmarks.enqueue import BODY, MANY, SECONDS, WARM_UP
from benchmarks.figures import Figure
from benchmarks.processes import api, settings_for
from fastlane.storage.base import Store
from fastlane.storage.mongo.store import MongoStore
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.mongo import OUTSIDE, RealMongo, database_url, server_name
from tests.support.redis import RealRedis

Say = Callable[[str], None]

SQLITE, MONGO, BARE = "SQLite", "MongoDB", "the server alone, one document each"
DEADLINE = 60.0
"""Seconds that the benchmark's own calls may take."""


@dataclass(frozen=True, slots=True)
class Place:
    """A store of its own: ``url`` is the setting of its processes."""

    name: str
    url: str

    def store(self) -> Store:
        """The store, not opened yet."""
        return MongoStore(self.url, deadline=DEADLINE) if self.name == MONGO else SqliteStore(self.url.removeprefix("sqlite:///"))


@contextlib.contextmanager
def places(folder: Path) -> Iterator[Callable[[str], Place]]:
    """Makes an empty place of this name at each call."""
    with ExitStack() as stack:
        url = stack.enter_context(RealMongo()).url if OUTSIDE is None else partial(database_url, OUTSIDE)

        def make(name: str) -> Place:
            own = f"bench_{uuid4().hex[:8]}"
            if name == SQLITE:
                return Place(name, f"sqlite:///{folder / own}.db")
            place = Place(name, url(own))
            stack.callback(_drop, place)
            return place

        yield make


def reads_all() -> bool:
    """Whether the server reads a whole collection for each page of it."""
    return "SecantusDB" in server_name()


def _drop(place: Place) -> None:
    with MongoClient[dict[str, Any]](place.url) as client:
        client.drop_database(client.get_default_database().name)


def measure(rounds: int, say: Say, jobs: int) -> list[Figure]:
    """Measures the rates of enqueues and of dispatch by one worker on either store, and the server's own."""
    say(f"MongoDB is {server_name()}")
    enqueued: dict[str, list[float]] = {SQLITE: [], MONGO: [], BARE: []}
    dispatched: dict[str, list[float]] = {SQLITE: [], MONGO: []}
    with tempfile.TemporaryDirectory() as name, places(Path(name)) as make, ExitStack() as stack:
        ports = {store: stack.enter_context(_api(make(store))) for store in (SQLITE, MONGO)}
        bare = make(MONGO)
        for port in ports.values():
            _rate(port, WARM_UP)
        for turn in range(rounds):
            for store, port in ports.items():
                enqueued[store].append(_rate(port, SECONDS))
            enqueued[BARE].append(uvloop.run(_inserts(bare.url, SECONDS)))
            for store, rates in dispatched.items():
                rates.append(dispatch(1, jobs, place=make(store)))
            told = ", ".join(f"{store} {enqueued[store][-1]:,.0f}/s and {dispatched[store][-1]:,.0f}/s" for store in dispatched)
            say(f"round {turn + 1}: enqueued and dispatched: {told}; the server alone {enqueued[BARE][-1]:,.0f}/s")
    return [
        Figure(f"enqueue on MongoDB, {MANY} connections", "requests/s", enqueued[MONGO], enqueued[SQLITE], "on SQLite"),
        Figure(f"enqueue on MongoDB, {MANY} connections", "requests/s", enqueued[MONGO], enqueued[BARE], BARE),
        Figure("dispatch on MongoDB, 1 worker", "jobs/s", dispatched[MONGO], dispatched[SQLITE], "on SQLite"),
    ]


@contextlib.contextmanager
def _api(place: Place) -> Iterator[int]:
    with tempfile.TemporaryDirectory() as folder, RealRedis() as redis:
        settings = {**settings_for(folder, redis.url), "FASTLANE_STORE_URL": place.url, "FASTLANE_LOG_FORMAT": "console"}
        with api(settings) as port:
            yield port


def _rate(port: int, seconds: float) -> float:
    return uvloop.run(load.run(port, load.post(port, "/tasks/bench", BODY), connections=MANY, seconds=seconds)).rate


async def _inserts(url: str, seconds: float) -> float:
    """Documents a second that the server takes from ``MANY`` tasks of this process."""
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(url, retryWrites=False, w="majority", journal=True)
    documents, until = client.get_default_database()["bare"], time.perf_counter() + seconds

    async def insert() -> int:
        count = 0
        while time.perf_counter() < until:
            await documents.insert_one({"text": "x" * 1_000})
            count += 1
        return count

    try:
        return sum(await asyncio.gather(*(insert() for _ in range(MANY)))) / seconds
    finally:
        client.close()
