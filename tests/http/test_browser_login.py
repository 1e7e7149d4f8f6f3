"""People who log in to a server's pages with a token or a password: what the session may do, who can use it, and how it ends."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.http.test_tickets import handshake
from tests.support.credentials import basic, bearer, token, user
from tests.support.fastlane import Answer, Fastlane

TOKENS = (token("ci", "fl_ci", "run", "mine"), token("eyes", "fl_eyes", "read"))
HTML = {"Accept": "text/html,application/xhtml+xml"}
OK = {"image": "ubuntu:latest"}
CI = {"needsLogin": True, "credentials": ["token"], "user": None, "role": None, "credential": None, "canLogOut": False}
"""What a server with tokens tells somebody who is not logged in."""

Serve = Callable[..., Fastlane]


@pytest.fixture
def serve(shared_redis, tmp_path) -> Serve:
    """Servers of one installation, which name what is given."""
    named: dict[str, Any] = {"installation": f"login-{tmp_path}", "listen": "0.0.0.0", "tokens": TOKENS}
    return lambda **settings: Fastlane(tmp_path, shared_redis.url, **{**named, **settings})


@pytest.fixture
async def server(serve) -> AsyncIterator[Fastlane]:
    async with serve() as server:
        yield server


async def sign_in(server: Fastlane, secret: str = "fl_ci", **headers: str) -> Answer:
    return await server.post("/session", {"token": secret}, headers=headers)


async def session(server: Fastlane, secret: str = "fl_ci") -> dict[str, str]:
    """The cookie of a browser that logged in."""
    answer = await sign_in(server, secret)
    assert answer.status == 200, answer.body
    return {"Cookie": f"other=1; {answer.headers['Set-Cookie'].partition(';')[0]}"}


def own(server: Fastlane) -> dict[str, str]:
    return {"Origin": server.base}


@pytest.mark.parametrize("path", ["/docs", "/tasks", "/status", "/tasks/mine/jobs/00000000-0000-4000-8000-000000000000/stream"])
async def test_a_browser_gets_the_form_and_then_what_it_asked_for(server, path):
    asked = await server.get(path, headers=HTML)
    assert (asked.status, asked.headers["Content-Type"]) == (401, "text/html; charset=utf-8")
    assert asked.headers["WWW-Authenticate"] == 'Bearer realm="fastlane"'
    assert b"<title>Log in" in asked.body
    assert "form-action 'none'" in asked.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in asked.headers["Content-Security-Policy"]
    assert asked.headers["Referrer-Policy"] == "no-referrer"
    answer = await server.get(path, headers=HTML | await session(server, "fl_eyes"))
    assert answer.status == (404 if path.endswith("/stream") else 200)
    for headers in ({}, {"Accept": "*/*"}, HTML | bearer("fl_wrong")):  # what is no browser gets a problem
        assert (await server.get(path, headers=headers)).headers["Content-Type"] == "application/problem+json"


async def test_the_cookie_is_for_this_server_for_hours_and_for_no_script(serve):
    async with serve() as server:
        cookie = (await sign_in(server)).headers["Set-Cookie"]
        assert re.fullmatch(r"fastlane-session=[\w-]{43}; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax", cookie)
    async with serve(public_url="https://example.com/lane") as server:
        cookie = (await sign_in(server)).headers["Set-Cookie"]
        assert cookie.startswith("__Secure-fastlane-session=")
        assert cookie.endswith("; Path=/lane/; Max-Age=43200; HttpOnly; SameSite=Lax; Secure")
    async with serve(public_url="https://fastlane.example.com") as server:
        cookie = (await sign_in(server)).headers["Set-Cookie"]
        assert re.fullmatch(r"__Host-fastlane-session=[\w-]{43}; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax; Secure", cookie)
        secret = cookie.partition("=")[2].partition(";")[0]
        assert (await server.get("/tasks", headers={"Cookie": f"__Host-fastlane-session={secret}"})).status == 200
        for name in ("fastlane-session", "__Secure-fastlane-session"):  # other machines of the domain can set these
            assert (await server.get("/tasks", headers={"Cookie": f"{name}={secret}"})).status == 401


async def test_a_session_may_do_what_its_token_may_and_no_more(server):
    ci, eyes = await session(server), await session(server, "fl_eyes")
    reply = (await server.ask("POST", "/tasks/mine", json=OK, headers=ci | own(server))).json
    job = f"/tasks/mine/jobs/{reply['jobId']}"
    assert (await server.get(job, headers=eyes)).json["job"]["requestedBy"]["user"] == "ci"
    assert await handshake(server, f"{server.base}{job}/ws", **eyes, **own(server)) == 101
    assert (await server.post(f"{job}/stop", headers=eyes | own(server))).status == 403
    assert (await server.ask("POST", "/tasks/other", json=OK, headers=ci | own(server))).status == 403
    assert (await server.post(f"{job}/stop", headers=ci | own(server))).status == 200
    assert (await server.get("/session", headers=ci)).json == {**CI, "user": "ci", "role": "run", "credential": "token", "canLogOut": True}
    assert (await server.get("/tasks", headers=ci)).headers["Cache-Control"] == "no-store"


async def test_only_our_own_pages_and_listed_ones_write_by_it(serve):
    listed = "https://dash.example.com"
    async with serve(allowed_origins=(listed,)) as server:
        cookie = await session(server)
        for headers, status in (
            ({}, 401),  # no browser leaves its page out
            ({"Sec-Fetch-Site": "same-site"}, 401),
            ({"Origin": "null"}, 403),
            ({"Origin": "https://evil.example.com"}, 403),
            ({"Origin": f"http://localhost:{server.port + 1}"}, 403),
            ({"Origin": listed}, 200),
            ({"Sec-Fetch-Site": "same-origin"}, 200),
            (own(server), 200),
        ):
            assert (await server.ask("POST", "/tasks/mine", json=OK, headers=cookie | headers)).status == status, headers
        evil = {"Origin": "https://evil.example.com"}
        assert (await sign_in(server, **evil)).status == 403
        assert (await server.ask("DELETE", "/session", headers=cookie | evil)).status == 403
        answer = await server.get("/tasks", headers=cookie | evil)
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_after_logging_out_the_cookie_is_worth_nothing_anywhere(serve):
    async with serve() as one, serve() as other:
        cookie, kept = await session(one), await session(one)
        assert (await other.get("/tasks", headers=cookie)).status == 200
        answer = await other.ask("DELETE", "/session", headers=cookie | own(other))
        assert answer.json == CI
        assert answer.headers["Set-Cookie"].startswith("fastlane-session=; Path=/; Max-Age=0;")
        for server in (one, other):
            assert (await server.get("/tasks", headers=cookie)).status == 401
            assert (await server.get("/tasks", headers=kept)).status == 200


async def test_a_session_ends_with_its_token_and_after_twelve_hours(serve, shared_redis):
    async with serve() as before:
        cookie, eyes = await session(before), await session(before, "fl_eyes")
    async with serve(tokens=(token("ci", "fl_changed", "run"), TOKENS[1])) as after:
        assert (await after.get("/tasks", headers=cookie)).status == 401
        assert (await after.get("/tasks", headers=eyes)).status == 200
        with shared_redis.client() as redis:
            keys = redis.keys(f"*{after.installation}*:ticket:*")
            assert len(keys) == 2
            assert all(12 * 3_600_000 - 120_000 < redis.pttl(key) <= 12 * 3_600_000 for key in keys)
            for key in keys:
                redis.pexpire(key, 0)
        assert (await after.get("/tasks", headers=eyes)).status == 401


@pytest.mark.parametrize("value", ["", "x", "a" * 43, '"\\"', "a" * 5_000])
async def test_what_never_was_a_session_is_none(server, value):
    for name in ("fastlane-session", "fastlane-visit"):
        assert (await server.get("/tasks", headers={"Cookie": f"{name}={value}"})).status == 401


async def test_a_session_a_visit_and_a_ticket_are_not_each_other(server):
    cookie = await session(server)
    secret = cookie["Cookie"].rpartition("=")[2]
    job = (await server.ask("POST", "/tasks/mine", json=OK, headers=bearer("fl_ci"))).json["jobUrl"]
    made = (await server.post(f"{job}ws-ticket", headers=bearer("fl_ci"))).json
    assert (await server.get(job, headers={"Cookie": f"fastlane-visit={secret}"})).status == 401
    assert (await server.get(f"{job}stream?ticket={secret}")).status == 401
    assert (await server.get("/tasks", headers={"Cookie": f"fastlane-session={made['ticket']}"})).status == 401
    visit = (await server.get(made["streamUrl"])).headers["Set-Cookie"].partition(";")[0]
    assert (await server.get(job, headers={"Cookie": visit.replace("-visit", "-session")})).status == 401
    assert (await server.get("/tasks", headers=cookie | bearer("fl_wrong"))).status == 401  # what is sent on purpose counts


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"token": "fl_wrong"}, 401),
        ({}, 400),
        ({"token": " "}, 400),
        ({"token": 1}, 400),
        ({"token": "fl_ci", "user": "x"}, 400),
        ("[]", 400),
    ],
)
async def test_what_is_no_token_starts_no_session(server, body, status):
    answer = await server.post("/session", body)
    assert (answer.status, answer.headers.get("Set-Cookie")) == (status, None)


async def test_guessing_tokens_at_the_form_is_slowed(server):
    statuses = [(await sign_in(server, f"fl_{number}")).status for number in range(12)]
    assert (statuses[0], statuses[-1]) == (401, 429)


async def test_no_secret_of_a_login_is_in_an_answer_or_a_log_line(server, capfd):
    with capture_logs() as lines:
        answer = await sign_in(server)
        wrong = await sign_in(server, "fl_secret-guess")
        cookie = answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
        seen = await server.get("/session", headers={"Cookie": f"fastlane-session={cookie}"})
    told = [str(lines), *capfd.readouterr(), str(answer.body), str(wrong.body), str(seen.body), str(seen.headers)]
    assert ("auth.logged_in", "ci") in [(line["event"], line.get("user")) for line in lines]
    for secret in (cookie, "fl_ci", "fl_secret-guess"):
        assert not [text for text in told if secret in text]


async def test_with_users_a_browser_gets_the_form_too_and_only_what_is_none_is_challenged_for_a_password(serve):
    """A browser answers such a challenge by a dialog of its own."""
    async with serve(users=(user("anna", "annas", "read"),)) as server:
        pages = (HTML, {"X-Requested-With": "fastlane"}, {"Accept": "text/event-stream"}, {"Upgrade": "websocket"} | own(server))
        for headers in pages:
            asked = await server.get("/tasks", headers=headers)
            assert (asked.status, asked.headers["WWW-Authenticate"]) == (401, 'Bearer realm="fastlane"'), headers
            assert (asked.headers["Content-Type"] == "text/html; charset=utf-8") == (headers is HTML)
        java = {"Accept": "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}
        for headers in ({}, java, HTML | basic("anna", "wrong")):
            asked = await server.get("/tasks", headers=headers)
            assert (asked.headers["WWW-Authenticate"][:5], asked.headers["Content-Type"]) == ("Basic", "application/problem+json"), headers
        assert (await server.get("/docs", headers=HTML | basic("anna", "annas"))).status == 200
        assert (await server.get("/docs", headers=HTML | await session(server))).status == 200


async def test_a_user_logs_in_by_a_password_and_out_and_the_login_ends_with_the_password(serve):
    async with serve(users=(user("anna", "annas", "read"),)) as server:
        answer = await server.post("/session", {"user": "anna", "password": "annas"})
        assert (answer.status, answer.json["user"], answer.json["canLogOut"]) == (200, "anna", True)
        cookie, other = [{"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}, await session(server)]
        told = (await server.get("/session", headers=cookie)).json
        assert (told["role"], told["credentials"], told["credential"]) == ("read", ["password", "token"], "password")
        assert (await server.get("/session", headers=other)).json["credential"] == "token"
        for wrong in ({"user": "anna", "password": "wrong"}, {"user": "nobody", "password": "annas"}, {"user": "ci", "password": "fl_ci"}):
            refused = await server.post("/session", wrong, headers={"X-Requested-With": "fastlane"})
            assert (refused.status, refused.headers["WWW-Authenticate"][:6]) == (401, "Bearer")
        assert (await server.get("/tasks", headers=cookie)).status == 200
        kept = {"Cookie": (await server.post("/session", {"user": "anna", "password": "annas"})).headers["Set-Cookie"].partition(";")[0]}
        assert (await server.ask("DELETE", "/session", headers=cookie | own(server))).status == 200
        assert (await server.get("/tasks", headers=cookie)).status == 401
    async with serve(users=(user("anna", "changed", "read"),)) as server:
        assert (await server.get("/tasks", headers=kept)).status == 401
        assert (await server.get("/tasks", headers=other)).status == 200


async def test_a_page_learns_who_gave_a_password_by_asking_for_a_login(serve):
    async with serve(users=(user("anna", "annas", "read"),)) as server:
        assert (await server.get("/session?login=1")).headers["WWW-Authenticate"][:5] == "Basic"
        told = (await server.get("/session?login=1", headers=basic("anna", "annas"))).json
        assert (told["user"], told["role"], told["credential"], told["canLogOut"]) == ("anna", "read", "password", False)
        told = (await server.get("/session?login=1", headers=await session(server))).json
        assert (told["user"], told["canLogOut"]) == ("ci", True)
        assert (await server.get("/session")).json["user"] is None


async def test_where_everyone_may_come_in_there_is_nothing_to_log_in_to(serve):
    async with serve(tokens=()) as server:
        assert (await sign_in(server)).status == 409
        assert (await server.get("/session")).json == CI | {"needsLogin": False, "credentials": []}
        assert (await server.get("/login", headers=HTML)).status == 200
