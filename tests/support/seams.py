"""The seams of fastlane: the moments before and after each write to the store, each script of the queue and each call of an engine.

``Watched`` stands before a port. It tells a ``Hook`` of every passage, and the hook, in a process on trial, ends that process
(SIGKILL) or freezes it (SIGSTOP) at the n-th passage of one seam. What passed is kept in a journal, a file that outlives the process.

A seam's name is ``before store.claim`` or ``after engine.park``: changes of an execution stand under their own names.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastlane.errors import FastlaneError
from fastlane.models.transitions import RULES
from fastlane.queue.port import Claim
from fastlane.storage.base import Claimed
from tests.support.intercept import Call, Intercepted

STORE = (
    "create",
    "advance",
    "insert",
    "stop_job",
    "append",
    "close_tick",
    "change_tick",
    "change_generation",
    "discard",
    "write_host",
    "record_pools",
    "insert_deliveries",
    "write_delivery",
    "write_mail_quota",
    "take_unique_key",
    "write",
    "append_seal",
    "write_head",
    "write_place",
    "write_archived",
    "clear_archived",
    *RULES,
)
QUEUE = ("put", "claim", "renew", "release", "requeue", "cancel", "finish", "restore", "set_generation", "wipe", "adopt")
PARTS = {"store": ("backfills", "seals", "log_archive"), "queue": ("generation", "reports", "tickets")}
"""The parts of a port whose calls are watched, too, as if they were the port's own."""
ENGINE = ("resolve", "park", "activate", "inspect", "stop", "remove", "logs", "services")

NAMES = (*(f"store.{name}" for name in STORE), *(f"queue.{name}" for name in QUEUE), *(f"engine.{name}" for name in ENGINE))
"""Every point that has a seam before it and one after it."""

HELD = 0.5
"""Seconds for which a woken process hears nothing of its leases."""


@dataclass(frozen=True)
class Trip:
    """Where a process ends or freezes: at this passage (1 is the first) of this seam, by this signal (``KILL`` or ``STOP``)."""

    seam: str
    signal: str
    passage: int = 1

    def text(self) -> str:
        """As an environment variable carries it."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> "Trip | None":
        """The trip of an environment variable's text; None of an empty one."""
        return cls(**json.loads(text)) if text else None


class Journal:
    """A file of passages, one JSON list a line: [seam, answer]. Written without a buffer, so that a kill loses nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, word: str, answer: object = None) -> None:
        """One line more."""
        with self.path.open("ab", buffering=0) as file:
            file.write(json.dumps([word, answer]).encode() + b"\n")

    def read(self) -> list[tuple[str, Any]]:
        """All whole lines."""
        if not self.path.exists():
            return []
        lines = self.path.read_bytes().split(b"\n")[:-1]
        return [tuple(json.loads(line)) for line in lines]


class Hook:
    """Counts passages and trips. ``quiet`` is called before a freeze: it returns when no thread of the process is amid a write."""

    def __init__(self, journal: Journal, trip: Trip | None, quiet: Callable[[], None]) -> None:
        self._journal = journal
        self._trip = trip
        self._quiet = quiet
        self._passages = 0
        self._woken_at: float | None = None

    async def hold(self, point: str) -> None:
        """Holds the renewals of a process that has just woken up: else the queue may tell it that its lease is lost before it has written,
        and its epoch is never asked."""
        if point == "queue.renew" and self._woken_at is not None:
            await asyncio.sleep(max(0.0, self._woken_at + HELD - time.monotonic()))

    def passed(self, seam: str, answer: object = None) -> None:
        """A passage; may not return for a long time, or ever."""
        self._journal.write(seam, said(answer))
        if self._trip is None or seam != self._trip.seam or is_idle(answer):
            return
        self._passages += 1
        if self._passages == self._trip.passage:
            self._fall(self._trip)

    def _fall(self, trip: Trip) -> None:
        if trip.signal == "KILL":
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        self._quiet()
        self._journal.write("frozen", trip.seam)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._journal.write("woken", trip.seam)
        self._woken_at = time.monotonic()


def is_idle(answer: object) -> bool:
    """Whether a passage concerns no execution: a claim that gave nothing."""
    return isinstance(answer, Claim) and not answer.leases


def said(answer: object) -> object:
    """An answer in the journal: refused (False) or taken (True), or what was raised."""
    if isinstance(answer, FastlaneError):
        return type(answer).__name__
    if isinstance(answer, Claimed):
        return answer.changed
    return answer if isinstance(answer, bool) else answer is not None


class Watched(Intercepted):
    """A port's adapter (``store``, ``queue`` or ``engine``) whose calls tell the hook of their seams."""

    def __init__(self, port: str, target: Any, hook: Hook) -> None:
        super().__init__(target, self._watch)
        self._name = port
        self._hook = hook

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        return Watched(self._name, found, self._hook) if name in PARTS.get(self._name, ()) else found

    async def _watch(self, call: Call) -> Any:
        point = f"{self._name}.{call.name}"
        if point not in NAMES:
            return await call.carry()
        self._hook.passed(f"before {point}")
        await self._hook.hold(point)
        try:
            answer = await call.carry()
        except FastlaneError as error:
            self._hook.passed(f"after {point}", error)
            raise
        self._hook.passed(f"after {point}", answer)
        return answer


async def report_idleness(journal: Journal) -> None:
    """Writes ``working`` and ``idle`` into the journal as the process takes assignments up and has ended all of them, forever."""
    was: bool | None = None
    while True:
        works = any(task.get_name().startswith("assignment ") for task in asyncio.all_tasks())
        if works is not was:
            was = works
            journal.write("working" if works else "idle")
        await asyncio.sleep(0.02)
