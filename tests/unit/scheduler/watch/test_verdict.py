"""What is done about an execution in every situation that an engine can show: a table of what was seen on real swarms."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastlane.executors.base import EngineService, EngineTask, Phase, TaskEnd
from fastlane.models.container.container import Container
from fastlane.models.execution import Ending, Execution, Failure, FailureReason, Started
from fastlane.models.job import Spec
from fastlane.models.placement.pool import Pool
from fastlane.models.status import Status
from fastlane.scheduler.limits import Limits
from fastlane.scheduler.watch.verdict import (
    ActivateService,
    RecordEnd,
    RecordStart,
    ServiceMissing,
    StopService,
    WaitUntil,
    ending_when_gone,
    ending_when_lost,
    judge,
    task_of,
)
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


ASKED = {"stop_requested_at": NOW - 3_000}
TOO_LATE = {"expires_at": NOW - 2_000}
SHORT = Spec("ubuntu", timeout=5_000)

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
    verdict = judge(case.execution, case.view, case.now, case.limits)
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


def finish(execution: Execution, task: EngineTask) -> Ending:
    verdict = judge(execution, a_service(task), NOW, LIMITS)
    assert isinstance(verdict, RecordEnd)
    return verdict.ending


def test_a_container_seen_running_for_the_first_time_is_recorded() -> None:
    task = a_task(Phase.RUNNING, container_id="c1", started_at=STARTED, changed_at=STARTED + 5)
    assert judge(pulling(), a_service(task), NOW, LIMITS) == RecordStart(Started("t1", "c1", STARTED))


def test_a_container_whose_start_was_not_seen_started_when_its_task_changed() -> None:
    task = a_task(Phase.RUNNING, container_id="c1", changed_at=STARTED + 5)
    assert judge(pulling(), a_service(task), NOW, LIMITS) == RecordStart(Started("t1", "c1", STARTED + 5))


RUNNING = a_task(Phase.RUNNING, container_id="c1", started_at=STARTED)
PREPARING = a_task(Phase.PREPARING, node_id="n1", changed_at=BOUND)
WAITING = a_task(Phase.WAITING, message="no suitable node (1 node not available)", changed_at=BOUND)


@pytest.mark.parametrize(
    ("execution", "view", "until"),
    [
        (running(), a_service(RUNNING), STARTED + TIMEOUT),
        (running(spec=Spec("ubuntu", timeout=60_000)), a_service(RUNNING), STARTED + 60_000),
        (running(spec=Spec("ubuntu", timeout=TIMEOUT + 1)), a_service(RUNNING), STARTED + TIMEOUT),
        (running(**TOO_LATE), a_service(RUNNING), STARTED + TIMEOUT),
        (pulling(), a_service(PREPARING), BOUND + PULL),
        (pulling(), a_service(WAITING), BOUND + PENDING),
        (pulling(), a_service(), BOUND + PENDING),
        (pulling(expires_at=NOW + 5), a_service(), NOW + 5),
        (pulling(expires_at=NOW + 5), a_service(WAITING), NOW + 5),
        (pulling(expires_at=BOUND + PENDING + 5), a_service(WAITING), BOUND + PENDING),
        (pulling(expires_at=NOW + 5), a_service(PREPARING), NOW + 5),
        (running(**ASKED), a_service(RUNNING, SECOND, stopping=True), None),
        (pulling(**ASKED), a_service(PREPARING, SECOND, stopping=True), None),
        (running(), a_service(RUNNING, SECOND, stopping=True), None),
    ],
    ids=[
        "runs",
        "runs, with a timeout of its own",
        "runs, with one that is longer than it may be",
        "runs, started in time to its expiry",
        "pulls",
        "no node",
        "no task yet",
        "no task yet, and expires",
        "no node, and expires",
        "no node, and expires later than that",
        "pulls, and expires",
        "in its grace",
        "stopped while it pulls",
        "timed out, in its grace",
    ],
)
def test_nothing_is_done_before_something_changes_or_a_deadline_comes(execution: Execution, view: EngineService, until: int | None) -> None:
    assert judge(execution, view, NOW, LIMITS) == WaitUntil(until)


@pytest.mark.parametrize(
    ("execution", "view", "deadline", "why"),
    [
        (running(), a_service(RUNNING), STARTED + TIMEOUT, "ran for 1800 s"),
        (running(spec=Spec("ubuntu", timeout=60_500)), a_service(RUNNING), STARTED + 60_500, "ran for 60.5 s"),
        (running(spec=Spec("ubuntu", timeout=TIMEOUT + 1)), a_service(RUNNING), STARTED + TIMEOUT, "ran for 1800 s"),
        (pulling(expires_at=NOW + 5), a_service(), NOW + 5, "time to start is over"),
        (pulling(expires_at=NOW + 5), a_service(WAITING), NOW + 5, "time to start is over"),
        (pulling(expires_at=NOW + 5), a_service(PREPARING), NOW + 5, "time to start is over"),
        (pulling(), a_service(WAITING), BOUND + PENDING, "no suitable node (1 node not available)"),
        (pulling(), a_service(), BOUND + PENDING, "the swarm made no task"),
        (pulling(), a_service(PREPARING), BOUND + PULL, "the image ubuntu was not on its node within 900 s"),
        (pulling(), a_service(replace(PREPARING, container_id="c1")), BOUND + PULL, "did not start the container within 900 s"),
    ],
    ids=[
        "timeout",
        "timeout of its own",
        "timeout of its own, longer than it may be",
        "expires without a task",
        "expires without a node",
        "expires while its image comes",
        "pending deadline",
        "pending deadline without a task",
        "pull deadline",
        "pull deadline of one that only has to start",
    ],
)
def test_a_deadline_acts_at_its_very_millisecond(execution: Execution, view: EngineService, deadline: int, why: str) -> None:
    assert isinstance(judge(execution, view, deadline - 1, LIMITS), WaitUntil)
    for now in (deadline, deadline + 1, deadline + 9_999_999):
        stop = judge(execution, view, now, LIMITS)
        assert isinstance(stop, StopService)
        assert why in stop.why


def test_a_parked_service_is_started_before_it_expires_and_never_after() -> None:
    parked = a_service(activated=False)
    assert judge(pulling(expires_at=NOW + 1), parked, NOW, LIMITS) == ActivateService()
    assert isinstance(judge(pulling(expires_at=NOW), parked, NOW, LIMITS), StopService)


@pytest.mark.parametrize("late", [-1, 0, 1, 60_000])
def test_a_container_that_runs_when_its_time_to_start_is_over_is_left_alone(late: int) -> None:
    """Seen for the first time only now, or long known: it has started."""
    expires_at = NOW - late
    assert isinstance(judge(pulling(expires_at=expires_at), a_service(RUNNING), NOW, LIMITS), RecordStart)
    assert judge(running(expires_at=expires_at), a_service(RUNNING), NOW, LIMITS) == WaitUntil(STARTED + TIMEOUT)


@pytest.mark.parametrize("view", [a_service(), a_service(WAITING), a_service(PREPARING), a_service(RUNNING)])
@pytest.mark.parametrize("execution", [pulling(**ASKED), running(**ASKED)])
def test_a_stop_that_was_asked_for_goes_to_the_service_whatever_it_does(execution: Execution, view: EngineService) -> None:
    assert isinstance(judge(execution, view, NOW, LIMITS), StopService)


@pytest.mark.parametrize("view", [a_service(WAITING), a_service(PREPARING), a_service(RUNNING, SECOND)])
def test_a_service_is_stopped_once(view: EngineService) -> None:
    assert judge(pulling(**ASKED), replace(view, stopping=True), NOW, LIMITS) == WaitUntil()


def test_a_stop_comes_before_the_news_that_it_runs() -> None:
    assert isinstance(judge(pulling(**ASKED), a_service(RUNNING), NOW, LIMITS), StopService)


def test_the_clock_of_the_timeout_starts_with_the_container() -> None:
    late = BOUND + TIMEOUT + 1
    assert late < STARTED + TIMEOUT
    assert judge(running(), a_service(RUNNING), late, LIMITS) == WaitUntil(STARTED + TIMEOUT)


@pytest.mark.parametrize(
    ("execution", "seconds"),
    [
        (running(pool="long", spec=Spec("ubuntu", timeout=10**9)), 7_200),
        (running(pool="long", spec=Spec("ubuntu", timeout=5_000)), 5),
        (running(pool="other"), LIMITS.timeout),
        (running(pool="renamed", task_id="long-task"), 7_200),
    ],
)
def test_a_pool_may_have_a_longest_timeout_of_its_own(execution: Execution, seconds: float) -> None:
    pools = (Pool("long", "long-", ("h:1",), hard_timeout=7_200.0), Pool("other", "", ("h:1",)))
    assert judge(execution, a_service(RUNNING), STARTED, replace(LIMITS, pools=pools)) == WaitUntil(STARTED + round(seconds * 1000))


def test_a_long_wait_for_a_node_leaves_the_image_its_whole_time() -> None:
    """Twenty minutes without a free node, then one comes: its pull has only begun."""
    taken = BOUND + 20 * 60_000
    preparing = a_task(Phase.PREPARING, node_id="n1", changed_at=taken)
    assert judge(pulling(), a_service(preparing), taken + 1_000, LIMITS) == WaitUntil(taken + PULL)
    assert isinstance(judge(pulling(), a_service(preparing), taken + PULL, LIMITS), StopService)


def test_an_image_that_did_not_come_is_the_reason_also_where_the_deadline_for_nodes_is_the_shorter() -> None:
    limits = default_limits(pending_deadline=60, pull_deadline=900)
    assert isinstance(judge(pulling(), a_service(PREPARING), BOUND + PULL, limits), StopService)
    shut = never_started(TaskEnd.SHUTDOWN, "preparing", node_id="n1")
    verdict = judge(pulling(), a_service(shut, SECOND, stopping=True), BOUND + PULL + 300, limits)
    assert isinstance(verdict, RecordEnd)
    assert verdict.ending.failure == Failure(FailureReason.IMAGE, "the image ubuntu was not on its node within 900 s")


def test_a_stop_whose_only_task_never_starts_ends() -> None:
    """Its first task was pruned before anybody recorded it: the one that is left came after the stop, and waits for no node."""
    hours_later = NOW + PENDING
    verdict = judge(pulling(**ASKED), a_service(SECOND, stopping=True), hours_later, LIMITS)
    assert isinstance(verdict, RecordEnd)
    assert verdict.ending.status is Status.STOPPED


def test_the_task_that_counts_is_the_recorded_one_and_else_the_first() -> None:
    first, second = a_task(Phase.RUNNING), SECOND
    assert task_of(pulling(), a_service(first, second)) == first
    assert task_of(running(), a_service(second, first)) == first
    assert task_of(running(), a_service(second)) is None
    assert task_of(pulling(), a_service()) is None


def test_a_second_task_after_a_stop_says_nothing_about_the_first() -> None:
    second_failed = ended(TaskEnd.REJECTED, None, id="t2")
    assert judge(running(), a_service(RUNNING, second_failed), NOW, LIMITS) == WaitUntil(STARTED + TIMEOUT)


@pytest.mark.parametrize(
    ("execution", "now", "status"),
    [
        (running(), NOW, Status.FAILED),
        (pulling(), NOW, Status.FAILED),
        (running(**ASKED), NOW, Status.STOPPED),
        (pulling(**ASKED), NOW, Status.STOPPED),
        (running(), STARTED + TIMEOUT - 1, Status.FAILED),
        (running(), STARTED + TIMEOUT, Status.TIMEDOUT),
        (running(**ASKED), STARTED + TIMEOUT, Status.STOPPED),
        (running(spec=SHORT), STARTED + 4_999, Status.FAILED),
        (running(spec=SHORT), STARTED + 5_000, Status.TIMEDOUT),
        (pulling(**TOO_LATE), NOW, Status.FAILED),
        (pulling(**TOO_LATE, **ASKED), NOW, Status.STOPPED),
    ],
)
def test_what_is_lost_with_its_host_or_service_ends_as_was_asked_and_else_fails(execution: Execution, now: int, status: Status) -> None:
    for ending, reason in (
        (ending_when_lost(execution, "the node is down", now, LIMITS), FailureReason.HOST_LOST),
        (ending_when_gone(execution, "someone removed it", now, LIMITS), FailureReason.KILLED),
    ):
        assert (ending.status, ending.finished_at, ending.exit_code) == (status, now, None)
        assert (ending.failure.reason if ending.failure else None) is (reason if status is Status.FAILED else None)


def test_a_lost_hosts_failure_repeats_its_fault() -> None:
    failure = ending_when_lost(running(), "its host refused the connection", NOW, LIMITS).failure
    assert failure == Failure(FailureReason.HOST_LOST, "its host refused the connection (for 300 s; its container may still run there)")


VANISHED = {
    "its task was removed": (running(), a_service()),
    "only another task is left": (running(), a_service(SECOND)),
    "scaled to 0 while it ran": (running(), replace(a_service(), scaled_away=True)),
    "scaled to 0 before its task was seen": (pulling(), replace(a_service(), scaled_away=True)),
    "an old state that does not know of its start": (running(), a_service(activated=False)),
}


@pytest.mark.parametrize("name", VANISHED)
def test_a_task_that_is_not_there_any_more_is_told_of_and_not_concluded_from(name: str) -> None:
    execution, view = VANISHED[name]
    assert isinstance(judge(execution, view, NOW, LIMITS), ServiceMissing)


@pytest.mark.parametrize("grace", [None, 0, 60_000])
def test_a_container_that_goes_on_while_its_task_is_called_ended_is_waited_for_during_its_grace(grace: int | None) -> None:
    execution = running(spec=Spec("ubuntu", container=Container(stop_grace=grace)), **ASKED)
    view = a_service(ended(TaskEnd.SHUTDOWN, None, changed_at=NOW, lingering=True), SECOND, stopping=True)
    over = NOW + (10_000 if grace is None else grace) + 5_000
    assert judge(execution, view, NOW, LIMITS) == WaitUntil(NOW + 1_000)
    assert judge(execution, view, over - 1, LIMITS) == WaitUntil(over)
    for now, shown in ((over, view), (NOW + 1, a_service(ended(TaskEnd.SHUTDOWN, 5, changed_at=NOW), SECOND, stopping=True))):
        verdict = judge(execution, shown, now, LIMITS)
        assert isinstance(verdict, RecordEnd)
        assert verdict.ending.status is Status.STOPPED


TASKS = st.builds(
    EngineTask,
    st.sampled_from(["t1", "t2"]),
    st.just("s"),
    st.sampled_from([Phase.WAITING, Phase.PREPARING, Phase.RUNNING, Phase.ENDED]),
    st.just("state"),
    end=st.sampled_from(TaskEnd),
    exit_code=st.sampled_from([None, 0, 3, 137]),
    container_id=st.sampled_from([None, "c1"]),
    changed_at=st.integers(BOUND, NOW),
    started_at=st.none() | st.integers(BOUND, NOW),
    finished_at=st.none() | st.integers(BOUND, NOW),
)
EXECUTIONS = st.builds(
    lambda started, stop, expires_at, spec: replace(
        running(started_at=started) if started else pulling(), stop_requested_at=stop, expires_at=expires_at, spec=spec
    ),
    st.none() | st.integers(BOUND, NOW),
    st.none() | st.integers(BOUND, NOW),
    st.none() | st.integers(BOUND, NOW + 10_000_000),
    st.builds(Spec, st.just("ubuntu"), timeout=st.none() | st.integers(1, 10_000_000)),
)
LIMITATIONS = st.builds(Limits, *(st.integers(1, 7200).map(float) for _ in range(3)))
VIEWS = st.builds(
    lambda tasks, stopping: a_service(*tasks, stopping=stopping),
    st.lists(TASKS, max_size=3, unique_by=lambda task: task.id),
    st.booleans(),
)


@given(EXECUTIONS, VIEWS, st.integers(0, 10_000_000), LIMITATIONS)
def test_whatever_is_shown_the_rules_hold(execution: Execution, view: EngineService, later: int, limits: Limits) -> None:
    now = NOW + later
    verdict = judge(execution, view, now, limits)
    match verdict:
        case RecordEnd(ending, _):
            assert ending.status.final
            assert (ending.failure is not None) is (ending.status is Status.FAILED)
            assert ending.status is not Status.DONE or ending.exit_code == 0
            assert ending.status is not Status.STOPPED or execution.stop_requested_at is not None
            assert ending.status is not Status.TIMEDOUT or execution.has_started
            assert ending.status is not Status.EXPIRED or not execution.has_started
        case WaitUntil(until) if until is not None:
            assert until > now
            assert not isinstance(judge(execution, view, until, limits), WaitUntil)
        case ActivateService():
            assert execution.expires_at is None or now < execution.expires_at
        case StopService():
            assert not view.stopping
        case RecordStart(started):
            assert execution.status is Status.PULLING
            assert started.engine_task_id in {task.id for task in view.tasks}


# a node whose clock could not be measured


@pytest.mark.parametrize("off", [3_600_000, -3_600_000])
def test_a_start_by_a_wrong_clock_lies_between_the_binding_and_now(off: int) -> None:
    verdict = judge(pulling(), a_service(a_task(Phase.RUNNING, started_at=STARTED + off, container_id="c1")), NOW, LIMITS)
    assert isinstance(verdict, RecordStart)
    assert verdict.started.started_at == (NOW if off > 0 else BOUND)


def test_a_run_by_a_clock_that_is_ahead_ends_now_and_keeps_its_length() -> None:
    ending = finish(pulling(), ended(TaskEnd.EXITED, 0, started_at=NOW + 60_000, finished_at=NOW + 63_000))
    assert (ending.started and ending.started.started_at, ending.finished_at) == (NOW - 3_000, NOW)


def test_an_end_by_a_clock_that_is_behind_is_not_before_the_start() -> None:
    ending = finish(running(), ended(TaskEnd.EXITED, 0, started_at=STARTED - 60_000, finished_at=STARTED - 59_000))
    assert ending.finished_at == STARTED
