"""A file in which each job's start is recorded: a line with the job's token and the moment. Any process may append to it, a line at a time.

It only needs Python's standard library, because the peers' processes use it too. A worker finds the file's name in ``BENCH_WITNESS``.
"""

import os
import time
from collections.abc import Container
from functools import cache
from pathlib import Path

VARIABLE = "BENCH_WITNESS"
POLL_INTERVAL = 0.02
SHORTEST = len("0 1700000000.000000\n")
"""Bytes of the shortest line."""


def note(token: str) -> None:
    """Records that the job with this token starts now. A peer's job does this and nothing else."""
    os.write(_file(), f"{token} {time.time():.6f}\n".encode())


def starts(path: Path, after: int = 0) -> list[tuple[str, float]]:
    """Token and moment (seconds since 1970) of each start, in the order of writing, from byte ``after`` on.

    A reader may see part of a line that is being written, so the text after the last line's end is left for the next call.
    """
    with path.open("rb") as file:
        file.seek(after)
        whole, _, _unfinished = file.read().rpartition(b"\n")
    return [(token, float(moment)) for token, moment in (line.split() for line in whole.decode().splitlines())]


def wait_for(
    path: Path, count: int, patience: float, *, ignore: Container[str] = (), only: Container[str] | None = None, after: int = 0
) -> list[tuple[str, float]]:
    """Waits for ``count`` starts from byte ``after`` on, or for ``patience`` seconds, and returns the starts that there are by then. Leaves
    out tokens in ``ignore``, and tokens that are not in ``only``."""
    give_up = time.monotonic() + patience
    while True:
        over = time.monotonic() > give_up
        if over or (path.stat().st_size - after) // SHORTEST >= count:
            found = [one for one in starts(path, after) if one[0] not in ignore and (only is None or one[0] in only)]
            if over or len(found) >= count:
                return found
        time.sleep(POLL_INTERVAL)


@cache
def _file() -> int:
    return os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
