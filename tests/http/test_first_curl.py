"""The how-to's requests, as people type them, and their answers."""

import asyncio
import json
import shlex

import pytest

from fastlane.clock import iso
from fastlane.models.tick import cron_key, tick_id
from fastlane.queue.port import Lane
from tests.support.waiting import PATIENCE

FIRST = """curl -XPOST -d'{"image": "ubuntu:latest", "command": "ls -lah"}' http://localhost:10000/tasks/test-task"""


CRON = """curl -XPOST -d'{"image": "ubuntu:latest", "command": "ls -lah", "cron": "* * * * *"}' http://localhost:10000/tasks/test-scheduled-task"""


async def curl(server, command: str) -> dict:
    words = shlex.split(command.replace("localhost:10000", f"localhost:{server.port}"))
    process = await asyncio.create_subprocess_exec(*words, "-s", "--noproxy", "*", stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return json.loads(out)


async def test_the_first_curl_works_as_typed(server):
    reply = await curl(server, FIRST)
    base = f"{server.base}/tasks/test-task/"
    assert list(reply) == ["taskId", "jobId", "executionId", "queueJobId", "taskUrl", "jobUrl", "executionUrl"]
    assert reply["taskId"] == "test-task"
    assert reply["taskUrl"] == base
    assert reply["jobUrl"] == f"{base}jobs/{reply['jobId']}/"
    assert reply["executionUrl"] == f"{base}jobs/{reply['jobId']}/executions/{reply['executionId']}/"
    execution = await server.store.execution(reply["executionId"])
    assert execution.spec.command == ("ls", "-lah")
    assert execution.tick_id == reply["queueJobId"]


async def test_an_enqueued_job_can_be_claimed_in_the_lane_of_its_pool(server):
    reply = await server.enqueue("fast-task")
    other = await server.enqueue("task")
    await server.queue.generation.set_generation("1")
    claim = await server.queue.claim("1", "worker", [Lane("fast", 10)], 10, lease=10_000)
    assert [lease.id for lease in claim.leases] == [reply["executionId"]]
    claim = await server.queue.claim("1", "worker", [Lane("default", 10)], 10, lease=10_000)
    assert [lease.id for lease in claim.leases] == [other["executionId"]]


@pytest.mark.parametrize(
    ("when", "milliseconds"), [({"startAt": 1645113692}, 1645113692000), ({"startAt": "2090-01-01T00:00:00Z"}, 3786912000000)]
)
async def test_a_later_job_has_no_execution_yet(server, when, milliseconds):
    reply = await server.enqueue(**when)
    assert reply["executionId"] is None
    assert reply["executionUrl"] is None
    assert reply["queueJobId"]
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert job["status"] == "scheduled"
    assert job["scheduled"] is True
    assert (await server.store.job(reply["jobId"])).next_tick == milliseconds


async def test_the_curl_for_a_periodic_job_works_as_typed(server):
    before = server.clock.now()
    reply = await curl(server, CRON)
    assert list(reply) == ["taskId", "jobId", "executionId", "queueJobId", "taskUrl", "jobUrl", "executionUrl"]
    assert (reply["taskId"], reply["executionId"], reply["executionUrl"]) == ("test-scheduled-task", None, None)
    stored = await server.store.job(reply["jobId"])
    assert before < stored.next_tick <= server.clock.now() + 60_000
    assert stored.next_tick % 60_000 == 0
    assert reply["queueJobId"] == tick_id(stored.incarnation, cron_key(stored.next_tick))
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert (job["status"], job["scheduled"], job["nextRunAt"]) == ("scheduled", True, iso(stored.next_tick))
    assert job["schedule"] == {
        "kind": "cron", "startAt": None, "cron": "* * * * *", "description": "Every minute", "timezone": "UTC", "overlap": "allow",
        "catchUp": "latest",
    }  # fmt: skip
    stopped = await server.post(f"{reply['jobUrl']}stop")
    assert (stopped.status, stopped.json["status"]) == (200, "stopped")
    assert (await server.get(reply["jobUrl"])).json["job"]["nextRunAt"] is None


@pytest.mark.parametrize("text", ["10s", "5m", "2m30s", "4h30m25s", "2h30m", "240h"])
async def test_start_in_takes_the_forms_of_the_how_to(server, text):
    seconds = {"10s": 10, "5m": 300, "2m30s": 150, "4h30m25s": 16225, "2h30m": 9000, "240h": 864000}[text]
    before = server.clock.now()
    reply = await server.enqueue(startIn=text)
    job = await server.store.job(reply["jobId"])
    assert before + seconds * 1000 <= job.next_tick <= server.clock.now() + seconds * 1000


async def test_a_later_job_waits_in_the_lane_of_ticks(server):
    reply = await server.enqueue(startAt=1645113692)
    await server.queue.generation.set_generation("1")
    claim = await server.queue.claim("1", "worker", [Lane("@ticks", None)], 10, lease=10_000)
    assert [(lease.id, lease.kind.value) for lease in claim.leases] == [(reply["jobId"], "job")]


async def test_stdout_and_stderr_come_byte_for_byte_with_the_exit_code(server):
    reply = await server.run_to_end("task", (1, b"out\xff\x00\n"), (2, b"err"), (1, b"more"), code=3)
    out = await server.get(f"{reply['jobUrl']}stdout")
    assert (out.status, out.body) == (200, b"out\xff\x00\nmore")
    assert out.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert out.headers["Fastlane-Exit-Code"] == "3"
    assert out.headers["Fastlane-Status"] == "failed"
    assert out.headers["Fastlane-Execution-Id"] == reply["executionId"]
    assert (await server.get(f"{reply['jobUrl']}stderr")).body == b"err"


async def test_the_jobs_of_a_task_are_listed(server):
    first = await server.enqueue()
    second = await server.enqueue(command=["sh", "-c", "echo it's"])
    listed = (await server.get(first["taskUrl"])).json
    assert listed["taskId"] == "task"
    assert listed["url"] == first["taskUrl"]
    assert listed["jobsCount"] == 2
    assert [job["id"] for job in listed["jobs"]] == [second["jobId"], first["jobId"]]
    row = listed["jobs"][0]
    assert row["url"] == second["jobUrl"]
    assert row["status"] == "enqueued"
    assert shlex.split(row["command"]) == ["sh", "-c", "echo it's"]
    assert row["lastExecution"]["executionId"] == second["executionId"]
