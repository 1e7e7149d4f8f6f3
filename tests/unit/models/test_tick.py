"""Ids that derive: the same for whoever derives them, different for whatever is not the same."""

import itertools
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from fastlane.models.job import Job, Spec
from fastlane.models.schedule import Kind, Schedule
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, execution_id, make, once_key, tick_id

INCARNATION = "96812ec5-4574-46da-9474-f901b51d49ec"
OTHER = "19603668-7241-4c50-802f-7c39dac831e6"


def a_job(incarnation: str = INCARNATION) -> Job:
    return Job("j", "t", incarnation, 1, 1, Spec("ubuntu", ("ls", "-lah")), Schedule(Kind.AT, 9000), sequence=4)


def test_the_ids_are_these_for_ever_since_rows_and_services_bear_them() -> None:
    assert tick_id(INCARNATION, "a:1") == "96812ec5-4574-8f3c-9ce4-0e4908a44783"
    assert execution_id(INCARNATION, "a:1", 1) == "96812ec5-4574-8e3f-a24c-d9ba21ec5a76"


def test_whatever_differs_has_another_id() -> None:
    keys = [once_key(1), once_key(2), once_key(11), "c:1645113692000", f"r:{OTHER}"]
    ticks = [tick_id(incarnation, key) for incarnation, key in itertools.product((INCARNATION, OTHER), keys)]
    executions = [
        execution_id(incarnation, key, attempt) for incarnation, key, attempt in itertools.product((INCARNATION, OTHER), keys, (1, 2, 11))
    ]
    assert len({*ticks, *executions}) == len(ticks) + len(executions)


@given(st.uuids(), st.text(max_size=50), st.integers(1, 20))
def test_ids_are_uuids_and_the_same_whoever_derives_them(incarnation: UUID, key: str, attempt: int) -> None:
    made = execution_id(str(incarnation), key, attempt)
    assert str(UUID(made)) == made
    assert made == execution_id(str(incarnation), key, attempt)
    assert tick_id(str(incarnation), key) == tick_id(str(incarnation), key) != made


@given(
    st.lists(
        st.tuples(st.sampled_from("acr"), st.integers(0, 2000), st.integers(1, 12)),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
def test_no_two_attempts_of_whatever_ticks_share_an_id(two: list[tuple[str, int, int]]) -> None:
    one, other = (execution_id(INCARNATION, f"{kind}:{number}", attempt) for kind, number, attempt in two)
    assert one != other


def test_a_tick_and_its_first_execution_belong_together() -> None:
    job = a_job()
    tick, execution = make(job, once_key(job.schedule_revision), sequence=5, due=9000, now=9100)
    assert (tick.id, tick.job_id, tick.key) == (tick_id(INCARNATION, "a:1"), "j", "a:1")
    assert (tick.due, tick.created_at, tick.outcome, tick.reason) == (9000, 9100, Outcome.STARTED, None)
    assert tick.execution_id == execution.id == execution_id(INCARNATION, "a:1", 1)
    assert (execution.tick_id, execution.job_id, execution.task_id) == (tick.id, "j", "t")
    assert (execution.attempt, execution.sequence, execution.epoch) == (1, 5, 0)
    assert (execution.scheduled_for, execution.created_at) == (9000, 9100)
    assert execution.spec == job.spec
    assert execution.status is Status.ENQUEUED
    assert not execution.has_started


def test_a_job_made_again_under_its_old_id_repeats_no_id() -> None:
    old = make(a_job(), "a:1", sequence=1, due=1, now=1)
    new = make(a_job(OTHER), "a:1", sequence=1, due=1, now=1)
    assert old[0].id != new[0].id
    assert old[1].id != new[1].id
