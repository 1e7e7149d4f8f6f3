"""Starts fastlane processes by forking a process that has already imported everything: a start costs milliseconds instead of most of a
second, and there are a thousand. Each has its own memory, connections and exit code.

``ForkServer`` is the tests' side; ``python -m tests.support.fork_server`` is the process that forks. It ends with the tests, and all of its
children end with it, by PR_SET_PDEATHSIG.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import traceback
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from fastlane import die_with_parent
from tests.support import process


class Child:
    """A forked process, with the interface of ``asyncio.subprocess.Process``."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()

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
        await self._ended.wait()
        return self.returncode or 0

    def end(self, code: int) -> None:
        """Records its exit code."""
        self.returncode = code
        self._ended.set()


class ForkServer:
    """The process that forks, seen from the tests. An async context manager."""

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        self._expected: deque[asyncio.Future[Child]] = deque()

    async def __aenter__(self) -> "ForkServer":
        tied = (sys.executable, die_with_parent.__file__, str(os.getpid()))
        command = (*tied, sys.executable, "-m", "tests.support.fork_server")
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()
        await self._reading

    async def start(self, role: str, environment: Mapping[str, str], log: Path) -> Child:
        """Starts a process of this role, whose output goes to the file ``log``."""
        assert self._process.stdin is not None
        started: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._expected.append(started)
        self._process.stdin.write(json.dumps([role, dict(environment), str(log)]).encode() + b"\n")
        return await asyncio.wait_for(started, 30)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            pid, code = json.loads(line)
            if code is None:
                child = self._children[pid] = Child(pid)
                future = self._expected.popleft()
                if not future.done():
                    future.set_result(child)
            else:
                self._children.pop(pid).end(code)


def serve() -> None:
    """Forks a process for each line of standard input, a JSON list of role, environment and log, and reports each start ([pid, null]) and
    end ([pid, code]), until the input ends."""
    received, children = b"", set[int]()
    while True:
        readable, _, _ = select.select([0], [], [], 0.02)
        if readable:
            data = os.read(0, 1 << 20)
            if not data:
                break
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    run_child(*json.loads(line))
                children.add(pid)
                report(pid, None)
        for pid in list(children):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                children.remove(pid)
                report(pid, os.waitstatus_to_exitcode(status))


def report(pid: int, code: int | None) -> None:
    """Writes one line to the tests."""
    os.write(1, json.dumps([pid, code]).encode() + b"\n")


def run_child(role: str, environment: dict[str, str], log: str) -> None:
    """Runs fastlane in a forked process, and ends it."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(die_with_parent.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.clear()
        os.environ.update(environment)
        code = process.run(role)
    finally:
        if code:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
