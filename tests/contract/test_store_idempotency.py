"""What every store promises of records: each is there exactly when its effect is."""

import asyncio
from dataclasses import replace

import pytest

from fastlane.errors import Conflict, Repeated
from fastlane.models.ids import DAY, IdempotencyRecord
from tests.support.factories import first_of, new, new_job

NOW = 10 * DAY


def record_for(job, tick=None, execution=None, *, key="key", now=NOW):
    return IdempotencyRecord(key, "body", now, job.task_id, job.id, tick.id if tick else "tick", execution.id if execution else None)


async def test_a_record_comes_with_its_job(store, open_store):
    job, tick, execution = new()
    record = record_for(job, tick, execution)
    await store.create(job, tick, execution, record)
    assert await (await open_store()).idempotency_record("key", NOW) == record
    assert await store.idempotency_record("other", 0) is None
    assert await store.idempotency_record("key", NOW + 1) is None


async def test_a_second_job_under_the_key_is_refused_and_leaves_nothing(store):
    first, second = new(), new("other-task")
    await store.create(*first, record_for(first[0]))
    with pytest.raises(Repeated):
        await store.create(*second, record_for(second[0], now=NOW + DAY))
    assert await store.job(second[0].id) is None
    assert await store.task("other-task") is None
    assert await store.execution(second[2].id) is None


async def test_of_many_at_once_under_a_key_one_is_made(store, open_store):
    other = await open_store()
    made = [new() for _ in range(20)]
    stores = (store, other)
    results = await asyncio.gather(
        *(stores[number % 2].create(*one, record_for(one[0])) for number, one in enumerate(made)), return_exceptions=True
    )
    assert sum(result is None for result in results) == 1
    assert all(result is None or isinstance(result, Repeated) for result in results)
    (winner,) = [one[0] for one, result in zip(made, results, strict=True) if result is None]
    record = await store.idempotency_record("key", NOW)
    assert record is not None
    assert record.job_id == winner.id


async def test_what_is_refused_for_another_reason_leaves_no_record(store):
    job, tick, execution = new()
    await store.create(job, tick, execution)
    with pytest.raises(Conflict):
        await store.create(job, *first_of(job, key="other"), record_for(job))
    assert await store.idempotency_record("key", 0) is None


async def test_a_key_may_be_used_again_after_a_day(store):
    first, second = new(), new()
    await store.create(*first, record_for(first[0]))
    await store.create(*second, record_for(second[0], now=NOW + DAY + 1))
    record = await store.idempotency_record("key", 0)
    assert record is not None
    assert record.job_id == second[0].id


async def test_a_key_is_refused_for_as_long_as_a_day(store):
    first, second, older = new(), new(), new()
    await store.create(*older, record_for(older[0], key="older", now=NOW - 1))
    await store.create(*first, record_for(first[0]))
    last = NOW + 24 * 3_600_000  # not the code's own constant
    seen, job = first[0], new_job(at=5_000)
    await store.create(job, None, None)
    with pytest.raises(Repeated):
        await store.create(*second, record_for(second[0], now=last))
    with pytest.raises(Repeated):
        await store.advance(job, replace(job, sequence=2), (), None, record_for(job, now=last))
    record = await store.idempotency_record("key", last - 24 * 3_600_000)
    assert record is not None
    assert record.job_id == seen.id
    other = new()
    await store.create(*other, record_for(other[0], key="other", now=last))
    assert await store.idempotency_record("key", 0) == record
    assert await store.idempotency_record("older", 0) is None


async def test_old_records_are_forgotten_when_new_ones_come(store):
    for number in range(3):
        one = new()
        await store.create(*one, record_for(one[0], key=f"old-{number}"))
    one = new()
    await store.create(*one, record_for(one[0], now=NOW + DAY + 1))
    assert [await store.idempotency_record(f"old-{number}", 0) for number in range(3)] == [None] * 3


async def test_a_record_comes_with_an_advance_and_not_without(store):
    job = new_job(at=5_000)
    await store.create(job, None, None)
    after = replace(job, sequence=2)
    assert not await store.advance(replace(job, sequence=7), after, (), None, record_for(job))
    assert await store.idempotency_record("key", 0) is None
    tick, execution = first_of(job, key="r:1", sequence=2)
    assert await store.advance(job, after, (tick,), execution, record_for(job, tick, execution))
    assert (await store.idempotency_record("key", 0)) == record_for(job, tick, execution)
    with pytest.raises(Repeated):
        await store.advance(after, replace(after, sequence=3), (), None, record_for(job))
    stored = await store.job(job.id)
    assert stored is not None
    assert stored.sequence == 2


async def test_a_request_is_remembered_however_often_its_job_has_changed_since(store):
    job, tick, execution = new()
    record = record_for(job, tick, execution)
    await store.create(job, tick, execution, record)
    for number in range(20):
        assert await store.stop_job(job.id, NOW + number)
    assert await store.idempotency_record("key", 0) == record
    other = new()
    with pytest.raises(Repeated):
        await store.create(*other, record_for(other[0], now=NOW + 30))
