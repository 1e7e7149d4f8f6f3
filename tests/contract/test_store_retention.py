"""What every store promises of old history that goes in steps: what goes, in which order, and what stays."""

from dataclasses import replace

import pytest

from fastlane.models.delivery import Delivery
from fastlane.models.job import Job
from fastlane.models.log import STDOUT, Head, Piece
from fastlane.models.notify import NotificationTrigger, Webhook
from fastlane.models.retention import Cuts, JobHistory, Retention
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, next_execution, unstarted_tick
from fastlane.storage.base import Deletion, Noted, Store
from fastlane.storage.retention_port import EndedPage, HistoryPage, LogPage, Removed, StoredLog, Swept
from tests.contract.test_store_deletion import write_log
from tests.support.factories import chunk, first_of, make_spec, new, new_job
from tests.support.ledger import count_executions, count_ticks, ticks_of

ENDED = {"status": Status.DONE, "settled": True, "cleaned": True}
"""An execution at its end; ``scheduled_for`` n ends at n + 1."""

NOT_YET = [{"status": Status.RUNNING, "settled": False, "cleaned": False}, {"settled": False}, {"cleaned": False}]


async def made(store: Store, executions: int, *, chunks: int = 0, **changed: object) -> Job:
    """A job that will not run again, whose executions were due at 1, 2 and so on, and ended then."""
    seen = new_job("t", sequence=0, now=1, **changed)
    await store.create(seen, None, None)
    job = replace(seen, sequence=executions)
    ticks = [first_of(job, key=f"r:{number}", sequence=number, due=number) for number in range(1, executions + 1)]
    assert await store.advance(seen, job, [tick for tick, _ in ticks], None)
    for tick, execution in ticks:
        assert await store.insert(replace(execution, finished_at=tick.due, **ENDED))
        if chunks:
            await write_log(store, execution.id, chunks, 10)
    return job


async def history_of(store: Store, job: Job) -> JobHistory:
    return next(one for one in (await store.retention.histories(1_000)).jobs if one.job_id == job.id)


async def prune(store: Store, job: Job, cuts: Cuts) -> Removed:
    """Takes all steps; what they removed."""
    history, total = await history_of(store, job), Removed()
    for _ in range(1_000):
        step = await store.retention.prune(history, cuts)
        total = Removed(total.executions + step.executions, total.ticks + step.ticks, total.logs + step.logs)
        if not step.more:
            return total
    raise AssertionError("it never ends")


async def sequences(store: Store, job: Job) -> list[int]:
    return sorted(row.sequence for row in await store.executions_of(job.id, 10_000))


async def test_a_job_shows_retention_what_it_needs_to_know(store):
    own = Retention(executions=5_000, max_executions=7)
    plain = await made(store, 2)
    await store.create(new_job("u", at=9_000, now=1_000, sequence=0), None, None)  # it has no history
    later = new_job("u", at=9_000, now=2_000, spec=make_spec(retention=own))
    held = new_job("u", now=3_000, next_tick=None, held_tick=9_000)
    for job in (later, held):
        await store.create(job, None, None)
    expected = [
        JobHistory(plain.id, "t", plain.incarnation, 1, 1, 2, to_come=False),
        JobHistory(later.id, "u", later.incarnation, 2_000, 2_000, 1, to_come=True, retention=own),
        JobHistory(held.id, "u", held.incarnation, 3_000, 3_000, 1, to_come=True),
    ]
    assert await store.retention.histories(10) == HistoryPage(expected, None)
    assert await store.retention.histories(1) == HistoryPage(expected[:1], (1, plain.id))
    assert await store.retention.histories(10, (1, plain.id)) == HistoryPage(expected[1:], None)
    assert (await store.job(later.id)).spec.retention == own


async def test_jobs_that_wait_for_their_first_tick_are_passed_over_and_the_walk_goes_on_after_them(store):
    waiting = [new_job("u", at=9_000, now=100 + number, sequence=0) for number in range(5)]
    for job in waiting:
        await store.create(job, None, None)
    stopped, missed = (new_job("u", at=9_000, now=200 + number, sequence=0) for number in range(2))
    await store.create(replace(stopped, next_tick=None), None, None)
    await store.create(replace(missed, last_tick=150), None, None)
    found, after, looks = [], None, 0
    while looks == 0 or after is not None:
        page = await store.retention.histories(2, after)
        found, after, looks = [*found, *(job.job_id for job in page.jobs)], page.next, looks + 1
    assert (found, looks) == ([stopped.id, missed.id], 4)


async def candidates(store: Store, cuts: Cuts, *jobs: Job) -> set[str]:
    """Which of these jobs are named, or of all. None of which something is overdue is left out."""
    histories = [one for one in (await store.retention.histories(1_000)).jobs if not jobs or one.job_id in {job.id for job in jobs}]
    named = await store.retention.candidates(histories, cuts)
    assert {one.job_id for one in histories if (await store.retention.overdue(one, cuts)).any} <= named
    return set(named)


async def test_a_job_with_one_execution_is_a_candidate_only_while_something_of_it_is_overdue(store):
    logged, silent, runs = await made(store, 1, chunks=1), await made(store, 1), await made(store, 0)
    tick, execution = first_of(runs, key="r:1", due=1)
    assert await store.advance(runs, replace(runs, sequence=1), [tick], replace(execution, status=Status.RUNNING))
    for cuts in (Cuts(), Cuts(executions=1_000), Cuts(max_executions=1), Cuts(logs=1)):
        assert await candidates(store, cuts, logged, silent, runs) == set()
    assert await candidates(store, Cuts(logs=2), logged, silent, runs) == {logged.id}
    assert await prune(store, logged, Cuts(logs=2)) == Removed(0, 0, 1)
    assert await candidates(store, Cuts(logs=2), logged, silent, runs) == set()


@pytest.mark.parametrize("changed", NOT_YET)
async def test_the_log_of_what_is_not_at_its_end_makes_no_candidate(store, changed):
    job, tick, execution = new("t")
    await store.create(job, tick, replace(execution, **{**ENDED, "finished_at": 1, **changed}))
    await write_log(store, execution.id, 2, 10)
    assert await candidates(store, Cuts(executions=1_000, logs=1_000)) == set()


async def test_a_job_with_an_old_row_of_the_ledger_without_an_execution_is_a_candidate(store):
    job = await made(store, 0)
    row = unstarted_tick(job, "c:5", Outcome.SKIPPED, due=5, now=5, reason="busy")
    assert await store.advance(job, replace(job, last_tick=5), [row], None)
    assert [await candidates(store, Cuts(executions=before)) for before in (5, 6)] == [set(), {job.id}]


async def test_jobs_with_a_longer_history_are_candidates_when_something_of_it_is_overdue(store):
    several, many = await made(store, 3, chunks=1), await made(store, 30)
    retried, paused = await made(store, 1), await made(store, 0)
    (attempt,) = await store.executions_of(retried.id, 1)
    for _ in range(20):
        attempt = replace(next_execution(attempt, due=1, now=1), finished_at=2, **ENDED)
        assert await store.insert(attempt)
    await write_log(store, attempt.id, 1, 10)
    rows = [unstarted_tick(paused, f"c:{due}", Outcome.SKIPPED, due=due, now=due, reason="paused") for due in range(10, 30)]
    assert await store.advance(paused, replace(paused, last_tick=29), rows, None)
    by_number, by_log = await candidates(store, Cuts(max_executions=2)), await candidates(store, Cuts(logs=3))
    assert {several.id, many.id, paused.id} <= by_number
    assert {several.id, retried.id} <= by_log
    assert await store.retention.candidates([], Cuts()) == set()


async def test_executions_beyond_their_number_go_with_their_ticks_and_logs_the_oldest_first(store):
    job = await made(store, 250, chunks=1)
    gone = (await store.executions_of(job.id, 250))[-1]
    assert await prune(store, job, Cuts(max_executions=40)) == Removed(210, 210, 0)
    assert await sequences(store, job) == list(range(211, 251))
    assert (await count_executions(store, job.id), await count_ticks(store, job.id)) == (40, 40)
    assert (await store.counts()).executions[Status.DONE] == 40
    assert (await store.log_head(gone.id)).offset == 0
    assert await store.retention.prune(await history_of(store, job), Cuts(max_executions=40)) == Removed()


async def test_executions_that_ended_before_a_moment_go_but_the_newest(store):
    job = await made(store, 5)
    assert await prune(store, job, Cuts(executions=3)) == Removed(2, 2, 0)
    assert await sequences(store, job) == [3, 4, 5]
    assert await prune(store, job, Cuts(executions=1_000)) == Removed(2, 2, 0)
    assert await sequences(store, job) == [5]
    assert await count_ticks(store, job.id) == 1


@pytest.mark.parametrize("changed", NOT_YET)
async def test_nothing_goes_from_what_may_run_or_is_not_cleaned_on(store, changed):
    job = await made(store, 2)
    for number, more in ((3, changed), (4, {}), (5, {})):
        tick, execution = first_of(job, key=f"r:{number}", sequence=number, due=number)
        after = replace(job, sequence=number)
        assert await store.advance(job, after, [tick], replace(execution, **{**ENDED, "finished_at": number, **more}))
        job = after
    assert (await store.retention.overdue(await history_of(store, job), Cuts(executions=1_000))).executions == 2
    assert await prune(store, job, Cuts(executions=1_000, max_executions=1)) == Removed(2, 2, 0)
    assert await sequences(store, job) == [3, 4, 5]


async def test_all_attempts_of_a_tick_go_or_none(store):
    job = await made(store, 2)
    first = (await store.executions_of(job.id, 10))[-1]
    again = next_execution(first, due=2, now=2)
    assert await store.insert(replace(again, status=Status.RUNNING))
    assert await prune(store, job, Cuts(executions=1_000)) == Removed()
    assert await count_executions(store, job.id) == 3


async def test_more_attempts_of_a_tick_than_a_step_removes_go_in_several(store):
    job = await made(store, 1)
    (attempt,) = await store.executions_of(job.id, 1)
    for _ in range(150):
        attempt = replace(next_execution(attempt, due=1, now=1), finished_at=2, **ENDED)
        assert await store.insert(attempt)
    tick, execution = first_of(job, key="r:2", sequence=2, due=2)
    assert await store.advance(job, replace(job, sequence=2), [tick], replace(execution, finished_at=9, **ENDED))
    assert await prune(store, job, Cuts(executions=1_000)) == Removed(151, 1, 0)
    assert (await count_executions(store, job.id), await count_ticks(store, job.id)) == (1, 1)


async def test_an_attempt_that_is_inserted_late_never_runs(store):
    job = await made(store, 3)
    old = (await store.executions_of(job.id, 10))[-1]
    await prune(store, job, Cuts(executions=3))
    assert await store.insert(next_execution(old, due=1, now=1))
    stored = await store.job(job.id)
    assert not next_execution(old, due=1, now=1).belongs_to(stored)
    assert (await store.executions_of(job.id, 1))[0].belongs_to(stored)
    assert await store.unfinished("t", job.id, 10) == []


async def test_a_change_by_somebody_who_saw_the_job_before_is_refused_and_made_again(store):
    seen = new_job("t", sequence=0, at=60_000, now=1)
    await store.create(seen, None, None)
    job = seen
    for _ in range(2):
        after = replace(job, sequence=job.sequence + 1)
        tick, execution = first_of(after, key=f"r:{after.sequence}", sequence=after.sequence)
        assert await store.advance(job, after, [tick], replace(execution, finished_at=1, **ENDED))
        job = after
    assert await prune(store, job, Cuts(executions=1_000)) == Removed(1, 1, 0)
    assert not await store.advance(job, replace(job, sequence=9), [], None)
    current = await store.job(job.id)
    assert await store.advance(current, replace(current, sequence=9), [], None)


async def test_rows_of_the_ledger_without_an_execution_go_by_age_and_number(store):
    job = await made(store, 3)
    rows = [unstarted_tick(job, f"c:{due}", Outcome.SKIPPED, due=due, now=due, reason="busy") for due in range(10, 410)]
    assert await store.advance(job, replace(job, sequence=4), rows, None)
    assert await prune(store, job, Cuts(executions=110)) == Removed(2, 2 + 100, 0)
    assert await prune(store, job, Cuts(max_executions=20)) == Removed(0, 280, 0)
    left = await ticks_of(store, job.id)
    assert len(left) == 21  # and the tick of the newest execution
    assert [tick.due for tick in left[:20]] == list(range(409, 389, -1))


async def test_rows_that_a_crash_left_without_their_execution_go_later(store):
    job = await made(store, 3)
    tick, _ = first_of(job, key="r:9", sequence=1, due=1)
    assert await store.advance(job, replace(job, sequence=9), [tick], None)
    assert await prune(store, job, Cuts(executions=2)) == Removed(1, 2, 0)


async def test_old_logs_go_and_their_executions_say_that_some_is_missing(store):
    job = await made(store, 40, chunks=2)
    newest = (await store.executions_of(job.id, 1))[0]
    assert (await store.retention.overdue(await history_of(store, job), Cuts(logs=40))).logs == 32
    assert await prune(store, job, Cuts(logs=40)) == Removed(0, 0, 39)
    rows = await store.executions_of(job.id, 40)
    assert [row.truncated for row in rows] == [False] + [True] * 39
    assert [(await store.log_head(row.id)).offset for row in rows] == [20] + [0] * 39
    assert newest.id == rows[0].id


async def test_a_long_log_goes_in_steps_and_its_beginning_last(store):
    job = await made(store, 2)
    old = (await store.executions_of(job.id, 2))[-1]
    await write_log(store, old.id, 100, 10)
    step = await store.retention.prune(await history_of(store, job), Cuts(logs=2))
    assert step == Removed(0, 0, 0, more=True)
    assert 0 < (await store.log_head(old.id)).offset < 1_000
    assert await prune(store, job, Cuts(executions=2)) == Removed(1, 1, 0)
    assert (await store.log_head(old.id)).offset == 0
    assert await store.append(chunk(old.id, Head(), [Piece(STDOUT, 1, b"late")]))


async def test_all_logs_together_have_a_size_which_follows_what_is_written_and_removed(store, open_store):
    before = await store.retention.log_bytes()
    job = await made(store, 3, chunks=4)
    ids = [execution.id for execution in await store.executions_of(job.id, 10)]
    full = await (await open_store()).retention.log_bytes()
    assert full - before >= 3 * 4 * 10
    assert not await store.retention.prune_log(ids[0])
    assert await store.retention.log_bytes() == pytest.approx(before + (full - before) * 2 / 3)
    await prune(store, job, Cuts(logs=10))
    assert await store.retention.log_bytes() == before


async def ended(store: Store, end: int, **changed: object) -> str:
    """The id of an execution of whose end the store heard then, with a log of 20 bytes."""
    job, tick, execution = new("t")
    await store.create(job, tick, None)
    execution = replace(execution, **{**ENDED, "finished_at": end, "stdout_bytes": 20, **changed})
    assert await store.transfer.restore_execution(execution, Noted(None, end), is_counted=True)
    await write_log(store, execution.id, 2, 10)
    return execution.id


async def test_logs_are_listed_in_the_order_of_the_ends_with_whether_they_may_go(store):
    ids = {end: await ended(store, end) for end in (4, 2, 5, 1)}
    ids[3] = await ended(store, 3, cleaned=False)
    while await store.retention.prune_log(ids[2]):
        pass
    job, tick, execution = new("runs")
    await store.create(job, tick, execution)
    await write_log(store, execution.id, 1, 10)
    everything = [StoredLog(ids[end], 20, may_go=end != 3) for end in (1, 3, 4, 5)]
    assert await store.retention.stored_logs(10) == LogPage(everything, None)
    first = await store.retention.stored_logs(2)
    assert first == LogPage(everything[:1], (2, ids[2]))
    second = await store.retention.stored_logs(2, first.next)
    assert second == LogPage(everything[1:3], (4, ids[4]))
    assert await store.retention.stored_logs(2, second.next) == LogPage(everything[3:], None)


async def test_a_log_goes_in_steps_from_its_end_and_its_execution_says_that_some_is_missing(store):
    job = await made(store, 1, chunks=70)
    (execution,) = await store.executions_of(job.id, 10)
    left = []
    while await store.retention.prune_log(execution.id):
        left.append((await store.log_head(execution.id)).sequence)
        assert (await store.execution(execution.id)).truncated
    assert left == sorted(left, reverse=True)
    assert len(left) > 1
    assert await store.log_head(execution.id) == Head()


@pytest.mark.parametrize("changed", NOT_YET)
async def test_the_log_of_what_may_run_or_is_not_cleaned_stays(store, changed):
    job, tick, execution = new("t")
    await store.create(job, tick, replace(execution, **{**ENDED, **changed}))
    await write_log(store, execution.id, 2, 10)
    assert not await store.retention.prune_log(execution.id)
    assert (await store.log_head(execution.id)).sequence == 2
    assert not (await store.execution(execution.id)).truncated


async def test_another_job_under_the_same_id_is_left_alone(store):
    job = await made(store, 5)
    history = replace(await history_of(store, job), incarnation="another")
    assert await store.retention.prune(history, Cuts(executions=1_000)) == Removed()
    assert await count_executions(store, job.id) == 5


async def owe(store: Store, execution_id: str, job: Job, due: int | None, at: int = 1) -> Delivery:
    webhook = Webhook(NotificationTrigger.FINISHES, "https://example.com/hook", {}, 3)
    delivery = Delivery(f"{execution_id}/1", "t", job.id, execution_id, "execution.done", webhook, False, at, due, 3)
    await store.insert_deliveries([delivery])
    return delivery


async def test_what_a_webhook_is_still_to_be_told_of_stays(store):
    job = await made(store, 3)
    first, second, _ = reversed(await store.executions_of(job.id, 3))
    await owe(store, first.id, job, None)
    await owe(store, second.id, job, 9_000)
    assert not await store.retention.is_over(await history_of(store, job), 1_000)
    assert await prune(store, job, Cuts(executions=1_000)) == Removed(1, 1, 0)
    assert await sequences(store, job) == [2, 3]
    assert await store.deliveries_of(first.id) == []


async def test_a_long_history_is_searched_in_parts_for_what_is_still_to_be_sent(store, monkeypatch):
    monkeypatch.setattr("fastlane.storage.retention.TOGETHER", 2)
    job = await made(store, 6)
    assert await store.retention.is_over(await history_of(store, job), 1_000)
    *_, second, _ = await store.executions_of(job.id, 6)
    await owe(store, second.id, job, None)
    assert await store.retention.is_over(await history_of(store, job), 1_000)
    newest, *_ = await store.executions_of(job.id, 6)
    await owe(store, newest.id, job, 9_000)
    assert not await store.retention.is_over(await history_of(store, job), 1_000)


async def test_deliveries_that_are_over_go_by_age(store):
    job = await made(store, 4)
    for number, execution in enumerate(await store.executions_of(job.id, 4)):
        await owe(store, execution.id, job, 9_000 if number == 0 else None, at=10 * number)
    retention = store.retention
    assert [await retention.overdue_deliveries(before) for before in (10, 11, 30, 31)] == [0, 1, 2, 3]
    assert [await retention.prune_deliveries(31, 2), await retention.prune_deliveries(31, 2), await retention.prune_deliveries(31, 2)] == [
        2,
        1,
        0,
    ]
    left = [len(await store.deliveries_of(execution.id)) for execution in await store.executions_of(job.id, 4)]
    assert left == [1, 0, 0, 0]


async def test_a_job_is_over_once_its_newest_execution_and_its_last_change_are_old_enough(store):
    job = await made(store, 3)
    assert [await store.retention.is_over(await history_of(store, job), before) for before in (2, 3, 4)] == [False, False, True]
    empty = new_job("t", next_tick=None, sequence=0, now=50)
    await store.create(empty, None, None)
    assert [await store.retention.is_over(await history_of(store, empty), before) for before in (50, 51)] == [False, True]
    assert await store.delete_job(job.id, job.incarnation, 60) is Deletion.DONE


@pytest.mark.parametrize("tick", [{"next_tick": 5_000}, {"next_tick": None, "held_tick": 5_000}])
async def test_a_job_with_a_tick_to_come_or_held_is_never_over(store, tick):
    job = new_job("t", at=5_000, now=1, **tick)
    await store.create(job, None, None)
    assert not await store.retention.is_over(await history_of(store, job), 10**15)


@pytest.mark.parametrize("changed", NOT_YET)
async def test_a_job_with_an_execution_that_is_not_at_its_end_is_not_over(store, changed):
    job = await made(store, 1)
    tick, execution = first_of(job, key="r:2", sequence=2, due=2)
    assert await store.advance(job, replace(job, sequence=2), [tick], replace(execution, **{**ENDED, "finished_at": 2, **changed}))
    assert not await store.retention.is_over(await history_of(store, job), 10**15)


async def delete_over(store: Store, *jobs: Job, before: int = 1_000) -> Swept:
    """Deletes those of these jobs that are over, at 2,000; by default all ended long before."""
    histories = [await history_of(store, job) for job in jobs]
    return await store.retention.delete_over([(history, before) for history in histories], 2_000)


async def test_jobs_that_are_over_go_together_with_all_that_they_have_and_tasks_without_jobs(store):
    silent, logged, twice = await made(store, 1), await made(store, 1, chunks=3), await made(store, 2)
    alone = new_job("alone", next_tick=None, sequence=0, now=50)
    await store.create(alone, None, None)
    (execution,) = await store.executions_of(logged.id, 1)
    await owe(store, execution.id, logged, None)
    swept = await delete_over(store, silent, logged, twice, alone)
    assert swept == Swept(frozenset(job.id for job in (silent, logged, twice, alone)), 4, 4, late=999)
    for job in (silent, logged, twice, alone):
        assert await store.job(job.id) is None
        assert (await count_executions(store, job.id), await count_ticks(store, job.id)) == (0, 0)
    assert (await store.log_head(execution.id), await store.deliveries_of(execution.id)) == (Head(), [])
    assert [await store.task(id) for id in ("t", "alone")] == [None, None]
    counts = await store.counts()
    assert (counts.jobs, counts.tasks, counts.executions[Status.DONE]) == (0, 0, 0)


@pytest.mark.parametrize("changed", NOT_YET)
async def test_a_job_that_is_not_over_stays_while_others_go_with_what_its_task_has(store, changed):
    goes, runs, owed, late = await made(store, 1), await made(store, 0), await made(store, 1), await made(store, 1)
    tick, execution = first_of(runs, key="r:1", due=1)
    assert await store.advance(runs, replace(runs, sequence=1), [tick], replace(execution, **{**ENDED, "finished_at": 1, **changed}))
    (of_owed,) = await store.executions_of(owed.id, 1)
    await owe(store, of_owed.id, owed, 9_000)
    assert await delete_over(store, late, before=1) == Swept()
    assert (await delete_over(store, runs, goes, owed)).jobs == {goes.id}
    for job in (runs, owed, late):
        assert await store.job(job.id) is not None
        assert (await count_executions(store, job.id), await count_ticks(store, job.id)) == (1, 1)
        assert (await store.job(job.id)).floor == 0
    task = await store.task("t")
    assert (task.jobs_count, task.modified_at) == (3, 2_000)


async def test_jobs_with_a_long_history_or_log_are_left_to_go_by_themselves(store):
    short, long, logged = await made(store, 1), await made(store, 5), await made(store, 1, chunks=40)
    swept = await delete_over(store, short, long, logged)
    assert (swept.jobs, swept.left) == ({short.id}, {long.id, logged.id})
    assert await count_executions(store, long.id) == 5
    (execution,) = await store.executions_of(logged.id, 1)
    assert (await store.log_head(execution.id)).sequence == 40


async def test_a_job_with_more_attempts_than_others_have_makes_its_neighbours_go_one_by_one(store):
    job, other = await made(store, 1), await made(store, 1)
    (attempt,) = await store.executions_of(job.id, 1)
    for _ in range(40):
        attempt = replace(next_execution(attempt, due=1, now=1), finished_at=2, **ENDED)
        assert await store.insert(attempt)
    assert await delete_over(store, job, other) == Swept(left=frozenset({job.id, other.id}))


async def test_a_job_of_another_incarnation_or_with_a_tick_to_come_does_not_go(store):
    job, held = await made(store, 1), new_job("u", now=3, next_tick=None, held_tick=9_000)
    await store.create(held, None, None)
    seen = [replace(await history_of(store, job), incarnation="another"), await history_of(store, held)]
    assert await store.retention.delete_over([(one, 1_000) for one in seen], 2_000) == Swept()
    assert await store.retention.delete_over([], 2_000) == Swept()
    assert await count_executions(store, job.id) == 1


async def test_jobs_are_found_by_the_ends_of_their_executions_up_to_a_moment(store):
    ids = {end: await ended(store, end) for end in (40, 20, 50, 10)}
    jobs = {end: (await store.execution(id)).job_id for end, id in ids.items()}
    first = await store.retention.ended(2, 50)
    assert first == EndedPage([jobs[10], jobs[20]], (20, ids[20]), more=True)
    second = await store.retention.ended(2, 50, first.after)
    assert second == EndedPage([jobs[40]], (40, ids[40]), more=False)
    assert await store.retention.ended(2, 50, second.after) == EndedPage([], second.after, more=False)
    assert [one.job_id for one in await store.retention.histories_of([jobs[50], "gone", jobs[10]])] == [jobs[50], jobs[10]]


async def test_a_walk_over_jobs_may_leave_out_some(store):
    jobs = []
    for number in range(5):
        jobs.append(new_job("t", next_tick=None, sequence=0, now=number + 1))
        await store.create(jobs[-1], None, None)
    page = await store.retention.histories(2, skip=1)
    assert [one.job_id for one in page.jobs] == [job.id for job in jobs[1:3]]
    rest = await store.retention.histories(2, page.next, skip=1)
    assert ([one.job_id for one in rest.jobs], rest.next) == ([jobs[4].id], None)


async def test_a_job_that_runs_again_after_the_look_stays_and_the_others_go(store, monkeypatch):
    job, other = await made(store, 1), await made(store, 1)
    real = store.retention._delete_jobs

    async def overtaken(jobs, now):
        tick, execution = first_of(job, key="r:2", sequence=2)
        assert await store.advance(job, replace(job, sequence=2), [tick], execution)
        return await real(jobs, now)

    monkeypatch.setattr(store.retention, "_delete_jobs", overtaken)
    assert (await delete_over(store, job, other)).jobs == {other.id}
    assert (await count_executions(store, job.id), await count_ticks(store, job.id)) == (2, 2)
    assert (await store.executions_of(job.id, 1))[0].belongs_to(await store.job(job.id))
