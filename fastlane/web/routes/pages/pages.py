"""The pages: the console at ``/`` and below ``/console``, a live log at ``…/stream``, the HTTP API at ``/docs``; and ``/static/FILE``,
which they load.

The pages get their data from the API, as any client does.
"""

from contextlib import suppress
from typing import Any
from urllib.parse import quote

from fastlane.errors import NotFound, NotStarted, TransientError
from fastlane.web.api.contract import Response, operation
from fastlane.web.api.responses.server import HEALTH
from fastlane.web.handler.handler import Handler
from fastlane.web.handler.page import HTML, OWN_FILES, STRICT_POLICY, finish_page, static_files, wants_html
from fastlane.web.http.encoding import accepts_gzip
from fastlane.web.http.problems import Problem, problem_of
from fastlane.web.routes.jobs.tickets import TICKET_QUERY
from fastlane.web.routes.operations.health import answer_health
from fastlane.web.security.tickets import TICKET, session_cookie, ticket_in
from fastlane.web.streaming.log_lookup import find_log

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
