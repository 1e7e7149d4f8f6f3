"""What a worker asks just before it starts a bound service, which cannot be undone; and what becomes of services that nobody will start."""

from dataclasses import replace

import pytest

from fastlane.models import transitions
from fastlane.models.execution import Execution
from fastlane.models.placement.pool import Pull
from fastlane.models.schedule.schedule import Schedule
from fastlane.queue.base import EntryKind, Lane, Lease
from fastlane.scheduler.assignment import Assignment
from fastlane.scheduler.launcher import order_of
from tests.support.factories import make_spec
from tests.support.stage import HOST, LEASE, POOLS, Stage


@pytest.fixture
async def bound(stage: Stage) -> Execution:
    """An execution with a parked service, leased to the worker ``me``."""
    await stage.services.submissions.enqueue("t", make_spec(), Schedule())
    (id,) = await stage.work()
    execution = await stage.place(id)
    assert execution is not None
    assert execution.service_id is not None
    return execution


def assigned(execution: Execution) -> Assignment:
    return Assignment(Lease(execution.id, EntryKind.EXECUTION, "default", 0))


async def test_it_starts_while_the_lease_holds_and_nothing_was_stopped(stage: Stage, bound: Execution) -> None:
    assert await stage.launcher.activate(assigned(bound), bound)
    assert stage.executor.starts == [bound.id]


async def test_it_does_not_start_once_another_worker_has_the_lease(stage: Stage, bound: Execution) -> None:
    """The other worker has not written its epoch yet, so only the queue can tell."""
    await stage.real_queue.release("me", [bound.id])
    lanes = [Lane(pool.name, pool.max_running) for pool in POOLS]
    claim = await stage.real_queue.claim("1", "other", lanes, 256, lease=LEASE)
    assert [lease.id for lease in claim.leases] == [bound.id]
    assert not await stage.launcher.activate(assigned(bound), bound)
    assert stage.executor.starts == []


async def test_it_does_not_start_after_a_stop_that_only_the_store_knows_of(stage: Stage, bound: Execution) -> None:
    assert await stage.real_store.change(transitions.flag_stop(bound, now=stage.clock.now()))
    assert await stage.launcher.activate(assigned(bound), bound)
    assert stage.executor.starts == []


async def test_it_does_not_start_once_another_worker_has_written_its_epoch(stage: Stage, bound: Execution) -> None:
    assert await stage.real_store.change(transitions.take_over(bound))
    assert not await stage.launcher.activate(assigned(bound), bound)
    assert stage.executor.starts == []


async def test_a_parked_service_is_removed_when_its_execution_is_bound_to_another(stage: Stage, bound: Execution) -> None:
    order = order_of(replace(bound, epoch=bound.epoch + 1), POOLS[1])
    await stage.executor.park(HOST, order, await stage.executor.resolve(HOST, bound.spec.image, Pull.MISSING))
    assert len(await stage.executor.services(HOST)) == 2
    await stage.reconciler.remove_leftovers()
    assert [service.id for service in await stage.executor.services(HOST)] == [bound.service_id]
