"""What is done about an execution that has not ended: its start, its deadlines, its stop; times by a wrong clock; what always holds."""

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from fastlane.executors.port import EngineService, EngineTask, Phase, TaskEnd
from fastlane.models.job import Execution, Failure, Spec, Started
from fastlane.models.pool import Pool
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.scheduler.verdict import ActivateService, Limits, RecordEnd, RecordStart, StopService, WaitUntil, task_of, verdict_of
from tests.support.defaults import default_limits
from tests.unit.scheduler.situations import (
    ASKED,
    BOUND,
    LIMITS,
    NOW,
    PENDING,
    PULL,
    SECOND,
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


def test_a_container_seen_running_for_the_first_time_is_recorded() -> None:
    task = a_task(Phase.RUNNING, container_id="c1", started_at=STARTED, changed_at=STARTED + 5)
    assert verdict_of(pulling(), a_service(task), NOW, LIMITS) == RecordStart(Started("t1", "c1", STARTED))
    named = replace(task, node="node3")
    assert verdict_of(pulling(), a_service(named), NOW, LIMITS) == RecordStart(Started("t1", "c1", STARTED, "node3"))


def test_a_container_whose_start_was_not_seen_started_when_its_task_changed() -> None:
    task = a_task(Phase.RUNNING, container_id="c1", changed_at=STARTED + 5)
    assert verdict_of(pulling(), a_service(task), NOW, LIMITS) == RecordStart(Started("t1", "c1", STARTED + 5))


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
    assert verdict_of(execution, view, NOW, LIMITS) == WaitUntil(until)


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
    assert isinstance(verdict_of(execution, view, deadline - 1, LIMITS), WaitUntil)
    for now in (deadline, deadline + 1, deadline + 9_999_999):
        stop = verdict_of(execution, view, now, LIMITS)
        assert isinstance(stop, StopService)
        assert why in stop.why


def test_a_parked_service_is_started_before_it_expires_and_never_after() -> None:
    parked = a_service(activated=False)
    assert verdict_of(pulling(expires_at=NOW + 1), parked, NOW, LIMITS) == ActivateService()
    assert isinstance(verdict_of(pulling(expires_at=NOW), parked, NOW, LIMITS), StopService)


@pytest.mark.parametrize("late", [-1, 0, 1, 60_000])
def test_a_container_that_runs_when_its_time_to_start_is_over_is_left_alone(late: int) -> None:
    """Seen for the first time only now, or long known: it has started."""
    expires_at = NOW - late
    assert isinstance(verdict_of(pulling(expires_at=expires_at), a_service(RUNNING), NOW, LIMITS), RecordStart)
    assert verdict_of(running(expires_at=expires_at), a_service(RUNNING), NOW, LIMITS) == WaitUntil(STARTED + TIMEOUT)


@pytest.mark.parametrize("view", [a_service(), a_service(WAITING), a_service(PREPARING), a_service(RUNNING)])
@pytest.mark.parametrize("execution", [pulling(**ASKED), running(**ASKED)])
def test_a_stop_that_was_asked_for_goes_to_the_service_whatever_it_does(execution: Execution, view: EngineService) -> None:
    assert isinstance(verdict_of(execution, view, NOW, LIMITS), StopService)


@pytest.mark.parametrize("view", [a_service(WAITING), a_service(PREPARING), a_service(RUNNING, SECOND)])
def test_a_service_is_stopped_once(view: EngineService) -> None:
    assert verdict_of(pulling(**ASKED), replace(view, stopping=True), NOW, LIMITS) == WaitUntil()


def test_a_stop_comes_before_the_news_that_it_runs() -> None:
    assert isinstance(verdict_of(pulling(**ASKED), a_service(RUNNING), NOW, LIMITS), StopService)


def test_the_clock_of_the_timeout_starts_with_the_container() -> None:
    late = BOUND + TIMEOUT + 1
    assert late < STARTED + TIMEOUT
    assert verdict_of(running(), a_service(RUNNING), late, LIMITS) == WaitUntil(STARTED + TIMEOUT)


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
    assert verdict_of(execution, a_service(RUNNING), STARTED, replace(LIMITS, pools=pools)) == WaitUntil(STARTED + round(seconds * 1000))


def test_a_long_wait_for_a_node_leaves_the_image_its_whole_time() -> None:
    """Twenty minutes without a free node, then one comes: its pull has only begun."""
    taken = BOUND + 20 * 60_000
    preparing = a_task(Phase.PREPARING, node_id="n1", changed_at=taken)
    assert verdict_of(pulling(), a_service(preparing), taken + 1_000, LIMITS) == WaitUntil(taken + PULL)
    assert isinstance(verdict_of(pulling(), a_service(preparing), taken + PULL, LIMITS), StopService)


def test_an_image_that_did_not_come_is_the_reason_also_where_the_deadline_for_nodes_is_the_shorter() -> None:
    limits = default_limits(pending_deadline=60, pull_deadline=900)
    assert isinstance(verdict_of(pulling(), a_service(PREPARING), BOUND + PULL, limits), StopService)
    shut = never_started(TaskEnd.SHUTDOWN, "preparing", node_id="n1")
    verdict = verdict_of(pulling(), a_service(shut, SECOND, stopping=True), BOUND + PULL + 300, limits)
    assert isinstance(verdict, RecordEnd)
    assert verdict.ending.failure == Failure(FailureReason.IMAGE, "the image ubuntu was not on its node within 900 s")


def test_a_stop_whose_only_task_never_starts_ends() -> None:
    """Its first task was pruned before anybody recorded it: the one that is left came after the stop, and waits for no node."""
    hours_later = NOW + PENDING
    verdict = verdict_of(pulling(**ASKED), a_service(SECOND, stopping=True), hours_later, LIMITS)
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
    assert verdict_of(running(), a_service(RUNNING, second_failed), NOW, LIMITS) == WaitUntil(STARTED + TIMEOUT)


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
    verdict = verdict_of(execution, view, now, limits)
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
            assert not isinstance(verdict_of(execution, view, until, limits), WaitUntil)
        case ActivateService():
            assert execution.expires_at is None or now < execution.expires_at
        case StopService():
            assert not view.stopping
        case RecordStart(started):
            assert execution.status is Status.PULLING
            assert started.engine_task_id in {task.id for task in view.tasks}


@pytest.mark.parametrize("off", [3_600_000, -3_600_000])
def test_a_start_by_a_wrong_clock_lies_between_the_binding_and_now(off: int) -> None:
    verdict = verdict_of(pulling(), a_service(a_task(Phase.RUNNING, started_at=STARTED + off, container_id="c1")), NOW, LIMITS)
    assert isinstance(verdict, RecordStart)
    assert verdict.started.started_at == (NOW if off > 0 else BOUND)


def test_a_run_by_a_clock_that_is_ahead_ends_now_and_keeps_its_length() -> None:
    ending = finish(pulling(), ended(TaskEnd.EXITED, 0, started_at=NOW + 60_000, finished_at=NOW + 63_000))
    assert (ending.started and ending.started.started_at, ending.finished_at) == (NOW - 3_000, NOW)


def test_an_end_by_a_clock_that_is_behind_is_not_before_the_start() -> None:
    ending = finish(running(), ended(TaskEnd.EXITED, 0, started_at=STARTED - 60_000, finished_at=STARTED - 59_000))
    assert ending.finished_at == STARTED
