"""Every query that services, the scheduler and its repairs make of a store, each with rows by chance: its plan is what tests look at."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from fastlane.models.event import Position, Source, Span, at
from fastlane.models.job import Task
from fastlane.models.log import STDERR, STDOUT, Head, Piece
from fastlane.models.paging import After, Wanted, WantedFailures, WantedJobs, Window
from fastlane.models.retention import HOUR, Cuts, HourCount, JobHistory, TaskHour, WantedHours
from fastlane.models.status import FINAL, UNDER_WAY, Status
from fastlane.models.transitions import claim
from fastlane.storage.base import NOT_NOTED, Deletion, Store
from tests.support.factories import INCARNATION, chunk, first_of, new, new_job

Query = Callable[[Store], Awaitable[object]]

MANY, FEW = frozenset({"done", "expired"}), frozenset({"done", "paused"})

ENDED = replace(new()[2], status=Status.DONE, finished_at=1, settled=True, cleaned=True)
COUNTED = TaskHour("t", "p", HourCount(HOUR, {Status.DONE: 1}))
EVENTS = Span(at(5), Position(9, "~"))
BACKWARDS = Span(EVENTS.last, EVENTS.first, backwards=True)


def _events(source: Source, span: Span, store: Store) -> Awaitable[object]:
    return store.events(source, span, 10)


QUERIES: dict[str, Query] = {
    "job": lambda store: store.job("j"),
    "task": lambda store: store.task("t"),
    "execution": lambda store: store.execution("e"),
    "jobs_of": lambda store: store.jobs_of("t", 10),
    "jobs_due": lambda store: store.jobs_due(5_000, 10),
    "jobs_due after": lambda store: store.jobs_due(5_000, 10, (4_000, "x")),
    "late_jobs": lambda store: store.late_jobs(10),
    "count_late_jobs": lambda store: store.count_late_jobs(10),
    "late_jobs of visible tasks": lambda store: store.late_jobs(10, "t"),
    "jobs_to_check": lambda store: store.jobs_to_check(5_000, 10),
    "deliveries_due": lambda store: store.deliveries_due(5_000, 10, {"http://slow:80"}),
    "deliveries_of": lambda store: store.deliveries_of("e"),
    "failing_receivers": lambda store: store.failing_receivers(10),
    "prune_receivers": lambda store: store.prune_receivers(5_000),
    "mail_quota": lambda store: store.mail_quota("q"),
    "next_jobs": lambda store: store.next_jobs(10, 1),
    "next_jobs of visible tasks": lambda store: store.next_jobs(10, 1, "t"),
    "insert": lambda store: store.insert(new()[2]),
    "executions_of": lambda store: store.executions_of("j", 10, 20),
    "executions_of under way": lambda store: store.executions_of("j", 10, statuses=UNDER_WAY),
    "executions_of running": lambda store: store.executions_of("j", 10, statuses=frozenset({Status.RUNNING})),
    "last_started": lambda store: store.last_started("j"),
    "executions_of final": lambda store: store.executions_of("j", 10, statuses=FINAL),
    "latest": lambda store: store.latest(["a", "b"]),
    "waiting": lambda store: store.waiting("j"),
    "waiting_of": lambda store: store.waiting_of("t", 10),
    "under_way_of": lambda store: store.under_way_of("t", "j"),
    "executions_in": lambda store: store.executions_in(UNDER_WAY, 10),
    "executions_in one": lambda store: store.executions_in(frozenset({Status.DONE}), 10, (4_000, "x")),
    "executions_in all": lambda store: store.executions_in(frozenset(Status), 10, (4_000, "x")),
    "running_containers": lambda store: store.running_containers(10),
    "running_containers of visible tasks": lambda store: store.running_containers(10, "t"),
    "unsettled": lambda store: store.unsettled(10),
    "uncleaned": lambda store: store.uncleaned(10),
    "uncleaned after": lambda store: store.uncleaned(10, (4_000, "x")),
    "uncleaned_by_host": lambda store: store.uncleaned_by_host(10),
    "unfinished": lambda store: store.unfinished("t", "j", 10),
    "open_jobs": lambda store: store.open_jobs("t", 10, "a"),
    "delete_task": lambda store: store.delete_task("t"),
    "log_head": lambda store: store.log_head("e"),
    "read_log": lambda store: store.read_log("e", 50, 10),
    "read_log stdout": lambda store: store.read_log("e", 50, 10, STDOUT),
    "read_log stderr": lambda store: store.read_log("e", 50, 10, STDERR),
    "idempotency_records": lambda store: store.transfer.idempotency_records(1_000, 10),
    "idempotency_records after": lambda store: store.transfer.idempotency_records(1_000, 10, (4_000, "x")),
    "creators": lambda store: store.transfer.creators(["a", "b"]),
    "deliveries": lambda store: store.transfer.deliveries(["a", "b"]),
    "logged": lambda store: store.transfer.logged(["a", "b"]),
    "noted": lambda store: store.transfer.noted(["a", "b"]),
    "restore_execution": lambda store: store.transfer.restore_execution(ENDED, NOT_NOTED, is_counted=True),
    "hour_rows": lambda store: store.transfer.hour_rows(10),
    "hour_rows after": lambda store: store.transfer.hour_rows(10, COUNTED),
    "restore_hours": lambda store: store.transfer.restore_hours([COUNTED]),
    "tick": lambda store: store.tick("x"),
    "backfill of a job": lambda store: store.backfills.of_job("j"),
    "backfills of jobs": lambda store: store.backfills.of_jobs(["j", "k"]),
    "running backfills": lambda store: store.backfills.running(10),
    "running backfills after": lambda store: store.backfills.running(10, (4_000, "x")),
    "calendars": lambda store: store.calendars.named(["a", "b"]),
    "all calendars": lambda store: store.calendars.all(10, "a"),
    "names of calendars": lambda store: store.calendars.names(10),
    "jobs_naming calendars": lambda store: store.calendars.jobs_naming(10, "a"),
    "prune backfills": lambda store: store.backfills.prune(5_000, 10),
    "ticks_between": lambda store: store.backfills.ticks_between("j", 1, 5_000, 10),
    "ticks_between after": lambda store: store.backfills.ticks_between("j", 1, 5_000, 10, (4_000, "x")),
    "attempts": lambda store: store.backfills.attempts(["a", "b"]),
    "kept_since": lambda store: store.backfills.kept_since("j"),
    "mail_quotas": lambda store: store.transfer.mail_quotas(10, "q"),
    "create": lambda store: store.create(*new()),
    "stop_job": lambda store: store.stop_job("j", 1),
    "claim": lambda store: store.claim("e", partial(claim, host="h", pool="p", now=1)),
    "change": lambda store: store.change(claim(new()[2], host="h", pool="p", now=1)),
    "list_tasks": lambda store: store.list_tasks(PAGE),
    "list_tasks visible": lambda store: store.list_tasks(NEXT, visible="t"),
    "list_tasks after": lambda store: store.list_tasks(NEXT),
    "list_jobs": lambda store: store.list_jobs("t", PAGE),
    "list_jobs after": lambda store: store.list_jobs("t", NEXT),
    "list_jobs with a status": lambda store: store.list_jobs("t", NEXT, statuses=frozenset({"done"})),
    "list_all_jobs": lambda store: store.list_all_jobs(WantedJobs(), PAGE),
    "list_all_jobs after": lambda store: store.list_all_jobs(WantedJobs(), NEXT),
    "list_all_jobs with a status": lambda store: store.list_all_jobs(WantedJobs(MANY), NEXT),
    "list_all_jobs with a rare status": lambda store: store.list_all_jobs(WantedJobs(FEW), NEXT),
    "list_all_jobs that are late": lambda store: store.list_all_jobs(WantedJobs(late=True), NEXT),
    "list_all_jobs that are late by all": lambda store: store.list_all_jobs(WantedJobs(FEW, None, ("a", "b"), "t", late=True), PAGE),
    "list_all_jobs of a task": lambda store: store.list_all_jobs(WantedJobs(MANY, "t"), NEXT),
    "list_all_jobs with a label": lambda store: store.list_all_jobs(WantedJobs(MANY, label=("a", "b")), NEXT),
    "list_all_jobs of visible tasks": lambda store: store.list_all_jobs(WantedJobs(MANY, visible="t"), NEXT),
    "jobs_by_status": lambda store: store.jobs_by_status(),
    "jobs_by_status of visible tasks": lambda store: store.jobs_by_status("t"),
    "walk_statuses": lambda store: store.walk_statuses(5_000, "a", 10),
    "list_ticks": lambda store: store.list_ticks("j", PAGE),
    "list_ticks after": lambda store: store.list_ticks("j", NEXT),
    "list_executions_of": lambda store: store.list_executions_of("j", PAGE),
    "list_executions_of after": lambda store: store.list_executions_of("j", NEXT),
    "list_executions": lambda store: store.list_executions(Wanted(), NEXT),
    "list_executions with statuses": lambda store: store.list_executions(Wanted(FINAL, since=5), NEXT),
    "list_executions of visible tasks": lambda store: store.list_executions(Wanted(since=5, visible="t"), NEXT),
    "list_executions of visible tasks, ended": lambda store: store.list_executions(Wanted(FINAL, since=5, visible="t"), NEXT),
    "list_executions of a task": lambda store: store.list_executions(Wanted(task_id="t", since=5), NEXT),
    "list_executions of a task, under way": lambda store: store.list_executions(Wanted(UNDER_WAY, "t"), NEXT),
    "list_executions of a task, ended": lambda store: store.list_executions(Wanted(FINAL, "t"), NEXT),
    "list_failures": lambda store: store.list_failures(WantedFailures(since=5), PAGE),
    "list_failures after": lambda store: store.list_failures(WantedFailures(), NEXT_JOB),
    "list_failures of visible tasks": lambda store: store.list_failures(WantedFailures(since=5, visible="t"), NEXT_JOB),
    "task_summaries": lambda store: store.task_summaries([Task("t", 1, 1, 0), Task("u", 1, 1, 0)], 5),
    "was_deleted": lambda store: store.was_deleted("e"),
    "host_load": lambda store: store.host_load("h", None, 1),
    "images_under_way": lambda store: store.images_under_way(),
    "discard": lambda store: store.discard(new()[2]),
    **{f"events {source}": partial(_events, source, EVENTS) for source in Source},
    **{f"events {source} backwards": partial(_events, source, BACKWARDS) for source in Source},
    **{
        f"events {source} of {name}": partial(_events, source, replace(BACKWARDS, **{f"{name}_id": "x"}))
        for source in Source
        for name in ("task", "job", "execution")
        if (source, name) != (Source.CREATED, "execution")
    },
    "prune_events": lambda store: store.retention.prune_events(5, 10),
    "stored_logs": lambda store: store.retention.stored_logs(10, (4_000, "x")),
    "prune_log": lambda store: store.retention.prune_log("e"),
    "prune_logs": lambda store: store.prune_logs("e", 10),
    "histories": lambda store: store.retention.histories(10),
    "histories behind others": lambda store: store.retention.histories(10, (4_000, "x"), 20),
    "histories_of": lambda store: store.retention.histories_of(["x"]),
    "ended": lambda store: store.retention.ended(10, 5_000, (4_000, "x")),
    "histories after": lambda store: store.retention.histories(10, (4_000, "x")),
    "candidates": lambda store: store.retention.candidates([OLD, replace(OLD, sequence=1)], CUTS),
    "is_over": lambda store: store.retention.is_over(OLD, 5_000),
    "overdue": lambda store: store.retention.overdue(OLD, CUTS),
    "overdue whole": lambda store: store.retention.overdue(OLD, CUTS, whole=True),
    "overdue_deliveries": lambda store: store.retention.overdue_deliveries(5_000),
    "prune_deliveries": lambda store: store.retention.prune_deliveries(5_000, 10),
    "hours": lambda store: store.history.hours(HOURS),
    "hours of a task": lambda store: store.history.hours(replace(HOURS, task_id="t")),
    "hours of a pool": lambda store: store.history.hours(replace(HOURS, pool="p")),
    "hours of visible tasks": lambda store: store.history.hours(replace(HOURS, visible="t")),
    "overdue_hours": lambda store: store.history.overdue_hours(HOUR),
    "prune_hours": lambda store: store.history.prune_hours(HOUR, 10),
    "append": lambda store: store.append(chunk("e", Head(), [Piece(STDOUT, 1, b"x")])),
}

HOURS = WantedHours(0, 10 * HOUR)
CUTS = Cuts(5_000, 5_000, 10, 5_000)
OLD = JobHistory("j", "t", INCARNATION, 1, 1, 5, to_come=False)
PAGE, NEXT, NEXT_JOB = Window(1, 10), Window(2, 10, After(50, (4_000, 1))), Window(2, 10, After(50, (4_000, "j")))


async def advance(store: Store) -> None:
    job = new_job(at=2)
    tick, execution = first_of(job)
    await store.advance(job, job, [tick], execution)


async def delete_job(store: Store) -> None:
    job, tick, execution = new("t")
    await store.create(job, tick, replace(execution, status=Status.DONE, finished_at=1, settled=True, cleaned=True))
    assert await store.delete_job(job.id, job.incarnation, 1) is Deletion.DONE


async def prune(store: Store) -> None:
    """With something to remove of each kind."""
    seen = new_job("t")
    await store.create(seen, None, None)
    job = replace(seen, sequence=30)
    rows = [first_of(job, key=f"r:{number}", sequence=number, due=number) for number in range(1, 31)]
    await store.advance(seen, job, [tick for tick, _ in rows], None)
    for tick, execution in rows:
        await store.insert(replace(execution, status=Status.DONE, finished_at=tick.due, settled=True, cleaned=True))
    await store.append(chunk(rows[25][1].id, Head(), [Piece(STDOUT, 1, b"x")]))
    history = next(one for one in (await store.retention.histories(10)).jobs if one.job_id == job.id)
    removed = await store.retention.prune(history, replace(CUTS, executions=20))
    assert (removed.executions, removed.ticks, removed.logs) == (20, 20, 1)


async def delete_over(store: Store) -> None:
    job, tick, execution = new("t")
    await store.create(job, tick, replace(execution, status=Status.DONE, finished_at=1, epoch=1, settled=True, cleaned=True))
    await store.append(chunk(execution.id, Head(), [Piece(STDOUT, 1, b"x")]))
    (history,) = await store.retention.histories_of([job.id])
    assert (await store.retention.delete_over([(history, 2**50)], 2)).jobs == {job.id}


QUERIES["advance"] = advance
QUERIES["delete_over"] = delete_over
QUERIES["delete_job"] = delete_job
QUERIES["prune"] = prune
QUERIES["open_jobs of executions"] = QUERIES["open_jobs"]
