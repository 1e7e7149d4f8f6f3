"""The session of a browser that logged in with a token, on a server's own pages: a cookie that no script sees, which may do what the token
may. See docs/decisions.

A write by it must name the page that sends it (``Origin``), which the check of origins then requires to be one of ours or a listed one.
"""

from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest

from fastlane.models.access import Principal
from fastlane.services.tickets import SESSION_TTL, Tickets
from fastlane.web.security.auth import Authenticator

COOKIE = "fastlane-session"


async def browser_principal(request: HTTPServerRequest, authenticator: Authenticator, tickets: Tickets) -> Principal | None:
    """Whose session the request's cookie belongs to, if the request sends no other credential."""
    secret = session_secret(request)
    if secret is None or "Authorization" in request.headers:
        return None
    if request.method not in ("GET", "HEAD") and not _names_its_page(request):
        return None
    seal = await tickets.login(secret)
    return None if seal is None else authenticator.principal_of(seal)


def session_secret(request: HTTPServerRequest) -> str | None:
    """The secret in the request's cookie."""
    if COOKIE not in request.headers.get("Cookie", ""):
        return None
    morsel = request.cookies.get(COOKIE)
    return None if morsel is None else morsel.value


def session_cookie(secret: str, base_url: str) -> str:
    """The ``Set-Cookie`` header of a session; ``base_url`` is the server's URL to browsers."""
    return _cookie(secret, base_url, SESSION_TTL // 1_000)


def ended_cookie(base_url: str) -> str:
    """The ``Set-Cookie`` header that removes the cookie."""
    return _cookie("", base_url, 0)


def _cookie(value: str, base_url: str, seconds: int) -> str:
    server = urlsplit(base_url)
    secure = "; Secure" if server.scheme == "https" else ""
    return f"{COOKIE}={value}; Path={server.path}/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"


def _names_its_page(request: HTTPServerRequest) -> bool:
    return "Origin" in request.headers or request.headers.get("Sec-Fetch-Site") == "same-origin"
