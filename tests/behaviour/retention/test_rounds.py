"""What a round of the pruner asks of the store: as much beside many jobs of which nothing is overdue as beside a few."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fastlane.errors import StoreDown
from fastlane.metrics import Metrics
from fastlane.models.host import HostRecord
from fastlane.models.image import PulledImage
from fastlane.models.retention import Retention
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.scheduler import pruner as pruners
from fastlane.scheduler.pruner import Pruned, Pruner, RetentionRules
from fastlane.storage.base import Noted
from fastlane.storage.mongo.rows import META
from fastlane.storage.retention_port import Swept
from tests.behaviour.retention.conftest import DAY, HOUR, MINUTE, measured
from tests.support.factories import first_of, new_job
from tests.support.recorded_calls import Command, recorded_commands, recorded_statements
from tests.support.stores import new_store
from tests.support.virtual_time import POOLS, VirtualFastlane

RULES = RetentionRules(Retention(jobs=30 * DAY, executions=30 * DAY, max_executions=10_000, logs=14 * DAY))
QUERY = re.compile(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE)")


def calls(statements: Sequence[str], commands: Sequence[Command]) -> int:
    """How many of them read or change data; a process also counts its commits on MongoDB, at some time after them."""
    return sum(map(bool, map(QUERY.match, statements))) + sum(found[verb] != META for verb, found in commands)


async def calls_of_a_round(virtual: VirtualFastlane, rules: RetentionRules = RULES) -> int:
    """How many statements, or commands of MongoDB, a round takes that removes nothing."""
    with recorded_statements() as statements, recorded_commands() as commands:
        store = new_store(virtual.store_url)
        await store.open()
        pruner = Pruner(store, virtual.clock, POOLS, rules)
        await pruner.prune_all()  # on MongoDB, it counts what has ended
        before = calls(statements, commands)
        assert await pruner.prune_all() == Pruned()
        made = calls(statements, commands) - before
        await store.close()
    return made


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


async def test_images_of_an_engine_that_is_gone_for_a_month_are_forgotten(virtual: VirtualFastlane) -> None:
    now, store = virtual.clock.now(), virtual.real_store
    for engine, until in (("gone", now - 1), ("there", now)):
        await store.write_image(PulledImage(engine, f"a/b@sha256:{'a' * 64}", until))
    virtual.clock.set(now + 30 * DAY)
    await Pruner(store, virtual.clock, POOLS, RULES).prune()
    assert [len(await store.pulled_images(engine)) for engine in ("gone", "there")] == [0, 1]


async def ran_thrice(virtual: VirtualFastlane, count: int) -> list[str]:
    """Ids of jobs that ran three times, and ended just now."""
    now, ids = virtual.clock.now(), []
    for _ in range(count):
        seen = new_job("thrice", now=now, sequence=0)
        await virtual.real_store.create(seen, None, None)
        job = replace(seen, sequence=3)
        ids.append(job.id)
        pairs = [first_of(job, key=f"r:{number}", sequence=number, due=now) for number in (1, 2, 3)]
        await virtual.real_store.advance(seen, job, [tick for tick, _ in pairs], None)
        for _, execution in pairs:
            end = replace(execution, status=Status.DONE, finished_at=now, settled=True, cleaned=True)
            await virtual.real_store.transfer.restore_execution(end, Noted(None, now), is_counted=True)
    return ids


async def test_jobs_that_ran_several_times_cost_no_look_each_while_nothing_is_overdue(
    virtual: VirtualFastlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruners, "LOOKED_INTO", 1)
    await ran_thrice(virtual, 2)
    few = await calls_of_a_worker_s_round(virtual)
    await ran_thrice(virtual, 40)
    assert await calls_of_a_worker_s_round(virtual) == few


async def calls_of_a_worker_s_round(virtual: VirtualFastlane) -> int:
    """How many statements, or commands of MongoDB, the second round of a worker takes, in which nothing goes."""
    with recorded_statements() as statements, recorded_commands() as commands:
        store = new_store(virtual.store_url)
        await store.open()
        pruner = Pruner(store, virtual.clock, POOLS, RULES)
        await pruner.prune()
        before = calls(statements, commands)
        await pruner.prune()
        made = calls(statements, commands) - before
        await store.close()
    return made


async def test_what_becomes_too_old_goes_in_the_next_round_wherever_its_job_is(
    virtual: VirtualFastlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruners, "LOOKED_INTO", 1)
    (first, *_, last) = await ran_thrice(virtual, 4)
    pruner = Pruner(virtual.real_store, virtual.clock, POOLS, RetentionRules(Retention(executions=DAY)))
    await pruner.prune()
    virtual.clock.set(virtual.clock.now() + 2 * DAY)
    await pruner.prune()
    for id in (first, last):
        assert [one.sequence for one in await virtual.real_store.executions_of(id, 10)] == [3]


async def test_many_jobs_go_in_a_few_commits(virtual: VirtualFastlane) -> None:
    """Or commands of MongoDB: not so many for each."""
    with recorded_statements() as statements, recorded_commands() as commands:
        store = new_store(virtual.store_url)
        await store.open()
        pruner = Pruner(store, virtual.clock, POOLS, RULES)
        made = []
        for count in (1, 40):
            await ended(virtual, count)
            virtual.clock.set(virtual.clock.now() + 31 * DAY)
            before = statements.count("COMMIT") + len(commands)
            assert (await pruner.prune_all()).jobs == count
            made.append(statements.count("COMMIT") + len(commands) - before)
        await store.close()
    assert made[1] <= made[0] + 10


@pytest.mark.parametrize(("late", "rest"), [(MINUTE, 3.0), (HOUR, 1.0)])
async def test_a_worker_that_is_behind_rests_no_more(
    virtual: VirtualFastlane, monkeypatch: pytest.MonkeyPatch, late: int, rest: float
) -> None:
    """Three steps of a second each. The first one finds how late it is."""
    retention, rests = virtual.real_store.retention, list[float]()
    delete, sleep = retention.delete_over, virtual.clock.sleep

    async def slow(*arguments: Any) -> Swept:
        virtual.clock.set(virtual.clock.now() + 1_000)
        return await delete(*arguments)

    async def noted(seconds: float) -> None:
        rests.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(pruners, "TOGETHER", 1)
    monkeypatch.setattr(retention, "delete_over", slow)
    await ended(virtual, 3)
    virtual.clock.set(virtual.clock.now() + 30 * DAY + late)
    monkeypatch.setattr(virtual.clock, "sleep", noted)
    assert (await Pruner(virtual.real_store, virtual.clock, POOLS, RULES).prune_all()).jobs == 3
    assert sum(rests) == rest


async def test_a_worker_that_is_behind_deletes_several_batches_in_one_commit(
    virtual: VirtualFastlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    retention, under_way, most = virtual.real_store.retention, 0, list[int]()
    delete = retention.delete_over

    async def counted(*arguments: Any) -> Swept:
        nonlocal under_way
        under_way += 1
        most.append(under_way)
        try:
            return await delete(*arguments)
        finally:
            under_way -= 1

    monkeypatch.setattr(pruners, "TOGETHER", 1)
    monkeypatch.setattr(retention, "delete_over", counted)
    await ended(virtual, 6)
    virtual.clock.set(virtual.clock.now() + 30 * DAY + HOUR)
    assert (await Pruner(virtual.real_store, virtual.clock, POOLS, RULES).prune_all()).jobs == 6
    assert most == [1, 1, 2, 3, 4, 1], "one finds how late it is, and then four go at once"


async def test_the_lag_is_how_long_what_goes_was_overdue_and_grows_while_rounds_fail(virtual: VirtualFastlane) -> None:
    metrics = Metrics()
    pruner = Pruner(virtual.real_store, virtual.clock, POOLS, RULES, metrics=metrics)

    def lag() -> float:
        return measured(metrics, "fastlane_retention_lag_seconds")[""]

    await ended(virtual, 1)
    virtual.clock.set(virtual.clock.now() + 30 * DAY + 5 * HOUR)
    await pruner.prune()
    assert lag() == pytest.approx(5 * 3_600, abs=60)
    await pruner.prune()
    assert lag() < 60
    await virtual.real_store.close()
    virtual.clock.set(virtual.clock.now() + 2 * HOUR)
    with pytest.raises(StoreDown):
        await pruner.prune()
    assert lag() >= 2 * 3_600
