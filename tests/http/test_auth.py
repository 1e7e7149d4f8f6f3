"""Who may come in, and do what: HTTP Basic, bearer tokens, roles and patterns; and those who try to get around them."""

import asyncio
import base64
import re
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from fastlane.cli.config import markdown
from fastlane.config.access import PasswordHash
from fastlane.services.reads.status import MAX_SCHEDULED
from fastlane.web.routes import ROUTES
from fastlane.web.security import auth, auth as throttle
from tests.support.credentials import basic, bearer, token, user
from tests.support.fastlane import Fastlane
from tests.support.waiting import until

OK = {"image": "ubuntu:latest"}
NONE = "00000000-0000-4000-8000-000000000000"
PASSWORD, TOKEN = "korrekt:häst ", "fl_right"

ADMIN, RUNNER, READER, CI = basic("anna", PASSWORD), basic("rob", "robs"), basic("vera", "veras"), bearer(TOKEN)
WHO = {
    "users": (user("anna", PASSWORD, "admin"), user("rob", "robs", "run", "team-a-"), user("vera", "veras", "read")),
    "tokens": (token("ci", TOKEN, "run", "build-"), token("eyes", "fl_eyes", "read")),
}
HEALTH = {"/", "/livez", "/readyz", "/healthcheck"}
PUBLIC = {*HEALTH, "/login"}


@pytest.fixture
async def guarded(shared_redis, tmp_path) -> AsyncIterator[Fastlane]:
    """A server with users and tokens, behind a proxy that says for whom it asks."""
    async with Fastlane(tmp_path, shared_redis.url, trusted_proxies=("127.0.0.1",), **WHO) as server:
        yield server


class Hashing:
    """Counts the hashes that are computed, and holds them up until ``go``."""

    def __init__(self) -> None:
        self.count = 0
        self.go = threading.Event()
        self.go.set()


@pytest.fixture
def hashing(monkeypatch) -> Iterator[Hashing]:
    hashing, matches = Hashing(), PasswordHash.matches

    def watched(self: PasswordHash, password: str) -> bool:
        hashing.count += 1
        assert hashing.go.wait(60)
        return matches(self, password)

    monkeypatch.setattr(PasswordHash, "matches", watched)
    yield hashing
    hashing.go.set()


def from_(address: str, credential: dict[str, str] | None = None) -> dict[str, str]:
    """The headers of a request that the proxy passes on for this address."""
    return {**(credential or {}), "X-Forwarded-For": address}


def test_only_what_tells_that_the_server_lives_and_the_page_to_log_in_are_public():
    assert {path for path, resource in ROUTES.items() if resource.public} == PUBLIC


def test_the_reference_names_what_is_public():
    (named,) = re.findall("except those for (.*?) must authenticate", markdown().replace("\n", " "))
    assert set(re.findall("`(.*?)`", named)) == PUBLIC


@pytest.mark.parametrize("path", [*sorted(ROUTES.keys() - PUBLIC), "/nothing", "/tasks/%00"])
async def test_nothing_is_told_or_done_for_who_does_not_say_who_they_are(guarded, path):
    reply = (await guarded.post("/tasks/team-a-1", OK, headers=ADMIN)).json
    ids = defaultdict(lambda: "x", task_id="team-a-1", job_id=reply["jobId"], execution_id=reply["executionId"])
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        answer = await guarded.ask(method, path.format_map(ids), json=OK if method == "POST" else None)
        assert answer.status == 401, method
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="fastlane", charset="UTF-8"'
        assert method == "HEAD" or answer.json["status"] == 401
        assert reply["jobId"].encode() not in answer.body
    job = (await guarded.get(reply["jobUrl"], headers=ADMIN)).json["job"]
    assert (job["status"], job["executionCount"]) == ("enqueued", 1)


@pytest.mark.parametrize("path", ["/tasks", "/jobs", "/status", "/events", "/tasks/none", "/nothing"])
async def test_no_proxy_may_keep_an_answer_that_needs_a_login(guarded, path):
    for headers in ({}, ADMIN):
        assert (await guarded.get(path, headers=headers)).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", sorted(HEALTH))
async def test_health_is_told_to_everybody(guarded, path):
    assert (await guarded.get(path)).status in (200, 503)
    assert (await guarded.get(path, headers=basic("anna", "wrong"))).status in (200, 503)


@pytest.mark.parametrize("credential", [ADMIN, READER, bearer("fl_eyes"), {"Authorization": ADMIN["Authorization"].replace("B", "b", 1)}])
async def test_who_says_who_they_are_may_come_in(guarded, credential):
    for _ in range(2):
        assert (await guarded.get("/status", headers=credential)).status == 200


@pytest.mark.parametrize("path", ["/dispatch/pause", "/dispatch/resume", "/pools/default/pause", "/pools/default/resume"])
async def test_only_admins_pause_pools_and_all_dispatch(guarded, path):
    for credential in (RUNNER, READER):
        assert (await guarded.post(path, headers=credential)).status == 403
    assert (await guarded.post(path, headers=ADMIN)).status == 200


async def test_a_wrong_password_and_an_unknown_user_are_answered_alike(guarded):
    wrong = [await guarded.get("/status", headers=basic(name, "wrong")) for name in ("anna", "nobody")]
    assert [answer.status for answer in wrong] == [401, 401]
    assert wrong[0].json == wrong[1].json


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"anna:\xff").decode(),
        "Basic " + base64.b64encode(f"anna:{PASSWORD}".encode()).decode().rstrip("="),
        "Basic " + base64.b64encode(f"anna:{PASSWORD}x".encode()).decode(),
        "Basic " + base64.b64encode(f"Anna:{PASSWORD}".encode()).decode(),
        "Basic " + base64.b64encode(b"ci:fl_right").decode(),
        "Basic " + "A" * 20_000,
        "Bearer",
        "Bearer fl_wrong",
        f"Bearer {PASSWORD}",
        f"Bearer {WHO['tokens'][0].digest.hex()}",
        "Digest username=anna",
        "Negotiate abc",
        "\x80\xff",
        f"{ADMIN['Authorization']}, {CI['Authorization']}",
    ],
)
async def test_a_credential_that_is_not_right_is_none(guarded, header):
    sent = b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: " + header.encode("latin-1") + b"\r\n\r\n"
    assert (await guarded.raw(sent)).startswith(b"HTTP/1.1 401 ")


async def test_a_server_with_tokens_alone_asks_for_one(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, tokens=WHO["tokens"]) as server:
        answer = await server.get("/status", headers=ADMIN)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="fastlane"')
        assert (await server.get("/status", headers=CI)).status == 200


async def test_a_reader_may_read_all_and_write_nothing(guarded):
    reply = (await guarded.post("/tasks/t", OK, headers=ADMIN)).json
    for method, path in (("POST", "/tasks/t"), ("POST", reply["jobUrl"] + "stop"), ("POST", reply["executionUrl"] + "stop")):
        refused = await guarded.ask(method, path, json=OK, headers=READER)
        assert refused.status == 403
        assert ("needs trigger" if path.endswith("stop") else "needs run") in refused.json["detail"]
    assert (await guarded.get(reply["executionUrl"], headers=READER)).json["execution"]["status"] == "enqueued"
    assert (await guarded.ask("HEAD", reply["jobUrl"], headers=READER)).status == 200


async def test_a_pattern_limits_writes_and_reads(guarded):
    theirs = (await guarded.post("/tasks/team-b-1", OK, headers=ADMIN)).json
    own = (await guarded.post("/tasks/team-a-1", OK, headers=RUNNER)).json
    assert (await guarded.get(own["jobUrl"], headers=RUNNER)).status == 200
    assert (await guarded.post(own["jobUrl"] + "stop", headers=RUNNER)).status == 200
    for method, path in (
        ("POST", "/tasks/team-b-1"),
        ("GET", "/tasks/team-b-1"),
        ("GET", "/tasks/there-is-none"),
        ("GET", theirs["jobUrl"]),
        ("GET", theirs["executionUrl"]),
        ("GET", theirs["jobUrl"] + "stdout"),
        ("GET", theirs["jobUrl"] + "ticks"),
        ("POST", theirs["jobUrl"] + "stop"),
        ("POST", theirs["executionUrl"] + "stop"),
        ("GET", "/task/%74eam-b-1"),
        ("GET", "//tasks//team-b-1//"),
    ):
        refused = await guarded.ask(method, path, json=OK if method == "POST" else None, headers=RUNNER)
        assert refused.status == 403, (method, path)
        assert "'team-a-'" in refused.json["detail"]
    # under a task of one's own, another's job is not there
    mixed = theirs["jobUrl"].replace("team-b-1", "team-a-1")
    assert (await guarded.get(mixed, headers=RUNNER)).status == 404
    assert (await guarded.post(mixed + "stop", headers=RUNNER)).status == 404
    assert (await guarded.get(theirs["jobUrl"], headers=ADMIN)).json["job"]["status"] == "enqueued"


async def test_a_list_shows_what_its_reader_may_see_and_counts_no_more(guarded):
    for task in ("team-a-1", "team-b-1", "team-a-2"):
        reply = (await guarded.post(f"/tasks/{task}", OK, headers=ADMIN)).json
        await guarded.run(reply)
        await guarded.post(f"/tasks/{task}", OK | {"startIn": "1h"}, headers=ADMIN)
    for path in ("/tasks", "/search?query=team", "/executions"):
        for credential, tasks in ((RUNNER, ["team-a-1", "team-a-2"]), (READER, ["team-a-1", "team-a-2", "team-b-1"])):
            page = (await guarded.get(path, headers=credential)).json
            assert sorted(row["taskId"] for row in page["items"]) == tasks, path
            assert page["total"] == len(tasks)
    for path in ("/executions?task=team-b-1", "/jobs?task=team-b-1"):
        assert (await guarded.get(path, headers=RUNNER)).json["items"] == []
    assert {row["taskId"] for row in (await guarded.get("/jobs", headers=RUNNER)).json["items"]} == {"team-a-1", "team-a-2"}
    for credential, tasks in ((RUNNER, ["team-a-1", "team-a-2"]), (READER, ["team-a-1", "team-a-2", "team-b-1"])):
        status = (await guarded.get("/status", headers=credential)).json
        assert sorted(row["task"] for row in status["containers"]["running"]) == tasks
        assert sorted(row["taskId"] for row in status["jobs"]["scheduled"]) == tasks
        assert (status["tasks"]["count"], status["jobs"]["count"], status["executions"]["running"]) == (
            len(tasks),
            2 * len(tasks),
            len(tasks),
        )
        counted = {status: count for status, count in status["jobs"]["byStatus"].items() if count}
        assert counted == {"running": len(tasks), "scheduled": len(tasks)}


async def test_the_status_shows_a_reader_their_own_jobs_however_many_others_come_first(guarded):
    for _ in range(MAX_SCHEDULED + 1):
        await guarded.post("/tasks/team-b-1", OK | {"startIn": "1h"}, headers=ADMIN)
    mine = (await guarded.post("/tasks/team-a-1", OK | {"startIn": "2h"}, headers=ADMIN)).json
    status = (await guarded.get("/status", headers=RUNNER)).json
    assert [row["jobId"] for row in status["jobs"]["scheduled"]] == [mine["jobId"]]


@pytest.mark.parametrize("path", ["/tasks?perPage=1", "/search?query=team&perPage=1", "/executions?perPage=1", "/jobs?perPage=1"])
async def test_a_next_url_of_someone_who_may_see_more_tells_no_total(guarded, path):
    for task in ("team-a-1", "team-b-1", "team-a-2"):
        await guarded.post(f"/tasks/{task}", OK, headers=ADMIN)
    page = (await guarded.get(path, headers=READER)).json
    assert page["total"] == 3
    assert (await guarded.get(page["nextUrl"], headers=READER)).json["total"] == 3
    refused = await guarded.get(page["nextUrl"], headers=RUNNER)
    assert (refused.status, refused.json["errors"][0]["field"]) == (400, "after")
    own = (await guarded.get(path, headers=RUNNER)).json
    assert own["total"] == (await guarded.get(own["nextUrl"], headers=RUNNER)).json["total"] == 2


async def test_a_route_and_a_method_that_are_not_there_are_no_matter_of_roles(guarded):
    assert (await guarded.post("/nothing", OK, headers=READER)).status == 404
    assert (await guarded.ask("DELETE", "/status", headers=READER)).status == 405


async def test_only_the_first_request_of_a_password_pays_for_its_hash(guarded, hashing):
    answers = await asyncio.gather(*(guarded.get("/status", headers=ADMIN) for _ in range(64)))
    assert {answer.status for answer in answers} == {200}
    assert hashing.count == 1
    for _ in range(3):
        assert (await guarded.get("/status", headers=ADMIN)).status == 200
        assert (await guarded.get("/status", headers=CI)).status == 200
    assert hashing.count == 1


async def test_an_unknown_user_costs_as_much_as_a_known_one(guarded, hashing):
    await guarded.get("/status", headers=basic("anna", "wrong"))
    await guarded.get("/status", headers=basic("nobody", "wrong"))
    assert hashing.count == 2


async def test_what_was_found_good_is_remembered_in_bounded_memory(guarded, hashing, monkeypatch):
    monkeypatch.setattr(auth, "MAX_REMEMBERED", 2)
    for credential in (ADMIN, RUNNER, ADMIN, READER, ADMIN):
        assert (await guarded.get("/status", headers=credential)).status == 200
    assert hashing.count == 3
    assert (await guarded.get("/status", headers=RUNNER)).status == 200
    assert hashing.count == 4


async def test_no_spelling_of_a_credential_takes_the_place_of_somebodys_password(guarded, hashing, monkeypatch):
    monkeypatch.setattr(auth, "MAX_REMEMBERED", 2)
    assert (await guarded.get("/status", headers=ADMIN)).status == 200
    for blanks in range(1, 9):
        token = {"Authorization": f"bEaReR{' ' * blanks}{TOKEN}"}
        assert (await guarded.get("/status", headers=token)).status == 200
        password = {"Authorization": RUNNER["Authorization"].replace(" ", " " * blanks).replace("Basic", "bAsIc")}
        assert (await guarded.get("/status", headers=password)).status == 200
    assert hashing.count == 2
    assert (await guarded.get("/status", headers=ADMIN)).status == 200
    assert hashing.count == 2


async def test_while_a_password_is_looked_at_everybody_else_is_served(guarded, hashing):
    assert (await guarded.get("/status", headers=ADMIN)).status == 200
    hashing.go.clear()
    waiting = asyncio.create_task(guarded.get("/status", headers=READER))
    await until(lambda: hashing.count == 2, "the password was never looked at")
    for credential in (ADMIN, CI):
        assert (await guarded.get("/status", headers=credential)).status == 200
    assert (await guarded.get("/livez")).status == 200
    assert not waiting.done()
    hashing.go.set()
    assert (await waiting).status == 200


async def test_a_crowd_of_guessers_is_told_to_come_again_and_takes_no_memory(guarded, hashing):
    assert (await guarded.get("/status", headers=ADMIN)).status == 200
    hashing.go.clear()
    gate = guarded.context.authenticator
    crowd = [asyncio.create_task(guarded.get("/status", headers=from_(f"10.0.{n}.1", basic("anna", f"{n}")))) for n in range(60)]
    await until(lambda: sum(task.done() for task in crowd) == 60 - auth.MAX_VERIFYING, "nobody was sent away")
    away = [task.result() for task in crowd if task.done()]
    assert {(answer.status, answer.headers["Retry-After"]) for answer in away} == {(503, "2")}
    assert len(gate._verifying) == auth.MAX_VERIFYING
    assert (await guarded.get("/status", headers=ADMIN)).status == 200
    hashing.go.set()
    assert sorted({answer.status for answer in await asyncio.gather(*crowd)}) == [401, 503]
    assert not gate._verifying


async def test_who_guesses_is_slowed_and_nobody_else_is(guarded, hashing):
    await guarded.get("/status", headers=from_("10.9.9.9", ADMIN))
    guesses = [await guarded.get("/status", headers=from_("10.9.9.9", basic("anna", f"{n}"))) for n in range(throttle.FREE_FAILURES + 1)]
    assert [answer.status for answer in guesses] == [401] * throttle.FREE_FAILURES + [429]
    assert int(guesses[-1].headers["Retry-After"]) >= 1
    assert hashing.count == throttle.FREE_FAILURES + 1
    assert (await guarded.get("/status", headers=from_("10.9.9.9", READER))).status == 429
    assert (await guarded.get("/status", headers=from_("10.9.9.9", bearer("fl_guess")))).status == 429
    assert (await guarded.get("/status", headers=from_("10.9.9.9", ADMIN))).status == 200
    assert (await guarded.get("/status", headers=from_("10.9.9.9", CI))).status == 200
    assert (await guarded.get("/status", headers=from_("10.9.9.8", READER))).status == 200
    assert (await guarded.get("/livez", headers=from_("10.9.9.9"))).status == 200


async def test_guesses_that_come_all_at_once_are_counted_as_they_come(guarded, hashing):
    hashing.go.clear()
    crowd = [asyncio.create_task(guarded.get("/status", headers=from_("10.9.9.9", basic("anna", f"{n}")))) for n in range(30)]
    await until(lambda: sum(task.done() for task in crowd) == 30 - throttle.FREE_FAILURES, "they were not slowed")
    hashing.go.set()
    assert sorted(answer.status for answer in await asyncio.gather(*crowd)) == [401] * throttle.FREE_FAILURES + [429] * (
        30 - throttle.FREE_FAILURES
    )


async def test_guesses_at_one_user_from_everywhere_are_slowed_and_the_user_is_not_kept_out(guarded, hashing, monkeypatch):
    monkeypatch.setattr(auth, "MAX_REMEMBERED", 1)
    assert (await guarded.get("/status", headers=from_("10.1.1.1", ADMIN))).status == 200
    assert (await guarded.get("/status", headers=from_("10.1.1.1", READER))).status == 200  # ADMIN is remembered no more
    guesses = [
        (await guarded.get("/status", headers=from_(f"10.9.{n}.1", basic("anna", f"{n}")))).status
        for n in range(throttle.FREE_FOR_NAME + 1)
    ]
    assert guesses == [401] * throttle.FREE_FOR_NAME + [429]
    assert (await guarded.get("/status", headers=from_("10.1.1.1", ADMIN))).status == 200
    assert (await guarded.get("/status", headers=from_("10.2.2.2", RUNNER))).status == 200


async def test_one_network_leaves_places_for_others_to_log_in(guarded, hashing):
    hashing.go.clear()
    crowd = [asyncio.create_task(guarded.get("/status", headers=from_(f"10.9.9.{n}", basic("anna", f"{n}")))) for n in range(40)]
    await until(lambda: sum(task.done() for task in crowd) == 40 - auth.MAX_OF_NETWORK, "nobody was sent away")
    other = asyncio.create_task(guarded.get("/status", headers=from_("10.1.1.1", READER)))
    await until(lambda: len(guarded.context.authenticator._verifying) > auth.MAX_OF_NETWORK, "there was no place for another network")
    hashing.go.set()
    assert (await other).status == 200
    assert sorted(answer.status for answer in await asyncio.gather(*crowd)) == [401] * auth.MAX_OF_NETWORK + [503] * (
        40 - auth.MAX_OF_NETWORK
    )


async def test_an_address_that_nobody_vouches_for_does_not_count(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, **WHO) as server:
        guesses = [
            await server.get("/status", headers=from_(f"10.0.0.{n}", basic("anna", f"{n}"))) for n in range(throttle.FREE_FAILURES + 1)
        ]
        assert [answer.status for answer in guesses] == [401] * throttle.FREE_FAILURES + [429]


async def test_a_failed_login_is_logged_without_what_was_sent(guarded):
    with capture_logs() as lines:
        await guarded.get("/status", headers=from_("10.1.2.3", basic("anna", "s3cret-guess")))
        await guarded.get("/status", headers=from_("10.1.2.3", basic("s3cret-in-the-wrong-place", "x")))
        await guarded.get("/status", headers=from_("10.1.2.3", bearer("s3cret-token")))
    failed = [line for line in lines if line["event"] == "auth.failed"]
    assert [(line["scheme"], line["user"], line["address"]) for line in failed] == [
        ("basic", "anna", "10.1.2.3"),
        ("basic", None, "10.1.2.3"),
        ("bearer", None, "10.1.2.3"),
    ]
    assert "s3cret" not in str(lines)
    assert basic("anna", "s3cret-guess")["Authorization"][6:] not in str(lines)


async def test_what_was_asked_for_says_by_whom(guarded):
    reply = (await guarded.post("/tasks/build-1", OK, headers=from_("10.1.2.3", CI))).json
    asked = {"user": "ci", "address": "10.1.2.3"}
    job = (await guarded.get(reply["jobUrl"], headers=ADMIN)).json["job"]
    assert job["requestedBy"] == asked
    assert job["executions"][0]["requestedBy"] == asked
    assert (await guarded.get(reply["executionUrl"], headers=ADMIN)).json["execution"]["requestedBy"] == asked


async def test_without_auth_what_was_asked_for_says_from_where(server):
    reply = (await server.post("/tasks/t", OK, headers=from_("10.1.2.3"))).json
    assert (await server.get(reply["jobUrl"])).json["job"]["requestedBy"] == {"user": None, "address": "127.0.0.1"}


async def test_closing_gives_up_the_passwords_that_wait(shared_redis, tmp_path, hashing):
    async with Fastlane(tmp_path, shared_redis.url, **WHO) as server:
        hashing.go.clear()
        crowd = [asyncio.create_task(server.get("/status", headers=basic("anna", f"{n}"))) for n in range(5)]
        await until(lambda: hashing.count == 1, "the password was never looked at")
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        hashing.go.set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("passwords")]


async def test_no_cache_keeps_what_only_some_may_see(guarded):
    reply = (await guarded.post("/tasks/team-a-1", OK, headers=ADMIN)).json
    await guarded.run(reply)
    job = reply["jobUrl"]
    for path in ("/tasks", "/status", "/openapi.json", job, reply["executionUrl"], f"{job}stdout", f"{job}why", "/executions", "/nothing"):
        for credential in (ADMIN, {}):
            answer = await guarded.get(path, headers=credential)
            assert answer.headers.get("Cache-Control") == "no-store", (path, answer.status)
    assert (await guarded.post(f"{job}stop", headers=ADMIN)).headers["Cache-Control"] == "no-store"
