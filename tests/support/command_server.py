"""Runs commands by forking a process that has already imported them: a command costs milliseconds, and there are a hundred.

``CommandServer`` is the tests' side. ``python -m tests.support.command_server SOCKET`` is the process that forks, and ends with the tests.
"""

import asyncio
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from fastlane import die_with_parent
from tests.support.waiting import LONG_PATIENCE, wait_until

PRELOADED = ("asyncio", "rich.console", "rich.table", "yaml", "fastlane.client")
LARGEST = 1 << 20


class CommandServer:
    """The process that forks, seen from the tests. Used as a context manager."""

    def __enter__(self) -> "CommandServer":
        self._folder = tempfile.TemporaryDirectory(prefix="flc", dir="/tmp")
        self._path = f"{self._folder.name}/socket"
        self._process = subprocess.Popen([sys.executable, "-m", "tests.support.command_server", self._path], stdin=subprocess.DEVNULL)
        wait_until(lambda: Path(self._path).exists(), "the process that forks commands")
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    async def run(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], input: bytes | None = None
    ) -> tuple[int, bytes, bytes]:
        """Runs ``fastlane`` with these arguments. Returns its exit code and what it wrote."""
        return await asyncio.to_thread(self._run, arguments, folder, environment, input or b"")

    def _run(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], input: bytes) -> tuple[int, bytes, bytes]:
        with (
            tempfile.TemporaryFile() as stdin,
            tempfile.TemporaryFile() as stdout,
            tempfile.TemporaryFile() as stderr,
            socket.socket(socket.AF_UNIX) as connection,
        ):
            stdin.write(input)
            stdin.seek(0)
            connection.settimeout(LONG_PATIENCE)
            connection.connect(self._path)
            request = json.dumps([list(arguments), str(folder), dict(environment)]).encode()
            socket.send_fds(connection, [len(request).to_bytes(4, "big")], [stdin.fileno(), stdout.fileno(), stderr.fileno()])
            connection.sendall(request)
            code = int.from_bytes(connection.recv(4), "big", signed=True)
            stdout.seek(0)
            stderr.seek(0)
            return code, stdout.read(), stderr.read()


def serve(path: str) -> None:
    """Forks for each connection."""
    from fastlane.cli.main import COMMANDS

    ctypes.CDLL(None).prctl(die_with_parent.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
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
                answer(connection)
            connection.close()


def answer(connection: socket.socket) -> None:
    """Runs the command in one more process, and reports its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, files, _, _ = socket.recv_fds(connection, 4, 3)
    request = b""
    while len(request) < int.from_bytes(length, "big"):
        request += connection.recv(LARGEST)
    pid = os.fork()
    if pid == 0:
        run(*json.loads(request), files)
    _, status = os.waitpid(pid, 0)
    connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))
    os._exit(0)


def run(arguments: list[str], folder: str, environment: dict[str, str], files: list[int]) -> None:
    """Runs the command in this process, and ends it."""
    from fastlane.cli.main import main

    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, encoding="utf-8", closefd=False) for number, mode in enumerate("rww"))  # noqa: SIM115
    code = 1
    try:
        main(arguments, prog_name="fastlane")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
