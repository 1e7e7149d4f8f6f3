"""The model test: whatever happens to processes, clocks, the queue and calls, what fastlane promises holds.

``FASTLANE_MODEL_SEEDS`` is how many programs are run (1,000 unless it says otherwise). A failing one is printed, shrunk; by hand
``python -m tests.model 17`` runs seed 17, and with ``-v`` prints everything that happened.
"""

import faulthandler
import multiprocessing
import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.model.operations import Step, program
from tests.model.reached import OFTEN
from tests.model.shrink import shrink
from tests.model.simulation import Result, simulate
from tests.support.redis import RealRedis
from tests.support.stores import DATABASES

pytestmark = pytest.mark.model

SEEDS = int(os.environ.get("FASTLANE_MODEL_SEEDS", "1000"))
PROCESSES = 2
PART = 10
ENOUGH = 100
"""Programs among which some reach each of the common rules."""
RANDOM = re.compile("LOG|queue.current ")
"""What names workers, by ids of their own."""
HANGS_AFTER = 900
"""Seconds of real time after which a part of the seeds says where it hangs, and ends."""


@pytest.fixture(scope="module")
def redis() -> Iterator[RealRedis]:
    with RealRedis() as server:
        yield server


def failures(seeds: range, socket: Path) -> tuple[list[Result], set[str]]:
    """Those of the seeds that fail, and the rules that were reached by any; run in a process of its own."""
    faulthandler.dump_traceback_later(HANGS_AFTER, exit=True, file=sys.__stderr__)
    results = [simulate(seed, socket) for seed in seeds]
    faulthandler.cancel_dump_traceback_later()
    DATABASES.close()
    return [result for result in results if result.complaints], {rule for result in results for rule in result.reached}


@pytest.mark.timeout(3600)
def test_what_is_promised_holds_whatever_happens(redis: RealRedis) -> None:
    parts = [range(first, min(first + PART, SEEDS + 1)) for first in range(1, SEEDS + 1, PART)]
    found: list[Result] = []
    reached: set[str] = set()
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as processes:
        for failed, rules in processes.map(failures, parts, [redis.socket] * len(parts)):
            found += failed
            reached |= rules
            if len(found) >= 3:
                processes.shutdown(cancel_futures=True)
                break
    if found:
        shortest = shrink(found[0], lambda steps: simulate(found[0].seed, redis.socket, steps), seconds=60)
        others = [f"seed {result.seed}: {result.kind}" for result in found[1:]]
        pytest.fail(f"{shortest}\n  at the end:\n" + "\n".join([*shortest.trace[-60:], *others]), pytrace=False)
    assert SEEDS < ENOUGH or reached >= OFTEN


def test_a_seed_replays(redis: RealRedis) -> None:
    first, again = (simulate(2, redis.socket, keep_trace=True).trace for _ in range(2))
    calls = [[line[:60] for line in trace if not RANDOM.search(line)] for trace in (first, again)]
    assert len(calls[0]) > 50
    assert calls[0] == calls[1]


def test_shrinking_leaves_what_a_failure_needs() -> None:
    steps = [Step(name, (), 0.5) for name in ("flush", "hire", "kill", "flush", "enqueue", "hire")]

    def attempt(tried: list[Step]) -> Result:
        names = [step.name for step in tried]
        return Result(1, tuple(tried), ("it fails",) if "kill" in names and "enqueue" in names else (), ())

    assert shrink(attempt(steps), attempt, seconds=30).steps == (Step("kill", (), 0.0), Step("enqueue", (), 0.0))


def test_programs_have_every_operation_and_differ() -> None:
    programs = [program(seed) for seed in range(200)]
    from tests.model.operations import OPERATIONS

    assert {step.name for steps in programs for step in steps} == set(OPERATIONS)
    assert len({tuple(steps) for steps in programs}) > 190
