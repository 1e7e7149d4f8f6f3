"""Exports as files: they appear whole or not at all, and are checked whole before any of them is imported."""

import gzip
import os
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from fastlane.errors import FastlaneError
from fastlane.storage.transfer.importing import Checker
from fastlane.storage.transfer.lines import End, Line, decode, encode

GZIP = b"\x1f\x8b"

Progress = Callable[[Line], None]
"""Hears of each line."""


async def write(lines: AsyncIterator[Line], path: Path, progress: Progress) -> None:
    """Writes an export to a file that only its owner may read, since jobs may hold secrets; packed when its name ends with ``.gz``. A file
    of this name is replaced once the export is complete."""
    partial = path.with_name(path.name + ".part")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw:
            os.fchmod(raw.fileno(), 0o600)
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed:
                    await write_to(lines, packed, progress)
            else:
                await write_to(lines, raw, progress)
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


async def write_to(lines: AsyncIterator[Line], out: BinaryIO | gzip.GzipFile, progress: Progress) -> None:
    """Writes an export to an open file."""
    async for line in lines:
        out.write(encode(line))
        progress(line)


def check(path: Path, progress: Progress) -> Checker:
    """Reads a whole export. Raises FastlaneError, which names the line, when it cannot be imported."""
    checker = Checker()
    for number, text in _texts(path):
        try:
            line = decode(text)
            checker.check(line)
        except FastlaneError as error:
            raise FastlaneError(f"{path}, line {number}: {error}") from None
        progress(line)
    try:
        checker.finish()
    except FastlaneError as error:
        raise FastlaneError(f"{path}: {error}") from None
    return checker


def read(path: Path) -> Iterator[Line]:
    """The lines of an export."""
    for _, text in _texts(path):
        line = decode(text)
        if not isinstance(line, End):
            yield line


def _texts(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as raw:
        is_packed = raw.read(2) == GZIP
        raw.seek(0)
        try:
            with gzip.GzipFile(fileobj=raw) if is_packed else raw as file:
                yield from enumerate(file, 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise FastlaneError(f"{path}: the file is damaged or was cut: {error}") from None
