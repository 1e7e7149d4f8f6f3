"""What people read in place of a cron expression."""

import pytest
from hypothesis import given, strategies as st

from fastlane.models.cron import FIELDS, parse_fields
from fastlane.models.cron_words import describe


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("* * * * *", "Every minute"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("0-55/5 * * * *", "Every 5 minutes"),
        ("0 * * * *", "Every hour"),
        ("30 * * * *", "Every hour at minute 30"),
        ("0,15,45 * * * *", "Every hour at minutes 0, 15 and 45"),
        ("*/7 * * * *", "Every hour at minutes 0 to 56 in steps of 7"),
        ("30 2 * * *", "At 02:30 every day"),
        ("30 2 * * 1-5", "At 02:30, Monday to Friday"),
        ("30 2 * * mon,tue,wed,thu,fri", "At 02:30, Monday to Friday"),
        ("0 0 1 * *", "At 00:00, on day 1 of the month"),
        ("0 0 1,15 * *", "At 00:00, on days 1 and 15 of the month"),
        ("@yearly", "At 00:00, on day 1 of January"),
        ("0 0 * * sun", "At 00:00, every Sunday"),
        ("0 0 * * 7", "At 00:00, every Sunday"),
        ("*/15 9-17 * * mon-fri", "Every 15 minutes from 09:00 to 17:59, Monday to Friday"),
        ("30 9-17 * * *", "Every hour from 09:30 to 17:30"),
        ("0 */2 * * *", "Every 2 hours"),
        ("5 */6 * * *", "At 00:05, 06:05, 12:05 and 18:05 every day"),
        ("5 */2 * * *", "Every 2 hours at minute 5"),
        ("0 8,20 * * 6,7", "At 08:00 and 20:00, Saturday and Sunday"),
        ("0 12 * 6-8 *", "At 12:00, every day from June to August"),
        ("0 12 1 6-8 *", "At 12:00, on day 1 of the month from June to August"),
        ("0 12 * 1,7 tue,thu", "At 12:00, Tuesday and Thursday in January and July"),
        ("10-20 3 * * *", "At minutes 10 to 20 of hour 3 every day"),
        ("5,35 1,3,5,7 * * *", "At minutes 5 and 35 of hours 1, 3, 5 and 7 every day"),
        ("* 0-5,22-23 * * *", "Every minute from 00:00 to 05:59 and from 22:00 to 23:59"),
        ("*/30 */2 * * *", "Every 30 minutes of every second hour"),
        ("0 2 L * *", "At 02:00, on the last day of the month"),
        ("0 2 1,L-1 * *", "At 02:00, on day 1 and the last day minus 1 day of the month"),
        ("0 2 L-3,LW 3 *", "At 02:00, on the last day minus 3 days and the last working day of March"),
        ("0 2 15W 6-8 *", "At 02:00, on the working day nearest to day 15 of the month from June to August"),
        ("0 2 * * fri#2", "At 02:00, on the second Friday of the month"),
        ("0 2 * 5 mon,7L", "At 02:00, every Monday in May, and on the last Sunday of May"),
        ("0 2 L * fri#5", "At 02:00, on the last day of the month, and on the fifth Friday of the month"),
        ("0 2 */10 * mon,tue#1", "At 02:00, on days 1, 11, 21 and 31 of the month, but only Monday and the first Tuesday"),
    ],
)
def test_the_words_of_an_expression(text, words):
    assert describe(text) == words


def test_a_date_and_a_weekday_are_both_due_unless_one_begins_with_a_star():
    """As cron has it: docs/scheduling.md."""
    assert describe("0 0 1 * mon") == "At 00:00, on day 1 of the month, and every Monday"
    assert describe("0 0 1-7 3 mon") == "At 00:00, on days 1 to 7 of March, and every Monday in March"
    assert describe("0 0 1 * 0-6") == describe("0 0 1-31 * mon") == "At 00:00 every day"
    assert describe("0 0 */10 * mon") == "At 00:00, on days 1, 11, 21 and 31 of the month, but only Monday"


FIELD = [
    st.one_of(
        st.just("*"),
        st.lists(st.integers(spec.low, spec.high), min_size=1, max_size=8).map(lambda values: ",".join(map(str, values))),
        st.integers(1, spec.high).map(lambda step: f"*/{step}"),
    )
    for spec in FIELDS
]


@given(st.tuples(*FIELD).map(" ".join), st.tuples(*FIELD).map(" ".join))
def test_expressions_have_the_same_words_if_they_mean_the_same_and_only_then(one, other):
    assert (describe(one) == describe(other)) == (_meaning(one) == _meaning(other))


def _meaning(text: str) -> tuple[object, ...]:
    fields = parse_fields(text)
    kinds = ((day, weekday) for day in range(1, 32) for weekday in range(7))
    days = frozenset(
        (day, weekday)
        for day, weekday in kinds
        if (day in fields.days or weekday in fields.weekdays if fields.either else day in fields.days and weekday in fields.weekdays)
    )
    return fields.minutes, fields.hours, fields.months, days
