"""How people write durations and moments, and what they are told when they write them wrongly."""

from collections.abc import Callable
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from fastlane.clock import iso
from fastlane.models.cron import read_cron
from fastlane.models.schedule import (
    LARGEST_UNIX_SECONDS,
    TEN_YEARS,
    Schedule,
    ScheduleKind,
    expiry,
    read_duration,
    read_duration_or_seconds,
    read_moment,
    show_duration,
)

HOUR = 3600
LAST_MOMENT = 253_402_300_799_999
"""The last millisecond of the year 9999: no later one can be written."""


def attempt(read: Callable[[object], Any], value: object) -> tuple[Any, str]:
    """What a reader reads, or the words of its refusal."""
    try:
        return read(value), ""
    except ValueError as error:
        return -1, str(error)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("5m", 300),
        ("2m30s", 150),
        ("4h30m25s", 4 * HOUR + 30 * 60 + 25),
        ("2h30m", 2 * HOUR + 30 * 60),
        ("240h", 240 * HOUR),
        ("0s", 0),
        ("1.5s", 1.5),
        ("1.5h", 1.5 * HOUR),
        ("5 min", 300),
        ("1 day, 2 hours", 26 * HOUR),
        ("1w", 7 * 24 * HOUR),
        ("1:30", 90),
        ("1:02:03", HOUR + 123),
        ("  5m\n", 300),
        ("5M", 300),
        ("+5m", 300),
        ("3660d", TEN_YEARS),
    ],
)
def test_a_duration_reads_as_seconds(text: str, seconds: float) -> None:
    read = read_duration(text)
    assert read == seconds
    assert isinstance(read, float)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "not a duration"),
        ("5", "not a duration"),
        ("5.5", "not a duration"),
        ("٥", "not a duration"),
        ("²m", "not a duration"),
        ("½h", "not a duration"),
        ("soon", "not a duration"),
        ("s", "not a duration"),
        (":", "not a duration"),
        ("5ms", "not a duration"),
        ("5µs", "not a duration"),
        ("1h30", "not a duration"),
        ("5m5m", "not a duration"),
        ("1e3s", "not a duration"),
        ("1.2.3s", "not a duration"),
        (".s", "not a duration"),
        ("inf s", "not a duration"),
        ("nan", "not a duration"),
        ("\x00s", "not a duration"),
        ("\ud800s", "not a duration"),
        ("-5m", "negative"),
        ("- 1:30", "negative"),
        ("3661d", "more than ten years"),
        ("9" * 60 + "h", "more than ten years"),
        ("9" * 400 + "h", "not a duration"),
        (" " * 100_000 + "5m", "not a duration"),
        (5, "not text"),
        (5.0, "not text"),
        (True, "not text"),
        (None, "not text"),
        (["5m"], "not text"),
    ],
)
def test_an_invalid_duration_is_refused_with_a_hint(text: object, hint: str) -> None:
    with pytest.raises(ValueError, match=hint) as refused:
        read_duration(text)
    assert "write a duration such as" in str(refused.value) or "choose a shorter" in str(refused.value)
    assert len(str(refused.value)) < 250


@given(st.text(alphabet="0123456789smhdw:.-+ ,٥²", max_size=70) | st.text(max_size=80))
def test_any_text_is_a_duration_from_0_to_ten_years_or_refused(text: str) -> None:
    read, refusal = attempt(read_duration, text)
    assert "duration" in refusal or 0 <= read <= TEN_YEARS


@pytest.mark.parametrize(("value", "seconds"), [(90, 90), (1.5, 1.5), (0, 0), (TEN_YEARS, TEN_YEARS), ("1m30s", 90)])
def test_a_duration_may_be_a_number_of_seconds(value: object, seconds: float) -> None:
    assert read_duration_or_seconds(value) == seconds


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("90", 'write "90s", or the number of seconds without quotes'),
        (True, "neither text nor a number"),
        (None, "neither text nor a number"),
        (-0.5, "negative"),
        (TEN_YEARS + 1, "more than ten years"),
        (10**400, "more than ten years"),
        (float("nan"), "too large: more than ten years"),
    ],
)
def test_a_number_that_is_no_duration_is_refused_with_a_hint(value: object, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        read_duration_or_seconds(value)


@given(st.integers(0, TEN_YEARS * 1000))
@example(0)
@example(59_999)
@example(3_600_001)
def test_a_duration_is_shown_as_it_is_read(milliseconds: int) -> None:
    assert round(read_duration(show_duration(milliseconds / 1000)) * 1000) == milliseconds


@given(st.integers(0, 9999), st.integers(0, 999), st.integers(0, 999))
def test_hours_minutes_and_seconds_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert read_duration(f"{hours}h{minutes}m{seconds}s") == hours * HOUR + minutes * 60 + seconds


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (1_645_113_692, 1_645_113_692_000),
        (1_645_113_692.5, 1_645_113_692_500),
        ("1645113692", 1_645_113_692_000),
        (" 1645113692 ", 1_645_113_692_000),
        ("1645113692.125", 1_645_113_692_125),
        (0, 0),
        ("0", 0),
        (LARGEST_UNIX_SECONDS, LARGEST_UNIX_SECONDS * 1000),
        ("2022-02-17T16:01:32Z", 1_645_113_692_000),
        ("2022-02-17T16:01:32.25Z", 1_645_113_692_250),
        ("2022-02-17 16:01:32+00:00", 1_645_113_692_000),
        ("2022-02-17T18:01:32+02:00", 1_645_113_692_000),
        ("2022-02-17T10:31:32-05:30", 1_645_113_692_000),
        ("2022-02-17T16:01:32.1234567Z", 1_645_113_692_123),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_a_moment_reads_as_milliseconds(value: object, moment: int) -> None:
    read = read_moment(value)
    assert read == moment
    assert isinstance(read, int)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (True, "boolean"),
        (False, "boolean"),
        (None, "not a time"),
        ([], "not a time"),
        ({"at": 1}, "not a time"),
        ("", "not a time"),
        ("soon", "not a time"),
        ("5m", "not a time"),
        ("1e9", "not a time"),
        ("1_000", "not a time"),
        ("-1", "not a time"),
        ("0x10", "not a time"),
        ("١٦٤٥١١٣٦٩٢", "not a time"),
        ("１６４５１１３６９２", "not a time"),
        ("²", "not a time"),
        ("9" * 5000, "not a time"),
        ("2022-02-30T00:00:00Z", "not a time"),
        ("2022-02-17T25:00:00Z", "not a time"),
        ("٢٠٢٢-02-17T16:01:32Z", "not a time"),
        ("2022-02-17T16:01:32", "no UTC offset"),
        ("2022-02-17", "no UTC offset"),
        (-1, "before 1970"),
        (-0.001, "before 1970"),
        ("1969-12-31T23:59:59Z", "before 1970"),
        ("1970-01-01T00:00:00+01:00", "before 1970"),
        ("0001-01-01T00:00:00+23:59", "before 1970"),
        (1_645_113_692_000, "milliseconds; divide by 1000"),
        ("1645113692000", "milliseconds; divide by 1000"),
        (LARGEST_UNIX_SECONDS + 1, "milliseconds"),
        (10**400, "too large"),
        (float("inf"), "too large"),
    ],
)
def test_an_invalid_moment_is_refused_with_a_hint(value: object, hint: str) -> None:
    with pytest.raises(ValueError, match=hint) as refused:
        read_moment(value)
    assert len(str(refused.value)) < 250


def test_a_value_other_than_a_number_is_not_a_moment() -> None:
    with pytest.raises(ValueError, match="write Unix seconds"):
        read_moment(float("nan"))


OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(timezones=OFFSETS).map(lambda moment: moment.isoformat())
HINTS = ("write Unix seconds", 'add "Z"', "divide by 1000")


@given(TIMES | st.text(max_size=40) | st.floats(allow_nan=False) | st.integers())
@example("9999-12-31T23:59:59.999Z")
@example("9999-12-31T23:59:59.9999Z")
@example("9999-12-31T23:59:59-23:59")
def test_a_moment_that_is_accepted_can_be_shown_again(value: object) -> None:
    moment, refusal = attempt(read_moment, value)
    if refusal:
        assert any(hint in refusal for hint in HINTS)
    else:
        assert 0 <= moment <= LAST_MOMENT
        assert read_moment(iso(moment)) == moment


@given(st.integers(0, LARGEST_UNIX_SECONDS))
def test_a_number_and_its_digits_are_the_same_moment(seconds: int) -> None:
    assert read_moment(seconds) == read_moment(str(seconds)) == seconds * 1000


@pytest.mark.parametrize("now", [0, 4_999, 5_000, 9_000_000])
def test_only_a_job_for_later_has_a_first_tick_to_come(now: int) -> None:
    assert Schedule().first_tick(now) is None
    assert Schedule(ScheduleKind.AT, 5000).first_tick(now) == 5000
    assert Schedule(ScheduleKind.AT, 0).first_tick(now) == 0


def test_the_first_tick_of_a_cron_is_the_first_moment_after_now_that_matches() -> None:
    every_minute = Schedule(ScheduleKind.CRON, None, read_cron("* * * * *"))
    assert every_minute.first_tick(0) == 60_000
    assert every_minute.first_tick(59_999) == 60_000
    assert every_minute.first_tick(60_000) == 120_000
    in_berlin = Schedule(ScheduleKind.CRON, None, read_cron("0 8 * * *", "Europe/Berlin"))
    assert in_berlin.first_tick(1_645_113_692_000) == read_moment("2022-02-18T08:00:00+01:00")


@pytest.mark.parametrize(
    ("expires_in", "expiration", "moment"),
    [(None, None, None), (500, None, 1_500), (None, 1_200, 1_200), (500, 1_200, 1_200), (500, 1_800, 1_500), (0, None, 1_000), (5, 0, 0)],
)
def test_the_earlier_of_a_duration_after_the_due_time_and_a_moment_is_when_a_tick_expires(
    expires_in: int | None, expiration: int | None, moment: int | None
) -> None:
    assert expiry(1_000, expires_in, expiration) == moment
