"""What every store promises about claims: an execution is read and changed in one operation, and its job is read after the change."""

import asyncio
from dataclasses import replace
from functools import partial

from fastlane.models import transitions
from fastlane.models.job import Execution
from fastlane.models.status import Status
from fastlane.models.transitions import ExecutionChange
from fastlane.storage.base import Claimed, Store
from tests.contract.stored import created
from tests.support.factories import new

claimed_by = partial(transitions.claim, host="h", pool="p", now=10)


async def bounds_of(store: Store, execution: Execution) -> object:
    return await store.job_bounds(execution.job_id)


async def test_a_claim_is_made_of_the_row_as_it_is_and_tells_of_its_job(store):
    execution = await created(store)
    seen = []

    def decide(row: Execution) -> ExecutionChange:
        seen.append(row)
        return claimed_by(row)

    claimed = await store.claim(execution.id, decide)
    assert seen[:1] == [execution]
    after = await store.execution(execution.id)
    assert claimed == Claimed(after, True, await bounds_of(store, execution))
    assert (after.status, after.epoch, after.host) == (Status.PULLING, 1, "h")
    assert claimed.bounds is not None
    assert after.belongs_to(claimed.bounds)


async def test_what_is_decided_to_be_left_alone_is_read_and_not_changed(store):
    execution = await created(store, status=Status.RUNNING, epoch=3, service_id="s")
    assert await store.claim(execution.id, lambda _: None) == Claimed(execution)
    assert await store.execution(execution.id) == execution


async def test_there_is_no_claim_of_an_unknown_execution(store):
    assert await store.claim(new()[2].id, claimed_by) is None


async def test_a_claim_that_is_refused_leaves_the_execution_as_it_was_read(store):
    flagged = await created(store, stop_requested_at=5)
    assert await store.claim(flagged.id, claimed_by) == Claimed(flagged)
    assert await store.execution(flagged.id) == flagged


async def test_a_stop_of_the_job_before_the_claim_shows_in_its_bounds(store):
    execution = await created(store)
    assert await store.stop_job(execution.job_id, 5) is not None
    claimed = await store.claim(execution.id, claimed_by)
    assert claimed.changed
    assert claimed.bounds.stops(execution.sequence)


async def test_a_claim_of_an_execution_without_a_job_tells_so(store):
    job, _, execution = new()
    assert await store.insert(replace(execution, attempt=2))
    claimed = await store.claim(execution.id, claimed_by)
    assert (claimed.changed, claimed.bounds) == (True, None), job.id


async def test_of_many_claims_at_once_each_is_answered_for_itself(store, open_store):
    """By two processes; of those of one execution only one is made."""
    other = await open_store()
    made = [await created(store, scheduled_for=number) for number in range(40)]
    stores = [store, other] * len(made)
    wanted = [*made, *made]
    decide = [claimed_by if number % 3 else lambda _: None for number in range(len(made))] * 2
    answers = await asyncio.gather(*(one.claim(row.id, how) for one, row, how in zip(stores, wanted, decide, strict=True)))
    for number, execution in enumerate(made):
        pair = [answers[number], answers[number + len(made)]]
        assert sum(answer.changed for answer in pair) == bool(number % 3)
        stored = await store.execution(execution.id)
        assert stored.epoch == bool(number % 3)
        assert [answer.execution for answer in pair if answer.changed] in ([], [stored])
        assert [answer.bounds for answer in pair if answer.changed] in ([], [await bounds_of(store, execution)])


async def test_a_stop_and_a_claim_at_once_never_miss_each_other(store, open_store):
    """Whoever claims sees the stop of the job in its bounds, or whoever stopped the job finds the execution claimed afterwards."""
    other = await open_store()
    for turn in range(20):
        execution = await created(store)
        acts = (store.claim(execution.id, claimed_by), stopped_and_listed(other, execution))
        claimed, found = await asyncio.gather(*acts) if turn % 2 else reversed(await asyncio.gather(*reversed(acts)))
        assert claimed.bounds.stops(execution.sequence) or found.status is Status.PULLING


async def stopped_and_listed(store: Store, execution: Execution) -> Execution:
    await store.stop_job(execution.job_id, 5)
    (found,) = await store.executions_of(execution.job_id, 10)
    return found
