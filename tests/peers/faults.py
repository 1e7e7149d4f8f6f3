"""Runs one job each minute on a scheduler, strikes once, and counts what became of the minutes.

The job writes a line when it begins and one when it ends; the harness notes when it sees them. All processes of a scheduler go by a
clock of their own (libfaketime), which the harness sets.
"""

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from tests.support.waiting import wait_until

MINUTE = 60
SHORT, LONG = 8, 75
"""Seconds that the job takes, and does where runs are to overlap."""
SETTLE = 25
"""Seconds that a scheduler has at least before its first due time."""
NODE_LOST, OVERLAP = "node lost", "overlap"
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


@dataclass(frozen=True)
class Started:
    """A line of the job: the run that wrote it, whether it began or ended, and the moment that the clock showed."""

    run: str
    begins: bool
    moment: float


@dataclass(frozen=True)
class Counts:
    """What became of the due times: how many there were, how many have no run that ended, of how many of those no record says why, and how
    many runs there were beyond one for a due time or beside another one."""

    due: int
    lost: int
    unexplained: int
    doubled: int


class Bed:
    """The processes of one scheduler, its folder and its clock."""

    def __init__(self, folder: Path, fault: str) -> None:
        self.folder = folder
        self.fault = fault
        self.seconds = LONG if fault == OVERLAP else SHORT
        self.witness = folder / "witness"
        self.witness.mkdir()
        self.lines = self.witness / "lines"
        self.lines.touch()
        self.lines.chmod(0o666)
        self.store = folder / "store"
        self.job = folder / "job"
        self.job.write_text(f"#!/bin/sh\n{self.script(str(self.lines))}\n")
        self.job.chmod(0o755)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.commands: dict[str, Sequence[str]] = {}
        self.environment: dict[str, str] = {}
        self.seen: list[Started] = []
        self.first = 0
        self._ahead = 0.0
        self._clock = folder / "clock"
        self.set_clock(0)
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch)

    def script(self, lines: str) -> str:
        """The job."""
        run = "${FASTLANE_EXECUTION_ID:-$$}"
        return f'echo "begin {run}" >> {lines}; sleep {self.seconds}; echo "end {run}" >> {lines}'

    # the clock

    def now(self) -> float:
        """The moment that its clock shows."""
        return time.time() + self._ahead

    def set_clock(self, seconds: float) -> None:
        """Sets it ahead of the machine's."""
        self._ahead = seconds
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(f"{seconds:+.0f}\n")
        fresh.rename(self._clock)

    def wait(self, minute: int, second: float) -> None:
        """Until its clock shows this second of a minute, counted from the first due time."""
        time.sleep(max(0.0, self.first + minute * MINUTE + second - self.now()))

    def wait_for_run(self, minute: int) -> None:
        """Until a run has been under way for some seconds which began in this minute or later: some begin a run late in its minute."""
        begins = self.first + minute * MINUTE
        wait_until(lambda: any(line.begins and line.moment >= begins for line in self.seen), "a run", begins + 2 * MINUTE - self.now())
        time.sleep(SHORT / 2)

    # processes

    def start(self, name: str) -> None:
        """Starts a process by its name."""
        preload = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(self._clock), "FAKETIME_NO_CACHE": "1"}
        around = {**os.environ, **self.environment, **preload, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NAME": name}
        with self.log(name).open("ab") as output:
            command = list(self.commands[name])
            self.processes[name] = subprocess.Popen(
                command, cwd=self.folder, env=around, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    def log(self, name: str) -> Path:
        """What a process has said."""
        return self.folder / f"{name}.log"

    def said(self) -> str:
        """What all have said."""
        return "\n".join(self.log(name).read_text(errors="replace") for name in self.commands if self.log(name).exists())

    def kill(self, name: str) -> None:
        """kill -9, of all that it started too."""
        process = self.processes.pop(name)
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in (*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
        process.wait()

    def running(self) -> str:
        """Which process has the job among what it started; the scheduler if none has."""
        for name, process in self.processes.items():
            for one in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if str(self.job) in one.cmdline():
                        return name
        return "scheduler"

    # beginning and end

    def __enter__(self) -> "Bed":
        self._watching.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._watching.join()
        for name in list(self.processes):
            self.kill(name)

    def _watch(self) -> None:
        read = 0
        while not self._over.wait(0.05):
            lines = self.lines.read_text().splitlines()
            for line in lines[read:]:
                word, _, run = line.partition(" ")
                self.seen.append(Started(run, word == "begin", self.now()))
            read = len(lines)


class Kind(Protocol):
    """A scheduler: how it is set up on a bed, and what its records say."""

    name: str
    configuration: str

    def prepare(self, bed: Bed) -> None:
        """Sets ``commands`` and ``environment``. Of these names it has some: ``store`` keeps its data, ``scheduler`` finds out that it is
        time, ``runner`` runs the job, ``spare`` is another one, and ``second`` is another scheduler."""

    def around(self, bed: Bed) -> AbstractContextManager[None]:
        """What there is besides the bed's processes, which end before it does."""

    def begin(self, bed: Bed) -> None:
        """Starts what is always there, and has the job scheduled."""

    def lose_node(self, bed: Bed) -> None:
        """The machine on which the job runs is gone for good."""

    def lose_store(self, bed: Bed) -> None:
        """What Redis holds is gone, or what the scheduler has on disk in place of it."""

    def explained(self, bed: Bed, lost: Sequence[int]) -> int:
        """Of how many of these due times its records say why they have no run that ended."""


Strike = Callable[[Kind, Bed], None]


def killed_at_a_due_time(_kind: Kind, bed: Bed) -> None:
    """The scheduler is killed just before a due time, and comes back 10 seconds after it."""
    bed.wait(1, -0.5)
    bed.kill("scheduler")
    bed.wait(1, 10)
    bed.start("scheduler")


def killed_in_the_run(_kind: Kind, bed: Bed) -> None:
    """What runs the job is killed amid it, and comes back."""
    bed.wait_for_run(1)
    name = bed.running()
    bed.kill(name)
    time.sleep(5)
    bed.start(name)


def node_lost(kind: Kind, bed: Bed) -> None:
    """The machine with the run is gone for good; another one is there, or comes half a minute later."""
    bed.wait_for_run(1)
    kind.lose_node(bed)


def restarted_after_an_hour(_kind: Kind, bed: Bed) -> None:
    """All of it stops and is started again an hour later."""
    bed.wait(1, 20)
    names = list(bed.processes)
    for name in reversed(names):
        bed.kill(name)
    bed.set_clock(3600)
    for name in names:
        bed.start(name)
        time.sleep(1)
    bed.wait(61, 20)


def clock_set(_kind: Kind, bed: Bed) -> None:
    """The clock is set three minutes ahead, and back a minute later."""
    bed.wait(1, 20)
    bed.set_clock(180)
    bed.wait(5, 20)
    bed.set_clock(0)
    bed.wait(5, 50)


def store_lost(kind: Kind, bed: Bed) -> None:
    """The data of the queue are gone."""
    bed.wait(1, 20)
    kind.lose_store(bed)


def overlap(_kind: Kind, bed: Bed) -> None:
    """The job takes longer than a minute."""
    bed.wait(3, 20)


def second_scheduler(_kind: Kind, bed: Bed) -> None:
    """Another scheduler runs beside the first one."""
    bed.wait(0, 30)
    bed.start("second")


FAULTS: Mapping[str, Strike] = {
    "killed at a due time": killed_at_a_due_time,
    "killed in the run": killed_in_the_run,
    NODE_LOST: node_lost,
    "restarted after an hour": restarted_after_an_hour,
    "clock set": clock_set,
    "Redis or store lost": store_lost,
    OVERLAP: overlap,
    "a second scheduler": second_scheduler,
}
LAST = {"restarted after an hour": 62, "clock set": 6, OVERLAP: 4, "killed in the run": 4, NODE_LOST: 4}
"""The last due time that counts, where it is not the third."""
AFTER = 72.0
"""Seconds after the last due time until which its run may end, which may begin at the minute's end; one that overlaps takes longer."""


def run(kind: Kind, fault: str) -> Counts:
    """Strikes a scheduler once."""
    with tempfile.TemporaryDirectory(prefix="peer", dir="/tmp") as folder:
        bed = Bed(Path(folder), fault)
        kind.prepare(bed)
        with kind.around(bed), bed:
            kind.begin(bed)
            bed.first = int(bed.now() // MINUTE + 1) * MINUTE
            if bed.first - bed.now() < SETTLE:
                bed.first += MINUTE
            FAULTS[fault](kind, bed)
            last = LAST.get(fault, 3)
            bed.wait(last, AFTER + (bed.seconds if fault == OVERLAP else 0))
            return judge(bed.seen, bed.first, last, lambda lost: kind.explained(bed, lost))


def judge(seen: Sequence[Started], first: int, last: int, explained: Callable[[Sequence[int]], int]) -> Counts:
    """Counts what became of the due times from the first to the last one. A run belongs to the minute in which it began; if that has a run
    already, to the latest minute before it without one. A run in place of one that never ended is no second run."""
    dues = [first + number * MINUTE for number in range(last + 1)]
    ended = {line.run for line in seen if not line.begins}
    served: dict[int, list[str]] = {due: [] for due in dues}
    under_way: set[str] = set()
    doubled = 0
    for line in seen:
        if not line.begins:
            under_way.discard(line.run)
            continue
        due = int(line.moment + 1) // MINUTE * MINUTE
        if due < first or due > dues[-1]:
            continue
        free = [one for one in dues if one <= due and not any(run in ended for run in served[one])]
        doubled += bool(under_way & ended) or not free
        served[free[-1] if free else due].append(line.run)
        under_way.add(line.run)
    lost = [due for due in dues if not any(run in ended for run in served[due])]
    return Counts(len(dues), len(lost), max(0, len(lost) - explained(lost)), doubled)
