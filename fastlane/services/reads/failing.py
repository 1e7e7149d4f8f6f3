"""Says of failures what was done about them, and what can be: memory that ran out, what the next attempt does otherwise, and ticks that
failed in a row. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.models.failing import paused_words
from fastlane.models.job import Execution, Job, Spec, retry_due
from fastlane.models.pool import Pool
from fastlane.models.retry import FailureReason, Remedy

MIB = 2**20


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """An execution for which memory ran out. ``limit`` is its own or its pool's now (None: it had none), ``peak`` the most that a sample
    showed (None: it was not measured); both in bytes."""

    message: str
    limit: int | None
    peak: int | None


def out_of_memory(execution: Execution | None, pools: Sequence[Pool]) -> OutOfMemory | None:
    """What to say about an execution; None unless it ended because memory ran out."""
    if execution is None or execution.failure is None or execution.failure.reason is not FailureReason.OOM:
        return None
    pool = next((pool for pool in pools if pool.name == execution.pool), None)
    resources = execution.spec.resources if pool is None else execution.spec.resources.within(pool.limits)
    peak = None if execution.usage is None else execution.usage.memory_peak
    words = f"{_limit(resources.memory, execution.spec)}; {_measured(peak)}; {_advice(resources.memory, execution)}"
    return OutOfMemory(words, resources.memory, peak)


def _limit(limit: int | None, spec: Spec) -> str:
    if limit is None:
        return "it had no limit of memory, and its node's ran out"
    before = None if spec.remedy is None else spec.remedy.memory
    more = "" if before is None else f", more than the {mebibytes(before)} of the attempt before (onOom)"
    return f"its limit was {mebibytes(limit)} of memory{more}"


def _measured(peak: int | None) -> str:
    if peak is None:
        return "it ended before it was measured"
    return f"the most that a sample showed before was {mebibytes(peak)}, and it may have grown fast after that"


def _advice(limit: int | None, execution: Execution) -> str:
    if execution.spec.on_oom is not None and retry_due(execution) is not None:
        return "the next attempt gets more, if onOom and its pool allow more"
    if limit is None:
        return "set resources.memory and resources.reserve.memory, so that its node has what it needs"
    return "raise resources.memory, or let it do less at once"


def mebibytes(size: int) -> str:
    """A size of memory in words."""
    return f"{size / MIB:,.5g} MiB"


def otherwise(remedy: Remedy | None, spec: Spec) -> str:
    """What an attempt does otherwise than the one before, as the end of a sentence; empty when nothing."""
    if remedy is None:
        return ""
    words = []
    if remedy.memory is not None and spec.resources.memory is not None:
        words.append(f"with {mebibytes(spec.resources.memory)} of memory instead of {mebibytes(remedy.memory)} (onOom)")
    if remedy.avoid is not None:
        words.append(f"on another host than {remedy.avoid}, if there is one")
    return "".join(f", {one}" for one in words)


def by_failures(job: Job) -> str:
    """That the failures of a paused job paused it, in brackets; empty when a person did."""
    if job.failing is None or not job.failing.is_pause or not job.spec.pause_after:
        return ""
    return f" (by its failures: {paused_words(job.spec.pause_after)})"


@dataclass(frozen=True, slots=True)
class FailureRow:
    """How many ticks of a job failed in a row, and what its rules make of that."""

    message: str
    count: int


def failure_row(job: Job) -> FailureRow | None:
    """What to say of a job whose last ticks failed; None when the last one did not, or nothing counts them."""
    count = 0 if job.failing is None else job.failing.count
    if not count:
        return None
    spec, words = job.spec, [f"{count} {'tick' if count == 1 else 'ticks in a row'} failed"]
    if spec.pause_after and not job.paused:
        words.append(f"{spec.pause_after} pause the job (pauseAfter)")
    if spec.notify_after > count:
        words.append(f"nobody is notified before {spec.notify_after} have failed (notifyAfter)")
    return FailureRow("; ".join(words), count)
