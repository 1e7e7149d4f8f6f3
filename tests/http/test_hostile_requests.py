"""A corpus of bad bodies and heads, for each method that reads a body: each gets a 4xx that says what to do, nothing is written, and
memory stays flat."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from fastlane.web import handler
from fastlane.web.http import connection
from fastlane.web.server import MAX_HEAD
from tests.http.test_attacks import calm, statuses
from tests.support.engine_views import NoDocker
from tests.support.fastlane import Answer, Fastlane
from tests.support.installation import Installation, installed
from tests.support.redis import RealRedis

OK = b'{"image": "ubuntu:latest"}'
JOB = "6c84fb90-12c4-11e1-840d-7b25c5ee775a"
TARGETS = {"POST": "/tasks/task", "PUT": f"/tasks/task/jobs/{JOB}"}


def metadata(value: bytes) -> bytes:
    """A job that is valid but for what it has there."""
    return b'{"image": "ubuntu:latest", "metadata": {"x": ' + value + b"}}"


CORPUS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty"),
    "blanks": (b" \r\n\t ", "empty"),
    "a form": (b"image=ubuntu&command=ls", "form"),
    "a thousand &": (b"&".join([b"a=1"] * 1_000), "form"),
    "only &": (b"&" * 1_000, "not JSON"),
    "an empty list": (b"[]", "list"),
    "lists, never closed": (b"[" * 100_000, "32 deep"),
    "objects, never closed": (b'{"a":' * 100_000, "32 deep"),
    "brackets closed first": (b"]" * 40_000, "not JSON"),
    "33 lists": (metadata(b"[" * 33 + b"]" * 33), "32 deep"),
    "brackets in texts, then 33 lists": (metadata(b'["[[[{{{\\"", ' + b"[" * 32 + b"]" * 33), "32 deep"),
    "NaN": (metadata(b"NaN"), "NaN"),
    "Infinity": (metadata(b"-Infinity"), "Infinity"),
    "a large float": (metadata(b"1e400"), "too large"),
    "a small float beyond": (metadata(b"-1e999999999"), "too large"),
    "an integer of 65 bits": (metadata(b"18446744073709551616"), "64 bits"),
    "an integer of -65 bits": (metadata(b"-9223372036854775809"), "64 bits"),
    "an integer of a megabyte": (metadata(b"9" * 1_000_000), "64 bits"),
    "a float of a megabyte": (metadata(b"9" * 1_000_000 + b".5"), "too large"),
    "hexadecimal": (metadata(b"0x10"), "not JSON"),
    "a leading zero": (metadata(b"01"), "not JSON"),
    "a plus": (metadata(b"+1"), "not JSON"),
    "a bare point": (metadata(b".5"), "not JSON"),
    "a lone surrogate": (metadata(b'"\\ud800"'), "surrogate"),
    "two surrogates, the wrong way round": (metadata(b'"\\udc00\\ud800"'), "surrogate"),
    "a lone surrogate in a name": (metadata(b'{"\\udfff": 1}'), "surrogate"),
    "a surrogate of bytes": (metadata(b'"\xed\xa0\x80"'), "UTF-8"),
    "overlong UTF-8": (metadata(b'"\xc0\xaf"'), "UTF-8"),
    "UTF-8 beyond Unicode": (metadata(b'"\xf4\x90\x80\x80"'), "UTF-8"),
    "UTF-8 cut short": (b'{"image": "ubuntu:latest", "command": "\xe2\x82', "UTF-8"),
    "Latin-1": ('{"image": "ubuntu:latest", "command": "echo Grüße"}'.encode("latin-1"), "UTF-8"),
    "UTF-16 with a mark": (OK.decode().encode("utf-16"), "UTF-"),
    "UTF-16 without": (OK.decode().encode("utf-16-le"), "UTF-16"),
    "UTF-16 the other way round": (OK.decode().encode("utf-16-be"), "UTF-16"),
    "UTF-32": (OK.decode().encode("utf-32-be"), "UTF-32"),
    "gzip": (gzip.compress(OK), "compressed"),
    "a NUL": (metadata(b'"\\u0000"'), "NUL"),
    "a NUL in a name": (metadata(b'{"a\\u0000": 1}'), "NUL"),
    "a NUL byte in a text": (metadata(b'"a\0b"'), "not JSON"),
    "a NUL byte at the end": (OK + b"\0", "not JSON"),
    "a line end in a text": (metadata(b'"a\nb"'), "not JSON"),
    "a broken escape": (metadata(b'"\\u12"'), "not JSON"),
    "an unknown escape": (metadata(b'"\\x41"'), "not JSON"),
    "a field twice": (b'{"image": "a", "image": "b"}', "twice"),
    "a field twice, once escaped": (b'{"image": "a", "im\\u0061ge": "b"}', "twice"),
    "a name twice, deep down": (metadata(b'[{"a": 1, "a": 1}]'), "twice"),
    "two objects": (OK + OK, "not JSON"),
    "a comment": (b"// a job\n" + OK, "not JSON"),
    "a comma too many": (b'{"image": "ubuntu",}', "not JSON"),
    "single quotes": (b"{'image': 'ubuntu'}", "double quotes"),
    "cut short": (OK[:-1], "not JSON"),
    "XML": (b"<job><image>ubuntu</image></job>", "not JSON"),
    "a text of a megabyte, never closed": (b'{"image": "' + b'\\"' * 500_000, "not JSON"),
    "noise": (bytes(range(256)) * 4_000, "UTF-"),
    "very many parts": (metadata(b"[" + b",".join([b"{}"] * 300_000) + b"]"), "make it smaller"),
    "very many fields": (json.dumps({f"field{number}": 1 for number in range(20_000)}).encode(), "and 40 more"),
    "very many variables": (json.dumps({"image": "a", "envs": {f"A-{number}": [] for number in range(900)}}).encode(), "envs.A-0, "),
    "a long name": (json.dumps({"image": "a", "x" * 500_000: 1}).encode(), "not a field"),
    "a long image": (json.dumps({"image": "a/" * 400_000}).encode(), "longer"),
    "a long cron": (json.dumps({"image": "a", "cron": "* " * 400_000}).encode(), "256 characters"),
    "a cron of commas": (json.dumps({"image": "a", "cron": ",".join(["*"] * 120) + " * * * 9"}).encode(), "day of week"),
    "a long duration": (json.dumps({"image": "a", "startIn": "1s" * 400_000}).encode(), "not a duration"),
    "a long moment": (json.dumps({"image": "a", "startAt": "1" * 900_000}).encode(), "startAt"),
    "a long zone": (json.dumps({"image": "a", "cron": "@daily", "timezone": "A/" * 400_000}).encode(), "not a time zone"),
    "a long command of quotes": (json.dumps({"image": "a", "command": "'" * 65_535}).encode(), "never closed"),
}


@pytest.fixture(params=list(TARGETS))
def verb(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def written(server: Fastlane) -> bool:
    return (await server.get("/tasks/task")).status != 404


async def send(server: Fastlane, verb: str, body: bytes) -> Answer:
    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    return await server.ask(verb, TARGETS[verb], data=parts() if body else b"")


@pytest.mark.parametrize("name", list(CORPUS))
async def test_a_bad_body_gets_a_4xx_that_says_what_to_do(server: Fastlane, verb: str, name: str) -> None:
    body, says = CORPUS[name]
    answer = await send(server, verb, body)
    assert answer.status == 400, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert says in answer.json["detail"], answer.json
    assert answer.json["error"] == answer.json["detail"]
    assert len(answer.body) < 60_000
    assert not await written(server)


async def test_a_body_that_is_too_large_is_413_and_the_connection_goes_on(server: Fastlane, verb: str) -> None:
    answer = await send(server, verb, OK.ljust(1024 * 1024 + 1))
    assert (answer.status, "1048576 bytes" in answer.json["detail"]) == (413, True)
    assert not await written(server)
    assert (await send(server, verb, OK.ljust(1024 * 1024))).status == 200


@pytest.mark.parametrize("length", [b"Content-Length: 26", b"Transfer-Encoding: chunked"])
async def test_a_body_that_is_cut_writes_nothing(server: Fastlane, verb: str, length: bytes) -> None:
    head = f"{verb} {TARGETS[verb]} HTTP/1.1\r\nHost: localhost\r\n".encode() + length + b"\r\n\r\n"
    active = server.context.traffic.active_requests
    for part in (OK[:20], b"1a\r\n" + OK[:20], b"1a\r\n" + OK + b"\r\n", b""):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head + (part if b"chunked" in length or not part.startswith(b"1a") else OK[:10]))
        await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    await calm(server)
    assert len(active) == 0
    assert not await written(server)


async def test_a_body_that_comes_a_byte_at_a_time_is_read_until_its_time_is_over(
    server: Fastlane, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SWEEP_EVERY", 0.02)
    head = f"{verb} {TARGETS[verb]} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(OK)}\r\nConnection: close\r\n\r\n".encode()
    answer = await server.raw(head, *[OK[place : place + 1] for place in range(len(OK))])
    assert statuses(answer) == [200]
    monkeypatch.setattr(handler, "BODY_DEADLINE", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head)
    dripping = asyncio.create_task(drip(writer))
    async with asyncio.timeout(20):
        with suppress(ConnectionError):
            assert await reader.read() == b""
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)
    writer.close()
    await calm(server)


async def drip(writer: asyncio.StreamWriter) -> None:
    """Blanks, forever, and never a whole body's worth of them at once."""
    for _ in range(20):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)  # slower than the deadline for the body


@pytest.mark.parametrize(
    ("line", "headers", "status", "says"),
    [
        ("GET /livez", b"Cookie: " + b"a" * 70_000, 431, "cookies"),
        ("GET /livez", b"\r\n".join(b"X-%d: aaaaaaaaaa" % number for number in range(5_000)), 431, "headers"),
        ("POST /tasks/task", b"X: " + b"a" * 66_000, 431, "headers"),
        (f"PUT {TARGETS['PUT']}", b"X-Request-Id: " + b"a" * 66_000, 431, "headers"),
        ("GET /tasks/" + "a" * 70_000, b"X: 1", 414, "URL"),
        ("GET /tasks?a=" + "1" * 70_000, b"X: 1", 414, "URL"),
        ("GET /livez", b"X: " + b"a" * 60_000, 200, ""),
        ("GET /tasks?" + "a=1&" * 999, b"X: 1", 400, "not a query parameter"),
        ("GET /tasks?" + "page=1&" * 999, b"X: 1", 400, "twice"),
        ("POST /tasks/task", b"Idempotency-Key: " + b"a" * 256, 400, "255"),
        ("POST /tasks/task", b"Origin: http://" + b"a" * 60_000, 403, "another site"),
    ],
)
async def test_a_head_that_is_too_long_gets_a_4xx_that_says_so(server: Fastlane, line: str, headers: bytes, status: int, says: str) -> None:
    head = f"{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(OK)}\r\n".encode() + headers
    answer = await server.raw(head + b"\r\n\r\n" + OK)
    assert statuses(answer) == [status]
    problem = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert says in problem.get("detail", "")
    assert len(answer) < 20_000
    await calm(server)


async def test_a_head_without_end_is_hung_up_on(server: Fastlane) -> None:
    with suppress(ConnectionError):
        assert await server.raw(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * (MAX_HEAD + 200_000)) == b""
    await calm(server)


@pytest.fixture
def api(tmp_path: Path, shared_redis: RealRedis) -> Iterator[Installation]:
    """`fastlane api` as a process of its own."""
    with installed(tmp_path, NoDocker("unix:///nowhere"), redis=shared_redis.url) as fastlane:
        fastlane.serve("api")
        yield fastlane


async def test_memory_stays_flat_under_bad_requests(api: Installation) -> None:
    process = psutil.Process(api.processes[0].pid)
    lanes, sizes = asyncio.Semaphore(16), []
    for rounds in (1, 2, 1, 2):
        for _ in range(rounds):
            await asyncio.gather(*(attack(lanes, api.port, verb, body) for verb in TARGETS for body, _ in CORPUS.values()))
        sizes.append(process.memory_info().rss)
    assert (await asyncio.to_thread(api.get, "/livez")).status == 200
    assert max(sizes[2:]) - sizes[1] < 32 * 1024 * 1024, sizes


async def attack(lanes: asyncio.Semaphore, port: int, verb: str, body: bytes) -> None:
    """One bad request, and one that is cut in its midst."""
    head = f"{verb} {TARGETS[verb]} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with lanes:
        for sent in (head + body, (head + body)[: len(head) + len(body) // 2]):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with suppress(ConnectionError):
                writer.write(sent)
                await writer.drain()
                if sent.endswith(body):
                    assert all(status == 400 for status in statuses(await reader.read()))
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
