"""Servers and workers whose machines have a wrong clock: they go by Redis's time."""

import datetime
from pathlib import Path
from typing import Any

import pytest

from fastlane.clock import AlignedClock, SystemClock
from fastlane.errors import QueueDown
from fastlane.scheduler import watcher
from tests.support.clock import ShiftedClock
from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis

FAR = 3_600_000


@pytest.mark.parametrize("ahead", [FAR, -FAR], ids=["ahead", "behind"])
async def test_a_servers_wrong_clock_delays_and_hastens_nothing(shared_redis: RealRedis, tmp_path: Path, ahead: int) -> None:
    crew = Fastlane(tmp_path, shared_redis.url)
    crew.clock = ShiftedClock(ahead)
    async with crew:
        crew.clock = right = SystemClock()
        await crew.hire()
        before = right.now()
        now = await crew.enqueue("now", expiresIn="30s")
        soon = await crew.enqueue("soon", startIn="1s")
        late = await crew.enqueue("late", startIn="10m")
        for reply in (now, soon):
            assert (await _ended(crew, reply))["status"] == "done"
        due = (await crew.get(soon["jobUrl"])).json["job"]["executions"][0]["scheduledFor"]
        assert before < _milliseconds(due) <= right.now()
        assert (await crew.get(late["jobUrl"])).json["job"]["status"] == "scheduled"


async def test_a_worker_whose_clock_is_wrong_works_and_status_tells_how_wrong_it_is(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url) as crew:
        crew.clock = ShiftedClock(-FAR)
        await crew.hire()
        before = SystemClock().now()
        job = await _ended(crew, await crew.enqueue())
        assert before <= _milliseconds(job["executions"][0]["finishedAt"]) <= SystemClock().now()
        await crew.until(lambda: _skew_shown(crew, -FAR), "the worker's skew to be shown")


async def test_a_worker_whose_clock_is_set_ends_nothing_before_its_time(
    shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "RECHECK", 0.05)  # or it looks at a service every 30 s
    async with Fastlane(tmp_path, shared_redis.url) as crew:
        crew.clock = machine = ShiftedClock(0)
        await crew.hire()
        held = await crew.enqueue(command=["hold"], timeout=600)
        await crew.until(lambda: _has_status(crew, held, "running"), "the job to run")
        machine.ahead = FAR
        await crew.until(lambda: _skew_shown(crew, FAR), "the worker's skew to be shown")
        assert await _has_status(crew, held, "running")
        crew.executor.release(held["executionId"])
        assert (await _ended(crew, held))["status"] == "done"


async def test_a_worker_that_does_not_know_rediss_time_yet_claims_nothing(
    shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unanswered(_clock: AlignedClock, _ask: object) -> None:
        raise QueueDown("no answer")

    async with Fastlane(tmp_path, shared_redis.url) as crew:
        with monkeypatch.context() as patch:
            patch.setattr(AlignedClock, "align", unanswered)
            crew.clock = ShiftedClock(-FAR)
            await crew.hire()
            job = await crew.enqueue()
            await crew.until(lambda: _skew_shown(crew, -FAR), "the worker's skew to be shown")
            assert await _has_status(crew, job, "enqueued")
        await _ended(crew, job)


async def _has_status(crew: Fastlane, reply: dict[str, str], status: str) -> bool:
    return bool((await crew.get(reply["jobUrl"])).json["job"]["status"] == status)


async def _skew_shown(crew: Fastlane, skew: int) -> bool:
    workers = (await crew.get("/status")).json["workers"]["items"]
    shown = [worker["clockSkewMs"] for worker in workers if worker["clockSkewMs"] is not None]
    return any(abs(one - skew) < 1_000 for one in shown)


async def _ended(crew: Fastlane, reply: dict[str, str]) -> dict[str, Any]:
    async def ended() -> dict[str, Any] | None:
        job: dict[str, Any] = (await crew.get(reply["jobUrl"])).json["job"]
        return job if job["status"] in {"done", "failed", "expired"} else None

    return await crew.until(ended, "the job to end")


def _milliseconds(moment: str) -> int:
    return round(datetime.datetime.fromisoformat(moment).timestamp() * 1000)
