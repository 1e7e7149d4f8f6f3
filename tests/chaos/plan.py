"""The faults and the wishes of a run, which a seed decides."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

PROCESSES = ("worker-killed", "worker-frozen", "api-killed", "api-frozen", "queue-killed", "queue-frozen", "queue-emptied")
NODES = ("engine-killed", "engine-halted", "engine-frozen", "node-cut", "disk-full")
"""Faults of one node, of which one has one at a time: with two of three managers away, the others do nothing."""
SHORTEST, LONGEST = 1.0, 25.0
"""Seconds that a fault lasts."""
BETWEEN = 12.0
"""Seconds between the beginnings of two faults, about."""
CALM = 20.0
"""Seconds without a fault at the beginning and at the end."""
EVERY = 1.5
"""Seconds between two wishes, about."""


@dataclass(frozen=True)
class PlannedFault:
    """A fault: when it begins, in seconds from the start; its name; which of the like things it strikes; how long it lasts."""

    at: float
    name: str
    target: int
    lasts: float


@dataclass(frozen=True)
class Wish:
    """A job that a client asks for: when, whether with an Idempotency-Key, and what it is to do."""

    at: float
    name: str
    keyed: bool
    lines: int
    pause: float
    code: int
    retries: int
    stopped_after: float | None


def faults(seed: int, seconds: float, names: Sequence[str] = (*PROCESSES, *NODES)) -> list[PlannedFault]:
    """The faults, in the order in which they begin."""
    chance, found, node_free = random.Random(f"faults {seed}"), list[PlannedFault](), 0.0
    at = CALM + chance.uniform(0, BETWEEN)
    while at < seconds - CALM:
        name = chance.choice([name for name in names if name not in NODES or at >= node_free])
        fault = PlannedFault(at, name, chance.randrange(3), min(chance.uniform(SHORTEST, LONGEST), seconds - CALM - at))
        found.append(fault)
        if name in NODES:
            node_free = at + fault.lasts + BETWEEN
        at += chance.uniform(0.2, 2) * BETWEEN
    return found


def wishes(seed: int, seconds: float) -> list[Wish]:
    """The wishes, in the order in which they are made."""
    chance, found, at = random.Random(f"wishes {seed}"), list[Wish](), 0.0
    while at < seconds:
        number = len(found)
        lines, pause = chance.randrange(2, 40), chance.choice((0.0, 0.05, 0.3))
        stopped = chance.uniform(0, 10) if chance.random() < 0.1 else None
        code, retries = chance.choice((0, 0, 0, 3)), chance.randrange(3)
        found.append(Wish(at, f"wish-{number}", chance.random() < 0.5, lines, pause, code, retries, stopped))
        at += chance.uniform(0.3, 1.7) * EVERY
    return found
