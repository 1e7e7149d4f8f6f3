"""What an export and an import cost: processor time, memory and time for a store on SQLite, by the commands that an operator types.

Beside the export is a copy of the file by SQLite itself, which has neither checks nor another store as its aim.
"""

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks.figures import Comparison, Figure
from benchmarks.list_stores import Numbers, fill
from benchmarks.stores import SQLITE, Place

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one command: seconds on the clock, seconds of a processor, MB of memory at most."""

    seconds: float
    cpu: float
    memory: float


def measure(rounds: int, say: Say, jobs: int) -> list[Figure]:
    """Exports a store with this many jobs that ran once and wrote nothing, and imports the file into an empty store."""
    exports, imports, copies = list[Cost](), list[Cost](), list[float]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = Place(SQLITE, f"sqlite:///{folder / 'full.db'}")
        uvloop.run(fill(place, Numbers(jobs, 3)))
        for turn in range(rounds):
            file, empty = folder / f"{turn}.jsonl", f"sqlite:///{folder / f'{turn}.db'}"
            exports.append(_cost("export", "-o", str(file), store_url=place.url))
            imports.append(_cost("import", str(file), "--without-redis", store_url=empty))
            copies.append(_copied(folder / "full.db", folder / "copy.db"))
            file.unlink()
            say(f"round {turn + 1}: {jobs:,} jobs exported {exports[-1]}, imported {imports[-1]}, copied in {copies[-1]:.2f} s")
    return [*_figures(f"an export of {jobs:,} jobs", exports, copies), *_figures(f"an import of {jobs:,} jobs", imports, [])]


def _figures(name: str, costs: list[Cost], copies: list[float]) -> list[Figure]:
    return [
        Figure(name, "s", [cost.seconds for cost in costs], copies, "SQLite's own copy of the file", Comparison.ALONE),
        Figure(f"{name}, processor time", "s", [cost.cpu for cost in costs], comparison=Comparison.ALONE),
        Figure(f"{name}, memory", "MB", [cost.memory for cost in costs], comparison=Comparison.ALONE),
    ]


RUN = """
import atexit, runpy, sys
def note(path):
    with open("/proc/self/status") as status, open(path, "w") as file:
        file.write(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
atexit.register(note, sys.argv.pop(1))
runpy.run_module("fastlane", run_name="__main__", alter_sys=True)
"""
"""Runs the command, and writes the most memory that it had into a file: what ``wait4`` says of it (``ru_maxrss``) begins with the memory
of the process that starts it."""


def _cost(*command: str, store_url: str) -> Cost:
    environment = {**os.environ, "FASTLANE_STORE_URL": store_url}
    with tempfile.NamedTemporaryFile("r") as peak:
        began = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-c", RUN, peak.name, *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"fastlane {command[0]} failed")
        return Cost(time.perf_counter() - began, used.ru_utime + used.ru_stime, int(peak.read()) * 1_024 / 1_000_000)


def _copied(path: Path, copy: Path) -> float:
    """Seconds of a copy by SQLite's backup."""
    copy.unlink(missing_ok=True)
    began = time.perf_counter()
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return time.perf_counter() - began
