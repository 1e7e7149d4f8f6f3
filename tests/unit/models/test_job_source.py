"""How a job follows the labels of its service."""

from dataclasses import replace

from fastlane.models.cron import Cron
from fastlane.models.job import Job, JobSource, Spec
from fastlane.models.job_change import JobIdentity, create
from fastlane.models.job_source import declared_id, faulty, given_up, redeclared
from fastlane.models.schedule import Schedule, ScheduleKind

NOW = 1_800_000_000_000
HOUR = 3_600_000
SPEC = Spec("", service="shop_web")
NIGHTLY = Schedule(ScheduleKind.CRON, None, Cron("0 3 * * *", "UTC"))
SOURCE = JobSource("shop_web", "swarm", "id", version=7)


def declared(schedule: Schedule = NIGHTLY) -> Job:
    job = create(JobIdentity("shop", "job", "i", 1), SPEC, schedule, now=NOW, by=None).job
    return replace(job, source=SOURCE)


def gone(job: Job, version: int = 8) -> Job:
    change = given_up(job, "it is gone", version, now=NOW)
    assert change is not None
    return change.job


def back(job: Job, schedule: Schedule, version: int = 9) -> Job:
    change = redeclared(job, SPEC, schedule, replace(SOURCE, version=version), now=NOW + HOUR)
    assert change is not None
    return change.job


def test_ids_differ_by_swarm_service_and_suffix_and_are_the_same_each_time() -> None:
    names = [("a", "web", ""), ("b", "web", ""), ("a", "db", ""), ("a", "web", "x")]
    assert len({declared_id(*name) for name in names}) == len(names)
    assert declared_id(*names[0]) == declared_id(*names[0])


def test_a_job_that_is_as_declared_does_not_change_and_neither_does_one_of_newer_labels() -> None:
    job = declared()
    assert redeclared(job, SPEC, NIGHTLY, replace(SOURCE, version=8), now=NOW) is None
    assert redeclared(job, SPEC, replace(NIGHTLY, cron=Cron("0 4 * * *", "UTC")), replace(SOURCE, version=6), now=NOW) is None


def test_a_moment_that_has_passed_does_not_come_again_with_the_service() -> None:
    once = Schedule(ScheduleKind.AT, NOW - HOUR)
    ran = replace(declared(once), next_tick=None, last_tick=NOW - HOUR)
    assert (back(gone(ran), once).next_tick, back(gone(ran), once).stopped) == (None, False)
    later = Schedule(ScheduleKind.AT, NOW + 2 * HOUR)
    assert back(gone(declared(later)), later).next_tick == NOW + 2 * HOUR


def test_a_job_is_given_up_once_and_never_for_an_old_list() -> None:
    job = declared()
    assert given_up(job, "it is gone", 7, now=NOW) is None
    assert given_up(gone(job), "it is gone", 9, now=NOW) is None
    assert redeclared(gone(job), SPEC, NIGHTLY, replace(SOURCE, version=7), now=NOW) is None


def test_a_stop_of_a_person_before_or_after_the_sources_own_counts() -> None:
    stopped = replace(declared(), sequence=1, stop_sequence=1, next_tick=None)
    assert back(gone(stopped), NIGHTLY).stopped
    own = gone(declared())
    assert not back(own, NIGHTLY).stopped
    again = replace(own, sequence=own.sequence + 1, stop_sequence=own.sequence + 1)
    assert back(again, NIGHTLY).stopped


def test_a_fault_is_written_once_and_changes_nothing_else() -> None:
    change = faulty(declared(), "no", now=NOW)
    assert change is not None
    assert change.job.source == replace(SOURCE, fault="no")
    assert (change.job.spec, change.job.schedule, change.job.next_tick) == (SPEC, NIGHTLY, declared().next_tick)
    assert faulty(change.job, "no", now=NOW) is None
