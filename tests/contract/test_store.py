"""What every store promises as a whole, whichever database is under it: the queue's generation, what is kept, and who is harmed."""

import asyncio
from dataclasses import replace

import pytest

from fastlane.errors import StoreDown
from fastlane.models import transitions
from fastlane.models.status import Status
from fastlane.storage.base import Generation
from tests.support.factories import new
from tests.support.ledger import tick_of


async def test_the_first_generation_is_number_zero(store):
    assert (await store.generation()).number == 0


async def test_a_generation_is_replaced_only_where_it_is_as_it_was_seen(store):
    first = await store.generation()
    second = Generation(1, "run", "worker", 50)
    assert await store.change_generation(first, second)
    for stale in ({"number": 2}, {"run_id": "other"}, {"builder": None}, {"builder": "w"}, {"since": 49}, {"since": 51}):
        assert not await store.change_generation(replace(second, **stale), first)
    assert await store.generation() == second
    whole = replace(second, builder=None)
    assert await store.change_generation(second, whole)
    assert await store.change_generation(whole, replace(whole, number=2))


async def test_one_of_many_builders_takes_the_generation(store, open_store):
    other = await open_store()
    seen = await store.generation()
    news = [Generation(1, "run", f"worker-{number}", 50) for number in range(8)]
    pairs = zip([store, other] * 4, news, strict=True)
    results = await asyncio.gather(*(one.change_generation(seen, mine) for one, mine in pairs))
    assert results.count(True) == 1
    assert await store.generation() == news[results.index(True)]


async def test_a_store_that_was_opened_again_has_everything(store, open_store):
    job, tick, execution = new()
    await store.create(job, tick, execution)
    claimed = await store.change(transitions.claim(execution, host="h", pool="p", now=10))
    await store.close()
    again = await open_store()
    assert await again.job(job.id) == job
    assert await tick_of(again, tick.job_id, tick.id) == tick
    assert await again.execution(execution.id) == claimed
    assert (await again.counts()).executions[Status.PULLING] == 1


async def test_one_store_sees_at_once_what_another_wrote(store, open_store):
    other = await open_store()
    for _ in range(20):
        job, tick, execution = new()
        await store.create(job, tick, execution)
        assert await other.execution(execution.id) == execution


async def test_callers_that_are_cancelled_harm_nobody_else(store):
    for _ in range(20):
        tasks = [asyncio.ensure_future(store.create(*new())) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[1::2] == [None] * 5
    await store.check()
    counts = await store.counts()
    assert 100 <= counts.jobs <= 200
    assert counts.executions[Status.ENQUEUED] == counts.jobs == (await store.task("my-task")).jobs_count


async def test_a_store_that_works_passes_its_check(store):
    await store.check()
    await store.check()


async def test_a_closed_store_is_down(store):
    await store.close()
    with pytest.raises(StoreDown):
        await store.check()
    with pytest.raises(StoreDown):
        await store.job("j")
