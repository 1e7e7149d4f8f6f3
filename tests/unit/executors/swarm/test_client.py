"""Calls to an engine that says nothing, drips, or is not one: each ends within its deadline."""

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.errors import HostDown
from fastlane.executors.swarm.client import OLDEST_API, CallTimeouts, EngineClient, negotiate
from fastlane.executors.swarm.faults import HostTimeout
from fastlane.executors.swarm.transport import EngineTransport
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


def client_of(engine: Engine) -> EngineClient:
    return EngineClient(EngineTransport(Endpoint(engine.url)), timeouts=CallTimeouts(connect=1, read=1, whole=0.3))


async def test_a_call_to_a_silent_engine_ends_within_its_deadline(engine: Engine) -> None:
    client = client_of(engine)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(HostTimeout, match=r"did not answer within 0\.3 s"):
            await client.get("/nodes")
    await client.close()


async def test_a_read_that_takes_too_long_is_told_by_its_own_bound(engine: Engine) -> None:
    client = EngineClient(EngineTransport(Endpoint(engine.url)), timeouts=CallTimeouts(read=0.1, whole=PATIENCE))
    with pytest.raises(HostTimeout, match=r"did not answer within 0\.1 s"):
        await client.get("/nodes")
    await client.close()


async def test_an_engine_that_drips_does_not_pass_the_deadline(engine: Engine) -> None:
    engine.answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", *([b" "] * 100)]
    client = client_of(engine)
    with pytest.raises(HostTimeout):
        await client.get("/nodes")
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
    client = EngineClient(EngineTransport(Endpoint(engine.url)))
    with pytest.raises(HostDown, match=words):
        await client.get("/nodes")
    await client.close()


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [("1.45", "1.24", "1.45"), ("1.43", "1.12", "1.43"), ("1.52", "1.44", "1.45"), ("1.60", "1.50", "1.50"), ("1.41", "", "1.41")],
)
async def test_the_newest_version_that_both_know_is_spoken(engine: Engine, newest: str, oldest: str, spoken: str) -> None:
    engine.says(f'{{"ApiVersion": "{newest}", "MinAPIVersion": "{oldest}"}}'.encode())
    client = EngineClient(EngineTransport(Endpoint(engine.url)))
    assert client.version == OLDEST_API
    assert await negotiate(client, 5) == spoken
    await client.close()


async def test_an_engine_that_is_too_old_says_so(engine: Engine) -> None:
    engine.says(b'{"ApiVersion": "1.40", "MinAPIVersion": "1.12"}')
    client = EngineClient(EngineTransport(Endpoint(engine.url)))
    with pytest.raises(HostDown, match=r"speaks Docker API 1\.40; 1\.41 is needed"):
        await negotiate(client, 5)
    await client.close()


async def test_a_call_after_the_client_was_closed_fails_as_one_to_a_host_that_is_away(engine: Engine) -> None:
    """A call that is about to be made when its host is removed."""
    engine.says(b"[]")
    client = EngineClient(EngineTransport(Endpoint(engine.url)))
    assert await client.get("/nodes") == []
    await client.close()
    with pytest.raises(HostDown):
        await client.get("/nodes")


async def test_nothing_in_the_environment_leads_a_call_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    client = EngineClient(EngineTransport(Endpoint("127.0.0.1:1")))
    with pytest.raises(HostDown, match=r"127\.0\.0\.1:1 refused the connection"):
        await client.get("/nodes")
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
    client = EngineClient(EngineTransport(Endpoint(engine.url)))
    assert await client.get("/nodes") == []
    assert b"hunter2" not in engine.heard
    await client.close()


PROGRAM = """
import asyncio, sys
from fastlane.executors.swarm.client import EngineClient
from fastlane.executors.swarm.faults import HostTimeout
from fastlane.executors.swarm.transport import EngineTransport
from fastlane.models.host import Endpoint
async def main():
    client = EngineClient(EngineTransport(Endpoint(sys.argv[1])))
    try:
        await client.get("/nodes", deadline=0.1)
    except HostTimeout:
        print("gave up")
asyncio.run(main())
"""


async def test_a_process_ends_although_a_call_hangs(engine: Engine) -> None:
    run = asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, engine.url, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(20):
        said, _ = await (await run).communicate()
    assert said == b"gave up\n"
