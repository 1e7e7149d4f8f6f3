"""Runs ``fastlane`` as a user does: in a process, in a folder and with a home of its own, against a server."""

import asyncio
import fcntl
import json
import os
import pty
import struct
import sys
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.docs import ROOT
from tests.support.fork_server import ForkServer
from tests.support.waiting import LONG_PATIENCE


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """The command, with these variables in its environment and none of the test's own. ``server`` forks those that run to their end."""

    def __init__(self, server: ForkServer, folder: Path, url: str | None = None, **variables: str) -> None:
        folder.mkdir(exist_ok=True)
        self._server = server
        self.folder = folder
        self.environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder), "LC_ALL": "C.UTF-8", **variables}
        if url is not None:
            self.environment["FASTLANE_URL"] = url

    async def start(self, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
        """Starts a process of its own; ``options`` are those of a subprocess. Ctrl-C ends it even where the tests run in the background of
        a shell, which makes them ignore that."""
        pipe = asyncio.subprocess.PIPE
        streams = {"stdin": asyncio.subprocess.DEVNULL, "stdout": pipe, "stderr": pipe} | options
        command = ("env", "--default-signal=INT", sys.executable, "-m", "fastlane", *arguments)
        return await asyncio.create_subprocess_exec(*command, cwd=self.folder, env=self.environment, **streams)

    async def __call__(self, *arguments: str, input: bytes | None = None) -> Done:
        """Runs it to its end."""
        code, out, err = await self._server.run(arguments, self.folder, self.environment, input)
        return Done(code, out, err.decode())

    async def shell(self, line: str) -> Done:
        """Runs a line of bash in which ``fastlane`` is this command."""
        script = f'fastlane() {{ {sys.executable} -m fastlane "$@"; }}; {line}'
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", script, cwd=self.folder, env=self.environment, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        return await ended(process)


async def ended(process: asyncio.subprocess.Process) -> Done:
    """What a process has written when it ends."""
    out, err = await asyncio.wait_for(process.communicate(), LONG_PATIENCE)
    return Done(process.returncode or 0, out, err.decode())


class Terminal:
    """A pseudo-terminal: what a process writes there, and what is typed."""

    def __init__(self, columns: int = 100) -> None:
        self._here, self.there = pty.openpty()
        fcntl.ioctl(self.there, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.said = b""

    def __enter__(self) -> "Terminal":
        asyncio.get_running_loop().add_reader(self._here, self._read)
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.get_running_loop().remove_reader(self._here)
        os.close(self._here)
        os.close(self.there)

    def type(self, text: bytes) -> None:
        """Types the text; \\x03 is Ctrl-C."""
        os.write(self._here, text)

    def _read(self) -> None:
        try:
            self.said += os.read(self._here, 65_536)
        except OSError:
            asyncio.get_running_loop().remove_reader(self._here)
