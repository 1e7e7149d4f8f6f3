"""How an engine is reached: by its socket, by TCP with or without TLS, or by a socket that ssh forwards to it.

``EngineTransport`` checks that the way is open, gives each connection its TLS context, and makes the sessions in which the client and the
log reader connect. It does not know the questions to an engine. Certificates are read again when their files change. When ssh has ended,
the next probe starts it again.
"""

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path

import aiohttp
import structlog

from fastlane import die_with_parent
from fastlane.config.access import Fingerprint, fingerprint
from fastlane.errors import HostDown
from fastlane.executors.swarm.faults import CLOSED, UNKNOWN_NAME, lost_service_words
from fastlane.models.host import LOCAL_ENGINE, SSH_PATH, Endpoint, TlsFiles

log = structlog.get_logger()

KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A followed log may be silent for as long as its job is. After 10 s without a byte the kernel probes the peer, and after 15 s more without
an answer it breaks the connection."""
KEPT = 75.0
"""Seconds for which an idle connection is kept: longer than a host that is well goes without a probe."""


class EngineTransport:
    """How one host is reached. ``name``: its address, as errors name it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = endpoint.address
        self.node: str | None = None
        """The name of the node that answered last, as its swarm has it."""
        self._endpoint = endpoint
        self._tls = TlsContext(self.name, endpoint.tls) if endpoint.scheme == "tcp" and endpoint.tls is not None else None
        self._tunnel = Tunnel(endpoint) if endpoint.scheme == "ssh" else None

    @property
    def socket(self) -> str | None:
        """The path of the socket; None for TCP."""
        if self._tunnel is not None:
            return str(self._tunnel.socket)
        return self._endpoint.address.removeprefix("unix://") if self._endpoint.scheme == "unix" else None

    @property
    def base(self) -> str:
        """The base of the engine's URLs: ``https://HOST:PORT``, ``http://HOST:PORT`` without TLS, or any name for a socket."""
        if self.socket is not None:
            return "http://docker"
        return f"{'http' if self._tls is None else 'https'}://{self._endpoint.url.netloc}"

    @property
    def is_plain(self) -> bool:
        """Whether it is TCP without TLS."""
        return self._endpoint.is_plain

    async def connect(self) -> None:
        """Connects by ssh, if the host is reached that way and is not connected. Raises HostDown. A probe calls it."""
        if self._tunnel is not None:
            await self._tunnel.connect()

    def session(self, timeout: aiohttp.ClientTimeout, *, limit: int) -> aiohttp.ClientSession:
        """A session that reaches the engine, with at most ``limit`` connections (0: any number). Call it in a running loop. No variable of
        the environment, such as ``HTTP_PROXY``, leads it elsewhere."""
        connector: aiohttp.BaseConnector
        if self.socket is not None:
            connector = aiohttp.UnixConnector(path=self.socket, limit=limit, keepalive_timeout=KEPT)
        else:
            connector = aiohttp.TCPConnector(limit=limit, keepalive_timeout=KEPT, socket_factory=_lively_socket)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)

    async def context(self) -> ssl.SSLContext | bool:
        """What a session's call takes as ``ssl``: the TLS context, or True without TLS. Raises HostDown while ssh is not connected, since a
        call does not start it, or while the files of TLS cannot be used."""
        if self._tunnel is not None:
            self._tunnel.check()
        return True if self._tls is None else await asyncio.to_thread(self._tls.current)

    def explain(self, error: HostDown) -> HostDown:
        """The error, with what it often means on this way: a name of one part that is not known is a service's without a task; and ssh and
        TLS 1.3 both close a connection that they first seemed to accept."""
        service = self._endpoint.url.hostname or ""
        if str(error).endswith(UNKNOWN_NAME) and "." not in service:
            return HostDown(f"{self.name} {lost_service_words(service, self.node)}")
        if type(error) is not HostDown or not str(error).endswith(CLOSED):
            return error
        if self._tunnel is not None:
            return HostDown(f"{error}: is the engine running there, and may the user of ssh open its socket?")
        if self._tls is not None:
            return HostDown(f"{error}: does its engine know the authority of fastlane's certificate?")
        return error

    async def close(self) -> None:
        """Ends ssh."""
        if self._tunnel is not None:
            await self._tunnel.close()


def _lively_socket(address: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
    """A socket for this address that detects a vanished peer."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


TLS_FILES_EVERY = 1.0
"""Seconds between two looks at the files."""

log = structlog.get_logger()


class TlsContext:
    """The context for one host. For use from several threads."""

    def __init__(self, host: str, files: TlsFiles) -> None:
        self._host = host
        self._files = files
        self._lock = threading.Lock()
        self._seen: Fingerprint = ()
        self._looked: float | None = None
        self._context: ssl.SSLContext | None = None
        self._fault = ""

    def current(self) -> ssl.SSLContext:
        """The context of the files as they were a second ago at most. Blocks. Raises HostDown while there has been none."""
        with self._lock:
            if self._looked is None or time.monotonic() - self._looked >= TLS_FILES_EVERY:
                self._look()
                self._looked = time.monotonic()
            if self._context is None:
                raise HostDown(f"{self._host} is not asked: {self._fault}")
            return self._context

    def _look(self) -> None:
        files = (self._files.ca, self._files.certificate, self._files.key)
        found = fingerprint(files)
        if found == self._seen:
            return
        self._seen, earlier = found, self._context
        try:
            self._context = _load(self._files)
        except OSError as error:  # an ssl.SSLError is one too
            self._fault = str(error)
            log.warning("host.tls_not_loaded", host=self._host, error=self._fault, kept=earlier is not None)
        else:
            log.info("host.tls_loaded", host=self._host, again=earlier is not None)


def _load(files: TlsFiles) -> ssl.SSLContext:
    """A context that verifies the engine by these files. Raises OSError, whose text names the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile=files.ca)
    except OSError as error:
        raise _unusable("ca", files.ca, error) from None
    try:
        context.load_cert_chain(files.certificate, files.key, password="")  # without one, OpenSSL asks for it on the terminal
    except OSError as error:
        named = files.key if files.certificate.is_file() else files.certificate
        raise _unusable(f"certificate {files.certificate} and its key", named, error) from None
    return context


def _unusable(what: str, path: Path, error: OSError) -> OSError:
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    return OSError(f"the TLS file {what} {path} cannot be used ({reason}); it has to be PEM, and a key has to be without a password")


CONNECT_WITHIN = 10.0
END_WITHIN = 2.0
SOCKET_EVERY = 0.02
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
    ("Could not resolve hostname", "has a host name that cannot be looked up: correct its address, or the name service of the worker"),
    ("not responding", "stopped answering ssh"),
    ("timed out", "did not answer ssh in time"),
)
"""ssh's messages, and their meaning in words that follow the host's name; the first that is found counts."""


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
        """Raises HostDown, with ssh's own reason, unless it is connected."""
        if self._fault is None and not self._runs():
            self._fault = f"is not connected: {self._reason()}"
        if self._fault is not None:
            raise HostDown(f"{self.name} {self._fault}")

    async def connect(self) -> None:
        """Returns once it is connected: starts ssh if it does not run. Raises HostDown when ssh fails, or failed a moment ago."""
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
        tied = (sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()))
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
            await asyncio.sleep(SOCKET_EVERY)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Keeps the last lines that ssh wrote, until it ends."""
        while process.stderr is not None and not process.stderr.at_eof():
            with contextlib.suppress(ValueError):  # a line without an end
                line = (await process.stderr.readline()).decode(errors="replace").strip()
                self._said.extend([line[:MAX_LINE]] if line else [])
        code = await process.wait()
        log.info("ssh.ended", host=self.name, code=code, said=self._said[-1] if self._said else "")

    def _reason(self) -> str:
        """The reason for ssh's end, in words that follow the host's name."""
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
    """The arguments of ssh that forward ``socket`` to the engine of this address. Raises HostDown for what ssh would expand: it has no way
    to write ``${`` literally, and an address from before may have one."""
    url, files = endpoint.url, endpoint.ssh
    if url.path and not re.fullmatch(SSH_PATH, url.path):
        raise HostDown(f"{endpoint.address} has a path that ssh would change; use letters, digits and ._/@+=,~- only")
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
    """A path as ssh reads it literally: it splits at spaces, and expands ``%`` and ``${…}``. Raises HostDown for the latter."""
    if "${" in str(path):
        raise HostDown(f"ssh would expand a variable in the path {path}; rename the file")
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"'
