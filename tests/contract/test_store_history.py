"""What every store promises of the counts of ends: each execution once, in its hour, and still when it is gone."""

import asyncio
from dataclasses import replace

from fastlane.models import transitions
from fastlane.models.job import Ending, Execution, Started
from fastlane.models.retention import HOUR, HourCount, WantedHours, all_hours
from fastlane.models.status import Status
from fastlane.storage.base import Store
from tests.contract.test_store_deletion import delete
from tests.support.factories import first_of, new

ALL = WantedHours(0, 100 * HOUR)
ENDED = {"status": Status.DONE, "settled": True, "cleaned": True}


async def enqueue(store: Store, task_id: str = "t", due: int = 0) -> Execution:
    job, tick, execution = new(task_id)
    await store.create(job, tick, replace(execution, scheduled_for=due))
    return replace(execution, scheduled_for=due)


async def run_and_end(store: Store, execution: Execution, status: Status, at: int, pool: str = "p", started: int | None = None) -> None:
    """Takes an execution through its statuses, as a worker does."""
    bound = await applied(store, transitions.claim(execution, host="h", pool=pool, now=1))
    bound = await applied(store, transitions.bind(bound, service_id=f"s-{execution.id}", swarm_id="x", image_digest=None, now=1))
    ending = Ending(status, at, started=None if started is None else Started("task", None, started))
    change = transitions.end(bound, ending)
    await applied(store, change)
    assert await store.change(change) is not None  # the same again, as after a lost answer


async def applied(store: Store, change: transitions.ExecutionChange) -> Execution:
    after = await store.change(change)
    assert after is not None
    return after


async def counted(store: Store, wanted: WantedHours = ALL) -> list[HourCount]:
    """The counts, once all that has ended is counted."""
    while await store.history.count_ends(2):
        pass
    return list(await store.history.hours(wanted))


async def test_executions_are_counted_in_the_hour_of_their_end_with_their_lateness(store):
    for number, (status, at, started) in enumerate(
        [(Status.DONE, 10, 1_500), (Status.DONE, 20, 1_250), (Status.FAILED, HOUR - 1, None), (Status.TIMEDOUT, HOUR, 900)]
    ):
        await run_and_end(store, await enqueue(store, f"t{number}", due=1_000), status, at, started=started)
    first = HourCount(0, {Status.DONE: 2, Status.FAILED: 1}, started=2, late=750, latest=500)
    assert await counted(store) == [first, HourCount(HOUR, {Status.TIMEDOUT: 1}, started=1)]
    assert first.mean_lateness == 375
    assert HourCount(HOUR).mean_lateness is None


async def test_what_is_under_way_or_was_counted_before_is_not_counted(store):
    await enqueue(store)
    await run_and_end(store, await enqueue(store), Status.STOPPED, 5)
    assert await counted(store) == await counted(store) == [HourCount(0, {Status.STOPPED: 1})]


async def test_an_execution_that_ends_without_a_pool_is_counted(store):
    execution = await enqueue(store)
    await applied(store, transitions.cancel(execution, now=HOUR))
    assert await counted(store) == [HourCount(HOUR, {Status.STOPPED: 1})]


async def test_counts_are_of_a_task_of_a_pool_or_of_visible_tasks(store):
    for task, pool in (("a", "p"), ("a", "q"), ("b", "p"), ("ab", "p")):
        await run_and_end(store, await enqueue(store, task), Status.DONE, 5, pool)
    wanted = (
        *({}, {"task_id": "a"}, {"pool": "p"}, {"task_id": "a", "pool": "q"}, {"visible": "a"}, {"visible": "b$"}, {"pool": "x"}),
        *({"task_id": "a", "visible": "a"}, {"task_id": "b", "visible": "a"}),
    )
    found = [await counted(store, replace(ALL, **which)) for which in wanted]
    numbers = [sum(count.ended[Status.DONE] for count in counts) for counts in found]
    assert numbers == [4, 2, 3, 1, 3, 1, 0, 2, 0]


async def test_only_the_hours_that_are_wanted_are_read(store):
    for hour in range(5):
        await run_and_end(store, await enqueue(store), Status.DONE, hour * HOUR)
    wanted = WantedHours(HOUR, 4 * HOUR)
    assert [count.hour // HOUR for count in await counted(store, wanted)] == [1, 2, 3]
    assert [count.hour // HOUR for count in all_hours(await counted(store, WantedHours(0, 2 * HOUR)), wanted)] == [1, 2, 3]


async def test_what_is_deleted_stays_counted_once(store):
    job, tick, execution = new("t")
    await store.create(job, tick, execution)
    await run_and_end(store, execution, Status.DONE, 5)
    ended = await store.execution(execution.id)
    ended = await applied(store, transitions.settle(ended))
    await applied(store, transitions.clean(ended))
    await delete(store, job)
    assert await counted(store) == [HourCount(0, {Status.DONE: 1})]


async def test_an_execution_that_is_inserted_at_its_end_is_counted(store):
    """As an import does."""
    job, tick, execution = new("t")
    await store.create(job, tick, replace(execution, finished_at=5, **ENDED))
    _, another = first_of(job, key="r:2", sequence=2)
    assert await store.insert(replace(another, finished_at=6, **ENDED))
    assert not await store.insert(replace(another, finished_at=6, **ENDED))
    assert await counted(store) == [HourCount(0, {Status.DONE: 2})]


async def test_several_that_count_at_once_count_each_once(open_store):
    stores = [await open_store() for _ in range(3)]
    made = await asyncio.gather(*(enqueue(stores[0]) for _ in range(40)))
    await asyncio.gather(*(run_and_end(stores[0], execution, Status.DONE, 5) for execution in made))
    await asyncio.gather(*(counted(store) for store in stores for _ in range(2)))
    assert await counted(stores[0]) == [HourCount(0, {Status.DONE: 40})]


async def test_old_hours_go(store):
    for hour in range(5):
        await run_and_end(store, await enqueue(store), Status.DONE, hour * HOUR)
    assert len(await counted(store)) == 5
    assert await store.history.overdue_hours(3 * HOUR) == 3
    assert [await store.history.prune_hours(3 * HOUR, 2) for _ in range(3)] == [2, 1, 0]
    assert [count.hour // HOUR for count in await counted(store)] == [3, 4]
