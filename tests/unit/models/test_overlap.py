"""What a tick comes to beside earlier executions, what one that waits has to wait for, and what it replaces."""

from dataclasses import replace

import pytest

from fastlane.models.cron import Cron
from fastlane.models.job import Failure
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import Overlap, Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, awaited, meet, replaced
from tests.support.factories import make_execution, make_job, make_spec

ALLOW, SKIP, QUEUE, REPLACE = Overlap
RUNS = make_execution(id="runs", status=Status.RUNNING, sequence=3)
ENDED = replace(RUNS, id="ended", status=Status.DONE, finished_at=1)
FAILED = replace(ENDED, id="failed", status=Status.FAILED, failure=Failure(FailureReason.EXIT, "3"), spec=make_spec(retries=1))
WAITS = make_execution(id="waits", sequence=4, waits=QUEUE)
LATER = replace(RUNS, id="later", sequence=9)
JOB = make_job(schedule=Schedule(ScheduleKind.CRON, None, Cron("* * * * *"), QUEUE), sequence=9)


@pytest.mark.parametrize(
    ("overlap", "others", "outcome", "waits"),
    [
        *((overlap, (), Outcome.STARTED, None) for overlap in Overlap),
        *((overlap, (ENDED,), Outcome.STARTED, None) for overlap in Overlap),
        (ALLOW, (RUNS, WAITS), Outcome.STARTED, None),
        (SKIP, (RUNS,), Outcome.SKIPPED, None),
        (SKIP, (WAITS,), Outcome.SKIPPED, None),
        (SKIP, (FAILED,), Outcome.SKIPPED, None),
        (QUEUE, (RUNS,), Outcome.QUEUED, QUEUE),
        (QUEUE, (FAILED,), Outcome.QUEUED, QUEUE),
        (QUEUE, (RUNS, WAITS), Outcome.SKIPPED, None),
        (QUEUE, (WAITS,), Outcome.SKIPPED, None),
        (REPLACE, (RUNS,), Outcome.REPLACED, REPLACE),
        (REPLACE, (RUNS, WAITS), Outcome.REPLACED, REPLACE),
    ],
)
def test_what_a_tick_comes_to(overlap, others, outcome, waits):
    met = meet(overlap, others)
    assert (met.outcome, met.waits) == (outcome, waits)
    assert (met.reason is None) is (outcome is Outcome.STARTED)


def test_the_reason_names_what_runs_and_not_what_waits():
    assert "execution runs of the job was still under way" in str(meet(SKIP, (WAITS, RUNS)).reason)
    assert "execution runs of the job was still under way, and waits waited" in str(meet(QUEUE, (RUNS, WAITS)).reason)


@pytest.mark.parametrize(
    ("job", "others", "expected"),
    [
        (JOB, (WAITS,), []),
        (JOB, (ENDED, WAITS), []),
        (JOB, (RUNS, WAITS), [RUNS]),
        (JOB, (FAILED, WAITS), [FAILED]),
        (JOB, (RUNS, WAITS, LATER), [RUNS, LATER]),
        (JOB, (replace(WAITS, id="older", sequence=2), WAITS), [replace(WAITS, id="older", sequence=2)]),
        (JOB, (WAITS, replace(WAITS, id="newer", sequence=5)), []),
        (replace(JOB, schedule=replace(JOB.schedule, overlap=ALLOW)), (RUNS, WAITS), []),
        (replace(JOB, schedule=replace(JOB.schedule, overlap=SKIP)), (RUNS, WAITS), [RUNS]),
        (replace(JOB, stop_sequence=5), (RUNS, WAITS), []),
        (replace(JOB, floor=4), (RUNS, WAITS), []),
        (None, (RUNS, WAITS), []),
    ],
)
def test_what_one_that_waits_has_to_wait_for(job, others, expected):
    assert awaited(job, WAITS, others) == expected


def test_one_that_replaces_stops_what_is_older_and_not_asked_to_stop_yet():
    over, older = replace(WAITS, waits=REPLACE), replace(WAITS, id="older", sequence=2)
    stopping = replace(RUNS, id="stopping", stop_requested_at=1)
    assert replaced(over, [older, RUNS, FAILED, stopping, LATER]) == [older, RUNS]
    assert replaced(WAITS, [RUNS]) == []
