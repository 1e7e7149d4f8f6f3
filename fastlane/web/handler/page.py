"""Answers with one of the built pages. A page's policy lets it run this server's files only, and send requests to this server only."""

from collections.abc import Awaitable

from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from fastlane.web.http.static_files import StaticFiles
from fastlane.web.security.tickets import is_visit

HTML = "text/html; charset=utf-8"

OWN_FILES = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
STRICT_POLICY = f"{OWN_FILES}; img-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
"""A page may load from and send to this server only, and may not turn text into markup."""


def finish_page(handler: RequestHandler, name: str, base_url: str, *, policy: str = STRICT_POLICY, status: int = 200) -> Awaitable[None]:
    """Sends a page; ``base_url`` is the server's URL. Raises Problem (503) when the pages were not built."""
    data = static_files(handler).page(name, path=handler.request.path, base_url=base_url, by_ticket=is_visit(handler.request))
    handler.set_status(status)
    handler.set_header("Content-Type", HTML)
    handler.set_header("Content-Security-Policy", policy)
    handler.set_header("Referrer-Policy", "no-referrer")
    handler.set_header("Cache-Control", "no-cache")
    handler.set_header("Vary", "Accept, Accept-Encoding, Origin")
    return handler.finish(data)


def static_files(handler: RequestHandler) -> StaticFiles:
    """The files that were built for this server."""
    found = handler.application.settings["static_files"]
    assert isinstance(found, StaticFiles)
    return found


def wants_html(request: HTTPServerRequest) -> bool:
    """Whether a browser asks for a page."""
    return "text/html" in request.headers.get("Accept", "").lower()
