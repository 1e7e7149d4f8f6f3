"""The pages that people open: a live log at ``…/stream``, the HTTP API at ``/docs``, a start page at ``/``; and the files that they load.

All of it is built beforehand (``scripts/static``) and read once. The pages take what they show from the API, as any client would; the
policy of each lets it run its own files only, and speak to this server only.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from fastlane.errors import NotFound, TransientError
from fastlane.services.reads.find import NotStarted
from fastlane.web.api.contract import Answer, operation
from fastlane.web.api.server_responses import Health
from fastlane.web.http.handler import Handler, takes_gzip
from fastlane.web.http.problems import Problem, problem_of
from fastlane.web.routes.health import HealthHandler
from fastlane.web.routes.tickets import BY_TICKET, TICKET, Admitting

HTML = "text/html; charset=utf-8"
MEDIA = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
FOREVER = "public, max-age=31536000, immutable"
"""A file's name has a hash of what is in it."""

OWN = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
STRICT = f"{OWN}; img-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
"""A page may load and ask this server only, and makes no markup of text."""
OF_DOCS = f"{OWN}; img-src 'self' data:"
"""Its library brings its pictures inside its style sheet."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages load, as it is and gzipped."""

    media: str
    data: bytes
    gzipped: bytes


class Pages:
    """What was built, below a folder; read when it is first asked for. Raises Problem (503) while there is nothing."""

    def __init__(self, root: Traversable | None = None) -> None:
        self._root = root or files("fastlane.static")

    def page(self, name: str, *, path: str, base: str) -> bytes:
        """A page as it is sent for a request of this path; ``base`` is the server's URL. It refers to what else there is by the way up from
        there, so that it works behind a proxy that adds to the path."""
        up = "../" * (path.count("/") - 1) or "./"
        return self._pages[name].replace("{{root}}", up).replace("{{base}}", escape(base)).encode()

    def asset(self, name: str) -> Asset | None:
        """A file, if there is such a one."""
        return self._assets.get(name)

    @cached_property
    def _pages(self) -> Mapping[str, str]:
        return {file.name: file.read_text("utf-8") for file in self._built("pages")}

    @cached_property
    def _assets(self) -> Mapping[str, Asset]:
        data = {file.name: file.read_bytes() for file in self._built("assets")}
        return {name: Asset(_media(name), data[name], data[f"{name}.gz"]) for name in data if f"{name}.gz" in data}

    def _built(self, folder: str) -> list[Traversable]:
        place = self._root / folder
        if not place.is_dir():
            raise Problem(503, "the pages were not built for this server: run scripts/static, then ask again; the API itself works")
        return list(place.iterdir())


class PageHandler(Handler):
    """What all pages share."""

    async def show(self, name: str, policy: str = STRICT, *, status: int = 200) -> None:
        """Answers with a page."""
        await self.delivered(self._finish_page(name, policy, status))

    def _finish_page(self, name: str, policy: str, status: int) -> Any:
        data = self.pages.page(name, path=self.request.path, base=self.base)
        self.set_status(status)
        self.set_header("Content-Type", HTML)
        self.set_header("Content-Security-Policy", policy)
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-cache")
        return self.finish(data)

    @property
    def pages(self) -> Pages:
        """What was built."""
        pages = self.application.settings["pages"]
        assert isinstance(pages, Pages)
        return pages


class StreamPageHandler(PageHandler, Admitting):
    """``…/stream``: a log as it grows, of a job or of one execution. Of what is not there the page says so, with a 404."""

    @operation(
        "openLog",
        query=BY_TICKET,
        answers={
            200: Answer("A page that follows the log.", media=(HTML,)),
            303: Answer("To the page, without the ticket.", headers=("Location",)),
            404: Answer("There is no such thing; the page says so.", media=(HTML,)),
        },
    )
    async def on_get(self, task_id: str, job_id: str, execution_id: str | None = None) -> None:
        """The page to follow its log in a browser."""
        if TICKET in self.query:
            return await self.lead_in(task_id, job_id, execution_id)
        queries = self.services.queries
        with suppress(NotStarted, TransientError):  # the page waits, or tells of an outage, by itself
            if execution_id is None:
                await queries.log_of_job(task_id, job_id)
            else:
                await queries.log_of_execution(task_id, job_id, execution_id)
        return await self.show("stream.html")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """A problem; but of what is not there, and to a person's browser where there is nothing to log in with, the page tells."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        barred = isinstance(error, Problem) and error.status == 401 and not self.context.settings.users and wants_html(self)
        if isinstance(error, NotFound) or barred:
            problem = problem_of(error)
            for name, value in problem.headers.items():
                self.set_header(name, value)
            try:
                self._finish_page("stream.html", STRICT, problem.status)
            except Problem:
                super().write_error(problem.status, exc_info=(type(problem), problem, None))
        else:
            super().write_error(status_code, **kwargs)


class DocsHandler(PageHandler):
    """``/docs``."""

    @operation("readDocs", answers={200: Answer("A page to read the contract, and to try it.", media=(HTML,))})
    async def on_get(self) -> None:
        """The contract as a page."""
        await self.show("docs.html", OF_DOCS)


class RootHandler(HealthHandler, PageHandler):
    """``/``: a start page for a browser, the health for all others."""

    @operation(
        "getRoot",
        answers={
            200: Answer("The health; or a start page, for Accept: text/html.", (Health,), media=(HTML,)),
            503: Answer("Something is down.", (Health,)),
        },
    )
    async def on_get(self) -> None:
        """The health, or a start page."""
        self.set_header("Vary", "Accept, Accept-Encoding, Origin")
        if wants_html(self):
            await self.show("home.html")
        else:
            await super().on_get()


class AssetHandler(PageHandler):
    """``/static/FILE``: what pages load. It tells nothing of anybody's, so it asks nobody who they are."""

    public = True

    async def on_get(self, file: str) -> None:
        """The file; browsers keep it for ever."""
        asset = self.pages.asset(file)
        if asset is None:
            raise Problem(404, f"there is no file {file[:80]!r} here; load the page anew, it may have been built again")
        self.set_header("Content-Type", asset.media)
        self.set_header("Cache-Control", FOREVER)
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        gzipped = takes_gzip(self.request.headers.get("Accept-Encoding", ""))
        if gzipped:
            self.set_header("Content-Encoding", "gzip")
        await self.delivered(self.finish(asset.gzipped if gzipped else asset.data))


def wants_html(handler: Handler) -> bool:
    """Whether it is a browser that asks for a page."""
    return "text/html" in handler.request.headers.get("Accept", "").lower()


def _media(name: str) -> str:
    return MEDIA.get(name.rpartition(".")[2], "application/octet-stream")
