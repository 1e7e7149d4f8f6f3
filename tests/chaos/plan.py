"""The faults and the wishes of a run, which a seed decides."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

SHORTEST, LONGEST = 1.0, 25.0
"""Seconds that a fault lasts."""
BETWEEN = 9.0
"""Seconds between the beginnings of two faults, about."""
CALM = 20.0
"""Seconds without a fault at the beginning and at the end."""
EVERY = 1.5
"""Seconds between two wishes, about."""
START_IN = 8
"""Seconds after which a job starts that a client changes before."""
TARGETS = 6
"""A number that the counts of processes and nodes divide."""


@dataclass(frozen=True)
class PlannedFault:
    """A fault: when it begins, in seconds from the start; its name; which of the like things it strikes; how long it lasts."""

    at: float
    name: str
    target: int
    lasts: float


@dataclass(frozen=True)
class Wish:
    """A job that a client asks for: when, whether with an Idempotency-Key, what it is to do, and what its client does then: stops it or
    changes it so many seconds later, runs it again once it has ended, or follows its log."""

    at: float
    name: str
    keyed: bool
    lines: int
    pause: float
    code: int
    retries: int
    stopped_after: float | None = None
    changed_after: float | None = None
    again: bool = False
    followed: bool = False


def faults(seed: int, seconds: float, groups: Mapping[str, str]) -> list[PlannedFault]:
    """The faults, in the order in which they begin. ``groups``: the names to choose from, each with what it strikes: of the faults of one
    group, one is there at a time. Each comes once before any comes again."""
    chance, found, free = random.Random(f"faults {seed}"), list[PlannedFault](), dict[str, float]()
    at, left = CALM + chance.uniform(0, BETWEEN), list[str]()
    while at < seconds - CALM:
        left = left or chance.sample(sorted(groups), len(groups))
        name = next((name for name in left if at >= free.get(groups[name], 0)), None)
        if name is not None:
            left.remove(name)
            lasts = min(chance.uniform(SHORTEST, LONGEST), seconds - CALM - at)
            found.append(PlannedFault(at, name, chance.randrange(TARGETS), lasts))
            free[groups[name]] = at + lasts + BETWEEN
        at += chance.uniform(0.2, 2) * BETWEEN
    return found


def wishes(seed: int, seconds: float) -> list[Wish]:
    """The wishes, in the order in which they are made."""
    chance, found, at = random.Random(f"wishes {seed}"), list[Wish](), 0.0
    while at < seconds:
        lines, pause = chance.randrange(2, 40), chance.choice((0.0, 0.05, 0.3))
        code, retries, then = chance.choice((0, 0, 0, 3)), chance.randrange(3), chance.random()
        stopped = chance.uniform(0, 10) if then < 0.1 else None
        changed = chance.uniform(0, START_IN) if 0.1 <= then < 0.2 else None
        plain = (at, f"wish-{len(found)}", chance.random() < 0.5, lines, pause, code, retries)
        found.append(Wish(*plain, stopped, changed, again=0.2 <= then < 0.3, followed=0.3 <= then < 0.45))
        at += chance.uniform(0.3, 1.7) * EVERY
    return found
