"""Stops, at every moment of a job's life."""

import asyncio

import pytest

from fastlane.clock import iso
from fastlane.models import transitions
from fastlane.models.job import Ending
from fastlane.models.status import Status
from fastlane.queue.port import Lane, Renewal

LANES = [Lane("default", 10), Lane("@ticks", None)]


async def claim(server):
    await server.queue.generation.set_generation("1")
    return await server.queue.claim("1", "worker", LANES, 10, lease=60_000)


async def test_a_job_stopped_before_its_start_never_runs_and_is_settled_at_once(server):
    reply = await server.enqueue()
    answer = await server.post(reply["jobUrl"] + "stop")
    assert answer.status == 200
    assert answer.json == {
        "taskId": "task",
        "jobId": reply["jobId"],
        "taskUrl": reply["taskUrl"],
        "jobUrl": reply["jobUrl"],
        "status": "stopped",
    }
    assert (await server.execution(reply)).status is Status.STOPPED
    leases = (await claim(server)).leases
    assert [(lease.id, lease.lane) for lease in leases] == [(reply["executionId"], "@ticks")]


@pytest.mark.parametrize("url", ["jobUrl", "executionUrl"])
@pytest.mark.parametrize("moment", ["pull", "run"])
async def test_one_that_a_worker_has_is_flagged_and_its_owner_told(server, url, moment):
    reply = await server.enqueue()
    assert [lease.id for lease in (await claim(server)).leases] == [reply["executionId"]]
    await getattr(server, moment)(reply)
    answer = await server.post(reply[url] + "stop")
    assert answer.json["status"] == {"pull": "pulling", "run": "running"}[moment]
    assert (await server.execution(reply)).stop_requested_at is not None
    renewed = await server.queue.renew("1", "worker", [reply["executionId"]], lease=60_000)
    assert renewed == {reply["executionId"]: Renewal.STOP}


@pytest.mark.parametrize("url", ["jobUrl", "executionUrl"])
async def test_a_stop_can_be_seen_until_it_has_taken_effect(server, url):
    reply = await server.enqueue()
    await server.run(reply)
    assert (await server.get(reply["executionUrl"])).json["execution"]["stopRequestedAt"] is None
    for _ in range(2):
        answer = await server.post(reply[url] + "stop")
        assert (answer.json["status"], answer.json["stopping"]) == ("running", True)
        flagged = await server.execution(reply)
        shown = (await server.get(reply["executionUrl"])).json["execution"]
        assert (shown["status"], shown["stopRequestedAt"]) == ("running", iso(flagged.stop_requested_at))
    await server.change(transitions.end(flagged, Ending(Status.STOPPED, server.clock.now(), 143)))
    answer = await server.post(reply[url] + "stop")
    assert (answer.json["status"], "stopping" in answer.json) == ("stopped", False)


async def test_a_scheduled_job_that_is_stopped_leaves_the_schedule(server):
    reply = await server.enqueue(startAt=1645113692)
    answer = await server.post(reply["jobUrl"] + "stop")
    assert answer.json["status"] == "stopped"
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert (job["status"], job["scheduled"], job["nextRunAt"]) == ("stopped", False, None)
    assert (await claim(server)).leases == ()


async def test_a_stop_is_safe_to_repeat_and_leaves_the_end_as_it_was(server):
    reply = await server.run_to_end("task", code=3)
    for _ in range(3):
        answer = await server.post(reply["jobUrl"] + "stop")
        assert (answer.status, answer.json["status"]) == (200, "failed")
        answer = await server.post(reply["executionUrl"] + "stop")
        assert (answer.status, answer.json["status"]) == (200, "failed")
    assert (await server.execution(reply)).exit_code == 3


async def test_the_stop_of_an_execution_tells_its_url(server):
    reply = await server.enqueue()
    answer = (await server.post(reply["executionUrl"] + "stop")).json
    assert (answer["executionId"], answer["executionUrl"]) == (reply["executionId"], reply["executionUrl"])
    assert answer["status"] == "stopped"


async def test_what_is_not_there_cannot_be_stopped(server):
    reply = await server.enqueue()
    none = "00000000-0000-4000-8000-000000000000"
    for path in (
        f"/tasks/other/jobs/{reply['jobId']}/stop",
        f"/tasks/task/jobs/{none}/stop",
        f"/tasks/task/jobs/{reply['jobId']}/executions/{none}/stop",
        f"/tasks/other/jobs/{reply['jobId']}/executions/{reply['executionId']}/stop",
    ):
        assert (await server.post(path)).status == 404
    assert (await server.execution(reply)).status is Status.ENQUEUED
    assert (await server.store.job(reply["jobId"])).stop_sequence == 0


async def test_stops_and_a_claim_at_the_same_time_leave_one_of_two_ends(server):
    for _ in range(20):
        reply = await server.enqueue()
        results = await asyncio.gather(
            server.post(reply["jobUrl"] + "stop"),
            server.post(reply["executionUrl"] + "stop"),
            server.pull(reply),
            return_exceptions=True,
        )
        assert [answer.status for answer in results[:2]] == [200, 200]
        execution = await server.execution(reply)
        if execution.status is Status.PULLING:
            assert execution.stop_requested_at is not None
        else:
            assert execution.status is Status.STOPPED
