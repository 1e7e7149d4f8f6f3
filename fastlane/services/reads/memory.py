"""Explains an end for which memory ran out: what the limit was, what was measured, and what to do. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.models.execution import Execution, FailureReason
from fastlane.models.placement.pool import Pool

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
    return OutOfMemory(f"{_limit(resources.memory)}; {_measured(peak)}; {_remedy(resources.memory)}", resources.memory, peak)


def _limit(limit: int | None) -> str:
    return "it had no limit of memory, and its node's ran out" if limit is None else f"its limit was {limit / MIB:,.5g} MiB of memory"


def _measured(peak: int | None) -> str:
    if peak is None:
        return "it ended before it was measured"
    return f"the most that a sample showed before was {peak / MIB:,.5g} MiB, and it may have grown fast after that"


def _remedy(limit: int | None) -> str:
    if limit is None:
        return "set resources.memory and resources.reserve.memory, so that its node has what it needs"
    return "raise resources.memory, or let it do less at once"
