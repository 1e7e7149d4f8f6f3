"""A job with ``unique``: no equal job of its task waits beside it.

Two jobs are equal when their tasks are, and what they define: all of it, except what is for people (``name``, ``labels``, ``metadata``) and
the moments of a job that runs once (``startIn``, ``startAt``, ``expiration``). The digest of that is the job's key (``Job.unique_key``),
which the store lets only one job have at a time. The key stays in the job's row when the job no longer waits, until another job needs it:
``waits`` then tells that it may be taken away.
"""

import json
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from fastlane.models.job import Execution, Job, Spec
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.models.stored import SPEC
from fastlane.models.tick import cron_key, execution_id, once_key, tick_id

NOT_COMPARED = frozenset({"name", "labels", "metadata", "expiration", "unique"})
"""The attributes of a spec in which equal jobs may differ."""


def reserving(job: Job) -> Job:
    """The job with the key of what it defines; without one, if it need not be unique or has nothing that waits."""
    wanted = job.spec.unique and not job.schedule.is_manual
    key = _digest(job.task_id, job.spec, job.schedule) if wanted else None
    return job if key == job.unique_key else replace(job, unique_key=key)


def _digest(task_id: str, spec: Spec, schedule: Schedule) -> str:
    """Equal jobs have the same one, whichever version of fastlane computes it: only attributes that differ from their defaults count."""
    compared = {name: value for name, value in SPEC.write(spec).items() if name not in NOT_COMPARED}
    text = json.dumps([task_id, compared, _repeats(schedule)], sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()


def _repeats(schedule: Schedule) -> list[Any]:
    """When a cron is due, and how its ticks start; empty for a job that runs once. The numbers that were chosen
    for a job do not count: no other job has the same ones."""
    if schedule.cron is None:
        return []
    later = {"spread": schedule.cron.spread, "skip": [str(dates) for dates in schedule.skip], "timezone": schedule.timezone}
    given = {name: value for name, value in later.items() if value}
    entries = [[entry.text, entry.timezone, own.overlap, own.catch_up] for entry, own in schedule.entries]
    return [entries, schedule.overlap, schedule.catch_up, *([given] if given else [])]


def first_start(job: Job) -> str:
    """The id of the first attempt at the latest tick of the job's own schedule. The job may not have had that tick yet."""
    is_repeated = job.schedule.cron is not None and job.last_tick is not None
    key = cron_key(job.last_tick or 0) if is_repeated else once_key(job.schedule_revision)
    return execution_id(tick_id(job.incarnation, key), 1)


def waits(job: Job, first: Execution | None, now: int) -> bool:
    """Whether the job is scheduled, paused or not, or enqueued and not claimed yet. ``first``: the execution of ``first_start``, read after
    the job. A run by hand does not count, nor does a further attempt: the job has started then."""
    if job.next_run(now) is not None or (job.paused and not job.spec.is_over(now)):
        return True
    if first is None or first.status is not Status.ENQUEUED or first.stop_requested_at is not None:
        return False
    in_time = first.expires_at is None or now < first.expires_at
    return in_time and job.bounds.include(first.incarnation, first.sequence) and not job.stops(first.sequence)
