"""Pause and resume of a job, of a pool, and of all dispatch, over HTTP."""

from fastlane.clock import iso
from tests.support.scenarios import claimed

NOBODY = "00000000-0000-4000-8000-000000000000"


async def test_a_pause_holds_the_schedule_until_it_is_resumed(server):
    job = await server.enqueue(**{"cron": "0 3 * * 1"})
    next_run = (await server.get(job["jobUrl"])).json["job"]["nextRunAt"]
    for _ in range(2):
        assert (await server.post(job["jobUrl"] + "pause")).json["status"] == "paused"
    assert (await server.get(job["jobUrl"])).json["job"]["nextRunAt"] is None
    for _ in range(2):
        assert (await server.post(job["jobUrl"] + "resume")).json["status"] == "scheduled"
    assert (await server.get(job["jobUrl"])).json["job"]["nextRunAt"] == next_run


async def test_what_has_ended_cannot_be_paused(server):
    done = await server.run_to_end("task")
    assert (await server.post(done["jobUrl"] + "pause")).status == 409


async def test_a_stopped_schedule_is_started_again_as_it_was(server):
    job = await server.enqueue(cron="0 3 * * 1", name="weekly", envs={"API_TOKEN": "hush"})
    before = (await server.get(job["jobUrl"])).json["job"]
    await server.post(job["jobUrl"] + "stop")
    for _ in range(2):
        assert (await server.post(job["jobUrl"] + "start")).json["status"] == "scheduled"
    after = (await server.get(job["jobUrl"])).json["job"]
    assert (after["nextRunAt"], after["definition"]) == (before["nextRunAt"], before["definition"])
    stored = await server.store.job(job["jobId"])
    assert stored.spec.envs == {"API_TOKEN": "hush"}
    changes = (await server.get(f"/events?job={job['jobId']}&kind=job.changed")).json["items"]
    assert [change["detail"]["how"] for change in changes] == ["start"]


async def test_a_job_without_a_due_time_to_come_cannot_be_started_and_says_what_can(server):
    over = await server.enqueue(startAt=iso(server.clock.now() - 60_000))
    for job in (await server.enqueue(), over):
        await server.post(job["jobUrl"] + "stop")
        answer = await server.post(job["jobUrl"] + "start")
        assert answer.status == 409
        assert "use run to run it now" in answer.json["detail"]
    assert (await server.post(f"/tasks/task/jobs/{NOBODY}/start")).status == 404


async def test_a_paused_pool_is_served_again_when_it_is_resumed(server):
    for _ in range(2):
        assert (await server.post("/pools/default/pause")).json == {"pool": "default", "paused": True}
    held = await server.enqueue()
    other = await server.enqueue("fast-one")
    assert await claimed(server) == [other["executionId"]]
    assert (await server.post("/pools/default/resume")).json == {"pool": "default", "paused": False}
    assert await claimed(server) == [held["executionId"]]


async def test_what_a_pause_holds_says_where_it_is_resumed(server):
    await server.report_worker()
    job = await server.enqueue("a%20task", cron="0 3 * * 1")
    await server.post(job["jobUrl"] + "pause")
    held = await server.enqueue()
    await server.post("/pools/default/pause")
    for reply, words in ((job, "is held until someone resumes the job"), (held, "pool 'default' is paused until someone resumes it")):
        (wait,) = (await server.get(reply["jobUrl"] + "why")).json["waitingFor"]
        assert wait["message"].endswith(words)
        assert (await server.post(wait["resumeUrl"])).status == 200
        assert (await server.get(reply["jobUrl"])).json["job"]["status"] in {"scheduled", "enqueued"}
        assert "paused" not in (await server.get(reply["jobUrl"] + "why")).body.decode()


async def test_an_unknown_pool_is_404_and_the_known_ones_are_named(server):
    answer = await server.post("/pools/slow/pause")
    assert answer.status == 404
    assert "default, fast" in answer.json["detail"]


async def test_all_dispatch_is_paused_until_it_is_resumed_and_says_so(server):
    await server.report_worker()
    for _ in range(2):
        assert (await server.post("/dispatch/pause")).json == {"paused": True}
    held = [await server.enqueue(task) for task in ("task", "fast-one")]
    assert await claimed(server) == []
    assert (await server.get("/status")).json["dispatch"] == {"paused": True, "reason": "requested"}
    for reply in held:
        (wait,) = (await server.get(reply["jobUrl"] + "why")).json["waitingFor"]
        assert (wait["reason"], wait["message"]) == ("dispatch-paused", "all dispatch is paused until someone resumes it")
    for _ in range(2):
        assert (await server.post(wait["resumeUrl"])).json == {"paused": False}
    assert sorted(await claimed(server)) == sorted(reply["executionId"] for reply in held)
    assert (await server.get("/status")).json["dispatch"] == {"paused": False, "reason": None}
    assert (await server.get("/dispatch/resume")).status == 405
