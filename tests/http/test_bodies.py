"""Request bodies: every slip that a person makes gets an answer that says what to do."""

import asyncio
import gzip
import json
import threading
import time
from uuid import uuid4

import pytest

from fastlane.models.placement.pool import Pool
from fastlane.web.handler import handler
from tests.support.fastlane import HOST, Fastlane

OK = {"image": "ubuntu:latest"}
CRON = {"cron": "* * * * *"}
IN_A_MINUTE = round(time.time()) + 60


def faults(answer) -> dict[str, str]:
    assert answer.status == 400, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    return {fault["field"]: fault["message"] for fault in answer.json["errors"]}


@pytest.mark.parametrize("body", [None, b"", b"  \n"])
async def test_an_empty_body_is_told_how_to_list_and_how_to_run(server, body):
    answer = await server.post("/tasks/a%27b", body)
    assert answer.status == 400
    assert f"curl {server.base}/tasks/a%27b/" in answer.json["detail"]
    assert '"image"' in answer.json["detail"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"image=ubuntu&command=ls", "form"),
        (b"{'image': 'ubuntu'}", "double quotes"),
        (b'{"image": "ubuntu",}', "line 1, column"),
        (b'{"image": "ubuntu"', "line 1, column"),
        (b'{"image": "ubuntu"} {}', "not JSON"),
        (b"image", "not JSON"),
        (b'["ubuntu"]', "list"),
        (b'"ubuntu"', "text"),
        (b"null", "null"),
        (b"3", "number"),
        (b'{"image": NaN}', "NaN"),
        (b'{"metadata": {"x": -Infinity}}', "Infinity"),
        (b'{"metadata": {"x": 1e999}}', "too large"),
        (b'{"metadata": {"x": 123456789012345678901234567890}}', "64 bits"),
        (b'{"metadata": {"x": ' + b"9" * 5000 + b"}}", "64 bits"),
        (b'{"image": "\xff"}', "UTF-8"),
        ('{"image": "ubuntu"}'.encode("utf-16"), "UTF-8"),
        (b'{"image": "\\ud800"}', "surrogate"),
        (b'{"metadata": {"\\udc00": 1}}', "surrogate"),
        (b'{"image": "a\\u0000b"}', "NUL"),
        (b'{"envs": {"A\\u0000": 1}}', "NUL"),
        (b"[" * 100_000, "32 deep"),
        (b'{"metadata": ' + b'{"a":' * 32 + b"1" + b"}" * 33, "32 deep"),
        (b'{"image": "' + b'\\"' * 400_000, "not JSON"),
    ],
)
async def test_what_is_not_a_json_object_is_refused_with_a_hint(server, body, says):
    answer = await server.post("/tasks/task", body)
    assert answer.status == 400
    assert says in answer.json["detail"]
    assert len(answer.body) < 2_000
    assert (await server.get("/tasks/task")).status == 404


@pytest.mark.parametrize("body", [b'{"image": "a", "image": "b"}', b'{"image": "a", "metadata": {"image": 1, "image": 1}}'])
async def test_a_field_that_stands_there_twice_is_named(server, body):
    assert "twice" in faults(await server.post("/tasks/task", body))["image"]


async def test_nesting_of_32_is_fine(server):
    body = b'{"image": "ubuntu", "metadata": ' + b'{"a":' * 31 + b"1" + b"}" * 32
    assert (await server.post("/tasks/task", body)).status == 200


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/json; charset=x",
        "!",
    ],
)
async def test_the_content_type_does_not_matter(server, kind):
    body = {"image": "ubuntu", "metadata": {"text": "&" * 10_000}}
    assert (await server.post("/tasks/task", body, headers={"Content-Type": kind})).status == 200


async def test_a_byte_order_mark_is_let_by(server):
    assert (await server.post("/tasks/task", b'\xef\xbb\xbf{"image": "ubuntu"}')).status == 200


async def test_null_is_the_same_as_absent(server):
    names = ["name", "labels", "command", "envs", "startIn", "startAt", "cron", "timezone", "overlap", "catchUp", "metadata", "retries"]
    names += ["retryDelay"]
    names += ["timeout", "expiration", "expiresIn", "priority", "concurrency", "resources", "container", "additionalDNSEntries"]
    reply = await server.enqueue(**dict.fromkeys(names))
    assert reply["executionId"]
    assert "missing" in faults(await server.post("/tasks/task", {"image": None}))["image"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("retry", "retries"),
        ("crontab", "cron"),
        ("timeZone", "timezone"),
        ("catchup", "catchUp"),
        ("expires", "expiresIn"),
        ("img", "image"),
        ("cmd", "command"),
        ("env", "envs"),
        ("startat", "startAt"),
        ("start_in", "startIn"),
        ("Image", "image"),
    ],
)
async def test_an_unknown_field_is_named_with_the_nearest_known_one(server, name, near):
    assert f'nearest is "{near}"' in faults(await server.post("/tasks/task", OK | {name: "x"}))[name]


@pytest.mark.parametrize(
    ("fields", "field", "home"),
    [
        ({"memory": "512m"}, "memory", "resources.memory"),
        ({"schedule": "* * * * *"}, "schedule", "cron"),
        ({"Mounts": []}, "Mounts", "container.mounts"),
        ({"container": {"memory": "512m"}}, "container.memory", "resources.memory"),
        ({"resources": {"timeout": 60}}, "resources.timeout", "timeout, a field of the job itself"),
    ],
)
async def test_a_field_that_belongs_elsewhere_is_told_where(server, fields, field, home):
    assert faults(await server.post("/tasks/task", OK | fields))[field].endswith(f"; use {home}")


@pytest.mark.parametrize("name", ["colour", "x", "", "notReallyAnything"])
async def test_nothing_is_called_near_that_is_not(server, name):
    found = faults(await server.post("/tasks/task", OK | {name: 1}))[name or "(empty)"]
    assert "nearest" not in found
    assert "; there are: image, command, " in found
    assert "nearest" not in faults(await server.get("/tasks?colour=1"))["colour"]


@pytest.mark.parametrize("name", ["notify", "webhooks"])
async def test_a_field_that_later_work_brings_is_refused_rather_than_ignored(server, name):
    assert name in faults(await server.post("/tasks/task", OK | {name: 1}))


async def test_all_faults_come_in_one_answer(server):
    body = {"image": "UPPER", "command": "it's", "envs": {"A-B": 1, "C": [], "D": None}, "startIn": "soon", "metadata": [], "colour": 1}
    found = faults(await server.post("/tasks/task", body))
    assert set(found) == {"image", "command", "envs.A-B", "envs.C", "envs.D", "startIn", "metadata", "colour"}


async def test_detail_tells_one_fault_whole_and_of_several_the_names(server):
    one = (await server.post("/tasks/task", OK | {"startIn": "soon"})).json
    assert one["detail"] == one["error"] == f"startIn: {one['errors'][0]['message']}"
    several = (await server.post("/tasks/task", OK | {"startIn": "soon", "priority": 1000})).json
    assert several["detail"] == several["error"] == "2 fields are wrong: startIn, priority; errors says what to do about each"
    whole = (await server.post("/tasks/task", b"{")).json
    assert whole["errors"] == [{"field": "", "message": whole["detail"]}]


async def test_a_field_with_two_faults_has_both_told(server):
    answer = await server.post("/tasks/task", OK | CRON | {"startIn": "soon"})
    assert {fault["field"] for fault in answer.json["errors"]} == {"startIn"}
    said = " ".join(fault["message"] for fault in answer.json["errors"])
    assert "5m" in said
    assert "keep one of them" in said


async def test_all_faults_of_a_schedule_and_of_its_rules_come_in_one_answer(server):
    body = OK | {
        "cron": "0 0 31 2 *", "timezone": "Mars/Olympus", "overlap": 1, "catchUp": "x", "startIn": "5m", "retries": 11, "retryDelay": -1,
        "timeout": 0, "expiration": "never", "expiresIn": "0s", "priority": 1000, "concurrency": 0,
    }  # fmt: skip
    found = faults(await server.post("/tasks/task", body))
    assert set(found) == set(body) - {"image"}
    assert "allows (10)" in found["retries"]


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


async def test_a_body_of_noise_gets_a_short_answer(server):
    body = {f"field{number}": 1 for number in range(50_000)}
    answer = await server.post("/tasks/task", body)
    assert answer.status == 400
    assert len(answer.body) < 20_000


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"startIn": 300}, "startIn", "5m"),
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
        ({"cron": "@every 5m"}, "cron", '; write "*/5 * * * *"'),
        ({"cron": "0 0 L * *"}, "cron", "write 28, or 1"),
        ({"timezone": "Europe/Berlin"}, "timezone", "give one"),
        ({"timezone": "Europe/Berlin", "startIn": "5m"}, "timezone", "cron"),
        ({"overlap": "skip"}, "overlap", "give one"),
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
        ({"retryDelay": "5"}, "retryDelay", 'write "5s"'),
        ({"retryDelay": "-5s"}, "retryDelay", "negative"),
        ({"retryDelay": True}, "retryDelay", "5m"),
        ({"retryDelay": []}, "retryDelay", "neither text nor a number"),
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


async def test_a_body_at_the_limit_is_read_and_one_byte_more_is_413(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, max_body=5_000) as server:
        body = json.dumps(OK).encode()
        reply = await server.enqueue()
        assert (await server.post(reply["jobUrl"] + "stop", b"x" * 10_000)).status == 200, "this route reads no body"
        assert (await server.post("/tasks/task", body.ljust(5_000))).status == 200
        answer = await server.post("/tasks/task", body.ljust(5_001))
        assert answer.status == 413
        assert answer.json["status"] == 413


async def test_a_chunked_body_is_counted_as_it_comes(server):
    async def chunks():
        for _ in range(64):
            yield b" " * 65_536

    answer = await server.ask("POST", "/tasks/task", data=chunks())
    assert answer.status == 413
    assert "1048576" in answer.json["detail"]


async def test_an_announced_body_that_is_too_large_is_refused_before_it_is_sent(server):
    head = b"POST /tasks/task HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n"
    answer = await server.raw(head)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_body_without_end_is_cut(server):
    head = b"POST /tasks/task HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    try:
        answer = await server.raw(head, *[chunk] * 80)
    except ConnectionError:
        return
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_route_that_reads_no_body_lets_one_by(server):
    reply = await server.enqueue()
    assert (await server.ask("GET", "/livez", data=b"{not json")).status == 200
    assert (await server.post(reply["jobUrl"] + "stop", b"[[[")).status == 200


async def test_a_connection_goes_on_after_a_refusal(server):
    bad = b"POST /tasks/task HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[]"
    good = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = await server.raw(bad + good)
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 200 OK" in answer


async def test_json_is_gzipped_when_asked_and_logs_are_not(server):
    for _ in range(10):
        reply = await server.run_to_end("task", (1, b"x" * 10_000))
    asked = {"Accept-Encoding": "gzip, br"}
    answer = await server.get("/tasks/task", headers=asked)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(answer.body))["jobsCount"] == 10
    assert "Content-Encoding" not in (await server.get("/tasks/task", headers={"Accept-Encoding": "gzip;q=0"})).headers
    assert "Content-Encoding" not in (await server.get(reply["jobUrl"] + "stdout", headers=asked)).headers
    assert "Content-Encoding" not in (await server.get("/livez", headers=asked)).headers


async def test_a_long_list_is_rendered_and_compressed_beside_the_event_loop(server, monkeypatch):
    """So that no other request waits for it. A short answer is not worth a thread."""
    threads: dict[str, set[bool]] = {"encode_json": set(), "gzipped": set()}
    for name, seen in threads.items():
        real = getattr(handler, name)

        def noting(value, real=real, seen=seen):
            seen.add(threading.current_thread() is threading.main_thread())
            return real(value)

        monkeypatch.setattr(handler, name, noting)
    asked = {"Accept-Encoding": "gzip"}
    await asyncio.gather(*(server.enqueue(command=["echo", "x" * 2_000]) for _ in range(60)))
    assert threads == {"encode_json": {True}, "gzipped": set()}
    for seen in threads.values():
        seen.clear()
    answer = await server.get("/tasks/task", headers=asked)
    assert len(json.loads(gzip.decompress(answer.body))["jobs"]) == 60
    assert threads == {"encode_json": {False}, "gzipped": {False}}
    answer = await server.get("/tasks/task?perPage=10", headers=asked)
    assert len(json.loads(gzip.decompress(answer.body))["jobs"]) == 10
    assert threads == {"encode_json": {True, False}, "gzipped": {True, False}}


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
