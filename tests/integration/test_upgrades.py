"""Today's program and that of the release before it, on one store and one Redis: an upgrade, process by process, and the way back.

The older program is run for real: ``tests/support/previous_release.py`` says where it comes from.
"""

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from fastlane.storage.mongo.schema import INDEXES
from tests.support.checkout import plain_environment
from tests.support.installation import ROOT, Installation, installed
from tests.support.previous_release import unpack
from tests.support.redis import RealRedis
from tests.support.waiting import LONG_PATIENCE, wait_until

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(300)]

HOLD = "trap 'echo bye; exit 5' TERM; echo begun; while :; do sleep 0.05; done"
SHORT = "echo short; sleep 0.1"
AT_ONCE = 4
KINDS = ("sqlite", "mongo")


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the older program."""
    return unpack(tmp_path_factory.mktemp("previous"))


@pytest.fixture
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store that is not there yet, not even its tables or indexes."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'fastlane.db'}"
        return
    url: str = request.getfixturevalue("mongo_url")
    drop(url)
    yield url
    drop(url)


def drop(url: str) -> None:
    """Removes a database of MongoDB, which other tests share."""
    with MongoClient[dict[str, Any]](url, timeoutMS=30_000) as client:
        client.drop_database(client.get_default_database().name)


def is_part_of(part: Any, whole: Any) -> bool:
    """Whether an answer has all that another one had: a newer program may add fields."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and is_part_of(value, whole[name]) for name, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(is_part_of, part, whole))
    return bool(part == whole)


def views(fastlane: Installation, *replies: dict[str, Any]) -> dict[str, Any]:
    """What the API says of these jobs, by path."""
    paths = [f"/tasks/test/jobs/{reply['jobId']}{end}" for reply in replies for end in ("", "/ticks", "/executions")]
    return {path: fastlane.get(path).json for path in paths}


def work(fastlane: Installation) -> None:
    """Some jobs, which the workers that there are share."""
    for reply in [fastlane.run_script(SHORT) for _ in range(AT_ONCE)]:
        assert fastlane.ends(reply)["status"] == "done", fastlane.log("worker")
        assert fastlane.output(reply) == b"short\n"


def held(fastlane: Installation) -> dict[str, Any]:
    """A job that runs until it is stopped."""
    reply = fastlane.run_script(HOLD)
    fastlane.has_written(reply, b"begun\n")
    return reply


def stopped(fastlane: Installation, reply: dict[str, Any]) -> None:
    """Stops a job, which has run once, from its first line to its last."""
    fastlane.stop(reply)
    assert fastlane.ends(reply)["status"] == "stopped"
    assert fastlane.output(reply) == b"begun\nbye\n"


def until_workers(fastlane: Installation, count: int) -> None:
    """Returns when the API knows that many workers."""
    wait_until(lambda: len(fastlane.get("/status").json["workers"]["items"]) == count, f"{count} workers: {fastlane.log('worker')}")
    fastlane.until_healthy()


@pytest.mark.parametrize("store_url", ["sqlite", pytest.param("mongo", marks=pytest.mark.repeated)], indirect=True)
def test_an_upgrade_process_by_process_and_its_rollback_lose_nothing_and_repeat_nothing(
    engine: str, own_redis: RealRedis, previous: Path, store_url: str, tmp_path: Path
) -> None:
    pool: dict[str, object] = {"policy": {"mounts": True}}
    with installed(tmp_path, engine, redis=own_redis.url, pool=pool, with_token=True, store_url=store_url) as fastlane:
        old_api, old_worker = fastlane.serve("api", program=previous), fastlane.start("worker", program=previous)
        until_workers(fastlane, 1)
        work(fastlane)
        first = held(fastlane)
        later = fastlane.run("true", cron="0 0 1 1 *", retries=2, timeout="5m")
        before = views(fastlane, first, later)

        worker = fastlane.start("worker")
        until_workers(fastlane, 2)
        work(fastlane)
        fastlane.terminate(old_worker, old_api)
        api = fastlane.serve("api")
        until_workers(fastlane, 1)
        after = views(fastlane, first, later)
        for path, view in before.items():
            assert is_part_of(view, after[path]), (view, after[path])
        work(fastlane)
        stopped(fastlane, first)

        second = held(fastlane)
        back = fastlane.start("worker", program=previous)
        until_workers(fastlane, 2)
        work(fastlane)
        fastlane.terminate(worker, api)
        fastlane.serve("api", program=previous)
        until_workers(fastlane, 1)
        work(fastlane)
        stopped(fastlane, second)
        assert fastlane.get(f"/tasks/test/jobs/{first['jobId']}").json["job"]["executions"][0]["status"] == "stopped"
        assert back.poll() is None
        starts = fastlane.witness.starts()
        assert (len(starts), set(starts.values())) == (5 * AT_ONCE + 2, {1})


def begun(folder: Path, store_url: str, redis_url: str, program: Path) -> subprocess.Popen[str]:
    """An API server of a program on a store."""
    settings = {
        "FASTLANE_STORE_URL": store_url,
        "FASTLANE_REDIS_URL": redis_url,
        "FASTLANE_PORT": "0",
        "FASTLANE_LISTEN": "127.0.0.1",
        "FASTLANE_DATA_DIR": str(folder),
    }
    environment = {**plain_environment(), **settings, "PYTHONPATH": str(program)}
    return subprocess.Popen(
        [sys.executable, "-m", "fastlane", "api"], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def raise_schema(store_url: str, min_reader: int) -> None:
    """Lets the store be one that a later fastlane, of schema 99, has brought up to date."""
    if store_url.startswith("sqlite:///"):
        with contextlib.closing(sqlite3.connect(store_url.removeprefix("sqlite:///"))) as db, db:
            db.execute("INSERT OR REPLACE INTO schema VALUES (99, ?)", (min_reader,))
        return
    with MongoClient[dict[str, Any]](store_url, timeoutMS=30_000) as client:
        change = {"$set": {"version": 99, "min_reader": min_reader}}
        client.get_default_database()["meta"].update_one({"_id": "schema"}, change, upsert=True)


def missing_indexes(store_url: str) -> set[str]:
    """The names of today's indexes that a database of MongoDB does not have."""
    with MongoClient[dict[str, Any]](store_url, timeoutMS=30_000) as client:
        database = client.get_default_database()
        there = {name for collection in INDEXES for name in database[collection].index_information()}
    return {index.document["name"] for indexes in INDEXES.values() for index in indexes} - there


@pytest.mark.parametrize("store_url", KINDS, indirect=True)
def test_an_older_program_uses_a_newer_store_that_allows_it_and_otherwise_ends_and_says_which_one_to_install(
    own_redis: RealRedis, previous: Path, store_url: str, tmp_path: Path
) -> None:
    def serves(program: Path) -> None:
        with begun(tmp_path, store_url, own_redis.url, program) as process:
            assert process.stdout is not None
            said = process.stdout.readline()
            process.terminate()
            assert process.wait(LONG_PATIENCE) == 0, said + process.stdout.read()

    serves(previous)
    serves(ROOT)
    assert not store_url.startswith("mongodb") or not missing_indexes(store_url)
    raise_schema(store_url, 1)
    serves(previous)
    serves(ROOT)
    raise_schema(store_url, 99)
    for program in (previous, ROOT):
        with begun(tmp_path, store_url, own_redis.url, program) as process:
            said, _ = process.communicate(timeout=LONG_PATIENCE)
        assert process.returncode == 1
        assert "the store was made by a newer fastlane (it needs schema 99, this one has " in said.splitlines()[-1]
        assert said.splitlines()[-1].endswith("install that one")
