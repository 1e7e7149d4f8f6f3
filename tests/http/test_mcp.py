"""``/mcp``: a program that talks looks at jobs and runs them, with its caller's rights and no others; and what it may send wrong."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fastlane import __version__
from fastlane.mcp.tools import LIMIT, ROWS
from fastlane.models.log import STDERR, STDOUT
from fastlane.models.retention import HOUR
from tests.support.credentials import bearer, token
from tests.support.fastlane import HOST, Fastlane
from tests.support.mcp_client import EARLIER, MODERN, McpOverHttp, modern_params, request
from tests.support.past_runs import add_runs
from tests.support.redis import RealRedis

READ_TOOLS = {
    *("listAllJobs", "getJob", "getWhy", "listExecutions", "getExecution", "getLogs", "listFailures", "listTicks"),
    *("getStats", "getAdvice", "listAdvice", "getUsage", "listEvents"),
    *("getStatus", "listPools", "listHosts"),
}
PARAMETERS = {"RELEASE": {"pattern": "v[0-9]+", "required": True}, "PASSWORD": {"secret": True}}
TOKENS = (
    token("root", "fl_root", "admin"),
    token("looker", "fl_looker", "read"),
    token("ann", "fl_ann", "trigger", "shop"),
    token("slow", "fl_slow", "read"),
)
ROOT, LOOKER, ANN = bearer("fl_root"), bearer("fl_looker"), bearer("fl_ann")


@pytest.fixture
async def talking(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    """A server that lets programs run jobs, and knows callers by tokens."""
    async with Fastlane(tmp_path, shared_redis.url, mcp="run", tokens=TOKENS) as server:
        server.client.headers.update(ROOT)
        yield server


@pytest.fixture
async def open_server(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    """A server without users and tokens, where programs may look."""
    async with Fastlane(tmp_path, shared_redis.url, mcp="read", max_body=1_000_000) as server:
        yield server


@pytest.mark.parametrize("modern", [True, False], ids=[MODERN, EARLIER])
async def test_a_program_finds_a_failed_job_and_learns_why(open_server, modern):
    server, program = open_server, McpOverHttp(open_server, modern=modern)
    made = await server.run_to_end("backup", (STDOUT, b"begin\n"), (STDERR, b"no space left\n"), code=3)
    await server.report_worker()
    task, job, execution = "backup", made["jobId"], made["executionId"]
    assert await program.tools() == READ_TOOLS
    (row,) = (await program.json("listAllJobs", status="failed"))["items"]
    assert (row["taskId"], row["id"]) == (task, job)
    (failed,) = (await program.json("listFailures", since="1h"))["items"]
    assert failed["jobId"] == job
    assert (await program.json("listExecutions", task=task))["items"][0]["executionId"] == execution
    assert (await program.json("getJob", task=task, job=job))["job"]["status"] == "failed"
    assert (await program.json("getExecution", task=task, job=job, execution=execution))["execution"]["exitCode"] == 3
    for chosen in ({}, {"execution": execution}):
        about, log = await program.call("getLogs", task=task, job=job, **chosen)
        assert (about, log) == (f"execution {execution}, status failed; exit code 3", "begin\nno space left\n")
        assert (await program.json("getWhy", task=task, job=job, **chosen))["status"] == "failed"
    assert (await program.json("listTicks", task=task, job=job))["items"][0]["execution"]["id"] == execution
    assert {event["taskId"] for event in (await program.json("listEvents", job=job))["items"]} == {task}
    assert (await program.json("getStatus"))["fastlane"]["version"] == __version__
    assert [pool["name"] for pool in (await program.json("listPools"))["items"]] == ["fast", "default"]
    assert {host["address"] for host in (await program.json("listHosts"))["items"]} == {HOST}


async def test_a_program_runs_a_manual_job_with_parameters_in_its_callers_name(talking):
    made = await talking.enqueue("shop", manual=True, parameters=PARAMETERS)
    ann = McpOverHttp(talking, ANN)
    assert await ann.tools() == READ_TOOLS | {"runJob"}
    ids = {"task": "shop", "job": made["jobId"]}
    wrong = await ann.refusal("runJob", **ids, parameters={"RELEASE": "latest"})
    assert "400" in wrong
    assert "parameters.RELEASE" in wrong
    values = {"RELEASE": "v7", "PASSWORD": "hunter2"}
    reply = await ann.json("runJob", **ids, parameters=values, idempotencyKey="once")
    assert (await ann.json("runJob", **ids, parameters=values, idempotencyKey="once"))["executionId"] == reply["executionId"]
    (shown,) = (await ann.json("getJob", **ids))["job"]["executions"]
    assert (shown["executionId"], shown["requestedBy"]) == (reply["executionId"], {"user": "ann", "address": "127.0.0.1"})
    (answer,) = await ann.call("getExecution", **ids, execution=reply["executionId"])
    assert "v7" in answer
    assert "hunter2" not in answer


async def test_a_program_has_the_rights_of_its_caller_and_no_others(talking):
    ours = await talking.enqueue("shop", envs={"DB_PASSWORD": "hunter2"})
    theirs = await talking.enqueue("bank")
    ann, looker = McpOverHttp(talking, ANN), McpOverHttp(talking, LOOKER)
    seen = (await ann.call("listAllJobs"))[0] + (await ann.call("getJob", task="shop", job=ours["jobId"]))[0]
    assert theirs["jobId"] not in seen
    assert "hunter2" not in seen
    assert "403" in await ann.refusal("getJob", task="bank", job=theirs["jobId"])
    assert "403" in await looker.refusal("runJob", task="shop", job=ours["jobId"])
    assert "401" in str((await McpOverHttp(talking, bearer("fl_nobody")).send(request("ping"))).status)
    assert {event["kind"].split(".")[0] for event in (await looker.json("listEvents"))["items"]} <= {"job", "execution", "task"}


@pytest.mark.parametrize("mode", ["off", "read"])
async def test_the_setting_says_what_programs_may_do(shared_redis, tmp_path, mode):
    async with Fastlane(tmp_path, shared_redis.url, mcp=mode) as server:
        job = await server.enqueue("task", manual=True)
        ask = request("tools/call", name="runJob", arguments={"task": "task", "job": job["jobId"]})
        answer = await McpOverHttp(server).send(ask)
        if mode == "off":
            assert answer.status == 404
            assert 'the setting mcp is "off"' in answer.json["detail"]
        else:
            assert answer.json["error"]["code"] == -32602
        assert (await server.get(job["jobUrl"])).json["job"]["executions"] == []


async def test_a_list_that_is_too_long_comes_in_smaller_pages_and_no_row_is_lost(open_server):
    made = [(await open_server.enqueue("task", manual=True, metadata={"x": "y" * 6_000}))["jobId"] for _ in range(12)]
    program, found, after = McpOverHttp(open_server), list[str](), {}
    while True:
        text, *more = await program.call("listAllJobs", **after)
        assert len(text) <= LIMIT
        rows = [row["id"] for row in json.loads(text)["items"]]
        found += rows
        if not more:
            break
        assert len(rows) < int(ROWS)
        after = {"after": more[0].rpartition("after=")[2]}
    assert found == made[::-1]


async def test_pieces_of_usage_go_on_in_the_range_of_the_first_one(open_server, monkeypatch):
    monkeypatch.setattr("fastlane.web.routes.trends.MOST_LOOKED_AT", 2)
    made, now = await open_server.enqueue("task", manual=True), time.time_ns() // 1_000_000
    await add_runs(open_server.store, made["jobId"], [{}] * 5, now - HOUR)
    program, arguments, counts, ranges = McpOverHttp(open_server), {"by": "task", "since": "2h"}, list[int](), set()
    while True:
        text, *more = await program.call("getUsage", **arguments)
        piece = json.loads(text)
        counts.append(piece["executions"])
        ranges.add((piece["since"], piece["until"]))
        if not more:
            break
        arguments |= dict(pair.split("=") for pair in more[0].split() if "=" in pair)
        await asyncio.sleep(0.01)
    assert (counts, len(ranges)) == ([2, 2, 1], 1)


async def test_what_an_operation_needs_in_its_query_is_a_needed_argument(open_server):
    answer = await McpOverHttp(open_server).send(request("tools/list"))
    needed = {tool["name"]: tool["inputSchema"]["required"] for tool in answer.json["result"]["tools"]}
    assert (needed["getUsage"], needed["listAdvice"], needed["getAdvice"]) == (["by"], [], ["task", "job"])
    assert await McpOverHttp(open_server).refusal("getUsage") == "by: is missing"


async def test_a_long_log_comes_from_its_end_with_the_way_to_what_is_before(open_server):
    lines = b"".join(b"line %06d\n" % number for number in range(8_000))
    made = await open_server.run_to_end("task", (STDOUT, lines))
    ids, program = {"task": "task", "job": made["jobId"]}, McpOverHttp(open_server)
    about, log = await program.call("getLogs", **ids)
    read = log
    while "what comes before: range=" in about:
        about, log = await program.call("getLogs", **ids, range=about.partition("before: range=")[2].partition(";")[0])
        read = log + read
    assert read.encode() == lines
    assert (await program.call("getLogs", **ids, tail=2))[1] == "line 007998\nline 007999\n"
    assert len((await program.call("getLogs", **ids, range="bytes=0-"))[1]) == LIMIT
    assert "range: is not a range" in await program.refusal("getLogs", **ids, range="bytes=0-1,5-6")
    silent = await open_server.run_to_end("silent")
    assert await program.call("getLogs", task="silent", job=silent["jobId"]) == ["Nothing is written so far."]


async def test_a_job_that_is_too_long_is_shown_without_its_longest_parts(open_server):
    made = await open_server.enqueue("task", manual=True, envs={f"NAME_{number}": "v" * 1_000 for number in range(200)})
    text, note = await McpOverHttp(open_server).call("getJob", task="task", job=made["jobId"])
    assert len(text) <= LIMIT
    assert json.loads(text)["job"]["id"] == made["jobId"]
    assert f"GET /tasks/task/jobs/{made['jobId']} of the API has all of it" in note


UNKNOWN = "01a2137a-ea28-776d-a93f-727c6cfea531"
CALLS: dict[str, tuple[str, dict[str, Any], str]] = {
    "an unknown argument": ("listAllJobs", {"jobs": 1}, "jobs: is not an argument of listAllJobs; it takes task"),
    "a missing argument": ("getJob", {"task": "task"}, "job: is missing"),
    "an argument of another type": ("listAllJobs", {"status": ["failed"]}, "status: is not text"),
    "an empty id": ("getJob", {"task": "", "job": UNKNOWN}, "task: is not an id"),
    "a path for an id": ("getJob", {"task": "..", "job": UNKNOWN}, "task: is not an id"),
    "a slash in an id": ("getJob", {"task": "a/b", "job": UNKNOWN}, "taskId"),
    "an id that is none": ("getJob", {"task": "task", "job": "1"}, "its id is a UUID"),
    "a huge id": ("getJob", {"task": "t" * 10_000, "job": UNKNOWN}, "taskId"),
    "a URL that is too long": ("listAllJobs", {"query": "q" * 70_000}, "414"),
    "an unknown job": ("getWhy", {"task": "task", "job": UNKNOWN}, "404"),
    "a word that is no status": ("listAllJobs", {"status": "broken"}, "status"),
    "a number of rows beyond": ("listAllJobs", {"perPage": 9_223_372_036_854_775_807}, "perPage"),
    "no rows": ("listAllJobs", {"perPage": 0}, "perPage"),
    "a foreign cursor": ("listAllJobs", {"after": "AAAA"}, "after"),
    "two lines in a header": ("getLogs", {"task": "task", "job": UNKNOWN, "range": "bytes=0-1\r\nX: y"}, "range: is not text"),
    "several faults": ("getJob", {"other": 1}, "task: is missing; job: is missing"),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_wrong_call_says_what_to_do(open_server, name):
    tool, arguments, words = CALLS[name]
    assert words in await McpOverHttp(open_server).refusal(tool, **arguments)


def nested(depth: int) -> bytes:
    return b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


BODIES: dict[str, tuple[Any, int, int]] = {
    "nothing": (b"", 400, -32700),
    "no JSON": (b"{", 400, -32700),
    "bytes that are not UTF-8": (b'"\xff"', 400, -32700),
    "a name twice": (b'{"jsonrpc":"2.0","jsonrpc":"2.0"}', 400, -32700),
    "lists, never closed": (b"[" * 100_000, 400, -32700),
    "deep params": (nested(40), 400, -32700),
    "an integer of a megabyte": (b'{"id":' + b"9" * 900_000 + b"}", 400, -32700),
    "a lone surrogate": (b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', 400, -32700),
    "a batch": ([request("ping"), request("ping", 2)], 400, -32600),
    "an empty batch": ([], 400, -32600),
    "a number": (5, 400, -32600),
    "null": (None, 400, -32600),
    "another version of JSON-RPC": ({**request("ping"), "jsonrpc": "1.0"}, 400, -32600),
    "no method": ({"jsonrpc": "2.0", "id": 1}, 400, -32600),
    "a method that is a list": ({"jsonrpc": "2.0", "id": 1, "method": []}, 400, -32600),
    "a null id": (request("ping", None), 400, -32600),
    "a true id": (request("ping", True), 400, -32600),
    "a fraction for an id": (request("ping", 1.5), 400, -32600),
    "a huge id": (request("ping", "i" * 100_000), 400, -32600),
    "params that are a list": ({**request("tools/list"), "params": [1]}, 200, -32602),
    "an unknown method": (request("tools/destroy"), 200, -32601),
    "a method of the server's own": (request("__init__"), 200, -32601),
    "an unknown tool": (request("tools/call", name="deleteJob"), 200, -32602),
    "a tool that is an object": (request("tools/call", name={"a": 1}), 200, -32602),
    "arguments that are a list": (request("tools/call", name="listPools", arguments=[1]), 200, -32602),
    "a cursor": (request("tools/list", cursor="x"), 200, -32602),
    "a version that is a number": (request("initialize", protocolVersion=1), 200, -32602),
    "a discovery without a version": (request("server/discover"), 200, -32602),
    "no headers beside a version": (request("ping", **modern_params()), 400, -32020),
    "a version that is not spoken": (request("ping", _meta={"io.modelcontextprotocol/protocolVersion": "1999-01-01"}), 400, -32020),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_wrong_message_is_an_error_of_the_protocol(open_server, name):
    message, status, code = BODIES[name]
    answer = await McpOverHttp(open_server).send(message)
    assert (answer.status, answer.json["error"]["code"]) == (status, code), answer
    assert answer.json["jsonrpc"] == "2.0"


async def test_a_client_and_the_server_agree_on_a_version(open_server):
    program = McpOverHttp(open_server)
    for asked, given in ((EARLIER, EARLIER), ("2024-11-05", "2024-11-05"), ("1999-01-01", "2025-11-25")):
        answer = (await program.send(request("initialize", protocolVersion=asked))).json["result"]
        assert (answer["protocolVersion"], answer["serverInfo"]["name"]) == (given, "fastlane")
    assert MODERN in (await program.ask("server/discover"))["result"]["supportedVersions"]
    unknown = await program.send(request("tools/list"), **{"MCP-Protocol-Version": "1999-01-01"})
    assert (unknown.status, unknown.json["error"]["code"]) == (400, -32022)
    assert MODERN in unknown.json["error"]["data"]["supported"]
    without = await program.send(request("tools/list"), **{"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/list"})
    assert (without.status, without.json["error"]["code"]) == (400, -32602)
    lying = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "listPools"}
    answer = await program.send(request("tools/call", **modern_params(name="listHosts")), **lying)
    assert (answer.status, answer.json["error"]["code"]) == (400, -32020)
    nothing = await program.send(request("x", **modern_params()), **{"MCP-Protocol-Version": MODERN, "Mcp-Method": "x"})
    assert (nothing.status, nothing.json["error"]["code"]) == (404, -32601)


async def test_http_is_used_as_the_protocol_says(open_server):
    program = McpOverHttp(open_server)
    for silent in ({"jsonrpc": "2.0", "method": "notifications/initialized"}, {"jsonrpc": "2.0", "id": 9, "result": {}}):
        answer = await program.send(silent)
        assert (answer.status, answer.body) == (202, b"")
    assert (await program.send(request("ping"))).json == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert "Mcp-Session-Id" not in (await program.send(request("initialize", protocolVersion=EARLIER))).headers
    for method in ("GET", "DELETE"):
        answer = await open_server.ask(method, "/mcp")
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert (await program.send(request("ping"), Accept="text/html")).status == 406
    assert (await program.send(request("ping"), **{"Content-Type": "text/plain"})).status == 415
    assert (await program.send(request("ping"), Origin="https://evil.example.com")).status == 403
    assert (await program.send(request("ping"), Origin=open_server.base)).status == 200
    large = await program.send(b'"' + b"a" * 1_001_000 + b'"')
    assert large.status == 413


async def test_calls_of_programs_count_for_the_rate_of_their_caller(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, mcp="read", tokens=TOKENS, request_rate=1) as server:
        slow = McpOverHttp(server, bearer("fl_slow"), modern=False)
        answers = [await slow.send(request("tools/call", name="listPools")) for _ in range(12)]
        refused = [answer.json for answer in answers if answer.status == 200 and answer.json["result"]["isError"]]
        assert {answer.status for answer in answers} <= {200, 429}
        assert len([answer for answer in answers if answer.status == 200 and not answer.json["result"]["isError"]]) <= 6
        assert all("more than 1 requests a second" in one["result"]["content"][0]["text"] for one in refused)
