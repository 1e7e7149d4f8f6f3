"""Paths, methods, names and URLs: API.md's rules for every route."""

import json
import re

import pytest
from yarl import URL

from fastlane import __version__
from tests.support.fastlane import Fastlane


@pytest.mark.parametrize("path", ["/tasks/task", "/tasks/task/", "/task/task", "/task/task/", "//tasks///task//"])
async def test_a_task_is_served_under_each_of_its_paths(server, path):
    reply = await server.enqueue()
    answer = await server.get(path)
    assert answer.status == 200
    assert answer.json["jobs"][0]["id"] == reply["jobId"]


@pytest.mark.parametrize("path", ["{job}/stop", "{job}stop", "/task/task/jobs/{id}/stop/", "/tasks/task//jobs/{id}//stop"])
async def test_a_job_stops_under_each_of_its_paths(server, path):
    reply = await server.enqueue()
    answer = await server.post(path.format(job=reply["jobUrl"], id=reply["jobId"]))
    assert answer.status == 200
    assert answer.json["status"] == "stopped"


@pytest.mark.parametrize(
    ("quoted", "task"),
    [
        ("a%20b", "a b"),
        ("t%C3%A2che", "tâche"),
        ("a+b", "a+b"),
        ("%27%3B%20rm", "'; rm"),
        ("a%3Fb%23c", "a?b#c"),
        ("%F0%9F%90%B3", "🐳"),
        ("...", "..."),
    ],
)
async def test_a_task_id_is_percent_decoded_and_its_urls_lead_back(server, quoted, task):
    reply = await server.enqueue(quoted)
    assert reply["taskId"] == task
    for url in (reply["taskUrl"], reply["jobUrl"], reply["executionUrl"]):
        assert (await server.get(url)).status == 200


async def test_a_task_id_of_raw_utf8_is_the_same_as_an_encoded_one(server):
    await server.enqueue("t%C3%A2che")
    answer = await server.raw(b"GET /tasks/t\xc3\xa2che HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b"200 OK" in answer
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["taskId"] == "tâche"


@pytest.mark.parametrize("quoted", ["a%2Fb", "%2e", "%2E%2e", "a%00b", "a%0Ab", "%FF", "%ED%A0%80", "x" * 256, "%C2%85"])
async def test_an_impossible_task_id_is_refused(server, quoted):
    answer = await server.post(f"/tasks/{quoted}", {"image": "ubuntu"})
    assert answer.status == 400
    assert answer.json["errors"][0]["field"] == "taskId"
    assert (await server.get(f"/tasks/{quoted}")).status == 400


@pytest.mark.parametrize(
    "path",
    [
        "/tasks/none",
        "/nothing",
        "/tasks/none/jobs",
        "/tasks/task/jobs/not-a-uuid",
        "/tasks/task/jobs/{none}",
        "/tasks/task/jobs/{job}/nothing",
        "/tasks/other/jobs/{job}",
        "/tasks/task/jobs/{job}/executions/{none}",
        "/tasks/task/jobs/{none}/executions/{execution}",
        "/tasks/other/jobs/{job}/executions/{execution}",
        "/tasks/task/jobs/{other}/executions/{execution}",
        "/tasks/other/jobs/{job}/stdout",
        "/tasks/task/jobs/{job}/executions/{none}/logs",
    ],
)
async def test_what_is_not_there_is_a_404_problem(server, path):
    reply, other = await server.enqueue(), await server.enqueue()
    none = "00000000-0000-4000-8000-000000000000"
    answer = await server.get(path.format(job=reply["jobId"], execution=reply["executionId"], none=none, other=other["jobId"]))
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == 404
    assert answer.json["title"] == "Not Found"
    assert answer.json["error"] == answer.json["detail"] != ""


async def test_a_job_id_in_upper_case_is_the_same_job(server):
    reply = await server.enqueue()
    assert (await server.get(f"/tasks/task/jobs/{reply['jobId'].upper()}")).json["job"]["id"] == reply["jobId"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/tasks", "GET, HEAD"),
        ("PUT", "/tasks/task", "DELETE, GET, POST, HEAD"),
        ("PATCH", "/tasks/task", "DELETE, GET, POST, HEAD"),
        ("POST", "/tasks/task/jobs/{job}", "DELETE, GET, PATCH, PUT, HEAD"),
        ("OPTIONS", "/livez", "GET, HEAD"),
        ("POST", "/livez", "GET, HEAD"),
        ("GET", "/tasks/task/jobs/{job}/stop", "POST"),
        ("HEAD", "/tasks/task/jobs/{job}/stop", "POST"),
        ("POST", "/tasks/task/jobs/{job}/stdout", "GET, HEAD"),
        ("PROPFIND", "/livez", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_which_are_right(server, method, path, allow):
    reply = await server.enqueue()
    answer = await server.ask(method, path.format(job=reply["jobId"]))
    assert answer.status == 405
    assert answer.headers["Allow"] == allow
    if method != "HEAD":
        assert answer.json["status"] == 405
        assert ("to create a job, POST it to /tasks/TASK" in answer.json["detail"]) is (method == "POST")


async def test_head_answers_as_get_without_a_body(server):
    reply = await server.run_to_end("task", (1, b"out"))
    for url in (reply["taskUrl"], reply["jobUrl"], reply["executionUrl"], reply["jobUrl"] + "stdout", reply["jobUrl"] + "logs", "/livez"):
        got, head = await server.get(url), await server.ask("HEAD", url)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == got.headers["Content-Length"] == str(len(got.body))
    for url in ("/events?follow=1", reply["jobUrl"] + "logs?follow=1"):
        head = await server.ask("HEAD", url, headers={"Accept": "text/event-stream"})
        assert (head.status, head.body) == (200, b"")
        assert "Content-Length" not in head.headers, "its GET has none"


@pytest.mark.parametrize("path", ["/livez?x=1", "/tasks/task?pages=2", "/tasks/task/jobs/{job}?page=1&nothing", "/status?a=b"])
async def test_an_unknown_query_name_is_named(server, path):
    reply = await server.enqueue()
    answer = await server.get(path.format(job=reply["jobId"]))
    assert answer.status == 400
    (fault,) = answer.json["errors"]
    assert fault["field"] in path
    if "pages" in path:
        assert '"page"' in fault["message"]


@pytest.mark.parametrize(
    "query", ["page=0", "page=-1", "page=x", "page=1.5", "page=", "perPage=0", "perPage=1001", "page=1&page=2", "page=99999999999"]
)
async def test_a_bad_page_is_refused(server, query):
    await server.enqueue()
    assert (await server.get(f"/tasks/task?{query}")).status == 400


async def test_pages_lead_through_a_list_and_past_its_end_is_404(server):
    made = [(await server.enqueue())["jobId"] for _ in range(5)]
    seen, url = [], "/tasks/task?perPage=2"
    while url:
        page = (await server.get(url)).json
        assert (page["total"], page["pages"], page["perPage"], page["jobsCount"]) == (5, 3, 2, 5)
        seen += [job["id"] for job in page["jobs"]]
        url = page["nextUrl"]
        assert page["hasNext"] is (url is not None)
    assert seen == made[::-1]
    assert page["hasPrev"] is True
    assert (await server.get(page["prevUrl"])).json["page"] == 2
    assert (await server.get("/tasks/task?page=4&perPage=2")).status == 404


async def test_every_answer_has_its_ids(server):
    for answer in (await server.get("/livez"), await server.get("/nothing"), await server.post("/tasks/task", "no")):
        assert answer.headers["X-Fastlane-Version"] == __version__
        assert answer.headers["X-Request-Id"]
        assert "Server" not in answer.headers
    taken = await server.get("/nothing", headers={"X-Request-Id": "from-me:1"})
    assert taken.headers["X-Request-Id"] == "from-me:1"
    for bad in ("has space", "x" * 129, "a,b"):
        assert (await server.get("/livez", headers={"X-Request-Id": bad})).headers["X-Request-Id"] != bad


async def test_urls_have_the_host_that_was_asked(server):
    answer = await server.post("/tasks/task", {"image": "ubuntu"}, headers={"Host": "LOCALHOST:1234"})
    assert answer.json["taskUrl"] == "http://LOCALHOST:1234/tasks/task/"


async def test_public_url_goes_before_every_path(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, public_url="https://fast.example.com:8443") as server:
        assert (await server.enqueue())["taskUrl"] == "https://fast.example.com:8443/tasks/task/"
        named = await server.get("/tasks/task", headers={"Host": "fast.example.com:8443"})
        assert named.json["url"] == "https://fast.example.com:8443/tasks/task/"


PUBLIC = "https://example.com/tools/fast-lane"


@pytest.mark.parametrize("prefix", ["", "/tools/fast-lane"])
async def test_a_public_url_may_have_a_path_which_the_proxy_removes_or_not(shared_redis, tmp_path, prefix):
    own = {"Host": "example.com", "Origin": "https://example.com"}
    async with Fastlane(tmp_path, shared_redis.url, public_url=PUBLIC) as server:
        reply = (await server.post(f"{prefix}/tasks/task", {"image": "ubuntu"}, headers=own)).json
        assert reply["jobUrl"] == f"{PUBLIC}/tasks/task/jobs/{reply['jobId']}/"
        job = f"{prefix}/tasks/task/jobs/{reply['jobId']}"
        assert (await server.get(f"{job}/", headers=own)).json["job"]["url"] == reply["jobUrl"]
        assert (await server.get(f"{prefix}/openapi.json")).json["servers"] == [{"url": PUBLIC}]
        assert (await server.get(f"{prefix}/nothing")).status == 404
        assert (
            await server.post(f"{prefix}/tasks/task", {"image": "x"}, headers=own | {"Origin": "https://evil.example.com"})
        ).status == 403
        for path in ("", "/", "/docs", f"/tasks/task/jobs/{reply['jobId']}/stream"):
            page = await server.get(f"{prefix}{path}" or "/", headers={"Accept": "text/html"})
            assert page.status == 200, path
            link = re.search(rb'href="([^"]+favicon[^"]+)"', page.body)[1].decode()
            assert str(URL(f"{PUBLIC}{path}").join(URL(link))).startswith(f"{PUBLIC}/static/favicon") or not (prefix or path)


@pytest.mark.parametrize("path", ["/tools/fast-lanes/livez", "/tools/livez", "/fast-lane/livez", "/tools/fast-lane/tools/fast-lane/livez"])
async def test_no_other_path_is_taken_for_that_of_public_url(shared_redis, tmp_path, path):
    async with Fastlane(tmp_path, shared_redis.url, public_url=PUBLIC) as server:
        assert (await server.get(path)).status == 404


async def test_forwarded_headers_count_only_behind_a_trusted_proxy(shared_redis, tmp_path):
    forwarded = {"X-Forwarded-Host": "fast.example.com", "X-Forwarded-Proto": "https"}
    beyond = {"listen": "0.0.0.0"}
    async with Fastlane(tmp_path / "a", shared_redis.url, trusted_proxies=("127.0.0.0/8",), **beyond) as server:
        reply = (await server.post("/tasks/task", {"image": "ubuntu"}, headers=forwarded)).json
        assert reply["taskUrl"] == "https://fast.example.com/tasks/task/"
        several = {"X-Forwarded-Host": "forged.example.com, fast.example.com", "X-Forwarded-Proto": "http, https"}
        assert (await server.post("/tasks/task", {"image": "ubuntu"}, headers=several)).json["taskUrl"] == reply["taskUrl"]
        assert (await server.get("/tasks/task", headers={"X-Forwarded-Host": "a/b"})).status == 400
    async with Fastlane(tmp_path / "b", shared_redis.url, trusted_proxies=("10.0.0.1",), **beyond) as server:
        reply = (await server.post("/tasks/task", {"image": "ubuntu"}, headers=forwarded)).json
        assert reply["taskUrl"] == f"{server.base}/tasks/task/"


@pytest.mark.parametrize("host", ["a b", "a/b", "localhost:0", "localhost:65536", "a@b", "localhost:x", "[::1", ""])
async def test_a_malformed_host_is_refused(server, host):
    answer = await server.raw(f"GET /livez HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9:1", "[::1]:10000", "fast.localhost", "LocalHost."])
async def test_a_server_on_loopback_answers_to_loopback_names(server, host):
    assert (await server.get("/livez", headers={"Host": host})).status == 200


@pytest.mark.parametrize("host", ["evil.example.com", "10.0.0.1", "localhost.example.com", "0.0.0.0", "[::2]"])
async def test_a_server_on_loopback_answers_to_no_other_name(server, host):
    answer = await server.get("/tasks/task", headers={"Host": host})
    assert answer.status == 403
    assert "public_url" in answer.json["detail"]


async def test_a_server_beyond_loopback_answers_to_every_name(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0") as server:
        assert (await server.get("/livez", headers={"Host": "anything.example.com"})).status == 200


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example.com"}, {"Origin": "null"}, {"Origin": "http://localhost:1"}, {"Sec-Fetch-Site": "cross-site"}],
)
async def test_a_page_of_another_site_cannot_write(server, headers):
    assert (await server.post("/tasks/task", {"image": "ubuntu"}, headers=headers)).status == 403
    assert (await server.get("/tasks/task")).status == 404


async def test_a_page_of_ones_own_may_write(server):
    for origin in (server.base, server.base.replace("http://", "https://")):
        assert (await server.post("/tasks/task", {"image": "ubuntu"}, headers={"Origin": origin})).status == 200


async def test_allowed_origins_may_write_and_read(shared_redis, tmp_path):
    origin = "https://dash.example.com"
    async with Fastlane(tmp_path, shared_redis.url, allowed_origins=(origin,)) as server:
        answer = await server.post("/tasks/task", {"image": "ubuntu"}, headers={"Origin": origin})
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize(
    ("origin", "may"), [("http://localhost:3000", True), ("http://127.0.0.1", True), ("https://evil.example.com", False), ("null", False)]
)
async def test_on_loopback_only_pages_of_loopback_may_read(server, origin, may):
    answer = await server.get("/livez", headers={"Origin": origin})
    assert answer.headers.get("Access-Control-Allow-Origin") == (origin if may else None)


async def test_beyond_loopback_every_page_may_read(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0") as server:
        answer = await server.get("/livez", headers={"Origin": "https://any.example.com"})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Fastlane-Exit-Code" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_path_without_a_route_is_told_the_routes_that_are_there(server, method):
    answer = await server.ask(method, "/task/a/jbos")
    assert answer.status == 404
    assert answer.json["detail"].startswith("there is no route /task/a/jbos; the routes are: /tasks/T, /tasks/T/stop, ")
    assert "/tasks/T/jobs" in answer.json["detail"]
    listed = (await server.get("/nowhere")).json["detail"]
    assert all(f" {route}," in listed for route in ("/tasks", "/executions", "/status", "/healthcheck"))
    assert "/session" not in listed
