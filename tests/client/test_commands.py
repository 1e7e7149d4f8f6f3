"""The commands that list, look and act, against a real server: tables for people, and JSON, formats and names for scripts."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from jsonschema import Draft202012Validator

from fastlane import __version__
from fastlane.cli.client.output import duration, relative
from fastlane.models.pool import Pool
from fastlane.queue.port import Report
from fastlane.web.openapi import ApiDocument
from fastlane.web.routes import ROUTES
from tests.support.command_line import Terminal
from tests.support.fastlane import IMAGE, POOLS, Fastlane
from tests.support.waiting import until
from tests.support.web_settings import web_settings

SCHEMAS = {"components": ApiDocument(ROUTES, web_settings()).content["components"]}
CRON = "0 3 * * *"


def check(name: str, value: object) -> None:
    """Fails for what the API's schema of this name does not allow."""
    Draft202012Validator({"$ref": f"#/components/schemas/{name}", **SCHEMAS}).validate(value)


async def cron(server, task="backup", **fields):
    return await server.enqueue(task, cron=CRON, **fields)


async def test_a_list_is_a_table_for_people(server, command_line):
    reply = await cron(server, name="nightly", command="tar cf -")
    failed = await server.run_to_end("report", code=3)
    jobs = await command_line("jobs")
    header, report, backup = jobs.lines
    assert header.split("\t") == ["JOB", "NAME", "STATUS", "SCHEDULE", "NEXT", "LAST", "IMAGE", "COMMAND", "EXPECTED", "RECEIVERS"]
    assert backup.startswith(f"backup/{reply['jobId'][-8:]}")
    assert all(word in backup for word in ("nightly", "scheduled", CRON, "in ", IMAGE, "tar cf -"))
    assert report.startswith(f"report/{failed['jobId'][-8:]}")
    assert "failed" in report
    executions = await command_line("ps", "-a")
    assert "failed (3)" in executions.lines[1]
    assert len((await command_line("ps")).lines) == 1
    (row,) = (await command_line("failures")).lines[1:]
    assert row.startswith(f"report/{failed['jobId'][-8:]}\tfailed (3)\t")
    assert row.endswith("\texit code 3")
    tasks = await command_line("tasks")
    assert tasks.lines[0].split("\t") == ["TASK", "JOBS", "CHANGED", "NEXT", "LAST", "STATUSES"]
    assert {line.split("\t")[0]: line.split("\t")[-1] for line in tasks.lines[1:]} == {"report": "1 failed", "backup": "1 scheduled"}
    assert len((await command_line("tasks", "back")).lines) == 2
    assert "0/10" in (await command_line("pools")).text


@pytest.mark.parametrize("command", [("jobs",), ("ps", "-a")])
async def test_lists_say_how_often_a_job_is_to_succeed_and_who_is_told(server, command_line, command):
    """Of a job that has run, and of one that nobody expects anything of."""
    hook = {"url": "https://hooks.example.com/a"}
    made = await server.enqueue("watched", cron=CRON, expectEvery="1h", webhooks={"fails": [hook, hook], "late": [hook]})
    await server.end(await server.run((await server.post(f"{made['jobUrl']}run")).json))
    await server.run_to_end("other")
    table = [line.split("\t") for line in (await command_line(*command)).lines]
    assert table[0][-2:] == ["EXPECTED", "RECEIVERS"]
    rows = {row[0].partition("/")[0]: row[-2:] for row in table[1:]}
    assert rows == {"watched": ["every 1h", "fails 2, late 1"], "other": ["", ""]}
    (row,) = [row for row in (await command_line(*command, "watched", "--json")).json if row["taskId"] == "watched"]
    assert (row["expectEvery"], row["receivers"]["fails"], row["receivers"]["succeeds"]) == (3_600, 2, 0)
    why = (await command_line("why", "watched")).text
    assert "not late: it must succeed every 1h: its last success ended at " in why
    assert "its lists for late have 1 receiver" in why


async def test_a_list_of_late_jobs_says_that_there_are_none(server, command_line):
    await cron(server)
    for arguments, words in (((), "no job is late\n"), (("backup",), "no such job is late\n"), (("--json",), "")):
        assert (await command_line("jobs", "--late", *arguments)).err == words


@pytest.mark.parametrize(
    ("arguments", "schema"),
    [
        (("ps", "-a"), "ExecutionRow"),
        (("tasks",), "Task"),
        (("failures", "report", "--since", "24h"), "FailedJob"),
        (("jobs",), "JobRow"),
        (("jobs", "backup", "--status", "scheduled", "--label", "team=data"), "JobRow"),
        (("ticks", "report"), "Tick"),
        (("pools",), "Pool"),
    ],
)
async def test_a_list_is_json_as_the_api_has_it(server, command_line, arguments, schema):
    await cron(server, labels={"team": "data"})
    await server.run_to_end("report", code=3)
    rows = (await command_line(*arguments, "--json")).json
    assert rows
    for row in rows:
        check(schema, row)


async def test_what_is_looked_at_is_json_as_the_api_has_it(server, command_line):
    await cron(server)
    check("JobFull", (await command_line("inspect", "backup")).json)
    check("Definition", (await command_line("inspect", "backup", "--definition")).json)
    check("Why", (await command_line("why", "backup", "--json")).json)
    check("ServerStatus", (await command_line("status", "--json")).json)


async def test_scripts_get_names_and_lines_of_their_own_format(server, command_line):
    reply = await cron(server)
    name = f"backup/{reply['jobId']}"
    assert (await command_line("jobs", "-q")).lines == [name]
    assert (await command_line("jobs", "--format", "{taskId}\\t{schedule.cron}|{lastExecution}")).lines == [f"backup\t{CRON}|"]
    assert (await command_line("inspect", name, "--format", "{status} {labels}")).lines == ["scheduled {}"]
    assert (await command_line("status", "--format", "{fastlane.executor}")).lines == ["swarm"]
    await server.enqueue("once")
    assert (await command_line("jobs", "--format", "{taskId} {schedule.cron}|")).lines == ["once |", f"backup {CRON}|"]
    wrong = await command_line("jobs", "--format", "{tsakId}")
    assert (wrong.code, "'taskId'" in wrong.err) == (2, True)


async def test_a_list_that_is_longer_than_a_page_is_whole(server, command_line):
    for _ in range(101):
        await server.enqueue("many")
    assert len((await command_line("ps", "-n", "200", "-q")).lines) == 101
    assert len((await command_line("ps", "-n", "3", "-q")).lines) == 3


async def test_colours_are_for_terminals(server, command_line):
    reply = await server.run_to_end("report")
    assert b"\x1b" not in (await command_line("ps", "-a")).out
    command_line.environment["TERM"] = "xterm-256color"
    with Terminal(60) as terminal:
        process = await command_line.start("ps", "-a", stdin=terminal.there, stdout=terminal.there)
        await process.wait()
        await until(lambda: b"done" in terminal.said, lambda: terminal.said)
        assert b"\x1b[32mdone" in terminal.said
        lines = re.sub(rb"\x1b\[[0-9;]*m", b"", terminal.said).decode().splitlines()
        assert max(len(line) for line in lines) <= 60
        assert reply["executionId"][-8:] in lines[1]
    command_line.environment["NO_COLOR"] = "1"
    with Terminal() as terminal:
        await (await command_line.start("ps", "-a", stdin=terminal.there, stdout=terminal.there)).wait()
        await until(lambda: b"done" in terminal.said, lambda: terminal.said)
        assert b"\x1b[32m" not in terminal.said


async def test_a_command_that_would_act_on_the_terminal_is_shown_and_does_not(server, command_line):
    await server.enqueue("task", command=["echo", "\x1b[2Jgone"])
    done = await command_line("ps")
    assert "gone" in done.text
    assert b"\x1b" not in done.out


HOSTILE = "\x1b]0;title\x07 \x9b2Jgone \u202egnp.exe \u2066x \x7f"


@pytest.mark.parametrize(
    "arguments",
    [
        *(("jobs", "--json"), ("jobs", "--format", "{name} {command}"), ("jobs",), ("ps", "--json")),
        *(("inspect", "task"), ("inspect", "task", "--definition"), ("inspect", "task", "--format", "{name} {spec.command} {metadata}")),
        *(("why", "task"), ("why", "task", "--json"), ("deliveries", "task", "--json"), ("events", "--json")),
        *(("export", "--compose", "task"), ("edit", "task"), ("set", "task", "name=\u202ex"), ("why", "\u202ex"), ("why", "task/\u202ex")),
    ],
)
async def test_no_output_acts_on_the_terminal_or_hides_others(server, command_line, arguments):
    schedule = {"cron": CRON} if arguments[0] == "export" else {}
    hostile = {"name": "\u202egnp.exe \u2066x", "command": ["echo", HOSTILE], "metadata": {HOSTILE: HOSTILE}}
    await server.enqueue("task", **hostile, **schedule)
    command_line.environment["EDITOR"] = "cat"
    done = await command_line(*arguments)
    assert done.code == 0 or "\u202ex" in arguments[-1], done.err
    shown = done.out.decode()
    assert {sign for sign in shown + done.err if not sign.isprintable()} <= {"\n", "\t"}  # a tab is between cells
    if "--json" in arguments or arguments == ("inspect", "task"):
        json.loads(shown)
    if arguments == ("inspect", "task"):
        assert json.loads(shown)["metadata"]["custom"] == {HOSTILE: HOSTILE}
    if arguments[0] == "export":
        assert yaml.safe_load(shown)["jobs"]


@pytest.mark.parametrize(
    ("command", "content"),
    [
        ("import-crontab", "@daily echo {}\n"),
        ("import-ofelia", '[job-run "nightly"]\nschedule = @daily\nimage = busybox\ncommand = echo {}\n'),
    ],
)
async def test_files_from_other_schedulers_neither_act_on_the_terminal_nor_hide_others(command_line, command, content):
    text = "\u202egnp.exe \u2066x \u200b \u00fc"
    made = await command_line(command, "--image", "ubuntu", "-", input=content.format(text).encode())
    assert {sign for sign in made.out.decode() + made.err if not sign.isprintable()} <= {"\n"}
    assert text in json.dumps(yaml.safe_load(made.text), ensure_ascii=False)


async def test_a_list_into_a_pipe_that_closes_is_quiet(server, command_line):
    for _ in range(3):
        await server.enqueue("many")
    done = await command_line.shell("fastlane ps --json | head -n 1")
    assert (done.out, done.err) == (b"[\n", "")


@pytest.mark.parametrize("part", ["{id}", "{url}", "backup/{end}", "backup/{beginning}", "backup/nightly", "backup"])
async def test_a_job_has_several_names(server, command_line, part):
    reply = await cron(server, name="nightly")
    await cron(server, task="other")
    id = reply["jobId"]
    name = part.format(id=f"backup/{id}", url=reply["jobUrl"], end=id[-8:], beginning=id[:18])
    assert (await command_line("inspect", name, "--format", "{id}")).lines == [id]


async def test_a_name_that_could_be_several_jobs_is_refused_where_something_changes(server, command_line):
    first, second = await cron(server), await cron(server)
    refused = await command_line("stop", "backup")
    assert refused.code == 2
    assert all(reply["jobId"] in refused.err for reply in (first, second))
    assert (await command_line("inspect", "backup", "--format", "{id}")).lines == [second["jobId"]]
    for wrong in ("backup/none", "backup/", "none", "http://localhost/x"):
        assert (await command_line("stop", wrong)).code in (1, 2), wrong


async def test_a_days_work(crewed, crewed_line):
    """A nightly job is scheduled, fails, is understood, put right and run again."""
    made = await crewed_line(
        "schedule",
        "--task",
        "backup",
        "--name",
        "nightly",
        "--cron",
        CRON,
        "--timezone",
        "Europe/Berlin",
        IMAGE,
        "err",
        "no space\n",
        "exit",
        "28",
    )
    name, *runs = made.lines
    assert len(runs) == 5
    assert (await crewed_line("run-now", "backup")).code == 0

    async def failed():
        return b"failed" in (await crewed_line("jobs", "backup")).out

    await until(failed, "the job to fail")
    why = await crewed_line("why", "backup/nightly")
    assert "exit code 28" in why.text
    assert f"fastlane logs --tail 20 {name}" in why.text
    logs = await crewed_line("logs", "--tail", "20", "backup")
    assert (logs.out, logs.err) == (b"", "no space\n")
    assert (await crewed_line("pause", "backup")).text.endswith("paused\n")
    assert (await crewed_line("resume", "backup")).text.endswith("scheduled\n")
    ticks = await crewed_line("ticks", "backup", "--format", "{outcome}")
    assert ticks.lines == ["started"]
    assert (await crewed_line("stop", "backup")).text == f"{name}: stopped\n"
    assert (await crewed_line("retry", "backup")).code == 0
    assert (await crewed_line("rm", "--stop", "backup")).text == f"{name}: removed\n"
    assert (await crewed_line("jobs", "-q")).lines == []


async def test_whole_tasks_are_stopped_and_removed(server, command_line):
    for _ in range(2):
        await cron(server)
    assert (await command_line("stop", "--all", "backup")).text == "backup: 2 jobs stopped\n"
    assert (await command_line("rm", "--all", "backup")).code == 0
    assert (await command_line("tasks", "-q")).lines == []


async def test_pools_are_read_again(shared_redis, tmp_path, command_at):
    more = [Pool("late", "late-", POOLS[0].hosts), *POOLS]
    async with Fastlane(tmp_path, shared_redis.url, read_pools=lambda: more) as server:
        reloaded = await command_at(server.base)("reload")
        assert (reloaded.code, reloaded.text) == (0, "pools: revision 2\n")
        assert "late" in (await command_at(server.base)("pools")).text


async def test_each_worker_says_which_version_it_is(shared_redis, tmp_path, command_at):
    async with Fastlane(tmp_path, shared_redis.url, workers=1) as server:
        await server.queue.reports.announce(Report("older", 0, ()), ttl=600_000)

        async def versions():
            shown = (await server.get("/status")).json["workers"]["items"]
            found = {worker["id"]: worker["version"] for worker in shown}
            return found if len(found) == 2 else None

        (own,) = {*(found := await until(versions, "both workers"))} - {"older"}
        assert found == {own: __version__, "older": None}
        lines = (await command_at(server.base)("status")).lines
        assert {f"worker {own}: fastlane {__version__}", "worker older: fastlane of an older version"} <= set(lines)


async def test_dispatch_is_held_and_released(server, command_line):
    assert (await command_line("dispatch", "pause")).code == 0
    assert "dispatch is paused" in (await command_line("status")).text
    assert (await command_line("dispatch", "resume")).code == 0
    assert "dispatch is paused" not in (await command_line("status")).text
    unknown = await command_line("dispatch", "pasue")
    assert (unknown.code, "'pause'" in unknown.err) == (2, True)


async def test_logs_are_those_of_a_stream_an_attempt_or_a_time(crewed, crewed_line):
    done = await crewed_line(
        "run", "--task", "t", "--retries", "1", "--retry-delay", "1s", IMAGE, "out", "one\ntwo", "err", "three\n", "exit", "1"
    )
    assert done.code == 1
    assert (await crewed_line("logs", "t", "--stream", "stderr")).out == b""
    assert (await crewed_line("logs", "t", "--attempt", "1", "--tail", "1")).err == "three\n"
    stamped = await crewed_line("logs", "t", "--timestamps")
    lines = stamped.lines
    assert [line.split(" ")[1] for line in lines] == ["one", "two"]
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z ", line) for line in lines)
    assert (await crewed_line("logs", "t", "--since", "1h")).out == b"one\ntwo"
    assert (await crewed_line("logs", "t", "--attempt", "3")).code == 2


async def test_the_logs_of_a_task_are_those_of_its_newest_job_that_has_run(server, command_line):
    await server.run_to_end("task", (1, b"old\n"))
    await server.run_to_end("task", (1, b"new\n"))
    await cron(server, "task")
    assert (await command_line("logs", "task")).out == b"new\n"


async def test_the_log_of_what_has_not_started_is_not_there_yet(server, command_line):
    await server.enqueue("task")
    done = await command_line("logs", "task")
    assert (done.code, "has not started" in done.err or "nothing of it has started" in done.err) == (1, True), done.err


async def test_the_page_of_a_log_is_named(server, command_line):
    reply = await server.enqueue("task")
    assert (await command_line("open", "--print", "task")).lines == [f"{reply['jobUrl']}stream"]


async def test_a_run_by_hand_is_given_values_and_stands_in_for_a_tick(server, command_line):
    declared = {"VERSION": {"pattern": "v[0-9]+"}, "SIZE": {"default": "small"}}
    reply = await server.enqueue("shop", name="migrate", cron=CRON, parameters=declared)
    done = await command_line("run-now", "-p", "VERSION=v7", "--parameter", "SIZE=a=b", "--reschedule", "shop/migrate")
    assert done.code == 0, done.err
    (row,) = (await server.get(reply["jobUrl"])).json["job"]["executions"]
    assert row["parameters"] == {"VERSION": "v7", "SIZE": "a=b"}
    assert row["executionId"] in done.text
    assert {tick["outcome"] for tick in (await server.get(reply["jobUrl"] + "ticks")).json["items"]} == {"started", "skipped"}
    wrong = await command_line("run-now", "-p", "VERSION=7", "-p", "COLOUR=red", "shop/migrate")
    assert (wrong.code, "parameters.VERSION" in wrong.err, "parameters.COLOUR" in wrong.err) == (1, True, True)
    assert (await command_line("run-now", "-p", "VERSION", "shop/migrate")).code == 2


@pytest.mark.parametrize("options", [(), ("--cron", CRON, "--in", "5m"), ("--cron", CRON, "--manual")])
async def test_a_schedule_has_one_start(command_line, options):
    assert (await command_line("schedule", *options, IMAGE)).code == 2


async def test_a_schedule_may_be_tried_out(server, command_line):
    done = await command_line("schedule", "--dry-run", "--cron", "@hourly", IMAGE)
    assert len(done.lines) == 5
    wrong = await command_line("schedule", "--cron", "0 0 31 2 *", IMAGE)
    assert (wrong.code, "cron" in wrong.err) == (1, True)
    assert (await server.get("/tasks")).json["items"] == []
    assert (await command_line("schedule", "-q", "--in", "1h", IMAGE)).text.startswith("run/")
    made = await command_line("schedule", "--manual", "--overlap", "skip", "--task", "shop", "--name", "migrate", IMAGE)
    assert made.text.startswith("shop/")
    assert (await command_line("jobs", "shop", "--format", "{name} {status}")).lines == ["migrate idle"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0.4s"), (59, "59s"), (125, "2m 5s"), (3_600, "1h"), (97_200, "1d 3h"), (86_400 * 40, "40d")]
)
def test_durations_have_two_parts(seconds, words):
    assert duration(seconds) == words


def test_times_are_relative():
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert relative((now + timedelta(hours=3)).isoformat(), now) == "in 3h"
    assert relative((now - timedelta(seconds=5)).isoformat(), now) == "5s ago"
    assert (relative(now.isoformat(), now), relative(None, now)) == ("now", "")


async def test_why_names_the_node_of_the_last_run(server, command_line):
    reply = await server.enqueue("backup")
    assert " on " not in (await command_line("why", "backup")).lines[-1]
    await server.end(await server.run(reply, node="node3"), code=3)
    assert re.match("last execution: failed (now|[0-9]+s ago) on node3: exit code 3", (await command_line("why", "backup")).lines[0])
    for url in (reply["jobUrl"], reply["executionUrl"]):
        assert (await server.get(f"{url}why")).json["node"] == "node3"


async def test_why_shows_what_a_failed_run_wrote_to_stderr_last_however_much_came_after_it(server, command_line):
    reply = await server.enqueue("backup")
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"copying\n"), (2, b"a warning\nno space left on device\n"), (1, b"cleaning up\n" * 30))
    assert "stderr" not in (await command_line("why", "backup")).text
    await server.end(execution, code=3)
    for name in ("backup", reply["executionUrl"]):
        assert (await command_line("why", name)).lines[-1] == "its last line on stderr: no space left on device"
    silent = await server.enqueue("silent")
    await server.end(await server.run(silent), code=3)
    assert "stderr" not in (await command_line("why", "silent")).text


async def test_why_shows_the_end_of_a_line_that_was_written_over_and_of_a_long_one(server, command_line):
    progress = b"".join(b"copied %d%%\r" % part for part in range(100))
    long = b"x" * 1_000_000 + "é".encode() * 3_000 + b" is the cause"
    for task, written, shown in (
        ("over", progress + b"no space left\r\n", "no space left"),
        ("long", long, "…" + "é" * 487 + " is the cause"),
    ):
        execution = await server.run(await server.enqueue(task))
        await server.append_log(execution, (2, written))
        await server.end(execution, code=3)
        assert (await command_line("why", task)).lines[-1] == f"its last line on stderr: {shown}"


async def test_why_says_how_much_memory_there_was_where_it_ran_out(crewed, crewed_line):
    job = await crewed.submit("end", "oom", task="big")
    await crewed.cleaned(job)
    why = await crewed_line("why", "big")
    assert why.lines[0].startswith("memory ran out: it had no limit of memory, and its node's ran out; it ended before it was measured")


def named(done):
    """The execution that a command says it has made."""
    return re.search(r"execution (\S+);", done.text)[1]


async def test_any_execution_is_run_again_with_the_details_it_had_or_with_another_image(server, command_line):
    failed = await server.run_to_end("report", code=3)
    assert (await command_line("set", "report", "image=ubuntu:later")).code == 0
    again = await command_line("retry", "report", "--execution", failed["executionId"][-8:])
    assert again.code == 0, again.err
    await server.end(await server.run({"executionId": named(again)}))
    other = await command_line("retry", "report", "--image", "ubuntu:24.04")
    await server.end(await server.run({"executionId": named(other)}))
    images = [row["image"] for row in (await command_line("ps", "-a", "--json")).json]
    assert images == ["ubuntu:24.04", IMAGE, IMAGE]
    refused = await command_line("retry", failed["executionUrl"], "--image", "Not an image")
    assert refused.code != 0
    assert "image" in refused.err


async def test_a_backfill_is_previewed_begun_watched_and_stopped(server, command_line):
    await server.enqueue("backup", cron="0 * * * *")
    since = (datetime.now(UTC) - timedelta(hours=12)).isoformat()
    preview = await command_line("backfill", "backup", "--from", since, "--dry-run")
    assert re.search(r"12 due times would run; 0 have a success, 0 are under way", preview.text), preview.err
    assert "… and 2 more" in preview.text
    assert (await command_line("backfill", "backup")).code != 0
    begun = (await command_line("backfill", "backup", "--from", since, "--limit", "3", "--json")).json
    check("Backfill", begun)
    assert (begun["total"], begun["left"], begun["limit"], begun["status"]) == (12, 12, 3, "running")
    assert "a backfill runs 12 due times, 3 at once" in (await command_line("why", "backup")).text
    stopped = await command_line("backfill", "backup", "--stop")
    assert "backfill stopped (it was stopped): 12 due times: 12 left" in stopped.text
    assert "backfill stopped" in (await command_line("backfill", "backup")).text
    assert {"backfill.begun", "backfill.ended"} <= {row["kind"] for row in (await command_line("events", "--json")).json}
    faults = await command_line("backfill", "backup", "--from", "yesterday", "--to", "tomorrow")
    assert faults.code != 0
    assert all(field in faults.err for field in ("from", "to"))
