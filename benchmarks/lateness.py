"""Lateness: how long after its due time a worker gets an entry of the queue, at 1,000 due a second.

fastlane's side is the worker's claim loop (``lateness_worker``) on the queue of an installation. The baseline is a loop (``bare_loop``)
that takes due entries out of a sorted set and sleeps until the next one is due. Both are a process on uvloop that writes a line to the
witness. The entries have the same due times, and are in Redis before the first is due. One Redis has no other entries; the other has
1,000,000 more of that installation, and as many in the bare loop's sorted set.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks import witness
from benchmarks.figures import Comparison, Figure, Lateness, Target
from benchmarks.processes import child
from fastlane.queue.port import TICKS, Entry, EntryKind
from fastlane.queue.redis.queue import RedisQueue
from tests.support.redis import RealRedis

A_SECOND = 1_000
"""How many are due each second."""
WARM_UP = 1.0
"""Seconds of warm-up, whose entries do not count."""
AHEAD = 2.0
"""Seconds from the first put to the first due time."""
PATIENCE = 30.0
SEED = 4
BARE = "bare loop over a sorted set"
BARE_KEY = "bare"


@dataclass(frozen=True, slots=True)
class Place:
    """A Redis to measure on: which entries far off it has, and the settings of the installation whose they are."""

    name: str
    redis: RealRedis
    settings: dict[str, str]


@contextlib.contextmanager
def both(place: Place, folder: Path) -> Iterator[dict[str, tuple[Path, Callable[[list[str]], None]]]]:
    """The two processes that work on a Redis. For each: the file that it writes, and how to give it entries."""
    installation = place.settings["FASTLANE_INSTALLATION"]
    ours, bare = folder / f"ours-{place.name}", folder / f"bare-{place.name}"
    for path in (ours, bare):
        path.touch()
    with (
        child("lateness_worker", env={**place.settings, witness.VARIABLE: str(ours)}),
        child("bare_loop", place.redis.url, BARE_KEY, env={witness.VARIABLE: str(bare)}),
    ):
        yield {
            "ours": (ours, lambda tokens: uvloop.run(_put(place.redis.url, installation, tokens))),
            "bare": (bare, lambda tokens: add(place.redis, tokens)),
        }


def measure(rounds: int, say: Callable[[str], None], places: list[Place], folder: Path, seconds: float) -> list[Figure]:
    """Measures both sides on each Redis in turn; ``seconds`` a round."""
    results: dict[tuple[str, str], list[Lateness]] = {}
    with contextlib.ExitStack() as stack:
        sides = {place.name: stack.enter_context(both(place, folder)) for place in places}
        for turn in range(rounds):
            for name, pair in sides.items():
                for side, (path, put) in pair.items():
                    results.setdefault((name, side), []).append(_late(path, put, seconds))
                told = [
                    f"{(late := results[name, side][-1]).percentile(50):.2f}/{late.percentile(99):.2f}/{late.most:.2f}"
                    for side in ("ours", "bare")
                ]
                say(f"round {turn + 1}: lateness with {name} far off, p50/p99/max in ms: {told[0]} against {told[1]}")
    return _figures(results, [place.name for place in places])


def _figures(results: dict[tuple[str, str], list[Lateness]], names: list[str]) -> list[Figure]:
    figures = []
    for name in names:
        ours, bare = results[name, "ours"], results[name, "bare"]
        target = Target(1.3, at_least=False)
        for label, of in {
            "p50": lambda late: late.percentile(50),
            "p99": lambda late: late.percentile(99),
            "max": lambda late: late.most,
        }.items():
            title = f"lateness, {A_SECOND:,} due a second, {name} far off, {label}"
            limit = target if label == "p99" and name == names[-1] else None
            figures.append(Figure(title, "ms", [*map(of, ours)], [*map(of, bare)], BARE, target=limit))
        early = [float(late.early) for late in ours]
        none = Target(0.0, at_least=False)
        figures.append(Figure(f"started before their time, {name} far off", "entries", early, comparison=Comparison.ALONE, target=none))
    p99 = {name: [late.percentile(99) for late in results[name, "ours"]] for name in names}
    title = f"lateness p99, {names[-1]} far off, against {names[0]}"
    figures.append(Figure(title, "ms", p99[names[-1]], p99[names[0]], f"{names[0]} far off", target=Target(1.5, at_least=False)))
    return figures


def _late(path: Path, put: Callable[[list[str]], None], seconds: float) -> Lateness:
    """Measures one round of one side."""
    chance = random.Random(SEED)
    count = round((WARM_UP + seconds) * A_SECOND)
    first = round((time.time() + AHEAD) * 1000)
    dues = [first + chance.randrange(round((WARM_UP + seconds) * 1000)) for _ in range(count)]
    tokens = [f"{due}-{number:022d}" for number, due in enumerate(dues)]
    after = path.stat().st_size
    put(tokens)
    if time.time() * 1000 > first:
        raise RuntimeError("the machine is too busy: the first entries were due before the last ones were in the queue")
    started = witness.wait_for(path, count, seconds + PATIENCE, after=after)
    counted = {token for token in tokens if due_of(token) >= first + WARM_UP * 1000}
    return Lateness.of({token: due_of(token) for token in counted}, started)


def due_of(token: str) -> int:
    """The due time in a token, in milliseconds."""
    return int(token.partition("-")[0])


async def _put(url: str, installation: str, tokens: list[str]) -> None:
    queue = RedisQueue(url, installation)
    await queue.open()
    try:
        await queue.put([Entry(token, EntryKind.JOB, TICKS, due_of(token)) for token in tokens])
    finally:
        await queue.close()


def add(redis: RealRedis, tokens: list[str]) -> None:
    """Puts tokens into the bare loop's sorted set."""
    with redis.client() as client:
        for start in range(0, len(tokens), 10_000):
            client.zadd(BARE_KEY, {token: due_of(token) for token in tokens[start : start + 10_000]})
