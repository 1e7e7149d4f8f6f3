"""The port of a recorder of spans."""

from typing import Protocol

from fastlane.models.trace import TraceSpan


class Recorder(Protocol):
    """Takes spans, and sends them on by itself. It never blocks its caller and never raises: what it cannot send is lost."""

    def record(self, span: TraceSpan) -> None:
        """Takes a span that is over."""

    async def open(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Sends what it has, for a bounded time."""
