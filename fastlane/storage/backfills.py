"""The methods of ``BackfillStore``, on top of the verbs over records."""

from collections.abc import Mapping, Sequence

from fastlane.models.backfill import Backfill, as_it_is
from fastlane.models.job import Job
from fastlane.models.status import Status
from fastlane.models.tick import Tick, execution_id, tick_id
from fastlane.storage import records
from fastlane.storage.records import Between, Part, Rows, readable, write_version


class BackfillLogic:
    """The methods of ``BackfillStore``, with the verbs alone."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def of_job(self, job_id: str) -> Backfill | None:
        return await self._rows.get(records.BACKFILLS, job_id)

    async def of_jobs(self, job_ids: Sequence[str]) -> Mapping[str, Backfill]:
        rows = await self._rows.select_keys(records.BACKFILLS, job_ids, records.BACKFILLS.fields)
        return {one.id: one for one in readable(list(rows.values()), records.BACKFILLS.read)}

    async def current(self, job: Job, now: int) -> Backfill | None:
        seen = await self.of_job(job.id)
        if seen is None or seen.incarnation != job.incarnation:
            return None
        return as_it_is(seen, job, await self.last_statuses(seen), now=now)

    async def last_statuses(self, backfill: Backfill) -> Mapping[int, Status | None]:
        ticks = {due: tick_id(backfill.incarnation, backfill.key_of(due)) for due in backfill.open}
        found = await self.attempts(list(ticks.values()))
        return {due: found[id][-1] if found[id] else None for due, id in ticks.items()}

    async def write(self, backfill: Backfill) -> bool:
        return await write_version(self._rows, records.BACKFILLS, backfill, backfill.version)

    async def running(self, limit: int, after: tuple[int, str] | None = None) -> Sequence[Backfill]:
        return await self._rows.find(records.BACKFILLS_RUNNING, {}, Part(limit, after))

    async def prune(self, before: int, limit: int) -> int:
        return await self._rows.delete_some(records.BACKFILLS_BY_AGE, {"ended_at": Between(high=before - 1)}, Part(limit))

    async def kept_since(self, job_id: str) -> int | None:
        rows = await self._rows.select(records.EXECUTIONS_OF_JOB, {"job_id": job_id}, ("scheduled_for",), Part(1))
        return rows[0]["scheduled_for"] if rows else None

    async def ticks_between(self, job_id: str, since: int, until: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[Tick]:
        await self._rows.catch_up(job_id)
        return await self._rows.find(records.TICKS_OF_JOB, {"job_id": job_id, "due": Between(since, until)}, Part(limit, after))

    async def attempts(self, tick_ids: Sequence[str]) -> Mapping[str, Sequence[Status]]:
        found: dict[str, list[Status]] = {id: [] for id in tick_ids}
        number, wanted = 1, list(found)
        while wanted:
            ids = {execution_id(id, number): id for id in wanted}
            rows = await self._rows.select_keys(records.EXECUTIONS, list(ids), ("status", "settled"))
            for id, row in rows.items():
                found[ids[id]].append(_status(row))
            wanted = [ids[id] for id in rows if found[ids[id]][-1] is Status.FAILED]
            number += 1
        return found


def _status(row: records.Row) -> Status:
    status = Status(row["status"])
    return Status.ENQUEUED if status is Status.FAILED and not row["settled"] else status
