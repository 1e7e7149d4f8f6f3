"""Every store changes what it is asked to change, under the condition of that change, and leaves alone what is beside it."""

from dataclasses import replace

import pytest

from fastlane.errors import Changed, Repeated
from fastlane.models.access import Requester
from fastlane.models.failing import Failing
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.job import ANY, ExpectedVersions, Task
from fastlane.models.paging import Wanted, Window
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, next_execution
from fastlane.storage.base import Counts, Deletion, Generation
from tests.contract.stored import created
from tests.support.factories import first_of, new, new_job
from tests.support.ledger import ticks_of

OTHER = ExpectedVersions(frozenset({"another version"}))


async def test_a_stop_of_another_version_of_the_job_changes_nothing(store):
    job = new_job(at=5_000)
    await store.create(job, None, None)
    with pytest.raises(Changed):
        await store.stop_job(job.id, 6, OTHER)
    assert await store.job(job.id) == job
    assert await store.stop_job(job.id, 6, ExpectedVersions(frozenset({"another version", job.version}))) is not None
    assert await store.stop_job(job.id, 7, ExpectedVersions(frozenset({ANY}))) is not None


async def test_a_deletion_of_another_version_of_the_job_deletes_nothing(store):
    job = new_job(sequence=0)
    await store.create(job, None, None)
    with pytest.raises(Changed):
        await store.delete_job(job.id, job.incarnation, 6, OTHER)
    assert await store.job(job.id) == job
    assert await store.delete_job(job.id, job.incarnation, 6, ExpectedVersions(frozenset({job.version}))) is Deletion.DONE


async def test_a_task_s_last_change_is_the_latest_of_its_jobs_whatever_comes_after_it(store):
    """Clocks of several machines differ, and a tick is no change of the job's details."""
    old, new = new_job("t", now=1_000, at=5_000), new_job("t", now=3_000, at=5_000)
    await store.create(new, None, None)
    await store.create(old, None, None)
    assert (await store.task("t")).modified_at == 3_000
    ticked = replace(old, next_tick=6_000)
    assert await store.advance(old, ticked, [], None)
    changed = replace(ticked, modified_at=2_000)
    assert await store.advance(ticked, changed, [], None)
    await store.stop_job(old.id, 2_500)
    assert await store.delete_job(old.id, old.incarnation, 2_600) is Deletion.DONE
    assert await store.task("t") == Task("t", 3_000, 3_000, 1)


async def test_what_is_done_to_one_job_leaves_the_others_and_their_tasks_alone(store):
    jobs = [new_job(task, sequence=0) for task in ("t", "t", "other")]
    made = [first_of(job, key="r:1", due=number) for number, job in enumerate(jobs)]
    for job, (tick, _) in zip(jobs, made, strict=True):
        await store.create(job, tick, None)
    await store.close_tick(made[0][0].id, Outcome.STOPPED, "why")
    assert await store.stop_job(jobs[0].id, 2_000) is not None
    assert await store.delete_job(jobs[0].id, jobs[0].incarnation, 3_000) is Deletion.DONE
    for job, (tick, _) in zip(jobs[1:], made[1:], strict=True):
        assert await store.job(job.id) == job
        assert await ticks_of(store, job.id, 10) == [tick]
    assert await store.task("t") == Task("t", 1_000, 3_000, 1)
    assert await store.task("other") == Task("other", 1_000, 1_000, 1)


async def test_a_job_that_was_deleted_neither_advances_nor_stops(store):
    job = new_job(sequence=0)
    await store.create(job, None, None)
    assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.DONE
    tick, execution = first_of(job, key="r:1")
    assert not await store.advance(job, replace(job, sequence=1), [tick], execution)
    assert await store.stop_job(job.id, 10) is None
    assert await store.job(job.id) is None
    assert await store.job_bounds(job.id) is None
    assert await store.execution(execution.id) is None


async def test_what_was_deleted_is_known_after_more_was_deleted(store):
    claimed = []
    for _ in range(4):
        job = new_job(sequence=1)
        tick, execution = first_of(job)
        await store.create(job, tick, replace(execution, epoch=1))
        assert await store.discard(replace(execution, epoch=1))
        claimed.append(execution.id)
    assert [await store.was_deleted(id) for id in claimed] == [True] * 4


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.ENQUEUED, Status.PULLING}))
async def test_an_execution_that_ran_or_ended_is_not_discarded(store, status):
    execution = await created(store, status=status, epoch=1, finished_at=5)
    assert not await store.discard(execution)
    assert await store.execution(execution.id) == execution


async def test_an_execution_that_is_bound_to_a_service_is_not_discarded(store):
    execution = await created(store, status=Status.PULLING, epoch=1, service_id="service")
    assert not await store.discard(execution)
    assert await store.execution(execution.id) == execution


async def test_a_job_is_deleted_while_another_of_its_task_runs(store):
    """An execution of a version that wrote no incarnation belongs to its job alone, too."""
    running = await created(store, incarnation="")
    job = new_job(running.task_id, sequence=0)
    await store.create(job, None, None)
    assert await store.unfinished(job.task_id, job.id, 10) == []
    assert await store.under_way_of(job.task_id, job.id) == []
    assert [one.id for one in await store.open_jobs(job.task_id, 10)] == [running.job_id]
    assert await store.unfinished(job.task_id, running.job_id, 10) == [running]
    assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.DONE
    assert await store.execution(running.id) == running


async def test_a_request_that_is_repeated_after_its_effect_is_told_so(store):
    """What it saw is not stored any more, by its own effect."""
    job = new_job(at=5_000, sequence=0)
    await store.create(job, None, None)
    after = replace(job, sequence=1)
    tick, execution = first_of(job, key="r:1")
    record = IdempotencyRecord("key", "body", 1_000, job.task_id, job.id, tick.id, execution.id)
    assert await store.advance(job, after, [tick], execution, record)
    for later in (0, 23 * 3_600_000):
        with pytest.raises(Repeated):
            await store.advance(job, after, [tick], execution, replace(record, created_at=1_000 + later))
    assert await store.job(job.id) == after


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("check_at", 7_000), ("late_since", 7_000), ("next_tick", 7_000), ("revision", 2), ("sequence", 2)),
        *(("failing", Failing(ends=(-1, 2), paused_by=1)), ("unique_key", "key")),
    ],
)
async def test_a_job_that_another_has_changed_meanwhile_is_not_written_over(store, name, value):
    job = new_job(at=5_000)
    await store.create(job, None, None)
    other = replace(job, **{name: value})
    assert await store.advance(job, other, [], None)
    assert not await store.advance(job, replace(job, armed=False), [], None)
    assert await store.job(job.id) == other


async def test_a_job_s_maker_stays_whoever_changes_it(store):
    job = replace(new_job(at=5_000), requested_by=Requester("anna", None))
    await store.create(job, None, None)
    for number, name in enumerate(("ben", "carl"), 2):
        after = replace(job, revision=number, requested_by=Requester(name, None))
        assert await store.advance(job, after, [], None)
        job = after
    assert await store.transfer.creators([job.id]) == {job.id: Requester("anna", None)}


@pytest.mark.parametrize("stale", [{"number": 2}, {"run_id": "another"}, {"builder": None}, {"builder": "another"}, {"since": 8}])
async def test_a_generation_is_changed_only_from_what_is_stored(store, stale):
    stored = Generation(3, "run", "builder", 7)
    assert await store.change_generation(await store.generation(), stored)
    assert not await store.change_generation(replace(stored, **stale), Generation(9, "new", None, 9))
    assert await store.generation() == stored


async def test_what_is_deleted_of_one_task_leaves_the_numbers_of_another_as_they_are(store):
    jobs = []
    for task in ("kept", "gone"):
        job, tick, execution = new(task)
        done = replace(execution, status=Status.DONE, finished_at=5, settled=True, cleaned=True)
        await store.create(job, tick, done)
        assert await store.insert(
            replace(next_execution(done, due=6, now=6), status=Status.DONE, finished_at=7, settled=True, cleaned=True)
        )
        jobs.append(job)
    assert await store.delete_job(jobs[1].id, jobs[1].incarnation, 9) is Deletion.DONE
    assert await store.delete_task("gone")
    empty = dict.fromkeys(Status, 0)
    for visible in ("kept", None):
        assert await store.counts(visible) == Counts(1, 1, {**empty, Status.DONE: 2})
    window = Window(1, 10)
    assert (await store.list_executions_of(jobs[0].id, window)).total == 2
    for wanted in (Wanted(), Wanted(task_id="kept"), Wanted(frozenset({Status.DONE}), "kept"), Wanted(visible="kept")):
        assert (await store.list_executions(wanted, window)).total == 2
    assert (await store.list_executions(Wanted(task_id="gone"), window)).total == 0
