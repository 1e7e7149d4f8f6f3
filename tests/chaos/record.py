"""The record of a run while it is written."""

import json
import threading
import time
from pathlib import Path


class Journal:
    """Rows of JSON: each is on the disk before the next step."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self._lock = threading.Lock()

    def write(self, kind: str, **row: object) -> None:
        """Adds a row."""
        with self._lock:
            self._file.write(json.dumps({"kind": kind, **row}) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
