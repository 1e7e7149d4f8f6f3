"""What a job that is previewed would do to the forecast of its pool: the forecast without it, and with it. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastlane.models.cron import MINUTE
from fastlane.models.forecast import Forecast, Forecaster, PlannedJob, due_times, why_skipped

QUIET = 5
"""Minutes of the hour that are named as quiet."""
WITHOUT_END = 2**62


@dataclass(frozen=True, slots=True)
class ForecastImpact:
    """What a job would do to its pool up to ``until`` (milliseconds). ``due``: how many of its executions are due; ``shared``: in how many
    of its minutes other jobs of the pool are due, ``fullest`` the one with most of these (None: in none), and ``most_others`` how many
    these are. ``peaks``: the most that run at once, without it and with it; ``full``: in how many hours more run at once than may,
    likewise. ``quiet``: minutes of the hour in which fewest others are due. ``usual``: how long it is expected to run, by its last
    executions (milliseconds); None: that is not known, so it counts for the moment of its start alone."""

    until: int
    due: int
    shared: int
    fullest: int | None
    most_others: int
    peaks: tuple[int, int]
    full: tuple[int, int]
    max_running: int
    quiet: tuple[int, ...]
    usual: int | None


class ImpactFinder:
    """Finds what a job would do to the others of its pool from ``since`` to ``until`` (milliseconds) at most. Call ``step`` until it says
    that it has finished, and then ``result``."""

    def __init__(self, job: PlannedJob, others: Sequence[PlannedJob], max_running: int, since: int, until: int) -> None:
        self._job, self._others, self._max_running, self._since = job, others, max_running, since
        self._with = Forecaster([job, *others], since, until)
        self._own: Iterator[int] | None = due_times(job, since)
        self._without: Forecaster | None = None

    def step(self, most: int) -> bool:
        """Takes ``most`` jobs or due times, or all that are left; whether it has finished."""
        if self._without is not None:
            self._take_own(most, self._without)
            return self._own is None and self._without.step(most)
        if self._with.step(most):
            self._without = Forecaster(self._others, self._since, self._with.end, enough=WITHOUT_END)
        return False

    def _take_own(self, most: int, others: Forecaster) -> None:
        """Has the minutes of some of the job's own due times watched."""
        for _ in range(most):
            due = None if self._own is None else next(self._own, None)
            if due is None or due >= self._with.end:
                self._own = None
                return
            if why_skipped(self._job.schedule, due) is None:
                others.watched.add(due // MINUTE)

    @property
    def result(self) -> ForecastImpact:
        """What it would do, when that is found."""
        assert self._without is not None
        after, before = self._with.result, self._without.result
        shared = self._without.shared
        fullest = max(shared, key=lambda minute: (shared[minute], -minute), default=None)
        return ForecastImpact(
            after.until,
            sum(hour.due for hour in after.hours) - sum(hour.due for hour in before.hours),
            len(shared),
            None if fullest is None else fullest * MINUTE,
            0 if fullest is None else shared[fullest],
            (_peak(before, self._job.pool), _peak(after, self._job.pool)),
            (_full(before, self._job.pool, self._max_running), _full(after, self._job.pool, self._max_running)),
            self._max_running,
            tuple(sorted(sorted(range(60), key=lambda minute: (before.minutes[minute], minute))[:QUIET])),
            self._job.usual,
        )


def _peaks(forecast: Forecast, pool: str) -> list[int]:
    return [hour.pools[pool].peak for hour in forecast.hours if pool in hour.pools]


def _peak(forecast: Forecast, pool: str) -> int:
    return max(_peaks(forecast, pool), default=0)


def _full(forecast: Forecast, pool: str, max_running: int) -> int:
    return sum(peak > max_running for peak in _peaks(forecast, pool))
