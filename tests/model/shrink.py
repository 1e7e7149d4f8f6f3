"""Makes a failing program short: takes steps away as long as it still fails in the same way (delta debugging, bounded in time)."""

import time
from collections.abc import Callable
from dataclasses import replace

from tests.model.operations import Step
from tests.model.simulation import Result

Try = Callable[[list[Step]], Result]


def shrink(failed: Result, attempt: Try, seconds: float) -> Result:
    """The shortest program of the same failure that is found within that many seconds; ``attempt`` runs one."""
    give_up = time.monotonic() + seconds
    best = failed
    size = max(1, len(best.steps) // 2)
    while time.monotonic() < give_up:
        shorter = _without(best, attempt, size, give_up)
        if shorter is not None:
            best = shorter
        elif size > 1:
            size = max(1, size // 2)
        else:
            return _hurried(best, attempt, give_up)
    return best


def _without(best: Result, attempt: Try, size: int, give_up: float) -> Result | None:
    """The program without some ``size`` steps in a row, where that fails in the same way."""
    for start in range(0, len(best.steps), size):
        steps = [*best.steps[:start], *best.steps[start + size :]]
        if time.monotonic() > give_up:
            return None
        result = attempt(steps)
        if result.kind == best.kind:
            return result
    return None


def _hurried(best: Result, attempt: Try, give_up: float) -> Result:
    """The program without the pauses that it does not need."""
    for place, step in enumerate(best.steps):
        if step.then and time.monotonic() < give_up:
            steps = [*best.steps[:place], replace(step, then=0.0), *best.steps[place + 1 :]]
            result = attempt(steps)
            best = result if result.kind == best.kind else best
    return best
