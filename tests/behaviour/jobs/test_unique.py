"""Jobs with ``unique``: no equal job of the task may be enqueued or scheduled beside one."""

import asyncio
from uuid import uuid4

import pytest

JOB = {"image": "ubuntu", "command": "ls", "unique": True}
CRON = {"cron": "0 8 * * mon-fri", "timezone": "Europe/Berlin"}


async def taken(server, body=JOB, task="task", **options):
    """The ids of a job that is accepted."""
    answer = await server.post(f"/tasks/{task}", body, **options)
    assert answer.status == 200, answer.json
    return answer.json


async def refused(server, by, body=JOB, **options):
    """A job is a 409 that names the one that it equals."""
    answer = await server.post("/tasks/task", body, **options)
    assert (answer.status, answer.json.get("jobId"), answer.json.get("jobUrl")) == (409, by["jobId"], by["jobUrl"]), answer.json
    assert by["jobId"] in answer.json["detail"]


async def test_many_equal_jobs_at_once_are_one(server):
    answers = await asyncio.gather(*(server.post("/tasks/task", JOB) for _ in range(20)))
    made = [answer.json["jobId"] for answer in answers if answer.status == 200]
    assert len(made) == 1
    assert {answer.json["jobId"] for answer in answers if answer.status == 409} == set(made)
    assert (await server.get("/tasks/task")).json["total"] == 1


async def test_what_is_for_people_and_when_a_job_runs_once_make_no_difference(server):
    first = await taken(server, {**JOB, "name": "one", "labels": {"a": "b"}, "envs": {"A": "1", "B": "2"}, "startIn": "1h"})
    await refused(server, first, {**JOB, "metadata": {"a": 1}, "envs": {"B": "2", "A": "1"}, "startAt": 4_000_000_000})
    await refused(server, first, {**JOB, "envs": {"A": "1", "B": "2"}, "expiration": 4_000_000_000})
    for other in ({"envs": {"A": "1"}}, {"command": "ls -l"}, {"retries": 1}, CRON, {**CRON, "cron": "0 9 * * *"}):
        await taken(server, {**JOB, **other})
    await taken(server, {**JOB, "envs": {"A": "1", "B": "2"}}, task="other")
    await taken(server, {**JOB, "envs": {"A": "1", "B": "2"}, "unique": False})


async def test_an_enqueued_job_stands_in_the_way_until_it_is_claimed(server):
    first = await taken(server)
    await refused(server, first)
    await server.pull(first)
    second = await taken(server)
    await refused(server, second)


async def test_a_further_attempt_and_a_run_by_hand_stand_in_nobodys_way(server):
    first = await taken(server)
    await server.end(await server.run(first), 1)
    assert (await server.post(f"{first['jobUrl']}retry")).status == 200
    assert (await server.post(f"{first['jobUrl']}run")).status == 200
    await refused(server, await taken(server))


@pytest.mark.parametrize("when", [{"startIn": "1h"}, CRON])
async def test_a_scheduled_job_stands_in_the_way_until_it_is_over(server, when):
    first = await taken(server, {**JOB, **when})
    await refused(server, first, {**JOB, **when})
    assert (await server.post(f"{first['jobUrl']}pause")).status == 200
    await refused(server, first, {**JOB, **when})
    assert (await server.post(f"{first['jobUrl']}stop")).status == 200
    second = await taken(server, {**JOB, **when})
    start = await server.post(f"{first['jobUrl']}start")
    assert (start.status, start.json["jobId"]) == (409, second["jobId"])
    assert (await server.ask("DELETE", f"{second['jobUrl']}?stop=1")).status == 200
    assert (await server.post(f"{first['jobUrl']}start")).status == 200
    await refused(server, first, {**JOB, **when})


async def test_a_job_that_was_stopped_before_it_started_stands_in_nobodys_way(server):
    first = await taken(server)
    assert (await server.post(f"{first['jobUrl']}stop")).status == 200
    await refused(server, await taken(server))


async def test_a_put_and_a_patch_ask_for_the_key_of_what_the_job_becomes(server):
    first = await taken(server, {**JOB, **CRON})
    other = await taken(server, {**JOB, **CRON, "command": "pwd"})
    for method, body in (("PUT", {**JOB, **CRON}), ("PATCH", {"command": "ls"})):
        answer = await server.ask(method, other["jobUrl"], json=body)
        assert (answer.status, answer.json["jobId"]) == (409, first["jobId"])
    assert (await server.ask("PATCH", first["jobUrl"], json={"command": "true"})).status == 200
    assert (await server.ask("PATCH", other["jobUrl"], json={"command": "ls"})).status == 200
    await refused(server, other, {**JOB, **CRON})
    assert (await server.ask("PATCH", other["jobUrl"], json={"unique": None})).status == 200
    await taken(server, {**JOB, **CRON})
    assert (await server.get(other["jobUrl"])).json["job"]["definition"].get("unique") is None


async def test_a_preview_is_refused_as_the_request_would_be(server):
    first = await taken(server, {**JOB, **CRON})
    other = await taken(server, {**JOB, **CRON, "command": "pwd"})
    unused = other["jobUrl"].replace(other["jobId"], str(uuid4()))
    asked = [("POST", "/tasks/task/", {**JOB, **CRON}), ("PATCH", other["jobUrl"], {"command": "ls"})]
    asked += [("PUT", url, {**JOB, **CRON}) for url in (other["jobUrl"], unused)]
    for method, url, body in asked:
        answers = [await server.ask(method, f"{url}{query}", json=body) for query in ("?dryRun=1", "")]
        assert [(one.status, one.json.get("jobId")) for one in answers] == [(409, first["jobId"])] * 2, (method, url, answers[0].body)
    for method, body in (("PUT", {**JOB, **CRON}), ("PATCH", {"name": "mine"})):  # the job does not stand in its own way
        assert (await server.ask(method, f"{first['jobUrl']}?dryRun=1", json=body)).json.get("valid") is True
    assert (await server.post(f"{first['jobUrl']}stop")).status == 200
    for method, url, body in asked:
        assert (await server.ask(method, f"{url}?dryRun=1", json=body)).json.get("valid") is True
    again = await server.post(f"{first['jobUrl']}start")
    assert again.status == 200, "a preview took the key of a job"


async def test_an_idempotency_key_is_answered_first(server):
    key = {"Idempotency-Key": "d5a1"}
    first = await taken(server, headers=key)
    again = await server.post("/tasks/task", JOB, headers=key)
    assert (again.status, again.json) == (200, first)
    await refused(server, first, headers={"Idempotency-Key": "other"})
    await server.pull(first)
    second = await taken(server, headers={"Idempotency-Key": "other"})
    assert second["jobId"] != first["jobId"]


async def test_a_manual_job_cannot_be_unique(server):
    answer = await server.post("/tasks/task", {**JOB, "manual": True})
    assert (answer.status, answer.json["errors"][0]["field"]) == (400, "unique")
    first = await taken(server, {**JOB, **CRON})
    answer = await server.ask("PATCH", first["jobUrl"], json={"manual": True})
    assert (answer.status, answer.json["errors"][0]["field"]) == (400, "unique")
