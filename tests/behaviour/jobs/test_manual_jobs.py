"""Jobs that run only when somebody asks for it."""

import pytest

from tests.http.posted import OK, faults
from tests.support.fastlane import Fastlane

NOTHING = {"executionId": None, "executionUrl": None, "queueJobId": None}


async def test_a_manual_job_starts_nothing_until_it_is_run_and_then_once_each_time(server):
    reply = await server.enqueue(manual=True)
    assert reply | NOTHING == reply
    job = (await server.get(reply["jobUrl"])).json["job"]
    shown = (job["status"], job["scheduled"], job["nextRunAt"], job["nextRuns"], job["executionCount"])
    assert shown == ("idle", False, None, [], 0)
    assert job["schedule"] == {"kind": "manual", "startAt": None, "overlap": "allow"}
    assert job["definition"] == {"image": OK["image"], "manual": True}
    (why,) = (await server.get(reply["jobUrl"] + "why")).json["waitingFor"]
    assert (why["reason"], why["message"]) == ("manual", "it runs only when somebody runs it")
    assert (await server.get("/status")).json["jobs"]["byStatus"]["idle"] == 1
    for _ in range(2):
        run = (await server.post(reply["jobUrl"] + "run")).json
        execution = await server.run(run)
        assert execution.id == run["executionId"]
        await server.end(execution, 0)
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert (job["status"], job["executionCount"]) == ("done", 2)


async def test_manual_jobs_are_listed_by_their_status(server):
    reply = await server.enqueue(manual=True, overlap="skip")
    await server.enqueue(startIn="1h")
    for path in ("/jobs?status=idle", "/tasks/task/jobs?status=idle", "/jobs?status=idle,running"):
        assert [row["id"] for row in (await server.get(path)).json["items"]] == [reply["jobId"]]
    assert (await server.get("/jobs?status=expired")).json["items"] == []


async def test_putting_a_manual_job_starts_nothing_and_a_put_without_manual_runs_it(server):
    reply = await server.enqueue(manual=True)
    again = (await server.put(reply["jobUrl"], OK | {"manual": True, "overlap": "queue"})).json
    assert again | NOTHING == again
    assert (await server.put(reply["jobUrl"], OK | {"manual": False})).json["executionId"] is not None


async def test_a_cron_becomes_manual_by_a_patch_and_comes_back(server):
    reply = await server.enqueue(cron="@hourly", overlap="skip", catchUp="none")
    assert (await server.ask("PATCH", reply["jobUrl"], json={"manual": True})).status == 200
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert (job["definition"], job["nextRunAt"]) == ({"image": OK["image"], "manual": True, "overlap": "skip"}, None)
    changed = await server.ask("PATCH", reply["jobUrl"], json={"cron": "@daily", "manual": False})
    assert changed.status == 200
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert (job["schedule"]["kind"], job["schedule"]["overlap"], job["status"]) == ("cron", "skip", "scheduled")


@pytest.mark.parametrize("name", ["startIn", "startAt", "cron"])
async def test_a_manual_job_has_no_other_start(server, name):
    start = {"startIn": "1h", "startAt": 4_000_000_000, "cron": "@daily"}[name]
    answer = await server.post("/tasks/task", OK | {name: start, "manual": True})
    assert faults(answer) == {name: "cannot be used together with manual; keep one of them"}


@pytest.mark.parametrize("odd", ["yes", 1, [True], {"manual": True}])
async def test_manual_is_true_or_false(server, odd):
    assert "is neither true nor false" in faults(await server.post("/tasks/task", OK | {"manual": odd}))["manual"]


async def test_only_overlap_of_the_rules_of_a_schedule_goes_with_a_manual_job(server):
    rules = {"timezone": "Europe/Berlin", "catchUp": "none", "overlap": "skip"}
    found = faults(await server.post("/tasks/task", OK | {"manual": True, **rules}))
    assert found.keys() == {"timezone", "catchUp"}
    assert "or a manual one" in faults(await server.post("/tasks/task", OK | {"overlap": "skip"}))["overlap"]


async def test_a_run_of_a_manual_job_while_one_runs_follows_its_overlap(server):
    reply = await server.enqueue(manual=True, overlap="skip")
    run = (await server.post(reply["jobUrl"] + "run")).json
    refused = await server.post(reply["jobUrl"] + "run")
    assert refused.status == 409
    assert run["executionId"] in refused.json["detail"]
    assert (await server.post(reply["jobUrl"] + "run?force=1")).status == 200


async def test_a_key_lets_the_creation_of_a_manual_job_have_its_effect_once(server):
    key = {"headers": {"Idempotency-Key": "one"}}
    first = await server.post("/tasks/task", OK | {"manual": True}, **key)
    again = await server.post("/tasks/task", OK | {"manual": True}, **key)
    assert again.json == first.json
    assert first.json | NOTHING == first.json
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_waiting_for_a_manual_job_ends_at_once_and_a_preview_names_no_run(server):
    waited = await server.post("/tasks/task?wait=60", OK | {"manual": True})
    assert (waited.json["execution"], waited.json["executionId"]) == (None, None)
    preview = (await server.post("/tasks/task?dryRun=1", OK | {"manual": True})).json
    assert (preview["nextRuns"], preview["schedule"]["kind"]) == ([], "manual")


async def test_an_idle_job_can_be_stopped_and_is_deleted_without_a_stop(server):
    reply = await server.enqueue(manual=True)
    assert (await server.post(reply["jobUrl"] + "stop")).json["status"] == "idle"
    assert (await server.post(reply["jobUrl"] + "pause")).status == 409
    assert (await server.post(reply["jobUrl"] + "start")).json["status"] == "idle"
    assert not (await server.store.job(reply["jobId"])).stopped
    assert (await server.ask("DELETE", reply["jobUrl"])).status == 200


async def test_a_follower_of_a_job_that_nobody_has_run_is_told_to_come_again(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, ws_start_wait=0.1) as server:
        reply = await server.enqueue(manual=True)
        async with server.client.ws_connect(reply["jobUrl"] + "ws") as socket:
            closing = await socket.receive()
            assert (closing.data, closing.extra) == (1000, "retry")
