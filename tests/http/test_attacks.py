"""A client that means harm, or is merely broken: it may be refused or cut off, and nobody else notices."""

import asyncio
import json
import re
import time
from contextlib import suppress
from typing import Any

import pytest

from fastlane.web.http import connection
from tests.http.posted import faults
from tests.support.fastlane import Fastlane
from tests.support.intercept import Call, intercept
from tests.support.waiting import until

OK = {"image": "ubuntu:latest"}
NONE = "00000000-0000-4000-8000-000000000000"
CALM = 5.0
"""Seconds within which everybody else is answered: far more than it takes, far less than a hang."""


async def calm(server: Fastlane) -> None:
    """Somebody else is served, soon."""
    before = time.monotonic()
    assert (await server.get("/livez")).status == 200
    assert (await server.post("/tasks/calm", OK)).status == 200
    assert time.monotonic() - before < CALM


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", answers)]


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500 + b"\r\n\r\n",
        bytes(range(256)) * 20 + b"\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /" + b"/a" * 30_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET " + b"/" * 60_000 + b"\xff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /tasks/a?" + b"a=1&" * 15_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\rSet-Cookie: x=1\r\nConnection: close\r\n\r\n",
        b"GET /tasks/a HTTP/1.1\r\nHost: localhost/x?\r\nConnection: close\r\n\r\n",
        b"GET /tasks/a HTTP/1.1\r\nHost: evil.example.com@localhost\r\nConnection: close\r\n\r\n",
        b"POST /tasks/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /tasks/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
        b"POST /tasks/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /tasks/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nabc",
        b"POST /tasks/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 5000 + b"2\r\n{}\r\n",
    ],
)
async def test_a_broken_request_gets_a_refusal_or_a_closed_connection(server, request_):
    with suppress(ConnectionError):
        answer = await server.raw(request_)
        assert all(status < 500 for status in statuses(answer))
        assert b"Traceback" not in answer
        assert b"Set-Cookie" not in answer
        assert b"evil" not in answer.lower()
    await calm(server)


ODD_IDS = (
    "% %zz %00 %0d%0aX:y %2e%2e ..%2f..%2fetc%2fpasswd %c0%ae %ED%A0%80 %F4%8F%BF%BF %E2%80%AE {{.Node.ID}} $(id) -v --help %5C %7f %25 "
    "* (a @ticks a;b + %20 " + "%CC%81" * 80 + " " + "%61" * 256
).split(" ")


@pytest.mark.parametrize("task", ODD_IDS)
async def test_no_task_id_and_no_method_makes_any_route_fail(server, task):
    paths = [f"/tasks/{task}"] + [
        f"/tasks/{task}/jobs/{job}{rest}"
        for job in (NONE, "..", "%ff", "%00", "x" * 300)
        for rest in ("", "/stop", "/stdout", "/logs?interleaved=1", f"/executions/{NONE}", "/executions/%ff/stop", "/%2e%2e/x")
    ]
    for method in ("GET", "POST", "HEAD", "DELETE", "OPTIONS"):
        sent = [f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n".encode() for path in paths]
        answer = await server.raw(b"\r\n".join(sent) + b"Connection: close\r\n\r\n")
        found = statuses(answer)
        assert len(found) == len(paths)
        assert max(found) < 500, (method, task)


def spread(kind: str) -> bytes:
    """A body just under the limit, of as many parts of that kind as it holds."""
    part, most = {"lists": (b"[]", 340_000), "floats": (b"1.1e1", 170_000), "texts": (b'""', 340_000), "objects": (b"{}", 340_000)}[kind]
    return b'{"metadata": {"x": [' + b",".join([part] * most) + b"]}}"


@pytest.mark.parametrize("kind", ["lists", "floats", "texts", "objects"])
async def test_a_body_of_very_many_parts_is_refused_before_it_is_read_as_json(server, kind):
    connection = spread(kind)
    assert len(connection) < 1024 * 1024
    answer = await server.post("/tasks/task", connection)
    assert answer.status == 400
    assert "make it smaller" in answer.json["detail"]


async def test_the_largest_command_and_metadata_that_are_valid_are_not_too_many_parts(server):
    metadata = {"x": [[] for _ in range(16_000 // 3)]}
    envs = {f"A{number}": "," * 200 for number in range(1_000)}
    connection = {"image": "ubuntu", "command": ["a,b"] * 10_000, "envs": envs, "metadata": metadata}
    assert (await server.post("/tasks/task", connection)).status == 200


async def test_bodies_that_never_end_hold_no_more_memory_than_is_allowed(server, monkeypatch):
    monkeypatch.setattr(connection, "MAX_HELD", 12 * 1024 * 1024)
    memory = server.context.traffic.memory
    head = b"POST /tasks/task HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n"
    writers = []
    for _ in range(12):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head + b" " * 1_000_000)
        await writer.drain()
        writers.append(writer)
    await until(lambda: memory.bodies > 7_000_000, "the bodies never came in")
    assert memory.bodies <= 9 * 1024 * 1024
    refused = await server.post("/tasks/task", b" " * 900_000 + json.dumps(OK).encode())
    assert (refused.status, refused.headers["Retry-After"]) == (503, "2")
    await calm(server)
    for writer in writers:
        writer.transport.abort()
    await until(lambda: memory.bodies == 0, "the memory of dead connections was never released")
    assert (await server.post("/tasks/task", b" " * 900_000 + json.dumps(OK).encode())).status == 200
    assert memory.bodies == 0


async def test_what_a_client_had_sent_ahead_is_dropped_when_it_hangs_up(server):
    asked: list[Call] = []

    async def counted(call: Call) -> Any:
        asked.append(call)
        await asyncio.sleep(0)
        return await call.carry()

    intercept(server.store, "task", counted)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /tasks/none HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5_000)
    await until(lambda: len(asked) > 20, "not one request was answered")
    before = len(asked)
    writer.transport.abort()
    await calm(server)
    await server.close_server(30)
    assert len(asked) < before + 1_000


async def test_closing_does_not_wait_for_all_that_a_client_has_sent_ahead(server):
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n" * 11_000)
    await calm(server)
    before = time.monotonic()
    await server.close_server(1)
    assert time.monotonic() - before < 5
    writer.close()


async def test_hundreds_of_slow_and_idle_clients_keep_nobody_waiting(server):
    heads = (
        b"",
        b"GET /livez HTTP/1.1\r\nHost: local",
        b"POST /tasks/slow HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    )
    writers = []
    for number in range(300):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(heads[number % len(heads)])
        writers.append(writer)
    await asyncio.gather(*(writer.drain() for writer in writers))
    await calm(server)
    for writer in writers:
        writer.transport.abort()
    await calm(server)


async def test_a_long_origin_is_not_repeated_whole(server):
    answer = await server.post("/tasks/task", OK, headers={"Origin": "http://" + "a" * 7_000})
    assert answer.status == 403
    assert len(answer.body) < 2_000


LONG = {"finishes": [{"url": "https://example.com/x"}, {"url": "https://example.com/x", "body": {"text": "{{command}}" * 1_480}}]}


async def test_a_template_that_a_jobs_own_values_would_make_too_long_is_refused_at_once(server):
    command = ["x" * 120_000] * 2
    refused = await server.post("/tasks/long", OK | {"command": command, "webhooks": LONG})
    assert refused.status == 400
    assert faults(refused).keys() == {"webhooks.finishes.1.body"}
    assert "longer than 1 MiB" in refused.json["detail"]
    late = {"late": [{"url": "https://example.com/x", "body": {"all": ["{{lastExecution}}"] * 1_000}}]}
    refused = await server.post("/tasks/long", OK | {"command": command, "webhooks": late, "cron": "@hourly", "expectEvery": "2h"})
    assert faults(refused).keys() == {"webhooks.late.0.body"}
    data = {"fails": [{"url": "https://example.com/x", "body": {"all": ["{{metadata}}"] * 1_000}}]}
    refused = await server.post("/tasks/long", OK | {"metadata": {"x": "y" * 10_000}, "webhooks": data})
    assert faults(refused).keys() == {"webhooks.fails.0.body"}
    assert (await server.get("/tasks/long")).status == 404


async def test_no_change_makes_a_template_too_long(server):
    reply = await server.enqueue("grows", command=["x"], webhooks=LONG, startIn="1h")
    path = f"/tasks/grows/jobs/{reply['jobId']}"
    refused = await server.ask("PATCH", path, data=json.dumps({"command": ["x" * 120_000] * 2}).encode())
    assert (refused.status, faults(refused).keys()) == (400, {"webhooks.finishes.1.body"})
    assert (await server.ask("PATCH", path, data=b'{"command": ["y"]}')).status == 200
