"""Pages of other sites, attacking through somebody's browser: with and without users, on loopback and beyond."""

import pytest

from fastlane.models import transitions
from fastlane.models.job import Ending, Failure
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.web.routes.logs import LOG_HEADERS
from tests.support.credentials import basic, user
from tests.support.fastlane import Fastlane

OK = {"image": "ubuntu:latest"}
EVIL, LISTED = "https://evil.example.com", "https://dash.example.com"
ANNA = basic("anna", "annas")
USERS = {"users": (user("anna", "annas", "admin"),)}


@pytest.fixture(params=["loopback", "beyond", "loopback-auth", "beyond-auth"])
async def asked(request, shared_redis, tmp_path):
    """A server of each kind that trusts one other site."""
    settings = {"listen": "127.0.0.1" if request.param.startswith("loopback") else "0.0.0.0", "allowed_origins": (LISTED,)}
    settings |= USERS if request.param.endswith("auth") else {}
    async with Fastlane(tmp_path, shared_redis.url, **settings) as server:
        server.open_to_all = request.param == "beyond"
        server.headers = ANNA if request.param.endswith("auth") else {}
        yield server


async def test_a_foreign_page_does_nothing_even_with_the_credential_that_the_browser_adds(asked):
    reply = (await asked.post("/tasks/task", OK, headers=asked.headers)).json
    foreign = {"Origin": EVIL, "Content-Type": "text/plain", **asked.headers}
    for method, path in (
        ("POST", "/tasks/task"),
        ("POST", reply["jobUrl"] + "stop"),
        ("DELETE", reply["jobUrl"]),
        ("PUT", reply["jobUrl"]),
    ):
        answer = await asked.ask(method, path, json=OK, headers=foreign)
        assert answer.status in ((403, 405) if method in ("DELETE", "PUT") else (403,))
    job = (await asked.get(reply["jobUrl"], headers=asked.headers)).json["job"]
    assert (job["status"], job["executionCount"]) == ("enqueued", 1)
    assert (await asked.get("/tasks/task", headers=asked.headers)).json["jobsCount"] == 1


async def test_a_foreign_page_reads_only_where_everybody_may(asked):
    for path, headers in (("/status", asked.headers), ("/tasks/none", asked.headers), ("/status", {}), ("/livez", {})):
        answer = await asked.get(path, headers={"Origin": EVIL, **headers})
        assert answer.headers.get("Access-Control-Allow-Origin") == ("*" if asked.open_to_all else None)
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Origin" in answer.headers["Vary"]


async def test_with_open_reads_off_an_open_server_is_read_by_listed_pages_only(shared_redis, tmp_path):
    settings = {"listen": "0.0.0.0", "open_reads": False, "allowed_origins": (LISTED,)}
    async with Fastlane(tmp_path, shared_redis.url, **settings) as server:
        reply = await server.run_to_end()
        for origin, may in ((EVIL, None), (LISTED, LISTED)):
            answer = await server.get("/status", headers={"Origin": origin})
            assert answer.headers.get("Access-Control-Allow-Origin") == may
            handshake = {"Origin": origin, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
            opened = await server.get(reply["jobUrl"] + "ws", headers=handshake | {"Sec-WebSocket-Key": "eA" * 11 + "=="})
            assert opened.status == (101 if may else 403)


async def test_a_listed_page_reads_and_writes_and_sees_our_headers(asked):
    listed = {"Origin": LISTED, **asked.headers}
    reply = await asked.post("/tasks/task", OK, headers=listed)
    assert reply.status == 200
    answer = await asked.get(reply.json["jobUrl"], headers=listed)
    assert answer.headers["Access-Control-Allow-Origin"] == ("*" if asked.open_to_all else LISTED)
    exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].lower().split(",")}
    ours = {name for name in map(str.lower, answer.headers) if name.startswith(("fastlane-", "x-fastlane-", "x-request-"))}
    assert exposed >= ours | {"retry-after", "idempotent-replayed", *map(str.lower, LOG_HEADERS)}


async def test_a_browser_may_ask_without_a_credential_what_a_page_may_send(asked):
    wants = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    answer = await asked.ask("OPTIONS", "/tasks/task", headers={"Origin": LISTED, **wants})
    assert (answer.status, answer.body) == (204, b"")
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Access-Control-Allow-Origin"] in (LISTED, "*")
    foreign = await asked.ask("OPTIONS", "/tasks/task", headers={"Origin": EVIL, **wants})
    assert foreign.status == (204 if asked.open_to_all else 403)
    assert "POST" not in foreign.headers.get("Access-Control-Allow-Methods", "")
    assert (await asked.ask("OPTIONS", "/nothing", headers={"Origin": LISTED, **wants})).status in (204, 404)


@pytest.mark.parametrize("path", ["/tasks/task", "/livez", "/readyz", "/healthcheck", "/"])
async def test_a_name_that_somebody_pointed_at_loopback_gets_nothing(server, path):
    rebound = {"Host": f"rebound.example.net:{server.port}"}
    assert (await server.get(path, headers=rebound)).status == 403
    assert (await server.post(path, OK, headers=rebound | {"Origin": f"http://{rebound['Host']}"})).status == 403
    wants = {"Origin": f"http://{rebound['Host']}", "Access-Control-Request-Method": "POST"}
    assert (await server.ask("OPTIONS", path, headers=rebound | wants)).status == 403


async def test_without_a_public_url_a_name_that_somebody_pointed_at_the_server_writes_nothing(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0") as server:
        for host in ("rebound.example.net", "10.0.0.7.example.net"):
            rebound = {"Host": f"{host}:{server.port}", "Origin": f"http://{host}:{server.port}"}
            answer = await server.post("/tasks/t", OK, headers=rebound)
            assert (answer.status, "set public_url" in answer.json["detail"]) == (403, True)
        assert (await server.get("/tasks/t")).status == 404
        for host in (f"localhost:{server.port}", f"127.0.0.1:{server.port}", f"[::1]:{server.port}", "10.0.0.7"):
            assert (await server.post("/tasks/t", OK, headers={"Host": host, "Origin": f"http://{host}"})).status == 200


@pytest.mark.parametrize("path", ["/status", "/livez", "/", "/nothing"])
async def test_with_open_reads_off_a_name_that_somebody_pointed_at_the_server_gets_nothing(shared_redis, tmp_path, path):
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", open_reads=False) as server:
        answer = await server.get(path, headers={"Host": f"rebound.example.net:{server.port}"})
        assert (answer.status, "set public_url" in answer.json["detail"]) == (403, True)
        assert (await server.get("/status", headers={"Host": f"10.0.0.7:{server.port}"})).status == 200


async def test_with_users_a_page_under_any_name_of_the_server_writes_with_a_login(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", **USERS) as server:
        page = {"Host": "fast.example.com", "Origin": "http://fast.example.com"}
        assert (await server.post("/tasks/t", OK, headers=page)).status == 401
        assert (await server.post("/tasks/t", OK, headers=page | ANNA)).status == 200


async def test_with_a_public_url_a_name_that_somebody_pointed_at_the_server_writes_nothing(shared_redis, tmp_path):
    public = {"public_url": "https://fl.example.com", "listen": "0.0.0.0"}
    async with Fastlane(tmp_path, shared_redis.url, **public) as server:
        rebound = f"rebound.example.net:{server.port}"
        assert (await server.post("/tasks/t", OK, headers={"Host": rebound, "Origin": f"http://{rebound}"})).status == 403
        assert (await server.post("/tasks/t", OK, headers={"Host": "fl.example.com", "Origin": "https://fl.example.com"})).status == 200


@pytest.mark.parametrize("words", [("password", "key"), ("COLOUR",)])
async def test_a_secret_comes_back_in_no_answer(shared_redis, tmp_path, words):
    secret = "hunter2-s3cret"
    name = "MY_" + words[0].upper()
    async with Fastlane(tmp_path, shared_redis.url, redact_words=words) as server:
        reply = await server.enqueue("task", envs={name: secret, "PLAIN": "shown", "KEYS": "", "SHORT_" + name: "e"})
        execution = await server.pull(reply)
        failure = Failure(FailureReason.REJECTED, f"the engine said: bad variable {name}={secret}")
        await server.change(transitions.give_up(execution, Ending(Status.FAILED, server.clock.now(), failure=failure)))
        pages = ("/tasks/task", reply["jobUrl"], reply["executionUrl"], reply["jobUrl"] + "ticks", "/status")
        answers = [await server.get(path) for path in pages]
        assert [answer.status for answer in answers] == [200] * len(pages)
        assert not [path for path, answer in zip(pages, answers, strict=True) if secret.encode() in answer.body]
        assert answers[1].json["job"]["spec"]["envs"]["PLAIN"] == "shown"
        message = answers[2].json["execution"]["failure"]["message"]
        assert message == f"the engine said: bad variable {name}=********"


async def test_the_password_of_a_url_comes_back_in_no_answer(server):
    envs = {"DATABASE": "postgres://me:hunter2@db/x", "AUTHOR": "anna"}
    reply = await server.enqueue("task", envs=envs, command=["curl", "https://me:hunter2@x/?api_key=hunter2"])
    await server.pull(reply)
    for path in ("/tasks/task", reply["jobUrl"], reply["executionUrl"], "/executions", "/status"):
        answer = await server.get(path)
        assert answer.status == 200
        assert b"hunter2" not in answer.body, path
    spec = (await server.get(reply["jobUrl"])).json["job"]["spec"]
    assert spec["envs"] == {"DATABASE": "postgres://me:********@db/x", "AUTHOR": "anna"}
    assert spec["command"] == "curl 'https://me:********@x/?api_key=********'"
