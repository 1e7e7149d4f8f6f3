"""The disk of a run's store is full while something is written to it, and writable again after that."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.stores import sqlite_file

TIMES = 10


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Something adds to a file as long as the block runs."""
    ended = threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            while not ended.wait(0.005):
                with contextlib.suppress(OSError):
                    file.write(b"x" * 16_384)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


def is_full(folder: Path) -> bool:
    try:
        (folder / "more").write_bytes(b"x" * 65_536)
    except OSError:
        return True
    return False


def test_a_disk_is_full_though_something_writes_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with sqlite_file(folder) as file, writing(folder / "written"):
        (folder / "first").write_bytes(b"x")  # a size of 0 is no limit
        for _ in range(TIMES):
            file.fill()
            assert is_full(folder)
            file.empty()
