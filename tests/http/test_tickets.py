"""Tickets: how a browser that can send no token follows a log; and how nobody else does."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs
from yarl import URL

from fastlane.services.tickets import MAX_PER_MINUTE
from tests.support.credentials import basic, bearer, token, user
from tests.support.fastlane import Fastlane
from tests.support.followers import PATIENCE, Socket

EYES, CI = bearer("fl_eyes"), bearer("fl_ci")
TOKENS = (token("eyes", "fl_eyes", "read", "mine"), token("ci", "fl_ci", "run"))
NOBODY = "00000000-0000-4000-8000-000000000000"
HTML = {"Accept": "text/html,application/xhtml+xml"}

Serve = Callable[..., Fastlane]


@pytest.fixture
def serve(shared_redis, tmp_path) -> Serve:
    """Servers of one installation, which name what is given."""
    named: dict[str, Any] = {"installation": f"tickets-{tmp_path}", "listen": "0.0.0.0", "tokens": TOKENS}
    return lambda redis=shared_redis, **settings: Fastlane(tmp_path, redis.url, **{**named, **settings})


@pytest.fixture
async def server(serve) -> AsyncIterator[Fastlane]:
    async with serve() as server:
        yield server


@dataclass(frozen=True)
class Place:
    """A job that ran, and the paths of it and of its execution."""

    job: str
    execution: str


async def ran(server: Fastlane, task: str = "mine", headers: dict[str, str] = CI) -> Place:
    answer = await server.ask("POST", f"/tasks/{task}", json={"image": "ubuntu:latest"}, headers=headers)
    assert answer.status == 200, answer.body
    execution = await server.run(answer.json)
    await server.append_log(execution, (1, b"seen\n"))
    await server.end(execution)
    job = f"/tasks/{task}/jobs/{answer.json['jobId']}"
    return Place(job, f"{job}/executions/{execution.id}")


async def ticket(server: Fastlane, path: str, headers: dict[str, str] | None = EYES) -> dict[str, Any]:
    answer = await server.post(f"{path}/ws-ticket", headers=headers or {})
    assert answer.status == 200, answer.body
    return answer.json


def http(url: str) -> str:
    return url.replace("ws://", "http://", 1)


async def handshake(server: Fastlane, url: str, **headers: str) -> int:
    """What a WebSocket's handshake is answered."""
    try:
        async with asyncio.timeout(PATIENCE), server.client.ws_connect(URL(url, encoded=True), headers=headers):
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status


async def visit(server: Fastlane, path: str, **options: Any) -> str:
    """Opens the page with a ticket; the visit's cookie as a browser sends it."""
    made = await ticket(server, path, **options)
    answer = await server.get(made["streamUrl"])
    assert answer.status == 303, answer.body
    return answer.headers["Set-Cookie"].partition(";")[0]


# a WebSocket


@pytest.mark.parametrize("of", ["job", "execution"])
@pytest.mark.parametrize("spelling", ["/tasks/", "/task/"])
async def test_a_ticket_opens_the_socket_that_no_token_can_be_sent_to(server, of, spelling):
    path = getattr(await ran(server), of)
    made = await ticket(server, path.replace("/tasks/", spelling))
    assert made["url"] == f"ws://localhost:{server.port}{path}/ws/?ticket={made['ticket']}"
    assert made["streamUrl"] == f"http://localhost:{server.port}{path}/stream/?ticket={made['ticket']}"
    assert re.fullmatch(r"[\w-]{43}", made["ticket"])
    assert await handshake(server, f"{server.base}{path}/ws") == 401
    async with Socket(server.client, f"{http(made['url'])}&format=json") as client:
        got = await client.closed()
    assert (got.log, got.end) == ("seen\n", (1000, "done"))


async def test_a_ticket_is_good_once(server):
    made = await ticket(server, (await ran(server)).job)
    assert [await handshake(server, made["url"]) for _ in range(3)] == [101, 401, 401]


async def test_of_many_at_once_on_two_replicas_one_gets_in(serve):
    async with serve() as one, serve() as other:
        path = (await ran(one)).job
        for _ in range(10):
            made = await ticket(one, path)
            urls = [made["url"].replace(str(one.port), str(server.port)) for server in (one, other) for _ in range(4)]
            answers = await asyncio.gather(*(handshake(one, url) for url in urls))
            assert sorted(answers) == [101] + [401] * 7


async def test_a_ticket_is_good_for_thirty_seconds(server, shared_redis):
    made = await ticket(server, (await ran(server)).job)
    with shared_redis.client() as redis:
        (key,) = redis.keys(f"*{server.installation}*:ticket:*")
        assert 25_000 < redis.pttl(key) <= 30_000
        redis.pexpire(key, 0)
    answer = await server.get(http(made["url"]), headers={"Upgrade": "websocket"})
    assert answer.status == 401
    assert answer.json["detail"].startswith("the ticket is used, older than 30 seconds, or not for this; a new one comes from POST")


async def test_a_ticket_opens_nothing_but_what_it_was_made_for(server):
    place, other = await ran(server), await ran(server)
    for made_for, tried in [
        (place.job, place.execution),
        (place.execution, place.job),
        (place.job, other.job),
        (place.job, place.job.replace("mine", "minetoo")),
    ]:
        made = await ticket(server, made_for)
        assert await handshake(server, f"{server.base}{tried}/ws?ticket={made['ticket']}") == 401
        assert await handshake(server, made["url"]) == 401  # it was shown where it does not belong: it is used up
    made = await ticket(server, place.job)
    for path in ("", "/logs?follow=1&", "/stdout", "/why", "/executions", "/ws-ticket"):
        method = "POST" if path == "/ws-ticket" else "GET"
        answer = await server.ask(method, f"{place.job}{path}{'' if '?' in path else '?'}ticket={made['ticket']}")
        assert answer.status == 401, path
    assert await handshake(server, made["url"]) == 101


async def test_what_never_was_a_ticket_is_refused_without_a_look_at_redis(server):
    path = (await ran(server)).job
    for text in ("", "x", "a" * 43, "%00" * 43, "ä" * 20, "a" * 20_000, "*" * 43, "..%2F" * 5):
        assert await handshake(server, f"{server.base}{path}/ws?ticket={text}") == 401
    assert await handshake(server, f"{server.base}{path}/ws?ticket=a&ticket=b") == 401
    with capture_logs() as logs:
        for _ in range(20):  # nobody is taken for a guesser
            assert await handshake(server, f"{server.base}{path}/ws?ticket=x") == 401
    assert {line["log_level"] for line in logs if line["event"].startswith("auth.")} == {"debug"}
    assert (await server.get(path, headers=EYES)).status == 200


async def test_a_redis_that_lost_its_data_knows_no_ticket(serve, own_redis):
    async with serve(redis=own_redis) as server:
        path = (await ran(server)).job
        made = await ticket(server, path)
        own_redis.flush()
        assert await handshake(server, made["url"]) == 401
        assert await handshake(server, (await ticket(server, path))["url"]) == 101


async def test_while_redis_is_down_that_is_what_is_said(serve, own_redis):
    async with serve(redis=own_redis) as server:
        path = (await ran(server)).job
        made, cookie = await ticket(server, path), await visit(server, path)
        own_redis.kill()
        for ask in (
            partial(server.post, f"{path}/ws-ticket", headers=EYES),
            partial(server.get, http(made["url"])),
            partial(server.get, made["streamUrl"]),
            partial(server.get, path, headers={"Cookie": cookie}),
        ):
            answer = await ask()
            assert (answer.status, "Retry-After" in answer.headers) == (503, True)
        assert (await server.get(path, headers=EYES)).status == 200
        own_redis.start()


async def test_what_its_maker_may_do_is_asked_when_it_is_used(serve):
    async with serve() as before:
        path = (await ran(before)).job
        tickets = [await ticket(before, path) for _ in range(4)]
        cookie = await visit(before, path)
    changes: list[tuple[Any, int]] = [
        ((token("eyes", "fl_eyes", "read", "theirs"),), 403),
        ((token("eyes", "fl_other", "read"),), 401),  # the token was changed
        ((token("ci", "fl_ci", "run"),), 401),
        ((token("eyes", "fl_eyes", "read"),), 101),
    ]
    for (tokens, status), made in zip(changes, tickets, strict=True):
        async with serve(tokens=tokens) as after:
            assert await handshake(after, made["url"].replace(str(before.port), str(after.port))) == status
            seen = (await after.get(path, headers={"Cookie": cookie})).status
            assert seen == (200 if status == 101 else status)


async def test_who_may_not_read_gets_no_ticket(server):
    theirs = await ran(server, "theirs")
    for path in (theirs.job, theirs.execution):
        assert (await server.post(f"{path}/ws-ticket", headers=EYES)).status == 403
        assert (await server.post(f"{path}/ws-ticket")).status == 401
    mine = await ran(server)
    for path in (
        f"/tasks/mine/jobs/{NOBODY}",
        f"{mine.job}/executions/{NOBODY}",
        theirs.job.replace("theirs", "mine"),
        "/tasks/mine/jobs/x",
    ):
        assert (await server.post(f"{path}/ws-ticket", headers=EYES)).status == 404
    assert (await server.get(f"{mine.job}/ws-ticket", headers=EYES)).status == 405


async def test_pages_of_other_sites_make_no_ticket_and_use_none(serve):
    evil, listed = {"Origin": "https://evil.example.com"}, {"Origin": "https://dash.example.com"}
    async with serve(allowed_origins=("https://dash.example.com",)) as server:
        path = (await ran(server)).job
        assert (await server.post(f"{path}/ws-ticket", headers=EYES | evil)).status == 403
        made = await ticket(server, path, EYES | listed)
        assert await handshake(server, made["url"], **evil) == 403
        assert await handshake(server, (await ticket(server, path))["url"], **listed) == 101


async def test_without_users_and_tokens_a_ticket_is_made_that_nobody_needs(serve, shared_redis):
    async with serve(tokens=()) as server:
        path = (await ran(server, headers={})).job
        made = await ticket(server, path, None)
        assert [await handshake(server, url) for url in (made["url"], made["url"], f"{server.base}{path}/ws")] == [101] * 3
        answer = await server.get(made["streamUrl"])
        assert (answer.status, answer.headers["Location"], answer.headers.get("Set-Cookie")) == (303, f"../../../../..{path}/stream", None)
        with shared_redis.client() as redis:
            assert redis.keys(f"*{server.installation}*:ticket:*") == []


async def test_a_ticket_and_a_visit_are_in_no_log_line_and_no_answer(server, capfd):
    path = (await ran(server)).job
    with capture_logs() as lines:
        made = await ticket(server, path)
        cookie = await visit(server, path)
        answers = [
            await server.get(http(made["url"])),
            await server.get(f"{path}/stream/?ticket={made['ticket']}", headers=HTML),
            await server.get(f"{path}/stdout?ticket={made['ticket']}", headers=EYES),
            await server.get(f"{path}/nothing?ticket={made['ticket']}", headers={"Cookie": cookie}),
            await server.get(f"{path}/ws?ticket={made['ticket']}&format={made['ticket']}", headers=EYES),
        ]
    secrets = (made["ticket"], cookie.partition("=")[2])
    told = [str(lines), *capfd.readouterr(), *(f"{answer.headers} {answer.body!r}" for answer in answers)]
    assert [line["event"] for line in lines if line["event"].startswith("auth.")]
    for secret in secrets:
        assert not [text for text in told if secret in text]


# a page


@pytest.mark.parametrize("of", ["job", "execution"])
@pytest.mark.parametrize("spelling", ["{}/stream?", "{}/stream/?", "//{}//stream//?"])
async def test_a_ticket_opens_the_page_and_leads_to_its_address_without_it(server, of, spelling):
    place = await ran(server)
    path = getattr(place, of)
    made = await ticket(server, path)
    opened = spelling.format(path.replace("/tasks", "/task")) + f"ticket={made['ticket']}"
    head = await server.ask("HEAD", opened)
    assert (head.status, head.headers.get("Set-Cookie")) == (303, None)  # who only looks uses nothing up
    answer = await server.get(opened)
    assert answer.status == 303
    assert str(URL(f"{server.base}{opened}").join(URL(answer.headers["Location"])).path) == f"{path}/stream"
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    cookie = answer.headers["Set-Cookie"]
    secret = cookie.partition(";")[0]
    assert cookie == f"{secret}; Path={place.job}; Max-Age=43200; HttpOnly; SameSite=Lax"
    for read in (f"{path}/stream", place.job, f"{place.execution}/why", f"{place.execution}/stdout"):
        seen = await server.get(read, headers={"Cookie": f"other=1; {secret}"})
        assert seen.status == 200, (read, seen.body)
    assert (await server.get(opened)).status == 401


async def test_a_visit_reads_one_job_and_does_nothing(server):
    place, other = await ran(server), await ran(server)
    cookie = {"Cookie": await visit(server, place.execution)}
    assert await handshake(server, f"{server.base}{place.job}/ws", **cookie) == 101
    capitals = place.job.replace(place.job[-36:], place.job[-36:].upper())
    assert await handshake(server, f"{server.base}{capitals}/ws", **cookie) == 101
    for path in (
        other.job,
        other.execution,
        "/tasks",
        "/tasks/mine",
        "/status",
        "/executions",
        "/nothing",
        place.job.replace("mine", "min"),
    ):
        assert (await server.get(path, headers=cookie)).status == 401, path
    for method, path in (
        ("POST", f"{place.job}/stop"),
        ("POST", f"{place.job}/run"),
        ("DELETE", place.job),
        ("PUT", place.job),
        ("POST", f"{place.job}/ws-ticket"),
    ):
        assert (await server.ask(method, path, headers=cookie, json={"image": "x"})).status == 401, path
    for wrong in ("fastlane-visit=", "fastlane-visit=x", f"fastlane-visit={'a' * 43}", "fastlane-visit", 'fastlane-visit="\\"'):
        assert (await server.get(place.job, headers={"Cookie": wrong})).status == 401
    assert (await server.get(place.job, headers=cookie | bearer("fl_wrong"))).status == 401
    evil = {"Origin": "https://evil.example.com"}
    assert await handshake(server, f"{server.base}{place.job}/ws", **cookie, **evil) == 403


async def test_a_ticket_is_no_visit_and_a_visit_no_ticket(server):
    path = (await ran(server)).job
    made, cookie = await ticket(server, path), await visit(server, path)
    assert (await server.get(path, headers={"Cookie": f"fastlane-visit={made['ticket']}"})).status == 401
    assert await handshake(server, f"{server.base}{path}/ws?ticket={cookie.partition('=')[2]}") == 401
    assert (await server.get(path, headers={"Cookie": cookie})).status == 200
    assert await handshake(server, made["url"]) == 101


async def test_a_link_that_was_used_lets_in_who_has_another_way_in(serve):
    async with serve(users=(user("anna", "annas", "read"),)) as server:
        path = (await ran(server)).job
        made = await ticket(server, path)
        cookie = (await server.get(made["streamUrl"])).headers["Set-Cookie"].partition(";")[0]
        for headers in ({"Cookie": cookie}, basic("anna", "annas")):
            answer = await server.get(made["streamUrl"], headers=headers)
            assert (answer.status, answer.headers.get("Set-Cookie")) == (303, None)
        for headers in ({}, {"Cookie": "fastlane-visit=x"}, basic("anna", "wrong")):
            answer = await server.get(made["streamUrl"], headers=headers)
            assert (answer.status, answer.headers["WWW-Authenticate"][:5]) == (401, "Basic")
            assert answer.headers["Content-Type"] == "application/problem+json"
            page = await server.get(made["streamUrl"], headers=headers | HTML)
            assert (page.status, page.headers["WWW-Authenticate"][:5] == "Basic") == (401, "Authorization" in headers)


@pytest.mark.parametrize("task", ["a;b", "%3BDomain=example.com", "ä%20b,c=d%22", "a%25"])
async def test_no_name_of_a_task_gets_out_of_the_cookies_path(server, task):
    place = await ran(server, task)
    made = await ticket(server, place.job, CI)
    answer = await server.get(f"{place.job}/stream?ticket={made['ticket']}")
    assert answer.status == 303, answer.body
    cookie = answer.headers["Set-Cookie"]
    path = re.search(r"; Path=(.*?); Max-Age", cookie)[1]
    assert re.fullmatch(r"/tasks/[\w.~%-]+/jobs/[0-9a-f-]{36}", path), cookie
    assert cookie.count(";") == 4
    assert answer.headers["Location"].endswith(f"{path}/stream")
    assert (await server.get(path, headers={"Cookie": cookie.partition(";")[0]})).status == 200


async def test_behind_a_proxy_the_cookie_is_for_the_public_address(serve):
    async with serve(public_url="https://example.com/lane", trusted_proxies=("127.0.0.1",)) as server:
        place = await ran(server)
        made = await ticket(server, place.job)
        assert made["url"].startswith(f"wss://example.com/lane{place.job}/ws/?ticket=")
        answer = await server.get(f"{place.job}/stream/?ticket={made['ticket']}")
        assert f"; Path=/lane{place.job}; " in answer.headers["Set-Cookie"]
        assert answer.headers["Set-Cookie"].endswith("; Secure")
        public = URL(f"https://example.com/lane{place.job}/stream/").join(URL(answer.headers["Location"]))
        assert public == URL(f"https://example.com/lane{place.job}/stream")


async def test_whoever_comes_with_a_dead_link_gets_a_page_that_says_so_where_nobody_can_log_in(server):
    path = (await ran(server)).job
    answer = await server.get(f"{path}/stream?ticket=used", headers=HTML)
    assert (answer.status, answer.headers["Content-Type"]) == (401, "text/html; charset=utf-8")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="fastlane"'
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for headers in ({}, EYES):
        answer = await server.get(f"{path}/stream?ticket=used&ticket=used", headers=headers)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.status == (400 if headers else 401)


async def test_who_makes_far_too_many_has_to_wait_and_nobody_else(server, shared_redis):
    path = (await ran(server)).job
    statuses = [(await server.post(f"{path}/ws-ticket", headers=EYES)).status for _ in range(2 * MAX_PER_MINUTE + 1)]
    assert statuses[:MAX_PER_MINUTE] == [200] * MAX_PER_MINUTE
    assert statuses.count(429) >= 1  # a minute may have ended meanwhile
    answer = await server.post(f"{path}/ws-ticket", headers=EYES)
    assert answer.status == 200 or 0 < int(answer.headers["Retry-After"]) <= 60
    assert (await server.post(f"{path}/ws-ticket", headers=CI)).status == 200


async def test_tickets_of_many_are_all_kept_apart(server):
    places = [await ran(server) for _ in range(3)]
    made = [await ticket(server, place.job) for place in places for _ in range(5)]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Socket(server.client, http(one["url"]))) for one in made]
        assert {(await client.closed()).end for client in clients} == {(1000, "done")}
    assert len({one["ticket"] for one in made}) == len(made)
