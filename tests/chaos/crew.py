"""The processes of a run: API servers and workers by number, each of which may be killed, frozen, set to another time, or be one of an
older release.

A process's clock is set by libfaketime, which reads how far it is off from a file. The clocks by which processes wait stay right, as they
do when someone sets a machine's clock.
"""

import glob
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.support.installation import Installation
from tests.support.ports import free_port
from tests.support.waiting import wait_until

APIS, WORKERS = 2, 3
SLOTS = (*(("api", number) for number in range(APIS)), *(("worker", number) for number in range(WORKERS)))
LIBRARY = "/usr/lib/*/faketime/libfaketimeMT.so.1"
SERVES_WITHIN = 60.0
RIGHT_FOR = 5.0
"""Seconds for which a process runs before its clock is set, and after."""

Slot = tuple[str, int]


class Crew:
    """The processes of an installation. ``program``: the folder of the fastlane that they run."""

    def __init__(self, fastlane: Installation, program: Path) -> None:
        self.fastlane = fastlane
        self.lock = threading.RLock()
        """Held by whoever starts or ends processes."""
        self.ports = [free_port() for _ in range(APIS)]
        self._programs: dict[Slot, Path] = dict.fromkeys(SLOTS, program)
        self._plain = program
        self._running: dict[Slot, subprocess.Popen[bytes]] = {}
        self._clocked = set[Slot]()
        self._ended_by_us = set[int]()
        (self._library,) = glob.glob(LIBRARY)

    def start(self) -> None:
        """Starts each process that does not run."""
        with self.lock:
            for slot in SLOTS:
                if slot not in self._running or self._running[slot].poll() is not None:
                    if slot in self._clocked and slot in self._running:
                        self._ended_by_us.add(self._running[slot].pid)
                    self._running[slot] = self._start(slot)

    def crashed(self) -> list[str]:
        """The processes that have ended by themselves, each with its exit code."""
        ended = [process for process in self.fastlane.processes if process.poll() is not None and process.pid not in self._ended_by_us]
        return [f"{process.args} with {process.returncode}" for process in ended]

    def until_serving(self) -> None:
        """Returns when each API server answers."""
        for port in self.ports:
            wait_until(lambda port=port: _answers(port), f"an API server: {self.fastlane.log('api')}", SERVES_WITHIN)

    def kill(self, *slots: Slot) -> None:
        """SIGKILL; all of them at once."""
        self._end(signal.SIGKILL, slots)

    def freeze(self, slot: Slot) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP, slot)

    def thaw(self, slot: Slot) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT, slot)

    def replace(self, slot: Slot, program: Path | None) -> None:
        """Ends a process in good order, and starts it as one of another release; None: of the run's own."""
        with self.lock:
            self._end(signal.SIGTERM, [slot])
            self._programs[slot] = self._plain if program is None else program
            self.start()

    def move_clock(self, slot: Slot, seconds: int) -> None:
        """Sets a process's clock off by so many seconds, some seconds after it has begun anew with a right one."""
        self._clocked.add(slot)
        self.replace(slot, None)
        time.sleep(RIGHT_FOR)
        self._set_clock(slot, seconds)

    def right_clock(self, slot: Slot) -> None:
        """Undoes ``move_clock``."""
        self._set_clock(slot, 0)
        time.sleep(RIGHT_FOR)
        with self.lock:
            self._end(signal.SIGTERM, [slot])
            self._clocked.discard(slot)
            self.start()

    def _set_clock(self, slot: Slot, seconds: int) -> None:
        changed = self._clock(slot).with_suffix(".new")
        changed.write_text(f"{seconds:+d}\n")
        changed.replace(self._clock(slot))

    def _start(self, slot: Slot) -> subprocess.Popen[bytes]:
        role, number = slot
        changed = []
        if role == "api":
            changed += [f"FASTLANE_PORT={self.ports[number]}"]
        if slot in self._clocked:
            self._set_clock(slot, 0)
            plain = ("FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1")
            changed += [f"LD_PRELOAD={self._library}", f"FAKETIME_TIMESTAMP_FILE={self._clock(slot)}", *plain]
        folder = self.fastlane.folder / f"{role}-{number}"
        folder.mkdir(exist_ok=True)
        changed += [f"FASTLANE_CHECK_SOCKET={folder / 'check.sock'}"]
        return self.fastlane.start(role, under=("env", *changed), program=self._programs[slot])

    def _clock(self, slot: Slot) -> Path:
        return self.fastlane.folder / f"clock-{slot[0]}-{slot[1]}"

    def _end(self, number: int, slots: Sequence[Slot]) -> None:
        with self.lock:
            ended = [self._running[slot] for slot in slots]
            for slot, process in zip(slots, ended, strict=True):
                if process.poll() is None or slot in self._clocked:
                    self._ended_by_us.add(process.pid)
                process.send_signal(number)
                if number != signal.SIGKILL:
                    process.send_signal(signal.SIGCONT)
            for process in ended:
                try:
                    process.wait(SERVES_WITHIN)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _signal(self, number: int, slot: Slot) -> None:
        with self.lock:
            if self._running[slot].poll() is None:
                os.kill(self._running[slot].pid, number)


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        time.sleep(0.2)
        return False
    finally:
        connection.close()
