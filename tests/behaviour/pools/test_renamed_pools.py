"""Pools that are renamed or removed while jobs wait and run, beside a Redis that keeps its data: nothing is stranded."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fastlane.errors import Unreadable
from fastlane.models.pool import Pool
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.queue.port import TICKS, Entry, EntryKind, Lane, LaneCounts, Report, execution_entry, rules_of
from fastlane.scheduler import rebuilder
from fastlane.scheduler.known_workers import KnownPools, KnownWorkers
from fastlane.scheduler.rebuilder import LaneKeeper
from tests.support.defaults import ports_of
from tests.support.factories import make_spec
from tests.support.fastlane import HOST, Fastlane
from tests.support.instant import InstantExecutor
from tests.support.intercept import Call, failing, keeping
from tests.support.redis import RealRedis
from tests.support.virtual_time import LEASE, POOLS, VirtualFastlane

ELSEWHERE = "10.0.0.8:2375"
OLD = Pool("old", "", (HOST,), max_running=1)
NEW = replace(OLD, name="new")
PATIENCE = 120.0


class Renamed(Fastlane):
    """A crew whose workers get other pools than its api has."""

    async def hire_with(self, *pools: Pool) -> None:
        """Ends all workers, and hires one that has these pools."""
        while self._hired:
            await self.dismiss()
        self.settings = replace(self.settings, pools=pools)
        await self.hire()

    async def has_adopted(self) -> bool:
        """Whether nothing is left in the lane of the old pool."""
        return "old" not in await self.queue.counts()


@pytest.fixture
async def crew(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Renamed]:
    async with Renamed(tmp_path, shared_redis.url, pools=(OLD,)) as crew:
        yield crew


async def test_what_waits_and_runs_in_a_renamed_pool_goes_on_in_the_new_one(crew: Renamed) -> None:
    await crew.hire_with(OLD)
    runs = await crew.submit("hold")
    running = await crew.reaches(runs, "running")
    waiting = [await crew.submit("exit", "0") for _ in range(3)]
    dying = await crew.submit("exit", "0", expires_in=1_000)
    await crew.hire_with(NEW)
    await crew.until(crew.has_adopted, "the old lane to be left")
    assert (await crew.reaches(dying, "expired")).started_at is None
    assert crew.executor.starts == [running.id], "the slot of what runs counts in the new pool"
    crew.executor.release(running.id)
    for job in (runs, *waiting):
        assert (await crew.cleaned(job)).status is Status.DONE
    await crew.idle()
    assert len(crew.executor.starts) == len(set(crew.executor.starts)) == 4


async def test_what_waits_in_a_pool_that_is_gone_without_another_ends_as_unschedulable(shared_redis: RealRedis, tmp_path: Path) -> None:
    """Not at once: the last worker with the pool may just be starting again."""
    async with Renamed(tmp_path, shared_redis.url, pools=(OLD,), pending_deadline=1.0) as crew:
        await crew.hire_with(OLD)
        runs = await crew.submit("hold")
        running = await crew.reaches(runs, "running")
        waiting = await crew.submit()
        await crew.hire_with(replace(NEW, match="another"))
        ended = await crew.cleaned(waiting)
        crew.executor.release(running.id)
        assert (await crew.cleaned(runs)).status is Status.DONE
        assert ended.failure is not None
        assert (ended.status, ended.failure.reason) == (Status.FAILED, FailureReason.UNSCHEDULABLE)
        await crew.idle()


async def test_jobs_of_an_api_with_the_old_pools_are_taken_by_workers_with_the_new_ones(crew: Renamed) -> None:
    await crew.hire_with(NEW)
    for _ in range(2):
        assert (await crew.cleaned(await crew.submit("exit", "0"))).status is Status.DONE


async def test_a_pulling_execution_whose_pool_and_host_are_gone_ends(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Renamed(tmp_path, shared_redis.url, pools=(OLD,), pending_deadline=1.0) as crew:
        reply = await crew.enqueue()
        pulling = await crew.pull(reply)
        crew.executor = InstantExecutor((ELSEWHERE,), crew.clock)
        await crew.hire_with(Pool("new", "another", (ELSEWHERE,)))

        async def ended() -> bool:
            row = await crew.store.execution(pulling.id)
            assert row is not None
            return row.settled and row.failure is not None and row.failure.reason is FailureReason.UNSCHEDULABLE

        await crew.until(ended, "the execution to end as unschedulable")
        row = await crew.execution(reply)
        assert row.failure is not None
        words = f"no pool matches the task 'task' any longer, and its host {HOST} cannot be used (waited for 1 s)"
        assert row.failure.message == words


# what is stranded is shown


async def test_what_is_stranded_is_told_by_status_and_why(crew: Renamed) -> None:
    reply = await crew.enqueue(concurrency=1)
    await crew.report_worker()
    entry = {"ready": 1, "timed": 0, "running": 0, "blocked": 0}
    status = (await crew.get("/status")).json
    pool = {"maxRunning": 1, "paused": False}
    assert (status["queues"], status["strandedQueues"]) == ({"old": entry | pool}, {})
    await crew.queue.adopt([replace(execution_entry(await crew.execution(reply), crew.pools), lane="gone")])
    status = (await crew.get("/status")).json
    assert (status["queues"], status["strandedQueues"]) == ({"old": dict.fromkeys(entry, 0) | pool}, {"gone": entry})
    for url in (reply["jobUrl"], reply["executionUrl"]):
        (wait,) = (await crew.get(url + "why")).json["waitingFor"]
        assert (wait["reason"], wait["pool"]) == ("other-lane", "gone")
        assert "to pool 'old' once no worker has the pool 'gone'" in wait["message"]


# workers with different pools side by side


class Looks(VirtualFastlane):
    """Looks at the lanes as a worker that has these pools."""

    def keeper(self, *pools: Pool) -> LaneKeeper:
        workers = KnownWorkers(self.real_queue.reports, self.clock, "me", PATIENCE)
        known_pools = KnownPools(workers, PATIENCE)
        return LaneKeeper(ports_of(self.store, self.real_queue, self.clock, pools=pools), workers, known_pools, every=30.0)

    async def report(self, *pools: Pool, worker: str = "another") -> None:
        """Another worker, which has these pools, is alive for a minute; with no pool, it is of an older version."""
        await self.real_queue.reports.announce(Report(worker, 1, (), pools=rules_of(pools) if pools else None), ttl=60_000)

    async def waits(self) -> str:
        """A job waits; the id of its execution."""
        return str((await self.services.submissions.enqueue("t", make_spec(), Schedule())).execution_id)


async def look(keeper: LaneKeeper) -> None:
    """Twice: it acts on what it has seen at the last look, too."""
    await keeper.look()
    await keeper.look()


@pytest.fixture
async def looks(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Looks]:
    async with Looks(tmp_path, shared_redis.url) as looks:
        yield looks


async def test_what_another_worker_still_serves_is_left_to_it_until_it_is_gone(looks: Looks) -> None:
    id = await looks.waits()
    keeper = looks.keeper(NEW)
    await looks.report(*POOLS)
    await look(keeper)
    assert await looks.real_queue.lane_of(id) == "default"
    looks.clock.set(looks.clock.now() + 60_000)
    await look(keeper)
    assert await looks.real_queue.lane_of(id) == "new"


async def test_what_no_pool_takes_stays_in_its_lane_while_a_worker_that_has_one_may_come(looks: Looks) -> None:
    id = await looks.waits()
    keeper = looks.keeper(Pool("third", "x", (HOST,)))
    await look(keeper)
    for passed in (30, 60, 90):
        looks.clock.set(looks.clock.now() + 30_000)
        await keeper.look()
        assert await looks.real_queue.lane_of(id) == "default", passed
    looks.clock.set(looks.clock.now() + 30_000)
    await keeper.look()
    assert await looks.real_queue.lane_of(id) == TICKS


async def test_nothing_is_moved_when_a_worker_was_not_there_at_the_last_look(looks: Looks) -> None:
    """After a rebuild the reports of all others are gone for a moment."""
    id = await looks.waits()
    keeper = looks.keeper(NEW)
    await keeper.look()
    await looks.report(*POOLS)
    for _ in range(3):
        await keeper.look()
    assert await looks.real_queue.lane_of(id) == "default"


async def test_what_nobody_serves_is_moved_though_workers_have_different_pools(looks: Looks) -> None:
    id = await looks.waits()
    await looks.report(Pool("third", "t", (HOST,)))
    await look(looks.keeper(NEW))
    assert await looks.real_queue.lane_of(id) == "new"


async def test_nothing_is_moved_while_a_worker_does_not_say_what_it_serves(looks: Looks) -> None:
    id = await looks.waits()
    await looks.report()
    await look(looks.keeper(NEW))
    assert await looks.real_queue.lane_of(id) == "default"


async def test_a_task_that_another_pool_takes_now_moves_there_once_all_workers_have_the_same_pools(looks: Looks) -> None:
    """Else it would wait for a host or a slot of a pool that it does not belong to any more."""
    id = await looks.waits()
    swapped = (Pool("other", "", (HOST,)), Pool("default", "never-", (HOST,)))
    keeper = looks.keeper(*swapped)
    await looks.report(*POOLS)
    await look(keeper)
    assert await looks.real_queue.lane_of(id) == "default"
    await looks.report(*swapped)
    await look(keeper)
    assert await looks.real_queue.lane_of(id) == "other"


async def test_what_waits_to_be_ended_stays_where_no_slot_is_needed(looks: Looks) -> None:
    id = await looks.waits()
    await looks.real_queue.cancel(id)
    execution = await looks.real_store.execution(id)
    assert execution is not None
    await looks.services.stops.stop_job("t", execution.job_id)
    await look(looks.keeper(NEW))
    assert await looks.real_queue.counts() == {TICKS: LaneCounts(1, 0, 0)}


# lanes that nobody serves, and that cannot be emptied by a move


async def stranded(looks: Looks, *ids: str) -> None:
    """Puts what is there by these ids into a lane that nobody serves."""
    await looks.real_queue.put([Entry(id, EntryKind.EXECUTION, "gone", 1) for id in ids])


async def test_what_is_over_is_removed_from_a_lane_that_nobody_serves(looks: Looks) -> None:
    """Such an entry was put again by who read the row before its end."""
    id = await looks.waits()
    await looks.finish(id)
    await stranded(looks, id, "deleted")
    await look(looks.keeper(*POOLS))
    assert await looks.real_queue.counts() == {}


async def test_what_has_ended_and_is_not_settled_is_settled_although_nobody_serves_its_lane(looks: Looks) -> None:
    id = await looks.waits()
    await looks.run(id)
    await looks.end(id)
    await looks.real_queue.finish({id: 0})
    await stranded(looks, id)
    await look(looks.keeper(*POOLS))
    assert await looks.real_queue.lane_of(id) == TICKS


async def test_what_cannot_be_read_stays_in_its_lane(looks: Looks) -> None:
    id = await looks.waits()
    await looks.real_queue.finish({id: 0})
    await stranded(looks, id)
    looks.store.around("execution", failing(Unreadable("a newer fastlane wrote it")))
    await look(looks.keeper(*POOLS))
    assert await looks.real_queue.lane_of(id) == "gone"


async def test_a_lane_that_cannot_be_emptied_costs_the_reading_of_some_of_what_is_in_it(looks: Looks) -> None:
    for _ in range(20):
        await looks.waits()
    runs = await looks.waits()
    await looks.real_queue.finish({runs: 0})
    await stranded(looks, runs)
    await looks.real_queue.claim("1", "me", [Lane("gone", 1)], 1, lease=LEASE)
    keeper = looks.keeper(*POOLS[:1])
    await looks.report(*POOLS)  # what is in the lane of these is left to them
    await look(keeper)
    reads: list[Call] = []
    looks.store.around("execution", keeping(reads))
    looks.store.around("executions_in", keeping(reads))
    await look(keeper)
    assert [call.arguments[0] for call in reads] == [runs, runs]


async def test_each_look_at_a_long_lane_that_cannot_be_emptied_goes_on_where_the_last_one_ended(
    looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilder, "FRUITLESS", 2)
    ids = [f"{number:04}" for number in range(2_000)]
    await stranded(looks, *ids)
    await looks.report(*POOLS)
    read: list[str] = []

    async def unreadable(call: Call) -> None:
        read.append(call.arguments[0])
        raise Unreadable("a newer fastlane wrote it")

    looks.store.around("execution", unreadable)
    keeper = looks.keeper(*POOLS[:1])
    await look(keeper)
    assert 2 <= len(read) < 1_200
    while len(read) < 2_000:
        before = len(read)
        await keeper.look()
        assert before < len(read) < before + 1_200
    assert sorted(read) == ids
