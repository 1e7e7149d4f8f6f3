"""docs/troubleshooting.md: each trouble whose words are on that page is produced for real, here or where ``ELSEWHERE`` says."""

import asyncio
import contextlib
import fcntl
import os
import re
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from fastlane.models.pool import Pool
from fastlane.queue.port import Lane
from fastlane.storage.sqlite.migration import prepare
from tests.support.credentials import bearer, token
from tests.support.docs import ROOT
from tests.support.fastlane import HOST, Fastlane
from tests.support.redis import RealRedis
from tests.support.waiting import LONG_PATIENCE

PAGE = ROOT / "docs/troubleshooting.md"
NO_REDIS = "unix:///nowhere/redis"
ELSEWHERE = {
    "exit": "integration/test_endings.py",
    "image": "integration/test_registries.py",
    "unschedulable": "integration/test_endings.py",
    "truncated: true": "integration/test_logs_large.py",
    "0/1": "integration/test_stack_one_node.py",
    "no suitable node (scheduling constraints not satisfied": "integration/test_stack_one_node.py",
    "only updates to Labels are allowed": "integration/test_swarm_facts.py",
    "secret not found": "integration/test_stack_one_node.py",
    "No such image": "integration/test_swarm_facts.py",
    "rollback_completed": "integration/test_stack.py",
}
"""Words of troubles that need an engine, and the tests that have them."""


def words_of(heading: str) -> list[str]:
    """The first words in code of each row of a section's table."""
    _, _, rest = PAGE.read_text("utf-8").partition(f"\n## {heading}\n")
    found = re.findall(r"^\| [^`|]*`([^`]*)`", rest.partition("\n## ")[0], re.MULTILINE)
    assert found, heading
    return found


# fastlane does not start


class Place:
    """A folder in which a fastlane is to start, and its variables."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder = folder
        self.role = "api"
        self.variables = {
            "FASTLANE_REDIS_URL": redis_url,
            "FASTLANE_LISTEN": "127.0.0.1",
            "FASTLANE_PORT": "0",
            "FASTLANE_DATA_DIR": str(folder),
            "FASTLANE_STORE_URL": f"sqlite:///{folder / 'store.db'}",
        }

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """The process; it is over after the block."""
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **self.variables}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fastlane", self.role, cwd=self.folder, env=environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def taken_port(place: Place, stack: contextlib.ExitStack) -> None:
    taken = stack.enter_context(socket.socket())
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    place.variables["FASTLANE_PORT"] = str(taken.getsockname()[1])


def used_folder(place: Place, stack: contextlib.ExitStack) -> None:
    place.role = "up"
    del place.variables["FASTLANE_REDIS_URL"]
    lock = stack.enter_context((place.folder / "redis.lock").open("w"))
    fcntl.flock(lock, fcntl.LOCK_EX)


def newer_store(place: Place, _: contextlib.ExitStack) -> None:
    prepare(place.folder / "store.db", 5.0)
    with contextlib.closing(sqlite3.connect(place.folder / "store.db")) as db, db:
        db.execute("INSERT INTO schema VALUES (99, 99)")


def dropping_redis(place: Place, stack: contextlib.ExitStack) -> None:
    place.variables["FASTLANE_REDIS_URL"] = stack.enter_context(RealRedis("--maxmemory-policy", "allkeys-lru")).url


def with_variables(**variables: str | None) -> Callable[[Place, contextlib.ExitStack], None]:
    def change(place: Place, _: contextlib.ExitStack) -> None:
        for name, value in variables.items():
            place.variables.pop(f"FASTLANE_{name}", None)
            if value is not None:
                place.variables[f"FASTLANE_{name}"] = value

    return change


STARTS: dict[str, Callable[[Place, contextlib.ExitStack], None]] = {
    "cannot listen on 127.0.0.1:10000: Address already in use": taken_port,
    "another fastlane uses the data folder": used_folder,
    "lets other machines in, and without users and tokens anyone who reaches the server could run any container": with_variables(
        LISTEN="0.0.0.0"
    ),
    "is not a setting": with_variables(COLOUR="red"),
    "which does not exist; create it, or correct the path": with_variables(TLS_CERTIFICATE="/nowhere/tls.pem", TLS_KEY="/nowhere/tls.key"),
    "needs one; set FASTLANE_REDIS_URL=redis://HOST:6379/0": with_variables(REDIS_URL=None),
    "is not an SQLite database": with_variables(STORE_URL=f"sqlite:///{Path(__file__)}"),
    "cannot be opened": with_variables(STORE_URL="sqlite:////nowhere/store.db"),
    "the store was made by a newer fastlane": newer_store,
    "Redis drops entries when its memory is full": dropping_redis,
    "store.waiting": with_variables(STORE_URL="mongodb://127.0.0.1:9/fastlane"),
    "queue.not_checked": with_variables(REDIS_URL=NO_REDIS),
}
GO_ON = ("store.waiting", "queue.not_checked")


@pytest.mark.sqlite
@pytest.mark.parametrize("words", words_of("fastlane does not start"))
async def test_a_start_that_fails_says_so_in_the_words_of_the_page(words: str, shared_redis: RealRedis, tmp_path: Path) -> None:
    place = Place(tmp_path, shared_redis.url)
    with contextlib.ExitStack() as stack:
        STARTS[words](place, stack)
        async with place.started() as process, asyncio.timeout(LONG_PATIENCE):
            assert process.stdout is not None
            if words in GO_ON:
                while words not in (line := (await process.stdout.readline()).decode()):
                    assert line, "it ended"
                assert process.returncode is None
            else:
                said = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:10000", (await process.stdout.read()).decode())
                assert words in said
                assert await process.wait() in (1, 2)
                assert said.splitlines()[-1].startswith("fastlane: ")


# a command or a request is refused


async def typed(url: str, *command: str, **variables: str) -> str:
    """What a command wrote to standard error; it failed."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "FASTLANE_URL": url, **variables}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fastlane", *command, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), LONG_PATIENCE)
    assert process.returncode
    return said.decode()


async def test_each_refusal_has_the_words_of_the_page(own_redis: RealRedis, tmp_path: Path) -> None:
    away, checked, unknown, forbidden, refused = words_of("A command or a request is refused")
    assert away in await typed("http://127.0.0.1:9", "ps")
    assert checked in await typed("http://127.0.0.1:9", "check", FASTLANE_DATA_DIR=str(tmp_path))
    async with Fastlane(tmp_path / "server", own_redis.url, tokens=(token("ci", "fl_read", "read"),)) as server:
        assert unknown in await typed(server.base, "ps")
        assert forbidden in await typed(server.base, "run", "ubuntu", FASTLANE_TOKEN="fl_read")
        assert forbidden in (await server.post("/tasks/task", {"image": "ubuntu"}, headers=bearer("fl_read"))).json["detail"]
    async with Fastlane(tmp_path / "open", own_redis.url) as server:
        own_redis.stop()
        answer = await server.post("/tasks/task", {"image": "ubuntu"})
        assert answer.status == 503
        assert refused == f"Retry-After: {answer.headers['Retry-After']}"


# a job does not run


async def test_a_job_that_does_not_run_tells_each_reason_of_the_page(shared_redis: RealRedis, tmp_path: Path) -> None:
    pools = (Pool("small", "small", (HOST,), max_running=1), Pool("other", "other", (HOST,)))
    async with Fastlane(tmp_path, shared_redis.url, pools=pools) as server:

        async def reasons(task: str, **fields: object) -> set[str]:
            reply = await server.enqueue(task, **fields)
            return {wait["reason"] for wait in (await server.get(f"{reply['jobUrl']}why")).json["waitingFor"]}

        found = await reasons("other")
        await server.report_worker(usable=False)
        found |= await reasons("other")
        await server.report_worker()
        first = await server.enqueue("small")
        await server.queue.generation.set_generation("1")
        (lease,) = (await server.queue.claim("1", "worker", [Lane("small", 1)], 1, lease=60_000)).leases
        assert lease.id == first["executionId"]
        await server.run(first)
        found |= await reasons("small", concurrency=1) | await reasons("other", startIn="1h")
        later = await server.enqueue("other", cron="0 0 1 1 *")
        assert (await server.post(f"{later['jobUrl']}pause")).status == 200
        found |= {wait["reason"] for wait in (await server.get(f"{later['jobUrl']}why")).json["waitingFor"]}
        assert (await server.post("/pools/other/pause")).status == 200
        found |= await reasons("other")
        assert (await server.post("/dispatch/pause")).status == 200
        found |= await reasons("other")
        named = set(words_of("A job does not run"))
        assert named - found == set(), (named, found)


@pytest.mark.parametrize("words", [*words_of("A job failed, or its log is cut"), *words_of("On a swarm")])
def test_the_words_of_an_engine_are_in_a_test_with_one(words: str) -> None:
    assert (ROOT / "tests" / ELSEWHERE[words]).exists()
    assert words.partition(":")[0] in (ROOT / "tests" / ELSEWHERE[words]).read_text("utf-8")
