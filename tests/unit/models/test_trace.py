"""What counts as a ``traceparent``, and which spans an execution has."""

from dataclasses import replace

import pytest

from fastlane.models.access import Requester
from fastlane.models.job import Execution, Failure
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.models.trace import TraceContext, container_context, execution_span, spans_of
from tests.support.factories import make_execution

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [(HEADER, True), (HEADER[:-2] + "00", False), (f" {HEADER} ", True), (HEADER[:-2] + "03", True), (f"cc-{HEADER[3:]}-more", True)],
)
def test_a_valid_one_is_read(header: str, sampled: bool) -> None:
    assert TraceContext.read(header) == TraceContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "00",
        HEADER.upper(),
        f"ff-{HEADER[3:]}",
        f"{HEADER}-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        HEADER.replace("-", "_"),
        f"00-{TRACE}-{SPAN}-1",
        f"cc-{HEADER[3:]}-{'x' * 600}",
        f"00-{TRACE}-{SPAN}-0\u0661",
    ],
)
def test_anything_else_counts_as_missing(header: str | None) -> None:
    assert TraceContext.read(header) is None


def test_it_is_written_as_it_is_read() -> None:
    for context in (TraceContext(TRACE, SPAN), TraceContext(TRACE, SPAN, sampled=False), TraceContext.new()):
        assert TraceContext.read(context.text) == context
    assert TraceContext(TRACE, SPAN).within().trace_id == TRACE


def ended(trace: str | None, **values: object) -> Execution:
    made = make_execution(id="e", tick_id="01234567-89ab-4def-8123-456789abcdef", created_at=1_000, scheduled_for=2_000)
    times = {"placed_at": 3_000, "started_at": 4_000, "finished_at": 9_000}
    done = {"status": Status.DONE, "exit_code": 0, "requested_by": Requester(None, None, trace)}
    return replace(made, **{**done, **times, **values})


def test_the_spans_of_an_execution_are_within_that_of_its_request() -> None:
    whole, wait, start, container = spans_of(ended(HEADER))
    assert (whole.parent, {span.context.trace_id for span in (whole, wait, start, container)}) == (TraceContext(TRACE, SPAN), {TRACE})
    assert [span.parent for span in (wait, start, container)] == [whole.context] * 3
    seconds = [(span.name, span.start / 1e9, span.end / 1e9) for span in (whole, wait, start, container)]
    assert seconds == [("execution", 1, 9), ("wait", 2, 3), ("start", 3, 4), ("container", 4, 9)]
    assert {span.failure for span in (whole, wait, start, container)} == {None}


def test_its_container_is_told_its_own_span_where_spans_are_recorded_and_else_that_of_the_request() -> None:
    execution = ended(HEADER)
    container = spans_of(execution)[-1]
    assert container_context(execution, recorded=True) == container.context
    assert container_context(execution, recorded=False) == TraceContext(TRACE, SPAN)
    assert container_context(ended(None), recorded=False) is None


def test_without_a_request_all_attempts_at_a_tick_are_in_one_trace_of_their_own() -> None:
    first, second = ended(None), replace(ended(None), id="another", attempt=2)
    (one, parent), (other, _) = execution_span(first), execution_span(second)
    assert parent is None
    assert (one.trace_id, other.trace_id) == ("0123456789ab4def8123456789abcdef",) * 2
    assert one.span_id != other.span_id


def test_what_the_client_does_not_sample_has_no_spans_and_its_container_is_told_so() -> None:
    execution = ended(HEADER[:-2] + "00")
    assert spans_of(execution) == ()
    context = container_context(execution, recorded=True)
    assert context is not None
    assert context.text.endswith("-00")


def test_a_failure_is_told_by_its_reason_without_words_of_others() -> None:
    failure = Failure(FailureReason.EXIT, "password=hunter2")
    whole, _, start, container = spans_of(ended(HEADER, status=Status.FAILED, exit_code=3, failure=failure))
    assert [span.failure for span in (whole, start, container)] == ["exit", None, "exit"]
    assert "hunter2" not in repr((whole, start, container))
    whole, _, start = spans_of(ended(HEADER, status=Status.FAILED, exit_code=None, started_at=None, failure=failure))
    assert (whole.failure, start.failure) == ("exit", "exit")
    (whole, wait) = spans_of(ended(HEADER, status=Status.STOPPED, exit_code=None, placed_at=None, started_at=None))
    assert (whole.failure, wait.end / 1e9) == ("stopped", 9)
    assert spans_of(make_execution()) == ()
