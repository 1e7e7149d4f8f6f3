"""The faults of one group come one at a time, however long they take to make and to mend, and dispatch goes on after a restore."""

import threading
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.chaos import faults, plan
from tests.chaos.clients import Clients
from tests.chaos.faults import Fault, Ground
from tests.chaos.record import Journal
from tests.chaos.run import Order, read, strike_and_wish


def test_a_fault_waits_for_the_mending_of_the_one_before_in_its_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, most = threading.Semaphore(2), list[bool]()

    def strike(_ground: Ground, _target: int) -> None:
        there.acquire()

    def mend(_ground: Ground, _target: int) -> None:
        time.sleep(0.1)
        most.append(there.acquire(blocking=False))
        there.release(1 + most[-1])

    monkeypatch.setattr(faults, "FAULTS", tuple(Fault(name, "", strike, mend, "group") for name in ("one", "two")))
    monkeypatch.setattr(plan, "faults", lambda *_: [plan.PlannedFault(0.0, name, 0, 0.01) for name in ("one", "two")])
    monkeypatch.setattr(plan, "wishes", lambda *_: [])
    with closing(Journal(tmp_path / "record")) as journal:
        ground: Any = SimpleNamespace(journal=journal)
        strike_and_wish(Order(1, 0.1, "sqlite", tmp_path), ground, cast(Clients, SimpleNamespace(end=lambda: None)), [].append)
    first, second = sorted(read(tmp_path / "record"), key=lambda row: int(row["at"]))
    assert most == [True, True]
    assert first["until"] <= second["at"]


def test_dispatch_goes_on_until_nothing_has_paused_it_for_some_time() -> None:
    answers = [(200, True), (200, False), (503, False), (200, True), (200, False)]
    asked = list[str]()

    def ask(_method: str, path: str, _body: object) -> tuple[int | None, Any]:
        asked.append(path)
        status, paused = (answers.pop(0) if len(answers) > 1 else answers[0]) if path == "/status" else (200, False)
        return status, {"dispatch": {"paused": paused}}

    faults.allow_dispatch(ask, 1.2)
    assert len(answers) == 1
    assert asked.count("/dispatch/resume") == 2
