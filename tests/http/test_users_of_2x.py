"""Scripts for fastlane 2.x work as before: one test for each row of the first table in docs/migrating.md."""

from uuid import uuid4

import pytest

from fastlane.models.log import STDERR, STDOUT
from fastlane.models.notify import NotificationTrigger
from tests.support.stores import ON_MONGO

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BODY = {
    "image": "ubuntu:latest",
    "command": "ls -lah",
    "envs": {"SMTP_SERVER": "mail", "SMTP_PASSWORD": "hidden"},
    "metadata": {"username": "anna"},
    "retries": 4,
    "expiration": 4102444800,
    "timeout": 360,
}
REPLY = {"taskId", "jobId", "executionId", "queueJobId", "taskUrl", "jobUrl", "executionUrl"}


async def test_the_fullest_body_is_taken_with_the_type_that_curl_sends(server):
    answer = await server.post("/tasks/task/", BODY, headers=FORM)
    assert (answer.status, set(answer.json)) == (200, REPLY)
    job = (await server.get(answer.json["jobUrl"])).json
    assert job["task"] == {"id": "task", "url": answer.json["taskUrl"]}
    metadata = job["job"]["metadata"]
    assert metadata["custom"] == {"username": "anna"}
    assert metadata["envs"] == {"SMTP_SERVER": "mail", "SMTP_PASSWORD": "********"}
    assert (metadata["retries"], metadata["timeout"]) == (4, 360)
    assert set(metadata["notify"]) == set(metadata["webhooks"]) == set(NotificationTrigger)
    assert {"createdAt", "lastModifiedAt", "taskId", "scheduled", "executionCount", "executions"} <= set(job["job"])


@pytest.mark.parametrize("when", [{"startIn": "2h30m50s"}, {"startAt": 4102444800}, {"cron": "* * * * *"}])
async def test_a_scheduled_job_has_no_execution_yet(server, when):
    reply = (await server.post("/tasks/task/", {"image": "ubuntu"} | when, headers=FORM)).json
    assert (reply["executionId"], reply["executionUrl"]) == (None, None)
    assert (await server.get(reply["jobUrl"])).json["job"]["scheduled"] is True


async def test_a_put_creates_and_updates_a_job(server):
    url = f"/tasks/task/jobs/{uuid4()}/"
    for command in ("ls", "ls -lah"):
        answer = await server.put(url, {"image": "ubuntu", "command": command, "startIn": "1h"})
        assert (answer.status, answer.json["jobUrl"].endswith(url)) == (200, True)
    assert (await server.get(url)).json["job"]["spec"]["command"] == "ls -lah"


async def test_tasks_and_searches_come_in_pages(server):
    await server.enqueue("hello-world")
    for path in ("/tasks/", "/tasks/?page=1", "/search/?query=world"):
        page = (await server.get(path)).json
        assert {"hasNext", "hasPrev", "items", "nextUrl", "page", "pages", "perPage", "prevUrl", "total"} <= set(page)
        (item,) = page["items"]
        assert {"createdAt", "jobsCount", "lastModifiedAt", "taskId", "url"} <= set(item)
    assert (await server.get("/search/")).status == 400


async def test_a_task_lists_its_jobs(server):
    reply = await server.enqueue()
    task = (await server.get("/tasks/task/")).json
    assert task["taskId"] == "task"
    assert [(job["id"], job["url"]) for job in task["jobs"]] == [(reply["jobId"], reply["jobUrl"])]


async def test_an_execution_has_its_end_and_its_place(server):
    reply = await server.run_to_end("task", (STDOUT, b"out"), (STDERR, b"err"), code=3)
    one = (await server.get(reply["executionUrl"])).json
    assert one["job"] == {"id": reply["jobId"], "url": reply["jobUrl"]}
    execution = one["execution"]
    assert (execution["exitCode"], execution["status"], execution["log"], execution["error"]) == (3, "failed", "out", "err")
    assert execution["metadata"] == {"docker_host": "10.0.0.7", "docker_port": 2375, "container_id": "container"}
    assert {"command", "createdAt", "finishedAt", "image", "startedAt"} <= set(execution)
    (listed,) = (await server.get(reply["jobUrl"] + "?include=logs")).json["job"]["executions"]
    assert (listed["log"], listed["error"]) == ("out", "err")


@pytest.mark.parametrize("url", ["jobUrl", "executionUrl"])
async def test_the_streams_of_a_job_and_of_an_execution(server, url):
    reply = await server.run_to_end("task", (STDOUT, b"out"), (STDERR, b"err"), code=3)
    for stream, text in (("stdout/", b"out"), ("stderr/", b"err"), ("logs/", b"out\n-=-\nerr")):
        answer = await server.get(reply[url] + stream)
        assert (answer.status, answer.body, answer.headers["Fastlane-Exit-Code"]) == (200, text, "3")


async def test_stop_and_retry(server):
    reply = await server.enqueue(cron="* * * * *")
    assert (await server.post(reply["jobUrl"] + "stop/")).status == 200
    assert (await server.get(reply["jobUrl"])).json["job"]["scheduled"] is False
    done = await server.run_to_end("task", code=1)
    assert set((await server.post(done["jobUrl"] + "retry/")).json) == REPLY
    waiting = await server.enqueue()
    assert (await server.post(waiting["executionUrl"] + "stop/")).status == 200


@pytest.mark.parametrize("path", ["/task/task", "/task/task/", "/tasks/task", "//tasks//task//"])
async def test_every_spelling_of_a_url(server, path):
    await server.enqueue()
    assert (await server.get(path)).json["taskId"] == "task"


async def test_errors_are_json_with_an_error(server):
    for answer in (await server.post("/tasks/task", "no json"), await server.get("/tasks/none"), await server.get("/nowhere")):
        assert answer.status in (400, 404)
        assert answer.json["error"]


async def test_health_and_status_have_their_keys(server):
    await server.report_worker()
    health = (await server.get("/healthcheck/")).json
    assert (health["redis"], health.get("mongo"), health["errors"]) == (True, True if ON_MONGO else None, [])
    status = (await server.get("/status/")).json
    assert {"containers", "hosts", "jobs", "queues", "tasks", "fastlane"} <= set(status)
    assert {"available", "blacklisted", "circuit", "error", "host", "port"} <= set(status["hosts"][0])
    assert status["containers"]["running"] == []
    assert {"count", "scheduled"} <= set(status["jobs"])
    assert "count" in status["tasks"]
