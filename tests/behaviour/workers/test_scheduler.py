"""What workers do, seen from outside: a real store, a real Redis, and an executor that ends at once and counts every start."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fastlane.errors import HostDown, OrderRefused, QueueDown
from fastlane.executors.base import Activation, Image, Order
from fastlane.models import transitions
from fastlane.models.execution import Ending
from fastlane.models.job_change import fire
from fastlane.models.placement.pool import Pool
from fastlane.models.schedule.tick import Outcome
from fastlane.models.status import Status
from fastlane.queue.base import TICKS, Entry, EntryKind
from tests.support.fastlane import HOST, Fastlane
from tests.support.instant import InstantExecutor
from tests.support.ledger import tick_of
from tests.support.redis import RealRedis


@pytest.fixture
async def crew(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path, shared_redis.url) as crew:
        yield crew


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


async def test_a_stop_while_no_worker_is_there_ends_a_waiting_job_at_once_and_for_ever(crew: Fastlane) -> None:
    job = await crew.submit("exit", "0")
    assert (await crew.services.stops.stop_job("task", job.job_id)).status == "stopped"
    await crew.hire()
    ended = await crew.cleaned(job)
    assert ended.status is Status.STOPPED
    assert crew.executor.starts == []
    tick = await tick_of(crew.store, job.job_id, job.tick_id)
    assert tick is not None
    assert tick.outcome is Outcome.STOPPED
    await crew.idle()


async def test_a_stop_of_a_running_job_ends_it_as_stopped(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("hold")
    await crew.reaches(job, "running")
    await crew.services.stops.stop_job("task", job.job_id)
    ended = await crew.cleaned(job)
    assert (ended.status, ended.exit_code) == (Status.STOPPED, 143)


async def test_a_stop_that_is_written_between_claim_and_start_is_obeyed(crew: Fastlane) -> None:
    """The execution was inserted before the stop and claimed after it: the claimer reads the job and ends it."""
    job = await crew.submit("exit", "0")
    assert await crew.store.stop_job(job.job_id, crew.clock.now()) is not None
    await crew.hire()
    assert (await crew.cleaned(job)).status is Status.STOPPED
    assert crew.executor.starts == []


async def test_a_queue_that_lost_everything_is_built_anew(crew: Fastlane, shared_redis: RealRedis) -> None:
    await crew.hire()
    held = await crew.submit("hold")
    running = await crew.reaches(held, "running")
    later = await crew.submit(at=crew.clock.now() + 1500)
    await crew.queue.generation.wipe()
    assert (await crew.cleaned(later)).status is Status.DONE
    crew.executor.release(running.id)
    assert (await crew.cleaned(held)).status is Status.DONE
    assert Counter(crew.executor.starts) == {running.id: 1, (await crew.cleaned(later)).id: 1}
    await crew.idle()


async def test_a_redis_that_restarts_empty_loses_no_job(own_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, own_redis.url) as crew:
        await crew.hire()
        await crew.hire()
        held = await crew.submit("hold")
        running = await crew.reaches(held, "running")
        later = [await crew.submit(at=crew.clock.now() + 1000 + 10 * number) for number in range(20)]
        await asyncio.to_thread(own_redis.kill)
        with pytest.raises(QueueDown):
            await crew.queue.check()
        await asyncio.to_thread(own_redis.start)
        for job in later:
            assert (await crew.cleaned(job)).status is Status.DONE
        crew.executor.release(running.id)
        assert (await crew.cleaned(held)).status is Status.DONE
        assert set(Counter(crew.executor.starts).values()) == {1}


async def test_an_entry_that_was_never_put_is_found_by_the_reconciler(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("hold")
    running = await crew.reaches(job, "running")
    await crew.dismiss()
    await crew.queue.finish({running.id: 0})
    await crew.hire()
    crew.executor.release(running.id)
    assert (await crew.cleaned(job)).status is Status.DONE


async def test_a_host_that_is_away_delays_jobs_and_they_run_when_it_is_back(crew: Fastlane) -> None:
    crew.executor.down(HOST)
    await crew.hire()
    job = await crew.submit()
    await crew.until(lambda: _waits(crew), "the job to wait")
    assert (await crew.store.execution(str(job.execution_id))).status is Status.ENQUEUED
    crew.executor.up(HOST)
    assert (await crew.cleaned(job)).status is Status.DONE


async def _waits(crew: Fastlane) -> bool:
    counts = await crew.queue.counts(["default"])
    return counts["default"].ready + counts["default"].timed == 1


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
    async with Fastlane(tmp_path, shared_redis.url, pools=(Pool("other", "other", (HOST,)),)) as after:
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


async def test_what_a_late_owner_parks_goes_at_once(shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it parked, another owner took over and bound a service of its own; no reconciler comes by."""
    park = InstantExecutor.park

    async def late(self: InstantExecutor, host: str, order: Order, image: Image) -> str:
        service_id = await park(self, host, order, image)
        row = await crew.store.execution(order.execution_id)
        assert row is not None
        taken = await crew.store.change(transitions.take_over(row))
        assert taken is not None
        await crew.store.change(transitions.bind(taken, service_id="another", swarm_id="", image_digest=None, now=crew.clock.now()))
        return service_id

    monkeypatch.setattr(InstantExecutor, "park", late)
    async with Fastlane(tmp_path, shared_redis.url) as crew:
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


class Unreachable(InstantExecutor):
    """Its hosts go away in the moment of an activation, as often as is said."""

    failures = 1

    async def activate(self, host: str, service_id: str) -> Activation:
        if self.failures > 0:
            self.failures -= 1
            self.down(host)
            raise HostDown(f"{host} refused the connection")
        return await super().activate(host, service_id)


async def test_a_host_that_goes_away_before_the_start_and_comes_back_starts_it_once(crew: Fastlane) -> None:
    crew.executor = Unreachable([HOST], crew.clock)
    await crew.hire()
    job = await crew.submit("exit", "4")
    await crew.reaches(job, "pulling")
    await crew.until(lambda: _is_down(crew), "the host to go away")
    crew.executor.up(HOST)
    ended = await crew.cleaned(job)
    assert (ended.exit_code, ended.epoch) == (4, 1)
    assert crew.executor.starts == [ended.id]


async def _is_down(crew: Fastlane) -> bool:
    return not crew.executor.hosts()[0].usable


async def test_a_host_that_stays_away_ends_what_was_placed_there_as_lost(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, host_lost_after=1.0) as crew:
        crew.executor = Unreachable([HOST], crew.clock)
        await crew.hire()
        waiting = await crew.submit("exit", "0")
        ended = await crew.reaches(waiting, "failed")
        assert ended.failure is not None
        assert ended.failure.reason == "host-lost"
        assert crew.executor.starts == []
        crew.executor.up(HOST)
        await crew.cleaned(waiting)
        assert not crew.executor.world[HOST]


async def test_a_host_that_is_lost_while_a_job_runs_ends_it_as_asked_for_when_a_stop_was(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, host_lost_after=1.0) as crew:
        await crew.hire()
        lost, stopped = await crew.submit("hold"), await crew.submit("hold")
        for job in (lost, stopped):
            await crew.reaches(job, "running")
        crew.executor.down(HOST)
        await crew.services.stops.stop_job("task", stopped.job_id)
        assert (await crew.reaches(lost, "failed")).truncated
        assert (await crew.reaches(stopped, "stopped")).failure is None


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
    firing = fire(stored, running_before=False, now=crew.clock.now())
    assert await crew.store.advance(stored, firing.job, firing.ticks, firing.execution)
    await crew.queue.cancel(job.job_id)
    await crew.queue.put([Entry(job.job_id, EntryKind.JOB, TICKS, crew.clock.now(), stored.revision)])
    crew.reconcile = 600.0
    await crew.hire()
    assert (await crew.cleaned(job)).status is Status.DONE
