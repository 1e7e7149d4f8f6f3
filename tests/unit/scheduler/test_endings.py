"""How an execution ends in every situation that an engine can show: a table of what was seen on real swarms."""

from dataclasses import dataclass, field, replace

import pytest

from fastlane.executors.port import EngineService, EngineTask, Phase, TaskEnd
from fastlane.models.job import Execution, Spec, Started
from fastlane.models.log import Head
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.scheduler.verdict import Limits, RecordEnd, ending_of, verdict_of
from tests.support.defaults import default_limits
from tests.unit.scheduler.situations import (
    ASKED,
    BOUND,
    NOW,
    PENDING,
    PULL,
    SECOND,
    SHORT,
    STARTED,
    TIMEOUT,
    TOO_LATE,
    a_service,
    a_task,
    ended,
    finish,
    never_started,
    pulling,
    running,
)


@dataclass(frozen=True)
class Case:
    """A situation in which the execution has ended, and how."""

    execution: Execution
    view: EngineService
    status: Status
    exit_code: int | None = None
    reason: FailureReason | None = None
    words: str = ""
    now: int = NOW
    log_of: str | None = "t1"
    limits: Limits = field(default_factory=default_limits)


ENDINGS = {
    "exit 0": Case(running(), a_service(ended(TaskEnd.EXITED, 0)), Status.DONE, 0),
    "exit 0, never seen running": Case(pulling(), a_service(ended(TaskEnd.EXITED, 0)), Status.DONE, 0),
    "exit 3": Case(
        running(),
        a_service(ended(TaskEnd.EXITED, 3, message="task: non-zero exit (3)")),
        Status.FAILED,
        3,
        FailureReason.EXIT,
        "the command ended with exit code 3",
    ),
    "exit 3, and the engine says nothing": Case(
        running(), a_service(ended(TaskEnd.EXITED, 3)), Status.FAILED, 3, FailureReason.EXIT, "the command ended with exit code 3"
    ),
    "killed": Case(
        running(), a_service(ended(TaskEnd.KILLED, 137, message="signal 9")), Status.FAILED, 137, FailureReason.KILLED, "SIGKILL"
    ),
    "out of memory": Case(
        running(), a_service(ended(TaskEnd.OOM, 137, message="oom")), Status.FAILED, 137, FailureReason.OOM, "memory ran out"
    ),
    "command not found": Case(
        pulling(),
        a_service(ended(TaskEnd.EXITED, 127, message="starting container failed: no such file", started_at=None)),
        Status.FAILED,
        127,
        FailureReason.EXIT,
        "the command could not be started (exit code 127): no such file",
    ),
    "image missing": Case(
        pulling(),
        a_service(never_started(TaskEnd.IMAGE, "No such image: nope:latest")),
        Status.FAILED,
        None,
        FailureReason.IMAGE,
        "No such image: nope:latest",
    ),
    "rejected": Case(
        pulling(),
        a_service(never_started(TaskEnd.REJECTED, "bind source path does not exist")),
        Status.FAILED,
        None,
        FailureReason.REJECTED,
        "bind source path does not exist",
    ),
    "node drained": Case(running(), a_service(ended(TaskEnd.SHUTDOWN, 143)), Status.FAILED, 143, FailureReason.KILLED, "exit code 143"),
    "node drained, and the command ended well on its signal": Case(
        running(), a_service(ended(TaskEnd.SHUTDOWN, 0)), Status.FAILED, 0, FailureReason.KILLED
    ),
    "engine stopped gracefully: its exit code 0 means nothing": Case(
        running(),
        a_service(ended(TaskEnd.KILLED, None, message="No such container: c1")),
        Status.FAILED,
        None,
        FailureReason.KILLED,
        "its engine was shut down",
    ),
    "engine stopped gracefully in the midst of our stop": Case(
        running(**ASKED), a_service(ended(TaskEnd.KILLED, None, message="No such container: c1"), SECOND, stopping=True), Status.STOPPED
    ),
    "engine killed, and its container ended as it came back": Case(
        running(), a_service(ended(TaskEnd.KILLED, 143)), Status.FAILED, 143, FailureReason.KILLED, "its engine went down"
    ),
    "engine killed in the midst of our stop, and its container ended as it came back": Case(
        running(**ASKED), a_service(ended(TaskEnd.KILLED, 143), SECOND, stopping=True), Status.STOPPED, 143
    ),
    "engine killed, of one that was to be stopped when it would be back": Case(
        running(**ASKED), a_service(ended(TaskEnd.KILLED, 143)), Status.STOPPED, 143
    ),
    "node removed from the swarm": Case(
        running(), a_service(ended(TaskEnd.LOST, None)), Status.FAILED, None, FailureReason.HOST_LOST, "its container may still run"
    ),
    "node removed from the swarm, of one that was to be stopped": Case(
        running(**ASKED), a_service(ended(TaskEnd.LOST, None), SECOND, stopping=True), Status.STOPPED
    ),
    "node went down before the start": Case(
        pulling(),
        a_service(never_started(TaskEnd.SHUTDOWN, "shutdown")),
        Status.FAILED,
        None,
        FailureReason.HOST_LOST,
        "before its container was made",
    ),
    "node drained before the start": Case(
        pulling(),
        a_service(never_started(TaskEnd.SHUTDOWN, "shutdown", drained=True)),
        Status.FAILED,
        None,
        FailureReason.HOST_LOST,
        "its node was drained before its container was made",
    ),
    "node drained, and the engine says so": Case(
        running(),
        a_service(ended(TaskEnd.SHUTDOWN, 5, drained=True)),
        Status.FAILED,
        5,
        FailureReason.KILLED,
        "its node was drained while it ran (exit code 5)",
    ),
    "scaled to 0 by hand": Case(
        running(),
        replace(a_service(ended(TaskEnd.SHUTDOWN, 143)), scaled_away=True),
        Status.FAILED,
        143,
        FailureReason.KILLED,
        "someone scaled its service to 0 replicas",
    ),
    "scaled to 0 by hand before the start": Case(
        pulling(),
        replace(a_service(never_started(TaskEnd.SHUTDOWN, "shutdown")), scaled_away=True),
        Status.FAILED,
        None,
        FailureReason.KILLED,
        "someone scaled its service to 0 replicas",
    ),
    "its template changed by hand": Case(
        running(),
        a_service(ended(TaskEnd.SHUTDOWN, 143), a_task(Phase.RUNNING, id="t2")),
        Status.FAILED,
        143,
        FailureReason.KILLED,
        "someone changed its service",
    ),
    "node went down before the start of one that was to be stopped": Case(
        pulling(**ASKED), a_service(never_started(TaskEnd.SHUTDOWN, "node is down")), Status.STOPPED
    ),
    "an end that the adapter has no word for": Case(
        running(), a_service(ended(None, None, state="orphaned")), Status.FAILED, None, FailureReason.KILLED, "orphaned"
    ),
    "stopped while it ran": Case(running(**ASKED), a_service(ended(TaskEnd.SHUTDOWN, 143), SECOND, stopping=True), Status.STOPPED, 143),
    "stopped, and its command ended well on its signal": Case(
        running(**ASKED), a_service(ended(TaskEnd.SHUTDOWN, 0), SECOND, stopping=True), Status.STOPPED, 0
    ),
    "stopped before it was seen running": Case(
        pulling(**ASKED), a_service(ended(TaskEnd.SHUTDOWN, 137), SECOND, stopping=True), Status.STOPPED, 137
    ),
    "stopped before its container was made": Case(
        pulling(**ASKED), a_service(never_started(TaskEnd.SHUTDOWN, ""), SECOND, stopping=True), Status.STOPPED
    ),
    "stopped before it was activated: it never had a task": Case(
        pulling(**ASKED), a_service(stopping=True, activated=False), Status.STOPPED, log_of=None
    ),
    "stopped, and its task was pruned since": Case(running(**ASKED), a_service(SECOND, stopping=True), Status.STOPPED, log_of=None),
    "stopped, and all its tasks were pruned since": Case(running(**ASKED), a_service(stopping=True), Status.STOPPED, log_of=None),
    "a stop that came after it ended well": Case(
        running(**ASKED), a_service(ended(TaskEnd.EXITED, 0), SECOND, stopping=True), Status.DONE, 0
    ),
    "a stop that came after it failed": Case(
        running(**ASKED), a_service(ended(TaskEnd.EXITED, 3), SECOND, stopping=True), Status.FAILED, 3, FailureReason.EXIT
    ),
    "a stop that came after it ran out of memory": Case(
        running(**ASKED), a_service(ended(TaskEnd.OOM, 137), SECOND, stopping=True), Status.FAILED, 137, FailureReason.OOM
    ),
    "a stop that was asked for after it ended and is not on the service": Case(
        running(**ASKED), a_service(ended(TaskEnd.EXITED, 0)), Status.DONE, 0
    ),
    "a stop that came after its image was refused": Case(
        pulling(**ASKED),
        a_service(never_started(TaskEnd.IMAGE, "No such image"), SECOND, stopping=True),
        Status.FAILED,
        None,
        FailureReason.IMAGE,
    ),
    "timed out, and ended by our stop": Case(
        running(),
        a_service(ended(TaskEnd.SHUTDOWN, 143), SECOND, stopping=True),
        Status.TIMEDOUT,
        143,
        now=STARTED + TIMEOUT + 400,
    ),
    "timed out, and its task was pruned since our stop": Case(
        running(), a_service(SECOND, stopping=True), Status.TIMEDOUT, now=STARTED + TIMEOUT + 400, log_of=None
    ),
    "timed out, but ended well by itself before our stop": Case(
        running(), a_service(ended(TaskEnd.EXITED, 0), SECOND, stopping=True), Status.DONE, 0, now=STARTED + TIMEOUT + 400
    ),
    "timed out, and asked to stop too": Case(
        running(**ASKED), a_service(ended(TaskEnd.SHUTDOWN, 143), stopping=True), Status.STOPPED, 143, now=STARTED + TIMEOUT + 400
    ),
    "no node in time, ended by our stop": Case(
        pulling(),
        replace(
            a_service(never_started(TaskEnd.SHUTDOWN, ""), SECOND, stopping=True), stop_why="no node took it: no suitable node (1 node …)"
        ),
        Status.FAILED,
        None,
        FailureReason.UNSCHEDULABLE,
        "no suitable node (1 node …)",
        now=BOUND + PENDING + 200,
    ),
    "no node in time, ended by the stop of a fastlane that told no reason": Case(
        pulling(),
        a_service(never_started(TaskEnd.SHUTDOWN, ""), SECOND, stopping=True),
        Status.FAILED,
        None,
        FailureReason.UNSCHEDULABLE,
        "within 3600 s",
        now=BOUND + PENDING + 200,
    ),
    "no task in time, ended by our stop": Case(
        pulling(),
        a_service(stopping=True),
        Status.FAILED,
        None,
        FailureReason.UNSCHEDULABLE,
        "no node",
        now=BOUND + PENDING + 200,
        log_of=None,
    ),
    "made, and not started in time, ended by our stop": Case(
        pulling(),
        a_service(ended(TaskEnd.SHUTDOWN, None, node_id="n1", started_at=None), SECOND, stopping=True),
        Status.FAILED,
        None,
        FailureReason.REJECTED,
        "did not start the container within 900 s",
        now=BOUND + PULL + 200,
    ),
    "image not there in time, ended by our stop": Case(
        pulling(),
        a_service(never_started(TaskEnd.SHUTDOWN, "", node_id="n1"), SECOND, stopping=True),
        Status.FAILED,
        None,
        FailureReason.IMAGE,
        "within 900 s",
        now=BOUND + PULL + 200,
    ),
    "stopped by someone else while it ran": Case(
        running(),
        a_service(ended(TaskEnd.SHUTDOWN, 143), SECOND, stopping=True),
        Status.FAILED,
        143,
        FailureReason.KILLED,
        "someone stopped its service",
    ),
    "ran longer than its own timeout, and ended by our stop": Case(
        running(spec=SHORT), a_service(ended(TaskEnd.SHUTDOWN, 143), SECOND, stopping=True), Status.TIMEDOUT, 143, now=STARTED + 5_000
    ),
    "stopped by someone else within its own timeout": Case(
        running(spec=SHORT),
        a_service(ended(TaskEnd.SHUTDOWN, 143), stopping=True),
        Status.FAILED,
        143,
        FailureReason.KILLED,
        "someone stopped its service",
        now=STARTED + 4_999,
    ),
    "ran longer than the hard timeout, below its own": Case(
        running(spec=Spec("ubuntu", timeout=10**9)),
        a_service(ended(TaskEnd.SHUTDOWN, 143), SECOND, stopping=True),
        Status.TIMEDOUT,
        143,
        now=STARTED + TIMEOUT,
    ),
    "expired while it waited, ended by our stop": Case(
        pulling(**TOO_LATE), a_service(never_started(TaskEnd.SHUTDOWN, ""), SECOND, stopping=True), Status.EXPIRED
    ),
    "expired before it was activated: it never had a task": Case(
        pulling(**TOO_LATE), a_service(stopping=True, activated=False), Status.EXPIRED, log_of=None
    ),
    "expired, and asked to stop too": Case(
        pulling(**TOO_LATE, **ASKED), a_service(never_started(TaskEnd.SHUTDOWN, ""), stopping=True), Status.STOPPED
    ),
    "expired, and its container came up in the moment of our stop": Case(
        pulling(**TOO_LATE), a_service(ended(TaskEnd.SHUTDOWN, 143, started_at=NOW - 1_500), SECOND, stopping=True), Status.EXPIRED, 143
    ),
    "expired, but it had ended well by itself": Case(
        pulling(**TOO_LATE), a_service(ended(TaskEnd.EXITED, 0), SECOND, stopping=True), Status.DONE, 0
    ),
    "started in time, unseen, and stopped by someone else after it would have expired": Case(
        pulling(**TOO_LATE),
        a_service(ended(TaskEnd.SHUTDOWN, 143), stopping=True),
        Status.FAILED,
        143,
        FailureReason.KILLED,
        "someone stopped its service",
    ),
    "seen running, and stopped by someone else after it would have expired": Case(
        running(**TOO_LATE),
        a_service(ended(TaskEnd.SHUTDOWN, 143), stopping=True),
        Status.FAILED,
        143,
        FailureReason.KILLED,
        "someone stopped its service",
    ),
    "its node went down before the start, and its time to start is over": Case(
        pulling(**TOO_LATE),
        a_service(never_started(TaskEnd.SHUTDOWN, "node is down")),
        Status.FAILED,
        None,
        FailureReason.HOST_LOST,
        "node went down",
    ),
    "stopped by someone else before it had a task": Case(
        pulling(), a_service(stopping=True), Status.FAILED, None, FailureReason.KILLED, "someone stopped its service", log_of=None
    ),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_an_execution_ends_as_its_service_shows(name: str) -> None:
    case = ENDINGS[name]
    verdict = verdict_of(case.execution, case.view, case.now, case.limits)
    assert isinstance(verdict, RecordEnd)
    ending = verdict.ending
    assert (ending.status, ending.exit_code) == (case.status, case.exit_code)
    assert (ending.failure.reason if ending.failure else None) == case.reason
    assert case.words in (ending.failure.message if ending.failure else "")
    assert (ending.failure is None) is (case.status is not Status.FAILED)
    assert (verdict.task.id if verdict.task else None) == case.log_of


def test_an_end_is_at_the_engines_time_not_at_that_of_the_look() -> None:
    task = ended(TaskEnd.EXITED, 0, finished_at=NOW - 777, changed_at=NOW - 500)
    assert finish(running(), task).finished_at == NOW - 777
    assert finish(running(), replace(task, finished_at=None)).finished_at == NOW - 500
    assert finish(running(), replace(task, finished_at=None, changed_at=0)).finished_at == NOW


def test_a_job_too_short_to_be_seen_running_still_has_its_start() -> None:
    assert finish(pulling(), ended(TaskEnd.EXITED, 0)).started == Started("t1", "c1", STARTED)


def test_a_recorded_start_is_not_recorded_again() -> None:
    assert finish(running(), ended(TaskEnd.EXITED, 0, started_at=STARTED + 1)).started is None


def test_what_never_started_has_no_start() -> None:
    assert finish(pulling(), never_started(TaskEnd.IMAGE, "No such image")).started is None


@pytest.mark.parametrize(
    ("task", "is_cut"),
    [
        (ended(TaskEnd.KILLED, None, message="task: non-zero exit (255)"), True),
        (ended(TaskEnd.KILLED, 143), True),
        (ended(TaskEnd.LOST, None), True),
        (ended(TaskEnd.KILLED, 137), False),
        (ended(TaskEnd.EXITED, 3), False),
        (ended(TaskEnd.EXITED, 0), False),
    ],
)
def test_a_log_may_be_cut_where_the_engine_was_down_when_its_container_ended(task: EngineTask, is_cut: bool) -> None:
    """A container goes on when its engine is killed; what it writes until that is back goes nowhere."""
    for execution in (running(), replace(running(), stop_requested_at=ASKED)):
        end = ending_of(execution, a_service(task), task, NOW, default_limits())
        assert end.with_log(Head(), lost=False).truncated is is_cut
