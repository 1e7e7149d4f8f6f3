"""What every store promises of jobs and tasks that are deleted, and of what keeps them."""

import asyncio
from dataclasses import replace

import pytest

from fastlane.models.job import Job, Task
from fastlane.models.log import STDOUT, Head, Piece
from fastlane.models.paging import Window
from fastlane.models.status import FINAL, UNDER_WAY, Status
from fastlane.models.tick import next_execution
from fastlane.models.transitions import claim
from fastlane.storage.base import Counts, Deletion, Store
from tests.support.factories import chunk, first_of, new, new_job
from tests.support.ledger import count_executions, count_ticks, tick_of, ticks_of

ENDED = {"status": Status.DONE, "finished_at": 5, "settled": True, "cleaned": True}
NOTHING = Counts(0, 0, dict.fromkeys(Status, 0))


async def made(store: Store, task_id: str = "t", executions: int = 1, chunks: int = 0, size: int = 10, **changed: object) -> Job:
    """A job with so many executions that have ended, each with a log of so many chunks."""
    seen = new_job(task_id, sequence=0, **changed)
    await store.create(seen, None, None)
    job = replace(seen, sequence=executions)
    made = [first_of(job, key=f"r:{number}", sequence=number, due=number) for number in range(1, executions + 1)]
    assert await store.advance(seen, job, [tick for tick, _ in made], None)
    assert all(await asyncio.gather(*(store.insert(replace(execution, **ENDED)) for _, execution in made)))
    await asyncio.gather(*(write_log(store, execution.id, chunks, size) for _, execution in made if chunks))
    return job


async def write_log(store: Store, execution_id: str, chunks: int, size: int) -> None:
    head = Head()
    for _ in range(chunks):
        part = chunk(execution_id, head, [Piece(STDOUT, 1, b"x" * size)])
        assert await store.append(part)
        head = part.end


async def delete(store: Store, job: Job, now: int = 9) -> int:
    """Deletes the job in as many steps as it takes."""
    steps = 1
    while (step := await store.delete_job(job.id, job.incarnation, now)) is Deletion.MORE:
        steps += 1
    assert step is Deletion.DONE
    return steps


async def test_a_job_is_deleted_with_all_that_it_had_and_its_task_counts_it_no_more(store):
    kept = await made(store, now=1_000, executions=2, chunks=1)
    job = await made(store, now=2_000, executions=2, chunks=2)
    ids = [execution.id for execution in await store.executions_of(job.id, 10)]
    ticks = [tick.id for tick in await ticks_of(store, job.id, 10)]
    assert await delete(store, job, now=7_000) == 1
    assert await store.job(job.id) is None
    assert await store.executions_of(job.id, 10) == []
    assert [await store.execution(id) for id in ids] == [None, None]
    assert [await tick_of(store, job.id, id) for id in ticks] == [None, None]
    assert [(await store.log_head(id)).offset for id in ids] == [0, 0]
    assert await store.task("t") == Task("t", 1_000, 7_000, 1)
    assert await count_executions(store, kept.id) == 2
    assert await count_ticks(store, kept.id) == 2
    assert [(await store.log_head(one.id)).offset for one in await store.executions_of(kept.id, 10)] == [10, 10]
    counts = await store.counts()
    assert (counts.jobs, counts.tasks, counts.executions[Status.DONE]) == (1, 1, 2)


@pytest.mark.parametrize(("executions", "chunks", "size", "least"), [(600, 0, 0, 5), (3, 200, 1_000, 9), (1, 150, 65_536, 2)])
async def test_a_long_history_goes_in_steps_its_oldest_first(store, executions, chunks, size, least):
    job = await made(store, executions=executions, chunks=chunks, size=size)
    left, steps = {"ticks": executions, "executions": executions}, 0
    while await store.delete_job(job.id, job.incarnation, 9) is Deletion.MORE:
        steps += 1
        before, left = left, {"ticks": await count_ticks(store, job.id), "executions": await count_executions(store, job.id)}
        assert left["executions"] == before["executions"] or left["ticks"] == 0
        assert all(before[name] - left[name] <= 500 for name in left)
        rows = await store.executions_of(job.id, 1_000)
        assert [row.sequence for row in reversed(rows)] == list(range(executions - len(rows) + 1, executions + 1))[: len(rows)]
        assert (await store.counts()).executions[Status.DONE] == left["executions"]
    assert steps >= least
    assert await store.job(job.id) is None
    assert (await store.counts()).executions[Status.DONE] == 0


async def test_of_a_log_that_is_half_deleted_its_beginning_is_left(store):
    job = await made(store, executions=1, chunks=150)
    (execution,) = await store.executions_of(job.id, 1)
    assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.MORE
    head = await store.log_head(execution.id)
    assert 0 < head.offset < 1_500
    read = await store.read_log(execution.id, 0, 10_000)
    assert sum(len(piece.data) for piece in read.pieces) == head.offset
    await delete(store, job)
    assert (await store.log_head(execution.id)).offset == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"status": status, "settled": False, "cleaned": cleaned} for status in sorted(UNDER_WAY) for cleaned in (False, True)
    ] + [{"status": status, "settled": False} for status in sorted(FINAL)] + [{"cleaned": False}],
)  # fmt: skip
async def test_a_job_is_kept_whole_while_an_execution_is_not_at_its_end(store, changed):
    job = await made(store, executions=3)
    tick, execution = first_of(job, key="r:x", sequence=9)
    execution = replace(execution, **{**ENDED, **changed})
    assert await store.advance(job, replace(job, sequence=9), [tick], execution)
    assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.KEPT
    assert await store.unfinished("t", job.id, 10) == [execution]
    assert (await count_executions(store, job.id), await count_ticks(store, job.id)) == (4, 4)
    assert await store.task("t") == Task("t", 1_000, 1_000, 1)


@pytest.mark.parametrize("tick", [{"next_tick": 5_000}, {"next_tick": None, "held_tick": 5_000}])
async def test_a_job_is_kept_while_a_tick_of_it_is_to_come_or_held(store, tick):
    job = new_job("t", at=5_000, **tick)
    await store.create(job, None, None)
    assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.KEPT
    assert await store.job(job.id) == job
    await store.stop_job(job.id, 6)
    await delete(store, job)


async def test_another_job_under_the_same_id_is_left_alone(store):
    job = await made(store)
    assert await store.delete_job(job.id, "another incarnation", 9) is Deletion.DONE
    assert await store.job(job.id) == job
    assert await count_executions(store, job.id) == 1


async def test_a_job_that_is_not_there_is_deleted(store):
    job = await made(store)
    await delete(store, job)
    assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.DONE
    assert (await store.counts()).jobs == 0
    assert (await store.task("t")).jobs_count == 0


async def test_an_attempt_that_comes_back_while_its_job_is_deleted_does_not_belong_to_it_and_goes_with_it(store):
    job = await made(store, executions=250)
    last = (await store.executions_of(job.id, 1))[0]
    late = next_execution(last, due=1, now=1)
    assert late.belongs_to(job)
    assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.MORE
    assert await store.insert(late)
    assert not late.belongs_to(await store.job(job.id))
    assert not late.belongs_to(await store.job_bounds(job.id))
    assert await store.latest([job.id]) == {job.id: last}
    assert await store.open_jobs("t", 10) == []
    await delete(store, job)
    assert await store.execution(late.id) is None
    assert await store.counts() == replace(NOTHING, tasks=1)


async def test_a_job_that_runs_again_while_it_is_deleted_is_kept_and_what_it_runs_belongs_to_it(store):
    job = await made(store, executions=250)
    assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.MORE
    tick, execution = first_of(job, key="r:x", sequence=251)
    assert not await store.advance(job, replace(job, sequence=251), [tick], execution)
    seen = await store.job(job.id)
    assert await store.advance(seen, replace(seen, sequence=251), [tick], execution)
    assert execution.belongs_to(await store.job_bounds(job.id))
    assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.KEPT


async def test_what_was_inserted_late_neither_opens_a_job_nor_gives_it_a_status(store):
    gone, ended = await made(store), await made(store)
    late = next_execution((await store.executions_of(gone.id, 1))[0], due=1, now=1)
    await delete(store, gone)
    again = replace(gone, incarnation="another", sequence=0)
    await store.create(again, None, None)
    assert await store.insert(late)
    assert await store.open_jobs("t", 10) == []
    assert (await store.list_jobs("t", Window(1, 10), statuses=frozenset({"enqueued"}))).rows == ()
    assert (await store.list_jobs("t", Window(1, 10), statuses=frozenset({"done"}))).rows == (ended,)
    assert await store.insert(replace(next_execution(late, due=2, now=2), job_id="0", incarnation="of a job that is gone"))
    scheduled = new_job("t", now=2_000, next_tick=9)
    await store.create(scheduled, None, None)
    assert await store.open_jobs("t", 1) == [scheduled]


async def test_a_job_made_under_the_id_of_one_that_is_gone_is_deleted_with_what_was_inserted_late(store):
    job = await made(store)
    late = next_execution((await store.executions_of(job.id, 1))[0], due=1, now=1)
    await delete(store, job)
    again = replace(job, incarnation="another", sequence=0)
    await store.create(again, None, None)
    assert await store.insert(late)
    assert await store.unfinished("t", job.id, 10) == []
    await delete(store, again)
    assert await store.counts() == replace(NOTHING, tasks=1)


async def test_an_attempt_that_is_inserted_after_its_job_is_gone_can_be_discarded(store):
    job = await made(store)
    late = next_execution((await store.executions_of(job.id, 1))[0], due=1, now=1)
    await delete(store, job)
    assert await store.insert(late)
    assert await store.discard(late)
    assert await store.counts() == replace(NOTHING, tasks=1)


async def test_it_is_known_which_executions_that_a_worker_had_claimed_were_deleted(store):
    """A service may be parked for each of them. One that no worker claimed has none."""
    job = new_job("t", sequence=0)
    await store.create(job, None, None)
    rows = []
    for number, epoch in enumerate((1, 3, 0), 1):
        job, seen = replace(job, sequence=number), job
        tick, execution = first_of(job, key=f"r:{number}", sequence=number)
        rows.append(replace(execution, epoch=epoch, **ENDED))
        assert await store.advance(seen, job, [tick], rows[-1])
    late = next_execution(rows[0], due=1, now=1)
    assert not any([await store.was_deleted(row.id) for row in (*rows, late)])
    await delete(store, job)
    assert [await store.was_deleted(row.id) for row in (*rows, late)] == [True, True, False, False]
    assert await store.insert(late)
    claimed = await store.change(claim(late, host="h", pool="p", now=1))
    assert await store.discard(claimed)
    assert await store.was_deleted(late.id)


async def test_what_was_given_up_is_known_once_it_is_deleted(store):
    """Its service is left on a host that may come back. While the execution is there, its own row says that the service can go."""
    job = await made(store)
    (execution,) = await store.executions_of(job.id, 1)
    await store.give_up(execution.id)
    await store.give_up(execution.id)
    assert not await store.was_deleted(execution.id)
    await delete(store, job)
    assert await store.was_deleted(execution.id)


async def test_a_job_is_made_again_under_its_old_id(store):
    job, tick, execution = new("t")
    await store.create(job, tick, replace(execution, **ENDED))
    await delete(store, job)
    again = replace(job, incarnation="another")
    await store.create(again, *first_of(again))
    assert await store.job(job.id) == again
    assert (await store.task("t")).jobs_count == 1
    assert await count_executions(store, job.id) == 1


async def test_a_deletion_races_a_run_and_one_of_them_happens(store, open_store):
    other = await open_store()
    deleted = 0
    for turn in range(30):
        job = await made(store, executions=2)
        tick, execution = first_of(job, key="r:x", sequence=9)
        run = other.advance(job, replace(job, sequence=9), [tick], execution)
        step = store.delete_job(job.id, job.incarnation, 9)
        pair = (run, step) if turn % 2 else (step, run)
        results = await asyncio.gather(*pair)
        ran, answer = results if turn % 2 else reversed(results)
        assert (ran, answer) in [(True, Deletion.KEPT), (False, Deletion.DONE)]
        assert (await store.execution(execution.id) is not None) is ran
        assert await count_executions(store, job.id) == (3 if ran else 0)
        deleted += not ran
    assert (await store.counts()).jobs == 30 - deleted


async def test_many_who_delete_the_same_job_delete_it_once(store, open_store):
    other = await open_store()
    job = await made(store, executions=300, chunks=0)
    await asyncio.gather(*(delete(one, job) for one in [store, other] * 4))
    assert (await store.task("t")).jobs_count == 0
    assert await store.counts() == replace(NOTHING, tasks=1)


# tasks


async def test_a_task_is_deleted_when_it_has_no_jobs(store):
    job = await made(store)
    assert not await store.delete_task("t")
    assert await store.task("t") is not None
    await delete(store, job)
    assert await store.delete_task("t")
    assert await store.task("t") is None
    assert await store.delete_task("t")
    assert await store.counts() == NOTHING
    await made(store)
    assert (await store.counts()).tasks == 1


async def test_a_task_s_open_jobs_are_those_with_something_before_them(store):
    coming = new_job("t", at=5_000)
    held = new_job("t", at=5_000, next_tick=None, held_tick=5_000)
    for job in (coming, held, new_job("other", at=5_000)):
        await store.create(job, None, None)
    opened = [coming, held]
    for status in Status:
        for settled in (False, True):
            job, tick, execution = new("t")
            cleaned = status is not Status.DONE
            await store.create(job, tick, replace(execution, status=status, settled=settled, finished_at=1, cleaned=cleaned))
            opened += [] if settled else [job]
    await made(store, executions=3)
    expected = sorted(opened, key=lambda job: job.id)
    assert await store.open_jobs("t", 100) == expected
    pages, after = [], ""
    while page := await store.open_jobs("t", 3, after):
        assert len(page) <= 3
        pages += page
        after = page[-1].id
    assert pages == expected
    assert await store.open_jobs("none", 10) == []


async def test_a_job_s_unfinished_executions_come_oldest_first(store):
    seen = new_job("t", sequence=0)
    await store.create(seen, None, None)
    expected = []
    for number, changed in enumerate(({}, ENDED, {"status": Status.RUNNING}, {**ENDED, "settled": False}, {**ENDED, "cleaned": False}), 1):
        job = replace(seen, sequence=number)
        tick, execution = first_of(job, key=f"r:{number}", sequence=number)
        execution = replace(execution, **changed)
        assert await store.advance(seen, job, [tick], execution)
        expected += [] if changed is ENDED else [execution]
        seen = job
    assert await store.unfinished("t", seen.id, 10) == expected
    assert await store.unfinished("t", seen.id, 2) == expected[:2]
    assert await store.unfinished("other", seen.id, 2) == []
