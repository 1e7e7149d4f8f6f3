"""The store of a run: SQLite's file on a disk of its own, or a server of MongoDB's protocol."""

import contextlib
import ctypes
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tests.support.mongo import RealMongo, server_name
from tests.support.waiting import wait_until

DISK = "256m"
CLONE_NEWNS = 0x00020000
"""See unshare(2)."""
MS_REMOUNT = ctypes.c_ulong(32)
"""See mount(2)."""


class Store(Protocol):
    """What a run needs of its store."""

    place: str
    """The setting ``store_url``."""
    words: str

    def snapshot(self, copy: Path) -> None:
        """Copies it as it is at one moment."""

    def restore(self, copy: Path) -> None:
        """Puts a copy in its place, while no process of fastlane runs."""


class SqliteFile:
    """A file of SQLite on a disk in memory."""

    words = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "fastlane.db"
        self.place = f"sqlite:///{self._path}"

    def snapshot(self, copy: Path) -> None:
        with contextlib.closing(sqlite3.connect(self._path)) as db, contextlib.closing(sqlite3.connect(copy)) as target:
            db.backup(target)

    def restore(self, copy: Path) -> None:
        for end in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + end).unlink(missing_ok=True)
        self._path.write_bytes(copy.read_bytes())

    def fill(self) -> None:
        """Nothing more can be written to its disk. The disk is in memory, so a full one takes no memory. What is written between the look
        and the change makes it look again: a disk cannot be smaller than what is on it."""
        wait_until(lambda: self._resize(self._used()), f"{self._folder} to be as small as what is on it")

    def empty(self) -> None:
        """Undoes ``fill``."""
        assert self._resize(DISK), f"{self._folder} stays full"

    def _used(self) -> str:
        disk = os.statvfs(self._folder)
        return f"{(disk.f_blocks - disk.f_bfree) * disk.f_frsize // 1024}k"

    def _resize(self, size: str) -> bool:
        """Whether that was possible. A call of its own takes no time in which more is written, as a command would."""
        call = ctypes.CDLL(None, use_errno=True).mount
        return int(call(b"tmpfs", os.fsencode(self._folder), b"tmpfs", MS_REMOUNT, f"size={size}".encode())) == 0


class MongoServer(RealMongo):
    """A server of MongoDB's protocol."""

    words = server_name().partition(" ")[0]

    @property
    def place(self) -> str:
        return self.url("chaos")


def have_own_mounts() -> None:
    """Lets this process and those that it starts mount what only they see, and what goes with them. Call it before there are threads."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "mounts of its own are refused: run it as root")
    subprocess.run(["mount", "-n", "--make-rprivate", "/"], check=True)


@contextlib.contextmanager
def sqlite_file(folder: Path) -> Iterator[SqliteFile]:
    """SQLite on a disk of its own at ``folder``. See ``have_own_mounts``."""
    folder.mkdir()
    subprocess.run(["mount", "-n", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], check=True)
    try:
        yield SqliteFile(folder)
    finally:
        subprocess.run(["umount", "-n", "-l", folder], check=True)
