"""Tickets, browser sessions, and the login of a request (``log_in``). Tickets and sessions give access to a browser, which cannot send a
token when it opens a WebSocket or a page.

A ticket in the query works once. A page that was opened with a ticket starts a session: its secret is in a cookie for that job's addresses,
which no script sees and no other site can make a browser send. That session may read the job, by GET and HEAD only. A login in the browser
starts a session, too. See docs/decisions.
"""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest

from fastlane.models.access import Principal
from fastlane.services.tickets import SESSION_TTL, Grant, Tickets
from fastlane.web.security.auth import Authenticator
from fastlane.web.security.origins import RequestOrigins

TICKET = "ticket"
"""The ticket's name in a query."""
VISIT_COOKIE = "fastlane-visit"


def ticket_in(request: HTTPServerRequest) -> str | None:
    """The request's ticket; None when there is none, or more than one."""
    given = request.query_arguments.get(TICKET, [])
    return given[0].decode("utf-8", "replace") if len(given) == 1 else None


async def use_ticket(
    request: HTTPServerRequest, ticket: str, path: Mapping[str, str], authenticator: Authenticator, tickets: Tickets
) -> tuple[Principal, Grant] | None:
    """The ticket's maker and its grant; None when it does not open this path. GET uses the ticket up, even if it is not valid here; HEAD
    only looks at it."""
    grant = await (tickets.peek(ticket) if request.method == "HEAD" else tickets.redeem(ticket))
    if grant is None or not _is_for(grant, path):
        return None
    principal = authenticator.principal_of(grant.seal)
    return None if principal is None else (principal, grant)


async def session_principal(
    request: HTTPServerRequest, path: Mapping[str, str], authenticator: Authenticator, tickets: Tickets, origins: RequestOrigins
) -> Principal | None:
    """Whose session the request's cookie belongs to, if the request only reads the session's job and sends no other credential."""
    if not is_visit(request) or request.method not in ("GET", "HEAD"):
        return None
    secret = _secret(request, VISIT_COOKIE, origins.base_url(request), is_of_job=True)
    grant = None if secret is None else await tickets.session(secret)
    return authenticator.principal_of(grant.seal) if grant is not None and _is_for_job(grant, path) else None


def is_visit(request: HTTPServerRequest) -> bool:
    """Whether the request has the cookie of a session that a ticket started, and no other credential that would be looked at first."""
    return VISIT_COOKIE in request.headers.get("Cookie", "") and "Authorization" not in request.headers


def visit_cookie(secret: str, base_url: str, job_path: str) -> str:
    """The ``Set-Cookie`` header of a session for the addresses below ``job_path``; ``base_url`` is the server's URL to browsers."""
    return _cookie(_cookie_name(VISIT_COOKIE, base_url, is_of_job=True), secret, base_url, job_path)


def _is_for_job(grant: Grant, path: Mapping[str, str]) -> bool:
    """Whether a path lies below the job of a grant."""
    return (grant.task_id, grant.job_id) == (path.get("task_id"), path.get("job_id", "").lower())


def _is_for(grant: Grant, path: Mapping[str, str]) -> bool:
    """Whether a path names exactly the job or execution of a grant."""
    execution_id = path.get("execution_id")
    return _is_for_job(grant, path) and grant.execution_id == (execution_id.lower() if execution_id is not None else None)


SESSION_COOKIE = "fastlane-session"


async def browser_principal(
    request: HTTPServerRequest, authenticator: Authenticator, tickets: Tickets, origins: RequestOrigins
) -> Principal | None:
    """Whose session the request's cookie belongs to, if the request sends no other credential."""
    secret = session_secret(request, origins)
    if secret is None or "Authorization" in request.headers:
        return None
    if request.method not in ("GET", "HEAD") and not _names_its_page(request):
        return None
    seal = await tickets.login(secret)
    return None if seal is None else authenticator.principal_of(seal)


def session_secret(request: HTTPServerRequest, origins: RequestOrigins) -> str | None:
    """The secret in the request's cookie."""
    if SESSION_COOKIE not in request.headers.get("Cookie", ""):
        return None
    return _secret(request, SESSION_COOKIE, origins.base_url(request))


def session_cookie(secret: str, base_url: str) -> str:
    """The ``Set-Cookie`` header of a session; ``base_url`` is the server's URL to browsers."""
    return _cookie(_cookie_name(SESSION_COOKIE, base_url), secret, base_url)


def ended_cookie(base_url: str) -> str:
    """The ``Set-Cookie`` header that removes the cookie."""
    return _cookie(_cookie_name(SESSION_COOKIE, base_url), "", base_url, seconds=0)


def _cookie_name(name: str, base_url: str, *, is_of_job: bool = False) -> str:
    """The name of a cookie. Browsers take one that begins with ``__Host-`` only over HTTPS, for the path ``/``, and from the server itself:
    no other machine of the domain can set it. One with ``__Secure-``, for other paths, they take only over HTTPS."""
    server = urlsplit(base_url)
    if server.scheme != "https":
        return name
    return f"__Secure-{name}" if is_of_job or server.path else f"__Host-{name}"


def _secret(request: HTTPServerRequest, name: str, base_url: str, *, is_of_job: bool = False) -> str | None:
    morsel = request.cookies.get(_cookie_name(name, base_url, is_of_job=is_of_job))
    return None if morsel is None else morsel.value


def _cookie(name: str, value: str, base_url: str, path: str = "", seconds: int = SESSION_TTL // 1_000) -> str:
    """A ``Set-Cookie`` header for the addresses below ``path`` on this server, which no script sees and no other site's page makes a
    browser send."""
    server = urlsplit(base_url)
    secure = "; Secure" if server.scheme == "https" else ""
    return f"{name}={value}; Path={server.path}/{path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"


def _names_its_page(request: HTTPServerRequest) -> bool:
    return "Origin" in request.headers or request.headers.get("Sec-Fetch-Site") == "same-origin"


class Login(NamedTuple):
    """A request's principal and, if a ticket authenticated it, what the ticket grants."""

    principal: Principal
    grant: Grant | None = None


async def log_in(
    request: HTTPServerRequest,
    path: Mapping[str, str],
    authenticator: Authenticator,
    tickets: Tickets,
    origins: RequestOrigins,
    *,
    accepts_tickets: bool,
) -> Login:
    """The login of a request; ``path`` are the parameters in its path. Raises a 401, 429 or 503 as ``Authenticator.authenticate`` does."""
    if accepts_tickets and (ticket := ticket_in(request)) is not None:
        granted = await use_ticket(request, ticket, path, authenticator, tickets)
        if granted is not None:
            return Login(*granted)
        # A used link does not keep out a client that also sends another credential.
        if not request.headers.keys() & {"Authorization", "Cookie"}:
            raise authenticator.ticket_refused(origins.client_address(request) or "unknown")
    principal = await session_principal(request, path, authenticator, tickets, origins)
    if principal is None:
        principal = await browser_principal(request, authenticator, tickets, origins)
    if principal is None:
        header = request.headers.get("Authorization", "")
        principal = authenticator.cached(header)
        if principal is None:
            principal = await authenticator.authenticate(header, origins.client_address(request) or "unknown")
    return Login(principal)
