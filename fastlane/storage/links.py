"""What links jobs, and the executions of one tick: chains, keys that only one job has at a time, and ticks that run everywhere."""

from collections.abc import Mapping, Sequence

from fastlane.models.job import Execution, Job
from fastlane.models.tick import Tick
from fastlane.storage import records
from fastlane.storage.records import Between, Part, Rows
from fastlane.storage.values import FAULTS, schedule_from_json

MAX_NAMED = 20_000
"""Jobs of a task whose names are looked at: the newest ones."""
TOGETHER = 500
"""Jobs whose schedules are read by one query."""
_SEEN = ("incarnation", "revision", "next_tick", "unique_key")


class Links:
    """The methods of ``Store`` about links; ``base`` documents them. A unique key is in the row of its job, so it is written, and goes,
    with that; the store's own unique index decides."""

    _rows: Rows

    async def jobs_named(self, task_id: str, name: str) -> Sequence[str]:
        part = Part(MAX_NAMED, newest=True)
        rows = await self._rows.select(records.JOBS_OF_TASK, {"task_id": task_id}, ("id", records.OF_SPEC[0]), part)
        return [row["id"] for row in rows if row[records.OF_SPEC[0]] == name]

    async def followed_by(self, job_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        found: dict[str, Sequence[str]] = {}
        for first in range(0, len(job_ids), TOGETHER):
            rows = await self._rows.select_keys(records.JOBS, job_ids[first : first + TOGETHER], ("schedule",))
            found |= {id: _followed(row["schedule"]) for id, row in rows.items()}
        return {id: ids for id, ids in found.items() if ids}

    async def unique_job(self, key: str) -> Job | None:
        found = await self._rows.find(records.JOBS_UNIQUE, {"unique_key": key}, Part(1))
        return found[0] if found else None

    async def take_unique_key(self, seen: Job) -> bool:
        return await self._rows.update(records.JOBS, seen.id, {"unique_key": None}, {name: getattr(seen, name) for name in _SEEN})

    async def change_tick(self, seen: Tick, after: Tick) -> bool:
        shown = {"outcome": seen.outcome, "reason": seen.reason, "execution_id": seen.execution_id}
        changes = {"reason": after.reason, "execution_id": after.execution_id}
        return await self._rows.update(records.TICKS, seen.id, changes, records.TICKS.changes(shown))

    async def under_way_between(self, job_id: str, first: int, last: int) -> bool:
        where = {"job_id": job_id, "sequence": Between(first, last)}
        return await self._rows.count(records.EXECUTIONS_UNDER_WAY, where, 1) > 0

    async def executions_between(self, job_id: str, first: int, last: int) -> Sequence[Execution]:
        return await self._rows.find(records.EXECUTIONS_OF_JOB, {"job_id": job_id, "sequence": Between(first, last)})


def _followed(schedule: str | None) -> Sequence[str]:
    try:
        after = None if schedule is None else schedule_from_json(schedule).after
    except FAULTS:  # a newer fastlane wrote it
        return ()
    return () if after is None else after.jobs
