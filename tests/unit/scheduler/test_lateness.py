"""Each write of a job's lateness on a real store, with processes that end before or after it: one is told late once, and recovered once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastlane.errors import StoreDown
from fastlane.models import job_change
from fastlane.models.cron import Cron
from fastlane.models.ids import new_id
from fastlane.models.job import Execution
from fastlane.models.job_change import JobIdentity
from fastlane.models.notify import NotificationTrigger, Webhook
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.scheduler.deliverer import Deliverer, Lateness
from fastlane.storage.base import Store
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.factories import make_execution, make_spec
from tests.support.intercept import Call, Intercepted

HOUR = 3_600_000
HOOKS = tuple(Webhook(trigger, f"https://example.com/{trigger}") for trigger in (NotificationTrigger.LATE, NotificationTrigger.RECOVERED))
WRITES = ("advance", "insert_deliveries")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    yield store
    await store.close()


class Moments:
    """A clock that shows the moment that the test sets."""

    def __init__(self, now: int) -> None:
        self.moment = now

    def now(self) -> int:
        return self.moment

    def set(self, now: int) -> None:
        self.moment = now

    async def sleep(self, seconds: float) -> None:
        """Is not used."""


class Dying:
    """Ends at a write: before it, or after it was done."""

    def __init__(self, at: int, *, after: bool) -> None:
        self._left = at
        self._after = after

    async def __call__(self, call: Call) -> Any:
        if call.name not in WRITES:
            return await call.carry()
        self._left -= 1
        if self._left == 0 and not self._after:
            raise StoreDown("it ended")
        answer = await call.carry()
        if self._left == 0:
            raise StoreDown("it ended")
        return answer


async def made(store: Store, now: int, **spec: Any) -> str:
    identity = JobIdentity("t", "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002", 1)
    change = job_change.create(identity, make_spec(webhooks=HOOKS, expect_every=HOUR, **spec), Schedule(), now=now, by=None)
    await store.create(change.job, *change.ticks, change.execution)
    return change.job.id


async def success(store: Store, job_id: str, at: int) -> Execution:
    job = await store.job(job_id)
    assert job is not None
    return make_execution(
        job_id=job_id, incarnation=job.incarnation, sequence=1, status=Status.DONE, finished_at=at, spec=job.spec, task_id="t"
    )


def watch(store: Any, clock: Moments) -> Lateness:
    return Lateness(store, clock, (), Deliverer(store, {}, clock, ()))


async def events(store: Store, job_id: str) -> list[str]:
    return sorted(one.event for one in await store.deliveries_of(job_id))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_process_that_ends_at_a_write_of_a_late_job_leaves_it_to_the_next(store: Store, at: int, *, after: bool) -> None:
    clock = Moments(1_000)
    job_id = await made(store, clock.now())
    clock.set(2 * HOUR)
    with pytest.raises(StoreDown):
        await watch(Intercepted(store, Dying(at, after=after)), clock).look()
    for _ in range(3):
        clock.set(clock.now() + HOUR)
        await watch(store, clock).look()
    assert await events(store, job_id) == ["job.late"]
    job = await store.job(job_id)
    assert job is not None
    assert (job.late_since, job.check_at) == (1_000 + HOUR, None)
    assert list(await store.jobs_to_check(clock.now(), 10)) == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2])
async def test_a_process_that_ends_at_a_write_of_a_recovery_leaves_it_to_the_next(store: Store, at: int, *, after: bool) -> None:
    clock = Moments(1_000)
    job_id = await made(store, clock.now())
    clock.set(2 * HOUR)
    await watch(store, clock).look()
    done = await success(store, job_id, 2 * HOUR + 5)
    with pytest.raises(StoreDown):
        await watch(Intercepted(store, Dying(at, after=after)), clock).succeeded(done)
    for _ in range(2):
        await watch(store, clock).succeeded(done)
    assert await events(store, job_id) == ["job.late", "job.recovered"]
    job = await store.job(job_id)
    assert job is not None
    assert (job.late_since, job.check_at) == (None, 3 * HOUR + 5)


async def test_of_many_processes_one_tells_it(store: Store) -> None:
    clock = Moments(1_000)
    job_id = await made(store, clock.now())
    clock.set(2 * HOUR)
    await asyncio.gather(*(watch(store, clock).look() for _ in range(8)))
    done = await success(store, job_id, 2 * HOUR)
    await asyncio.gather(*(watch(store, clock).succeeded(done) for _ in range(8)))
    await asyncio.gather(*(watch(store, clock).look() for _ in range(8)))
    assert await events(store, job_id) == ["job.late", "job.recovered"]


async def test_a_success_between_the_two_writes_of_a_late_job_tells_both(store: Store) -> None:
    clock = Moments(1_000)
    job_id = await made(store, clock.now())
    clock.set(2 * HOUR)
    with pytest.raises(StoreDown):
        await watch(Intercepted(store, Dying(1, after=True)), clock).look()
    await watch(store, clock).succeeded(await success(store, job_id, 2 * HOUR))
    await watch(store, clock).look()
    assert await events(store, job_id) == ["job.late", "job.recovered"]


async def test_a_second_episode_is_told_again(store: Store) -> None:
    clock = Moments(1_000)
    job_id = await made(store, clock.now())
    for hours in (2, 10):
        clock.set(hours * HOUR)
        await watch(store, clock).look()
        await watch(store, clock).succeeded(await success(store, job_id, clock.now()))
    assert await events(store, job_id) == ["job.late"] * 2 + ["job.recovered"] * 2


async def test_a_late_job_is_late_until_its_expiration_and_told_once(store: Store) -> None:
    clock = Moments(1_000)
    job_id = await made(store, clock.now(), expiration=5 * HOUR)
    found = []
    for hours in (2, 4, 5, 6):
        clock.set(hours * HOUR)
        await watch(store, clock).look()
        found.append(await store.count_late_jobs(10))
        if hours == 2:
            assert await events(store, job_id) == ["job.late"]
            for one in await store.deliveries_of(job_id):
                await store.drop_delivery(one.id)
    assert found == [1, 1, 0, 0]
    assert await events(store, job_id) == []
    assert list(await store.jobs_to_check(10 * HOUR, 10)) == []


async def nightly(store: Store, now: int) -> str:
    """A job that is due at 2:00, and to have succeeded by 6:00."""
    cron = Schedule(ScheduleKind.CRON, None, Cron("0 2 * * *"))
    identity = JobIdentity("t", "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002", 1)
    change = job_change.create(identity, make_spec(webhooks=HOOKS, done_by="06:00"), cron, now=now, by=None)
    await store.create(change.job, None, None)
    return change.job.id


async def test_an_older_due_time_that_is_run_again_does_not_stand_for_the_present_one(store: Store) -> None:
    clock = Moments(1_000)
    job_id = await nightly(store, clock.now())
    clock.set(3 * HOUR)
    again = await success(store, job_id, clock.now())
    again = replace(again, spec=replace(again.spec, due_at=2 * HOUR - 24 * HOUR), scheduled_for=clock.now())
    await watch(store, clock).succeeded(again)
    job = await store.job(job_id)
    assert job is not None
    assert (job.late_since, job.check_at) == (None, 6 * HOUR)


async def test_a_success_is_found_behind_older_due_times_that_were_run_again_after_it(store: Store) -> None:
    clock = Moments(1_000)
    job_id = await nightly(store, clock.now())
    done = replace(await success(store, job_id, 3 * HOUR), scheduled_for=2 * HOUR)
    again = await success(store, job_id, 4 * HOUR)
    again = replace(again, id=new_id(1), sequence=2, spec=replace(again.spec, due_at=2 * HOUR - 24 * HOUR), scheduled_for=4 * HOUR)
    for one in (done, again):
        assert await store.insert(one)
    clock.set(6 * HOUR)
    await watch(store, clock).look()
    job = await store.job(job_id)
    assert job is not None
    assert (job.late_since, job.check_at) == (None, 30 * HOUR)


async def test_a_job_that_is_to_be_done_by_a_time_of_day_is_found_late_then_listed_and_recovers_once(store: Store) -> None:
    clock = Moments(1_000)  # midnight in UTC
    job_id = await nightly(store, clock.now())
    for hours, late in ((5, 0), (6, 1), (7, 1)):
        clock.set(hours * HOUR)
        await watch(store, clock).look()
        assert await store.count_late_jobs(10) == late
    assert [(one.late_since, one.expect_every, one.done_by) for one in await store.late_jobs(10)] == [(6 * HOUR, None, "06:00")]
    for due, events_then in ((2 * HOUR - 1, ["job.late"]), (2 * HOUR, ["job.late", "job.recovered"])):
        done = replace(await success(store, job_id, 8 * HOUR), scheduled_for=due)
        await watch(store, clock).succeeded(done)
        await watch(store, clock).succeeded(done)
        assert await events(store, job_id) == events_then
    job = await store.job(job_id)
    assert job is not None
    assert (job.late_since, job.check_at) == (None, 30 * HOUR)
