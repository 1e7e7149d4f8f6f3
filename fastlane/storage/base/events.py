"""The port of events: those that are recorded, in rows of their own, and those that are read from the rows of jobs and executions.

Methods raise StoreDown as those of ``storage.base`` do, and moments are in milliseconds.
"""

from collections.abc import Sequence
from typing import Protocol

from fastlane.models.event import Event, Source, Span


class EventStore(Protocol):
    """What happened: the events that are recorded, and those that are read from the rows of jobs and executions."""

    async def add_events(self, events: Sequence[Event]) -> None:
        """Records those of the events whose ids none has yet; safe to repeat."""

    async def events(self, source: Source, span: Span, limit: int) -> Sequence[Event]:
        """The first ``limit`` events of this source in the span, in its order."""
