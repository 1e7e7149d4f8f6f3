"""The archive of old logs in a folder, which all processes reach: a disk of its own, or a network's.

A folder of a network may hang for as long as its server is away, see ``timed_calls``.
"""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO, TypeVar

from fastlane.archive.timed_calls import AT_ONCE, BLOCK, PATIENCE, TimedCalls, time_for
from fastlane.errors import ArchiveDamaged, ArchiveDown

MARK = "fastlane-archive"
"""The file that says that a folder is an archive. An empty folder without it, such as one on which nothing is mounted, is not taken."""
PART = ".part"
"""What the name of an object that is being written ends with."""
PRIVATE = 0o600
"""Only their owner may read logs, as is so of the store's file."""

T = TypeVar("T")


class LogFolder:
    """The objects as files of a folder, which has to exist. ``patience``: seconds."""

    def __init__(self, folder: Path, patience: float = PATIENCE) -> None:
        self._folder = folder
        self._patience = patience
        self._calls = TimedCalls(AT_ONCE)

    async def prepare(self, *, is_new: bool) -> None:
        """Looks for the mark, which is made where nothing is archived yet."""

        def look() -> None:
            mark = self._folder / MARK
            if mark.exists():
                return
            if not is_new:
                self._check_mark()
            if not self._folder.is_dir():
                raise ArchiveDown(f"the folder {self._folder} of archive_url does not exist; make it, or mount it")
            with mark.open("wb") as file:
                file.write(b"Logs that fastlane moved here. Do not remove this file.\n")
                os.fsync(file.fileno())

        await self._call(look)

    async def put(self, key: str, content: BinaryIO, size: int) -> None:
        """Writes a file under another name first, and has it on the disk before it gets its own."""

        def put() -> None:
            self._check_mark()
            path = self._folder / key
            path.parent.mkdir(mode=0o700, exist_ok=True)
            part = path.with_name(path.name + PART)
            content.seek(0)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE), "wb") as file:
                copyfileobj(content, file, BLOCK)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            for folder in (path.parent, self._folder):
                _sync(folder)

        await self._call(put, size)

    async def digest(self, key: str, size: int) -> str:
        """Reads a file to its end."""

        def digest() -> str:
            self._check_mark()
            found = sha256()
            with (self._folder / key).open("rb") as file:
                while block := file.read(BLOCK):
                    found.update(block)
            return found.hexdigest()

        return await self._call(digest, size)

    async def read(self, key: str, start: int, length: int) -> bytes:
        """Reads a part of a file."""

        def read() -> bytes:
            try:
                with (self._folder / key).open("rb") as file:
                    file.seek(start)
                    data = file.read(length)
            except FileNotFoundError as error:
                if not (self._folder / MARK).exists():
                    raise
                words = f"{key} in the archive {self._folder} cannot be read: {error.strerror}; restore it from a backup of the archive"
                raise ArchiveDamaged(words) from error
            if len(data) != length:
                raise ArchiveDamaged(f"{key} in the archive {self._folder} is shorter than it was; restore it from a backup of the archive")
            return data

        return await self._call(read, length)

    async def delete(self, key: str) -> None:
        """Deletes a file, whole or not."""

        def delete() -> None:
            self._check_mark()
            path = self._folder / key
            for one in (path, path.with_name(path.name + PART)):
                one.unlink(missing_ok=True)

        await self._call(delete)

    def _check_mark(self) -> None:
        """Raises ArchiveDown when this is not the archive now: it may be unmounted at any moment, and what is then below takes writes."""
        if not (self._folder / MARK).exists():
            raise ArchiveDown(
                f"the folder {self._folder} has no file {MARK}, so it is not the archive that this store has logs in; "
                "mount it, or correct archive_url"
            )

    async def _call(self, work: Callable[[], T], size: int = 0) -> T:
        return await self._calls.call(work, time_for(size, self._patience), f"the archive {self._folder}")


def _sync(folder: Path) -> None:
    """Has the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
