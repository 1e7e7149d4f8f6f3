"""The pages: a live log at ``…/stream``, the HTTP API at ``/docs``, a start page at ``/``; and ``/static/FILE``, which they load.

The pages get their data from the API, as any client does. Each page's policy lets it run this server's files only, and send requests to
this server only.
"""

from collections.abc import Awaitable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from fastlane.errors import NotFound, NotStarted, TransientError
from fastlane.web.api.contract import Response, operation
from fastlane.web.api.responses.server import HEALTH
from fastlane.web.handler.handler import Handler
from fastlane.web.http.encoding import accepts_gzip
from fastlane.web.http.problems import Problem, problem_of
from fastlane.web.http.static_files import StaticFiles
from fastlane.web.routes.health import answer_health
from fastlane.web.routes.log_lookup import find_log
from fastlane.web.routes.tickets import TICKET_QUERY
from fastlane.web.security.tickets import TICKET, session_cookie

HTML = "text/html; charset=utf-8"
IMMUTABLE = "public, max-age=31536000, immutable"
"""An asset's name contains a hash of its content."""

OWN_FILES = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
STRICT_POLICY = f"{OWN_FILES}; img-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
"""A page may load from and send to this server only, and may not turn text into markup."""
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
        """A problem, but the page itself in two cases: the log does not exist, or a browser needs a login that it cannot ask for."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        problem = problem_of(error)
        needs_token = isinstance(error, Problem) and error.status == 401 and not self.web_settings.users and wants_html(self)
        if not isinstance(error, NotFound) and not needs_token:
            return super().write_error(status_code, **kwargs)
        for name, value in problem.headers.items():
            self.set_header(name, value)
        try:
            _finish_page(self, "stream.html", STRICT_POLICY, problem.status)
        except Problem:
            super().write_error(problem.status, exc_info=(type(problem), problem, None))

    async def _start_session(self, task_id: str, job_id: str, execution_id: str | None) -> None:
        """Starts a session, and redirects to the page's URL without the ticket, so that histories and logs do not keep it."""
        job = f"tasks/{quote(task_id, safe='')}/jobs/{job_id}"
        if self.ticket_grant is not None and self.request.method == "GET":
            secret = await self.services.tickets.start_session(self.ticket_grant)
            self.set_header("Set-Cookie", session_cookie(secret, self.base_url, job))
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
    """``/``: a start page for a browser, the health for all others."""

    public = True

    @operation(
        "getRoot",
        answers={
            200: Response("The health; or a start page, for Accept: text/html.", (HEALTH,), media=(HTML,)),
            503: Response("Something is down.", (HEALTH,)),
        },
    )
    async def on_get(self) -> None:
        """The health, or a start page."""
        self.set_header("Vary", "Accept, Accept-Encoding, Origin")
        if wants_html(self):
            await show_page(self, "home.html")
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
    await handler.deliver(_finish_page(handler, name, policy, 200))


def static_files(handler: Handler) -> StaticFiles:
    """The files that were built for this server."""
    found = handler.application.settings["static_files"]
    assert isinstance(found, StaticFiles)
    return found


def wants_html(handler: Handler) -> bool:
    """Whether a browser asks for a page."""
    return "text/html" in handler.request.headers.get("Accept", "").lower()


def _finish_page(handler: Handler, name: str, policy: str, status: int) -> Awaitable[None]:
    data = static_files(handler).page(name, path=handler.request.path, base_url=handler.base_url)
    handler.set_status(status)
    handler.set_header("Content-Type", HTML)
    handler.set_header("Content-Security-Policy", policy)
    handler.set_header("Referrer-Policy", "no-referrer")
    handler.set_header("Cache-Control", "no-cache")
    return handler.finish(data)
