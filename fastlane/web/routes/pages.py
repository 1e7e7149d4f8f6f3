"""The pages: the console at ``/`` and below ``/console``, a live log at ``…/stream``, the HTTP API at ``/docs``; and ``/static/FILE``,
which they load.

The pages get their data from the API, as any client does.
"""

from contextlib import suppress
from typing import Any
from urllib.parse import quote

import structlog

from fastlane.errors import Fault, Invalid, NotFound, NotStarted, TransientError
from fastlane.models.access import Principal
from fastlane.services.tickets import TooManyTickets
from fastlane.web.api.contract import Parameter, Response, flag, operation, pages
from fastlane.web.api.server import HEALTH
from fastlane.web.handler import HTML, OWN_FILES, STRICT_POLICY, Handler, finish_page, static_files, wants_html
from fastlane.web.http.problems import Problem, accepts_gzip, problem_of
from fastlane.web.http.query import read_flag
from fastlane.web.http.strict_json import read_object
from fastlane.web.openapi import Document
from fastlane.web.routes.executions import FILTERS
from fastlane.web.routes.health import answer_health
from fastlane.web.routes.logs import TICKET_QUERY
from fastlane.web.security.auth import Authenticator
from fastlane.web.security.sessions import TICKET, browser_principal, ended_cookie, session_cookie, session_secret, ticket_in, visit_cookie
from fastlane.web.streaming.logs import find_log

IMMUTABLE = "public, max-age=31536000, immutable"
"""An asset's name contains a hash of its content."""

DOCS_POLICY = f"{OWN_FILES}; img-src 'self' data:"
"""The library of this page has images inside its style sheet."""


class StreamPageHandler(Handler):
    """``…/stream``: the log of a job or of one execution as it grows. For a log that does not exist the page says so, with a 404."""

    accepts_tickets = True

    @operation(
        "openLog",
        query=TICKET_QUERY,
        answers={
            200: Response("A page that follows the log.", media=(HTML,)),
            303: Response("To the page, without the ticket.", headers=("Location",)),
            404: Response("The job or execution does not exist; the page says so.", media=(HTML,)),
        },
    )
    async def on_get(self, task_id: str, job_id: str, execution_id: str | None = None) -> None:
        """The page to follow its log in a browser."""
        if TICKET in self.query:
            return await self._start_session(task_id, job_id, execution_id)
        with suppress(NotStarted, TransientError):  # the page itself waits for a start, and reports an outage
            await find_log(self, task_id, job_id, execution_id)
        return await show_page(self, "stream.html")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """A problem, but the page itself in two cases: the log does not exist, or a ticket was refused and a browser has no own login."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        problem = problem_of(error)
        refused = isinstance(error, Problem) and error.status == 401 and self.asks_for_login_by_page and ticket_in(self.request) is not None
        if not isinstance(error, NotFound) and not refused:
            return super().write_error(status_code, **kwargs)
        for name, value in problem.headers.items():
            self.set_header(name, value)
        try:
            finish_page(self, "stream.html", self.base_url, status=problem.status)
        except Problem:
            super().write_error(problem.status, exc_info=(type(problem), problem, None))

    async def _start_session(self, task_id: str, job_id: str, execution_id: str | None) -> None:
        """Starts a session, and redirects to the page's URL without the ticket, so that histories and logs do not keep it."""
        job = f"tasks/{quote(task_id, safe='')}/jobs/{job_id}"
        if self.ticket_grant is not None and self.request.method == "GET":
            secret = await self.services.tickets.start_session(self.ticket_grant)
            self.set_header("Set-Cookie", visit_cookie(secret, self.base_url, job))
        root = "../" * (self.request.path.count("/") - 1) or "./"
        execution = f"/executions/{execution_id}" if execution_id else ""
        self.set_status(303)
        self.set_header("Location", f"{root}{job}{execution}/stream")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")
        await self.deliver(self.finish())


class DocsHandler(Handler):
    """``/docs``."""

    @operation("readDocs", answers={200: Response("A page to read the contract and try the API.", media=(HTML,))})
    async def on_get(self) -> None:
        """The contract as a page."""
        await show_page(self, "docs.html", DOCS_POLICY)


class RootHandler(Handler):
    """``/``: the console for a browser, which has to log in there; the health for all others."""

    public = True

    @operation(
        "getRoot",
        answers={
            200: Response("The health; or the console, for Accept: text/html.", (HEALTH,), media=(HTML,)),
            503: Response("Something is down.", (HEALTH,)),
        },
    )
    async def on_get(self) -> None:
        """The health, or the console."""
        self.set_header("Vary", "Accept, Accept-Encoding, Origin")
        if wants_html(self.request):
            await self.log_in()
            await show_page(self, "console.html")
        else:
            await answer_health(self)


class AssetHandler(Handler):
    """``/static/FILE``: what pages load. The files contain no data, so they need no login."""

    public = True

    async def on_get(self, file: str) -> None:
        """The file; browsers may cache it forever."""
        asset = static_files(self).asset(file)
        if asset is None:
            raise Problem(404, f"there is no file {file[:80]!r} here; reload the page, it may have been built again")
        self.set_header("Content-Type", asset.media)
        self.set_header("Cache-Control", IMMUTABLE)
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        gzipped = accepts_gzip(self.request.headers.get("Accept-Encoding", ""))
        if gzipped:
            self.set_header("Content-Encoding", "gzip")
        await self.deliver(self.finish(asset.gzipped if gzipped else asset.data))


async def show_page(handler: Handler, name: str, policy: str = STRICT_POLICY) -> None:
    """Answers with a page."""
    await handler.deliver(finish_page(handler, name, handler.base_url, policy=policy))


SEARCH = {"query": Parameter("Words in task ids.", {"type": "string"})}
LIKE = {"like": Parameter("The job that a new one is to be like: TASK/ID.", {"type": "string"})}


class ConsoleHandler(Handler):
    """A page of the console. Its path below ``/console`` and its query are those of the API's route whose content it shows; the script
    finds out which, and the API judges them."""

    @operation("showConsole", answers={200: Response("A page.", media=(HTML,))}, query={**FILTERS, **SEARCH, **LIKE, **pages()})
    async def on_get(self, **_names: str) -> None:
        """The page, which contains no data."""
        await show_page(self, "console.html")


class OpenApiHandler(Handler):
    """``/openapi.json``."""

    @operation("getOpenApi", answers={200: Response("An OpenAPI 3.1 document.", media=("application/json",))})
    async def on_get(self) -> None:
        """The contract as OpenAPI."""
        document = self.application.settings["document"]
        assert isinstance(document, Document)
        await self.send_json({**document.content, "servers": [{"url": self.base_url}]})


log = structlog.get_logger()


class LoginPageHandler(Handler):
    """``/login``: a form for a token; or who is logged in, and how to log out."""

    public = True

    @operation("readLogin", answers={200: Response("A page to log in with a token, and to log out.", media=(HTML,))})
    async def on_get(self) -> None:
        """The page to log in."""
        await show_page(self, "login.html")


class SessionHandler(Handler):
    """``/session``: the login of a browser."""

    accepts_body = True
    public = True

    @operation("getSession", query={"login": flag("A 401 for who is not logged in, so that a browser sends the password that it has.")})
    async def on_get(self) -> None:
        """Who is logged in, and whether one has to be."""
        authenticator = self.context.authenticator
        principal = None
        if authenticator is not None:
            principal = await browser_principal(self.request, authenticator, self.services.tickets)
        can_log_out = principal is not None
        if not can_log_out and read_flag(self.query, "login"):
            await self.log_in()
            principal = self.principal
        self.set_header("Cache-Control", "no-store")
        await self._answer(principal, can_log_out=can_log_out)

    async def on_post(self) -> None:
        """Logs in with a token."""
        authenticator = self._authenticator()
        address = self.context.origins.client_address(self.request) or "unknown"
        principal = authenticator.principal_of_token(_read_token(bytes(self.body)), address)
        try:
            secret = await self.services.tickets.start_login(authenticator.seal(principal))
        except TooManyTickets as error:
            raise Problem(429, str(error), headers={"Retry-After": str(error.wait)}) from None
        self.services.access_events.logged_in(principal.name, address)
        log.info("auth.logged_in", user=principal.name, address=address)
        self.set_header("Set-Cookie", session_cookie(secret, self.base_url))
        await self._answer(principal, can_log_out=True)

    async def on_delete(self) -> None:
        """Logs out."""
        self._authenticator()
        secret = session_secret(self.request)
        if secret is not None:
            await self.services.tickets.end_login(secret)
        self.set_header("Set-Cookie", ended_cookie(self.base_url))
        await self._answer(None, can_log_out=False)

    def _authenticator(self) -> Authenticator:
        if self.context.authenticator is None:
            raise Problem(409, "this server has no users and no tokens; everyone may use it without a login")
        return self.context.authenticator

    async def _answer(self, principal: Principal | None, *, can_log_out: bool) -> None:
        user = None if principal is None else principal.name
        role = None if principal is None else principal.role.value
        await self.send_json({"needsLogin": self.context.authenticator is not None, "user": user, "role": role, "canLogOut": can_log_out})


def _read_token(body: bytes) -> str:
    given = read_object(body)
    faults = [Fault(name, "is not a field of a login; there is only token") for name in given if name != "token"]
    token = given.get("token")
    if not isinstance(token, str) or not token.strip():
        faults.append(Fault("token", "is missing; give a token, as text"))
    if faults or not isinstance(token, str):
        raise Invalid(faults)
    return token.strip()
