"""The pages: the console at ``/`` and below ``/console``, a live log at ``…/stream``, the HTTP API at ``/docs``; and ``/static/FILE``,
which they load.

The pages get their data from the API, as any client does.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import structlog

from fastlane.errors import Fault, Invalid, NotFound, NotStarted, TransientError
from fastlane.models.access import Principal
from fastlane.web.api.contract import ApiParameter, Response, flag, pages
from fastlane.web.api.server import HEALTH
from fastlane.web.handler import HTML, OWN_FILES, PAGE_CHALLENGE, STRICT_POLICY, VARY, Handler, finish_page, static_files
from fastlane.web.http.problems import Problem, accepts_gzip, problem_of
from fastlane.web.http.query import read_flag
from fastlane.web.http.strict_json import read_object
from fastlane.web.openapi import ApiDocument
from fastlane.web.routes.executions import EXECUTION, FILTERS, JOB
from fastlane.web.routes.health import health
from fastlane.web.routes.logs import TICKET_QUERY
from fastlane.web.routing import PUBLIC, Answer, route
from fastlane.web.security.auth import Authenticator
from fastlane.web.security.sessions import TICKET, browser_principal, ended_cookie, session_cookie, session_secret, ticket_in, visit_cookie
from fastlane.web.streaming.logs import find_log

IMMUTABLE = "public, max-age=31536000, immutable"
"""An asset's name contains a hash of its content."""

DOCS_POLICY = f"{OWN_FILES}; img-src 'self' data:"
"""The library of this page has images inside its style sheet."""


class LogPageHandler(Handler):
    """Serves the page of a log. For a log that does not exist, the page itself says so, with a 404."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answers with a problem, but with the page in two cases: the log does not exist, or a ticket was refused and a browser has no
        login of its own."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        problem = problem_of(error)
        refused = isinstance(error, Problem) and error.status == 401 and self.asks_for_login_by_page and ticket_in(self.request) is not None
        if not isinstance(error, NotFound) and not refused:
            return super().write_error(status_code, **kwargs)
        for name, value in problem.headers.items():
            self.set_header(name, value)
        if refused:
            self.set_header("WWW-Authenticate", PAGE_CHALLENGE)
        try:
            finish_page(self, "stream.html", self.base_url, status=problem.status)
        except Problem:
            super().write_error(problem.status, exc_info=(type(problem), problem, None))


@route(
    "GET",
    (JOB + "/stream", EXECUTION + "/stream"),
    "openLog",
    query=TICKET_QUERY,
    answers={
        200: Response("A page that follows the log.", media=(HTML,)),
        303: Response("To the page, without the ticket.", headers=("Location",)),
        404: Response("The job or execution does not exist; the page says so.", media=(HTML,)),
    },
    handler=LogPageHandler,
)
async def open_log(handler: Handler, task_id: str, job_id: str, execution_id: str | None = None) -> None:
    """The page to follow its log in a browser."""
    if TICKET in handler.query:
        return await _open_by_ticket(handler, task_id, job_id, execution_id)
    with suppress(NotStarted, TransientError):  # the page itself waits for a start, and reports an outage
        await find_log(handler, task_id, job_id, execution_id)
    return await show_page(handler, "stream.html")


async def _open_by_ticket(handler: Handler, task_id: str, job_id: str, execution_id: str | None) -> None:
    """Starts a session, and redirects to the page's URL without the ticket, so that histories and logs do not keep it."""
    job = f"tasks/{quote(task_id, safe='')}/jobs/{job_id}"
    if handler.ticket_grant is not None and handler.request.method == "GET":
        secret = await handler.services.tickets.start_session(handler.ticket_grant)
        handler.set_header("Set-Cookie", visit_cookie(secret, handler.base_url, job))
    root = "../" * (handler.request.path.count("/") - 1) or "./"
    execution = f"/executions/{execution_id}" if execution_id else ""
    handler.set_status(303)
    handler.set_header("Location", f"{root}{job}{execution}/stream")
    handler.set_header("Cache-Control", "no-store")
    handler.set_header("Referrer-Policy", "no-referrer")
    await handler.deliver(handler.finish())


@route("GET", "/docs", "readDocs", answers={200: Response("A page to read the contract and try the API.", media=(HTML,))})
async def read_docs(handler: Handler) -> None:
    """The contract as a page."""
    await show_page(handler, "docs.html", DOCS_POLICY)


@route(
    "GET",
    "/",
    "getRoot",
    answers={
        200: Response("The health; or the console, for Accept: text/html.", (HEALTH,), media=(HTML,)),
        503: Response("Something is down.", (HEALTH,)),
    },
    access=PUBLIC,
)
async def get_root(handler: Handler) -> Answer | None:
    """The health, or the console."""
    handler.set_header("Vary", VARY)
    if not handler.accepts("text/html"):
        return await health(handler)
    await handler.log_in()
    await show_page(handler, "console.html")
    return None


@route("GET", "/static/{file}", access=PUBLIC)
async def get_asset(handler: Handler, file: str) -> None:
    """The file; browsers may cache it forever."""
    asset = static_files(handler).asset(file)
    if asset is None:
        raise Problem(404, f"there is no file {file[:80]!r} here; reload the page, it may have been built again")
    handler.set_header("Content-Type", asset.media)
    handler.set_header("Cache-Control", IMMUTABLE)
    handler.set_header("Cross-Origin-Resource-Policy", "same-origin")
    gzipped = accepts_gzip(handler.request.headers.get("Accept-Encoding", ""))
    if gzipped:
        handler.set_header("Content-Encoding", "gzip")
    await handler.deliver(handler.finish(asset.gzipped if gzipped else asset.data))


async def show_page(handler: Handler, name: str, policy: str = STRICT_POLICY) -> None:
    """Answers with a page."""
    await handler.deliver(finish_page(handler, name, handler.base_url, policy=policy))


SEARCH = {"query": ApiParameter("Words in ids of tasks, or of what jobs show.", {"type": "string"})}
FORM = {
    "like": ApiParameter("The job to copy for a new one: TASK/ID.", {"type": "string"}),
    "edit": ApiParameter("The job to change: TASK/ID.", {"type": "string"}),
}
OF_CALENDAR = {
    "days": ApiParameter("How many days the calendar shows.", {"type": "string"}),
    "day": ApiParameter("The day whose hours the calendar shows.", {"type": "string"}),
}
OF_JOBS = {
    "label": ApiParameter("Only jobs with this label: NAME=VALUE.", {"type": "string"}),
    "late": ApiParameter("Only jobs that are late.", {"type": "string"}),
}


@route(
    "GET",
    (
        "/console",
        "/console/jobs",
        "/console/tasks",
        "/console/tasks/{task}",
        "/console/tasks/{task}/jobs/{job}",
        "/console/tasks/{task}/jobs/{job}/executions/{execution}",
        "/console/executions",
        "/console/hosts",
        "/console/calendar",
        "/console/new",
    ),
    answers={200: Response("A page.", media=(HTML,))},
    query={**FILTERS, **SEARCH, **OF_JOBS, **OF_CALENDAR, **FORM, **pages()},
)
async def show_console(handler: Handler, **_names: str) -> None:
    """The page, which contains no data."""
    await show_page(handler, "console.html")


@route("GET", "/openapi.json", "getOpenApi", answers={200: Response("An OpenAPI 3.1 document.", media=("application/json",))})
async def get_open_api(handler: Handler) -> None:
    """The contract as OpenAPI."""
    document = handler.application.settings["document"]
    assert isinstance(document, ApiDocument)
    await handler.send_json({**document.content, "servers": [{"url": handler.base_url}]})


log = structlog.get_logger()


@route(
    "GET",
    "/login",
    "readLogin",
    answers={200: Response("A page to log in with a password or a token, and to log out.", media=(HTML,))},
    access=PUBLIC,
)
async def read_login(handler: Handler) -> None:
    """The page to log in."""
    await show_page(handler, "login.html")


@route(
    "GET",
    "/session",
    query={"login": flag("A 401 for a caller that is not logged in, so that a browser sends the password that it has.")},
    access=PUBLIC,
)
async def get_session(handler: Handler) -> None:
    """Who is logged in, and whether one has to be."""
    authenticator = handler.context.authenticator
    principal = None
    if authenticator is not None:
        principal = await browser_principal(handler.request, authenticator, handler.services.tickets, handler.context.origins)
    can_log_out = principal is not None
    if not can_log_out and read_flag(handler.query, "login"):
        await handler.log_in()
        principal = handler.principal
    handler.set_header("Cache-Control", "no-store")
    await _answer_session(handler, principal, can_log_out=can_log_out)


@route("POST", "/session", access=PUBLIC, keeps_body=True)
async def start_session(handler: Handler) -> None:
    """Logs in with a token, or as a user with a password."""
    authenticator = _authenticator(handler)
    address = handler.context.origins.client_address(handler.request) or "unknown"
    given = _read_credential(bytes(handler.body))
    if "token" in given:
        principal = authenticator.principal_of_token(given["token"], address)
    else:
        principal = await authenticator.principal_of_password(given["user"], given["password"], address)
    secret = await handler.services.tickets.start_login(authenticator.seal(principal))
    handler.services.access_events.logged_in(principal.name, address)
    log.info("auth.logged_in", user=principal.name, address=address)
    handler.set_header("Set-Cookie", session_cookie(secret, handler.base_url))
    await _answer_session(handler, principal, can_log_out=True)


@route("DELETE", "/session", access=PUBLIC)
async def end_session(handler: Handler) -> None:
    """Logs out."""
    _authenticator(handler)
    secret = session_secret(handler.request, handler.context.origins)
    if secret is not None:
        await handler.services.tickets.end_login(secret)
    handler.set_header("Set-Cookie", ended_cookie(handler.base_url))
    await _answer_session(handler, None, can_log_out=False)


def _authenticator(handler: Handler) -> Authenticator:
    if handler.context.authenticator is None:
        raise Problem(409, "this server has no users and no tokens; everyone may use it without a login")
    return handler.context.authenticator


async def _answer_session(handler: Handler, principal: Principal | None, *, can_log_out: bool) -> None:
    authenticator = handler.context.authenticator
    await handler.send_json(
        {
            "needsLogin": authenticator is not None,
            "credentials": [] if authenticator is None else authenticator.credentials,
            "user": None if principal is None else principal.name,
            "role": None if principal is None else principal.role.value,
            "credential": None if authenticator is None or principal is None else authenticator.credential_of(principal),
            "canLogOut": can_log_out,
        }
    )


def _read_credential(body: bytes) -> Mapping[str, str]:
    """A token without the spaces around it, or a user and a password. Raises Invalid with all faults."""
    given = read_object(body)
    known, person = {"token", "user", "password"}, {"user", "password"}
    faults = [Fault(name, "is not a field of a login; there are token, or user and password") for name in given if name not in known]
    wanted = person if given.keys() & person else {"token"}
    faults += [Fault(name, "cannot be used together with user and password") for name in given.keys() & known - wanted]
    texts = {name: value for name in wanted if isinstance(value := given.get(name), str) and value.strip()}
    faults += [Fault(name, f"is missing; give a {name}, as text") for name in sorted(wanted - texts.keys())]
    if faults:
        raise Invalid(faults)
    return {name: value.strip() if name == "token" else value for name, value in texts.items()}
