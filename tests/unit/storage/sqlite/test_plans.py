"""Every query walks an index, so that none grows slower with the history: SQLite's own plans say so."""

import re
from dataclasses import replace

import pytest

from fastlane.models.logs.chunk import STDERR, STDOUT, Head, Piece
from fastlane.models.paging import After, Wanted, WantedJobs, Window
from fastlane.models.status import FINAL, UNDER_WAY, Status
from fastlane.models.transitions import claim
from fastlane.storage.base import Deletion
from fastlane.storage.sqlite import store as sqlite
from fastlane.storage.sqlite.schema import connect
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.factories import chunk, first_of, new, new_job

MANY, FEW = frozenset({"done", "expired"}), frozenset({"done", "paused"})
"""Statuses of jobs: those that a job may have without anything that says so, and those that it may not."""

QUERIES = {
    "job": lambda store: store.job("j"),
    "task": lambda store: store.task("t"),
    "execution": lambda store: store.execution("e"),
    "jobs_of": lambda store: store.jobs_of("t", 10),
    "jobs_due": lambda store: store.jobs_due(5_000, 10),
    "jobs_due after": lambda store: store.jobs_due(5_000, 10, (4_000, "x")),
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
    "create": lambda store: store.create(*new()),
    "stop_job": lambda store: store.stop_job("j", 1),
    "change": lambda store: store.change(claim(new()[2], host="h", pool="p", now=1)),
    "list_tasks": lambda store: store.list_tasks(PAGE),
    "list_tasks visible": lambda store: store.list_tasks(NEXT, visible="t"),
    "list_tasks after": lambda store: store.list_tasks(NEXT),
    "list_jobs": lambda store: store.list_jobs("t", PAGE),
    "list_jobs after": lambda store: store.list_jobs("t", NEXT),
    "list_jobs with a status": lambda store: store.list_jobs("t", NEXT, status="done"),
    "list_all_jobs": lambda store: store.list_all_jobs(WantedJobs(), PAGE),
    "list_all_jobs after": lambda store: store.list_all_jobs(WantedJobs(), NEXT),
    "list_all_jobs with a status": lambda store: store.list_all_jobs(WantedJobs(MANY), NEXT),
    "list_all_jobs with a rare status": lambda store: store.list_all_jobs(WantedJobs(FEW), NEXT),
    "list_all_jobs of a task": lambda store: store.list_all_jobs(WantedJobs(MANY, "t"), NEXT),
    "list_all_jobs with a label": lambda store: store.list_all_jobs(WantedJobs(MANY, label=("a", "b")), NEXT),
    "list_all_jobs of visible tasks": lambda store: store.list_all_jobs(WantedJobs(MANY, visible="t"), NEXT),
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
    "was_deleted": lambda store: store.was_deleted("e"),
    "discard": lambda store: store.discard(new()[2]),
    "prune_logs": lambda store: store.prune_logs("e", 10),
    "append": lambda store: store.append(chunk("e", Head(), [Piece(STDOUT, 1, b"x")])),
}

PAGE, NEXT = Window(1, 10), Window(2, 10, After(50, (4_000, 1)))

SHORT = (
    "executions_unsettled",
    "executions_uncleaned",
    "CONSTANT",
    "VIRTUAL TABLE",
    "task_words",
    "found",
    "one_page",
    "page",
    "seen_tasks",
    "candidates",
    "jobs_to_come",
    "FIRST 10",
)
"""What may be scanned from its start: indexes that hold nothing but what is asked for, the values of an INSERT, a list of ids,
the rows of a page that was found, the tasks that a caller may see."""

SORTED = (
    *("list_executions of visible tasks", "list_executions of visible tasks, ended", "uncleaned_by_host"),
    *("list_all_jobs of visible tasks", "list_all_jobs with a label", "list_all_jobs with a rare status"),
)
"""What sorts, of each visible task or of a label, the rows that the page may need; and a bounded number of small rows, by their host."""

COVERED = ("uncleaned_by_host",)
"""What finds all that it asks for in an index: to get at a column behind a row's spec, SQLite reads the spec."""

PARTIAL = {
    "executions_of under way": "executions_under_way",
    "executions_of running": "executions_under_way",
    "executions_of final": "executions_of_job",
    "executions_in": "executions_by_status",
    "latest": "executions_under_way",
    "jobs_due": "jobs_due",
    "next_jobs of visible tasks": "jobs_due",
    "list_tasks after": "tasks_by_change",
    "list_jobs after": "jobs_of_task",
    "list_jobs with a status": "jobs_of_task",
    "list_all_jobs after": "jobs_by_creation",
    "list_all_jobs with a status": "jobs_by_creation",
    "list_all_jobs with a rare status": "executions_by_status",
    "list_all_jobs of a task": "jobs_of_task",
    "list_all_jobs of visible tasks": "jobs_of_task",
    "list_ticks after": "ticks_of_job",
    "list_executions_of after": "executions_of_job",
    "list_executions": "executions_by_status",
    "list_executions with statuses": "executions_by_status",
    "list_executions of visible tasks": "executions_of_task",
    "list_executions of visible tasks, ended": "executions_ended",
    "list_executions of a task": "executions_of_task",
    "list_executions of a task, under way": "executions_by_status",
    "list_executions of a task, ended": "executions_ended",
    "running_containers": "executions_by_status",
    "running_containers of visible tasks": "executions_by_status",
    "unsettled": "executions_unsettled",
    "uncleaned": "executions_uncleaned",
    "uncleaned after": "executions_uncleaned",
    "uncleaned_by_host": "executions_uncleaned",
    "unfinished": "executions_unfinished",
    "open_jobs": "jobs_to_come",
    "open_jobs of executions": "executions_unfinished",
    "delete_job": "ticks_of_job",
    "read_log": "log_by_offset",
    "read_log stdout": "log_by_stdout",
    "read_log stderr": "log_by_stderr",
}
"""The index that makes the difference, where another would do for the letter."""


async def advance(store):
    job = new_job(at=2)
    tick, execution = first_of(job)
    await store.advance(job, job, [tick], execution)


@pytest.fixture
async def traced(tmp_path, monkeypatch):
    """A store, and the statements that its connections execute."""
    statements = []

    def connect(path, busy_timeout):
        db = plain(path, busy_timeout)
        db.set_trace_callback(statements.append)
        return db

    plain = sqlite.connect
    monkeypatch.setattr(sqlite, "connect", connect)
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    yield store, statements
    await store.close()


async def delete_job(store):
    job, tick, execution = new("t")
    await store.create(job, tick, replace(execution, status=Status.DONE, finished_at=1, settled=True, cleaned=True))
    assert await store.delete_job(job.id, job.incarnation, 1) is Deletion.DONE


QUERIES["advance"] = advance
QUERIES["delete_job"] = delete_job
QUERIES["open_jobs of executions"] = QUERIES["open_jobs"]


@pytest.mark.parametrize("name", QUERIES)
async def test_a_query_scans_no_table_and_sorts_nothing(traced, tmp_path, name):
    store, statements = traced
    await QUERIES[name](store)
    queries = [statement for statement in statements if re.match(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE)", statement)]
    assert queries
    db = connect(tmp_path / "store.db", 1.0)
    plan = [row[3] for statement in queries for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
    db.close()
    assert name in SORTED or not [step for step in plan if "TEMP B-TREE" in step], plan
    assert not [step for step in plan if "SCAN" in step and not any(word in step for word in SHORT)], plan
    assert name not in COVERED or not [step for step in plan if "executions" in step and "COVERING" not in step], plan
    if name in PARTIAL:
        assert any(re.search(rf"INDEX {PARTIAL[name]}\b", step) for step in plan), plan
