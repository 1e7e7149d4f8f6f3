"""More clients than there is room for: who is in goes on, who comes later is turned away, and nothing else suffers."""

import asyncio
import socket
from contextlib import AsyncExitStack

import psutil
import pytest
from structlog.testing import capture_logs

from fastlane.web import handler
from fastlane.web.http import connection as deadlines
from tests.support.credentials import user
from tests.support.fastlane import Fastlane
from tests.support.followers import socket as socket_of
from tests.support.installation import installed
from tests.support.waiting import PATIENCE, until, wait_until

MOST = 20
ASK = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Client:
    """A connection that stays open."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 20)

    def ask(self, request: bytes = ASK) -> bool:
        """Whether a request is answered well."""
        try:
            self._socket.sendall(request)
            answer = self._socket.recv(65_536)
        except OSError:
            return False
        return answer.startswith(b"HTTP/1.1 200 ")

    def close(self) -> None:
        self._socket.close()


class Greedy:
    """A connection that sends a request again and again, and takes no answer."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._requests = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 20
        self._rest = b""

    def ask(self) -> bool:
        """Sends as much as it can; whether the server has closed the connection."""
        self._rest = self._rest or self._requests
        try:
            self._rest = self._rest[self._socket.send(self._rest) :]
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False

    def close(self) -> None:
        self._socket.close()


def limit_sending(server: Fastlane) -> None:
    """Gives each new connection a small buffer for answers, so that it is full soon."""
    for listening in server.api.server._sockets.values():
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)


async def until_stalled(server: Fastlane, clients: list[Greedy]) -> None:
    """Returns when the server can write to none of its clients."""

    def stalled() -> bool:
        for client in clients:
            client.ask()
        streams = [connection.stream for connection in server.api.server._connections]
        return len(streams) == len(clients) and all(stream.writing() for stream in streams)

    await until(stalled, "no client's buffer was full")


def room(port: int) -> bool:
    """Whether there is room for one more."""
    client = Client(port)
    try:
        return client.ask()
    finally:
        client.close()


async def until_room(port: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(room, port):
            pass


async def test_when_it_is_full_whoever_only_waits_makes_room_and_who_follows_a_log_stays(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, connections=MOST) as server:
        reply = await server.enqueue()
        execution = await server.run(reply)
        async with AsyncExitStack() as stack:
            followers = [await stack.enter_async_context(socket_of(server, reply["jobUrl"] + "ws")) for _ in range(MOST - 3)]
            idle = [await asyncio.to_thread(Client, server.port) for _ in range(2)]
            assert [await asyncio.to_thread(client.ask) for client in idle] == [True, True]
            for _ in range(3 * MOST):
                client = await asyncio.to_thread(Client, server.port)
                assert await asyncio.to_thread(client.ask)
                idle.append(client)
            assert [await asyncio.to_thread(client.ask) for client in idle[:MOST]] == [False] * MOST
            await server.append_log(execution, (1, b"still here\n"))
            await server.end(execution)
            for follower in followers:
                got = await follower.closed()
                assert (got.text, got.end) == ("still here\n", (1000, "done"))
        for client in idle:
            client.close()


async def test_where_nobody_only_waits_who_comes_is_turned_away_until_one_has_left(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, connections=MOST) as server:
        url = (await server.enqueue())["jobUrl"] + "ws"
        async with AsyncExitStack() as stack:
            followers = [await stack.enter_async_context(socket_of(server, url)) for _ in range(MOST)]
            with capture_logs() as lines:
                assert [await asyncio.to_thread(room, server.port) for _ in range(3 * MOST)] == [False] * (3 * MOST)
            assert 1 <= len([line for line in lines if line["event"] == "http.full"]) <= 10  # one a second, however many come
            await followers[0].ws.close()
            await until_room(server.port)


@pytest.mark.parametrize("path", ["/nothing", "/livez", "/healthcheck?x=1", "/tasks/%00"])
async def test_who_takes_no_answer_makes_room_without_a_login_whatever_the_answer_says(shared_redis, tmp_path, path):
    async with Fastlane(tmp_path, shared_redis.url, connections=3, users=(user("anna", "annas"),)) as server:
        limit_sending(server)
        clients = [Greedy(server.port, path) for _ in range(3)]
        await until_stalled(server, clients)
        assert [await asyncio.to_thread(room, server.port) for _ in range(4)] == [True] * 4
        for client in clients:
            client.close()


async def test_who_takes_no_answer_is_hung_up_on_and_who_follows_a_log_is_not(shared_redis, tmp_path, monkeypatch):
    monkeypatch.setattr(deadlines, "SWEEP_EVERY", 0.02)
    monkeypatch.setattr(handler, "WRITE_DEADLINE", 0.5)
    async with Fastlane(tmp_path, shared_redis.url) as server:
        limit_sending(server)
        reply = await server.enqueue()
        execution = await server.run(reply)
        async with socket_of(server, reply["jobUrl"] + "ws") as follower:
            greedy = Greedy(server.port, "/nothing")
            await until(greedy.ask, "the connection was not closed")
            await server.append_log(execution, (1, b"still here\n"))
            await server.end(execution)
            got = await follower.closed()
            assert (got.text, got.end) == ("still here\n", (1000, "done"))
        greedy.close()


def test_a_process_that_may_open_few_files_turns_clients_away_and_works_on(own_redis, tmp_path, engine):
    with installed(tmp_path, engine, redis=own_redis.url, listen="127.0.0.1") as fastlane:
        process = fastlane.serve("api", under=("prlimit", "--nofile=300:300"))
        clients = [Client(fastlane.port) for _ in range(400)]
        inside = [client for client in clients if client.ask()]
        assert 50 <= len(inside) <= 100
        assert psutil.Process(process.pid).num_fds() < 250
        assert inside[0].ask(ASK.replace(b"/livez", b"/tasks"))  # what needs the store has it
        assert (tmp_path / "api.log").stat().st_size < 20_000, fastlane.log("api")
        for client in clients:
            client.close()
        wait_until(lambda: room(fastlane.port), "room")
