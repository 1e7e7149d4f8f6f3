"""What connections may hold without a login: heads that never end, bodies that are half sent, and answers that nobody takes."""

import asyncio
import gc
import json
import socket
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tornado.iostream import IOStream

from fastlane.storage import pages
from fastlane.web import server as web_server
from fastlane.web.http import connection
from fastlane.web.http.connection import LARGE_TURN, SMALL, TURNS, HeldMemory, ListTurns, Turn
from tests.http.test_attacks import OK, calm
from tests.http.test_room import Client, limit_sending
from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane
from tests.support.intercept import Call, intercept
from tests.support.past_runs import add_runs
from tests.support.redis import RealRedis
from tests.support.waiting import until

HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "
MIB = 1024 * 1024
AT_ONCE = TURNS // LARGE_TURN


async def opened(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def test_a_head_that_does_not_end_is_hung_up_on_soon_and_an_idle_connection_is_not(
    server: Fastlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SWEEP_EVERY", 0.1)
    monkeypatch.setattr(connection, "HEAD_WITHIN", 0.2)
    idle = Client(server.port)
    assert await asyncio.to_thread(idle.ask)
    reader, writer = await opened(server.port)
    writer.write(HEAD)
    async with asyncio.timeout(60):
        with suppress(ConnectionError):
            assert await reader.read() == b""
    assert await asyncio.to_thread(idle.ask)
    idle.close()
    writer.close()


async def test_heads_that_do_not_end_hold_no_more_memory_than_is_allowed(server: Fastlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_HELD", MIB)
    monkeypatch.setattr(connection, "HEAD_WITHIN", 600.0)  # the sum closes them, and no deadline does
    memory = server.context.traffic.memory
    connections = [await opened(server.port) for _ in range(40)]
    monkeypatch.setattr(connection, "LOG_EVERY", 600.0)
    with capture_logs() as lines:
        for _, writer in connections:
            with suppress(ConnectionError):
                writer.write(HEAD + b"a" * 100_000)
                await writer.drain()
        await until(lambda: memory._closed > 1, "none was closed")
    assert [line["closed"] for line in lines if line["event"] == "http.memory_full"] == [1], "one line, however many are closed"
    closed = lambda: sum(reader.at_eof() or reader.exception() is not None for reader, _ in connections)  # noqa: E731
    await until(lambda: closed() >= 40 - 1 - MIB // 100_000, lambda: f"{closed()} connections were closed")
    assert memory.held <= MIB
    await calm(server)
    for _, writer in connections:
        writer.transport.abort()
    await until(lambda: memory.held == 0, lambda: f"{memory.held} bytes of dead connections still count")


async def test_answers_that_nobody_takes_hold_no_more_memory_than_is_allowed(server: Fastlane, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(9):
        await server.enqueue("large", command=["x" * 100_000] * 2)
    path = "/tasks/large/?perPage=1000"
    size = len((await server.get(path, headers={"Accept-Encoding": "identity"})).body)
    assert size > 1_500_000
    monkeypatch.setattr(connection, "MAX_HELD", 2 * size)
    limit_sending(server)
    memory, others = server.context.traffic.memory, set(server.api.server._connections)
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(100):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(("127.0.0.1", server.port))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            clients.append(client)
        await until(lambda: memory.held > size / 2, "no answer was held")
        left = server.api.server._connections - others
        await until(lambda: memory.held <= 2 * size and len(left & server.api.server._connections) < 50, "too few were closed")
        await calm(server)
        assert memory.held <= 2 * size
    await until(lambda: memory.held == 0, lambda: f"{memory.held} bytes of dead connections still count")


async def test_refused_pages_leave_nothing_in_memory(server: Fastlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the garbage collector, which comes hours later to objects that refer to each other."""
    monkeypatch.setattr(pages, "MAX_TEXT", MIB)
    for _ in range(10):
        await server.enqueue("large", command=["x" * 100_000] * 2)

    async def refused(times: int) -> None:
        for path in ("/tasks/large", "/jobs", "/executions"):
            for _ in range(times):
                answer = await server.get(f"{path}?perPage=1000")
                assert (answer.status, answer.json["errors"][0]["field"]) == (400, "perPage")

    await refused(1)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        await refused(10)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert grown < 8 * MIB, f"30 refused pages keep {grown >> 20} MiB"


@contextmanager
def watched(memory: HeldMemory, *owners: str | None) -> Iterator[list[IOStream]]:
    """A connection of each of these owners."""
    pairs = [socket.socketpair() for _ in owners]
    streams = [IOStream(here) for here, _ in pairs]
    for stream, owner in zip(streams, owners, strict=True):
        memory.watch(stream, owner)
    try:
        yield streams
    finally:
        for stream, (_, there) in zip(streams, pairs, strict=True):
            stream.close()
            there.close()


async def test_the_owner_of_most_of_it_loses_connections_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_HELD", 100_000)
    memory = HeldMemory()
    with watched(memory, "greedy", "greedy", "greedy", "modest", None) as streams:
        for stream, size in zip(streams, (30_000, 20_000, 20_000, 25_000, 35_000), strict=True):
            memory.count(stream, size)
        assert [stream.closed() for stream in streams] == [True, False, False, False, False]
        assert memory.held == 100_000
    assert memory.held == 0


@pytest.fixture
async def proxied(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path, shared_redis.url, trusted_proxies=("127.0.0.1",)) as server:
        yield server


async def test_half_sent_bodies_of_one_client_leave_room_for_the_bodies_of_others(
    proxied: Fastlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_HELD", 12 * MIB)
    memory = proxied.context.traffic.memory
    head = b"POST /tasks/t HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.1.1.1\r\nContent-Length: 1048576\r\n\r\n"
    writers = []
    for _ in range(12):
        _, writer = await opened(proxied.port)
        writer.write(head + b" " * 1_000_000)
        await writer.drain()
        writers.append(writer)
    await until(lambda: memory.bodies > 3_000_000, "the bodies never came in")
    body = b" " * 900_000 + json.dumps(OK).encode()
    assert (await proxied.post("/tasks/task", body, headers={"X-Forwarded-For": "10.2.2.2"})).status == 200
    assert (await proxied.post("/tasks/task", body, headers={"X-Forwarded-For": "10.1.1.1"})).status == 503
    for writer in writers:
        writer.transport.abort()
    await until(lambda: memory.held == 0 == memory.bodies, "the memory of dead connections was never released")


async def test_an_owner_has_at_most_as_much_as_is_left_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_HELD", 1_000_000 / connection.BODIES)
    memory = HeldMemory()
    with watched(memory, "a", "b", None, "c") as (a, b, unknown, c):
        assert memory.reserve(a, 500_000)
        assert not memory.reserve(a, 1)
        assert memory.reserve(b, 250_000)
        assert not memory.reserve(b, 1)
        assert memory.reserve(unknown, 250_000)
        assert not memory.reserve(unknown, 1)
        memory.release(a, 500_000)
        assert memory.reserve(c, 125_000)
        memory.count(a, 400_000)
        assert not memory.reserve(a, 10_000), "what it holds of answers is not left out"
        assert memory.reserve(c, 10_000)


async def test_what_a_client_holds_of_answers_makes_room_for_the_bodies_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_HELD", 1_000_000)
    memory = HeldMemory()
    with watched(memory, "greedy", "greedy", "modest") as streams:
        for stream, size in zip(streams, (500_000, 450_000, 40_000), strict=True):
            memory.count(stream, size)
        assert memory.reserve(streams[2], 200_000)
        assert [stream.closed() for stream in streams] == [True, False, False]
        assert (memory.held, memory.bodies) == (690_000, 200_000)
        streams[2].close()
        memory.release(streams[2], 200_000)
        assert (memory.held, memory.bodies) == (450_000, 0)


async def test_bodies_of_one_login_leave_room_for_those_of_another_at_the_same_address(
    shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_HELD", 12 * MIB)
    tokens = (token("anna", "annas-token"), token("rob", "robs-token"))
    async with Fastlane(tmp_path, shared_redis.url, tokens=tokens) as server:
        memory = server.context.traffic.memory
        head = b"POST /tasks/t HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer robs-token\r\nContent-Length: 1048576\r\n\r\n"
        writers = []
        for _ in range(12):
            _, writer = await opened(server.port)
            writer.write(head + b" " * 1_000_000)
            await writer.drain()
            writers.append(writer)
        await until(lambda: memory.bodies > 3_000_000, "the bodies never came in")
        body = b" " * 900_000 + json.dumps(OK).encode()
        assert (await server.post("/tasks/task", body, headers=bearer("annas-token"))).status == 200
        assert (await server.post("/tasks/task", body, headers=bearer("robs-token"))).status == 503
        for writer in writers:
            writer.transport.abort()
        await until(lambda: memory.held == 0 == memory.bodies, "the memory of dead connections was never released")


async def test_few_lists_are_made_at_once_and_half_of_them_for_one_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = ListTurns()
    greedy = [await turns.take("greedy", "/") for _ in range(AT_ONCE // 2)]
    waiting = [asyncio.ensure_future(turns.take("greedy", "/")) for _ in range(20)]
    await asyncio.sleep(0)
    modest = [await turns.take(f"modest {number}", "/") for number in range(AT_ONCE // 2)]
    assert all([*greedy, *modest])
    last = asyncio.ensure_future(turns.take("last", "/"))
    await asyncio.sleep(0)
    turns.give_back(turn_of(modest))
    of_last = await last
    assert of_last, "who may have a turn does not wait behind those who may not"
    assert not any(one.done() for one in waiting)
    waiting[0].cancel()
    await asyncio.wait([waiting[0]])
    turns.give_back(turn_of(greedy))
    assert await waiting[1]
    monkeypatch.setattr(connection, "MAX_WAITING_OF_OWNER", 18)
    assert not await turns.take("greedy", "/"), "of those who wait, one has a part"
    monkeypatch.setattr(connection, "MAX_WAITING_OF_OWNER", 19)
    monkeypatch.setattr(connection, "TURN_WITHIN", 0.01)
    assert not await turns.take("greedy", "/")
    for one in waiting[2:]:
        one.cancel()
    await asyncio.wait(waiting[2:])
    turns.give_back(of_last)
    assert await turns.take("another", "/")
    assert turns.waiting == []


async def test_a_turn_that_comes_as_its_request_gives_up_is_lost_to_nobody() -> None:
    turns = ListTurns()
    held = [await turns.take(f"owner {number}", "/") for number in range(AT_ONCE)]
    waiting = asyncio.ensure_future(turns.take("late", "/"))
    await asyncio.sleep(0)
    waiting.cancel()
    assert turns.waiting[0].called is not None
    turns.waiting[0].called.cancel()  # as the end of its time does, a step of the loop before its request knows
    while held:
        turns.give_back(turn_of(held))
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert (turns.waiting, turns.taken.total()) == ([], 0)


async def test_of_those_who_wait_the_owner_with_the_fewest_turns_is_next() -> None:
    turns = ListTurns()
    held = [await turns.take(owner, "/") for owner in ("greedy", "other") for _ in range(AT_ONCE // 2)]
    waiting = [asyncio.ensure_future(turns.take(owner, "/")) for owner in ("greedy", "modest")]
    await asyncio.sleep(0)
    turns.give_back(turn_of(held))
    assert await waiting[1]
    assert not waiting[0].done()
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])


def turn_of(turns: list[Turn | None]) -> Turn:
    turn = turns.pop()
    assert turn is not None
    return turn


async def test_a_large_list_of_a_caller_leaves_room_for_the_small_ones_of_the_same_caller() -> None:
    turns = ListTurns()
    turns.note("/small", 1_000)
    assert await turns.take("busy", "/large")
    assert all([await turns.take("busy", "/small") for _ in range(4)])
    assert await turns.take("other", "/large")


async def test_a_large_answer_is_sent_without_a_copy_and_counts_whole_until_it_is_taken(
    server: Fastlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(9):
        await server.enqueue("large", command=["x" * 100_000] * 2)
    size = len((await server.get("/tasks/large/?perPage=100", headers={"Accept-Encoding": "identity"})).body)
    written, write = list[int](), IOStream.write
    monkeypatch.setattr(IOStream, "write", lambda stream, data: written.append(len(data)) or write(stream, data))
    limit_sending(server)
    memory = server.context.traffic.memory
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(f"GET /tasks/large/?perPage=100 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        await until(lambda: memory.held >= size, lambda: f"{memory.held} of {size} bytes count")
        assert size in written, "the head was sent with it"
        taken = 0
        client.setblocking(False)
        while taken < size:
            taken += len(await asyncio.get_running_loop().sock_recv(client, 65_536))
        await until(lambda: memory.held == 0, lambda: f"{memory.held} bytes of it still count")


async def test_lists_that_were_small_take_less_and_keep_no_large_one_waiting() -> None:
    turns = ListTurns()
    turns.note("/small", 1_000)
    small = [await turns.take(None, "/small") for _ in range(TURNS)]
    assert all(small)
    large = asyncio.ensure_future(turns.take(None, "/large"))
    await asyncio.sleep(0)
    turns.give_back(turn_of(small))
    later = asyncio.ensure_future(turns.take(None, "/small"))
    await asyncio.sleep(0)
    assert not later.done(), "there is room for it, but another has waited for longer"
    for _ in range(LARGE_TURN - 1):
        assert not large.done()
        turns.give_back(turn_of(small))
        await asyncio.sleep(0)
    assert await large
    assert not later.done()
    turns.give_back(turn_of(small))
    assert await later
    turns.note("/small", 10_000_000)
    turns.give_back(turn_of(small))
    grown = asyncio.ensure_future(turns.take(None, "/small"))
    await asyncio.sleep(0)
    assert not grown.done(), "it has become large"
    grown.cancel()
    await asyncio.wait([grown])


class HeldReads:
    """The reads of one kind that a server makes of its store. They wait until they may ``go``. ``begun``: how many there were; ``most``:
    how many at once."""

    def __init__(self, server: Fastlane, verb: str) -> None:
        self.begun, self.under_way, self.most = 0, 0, 0
        self.go = asyncio.Event()
        intercept(server.store, verb, self._read)

    async def _read(self, call: Call) -> Any:
        self.begun += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.go.wait()
        self.under_way -= 1
        return await call.carry()


async def test_many_who_ask_for_a_list_and_read_nothing_have_few_made_at_once(server: Fastlane, monkeypatch: pytest.MonkeyPatch) -> None:
    await server.enqueue("listed")
    reads = HeldReads(server, "list_all_jobs")
    others, writers = set(server.api.server._connections), []
    for _ in range(30):
        _, writer = await opened(server.port)
        writer.write(b"GET /jobs/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        writers.append(writer)
    waiting = server.context.traffic.lists.waiting
    await until(lambda: len(waiting) == 30 - AT_ONCE, lambda: f"{len(waiting)} wait")
    assert reads.most == AT_ONCE
    theirs = server.api.server._connections - others
    await calm(server)
    monkeypatch.setattr(connection, "TURN_WITHIN", 0.01)
    refused = await server.get("/jobs/")
    assert (refused.status, "Retry-After" in refused.headers) == (503, True)
    for writer in writers:
        writer.transport.abort()
    await until(lambda: all(one.stream is None or one.stream.closed() for one in theirs), "they are still there")
    reads.go.set()
    await until(lambda: not waiting and not server.context.traffic.lists.taken, "a turn was never given back")
    assert reads.most == AT_ONCE
    assert reads.begun == AT_ONCE, "nothing is read for those who have gone"
    assert (await server.get("/jobs/")).status == 200


async def test_many_who_ask_for_events_that_few_pass_have_few_read_at_once(server: Fastlane) -> None:
    reads = HeldReads(server, "events")
    asked = [asyncio.ensure_future(server.get(f"/events?actor=nobody&perPage={number + 1}")) for number in range(20)]
    waiting = server.context.traffic.lists.waiting
    try:
        await until(lambda: len(waiting) == 20 - AT_ONCE, lambda: f"{len(waiting)} wait")
        assert reads.most == 3 * AT_ONCE, "each reads three sources"
    finally:
        reads.go.set()
    assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
    assert reads.most == 3 * AT_ONCE


@pytest.mark.parametrize("whose", ["all", "job"])
async def test_many_who_ask_for_advice_have_few_histories_read_at_once_however_short_it_is(server: Fastlane, whose: str) -> None:
    reply = await server.enqueue("task", cron="0 0 1 1 *")
    await add_runs(server.store, reply["jobId"], [{}] * 5, 1_700_000_000_000)
    url = "/advice" if whose == "all" else f"{reply['jobUrl']}advice"
    assert len((await server.get(url)).body) < SMALL
    reads = HeldReads(server, "list_executions_of")
    asked = [asyncio.ensure_future(server.get(url)) for _ in range(20)]
    waiting = server.context.traffic.lists.waiting
    try:
        await until(lambda: len(waiting) + reads.most == 20, lambda: f"{len(waiting)} wait, and {reads.most} are read")
        assert reads.most == AT_ONCE
    finally:
        reads.go.set()
    assert {answer.status for answer in await asyncio.gather(*asked)} == {200}


async def test_a_request_with_very_many_headers_is_refused(server: Fastlane) -> None:
    answer = await server.get("/livez", headers={f"X-{number}": "1" for number in range(101)})
    assert (answer.status, "headers" in answer.json["detail"]) == (431, True)
    assert (await server.get("/livez", headers={f"X-{number}": "1" for number in range(60)})).status == 200


async def test_the_port_of_metrics_has_a_limit_of_connections_too(
    shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "METRICS_CONNECTIONS", 5)
    async with Fastlane(tmp_path, shared_redis.url, metrics_port=0) as server, AsyncExitStack() as stack:
        port = server.api.metrics_port
        idle = [await opened(port) for _ in range(20)]
        for _, writer in idle:
            stack.callback(writer.transport.abort)
        assert (await server.get(f"http://127.0.0.1:{port}/metrics")).status == 200
        closed = lambda: sum(reader.at_eof() or reader.exception() is not None for reader, _ in idle)  # noqa: E731
        await until(lambda: closed() >= 15, lambda: f"only {closed()} of 20 idle connections were closed")
