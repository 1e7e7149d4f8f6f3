"""Reading a job, editing it and putting it back; changing single fields; and changing only the version that was read."""

import asyncio
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fastlane.config.pools import POOLS
from fastlane.models.pool import Pool
from tests.support.fastlane import HOST, Fastlane

SCRIPT = """
import json, urllib.request as http
job = json.load(http.urlopen("{url}"))["job"]["definition"] | {{"image": "ubuntu:24.04"}}
http.urlopen(http.Request("{url}", json.dumps(job).encode(), method="PUT"))
"""
FULL = {
    "name": "nightly backup", "labels": {"team": "data", "kind": "a=b, c"}, "image": "registry.example.com:5000/team/app:1.2",
    "command": ["sh", "-c", "echo 'it\\'s' $HOME\n", "", "ü"], "envs": {"A": 1, "B": True, "C": "x y"}, "cron": "0 8 * * mon-fri",
    "timezone": "Europe/Berlin", "overlap": "skip", "catchUp": "none", "retries": 2, "retryDelay": 90, "timeout": "1.5s",
    "retryOn": ["oom", "host-lost", {"exitCodes": [75, 137]}], "onOom": {"memory": "x2", "max": "8g"},
    "pauseAfter": 5, "notifyAfter": 3, "doneBy": "06:00",
    "expiration": "2090-01-01T00:00:00.001Z", "expiresIn": "2h", "priority": -7, "concurrency": 2, "concurrencyKey": "db",
    "everywhere": "nodes",
    "resources": {"cpus": 0.5, "memory": "512m", "reserve": {"cpus": 0.25}}, "metadata": {"a": [1, None]},
    "retention": {"jobs": "36h", "executions": 86_400, "maxExecutions": 20, "logs": "90m"},
    "container": {"user": "app", "stopGrace": 1.5, "mounts": ["/srv:/data:ro", {"type": "tmpfs", "target": "/tmp"}], "init": False},
}  # fmt: skip
POLICY = {"user": True, "stopGrace": True, "mounts": True, "init": True}


async def job_of(server, reply):
    return (await server.get(reply["jobUrl"])).json["job"]


async def patch(server, reply, body, **options):
    return await server.ask("PATCH", reply["jobUrl"], json=body, **options)


@pytest.fixture
async def permissive(shared_redis, tmp_path):
    pools = POOLS.read([{"name": "all", "match": "", "hosts": [HOST], "policy": POLICY, "insecure": True}])
    async with Fastlane(tmp_path, shared_redis.url, pools=pools) as server:
        yield server


@pytest.mark.parametrize(
    "fields",
    [
        {},
        FULL,
        {"command": "ls -lah"},
        {"startAt": "2090-01-01T00:00:00.001Z", "retries": 0, "retryDelay": "0s"},
        {"manual": True, "overlap": "queue"},
        {"command": ["x" * 40_000, "y' " * 9_000]},
    ],
    ids=["least", "full", "text", "later", "manual", "long"],
)
async def test_a_job_s_definition_is_the_body_that_makes_the_same_job(permissive, fields):
    reply = await permissive.enqueue(**fields)
    before = await permissive.store.job(reply["jobId"])
    shown = (await job_of(permissive, reply))["definition"]
    assert shown.keys() == {"image", *fields}
    assert (await permissive.put(reply["jobUrl"], shown)).status == 200
    after = await permissive.store.job(reply["jobId"])
    assert (after.spec, after.schedule) == (before.spec, before.schedule)
    assert (await job_of(permissive, reply))["definition"] == shown


async def test_durations_and_times_of_a_definition_are_text(permissive):
    shown = (await job_of(permissive, await permissive.enqueue(**FULL)))["definition"]
    assert [shown[name] for name in ("retryDelay", "timeout", "expiresIn")] == ["1m30s", "1.5s", "2h"]
    assert (shown["expiration"], shown["timezone"], shown["container"]["stopGrace"]) == (FULL["expiration"], "Europe/Berlin", "1.5s")
    assert shown["envs"] == {"A": "1", "B": "true", "C": "x y"}


async def test_a_job_is_fetched_edited_and_put_back_by_a_script_of_three_lines(server):
    reply = await server.enqueue(cron="0 8 * * *", retries=1, retryDelay=90, timeout="10m", labels={"team": "data"})
    before = await job_of(server, reply)
    run = await asyncio.create_subprocess_exec(sys.executable, "-c", SCRIPT.format(url=reply["jobUrl"]))
    assert await run.wait() == 0
    after = await job_of(server, reply)
    assert after["definition"] == before["definition"] | {"image": "ubuntu:24.04"}
    assert after["nextRunAt"] == before["nextRunAt"]


async def test_a_redacted_value_is_refused_and_a_patch_of_other_fields_keeps_it(server):
    reply = await server.enqueue(envs={"DB_PASSWORD": "hunter2", "A": "1"}, cron="0 8 * * *")
    shown = (await job_of(server, reply))["definition"]
    refused = await server.put(reply["jobUrl"], shown)
    assert refused.status == 400
    assert refused.json["errors"][0]["field"] == "envs.DB_PASSWORD"
    assert "PATCH" in refused.json["detail"]
    assert (await patch(server, reply, {"retries": 2})).status == 200
    job = await server.store.job(reply["jobId"])
    assert (job.spec.envs, job.spec.retries) == ({"DB_PASSWORD": "hunter2", "A": "1"}, 2)


async def test_a_patch_changes_what_it_names_removes_what_is_null_and_leaves_the_next_tick(server):
    reply = await server.enqueue(command="old", cron="0 8 * * *", timezone="Asia/Tokyo", retries=3, timeout=60, metadata={"a": 1})
    before = await job_of(server, reply)
    changed = await patch(server, reply, {"command": "new", "timeout": "5m", "retries": None, "metadata": None, "overlap": "skip"})
    assert changed.status == 200
    assert (changed.json["executionId"], changed.json["queueJobId"]) == (None, reply["queueJobId"])
    after = await job_of(server, reply)
    expected = before["definition"] | {"command": "new", "timeout": "5m", "overlap": "skip"}
    assert after["definition"] == {name: value for name, value in expected.items() if name not in ("retries", "metadata")}
    assert (after["nextRunAt"], after["status"]) == (before["nextRunAt"], "scheduled")


@pytest.mark.parametrize(
    ("fields", "change", "start"),
    [
        ({"cron": "0 8 * * *", "timezone": "Asia/Tokyo"}, {"cron": "0 9 * * *"}, {"cron": "0 9 * * *", "timezone": "Asia/Tokyo"}),
        ({"cron": "0 8 * * *", "timezone": "Asia/Tokyo"}, {"timezone": None}, {"cron": "0 8 * * *", "timezone": "UTC"}),
        ({"cron": "0 8 * * *", "overlap": "skip"}, {"startAt": "2090-01-01T00:00:00Z"}, {"startAt": "2090-01-01T00:00:00.000Z"}),
        ({"startIn": "5m"}, {"cron": "@daily"}, {"cron": "@daily", "timezone": "UTC"}),
    ],
)
async def test_a_patch_of_the_start_arms_a_stopped_job_again(server, fields, change, start):
    reply = await server.enqueue(**fields)
    await server.post(reply["jobUrl"] + "stop")
    assert (await patch(server, reply, change)).status == 200
    job = await job_of(server, reply)
    assert job["status"] == "scheduled"
    names = ("startAt", "cron", "timezone", "overlap")
    assert {name: job["definition"][name] for name in names if name in job["definition"]} == start


@pytest.mark.parametrize("change", [{"image": "ubuntu:24.04"}, {"cron": "0 8 * * *"}, {"timezone": "UTC"}, {"name": "x"}])
async def test_a_patch_that_keeps_the_start_leaves_a_stopped_job_stopped_and_a_paused_one_paused(server, change):
    reply = await server.enqueue(cron="0 8 * * *")
    for verb, status in (("pause", "paused"), ("stop", "stopped")):
        await server.post(reply["jobUrl"] + verb)
        assert (await patch(server, reply, change)).status == 200
        assert (await job_of(server, reply))["status"] == status


async def test_a_patch_of_a_job_that_ran_runs_nothing_and_the_next_run_takes_the_new_details(server):
    reply = await server.run_to_end("task")
    assert (await patch(server, reply, {"command": "new"})).status == 200
    assert (await job_of(server, reply))["executionCount"] == 1
    again = (await server.post(reply["jobUrl"] + "run")).json
    assert (await server.get(again["executionUrl"])).json["execution"]["command"] == "new"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"image": None}, {"image"}),
        ({"colour": None, "timeout": 0, "retries": 11}, {"colour", "timeout", "retries"}),
        ({"cron": "@daily", "startIn": "5m"}, {"startIn"}),
        ({"timezone": "UTC", "overlap": None}, {"timezone"}),
        ({"cron": "often", "timezone": "UTC"}, {"cron"}),
        ({"retryDelay": "5s"}, {"retryDelay"}),
        ({"retryDelay": 5, "retries": None}, {"retryDelay"}),
        ({"expiration": 1}, {"expiration"}),
    ],
)
async def test_a_faulty_patch_names_every_fault_and_changes_nothing(server, body, fields):
    reply = await server.enqueue(startAt="2090-01-01T00:00:00Z")
    refused = await patch(server, reply, body)
    assert refused.status == 400
    assert {fault["field"] for fault in refused.json["errors"]} == fields
    assert (await server.store.job(reply["jobId"])).revision == 1


async def test_a_patch_of_the_delay_of_retries_goes_by_the_job_s_own_retries(server):
    reply = await server.enqueue(startAt="2090-01-01T00:00:00Z", retries=1)
    assert (await patch(server, reply, {"retryDelay": "5s"})).status == 200
    assert (await patch(server, reply, {"retries": None})).status == 200
    shown = (await job_of(server, reply))["definition"]
    assert (shown["retries"], shown["retryDelay"]) == (0, "5s")
    assert (await server.put(reply["jobUrl"], shown)).status == 200


async def test_a_patch_of_nothing_or_of_no_job_is_refused(server):
    reply = await server.enqueue()
    assert (await server.ask("PATCH", reply["jobUrl"])).status == 400
    assert (await patch(server, reply | {"jobUrl": reply["jobUrl"].replace("/task/", "/other/")}, {"retries": 1})).status == 404


async def test_a_patch_is_made_again_to_what_another_request_made_of_the_job(server):
    reply = await server.enqueue(cron="0 8 * * *")
    answers = await asyncio.gather(*(patch(server, reply, {"labels" if n else "retries": {"n": "1"} if n else 2}) for n in range(2)))
    assert [answer.status for answer in answers] == [200, 200]
    job = await server.store.job(reply["jobId"])
    assert (job.spec.retries, job.spec.labels) == (2, {"n": "1"})


async def test_a_pool_that_has_become_stricter_refuses_only_what_a_patch_asks_of_it(permissive, shared_redis, tmp_path):
    reply = await permissive.enqueue(container={"user": "app"})
    settings = {"pools": (Pool("strict", "", (HOST,)),), "installation": permissive.installation}
    async with Fastlane(permissive.settings.data_dir, shared_redis.url, **settings) as strict:
        reply["jobUrl"] = reply["jobUrl"].replace(permissive.base, strict.base)
        for query in ("?dryRun=1", ""):
            url = {"jobUrl": reply["jobUrl"] + query}
            assert (await patch(strict, url, {"name": "x"})).status == 200
            assert (await patch(strict, url, {"container": {"user": "root"}})).status == 403


async def test_a_dry_run_of_a_put_or_a_patch_changes_nothing(server):
    reply = await server.enqueue(cron="0 8 * * *")
    put = await server.put(reply["jobUrl"] + "?dryRun=1", {"image": "other", "cron": "0 9 * * *"})
    patched = await server.ask("PATCH", reply["jobUrl"] + "?dryRun=1", json={"cron": "0 9 * * *"})
    for preview, image in ((put, "other"), (patched, "ubuntu:latest")):
        assert (preview.status, preview.json["valid"], preview.json["spec"]["image"]) == (200, True, image)
        assert datetime.fromisoformat(preview.json["nextRuns"][0]).astimezone(UTC).hour == 9
    assert (await server.put(reply["jobUrl"].replace("/task/", "/other/") + "?dryRun=1", {"image": "other"})).status == 409
    assert (await server.store.job(reply["jobId"])).revision == 1


async def test_a_dry_run_of_a_patch_shows_the_runs_that_would_follow_it(server):
    async def runs(reply, body):
        preview = await server.ask("PATCH", reply["jobUrl"] + "?dryRun=1", json=body)
        assert preview.status == 200, preview.body
        return preview.json["nextRuns"]

    ended = await server.run_to_end("task")
    assert await runs(ended, {"name": "x"}) == []
    assert await runs(ended, {"startAt": "2090-01-01T00:00:00Z"}) == ["2090-01-01T00:00:00.000Z"]
    cron = await server.enqueue(cron="0 8 * * *")
    assert (await runs(cron, {"name": "x"}))[0] == (await job_of(server, cron))["nextRunAt"]
    assert len(await runs(cron, {"cron": None})) == 1  # it would run at once
    for verb in ("pause", "stop"):
        await server.post(cron["jobUrl"] + verb)
        assert await runs(cron, {"name": "x"}) == []
        assert len(await runs(cron, {"cron": "0 9 * * *"})) == 5


async def test_a_dry_run_refuses_the_patch_that_would_be_refused(server):
    reply = await server.enqueue(cron="* * * * *", expiration="2090-01-01T00:00:00Z")
    job = await server.store.job(reply["jobId"])
    over = replace(job, next_tick=None, spec=replace(job.spec, expiration=server.clock.now()))
    assert await server.store.advance(job, over, [], None)
    for query in ("?dryRun=1", ""):
        refused = await server.ask("PATCH", reply["jobUrl"] + query, json={"expiration": "2090-01-01T00:00:00Z"})
        assert refused.status == 409


async def test_a_put_waits_for_its_execution(server):
    reply = await server.run_to_end("task")
    waiting = asyncio.create_task(server.put(reply["jobUrl"] + "?wait=30", {"image": "ubuntu:latest"}))

    async def second():
        latest = (await server.store.latest([reply["jobId"]]))[reply["jobId"]]
        return None if latest.id == reply["executionId"] else latest.id

    execution_id = await server.until(second, "the second execution")
    await server.end(await server.run({"executionId": execution_id}))
    answer = (await waiting).json
    assert (answer["executionId"], answer["execution"]["status"]) == (execution_id, "done")


async def test_each_change_gives_a_job_another_etag_and_its_runs_do_not(server):
    reply = await server.enqueue(cron="0 8 * * *")
    seen = [(await server.get(reply["jobUrl"])).headers["ETag"]]
    for change in (
        lambda: patch(server, reply, {"retries": 1}),
        lambda: server.put(reply["jobUrl"], {"image": "ubuntu", "cron": "0 8 * * *"}),
        lambda: server.post(reply["jobUrl"] + "pause"),
        lambda: server.post(reply["jobUrl"] + "stop"),
    ):
        assert (await change()).status == 200
        seen.append((await server.ask("HEAD", reply["jobUrl"])).headers["ETag"])
    assert len(set(seen)) == len(seen)
    await server.post(reply["jobUrl"] + "run")
    answer = await server.get(reply["jobUrl"], headers={"If-None-Match": seen[-1]})
    assert (answer.status, answer.headers["ETag"]) == (200, seen[-1])


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "stop", "PUT?dryRun=1", "PATCH?dryRun=1"])
async def test_a_change_of_another_version_than_the_one_that_was_read_is_refused(server, method):
    reply = await server.enqueue(cron="0 8 * * *")
    await server.post(reply["jobUrl"] + "stop")
    old = (await server.get(reply["jobUrl"])).headers["ETag"]
    await patch(server, reply, {"retries": 1})
    before = await server.store.job(reply["jobId"])

    async def change(tag):
        verb, _, query = method.partition("?")
        url, verb = (reply["jobUrl"] + "stop", "POST") if method == "stop" else (f"{reply['jobUrl']}?{query}", verb)
        return await server.ask(verb, url, headers={"If-Match": tag}, json={"image": "ubuntu"})

    refused = await change(old)
    assert (refused.status, refused.headers["Content-Type"]) == (412, "application/problem+json")
    assert "GET it again" in refused.json["detail"]
    assert await server.store.job(reply["jobId"]) == before
    assert (await change("no quotes")).status == 400
    new = (await server.get(reply["jobUrl"])).headers["ETag"]
    assert (await change(f"{old}, W/{new}")).status == 200


async def test_if_match_keeps_a_put_from_creating_a_job(server):
    url = "/tasks/task/jobs/6c84fb90-12c4-11e1-840d-7b25c5ee775a"
    answer = await server.ask("PUT", url, headers={"If-Match": "*"}, json={"image": "ubuntu"})
    assert answer.status == 412
    assert (await server.get(url)).status == 404


async def test_names_and_labels_come_back_and_bad_ones_are_refused(server):
    reply = await server.enqueue(name="nightly backup", labels={"team": "data", "app.kubernetes.io/name": ""})
    job = await job_of(server, reply)
    assert (job["name"], job["labels"]) == ("nightly backup", {"team": "data", "app.kubernetes.io/name": ""})
    (row,) = (await server.get("/tasks/task")).json["jobs"]
    assert (row["taskId"], row["name"], row["labels"]) == ("task", job["name"], job["labels"])
    labels = {"a=b": "x", "n": 1, "long": "x" * 256, "tab": "\t", "-a": "x"}
    refused = await server.post("/tasks/task", {"image": "ubuntu", "name": " ", "labels": labels})
    assert {fault["field"] for fault in refused.json["errors"]} == {"name", *(f"labels.{name}" for name in labels)}
