"""What workers do, seen from outside: a real store, a real Redis, and an executor that ends at once and counts every start."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from fastlane.errors import OrderRefused
from fastlane.models import transitions
from fastlane.models.job import Ending
from fastlane.models.job_change import fire
from fastlane.models.pool import Pool
from fastlane.models.status import Status
from fastlane.queue.port import TICKS, Entry, EntryKind
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Call, intercept
from tests.support.redis import RealRedis


async def test_a_job_runs_once_and_leaves_nothing_behind(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("out", "hello\n", "err", "oops\n", "exit", "3")
    ended = await crew.cleaned(job)
    assert (ended.status, ended.exit_code, ended.epoch) == (Status.FAILED, 3, 1)
    assert await crew.stored_log(ended) == b"hello\noops\n"
    assert (ended.stdout_bytes, ended.stderr_bytes) == (6, 5)
    assert crew.executor.starts == [ended.id]
    assert not crew.executor.world[HOST]
    await crew.idle()


async def test_a_job_for_later_makes_its_execution_when_it_is_due(crew: Fastlane) -> None:
    await crew.hire()
    due = crew.clock.now() + 300
    job = await crew.submit("exit", "0", at=due)
    assert await crew.latest_execution(job) is None
    ended = await crew.cleaned(job)
    assert ended.scheduled_for == due
    assert ended.created_at >= due
    assert ended.tick_id == job.tick_id
    stored = await crew.store.job(job.job_id)
    assert stored is not None
    assert (stored.next_tick, stored.last_tick) == (None, due)
    await crew.idle()


async def test_a_pool_never_runs_more_than_its_limit_and_all_get_their_turn(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("small", "", (HOST,), max_running=3),)) as crew:
        await crew.hire()
        await crew.hire()
        jobs = [await crew.submit("hold") for _ in range(9)]
        released: set[str] = set()
        while len(released) < 9:
            await crew.until(lambda: _more_started(crew, released), "the next start")
            running = [run.order.execution_id for run in crew.executor.world[HOST].values() if run.running]
            assert len(running) <= 3
            crew.executor.release(running[0])
            released.add(running[0])
        for job in jobs:
            assert (await crew.cleaned(job)).status is Status.DONE
        assert Counter(crew.executor.starts).most_common(1)[0][1] == 1


async def _more_started(crew: Fastlane, released: set[str]) -> bool:
    return any(run.running and run.order.execution_id not in released for run in crew.executor.world[HOST].values())


async def test_a_dismissed_worker_hands_over_what_runs_and_it_runs_once(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("out", "one\n", "hold", "out", "two\n", "exit", "5")
    running = await crew.reaches(job, "running")
    await crew.dismiss()
    await crew.hire()
    await crew.until(lambda: _epoch_is(crew, running.id, 2), "the take-over")
    crew.executor.release(running.id)
    ended = await crew.cleaned(job)
    assert (ended.exit_code, ended.epoch) == (5, 2)
    assert await crew.stored_log(ended) == b"one\ntwo\n"
    assert crew.executor.starts == [running.id]


async def _epoch_is(crew: Fastlane, execution_id: str, epoch: int) -> bool:
    execution = await crew.store.execution(execution_id)
    return execution is not None and execution.epoch == epoch


async def test_an_order_that_the_engine_refuses_fails_with_its_words(crew: Fastlane) -> None:
    crew.executor.refusals.append(OrderRefused("invalid memory limit"))
    await crew.hire()
    ended = await crew.cleaned(await crew.submit())
    assert ended.status is Status.FAILED
    assert ended.failure is not None
    assert (ended.failure.reason, ended.failure.message) == ("rejected", "invalid memory limit")


async def test_an_execution_for_which_no_pool_is_left_fails_and_says_so(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url) as before:
        job = await before.submit()
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("other", "other", (HOST,)),), pending_deadline=0.5) as after:
        await after.hire()
        ended = await after.cleaned(job)
    assert ended.failure is not None
    assert ended.failure.reason == "unschedulable"


async def test_a_pool_is_decided_anew_when_an_entry_is_claimed(crew: Fastlane) -> None:
    job = await crew.submit()
    await crew.queue.cancel(str(job.execution_id))
    await crew.queue.put([Entry(str(job.execution_id), EntryKind.EXECUTION, TICKS, crew.clock.now())])
    await crew.hire()
    ended = await crew.cleaned(job)
    assert (ended.status, ended.pool) == (Status.DONE, "default")


async def test_a_service_removed_by_hand_ends_its_execution_as_killed(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("hold")
    running = await crew.reaches(job, "running")
    await crew.executor.remove(HOST, str(running.service_id))
    ended = await crew.cleaned(job)
    assert ended.status is Status.FAILED
    assert ended.failure is not None
    assert ended.failure.reason == "killed"
    assert crew.executor.starts == [running.id]


async def test_a_late_write_of_an_old_owner_is_refused(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("hold")
    old = await crew.reaches(job, "running")
    taken = await crew.store.change(transitions.take_over(old))
    assert taken is not None
    ending = Ending(Status.DONE, crew.clock.now(), 0)
    assert await crew.store.change(transitions.end(old, ending)) is None
    assert await crew.store.change(transitions.end(taken, ending)) is not None


async def test_what_a_late_owner_parks_goes_at_once(shared_redis: RealRedis, tmp_path: Path) -> None:
    """While it parked, another owner took over and bound a service of its own; no reconciler comes by."""

    async def late(call: Call) -> Any:
        _host, order, _image = call.arguments
        service_id = await call.carry()
        row = await crew.store.execution(order.execution_id)
        assert row is not None
        taken = await crew.store.change(transitions.take_over(row))
        assert taken is not None
        await crew.store.change(transitions.bind(taken, service_id="another", swarm_id="", image_digest=None, now=crew.clock.now()))
        return service_id

    async with Fastlane(tmp_path, shared_redis.url) as crew:
        intercept(crew.executor, "park", late)
        crew.reconcile = 600.0
        await crew.hire()
        job = await crew.submit("exit", "0")

        async def bound_elsewhere() -> bool:
            row = await crew.latest_execution(job)
            return row is not None and row.service_id == "another" and not crew.executor.world[HOST]

        await crew.until(bound_elsewhere, "the late owner's service to be gone")
        assert crew.executor.starts == []


async def test_two_hundred_jobs_over_three_workers_each_run_once(crew: Fastlane) -> None:
    for _ in range(3):
        await crew.hire()
    jobs = await asyncio.gather(*(crew.submit("out", f"{number}\n") for number in range(200)))
    for job in jobs:
        assert (await crew.cleaned(job)).status is Status.DONE
    assert len(crew.executor.starts) == len(set(crew.executor.starts)) == 200
    await crew.idle()


async def test_a_job_that_runs_too_long_is_stopped_and_ends_as_timed_out(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, hard_timeout=1.0) as crew:
        await crew.hire()
        ended = await crew.cleaned(await crew.submit("out", "begun", "hold"))
        assert (ended.status, ended.exit_code) == (Status.TIMEDOUT, 143)
        assert await crew.stored_log(ended) == b"begun"


async def test_a_tick_that_was_fired_but_never_put_runs_without_waiting_for_the_reconciler(crew: Fastlane) -> None:
    """The worker that fired it died between the store and the queue: whoever takes the job's entry over puts the execution."""
    await crew.hire()
    await crew.cleaned(await crew.submit())
    await crew.dismiss()
    job = await crew.submit(at=crew.clock.now())
    stored = await crew.store.job(job.job_id)
    assert stored is not None
    firing = fire(stored, now=crew.clock.now())
    assert await crew.store.advance(stored, firing.job, firing.ticks, firing.execution)
    await crew.queue.cancel(job.job_id)
    await crew.queue.put([Entry(job.job_id, EntryKind.JOB, TICKS, crew.clock.now(), stored.revision)])
    crew.reconcile = 600.0
    await crew.hire()
    assert (await crew.cleaned(job)).status is Status.DONE
