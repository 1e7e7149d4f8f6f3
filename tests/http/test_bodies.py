"""Bodies of requests as JSON: what is one, which fields there may be, how large it is; all faults are told in one answer."""

import json

import pytest

from tests.http.posted import CRON, OK, faults
from tests.support.fastlane import Fastlane


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
    names += ["retryDelay", "retryOn", "onOom"]
    names += ["timeout", "expiration", "expiresIn", "priority", "concurrency", "resources", "container", "additionalDNSEntries"]
    reply = await server.enqueue(**dict.fromkeys(names))
    assert reply["executionId"]
    assert "missing" in faults(await server.post("/tasks/task", {"image": None}))["image"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("retires", "retries"),
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
    assert "; its fields are: image, service, command, " in found
    assert "nearest" not in faults(await server.get("/tasks?colour=1"))["colour"]


async def test_mail_without_a_mail_server_is_refused_and_empty_lists_of_it_are_not(server):
    found = faults(await server.post("/tasks/task", OK | {"notify": {"fails": ["a@example.com"]}}))
    assert found == {"notify": "needs a mail server, and this installation has none; ask for smtp_host to be set, or leave this out"}
    assert (await server.post("/tasks/task", OK | {"notify": {"succeeds": [], "fails": None}})).status == 200


async def test_all_faults_come_in_one_answer(server):
    body = {"image": "UPPER", "command": "it's", "envs": {"A-B": 1, "C": [], "D": None}, "startIn": "soon", "metadata": [], "colour": 1}
    found = faults(await server.post("/tasks/task", body))
    assert set(found) == {"image", "command", "envs.A-B", "envs.C", "envs.D", "startIn", "metadata", "colour"}


async def test_detail_tells_one_fault_whole_and_of_several_the_names(server):
    one = (await server.post("/tasks/task", OK | {"startIn": "soon"})).json
    assert one["detail"] == one["error"] == f"startIn: {one['errors'][0]['message']}"
    several = (await server.post("/tasks/task", OK | {"startIn": "soon", "priority": 1000})).json
    assert several["detail"] == several["error"] == "2 fields are wrong: startIn, priority; errors says what to do about each"
    unknown = {name: 1 for name in ("webhooks", "colour", "notify", "size", "shape")}
    assert [fault["field"] for fault in (await server.post("/tasks/task", OK | unknown)).json["errors"]] == list(unknown)
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


async def test_a_body_of_noise_gets_a_short_answer(server):
    body = {f"field{number}": 1 for number in range(50_000)}
    answer = await server.post("/tasks/task", body)
    assert answer.status == 400
    assert len(answer.body) < 20_000


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


@pytest.mark.parametrize("path", ["/queue/rebuild", "/workers/w/forget"])
@pytest.mark.parametrize("body", [b"", b" \n", b"{}"])
async def test_an_action_without_its_body_says_which_field_is_missing(server, path, body):
    assert faults(await server.ask("POST", path, data=body)) == {"reason": 'is missing; write {"reason": "the machine burnt down"}'}
