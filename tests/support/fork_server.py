"""Starts fastlane by forking a process that has already imported everything: a start costs milliseconds instead of most of a second, and
there are more than a thousand. Each child has its own memory, connections and exit code.

``ForkServer`` is the tests' side. ``python -m tests.support.fork_server SOCKET`` is the process that forks, once for each connection; it
ends with the tests, and all of its children end with it, by PR_SET_PDEATHSIG.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

from fastlane import die_with_parent
from tests.support.waiting import LONG_PATIENCE, wait_until

PRELOADED = ("asyncio", "yaml", "fastlane.client", "tests.support.process")
LARGEST = 1 << 20
NUMBER = 4
"""Bytes of a number that is sent."""


class Child:
    """A forked process, with the interface of ``asyncio.subprocess.Process``."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.create_task(self._end(connection))

    async def _end(self, connection: socket.socket) -> int:
        with connection:
            connection.setblocking(False)
            self.returncode = _number(await asyncio.get_running_loop().sock_recv(connection, NUMBER))
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Its exit code; minus the signal's number when one ended it."""
        return await asyncio.shield(self._ended)


class ForkServer:
    """The process that forks, seen from the tests. Used as a context manager."""

    def __enter__(self) -> "ForkServer":
        self._folder = tempfile.TemporaryDirectory(prefix="flc", dir="/tmp")
        self._path = f"{self._folder.name}/socket"
        tied = (sys.executable, die_with_parent.__file__, str(os.getpid()))
        command = (*tied, sys.executable, "-m", "tests.support.fork_server", self._path)
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        wait_until(Path(self._path).exists, "the process that forks")
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    async def start(self, role: str, environment: Mapping[str, str], log: Path) -> Child:
        """Starts a process of this role, whose output goes to the file ``log``."""
        return Child(*await asyncio.to_thread(self._start, role, environment, log))

    def _start(self, role: str, environment: Mapping[str, str], log: Path) -> tuple[int, socket.socket]:
        with open(os.devnull, "rb") as nothing, log.open("ab") as output:
            return self._fork("role", [role], Path.cwd(), environment, (nothing, output, output))

    async def run(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], input: bytes | None = None
    ) -> tuple[int, bytes, bytes]:
        """Runs ``fastlane`` with these arguments to its end. Returns its exit code and what it wrote."""
        return await asyncio.to_thread(self._run, arguments, folder, environment, input or b"")

    def _run(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], input: bytes) -> tuple[int, bytes, bytes]:
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            stdin.write(input)
            stdin.seek(0)
            _, connection = self._fork("command", arguments, folder, environment, (stdin, stdout, stderr))
            with connection:
                code = _number(connection.recv(NUMBER))
            stdout.seek(0)
            stderr.seek(0)
            return code, stdout.read(), stderr.read()

    def _fork(
        self, kind: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], files: Sequence[BinaryIO]
    ) -> tuple[int, socket.socket]:
        """Its process id, and the connection that gets its exit code."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(LONG_PATIENCE)
        connection.connect(self._path)
        request = json.dumps([kind, list(arguments), str(folder), dict(environment)]).encode()
        socket.send_fds(connection, [_bytes(len(request))], [file.fileno() for file in files])
        connection.sendall(request)
        return _number(connection.recv(NUMBER)), connection


def _bytes(number: int) -> bytes:
    return number.to_bytes(NUMBER, "big", signed=True)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


# ---- the process that forks


def serve(path: str) -> None:
    """Forks for each connection."""
    from fastlane.cli.main import COMMANDS

    for module in (*PRELOADED, *(entry.place.split(":")[0] for entry in COMMANDS.values())):
        import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path + ".new")
        listener.listen(64)
        os.rename(path + ".new", path)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                answer(connection)
            connection.close()


def answer(connection: socket.socket) -> None:
    """Runs what was asked for in one more process; reports its id, and its exit code."""
    end_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, files, _, _ = socket.recv_fds(connection, NUMBER, 3)
    request = b""
    while len(request) < _number(length):
        request += connection.recv(LARGEST)
    pid = os.fork()
    if pid == 0:
        connection.close()
        run_child(*json.loads(request), files)
    connection.sendall(_bytes(pid))
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(ConnectionError):  # nobody may wait for it any more
        connection.sendall(_bytes(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def end_with_parent() -> None:
    """kill -9 for this process when its parent ends."""
    ctypes.CDLL(None).prctl(die_with_parent.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def run_child(kind: str, arguments: list[str], folder: str, environment: dict[str, str], files: list[int]) -> None:
    """Runs fastlane in this process, and ends it."""
    code = 1
    try:
        end_with_parent()
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.stdin, sys.stdout, sys.stderr = (open(number, mode, 1, "utf-8", closefd=False) for number, mode in enumerate("rww"))  # noqa: SIM115
        code = KINDS[kind](arguments)
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_role(arguments: list[str]) -> int:
    """``fastlane ROLE`` with what its ``ProcessOptions`` change."""
    from tests.support import process

    return process.run(*arguments)


def run_command(arguments: list[str]) -> int:
    """Any command of ``fastlane``."""
    from fastlane.cli.main import main

    try:
        main(arguments, prog_name="fastlane")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


KINDS: Mapping[str, Callable[[list[str]], int]] = {"role": run_role, "command": run_command}


if __name__ == "__main__":
    serve(sys.argv[1])
