"""What several tests of behaviour begin with, or wait for."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fastlane.models.cron import Cron
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.queue.port import TICKS, Entry, EntryKind, Lane
from fastlane.services.results import Enqueued
from tests.support.factories import make_spec
from tests.support.fastlane import Fastlane
from tests.support.ledger import count_executions
from tests.support.virtual_time import VirtualFastlane

MINUTE = 60_000
LANES = (Lane("default", 10), Lane("fast", 10), Lane("@ticks", None))


async def ran(virtual: VirtualFastlane, code: int = 0, **rules: int) -> Enqueued:
    """A job that ran at once and has ended with that code."""
    job = await virtual.others.submissions.enqueue("t", make_spec(**rules), Schedule())
    assert await virtual.work() == [job.execution_id]
    await virtual.finish(str(job.execution_id), code)
    return job


def first_minute(virtual: VirtualFastlane) -> int:
    """The first full minute to come."""
    return virtual.clock.now() // MINUTE * MINUTE + MINUTE


async def later(virtual: VirtualFastlane, hours: int = 10) -> list[str]:
    """What is to be started hours from now."""
    virtual.clock.set(virtual.clock.now() + hours * 60 * MINUTE)
    return await virtual.work()


async def has_executions(crew: Fastlane, job: Enqueued, count: int) -> bool:
    """Whether a job has so many."""
    return await count_executions(crew.store, job.job_id) == count


def hourly(now: int, **rules: Any) -> tuple[Schedule, int]:
    """A schedule whose ticks are half an hour from now, and the last one that was due: no test meets one by chance."""
    last = now // MINUTE * MINUTE - 30 * MINUTE
    return Schedule(ScheduleKind.CRON, None, Cron(f"{datetime.fromtimestamp(last / 1000, UTC).minute} * * * *"), **rules), last


async def claimed(server: Fastlane) -> list[str]:
    """Claims what is ready, as a worker; the ids."""
    await server.queue.generation.set_generation("1")
    return [lease.id for lease in (await server.queue.claim("1", "worker", LANES, 10, lease=60_000)).leases]


async def come_due(crew: Fastlane, job: Enqueued) -> None:
    """As ``Fastlane.move`` to now, whatever else waits in the queue."""
    stored = await crew.store.job(job.job_id)
    assert stored is not None
    now = crew.clock.now()
    assert await crew.store.advance(stored, replace(stored, revision=stored.revision + 1, next_tick=now), [], None)
    await crew.queue.put([Entry(job.job_id, EntryKind.JOB, TICKS, now, stored.revision + 1)])
