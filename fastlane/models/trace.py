"""The place of a request or an execution in a trace, as W3C Trace Context has it, and the spans of an execution. Pure.

An execution carries the context of the request that asked for it. Its own spans have ids that derive from its id. So they need not be kept
anywhere: any worker that settles it can make them, after a crash too, and its container can know its own before it runs.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self

from fastlane.models.job import Execution
from fastlane.models.status import Status

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
SAMPLED = 1
ENV = "TRACEPARENT"
"""The variable in which a container gets its context."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span: the trace that it is part of, its own id (both in hexadecimal digits), and whether it is to be recorded."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @classmethod
    def read(cls, header: str | None) -> Self | None:
        """The context of a ``traceparent``; None when that is missing or not valid, which is the same by the standard."""
        found = _HEADER.fullmatch(header.strip()) if header and len(header) < 512 else None
        if found is None:
            return None
        version, trace_id, span_id, flags, more = found.groups()
        if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & SAMPLED))

    @classmethod
    def new(cls) -> Self:
        """The first span of a new trace."""
        return cls(secrets.token_hex(16), secrets.token_hex(8))

    @property
    def text(self) -> str:
        """It as a ``traceparent``."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"

    def within(self) -> "TraceContext":
        """A new span of the same trace."""
        return TraceContext(self.trace_id, secrets.token_hex(8), self.sampled)

    def derived(self, *of: str) -> "TraceContext":
        """The span of the same trace whose id follows from these texts."""
        return TraceContext(self.trace_id, sha256("\0".join(of).encode()).hexdigest()[:16], self.sampled)


Value = str | int | bool


@dataclass(frozen=True, slots=True)
class TraceSpan:
    """A piece of work that is over: from ``start`` to ``end`` in nanoseconds. ``server``: it answered a request. ``failure``: a word that
    says why it failed; None: it did not. Attributes have no words of others, which may quote secrets."""

    name: str
    context: TraceContext
    parent: TraceContext | None
    start: int
    end: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    failure: str | None = None
    server: bool = False


def context_of(execution: Execution) -> TraceContext | None:
    """The context that the request for an execution left; None when no traced request asked for it, as for a tick of a cron."""
    return None if execution.requested_by is None else TraceContext.read(execution.requested_by.trace)


def execution_span(execution: Execution) -> tuple[TraceContext, TraceContext | None]:
    """The span of a whole execution, and its parent. Without a parent it is in a trace of its tick, with the other attempts."""
    parent = context_of(execution)
    trace = parent or TraceContext(execution.tick_id.replace("-", ""), "")
    return trace.derived(execution.id), parent


def container_context(execution: Execution, *, recorded: bool) -> TraceContext | None:
    """The context for an execution's container: its own span where spans are ``recorded``, else the request's, if any."""
    if not recorded:
        return context_of(execution)
    return execution_span(execution)[0].derived(execution.id, "container")


def spans_of(execution: Execution) -> Sequence[TraceSpan]:
    """The spans of an execution that has ended: the whole of it, its wait for a slot, its start, and its container."""
    if execution.finished_at is None:
        return ()
    own, parent = execution_span(execution)
    if not own.sampled:
        return ()
    began = min(execution.created_at, execution.scheduled_for)
    placed, started, ended = execution.placed_at, execution.started_at, execution.finished_at
    failed = None if execution.status is Status.DONE else execution.failure.reason.value if execution.failure else execution.status.value
    ids: dict[str, Value] = {
        "fastlane.task_id": execution.task_id,
        "fastlane.job_id": execution.job_id,
        "fastlane.execution_id": execution.id,
        "fastlane.attempt": execution.attempt,
    }
    more = {"fastlane.pool": execution.pool, "fastlane.host": execution.host, "fastlane.exit_code": execution.exit_code}
    known = {name: value for name, value in more.items() if value is not None}
    spans = [_span("execution", own, parent, began, ended, {**ids, "fastlane.status": execution.status.value, **known}, failed)]
    due = max(began, execution.scheduled_for)
    spans.append(_span("wait", own.derived(execution.id, "wait"), own, due, placed or ended, ids))
    if placed is not None:
        spans.append(_span("start", own.derived(execution.id, "start"), own, placed, started or ended, ids, None if started else failed))
    if started is not None:
        container = {**ids, "container.id": execution.container_id or ""}
        spans.append(_span("container", own.derived(execution.id, "container"), own, started, ended, container, failed))
    return spans


def _span(
    name: str,
    context: TraceContext,
    parent: TraceContext | None,
    start: int,
    end: int,
    attributes: Mapping[str, Value],
    failure: str | None = None,
) -> TraceSpan:
    """A span between two moments in milliseconds."""
    return TraceSpan(name, context, parent, start * 1_000_000, max(start, end) * 1_000_000, attributes, failure)
