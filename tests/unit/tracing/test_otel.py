"""How spans leave the process: as the protocol has them, in bounded time, and without keeping the process from its end."""

import threading

from fastlane.models.trace import TraceContext, TraceSpan
from fastlane.tracing.otel import OtelRecorder
from tests.support.collector import collecting

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CONTEXT, PARENT = TraceContext(TRACE, "00f067aa0ba902b7"), TraceContext(TRACE, "1" * 16)


def recorder(url: str) -> OtelRecorder:
    return OtelRecorder(url, version="1.2.3", installation="test", role="worker")


async def test_a_span_arrives_with_its_ids_times_attributes_and_process() -> None:
    with collecting() as collector:
        made = recorder(collector.url)
        made.record(TraceSpan("container", CONTEXT, PARENT, 5, 9, {"fastlane.exit_code": 3, "fastlane.pool": "p"}, failure="exit"))
        made.record(TraceSpan("wait", TraceContext(CONTEXT.trace_id, "2" * 16, sampled=False), None, 5, 9))
        await made.close()
        (span,) = collector.spans
    assert (span.name, span.trace, span.id, span.parent) == ("container", CONTEXT.trace_id, CONTEXT.span_id, PARENT.span_id)
    assert (span.start, span.end, span.failed) == (5, 9, True)
    assert span.attributes == {"fastlane.exit_code": 3, "fastlane.pool": "p"}
    wanted = {"service.name": "fastlane", "service.namespace": "test", "service.version": "1.2.3", "fastlane.role": "worker"}
    assert span.process.items() >= wanted.items()


async def test_a_collector_that_is_away_keeps_no_process_from_its_end() -> None:
    made = recorder("http://127.0.0.1:1/v1/traces")
    for _ in range(5_000):
        made.record(TraceSpan("wait", TraceContext.new(), None, 1, 2))
    await made.close()
    kept = [thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()]
    assert kept == []
