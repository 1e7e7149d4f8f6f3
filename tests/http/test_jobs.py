"""What is told of jobs and executions."""

import re
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from fastlane.models.pool import Pool
from tests.support.fastlane import HOST, Fastlane

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def test_a_job_in_full(server):
    reply = await server.run_to_end("task", (1, b"out"), code=3)
    shown = (await server.get(reply["jobUrl"])).json
    assert shown["task"] == {"id": "task", "url": reply["taskUrl"]}
    job = shown["job"]
    assert set(job) == {
        "id", "url", "taskId", "createdAt", "lastModifiedAt", "scheduled", "status", "nextRunAt", "nextRuns", "spec", "schedule",
        "executionCount", "executions", "metadata", "requestedBy", "createdBy", "name", "labels", "lateSince", "receivers",
        "source", "definition",
    }  # fmt: skip
    assert (job["id"], job["url"], job["taskId"]) == (reply["jobId"], reply["jobUrl"], "task")
    assert (job["status"], job["scheduled"], job["nextRunAt"], job["executionCount"]) == ("failed", False, None, 1)
    assert MOMENT.fullmatch(job["createdAt"])
    (execution,) = job["executions"]
    assert execution["executionId"] == reply["executionId"]
    assert "log" not in execution
    (execution,) = (await server.get(reply["jobUrl"] + "?include=logs")).json["job"]["executions"]
    assert (execution["log"], execution["error"]) == ("out", "")
    assert (await server.get(reply["jobUrl"] + "?include=all")).status == 400


async def test_the_rules_of_a_job_come_back_as_they_were_given(server):
    rules = {
        "retries": 3, "retryDelay": "1m30s", "timeout": 90, "expiration": "2090-01-01T00:00:00Z", "expiresIn": "2h", "priority": -7,
        "concurrency": 2,
    }  # fmt: skip
    when = {"cron": "0 8 * * mon-fri", "timezone": "Europe/Berlin", "overlap": "skip", "catchUp": "none"}
    reply = await server.enqueue(**rules, **when)
    job = (await server.get(reply["jobUrl"])).json["job"]
    shown = {name: job["spec"][name] for name in rules}
    assert shown == rules | {"retryDelay": 90, "expiration": "2090-01-01T00:00:00.000Z", "expiresIn": 7_200}
    assert all(isinstance(shown[name], int) for name in ("retryDelay", "timeout", "expiresIn"))
    assert job["schedule"] == {"kind": "cron", "startAt": None, "description": "At 08:00, Monday to Friday"} | when
    metadata = {name: job["metadata"][name] for name in ("retries", "timeout", "cron", "expiration")}
    assert metadata == {"retries": 3, "timeout": 90, "cron": "0 8 * * mon-fri", "expiration": "2090-01-01T00:00:00.000Z"}
    (row,) = (await server.get("/tasks/task")).json["jobs"]
    assert (row["schedule"], row["status"], row["nextRunAt"]) == (job["schedule"], "scheduled", job["nextRunAt"])


async def test_a_job_shows_its_next_five_runs_unless_nothing_will_run_it(server):
    cron = await server.enqueue(cron="*/5 * * * *")
    job = (await server.get(cron["jobUrl"])).json["job"]
    assert job["nextRuns"][0] == job["nextRunAt"]
    moments = [datetime.fromisoformat(moment) for moment in job["nextRuns"]]
    assert [later - earlier for earlier, later in pairwise(moments)] == [timedelta(minutes=5)] * 4
    later = (await server.get((await server.enqueue(startIn="1h"))["jobUrl"])).json["job"]
    assert later["nextRuns"] == [later["nextRunAt"]]
    assert (await server.get((await server.enqueue())["jobUrl"])).json["job"]["nextRuns"] == []
    await server.post(cron["jobUrl"] + "stop")
    assert (await server.get(cron["jobUrl"])).json["job"]["nextRuns"] == []


async def test_rules_that_were_not_given_are_told_as_what_they_then_are(server):
    reply = await server.enqueue(retries=0, retryDelay="1.5s", timeout=0.25)
    job = (await server.get(reply["jobUrl"])).json["job"]
    names = ("retries", "retryDelay", "timeout", "expiration", "expiresIn", "priority", "concurrency")
    assert [job["spec"][name] for name in names] == [0, 1.5, 0.25, None, None, 0, None]
    assert [job["metadata"][name] for name in ("retries", "timeout", "cron", "expiration")] == [0, 0.25, None, None]
    assert job["schedule"] == {"kind": "now", "startAt": None}


async def test_an_execution_in_full(server):
    reply = await server.run_to_end("task", (1, b"out"), (2, b"oh"), code=3)
    shown = (await server.get(reply["executionUrl"])).json
    assert shown["task"] == {"id": "task", "url": reply["taskUrl"]}
    assert shown["job"] == {"id": reply["jobId"], "url": reply["jobUrl"]}
    execution = shown["execution"]
    started, finished = (datetime.fromisoformat(execution[name]) for name in ("startedAt", "finishedAt"))
    assert execution.pop("durationMs") == (finished - started) / timedelta(milliseconds=1)
    for name in ("createdAt", "startedAt", "finishedAt", "scheduledFor"):
        assert MOMENT.fullmatch(execution.pop(name)), name
    assert execution == {
        "executionId": reply["executionId"],
        "url": reply["executionUrl"],
        "jobId": reply["jobId"],
        "jobName": None,
        "taskId": "task",
        "queueJobId": reply["queueJobId"],
        "node": None,
        "status": "failed",
        "failure": {"reason": "exit", "message": "exit code 3"},
        "image": "ubuntu:latest",
        "service": None,
        "serviceVersion": None,
        "imageDigest": "sha256:1",
        "command": None,
        "attempt": 1,
        "retries": 0,
        "timeout": None,
        "expiresAt": None,
        "exitCode": 3,
        "host": HOST,
        "pool": "default",
        "serviceId": "service",
        "containerId": "container",
        "logInfo": {"stdoutBytes": 3, "stderrBytes": 2, "truncated": False},
        "usage": None,
        "outputs": {},
        "memoryLimitBytes": None,
        "stopRequestedAt": None,
        "requestedBy": {"user": None, "address": "127.0.0.1"},
        "metadata": {"docker_host": "10.0.0.7", "docker_port": 2375, "container_id": "container"},
        "log": "out",
        "error": "oh",
    }


async def test_an_execution_that_has_not_started_has_nulls_and_no_text(server):
    reply = await server.enqueue()
    execution = (await server.get(reply["executionUrl"])).json["execution"]
    for name in ("startedAt", "finishedAt", "durationMs", "exitCode", "host", "serviceId", "containerId", "failure"):
        assert execution[name] is None, name
    assert (execution["status"], execution["log"], execution["error"]) == ("enqueued", "", "")


async def test_a_log_grows_in_its_execution_while_it_runs(server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, (2, b"more"))
    for url in (reply["jobUrl"], reply["executionUrl"]):
        assert b'"stderrBytes":4' in (await server.get(url)).body


@pytest.mark.parametrize("moment", ["enqueue", "pull", "run"])
async def test_a_job_has_the_status_of_its_execution_under_way(server, moment):
    reply = await server.enqueue()
    if moment != "enqueue":
        await getattr(server, moment)(reply)
    expected = {"enqueue": "enqueued", "pull": "pulling", "run": "running"}[moment]
    assert (await server.get(reply["jobUrl"])).json["job"]["status"] == expected
    (row,) = (await server.get("/tasks/task")).json["jobs"]
    assert (row["status"], row["lastExecution"]["status"]) == (expected, expected)


async def test_executions_beyond_the_list_are_a_404_page(server):
    reply = await server.enqueue()
    assert (await server.get(reply["jobUrl"] + "?page=2")).status == 404
    assert (await server.get(reply["jobUrl"] + "?perPage=101")).status == 400


async def test_a_task_that_no_pool_takes_is_refused(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("only", "only-", (HOST,)),)) as server:
        answer = await server.post("/tasks/other", {"image": "ubuntu"})
        assert answer.status == 400
        assert "pool" in answer.json["detail"]
        assert (await server.get("/tasks/other")).status == 404
