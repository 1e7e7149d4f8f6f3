"""What may be done to a job and a task that are there: PUT, run, retry, delete, dry runs and waiting answers."""

import asyncio
from uuid import uuid4

import pytest

from fastlane.models import transitions
from fastlane.queue.port import Report
from tests.support.scenarios import claimed
from tests.support.waiting import until

CRON = {"image": "ubuntu", "command": "date", "cron": "0 3 * * 1"}


async def test_a_put_makes_a_job_under_its_id_and_the_same_again_runs_it_again(server):
    url = f"/tasks/task/jobs/{uuid4()}"
    first = (await server.put(url, {"image": "ubuntu", "command": "ls"})).json
    assert first["jobUrl"].endswith(f"{url}/")
    assert first["executionId"]
    second = (await server.put(url, {"image": "ubuntu", "command": "ls"})).json
    assert second["jobId"] == first["jobId"]
    assert second["executionId"] != first["executionId"]
    assert sorted(await claimed(server)) == sorted([first["executionId"], second["executionId"]])
    assert (await server.get("/tasks/task")).json["jobsCount"] == 1


async def test_a_put_takes_an_upper_case_id_as_the_same(server):
    id = str(uuid4())
    await server.put(f"/tasks/task/jobs/{id}", CRON)
    reply = await server.put(f"/tasks/task/jobs/{id.upper()}", CRON)
    assert (reply.status, reply.json["jobId"]) == (200, id)


async def test_a_put_of_a_job_in_another_task_is_409(server):
    url = f"jobs/{uuid4()}"
    assert (await server.put(f"/tasks/one/{url}", CRON)).status == 200
    answer = await server.put(f"/tasks/two/{url}", CRON)
    assert (answer.status, "another task" in answer.json["detail"]) == (409, True)
    assert (await server.get("/tasks/two")).status == 404


@pytest.mark.parametrize("id", ["7", "not-an-id", "6c84fb90-12c4-11e1-840d-7b25c5ee775", "%20"])
async def test_a_put_under_what_is_no_uuid_is_400_and_names_the_field(server, id):
    answer = await server.put(f"/tasks/task/jobs/{id}", CRON)
    assert answer.status == 400
    assert answer.json["errors"][0]["field"] == "jobId"
    assert (await server.get(f"/tasks/task/jobs/{id}")).status == 404


async def test_a_put_with_no_body_or_faults_writes_nothing(server):
    url = f"/tasks/task/jobs/{uuid4()}"
    assert (await server.put(url)).status == 400
    answer = await server.put(url, {"image": 1, "retries": -1, "commando": "x"})
    assert {fault["field"] for fault in answer.json["errors"]} == {"image", "retries", "commando"}
    assert (await server.get("/tasks/task")).status == 404


async def test_a_stopped_cron_can_be_run_once_and_stays_stopped(server):
    job = await server.enqueue(cron="0 3 * * 1")
    assert (await server.post(job["jobUrl"] + "stop")).json["status"] == "stopped"
    reply = (await server.post(job["jobUrl"] + "run")).json
    assert reply["jobId"] == job["jobId"]
    assert await claimed(server) == [reply["executionId"]]
    await server.end(await server.run(reply))
    seen = (await server.get(job["jobUrl"])).json["job"]
    assert (seen["status"], seen["scheduled"]) == ("stopped", False)


async def test_a_retry_runs_the_last_execution_again_and_only_one_at_a_time(server):
    done = await server.run_to_end("task", code=3)
    reply = await server.post(done["jobUrl"] + "retry")
    assert reply.status == 200
    assert reply.json["executionId"] != done["executionId"]
    again = await server.post(done["jobUrl"] + "retry")
    assert (again.status, "enqueued" in again.json["detail"]) == (409, True)


async def test_a_scheduled_job_is_run_not_retried(server):
    job = await server.enqueue(startIn="1h")
    answer = await server.post(job["jobUrl"] + "retry")
    assert (answer.status, "run" in answer.json["detail"]) == (409, True)
    assert (await server.post(job["jobUrl"] + "run")).status == 200


async def test_the_stop_of_a_task_stops_every_job_that_is_alive(server):
    ended = await server.execution(await server.run_to_end("task"))
    await server.store.change(transitions.settle(ended))
    waiting = await server.enqueue()
    for spec in ({"startIn": "1h"}, {"cron": "@daily"}):
        await server.enqueue(**spec)
    answer = await server.post("/task/task/stop/")
    assert answer.json["stopped"] == 3
    assert answer.json["taskUrl"].endswith("/tasks/task/")
    (stopped,) = await server.store.executions_of(waiting["jobId"], 2)
    assert (await server.post("/tasks/task/stop")).json["stopped"] == 1  # the one that waited is yet to be settled
    assert await server.store.change(transitions.settle(stopped))
    assert (await server.post("/tasks/task/stop")).json["stopped"] == 0
    assert (await server.post("/tasks/none/stop")).status == 404


async def test_what_is_scheduled_is_deleted_only_when_it_is_stopped_first(server):
    job = await server.enqueue(startIn="1h")
    refused = await server.ask("DELETE", job["jobUrl"])
    assert (refused.status, "stop=1" in refused.json["detail"]) == (409, True)
    assert (await server.get(job["jobUrl"])).status == 200
    gone = await server.ask("DELETE", job["jobUrl"] + "?stop=1")
    assert gone.json == {"taskId": "task", "jobId": job["jobId"], "deleted": True}
    assert (await server.get(job["jobUrl"])).status == 404
    assert (await server.ask("DELETE", job["jobUrl"])).status == 404
    assert (await server.ask("DELETE", "/tasks/task")).json == {"taskId": "task", "jobId": None, "deleted": True}
    assert (await server.get("/tasks/task")).status == 404


async def test_a_dry_run_shows_what_would_be_and_writes_nothing(server):
    answer = await server.post("/tasks/task?dryRun=1", CRON)
    assert answer.json["valid"] is True
    assert (answer.json["pool"], len(answer.json["nextRuns"])) == ("default", 5)
    assert answer.json["spec"]["command"] == "date"
    assert (await server.post("/tasks/task?dryRun=true", {"image": "ubuntu", "cron": "x"})).status == 400
    assert (await server.get("/tasks/task")).status == 404


async def test_an_answer_can_wait_for_the_end(server):
    asking = asyncio.create_task(server.post("/tasks/task?wait=60", {"image": "ubuntu"}))

    (id,) = await until(lambda: claimed(server), "the job to be in the queue")
    execution = await server.store.execution(id)
    reply = {"taskId": "task", "jobId": execution.job_id, "executionId": id}
    await server.end(await server.run(reply))
    answer = (await asking).json
    assert answer["executionId"] == id
    assert (answer["execution"]["status"], answer["execution"]["exitCode"]) == ("done", 0)


async def test_a_wait_that_is_too_short_tells_what_is_known(server):
    answer = (await server.post("/tasks/task?wait=1", {"image": "ubuntu"})).json
    assert answer["execution"]["status"] == "enqueued"


@pytest.mark.parametrize("query", ["dryRun=2", "wait=61", "wait=-1", "wait=x", "wait=true", "dry=1", "stop=1"])
async def test_a_bad_query_of_a_post_is_400_and_makes_no_job(server, query):
    answer = await server.post(f"/tasks/task?{query}", {"image": "ubuntu"})
    assert answer.status == 400
    assert answer.json["errors"][0]["field"] == query.split("=")[0]
    assert (await server.get("/tasks/task")).status == 404


@pytest.mark.parametrize("action", ["run", "retry", "pause", "resume", "stop"])
async def test_nothing_can_be_done_to_a_job_that_is_not_there(server, action):
    job = await server.enqueue()
    for path in (f"/tasks/other/jobs/{job['jobId']}/{action}", f"/tasks/task/jobs/{uuid4()}/{action}"):
        assert (await server.post(path)).status == 404
    assert (await server.get(f"/tasks/task/jobs/{job['jobId']}/{action}")).status == 405


async def test_workers_that_are_there_show_in_a_dry_run(server):
    await server.queue.reports.announce(Report("w", 0, ()), ttl=60_000)
    answer = (await server.post("/tasks/task?dryRun=1", {"image": "ubuntu"})).json
    assert [host["usable"] for host in answer["hosts"]] == [False]
