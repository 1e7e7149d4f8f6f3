"""Which pages may do what, and whose address counts: the rules alone, on requests that no socket saw."""

from typing import Any

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from fastlane.web.http.problems import Problem
from fastlane.web.security.origins import RequestOrigins
from tests.support.credentials import token, user
from tests.support.web_settings import web_settings

AUTH = {"users": (user("anna", "x"),)}
EVIL, LISTED, NEAR = "https://evil.example.com", "https://dash.example.com", "http://localhost:3000"


class Connection:
    """What a request knows of its socket."""

    def __init__(self, remote_ip: str, protocol: str) -> None:
        self.context = self
        self.remote_ip = remote_ip
        self.protocol = protocol


def request(
    *headers: tuple[str, str], host: str = "10.0.0.7:10000", remote_ip: str = "192.0.2.9", protocol: str = "http"
) -> HTTPServerRequest:
    given = HTTPHeaders({"Host": host})
    for name, value in headers:
        given.add(name, value)
    connection: Any = Connection(remote_ip, protocol)
    return HTTPServerRequest(start_line=RequestStartLine("POST", "/tasks/t", "HTTP/1.1"), headers=given, connection=connection)


def origins(**settings: Any) -> RequestOrigins:
    return RequestOrigins(web_settings(**{"listen": "0.0.0.0", "allowed_origins": (LISTED,)} | settings))


OPEN = {"listen": "0.0.0.0"}
LOOPBACK = {"listen": "127.0.0.1"}


@pytest.mark.parametrize(
    ("settings", "readers"),
    [
        (OPEN, {EVIL: "*", LISTED: "*", NEAR: "*", "null": "*"}),
        (OPEN | AUTH, {EVIL: None, LISTED: LISTED, NEAR: None, "null": None}),
        (LOOPBACK, {EVIL: None, LISTED: LISTED, NEAR: NEAR, "null": None}),
        (LOOPBACK | AUTH, {EVIL: None, LISTED: LISTED, NEAR: None, "null": None}),
    ],
)
def test_which_pages_may_read(settings, readers):
    rules = origins(**settings)
    for origin, allowed in readers.items():
        headers = rules.cors_headers(request(("Origin", origin)))
        assert headers.get("Access-Control-Allow-Origin") == allowed
        lends = bool(settings.get("users")) and origin == LISTED
        assert headers.get("Access-Control-Allow-Credentials") == ("true" if lends else None)
        assert rules.allows_websocket(request(("Origin", origin))) is (allowed is not None)


@pytest.mark.parametrize("settings", [OPEN, OPEN | AUTH, LOOPBACK, LOOPBACK | AUTH])
def test_ones_own_page_and_what_is_no_page_may_follow(settings):
    rules = origins(**settings)
    assert rules.allows_websocket(request())
    assert rules.allows_websocket(request(("Origin", "http://10.0.0.7:10000")))


def may_write(rules: RequestOrigins, asked: HTTPServerRequest) -> bool:
    try:
        rules.refuse_foreign_write(asked)
    except Problem as problem:
        return (problem.status, "allowed_origins" in problem.detail) != (403, True)
    return True


@pytest.mark.parametrize("settings", [OPEN, OPEN | AUTH, LOOPBACK, LOOPBACK | AUTH])
@pytest.mark.parametrize(
    ("headers", "may"),
    [
        ([], True),
        ([("Sec-Fetch-Site", "same-origin")], True),
        ([("Sec-Fetch-Site", "cross-site")], False),
        ([("Origin", "http://10.0.0.7:10000")], True),
        ([("Origin", "http://10.0.0.7")], False),
        ([("Origin", "http://10.0.0.7.evil.com:10000")], False),
        ([("Origin", "http://evil.com/@10.0.0.7:10000")], False),
        ([("Origin", "http://user@10.0.0.7:10000")], False),
        ([("Origin", "ftp://fast.example.com:10000")], False),
        ([("Origin", "file://")], False),
        ([("Origin", "null")], False),
        ([("Origin", "")], False),
        ([("Origin", NEAR)], False),
        ([("Origin", EVIL)], False),
        ([("Origin", EVIL), ("Sec-Fetch-Site", "same-origin")], False),
        ([("Origin", EVIL), ("X-Forwarded-Host", "evil.example.com")], False),
        ([("Origin", LISTED)], True),
        ([("Origin", LISTED + ".evil.com")], False),
        ([("Origin", LISTED + ":8443")], False),
        ([("Origin", LISTED), ("Origin", EVIL)], False),
    ],
)
def test_which_pages_may_write(settings, headers, may):
    assert may_write(origins(**settings), request(*headers)) is may


@pytest.mark.parametrize("settings", [OPEN | AUTH, OPEN | {"tokens": (token("ci", "x"),)}, LOOPBACK | AUTH])
def test_with_users_the_name_that_the_browser_asked_for_is_ones_own(settings):
    rules = origins(**settings)
    for origin in ("http://fast.example.com:10000", "http://FAST.example.com:10000"):
        assert may_write(rules, request(("Origin", origin), host="fast.example.com:10000"))
    assert not may_write(rules, request(("Origin", "http://fast.example.com"), host="fast.example.com:10000"))


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("10.0.0.7:10000", True),
        ("10.0.0.7", True),
        ("[2001:db8::1]:10000", True),
        ("localhost:10000", True),
        ("fast.localhost:10000", True),
        ("127.0.0.1:10000", True),
        ("rebound.example.net:10000", False),
        ("rebound.example.net", False),
        ("10.0.0.7.example.net:10000", False),
        ("localhost.example.net:10000", False),
        ("fast:10000", False),
        ("0x0a000007:10000", False),
    ],
)
def test_without_users_only_what_nobody_can_point_here_makes_a_page_ones_own(host, may):
    rules, asked = origins(**OPEN), request(("Origin", f"http://{host}"), host=host)
    assert may_write(rules, asked) is may
    assert rules.preflight_headers(asked, ["GET", "POST"])["Access-Control-Allow-Methods"] == ("GET, POST" if may else "GET")
    if not may:
        with pytest.raises(Problem, match="set public_url"):
            rules.refuse_foreign_write(asked)
        assert may_write(origins(**OPEN, public_url=f"http://{host}"), asked)
        assert may_write(origins(**OPEN | {"allowed_origins": (f"http://{host}",)}), asked)


@pytest.mark.parametrize("settings", [OPEN, OPEN | AUTH, LOOPBACK, LOOPBACK | AUTH])
def test_a_page_that_came_without_tls_is_not_the_own_one_of_a_server_with_tls(settings):
    rules = origins(**settings)
    for headers, protocol in (([], "https"), ([("X-Forwarded-Proto", "https")], "http")):
        for scheme, may in (("https", True), ("http", False)):
            behind = origins(**settings, trusted_proxies=("192.0.2.9",) if headers else ())
            asked = request(("Origin", f"{scheme}://localhost:10000"), *headers, host="localhost:10000", protocol=protocol)
            assert may_write(behind, asked) is may
            if settings == OPEN | AUTH:
                assert behind.allows_websocket(asked) is may
    assert may_write(rules, request(("Origin", LISTED.replace("https", "http")), protocol="https")) is False


CLOSED = OPEN | {"open_reads": False}


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("10.0.0.7:10000", True),
        ("[2001:db8::1]:10000", True),
        ("localhost:10000", True),
        ("fl.example.com", True),
        ("FL.example.com:10000", True),
        ("dash.example.com:10000", True),
        ("rebound.example.net:10000", False),
        ("fl.example.com.example.net", False),
        ("fast:10000", False),
    ],
)
def test_with_open_reads_off_a_server_without_users_answers_to_no_name_that_anybody_can_point_here(host, may):
    named = {"public_url": "https://fl.example.com"}
    if may:
        origins(**CLOSED, **named).base_url(request(host=host))
    else:
        with pytest.raises(Problem, match="set public_url") as refused:
            origins(**CLOSED, **named).base_url(request(host=host))
        assert refused.value.status == 403
    for settings in (OPEN, CLOSED | AUTH):
        origins(**settings, **named).base_url(request(host=host))


def test_behind_a_proxy_the_name_that_the_proxy_was_asked_for_counts():
    rules = origins(**CLOSED, trusted_proxies=("192.0.2.9",), public_url="https://fl.example.com")
    rules.base_url(request(("X-Forwarded-Host", "fl.example.com"), host="upstream:10000"))
    with pytest.raises(Problem, match="set public_url"):
        rules.base_url(request(("X-Forwarded-Host", "rebound.example.net"), host="10.0.0.7:10000"))
    with pytest.raises(Problem, match="set public_url"):
        rules.base_url(request(("X-Forwarded-Host", "fl.example.com, rebound.example.net"), host="10.0.0.7:10000"))


def test_the_scheme_that_anyone_may_forward_makes_no_page_ones_own():
    forwarded = request(("Origin", "http://10.0.0.7:10000"), ("X-Forwarded-Proto", "https"))
    assert may_write(origins(), forwarded)
    assert not may_write(origins(trusted_proxies=("192.0.2.9",)), forwarded)
    assert origins().base_url(forwarded) == "http://10.0.0.7:10000"


@pytest.mark.parametrize(
    ("host", "origin", "may"),
    [
        ("fl.example.com", "https://fl.example.com", True),
        ("internal:10000", "https://fl.example.com", True),
        ("fl.example.com", "http://fl.example.com", False),
        ("10.0.0.7:10000", "http://10.0.0.7:10000", True),
        ("[2001:db8::1]:10000", "http://[2001:db8::1]:10000", True),
        ("localhost:10000", "http://localhost:10000", True),
        ("rebound.example.net:10000", "http://rebound.example.net:10000", False),
    ],
)
def test_with_a_public_url_no_other_name_makes_a_page_ones_own(host, origin, may):
    assert may_write(origins(public_url="https://fl.example.com"), request(("Origin", origin), host=host)) is may


@pytest.mark.parametrize(
    ("settings", "proxy", "may"),
    [
        (AUTH, "192.0.2.9", True),
        (AUTH, "192.0.2.8", False),
        ({}, "192.0.2.9", False),
        ({"public_url": "https://fl.example.com"}, "192.0.2.9", True),
        ({"public_url": "https://other.example.com"}, "192.0.2.9", False),
    ],
)
def test_a_name_that_a_trusted_proxy_was_asked_for_is_ones_own_with_users_or_in_the_settings(settings, proxy, may):
    rules = origins(trusted_proxies=(proxy,), **settings)
    assert may_write(rules, request(("Origin", "https://fl.example.com"), ("X-Forwarded-Host", "fl.example.com"))) is may


@pytest.mark.parametrize(
    ("proxies", "remote", "forwarded", "client"),
    [
        ((), "192.0.2.9", ["10.0.0.1"], "192.0.2.9"),
        (("192.0.2.9",), "192.0.2.9", [], "192.0.2.9"),
        (("192.0.2.9",), "192.0.2.9", ["10.0.0.1"], "10.0.0.1"),
        (("192.0.2.9",), "192.0.2.7", ["10.0.0.1"], "192.0.2.7"),
        (("192.0.2.9",), "192.0.2.9", ["10.6.6.6, 10.0.0.1"], "10.0.0.1"),
        (("192.0.2.9",), "192.0.2.9", ["10.6.6.6", "10.0.0.1"], "10.0.0.1"),
        (("192.0.2.0/24",), "192.0.2.9", ["10.6.6.6, 10.0.0.1, 192.0.2.4"], "10.0.0.1"),
        (("192.0.2.0/24",), "192.0.2.9", ["192.0.2.5, 192.0.2.4"], "192.0.2.5"),
        (("192.0.2.9",), "192.0.2.9", ["10.0.0.1, evil"], "192.0.2.9"),
        (("192.0.2.9",), "192.0.2.9", [","], "192.0.2.9"),
        (("192.0.2.9",), "::ffff:192.0.2.9", ["10.0.0.1"], "10.0.0.1"),
        (("fd00::/8",), "fd00::1", ["2001:DB8::1"], "2001:db8::1"),
        ((), "", ["10.0.0.1"], None),
    ],
)
def test_whose_address_counts(proxies, remote, forwarded, client):
    rules = origins(trusted_proxies=proxies)
    assert rules.client_address(request(*(("X-Forwarded-For", value) for value in forwarded), remote_ip=remote)) == client


@pytest.mark.parametrize(
    ("settings", "origin", "methods"),
    [
        (OPEN, EVIL, "GET"),
        (OPEN, LISTED, "GET, POST"),
        (OPEN, "http://10.0.0.7:10000", "GET, POST"),
        (OPEN | AUTH, EVIL, None),
        (OPEN | AUTH, LISTED, "GET, POST"),
        (LOOPBACK, EVIL, None),
        (LOOPBACK, NEAR, "GET"),
    ],
)
def test_a_preflight_says_what_the_page_may_send(settings, origin, methods):
    rules, asked = origins(**settings), request(("Origin", origin))
    if methods is None:
        with pytest.raises(Problem, match="allowed_origins"):
            rules.preflight_headers(asked, ["GET", "POST"])
    else:
        headers = rules.preflight_headers(asked, ["GET", "POST"])
        assert headers["Access-Control-Allow-Methods"] == methods
        assert "Authorization" in headers["Access-Control-Allow-Headers"]
