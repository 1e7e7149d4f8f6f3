"""What every store promises about the executions of a job, their ledger, and the lists and counts of them."""

import asyncio
import gc
import weakref
from dataclasses import replace
from functools import partial

import pytest

from fastlane.errors import Invalid
from fastlane.models import transitions
from fastlane.models.host import Uncleaned
from fastlane.models.job import Ending, Execution, Failure, RunningContainer, Spec, Started, Usage
from fastlane.models.log_commands import Outputs
from fastlane.models.paging import Wanted, WantedJobs, Window
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import Overlap
from fastlane.models.status import FINAL, UNDER_WAY, Status
from fastlane.models.tick import Outcome, next_execution
from fastlane.storage import logic, pages
from fastlane.storage.base import Counts
from tests.contract.stored import created, ended
from tests.support.factories import first_of, new, new_job
from tests.support.ledger import count_executions, count_ticks, tick_of, ticks_of
from tests.support.waiting import until


async def test_a_further_attempt_is_inserted_once(store, open_store):
    other = await open_store()
    first = await ended(store, Status.FAILED, 900)
    second = next_execution(first, due=2_000, now=1_000)
    results = await asyncio.gather(*(one.insert(second) for one in [store, other] * 4))
    assert results.count(True) == 1
    assert results.count(False) == 7
    assert await store.execution(second.id) == second
    assert await store.executions_of(first.job_id, 10) == [second, first]
    assert await store.latest([first.job_id]) == {first.job_id: second}


async def test_an_attempt_that_is_there_already_stays_as_it_is_when_it_is_inserted_again(store):
    first = await ended(store, Status.FAILED, 900)
    second = next_execution(first, due=2_000, now=1_000)
    assert await store.insert(second)
    claimed = await store.change(transitions.claim(second, host="h", pool="p", now=2_000))
    assert not await store.insert(replace(second, created_at=1_500, scheduled_for=9_000))
    assert await store.execution(second.id) == claimed
    assert (await store.counts()).executions[Status.PULLING] == 1


async def test_a_jobs_ledger_is_listed_with_the_latest_due_first(store):
    job = new_job(at=1)
    await store.create(job, None, None)
    made = []
    for number in range(7):
        tick = replace(first_of(job, key=f"c:{number}", due=1_000 + number // 2)[0], outcome=list(Outcome)[number % 5], execution_id=None)
        advanced = replace(job, sequence=job.sequence + 1)
        assert await store.advance(job, advanced, [tick], None)
        job = advanced
        made.append(tick)
    await store.create(*new())
    expected = sorted(made, key=lambda tick: (tick.due, tick.id), reverse=True)
    assert await ticks_of(store, job.id, 10) == expected
    assert await count_ticks(store, job.id) == 7


async def test_the_last_started_is_the_newest_whose_container_started_whatever_came_after(store):
    job, tick, execution = new()
    first = replace(execution, started_at=5)
    await store.create(job, tick, first)
    assert await store.last_started(job.id) == first
    second = replace(next_execution(first, due=9, now=9), started_at=9)
    assert await store.insert(second)
    for attempt in (3, 4):
        assert await store.insert(replace(second, id=f"{attempt}", attempt=attempt, started_at=None, status=Status.STOPPED))
    assert await store.last_started(job.id) == second
    assert await store.last_started("another") is None


async def test_a_jobs_executions_are_listed_newest_first(store):
    job = new_job(at=1)
    await store.create(job, None, None)
    made = []
    for number in range(6):
        tick, execution = first_of(job, key=f"c:{number}", sequence=1 + number // 2)
        execution = replace(execution, attempt=1 + number % 2, status=list(Status)[number])
        advanced = replace(job, sequence=job.sequence + 1)
        assert await store.advance(job, advanced, [tick], execution)
        job = advanced
        made.append(execution)
    made.reverse()
    await store.create(*new())
    assert await store.executions_of(job.id, 10) == made
    assert await store.executions_of(job.id, 2, 3) == made[3:5]
    assert await count_executions(store, job.id) == 6
    for statuses in (UNDER_WAY, FINAL, frozenset({Status.PULLING}), frozenset({Status.RUNNING, Status.DONE}), frozenset()):
        expected = [execution for execution in made if execution.status in statuses]
        assert await store.executions_of(job.id, 10, statuses=statuses) == expected
        assert await store.executions_of(job.id, 1, 1, statuses=statuses) == expected[1:2]


async def test_the_latest_is_the_newest_under_way_or_else_the_newest(store):
    async def job_with(*statuses: Status) -> tuple[str, list[Execution]]:
        job = new_job(at=1)
        await store.create(job, None, None)
        made = []
        for number, one in enumerate(statuses):
            tick, execution = first_of(job, key=f"c:{number}", sequence=number + 1)
            made.append(replace(execution, status=one))
            advanced = replace(job, sequence=job.sequence + 1)
            assert await store.advance(job, advanced, [tick], made[-1])
            job = advanced
        return job.id, made

    busy, of_busy = await job_with(Status.RUNNING, Status.ENQUEUED, Status.DONE)
    over, of_over = await job_with(Status.FAILED, Status.DONE)
    empty, _ = await job_with()
    assert await store.latest([busy, over, empty, "unknown"]) == {busy: of_busy[1], over: of_over[1]}


async def test_the_latest_of_a_job_is_found_however_much_waits_behind_it(store, monkeypatch):
    monkeypatch.setattr("fastlane.storage.pages.MAX_TEXT", 12_000)
    jobs, expected = [new_job(spec=Spec("ubuntu:latest", command=("x" * 1_000,))) for _ in range(2)], {}
    for job, many in zip(jobs, (14, 1), strict=True):
        await store.create(job, None, None)
        for number in range(2, many + 2):
            tick, execution = first_of(job, key=f"r:{number}", sequence=number)
            assert await store.advance(replace(job, sequence=number - 1), replace(job, sequence=number), [tick], execution)
            expected[job.id] = execution
    assert await store.latest([job.id for job in jobs]) == expected


async def test_a_page_that_is_refused_is_let_go(store, monkeypatch):
    """At once, and not by the garbage collector, which comes hours later."""
    budgets = []

    class Watched(pages.TextBudget):
        def __init__(self):
            super().__init__()
            budgets.append(weakref.ref(self))

    for where in ("sqlite.rows", "mongo.lists", "mongo.database"):
        monkeypatch.setattr(f"fastlane.storage.{where}.TextBudget", Watched)
    monkeypatch.setattr(pages, "MAX_TEXT", 2_000)
    for _ in range(3):
        await store.create(*new(spec=Spec("ubuntu:latest", command=("x" * 1_000,))))
    window = Window(1, 100)
    gc.collect()
    gc.disable()
    try:
        jobs, all_jobs = partial(store.list_jobs, "my-task"), partial(store.list_all_jobs, WantedJobs())
        for read in (jobs, all_jobs, partial(store.list_executions, Wanted())):
            with pytest.raises(Invalid):
                await read(window)
        await until(lambda: not any(budget() for budget in budgets), "the rows of a refused page stay in memory")
    finally:
        gc.enable()
    assert len(budgets) >= 3


async def test_one_that_waits_for_others_is_found_until_it_is_released_and_is_the_latest_only_without_them(store):
    job, tick, first = new()
    await store.create(job, tick, first)
    assert await store.waiting(job.id) is None
    second_tick, second = first_of(job, key="r:2", sequence=2)
    second = replace(second, waits=Overlap.REPLACE)
    advanced = replace(job, sequence=2)
    assert await store.advance(job, advanced, [second_tick], second)
    assert await store.waiting(job.id) == second
    assert await store.latest([job.id]) == {job.id: first}
    assert await store.under_way_of(job.task_id, job.id) == [first, second]
    over = await store.change(transitions.cancel(first, now=9))
    assert await store.latest([job.id]) == {job.id: second}
    assert over is not None
    assert await store.under_way_of(job.task_id, job.id) == [second]
    assert await store.change(transitions.settle(first)) is not None
    assert await store.under_way_of(job.task_id, job.id) == [second]
    released = await store.change(transitions.release(second))
    assert released is not None
    assert released.waits is None
    assert (await store.waiting(job.id), await store.under_way_of("other", job.id)) == (None, [])
    another = await created(store, waits=Overlap.QUEUE)
    assert another.task_id == job.task_id
    assert (await store.waiting(job.id), await store.waiting(another.job_id)) == (None, another)
    assert await store.under_way_of(job.task_id, another.job_id) == [another]


async def test_of_very_many_under_way_the_oldest_are_found_and_the_newest_that_waits(store):
    job, _, first = new()
    await store.create(job, None, None)
    made = [replace(first, id=f"{number:04}", sequence=number, status=Status.RUNNING) for number in range(1, 151)]
    made += [replace(first, id=f"w{number}", sequence=number, waits=Overlap.QUEUE) for number in (151, 152)]
    made[0] = replace(made[0], status=Status.STOPPED, finished_at=1)
    made[1] = replace(made[1], status=Status.FAILED, finished_at=1, failure=Failure(FailureReason.EXIT, "1"))
    for execution in made:
        assert await store.insert(execution)
    found = await store.under_way_of(job.task_id, job.id)
    assert [one.id for one in found] == [*(f"{number:04}" for number in range(3, 103)), "w152"]


async def test_one_that_waits_among_the_oldest_is_found_once(store, monkeypatch):
    monkeypatch.setattr(logic, "MAX_UNDER_WAY", 3)
    job, _, first = new()
    await store.create(job, None, None)
    made = [replace(first, id=f"{number}", sequence=number, waits=Overlap.QUEUE if number == 2 else None) for number in range(1, 5)]
    for execution in made:
        assert await store.insert(execution)
    assert await store.under_way_of(job.task_id, job.id) == made[:3]


async def test_what_ended_while_it_waited_waits_no_more(store):
    job, tick, first = new()
    await store.create(job, tick, replace(first, waits=Overlap.QUEUE))
    await store.change(transitions.cancel(first, now=9))
    assert await store.waiting(job.id) is None


async def test_what_was_inserted_after_its_job_was_deleted_is_not_the_latest_of_a_job_made_under_its_id(store):
    job, tick, execution = new()
    await store.create(job, tick, execution)
    late = replace(next_execution(execution, due=9, now=9), incarnation="an earlier one", sequence=8)
    assert await store.insert(late)
    assert not late.belongs_to(job)
    assert await store.latest([job.id]) == {job.id: execution}
    assert await store.latest([]) == {}
    assert await store.under_way_of(job.task_id, job.id) == [execution]
    assert await store.unfinished(job.task_id, job.id, 10) == [execution]


async def test_executions_with_some_statuses_come_in_order_and_page_without_gap(store):
    made = [await created(store, status=list(Status)[number % 8], scheduled_for=1_000 + number // 5) for number in range(40)]
    for statuses in (UNDER_WAY, frozenset({Status.DONE}), frozenset(Status), frozenset()):
        wanted = [execution for execution in made if execution.status in statuses]
        expected = sorted(wanted, key=lambda execution: (execution.scheduled_for, execution.id))
        found, after = [], None
        while page := await store.executions_in(statuses, 4, after):
            assert len(page) <= 4
            found += page
            after = (page[-1].scheduled_for, page[-1].id)
        assert found == expected


async def test_what_ended_is_unsettled_until_settled_then_uncleaned_until_cleaned(store):
    late, early = await ended(store, Status.DONE, 900), await ended(store, Status.FAILED, 100)
    await created(store, status=Status.RUNNING)
    assert await store.unsettled(10) == [early, late]
    assert await store.unsettled(1) == [early]
    assert await store.unsettled(1, (early.finished_at, early.id)) == [late]
    assert await store.uncleaned(10) == []
    late, early = [await store.change(transitions.settle(execution)) for execution in (late, early)]
    assert await store.unsettled(10) == []
    assert await store.uncleaned(10) == [early, late]
    assert await store.uncleaned(1) == [early]
    assert await store.uncleaned(10, (early.finished_at, early.id)) == [late]
    assert await store.uncleaned(10, (late.finished_at, late.id)) == []
    await store.change(transitions.clean(early))
    assert await store.uncleaned(10) == [late]


async def test_what_is_not_cleaned_yet_is_counted_for_each_host(store):
    assert await store.uncleaned_by_host(10) == []
    hosts = {"b:2375": (400, 200), "a:2375": (300, 500, 200), None: (600,)}
    for host, moments in hosts.items():
        for moment in moments:
            await store.change(transitions.settle(await ended(store, Status.DONE, moment, host=host)))
    await ended(store, Status.DONE, 100, host="a:2375")
    cleaned = await store.change(transitions.settle(await ended(store, Status.FAILED, 100, host="c:2375")))
    await store.change(transitions.clean(cleaned))
    expected = [Uncleaned("a:2375", 3, 200), Uncleaned("b:2375", 2, 200), Uncleaned(None, 1, 600)]
    assert await store.uncleaned_by_host(10) == expected
    assert await store.uncleaned_by_host(4) == [Uncleaned("a:2375", 2, 200), Uncleaned("b:2375", 2, 200)]


async def test_what_runs_is_listed_in_the_order_in_which_it_was_due(store):
    assert await store.running_containers(10) == []
    rows = []
    for due in (300, 100, 200):
        execution = await store.change(transitions.claim(await created(store, scheduled_for=due), host="h:2375", pool="p", now=1))
        bound = await store.change(transitions.bind(execution, service_id="s", swarm_id="w", image_digest="d", now=2))
        rows.append(await store.change(transitions.run(bound, Started("task", f"container of {due}", 3))))
    await store.change(transitions.end(rows.pop(), Ending(Status.DONE, 4, 0)))
    first, second = sorted(rows, key=lambda row: row.scheduled_for)
    assert first.epoch > 0
    shown = [
        RunningContainer(row.id, row.task_id, row.job_id, "h:2375", row.container_id, row.spec.image, epoch=row.epoch)
        for row in (first, second)
    ]
    assert await store.running_containers(10) == shown
    assert await store.running_containers(1) == shown[:1]
    assert await store.running_containers(1, first.task_id) == shown[:1]
    assert await store.running_containers(10, "none") == []


async def test_an_execution_cancelled_before_its_start_needs_no_cleaning(store):
    execution = await store.change(transitions.cancel(await created(store), now=5))
    assert await store.unsettled(10) == [execution]
    await store.change(transitions.settle(execution))
    assert await store.uncleaned(10) == []


async def test_a_tick_is_closed_with_its_outcome_and_may_be_closed_again(store):
    job, tick, execution = new()
    await store.create(job, tick, execution)
    for _ in range(2):
        await store.close_tick(tick.id, Outcome.STOPPED, "stopped before it began")
    assert await tick_of(store, tick.job_id, tick.id) == replace(tick, outcome=Outcome.STOPPED, reason="stopped before it began")
    await store.close_tick("unknown", Outcome.STOPPED, None)


async def test_counts_follow_every_creation_and_change(store):
    empty = dict.fromkeys(Status, 0)
    assert await store.counts() == Counts(0, 0, empty)
    first, _ = await created(store), await created(store)
    await store.create(new_job("other", at=5), None, None)
    claimed = await store.change(transitions.claim(first, host="h", pool="p", now=1))
    await store.change(transitions.take_over(claimed))
    assert await store.counts() == Counts(2, 3, {**empty, Status.ENQUEUED: 1, Status.PULLING: 1})
    assert await store.counts(visible="other|x") == Counts(1, 1, empty)
    assert await store.counts(visible="my-") == Counts(1, 2, {**empty, Status.ENQUEUED: 1, Status.PULLING: 1})
    assert await store.jobs_by_status() == {"scheduled": 1, "enqueued": 1, "pulling": 1}
    assert await store.jobs_by_status(visible="my-") == {"enqueued": 1, "pulling": 1}
    assert await store.jobs_by_status(visible="nothing") == {}


async def test_what_a_container_used_is_stored_with_its_end_and_without_it_there_is_nothing(store):
    running = {"status": Status.RUNNING, "epoch": 1, "service_id": "s", "settled": False}
    measured, small, not_measured = [await created(store, **running) for _ in range(3)]
    used = Usage(2**40, 123_456, 2**50, 0)
    ends = [Ending(Status.DONE, 9, 0, usage=usage) for usage in (used, Usage(1, 0), None)]
    changes = [transitions.end(row, end) for row, end in zip((measured, small, not_measured), ends, strict=True)]
    after = await asyncio.gather(*map(store.change, changes))
    assert [row.usage for row in after] == [used, Usage(1, 0, None, None), None]
    assert (await store.execution(measured.id)).usage == used
    assert (await store.executions_of(small.job_id, 1))[0].usage == Usage(1, 0)
    assert (await store.execution(not_measured.id)).usage is None


async def test_outputs_are_stored_with_the_end_in_their_order(store):
    running = {"status": Status.RUNNING, "epoch": 1, "service_id": "s", "settled": False}
    outputs = Outputs({"z": "a\tb\n…", "$a.b": "", "a": "::"}, ("big",))
    rows = [await created(store, **running) for _ in range(3)]
    ends = [Ending(Status.DONE, 9, 0, outputs=found) for found in (outputs, Outputs({}, ("big",)), None)]
    after = [await store.change(transitions.end(row, end)) for row, end in zip(rows, ends, strict=True)]
    assert [row.outputs for row in after] == [outputs, Outputs({}, ("big",)), None]
    read = [(await store.execution(row.id)).outputs for row in rows]
    assert read == [outputs, Outputs({}, ("big",)), None]
    assert list(read[0].values) == list(outputs.values)


async def test_what_waits_of_a_task_is_counted(store):
    for _ in range(3):
        await created(store)
    await created(store, status=Status.RUNNING)
    await ended(store, Status.DONE, 5)
    assert await store.waiting_of("my-task", 10) == 3
    assert await store.waiting_of("my-task", 2) == 2
    assert await store.waiting_of("another", 10) == 0
