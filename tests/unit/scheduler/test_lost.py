"""What is concluded about an execution whose host, service or task is not there any more, or whose container outlasts its task."""

from dataclasses import replace

import pytest

from fastlane.executors.port import TaskEnd
from fastlane.models.container import Container
from fastlane.models.job import Execution, Failure, Spec
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.scheduler.verdict import (
    RecordEnd,
    ServiceMissing,
    WaitUntil,
    ending_when_gone,
    ending_when_host_removed,
    ending_when_lost,
    verdict_of,
)
from tests.unit.scheduler.situations import (
    ASKED,
    LIMITS,
    NOW,
    SECOND,
    SHORT,
    STARTED,
    TIMEOUT,
    TOO_LATE,
    a_service,
    ended,
    pulling,
    running,
)


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
    for ending, reason, cut in (
        (ending_when_lost(execution, "the node is down", now, LIMITS), FailureReason.HOST_LOST, True),
        (ending_when_host_removed(execution, "it was removed", now, LIMITS), FailureReason.HOST_LOST, True),
        (ending_when_gone(execution, "someone removed it", now, LIMITS), FailureReason.KILLED, False),
    ):
        assert (ending.status, ending.finished_at, ending.exit_code, ending.truncated) == (status, now, None, cut)
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
    assert isinstance(verdict_of(execution, view, NOW, LIMITS), ServiceMissing)


def test_an_engine_is_awaited_that_may_have_made_up_an_exit_code_as_it_came_back() -> None:
    """It may take longer to answer than any grace; after as long as a host may be away, the code is taken as it is."""
    view, over = a_service(ended(TaskEnd.EXITED, 255, changed_at=NOW, lingering=True)), NOW + 300_000
    assert verdict_of(running(), view, over - 1, LIMITS) == WaitUntil(over)
    verdict = verdict_of(running(), view, over, LIMITS)
    assert isinstance(verdict, RecordEnd)
    assert (verdict.ending.status, verdict.ending.exit_code) == (Status.FAILED, 255)


@pytest.mark.parametrize("grace", [None, 0, 60_000])
def test_a_container_that_goes_on_while_its_task_is_called_ended_is_waited_for_during_its_grace(grace: int | None) -> None:
    execution = running(spec=Spec("ubuntu", container=Container(stop_grace=grace)), **ASKED)
    view = a_service(ended(TaskEnd.SHUTDOWN, None, changed_at=NOW, lingering=True), SECOND, stopping=True)
    over = NOW + (10_000 if grace is None else grace) + 5_000
    assert verdict_of(execution, view, NOW, LIMITS) == WaitUntil(NOW + 1_000)
    assert verdict_of(execution, view, over - 1, LIMITS) == WaitUntil(over)
    for now, shown in ((over, view), (NOW + 1, a_service(ended(TaskEnd.SHUTDOWN, 5, changed_at=NOW), SECOND, stopping=True))):
        verdict = verdict_of(execution, shown, now, LIMITS)
        assert isinstance(verdict, RecordEnd)
        assert verdict.ending.status is Status.STOPPED
