"""What due ticks come to: which fires, which were missed, which is next."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from fastlane.models.cron import next_tick, read_cron, ticks_between
from fastlane.models.schedule import CatchUp, Overlap
from fastlane.models.status import Status
from fastlane.models.tick import GRACE, MAX_COUNTED, Decision, FiringRules, MissedTicks, Outcome, decide
from tests.support.factories import make_execution

MINUTE, HOUR = 60_000, 3_600_000
RUNNING = make_execution(status=Status.RUNNING)
LATEST, NONE = CatchUp.LATEST, CatchUp.NONE


def at(text: str, seconds: float = 0) -> int:
    """The moment of a time of 1 January 2026 in UTC, or of a whole date and time, in milliseconds."""
    moment = datetime.fromisoformat(text if "-" in text else f"2026-01-01 {text}").replace(tzinfo=UTC)
    return int((moment.timestamp() + seconds) * 1000)


def hour_of(moment: int | None) -> str | None:
    """The opposite of ``at``."""
    return None if moment is None else datetime.fromtimestamp(moment / 1000, UTC).strftime("%H:%M")


def told(decision: Decision) -> tuple[str | None, tuple[str | None, str | None, int] | None, str | None]:
    """A decision as a row: what fires, the first, last and number of the missed ones, and the next tick."""
    missed = decision.missed
    return (
        hour_of(decision.tick.due) if decision.tick else None,
        (hour_of(missed.first), hour_of(missed.last), missed.count) if missed else None,
        hour_of(decision.next_tick),
    )


@pytest.mark.parametrize(
    ("text", "catch_up", "due", "now", "late", "fires", "missed", "following"),
    [
        # Nothing is due yet.
        ("* * * * *", LATEST, "10:00", "09:59", 59.999, None, None, "10:00"),
        # In time: at once, and up to a minute late, whatever catchUp says.
        ("* * * * *", LATEST, "10:00", "10:00", 0, "10:00", None, "10:01"),
        ("* * * * *", NONE, "10:00", "10:00", 0, "10:00", None, "10:01"),
        ("* * * * *", LATEST, "10:00", "10:00", 59.999, "10:00", None, "10:01"),
        ("* * * * *", NONE, "10:00", "10:00", 59.999, "10:00", None, "10:01"),
        ("* * * * *", NONE, "10:00", "10:01", 0, "10:00", None, "10:01"),
        ("0 * * * *", NONE, "10:00", "10:01", 0, "10:00", None, "11:00"),
        # More than a minute late: it was missed; one that is in time fires.
        ("* * * * *", LATEST, "10:00", "10:01", 0.001, "10:01", ("10:00", "10:00", 1), "10:02"),
        ("* * * * *", NONE, "10:00", "10:01", 0.001, "10:01", ("10:00", "10:00", 1), "10:02"),
        ("* * * * *", LATEST, "10:00", "10:30", 5, "10:30", ("10:00", "10:29", 30), "10:31"),
        ("* * * * *", NONE, "10:00", "10:30", 5, "10:30", ("10:00", "10:29", 30), "10:31"),
        # None is in time: the latest runs late, or none does.
        ("0 * * * *", LATEST, "10:00", "10:01", 0.001, "10:00", None, "11:00"),
        ("0 * * * *", NONE, "10:00", "10:01", 0.001, None, ("10:00", "10:00", 1), "11:00"),
        ("0 * * * *", LATEST, "10:00", "11:30", 0, "11:00", ("10:00", "10:00", 1), "12:00"),
        ("0 * * * *", NONE, "10:00", "11:30", 0, None, ("10:00", "11:00", 2), "12:00"),
        ("0 * * * *", LATEST, "10:00", "15:30", 0, "15:00", ("10:00", "14:00", 5), "16:00"),
        ("0 * * * *", NONE, "10:00", "15:30", 0, None, ("10:00", "15:00", 6), "16:00"),
        ("*/20 * * * *", LATEST, "10:00", "11:59", 30, "11:40", ("10:00", "11:20", 5), "12:00"),
        # A tick that the cron does not name (it was changed since) is one as well.
        ("0 * * * *", LATEST, "10:17", "10:17", 0, "10:17", None, "11:00"),
        ("0 * * * *", LATEST, "10:17", "11:30", 0, "11:00", ("10:17", "10:17", 1), "12:00"),
        ("0 * * * *", LATEST, "10:17", "10:50", 0, "10:17", None, "11:00"),
        ("0 * * * *", NONE, "10:17", "10:50", 0, None, ("10:17", "10:17", 1), "11:00"),
    ],
)
def test_due_ticks_of_a_cron(
    text: str,
    catch_up: CatchUp,
    due: str,
    now: str,
    late: float,
    fires: str | None,
    missed: tuple[str, str, int] | None,
    following: str | None,
) -> None:
    decision = decide(FiringRules(read_cron(text), catch_up=catch_up), at(due), now=at(now, late))
    assert told(decision) == (fires, missed, following)


@pytest.mark.parametrize(
    ("catch_up", "due", "now", "fires"),
    [
        (LATEST, "10:00", "09:59", None),
        (LATEST, "10:00", "10:00", "10:00"),
        (LATEST, "10:00", "2026-01-01 22:00", "10:00"),
        (NONE, "10:00", "2026-01-01 22:00", "10:00"),
    ],
)
def test_a_job_for_a_moment_runs_however_late(catch_up: CatchUp, due: str, now: str, fires: str | None) -> None:
    decision = decide(FiringRules(catch_up=catch_up), at(due), now=at(now))
    assert told(decision) == (fires, None, None if fires else due)


@pytest.mark.parametrize(
    ("overlap", "running", "outcome"),
    [
        (Overlap.ALLOW, False, Outcome.STARTED),
        (Overlap.ALLOW, True, Outcome.STARTED),
        (Overlap.SKIP, False, Outcome.STARTED),
        (Overlap.SKIP, True, Outcome.SKIPPED),
        (Overlap.QUEUE, False, Outcome.STARTED),
        (Overlap.QUEUE, True, Outcome.QUEUED),
        (Overlap.REPLACE, True, Outcome.REPLACED),
    ],
)
@pytest.mark.parametrize("cron", [read_cron("* * * * *"), None])
def test_what_a_tick_comes_to_while_an_earlier_execution_runs_is_as_the_job_says(
    cron: object, overlap: Overlap, running: bool, outcome: Outcome
) -> None:
    timing = FiringRules(read_cron("* * * * *") if cron else None, overlap=overlap)
    decision = decide(timing, at("10:00"), others=(RUNNING,) if running else (), now=at("10:00"))
    assert decision.tick is not None
    assert decision.tick.met.outcome is outcome
    assert (decision.tick.met.reason is None) is (outcome is Outcome.STARTED)
    assert decision.next_tick == (at("10:01") if cron else None)


@pytest.mark.parametrize(
    ("expires_in", "expiration", "now", "outcome", "expires_at"),
    [
        (None, None, "10:00", Outcome.STARTED, None),
        (30, None, "10:00", Outcome.STARTED, at("10:00", 30)),
        (30, None, "10:00:29.999", Outcome.STARTED, at("10:00", 30)),
        (30, None, "10:00:30", Outcome.EXPIRED, at("10:00", 30)),
        (3600, None, "10:59", Outcome.STARTED, at("11:00")),
        (None, "10:30", "10:29", Outcome.STARTED, at("10:30")),
        (None, "10:30", "10:30", Outcome.EXPIRED, at("10:30")),
        (None, "09:00", "10:00", Outcome.EXPIRED, at("09:00")),
        (3600, "10:30", "10:45", Outcome.EXPIRED, at("10:30")),
        (60, "10:30", "10:02", Outcome.EXPIRED, at("10:01")),
    ],
)
@pytest.mark.parametrize("cron", [True, False])
def test_a_tick_whose_time_to_start_is_over_does_not_start(
    cron: bool, expires_in: float | None, expiration: str | None, now: str, outcome: Outcome, expires_at: int | None
) -> None:
    timing = FiringRules(
        read_cron("0 * * * *") if cron else None,
        expires_in=None if expires_in is None else int(expires_in * 1000),
        expiration=None if expiration is None else at(expiration),
    )
    tick = decide(timing, at("10:00"), now=at(now)).tick
    assert tick is not None
    assert (tick.met.outcome, timing.expires_at(at("10:00"))) == (outcome, expires_at)


@pytest.mark.parametrize(
    ("expiration", "due", "now", "outcome", "following"),
    [
        ("12:00", "11:00", "11:00", Outcome.STARTED, "12:00"),
        ("12:00", "12:00", "12:00", Outcome.EXPIRED, None),
        ("12:30", "12:00", "12:00", Outcome.STARTED, "13:00"),
        ("12:30", "13:00", "13:00", Outcome.EXPIRED, None),
        ("12:30", "12:00", "12:40", Outcome.EXPIRED, "13:00"),
    ],
)
def test_a_schedule_ends_with_the_first_tick_after_its_expiration(
    expiration: str, due: str, now: str, outcome: Outcome, following: str | None
) -> None:
    decision = decide(FiringRules(read_cron("0 * * * *"), expiration=at(expiration)), at(due), now=at(now))
    assert decision.tick is not None
    assert decision.tick.met.outcome is outcome
    assert hour_of(decision.next_tick) == following


def test_a_skipped_tick_that_expired_counts_as_expired() -> None:
    timing = FiringRules(read_cron("* * * * *"), overlap=Overlap.SKIP, expires_in=10_000)
    decision = decide(timing, at("10:00"), others=(RUNNING,), now=at("10:00", 10))
    assert decision.tick is not None
    assert decision.tick.met.outcome is Outcome.EXPIRED


@pytest.mark.parametrize(
    ("text", "catch_up", "years", "count", "at_least"),
    [
        ("* * * * *", LATEST, 10, MAX_COUNTED, True),
        ("* * * * *", NONE, 10, MAX_COUNTED, True),
        ("0 * * * *", LATEST, 10, MAX_COUNTED, True),
        ("0 * * * *", NONE, 10, MAX_COUNTED, True),
        ("0 0 * * *", LATEST, 3, 1095, False),
        ("0 0 * * *", NONE, 3, 1096, False),
        ("0 0 29 2 *", LATEST, 10, 2, False),
        ("0 0 29 2 *", NONE, 10, 3, False),
    ],
)
def test_years_away_are_one_row_and_cost_nothing(text: str, catch_up: CatchUp, years: int, count: int, at_least: bool) -> None:
    cron, now = read_cron(text, "Europe/Berlin"), at("2026-01-01 00:07:30.5")
    due = next_tick(cron, at(f"{2026 - years}-01-01 00:00"))
    assert due is not None
    started = time.process_time()
    decision = decide(FiringRules(cron, catch_up=catch_up), due, now=now)
    assert time.process_time() - started < 1
    assert decision.missed is not None
    assert (decision.missed.first, decision.missed.count, decision.missed.at_least) == (due, count, at_least)
    assert decision.next_tick is not None
    assert decision.next_tick > now


def test_a_day_of_minutes_is_counted_to_the_last() -> None:
    decision = decide(FiringRules(read_cron("* * * * *")), at("2026-01-01 10:00"), now=at("2026-01-02 10:00"))
    assert decision.missed == MissedTicks(
        at("2026-01-01 10:00"), at("2026-01-02 09:58"), 1439, False, decision.missed.reason if decision.missed else ""
    )


@pytest.mark.parametrize("catch_up", CatchUp)
@pytest.mark.parametrize("late", [GRACE - 1, GRACE, GRACE + 1, GRACE + 2, 2 * GRACE, 2 * GRACE + 1])
def test_a_timer_that_looks_when_a_tick_is_just_too_late_forgets_none(catch_up: CatchUp, late: int) -> None:
    cron, first = read_cron("* * * * *"), at("2026-01-01 10:00")
    now = first + 5 * 60_000 + late
    decision, seen = decide(FiringRules(cron, catch_up=catch_up), first, now=now), list[int]()
    while True:
        if decision.missed:
            seen += [decision.missed.first, *ticks_between(cron, decision.missed.first, decision.missed.last, 100)]
        if decision.tick:
            seen.append(decision.tick.due)
        if decision.next_tick is None or decision.next_tick > now:
            break
        decision = decide(FiringRules(cron, catch_up=catch_up), decision.next_tick, now=now)
    assert seen == [first, *ticks_between(cron, first, now, 100)]


@given(
    text=st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "0,30 1-3 * * *", "0 * * * *", "0 0 * * 0"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
    catch_up=st.sampled_from(CatchUp),
    start=st.integers(at("2026-03-01 00:00"), at("2026-11-01 00:00")),
    waits=st.lists(st.one_of(st.integers(0, 90_000), st.integers(0, 40 * HOUR)), min_size=1, max_size=12),
)
def test_whenever_the_timer_looks_every_tick_fires_or_is_missed_once(
    text: str, zone: str, catch_up: CatchUp, start: int, waits: list[int]
) -> None:
    """Lives of a schedule whose timer looks at any moments: each tick is in one decision, in order, and none is left."""
    cron, now = read_cron(text, zone), start
    timing, coming, seen = FiringRules(cron, catch_up=catch_up), next_tick(cron, start), list[int]()
    for wait in waits:
        now += wait
        while coming is not None and coming <= now:
            decision = decide(timing, coming, now=now)
            if decision.missed:
                run = [decision.missed.first, *ticks_between(cron, decision.missed.first, decision.missed.last, 10_000)]
                assert decision.missed.at_least or decision.missed.count == len(run)
                assert all(tick < now - GRACE for tick in run)
                seen += run
            if decision.tick:
                seen.append(decision.tick.due)
                assert decision.tick.due >= now - GRACE or catch_up is LATEST
            assert decision.next_tick is None or decision.next_tick > coming
            coming = decision.next_tick
    assert seen == list(ticks_between(cron, start, now, 10_000))
