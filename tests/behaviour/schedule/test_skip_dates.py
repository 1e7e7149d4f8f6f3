"""Dates on which a schedule does not run: their ticks are rows that say so, and next runs leave them out."""

from collections import Counter
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from fastlane.models.cron import Cron, ticks_between
from fastlane.models.job_change import fire
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.skip_dates import read_range
from fastlane.models.tick import Outcome
from tests.http.posted import OK
from tests.support.factories import make_job, make_spec

DAY = 86_400_000
ALWAYS = "2000-01-01..9999-12-31"


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def schedule(cron: str, zone: str, *dates: str, spread: int = 0) -> Schedule:
    chosen = Cron(cron, zone).spread_over(spread).settled("task/name", moment("2027-01-01T00:00"))
    return Schedule(ScheduleKind.CRON, None, chosen, skip=tuple(map(read_range, dates)))


def test_ticks_on_skipped_dates_are_rows_that_say_so() -> None:
    rule = schedule("0 8 * * *", "Europe/Berlin", "2027-12-24..2027-12-26")
    job = make_job(schedule=rule, next_tick=moment("2027-12-23T07:00"))
    rows = []
    while (job.next_tick or 0) < moment("2027-12-28T00:00"):
        change = fire(job, now=job.next_tick or 0)
        (tick,) = change.ticks
        assert (change.execution is None) == (tick.execution_id is None)
        rows.append((datetime.fromtimestamp(tick.due / 1000, UTC).day, tick.outcome, tick.reason))
        job = change.job
    why = "calendar: it was due on a date of skipDates (2027-12-24..2027-12-26)"
    started, skipped = (Outcome.STARTED, None), (Outcome.SKIPPED, why)
    assert rows == [(23, *started), (24, *skipped), (25, *skipped), (26, *skipped), (27, *started)]


def test_a_cron_whose_expiration_passes_on_a_skipped_date_ends_as_expired() -> None:
    end = moment("2027-12-25T12:00")
    rule, spec = schedule("0 */8 * * *", "UTC", "2027-12-24..2027-12-26"), make_spec(expiration=end)
    job = make_job(schedule=rule, spec=spec, next_tick=moment("2027-12-25T08:00"))
    before = fire(job, now=job.next_tick or 0)
    assert [tick.outcome for tick in before.ticks] == [Outcome.SKIPPED]
    last = fire(before.job, now=before.job.next_tick or 0)
    assert ([tick.outcome for tick in last.ticks], last.job.next_tick) == ([Outcome.EXPIRED], None)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "0 */3 * * *", "@every 7h"])
def test_a_year_of_skipped_dates_follows_the_clocks_of_the_zone(zone: str, cron: str) -> None:
    """Among the dates are those on which clocks change there, and the spread moves some due times over midnight."""
    where = ZoneInfo(zone)
    begins, ends = moment("2027-01-01T00:00"), moment("2028-01-01T00:00")
    changes = [day for day in range(begins, ends, DAY) if offset(day, where) != offset(day + DAY, where)]
    dates = {datetime.fromtimestamp(day / 1000, where).date() for day in changes} | {date(2027, 5, 1), date(2027, 12, 24)}
    rule = schedule(cron, zone, *map(str, dates), "2027-08-01..2027-08-20", spread=90 * 60_000)
    assert rule.cron is not None
    expected, skipped = [], Counter[date]()
    for due in ticks_between(rule.cron, begins, ends, 10_000):
        day = datetime.fromtimestamp(due / 1000, where).date()
        if day in dates or date(2027, 8, 1) <= day <= date(2027, 8, 20):
            skipped[day] += 1
        else:
            expected.append(due)
    found, due = [], rule.unskipped_from(rule.first_tick(begins))
    while due is not None and due <= ends:
        found.append(due)
        due = rule.unskipped_from(rule.first_tick(due))
    assert found == expected
    assert len(skipped) == len(dates) + 20


def offset(at: int, where: ZoneInfo) -> object:
    return datetime.fromtimestamp(at / 1000, where).utcoffset()


def test_a_schedule_of_which_all_dates_are_skipped_has_no_next_run_and_that_is_found_at_once() -> None:
    rule = schedule("* * * * *", "UTC", *(f"{year}-01-01..{year}-12-31" for year in range(2027, 2090)), ALWAYS)
    assert rule.unskipped_from(rule.first_tick(moment("2027-01-01T00:00"))) is None
    job = make_job(schedule=rule, next_tick=moment("2027-01-01T00:00"))
    assert (job.next_run(0), job.next_tick_to_come(0)) == (None, job.next_tick)


async def test_next_runs_leave_skipped_dates_out_and_why_says_so(server):
    body = {"image": "ubuntu", "cron": "0 8 24-27 12 *", "timezone": "Europe/Berlin", "skipDates": ["2026-12-01..2080-12-25"]}
    shown = (await server.ask("POST", "/tasks/t?dryRun=1", json=body)).json
    days = ("2080-12-26", "2080-12-27", "2081-12-24", "2081-12-25", "2081-12-26")
    assert shown["nextRuns"] == [f"{day}T07:00:00.000Z" for day in days]
    reply = (await server.ask("POST", "/tasks/t", json=body)).json
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert (job["nextRuns"], job["nextRunAt"]) == (shown["nextRuns"], shown["nextRuns"][0])
    assert (job["status"], job["definition"]["skipDates"], job["schedule"]["skipDates"]) == ("scheduled", *[body["skipDates"]] * 2)
    (wait,) = (await server.get(reply["jobUrl"] + "why")).json["waitingFor"]
    assert wait["message"].endswith("because due times on dates of its skipDates (2026-12-01..2080-12-25) are skipped")
    before = await server.store.job(reply["jobId"])
    assert (await server.ask("PATCH", reply["jobUrl"], json={"skipDates": None})).status == 200
    after = await server.store.job(reply["jobId"])
    assert (after.next_tick, after.schedule_revision, after.schedule.skip) == (before.next_tick, before.schedule_revision, ())


@pytest.mark.parametrize(
    ("dates", "field", "words"),
    [
        ("2026-12-24", "skipDates", "is not a list"),
        (["24.12.2026"], "skipDates.0", "is not a date; write a date such as"),
        (["2026-12-24", "2026-02-30"], "skipDates.1", "has no such day"),
        (["2026-12-26..2026-12-24"], "skipDates.0", "runs backwards; write 2026-12-24..2026-12-26"),
        ([20261224], "skipDates.0", "is not text"),
        (["2026-12-24"] * 101, "skipDates", "has more than 100 parts"),
    ],
)
async def test_dates_that_cannot_be_are_refused(server, dates, field, words):
    answer = await server.ask("POST", "/tasks/t", json={**OK, "cron": "@daily", "skipDates": dates})
    assert answer.status == 400
    assert {fault["field"]: words in fault["message"] for fault in answer.json["errors"]} == {field: True}
