"""The port of the counts of ends, which stay after the executions that were counted are gone."""

from collections.abc import Sequence
from typing import Protocol

from fastlane.models.retention import HourCount, WantedHours


class HistoryStore(Protocol):
    """Counts each execution once, in the hour in which it ended, whatever becomes of the process that ended it or counts it. An execution
    that is deleted has been counted before."""

    async def count_ends(self, limit: int) -> int:
        """Counts executions that ended and are not counted yet, ``limit`` at most; how many. A store that counts an end in the commit that
        writes it has nothing to do."""

    async def hours(self, wanted: WantedHours) -> Sequence[HourCount]:
        """The hours in which anything ended, in order."""

    async def overdue_hours(self, before: int) -> int:
        """How many rows of hours before that moment there are: one of each task and pool."""

    async def prune_hours(self, before: int, limit: int) -> int:
        """Deletes the oldest of them, ``limit`` at most; how many."""
