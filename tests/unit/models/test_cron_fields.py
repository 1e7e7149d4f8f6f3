"""What a cron expression may be, what it means, and what those are told who write one wrongly."""

from datetime import UTC, date, datetime, timedelta

import pytest
from croniter import croniter
from hypothesis import given, strategies as st

from fastlane.models.cron import FIELDS, parse_fields, read_cron, ticks_between

ALL_MINUTES = tuple(range(60))
ALL_HOURS = tuple(range(24))
ALL_DAYS = frozenset(range(1, 32))
ALL_MONTHS = tuple(range(1, 13))
ALL_WEEKDAYS = frozenset(range(7))


def refusal(text: str) -> str:
    """The words by which an expression is refused."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse_fields(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("* * * * *", "minutes", ALL_MINUTES),
        ("* * * * *", "hours", ALL_HOURS),
        ("* * * * *", "days", ALL_DAYS),
        ("* * * * *", "months", ALL_MONTHS),
        ("* * * * *", "weekdays", ALL_WEEKDAYS),
        ("5 * * * *", "minutes", (5,)),
        ("05 * * * *", "minutes", (5,)),
        ("5,1,3 * * * *", "minutes", (1, 3, 5)),
        ("1-4 * * * *", "minutes", (1, 2, 3, 4)),
        ("5-5 * * * *", "minutes", (5,)),
        ("5-5/10 * * * *", "minutes", (5,)),
        ("0-0 * * * *", "minutes", (0,)),
        ("*/20 * * * *", "minutes", (0, 20, 40)),
        ("*/7 * * * *", "minutes", (0, 7, 14, 21, 28, 35, 42, 49, 56)),
        ("*/59 * * * *", "minutes", (0, 59)),
        ("10-30/10 * * * *", "minutes", (10, 20, 30)),
        ("10-31/10 * * * *", "minutes", (10, 20, 30)),
        ("1,10-12,*/30 * * * *", "minutes", (0, 1, 10, 11, 12, 30)),
        ("0-59 * * * *", "minutes", ALL_MINUTES),
        ("0 8-18/5 * * *", "hours", (8, 13, 18)),
        ("0 */6 * * *", "hours", (0, 6, 12, 18)),
        ("0 0 */10 * *", "days", frozenset({1, 11, 21, 31})),
        ("0 0 1-31 * *", "days", ALL_DAYS),
        ("0 0 * JAN *", "months", (1,)),
        ("0 0 * jan,Jul-sEp *", "months", (1, 7, 8, 9)),
        ("0 0 * jan-dec/4 *", "months", (1, 5, 9)),
        ("0 0 * */5 *", "months", (1, 6, 11)),
        ("0 0 * * 0", "weekdays", frozenset({0})),
        ("0 0 * * 7", "weekdays", frozenset({0})),
        ("0 0 * * 0,7", "weekdays", frozenset({0})),
        ("0 0 * * 5-7", "weekdays", frozenset({5, 6, 0})),
        ("0 0 * * 7-7", "weekdays", frozenset({0})),
        ("0 0 * * 0-7", "weekdays", ALL_WEEKDAYS),
        ("0 0 * * 1-7", "weekdays", ALL_WEEKDAYS),
        ("0 0 * * 1-7/2", "weekdays", frozenset({1, 3, 5, 0})),
        ("0 0 * * */2", "weekdays", frozenset({0, 2, 4, 6})),
        ("0 0 * * mon-fri", "weekdays", frozenset({1, 2, 3, 4, 5})),
        ("0 0 * * SAT-sun", "weekdays", frozenset({6, 0})),
        ("0 0 * * sun-tue", "weekdays", frozenset({0, 1, 2})),
        ("0 0 * * sun-sun", "weekdays", frozenset({0})),
        ("0 0 * * sun,WED", "weekdays", frozenset({0, 3})),
        ("  0\t0   *  * *\n", "minutes", (0,)),
    ],
)
def test_a_field_names_these_values(text: str, name: str, values: object) -> None:
    assert getattr(parse_fields(text), name) == values


@pytest.mark.parametrize(
    ("alias", "text"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        (" @Daily ", "0 0 * * *"),
    ],
)
def test_an_alias_stands_for_five_fields(alias: str, text: str) -> None:
    assert parse_fields(alias) == parse_fields(text)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("", "write five fields"),
        ("   ", "write five fields"),
        ("*", "has 1 field; cron needs 5"),
        ("* * * *", "has 4 fields; cron needs 5"),
        ("0 * * * * *", "has 6 fields; cron needs 5 (none for seconds or years)"),
        ("0 0 0 1 1 * 2030", "has 7 fields; cron needs 5 (none for seconds or years)"),
        ("0\u00a00 * * *", "has 4 fields"),
        ("@reboot", "write one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually, or five fields"),
        ("@dayly", "write one of @hourly"),
        ("60 * * * *", "'60' cannot be the minute; write numbers from 0 to 59"),
        ("* 24 * * *", "'24' cannot be the hour; write numbers from 0 to 23"),
        ("* * 0 * *", "'0' cannot be the day of month; write numbers from 1 to 31"),
        ("* * 32 * *", "'32' cannot be the day of month"),
        ("* * * 0 *", "'0' cannot be the month; write numbers from 1 to 12 or jan, feb"),
        ("* * * 13 *", "'13' cannot be the month"),
        ("* * * * 8", "'8' cannot be the day of week; write numbers from 0 to 7 or sun, mon"),
        ("1-60 * * * *", "'60' cannot be the minute"),
        ("-5 * * * *", "'-5' cannot be the minute"),
        ("+5 * * * *", "'+5' cannot be the minute"),
        ("1.5 * * * *", "'1.5' cannot be the minute"),
        ("5- * * * *", "'5-' cannot be the minute"),
        ("1-2-3 * * * *", "'1-2-3' cannot be the minute"),
        ("** * * * *", "'**' cannot be the minute"),
        ("*-5 * * * *", "'*-5' cannot be the minute"),
        ("*/ * * * *", "'*/' cannot be the minute"),
        ("/5 * * * *", "'/5' cannot be the minute"),
        ("1,,2 * * * *", "an empty item cannot be the minute"),
        ("1, * * * *", "an empty item cannot be the minute"),
        ("30-10 * * * *", "runs backwards; write 30-59,0-10"),
        ("0 22-2 * * *", "runs backwards; write 22-23,0-2"),
        ("0 0 * nov-feb *", "runs backwards; write 11-12,1-2"),
        ("0 0 * * fri-mon", "runs backwards; write 5-6,0-1"),
        ("10/5 * * * *", "a step follows a range; write 10-59/5"),
        ("0 0 * * 1/2", "a step follows a range; write 1-7/2"),
        ("*/0 * * * *", "write one from 1 to 59"),
        ("*/60 * * * *", "write one from 1 to 59"),
        ("*/90 * * * *", "write one from 1 to 59"),
        ("0 */24 * * *", "write one from 1 to 23"),
        ("L * * * *", "cannot be the minute"),
        ("0 0 * L *", "cannot be the month"),
        ("0 0 L-31 * *", "'L-31' cannot be the day of month: no month is that long; write L-1 to L-30"),
        ("0 0 0W * *", "'0W' cannot be the day of month: write a date from 1 to 31 before the W, or LW"),
        ("0 0 32W * *", "write a date from 1 to 31 before the W"),
        ("0 0 1-15W * *", "'1-15W' cannot be the day of month; write numbers from 1 to 31, ranges"),
        ("0 0 ? * *", "'?' cannot be the day of month"),
        ("0 0 * * L", "cannot be the day of week"),
        ("0 0 * * 8L", "'8L' cannot be the day of week: write a day from 0 to 7 or sun, mon"),
        ("0 0 * * foo#1", "write a day from 0 to 7 or sun, mon"),
        ("0 0 * * fri#6", "'fri#6' cannot be the day of week: write a number from 1 to 5 after the #"),
        ("0 0 * * fri#0", "write a number from 1 to 5 after the #"),
        ("0 0 * * L5", "cannot be the day of week"),
        ("0 0 5#3 * *", "'5#3' cannot be the day of month"),
        ("R * * * *", "cannot be the minute"),
        ("Hx * * * *", "cannot be the minute"),
        ("H/60 * * * *", "write one from 1 to 59"),
        ("H(0-3)/5 * * * *", "the step is larger than the range; write one from 1 to 4"),
        ("H(5-2) * * * *", "the range runs backwards; write H(2-5)"),
        ("H(0-60) * * * *", "'60' cannot be the minute"),
        ("0 0 H(20-31) * *", "H chooses among days that each month has; write a range up to 28"),
        ("0 0 * mon *", "'mon' cannot be the month; write"),
        ("0 0 * * jan", "'jan' cannot be the day of week"),
        ("0 0 * january *", "'january' cannot be the month"),
        ("0 0 * * monday", "'monday' cannot be the day of week"),
        ("mon * * * *", "'mon' cannot be the minute"),
        ("٣ * * * *", "'٣' cannot be the minute"),
        ("*/٣ * * * *", "cannot be the minute"),
        ("99999999999999999999 * * * *", "cannot be the minute"),
        ("0000000000000061 * * * *", "cannot be the minute"),
        ("*/99999999999999999999 * * * *", "write one from 1 to 59"),
        ("\x00 * * * *", "cannot be the minute"),
        ("0," * 200 + "0 * * * *", "has more than 256 characters"),
    ],
)
def test_what_cron_does_not_know_is_refused_with_what_to_write(text: str, instead: str) -> None:
    assert instead in refusal(text)


@pytest.mark.parametrize(
    ("text", "day", "due"),
    [
        ("0 0 13 * 5", date(2026, 3, 13), True),
        ("0 0 13 * 5", date(2026, 4, 13), True),
        ("0 0 13 * 5", date(2026, 3, 20), True),
        ("0 0 13 * 5", date(2026, 3, 19), False),
        ("0 0 13 * *", date(2026, 4, 13), True),
        ("0 0 13 * *", date(2026, 3, 20), False),
        ("0 0 * * 5", date(2026, 3, 20), True),
        ("0 0 * * 5", date(2026, 4, 13), False),
        ("0 0 1-31 * 5", date(2026, 4, 13), True),
        ("0 0 */2 * sun", date(2026, 3, 1), True),
        ("0 0 */2 * sun", date(2026, 3, 8), False),
        ("0 0 */2 * sun", date(2026, 3, 3), False),
        ("0 0 1,*/2 * sun", date(2026, 3, 3), True),
        ("0 0 13 * */5", date(2026, 3, 13), True),
        ("0 0 13 * */5", date(2026, 4, 13), False),
    ],
)
def test_two_restricted_days_need_one_match_and_a_field_that_begins_with_a_star_restricts_none(text: str, day: date, due: bool) -> None:
    assert parse_fields(text).on(day) is due


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("30 2 * * *", True),
        ("0,30 2-4 * * *", True),
        ("0-59 0-23 * * *", True),
        ("@daily", True),
        ("0,*/15 2 * * *", True),
        ("@hourly", False),
        ("* * * * *", False),
        ("30 * * * *", False),
        ("* 2 * * *", False),
        ("*/30 2 * * *", False),
        ("30 */2 * * *", False),
    ],
)
def test_a_time_is_fixed_when_neither_minute_nor_hour_begins_with_a_star(text: str, fixed: bool) -> None:
    assert parse_fields(text).fixed is fixed


@pytest.mark.parametrize("place", range(5), ids=[spec.name for spec in FIELDS])
def test_every_range_and_step_of_a_field_means_what_its_numbers_say(place: int) -> None:
    spec, name = FIELDS[place], ("minutes", "hours", "days", "months", "weekdays")[place]
    steps = (1, 2, 5, 7, 12)
    for first in range(spec.low, spec.high + 1):
        for last in range(first, spec.high + 1):
            for step in (step for step in steps if step <= spec.high):
                parts = ["*"] * 5
                parts[place] = f"{first}-{last}/{step}"
                wanted = {number % 7 if name == "weekdays" else number for number in range(first, last + 1, step)}
                assert set(getattr(parse_fields(" ".join(parts)), name)) == wanted, parts


@given(st.text(alphabet="0123456789*/,-@ LW#?RHajnmoу\t", max_size=40))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    said, fields = "", None
    try:
        fields = parse_fields(text)
    except ValueError as error:
        said = str(error)
    if fields is None:
        assert "write" in said
    else:
        assert all((fields.minutes, fields.hours, fields.days or fields.dates, fields.months, fields.weekdays or fields.nth))


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0 0 L * *", ["2027-10-31", "2027-11-30", "2027-12-31", "2028-01-31", "2028-02-29"]),
        ("0 0 l-1 2 *", ["2028-02-28"]),
        ("0 0 L-30 * *", ["2027-10-01", "2027-12-01", "2028-01-01"]),
        ("0 0 LW * *", ["2027-10-29", "2027-11-30", "2027-12-31", "2028-01-31", "2028-02-29"]),
        ("0 0 1W * *", ["2027-10-01", "2027-11-01", "2027-12-01", "2028-01-03", "2028-02-01"]),  # 1 January 2028 is a Saturday
        ("0 0 31w * *", ["2027-10-29", "2027-12-31", "2028-01-31"]),  # 31 October 2027 is a Sunday
        ("0 0 20W 11 *", ["2027-11-19"]),  # a Saturday
        ("0 0 21W 11 *", ["2027-11-22"]),  # a Sunday
        ("0 0 * * fri#2", ["2027-10-08", "2027-11-12", "2027-12-10", "2028-01-14", "2028-02-11"]),
        ("0 0 * * 5#5", ["2027-10-29", "2027-12-31"]),
        ("0 0 * * SUNL", ["2027-10-31", "2027-11-28", "2027-12-26", "2028-01-30", "2028-02-27"]),
        ("0 0 * 10 0#1,7l", ["2027-10-03", "2027-10-31"]),
        ("0 0 L 10 mon#1", ["2027-10-04", "2027-10-31"]),
        ("0 0 5,L 10 *", ["2027-10-05", "2027-10-31"]),
        ("0 0 */2 10 fri#1,sun#1", ["2027-10-01", "2027-10-03"]),
        ("0 0 */2 10 fri#2", []),
    ],
)
def test_days_are_counted_within_their_month(text: str, days: list[str]) -> None:
    fields = parse_fields(text)
    every = [date(2027, 10, 1) + timedelta(days=number) for number in range(152)]
    assert [str(day) for day in every if day.month in fields.months and fields.on(day)] == days


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("0 0 L * *", "0 0 l * *"), ("0 0 * * friL", "0 0 * * l5"), ("0 0 * * 2#3", "0 0 * * 2#3"), ("0 0 * * sun#5", "0 0 * * 0#5")],
)
def test_croniter_counts_the_same_days(ours: str, theirs: str) -> None:
    """A second opinion, over twenty years. It has no working days."""
    start = datetime(2026, 12, 1, tzinfo=UTC)
    found = croniter(theirs, start)
    expected = [int(found.get_next(float)) * 1000 for _ in range(80)]
    assert list(ticks_between(read_cron(ours), int(start.timestamp()) * 1000, expected[-1], 100)) == expected


def test_croniter_still_takes_a_range_of_one_for_the_whole_field() -> None:
    """The fault that ``_item`` works around; when this fails, the work-around can go."""
    assert croniter.expand("5-5 * * * *")[0][0] == ["*"]


@pytest.mark.parametrize(
    "text", ["@every 90s", "@every 30s", "@every 0s", "@every", "@every soon", "@every 367d", "@every 1m1h", "0 0 ? * 1"]
)
def test_forms_of_other_schedulers_are_told_what_to_write(text: str) -> None:
    words = refusal(text)
    assert "write" in words
    assert "cron has no" in words or '"@every 15m"' in words
