"""The ssh connection to one host: OpenSSH's own client, which forwards a socket of this machine to the engine's socket there.

Both HTTP clients use that socket, so there is one ssh process and one connection for each host, however many calls and logs are under way.
Host keys are always verified, and nothing is ever asked on a terminal. ssh reads no configuration file: only the settings count. The
process ends with fastlane. ``connect``, which the host's probe calls, starts it again when it has ended.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
import tempfile
from collections import deque
from pathlib import Path

import structlog

from fastlane import tether
from fastlane.errors import HostDown
from fastlane.models.placement.endpoint import LOCAL_ENGINE, Endpoint

log = structlog.get_logger()

CONNECT_WITHIN = 10.0
END_WITHIN = 2.0
LOOK_EVERY = 0.02
FIRST_WAIT, MAX_WAIT = 1.0, 30.0
"""Seconds before an ssh that has failed is started again: twice as long each time."""
LONGEST_FOLDER = 60
"""Bytes of a folder's path that leave room for ssh's own names: a socket's path has at most 103 on macOS."""
LAST_LINES, MAX_LINE = 20, 500

OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "UpdateHostKeys": "no",
    "ControlPath": "none",
    "ConnectTimeout": "5",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "2",
    "ExitOnForwardFailure": "yes",
    "StreamLocalBindUnlink": "yes",
    "LogLevel": "INFO",
}

_WORDS = (
    (
        "HOST IDENTIFICATION HAS CHANGED",
        "shows another host key than the known one: another machine may pretend to be it; if it has a new key, correct the known hosts",
    ),
    ("Host key verification failed", "has a host key that is not in the known hosts: compare its fingerprint, then add it"),
    ("UNPROTECTED PRIVATE KEY FILE", "cannot be logged in to: others may read the identity file, so ssh does not use it; chmod 600 it"),
    ("Permission denied", "does not let fastlane log in by ssh: add its public key to authorized_keys there"),
    ("Connection refused", "refused the connection of ssh"),
    ("Could not resolve hostname", "has a host name that cannot be looked up"),
    ("not responding", "stopped answering ssh"),
    ("timed out", "did not answer ssh in time"),
)
"""What ssh writes, and what it means in words that follow the host's name; the first that is found counts."""


class Tunnel:
    """The ssh connection to a host. ``socket``: the path where it leads to the engine, while it is connected."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = endpoint.address
        self._endpoint = endpoint
        folder = tempfile.gettempdir()
        folder = folder if len(os.fsencode(folder)) <= LONGEST_FOLDER else "/tmp"
        self._folder = Path(folder) / f"fastlane-ssh-{secrets.token_hex(8)}"
        self.socket = self._folder / "docker"
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._said: deque[str] = deque(maxlen=LAST_LINES)
        self._fault: str | None = "is not connected by ssh yet"
        self._wait = FIRST_WAIT
        self._not_before = 0.0
        self._lock = asyncio.Lock()

    def check(self) -> None:
        """Raises HostDown, with ssh's own reason, unless the connection is there."""
        if self._fault is None and not self._runs():
            self._fault = f"is not connected: {self._reason()}"
        if self._fault is not None:
            raise HostDown(f"{self.name} {self._fault}")

    async def connect(self) -> None:
        """Returns once the connection is there: starts ssh if it does not run. Raises HostDown when ssh fails, or failed a moment ago."""
        async with self._lock:
            if self._fault is None and self._runs():
                return
            now = asyncio.get_running_loop().time()
            if now < self._not_before:
                self.check()
            await self._end()
            try:
                await self._start()
            except HostDown as error:
                self._fault = str(error).removeprefix(f"{self.name} ")
                self._not_before = asyncio.get_running_loop().time() + self._wait
                self._wait = min(MAX_WAIT, 2 * self._wait)
                await self._end()
                raise
            self._fault, self._wait, self._not_before = None, FIRST_WAIT, 0.0

    async def close(self) -> None:
        """Ends ssh, and removes the socket."""
        async with self._lock:
            self._fault = "is not connected by ssh any more"
            await self._end()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def _start(self) -> None:
        program = shutil.which("ssh")
        if program is None:
            raise HostDown(f"{self.name} cannot be reached: there is no ssh here; install openssh-client")
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        self._said.clear()
        tied = (sys.executable, "-I", "-S", tether.__file__, str(os.getpid()))
        self._process = await asyncio.create_subprocess_exec(
            *tied,
            program,
            *arguments(self._endpoint, self.socket),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )
        self._reading = asyncio.create_task(self._read(self._process), name=f"ssh {self.name}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_WITHIN):
                await self._decided()
        if not self._runs():
            await self._reading  # its last words
            raise HostDown(f"{self.name} {self._reason()}")
        if not self.socket.exists():
            raise HostDown(f"{self.name} did not answer ssh within {CONNECT_WITHIN:g} s")
        log.info("ssh.connected", host=self.name, pid=self._process.pid)

    async def _decided(self) -> None:
        """Returns once ssh has logged in, which the socket shows, or has ended."""
        while True:
            if self.socket.exists() or not self._runs():
                return
            await asyncio.sleep(LOOK_EVERY)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Keeps the last lines that ssh wrote, until it ends."""
        while process.stderr is not None and not process.stderr.at_eof():
            with contextlib.suppress(ValueError):  # a line without an end
                line = (await process.stderr.readline()).decode(errors="replace").strip()
                self._said.extend([line[:MAX_LINE]] if line else [])
        code = await process.wait()
        log.info("ssh.ended", host=self.name, code=code, said=self._said[-1] if self._said else "")

    def _reason(self) -> str:
        """Why ssh ended, in words that follow the host's name."""
        said = "\n".join(self._said)
        for words, meaning in _WORDS:
            if words in said:
                return meaning
        return f"cannot be reached by ssh: {self._said[-1] if self._said else 'it ended without a word'}"

    async def _end(self) -> None:
        process, reading = self._process, self._reading
        self._process = self._reading = None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(END_WITHIN):
                    await process.wait()
            except TimeoutError:
                log.warning("ssh.killed", host=self.name)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        if reading is not None:
            await asyncio.wait([reading])


def arguments(endpoint: Endpoint, socket: Path) -> list[str]:
    """The arguments of ssh that forward ``socket`` to the engine of this address."""
    url, files = endpoint.url, endpoint.ssh
    options = dict(OPTIONS)
    if files.known_hosts is not None:
        options |= {"UserKnownHostsFile": _quoted(files.known_hosts), "GlobalKnownHostsFile": "/dev/null"}
    if files.identity is not None:
        options |= {"IdentityFile": _quoted(files.identity), "IdentitiesOnly": "yes"}
    if url.username:
        options["User"] = url.username
    if url.port:
        options["Port"] = str(url.port)
    there = url.path.rstrip("/") or LOCAL_ENGINE.removeprefix("unix://")
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["-F", "none", "-N", "-T", *words, "-L", f"{socket}:{there}", "--", url.hostname or ""]


def _quoted(path: Path) -> str:
    """A path as ssh reads it literally: it splits at spaces, and expands ``%`` and ``${…}``."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"'
