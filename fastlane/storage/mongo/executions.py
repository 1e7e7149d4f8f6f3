"""Reads and changes of executions: each list follows an index.

A change is decided on the row as it was read, and written where its ``op`` is still the same. Each change has its own ``op``, so a row
with the same one is the same row.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastlane.models.execution import Execution, standing
from fastlane.models.host import Uncleaned
from fastlane.models.job import JobBounds
from fastlane.models.status import FINAL, Status
from fastlane.models.status import UNDER_WAY as UNDER_WAY_STATUSES
from fastlane.models.transitions import ExecutionChange
from fastlane.storage.base.claims import Claimed, Decide
from fastlane.storage.documents import change_document
from fastlane.storage.mongo.commits.intents import complete_pending
from fastlane.storage.mongo.driver.database import Database, Document
from fastlane.storage.mongo.driver.turns import Turns
from fastlane.storage.mongo.jobs import FIRST, LAST, belonging, bounds, bounds_of_all, following, whole
from fastlane.storage.mongo.rows import execution_row, flag_changes, read_execution
from fastlane.storage.mongo.schema import DELETED, EXECUTIONS, UNCLEANED, UNCOUNTED, UNDER_WAY, UNFINISHED, UNSETTLED
from fastlane.storage.mongo.statuses import NEWEST as NEWEST
from fastlane.storage.readable import filled, readable

OLDEST = [("sequence", 1), ("attempt", 1)]
NEWEST_OF_JOBS = {"job_id": -1, "sequence": -1, "attempt": -1}


async def row_of(db: Database, execution_id: str) -> Document | None:
    """An execution's row. When there is none, a commit may not have been carried out yet, or another carries it out just now."""
    row = await db.one(EXECUTIONS, execution_id)
    if row is None:
        await complete_pending(db)
        row = await db.one(EXECUTIONS, execution_id)
    return row


async def get(db: Database, execution_id: str) -> Execution | None:
    """One execution."""
    row = await row_of(db, execution_id)
    return None if row is None else read_execution(row)


async def insert(db: Database, execution: Execution, made: str) -> bool:
    """Inserts a further attempt, unless a row has its id already."""
    return await db.insert(EXECUTIONS, execution_row(execution, made))


async def change_in_turn(db: Database, turns: Turns, asked: ExecutionChange) -> Execution | None:
    """The same as ``change``, after those of this execution that this process has begun."""
    async with turns.turn(asked.execution_id):
        return await change(db, asked)


async def claim_in_turn(db: Database, turns: Turns, execution_id: str, decide: Decide) -> Claimed | None:
    """The execution after the change that ``decide`` makes of it, and its job's bounds, which are read after the write."""
    async with turns.turn(execution_id):
        before = await get(db, execution_id)
        asked = None if before is None else decide(before)
        after = None if asked is None else await change(db, asked)
    if before is None or after is None:
        return None if before is None else Claimed(before)
    return Claimed(after, True, await bounds(db, after.job_id))


async def change(db: Database, asked: ExecutionChange) -> Execution | None:
    """The execution after the change; None when its condition does not hold and it was not applied before. Raises ValueError for a value
    whose name is not a field."""
    values = change_document(asked.values)
    before = asked.seen  # as it was read: if it is another row by now, the condition on its ``op`` says so
    if before is None or not asked.permitted(before):
        before = await get(db, asked.execution_id)
    while before is not None:
        if before.op == asked.op:
            return before
        if not asked.permitted(before):
            return None
        after = asked.applied_to(before)
        changes = flag_changes(after)
        changes["$set"] |= {**values, **asked.noted, "op": asked.op}
        if after.status.final and not before.status.final:
            changes["$set"][UNCOUNTED] = True  # ``history`` counts it
        if await db.update(EXECUTIONS, before.id, {"op": before.op}, changes, lambda stored: stored["op"] == asked.op):
            return after
        before = await get(db, asked.execution_id)
    return None


async def discard(db: Database, execution: Execution) -> bool:
    """Deletes an execution that was never bound to a service, if it still has this epoch. It is noted before, so that a process that dies
    in between has not deleted one that nobody knows of; a note of one that is there does not count."""
    row = await db.one(EXECUTIONS, execution.id)
    if row is None or row["epoch"] != execution.epoch or row["status"] not in ("enqueued", "pulling") or row["service_id"] is not None:
        return False
    await note_deleted(db, [row])
    return await db.delete(EXECUTIONS, {"_id": execution.id, "op": row["op"]}) == 1


async def note_deleted(db: Database, rows: Sequence[Document]) -> None:
    """Notes that these are deleted, if a worker had claimed them: each may have left a parked service on a host."""
    for row in rows:
        if row["epoch"] > 0:
            await db.upsert(DELETED, row["_id"], {"$set": {"deleted_at": datetime.now(UTC)}})


async def was_deleted(db: Database, execution_id: str) -> bool:
    """Whether an execution with this id was deleted within the last day, after a worker had claimed it."""
    return await db.one(DELETED, execution_id) is not None and await db.one(EXECUTIONS, execution_id, ("_id",)) is None


async def of_job(db: Database, job_id: str, limit: int, offset: int, statuses: frozenset[Status] | None) -> list[Execution]:
    """A job's executions (with these statuses), newest first."""
    await whole(db, job_id)
    filter: dict[str, Any] = {"job_id": job_id}
    if statuses is not None:
        filter["status"] = {"$in": sorted(statuses)}
    is_short = bool(statuses) and statuses is not None and statuses <= UNDER_WAY_STATUSES  # even when the job's history is long
    index = "executions_under_way" if is_short else "executions_of_job"
    if is_short:
        filter[UNDER_WAY] = True

    async def fetch(count: int) -> list[Document]:
        return await db.find(EXECUTIONS, filter, index, sort=NEWEST, skip=offset, limit=count)

    return await filled(fetch, limit, read_execution) if statuses is None or statuses else []


async def last_started(db: Database, job_id: str) -> Execution | None:
    """A job's newest execution that has started."""
    filter = {"job_id": job_id, "started_at": {"$gte": FIRST[0], "$lte": LAST}}
    rows = await db.find(EXECUTIONS, filter, "executions_of_job", sort=NEWEST, limit=1)
    return read_execution(rows[0]) if rows else None


async def latest(db: Database, job_ids: Sequence[str]) -> dict[str, Execution]:
    """For each job, its newest execution under way (one that waits only without others), or else the newest that has ended."""
    bounds = await bounds_of_all(db, job_ids)
    found = await latest_under_way(db, bounds)
    others = [id for id in bounds if id not in found]
    ended = await db.with_ids(EXECUTIONS, [row["execution"] for row in await newest_ended(db, others)])
    return found | {execution.job_id: execution for execution in readable(list(ended.values()), read_execution)}


async def latest_under_way(db: Database, bounds: Mapping[str, JobBounds]) -> dict[str, Execution]:
    """For each of these jobs that has executions under way, the newest of them, one that waits only without others."""
    if not bounds:
        return {}
    filter = {"job_id": {"$in": list(bounds)}, UNDER_WAY: True}
    rows = await db.find(EXECUTIONS, filter, "executions_under_way")
    of_job: dict[str, list[Execution]] = {}
    for execution in readable(rows, read_execution):
        if not execution.status.final:  # it has not ended since it was found
            of_job.setdefault(execution.job_id, []).append(execution)
    found = {id: standing(some, bounds[id]) for id, some in of_job.items()}
    return {id: execution for id, execution in found.items() if execution is not None}


async def newest_ended(db: Database, job_ids: Sequence[str]) -> list[Document]:
    """For each job that has executions that ended, the id (``execution``) and the status of the newest; the job's is ``_id``. It is the
    newest of all but for jobs that have others under way. Without a status in the filter, the server finds it in one step along the index
    (a DISTINCT_SCAN), however many the job has."""
    newest = await _newest(db, {"job_id": {"$in": list(job_ids)}}) if job_ids else []
    others = [row["_id"] for row in newest if row["status"] not in FINAL]
    before = await _newest(db, {"job_id": {"$in": others}, "status": {"$in": sorted(FINAL)}}) if others else []
    return [*(row for row in newest if row["status"] in FINAL), *before]


async def _newest(db: Database, filter: Mapping[str, Any]) -> list[Document]:
    newest = {"_id": "$job_id", "execution": {"$first": "$_id"}, "status": {"$first": "$status"}}
    return await db.group(EXECUTIONS, [{"$match": filter}, {"$sort": NEWEST_OF_JOBS}, {"$group": newest}], "executions_of_job")


async def unfinished(db: Database, task_id: str, job_id: str, limit: int) -> list[Execution]:
    """The executions that belong to the job and are under way, not settled or not cleaned, oldest first."""
    bounds = await whole(db, job_id)
    if bounds is None:
        return []
    filter = {"task_id": task_id, "job_id": job_id, UNFINISHED: True, **belonging(bounds)}
    rows = await db.find(EXECUTIONS, filter, "executions_unfinished", sort=OLDEST, limit=limit)
    return [read_execution(row) for row in rows]


async def in_statuses(db: Database, statuses: frozenset[Status], limit: int, after: tuple[int, str] | None) -> list[Execution]:
    """Executions with one of these statuses, by (scheduled_for, id). The first page of a walk begins with what was committed before."""
    if not statuses:
        return []
    if after is None:
        await complete_pending(db)
    filter = {"status": {"$in": sorted(statuses)}, **_after("scheduled_for", after)}
    return await _page(db, filter, "executions_by_status", "scheduled_for", limit)


async def unsettled(db: Database, limit: int) -> list[Execution]:
    """Final executions that are not settled yet, oldest first."""
    return await _page(db, {UNSETTLED: True}, "executions_unsettled", "finished_at", limit)


async def uncleaned(db: Database, limit: int, after: tuple[int, str] | None) -> list[Execution]:
    """Settled executions that are not cleaned yet, by (finished_at, id)."""
    return await _page(db, {UNCLEANED: True, **_after("finished_at", after)}, "executions_uncleaned", "finished_at", limit)


async def uncleaned_by_host(db: Database, limit: int) -> list[Uncleaned]:
    """How many of the oldest of these each host has, by an index that holds the host."""
    sort = [("finished_at", 1), ("_id", 1)]
    rows = await db.find(EXECUTIONS, {UNCLEANED: True}, "executions_uncleaned", sort=sort, limit=limit, fields=("host", "finished_at"))
    moments: dict[str | None, list[int | None]] = {}
    for row in rows:
        moments.setdefault(row["host"], []).append(row["finished_at"])
    found = [Uncleaned(host, len(some), some[0]) for host, some in moments.items()]
    return sorted(found, key=lambda one: (one.since is not None, one.since or 0, one.host is not None, one.host or ""))


def _after(field: str, after: tuple[int, str] | None) -> Mapping[str, Any]:
    return {field: {"$gte": (after or FIRST)[0], "$lte": LAST}, **following(field, after)}


async def _page(db: Database, filter: Mapping[str, Any], index: str, field: str, limit: int) -> list[Execution]:
    async def fetch(count: int) -> list[Document]:
        return await db.find(EXECUTIONS, filter, index, sort=[(field, 1), ("_id", 1)], limit=count)

    return await filled(fetch, limit, read_execution)
