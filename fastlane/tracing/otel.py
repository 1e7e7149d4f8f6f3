"""Sends spans to an OpenTelemetry collector, by OTLP over HTTP. The SDK, an extra of this package, is imported only here and only when a
recorder is made. It has a thread and a bounded queue of its own."""

import asyncio
import contextlib
import threading
from importlib import import_module
from typing import Any

from fastlane.errors import FastlaneError
from fastlane.models.trace import TraceContext, TraceSpan

EXPORT_WITHIN = 5.0
CLOSE_WITHIN = 3.0
"""Seconds for one export, and for those that are left at the end."""
SERVICE = "fastlane"
MISSING = "traces_url needs the extra 'otel', which is not installed: pip install 'fastlane-swarm[otel]'"


class OtelRecorder:
    """A recorder on the collector at this URL. ``role``: of this process. Raises FastlaneError when the SDK is not installed."""

    def __init__(self, url: str, *, version: str, installation: str, role: str) -> None:
        try:
            self._api: Any = import_module("opentelemetry.trace")
            self._sdk: Any = import_module("opentelemetry.sdk.trace")
            export: Any = import_module("opentelemetry.sdk.trace.export")
            otlp: Any = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
            resources: Any = import_module("opentelemetry.sdk.resources")
        except ImportError as error:
            raise FastlaneError(MISSING) from error
        about = {"service.name": SERVICE, "service.version": version, "service.namespace": installation, "fastlane.role": role}
        self._resource = resources.Resource.create(about)
        scope: Any = import_module("opentelemetry.sdk.util.instrumentation")
        self._scope = scope.InstrumentationScope(SERVICE, version)
        self._exporter = otlp.OTLPSpanExporter(endpoint=url, timeout=EXPORT_WITHIN)
        self._processor = export.BatchSpanProcessor(self._exporter)

    def record(self, span: TraceSpan) -> None:
        """Puts a span into the queue; drops it when that is full."""
        if not span.context.sampled:
            return
        api = self._api
        status = api.Status(api.StatusCode.UNSET) if span.failure is None else api.Status(api.StatusCode.ERROR, span.failure)
        self._processor.on_end(
            self._sdk.ReadableSpan(
                span.name,
                context=self._context(span.context),
                parent=None if span.parent is None else self._context(span.parent),
                resource=self._resource,
                attributes=dict(span.attributes),
                kind=api.SpanKind.SERVER if span.server else api.SpanKind.INTERNAL,
                status=status,
                start_time=span.start,
                end_time=span.end,
                instrumentation_scope=self._scope,
            )
        )

    async def open(self) -> None:
        """Nothing to start: its thread began with it."""

    async def close(self) -> None:
        """Sends the rest. The SDK tries for half a minute, in a thread that does not keep the process from ending."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self._processor.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop is closed, so there is no waiter
                loop.call_soon_threadsafe(sent.set)

        threading.Thread(target=send, name="the last spans", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN):
                await sent.wait()
        self._exporter.shutdown()

    def _context(self, context: TraceContext) -> Any:
        flags = self._api.TraceFlags(self._api.TraceFlags.SAMPLED)
        return self._api.SpanContext(int(context.trace_id, 16), int(context.span_id, 16), is_remote=False, trace_flags=flags)
