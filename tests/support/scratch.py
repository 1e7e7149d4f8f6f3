"""Where the tests put what they write: in memory, if there is room, since a test that makes a store waits longest for the disk.

What a test kills or freezes is a process, never the machine, so none can tell the difference. Engines stay on the disk, where containers
start as fast.
"""

import os
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
DISK = Path("/tmp")
ROOM = 4 << 30
"""Bytes: a whole run takes less than a quarter of that."""


def has_room(folder: Path) -> bool:
    """Whether files of a whole run fit in, and programs among them can be run."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK)


SCRATCH = MEMORY if has_room(MEMORY) else DISK


def short_folder(prefix: str = "fl") -> Path:
    """A new folder, for whoever asks to remove. Its path is short, because that of a socket in it holds 107 bytes."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir=SCRATCH))
