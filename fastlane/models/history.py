"""How executions ended, counted by the hour: what remains of them after retention."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fastlane.models.status import FINAL, Status

HOUR = 3_600_000
"""Milliseconds."""
MOST_HOURS = 31 * 24
"""Hours that are read at once."""


@dataclass(frozen=True, slots=True)
class HourCount:
    """The executions that ended within an hour, which begins at ``hour`` (milliseconds): how many in each final status, and of those that
    started how late their containers did, in milliseconds: all together, and the latest."""

    hour: int
    ended: Mapping[Status, int] = field(default_factory=dict)
    started: int = 0
    late: int = 0
    latest: int = 0

    @property
    def mean_lateness(self) -> float | None:
        """In milliseconds; None when none started."""
        return self.late / self.started if self.started else None


@dataclass(frozen=True, slots=True)
class TaskHour:
    """What of an hour's count is one task's in one pool ("": what never had a pool)."""

    task_id: str
    pool: str
    count: HourCount


@dataclass(frozen=True, slots=True)
class WantedHours:
    """Which counts to read: of the hours from ``since`` to ``until`` (milliseconds, both the beginning of an hour, the second excluded), of
    one task, of one pool, and of tasks whose id matches the regular expression ``visible``."""

    since: int
    until: int
    task_id: str | None = None
    pool: str | None = None
    visible: str | None = None


def hour_of(moment: int) -> int:
    """The beginning of the hour that a moment is in."""
    return moment // HOUR * HOUR


def all_hours(found: Iterable[HourCount], wanted: WantedHours) -> list[HourCount]:
    """The counts of every hour that is wanted, those without an end too."""
    by_hour = {count.hour: count for count in found}
    return [by_hour.get(hour, HourCount(hour)) for hour in range(wanted.since, wanted.until, HOUR)]


ENDS = tuple(sorted(FINAL))
"""The final statuses, in the order in which they are shown."""
