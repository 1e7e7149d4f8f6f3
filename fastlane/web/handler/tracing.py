"""The place of one request in a trace."""

import time
from dataclasses import dataclass

from tornado.httputil import HTTPServerRequest

from fastlane.models.trace import Span, TraceContext
from fastlane.tracing.base import Recorder

HEADER = "traceparent"
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
REFUSED = frozenset({401, 429})


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """``given``: the client's span, if it names one. ``own``: the request's, where it is recorded: of one that may change something, or
    whose client traces it."""

    given: TraceContext | None
    own: TraceContext | None

    @classmethod
    def of(cls, request: HTTPServerRequest, recorder: Recorder | None) -> "RequestTrace":
        """That of a request."""
        given = TraceContext.read(request.headers.get(HEADER))
        if recorder is None or (given is None and request.method not in WRITES):
            return cls(given, None)
        return cls(given, TraceContext.new() if given is None else given.within())

    @property
    def text(self) -> str | None:
        """What the request hands on to a job, as a ``traceparent``."""
        context = self.own or self.given
        return None if context is None else context.text

    def record(self, recorder: Recorder, request: HTTPServerRequest, route: str, status: int) -> None:
        """Gives the request's span to the recorder, now that it is answered. The path stays out of it: only its form is told. A client that
        is refused has no span, so that none can fill a collector without a login."""
        if self.own is None or status in REFUSED:
            return
        method, end = request.method or "", time.time_ns()
        attributes: dict[str, str | int | bool] = {
            "http.request.method": method,
            "http.route": route or "none",
            "http.response.status_code": status,
        }
        start = end - round(request.request_time() * 1e9)
        failure = str(status) if status >= 500 else None
        recorder.record(Span(f"{method} {route}".strip(), self.own, self.given, start, end, attributes, failure, server=True))
