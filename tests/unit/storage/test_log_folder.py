"""The folder of archived logs: what it writes is whole or not there, and a folder that hangs, is full or gone is an error in time."""

import asyncio
import io
import os
import threading
import time
from hashlib import sha256

import pytest

from fastlane.archive.folder import MARK, PART, LogFolder
from fastlane.archive.timed_calls import AT_ONCE, THREADS
from fastlane.errors import ArchiveDamaged, ArchiveDown
from tests.support.waiting import until

KEY = "ab/one.log.gz"
CONTENT = bytes(range(256)) * 3_000


def hanging_threads() -> int:
    return sum(thread.name == THREADS for thread in threading.enumerate())


async def put(folder: LogFolder, content: bytes = CONTENT, key: str = KEY) -> None:
    await folder.prepare(is_new=True)
    await folder.put(key, io.BytesIO(content), len(content))


async def test_an_object_is_read_back_whole_and_in_parts(tmp_path):
    folder = LogFolder(tmp_path)
    await put(folder)
    assert await folder.digest(KEY, len(CONTENT)) == sha256(CONTENT).hexdigest()
    assert await folder.read(KEY, 700_000, 1_000) == CONTENT[700_000:701_000]
    with pytest.raises(ArchiveDamaged, match="is shorter than it was"):
        await folder.read(KEY, len(CONTENT) - 1, 2)
    await folder.delete(KEY)
    await folder.delete(KEY)
    with pytest.raises(ArchiveDamaged, match="No such file"):
        await folder.read(KEY, 0, 1)


async def test_only_its_owner_may_read_a_folder_of_logs(tmp_path):
    folder = LogFolder(tmp_path)
    await put(folder)
    assert [oct((tmp_path / name).stat().st_mode & 0o777) for name in ("ab", KEY)] == ["0o700", "0o600"]


async def test_a_thread_that_cannot_start_is_an_error_and_keeps_no_place(tmp_path, monkeypatch):
    folder = LogFolder(tmp_path)
    await folder.prepare(is_new=True)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(20):
            with pytest.raises(ArchiveDown, match="no thread can be started"):
                await folder.digest(KEY, 1)
    await put(folder)


async def test_the_mark_is_made_once_and_a_folder_without_it_is_not_the_archive(tmp_path):
    await LogFolder(tmp_path).prepare(is_new=True)
    assert (tmp_path / MARK).exists()
    await LogFolder(tmp_path).prepare(is_new=False)
    (tmp_path / MARK).unlink()
    with pytest.raises(ArchiveDown, match="mount it"):
        await LogFolder(tmp_path).prepare(is_new=False)
    with pytest.raises(ArchiveDown, match="does not exist; make it, or mount it"):
        await LogFolder(tmp_path / "none").prepare(is_new=True)


async def test_a_full_folder_is_an_error_and_leaves_no_object(tmp_path):
    """``/dev/full`` is a disk without space."""
    folder = LogFolder(tmp_path)
    (tmp_path / "ab").mkdir()
    (tmp_path / f"{KEY}{PART}").symlink_to("/dev/full")
    with pytest.raises(ArchiveDown, match="No space left on device"):
        await put(folder)
    assert not (tmp_path / KEY).exists()
    await folder.delete(KEY)
    await put(folder)
    assert await folder.digest(KEY, len(CONTENT)) == sha256(CONTENT).hexdigest()


async def test_a_folder_that_hangs_is_an_error_in_time_and_delays_nothing_else(tmp_path):
    """A read of a pipe that nobody writes hangs, as a mount does whose server is away."""
    os.mkfifo(tmp_path / "hangs")
    folder = LogFolder(tmp_path, patience=0.3)
    await put(folder)
    began, ticks = time.monotonic(), 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with pytest.raises(ArchiveDown, match="did not answer within 0 s"):
        await folder.read("hangs", 0, 1)
    ticking.cancel()
    assert time.monotonic() - began < 5
    assert ticks > 3
    assert await folder.read(KEY, 0, 3) == CONTENT[:3]
    hanging = [asyncio.create_task(folder.read("hangs", 0, 1)) for _ in range(2 * AT_ONCE)]
    assert all(isinstance(one, ArchiveDown) for one in await asyncio.gather(*hanging, return_exceptions=True))
    assert hanging_threads() <= AT_ONCE
    with pytest.raises(ArchiveDown):
        await folder.read(KEY, 0, 3)
    with (tmp_path / "hangs").open("wb"):  # the server is back: each read comes to its end
        await until(lambda: not hanging_threads(), "the end of all reads")
    assert await folder.read(KEY, 0, 3) == CONTENT[:3]
