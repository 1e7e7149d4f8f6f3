"""Reads how executions ended, by the hour."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.clock import Clock
from fastlane.models.history import HOUR, MOST_HOURS, HourCount, WantedHours, all_hours, hour_of
from fastlane.storage.base import Store


@dataclass(frozen=True, slots=True)
class HistoryView:
    """The hours from ``since`` to ``until`` (milliseconds), each with its counts."""

    since: int
    until: int
    hours: Sequence[HourCount]


class History:
    """Reads the counts of a store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def hours(self, since: int, hours: int, *, task_id: str | None, pool: str | None, visible: str | None) -> HistoryView:
        """So many hours, from the one that ``since`` is in, up to the present one."""
        first = hour_of(since)
        until = min(first + min(hours, MOST_HOURS) * HOUR, hour_of(self._clock.now()) + HOUR)
        wanted = WantedHours(first, max(first, until), task_id, pool, visible)
        return HistoryView(wanted.since, wanted.until, all_hours(await self._store.history.hours(wanted), wanted))
