"""A server whose machine has a wrong clock: what clients ask for is due when it is due by Redis's time, which workers go by."""

import datetime
from pathlib import Path

import pytest

from fastlane.clock import SystemClock
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


async def test_status_tells_how_wrong_a_workers_clock_is(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url) as crew:
        crew.clock = ShiftedClock(-FAR)
        await crew.hire()
        await crew.until(lambda: _skew_shown(crew, -FAR), "the worker's skew to be shown")
        job = await crew.enqueue()
        await crew.dismiss()
        assert (await crew.get(job["jobUrl"])).json["job"]["status"] == "enqueued", "a worker with a wrong clock claims nothing"
        crew.clock = SystemClock()
        await crew.hire()
        await _ended(crew, job)
        await crew.until(lambda: _skew_shown(crew, 0), "the other worker's skew to be shown")


async def _skew_shown(crew: Fastlane, skew: int) -> bool:
    workers = (await crew.get("/status")).json["workers"]["items"]
    shown = [worker["clockSkewMs"] for worker in workers if worker["clockSkewMs"] is not None]
    return any(abs(one - skew) < 1_000 for one in shown)


async def _ended(crew: Fastlane, reply: dict[str, str]) -> dict[str, object]:
    async def ended() -> dict[str, object] | None:
        job: dict[str, object] = (await crew.get(reply["jobUrl"])).json["job"]
        return job if job["status"] in {"done", "failed", "expired"} else None

    return await crew.until(ended, "the job to end")


def _milliseconds(moment: str) -> int:
    return round(datetime.datetime.fromisoformat(moment).timestamp() * 1000)
