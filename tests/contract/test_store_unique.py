"""What every store promises of unique keys: one job has a key at a time."""

import asyncio
from dataclasses import replace

import pytest

from fastlane.errors import NotUnique
from fastlane.storage.transfer.lines import JobLine
from tests.contract.moving import exported, imported
from tests.contract.test_store_idempotency import NOW, record_for
from tests.support.factories import new


def keyed(task="task"):
    job, tick, execution = new(task)
    return replace(job, unique_key="key"), tick, execution


async def test_of_many_jobs_with_a_key_one_is_made(store, open_store):
    stores = (store, await open_store())
    made = [keyed() for _ in range(20)]
    results = await asyncio.gather(*(stores[number % 2].create(*one) for number, one in enumerate(made)), return_exceptions=True)
    assert sum(result is None for result in results) == 1
    assert all(result is None or isinstance(result, NotUnique) for result in results)
    (winner,) = [one[0] for one, result in zip(made, results, strict=True) if result is None]
    assert await store.unique_job("key") == winner
    assert [job.id for job in await store.jobs_of("task", 100)] == [winner.id]


async def test_a_refused_job_leaves_no_record_of_its_request(store):
    first, second = keyed(), keyed("other")
    await store.create(*first)
    with pytest.raises(NotUnique):
        await store.create(*second, record_for(second[0]))
    assert await store.idempotency_record("key", NOW) is None
    assert await store.task("other") is None
    assert await store.execution(second[2].id) is None


async def test_a_change_to_a_key_that_another_job_has_is_refused(store):
    first, (job, tick, execution) = keyed(), new()
    await store.create(*first)
    await store.create(job, tick, execution)
    with pytest.raises(NotUnique):
        await store.advance(job, replace(job, revision=2, unique_key="key"), (), None)
    assert await store.job(job.id) == job
    assert await store.advance(job, replace(job, revision=2, unique_key="other"), (), None)
    assert await store.unique_job("other") == replace(job, revision=2, unique_key="other")


async def test_a_key_is_taken_from_a_job_as_it_was_seen(store):
    job, tick, execution = keyed()
    await store.create(job, tick, execution)
    changed = replace(job, revision=2)
    assert await store.advance(job, changed, (), None)
    assert not await store.take_unique_key(job)
    assert await store.take_unique_key(changed)
    assert not await store.take_unique_key(changed)
    assert await store.unique_job("key") is None
    assert not await store.advance(changed, replace(changed, sequence=9), (), None)  # it would take the key back
    await store.create(*keyed())


async def test_a_key_goes_with_its_job_and_with_a_stop(store):
    job, tick, execution = keyed()
    await store.create(job, tick, execution)
    stopped = await store.stop_job(job.id, NOW)
    assert stopped is not None
    assert stopped.unique_key is None
    scheduled, *_ = keyed()
    await store.create(scheduled, None, None)
    await store.delete_job(scheduled.id, scheduled.incarnation, NOW)
    await store.delete_job(scheduled.id, scheduled.incarnation, NOW)
    assert await store.unique_job("key") is None
    await store.create(*keyed())


async def test_a_key_moves_to_another_store_and_once_only(store, other):
    first, second = keyed(), new("task")
    await store.create(*first)
    await store.create(*second)
    lines = await exported(store)
    # as if the first had given its key to the second while the file was written
    both = [replace(line, job=replace(line.job, unique_key="key")) if isinstance(line, JobLine) else line for line in lines]
    await imported(other, both)
    holder = await other.unique_job("key")
    assert holder is not None
    jobs = await other.jobs_of("task", 10)
    assert {job.id for job in jobs} == {first[0].id, second[0].id}
    assert [job.id for job in jobs if job.unique_key is not None] == [holder.id]
    with pytest.raises(NotUnique):
        await other.create(*keyed())
