"""What schedules will come to: the due times of jobs in a range of time, how much they will have to run at once in each pool, the minutes
in which many are due, and what is remarkable about single jobs. Pure.

A ``Forecaster`` goes through the due times of all jobs in the order of time, in steps of bounded size, so that its caller can do other
things in between. It ends at the end of the range, or of an hour once it has gone through enough.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heapify, heappop, heappush, heappushpop, heapreplace
from itertools import takewhile
from statistics import median

from fastlane.models.clock_changes import touched_times
from fastlane.models.cron import MINUTE, ticks_after, zone
from fastlane.models.job import Execution, Job
from fastlane.models.schedule import Schedule, show_duration
from fastlane.models.status import Status

HOUR = 3_600_000
MOST_HOURS = 31 * 24
"""Hours of one piece of a forecast."""
ENOUGH = 40_000
"""Due times after which a piece of a forecast ends with its hour."""
MOST_COLLISIONS, MOST_NAMED, MOST_NOTES = 20, 5, 25
"""Minutes with many due times, jobs that each of them names, and notes of each kind that a piece has."""
LAST_RUNS = 5
"""Executions of a job that say how long it usually takes."""
MINUTES = 60
HIGH = 0.9
"""A job whose usual duration is this share of its time is close to its end."""


def usual_duration(last: Sequence[Execution]) -> int | None:
    """How long an execution of a job usually runs, in milliseconds: the median of these that were done or ran out of time, or else that
    failed; None when none has run to an end."""
    for statuses in ({Status.DONE, Status.TIMEDOUT}, {Status.FAILED}):
        took = [one.finished_at - one.started_at for one in last if one.status in statuses and one.finished_at and one.started_at]
        if took:
            return max(0, round(median(took)))
    return None


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """What a forecast needs of a job. ``first``: its next due time; ``expiration``: from when on nothing of it starts; ``pool``: the name
    of its pool. ``targets``: how many executions each of its ticks makes. ``usual``: how long one usually runs, None where that is not
    known; ``longest``: how long one may. Moments and durations are in milliseconds. The schedule knows its calendars."""

    id: str
    task_id: str
    name: str | None
    schedule: Schedule
    first: int
    expiration: int | None = None
    pool: str = ""
    targets: int = 1
    usual: int | None = None
    longest: int | None = None

    @property
    def length(self) -> int:
        """How long one of its executions is expected to run; 0 where that is not known."""
        return min(self.usual or 0, self.longest or self.usual or 0)


def planned(job: Job, *, pool: str = "", targets: int = 1, usual: int | None = None, longest: int | None = None) -> PlannedJob | None:
    """What a forecast needs of this job; None when no tick of it is to come, as for a paused one."""
    if job.next_tick is None:
        return None
    spec = job.spec
    longest = longest if spec.timeout is None else spec.timeout
    return PlannedJob(job.id, job.task_id, spec.name, job.schedule, job.next_tick, spec.expiration, pool, targets, usual, longest)


def due_times(job: PlannedJob, since: int) -> Iterator[int]:
    """The due times of a job from ``since`` on, in order, skipped or not: those at which the scheduler decides a tick that may start
    something."""
    cron = job.schedule.cron
    if cron is None:
        found: Iterator[int] = iter([job.first] if job.first >= since else [])
    elif since > job.first:
        found = ticks_after(cron, since - 1)
    else:
        found = _from(job.first, ticks_after(cron, job.first))
    expiration = job.expiration
    return found if expiration is None else takewhile(lambda due: due < expiration, found)


def _from(first: int, others: Iterator[int]) -> Iterator[int]:
    yield first
    yield from others


def why_skipped(schedule: Schedule, due: int) -> str | None:
    """Why a tick that is due then makes no execution, as far as calendars say; None when it makes one."""
    if not schedule.skip:
        return None
    if (dates := schedule.skipped_at(due)) is not None:
        return f"{dates}"
    unknown = schedule.unknown_at(due)
    return None if unknown is None else f"{unknown}"


class NoteKind(StrEnum):
    """What is remarkable about a job in the time of a forecast."""

    OVERRUNS = "overruns"
    """It usually takes longer than until its next due time."""
    TIMEOUT = "timeout"
    """It usually takes as long as it may, or nearly."""
    CLOCKS = "clocks"
    """A change of the clocks touches one of its due times."""
    SKIPPED = "skipped"
    """Some of its due times are skipped."""
    ENDS = "ends"
    """It expires."""
    UNKNOWN = "unknown"
    """Nothing can be said of it."""


@dataclass(frozen=True, slots=True)
class JobNote:
    """Something remarkable about a job, in words that follow its name."""

    kind: NoteKind
    job: PlannedJob
    words: str


@dataclass(frozen=True, slots=True)
class PoolHour:
    """An hour of a pool: how many executions are due, how many run at once on average (``load``), and at most (``peak``)."""

    due: int
    load: float
    peak: int


@dataclass(frozen=True, slots=True)
class ForecastHour:
    """An hour, which begins at ``hour``: how many executions are due, and due times skipped; the ``busiest`` minute (None: nothing is due)
    and how many are due in it; in how many minutes none is due; and the pools in which anything is due or runs, by name."""

    hour: int
    due: int
    skipped: int
    busiest: int | None
    most: int
    quiet: int
    pools: Mapping[str, PoolHour]


@dataclass(frozen=True, slots=True)
class Collision:
    """A minute in which several jobs are due: how many executions, and the first few of the jobs."""

    minute: int
    due: int
    jobs: tuple[PlannedJob, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """A piece of a forecast, from ``since`` to ``until``. ``minutes``: how many executions are due in each minute of the hour. ``notes``:
    of the jobs with anything remarkable, ``MOST_NOTES`` of each kind; ``counts``: how many notes of each kind there are. ``examined``: the
    jobs that were looked at. ``at_least``: there are more."""

    since: int
    until: int
    hours: tuple[ForecastHour, ...]
    minutes: tuple[int, ...]
    collisions: tuple[Collision, ...]
    notes: tuple[JobNote, ...]
    counts: Mapping[NoteKind, int]
    examined: int
    at_least: bool = False


@dataclass(slots=True)
class _Lane:
    """What runs in a pool at ``at``, when it ends (with how many executions that end together), and what each hour has come to."""

    at: int
    running: int = 0
    ends: list[tuple[int, int]] = field(default_factory=list)
    due: dict[int, int] = field(default_factory=dict)
    area: dict[int, int] = field(default_factory=dict)
    peak: dict[int, int] = field(default_factory=dict)

    def start(self, due: int, count: int, length: int, *, counts: bool) -> None:
        """Executions start at ``due`` and run for ``length``. ``counts``: they are due in the range of the forecast, and not before."""
        self.advance(due)
        self.running += count
        heappush(self.ends, (due + max(length, 1), count))
        if counts:
            hour = due // HOUR
            self.due[hour] = self.due.get(hour, 0) + count
            self.peak[hour] = max(self.peak.get(hour, 0), self.running)

    def advance(self, to: int) -> None:
        """Time passes up to that moment."""
        while self.ends and self.ends[0][0] <= to:
            end, count = heappop(self.ends)
            self._pass(end)
            self.running -= count
        self._pass(to)

    def _pass(self, to: int) -> None:
        while self.running and self.at < to:
            hour = self.at // HOUR
            part = min(to, (hour + 1) * HOUR)
            self.area[hour] = self.area.get(hour, 0) + self.running * (part - self.at)
            self.peak[hour] = max(self.peak.get(hour, 0), self.running)
            self.at = part
        self.at = max(self.at, to)

    def of(self, hour: int, length: int) -> PoolHour | None:
        """What an hour has come to, of which the forecast has ``length`` milliseconds; None: nothing is due, and nothing runs."""
        due, peak = self.due.get(hour, 0), self.peak.get(hour, 0)
        return PoolHour(due, self.area.get(hour, 0) / length, peak) if due or peak else None


@dataclass(slots=True)
class _JobFacts:
    """What the due times of a job have shown."""

    due: int = 0
    skipped: int = 0
    why: str = ""
    gap: int | None = None


@dataclass(slots=True)
class _HourFacts:
    due: int = 0
    skipped: int = 0
    busiest: int | None = None
    most: int = 0
    busy: int = 0


class DueQueue:
    """The due times of these jobs, soonest first, from ``since`` (milliseconds) on, or from as long before as one of their executions may
    still run then (``early``). ``prime`` one job after the other before the first ``take``."""

    def __init__(self, jobs: Sequence[PlannedJob], since: int, *, early: bool = False) -> None:
        self._jobs = jobs
        self._since = since
        self._early = early
        self._heap: list[tuple[int, int]] = []
        self._dues: list[Iterator[int]] = []
        self.faults: dict[int, str] = {}
        """Why nothing can be said of a job, by its place: this machine does not know its time zone."""

    @property
    def is_primed(self) -> bool:
        """Whether the first due time of each job is known."""
        return len(self._dues) == len(self._jobs)

    def prime(self, until: int) -> None:
        """Finds the first due time of the next job; one from ``until`` on does not count."""
        place = len(self._dues)
        job = self._jobs[place]
        dues = self._due_times(place, max(0, self._since - (job.length if self._early else 0)))
        self._dues.append(dues)
        first = next(dues, None)
        if first is not None and first < until:
            self._heap.append((first, place))
        if self.is_primed:
            heapify(self._heap)

    def _due_times(self, place: int, since: int) -> Iterator[int]:
        job = self._jobs[place]
        try:
            for entry in () if job.schedule.cron is None else job.schedule.cron.entries:
                zone(entry.timezone)
        except ValueError as error:
            self.faults[place] = str(error)
            return iter(())
        return due_times(job, since)

    @property
    def first(self) -> int | None:
        """The next due time; None: there is no other."""
        return self._heap[0][0] if self._heap else None

    def take(self, until: int) -> tuple[int, int, int | None]:
        """The next due time, the place of its job, and that job's due time after it, which is left out if it comes from ``until`` on."""
        due, place = self._heap[0]
        following = next(self._dues[place], None)
        if following is not None and following < until:
            heapreplace(self._heap, (following, place))
        else:
            heappop(self._heap)
        return due, place, following


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A due time of a job, and why it is skipped; None: it is not."""

    due: int
    job: PlannedJob
    skipped: str | None


class RunLister:
    """Lists the due times of these jobs from ``since`` to before ``until`` (milliseconds), soonest first: the first ``most``, and all
    others of the moment of the last one. Call ``step`` until it says that it has finished."""

    def __init__(self, jobs: Sequence[PlannedJob], since: int, until: int, most: int) -> None:
        self._jobs = jobs
        self._queue = DueQueue(jobs, since)
        self._until = until
        self._most = most
        self.runs: list[PlannedRun] = []

    def step(self, most: int) -> bool:
        """Takes ``most`` jobs or due times, or all that are left; whether it has finished."""
        for _ in range(most):
            if not self._queue.is_primed:
                self._queue.prime(self._until)
            elif self._has_more():
                due, place, _ = self._queue.take(self._until)
                job = self._jobs[place]
                self.runs.append(PlannedRun(due, job, why_skipped(job.schedule, due)))
            else:
                return True
        return False

    def _has_more(self) -> bool:
        first = self._queue.first
        return first is not None and (len(self.runs) < self._most or first == self.runs[-1].due)

    @property
    def next(self) -> int | None:
        """The due time at which the list goes on; None at its end."""
        return self._queue.first


class Forecaster:
    """Makes one piece of the forecast of these jobs, from ``since`` to ``until`` (milliseconds) at most. Call ``step`` until it says that
    it has finished, and then ``result``."""

    def __init__(self, jobs: Sequence[PlannedJob], since: int, until: int, *, enough: int = ENOUGH) -> None:
        self._jobs = jobs
        self._since = since
        self._end = min(until, (since // HOUR + MOST_HOURS) * HOUR)
        self._left = enough
        self._queue = DueQueue(jobs, since, early=True)
        self._noted = 0
        self._facts: dict[int, _JobFacts] = {}
        self._lanes: dict[str, _Lane] = {}
        self._hours: dict[int, _HourFacts] = {}
        self._minutes = [0] * MINUTES
        self._minute = -1
        self._in_minute: tuple[int, list[int]] = (0, [])
        self._collisions: list[tuple[int, int, tuple[int, ...]]] = []
        self._notes: list[JobNote] = []
        self._counts: dict[NoteKind, int] = {}
        self.watched: set[int] = set()
        """Minutes since 1970, of which ``shared`` has those in which anything is due, and how much."""
        self.shared: dict[int, int] = {}

    @property
    def end(self) -> int:
        """When the piece ends (milliseconds), as far as that is known yet."""
        return self._end

    def step(self, most: int) -> bool:
        """Takes ``most`` jobs or due times, or all that are left; whether it has finished."""
        for _ in range(most):
            if not self._queue.is_primed:
                self._queue.prime(self._end)
            elif (first := self._queue.first) is not None and first < self._end:
                self._take()
            elif self._noted < len(self._jobs):
                self._note(self._noted)
            else:
                return True
        return False

    def _take(self) -> None:
        """Takes the next due time."""
        due, place, following = self._queue.take(self._end)
        job, counts = self._jobs[place], due >= self._since
        why = why_skipped(job.schedule, due)
        if counts:
            self._count(place, due, following, why)
        if why is None:
            length = job.length if following is None or job.schedule.always_overlaps else min(job.length, following - due)
            self._lane(job.pool).start(due, job.targets, length, counts=counts)

    def _lane(self, pool: str) -> _Lane:
        return self._lanes.setdefault(pool, _Lane(self._since))

    def _count(self, place: int, due: int, following: int | None, why: str | None) -> None:
        job, hour = self._jobs[place], self._hours.setdefault(due // HOUR, _HourFacts())
        facts = self._facts.setdefault(place, _JobFacts())
        if following is not None:
            facts.gap = following - due if facts.gap is None else min(facts.gap, following - due)
        if why is not None:
            hour.skipped += 1
            facts.skipped += 1
            facts.why = facts.why or why
        else:
            hour.due += job.targets
            facts.due += 1
            self._count_minute(due // MINUTE, job.targets, place)
        self._left -= 1
        if not self._left:
            self._end = min(self._end, (due // HOUR + 1) * HOUR)

    def _count_minute(self, minute: int, count: int, place: int) -> None:
        if minute != self._minute:
            self._close_minute()
            self._minute, self._in_minute = minute, (0, [])
        due, places = self._in_minute
        places.append(place)
        self._in_minute = (due + count, places)

    def _close_minute(self) -> None:
        """All due times of a minute are counted."""
        due, places = self._in_minute
        if not due:
            return
        minute, hour = self._minute * MINUTE, self._hours[self._minute * MINUTE // HOUR]
        self._minutes[self._minute % MINUTES] += due
        hour.busy += 1
        if self._minute in self.watched:
            self.shared[self._minute] = due
        if due > hour.most:
            hour.busiest, hour.most = minute, due
        if len(set(places)) > 1:
            found = (due, -minute, tuple(dict.fromkeys(places))[:MOST_NAMED])
            (heappush if len(self._collisions) < MOST_COLLISIONS else heappushpop)(self._collisions, found)
        self._in_minute = (0, [])

    def _note(self, place: int) -> None:
        """Looks at what is remarkable about a job."""
        self._noted += 1
        job, facts = self._jobs[place], self._facts.get(place, _JobFacts())
        fault = self._queue.faults.get(place)
        found = _remarkable(job, facts, self._since, self._end) if fault is None else [(NoteKind.UNKNOWN, f"cannot be predicted: {fault}")]
        for kind, words in found:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            if self._counts[kind] <= MOST_NOTES:
                self._notes.append(JobNote(kind, job, words))

    @property
    def result(self) -> Forecast:
        """The piece, when it is finished."""
        self._close_minute()
        for lane in self._lanes.values():
            lane.advance(self._end)
        collisions = sorted(self._collisions, reverse=True)
        return Forecast(
            self._since,
            self._end,
            tuple(self._hour(hour) for hour in range(self._since // HOUR, -(-self._end // HOUR))),
            tuple(self._minutes),
            tuple(Collision(-minute, due, tuple(self._jobs[place] for place in places)) for due, minute, places in collisions),
            tuple(sorted(self._notes, key=lambda note: list(NoteKind).index(note.kind))),
            self._counts,
            len(self._jobs),
        )

    def _hour(self, hour: int) -> ForecastHour:
        facts = self._hours.get(hour, _HourFacts())
        length = min((hour + 1) * HOUR, self._end) - max(hour * HOUR, self._since)
        pools = {name: found for name, lane in sorted(self._lanes.items()) if (found := lane.of(hour, length)) is not None}
        quiet = max(0, -(-length // MINUTE) - facts.busy)
        return ForecastHour(hour * HOUR, facts.due, facts.skipped, facts.busiest, facts.most, quiet, pools)


def _remarkable(job: PlannedJob, facts: _JobFacts, since: int, until: int) -> Iterator[tuple[NoteKind, str]]:
    """What is remarkable about a job from ``since`` to ``until``, in words that follow its name."""
    usual = job.usual
    if usual is not None and facts.gap is not None and usual > facts.gap:
        yield NoteKind.OVERRUNS, f"usually takes {_words(usual)}, and is due again after {_words(facts.gap)}"
    if usual is not None and job.longest is not None and usual >= HIGH * job.longest and facts.due:
        yield NoteKind.TIMEOUT, f"usually takes {_words(usual)}, and may take {_words(job.longest)} (timeout)"
    if job.schedule.cron is not None and job.first < until:
        last = until if job.expiration is None else min(until, job.expiration)
        for touched in touched_times(job.schedule.cron, max(since, job.first), last):
            yield NoteKind.CLOCKS, f"{touched}"
    if facts.skipped:
        times = "a due time is" if facts.skipped == 1 else f"{facts.skipped} due times are"
        yield NoteKind.SKIPPED, f"{times} skipped ({facts.why})"
    if job.schedule.cron is not None and job.expiration is not None and since <= job.expiration < until:
        yield NoteKind.ENDS, "expires, and does not run any more after that"


def _words(duration: int) -> str:
    """A duration for people: seconds, from a minute on whole ones."""
    return show_duration(round(duration / 1000, 0 if duration >= MINUTE else 1))
