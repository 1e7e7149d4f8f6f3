"""From a request to a finished container, on one engine: fastlane beside what teams run containers with.

One side runs at a time; the rounds alternate between them. A side's own processes are measured: not the engine, and not the client.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from statistics import median
from textwrap import fill
from typing import Any, Protocol

import psutil

from benchmarks.figures import percentile


@dataclass(frozen=True, slots=True)
class Sizes:
    """Alternating rounds; single jobs of each in a round, and cron's, which take a minute each; jobs at once; and how long a side is idle
    before (``settle``) and while its processor time is taken, in seconds."""

    rounds: int = 2
    singles: int = 10
    minutes: int = 3
    at_once: int = 100
    settle: float = 10.0
    idle: float = 60.0


QUICK = Sizes(1, 3, 1, 10, 2.0, 5.0)
"""For trying out the benchmark itself."""
BETWEEN_LOOKS = 0.5
WIDTH = 110
"""Characters in a line of the page."""


class Side(Protocol):
    """One way to run containers. ``runs``: a service or a container for each job. ``settings``: how it is set up, for the page."""

    name: str
    version: str
    runs: str
    settings: str
    by_minutes: bool

    def running(self) -> AbstractContextManager[Sequence[int]]:
        """Its processes until the end of the block, after a first job: yields those that have started the others."""

    def singles(self, count: int) -> list[float]:
        """The milliseconds of jobs, one after another."""

    def many(self, count: int) -> float:
        """How many jobs a second it finishes of that many that are requested at once."""


@dataclass(slots=True)
class Row:
    """What was measured of one side: milliseconds of single jobs, jobs a second of each round, bytes at rest and at most amid a hundred
    jobs, and the part of a core that it takes at rest."""

    name: str
    version: str
    runs: str
    settings: str
    at_once: int
    singles: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    resting: list[int] = field(default_factory=list)
    busy: list[int] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The row for the result file."""
        return {
            "name": self.name,
            "version": self.version,
            "runs": self.runs,
            "atOnce": self.at_once,
            "singlesMs": [round(value) for value in self.singles],
            "rates": [round(value, 2) for value in self.rates],
            "restingBytes": self.resting,
            "busyBytes": self.busy,
            "idleCores": [round(value, 5) for value in self.idle],
        }


def measure(sides: Sequence[Side], sizes: Sizes, say: Callable[[str], None]) -> list[Row]:
    """The row of each side."""
    rows = [Row(side.name, side.version, side.runs, side.settings, sizes.at_once) for side in sides]
    for turn in range(sizes.rounds):
        for side, row in list(zip(sides, rows, strict=True))[:: -1 if turn % 2 else 1]:
            with side.running() as leaders:
                if not row.idle:
                    time.sleep(sizes.settle)
                    row.idle.append(_idle(leaders, sizes.idle))
                row.resting.append(_resident(leaders))
                row.singles += side.singles(sizes.minutes if side.by_minutes else sizes.singles)
                with _most(leaders, row.busy):
                    row.rates.append(side.many(sizes.at_once))
            load = os.getloadavg()[0]
            say(f"round {turn + 1}, {row.name}: p50 {percentile(row.singles, 50):,.0f} ms, {row.rates[-1]:.2f}/s, load {load:.2f}")
    return rows


def as_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, and how each side is set up."""
    hundred = rows[0].at_once
    head = f"| | runs a | one job: p50 / p95, ms (jobs) | {hundred} at once, jobs/s | memory at rest / at most, MB | idle, % of a core |"
    settings = "".join(fill(f"- **{row.name} {row.version}**: {row.settings}", WIDTH, subsequent_indent="  ") + "\n" for row in rows)
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *map(_line, rows)]) + f"\n\n{settings}"


def _line(row: Row) -> str:
    times = " / ".join(f"{percentile(row.singles, percent):,.0f}" for percent in (50.0, 95.0))
    memory = f"{_megabytes(median(row.resting))} / {_megabytes(max(row.busy))}" if max(row.busy) else "none"
    idle = f"{row.idle[0] * 100:.2f}" if max(row.busy) else "none"
    rate = f"{median(row.rates):.2f} ({min(row.rates):.2f} to {max(row.rates):.2f})"
    return f"| {row.name} {row.version} | {row.runs} | {times} ({len(row.singles)}) | {rate} | {memory} | {idle} |"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f}" if size >= 1e7 else f"{size / 1e6:.1f}"


def _processes(leaders: Sequence[int]) -> list[psutil.Process]:
    found = []
    for pid in leaders:
        with suppress(psutil.NoSuchProcess):
            found += [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return found


def _resident(leaders: Sequence[int]) -> int:
    """The bytes in RAM of all processes; those that several share count once."""
    total = 0
    for process in _processes(leaders):
        with suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total


def _idle(leaders: Sequence[int], seconds: float) -> float:
    """The part of a core that all processes take, those that end meanwhile included."""
    before, began = _processor_time(leaders), time.monotonic()
    time.sleep(seconds)
    return (_processor_time(leaders) - before) / (time.monotonic() - began)


def _processor_time(leaders: Sequence[int]) -> float:
    total = 0.0
    for process in _processes(leaders):
        with suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total


@contextmanager
def _most(leaders: Sequence[int], into: list[int]) -> Iterator[None]:
    """Adds the most memory that the processes have within the block."""
    over = threading.Event()
    seen = [_resident(leaders)]

    def look() -> None:
        while not over.wait(BETWEEN_LOOKS):
            seen.append(_resident(leaders))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        into.append(max(seen))
