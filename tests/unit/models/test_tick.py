"""Ids that derive: the same for whoever derives them, different for whatever is not the same."""

import itertools
from dataclasses import replace
from uuid import UUID

from hypothesis import given, strategies as st

from fastlane.models.access import Requester
from fastlane.models.job import Job
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, cron_key, execution_id, make_tick, next_execution, once_key, tick_id
from tests.support.factories import make_job, make_spec

INCARNATION = "96812ec5-4574-46da-9474-f901b51d49ec"
OTHER = "19603668-7241-4c50-802f-7c39dac831e6"


def a_job(incarnation: str = INCARNATION) -> Job:
    spec = make_spec(command=("ls", "-lah"))
    return make_job(incarnation=incarnation, spec=spec, schedule=Schedule(ScheduleKind.AT, 9000), sequence=4)


def test_the_derived_ids_never_change() -> None:
    assert tick_id(INCARNATION, "a:1") == "96812ec5-4574-8f3c-9ce4-0e4908a44783"
    assert tick_id(INCARNATION, "c:1645113692000") == "96812ec5-4574-8b14-8e75-8e60984bbe14"
    assert execution_id(tick_id(INCARNATION, "a:1"), 1) == "96812ec5-4574-8899-a566-bb2f39000447"
    assert execution_id(tick_id(INCARNATION, "a:1"), 2) == "96812ec5-4574-8f3d-a71d-00a6acf98085"


def test_whatever_differs_has_another_id() -> None:
    keys = [once_key(1), once_key(2), once_key(11), cron_key(1645113692000), cron_key(1645113752000), f"r:{OTHER}"]
    ticks = [tick_id(incarnation, key) for incarnation, key in itertools.product((INCARNATION, OTHER), keys)]
    executions = [execution_id(tick, attempt) for tick, attempt in itertools.product(ticks, (1, 2, 11))]
    assert len({*ticks, *executions}) == len(ticks) + len(executions)


@given(st.uuids(), st.text(max_size=50), st.integers(1, 20))
def test_every_process_derives_the_same_uuids(incarnation: UUID, key: str, attempt: int) -> None:
    tick = tick_id(str(incarnation), key)
    made = execution_id(tick, attempt)
    assert str(UUID(made)) == made
    assert str(UUID(tick)) == tick
    assert made == execution_id(tick_id(str(incarnation), key), attempt) != tick


@given(
    st.lists(
        st.tuples(st.sampled_from("acr"), st.integers(0, 2000), st.integers(1, 12)),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
def test_no_two_attempts_of_whatever_ticks_share_an_id(two: list[tuple[str, int, int]]) -> None:
    one, other = (execution_id(tick_id(INCARNATION, f"{kind}:{number}"), attempt) for kind, number, attempt in two)
    assert one != other


def test_a_tick_and_its_first_execution_belong_together() -> None:
    job = a_job()
    tick, execution = make_tick(job, once_key(job.schedule_revision), sequence=5, due=9000, now=9100)
    assert (tick.id, tick.job_id, tick.key) == (tick_id(INCARNATION, "a:1"), "j", "a:1")
    assert (tick.due, tick.created_at, tick.outcome, tick.reason) == (9000, 9100, Outcome.STARTED, None)
    assert (tick.until, tick.count, tick.at_least) == (None, 1, False)
    assert tick.execution_id == execution.id == execution_id(tick.id, 1)
    assert (execution.tick_id, execution.job_id, execution.task_id) == (tick.id, "j", "t")
    assert (execution.attempt, execution.sequence, execution.epoch) == (1, 5, 0)
    assert (execution.scheduled_for, execution.created_at) == (9000, 9100)
    assert execution.spec == job.spec
    assert execution.status is Status.ENQUEUED
    assert execution.expires_at is None
    assert not execution.has_started


def test_an_execution_expires_by_its_jobs_rule_counted_from_its_due_time() -> None:
    spec = replace(a_job().spec, expires_in=500, expiration=9_600)
    assert make_tick(replace(a_job(), spec=spec), "a:1", sequence=5, due=9_000, now=9_100)[1].expires_at == 9_500
    assert make_tick(replace(a_job(), spec=spec), "a:1", sequence=5, due=9_200, now=9_300)[1].expires_at == 9_600


def test_the_next_attempt_is_of_the_same_tick_and_spec_and_begins_anew() -> None:
    job = replace(a_job(), spec=replace(a_job().spec, retries=3, expires_in=600_000))
    tick, first = make_tick(job, "a:1", sequence=5, due=9_000, now=9_100)
    failed = replace(
        first, status=Status.FAILED, epoch=3, host="h", service_id="s", started_at=9_500, finished_at=9_900, settled=True, op="x"
    )
    second = next_execution(failed, due=11_000, now=10_000)
    assert second == replace(first, id=execution_id(tick.id, 2), attempt=2, scheduled_for=11_000, created_at=10_000)
    assert second.expires_at == 609_000
    assert next_execution(second, due=12_000, now=11_500).id == execution_id(tick.id, 3)


def test_a_job_made_again_under_its_old_id_repeats_no_id() -> None:
    old = make_tick(a_job(), "a:1", sequence=1, due=1, now=1)
    new = make_tick(a_job(OTHER), "a:1", sequence=1, due=1, now=1)
    assert old[0].id != new[0].id
    assert old[1].id != new[1].id


def test_each_attempt_at_a_tick_was_asked_for_by_who_asked_for_the_tick() -> None:
    anna, rob = Requester("anna", "10.0.0.1"), Requester(None, "10.0.0.2")
    job = replace(a_job(), requested_by=anna)
    _, by_schedule = make_tick(job, once_key(1), sequence=5, due=9000, now=9001)
    _, by_hand = make_tick(job, f"r:{OTHER}", sequence=6, due=9000, now=9001, by=rob)
    assert (by_schedule.requested_by, by_hand.requested_by) == (anna, rob)
    assert next_execution(by_hand, due=9500, now=9400).requested_by == rob


def test_each_attempt_at_a_tick_runs_what_the_first_one_ran_and_a_tick_by_hand_asks_anew() -> None:
    job = a_job()
    _, first = make_tick(job, once_key(1), sequence=5, due=9000, now=9001)
    assert first.image_reference is None
    second = next_execution(replace(first, image_reference="ubuntu@sha256:1", image_digest="sha256:1"), due=9500, now=9400)
    assert (second.image_reference, second.image_digest) == ("ubuntu@sha256:1", None)
    assert next_execution(second, due=9500, now=9400).image_reference == "ubuntu@sha256:1"
    assert make_tick(job, f"r:{OTHER}", sequence=6, due=9000, now=9001)[1].image_reference is None
    assert make_tick(a_job(), once_key(1), sequence=5, due=9000, now=9001)[1].requested_by is None
