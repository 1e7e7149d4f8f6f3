"""What is chosen for a job: the numbers of ``H``, and where ``@every`` counts from."""

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from fastlane.models.cron import Cron, last_tick, next_tick, parse_fields, read_cron, resolved, ticks_between
from fastlane.models.cron_words import describe

MINUTE, DAY = 60_000, 86_400_000
NOON = int(datetime(2027, 2, 1, 12, 0, 17, tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("text", "name", "least", "most", "count"),
    [
        ("H * * * *", "minutes", 0, 59, 1),
        ("H/15 * * * *", "minutes", 0, 59, 4),
        ("H(0-29) * * * *", "minutes", 0, 29, 1),
        ("H(0-29)/10 * * * *", "minutes", 0, 29, 3),
        ("0 H(1-5) * * *", "hours", 1, 5, 1),
        ("0 0 H * *", "days", 1, 28, 1),
        ("0 0 1 H *", "months", 1, 12, 1),
        ("0 0 * * H", "weekdays", 0, 6, 1),
        ("0 0 * * h(mon-fri)", "weekdays", 1, 5, 1),
    ],
)
def test_h_chooses_evenly_among_what_it_may(text: str, name: str, least: int, most: int, count: int) -> None:
    values = [sorted(getattr(parse_fields(text, f"task/{number}"), name)) for number in range(2000)]
    firsts = Counter(numbers[0] for numbers in values)
    assert {len(numbers) for numbers in values} == {count}
    assert (min(map(min, values)), max(map(max, values))) == (least, most)
    step = values[0][1] - values[0][0] if count > 1 else most - least + 1
    assert sorted(firsts) == list(range(least, least + step))
    assert max(firsts.values()) < 2 * 2000 / step


def test_each_field_chooses_by_itself_and_other_items_stay() -> None:
    assert resolved("H,30 * * * 1-5", "a").endswith(",30 * * * 1-5")
    minutes = {
        parse_fields("H H * * *", f"t/{number}").minutes[0] - parse_fields("H H * * *", f"t/{number}").hours[0] for number in range(99)
    }
    assert len(minutes) > 20


def test_the_numbers_of_a_name_are_the_same_in_each_release() -> None:
    assert resolved("H H(0-7) H H H", "nightly/backup") == "51 0 24 8 3"
    assert describe("H H(0-7) * * *", "nightly/backup") == "At 00:51 every day"


def test_h_is_a_fixed_time_that_a_change_of_the_clocks_leaves_out() -> None:
    """02:00 becomes 03:00 there on that day."""
    cron = read_cron("H H(2-2) * * *", "Europe/Berlin").settled("nightly/backup", NOON)
    noon = int(datetime(2027, 3, 27, 12, tzinfo=UTC).timestamp()) * 1000
    assert next_tick(cron, noon) == int(datetime(2027, 3, 28, 1, tzinfo=UTC).timestamp()) * 1000


def test_an_interval_counts_from_its_start_through_a_year_of_changing_clocks() -> None:
    cron = read_cron("@every 7h", "Europe/Berlin").settled(None, NOON)
    start = NOON // MINUTE * MINUTE
    due = ticks_between(cron, NOON, NOON + 365 * DAY, 10_000)
    assert due[0] == start + 7 * 60 * MINUTE
    assert {later - earlier for earlier, later in pairwise(due)} == {7 * 60 * MINUTE}
    assert len(due) == 365 * 24 // 7
    assert last_tick(cron, NOON, NOON + 365 * DAY) == due[-1]
    assert [next_tick(cron, moment) for moment in (0, due[3] - 1, due[3])] == [due[0], due[3], due[4]]


def test_what_is_chosen_stays_with_a_job_and_a_new_interval_counts_anew() -> None:
    before = Cron("H * * * *", also=(Cron("@every 9m"),)).settled("first", NOON)
    same = Cron("H * * * *", also=(Cron("@every 9m"),)).settled("second", NOON + DAY, before)
    assert [(entry.seed, entry.start) for entry in same.entries] == [("first", None), (None, NOON // MINUTE * MINUTE)]
    other = Cron("@every 8m").settled("second", NOON + DAY, before)
    assert other.start == (NOON + DAY) // MINUTE * MINUTE
    assert Cron("H 3 * * *").settled("second", NOON, Cron("0 3 * * *")).seed == "second"
    assert not Cron("H * * * *").is_settled
    assert same.is_settled
