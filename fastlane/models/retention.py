"""How long history stays in the store: the rules, which of a job's executions they let go, and the hourly counts that outlive them.

What may still run, has not been cleaned or still has a webhook to send stays whatever its age, and so does each job's newest execution, for
as long as the job itself does.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import groupby

from fastlane.models.schedule import show_duration
from fastlane.models.status import FINAL, Status

DAY = 86_400_000
"""Milliseconds."""
NEVER = -(2**63)
"""Nothing ended before this moment."""
ANY_NUMBER = 2**31
"""More executions than a job has."""
LEAST_AGE, MOST_EXECUTIONS = 60_000, 1_000_000
"""The shortest age that a rule may have, in milliseconds, and the largest number."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Rules of retention. Ages are in milliseconds after an end: ``jobs`` of a job that will not run again, with all that it has;
    ``executions`` of an execution with its tick and its log; ``logs`` of a log alone. ``max_executions`` is how many of a job's newest
    executions stay, and rows of its ledger. None: no such rule."""

    jobs: int | None = None
    executions: int | None = None
    max_executions: int | None = None
    logs: int | None = None

    def over(self, others: "Retention") -> "Retention":
        """These rules, filled in from ``others`` where there is none here."""
        return self._with(others, lambda own, other: other if own is None else own)

    def within(self, others: "Retention") -> "Retention":
        """Of each pair of rules the stricter one."""
        return self._with(others, lambda own, other: min((rule for rule in (own, other) if rule is not None), default=None))

    def cuts(self, now: int) -> "Cuts":
        """What they let go at ``now`` (milliseconds)."""
        jobs, executions, logs = (NEVER if age is None else now - age for age in (self.jobs, self.executions, self.logs))
        return Cuts(jobs, executions, self.max_executions or ANY_NUMBER, logs)

    def _with(self, others: "Retention", choose: Callable[[int | None, int | None], int | None]) -> "Retention":
        names = (field.name for field in fields(self))
        return Retention(**{name: choose(getattr(self, name), getattr(others, name)) for name in names})


NO_RETENTION = Retention()


def show_age(age: int) -> str:
    """An age in milliseconds as it is written: in days if they are whole ones."""
    return f"{age // DAY}d" if age % DAY == 0 else show_duration(age / 1000)


@dataclass(frozen=True, slots=True)
class Cuts:
    """What may go: jobs, executions and logs that ended before these moments (milliseconds), and executions beyond the newest
    ``max_executions`` of their job."""

    jobs: int = NEVER
    executions: int = NEVER
    max_executions: int = ANY_NUMBER
    logs: int = NEVER


def strictest(cuts: Iterable[Cuts]) -> Cuts:
    """The cuts that let go exactly what any of these does."""
    jobs, executions, most, logs = zip(*((cut.jobs, cut.executions, cut.max_executions, cut.logs) for cut in cuts), strict=True)
    return Cuts(max(jobs), max(executions), min(most), max(logs))


@dataclass(frozen=True, slots=True)
class JobHistory:
    """What retention needs to know of a job: its fields, its own rules, and its floor. ``to_come``: whether a tick is to come or held, or
    the job is manual, so that somebody may run it at any time."""

    job_id: str
    task_id: str
    incarnation: str
    created_at: int
    modified_at: int
    sequence: int
    to_come: bool
    retention: Retention = NO_RETENTION
    floor: int = 0

    @property
    def numbers(self) -> int:
        """How many numbers it has given out since its floor was raised last. It has no more executions than that, further attempts left
        out."""
        return self.sequence - self.floor


@dataclass(frozen=True, slots=True)
class PastExecution:
    """What retention needs to know of an execution. ``owed``: a webhook about it is still to be sent."""

    id: str
    tick_id: str
    sequence: int
    finished_at: int | None
    settled: bool
    cleaned: bool
    owed: bool = False


def overdue_executions(rows: Sequence[PastExecution], cuts: Cuts, *, newest: int, kept_from: int) -> list[PastExecution]:
    """Which of a job's executions may go: whole ticks, the oldest first, up to the first that has to stay.

    ``rows`` are the job's oldest, in order, with all executions of each tick. ``newest`` is the sequence of its newest execution, and
    ``kept_from`` the sequence of the oldest that stays because of the number to keep.
    """
    taken: list[PastExecution] = []
    for _, executions in groupby(rows, key=lambda row: row.tick_id):
        of_tick = list(executions)
        is_newest = of_tick[-1].sequence >= newest
        if is_newest or not all(_may_go(row, cuts.executions, too_many=row.sequence < kept_from) for row in of_tick):
            break
        taken += of_tick
    return taken


def _may_go(row: PastExecution, before: int, *, too_many: bool) -> bool:
    if row.finished_at is None or row.owed or not (row.settled and row.cleaned):
        return False
    return too_many or row.finished_at < before


def is_over(executions: Sequence[PastExecution], before: int) -> bool:
    """Whether a job goes with all of its executions, which are in order: none has anything left to do, and the newest ended before that
    moment."""
    if not all(row.finished_at is not None and row.settled and row.cleaned and not row.owed for row in executions):
        return False
    return not executions or (executions[-1].finished_at or 0) < before


def ticks_of(executions: Sequence[PastExecution]) -> list[str]:
    """The ticks of these executions, each once, in order."""
    return list(dict.fromkeys(execution.tick_id for execution in executions))


HOUR = 3_600_000
"""Milliseconds."""
MOST_HOURS = 31 * 24
"""Hours that are read at once."""


@dataclass(frozen=True, slots=True)
class HourCount:
    """The executions that ended within an hour, which begins at ``hour`` (milliseconds): how many in each final status, how many
    had started, and how late their containers did, in milliseconds: all together, and the latest."""

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
    """The part of an hour's count that belongs to one task in one pool ("": executions that never had a pool)."""

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
    """The counts of every wanted hour, including hours in which nothing ended."""
    by_hour = {count.hour: count for count in found}
    return [by_hour.get(hour, HourCount(hour)) for hour in range(wanted.since, wanted.until, HOUR)]


ENDS = tuple(sorted(FINAL))
"""The final statuses, in the order in which they are shown."""
