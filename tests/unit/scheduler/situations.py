"""Executions, and what an engine shows of their services and tasks, for the tests of verdicts."""

from typing import Any

from fastlane.executors.port import EngineService, EngineTask, Phase, TaskEnd
from fastlane.models.job import Ending, Execution, Spec
from fastlane.models.status import Status
from fastlane.scheduler.verdict import RecordEnd, verdict_of
from tests.support.defaults import default_limits
from tests.support.factories import make_execution

BOUND = 1_700_000_000_000
STARTED = BOUND + 2_000
NOW = BOUND + 10_000
LIMITS = default_limits()
TIMEOUT = round(LIMITS.timeout * 1000)
PENDING = round(LIMITS.pending_deadline * 1000)
PULL = round(LIMITS.pull_deadline * 1000)


def pulling(**values: Any) -> Execution:
    """An execution whose service is bound, and whose container nobody has seen yet."""
    placed = {"epoch": 1, "host": "h", "swarm_id": "w", "service_id": "s", "bound_at": BOUND}
    given = {"scheduled_for": BOUND, "created_at": BOUND, "status": Status.PULLING, **placed}
    return make_execution(**{**given, **values})


def running(**values: Any) -> Execution:
    """An execution whose container was seen running."""
    given = {"status": Status.RUNNING, "engine_task_id": "t1", "container_id": "c1", "started_at": STARTED}
    return pulling(**{**given, **values})


def a_task(phase: Phase, **values: Any) -> EngineTask:
    return EngineTask(**{"id": "t1", "service_id": "s", "phase": phase, "state": phase.value, "changed_at": STARTED, **values})


def ended(end: TaskEnd | None, exit_code: int | None, **values: Any) -> EngineTask:
    given = {"end": end, "exit_code": exit_code, "container_id": "c1", "started_at": STARTED, "finished_at": NOW - 100}
    return a_task(Phase.ENDED, **{**given, **values})


def never_started(end: TaskEnd, message: str, **values: Any) -> EngineTask:
    return ended(end, None, message=message, container_id=None, started_at=None, finished_at=None, changed_at=NOW - 50, **values)


SECOND = a_task(Phase.WAITING, id="t2", message="no suitable node", changed_at=NOW)
"""The task that a stop leaves behind: it waits forever."""


def a_service(*tasks: EngineTask, stopping: bool = False, activated: bool = True) -> EngineService:
    return EngineService("s", "e", activated, stopping, BOUND, tasks)


ASKED = {"stop_requested_at": NOW - 3_000}
TOO_LATE = {"expires_at": NOW - 2_000}
SHORT = Spec("ubuntu", timeout=5_000)


def finish(execution: Execution, task: EngineTask) -> Ending:
    verdict = verdict_of(execution, a_service(task), NOW, LIMITS)
    assert isinstance(verdict, RecordEnd)
    return verdict.ending
