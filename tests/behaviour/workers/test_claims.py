"""Claims of single rows: what a worker does when a row comes back as it was before, and what it counts for a row that gets no host."""

import asyncio

from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.queue.port import EntryKind, Lease
from fastlane.scheduler.leases import Assignment
from fastlane.scheduler.worker import build_parts
from tests.support.defaults import default_worker, ports_of
from tests.support.factories import make_spec
from tests.support.stored_data import damage
from tests.support.virtual_time import HOST, VirtualFastlane


async def test_a_row_that_comes_back_as_enqueued_is_claimed_again_by_the_worker_that_has_its_lease(virtual: VirtualFastlane) -> None:
    """As after a backup was restored: the worker has claimed it, and the store knows nothing of that any more."""
    job = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    assignment = Assignment(Lease(str(job.execution_id), EntryKind.EXECUTION, "default", 0))
    first = await virtual.launcher.claim(assignment)
    assert first is not None
    assert first.status is Status.PULLING
    damage(virtual.store_url, "executions", first.id, "status", Status.ENQUEUED.value)
    enqueued = await virtual.launcher.claim(assignment)
    assert enqueued is not None
    assert enqueued.status is Status.ENQUEUED
    again = await virtual.launcher.decline(assignment, enqueued)
    assert again is not None
    assert (again.status, again.epoch) == (Status.PULLING, assignment.epoch)


async def test_an_execution_that_is_claimed_without_a_pool_counts_on_no_host(virtual: VirtualFastlane) -> None:
    """Its entry is in the lane of a pool that has a host, but that pool does not take its task."""
    job = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    pools = (Pool("other", "other-", (HOST,)),)
    ports = ports_of(virtual.real_store, virtual.real_queue, virtual.clock, executor=virtual.executor, pools=pools)
    parts = build_parts(ports, default_worker())
    assignment = Assignment(Lease(str(job.execution_id), EntryKind.EXECUTION, "other", 0))
    parts.leases.hold(assignment, asyncio.Event().wait())  # type: ignore[arg-type]
    try:
        claimed = await parts.launcher.claim(assignment, without_pool=True)
        assert claimed is not None
        assert (claimed.status, claimed.host) == (Status.PULLING, None)
        assert parts.leases.placed == {}
    finally:
        await parts.leases.close()
