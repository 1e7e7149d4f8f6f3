"""How the commands name jobs and executions: an execution's URL or id means that execution everywhere, and an unknown name gets the
nearest ones."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from fastlane.clock import iso
from fastlane.models.ids import new_id
from fastlane.models.paging import Window

CRON = "0 3 * * *"


@pytest.mark.parametrize(
    "form",
    [
        "{url}",
        "{page}",
        "{execution}",
        "{execution_end}",
        "report/{execution}",
        "report/{execution_end}",
        "report/{job}/{execution}",
        "report/{job_end}/{execution_end}",
    ],
)
async def test_an_executions_url_or_id_means_that_execution_everywhere(server, command_line, form):
    """Of a job that has run again since, and succeeded."""
    first = await server.run_to_end("report", (1, b"old\n"), code=3)
    again = (await server.post(f"{first['jobUrl']}retry")).json
    await server.end(await server.run(again))
    execution, job = first["executionId"], first["jobId"]
    name = form.format(
        url=first["executionUrl"],
        page=f"{server.base}/console/tasks/report/jobs/{job}/executions/{execution}",
        execution=execution,
        execution_end=execution[-8:],
        job=job,
        job_end=job[-8:],
    )
    assert (await command_line("logs", name)).out == b"old\n"
    assert "failed" in (await command_line("why", name)).text
    assert "exit code 3" in (await command_line("why", name)).text
    assert (await command_line("inspect", name)).json["executionId"] == execution
    assert (await command_line("inspect", name, "--definition")).code == 2
    assert (await command_line("open", "--print", name)).lines == [f"{first['executionUrl']}stream"]
    assert (await command_line("deliveries", name, "--json")).json == []
    kinds = (await command_line("events", "--execution", name, "--format", "{kind} {executionId}")).lines
    assert set(kinds) == {f"execution.{kind} {execution}" for kind in ("enqueued", "started", "ended")}
    assert "done" in (await command_line("why", "report")).text


@pytest.mark.parametrize("command", ["rm", "pause", "resume", "run-now", "ticks"])
async def test_what_acts_on_a_job_refuses_an_execution(server, command_line, command):
    reply = await server.run_to_end("report")
    refused = await command_line(command, reply["executionUrl"])
    assert (refused.code, f"its job is report/{reply['jobId']}" in refused.err) == (2, True), refused
    assert (await server.get(reply["jobUrl"])).status == 200


async def test_an_execution_is_stopped_alone(server, command_line):
    reply = await server.enqueue("backup", cron=CRON)
    ran = (await server.post(f"{reply['jobUrl']}run")).json
    done = await command_line("stop", ran["executionUrl"])
    assert done.text == f"backup/{reply['jobId']}/{ran['executionId']}: stopped\n"
    assert (await command_line("jobs", "--format", "{status}")).lines == ["scheduled"]


async def test_attempts_and_due_times_reach_all_runs(server, command_line):
    reply = await server.enqueue("report", cron=CRON, retries=1)
    executions = []
    for number in range(2):
        ran = (await server.post(f"{reply['jobUrl']}run")).json
        execution = await server.run(ran)
        await server.append_log(execution, (1, f"run {number}\n".encode()))
        await server.end(execution)
        executions.append(execution)
    ticks = await command_line("ticks", "report", "--format", "{due} {id}")
    old, oldest = ticks.lines[1].split()
    assert (await command_line("logs", "report", "--attempt", "1")).out == b"run 1\n"
    for tick in (old, oldest, oldest[-8:]):
        assert (await command_line("logs", "report", "--tick", tick)).out == b"run 0\n"
        assert (await command_line("logs", "report", "--tick", tick, "--attempt", "1")).out == b"run 0\n"
        assert (await command_line("inspect", "report", "--tick", tick)).json["executionId"] == executions[0].id
    assert (await command_line("logs", "report", "--execution", executions[0].id, "--attempt", "1")).out == b"run 0\n"
    assert (await command_line("why", "report", "--execution", executions[0].id[-8:])).code == 0
    for wrong in (("--tick", "1999"), ("--tick", old[:4]), ("--attempt", "2"), ("--execution", "ffffffff")):
        refused = await command_line("logs", "report", *wrong)
        assert (refused.code, refused.out) == (2, b""), wrong
    assert "has 1 attempt\n" in (await command_line("why", "report", "--attempt", "5")).err
    assert "could be 2 ticks" in (await command_line("logs", "report", "--tick", old[:4])).err


async def test_a_due_time_may_be_spelled_in_other_ways(server, command_line):
    reply = await server.enqueue("report", cron=CRON)
    await server.end(await server.run((await server.post(f"{reply['jobUrl']}run")).json))
    due = (await command_line("ticks", "report", "--format", "{due}")).lines[0]
    second, there = due[:19], datetime.fromisoformat(due).astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()
    spellings = (due, due[:-1] + "+00:00", due.replace("T", " "), there, f"{second}Z", f"{second.replace('T', ' ')}Z", f"{second}+00:00")
    for tick in (*spellings, second, second[:16].replace("T", " ")):
        assert (await command_line("inspect", "report", "--tick", tick)).code == 0, tick
    for wrong in ("1999-01-01T00:00:00Z", "2999-01-01T00:00:00+00:00", f"{second}-01:00"):
        assert "has no tick" in (await command_line("inspect", "report", "--tick", wrong)).err, wrong


async def test_a_run_before_a_thousand_others_is_found_by_its_time_and_by_ends_of_ids(server, command_line):
    reply = await server.enqueue("report", cron=CRON)
    ran = await server.run((await server.post(f"{reply['jobUrl']}run")).json)
    await server.append_log(ran, (1, b"the first\n"))
    await server.end(ran)
    first, (tick,) = await server.store.execution(ran.id), (await server.store.list_ticks(reply["jobId"], Window(1, 1))).rows
    numbers = range(1, 1_101)
    ids = [new_id(first.created_at + 60_000 * number) for number in numbers]
    runs = [replace(first, id=id, tick_id=id, sequence=first.sequence + number) for id, number in zip(ids, numbers, strict=True)]
    assert all(await asyncio.gather(*(server.store.insert(run) for run in runs)))
    ticks = [replace(tick, id=run.id, key=run.id, due=tick.due + 60_000 * run.sequence, execution_id=run.id) for run in runs]
    for part in range(0, len(ticks), 100):
        job = await server.store.job(reply["jobId"])
        assert await server.store.advance(job, replace(job, revision=job.revision + 1), ticks[part : part + 100], None)
    for choice in (("--tick", iso(tick.due)[:16]), ("--tick", tick.id), ("--tick", tick.id[-12:]), ("--execution", ran.id[-12:])):
        assert (await command_line("logs", "report", *choice)).out == b"the first\n", choice
        assert (await command_line("inspect", "report", *choice, "--attempt", "1")).json["executionId"] == ran.id, choice


@pytest.mark.parametrize("command", [("why",), ("jobs",), ("ps",), ("stop",), ("stop", "--all"), ("rm", "--all")], ids=" ".join)
async def test_unknown_names_get_the_nearest_ones(server, command_line, command):
    await server.enqueue("backup", cron=CRON, name="nightly")
    unknown = await command_line(*command, "bakcup")
    assert (unknown.code, "there is no task 'bakcup'; did you mean 'backup'?" in unknown.err) == (2, True), unknown.err


async def test_a_task_alone_is_its_newest_job_and_for_logs_the_newest_that_has_run(server, command_line):
    await server.run_to_end("report", (1, b"old\n"))
    waiting = await server.enqueue("report", cron=CRON)
    assert (await command_line("logs", "report")).out == b"old\n"
    assert (await command_line("inspect", "report", "--format", "{id}")).lines == [waiting["jobId"]]
    assert "next tick is due" in (await command_line("why", "report")).text
    assert (await command_line("inspect", "report", "--attempt", "1", "--format", "{status}")).lines == ["done"]


async def test_a_name_without_its_task_is_found_nearby(server, command_line):
    await server.enqueue("backup", cron=CRON, name="nightly")
    assert "did you mean 'backup/nightly'?" in (await command_line("why", "nightly")).err
    assert "did you mean 'backup/nightly'?" in (await command_line("why", "backup/nightyl")).err
    assert "`fastlane jobs backup` lists them" in (await command_line("why", "backup/xyz")).err
    assert "`fastlane tasks` lists" in (await command_line("why", "xyz")).err
