"""A year of ticks replayed in virtual time, through restarts, lost queues and hours in which nobody works: the ledger accounts for each due
time of the oracle exactly once, says the right thing of it, and each tick that started has one execution, which started once.
"""

import bisect
import random
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fastlane.models.forecast import due_times, planned
from fastlane.models.job import Execution
from fastlane.models.schedule import CatchUp, Overlap
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick
from tests.behaviour.schedule.tick_simulation import DAY, HOUR, LONGEST_RESTART, MINUTE, SECOND, Plan, TickSimulation
from tests.support.ledger import ticks_of
from tests.support.redis import RealRedis
from tests.support.scratch import short_folder
from tests.unit.models.test_cron_oracle import lag, plain

pytestmark = pytest.mark.sqlite

PAGE = 500
A_DAY, EPOCH = 1440, date(1970, 1, 1).toordinal()
GRACE = 60 * SECOND
"""A tick is in time until it is this late (docs/scheduling.md)."""
CHANGES = tuple(f"{year}-{dates}" for year in range(2021, 2033) for dates in (f"03-08..{year}-03-14", f"11-02..{year}-11-05", "12-25"))
"""Dates around those on which the clocks change in New York, where each range begins or ends on such a date in some years."""
PLANS = (
    Plan("0 */8 * * *", "UTC", Overlap.SKIP, CatchUp.LATEST, lasts=500),
    Plan("30 2 * * *", "Europe/Berlin"),
    Plan("45 0,2 * * *", "Europe/Berlin", Overlap.SKIP, CatchUp.LATEST, lasts=125),
    Plan("10 0 29,30,31 * *", "Europe/Berlin", catch_up=CatchUp.LATEST, lasts=600),
    Plan("*/30 2 * * *", "America/New_York", catch_up=CatchUp.NONE, lasts=40),
    Plan("0,30 2 * * *", "America/New_York", Overlap.SKIP, CatchUp.NONE, lasts=20),
    Plan("20 2 * 3-4,10-11 *", "America/New_York", catch_up=CatchUp.NONE),
    Plan("15 1,2 * * *", "Australia/Lord_Howe", Overlap.SKIP, CatchUp.NONE, lasts=65),
    Plan("0 3 * * sun", "Australia/Lord_Howe"),
    Plan("0 0 * * *", "Africa/Casablanca", expires_in=30 * MINUTE),
    Plan("H H(1-2) * * *", "Europe/Berlin"),
    Plan("30 2 * * *", "Australia/Lord_Howe", spread=45 * MINUTE),
    Plan("40 23,0 * * *", "America/New_York", spread=45 * MINUTE, skip=CHANGES),
    Plan("@every 7h", "America/New_York", catch_up=CatchUp.LATEST, skip=CHANGES),
    Plan("@every 11h", "America/New_York", Overlap.SKIP, lasts=700),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory, where there is such a place: a year is many commits."""
    folder = short_folder("year")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.timeout(480)
@pytest.mark.parametrize(
    "seed", [pytest.param(1, marks=pytest.mark.thorough), pytest.param(2, marks=(pytest.mark.thorough, pytest.mark.repeated))]
)
async def test_the_ledger_of_a_year_accounts_for_each_due_time_once(seed: int, shared_redis: RealRedis, folder: Path) -> None:
    chance = random.Random(seed)
    begins = int(datetime(chance.randint(2021, 2030), chance.randint(1, 12), 1, 12, 0, 30, tzinfo=UTC).timestamp()) * 1000
    ends = begins + 365 * DAY
    async with TickSimulation(folder, shared_redis.socket, seed, begins) as simulation:
        for plan in PLANS:
            await simulation.plan(plan)
        forecast = {job_id: await predicted(simulation, job_id, ends) for job_id in simulation.plans}
        arrange(simulation, chance, begins, ends - DAY)
        await simulation.live(ends)
        clear = {plan: await simulation.in_numbers(plan) for plan in PLANS}
        dues = oracle([plan for plan in clear.values() if not plan.cron.startswith("@")], begins, ends)
        dues |= {plan: every(begins, ends, int(plan.cron[7:-1]) * HOUR) for plan in PLANS if plan.cron.startswith("@")}
        for job_id, plan in simulation.plans.items():
            rows = [row async for row in pages(simulation.store.executions_of, job_id)]
            ledger = await ticks_of(simulation.store, job_id, 1_000_000)
            due = [moment + await simulation.delay_of(job_id) for moment in dues[clear[plan]]]
            assert due == forecast[job_id]
            check_account(ledger[::-1], due)
            check_executions(simulation, ledger, rows)
            check_reasons(simulation, plan, ledger[::-1], rows, due)
        assert simulation.seen == {Outcome.STARTED, Outcome.SKIPPED, Outcome.MISSED, Outcome.EXPIRED}


async def predicted(simulation: TickSimulation, job_id: str, ends: int) -> list[int]:
    """The due times that a forecast has for the job at the beginning of the year."""
    job = await simulation.store.job(job_id)
    found = None if job is None else planned(job)
    assert found is not None
    return list(takewhile(lambda due: due <= ends, due_times(found, simulation.clock.now())))


def arrange(simulation: TickSimulation, chance: random.Random, begins: int, ends: int) -> None:
    """The troubles of the year, each at least half an hour from the next, most of them at moments at which something is due."""
    moments = [begins + HOUR * hour for hour in chance.sample(range(12, (ends - begins) // HOUR), 150)]
    free = begins
    for moment in sorted(moments):
        at = moment + chance.choice((0, 15, 30, 45)) * MINUTE + chance.randint(-45, 15) * SECOND
        if at < free:
            continue
        kind, free = chance.random(), at + HOUR // 2
        if kind < 0.5:
            simulation.later(at, simulation.doom)
        elif kind < 0.6:
            simulation.later(at, simulation.lose_queue)
        elif kind < 0.8:
            simulation.later(at, restart(simulation, chance.randint(1, LONGEST_RESTART), empty=chance.random() < 0.5))
        else:
            seconds = chance.choice((chance.randint(90, 1800), chance.randint(1800, 12 * 3600)))
            simulation.later(at, restart(simulation, seconds, empty=chance.random() < 0.5))
            free += seconds * SECOND


def restart(simulation: TickSimulation, seconds: int, *, empty: bool):
    return lambda: simulation.restart(seconds, empty=empty)


async def pages(read, job_id: str):
    """All that a paged list has, the newest first."""
    offset = 0
    while page := await read(job_id, PAGE, offset):
        for row in page:
            yield row
        offset += len(page)


def oracle(plans: Sequence[Plan], begins: int, ends: int) -> dict[Plan, list[int]]:
    """When each is due in that time, by going through it minute by minute with an eye on the clock on the wall."""
    due: dict[Plan, list[int]] = {plan: [] for plan in plans}
    for name in {plan.timezone for plan in plans}:
        here = [(plan, plain(plan.cron)) for plan in plans if plan.timezone == name]
        looked_at = frozenset[int]().union(*(cron.times for _, cron in here))
        for moment, shown, passing in minutes(name, begins // MINUTE + 1, ends // MINUTE):
            if looked_at.isdisjoint(wall % A_DAY for wall in passing or [shown]):
                continue
            for plan, cron in here:
                walls = [shown] if cron.wild else passing
                if any(wall % A_DAY in cron.times and cron.on(date.fromordinal(EPOCH + wall // A_DAY)) for wall in walls):
                    due[plan].append(moment * MINUTE)
    return due


def every(begins: int, ends: int, interval: int) -> list[int]:
    """When an interval is due that counts from the minute of the beginning."""
    return list(range(begins // MINUTE * MINUTE + interval, ends + 1, interval))


def minutes(name: str, first: int, last: int) -> Iterator[tuple[int, int, Sequence[int]]]:
    """Each real minute since 1970, the minute that the wall shows, and those on the wall that pass then for a job at fixed times: none that
    passed before, and all that a jump leaps over. (Clocks change at a quarter of an hour.)"""
    zone = ZoneInfo(name)
    highest = first - 1 + lag(first - 1, zone) // timedelta(minutes=1)
    for quarter in range(first // 15 * 15, last + 1, 15):
        ahead = lag(quarter, zone) // timedelta(minutes=1)
        for moment in range(max(first, quarter), min(last, quarter + 14) + 1):
            shown = moment + ahead
            yield moment, shown, range(highest + 1, shown + 1)
            highest = max(highest, shown)


def check_account(ledger: Sequence[Tick], due: Sequence[int]) -> None:
    """Every due time stands in one row, in order; a row's count is that of its due times."""
    accounted = []
    for tick in ledger:
        covered = between(due, tick.due, last_of(tick))
        assert covered, f"nothing was due when {tick} says"
        assert (covered[0], covered[-1]) == (tick.due, last_of(tick)), tick
        assert tick.count == len(covered) or (tick.at_least and tick.count < len(covered)), tick
        accounted += covered
    assert accounted == due


def check_executions(simulation: TickSimulation, ledger: Sequence[Tick], rows: Sequence[Execution]) -> None:
    """Each tick that started has one execution, which started once and is done; no other has one that started."""
    by_tick = {row.tick_id: row for row in rows}
    assert len(by_tick) == len(rows)
    assert {tick.id for tick in ledger if tick.execution_id} == set(by_tick)
    for tick in ledger:
        row = by_tick.get(tick.id)
        assert (row is not None and simulation.witness.starts[row.id]) == (tick.outcome is Outcome.STARTED), (tick, row)
        if row is not None:
            runs_on = simulation.witness.over.get(row.id, 0) > simulation.clock.now()
            ended = Status.DONE if tick.outcome is Outcome.STARTED else Status.EXPIRED
            assert (row.id, row.attempt, row.scheduled_for) == (tick.execution_id, 1, tick.due)
            assert (row.status, row.settled) == ((Status.PULLING, False) if runs_on else (ended, True)), row


def check_reasons(simulation: TickSimulation, plan: Plan, ledger: Sequence[Tick], rows: Sequence[Execution], due: Sequence[int]) -> None:
    """Each row says what the rules say of a tick that was decided when it was."""
    for tick in ledger:
        simulation.seen.add(tick.outcome)
        late = tick.created_at - tick.due
        check_moment(simulation, tick, tick.due, tick.created_at)
        if tick.outcome is Outcome.STARTED:
            check_moment(simulation, tick, tick.created_at, simulation.witness.began[tick.execution_id or ""])
        if tick.outcome is Outcome.MISSED:
            check_missed(simulation, plan, tick, due)
        elif late > GRACE and tick.execution_id is not None:
            assert plan.catch_up is CatchUp.LATEST, tick
            assert not between(due, tick.due + 1, tick.created_at), f"{tick} was not the latest"
        if tick.outcome is Outcome.EXPIRED and tick.execution_id is None:
            assert plan.expires_in is not None
            assert late >= plan.expires_in
        is_dated = (tick.reason or "").startswith("calendar: ")
        assert is_dated is (tick.outcome is not Outcome.MISSED and is_skipped(plan, tick.due)), tick
        if plan.overlap is Overlap.SKIP and tick.outcome in {Outcome.STARTED, Outcome.SKIPPED}:
            check_overlap(simulation, tick, rows)
        assert tick.outcome is not Outcome.SKIPPED or is_dated or plan.overlap is Overlap.SKIP, tick
    assert any(is_skipped(plan, moment) for moment in due) is bool(plan.skip)


def is_skipped(plan: Plan, moment: int) -> bool:
    """Whether the clocks in the plan's zone show one of its dates then."""
    day = datetime.fromtimestamp(moment / 1000, ZoneInfo(plan.timezone)).date().isoformat()
    return any(first <= day <= (last or first) for first, _, last in (text.partition("..") for text in plan.skip))


def check_moment(simulation: TickSimulation, tick: Tick, expected: int, happened: int) -> None:
    """What was not done at once fell into a trouble, and was done by the end of that."""
    last = expected
    for trouble in simulation.troubles:  # one may follow another before it is over
        if trouble.first <= last + SECOND:
            last = max(last, trouble.last)
    assert happened - expected < SECOND or happened <= last, f"{tick} was not gone on with for {happened - expected} ms"


def check_missed(simulation: TickSimulation, plan: Plan, tick: Tick, due: Sequence[int]) -> None:
    last = last_of(tick)
    assert tick.created_at - last > GRACE, f"{tick} was in time"
    long = [one for one in simulation.troubles if one.long]
    assert any(one.first - GRACE <= tick.due and last <= one.last for one in long), f"{tick} was missed for nothing"
    if plan.catch_up is CatchUp.LATEST:
        assert between(due, last + 1, tick.created_at), f"{tick} swallowed the latest"


def check_overlap(simulation: TickSimulation, tick: Tick, rows: Sequence[Execution]) -> None:
    others = [row for row in rows if row.tick_id != tick.id]
    known = simulation.witness.known
    if tick.outcome is Outcome.SKIPPED:
        assert any(row.created_at <= tick.created_at <= known.get(row.id, tick.created_at) for row in others), (
            f"{tick} had nothing before it"
        )
    else:
        surely = [row for row in others if row.created_at < tick.created_at < known.get(row.id, row.finished_at or tick.created_at + 1)]
        assert not surely, f"{tick} ran beside {surely}"


def between(due: Sequence[int], first: int, last: int) -> Sequence[int]:
    """The due times from the first to the last moment."""
    return due[bisect.bisect_left(due, first) : bisect.bisect_right(due, last)]


def last_of(tick: Tick) -> int:
    """The last due time that a row speaks of."""
    return tick.due if tick.until is None else tick.until
