"""What every store promises of backfills: their records, and what is looked up to make one."""

from dataclasses import replace

from fastlane.errors import Repeated
from fastlane.models import backfill as rules
from fastlane.models.access import Requester
from fastlane.models.backfill import Backfill
from fastlane.models.job import Ending
from fastlane.models.status import Status
from fastlane.models.transitions import bind, claim, end, settle
from tests.contract.stored import types_in
from tests.support.factories import NOW, new


async def created(store):
    """A job that runs at once, as it is stored, with its tick and execution."""
    made = new()
    await store.create(*made)
    return made


ONE = Backfill("j", "größe", "i", "r", 5, 1, 4, 2, 3, (2, 3), 7, (1,), requested_by=Requester("anna", "::1"))


async def test_a_record_is_kept_whole_and_each_version_is_written_once(store, open_store):
    assert await store.backfills.of_job("j") is None
    assert await store.backfills.write(ONE)
    assert not await store.backfills.write(ONE)
    other = await open_store()
    found = await other.backfills.of_job("j")
    assert found == ONE
    assert types_in(found) == types_in(ONE)
    assert await other.backfills.of_jobs(["j", "none"]) == {"j": ONE}
    assert await other.backfills.of_jobs([]) == {}
    after = rules.stepped(ONE, None)
    assert await other.backfills.write(after)
    assert not await store.backfills.write(after)
    assert await store.backfills.of_job("j") == after


async def test_those_that_have_ended_are_left_out_and_go_by_their_age(store):
    ended = [rules.ended(replace(ONE, id=f"e{number}"), None, now=number) for number in (10, 20, 30)]
    for one in (ONE, replace(ONE, id="k", created_at=4), *(replace(one, version=1) for one in ended)):
        assert await store.backfills.write(one)
    assert [one.id for one in await store.backfills.running(9)] == ["k", "j"]
    assert [one.id for one in await store.backfills.running(9, (4, "k"))] == ["j"]
    assert await store.backfills.prune(30, 1) == 1
    assert await store.backfills.prune(30, 9) == 1
    assert await store.backfills.of_job("e30") is not None
    assert await store.backfills.of_job("j") == ONE


async def test_ticks_are_found_by_their_due_times_and_attempts_by_their_tick(store):
    job, tick, execution = await created(store)
    backfill = replace(ONE, id=job.id, task_id=job.task_id, incarnation=job.incarnation, remaining=(400, 500))
    change = rules.step(job, backfill, now=NOW)
    assert await store.advance(job, change.job, change.ticks, change.execution, rules.receipt(backfill, change, now=NOW), [])
    found = await store.backfills.ticks_between(job.id, 400, tick.due, 9)
    assert [one.due for one in found] == [400, tick.due]
    assert [one.id for one in await store.backfills.ticks_between(job.id, 400, tick.due, 9, (400, found[0].id))] == [tick.id]
    assert list(await store.backfills.ticks_between(job.id, 401, tick.due - 1, 9)) == []
    assert await store.tick(found[0].id) == change.ticks[0]
    attempts = await store.backfills.attempts([tick.id, found[0].id, "none"])
    assert attempts == {tick.id: [Status.ENQUEUED], found[0].id: [Status.ENQUEUED], "none": []}
    assert await store.backfills.kept_since(job.id) == execution.scheduled_for
    assert await store.backfills.kept_since("none") is None


async def test_a_failed_attempt_counts_as_enqueued_until_it_is_settled(store):
    _, tick, execution = await created(store)
    after = execution
    for change in (
        lambda one: claim(one, host="h", pool="p", now=NOW),
        lambda one: bind(one, service_id="s", swarm_id="w", image_digest=None, now=NOW),
        lambda one: end(one, Ending(Status.FAILED, NOW, 1)),
    ):
        after = await store.change(change(after))
    assert await store.backfills.attempts([tick.id]) == {tick.id: [Status.ENQUEUED]}
    await store.change(settle(after))
    assert await store.backfills.attempts([tick.id]) == {tick.id: [Status.FAILED]}


async def test_a_step_is_made_once_even_when_its_tick_is_gone(store):
    job, _, _ = await created(store)
    backfill = replace(ONE, id=job.id, task_id=job.task_id, incarnation=job.incarnation, remaining=(400,))

    async def step(seen):
        change = rules.step(seen, backfill, now=NOW)
        made = await store.advance(seen, change.job, change.ticks, change.execution, rules.receipt(backfill, change, now=NOW), [])
        return change, made

    change, made = await step(job)
    assert made
    assert await store.discard(change.execution)
    try:
        _, again = await step(await store.job(job.id))
    except Repeated:
        again = False
    assert not again
    assert await store.execution(change.execution.id) is None
