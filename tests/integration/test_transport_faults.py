"""Each fault on the way to an engine, as it really happens there: whose fault it is, and what is said, for calls and for logs."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fastlane.errors import FastlaneError, HostDown
from fastlane.executors.swarm import logs
from fastlane.executors.swarm.client import CallTimeouts, Client
from fastlane.executors.swarm.faults import HostTimeout, NotHostsFault
from fastlane.executors.swarm.logs import LogReader
from fastlane.executors.swarm.transport import Transport
from fastlane.models.host import Endpoint, TlsFiles
from tests.support.certificates import make_certificate
from tests.support.relay import Filter, Relay

TIMEOUTS = CallTimeouts(connect=1, read=1, whole=2)
HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
GARBAGE = b"\x00\xff" * 20 + b"\r\n"


class Troubled:
    """A relay before a real engine whose answers are replaced, or cut off, by ``change``. Reached by TCP: nothing verifies it there."""

    def __init__(self, engine: str) -> None:
        self.change: Filter = bytes
        self.relay = Relay(0, engine, lambda: (bytes, self._changed))

    def _changed(self, answer: bytes) -> bytes | None:
        return self.change(answer)

    async def begin(self, fault: str) -> None:
        match fault:
            case "refused":
                await self.relay.stop()
            case "silent":
                self.relay.hang()
            case "dripping":
                self.relay.drips = True
            case "closed":
                self.change = lambda _: None
            case "cut":
                self.change = lambda answer: answer[:-5]
            case "garbage":
                self.change = lambda _: GARBAGE
            case "another server":
                self.change = lambda _: HTML

    async def call(self) -> FastlaneError:
        """What a call to it raises."""
        return await raised(self.transport, "call")

    async def log(self) -> FastlaneError:
        """What the reading of a log there raises."""
        return await raised(self.transport, "log")

    @property
    def transport(self) -> Transport:
        return Transport(Endpoint(f"127.0.0.1:{self.relay.place}", insecure=True))


@pytest.fixture
async def troubled(engine: str) -> AsyncIterator[Troubled]:
    made = Troubled(engine)
    async with made.relay:
        yield made


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("refused", HostDown, "refused the connection"),
        ("closed", HostDown, "closed the connection"),
        ("cut", HostTimeout, "did not answer within 1 s"),
        ("silent", HostTimeout, "did not answer within 1 s"),
        ("dripping", HostTimeout, "did not answer within 2 s"),
        ("garbage", HostDown, "answered what is not HTTP"),
        ("another server", HostDown, "answered what is not JSON"),
    ],
)
async def test_a_fault_of_a_call_is_the_hosts_and_is_named(troubled: Troubled, fault: str, kind: type[HostDown], words: str) -> None:
    await troubled.begin(fault)
    found = await troubled.call()
    assert type(found) is kind
    assert words in str(found)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("refused", HostDown, "refused the connection"),
        ("closed", HostDown, "closed the connection"),
        ("silent", NotHostsFault, "did not give a log within 1 s"),
        ("dripping", NotHostsFault, "did not give a log within 1 s"),
        ("garbage", HostDown, "answered what is not HTTP"),
    ],
)
async def test_a_fault_of_a_log_is_told_in_the_same_words(
    troubled: Troubled, monkeypatch: pytest.MonkeyPatch, fault: str, kind: type[HostDown], words: str
) -> None:
    monkeypatch.setattr(logs, "OPEN_WITHIN", 1.0)
    await troubled.begin(fault)
    found = await troubled.log()
    assert type(found) is kind
    assert words in str(found)


@dataclass(frozen=True)
class Resetting:
    """A port where each connection is reset as soon as something comes."""

    listener: socket.socket

    @property
    def transport(self) -> Transport:
        return Transport(Endpoint(f"127.0.0.1:{self.listener.getsockname()[1]}", insecure=True))

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()


@pytest.fixture
def resetting() -> Iterator[Resetting]:
    made = Resetting(socket.create_server(("127.0.0.1", 0)))
    thread = threading.Thread(target=made.serve)
    thread.start()
    yield made
    made.listener.shutdown(socket.SHUT_RDWR)
    made.listener.close()
    thread.join(10)


async def raised(transport: Transport, way: str) -> FastlaneError:
    """What an engine on this way makes a call raise, or the reading of a log."""
    client, reader = Client(transport, timeouts=TIMEOUTS), LogReader(transport)
    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "call": lambda: client.get("/nodes"),
        "log": lambda: reader.open("1.41", "task", {}, follow=True),
    }
    try:
        with pytest.raises(FastlaneError) as told:
            await ways[way]()
    finally:
        await client.close()
        await reader.close()
    return told.value


@pytest.fixture
async def certified(tmp_path: Path) -> AsyncIterator[tuple[int, Path, Path]]:
    """A port with TLS, and the certificate and key of ``localhost`` that it shows."""
    certificate, key = make_certificate(tmp_path, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], certificate, key


@pytest.mark.parametrize("way", ["call", "log"])
async def test_a_wrong_certificate_is_told_in_the_same_words(certified: tuple[int, Path, Path], tmp_path: Path, way: str) -> None:
    port, certificate, key = certified
    other, _ = make_certificate(tmp_path, "other")
    for name, ca, words in (
        ("localhost", other, "shows a certificate that the file ca in the settings does not vouch for"),
        ("127.0.0.1", certificate, "shows a certificate for another IP address than the one in its address"),
    ):
        found = await raised(Transport(Endpoint(f"{name}:{port}", tls=TlsFiles(ca, certificate, key))), way)
        assert type(found) is HostDown
        assert words in str(found)


@pytest.mark.parametrize("way", ["call", "log"])
async def test_a_port_without_tls_is_told_in_the_same_words(engine: str, tmp_path: Path, way: str) -> None:
    certificate, key = make_certificate(tmp_path, "localhost")
    async with Relay(0, engine) as relay:
        found = await raised(Transport(Endpoint(f"localhost:{relay.place}", tls=TlsFiles(certificate, certificate, key))), way)
    assert type(found) is HostDown
    assert "does not speak TLS there" in str(found)


async def test_a_reset_is_the_hosts_fault_for_calls_and_logs(resetting: Resetting) -> None:
    for way in ("call", "log"):
        found = await raised(resetting.transport, way)
        assert type(found) is HostDown
        assert "closed the connection" in str(found)
