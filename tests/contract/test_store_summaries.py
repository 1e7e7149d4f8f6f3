"""What every store says in short: of a task, of its jobs; of a job that failed, its last failure."""

from dataclasses import replace

import pytest

from fastlane.models import transitions
from fastlane.models.job import Execution, FailedJob, Job, Task, TaskSummary
from fastlane.models.paging import WantedFailures, Window
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.storage import pages
from fastlane.storage.base import Deletion, Store
from tests.support.factories import first_of, make_spec, new, new_job

WIDE = Window(1, 100)


async def failed(store: Store, job: Job, *ends: int, status: Status = Status.FAILED) -> list[Execution]:
    """Further executions of a job, which ended at these moments."""
    _, first = first_of(job)
    made = [replace(first, id=f"{job.id}-{end}", sequence=end, status=status, finished_at=end) for end in ends]
    for one in made:
        assert await store.insert(one)
    return made


async def test_a_job_that_fails_again_and_again_does_not_push_others_off_the_list(store: Store) -> None:
    quiet, noisy = new_job("t"), new_job("t")
    for job in (quiet, noisy):
        await store.create(job, None, None)
    (lonely,) = await failed(store, quiet, 1_000)
    loud = await failed(store, noisy, *range(2_000, 2_300))
    page = await store.list_failures(WantedFailures(), Window(1, 2))
    assert (page.total, page.rows) == (2, (FailedJob(loud[-1], 300), FailedJob(lonely, 1)))


async def test_failures_are_those_that_nobody_wished_for_since_a_moment_of_the_tasks_in_question(store: Store) -> None:
    jobs = {status: new_job(f"task-{status}") for status in Status if status.final}
    for status, job in jobs.items():
        await store.create(job, None, None)
        await failed(store, job, 1_000, status=status)
    newest = await failed(store, jobs[Status.EXPIRED], 2_000)
    page = await store.list_failures(WantedFailures(), WIDE)
    assert {row.last.task_id: row.failures for row in page.rows} == {"task-expired": 2, "task-failed": 1, "task-timedout": 1}
    since = await store.list_failures(WantedFailures(since=1_001), WIDE)
    assert (since.total, since.rows) == (1, (FailedJob(newest[0], 1),))
    of_task = await store.list_failures(WantedFailures("task-failed"), WIDE)
    assert [row.last.task_id for row in of_task.rows] == ["task-failed"]
    seen = await store.list_failures(WantedFailures(visible="task-[ft]"), WIDE)
    assert (seen.total, {row.last.task_id for row in seen.rows}) == (2, {"task-failed", "task-timedout"})
    assert (await store.list_failures(WantedFailures("task-failed", visible="other"), WIDE)).total == 0


async def test_a_list_of_failures_looks_at_a_bounded_number_of_them(store: Store, monkeypatch) -> None:
    for module in ("sqlite", "mongo"):
        monkeypatch.setattr(f"fastlane.storage.{module}.lists.MOST_FAILURES", 3)
    assert pages.MOST_FAILURES == 100_000
    old, young = new_job("t"), new_job("t")
    for job in (old, young):
        await store.create(job, None, None)
    await failed(store, old, 1_000)
    await failed(store, young, 2_000, 2_001, 2_002, 2_003)
    page = await store.list_failures(WantedFailures(), WIDE)
    assert (page.total, [(row.last.job_id, row.failures) for row in page.rows]) == (1, [(young.id, 3)])


@pytest.mark.parametrize("wanted", [WantedFailures("quiet"), WantedFailures(visible="quiet")], ids=["of a task", "of visible tasks"])
async def test_a_list_of_a_task_s_failures_looks_at_no_more_of_them(store: Store, monkeypatch, wanted: WantedFailures) -> None:
    """A task that has none would otherwise cost a walk along the failures of all others."""
    for module in ("sqlite", "mongo"):
        monkeypatch.setattr(f"fastlane.storage.{module}.lists.MOST_FAILURES", 3)
    quiet, noisy = new_job("quiet"), new_job("noisy")
    for job in (quiet, noisy):
        await store.create(job, None, None)
    await failed(store, quiet, 1_000, 2_002)
    await failed(store, noisy, 2_000, 2_001, 2_003)
    page = await store.list_failures(wanted, WIDE)
    assert (page.total, [(row.last.job_id, row.failures) for row in page.rows]) == (1, [(quiet.id, 1)])


async def test_a_job_that_was_deleted_is_not_listed_with_its_failures(store: Store) -> None:
    gone, kept = new_job("t"), new_job("t")
    for job in (gone, kept):
        await store.create(job, None, None)
        for one in await failed(store, job, 1_000):
            await store.change(transitions.settle(one))
            await store.change(transitions.clean(one))
    assert await store.delete_job(gone.id, gone.incarnation, 5_000) is Deletion.DONE
    assert [row.last.job_id for row in (await store.list_failures(WantedFailures(), WIDE)).rows] == [kept.id]


async def test_a_task_in_short_has_the_statuses_of_its_jobs_the_next_run_and_the_last_one(store: Store) -> None:
    for due in (9_000, 7_000):
        await store.create(new_job("t", at=due), None, None)
    over = replace(new_job("t", at=6_000), spec=make_spec(expiration=5_500))
    await store.create(over, None, None)
    late = new_job("t", at=8_000, check_at=1, late_since=1)
    await store.create(late, None, None)
    job, tick, execution = new("t")
    await store.create(job, tick, execution)
    manual = replace(new_job("t"), schedule=Schedule(ScheduleKind.MANUAL), sequence=0)
    await store.create(manual, None, None)
    other, other_tick, other_run = new("other")
    await store.create(other, other_tick, other_run)
    claimed = await store.change(transitions.claim(other_run, host="h", pool="p", now=1))
    listed = (await store.list_tasks(Window(1, 10))).rows
    assert {task.id: task.jobs_count for task in listed} == {"t": 6, "other": 1}
    found = await store.task_summaries([*listed, Task("none", 1, 1, 0)], 5_000)
    statuses = dict(found["t"].by_status)
    assert statuses.pop("scheduled") + statuses.pop("expired", 0) == 4
    assert statuses == {"enqueued": 1, "idle": 1}
    assert (found["t"].late, found["t"].next_run, found["t"].latest) == (1, 7_000, execution)
    assert found["other"] == TaskSummary({"pulling": 1}, 0, None, claimed)
    assert found["none"] == TaskSummary()
    assert await store.task_summaries(listed, 5_000) == {id: found[id] for id in ("t", "other")}
    assert await store.task_summaries([], 5_000) == {}


async def test_the_last_run_of_a_task_is_the_one_that_was_due_last(store: Store) -> None:
    job = new_job("t")
    await store.create(job, None, None)
    _, first = first_of(job)
    for number, due in enumerate((1_000, 3_000, 2_000), 1):
        assert await store.insert(replace(first, id=f"run-{number}", sequence=number, scheduled_for=due))
    latest = (await store.task_summaries([Task("t", 1, 1, 1)], 5_000))["t"].latest
    assert latest is not None
    assert latest.id == "run-2"
