"""How many ticks of a job failed in a row: the same count in whichever order, and however often, their ends are recorded."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given, strategies as st

from fastlane.models.event import EventKind
from fastlane.models.failing import KEPT, Failing, begun_anew
from fastlane.models.job import Failure, Job
from fastlane.models.job_change import after_end, pause, pause_reason, put, resume
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from tests.support.factories import make_execution, make_job, make_spec
from tests.support.scenarios import hourly

NOW = 1_700_000_000_000


def row_of(failed: Sequence[bool]) -> int:
    """How many failed in a row at the end."""
    return len(list(takewhile(bool, reversed(failed))))


@given(st.lists(st.booleans(), max_size=2 * KEPT), st.data())
def test_each_end_counts_once_in_whichever_order_nearby_ends_are_recorded(failed: list[bool], data: st.DataObject) -> None:
    known = Failing()
    for start in range(0, len(failed), 8):  # workers record what ends at about the same time in any order, and some of it twice
        near = list(range(start, min(start + 8, len(failed))))
        for place in data.draw(st.permutations([*near, *near[:3]])):
            known = known.with_end(place + 1, failed=failed[place])
    assert known.count == row_of(failed)
    assert len(known.ends) <= KEPT
    for place in range(max(0, len(failed) - KEPT), len(failed)):
        assert known.row_at(place + 1) == row_of(failed[: place + 1])
        assert known.failed_before(place + 1) == row_of(failed[:place])


def test_the_count_begins_anew_and_a_success_after_that_is_still_the_first_one() -> None:
    known = Failing()
    for sequence in (1, 2, 3):
        known = known.with_end(sequence, failed=True)
    anew = begun_anew(known, 5, is_counted=True)
    assert anew is not None
    assert (anew.count, anew.failed_before(6)) == (0, 3)
    assert anew.with_end(4, failed=True) is anew  # it was due before
    assert (anew.with_end(6, failed=True).count, anew.with_end(6, failed=True).failed_before(7)) == (1, 4)
    assert anew.with_end(6, failed=False).failed_before(7) == 0
    assert begun_anew(None, 5, is_counted=False) is None


def test_a_tick_from_before_a_resume_or_put_does_not_count_when_it_is_the_first_to_end() -> None:
    paused = pause(job(), now=NOW)
    resumed = resume(paused, now=NOW).job
    assert end(resumed, 8) == end(resumed, 9) == resumed  # both began before
    again = put(resumed, resumed.spec, resumed.schedule, now=NOW, by=None).job
    assert end(again, 9) == end(again, 10) == again
    assert end(end(again, 11), 12).paused
    plain = put(resumed, make_spec(), resumed.schedule, now=NOW, by=None).job
    assert end(plain, 9, spec=resumed.spec) == plain  # nor one that still has the rule


def job(**values: Any) -> Job:
    return make_job(schedule=hourly(NOW)[0], next_tick=NOW + 5, sequence=9, spec=make_spec(pause_after=2, retries=1), **values)


def end(job: Job, sequence: int, status: Status = Status.FAILED, **values: Any) -> Job:
    failure = Failure(FailureReason.EXIT, "it said so") if status is Status.FAILED else None
    given = {"attempt": 2, "finished_at": NOW, "failure": failure, "spec": job.spec, "job_id": job.id, "incarnation": job.incarnation}
    return after_end(job, make_execution(sequence=sequence, status=status, **{**given, **values}), now=NOW).job


@pytest.mark.parametrize("status", [Status.FAILED, Status.TIMEDOUT, Status.EXPIRED])
def test_a_failure_too_many_pauses_the_job_and_says_so(status: Status) -> None:
    once = end(job(), 3, status)
    assert (once.paused, once.revision) == (False, job().revision)
    change = after_end(once, make_execution(sequence=4, status=status, attempt=2, finished_at=NOW), now=NOW)
    assert (change.job.held_tick, change.job.next_tick, change.job.revision) == (NOW + 5, None, once.revision + 1)
    (event,) = change.events
    assert (event.kind, event.detail["reason"]) == (EventKind.JOB_PAUSED, "2 of its ticks in a row failed (pauseAfter: 2)")
    assert pause_reason(change.job) == "the job was paused, since 2 of its ticks in a row failed (pauseAfter: 2)"
    assert end(change.job, 4, status) is change.job  # it is settled again
    resumed = resume(change.job, now=NOW).job
    assert resumed.failing is not None
    assert (resumed.failing.count, resumed.paused) == (0, False)
    assert end(resumed, 4, status) is resumed
    assert pause_reason(pause(resumed, now=NOW)) == "the job was paused"


@pytest.mark.parametrize(
    "values",
    [
        {"status": Status.STOPPED},
        {"attempt": 1},  # another attempt follows
        {"attempt": 1, "status": Status.DONE},
        {"status": Status.DONE},
    ],
)
def test_what_does_not_fail_a_tick_pauses_nothing(values: dict[str, Any]) -> None:
    once = end(job(), 3)
    assert not end(once, 4, **values).paused


def test_only_a_success_ends_a_row() -> None:
    once = end(job(), 3)
    assert end(once, 4, Status.STOPPED) is once
    assert end(end(once, 4, Status.STOPPED), 5).paused
    assert not end(end(once, 4, Status.DONE), 5).paused


def test_a_job_without_a_tick_to_come_is_not_paused() -> None:
    stopped = replace(job(), next_tick=None, stop_sequence=9)
    assert not end(end(stopped, 3), 4).paused
