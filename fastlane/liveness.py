"""Shows whether a process works: its event loop answers ``fastlane check`` on a unix socket, and says whether it has started.

An outage of Redis, the store or an engine does not show here once it has, because a restart would not end it.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import structlog

from fastlane.errors import Conflict

MAX_SOCKET = 103
"""The longest path of a unix socket, in bytes: macOS allows 103, Linux 107."""


def socket_path(folder: Path, name: str) -> Path:
    """A socket in the folder or, when that path is too long, in a private folder in the system's temporary one. Raises Conflict when others
    can enter that folder."""
    path = folder / name
    if len(os.fsencode(path)) <= MAX_SOCKET:
        return path
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    private = Path(tempfile.gettempdir()) / f"fastlane-{os.getuid()}-{digest}"
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise Conflict(f"{private} is not a folder that only this user can enter; remove it")
    return private / name


ANSWER = b"ok\n"
LONGEST_ANSWER = 4096
"""Bytes of an answer that are read."""

log = structlog.get_logger()


def check_socket(named: Path | None, data_dir: Path) -> Path:
    """The socket on which a process with these settings answers. Raises Conflict when the path is too long and its short form cannot be
    used."""
    return named or socket_path(data_dir.resolve(), "check.sock")


@contextlib.asynccontextmanager
async def answering(
    named: Path | None, data_dir: Path, waits_for: Callable[[], str | None], *, create: bool = False
) -> AsyncIterator[None]:
    """Answers in this event loop until the context ends: ok, or what the process waits for before it has started. If it cannot, it logs the
    fault, and the process works without a socket. ``create``: makes the data folder if it is missing; only ``up`` may, since to a worker
    that would hide a wrong path."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        what = waits_for()
        with contextlib.suppress(ConnectionError):
            writer.write(ANSWER if what is None else what.encode()[:LONGEST_ANSWER])
            writer.close()
            await writer.wait_closed()

    async with contextlib.AsyncExitStack() as stack:
        try:
            path = _place(named, data_dir, create)
            listener = stack.enter_context(_bound(path))
            stack.callback(path.unlink, missing_ok=True)
            server = await asyncio.start_unix_server(answer, sock=listener)
            stack.callback(server.close)
        except (OSError, Conflict) as error:
            log.warning("check.not_answered", error=str(error))
        yield


def _place(named: Path | None, data_dir: Path, create: bool) -> Path:
    if create:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return check_socket(named, data_dir)


def _bound(path: Path) -> socket.socket:
    """A socket at ``path``, for this user alone. Replaces the socket of a process that has ended."""
    if _answers(path):
        raise Conflict(f"another process answers at {path}; set check_socket to another path for one of them")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        os.chmod(path, 0o600)
    except BaseException:
        listener.close()
        raise
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:  # its backlog is full
            return True
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True
