"""More clients than there is room for: who is in goes on, who comes later is turned away, and nothing else suffers."""

import asyncio
import socket
from contextlib import AsyncExitStack

import psutil
from structlog.testing import capture_logs

from tests.support.fastlane import Fastlane
from tests.support.followers import socket as socket_of
from tests.support.installation import installed
from tests.support.waiting import PATIENCE, wait_until

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
