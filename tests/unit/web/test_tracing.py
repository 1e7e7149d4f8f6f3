"""Which requests are spans of a trace, and what a request hands on to a job."""

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from fastlane.models.trace import TraceContext, TraceSpan
from fastlane.web.handler import RequestTrace

GIVEN = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


class Kept:
    """A recorder that keeps what it takes."""

    def __init__(self) -> None:
        self.spans: list[TraceSpan] = []

    def record(self, span: TraceSpan) -> None:
        self.spans.append(span)

    async def open(self) -> None: ...

    async def close(self) -> None: ...


def request(method: str, header: str | None = None) -> HTTPServerRequest:
    line = RequestStartLine(method, "/tasks/secret-name", "HTTP/1.1")
    return HTTPServerRequest(start_line=line, headers=HTTPHeaders({"Host": "x", **({"traceparent": header} if header else {})}))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_request_that_may_change_something_is_a_span_of_a_new_trace_or_of_its_client_s(method: str) -> None:
    kept = Kept()
    own = RequestTrace.of(request(method), kept)
    within = RequestTrace.of(request(method, GIVEN.text), kept)
    for trace in (own, within):
        trace.record(kept, request(method), "/tasks/{task_id}", 200)
    alone, child = kept.spans
    assert alone.parent is None
    assert (child.parent, child.context.trace_id) == (GIVEN, GIVEN.trace_id)
    assert (own.text, within.text) == (alone.context.text, child.context.text)
    assert (child.name, child.server, child.failure) == (f"{method} /tasks/{{task_id}}", True, None)
    assert "secret-name" not in repr(kept.spans)


def test_a_read_is_a_span_only_where_its_client_traces_it() -> None:
    kept = Kept()
    assert RequestTrace.of(request("GET"), kept).own is None
    assert RequestTrace.of(request("GET", "nonsense"), kept).own is None
    assert RequestTrace.of(request("GET", GIVEN.text), kept).own is not None


def test_without_a_recorder_the_client_s_context_is_handed_on_as_it_is() -> None:
    trace = RequestTrace.of(request("POST", GIVEN.text), None)
    assert (trace.own, trace.text) == (None, GIVEN.text)
    assert RequestTrace.of(request("POST"), None).text is None


@pytest.mark.parametrize(("status", "failure"), [(200, None), (404, None), (500, "500"), (503, "503"), (401, ""), (429, "")])
def test_a_server_s_failure_is_one_of_the_span_and_who_is_refused_makes_none(status: int, failure: str | None) -> None:
    kept = Kept()
    RequestTrace.of(request("POST"), kept).record(kept, request("POST"), "", status)
    assert [span.failure for span in kept.spans] == ([] if failure == "" else [failure])
