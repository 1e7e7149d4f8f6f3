"""The zone of a job beside the zones of the entries of its cron: it is kept, shown as given, and counts for what names none."""

from dataclasses import replace
from typing import Any

import pytest

from fastlane.models.cron import Cron
from fastlane.models.job import Job
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.storage.values import schedule_from_json, schedule_to_json
from fastlane.web.api.job import DEFINITION
from fastlane.web.api.job_body import JobRules, read_change, read_job
from fastlane.web.api.jobs import SCHEDULE
from fastlane.web.api.serializer import RenderContext
from tests.support.factories import make_job

NOW = 1_780_000_000_000
RULES = JobRules(3, 60)
RENDER = RenderContext("http://localhost", ())
TOKYO = {"cron": "0 1 * * *", "timezone": "Asia/Tokyo"}
MIXED = {"image": "ubuntu", "cron": [TOKYO, "0 2 * * *"], "timezone": "Europe/Berlin", "doneBy": "06:00"}


def made(body: dict[str, Any]) -> Job:
    """The job of a body, as a store gives it back."""
    spec, schedule = read_job(body, NOW, RULES)
    stored = schedule_from_json(schedule_to_json(schedule))
    assert stored == schedule
    return make_job(spec=spec, schedule=stored)


def patched(job: Job, body: dict[str, Any]) -> Job:
    spec, schedule = read_change(body, job, NOW, RULES)
    return replace(job, spec=spec, schedule=schedule)


def zones(job: Job) -> list[str | None]:
    """The job's, and those of the entries."""
    assert job.schedule.cron is not None
    return [job.schedule.own_zone, *(entry.timezone for entry in job.schedule.cron.entries)]


def test_the_jobs_zone_is_kept_beside_a_first_entry_that_has_another_one() -> None:
    job = made(MIXED)
    assert zones(job) == ["Europe/Berlin", "Asia/Tokyo", "Europe/Berlin"]
    assert zones(patched(job, {"cron": "0 0 LW * *"})) == ["Europe/Berlin", "Europe/Berlin"]
    assert zones(patched(job, {"cron": [TOKYO]})) == ["Europe/Berlin", "Asia/Tokyo"]
    assert zones(patched(job, {"timezone": "America/Lima"})) == ["America/Lima", "Asia/Tokyo", "America/Lima"]
    assert patched(job, {"overlap": "skip"}).schedule.starts_as(job.schedule)
    assert zones(patched(job, {"overlap": "skip"})) == zones(job)
    assert zones(patched(job, {"timezone": None})) == ["Asia/Tokyo", "Asia/Tokyo", "UTC"]


@pytest.mark.parametrize(
    "cron", [[TOKYO, "0 2 * * *"], [TOKYO], ["0 2 * * *", TOKYO], "0 2 * * *", ["0 2 * * *", {**TOKYO, "overlap": "skip"}]]
)
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Tokyo"])
def test_a_job_is_shown_as_it_was_given_and_is_the_same_when_it_is_given_so_again(cron: Any, zone: str) -> None:
    job = made({**MIXED, "cron": cron, "timezone": zone})
    defined = DEFINITION.serialize(job, RENDER)
    shown = {name: defined[name] for name in ("cron", "timezone")}
    assert shown["timezone"] == zone
    again = made({**MIXED, **shown})
    assert (again.schedule, zones(again)) == (job.schedule, zones(job))
    said = SCHEDULE.serialize(job.schedule, RENDER)
    assert said["timezone"] == zone
    if zone == "Europe/Berlin" and cron == [TOKYO]:
        assert [entry["timezone"] for entry in said["entries"]] == ["Asia/Tokyo"]


def test_a_job_that_names_no_zone_and_one_that_was_stored_before_go_by_the_first_entry() -> None:
    assert zones(made({"image": "ubuntu", "cron": [TOKYO, "0 2 * * *"]})) == ["Asia/Tokyo", "Asia/Tokyo", "UTC"]
    plain = Schedule(ScheduleKind.CRON, None, Cron("0 1 * * *", "Asia/Tokyo", (Cron("0 2 * * *", "Europe/Berlin"),)))
    assert "job_timezone" not in schedule_to_json(plain)
    assert zones(make_job(schedule=plain)) == ["Asia/Tokyo", "Asia/Tokyo", "Europe/Berlin"]
