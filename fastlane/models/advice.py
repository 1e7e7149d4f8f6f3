"""What a job's own history says about its definition: limits far from use, timeouts that are never near, due times that are always skipped,
retries that never help. Pure.

``RULES`` has a function for each subject. It looks only at what is stored, says nothing below its own least number of runs or due times,
and compares only runs of what the job runs now.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import groupby

from fastlane.models.container import Resources, show_size
from fastlane.models.done_by import deadline_of
from fastlane.models.job import Execution, Job, Usage, retry_due, tick_failed
from fastlane.models.pool import Pool, Pull
from fastlane.models.retry import FailureReason
from fastlane.models.run_figures import ended_runs, middle, run_time
from fastlane.models.schedule import Overlap, show_duration
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick, is_scheduled, met_other


class AdviceCode(StrEnum):
    """The kinds of advice."""

    MEMORY_RAN_OUT = "memory-ran-out"
    MEMORY_NEAR_LIMIT = "memory-near-limit"
    MEMORY_FAR_BELOW_LIMIT = "memory-far-below-limit"
    MEMORY_WITHOUT_LIMIT = "memory-without-limit"
    MEMORY_FAR_BELOW_RESERVE = "memory-far-below-reserve"
    CPUS_NEAR_LIMIT = "cpus-near-limit"
    CPUS_FAR_BELOW_LIMIT = "cpus-far-below-limit"
    TIMEOUT_REACHED = "timeout-reached"
    TIMEOUT_NEAR = "timeout-near"
    TIMEOUT_FAR = "timeout-far"
    OVERLAP_SKIPS = "overlap-skips"
    OVERLAP_STOPS = "overlap-stops"
    RETRIES_NEVER_HELP = "retries-never-help"
    ALWAYS_FAILS = "always-fails"
    ALWAYS_EXPIRES = "always-expires"
    NEVER_DONE_BY = "never-done-by"
    SLOW_TO_START = "slow-to-start"


@dataclass(frozen=True, slots=True)
class Advice:
    """A piece of advice: what was seen, what to change, the ``path`` of the field of the job's definition that this is about, with its
    value now and the one to try, both as the definition has them (None: there is none). ``figures``: what was seen in numbers; the names
    of amounts end in their units."""

    code: AdviceCode
    seen: str
    change: str
    path: str | None = None
    now: str | int | float | None = None
    suggested: str | int | float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


MOST_EXECUTIONS = 100
"""The newest executions of a job, and rows of its ledger, that are looked at."""
LEAST_MEASURED, LEAST_DONE, LEAST_TICKS, LEAST_RETRIED, LEAST_HITS = 10, 20, 10, 5, 2
"""How many runs with a sample it takes; successes; due times; due times that were retried; and ends by a limit."""
ROOM = 1.5
"""How much more than the most that was used a limit leaves."""
NEAR, FAR = 0.9, 2
"""The share of a limit that counts as near; and how many times what is suggested a limit is at least to count as far."""
TIMEOUT_NEAR, TIMEOUT_FAR = 0.8, 10
LEAST_TIMEOUT = 60_000
"""Milliseconds; nothing shorter is suggested."""
STEP = 16 * 2**20
"""Bytes of which suggested amounts of memory are multiples."""
LEAST_CPU_TIME = 30_000
"""Milliseconds that a run takes at least to say how many processors it kept busy: the last sample is up to 10 s before its end."""
SLOW = 30_000
"""Milliseconds from placement to start that are slow."""
MINUTE, DAY_MINUTES = 60_000, 24 * 60
PAUSE_AFTER = 5


@dataclass(frozen=True)
class Evidence:
    """What is known of a job: its newest executions, newest first, the newest rows of its ledger, its pool (None: none takes it), and the
    longest that the server lets it run (milliseconds)."""

    job: Job
    executions: Sequence[Execution]
    ticks: Sequence[Tick]
    pool: Pool | None
    longest: int

    @cached_property
    def limits(self) -> Resources:
        """The job's limits, with its pool's where it sets none."""
        own = self.job.spec.resources
        return own if self.pool is None else own.within(self.pool.limits)

    @cached_property
    def most(self) -> Resources:
        """The most that its pool allows."""
        return Resources() if self.pool is None else self.pool.limits

    @cached_property
    def alike(self) -> Sequence[Execution]:
        """Executions of what the job runs now: the same image or service, and the same command."""
        spec = self.job.spec
        of_job = (spec.image, spec.service, spec.command)
        return [one for one in self.executions if (one.spec.image, one.spec.service, one.spec.command) == of_job]

    @cached_property
    def runs(self) -> Sequence[Execution]:
        """Those that ran and have ended."""
        return ended_runs(self.alike)

    @cached_property
    def measured(self) -> Sequence[tuple[Execution, Usage]]:
        """Runs of which a sample was taken, under the job's limits of now."""
        memory, cpus = self.job.spec.resources.memory, self.job.spec.resources.cpus
        found = [one for one in self.runs if (one.spec.resources.memory, one.spec.resources.cpus) == (memory, cpus)]
        return [(one, one.usage) for one in found if one.usage is not None]

    @cached_property
    def by_tick(self) -> Sequence[Sequence[Execution]]:
        """The attempts at each due time, or at each target of it, newest due time first and last attempt first, as far as they are over."""
        of_tick = [list(some) for _, some in groupby(self.alike, key=lambda one: one.tick_id)]
        targets = [
            [one for one in some if one.spec.target == target]
            for some in of_tick
            for target in dict.fromkeys(one.spec.target for one in some)
        ]
        return [some for some in targets if some[0].status.final and retry_due(some[0]) is None]


Rule = Callable[[Evidence], Iterable[Advice]]


def advise(evidence: Evidence) -> list[Advice]:
    """All advice on a job, in the order of the rules. Nothing where nothing is known that calls for a change."""
    return [advice for rule in RULES for advice in rule(evidence)]


def _memory(seen: Evidence) -> Iterable[Advice]:
    limit, own = seen.limits.memory, seen.job.spec.resources.memory
    out = [
        one for one in seen.runs if one.failure is not None and one.failure.reason is FailureReason.OOM and one.spec.resources.memory == own
    ]
    if limit is not None and len(out) >= LEAST_HITS:
        words = f"memory ran out in {_runs(len(out))} of the last {len(seen.runs)}, with a limit of {show_size(limit)}"
        figures = {"runs": len(seen.runs), "ranOut": len(out), "limitBytes": limit}
        yield _more_memory(seen, AdviceCode.MEMORY_RAN_OUT, words, round(limit * FAR), figures)
        return
    if len(seen.measured) < LEAST_MEASURED:
        return
    peak = max(usage.memory_peak for _, usage in seen.measured)
    roomy, runs = _memory_step(peak * ROOM), f"{len(seen.measured)} measured runs"
    least = max(roomy, seen.job.spec.resources.reserve_memory or 0)
    reserved = "" if least == roomy else " (its reserve, below which no limit may be)"
    figures = {"runs": len(seen.measured), "peakBytes": peak, **({} if limit is None else {"limitBytes": limit})}
    words = f"the most memory that samples of {runs} showed is {_mebibytes(peak)}"
    if limit is None:
        change = f"set resources.memory to {show_size(least)}{reserved}, so that one run that goes astray does not take its node's memory"
        code = AdviceCode.MEMORY_WITHOUT_LIMIT
        yield Advice(code, f"{words}, and nothing limits it", change, "resources.memory", None, show_size(least), figures)
    elif peak >= NEAR * limit:
        words += f", {peak / limit:.0%} of the limit of {show_size(limit)}"
        yield _more_memory(seen, AdviceCode.MEMORY_NEAR_LIMIT, words, round(limit * ROOM), figures)
    elif own is not None and own >= FAR * least:
        words += f", {peak / own:.0%} of the limit of {show_size(own)}"
        change = f"set resources.memory to {show_size(least)}{reserved or ': half as much again as that'}"
        yield Advice(AdviceCode.MEMORY_FAR_BELOW_LIMIT, words, change, "resources.memory", show_size(own), show_size(least), figures)
    yield from _reserve(seen, peak, roomy)


def _reserve(seen: Evidence, peak: int, roomy: int) -> Iterable[Advice]:
    reserved = seen.job.spec.resources.reserve_memory
    if reserved is None or reserved < FAR * roomy:
        return
    words = f"each run keeps {show_size(reserved)} of a node from others, and the most that {len(seen.measured)} measured runs used is"
    figures = {"runs": len(seen.measured), "peakBytes": peak, "reservedBytes": reserved}
    yield Advice(
        AdviceCode.MEMORY_FAR_BELOW_RESERVE,
        f"{words} {_mebibytes(peak)}",
        f"set resources.reserve.memory to {show_size(roomy)}, so that more runs fit on a node",
        "resources.reserve.memory",
        show_size(reserved),
        show_size(roomy),
        figures,
    )


def _more_memory(seen: Evidence, code: AdviceCode, words: str, wanted: int, figures: Mapping[str, float]) -> Advice:
    """Advice to raise a limit, as far as the pool allows that."""
    limit, own, most = seen.limits.memory or 0, seen.job.spec.resources.memory, seen.most.memory
    value = _memory_step(wanted)
    if most is not None:
        value = min(value, most)
    now = None if own is None else show_size(own)
    if value <= limit:
        change = f"let it do less at once, or have the pool's limit raised: it allows no more than {show_size(limit)}"
        return Advice(code, words, change, "resources.memory", now, None, figures)
    rule = seen.job.spec.on_oom
    raised = ", and onOom.max to more than that" if rule is not None and rule.max is not None and rule.max <= value else ""
    return Advice(code, words, f"set resources.memory to {show_size(value)}{raised}", "resources.memory", now, show_size(value), figures)


def _cpus(seen: Evidence) -> Iterable[Advice]:
    limit, own = seen.limits.cpus, seen.job.spec.resources.cpus
    busy = [usage.cpu_ms / time for one, usage in seen.measured if (time := run_time(one) or 0) >= LEAST_CPU_TIME]
    if limit is None or len(busy) < LEAST_MEASURED:
        return
    most, usual = max(busy), sorted(busy)[(len(busy) - 1) // 2]
    figures = {"runs": len(busy), "busyCpus": round(usual, 3), "mostBusyCpus": round(most, 3), "limitCpus": limit}
    now, roomy = own, max(0.1, -(-most * ROOM * 10 // 1) / 10, seen.job.spec.resources.reserve_cpus or 0)
    if usual >= NEAR * limit:
        wanted = limit * FAR if seen.most.cpus is None else min(limit * FAR, seen.most.cpus)
        words = f"half of {len(busy)} measured runs kept {usual:.2g} processors busy or more all the time, and the limit is {limit:g}"
        if wanted > limit:
            change = f"set resources.cpus to {wanted:g}: it would run faster"
            yield Advice(AdviceCode.CPUS_NEAR_LIMIT, words, change, "resources.cpus", now, wanted, figures)
        else:
            change = f"have the pool's limit raised, which allows no more than {limit:g}: it would run faster"
            yield Advice(AdviceCode.CPUS_NEAR_LIMIT, words, change, "resources.cpus", now, None, figures)
    elif own is not None and own >= FAR * roomy:
        words = (
            f"none of {len(busy)} measured runs kept more than {most:.2g} processors busy, on average over the run; the limit is {own:g}"
        )
        change = f"set resources.cpus to {roomy:g}, unless it needs more for a moment, which an average does not show"
        yield Advice(AdviceCode.CPUS_FAR_BELOW_LIMIT, words, change, "resources.cpus", now, roomy, figures)


def _timeout(seen: Evidence) -> Iterable[Advice]:
    own = seen.job.spec.timeout
    limit = seen.longest if own is None else own
    runs = [one for one in seen.runs if one.spec.timeout == own]
    hits = [one for one in runs if one.status is Status.TIMEDOUT]
    times = [time for one in runs if one.status is Status.DONE and (time := run_time(one)) is not None]
    now = None if own is None else _time(own)
    longest, usual = max(times, default=0), middle(times) or 0
    figures = {"runs": len(runs), "done": len(times), "timedOut": len(hits), "longestMs": longest, "timeoutMs": limit}
    if len(hits) >= LEAST_HITS:
        words = f"{_runs(len(hits))} of the last {len(runs)} ended at the timeout of {_time(limit)}"
        words += f"; those that succeeded took {_time(usual)} as a rule" if times else ", and none succeeded"
        yield _more_time(seen, AdviceCode.TIMEOUT_REACHED, words, limit * FAR, now, figures, "; or find what it waits for")
    elif len(times) >= LEAST_MEASURED and longest >= TIMEOUT_NEAR * limit:
        words = f"the longest of {len(times)} successes took {_time(longest)}, {longest / limit:.0%} of the timeout of {_time(limit)}"
        yield _more_time(seen, AdviceCode.TIMEOUT_NEAR, words, round(longest * FAR), now, figures, "")
    elif own is not None and len(times) >= LEAST_DONE and own >= max(TIMEOUT_FAR * longest, 5 * LEAST_TIMEOUT):
        value = max(LEAST_TIMEOUT, _minutes(longest * 3))
        words = f"the longest of {len(times)} successes took {_time(longest)}, and the timeout is {_time(own)}"
        change = f"set timeout to {_time(value)}, so that a run that hangs ends sooner"
        yield Advice(AdviceCode.TIMEOUT_FAR, words, change, "timeout", now, _time(value), figures)


def _more_time(
    seen: Evidence, code: AdviceCode, words: str, wanted: int, now: str | None, figures: Mapping[str, float], other: str
) -> Advice:
    """Advice to raise the timeout, as far as the server allows that."""
    limit = seen.longest if seen.job.spec.timeout is None else seen.job.spec.timeout
    value = min(_minutes(wanted), seen.longest)
    if value <= limit:
        change = f"let it do less at once, or have hard_timeout raised: the server allows no more than {_time(seen.longest)}{other}"
        return Advice(code, words, change, "timeout", now, None, figures)
    return Advice(code, words, f"set timeout to {_time(value)}{other}", "timeout", now, _time(value), figures)


def _overlap(seen: Evidence) -> Iterable[Advice]:
    schedule = seen.job.schedule
    decided = [one for one in seen.ticks if is_scheduled(one.key) and one.outcome is not Outcome.MISSED]
    if len(decided) < LEAST_TICKS or schedule.cron is None:
        return
    met = [one for one in decided if met_other(one, schedule.overlap_at(one.due))]
    skipped, replaced = [[one for one in met if one.outcome is outcome] for outcome in (Outcome.SKIPPED, Outcome.REPLACED)]
    usual = middle([time for one in seen.runs if (time := run_time(one)) is not None])
    takes = "" if usual is None else f"; a run takes {_time(usual)} as a rule"
    figures = {"dueTimes": len(decided), **({} if usual is None else {"usualMs": usual})}
    rarer = "make the cron due less often than a run takes"
    if 2 * len(skipped) >= len(decided):
        words = f"{len(skipped)} of the last {len(decided)} due times were skipped, because the run before was still under way{takes}"
        yield Advice(AdviceCode.OVERLAP_SKIPS, words, rarer, "cron", figures={**figures, "skipped": len(skipped)})
    elif 2 * len(replaced) >= len(decided) and schedule.overlap is Overlap.REPLACE:
        words = f"{len(replaced)} of the last {len(decided)} due times stopped the run before{takes}"
        change = f"{rarer}, or set overlap to queue, so that a run comes to its end"
        figures["stopped"] = len(replaced)
        yield Advice(AdviceCode.OVERLAP_STOPS, words, change, "overlap", schedule.overlap, Overlap.QUEUE, figures)


def _retries(seen: Evidence) -> Iterable[Advice]:
    retries = seen.job.spec.retries
    retried = [some for some in seen.by_tick if some[0].attempt > 1]
    if not retries or len(retried) < LEAST_RETRIED:
        return
    reasons = {_reason(one) for some in retried for one in some}
    if len(reasons) > 1:  # one of them may be a success
        return
    attempts = sum(some[0].attempt - 1 for some in retried)
    words = f"{len(retried)} due times were retried, {attempts} times in all, and none succeeded: each attempt ended with {reasons.pop()}"
    figures = {"retried": len(retried), "retries": attempts}
    change = "set retries to 0, or name in retryOn only failures that pass"
    yield Advice(AdviceCode.RETRIES_NEVER_HELP, words, change, "retries", retries, 0, figures)


def _failures(seen: Evidence) -> Iterable[Advice]:
    ended = [failed for some in seen.by_tick if (failed := tick_failed(some[0])) is not None]
    last = [some[0] for some in seen.by_tick if tick_failed(some[0])]
    if len(ended) < LEAST_TICKS or not all(ended) or seen.job.spec.pause_after or seen.job.schedule.cron is None:
        return
    reasons = {_reason(one) for one in last}
    same = f", each with {reasons.pop()}" if len(reasons) == 1 else ""
    words = f"all of the last {len(ended)} due times failed{same}"
    change = f"mend it, or pause it; with pauseAfter {PAUSE_AFTER} it would have paused by itself"
    yield Advice(AdviceCode.ALWAYS_FAILS, words, change, "pauseAfter", None, PAUSE_AFTER, {"failed": len(ended)})


def _expiration(seen: Evidence) -> Iterable[Advice]:
    within = seen.job.spec.expires_in
    if within is None:
        return
    first = [one for one in seen.executions if one.attempt == 1 and one.status.final and one.spec.expires_in == within]
    unmade = [one for one in seen.ticks if one.outcome is Outcome.EXPIRED and one.execution_id is None]
    expired, total = len(unmade) + sum(one.status is Status.EXPIRED for one in first), len(first) + len(unmade)
    if total < LEAST_TICKS or 2 * expired < total:
        return
    words = f"{expired} of {total} executions expired: no container of theirs started within {_time(within)} after its due time"
    change = f"set expiresIn to {_time(within * FAR)}, or give its pool more room: `fastlane why` says what they waited for"
    figures = {"executions": total, "expired": expired, "expiresInMs": within}
    yield Advice(AdviceCode.ALWAYS_EXPIRES, words, change, "expiresIn", _time(within), _time(within * FAR), figures)


def _done_by(seen: Evidence) -> Iterable[Advice]:
    wanted, schedule = seen.job.spec.done_by, seen.job.schedule
    if wanted is None:
        return
    due = {one.id: one.due for one in seen.ticks if is_scheduled(one.key)}
    late, missed = list[int](), 0
    for some in seen.by_tick:
        deadline = deadline_of(schedule, wanted, due[some[0].tick_id]) if some[0].tick_id in due else None
        if deadline is None or some[0].status not in (Status.DONE, Status.FAILED, Status.TIMEDOUT, Status.EXPIRED):
            continue
        end = some[0].finished_at or 0
        if some[0].status is Status.DONE and end <= deadline:
            return
        missed += 1
        late += [end - deadline] if some[0].status is Status.DONE else []
    if missed < LEAST_RETRIED:
        return
    words = f"none of {missed} due times succeeded by {wanted} (doneBy)"
    figures: dict[str, float] = {"dueTimes": missed, "succeededLater": len(late)}
    later = None
    if late:
        minutes = -(-max(late) // (5 * MINUTE)) * 5
        words += f"; {len(late)} succeeded later, {_time(max(late) // 1000 * 1000)} at most"
        figures["latestMs"] = max(late)
        later = _clock(wanted, minutes) if minutes < DAY_MINUTES else None
    change = "make it due earlier" if later is None else f"make it due earlier, or set doneBy to {later}"
    yield Advice(AdviceCode.NEVER_DONE_BY, words, change, "doneBy", wanted, later, figures)


def _start(seen: Evidence) -> Iterable[Advice]:
    if seen.pool is None or seen.pool.pull is not Pull.ALWAYS:
        return
    waits = [one.started_at - one.placed_at for one in seen.runs if one.started_at is not None and one.placed_at is not None]
    usual = middle(waits)
    if len(waits) < LEAST_MEASURED or usual is None or usual < SLOW:
        return
    words = (
        f"half of {len(waits)} runs took {_time(usual)} or more from their placement to their start, and the pool pulls images each time"
    )
    change = f'let the pool {seen.pool.name} pull only missing images (pull = "missing"), or make the image smaller'
    yield Advice(AdviceCode.SLOW_TO_START, words, change, figures={"runs": len(waits), "usualStartMs": usual})


RULES: Sequence[Rule] = (_memory, _cpus, _timeout, _overlap, _retries, _failures, _expiration, _done_by, _start)


def _reason(one: Execution) -> str:
    """Why it did not succeed, in a few words."""
    if one.failure is None:
        return str(one.status)
    code = "" if one.failure.reason is not FailureReason.EXIT or one.exit_code is None else f" code {one.exit_code}"
    return f"{one.failure.reason}{code}"


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"


def _memory_step(size: float) -> int:
    """An amount of memory, rounded up."""
    return max(2, -int(-size // STEP)) * STEP


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.5g} MiB"


def _minutes(time: float) -> int:
    """A time in milliseconds, rounded up to whole minutes."""
    return -int(-time // MINUTE) * MINUTE


def _time(time: int) -> str:
    """Milliseconds as a definition has them; of long times without the parts of a second."""
    return show_duration((time if time < 10_000 else round(time, -3)) / 1000)


def _clock(time: str, later: int) -> str:
    """A time of day this many minutes later."""
    hours, minutes = map(int, time.split(":"))
    at = (hours * 60 + minutes + later) % DAY_MINUTES
    return f"{at // 60:02}:{at % 60:02}"
