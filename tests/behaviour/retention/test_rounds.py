"""What a round of the pruner asks of the store: as much beside many jobs of which nothing is overdue as beside a few."""

import re
from dataclasses import replace

from fastlane.models.host import HostRecord
from fastlane.models.retention import Retention
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.scheduler.pruner import Pruned, Pruner, RetentionRules
from tests.behaviour.retention.conftest import DAY, HOUR
from tests.support.factories import first_of, new_job
from tests.support.recorded_calls import recorded_commands, recorded_statements
from tests.support.stores import new_store
from tests.support.virtual_time import POOLS, VirtualFastlane

RULES = RetentionRules(Retention(jobs=30 * DAY, executions=30 * DAY, max_executions=10_000, logs=14 * DAY))
QUERY = re.compile(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE)")


async def calls_of_a_round(virtual: VirtualFastlane, rules: RetentionRules = RULES) -> int:
    """How many statements, or commands of MongoDB, a round takes that removes nothing."""
    with recorded_statements() as statements, recorded_commands() as commands:
        store = new_store(virtual.store_url)
        await store.open()
        pruner = Pruner(store, virtual.clock, POOLS, rules)
        await pruner.prune_all()  # on MongoDB, it counts what has ended
        before = sum(map(bool, map(QUERY.match, statements))) + len(commands)
        assert await pruner.prune_all() == Pruned()
        calls = sum(map(bool, map(QUERY.match, statements))) + len(commands) - before
        await store.close()
    return calls


async def far_off(virtual: VirtualFastlane, count: int) -> None:
    now = virtual.clock.now()
    for _ in range(count):
        job = replace(new_job("far", now=now, next_tick=now + DAY, sequence=0), schedule=Schedule(ScheduleKind.AT, now + DAY))
        await virtual.real_store.create(job, None, None)


async def ended(virtual: VirtualFastlane, count: int) -> None:
    now = virtual.clock.now()
    for _ in range(count):
        job = new_job("ended", now=now, last_tick=now)
        tick, execution = first_of(job, due=now)
        end = replace(execution, status=Status.DONE, finished_at=now + 1, settled=True, cleaned=True)
        await virtual.real_store.create(job, tick, end)


async def test_jobs_that_wait_for_their_time_or_have_just_ended_cost_no_look_each(virtual: VirtualFastlane) -> None:
    await far_off(virtual, 1)
    await ended(virtual, 1)
    few = await calls_of_a_round(virtual)
    await far_off(virtual, 60)
    assert await calls_of_a_round(virtual) == few
    await ended(virtual, 60)
    assert await calls_of_a_round(virtual) == few


async def test_jobs_that_ended_long_ago_and_stay_cost_no_look_each(virtual: VirtualFastlane) -> None:
    rules = RetentionRules(Retention(executions=HOUR, max_executions=1, logs=HOUR))
    await ended(virtual, 1)
    virtual.clock.set(virtual.clock.now() + 10 * HOUR)
    few = await calls_of_a_round(virtual, rules)
    await ended(virtual, 60)
    virtual.clock.set(virtual.clock.now() + 10 * HOUR)
    assert await calls_of_a_round(virtual, rules) == few


async def test_records_of_hosts_that_were_removed_a_week_ago_go(virtual: VirtualFastlane) -> None:
    now = virtual.clock.now()
    for host in (HostRecord("stays", "a:1"), HostRecord("late", "b:1"), HostRecord("early", "c:1")):
        await virtual.real_store.write_host(host)
    await virtual.real_store.write_host(HostRecord("early", "c:1").changed(removed_at=now - 1))
    await virtual.real_store.write_host(HostRecord("late", "b:1").changed(removed_at=now))
    pruner = Pruner(virtual.real_store, virtual.clock, POOLS, RULES)
    virtual.clock.set(now + 7 * DAY)
    await pruner.prune()
    assert sorted(host.id for host in await virtual.real_store.hosts()) == ["late", "stays"]
    virtual.clock.set(now + 7 * DAY + 1)
    await pruner.prune()
    assert [host.id for host in await virtual.real_store.hosts()] == ["stays"]
