"""Automatic retries, seen from outside: attempts, back-off, stops between them, and workers that die meanwhile."""

from dataclasses import replace
from typing import Any

from fastlane.models import transitions
from fastlane.models.job import Ending, Execution, Failure
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status
from fastlane.models.tick import execution_id, next_execution
from fastlane.scheduler.settler import Settler
from fastlane.scheduler.worker import build_parts
from fastlane.services.results import Enqueued
from tests.support.defaults import default_worker, ports_of
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Call, intercept
from tests.support.scenarios import has_executions, hourly

MINUTE = 60_000
HOUR = 60 * MINUTE


async def fail_twice(call: Call) -> Any:
    """The first two attempts end with exit code 1, the next one well."""
    host, order, image = call.arguments
    command = ("exit", "1") if order.attempt <= 2 else ("exit", "0")
    return await call.real(host, replace(order, command=command), image)


async def test_a_job_that_fails_twice_is_done_at_the_third_attempt(crew: Fastlane) -> None:
    intercept(crew.executor, "park", fail_twice)
    for _ in range(2):
        await crew.hire()
    job = await crew.submit(retries=5, retry_delay=100)
    await crew.reaches(job, "done")
    last = await crew.cleaned(job)
    attempts = await crew.attempts(job)
    assert [one.attempt for one in attempts] == [1, 2, 3]
    assert [one.status.value for one in attempts] == ["failed", "failed", "done"]
    assert [one.id for one in attempts] == [execution_id(job.tick_id, attempt) for attempt in (1, 2, 3)]
    assert [one.scheduled_for for one in attempts[1:]] == [int(one.finished_at or 0) + 100 for one in attempts[:2]]
    assert all(one.tick_id == job.tick_id and one.sequence == last.sequence for one in attempts)
    assert all(one.settled and one.cleaned for one in attempts)
    assert crew.executor.starts == [one.id for one in attempts]
    (tick,) = await crew.ledger(job, "started")
    assert (tick.id, tick.execution_id) == (job.tick_id, attempts[0].id)
    await crew.idle()


async def test_a_job_that_keeps_failing_ends_failed_after_its_last_retry(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("exit", "7", retries=2, retry_delay=0)
    await crew.until(lambda: has_executions(crew, job, 3), "the third attempt")
    ended = await crew.cleaned(job)
    assert (ended.attempt, ended.status, ended.exit_code) == (3, Status.FAILED, 7)
    await crew.idle()
    assert len(crew.executor.starts) == 3


async def test_each_tick_of_a_cron_has_its_own_count_of_retries(crew: Fastlane) -> None:
    await crew.hire()
    schedule, _ = hourly(crew.clock.now())
    job = await crew.submit("exit", "1", schedule=schedule, retries=1, retry_delay=0)
    for count in (1, 2):
        await crew.move(job, crew.clock.now())
        await crew.until(lambda count=count: has_executions(crew, job, 2 * count), "the tick's second attempt")
        await crew.cleaned(job)
    assert [one.attempt for one in await crew.attempts(job)] == [1, 2, 1, 2]


async def test_a_retry_waits_for_its_back_off(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("exit", "1", retries=1)
    await crew.until(lambda: has_executions(crew, job, 2), "the attempt that follows")
    first, second = await crew.attempts(job)
    assert 1_000 <= second.scheduled_for - int(first.finished_at or 0) <= 1_200
    assert second.status is Status.ENQUEUED
    ended = await crew.cleaned(job)
    assert ended.id == second.id
    assert int(ended.started_at or 0) >= second.scheduled_for


async def test_a_stop_between_an_attempt_and_its_retry_ends_it_there(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("exit", "1", retries=3, retry_delay=HOUR)
    await crew.until(lambda: has_executions(crew, job, 2), "the attempt that follows")
    assert (await crew.services.stops.stop_job("task", job.job_id)).status == "stopped"
    ended = await crew.cleaned(job)
    assert (ended.attempt, ended.status) == (2, Status.STOPPED)
    await crew.idle()
    assert len(crew.executor.starts) == 1
    await crew.ledger(job, "started")


async def failed(crew: Fastlane, job: Enqueued) -> Execution:
    """The job's first execution ran and failed, and its worker died before it could settle it."""
    execution = await crew.latest_execution(job)
    assert execution is not None
    now = crew.clock.now()
    for step in (
        lambda one: transitions.claim(one, host=HOST, pool="default", now=now),
        lambda one: transitions.bind(one, service_id="gone", swarm_id="w", image_digest=None, now=now),
        lambda one: transitions.end(one, Ending(Status.FAILED, now, 1, Failure(FailureReason.EXIT, "1"))),
    ):
        execution = await crew.store.change(step(execution))
        assert execution is not None
    return execution


def settler(crew: Fastlane) -> Settler:
    ports = ports_of(crew.store, crew.queue, crew.clock, executor=crew.executor, pools=crew.pools)
    return build_parts(ports, default_worker()).settler


async def test_a_stop_after_the_failure_and_before_the_retry_is_made_leaves_none(crew: Fastlane) -> None:
    job = await crew.submit(retries=1, retry_delay=0)
    execution = await failed(crew, job)
    await crew.services.stops.stop_job("task", job.job_id)
    assert (await settler(crew).settle(execution)).settled
    await crew.hire()
    await crew.idle()
    assert [one.status.value for one in await crew.attempts(job)] == ["failed"]
    assert crew.executor.starts == []


async def test_a_worker_that_died_after_it_made_the_retry_makes_no_second_one(crew: Fastlane) -> None:
    """The retry is in the store, the failed attempt is not settled, and the queue knows of neither: the reconciler finds both."""
    job = await crew.submit(retries=1, retry_delay=0)
    execution = await failed(crew, job)
    assert await crew.store.insert(next_execution(execution, due=int(execution.finished_at or 0), now=crew.clock.now()))
    await crew.queue.finish({execution.id: 0})
    await crew.hire()
    ended = await crew.cleaned(job)

    async def settled() -> bool:
        first = await crew.store.execution(execution.id)
        return first is not None and first.settled

    await crew.until(settled, "the failed attempt to be settled")
    await crew.idle()
    assert (ended.id, ended.attempt, ended.status) == (execution_id(job.tick_id, 2), 2, Status.DONE)
    assert crew.executor.starts == [ended.id]
    assert await has_executions(crew, job, 2)


async def test_settling_again_after_the_retry_has_ended_starts_nothing(crew: Fastlane) -> None:
    job = await crew.submit(retries=1, retry_delay=0)
    execution = await failed(crew, job)
    await settler(crew).settle(execution)
    await crew.hire()
    ended = await crew.cleaned(job)
    assert ended.attempt == 2
    await settler(crew).settle(execution)
    await crew.idle()
    assert crew.executor.starts == [ended.id]
    assert await crew.attempts(job) == [await crew.store.execution(execution.id), ended]


async def test_many_who_settle_at_once_make_one_retry(crew: Fastlane) -> None:
    for _ in range(3):
        await crew.hire()
    jobs = [await crew.submit("exit", "1", retries=2, retry_delay=0) for _ in range(20)]
    for job in jobs:
        await crew.until(lambda job=job: has_executions(crew, job, 3), "the third attempt")
        await crew.cleaned(job)
    await crew.idle()
    assert len(crew.executor.starts) == len(set(crew.executor.starts)) == 60


async def test_no_retry_is_made_that_could_only_expire(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("exit", "1", retries=3, retry_delay=HOUR, expires_in=10_000)
    ended = await crew.cleaned(job)
    assert (ended.attempt, ended.status) == (1, Status.FAILED)
    assert await has_executions(crew, job, 1)
    await crew.idle()
