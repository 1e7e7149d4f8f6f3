"""A log is read over HTTP from an engine that ends it, breaks it off, holds it open, or tells an error in it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from fastlane.errors import FastlaneError, HostDown, LogLost, ServiceGone
from fastlane.executors.swarm import logs
from fastlane.executors.swarm.clocks import SetBack
from fastlane.executors.swarm.logs import LogReader
from fastlane.executors.swarm.transport import Transport
from fastlane.models.host import Endpoint
from fastlane.models.log import STDERR, STDOUT, Mark, Piece, Portion
from tests.support.frames import frame, told
from tests.support.waiting import at_rest

NOW = 1_795_611_459_852_824_433
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PATIENCE = 10.0


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


END = chunked(b"")


class Engine:
    """Answers every request with ``head`` and ``parts`` in turn, then hangs up or, with ``hold``, says nothing more."""

    def __init__(self, path: Path) -> None:
        self.url = f"unix://{path}"
        self.queries: list[dict[str, list[str]]] = []
        self.paths: list[str] = []
        self.head = OK
        self.parts: Sequence[bytes] = [END]
        self.hold = False
        self.sent = 0
        self.left = asyncio.Event()
        """Set once a client has gone."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            request = await reader.readuntil(b"\r\n\r\n")
            asked = urlsplit(request.split()[1].decode())
            self.queries.append(parse_qs(asked.query))
            self.paths.append(asked.path)
            writer.write(self.head)
            for part in self.parts:
                writer.write(part)
                await writer.drain()
                self.sent += len(part)
            if self.hold:
                await reader.read()
        self.left.set()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = Engine(tmp_path / "s")
    server = await asyncio.start_unix_server(engine.answer, str(tmp_path / "s"))
    async with server:
        yield engine


@pytest.fixture
async def reader(engine: Engine) -> AsyncIterator[LogReader]:
    reader = LogReader(Transport(Endpoint(engine.url)))
    yield reader
    await reader.close()


async def read(
    reader: LogReader, marks: Mapping[int, Mark] | None = None, *, follow: bool = False
) -> tuple[list[Portion], FastlaneError | None]:
    """What a reading gives, and how it fails."""
    found: list[Portion] = []
    try:
        async with asyncio.timeout(PATIENCE):
            response = await reader.open("1.41", "task", marks or {}, follow=follow)
            async for portion in reader.portions(response, marks or {}, follow=follow):
                found.append(portion)
    except FastlaneError as error:
        return found, error
    return found, None


def pieces(portions: Sequence[Portion]) -> list[Piece]:
    return [piece for portion in portions for piece in portion.pieces]


async def test_a_log_is_read_to_its_end(engine: Engine, reader: LogReader) -> None:
    engine.parts = [chunked(frame(STDOUT, NOW, b"one\n")), chunked(frame(STDERR, NOW + 1, b"two\n")), END]
    found, error = await read(reader)
    assert error is None
    assert pieces(found) == [Piece(STDOUT, NOW, b"one\n"), Piece(STDERR, NOW + 1, b"two\n")]
    assert found[-1].marks == {STDOUT: Mark(NOW, 1), STDERR: Mark(NOW + 1, 1)}
    assert engine.queries == [{"stdout": ["1"], "stderr": ["1"], "timestamps": ["1"], "follow": ["0"], "since": ["0"]}]


async def test_a_log_is_read_on_from_its_marks(engine: Engine, reader: LogReader) -> None:
    engine.parts = [chunked(frame(STDOUT, NOW, b"one\n") + frame(STDERR, NOW + 1, b"two\n") + frame(STDOUT, NOW + 2, b"three\n")), END]
    found, error = await read(reader, {STDOUT: Mark(NOW, 1), STDERR: Mark(NOW + 1, 1)})
    assert (pieces(found), error) == ([Piece(STDOUT, NOW + 2, b"three\n")], None)
    assert engine.queries[0]["since"] == ["1795611459.852824433"]


MARK = 1_795_611_459_853
"""The millisecond after ``NOW``."""


@pytest.mark.parametrize(
    ("set_back", "since"),
    [
        (None, "1795611459.852824433"),
        (SetBack(MARK - 40_000, MARK + 40_000), "1795611409.853000000"),
        (SetBack(MARK - 40_000, MARK), "1795611409.853000000"),
        (SetBack(MARK - 40_000, MARK - 9_999), "1795611409.853000000"),
        (SetBack(MARK - 40_000, MARK - 10_001), "1795611459.852824433"),
        (SetBack(MARK + 60_000, MARK + 90_000), "1795611459.852824433"),
    ],
    ids=["never", "before the mark or after it", "at the mark", "a moment before it", "long before it", "after it"],
)
async def test_a_log_is_read_on_from_before_the_time_to_which_its_clock_was_set_back(
    engine: Engine, reader: LogReader, set_back: SetBack | None, since: str
) -> None:
    marks = {STDOUT: Mark(NOW, 1), STDERR: Mark(NOW + 1, 1)}
    response = await reader.open("1.41", "task", marks, follow=False, set_back=set_back)
    response.close()
    assert engine.queries[0]["since"] == [since]


async def test_what_follows_comes_at_once_and_is_left_at_once(engine: Engine, reader: LogReader) -> None:
    engine.parts, engine.hold = [chunked(frame(STDOUT, NOW, b"one\n"))], True
    response = await reader.open("1.41", "task", {}, follow=True)
    follow = reader.portions(response, {}, follow=True)
    async with asyncio.timeout(PATIENCE):
        assert (await anext(follow)).pieces == [Piece(STDOUT, NOW, b"one\n")]
        await follow.aclose()
        await engine.left.wait()
    assert engine.queries[0]["follow"] == ["1"]


@pytest.mark.parametrize(
    ("parts", "follow"),
    [
        ([chunked(frame(STDOUT, NOW, b"one\n"))], False),
        ([chunked(frame(STDOUT, NOW, b"one\n")), b"8\r\n\x01\0\0"], False),
        ([chunked(frame(STDOUT, NOW, b"one\n")), chunked(frame(STDOUT, NOW, b"two\n")[:-2]), END], False),
        ([chunked(frame(STDOUT, NOW, b"one\n")), chunked(b"no frame at all"), END], False),
        ([chunked(frame(STDOUT, NOW, b"one\n")), END], True),
    ],
    ids=["cut between chunks", "cut in a chunk", "ended in a frame", "no frame", "ended a follow"],
)
async def test_what_came_before_a_log_was_broken_off_is_kept(engine: Engine, reader: LogReader, parts: list[bytes], follow: bool) -> None:
    engine.parts = parts
    found, error = await read(reader, follow=follow)
    assert b"".join(piece.data for piece in pieces(found)) in (b"one\n", b"")
    assert isinstance(error, HostDown)
    assert "broke off a log" in str(error)


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Error grabbing logs: rpc error: code = Unknown desc = warning: incomplete log stream: node abc is not available", HostDown),
        ("Error grabbing logs: something new", HostDown),
        ("Error grabbing logs: configured logging driver does not support reading", LogLost),
        ("Error grabbing logs: No such container: abc", LogLost),
        ("can not get logs from container which is dead or marked for removal", LogLost),
    ],
)
async def test_an_error_told_in_a_log_ends_it_and_may_pass_or_not(
    engine: Engine, reader: LogReader, words: str, kind: type[FastlaneError], follow: bool
) -> None:
    engine.parts, engine.hold = [chunked(frame(STDOUT, NOW, b"one\n") + told(words + "\n")), END], follow
    found, error = await read(reader, follow=follow)
    assert pieces(found) == [Piece(STDOUT, NOW, b"one\n")]
    assert type(error) is LogLost if kind is LogLost else isinstance(error, HostDown)
    assert words[-20:] in str(error)


async def test_a_log_that_has_not_got_any_more_what_was_read_of_it_is_lost(engine: Engine, reader: LogReader) -> None:
    engine.parts = [chunked(frame(STDOUT, NOW, b"one\n")), END]
    found, error = await read(reader, {STDOUT: Mark(NOW, 1)})
    assert (found, error) == ([], None)
    engine.parts = [END]
    found, error = await read(reader, {STDOUT: Mark(NOW, 1)})
    assert found == []
    assert type(error) is LogLost


@pytest.mark.parametrize(
    ("status", "kind"),
    [(b"404 Not Found", ServiceGone), (b"503 Unavailable", HostDown), (b"500 Server Error", HostDown), (b"400 Bad", HostDown)],
)
async def test_a_refusal_is_raised(engine: Engine, reader: LogReader, status: bytes, kind: type[FastlaneError]) -> None:
    body = b'{"message": "the engine\'s words"}'
    engine.head, engine.parts = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body)), [body]
    found, error = await read(reader)
    assert found == []
    assert isinstance(error, kind)
    assert "the engine's words" in str(error)


@pytest.mark.parametrize("where", ["OPEN_WITHIN", "READ_WITHIN"])
async def test_an_engine_that_says_nothing_is_given_up(
    engine: Engine, reader: LogReader, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(logs, where, 0.05)
    engine.head, engine.parts, engine.hold = OK if where == "READ_WITHIN" else b"", [], True
    found, error = await read(reader)
    assert found == []
    assert isinstance(error, HostDown)


async def test_an_engine_that_is_not_there_is_down(reader: LogReader, tmp_path: Path) -> None:
    (tmp_path / "s").unlink()
    found, error = await read(reader)
    assert found == []
    assert isinstance(error, HostDown)


async def test_a_log_that_comes_line_by_line_is_taken_in_larger_parts_and_whole(engine: Engine, reader: LogReader) -> None:
    lines = [b"line %d\n" % number for number in range(20_000)]
    engine.parts = [*(chunked(frame(STDOUT, NOW + place * 100, line)) for place, line in enumerate(lines)), END]
    found, error = await read(reader)
    assert error is None
    assert b"".join(piece.data for piece in pieces(found)) == b"".join(lines)
    assert len(found) < len(lines) / 4


async def test_an_engine_is_not_read_ahead_of_who_takes_it(engine: Engine, reader: LogReader) -> None:
    text = bytes(16 * 1024)
    engine.parts = [*(chunked(frame(STDOUT, NOW + place, text)) for place in range(2_000)), END]
    response = await reader.open("1.41", "task", {}, follow=False)
    portions = reader.portions(response, {}, follow=False)
    size = (await anext(portions)).size
    assert await at_rest(lambda: engine.sent) < 4 * 1024 * 1024
    async with asyncio.timeout(PATIENCE):
        async for portion in portions:
            size += portion.size
    assert size == 2_000 * len(text)


async def test_the_log_of_a_container_on_this_very_engine_is_asked_for_as_its_own(engine: Engine, reader: LogReader) -> None:
    engine.parts = [chunked(frame(STDOUT, NOW, b"one\n")), END]
    response = await reader.open("1.41", "task", {}, follow=False, container="abc")
    found = [portion async for portion in reader.portions(response, {}, follow=False, of_container=True)]
    assert pieces(found) == [Piece(STDOUT, NOW, b"one\n")]
    assert engine.paths == ["/v1.41/containers/abc/logs"]


async def test_who_follows_a_container_is_not_told_at_once_that_its_log_broke_off_when_it_ended(
    engine: Engine, reader: LogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.parts = [chunked(frame(STDOUT, NOW, b"one\n")), END]
    waits: list[float] = []
    monkeypatch.setattr(logs, "asyncio", Patient(waits))
    response = await reader.open("1.41", "task", {}, follow=True, container="abc")
    follow = reader.portions(response, {}, follow=True, of_container=True)
    assert (await anext(follow)).pieces == [Piece(STDOUT, NOW, b"one\n")]
    with pytest.raises(HostDown, match="broke off"):
        await anext(follow)
    assert waits == [logs.END_SEEN_WITHIN]


@pytest.mark.parametrize(("words", "kind"), [("driver does not support reading", LogLost), ("anything else", HostDown)])
async def test_a_refusal_that_no_further_reading_mends_is_told_as_such(
    engine: Engine, reader: LogReader, words: str, kind: type[FastlaneError]
) -> None:
    body = json.dumps({"message": words}).encode()
    engine.head, engine.parts = b"HTTP/1.1 501 Not Implemented\r\nContent-Length: %d\r\n\r\n" % len(body), [body]
    with pytest.raises(kind, match=words):
        await reader.open("1.41", "task", {}, follow=False, container="abc")


class Patient:
    """asyncio, but for its sleep."""

    def __init__(self, waits: list[float]) -> None:
        self._waits = waits

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        self._waits.append(seconds)
