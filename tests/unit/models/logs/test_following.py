"""What a follower does next, case by case."""

from dataclasses import replace

import pytest

from fastlane.models.execution import Execution, Failure, FailureReason
from fastlane.models.job import Job, Spec
from fastlane.models.logs.following import AwaitStart, Follow, Later, Over, Prospect, begin, begin_with, go_on
from fastlane.models.schedule.schedule import Schedule
from fastlane.models.status import Status

NOW, UNTIL = 1_000_000, 1_025_000
SOON, LATE = NOW + 20_000, NOW + 26_000
JOB = Job("job", "task", "incarnation", 0, 0, Spec("image"), Schedule())
WAITS = Execution("e1", "task", "job", "tick", 1, 1, Spec("image", retries=1), NOW, 0)
PULLS = replace(WAITS, status=Status.PULLING)
RUNS = replace(PULLS, status=Status.RUNNING, started_at=1)
DONE = replace(RUNS, status=Status.DONE, finished_at=2)
FAILED = replace(RUNS, status=Status.FAILED, finished_at=2, failure=Failure(FailureReason.EXIT, "exit code 1"))
SETTLED = replace(FAILED, settled=True)
STOPPED = replace(WAITS, status=Status.STOPPED, finished_at=2)
NO_IMAGE = replace(PULLS, status=Status.FAILED, finished_at=2, failure=Failure(FailureReason.IMAGE, "no such image"))
LOST = replace(PULLS, status=Status.FAILED, finished_at=2, failure=Failure(FailureReason.HOST_LOST, "gone"))
SECOND = replace(WAITS, id="e2", attempt=2)


def prospect(job=JOB, under_way=None, newest=None, started=None):
    return Prospect(job, under_way, newest, started)


@pytest.mark.parametrize(
    ("seen", "step"),
    [
        (prospect(under_way=RUNS, newest=RUNS, started=RUNS), Follow(RUNS)),
        (prospect(newest=DONE, started=DONE), Follow(DONE)),
        (prospect(newest=SECOND, under_way=SECOND, started=FAILED), Follow(FAILED)),
        (prospect(job=None), Over(None)),
        (prospect(job=None, newest=DONE, started=DONE), Follow(DONE)),
        (prospect(under_way=WAITS, newest=WAITS), AwaitStart()),
        (prospect(under_way=PULLS, newest=PULLS), AwaitStart()),
        (prospect(newest=WAITS), AwaitStart()),
        (prospect(under_way=replace(WAITS, scheduled_for=SOON), newest=WAITS), AwaitStart()),
        (prospect(under_way=replace(WAITS, scheduled_for=LATE), newest=WAITS), Later()),
        (prospect(newest=LOST), AwaitStart()),
        (prospect(newest=NO_IMAGE), Over(NO_IMAGE)),
        (prospect(newest=STOPPED), Over(STOPPED)),
        (prospect(job=replace(JOB, next_tick=SOON)), AwaitStart()),
        (prospect(job=replace(JOB, next_tick=LATE)), Later()),
        (prospect(job=replace(JOB, next_tick=LATE), newest=NO_IMAGE), Later()),
        (prospect(job=replace(JOB, next_tick=LATE), under_way=WAITS, newest=WAITS), AwaitStart()),
        (prospect(job=replace(JOB, held_tick=SOON)), Later()),
        (prospect(job=replace(JOB, stop_sequence=1)), Over(None)),
        (prospect(), Over(None)),
    ],
)
def test_what_a_jobs_follower_begins_with(seen, step):
    assert begin(seen, now=NOW, give_up_at=UNTIL) == step
    if step == AwaitStart():
        assert begin(seen, now=UNTIL, give_up_at=UNTIL) == Later()


@pytest.mark.parametrize(
    ("execution", "step"),
    [
        (None, Over(None)),
        (WAITS, AwaitStart()),
        (PULLS, AwaitStart()),
        (replace(WAITS, scheduled_for=LATE), Later()),
        (RUNS, Follow(RUNS)),
        (STOPPED, Follow(STOPPED)),
        (NO_IMAGE, Follow(NO_IMAGE)),
    ],
)
def test_what_an_executions_follower_begins_with(execution, step):
    assert begin_with(execution, NOW, UNTIL) == step
    if step == AwaitStart():
        assert begin_with(execution, UNTIL, UNTIL) == Later()


@pytest.mark.parametrize(
    ("execution", "following", "step"),
    [
        (DONE, None, Over(DONE)),
        (FAILED, None, AwaitStart()),
        (SETTLED, None, Over(SETTLED)),
        (replace(FAILED, attempt=2), None, Over(replace(FAILED, attempt=2))),
        (replace(FAILED, stop_requested_at=1), None, Over(replace(FAILED, stop_requested_at=1))),
        (replace(FAILED, status=Status.TIMEDOUT), None, Over(replace(FAILED, status=Status.TIMEDOUT))),
        (FAILED, SECOND, AwaitStart()),
        (SETTLED, SECOND, AwaitStart()),
        (SETTLED, replace(SECOND, status=Status.PULLING), AwaitStart()),
        (SETTLED, replace(SECOND, status=Status.RUNNING, started_at=5), Follow(replace(SECOND, status=Status.RUNNING, started_at=5))),
        (SETTLED, replace(SECOND, status=Status.STOPPED), Follow(replace(SECOND, status=Status.STOPPED))),
        (None, None, Over(None)),
    ],
)
def test_what_comes_after_an_attempt(execution, following, step):
    assert go_on(execution, following) == step
