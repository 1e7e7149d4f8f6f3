"""Today's program and that of the release before it, on one store and one Redis: an upgrade, process by process, and the way back.

The older program is run for real: ``tests/support/previous_release.py`` says where it comes from. Under way meanwhile are jobs, a cron of
every minute, deliveries to a receiver that refuses them until the process that made them has ended, and a follower of a log.
"""

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pymongo import MongoClient

from fastlane.storage.mongo.rows import INDEXES
from tests.support.checkout import plain_environment
from tests.support.credentials import bearer
from tests.support.docs import commands
from tests.support.followers import follow_on
from tests.support.installation import ROOT, Installation, installed
from tests.support.previous_release import unpack
from tests.support.redis import RealRedis
from tests.support.waiting import LONG_PATIENCE, wait_until

HOLD = "trap 'echo bye; exit 5' TERM; echo begun; while :; do sleep 0.05; done"
SHORT = "echo short; sleep 0.1"
TALK = "trap 'exit 5' TERM; n=0; while :; do echo $n; n=$((n+1)); sleep 0.1; done"
AT_ONCE = 4
TURN = 90.0
"""Seconds within which a cron of every minute is due, and its job has ended."""
TEST = 900.0
"""Seconds that a test may take."""
KINDS = ("sqlite", "mongo")
pytestmark = [pytest.mark.thorough, pytest.mark.timeout(TEST)]


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


@dataclass
class Refusing:
    """A receiver of webhooks that refuses what it gets (503) until ``takes`` is set. It keeps the ids and the jobs of both."""

    port: int = 0
    takes: bool = False
    refused: list[tuple[str, str]] = field(default_factory=list)
    taken: list[tuple[str, str]] = field(default_factory=list)

    def job(self, fastlane: Installation) -> dict[str, Any]:
        """Runs a job and refuses the webhook about its end, which its sender is to send again."""
        self.takes = False
        reply = fastlane.run("true", webhooks={"finishes": [{"url": f"http://127.0.0.1:{self.port}/hook"}]})
        wait_until(lambda: self._has(self.refused, reply), f"a webhook about {reply}: {fastlane.log('worker')}")
        return reply

    def until_taken(self, fastlane: Installation, reply: dict[str, Any]) -> None:
        """Takes what comes from now on; returns when it has had the webhook about this job, which is the one that it has refused."""
        self.takes = True
        wait_until(lambda: self._has(self.taken, reply), f"a webhook about {reply} again: {fastlane.log('worker')}", TURN)
        assert set(self._has(self.taken, reply)) == set(self._has(self.refused, reply))

    def _has(self, requests: list[tuple[str, str]], reply: dict[str, Any]) -> list[str]:
        return [id for id, job in requests if job == reply["jobId"]]


@pytest.fixture
def receiver() -> Iterator[Refusing]:
    """Such a receiver, which listens on loopback."""
    refusing = Refusing()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            (refusing.taken if refusing.takes else refusing.refused).append((self.headers["webhook-id"], body["jobId"]))
            self.send_response(200 if refusing.takes else 503)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        refusing.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield refusing
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def followed(fastlane: Installation, reply: dict[str, Any]) -> Iterator[Future[str]]:
    """A client in a thread of its own that follows a job's log until its end, over all API servers that there are. Its text."""

    async def follow() -> str:
        assert fastlane.token is not None
        async with aiohttp.ClientSession(headers=bearer(fastlane.token)) as session:
            text, _, cuts = await follow_on(session, [fastlane.url], f"/tasks/test/jobs/{reply['jobId']}", TEST)
            assert cuts >= 2
            return text

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    text = asyncio.run_coroutine_threadsafe(follow(), loop)
    try:
        yield text
    finally:
        text.cancel()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def fired(fastlane: Installation, reply: dict[str, Any]) -> list[dict[str, Any]]:
    """The ticks of a cron, the oldest first."""
    items: list[dict[str, Any]] = fastlane.get(f"/tasks/test/jobs/{reply['jobId']}/ticks").json["items"]
    return items[::-1]


def fires_again(fastlane: Installation, reply: dict[str, Any]) -> None:
    """Returns when a cron has fired once more, and that run has ended well."""
    count = len(fired(fastlane, reply))
    wait_until(lambda: len(fired(fastlane, reply)) > count, f"a tick more than {count}: {fastlane.log('worker')}", TURN)
    assert fastlane.ends(reply)["status"] == "done"


@pytest.mark.parametrize("store_url", ["sqlite", pytest.param("mongo", marks=pytest.mark.repeated)], indirect=True)
def test_an_upgrade_process_by_process_and_its_rollback_lose_nothing_and_repeat_nothing(
    engine: str, own_redis: RealRedis, previous: Path, store_url: str, receiver: Refusing, tmp_path: Path
) -> None:
    pool: dict[str, object] = {"policy": {"mounts": True}}
    settings = {"store_url": store_url, "webhook_allow": "127.0.0.1"}
    with (
        installed(tmp_path, engine, redis=own_redis.url, pool=pool, with_token=True, **settings) as fastlane,
        contextlib.ExitStack() as stack,
    ):
        old_api, old_worker = fastlane.serve("api", program=previous), fastlane.start("worker", program=previous)
        until_workers(fastlane, 1)
        work(fastlane)
        first = held(fastlane)
        later = fastlane.run("true", cron="0 0 1 1 *", retries=2, timeout="5m")
        before = views(fastlane, first, later)
        minutely = fastlane.run_script("true", cron="* * * * *")
        talker = fastlane.run_script(TALK)
        text = stack.enter_context(followed(fastlane, talker))

        worker = fastlane.start("worker")
        until_workers(fastlane, 2)
        work(fastlane)
        refused = receiver.job(fastlane)
        fastlane.terminate(old_worker, old_api)
        api = fastlane.serve("api")
        receiver.until_taken(fastlane, refused)
        until_workers(fastlane, 1)
        after = views(fastlane, first, later)
        for path, view in before.items():
            assert is_part_of(view, after[path]), (view, after[path])
        work(fastlane)
        stopped(fastlane, first)
        fires_again(fastlane, minutely)

        second = held(fastlane)
        back = fastlane.start("worker", program=previous)
        until_workers(fastlane, 2)
        work(fastlane)
        refused = receiver.job(fastlane)
        fastlane.terminate(worker, api)
        fastlane.serve("api", program=previous)
        receiver.until_taken(fastlane, refused)
        until_workers(fastlane, 1)
        work(fastlane)
        stopped(fastlane, second)
        fires_again(fastlane, minutely)
        assert fastlane.get(f"/tasks/test/jobs/{first['jobId']}").json["job"]["executions"][0]["status"] == "stopped"
        assert back.poll() is None

        fastlane.stop(minutely)
        ticks = fired(fastlane, minutely)
        moments = [datetime.fromisoformat(tick["due"]) for tick in ticks if tick["outcome"] == "started"]
        assert moments == [moments[0] + timedelta(minutes=number) for number in range(len(moments))], ticks
        fastlane.stop(talker)
        fastlane.ends(talker)
        output = fastlane.output(talker).decode()
        assert text.result(LONG_PATIENCE) == output == "".join(f"{number}\n" for number in range(output.count("\n")))
        starts = fastlane.witness.starts()
        assert (len(starts), set(starts.values())) == (5 * AT_ONCE + 3 + len(moments), {1})


def typed(fastlane: Installation, command: str, program: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of the page where the settings are, by a program."""
    words = command.removeprefix("fastlane ")
    around = {**fastlane.environment(), "PYTHONPATH": str(program), **settings}
    return subprocess.run(
        ["bash", "-c", f"{sys.executable} -m fastlane {words}"],
        cwd=fastlane.folder, env=around, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_one_machine_is_upgraded_and_goes_back_and_has_its_backup_where_it_may_not_go_back(
    engine: str, previous: Path, tmp_path: Path
) -> None:
    """`fastlane up` with its own Redis and SQLite. At last the store is one that the older program must not use."""
    (export,) = (line for line in commands(ROOT / "docs/upgrading.md") if line.startswith("fastlane export"))
    backup, restored = tmp_path / export.split()[-1], tmp_path / "restored"
    with installed(tmp_path, engine, pool={"policy": {"mounts": True}}, with_token=True) as fastlane:
        up = fastlane.serve("up", program=previous)
        until_workers(fastlane, 1)
        work(fastlane)
        going = held(fastlane)
        later = fastlane.run("true", startIn="300d")
        minutely = fastlane.run_script("true", cron="* * * * *")
        fires_again(fastlane, minutely)
        before = views(fastlane, later)
        for program in (ROOT, previous):
            made = typed(fastlane, export, previous if program == ROOT else ROOT)
            assert made.returncode == 0, made.stderr
            fastlane.terminate(up)
            up = fastlane.serve("up", program=program)
            until_workers(fastlane, 1)
            assert is_part_of(before, views(fastlane, later))
            work(fastlane)
            fires_again(fastlane, minutely)
            if program == ROOT:
                before_the_upgrade = backup.read_bytes()
        stopped(fastlane, going)
        fastlane.stop(minutely)
        ticks = fired(fastlane, minutely)
        fastlane.terminate(up)
        moments = [datetime.fromisoformat(tick["due"]) for tick in ticks if tick["outcome"] == "started"]
        assert moments == [moments[0] + timedelta(minutes=number) for number in range(len(moments))], ticks
        starts = fastlane.witness.starts()
        assert (len(starts), set(starts.values())) == (3 * AT_ONCE + 1 + len(moments), {1})

        raise_schema(f"sqlite:///{tmp_path / 'fastlane.db'}", 99)
        refused = fastlane.start("up", program=previous)
        assert refused.wait(LONG_PATIENCE) == 1
        assert "the store was made by a newer fastlane" in fastlane.log("up").splitlines()[-1]
        backup.write_bytes(before_the_upgrade)
        restored.mkdir()
        imported = typed(fastlane, f"fastlane import {backup}", previous, FASTLANE_DATA_DIR=str(restored))
        assert imported.returncode == 0, imported.stderr
        fastlane.settings["DATA_DIR"] = str(restored)
        fastlane.serve("up", program=previous)
        until_workers(fastlane, 1)
        assert fastlane.get("/status").json["dispatch"]["paused"]
        assert fastlane.get(f"/tasks/test/jobs/{later['jobId']}").status == 200
        assert len(fastlane.witness.starts()) == len(starts)


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
