"""Tables: what is cut first on a narrow terminal, and what stays whole at any width."""

from collections.abc import Mapping

import pytest

from fastlane.cli.client.commands.events import DELIVERIES, EVENTS
from fastlane.cli.client.commands.hosts import HOSTS
from fastlane.cli.client.commands.listings import EXECUTIONS, FAILURES, JOBS, POOLS, TASKS, TICKS, late_lines
from fastlane.cli.client.output import cell_width, in_short, laid_out

LAYOUTS = {
    "ps": EXECUTIONS, "jobs": JOBS, "ticks": TICKS, "tasks": TASKS, "pools": POOLS, "events": EVENTS, "deliveries": DELIVERIES,
    "hosts": HOSTS, "failures": FAILURES,
}  # fmt: skip
USUAL = {
    "JOB": "nightly-backup/1a2b3c4d", "NAME": "nightly", "STATUS": "failed (137)", "SCHEDULE": "0 3 * * 1-5 Europe/Berlin",
    "NEXT": "in 23h 59m", "LAST": "failed (137) 23h 59m ago", "IMAGE": "registry.example.com/team/backup:2026.11.30",
    "COMMAND": "sh -c 'tar cf /backup/everything.tar /data && upload /backup'", "DUE": "23h 59m ago", "TOOK": "12h 59m",
    "HOST": "10.0.0.7:2375", "ATTEMPT": "2", "EXECUTION": "1a2b3c4d", "WAS": "23h 59m ago", "OUTCOME": "skipped ×12",
    "REASON": "an execution of the job was still running", "TASK": "nightly-backup", "JOBS": "12", "CHANGED": "23h 59m ago",
    "POOL": "default", "MATCH": "(all others)", "RUNNING": "10/10", "WAITING": "12", "STATE": "unusable",
    "HOSTS": "10.0.0.7:2375, 10.0.0.8:2375 (unusable)", "TIME": "2026-11-30T03:00:00.000Z", "EVENT": "execution.ended",
    "ABOUT": "nightly-backup/1a2b3c4d", "WHO": "anna from 10.0.0.1", "DETAIL": "attempt=1 exitCode=137 status=failed host=10.0.0.7:2375",
    "DELIVERY": "1a2b3c4d", "ATTEMPTS": "4", "RECEIVER": "https://hooks.example.com", "ERROR": "503 Service Unavailable",
    "EXPECTED": "every 1d 2h", "RECEIVERS": "fails 2, late 1, recovered 1",
    "POOLS": "default", "WEIGHT": "1", "FROM": "registered", "ID": "0f3ad6c5-2f5c-4a1e-8d0e-6c7a4b1e9f10",
    "ENDED": "23h 59m ago", "TIMES": "12", "WHY": "the command ended with exit code 137", "STATUSES": "12 scheduled, 1 paused, 2 late",
}  # fmt: skip
KEPT = {
    "ps": {"JOB", "STATUS", "DUE", "EXECUTION"}, "jobs": {"JOB", "STATUS", "NEXT", "LAST"}, "ticks": {"DUE", "OUTCOME", "EXECUTION"},
    "tasks": {"TASK", "CHANGED", "NEXT", "LAST"}, "pools": {"POOL", "RUNNING", "STATE"}, "events": {"TIME", "EVENT", "WHO"},
    "deliveries": {"DELIVERY", "EVENT", "STATE", "LAST", "NEXT"}, "hosts": {"HOST", "STATE"},
    "failures": {"JOB", "STATUS", "ENDED", "EXECUTION"},
}  # fmt: skip
"""The status, the time and the id of each list."""


LATE_SINCE = "2026-11-30T03:00:00.000Z"


def test_a_change_of_a_job_says_what_changed_and_by_whom():
    changes = [{"field": "image", "from": "a:1", "to": "a:2"}, {"field": "command", "from": None, "to": "ls -l"}]
    row = {
        "id": "1", "time": USUAL["TIME"], "kind": "job.changed", "actor": {"user": "anna", "address": "10.0.0.1"}, "taskId": "backup",
        "jobId": "0f3ad6c5-2f5c-4a1e-8d0e-6c7a1a2b3c4d", "host": None, "pool": None, "detail": {"how": "PATCH", "changes": changes},
    }  # fmt: skip
    found = cells(EVENTS, row)
    assert found["DETAIL"] == 'how=PATCH image: a:1 → a:2 command: - → "ls -l"'
    assert (found["WHO"], found["ABOUT"]) == ("anna from 10.0.0.1", "backup/1a2b3c4d")


def cells(layout, row):
    return {column.heading: column.text(row) for column in layout.columns}


def test_each_cell_of_a_job_a_tick_and_a_pool_says_what_its_heading_means():
    job = {
        "taskId": "backup", "id": "0f3ad6c5-2f5c-4a1e-8d0e-6c7a1a2b3c4d", "name": None, "status": "scheduled", "image": "a:1",
        "command": None, "lateSince": "2026-11-30T03:00:00.000Z", "lastExecution": None, "nextRunAt": None,
        "schedule": {"kind": "cron", "entries": [{"cron": "@daily", "timezone": "UTC"}, {"cron": "0 3 * * *", "timezone": "Asia/Tokyo"}]},
    }  # fmt: skip
    assert cells(JOBS, job) == {
        "JOB": "backup/1a2b3c4d", "NAME": "", "STATUS": "scheduled (late)", "SCHEDULE": "@daily; 0 3 * * * Asia/Tokyo", "NEXT": "",
        "LAST": "", "IMAGE": "a:1", "COMMAND": "", "EXPECTED": "", "RECEIVERS": "",
    }  # fmt: skip
    kinds = {"at": "once", "manual": "by hand", "now": "now"}
    assert {kind: cells(JOBS, job | {"schedule": {"kind": kind}})["SCHEDULE"] for kind in kinds} == kinds
    tick = {"id": "1", "due": "2026-11-30T03:00:00.000Z", "outcome": "missed", "count": 2, "reason": None, "execution": None}
    assert cells(TICKS, tick) | {"WAS": ""} == {"DUE": tick["due"], "WAS": "", "OUTCOME": "missed ×2", "REASON": "", "EXECUTION": ""}
    assert cells(TICKS, tick | {"count": 1})["OUTCOME"] == "missed"
    hosts = [{"host": "a:2375", "usable": True}, {"host": "b:2375", "usable": False}]
    pool = {"name": "p", "match": "", "running": 1, "maxRunning": 9, "waiting": 3, "paused": False, "hosts": hosts}
    assert cells(POOLS, pool) == {
        "POOL": "p", "MATCH": "(all others)", "RUNNING": "1/9", "WAITING": 3, "STATE": "open", "HOSTS": "a:2375, b:2375 (unusable)",
    }  # fmt: skip
    paused = cells(POOLS, pool | {"paused": True, "match": "x"})
    assert (paused["MATCH"], paused["STATE"]) == ("x", "paused")


def test_each_cell_of_an_execution_says_what_its_heading_means():
    row = {
        "taskId": "backup", "jobId": "0f3ad6c5-2f5c-4a1e-8d0e-6c7a1a2b3c4d", "executionId": "0f3ad6c5-2f5c-4a1e-8d0e-6c7a5e6f7a8b",
        "status": "failed", "exitCode": 137, "image": "a:1", "command": "ls -l", "scheduledFor": None, "durationMs": 125_000,
        "host": "10.0.0.7:2375", "attempt": 2, "node": "n1", "jobName": "nightly", "expectEvery": 93_600,
        "receivers": {"fails": 2, "late": 0},
    }  # fmt: skip
    assert cells(EXECUTIONS, row) == {
        "JOB": "backup/1a2b3c4d", "STATUS": "failed (137)", "IMAGE": "a:1", "COMMAND": "ls -l", "DUE": "", "TOOK": "2m 5s",
        "HOST": "10.0.0.7:2375", "ATTEMPT": 2, "EXECUTION": "5e6f7a8b", "NODE": "n1", "NAME": "nightly", "EXPECTED": "every 1d 2h",
        "RECEIVERS": "fails 2",
    }  # fmt: skip
    bare = row | {"durationMs": None, "host": None, "command": None, "node": None, "jobName": None, "receivers": {}, "expectEvery": None}
    assert {column.text(bare) for column in EXECUTIONS.columns if column.heading in ("TOOK", "HOST", "COMMAND", "NODE", "NAME")} == {""}


def test_late_jobs_are_named_with_what_to_type_next():
    rows = [{"taskId": task, "jobId": f"x-{task}", "name": None, "lateSince": LATE_SINCE, "expectEvery": 60} for task in "abcdefg"]
    lines = late_lines({"count": 7, "late": [{**rows[0], "name": "nightly"}, *rows[1:]]}, None)
    assert lines[0].startswith("late for ")
    assert lines[0].endswith(" (every 1m): nightly: `fastlane why a/x-a`")
    assert lines[1].endswith(" (every 1m): `fastlane why b/x-b`")
    assert lines[5:] == ["2 more are late; `fastlane jobs --late`"]
    assert len(late_lines({"count": 7, "late": rows}, "b")) == 1
    assert late_lines({"count": 0}, None) == []


def test_the_changes_of_a_job_stand_whole_below_its_row():
    changes = [{"field": "command", "from": "x" * 200, "to": None}]
    assert EVENTS.below is not None
    assert EVENTS.below({"detail": {"changes": changes}}) == [f"    command: {'x' * 200} → -"]
    assert EVENTS.below({"detail": {}}) == []


@pytest.mark.parametrize("width", [60, 80])
def test_a_long_task_is_cut_before_how_the_last_run_ended(width):
    row = table("jobs", width, JOB="backup-of-everything-there-is/1a2b3c4d", STATUS="scheduled", LAST="failed (3) 2h 5m ago")[1]
    assert "…/1a2b3c4d" in row
    assert "failed (3) 2h 5m ago" in row


@pytest.mark.parametrize(("name", "heading"), [("failures", "WHY"), ("deliveries", "ERROR"), ("ticks", "REASON")])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_cause_is_whole_at_any_width_below_its_row_where_it_has_no_room_in_it(name, heading, width):
    short, long = "it said no", "the container ended with exit code 1; its last line was: " + "no space left on device, " * 9 + "sorry"
    for cause in (short, long, "数据库" * 9 + " " + long):
        head, row, *below = table(name, width, **{heading: cause})
        assert max(map(cell_width, (head, row, *below))) <= width
        assert " ".join(line.strip() for line in below) == ("" if heading in head.split() else cause)
        assert cause in row or below
    columns = LAYOUTS[name].columns
    cells = [[cause if column.heading == heading else "x" for column in columns] for cause in ("", long)]
    assert "\n" not in laid_out(columns, cells, width)[1]


@pytest.mark.parametrize("image", ["registry.example.com/team/image@sha256:" + "0123456789abcdef" * 8, "数据库" * 60])
def test_a_word_of_a_cause_that_is_wider_than_the_terminal_goes_on_in_the_next_line(image):
    head, row, *below = table("failures", 60, WHY=f"cannot get {image}")
    assert max(map(cell_width, (head, row, *below))) <= 60
    assert "".join(line.strip() for line in below).replace(" ", "") == f"cannotget{image}"


def table(name: str, width: int, **changed: str) -> list[str]:
    columns = LAYOUTS[name].columns
    return "\n".join(laid_out(columns, [[cell(column.heading, changed) for column in columns]], width)).split("\n")


def cell(heading: str, changed: Mapping[str, str] | None = None) -> str:
    return (USUAL | (changed or {})).get(heading, "other")


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", LAYOUTS)
def test_status_time_and_id_are_whole_at_any_width(name, width):
    """Also beside a long name of a task. On 60 columns a time may lose its smaller part, and a user the address."""
    long = {"TASK": "backup-of-all-the-databases-of-the-north", "JOB": "backup-of-all-the-databases-of-the-north/1a2b3c4d"}
    own = {"LAST": "23h 59m ago"} if name == "deliveries" else {}
    for names in ({}, long, long | {"ABOUT": long["JOB"]}):
        heading, row, *below = table(name, width, **own, **names)
        assert max(map(cell_width, (heading, row, *below))) <= width
        for kept in KEPT[name]:
            text = cell(kept, own | names)
            assert kept in heading.split()
            if kept == "JOB" or kept in names:
                assert text[:4] in row
                assert kept != "JOB" or text[-9:] in row
            else:
                assert text in row or (width == 60 and in_short(text) in row), (kept, row)


def test_what_stays_is_put_in_short_where_it_has_no_room_and_not_before():
    assert [in_short(text) for text in ("in 23h 59m", "failed (137) 2d 3h ago", "now", "5s ago", "anna from 10.0.0.1")] == [
        "in 23h", "failed (137) 2d ago", "now", "5s ago", "anna",
    ]  # fmt: skip
    assert in_short("2026-11-30T03:00:00.000Z") == "2026-11-30T03:00:00Z"
    assert USUAL["LAST"] in table("tasks", 80)[1]
    assert "failed (137) 23h ago" in table("tasks", 60)[1]


def test_the_name_of_a_job_is_cut_before_why_it_failed():
    row = table("failures", 120, NAME="every night at three, of all databases")[1]
    assert USUAL["WHY"] in row
    assert "every night…" in row


def test_the_command_is_cut_first_and_what_it_leaves_is_not():
    """But for the columns about receivers, which go before it."""
    whole = table("ps", 400)[1]
    assert all(cell(column.heading) in whole for column in EXECUTIONS.columns)
    row = table("ps", len(whole) - 50)[1]
    assert USUAL["COMMAND"] not in row
    assert all(cell(column.heading) in row for column in EXECUTIONS.columns if column.heading not in ("COMMAND", "EXPECTED", "RECEIVERS"))


@pytest.mark.parametrize("name", ["ps", "jobs"])
def test_receivers_yield_before_all_else_and_are_left_out_at_80_columns(name):
    whole = table(name, 400)[1]
    row = table(name, len(whole) - 15)[1]
    assert (USUAL["RECEIVERS"] in whole, USUAL["RECEIVERS"] in row) == (True, False)
    assert all(cell(column.heading) in row for column in LAYOUTS[name].columns if column.heading != "RECEIVERS")
    heading, row = table(name, 80, STATUS="scheduled (late)")
    assert not {"EXPECTED", "RECEIVERS"} & set(heading.split())
    assert "scheduled (late)" in row


def test_a_long_task_loses_its_middle_and_keeps_the_end_of_the_id():
    heading, row = table("ps", 60, JOB="a-task-with-a-name-that-is-longer-than-a-line-of-a-terminal/1a2b3c4d")
    assert row.startswith("a-task-with")
    assert "…/1a2b3c4d  failed (137)  23h 59m ago" in row
    assert max(map(cell_width, (heading, row))) <= 60


def test_a_character_that_takes_two_cells_counts_for_two():
    lines = table("ps", 80, COMMAND="echo 日本語日本語日本語日本語日本語")
    assert max(map(cell_width, lines)) <= 80
    assert table("jobs", 200, NAME="日本語")[1].index("failed") == table("jobs", 200, NAME="abcdef")[1].index("failed") - 3


def test_a_mail_that_was_held_back_says_why():
    trouble = DELIVERIES.columns[-1]
    assert "the next one counts this" in str(trouble.text({"state": "held", "attempts": []}))
    assert trouble.text({"state": "failed", "attempts": [{"error": "busy"}]}) == "busy"
    assert trouble.text({"state": "pending", "attempts": []}) == ""
