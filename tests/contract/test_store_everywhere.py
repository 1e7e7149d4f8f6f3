"""Every store keeps the executions of a tick that runs everywhere, and lets the one that stands for the tick give the job its status."""

from dataclasses import replace

from fastlane.models import transitions
from fastlane.models.run_target import Everywhere, RunTarget
from fastlane.models.status import Status
from fastlane.models.tick import execution_id
from tests.contract.statuses import ruled_statuses, stored_statuses
from tests.support.factories import make_spec, new


async def test_the_execution_that_stands_for_its_tick_gives_the_job_its_status(store):
    target = RunTarget("s", "n", first=1)
    job, tick, lead = new(sequence=target.last, spec=make_spec(everywhere=Everywhere.SWARMS, target=target))
    lead = replace(lead, sequence=1, status=Status.FAILED, finished_at=5)
    other = replace(
        lead, id=execution_id(tick.id, 1, replace(target, swarm="t", place=1)), sequence=2, status=Status.ENQUEUED, finished_at=None
    )
    await store.create(job, tick, lead)
    assert await store.insert(other)
    assert await store.under_way_between(job.id, target.first, target.last)
    assert await store.change(transitions.expire(other, now=6)) is not None
    assert not await store.under_way_between(job.id, target.first, target.last)
    assert [one.id for one in await store.executions_between(job.id, target.first, target.last)] == [lead.id, other.id]
    assert [one.id for one in await store.executions_between(job.id, 3, target.last)] == []
    assert await stored_statuses(store) == {job.id: "expired"}
    moved = await store.change(transitions.stand_for(lead, sequence=target.last))
    assert moved is not None
    assert await stored_statuses(store) == await ruled_statuses(store) == {job.id: "failed"}
    assert (await store.latest([job.id]))[job.id] == moved


async def test_of_two_changes_of_a_tick_as_it_was_seen_one_is_made(store):
    job, tick, lead = new()
    await store.create(job, tick, lead)
    changes = [replace(tick, reason=words, execution_id=words) for words in ("one", "two")]
    assert [await store.change_tick(tick, after) for after in changes] == [True, False]
    assert await store.tick(tick.id) == changes[0]


async def test_the_targets_of_a_tick_are_written_once(store):
    job, tick, lead = new(spec=make_spec(everywhere=Everywhere.SWARMS))
    await store.create(job, tick, lead)
    plans = [replace(lead.spec, target=RunTarget(swarm, "n", first=1)) for swarm in ("s", "t")]
    made = [await store.change(transitions.plan(lead, spec)) for spec in plans]
    assert [one is not None for one in made] == [True, False]
    stored = await store.execution(lead.id)
    assert stored is not None
    assert (stored.spec, stored.status) == (plans[0], Status.ENQUEUED)
