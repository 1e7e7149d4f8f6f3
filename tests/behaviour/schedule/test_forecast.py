"""What a forecast says of jobs is what the scheduler then does: over changes of the clocks, skipped dates, intervals and delays, each
predicted due time is one of the ledger, and each of the ledger was predicted."""

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fastlane.models.cron import joined, read_cron
from fastlane.models.forecast import Forecaster, ForecastHour, PlannedJob, due_times, planned, why_skipped
from fastlane.models.job import Spec
from fastlane.models.schedule import Overlap, Schedule, ScheduleKind
from fastlane.models.tick import Outcome
from tests.behaviour.schedule.test_year_of_ticks import PLANS
from tests.behaviour.schedule.tick_simulation import MINUTE, POOLS, Plan, TickSimulation
from tests.support.ledger import ticks_of
from tests.support.redis import RealRedis
from tests.support.scratch import short_folder
from tests.support.services import services_of

pytestmark = pytest.mark.sqlite

MORE = (
    Plan("*/20 1-3 * * *", "Europe/Berlin", skip=("2027-03-27..2027-03-28",)),
    Plan("0 3 LW,13 * *", "America/New_York", spread=90 * MINUTE),
)
RANGES = (("2027-03-12T12:00:30", "2027-04-05T12:00"), ("2027-10-01T12:00:30", "2027-11-09T12:00"))
"""Within each, the clocks change in New York, in Berlin, and by half an hour on Lord Howe Island."""


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = short_folder("forecast")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(("first", "last"), RANGES)
async def test_each_predicted_due_time_is_one_at_which_the_scheduler_decides_a_tick(
    shared_redis: RealRedis, folder: Path, first: str, last: str
) -> None:
    begins, ends = moment(first), moment(last)
    async with TickSimulation(folder, shared_redis.socket, 1, begins) as simulation:
        for plan in (*PLANS, *MORE):
            await simulation.plan(plan)
        await two_entries(simulation)
        jobs = [await planned_job(simulation, job_id) for job_id in simulation.plans]
        hours = forecast(jobs, begins, ends)
        predicted = {job.id: within(job, begins, ends) for job in jobs}
        await simulation.live(ends)
        started = 0
        for job in jobs:
            ledger = (await ticks_of(simulation.store, job.id, 1_000_000))[::-1]
            assert [(tick.due, (tick.reason or "").startswith("calendar")) for tick in ledger] == predicted[job.id], job
            assert all(tick.outcome is not Outcome.MISSED for tick in ledger)
            started += sum(not is_skipped for _, is_skipped in predicted[job.id])
        assert sum(hour.due for hour in hours) == started
        assert sum(hour.skipped for hour in hours) == sum(is_skipped for found in predicted.values() for _, is_skipped in found) > 0


async def two_entries(simulation: TickSimulation) -> None:
    """A job with several entries, in two zones, which meet now and then; and one that runs once."""
    services = services_of(simulation.store, simulation.queue, simulation.clock, POOLS)
    entries = joined([read_cron("30 1,2 * * *", "Europe/Berlin"), read_cron("0,30 */6 * * *", "America/New_York")])
    several = Schedule(ScheduleKind.CRON, None, entries, Overlap.ALLOW)
    once = Schedule(ScheduleKind.AT, simulation.clock.now() + 90 * MINUTE)
    for schedule in (several, once):
        job = await services.submissions.enqueue("task", Spec("ubuntu:latest", None), schedule)
        simulation.plans[job.job_id] = Plan("", "UTC")
    await services.outbox.close()


async def planned_job(simulation: TickSimulation, job_id: str) -> PlannedJob:
    job = await simulation.store.job(job_id)
    assert job is not None
    found = planned(job)
    assert found is not None
    return found


def forecast(jobs: Sequence[PlannedJob], first: int, last: int) -> list[ForecastHour]:
    """The hours of a forecast, whose pieces follow each other."""
    hours = list[ForecastHour]()
    while first < last:
        maker = Forecaster(jobs, first, last, enough=300)
        while not maker.step(50):
            pass
        hours += maker.result.hours
        first = maker.result.until
    return hours


def within(job: PlannedJob, first: int, last: int) -> list[tuple[int, bool]]:
    """The predicted due times in a range, and whether each is skipped."""
    found = []
    for due in due_times(job, first):
        if due >= last:
            break
        found.append((due, why_skipped(job.schedule, due) is not None))
    return found


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000
