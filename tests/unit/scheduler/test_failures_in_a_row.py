"""Each write of the count of failures on a real store, with processes that end before or after it, and with many at once."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fastlane.errors import StoreDown
from fastlane.models import job_change
from fastlane.models.cron import Cron
from fastlane.models.delivery import EndFacts
from fastlane.models.event import Source, Span, at, read_cursor
from fastlane.models.job import Execution, Failure
from fastlane.models.job_change import JobIdentity
from fastlane.models.notify import NotificationTrigger, Webhook
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.scheduler.deliverer import Deliverer
from fastlane.scheduler.settler import FailureCounter
from fastlane.storage.base import Store
from tests.support.defaults import ports_of
from tests.support.factories import make_execution, make_spec
from tests.support.intercept import Intercepted
from tests.unit.scheduler.test_lateness import Dying, Moments, store

__all__ = ["store"]
NOW = 1_000_000
SPEC = make_spec(pause_after=3, webhooks=(Webhook(NotificationTrigger.FAILS, "https://example.com/fails"),))


async def made(store: Store) -> str:
    identity = JobIdentity("t", "00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002", 1)
    change = job_change.create(identity, SPEC, Schedule(ScheduleKind.CRON, None, Cron("0 0 1 1 *")), now=NOW, by=None)
    await store.create(change.job, None, None)
    return change.job.id


async def failure(store: Store, job_id: str, sequence: int, status: Status = Status.FAILED) -> Execution:
    job = await store.job(job_id)
    assert job is not None
    failed = Failure(FailureReason.EXIT, "it said so") if status is Status.FAILED else None
    values = {"sequence": sequence, "status": status, "finished_at": NOW, "failure": failed, "spec": job.spec}
    return make_execution(job_id=job_id, incarnation=job.incarnation, task_id="t", **values)


class Withdrawing:
    """A queue from which the entry of a paused job is removed."""

    async def cancel(self, id: str, *, revision: int) -> None:
        return None


def counter(store: Any) -> FailureCounter:
    clock = Moments(NOW)
    return FailureCounter(ports_of(store, Withdrawing(), clock), Deliverer(store, {}, clock, ()))


async def known(store: Store, job_id: str) -> tuple[int, bool, list[str], int]:
    """The count, whether the job is paused, the messages about it, and its events."""
    job = await store.job(job_id)
    assert job is not None
    assert job.failing is not None
    sent = [one.event for one in await store.deliveries_of(job_id)]
    span = Span(at(0), read_cursor(f"{NOW * 2}-00000000-0000-7000-8000-000000000000-0"), job_id=job_id)
    return job.failing.count, job.paused, sent, len(await store.events(Source.RECORDED, span, 10))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
async def test_a_process_that_ends_at_a_write_leaves_the_count_and_the_pause_to_the_next(store: Store, number: int, *, after: bool) -> None:
    job_id = await made(store)
    ends = [await failure(store, job_id, sequence) for sequence in (1, 2, 3)]
    dying = counter(Intercepted(store, Dying(number, after=after)))

    async def count_all() -> None:
        for end in ends:
            await dying.ended(end)

    with pytest.raises(StoreDown):
        await count_all()
    for end in (*ends, *reversed(ends)):
        await counter(store).ended(end)
    assert await known(store, job_id) == (3, True, ["job.paused"], 1)


async def test_of_many_processes_each_counts_and_one_pauses(store: Store) -> None:
    job_id = await made(store)
    ends = [await failure(store, job_id, sequence) for sequence in range(1, 9)]
    await asyncio.gather(*(counter(store).ended(end) for end in ends * 2))
    count, paused, sent, events = await known(store, job_id)
    assert (count, paused, events) == (8, True, 1)
    assert sent == ["job.paused"]


async def test_the_first_success_is_the_fixed_one_however_often_it_is_settled(store: Store) -> None:
    job_id = await made(store)
    for sequence in (1, 2):
        assert await counter(store).ended(await failure(store, job_id, sequence)) == EndFacts()
    first, second = [await failure(store, job_id, sequence, Status.DONE) for sequence in (3, 4)]
    for _ in range(2):
        assert await counter(store).ended(first) == EndFacts(is_fixed=True)
        assert await counter(store).ended(second) == EndFacts()
    assert await counter(store).ended(first) == EndFacts(is_fixed=True)


async def test_an_end_of_another_job_under_the_same_id_does_not_count(store: Store) -> None:
    job_id = await made(store)
    for sequence in (1, 2, 3):
        await counter(store).ended(replace(await failure(store, job_id, sequence), incarnation="another"))
    job = await store.job(job_id)
    assert job is not None
    assert (job.failing, job.paused) == (None, False)
