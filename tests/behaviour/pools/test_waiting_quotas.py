"""A pool that has as many executions waiting as it may: requests are refused, and a cron's tick says why it made none."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fastlane.models.cron import Cron
from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule, ScheduleKind
from tests.support.factories import make_spec
from tests.support.fastlane import HOST, Fastlane
from tests.support.ledger import ticks_of
from tests.support.redis import RealRedis
from tests.support.virtual_time import POOLS as VIRTUAL, VirtualFastlane

POOLS = (
    Pool("narrow", "narrow", (HOST,), max_waiting=2),
    Pool("default", "", (HOST,), max_waiting_of_task=2),
)


@pytest.fixture
async def server(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path, shared_redis.url, pools=POOLS) as server:
        yield server


@pytest.mark.parametrize(("task", "words"), [("narrow-1", "2 executions wait in pool 'narrow'"), ("a", "2 executions of the task wait")])
async def test_what_would_run_at_once_is_refused_while_as_many_wait_as_may(server: Fastlane, task: str, words: str) -> None:
    first = await server.enqueue(task)
    await server.enqueue(task)
    for answer in (
        await server.post(f"/tasks/{task}", {"image": "ubuntu"}),
        await server.put(first["jobUrl"], {"image": "ubuntu"}),
        await server.post(first["jobUrl"] + "run"),
    ):
        assert (answer.status, answer.headers["Retry-After"]) == (429, "2")
        assert words in answer.json["detail"]
        assert "ask the operator" in answer.json["detail"]
    assert (await server.post(f"/tasks/{task}", {"image": "ubuntu", "startIn": "1h"})).status == 200
    assert (await server.post("/tasks/b", {"image": "ubuntu"})).status == 200
    await server.post(first["jobUrl"] + "stop")
    assert (await server.post(f"/tasks/{task}", {"image": "ubuntu"})).status == 200


async def test_a_known_idempotency_key_gets_its_answer_however_much_waits(server: Fastlane) -> None:
    body, headers = {"image": "ubuntu"}, {"Idempotency-Key": "once"}
    first = await server.ask("POST", "/tasks/a", json=body, headers=headers)
    await server.enqueue("a")
    again = await server.ask("POST", "/tasks/a", json=body, headers=headers)
    assert (again.status, again.json) == (200, first.json)


async def test_a_cron_s_tick_that_is_refused_is_in_the_ledger_with_the_reason_and_the_next_one_comes(
    virtual: VirtualFastlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_minute = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
    job = await virtual.services.submissions.enqueue("t", make_spec(), every_minute)
    limited = [replace(pool, max_waiting_of_task=1) for pool in VIRTUAL]
    monkeypatch.setattr(virtual.timer._quotas, "_pools", limited)
    due = (await virtual.job(job.job_id)).next_tick
    assert due is not None
    (first,) = await virtual.until(due)
    assert await virtual.until(due + 60_000) == []
    tick = (await ticks_of(virtual.real_store, job.job_id))[0]
    assert (tick.outcome, tick.execution_id) == ("skipped", None)
    assert "maxWaitingPerTask of pool 'default' is 1" in (tick.reason or "")
    await virtual.finish(first)
    assert len(await virtual.until(due + 120_000)) == 1
