"""What a worker asks just before it starts a bound service, which cannot be undone; and what becomes of services that nobody will start."""

import asyncio
from dataclasses import replace

import pytest

from fastlane.models import transitions
from fastlane.models.job import Execution
from fastlane.models.pool import Pull
from fastlane.models.schedule import Schedule
from fastlane.queue.port import EntryKind, Lane, Lease
from fastlane.scheduler.launcher import FRESH, order_of
from fastlane.scheduler.leases import Assignment
from tests.support.factories import make_spec
from tests.support.intercept import Call, intercepted
from tests.support.virtual_time import HOST, LEASE, POOLS, VirtualFastlane


@pytest.fixture
async def bound(virtual: VirtualFastlane) -> Execution:
    """An execution with a parked service, leased to the worker ``me``."""
    await virtual.services.submissions.enqueue("t", make_spec(), Schedule())
    (id,) = await virtual.work()
    execution = await virtual.place(id)
    assert execution is not None
    assert execution.service_id is not None
    return execution


def assigned(execution: Execution) -> Assignment:
    return Assignment(Lease(execution.id, EntryKind.EXECUTION, "default", 0))


async def test_it_starts_while_the_lease_holds_and_nothing_was_stopped(virtual: VirtualFastlane, bound: Execution) -> None:
    assert await virtual.launcher.activate(assigned(bound), bound)
    assert virtual.executor.starts == [bound.id]


async def test_it_does_not_start_once_another_worker_has_the_lease(virtual: VirtualFastlane, bound: Execution) -> None:
    """The other worker has not written its epoch yet, so only the queue can tell."""
    await virtual.real_queue.release("me", [bound.id])
    lanes = [Lane(pool.name, pool.max_running) for pool in POOLS]
    claim = await virtual.real_queue.claim("1", "other", lanes, 256, lease=LEASE)
    assert [lease.id for lease in claim.leases] == [bound.id]
    assert not await virtual.launcher.activate(assigned(bound), bound)
    assert virtual.executor.starts == []


async def test_it_does_not_start_after_a_stop_that_only_the_store_knows_of(virtual: VirtualFastlane, bound: Execution) -> None:
    assert await virtual.real_store.change(transitions.flag_stop(bound, now=virtual.clock.now()))
    assert await virtual.launcher.activate(assigned(bound), bound)
    assert virtual.executor.starts == []


async def test_it_does_not_start_after_a_stop_that_came_while_the_queue_took_its_time(virtual: VirtualFastlane, bound: Execution) -> None:
    """The row is read while the queue is asked, and is old by the time the queue answers."""

    read = asyncio.Event()

    async def was_read() -> None:
        read.set()

    async def stopped_meanwhile(call: Call) -> object:
        await read.wait()
        virtual.clock.set(virtual.clock.now() + FRESH + 1)
        assert await virtual.real_store.change(transitions.flag_stop(bound, now=virtual.clock.now()))
        return await call.carry()

    virtual.worker_store.after("execution", was_read)
    with intercepted(virtual.real_queue, "renew", stopped_meanwhile):
        assert await virtual.launcher.activate(assigned(bound), bound)
    assert virtual.executor.starts == []


async def test_it_does_not_start_once_another_worker_has_written_its_epoch(virtual: VirtualFastlane, bound: Execution) -> None:
    assert await virtual.real_store.change(transitions.take_over(bound))
    assert not await virtual.launcher.activate(assigned(bound), bound)
    assert virtual.executor.starts == []


async def test_a_parked_service_is_removed_when_its_execution_is_bound_to_another(virtual: VirtualFastlane, bound: Execution) -> None:
    order = order_of(replace(bound, epoch=bound.epoch + 1), POOLS[1])
    await virtual.executor.park(HOST, order, await virtual.executor.resolve(HOST, bound.spec.image, Pull.MISSING))
    assert len(await virtual.executor.services(HOST)) == 2
    await virtual.leftovers.remove_leftovers()
    assert [service.id for service in await virtual.executor.services(HOST)] == [bound.service_id]
