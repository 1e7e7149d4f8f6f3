"""The answer to a call that was carried out is lost, at each script of the queue and each call of an engine: the job starts exactly once
and ends right, and whoever waits for an answer gets one."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from fastlane.queue.redis.connection import Script
from tests.crash.api_and_reconciler import Request
from tests.crash.cases import SCENARIOS
from tests.crash.conftest import Runner
from tests.crash.ground import Ground, Lost, World
from tests.support.lost_answers import CALLS
from tests.support.seams import Trip

REDIS = {
    "now": ("claim", "renew", "renew 2", "finish", "announce", "announce 2", "GET", "INFO", "SUBSCRIBE"),
    "later": ("claim", "put", "finish", "finish 2"),
    "other-lane": ("requeue",),
    "queued": ("requeue", "put"),
    "unserved-lane": ("members", "adopt"),
    "stopped-first": ("finish",),
    "rebuilt": ("remember_store", "audit", "wipe", "restore", "set_generation", "SMEMBERS", "claim 2"),
    "handed-over": ("release",),
    "posted": ("put",),
    "posted-later": ("put",),
    "stop": ("cancel",),
    "stop-first": ("cancel", "put"),
    "stop-later": ("cancel",),
    "unqueued": ("put",),
}
"""For each scenario the scripts and commands whose answers are lost; a number says which answer."""

ENGINE = {
    "now": (
        "create",
        "update",
        "inspect",
        "tasks",
        "tasks 2",
        "nodes",
        "container",
        "container 2",
        "image",
        "logs",
        "logs 2",
        "delete",
        "services",
    ),
    "stopped-while-running": ("update 2", "inspect 2", "inspect 3", "delete"),
    "stopped-first": ("services",),
    "missing-image": ("distribution", "image"),
}
"""The same for the calls of an engine."""

CUT = (Lost("engine", "logs", 1, 400), Lost("engine", "logs", 2, 400), Lost("engine", "logs", 2, 4000))
"""Answers that are cut in their middle."""

NOBODYS = {"counts", "oldest", "reports", "pause", "lane_of", "turns"}
"""Scripts by which nothing is decided about a job: the status page's and the metrics', what explains a wait, and a pool's pause
(tests/behaviour/pools/test_pool_pauses.py)."""

QUICK = {
    "redis-now-claim",
    "redis-later-put",
    "redis-posted-put",
    "redis-rebuilt-set_generation",
    "engine-now-create",
    "engine-now-update",
} | {
    "engine-now-delete",
    "engine-now-logs-2-400",
}


@dataclass(frozen=True)
class Case:
    """A scenario in which one answer is lost."""

    scenario: str
    lost: Lost

    def __str__(self) -> str:
        lost = self.lost
        numbers = [str(lost.nth)] if lost.nth > 1 or lost.kept else []
        return "-".join([lost.before, self.scenario, lost.call, *numbers, *([str(lost.kept)] if lost.kept else [])])

    async def run(self, world: World) -> None:
        """Plays it, on ground of its own."""
        scenario = SCENARIOS[self.scenario]()
        scenario.reconcile = 1.0
        hosts = tuple(host or world.engine for host in scenario.hosts)
        async with Ground(world, hosts, self.lost, dict(scenario.settings)) as ground:
            await scenario.run(ground, [Trip("the wire", "")])
            if isinstance(scenario, Request):
                await scenario.answered()


def cases() -> Iterator[Case]:
    """All cases."""
    for before, table in (("redis", REDIS), ("engine", ENGINE)):
        for scenario, calls in table.items():
            for call in calls:
                name, _, nth = call.partition(" ")
                yield Case(scenario, Lost(before, name, int(nth or 1)))
    for lost in CUT:
        yield Case("now", lost)


ALL = list(cases())


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=str(case), marks=() if str(case) in QUICK else pytest.mark.thorough) for case in ALL]
)
def test_a_job_starts_once_and_ends_right_whatever_answer_is_lost(runner: Runner, case: Case) -> None:
    runner.wait(str(case))


def test_every_script_and_every_call_loses_an_answer() -> None:
    assert {case.lost.call for case in ALL if case.lost.before == "redis"} >= set(Script.read_all()) - NOBODYS
    assert {case.lost.call for case in ALL if case.lost.before == "engine"} == set(CALLS)


def test_the_quick_cases_are_cases() -> None:
    assert {str(case) for case in ALL} >= QUICK
