"""A week later: who stopped this, and why did that not run? With the rules of retention that a server has by default."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastlane.app import make_pruner
from fastlane.clock import SystemClock
from fastlane.models.cron import Cron
from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule, ScheduleKind
from tests.support.credentials import bearer, token
from tests.support.fastlane import HOST, Fastlane
from tests.support.redis import RealRedis
from tests.support.scenarios import come_due

ANNA, BEN = bearer("fl_anna"), bearer("fl_ben")
TOKENS = (token("anna", "fl_anna", "admin"), token("ben", "fl_ben", "run"))
POOLS = (Pool("default", "", (HOST,), max_waiting_of_task=1),)
WEEK = 7 * 86_400_000


class PastClock(SystemClock):
    """The time of a week ago."""

    def now(self) -> int:
        return super().now() - WEEK


@asynccontextmanager
async def serving(folder: Path, redis: RealRedis, *, past: bool, workers: int = 0) -> AsyncIterator[Fastlane]:
    """A server of one installation, now or a week ago."""
    times = {"queue_time": lambda: int(time.time() * 1000) - WEEK} if past else {}
    server = Fastlane(folder, redis.url, installation="week", tokens=TOKENS, pools=POOLS, listen="0.0.0.0", workers=workers, **times)
    if past:
        server.clock = PastClock()
    async with server:
        yield server


async def act(server: Fastlane, path: str, who: dict[str, str], body: Any = None) -> Any:
    answer = await server.ask("POST", path, json=body, headers=who)
    assert answer.status == 200, answer.body
    return answer.json


async def asked(server: Fastlane, path: str) -> Any:
    answer = await server.get(path, headers=ANNA)
    assert answer.status == 200, answer.body
    return answer.json


async def test_who_stopped_this_and_why_that_did_not_run(own_redis: RealRedis, tmp_path: Path) -> None:
    async with serving(tmp_path, own_redis, past=True, workers=1) as server:
        await act(server, "/pools/default/pause", ANNA)
        report = await server.submit("true", task="report")
        cron = await server.submit("true", task="nightly", schedule=Schedule(ScheduleKind.CRON, None, Cron("0 4 1 1 *")))
        await act(server, f"/tasks/nightly/jobs/{cron.job_id}/run", BEN)  # as many wait now as may
        await come_due(server, cron)
        await server.ledger(cron, "started", "skipped")
        await act(server, f"/tasks/report/jobs/{report.job_id}/stop", BEN)

    async with serving(tmp_path, own_redis, past=False) as server:
        await make_pruner(server.settings, server.store).prune_all()
        stopped = await asked(server, f"/events?job={report.job_id}&kind=job.stopped,execution.stop")
        times = [event["time"] for event in stopped["items"]]
        assert times == sorted(times, reverse=True)  # newest first; two of one millisecond are in no order
        assert sorted((event["kind"], event["actor"]["user"]) for event in stopped["items"]) == [
            ("execution.stop", "ben"),
            ("job.stopped", "ben"),
        ]
        (skipped,) = (await asked(server, f"/events?job={cron.job_id}&kind=tick"))["items"]
        words = "1 executions of the task wait, and the maxWaitingPerTask of pool 'default' is 1"
        assert (skipped["kind"], skipped["detail"]["reason"]) == ("tick.skipped", words)
        ledger = (await asked(server, f"/tasks/nightly/jobs/{cron.job_id}/ticks"))["items"]
        assert (words, "skipped") in [(tick["reason"], tick["outcome"]) for tick in ledger]
        last = (await asked(server, f"/tasks/nightly/jobs/{cron.job_id}/why"))["lastTick"]
        assert (last["outcome"], last["reason"], last["execution"]) == ("skipped", words, None)
        (paused,) = (await asked(server, "/events?kind=pool.paused"))["items"]
        assert (paused["actor"]["user"], paused["pool"]) == ("anna", "default")
        assert {event["time"][:10] for event in [*stopped["items"], skipped, paused]} <= {
            time.strftime("%Y-%m-%d", time.gmtime(time.time() - WEEK / 1000 - seconds)) for seconds in (0, 3_600)
        }
