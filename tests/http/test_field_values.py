"""Values of the fields of a job: each bad one is named with a remedy, within what a server allows; secrets never come back."""

import time
from uuid import uuid4

import pytest

from fastlane.models.pool import Pool
from tests.http.posted import CRON, OK, faults
from tests.support.fastlane import HOST, Fastlane

IN_A_MINUTE = round(time.time()) + 60


async def test_a_server_says_how_many_retries_it_allows(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, hard_retries=2) as server:
        assert "allows (2)" in faults(await server.post("/tasks/task", OK | {"retries": 3}))["retries"]
        reply = await server.enqueue(retries=2)
        assert (await server.get(reply["jobUrl"])).json["job"]["spec"]["retries"] == 2


async def test_a_server_says_how_long_it_lets_a_job_run(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, hard_timeout=90) as server:
        assert "allows (1m30s)" in faults(await server.post("/tasks/task", OK | {"timeout": 91}))["timeout"]
        assert "allows (1m30s)" in faults(await server.put(f"/tasks/task/jobs/{uuid4()}", OK | {"timeout": 91}))["timeout"]
        reply = await server.enqueue(timeout=90)
        assert (await server.get(reply["jobUrl"])).json["job"]["spec"]["timeout"] == 90


async def test_a_pool_may_let_its_jobs_run_for_longer_than_others(shared_redis, tmp_path):
    pools = (Pool("backups", "backup-", (HOST,), hard_timeout=7_200.0), Pool("default", "", (HOST,)))
    async with Fastlane(tmp_path, shared_redis.url, hard_timeout=90, pools=pools) as server:
        reply = await server.enqueue("backup-db", timeout="2h")
        assert "allows (2h)" in faults(await server.ask("PATCH", reply["jobUrl"], json={"timeout": "3h"}))["timeout"]
        assert "allows (1m30s)" in faults(await server.post("/tasks/other", OK | {"timeout": "2h"}))["timeout"]
        assert [pool["hardTimeout"] for pool in (await server.get("/pools")).json["items"]] == [7_200, None]


async def test_a_cron_without_a_time_zone_is_in_that_of_the_settings(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, timezone="Asia/Tokyo") as server:
        for given, timezone in (({}, "Asia/Tokyo"), ({"timezone": "UTC"}, "UTC")):
            reply = await server.enqueue(cron="0 8 * * *", **given)
            assert (await server.get(reply["jobUrl"])).json["job"]["schedule"]["timezone"] == timezone


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"startIn": 300}, "startIn", "5m"),
        ({"everywhere": "hosts"}, "everywhere", "nodes"),
        ({"startIn": "300"}, "startIn", "5m"),
        ({"startIn": "-5m"}, "startIn", "5m"),
        ({"startIn": "500000h"}, "startIn", "ten years"),
        ({"startIn": ""}, "startIn", "5m"),
        ({"startAt": True}, "startAt", "boolean"),
        ({"startAt": 1645113692000}, "startAt", "milliseconds"),
        ({"startAt": "tomorrow"}, "startAt", "ISO 8601"),
        ({"startAt": "2022-02-17T16:01:32"}, "startAt", "offset"),
        ({"startAt": -1}, "startAt", "1970"),
        ({"startIn": "5m", "startAt": 1645113692}, "startIn", "one of them"),
        ({"startIn": "5m", "cron": "* * * * *"}, "startIn", "one of them"),
        ({"startAt": 1645113692, "cron": "* * * * *"}, "startAt", "one of them"),
        ({"startIn": "5m", "startAt": 1645113692, "cron": "* * * * *"}, "startIn", "startAt and cron"),
        ({"cron": 5}, "cron", "text"),
        ({"cron": ""}, "cron", "five fields"),
        ({"cron": "* * * *"}, "cron", "five fields"),
        ({"cron": "0 * * * * *"}, "cron", "five fields"),
        ({"cron": "0 0 31 2 *"}, "cron", "never runs"),
        ({"cron": "61 * * * *"}, "cron", "minute"),
        ({"cron": "0 22-2 * * *"}, "cron", "22-23"),
        ({"cron": "@reboot"}, "cron", "@hourly"),
        ({"cron": "@every 90s"}, "cron", "write @every and an interval of whole minutes"),
        ({"cron": "0 0 ? * *"}, "cron", "cron has no ?; write *"),
        ({"cron": "0 0 L-31 * *"}, "cron", "write L-1 to L-30"),
        ({"timezone": "Europe/Berlin"}, "timezone", "give one"),
        ({"timezone": "Europe/Berlin", "startIn": "5m"}, "timezone", "cron"),
        ({"overlap": "skip"}, "overlap", "give cron, manual or after"),
        ({"catchUp": "none"}, "catchUp", "give one"),
        (CRON | {"timezone": "Europe/Berlim"}, "timezone", "Europe/Berlin"),
        (CRON | {"timezone": "+02:00"}, "timezone", "Europe/Berlin"),
        (CRON | {"timezone": 2}, "timezone", "text"),
        (CRON | {"overlap": "SKIP"}, "overlap", "'allow', 'skip'"),
        (CRON | {"overlap": True}, "overlap", "'allow', 'skip'"),
        (CRON | {"overlap": ["skip"]}, "overlap", "'allow', 'skip'"),
        (CRON | {"catchUp": "all"}, "catchUp", "'latest', 'none'"),
        (CRON | {"catchUp": {}}, "catchUp", "'latest', 'none'"),
        ({"retries": 11}, "retries", "allows (10); choose fewer"),
        ({"retries": 10**18}, "retries", "allows (10); choose fewer"),
        ({"retries": -1}, "retries", "0 or more"),
        ({"retries": 1.5}, "retries", "0 or more"),
        ({"retries": "3"}, "retries", "0 or more"),
        ({"retries": True}, "retries", "0 or more"),
        ({"retries": 1, "retryDelay": "5"}, "retryDelay", 'write "5s"'),
        ({"retries": 1, "retryDelay": "-5s"}, "retryDelay", "negative"),
        ({"retries": 1, "retryDelay": True}, "retryDelay", "5m"),
        ({"retries": 1, "retryDelay": []}, "retryDelay", "neither text nor a number"),
        ({"retryDelay": "5s"}, "retryDelay", 'give retries, such as "retries": 3'),
        ({"retryDelay": 0, "retries": None}, "retryDelay", "or leave this out"),
        ({"timeout": 0}, "timeout", "is zero"),
        ({"timeout": "0.0004s"}, "timeout", "is zero"),
        ({"timeout": -1}, "timeout", "negative"),
        ({"timeout": "60"}, "timeout", 'write "60s", or the number'),
        ({"timeout": True}, "timeout", "neither text nor a number"),
        ({"timeout": 10**12}, "timeout", "too large"),
        ({"timeout": 1e18}, "timeout", "too large"),
        ({"expiresIn": 0}, "expiresIn", "is zero"),
        ({"container": {"stopGrace": 0.5}}, "container.stopGrace", "from 1s to 1h"),
        ({"startAt": 1e18}, "startAt", "too large"),
        ({"priority": 1e18}, "priority", "too large; write a whole number from -100 to 100"),
        ({"resources": {"cpus": 1e18}}, "resources.cpus", "too large"),
        ({"resources": {"memory": 10**18}}, "resources.memory", "too large"),
        ({"resources": {"pids": 1e18}}, "resources.pids", "too large"),
        ({"expiration": True}, "expiration", "boolean"),
        ({"expiration": "soon"}, "expiration", "ISO 8601"),
        ({"expiration": 1645113692000}, "expiration", "milliseconds"),
        ({"expiration": 1645113692}, "expiration", "never run"),
        ({"expiration": "2090-01-01T00:00:00Z", "startAt": "2090-01-01T00:00:00Z"}, "expiration", "never run"),
        ({"expiration": 1645113693, "startAt": 1645113692}, "expiration", "never run"),
        ({"expiration": IN_A_MINUTE, "startIn": "5m"}, "expiration", "never run"),
        ({"expiration": IN_A_MINUTE, "cron": "@yearly"}, "expiration", "never run"),
        ({"expiresIn": [5]}, "expiresIn", "5m"),
        ({"expiresIn": "0s"}, "expiresIn", "longer one"),
        ({"expiresIn": "0.0004s"}, "expiresIn", "longer one"),
        ({"expiresIn": "-5m"}, "expiresIn", "negative"),
        ({"expiresIn": True}, "expiresIn", "5m"),
        ({"retention": 5}, "retention", "is not an object"),
        ({"retention": {"executions": "59s"}}, "retention.executions", "the shortest is 1m"),
        ({"retention": {"logs": "never"}}, "retention.logs", "is not a duration"),
        ({"retention": {"maxExecutions": 0}}, "retention.maxExecutions", "1000000"),
        ({"retention": {"days": 3}}, "retention.days", "is not a field of retention"),
        ({"expiresIn": "5m", "startAt": 1645113692}, "expiresIn", "later startAt"),
        ({"priority": 101}, "priority", "-100 to 100"),
        ({"priority": -101}, "priority", "-100 to 100"),
        ({"priority": 0.5}, "priority", "-100 to 100"),
        ({"priority": "high"}, "priority", "-100 to 100"),
        ({"priority": True}, "priority", "-100 to 100"),
        ({"concurrency": 0}, "concurrency", "1 to 1000"),
        ({"concurrency": 1001}, "concurrency", "1 to 1000"),
        ({"concurrency": False}, "concurrency", "1 to 1000"),
        ({"command": "echo 'it"}, "command", "never closed"),
        ({"command": "echo \\"}, "command", "backslash"),
        ({"command": ""}, "command", "leave it out"),
        ({"command": []}, "command", "leave it out"),
        ({"command": 3}, "command", "list of texts"),
        ({"command": ["sleep", 3]}, "command.1", "quotes"),
        ({"command": "x" * 70_000}, "command", "longer"),
        ({"command": ["x" * 140_000]}, "command", "longer"),
        ({"command": ["x"] * 10_001}, "command", "more than"),
        ({"envs": []}, "envs", "object"),
        ({"envs": {"1A": "x"}}, "envs.1A", "name"),
        ({"envs": {"": "x"}}, "envs.(empty)", "name"),
        ({"envs": {"Ä": "x"}}, "envs.Ä", "name"),
        ({"envs": {"FASTLANE_TASK_ID": "x"}}, "envs.FASTLANE_TASK_ID", "begins with FASTLANE_"),
        ({"envs": {"FASTLANE_OWN": "x"}}, "envs.FASTLANE_OWN", "choose another name"),
        ({"envs": {"A": {}}}, "envs.A", "quotes"),
        ({"envs": {"A": "********"}}, "envs.A", "secret"),
        ({"envs": {f"A{number}": 1 for number in range(1_001)}}, "envs", "more than"),
        ({"envs": {"A": "{" * 90_000}}, "envs", "each {{ takes 8 bytes"),
        ({"metadata": "x"}, "metadata", "object"),
        ({"metadata": {"x": "y" * 16_384}}, "metadata", "longer"),
    ],
)
async def test_a_bad_value_is_named_with_a_remedy(server, fields, field, says):
    assert says in faults(await server.post("/tasks/task", OK | fields))[field]


async def test_what_was_posted_comes_back(server):
    envs = {"TEXT": "a\nb", "WHOLE": 3, "HALF": 0.5, "YES": True, "NO": False, "EMPTY": ""}
    reply = await server.enqueue(command="sh -c 'echo \"it is\"'", envs=envs, metadata={"a": [1, None, "ü"]})
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert job["spec"]["command"] == "sh -c 'echo \"it is\"'"
    assert job["metadata"]["envs"] == {"TEXT": "a\nb", "WHOLE": "3", "HALF": "0.5", "YES": "true", "NO": "false", "EMPTY": ""}
    assert job["metadata"]["custom"] == {"a": [1, None, "ü"]}
    assert (await server.store.job(reply["jobId"])).spec.command == ("sh", "-c", 'echo "it is"')


async def test_values_of_secrets_never_come_back(server):
    envs = {name: "hidden-value" for name in ("DB_PASSWORD", "api_key", "SECRET", "x_Token_y", "CLIENT_ID")} | {"PLAIN": "shown"}
    reply = await server.enqueue(envs=envs)
    for url in (reply["jobUrl"], reply["jobUrl"] + "?include=logs", reply["taskUrl"], reply["executionUrl"]):
        assert b"hidden-value" not in (await server.get(url)).body
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert job["metadata"]["envs"] == {name: "********" for name in envs} | {"PLAIN": "shown"}
    assert (await server.store.job(reply["jobId"])).spec.envs["SECRET"] == "hidden-value"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("envs", {"DB": "postgres://me:********@db/x"}),
        ("envs", {"DB": "https://x/?token=********&a=1"}),
        ("envs", {"KEY": "********"}),
        ("command", "curl https://me:********@x"),
        ("command", ["curl", "https://me:********@x"]),
    ],
)
async def test_what_is_shown_in_place_of_a_secret_is_never_taken_for_one(server, field, value):
    answer = await server.post("/tasks/task", {"image": "x", field: value})
    assert answer.status == 400
    (fault,) = answer.json["errors"]
    assert fault["field"].startswith(field)
    assert "give the secret itself" in fault["message"]
