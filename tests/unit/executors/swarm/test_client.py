"""Calls to an engine that says nothing, drips, or is not one: each ends within its deadline, and no thread of it holds up anybody."""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.errors import HostDown
from fastlane.executors.swarm.client import OLDEST_API, BlockingCall, Bulkhead, BulkheadFull, CallTimeouts, Client, negotiate
from fastlane.executors.swarm.connection import Transport
from fastlane.executors.swarm.faults import HostTimeout, NotHostsFault
from fastlane.models.host import Endpoint
from tests.support.waiting import PATIENCE


class Engine:
    """Something that listens on a socket and answers every request with ``answer``, or with silence."""

    def __init__(self, path: Path) -> None:
        self.url = f"unix://{path}"
        self.answer: list[bytes] | None = None
        self.heard = b""
        self._path = path
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "Engine":
        self._server = await asyncio.start_unix_server(self._serve, str(self._path))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        while line := await reader.readline():
            self.heard += line
            if self.answer is not None and not line.strip():
                for part in self.answer:
                    writer.write(part)
                    await asyncio.sleep(0.05)  # so that the parts come apart
                writer.close()
                return

    def says(self, body: bytes, status: str = "200 OK") -> None:
        self.answer = [f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body]


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    folder = Path(tempfile.mkdtemp(prefix="fl", dir="/tmp"))
    async with Engine(folder / "s") as made:
        yield made
    shutil.rmtree(folder)


def client_of(engine: Engine, **options: int) -> Client:
    return Client(Transport(Endpoint(engine.url)), timeouts=CallTimeouts(connect=1, read=1, whole=0.3), **options)


async def test_a_call_to_a_silent_engine_ends_within_its_deadline(engine: Engine) -> None:
    client = client_of(engine)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(HostTimeout, match=r"did not answer within 0\.3 s"):
            await client.call(lambda api: api.nodes())
    await client.close()


async def test_an_engine_that_drips_does_not_pass_the_deadline(engine: Engine) -> None:
    engine.answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", *([b" "] * 100)]
    client = client_of(engine)
    with pytest.raises(HostTimeout):
        await client.call(lambda api: api.nodes())
    await client.close()


async def test_calls_beyond_the_bound_are_refused_at_once_and_other_hosts_are_not_held_up(engine: Engine) -> None:
    client = client_of(engine, threads=2, waiting=1)
    calls = [asyncio.ensure_future(client.call(lambda api: api.nodes())) for _ in range(4)]
    await asyncio.sleep(0)
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in found] == [HostTimeout, HostTimeout, NotHostsFault, NotHostsFault]
    await client.close()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"<html>", "200 OK", "is not JSON"),
        (b'{"message": "This node is not a swarm manager."}', "503 Service Unavailable", "run docker swarm init"),
    ],
)
async def test_what_an_engine_answers_amiss_is_its_fault(engine: Engine, body: bytes, status: str, words: str) -> None:
    engine.says(body, status)
    client = Client(Transport(Endpoint(engine.url)))
    with pytest.raises(HostDown, match=words):
        await client.call(lambda api: api.nodes())
    await client.close()


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [("1.45", "1.24", "1.45"), ("1.43", "1.12", "1.43"), ("1.52", "1.44", "1.45"), ("1.60", "1.50", "1.50"), ("1.41", "", "1.41")],
)
async def test_the_newest_version_that_both_know_is_spoken(engine: Engine, newest: str, oldest: str, spoken: str) -> None:
    engine.says(f'{{"ApiVersion": "{newest}", "MinAPIVersion": "{oldest}"}}'.encode())
    client = Client(Transport(Endpoint(engine.url)))
    assert client.version == OLDEST_API
    client.use_version(await negotiate(client, 5))
    assert client.version == spoken
    await client.close()


async def test_an_engine_that_is_too_old_says_so(engine: Engine) -> None:
    engine.says(b'{"ApiVersion": "1.40", "MinAPIVersion": "1.12"}')
    client = Client(Transport(Endpoint(engine.url)))
    with pytest.raises(HostDown, match=r"speaks Docker API 1\.40; 1\.41 is needed"):
        await negotiate(client, 5)
    await client.close()


async def test_nothing_in_the_environment_leads_a_call_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    client = Client(Transport(Endpoint("127.0.0.1:1")))
    with pytest.raises(HostDown, match=r"127\.0\.0\.1:1 refused the connection"):
        await client.call(lambda api: api.nodes())
    await client.close()


@pytest.mark.parametrize(
    "config", ["{", {"auths": {"docker.io": {"auth": "!"}}}, {"auths": {"docker.io": "x"}}, {"HttpHeaders": {"X-Secret": "hunter2"}}]
)
async def test_nothing_in_the_home_of_who_runs_it_changes_a_call(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: object
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    engine.says(b"[]")
    client = Client(Transport(Endpoint(engine.url)))
    assert await client.call(lambda api: api.nodes()) == []
    assert b"hunter2" not in engine.heard
    await client.close()


async def test_a_call_that_was_given_up_before_it_began_is_never_made() -> None:
    bulkhead = Bulkhead("test", 1, 5)
    hold, made = threading.Event(), []
    first = asyncio.ensure_future(bulkhead.run(lambda: hold.wait(10), 10))
    await asyncio.sleep(0)
    with pytest.raises(BulkheadFull):
        await bulkhead.run(lambda: made.append(1), 0.05)
    hold.set()
    assert await first
    await bulkhead.run(lambda: None, 10)
    assert made == []
    await bulkhead.close()


async def test_what_a_call_raises_comes_to_its_caller() -> None:
    bulkhead = Bulkhead("test", 1, 5)
    with pytest.raises(ZeroDivisionError):
        await bulkhead.run(lambda: 1 / 0, 10)
    assert await bulkhead.run(lambda: 5, 10) == 5
    await bulkhead.close()


async def test_a_cancellation_that_comes_with_the_answer_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    bulkhead = Bulkhead("test", 1, 5)
    settle = BlockingCall.settle

    def settling(job: BlockingCall, answer: object, error: Exception | None) -> None:
        settle(job, answer, error)
        task.cancel()

    monkeypatch.setattr(BlockingCall, "settle", settling)
    task = asyncio.ensure_future(bulkhead.run(lambda: 1, 10))
    await asyncio.wait([task])
    assert task.cancelled()
    await bulkhead.close()


PROGRAM = """
import asyncio, sys, time
from fastlane.executors.swarm.client import Bulkhead
async def main():
    bulkhead = Bulkhead("hung", 2, 2)
    try:
        await bulkhead.run(lambda: time.sleep(60), 0.1)
    except TimeoutError:
        print("gave up")
asyncio.run(main())
"""


def test_a_process_ends_although_a_call_hangs() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "gave up\n"
