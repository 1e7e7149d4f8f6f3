"""What a forecast says of jobs, by the hour, by the minute and of each job."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fastlane.models.clock_changes import touched_times
from fastlane.models.cron import read_cron
from fastlane.models.forecast import HOUR, Forecast, Forecaster, NoteKind, PlannedJob, RunLister, usual_duration
from fastlane.models.forecast_impact import ImpactFinder
from fastlane.models.schedule import Overlap, Schedule, ScheduleKind
from fastlane.models.skip_dates import CalendarName, read_range
from fastlane.models.status import Status
from tests.support.factories import make_execution

MINUTE, DAY = 60_000, 86_400_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


START = at("2026-12-01T00:00")


def job(cron: str, zone: str = "UTC", *, since: int = START, overlap: Overlap = Overlap.ALLOW, skip: Any = (), **more: Any) -> PlannedJob:
    schedule = Schedule(ScheduleKind.CRON, None, read_cron(cron, zone).settled("seed", since), overlap, skip=tuple(skip))
    first = schedule.first_tick(since - 1)
    assert first is not None
    return PlannedJob(more.pop("id", cron), "task", None, schedule, first, pool="default", **more)


def forecast(jobs: list[PlannedJob], hours: float = 24, *, since: int = START, enough: int = 1_000_000) -> Forecast:
    maker = Forecaster(jobs, since, since + round(hours * HOUR), enough=enough)
    while not maker.step(7):
        pass
    return maker.result


def test_an_hour_has_its_due_times_its_busiest_minute_and_how_many_minutes_are_quiet():
    found = forecast([job("*/20 * * * *"), job("0 1 * * *"), job("0 1-2 * * *", targets=3)], 3)
    assert [hour.due for hour in found.hours] == [3, 7, 6]
    assert [(hour.busiest, hour.most, hour.quiet) for hour in found.hours[1:]] == [(START + HOUR, 5, 57), (START + 2 * HOUR, 4, 57)]
    assert found.minutes[0] == 10
    assert found.minutes[20] == found.minutes[40] == 3
    assert [(one.minute, one.due) for one in found.collisions] == [(START + HOUR, 5), (START + 2 * HOUR, 4)]


def test_the_load_of_a_pool_is_how_many_run_at_once_on_average_and_at_most():
    found = forecast([job("0 * * * *", usual=90 * MINUTE), job("30 0 * * *", usual=10 * MINUTE, targets=4)], 3)
    loads = [hour.pools["default"] for hour in found.hours]
    assert [(round(hour.load, 3), hour.peak) for hour in loads[1:]] == [(1.5, 2), (1.5, 2)]
    assert (round(loads[0].load, 3), loads[0].peak) == (round(1 + 4 / 6, 3), 5)


def test_what_began_before_the_forecast_still_runs_in_it():
    earlier = job("0 22 * * *", since=START - DAY, usual=3 * HOUR)
    (hour,) = forecast([earlier], 1, since=START).hours
    assert (hour.due, hour.pools["default"].due, hour.pools["default"].load) == (0, 0, 1)


def test_a_job_that_does_not_overlap_runs_once_at_a_time_and_its_load_is_at_most_one():
    found = forecast([job("*/10 * * * *", usual=HOUR, overlap=Overlap.SKIP)], 2)
    assert [hour.pools["default"].peak for hour in found.hours] == [1, 1]
    assert [round(hour.pools["default"].load, 3) for hour in found.hours] == [1, 1]


@pytest.mark.parametrize("enough", [1, 30, 100])
def test_pieces_one_after_the_other_say_what_the_whole_says(enough: int):
    jobs = [job("*/15 * * * *", usual=50 * MINUTE), job("30 */2 * * *", usual=3 * HOUR), job("7 3 * * *", skip=[read_range("2026-12-01")])]
    whole, pieces, since = forecast(jobs, 48), [], START
    while since < START + 48 * HOUR:
        pieces.append(forecast(jobs, (START + 48 * HOUR - since) / HOUR, since=since, enough=enough))
        since = pieces[-1].until
    assert len(pieces) > 1
    assert tuple(hour for piece in pieces for hour in piece.hours) == whole.hours
    assert [sum(minute) for minute in zip(*(piece.minutes for piece in pieces), strict=True)] == list(whole.minutes)


def test_a_piece_ends_after_a_month_of_hours_even_when_little_is_due():
    assert forecast([job("0 0 1 1 *")], 366 * 24).until == START + 31 * DAY


def test_due_times_that_calendars_skip_are_counted_apart_and_start_nothing():
    known, unknown = job("0 8 * * *", skip=[read_range("2026-12-02")]), job("0 9 * * *", skip=[CalendarName("holidays")])
    found = forecast([known, unknown], 48)
    assert (sum(hour.due for hour in found.hours), sum(hour.skipped for hour in found.hours)) == (1, 3)
    assert [(note.kind, note.words) for note in found.notes] == [
        (NoteKind.SKIPPED, "a due time is skipped (2026-12-02)"),
        (NoteKind.SKIPPED, "2 due times are skipped (calendar holidays, which nobody looked up)"),
    ]


def test_nothing_is_due_from_the_expiration_on_and_a_note_says_so():
    found = forecast([job("0 * * * *", expiration=START + 2 * HOUR)], 5)
    assert [hour.due for hour in found.hours] == [1, 1, 0, 0, 0]
    assert [note.kind for note in found.notes] == [NoteKind.ENDS]


def test_jobs_that_take_longer_than_they_have_are_noted():
    found = forecast([job("*/10 * * * *", usual=11 * MINUTE, longest=12 * MINUTE), job("*/15 * * * *", usual=14 * MINUTE)], 2)
    assert [(note.kind, note.job.id, note.words) for note in found.notes] == [
        (NoteKind.OVERRUNS, "*/10 * * * *", "usually takes 11m, and is due again after 10m"),
        (NoteKind.TIMEOUT, "*/10 * * * *", "usually takes 11m, and may take 12m (timeout)"),
    ]
    assert found.counts == {NoteKind.OVERRUNS: 1, NoteKind.TIMEOUT: 1}


@pytest.mark.parametrize(
    ("cron", "day", "said"),
    [
        ("30 2 * * *", "2027-03-28", [("moved", "2027-03-28 02:30", 1)]),
        ("*/30 2 * * *", "2027-03-28", [("leftOut", "2027-03-28 02:00", 2)]),
        ("30 2 * * *", "2027-10-31", [("once", "2027-10-31 02:30", 1)]),
        ("*/30 2 * * *", "2027-10-31", [("twice", "2027-10-31 02:00", 2)]),
        ("*/30 * * * *", "2027-10-31", []),
        ("30 3 * * *", "2027-03-28", []),
        ("30 2 * * *", "2027-03-27", []),
        ("@every 1h", "2027-03-28", []),
    ],
)
def test_it_is_said_which_local_times_a_change_of_the_clocks_touches(cron: str, day: str, said: list[tuple[str, str, int]]):
    first = at(f"{day}T00:00")
    found = touched_times(read_cron(cron, "Europe/Berlin").settled("seed", first), first, first + DAY)
    assert [(one.effect, one.first, one.count) for one in found] == said
    assert (
        sum(hour.due for hour in forecast([job(cron, "Europe/Berlin", since=first)], 24, since=first).hours) > 0 or said[0][0] == "leftOut"
    )


def test_a_job_of_a_zone_that_this_machine_does_not_know_is_noted_and_the_others_are_forecast():
    lost = job("0 * * * *")
    lost = PlannedJob(
        "lost", "task", None, Schedule(ScheduleKind.CRON, None, read_cron("0 * * * *").in_zones(lambda _: "Mars/Base")), lost.first
    )
    found = forecast([lost, job("5 * * * *")], 1)
    assert [hour.due for hour in found.hours] == [1]
    assert [note.kind for note in found.notes] == [NoteKind.UNKNOWN]
    assert "Mars/Base" in found.notes[0].words


def test_a_list_of_due_times_ends_only_after_all_of_a_moment():
    lister = RunLister([job("0 * * * *", id=str(number)) for number in range(5)], START, START + DAY, 7)
    while not lister.step(3):
        pass
    assert [run.due for run in lister.runs] == [START] * 5 + [START + HOUR] * 5
    assert lister.next == START + 2 * HOUR


def test_what_a_new_job_does_to_its_pool_is_the_difference_that_it_makes():
    others = [job("0 3 * * *", usual=HOUR), job("0 3,15 * * *", usual=HOUR)]
    new = job("0 */3 * * *", usual=30 * MINUTE, skip=[read_range("2026-12-01")])
    finder = ImpactFinder(new, others, 2, START, START + 2 * DAY)
    while not finder.step(5):
        pass
    found = finder.result
    assert (found.due, found.shared, found.most_others, found.fullest) == (8, 2, 2, START + DAY + 3 * HOUR)
    assert (found.peaks, found.full, found.until) == ((2, 3), (0, 1), START + 2 * DAY)
    assert (found.quiet, found.usual) == ((1, 2, 3, 4, 5), 30 * MINUTE)


def test_the_usual_duration_is_the_median_of_the_runs_that_were_done_or_ran_out_of_time():
    def ran(status: Status, minutes: int):
        return make_execution(status=status, started_at=START, finished_at=START + minutes * MINUTE)

    runs = [ran(Status.DONE, 2), ran(Status.FAILED, 1), ran(Status.TIMEDOUT, 30), ran(Status.DONE, 4), make_execution()]
    assert usual_duration(runs) == 4 * MINUTE
    assert usual_duration([ran(Status.FAILED, 1)]) == MINUTE
    assert usual_duration([make_execution()]) is None
