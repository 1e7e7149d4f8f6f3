"""Named calendars: who may change them, what jobs that name them do and show, and what a tick does whose calendar is not known."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fastlane.clock import iso
from fastlane.directory import CurrentPools
from fastlane.errors import NotFound
from fastlane.icalendar_file import read_icalendar
from fastlane.models.calendar import Calendar, CalendarDates, with_dates
from fastlane.models.cron import Cron
from fastlane.models.delivery import checked, watched
from fastlane.models.event import EventKind, Position, Source, Span, at
from fastlane.models.job_change import fire
from fastlane.models.run_target import Everywhere
from fastlane.models.schedule import CatchUp, Schedule, ScheduleKind
from fastlane.models.skip_dates import CalendarName, read_skipped
from fastlane.models.tick import Outcome
from fastlane.queue.port import TICKS, EntryKind, Lease
from fastlane.scheduler.timer import Timer
from tests.http.posted import OK
from tests.support.clock import FakeClock
from tests.support.defaults import ports_of
from tests.support.factories import make_job, make_spec
from tests.support.followers import socket
from tests.support.intercept import Died, intercepted

DAY = 86_400_000
FILE = """BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//example//EN\r
BEGIN:VEVENT\r
UID:1\r
DTSTART;VALUE=DATE:20201225\r
DTEND;VALUE=DATE:20201227\r
RRULE:FREQ=YEARLY\r
SUMMARY:Christmas\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:2\r
DTSTART;VALUE=DATE:20200531\r
RRULE:FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO;UNTIL=20280601\r
EXDATE;VALUE=DATE:20270531\r
SUMMARY:Memorial Day\r
END:VEVENT\r
BEGIN:VEVENT\r
UID:3\r
DTSTART:20270525T100000Z\r
DTEND:20270525T110000Z\r
SUMMARY:A meeting\r
END:VEVENT\r
END:VCALENDAR\r
"""


def day_of(moment):
    return str(datetime.fromtimestamp(moment / 1000, UTC).date())


async def put(server, name="holidays", *dates, **headers):
    return await server.ask("PUT", f"/calendars/{name}", json={"dates": list(dates)}, headers=headers)


async def tick(server, reply, calendars=()):
    """The row of a tick of the job, as a worker decides it: each is due a minute after the one before."""
    job = await server.store.job(reply["jobId"])
    now = server.clock.now() + 60_000 * len((await server.get(reply["jobUrl"] + "ticks/")).json["items"])
    moved = replace(job, next_tick=now // 60_000 * 60_000)
    assert await server.store.advance(job, moved, [], None)
    pools = CurrentPools(server.settings.pools, (), calendars)
    await Timer(ports_of(server.store, server.queue, FakeClock(now), pools=pools, owner="w")).handle(
        Lease(job.id, EntryKind.JOB, TICKS, 1), now
    )
    return (await server.get(reply["jobUrl"] + "ticks/")).json["items"][0]


async def test_a_tick_on_a_date_of_a_calendar_is_skipped_and_says_which_calendar_until_that_changes(server):
    """What ``dryRun``, the next runs, ``/why``, the ledger and its event say; and no request touches the job for the change to count."""
    today, tomorrow = (day_of(server.clock.now() + days * DAY) for days in (0, 1))
    made = await put(server, "holidays", f"{today}..{tomorrow} Founders' days", "2001-01-01")
    assert (made.status, made.json["dates"], made.json["count"]) == (200, ["2001-01-01", f"{today}..{tomorrow} Founders' days"], 2)
    body = {**OK, "cron": "* * * * *", "skipDates": ["2001-05-01", "holidays"]}
    shown = (await server.ask("POST", "/tasks/t?dryRun=1", json=body)).json
    assert shown["nextRuns"][0] == f"{day_of(server.clock.now() + 2 * DAY)}T00:00:00.000Z"
    reply = (await server.ask("POST", "/tasks/t", json=body)).json
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert (job["definition"]["skipDates"], job["nextRuns"]) == (body["skipDates"], shown["nextRuns"])
    dates = f"calendar holidays: {today}..{tomorrow} Founders' days"
    (wait,) = (await server.get(reply["jobUrl"] + "why")).json["waitingFor"]
    assert wait["message"].endswith(f"because due times on dates of its skipDates ({dates}) are skipped")
    row = await tick(server, reply)
    assert (row["outcome"], row["reason"]) == ("skipped", f"calendar: it was due on a date of skipDates ({dates})")
    used = (await server.get("/calendars/holidays")).json
    assert (used["usedBy"], [one["jobId"] for one in used["jobs"]]) == (1, [reply["jobId"]])
    assert (await put(server, "holidays", "2001-01-01")).status == 200
    assert (await tick(server, reply))["outcome"] == "started"
    assert (await server.get(reply["jobUrl"])).json["job"]["nextRunAt"] < shown["nextRuns"][0]
    kinds = [one["kind"] for one in (await server.get("/events?kind=calendar.written,tick.skipped")).json["items"]]
    assert sorted(kinds) == ["calendar.written", "calendar.written", "tick.skipped"]


async def test_a_job_that_names_an_unknown_calendar_is_refused_with_those_that_exist(server):
    await put(server, "holidays", "2001-01-01")
    answer = await server.ask("POST", "/tasks/t", json={**OK, "cron": "@daily", "skipDates": ["2001-01-01", "holiday"]})
    (fault,) = answer.json["errors"]
    assert (answer.status, fault["field"]) == (400, "skipDates.1")
    assert "is not the name of a calendar; the nearest is 'holidays'" in fault["message"]
    reply = await server.enqueue(cron="@daily")
    assert (await server.ask("PATCH", reply["jobUrl"], json={"skipDates": ["none"]})).status == 400


async def test_a_calendar_in_use_is_deleted_only_by_force_and_then_ticks_are_skipped_with_the_reason(server):
    """A tick neither runs on a date that may be a holiday, nor is it lost: its row says why, and it waits for nothing."""
    await put(server, "holidays", "2001-01-01")
    reply = await server.enqueue(cron="* * * * *", skipDates=["holidays"])
    refused = await server.ask("DELETE", "/calendars/holidays")
    assert (refused.status, f"1 job names the calendar holidays in skipDates: task/{reply['jobId']};" in refused.json["detail"]) == (
        409,
        True,
    )
    deleted = await server.ask("DELETE", "/calendars/holidays?force=1")
    assert (deleted.status, deleted.json["usedBy"]) == (200, 1)
    assert (await server.get("/calendars/holidays")).status == 404
    why = (
        "calendar unknown: skipDates names the calendar holidays, which does not exist, so nothing tells whether it was to run on that date"
    )
    row = await tick(server, reply)
    assert (row["outcome"], row["reason"]) == ("skipped", why)
    (wait,) = (await server.get(reply["jobUrl"] + "why")).json["waitingFor"]
    assert "so it is skipped: skipDates names the calendar holidays, which does not exist" in wait["message"]
    assert (await server.ask("PATCH", reply["jobUrl"], json={"skipDates": ["holidays", "2001-01-02"]})).status == 200
    await put(server, "holidays", "2001-01-01")
    assert (await tick(server, reply))["outcome"] == "started"


async def test_a_tick_whose_calendar_cannot_be_read_or_is_not_known_so_far_is_skipped(server):
    await put(server, "holidays", "2001-01-01")
    reply = await server.enqueue(cron="* * * * *", skipDates=["holidays"])
    stored = (await server.store.calendars.named(["holidays"]))["holidays"]
    short = replace(stored, known_until="2001-12-31", version=stored.version + 1)
    assert await server.store.calendars.write(short)
    assert "which is known only until 2001-12-31" in (await tick(server, reply))["reason"]
    assert await server.store.calendars.write(replace(short, dates=("next week",), version=short.version + 1))
    assert "which cannot be read" in (await tick(server, reply))["reason"]


async def test_a_calendar_of_the_settings_counts_before_a_stored_one(server):
    today = day_of(server.clock.now())
    await put(server, "holidays", "2001-01-01")
    reply = await server.enqueue(cron="* * * * *", skipDates=["holidays"])
    row = await tick(server, reply, calendars=(Calendar("holidays", (today,)),))
    assert row["reason"] == f"calendar: it was due on a date of skipDates (calendar holidays: {today})"


async def test_if_match_guards_a_calendar(server):
    made = await put(server, "holidays", "2001-01-01")
    tag = made.headers["ETag"]
    assert (await server.get("/calendars/holidays")).headers["ETag"] == tag
    assert (await put(server, "holidays", "2001-01-01", **{"If-Match": tag})).headers["ETag"] == tag
    assert (await put(server, "holidays", "2001-01-02", **{"If-Match": tag})).status == 200
    assert (await put(server, "holidays", "2001-01-03", **{"If-Match": tag})).status == 412
    assert (await server.ask("DELETE", "/calendars/holidays", headers={"If-Match": tag})).status == 412
    assert (await put(server, "others", "2001-01-03", **{"If-Match": "*"})).status == 412
    assert [one["name"] for one in (await server.get("/calendars")).json["items"]] == ["holidays"]


@pytest.mark.parametrize("is_json", [True, False])
async def test_an_icalendar_file_gives_the_dates_of_its_events_of_whole_days(server, is_json):
    """Several days with an end that is not included, rules that end and that do not, an exception, and an event with a time of day."""
    given = {"json": {"icalendar": FILE}} if is_json else {"data": FILE.encode(), "headers": {"Content-Type": "text/calendar"}}
    answer = await server.ask("PUT", "/calendars/holidays", **given)
    assert answer.status == 200, answer.body
    year = datetime.fromtimestamp(server.clock.now() / 1000, UTC).year
    christmas = [f"{one}-12-25..{one}-12-26 Christmas" for one in range(year - 1, year + 11)]
    memorial = [f"{day} Memorial Day" for day in ("2025-05-26", "2026-05-25", "2028-05-29") if int(day[:4]) >= year - 1]
    assert answer.json["dates"] == sorted([*christmas, *memorial])
    assert answer.json["knownUntil"] == f"{year + 10}-12-31"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("FREQ=SECONDLY", "give a rule for whole days"),
        ("FREQ=DAILY", "has more than 1,000 dates"),
        ("FREQ=X", "cannot be read: RRULE: Expected frequency"),
        ("COUNT=3", "an event lacks what it needs"),
    ],
)
async def test_a_file_that_would_never_end_is_refused(server, rule, words):
    """The child has a limit of time and memory besides: it is killed, and the server answers others meanwhile."""
    text = FILE.replace("FREQ=YEARLY\r", f"{rule}\r")
    answer = await server.ask("PUT", "/calendars/holidays", data=text.encode())
    (fault,) = answer.json["errors"]
    assert (answer.status, fault["field"]) == (400, "icalendar")
    assert words in fault["message"]


@pytest.mark.parametrize(
    ("name", "body", "field", "words"),
    [
        ("2026", {"dates": []}, "calendar", "beginning with a letter"),
        ("a", {"dates": ["2026-02-30"]}, "dates.0", "no such day"),
        ("a", {"dates": ["2026-02-03 " + "x" * 101]}, "dates.0", "more than 100 characters of words"),
        ("a", {"dates": ["2026-02-03"] * 1_001}, "dates", "has more than 1000 parts"),
        ("a", {}, "dates", "needs either dates or icalendar"),
        ("a", {"icalendar": "hello"}, "icalendar", "is not an iCalendar file"),
        ("a", {"icalendar": "x" * (256 * 1024 + 1)}, "icalendar", "is larger than 256 KiB"),
    ],
)
async def test_calendars_that_cannot_be_are_refused(server, name, body, field, words):
    answer = await server.ask("PUT", f"/calendars/{name}", json=body)
    assert answer.status == 400
    assert {fault["field"]: words in fault["message"] for fault in answer.json["errors"]} == {field: True}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("verb", ["write", "delete"])
async def test_a_change_whose_process_dies_is_made_by_the_same_request_again(virtual, verb, when):
    """Before the row's write: an event of a change that was not made, and after it: the change alone. No change is without its event."""
    calendars, store = virtual.services.calendars, virtual.real_store
    first, second = (CalendarDates((day,)) for day in ("2001-01-01", "2001-01-02"))

    async def change():
        await (calendars.put("holidays", second, None) if verb == "write" else calendars.delete("holidays", None))

    async def killed(call):
        if when == "after":
            await call.carry()
        raise Died

    await calendars.put("holidays", first, None)
    with intercepted(store.calendars, verb, killed), pytest.raises(Died):
        await change()
    dates = [one.dates for one in await store.calendars.all(9)]
    done = [second.texts] if verb == "write" else []
    assert dates == (done if when == "after" else [first.texts])
    with contextlib.suppress(NotFound):
        await change()
    assert [one.dates for one in await store.calendars.all(9)] == done
    kinds = [event.kind for event in await store.events(Source.RECORDED, Span(at(0), Position(10**14, "~")), 9)]
    wanted = EventKind.CALENDAR_WRITTEN if verb == "write" else EventKind.CALENDAR_DELETED
    assert kinds.count(wanted) >= 1


def moment(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def test_what_is_expected_of_a_job_follows_its_calendar():
    """A date that was put after the check was set: nothing is late. One that was taken out: its tick is awaited after all."""
    holidays, empty = ({"holidays": Calendar("holidays", dates)} for dates in (("2027-03-02 A day off",), ()))
    schedule = Schedule(ScheduleKind.CRON, None, Cron("0 2 * * *"), skip=(CalendarName("holidays"),))
    due = moment("2027-03-02T02:00")
    job = make_job(schedule=schedule, next_tick=due, spec=make_spec(done_by="06:00"))
    early = watched(None, with_dates(job, empty), due)
    assert early.check_at == moment("2027-03-02T06:00")
    after = fire(with_dates(early, holidays), now=due).job
    assert after.next_tick == due + DAY
    after = checked(with_dates(after, holidays), None, early.check_at)
    assert (after.late_since, after.check_at) == (None, moment("2027-03-03T06:00"))
    assert checked(with_dates(early, empty), None, early.check_at).late_since == early.check_at
    late = watched(None, with_dates(job, holidays), due)
    assert late.check_at == moment("2027-03-03T06:00")
    assert fire(with_dates(late, empty), now=due).job.check_at == moment("2027-03-02T06:00")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_a_year_of_a_calendar_is_as_a_year_of_the_same_dates(zone):
    """Overlapping ranges, among them the dates on which clocks change."""
    dates = (
        "2027-03-14",
        "2027-03-28",
        "2027-04-04",
        "2027-10-03",
        "2027-10-31..2027-11-07",
        "2027-11-01..2027-11-02",
        "2027-08-01..2027-08-20",
    )
    cron = Cron("30 2 * * *", zone)
    plain = Schedule(ScheduleKind.CRON, None, cron, skip=tuple(map(read_skipped, dates)))
    shared = with_dates(replace(plain, skip=(CalendarName("a"),)), {"a": Calendar("a", dates)})

    def runs(rule):
        found, due = [], rule.unskipped_from(rule.first_tick(moment("2027-01-01T00:00")))
        while due is not None and due < moment("2028-01-01T00:00"):
            found.append(due)
            due = rule.unskipped_from(rule.first_tick(due))
        return found

    assert runs(shared) == runs(plain)
    assert len(runs(plain)) == 365 - 4 - 8 - 20


@pytest.mark.parametrize("catch_up", list(CatchUp))
@pytest.mark.parametrize("spread", [0, 3 * 3_600_000])
def test_a_calendar_makes_the_same_rows_as_its_dates_with_everything_else_that_a_cron_may_have(catch_up, spread):
    """A worker that comes only now and then, over midnight too; a tick that runs everywhere; ``doneBy``; and an end. A calendar that is not
    known makes rows for the same due times, starts none of them, and lets the schedule end."""
    dates = ("2027-03-02", "2027-03-04..2027-03-05")
    chosen = Cron("0 */5 * * *", "Europe/Berlin").spread_over(spread).settled("t/name", moment("2027-03-01T00:00"))
    plain = Schedule(ScheduleKind.CRON, None, chosen, catch_up=catch_up, skip=tuple(map(read_skipped, dates)))
    named = replace(plain, skip=(CalendarName("a"),))
    spec = make_spec(done_by="06:00", everywhere=Everywhere.SWARMS, expiration=moment("2027-03-07T12:00"))

    def rows(schedule):
        job = make_job(schedule=schedule, spec=spec, next_tick=schedule.first_tick(moment("2027-03-01T00:00")))
        found = []
        while job.next_tick is not None:
            change = fire(job, now=job.next_tick + (0 if len(found) % 3 else 11 * 3_600_000))
            job = change.job
            found += [(tick.due, tick.outcome, tick.count, (tick.reason or "").split(":")[0]) for tick in change.ticks]
        return found

    seen = rows(plain)
    assert rows(with_dates(named, {"a": Calendar("a", dates)})) == seen
    unknown = rows(with_dates(named, {}))
    assert {row[1] for row in seen} == {Outcome.STARTED, Outcome.SKIPPED, Outcome.EXPIRED, Outcome.MISSED}
    assert [row[0] for row in unknown] == [row[0] for row in seen]
    assert {row[1] for row in unknown} - {Outcome.MISSED} == {Outcome.SKIPPED, Outcome.EXPIRED}
    assert unknown[-1] == seen[-1]
    assert seen[-1][1] is Outcome.EXPIRED


async def test_a_backfill_leaves_dates_of_calendars_out_and_is_refused_while_one_is_not_known(server):
    reply = await server.enqueue(cron="0 * * * *", overlap="allow")
    now = server.clock.now()
    since = datetime.fromtimestamp(now / 1000 - 5 * 3600, UTC)
    wish = {"from": since.isoformat()}
    job = await server.store.job(reply["jobId"])
    assert await server.store.advance(job, replace(job, created_at=now - DAY), [], None)
    shown = (await server.ask("POST", reply["jobUrl"] + "backfill?dryRun=1", json=wish)).json
    assert shown["total"] == 5
    await put(server, "holidays", f"{day_of(now - DAY)}..{day_of(now)}")
    assert (await server.ask("PATCH", reply["jobUrl"], json={"skipDates": ["holidays"]})).status == 200
    assert (await server.ask("POST", reply["jobUrl"] + "backfill?dryRun=1", json=wish)).json["total"] == 0
    assert (await server.ask("DELETE", "/calendars/holidays?force=1")).status == 200
    refused = await server.ask("POST", reply["jobUrl"] + "backfill?dryRun=1", json=wish)
    assert (refused.status, "calendar holidays, which does not exist" in refused.json["detail"]) == (409, True)


async def test_a_job_all_of_whose_runs_to_come_lie_on_a_calendar_is_waited_for_by_nobody(server):
    """Neither by one that follows its log, nor by an equal job that has to be the only one."""
    now = server.clock.now()
    body = {**OK, "cron": "0 0 * * *", "expiration": iso(now + 3 * DAY), "skipDates": ["holidays"], "unique": True}
    await put(server, "holidays", "2001-01-01")
    first = (await server.ask("POST", "/tasks/t", json=body)).json
    assert (await server.ask("POST", "/tasks/t", json=body)).status == 409
    await put(server, "holidays", f"{day_of(now)}..{day_of(now + 5 * DAY)}")
    async with socket(server, first["jobUrl"] + "ws") as client:
        assert (await client.closed()).end == (1000, "done")
    second = await server.ask("POST", "/tasks/t", json=body)
    assert (second.status, second.json["jobId"] != first["jobId"]) == (200, True), second.json


def variables_of(pid):
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_the_process_that_reads_a_file_has_no_variable_of_the_server(monkeypatch):
    start, found = asyncio.create_subprocess_exec, []

    async def started(*command, **options):
        child = await start(*command, **options)
        found.append(variables_of(child.pid))
        return child

    monkeypatch.setenv("FASTLANE_REDIS_URL", "redis://:letmein@redis")
    monkeypatch.setattr(asyncio, "create_subprocess_exec", started)
    dates = await read_icalendar(FILE, 1_800_000_000_000)
    assert (found, bool(dates.texts)) == ([b""], True)
