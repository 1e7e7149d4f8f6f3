"""What a follower does next, case by case."""

from dataclasses import replace

import pytest

from fastlane.models.job import Failure
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.streams.follower import (
    AwaitStart,
    Follow,
    JobProgress,
    NothingFollows,
    RetryLater,
    StartWait,
    first_step,
    first_step_of_execution,
    next_step,
)
from tests.support.factories import make_execution, make_job, make_spec

NOW, UNTIL = 1_000_000, 1_025_000
SOON, LATE = NOW + 20_000, NOW + 26_000
JOB = make_job(id="job", task_id="task", spec=make_spec("image"), created_at=0, modified_at=0)
WAITS = make_execution(id="e1", task_id="task", job_id="job", spec=make_spec("image", retries=1), scheduled_for=NOW, created_at=0)
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
    return JobProgress(job, under_way, newest, started)


@pytest.mark.parametrize(
    ("seen", "step"),
    [
        (prospect(under_way=RUNS, newest=RUNS, started=RUNS), Follow(RUNS)),
        (prospect(newest=DONE, started=DONE), Follow(DONE)),
        (prospect(newest=SECOND, under_way=SECOND, started=FAILED), Follow(FAILED)),
        (prospect(job=None), NothingFollows(None)),
        (prospect(job=None, newest=DONE, started=DONE), Follow(DONE)),
        (prospect(under_way=WAITS, newest=WAITS), AwaitStart()),
        (prospect(under_way=PULLS, newest=PULLS), AwaitStart()),
        (prospect(newest=WAITS), AwaitStart()),
        (prospect(under_way=replace(WAITS, scheduled_for=SOON), newest=WAITS), AwaitStart()),
        (prospect(under_way=replace(WAITS, scheduled_for=LATE), newest=WAITS), RetryLater()),
        (prospect(newest=LOST), AwaitStart()),
        (prospect(newest=NO_IMAGE), NothingFollows(NO_IMAGE)),
        (prospect(newest=STOPPED), NothingFollows(STOPPED)),
        (prospect(job=replace(JOB, next_tick=SOON)), AwaitStart()),
        (prospect(job=replace(JOB, next_tick=LATE)), RetryLater()),
        (prospect(job=replace(JOB, next_tick=LATE), newest=NO_IMAGE), RetryLater()),
        (prospect(job=replace(JOB, next_tick=LATE, spec=replace(JOB.spec, expiration=LATE)), newest=NO_IMAGE), NothingFollows(NO_IMAGE)),
        (prospect(job=replace(JOB, next_tick=LATE), under_way=WAITS, newest=WAITS), AwaitStart()),
        (prospect(job=replace(JOB, held_tick=SOON)), RetryLater()),
        (prospect(job=replace(JOB, stop_sequence=1)), NothingFollows(None)),
        (prospect(), NothingFollows(None)),
    ],
)
def test_what_a_jobs_follower_begins_with(seen, step):
    assert first_step(seen, NOW, StartWait(UNTIL)) == step
    waiting = step in (AwaitStart(), RetryLater())
    assert first_step(seen, NOW, StartWait(UNTIL, patient=True)) == (AwaitStart() if waiting else step)
    for patient in (False, True) if waiting else ():
        assert first_step(seen, UNTIL, StartWait(UNTIL, patient)) == RetryLater()


@pytest.mark.parametrize(
    ("execution", "step"),
    [
        (None, NothingFollows(None)),
        (WAITS, AwaitStart()),
        (PULLS, AwaitStart()),
        (replace(WAITS, scheduled_for=LATE), RetryLater()),
        (RUNS, Follow(RUNS)),
        (STOPPED, Follow(STOPPED)),
        (NO_IMAGE, Follow(NO_IMAGE)),
    ],
)
def test_what_an_executions_follower_begins_with(execution, step):
    assert first_step_of_execution(execution, NOW, StartWait(UNTIL)) == step
    if step == AwaitStart():
        assert first_step_of_execution(execution, UNTIL, StartWait(UNTIL)) == RetryLater()


@pytest.mark.parametrize(
    ("execution", "following", "step"),
    [
        (DONE, None, NothingFollows(DONE)),
        (FAILED, None, AwaitStart()),
        (SETTLED, None, NothingFollows(SETTLED)),
        (replace(FAILED, attempt=2), None, NothingFollows(replace(FAILED, attempt=2))),
        (replace(FAILED, stop_requested_at=1), None, NothingFollows(replace(FAILED, stop_requested_at=1))),
        (replace(FAILED, status=Status.TIMEDOUT), None, NothingFollows(replace(FAILED, status=Status.TIMEDOUT))),
        (FAILED, SECOND, AwaitStart()),
        (SETTLED, SECOND, AwaitStart()),
        (SETTLED, replace(SECOND, status=Status.PULLING), AwaitStart()),
        (SETTLED, replace(SECOND, status=Status.RUNNING, started_at=5), Follow(replace(SECOND, status=Status.RUNNING, started_at=5))),
        (SETTLED, replace(SECOND, status=Status.STOPPED), Follow(replace(SECOND, status=Status.STOPPED))),
        (None, None, NothingFollows(None)),
    ],
)
def test_what_comes_after_an_attempt(execution, following, step):
    assert next_step(execution, following) == step
