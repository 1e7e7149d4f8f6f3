"""Ticks and runs of a job that is under way: skipped, queued, or in place of what runs. With real workers, and over HTTP for ``run``."""

import json
from typing import Any

import pytest

from fastlane.models.job import Execution
from fastlane.models.schedule import Overlap
from fastlane.models.status import Status
from fastlane.services.results import Enqueued
from tests.support.fastlane import HOST, Fastlane
from tests.support.scenarios import come_due, hourly

RUNS = "running"


async def job_with(crew: Fastlane, overlap: Overlap, *command: str, **rules: int) -> Enqueued:
    """A cron with that rule, whose first tick's execution runs and holds."""
    schedule, _ = hourly(crew.clock.now(), overlap=overlap)
    job = await crew.submit(*(command or ("hold",)), schedule=schedule, **rules)
    await crew.move(job, crew.clock.now())
    await crew.reaches(job, RUNS)
    return job


async def one_of(crew: Fastlane, execution_id: str | None, *statuses: str) -> Execution:
    """An execution, once it has one of these statuses."""

    async def reached() -> Execution | None:
        row = await crew.store.execution(str(execution_id))
        return row if row is not None and row.status.value in statuses else None

    found = await crew.until(reached, f"{statuses} of {execution_id}")
    assert found is not None
    return found


async def run(crew: Fastlane, job: Enqueued, query: str = "", status: int = 200) -> Any:
    """Asks to run the job now."""
    answer = await crew.post(f"/tasks/task/jobs/{job.job_id}/run{query}")
    assert answer.status == status, answer.body
    return answer.json


async def job_status(crew: Fastlane, job: Enqueued) -> str:
    return str((await crew.get(f"/tasks/task/jobs/{job.job_id}")).json["job"]["status"])


async def test_a_run_of_a_job_that_skips_is_refused_while_it_runs_and_can_be_forced(crew: Fastlane) -> None:
    await crew.hire()
    job = await job_with(crew, Overlap.SKIP)
    (first,) = await crew.attempts(job)
    refusal = await run(crew, job, status=409)
    assert f"execution {first.id} of the job was still under way" in refusal["detail"]
    assert "?force=1" in refusal["detail"]
    forced = await run(crew, job, "?force=1")
    await one_of(crew, forced["executionId"], RUNS)
    assert crew.executor.starts == [first.id, forced["executionId"]]
    for id in crew.executor.starts:
        crew.executor.release(id)
        await one_of(crew, id, "done")
    assert (await run(crew, job))["executionId"]


async def test_a_tick_of_a_job_that_queues_starts_when_the_one_before_has_ended_and_a_second_is_skipped(crew: Fastlane) -> None:
    await crew.hire()
    job = await job_with(crew, Overlap.QUEUE)
    await come_due(crew, job)
    started, queued = await crew.ledger(job, "started", "queued")
    await come_due(crew, job)
    skipped = (await crew.ledger(job, "started", "queued", "skipped"))[-1]
    assert str(queued.execution_id) in str(skipped.reason)
    assert str(started.execution_id) in (await run(crew, job, status=409))["detail"]
    assert await job_status(crew, job) == RUNS
    why = (await crew.get(f"/tasks/task/jobs/{job.job_id}/executions/{queued.execution_id}/why")).json
    (wait,) = why["waitingFor"]
    assert (why["status"], wait["reason"], wait["executionId"]) == ("enqueued", "overlap", started.execution_id)
    assert crew.executor.starts == [started.execution_id]
    crew.executor.release(started.execution_id)
    ended = await one_of(crew, started.execution_id, "done")
    second = await one_of(crew, queued.execution_id, RUNS)
    assert crew.executor.starts == [started.execution_id, queued.execution_id]
    assert (second.placed_at or 0) >= (ended.finished_at or 0)


async def test_a_run_of_a_job_that_queues_waits_through_the_retries_of_the_one_before(crew: Fastlane) -> None:
    await crew.hire()
    job = await job_with(crew, Overlap.QUEUE, "hold", "exit", "1", retries=1, retry_delay=200)
    waits = await run(crew, job)
    (first, second) = await crew.attempts(job)
    assert (second.id, second.waits) == (waits["executionId"], Overlap.QUEUE)
    crew.executor.release(first.id)

    async def again() -> Execution | None:
        return next((one for one in await crew.attempts(job) if one.attempt == 2 and one.status is Status.RUNNING), None)

    retry = await crew.until(again, "the attempt that follows")
    assert retry is not None
    assert (await one_of(crew, second.id, "enqueued")).waits is Overlap.QUEUE
    crew.executor.release(retry.id)
    await one_of(crew, second.id, RUNS)
    assert crew.executor.starts == [first.id, retry.id, second.id]


async def test_a_tick_of_a_job_that_replaces_starts_when_the_one_before_was_stopped(crew: Fastlane) -> None:
    await crew.hire()
    job = await job_with(crew, Overlap.REPLACE)
    (first,) = await crew.attempts(job)
    await crew.move(job, crew.clock.now())
    replacing = (await crew.ledger(job, "started", "replaced"))[-1]
    stopped = await one_of(crew, first.id, "stopped")
    second = await one_of(crew, replacing.execution_id, RUNS)
    assert first.id in str(replacing.reason)
    assert (second.placed_at or 0) >= (stopped.finished_at or 0)
    assert crew.executor.starts == [first.id, second.id]


async def test_of_several_that_replace_what_runs_only_the_last_starts(crew: Fastlane) -> None:
    """Nothing is worked on until all of them are there."""
    await crew.hire()
    job = await job_with(crew, Overlap.REPLACE)
    (first,) = await crew.attempts(job)
    await crew.dismiss()
    runs = [await run(crew, job) for _ in range(3)]
    await crew.hire()
    last = await one_of(crew, runs[-1]["executionId"], RUNS)
    assert [(await one_of(crew, id, "stopped")).has_started for id in (first.id, runs[0]["executionId"], runs[1]["executionId"])] == [
        True,
        False,
        False,
    ]
    assert crew.executor.starts == [first.id, last.id]
    await crew.ledger(job, "started", "stopped", "stopped", "replaced")


async def test_a_stop_ends_what_waits_and_what_runs(crew: Fastlane) -> None:
    await crew.hire()
    job = await job_with(crew, Overlap.QUEUE)
    (first,) = await crew.attempts(job)
    waits = await run(crew, job)
    crew.executor.down(HOST)  # the one that runs cannot end before the answer
    answer = await crew.services.stops.stop_job("task", job.job_id)
    assert (answer.status, answer.stopping) == (RUNS, True)
    crew.executor.up(HOST)
    await one_of(crew, first.id, "stopped")
    await one_of(crew, waits["executionId"], "stopped")
    await crew.ledger(job, "started", "stopped")
    await crew.idle()
    assert crew.executor.starts == [first.id]


async def test_one_that_waits_expires_on_time_and_makes_room_for_another(crew: Fastlane) -> None:
    await crew.hire()
    job = await job_with(crew, Overlap.QUEUE, expires_in=3_000)
    waits = await run(crew, job)
    await one_of(crew, waits["executionId"], "expired")
    await crew.ledger(job, "started", "expired")
    await run(crew, job)
    await crew.ledger(job, "started", "expired", "queued")


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_one_that_waits_starts_at_once_when_its_job_comes_to_allow_overlap(crew: Fastlane, method: str) -> None:
    """Long before a worker would look at it again."""
    await crew.hire()
    job = await job_with(crew, Overlap.QUEUE)
    (first,) = await crew.attempts(job)
    waits = await run(crew, job)
    body = {"overlap": "allow"} if method == "PATCH" else {"image": "ubuntu:latest", "command": ["hold"], "cron": "@yearly"}
    answer = await crew.ask(method, f"/tasks/task/jobs/{job.job_id}", data=json.dumps(body).encode())
    assert answer.status == 200, answer.body
    await one_of(crew, waits["executionId"], RUNS)
    assert crew.executor.starts == [first.id, waits["executionId"]]
