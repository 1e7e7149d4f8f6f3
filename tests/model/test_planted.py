"""The test of the model test: each small mistake that is planted in fastlane makes it fail, and within a bounded number of seeds.

``FASTLANE_MODEL_FAULTS`` is how many of them are looked for (all, unless it says otherwise). The commit decides which: the next one looks
for others.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.faults.__main__ import git
from tests.faults.mutants import lot
from tests.model.operations import program
from tests.model.planted import FOCUS, PLANTED, planted
from tests.model.simulation import simulate
from tests.model.troubles import POINTS
from tests.support.redis import RealRedis

pytestmark = pytest.mark.model

MOST_SEEDS = 400
"""Most are found within ten; what the seeds come to changes with every change of fastlane, and the rarest took up to 100 so far."""
PROCESSES = 2

MOST_FAULTS = int(os.environ.get("FASTLANE_MODEL_FAULTS", len(PLANTED)))
LOOKED_FOR = list(PLANTED) if len(PLANTED) <= MOST_FAULTS else sorted(PLANTED, key=partial(lot, git("rev-parse", "HEAD")))[:MOST_FAULTS]

Searches = Mapping[str, "Future[int | None]"]


def search(name: str, socket: Path) -> int | None:
    """The first seed that fails with this fault; None when none does. Run in a process of its own."""
    with planted(name):
        for seed in range(1, MOST_SEEDS + 1):
            if simulate(seed, socket, program(seed, FOCUS.get(name, ()))).complaints:
                return seed
    return None


@pytest.fixture(scope="module")
def searches(request: pytest.FixtureRequest) -> Iterator[Searches]:
    """The searches for all faults that are asked for, two at a time."""
    callspecs = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    names = [spec.params["name"] for spec in callspecs if spec is not None]
    with RealRedis() as server, ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as processes:
        yield {name: processes.submit(search, name, server.socket) for name in names}
        processes.shutdown(cancel_futures=True)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", LOOKED_FOR)
def test_a_planted_fault_is_found(searches: Searches, name: str, record_property: Callable[[str, object], None]) -> None:
    found = searches[name].result()
    record_property("seed", found)
    assert found is not None, f"{name} was not found"


def test_the_calls_that_a_fault_is_looked_for_at_are_there() -> None:
    assert set(FOCUS) <= set(PLANTED)
    assert {point for points in FOCUS.values() for point in points} <= set(POINTS)
