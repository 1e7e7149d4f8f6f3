"""Every query walks an index, so that none grows slower with the history: SQLite's own plans say so."""

import re
from dataclasses import replace

import pytest

from fastlane.storage.sqlite import file as sqlite
from fastlane.storage.sqlite.connection import connect
from fastlane.storage.sqlite.store import SqliteStore
from tests.support.factories import new_job
from tests.support.store_queries import QUERIES

"""Statuses of jobs: those that a job may have without anything that says so, and those that it may not."""

SHORT = (
    "executions_unsettled",
    "executions_uncleaned",
    "backfills_running",
    "CONSTANT",
    "VIRTUAL TABLE",
    "task_words",
    "found",
    "one_page",
    "page",
    "seen_tasks",
    "candidates",
    "jobs_to_come",
    "jobs_late_by_creation",
    "executions_under_way",
    "FIRST 10",
    "receivers_by_age",
)
"""What may be scanned from its start: indexes that hold nothing but what is asked for, the values of an INSERT, a list of ids,
the rows of a page that was found, the tasks that a caller may see."""

SORTED = (
    *("list_executions of visible tasks", "list_executions of visible tasks, ended", "uncleaned_by_host"),
    *("list_all_jobs of visible tasks", "list_all_jobs with a label", "images_under_way", "jobs_by_status of visible tasks"),
    *("list_failures", "list_failures after", "list_failures of visible tasks", "task_summaries"),
    *("events enqueued of job", "events started of job", "events ended of job"),
)
"""What sorts, of each visible task or of a label, the rows that the page may need; a bounded number of small rows, by their host; the
names of the images under way, which are as few as what runs; the jobs that failed;
the statuses of the tasks of a page; and the executions of one job."""

COVERED = ("uncleaned_by_host", "list_failures")
"""What finds all that it asks for in an index: to get at a column behind a row's spec, SQLite reads the spec."""

PARTIAL = {
    "executions_of under way": "executions_under_way",
    "executions_of running": "executions_under_way",
    "executions_of final": "executions_of_job",
    "executions_in": "executions_by_status",
    "latest": "executions_under_way",
    "jobs_due": "jobs_due",
    "jobs_to_check": "jobs_to_check",
    "late_jobs": "jobs_late",
    "count_late_jobs": "jobs_late",
    "late_jobs of visible tasks": "jobs_late",
    "list_all_jobs that are late": "jobs_late_by_creation",
    "list_all_jobs that are late by all": "jobs_late_by_creation",
    "deliveries_due": "deliveries_due",
    "deliveries_of": "deliveries_of_execution",
    "deliveries": "deliveries_of_execution",
    "failing_receivers": "receivers_by_age",
    "prune_receivers": "receivers_by_failure",
    "next_jobs of visible tasks": "jobs_due",
    "list_tasks after": "tasks_by_change",
    "list_jobs after": "jobs_of_task",
    "list_jobs with a status": "jobs_of_task_by_status",
    "list_all_jobs after": "jobs_by_creation",
    "list_all_jobs with a status": "jobs_by_status",
    "list_all_jobs with a rare status": "jobs_by_status",
    "list_all_jobs of a task": "jobs_of_task_by_status",
    "list_all_jobs of visible tasks": "jobs_of_task_by_status",
    "jobs_by_status": "jobs_by_status",
    "jobs_by_status of visible tasks": "jobs_of_task_by_status",
    "walk_statuses": "jobs_due",
    "list_ticks after": "ticks_of_job",
    "list_executions_of after": "executions_of_job",
    "list_executions": "executions_by_status",
    "list_executions with statuses": "executions_by_status",
    "list_executions of visible tasks": "executions_of_task",
    "list_executions of visible tasks, ended": "executions_ended",
    "list_executions of a task": "executions_of_task",
    "list_executions of a task, under way": "executions_by_status",
    "list_executions of a task, ended": "executions_ended",
    "list_failures": "executions_failed",
    "list_failures after": "executions_failed",
    "list_failures of visible tasks": "executions_failed",
    "task_summaries": "jobs_next_of_task",
    "running_containers": "executions_by_status",
    "running_containers of visible tasks": "executions_by_status",
    "unsettled": "executions_unsettled",
    "uncleaned": "executions_uncleaned",
    "uncleaned after": "executions_uncleaned",
    "uncleaned_by_host": "executions_uncleaned",
    "unfinished": "executions_unfinished",
    "hour_rows": "hours_of_task",
    "hour_rows after": "hours_of_task",
    "restore_execution": "hours_of_task",
    "stored_logs": "executions_by_end",
    "open_jobs": "jobs_to_come",
    "open_jobs of executions": "executions_unfinished",
    "delete_job": "ticks_of_job",
    "read_log": "log_by_offset",
    "read_log stdout": "log_by_stdout",
    "read_log stderr": "log_by_stderr",
}
"""The index that makes the difference, where another would do for the letter."""


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
    await store.create(replace(new_job("t"), id="j"), None, None)  # what is asked of a job that is gone reads nothing else
    statements.clear()
    yield store, statements
    await store.close()


QUERIES_HERE = {**QUERIES, "log_bytes": lambda store: store.retention.log_bytes()}


@pytest.mark.parametrize("name", QUERIES_HERE)
async def test_a_query_scans_no_table_and_sorts_nothing(traced, tmp_path, name):
    store, statements = traced
    await QUERIES_HERE[name](store)
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


PAGED = {"jobs_due after": "(next_tick,id)>(?,?)", "uncleaned after": "(finished_at,id)>(?,?)", "list_jobs after": "(created_at,id)<(?,?)"}
"""How the rows of a further page are looked up: at the row before them, not at the first of the list."""


@pytest.mark.parametrize("name", PAGED)
async def test_a_further_page_begins_at_the_row_before_it(traced, tmp_path, name):
    store, statements = traced
    await QUERIES_HERE[name](store)
    db = connect(tmp_path / "store.db", 1.0)
    queries = [statement for statement in statements if re.match(r"\s*(WITH|SELECT)", statement)]
    plan = [row[3] for statement in queries for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
    db.close()
    assert any(PAGED[name] in step for step in plan), plan


async def test_late_jobs_are_read_in_one_statement_without_their_specs(traced):
    store, statements = traced
    await store.late_jobs(10)
    (query,) = [statement for statement in statements if statement.startswith("SELECT")]
    columns = query.partition(" FROM ")[0].removeprefix("SELECT ").split(", ")
    parts = [f"CASE WHEN json_valid(spec) THEN spec ->> '$.{name}' END" for name in ("name", "expect_every", "done_by")]
    assert columns == ["id", "task_id", "late_since", *parts]
