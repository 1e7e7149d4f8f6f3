"""What a job's status is, and what its stop covers."""

from dataclasses import replace

import pytest

from fastlane.models.cron import Cron
from fastlane.models.job import Job, Spec, job_status
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from tests.support.factories import make_job

NOW = 5000
NOW_JOB = Schedule()
AT_JOB = Schedule(ScheduleKind.AT, 9000)
CRON_JOB = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))


def a_job(
    *,
    sequence: int = 1,
    stop: int = 0,
    armed: int = 0,
    next_tick: int | None = None,
    held_tick: int | None = None,
    schedule: Schedule = NOW_JOB,
    expiration: int | None = None,
) -> Job:
    numbers = {"sequence": sequence, "stop_sequence": stop, "armed": armed}
    job = make_job(schedule=schedule, **numbers, next_tick=next_tick, held_tick=held_tick)
    return replace(job, spec=replace(job.spec, expiration=expiration))


@pytest.mark.parametrize("under_way", [Status.ENQUEUED, Status.PULLING, Status.RUNNING])
@pytest.mark.parametrize(
    "job",
    [
        a_job(),
        a_job(stop=2, sequence=2),
        a_job(next_tick=9000, schedule=AT_JOB),
        a_job(stop=2, sequence=3, next_tick=9000, schedule=AT_JOB),
    ],
)
def test_while_an_execution_is_under_way_the_jobs_status_is_its(job: Job, under_way: Status) -> None:
    assert job_status(job, under_way, NOW) == under_way.value


@pytest.mark.parametrize("final", [Status.DONE, Status.FAILED, Status.TIMEDOUT, Status.STOPPED, Status.EXPIRED])
def test_with_nothing_to_come_a_jobs_status_is_how_its_last_execution_ended(final: Status) -> None:
    assert job_status(a_job(), final, NOW) == final.value


@pytest.mark.parametrize("final", [Status.DONE, Status.FAILED, Status.TIMEDOUT])
def test_a_stop_after_the_end_leaves_a_jobs_status_as_it_ended(final: Status) -> None:
    assert job_status(a_job(sequence=2, stop=2), final, NOW) == final.value


@pytest.mark.parametrize("final", [Status.DONE, Status.FAILED, Status.STOPPED])
def test_a_job_with_a_tick_to_come_is_scheduled_however_it_ended_before(final: Status) -> None:
    assert job_status(a_job(next_tick=9000, schedule=AT_JOB), final, NOW) == "scheduled"


def test_a_job_that_never_ran_is_scheduled_until_its_moment() -> None:
    assert job_status(a_job(sequence=0, next_tick=9000, schedule=AT_JOB), None, NOW) == "scheduled"


def test_a_job_stopped_before_anything_ran_is_stopped() -> None:
    assert job_status(a_job(sequence=1, stop=1, schedule=AT_JOB), None, NOW) == "stopped"


@pytest.mark.parametrize("latest", [None, Status.DONE, Status.FAILED, Status.STOPPED])
def test_a_cron_that_was_stopped_is_stopped_however_its_last_execution_ended(latest: Status | None) -> None:
    assert job_status(a_job(sequence=4, stop=4, schedule=CRON_JOB), latest, NOW) == "stopped"


@pytest.mark.parametrize(("next_tick", "expiration"), [(None, 4000), (9000, 9000), (4500, 5000)])
def test_a_cron_that_came_to_its_end_is_expired_and_has_no_next_run(next_tick: int | None, expiration: int) -> None:
    job = a_job(sequence=4, schedule=CRON_JOB, next_tick=next_tick, expiration=expiration)
    assert (job_status(job, Status.DONE, NOW), job.next_run(NOW)) == ("expired", None)
    assert job_status(job, Status.RUNNING, NOW) == "running"


def test_a_cron_runs_up_to_its_expiration() -> None:
    job = a_job(sequence=4, schedule=CRON_JOB, next_tick=9000, expiration=9001)
    assert (job_status(job, Status.DONE, NOW), job.next_run(NOW)) == ("scheduled", 9000)


def test_a_job_whose_only_tick_came_too_late_to_make_an_execution_is_expired() -> None:
    assert job_status(a_job(sequence=1, schedule=AT_JOB), None, NOW) == "expired"


@pytest.mark.parametrize("stop", [0, 1])
def test_a_manual_job_is_idle_until_it_first_runs_and_is_then_as_its_last_execution(stop: int) -> None:
    job = a_job(sequence=1, stop=stop, schedule=Schedule(ScheduleKind.MANUAL))
    assert [job_status(job, latest, NOW) for latest in (None, Status.RUNNING, Status.FAILED)] == ["idle", "running", "failed"]


def test_a_job_armed_again_after_a_stop_is_alive_again() -> None:
    job = a_job(sequence=3, stop=2, armed=3, next_tick=9000, schedule=AT_JOB)
    assert not job.stopped
    assert job_status(job, None, NOW) == "scheduled"


@pytest.mark.parametrize(("stop", "sequence", "covered"), [(0, 1, False), (2, 1, True), (2, 2, False), (2, 3, False), (1, 0, True)])
def test_a_stop_covers_what_was_given_out_before_it_and_nothing_after(stop: int, sequence: int, covered: bool) -> None:
    assert a_job(sequence=5, stop=stop).stops(sequence) is covered


@pytest.mark.parametrize(
    ("stop", "armed", "stopped"), [(0, 0, False), (0, 1, False), (1, 0, True), (2, 1, True), (2, 2, False), (2, 3, False), (4, 3, True)]
)
def test_a_job_is_stopped_since_a_stop_until_it_is_armed_again(stop: int, armed: int, stopped: bool) -> None:
    assert a_job(sequence=9, stop=stop, armed=armed).stopped is stopped


def test_what_is_run_by_hand_leaves_a_stopped_cron_stopped() -> None:
    assert job_status(a_job(sequence=5, stop=4, schedule=CRON_JOB), Status.DONE, NOW) == "stopped"


@pytest.mark.parametrize("latest", [None, *Status])
@pytest.mark.parametrize("schedule", [AT_JOB, CRON_JOB])
def test_a_paused_job_is_paused_whatever_runs_or_ran(schedule: Schedule, latest: Status | None) -> None:
    job = a_job(held_tick=9000, schedule=schedule)
    assert job.paused
    assert job_status(job, latest, NOW) == "paused"


@pytest.mark.parametrize(("expiration", "over"), [(None, False), (4_999, True), (5_000, True), (5_001, False)])
def test_nothing_starts_any_more_from_a_specs_expiration_on(expiration: int | None, over: bool) -> None:
    assert Spec("ubuntu", expiration=expiration).is_over(5_000) is over
