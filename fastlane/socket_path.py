"""Where a unix socket is placed: the operating system limits how long its path may be."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

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
