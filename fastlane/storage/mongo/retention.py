"""Retention on MongoDB: each step is a few writes in an order in which any of them may be the last.

First the job's floor is raised, by a change of its document, so that nothing that goes can come back and run. Then logs, deliveries and
executions go by their ids, and the rows of the ledger after them: those that a crash leaves have no execution any more, and go in a later
step. WiredTiger gives the space that is freed to what is written next.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from contextlib import aclosing
from typing import Any

from fastlane.models.retention import NEVER, Cuts, JobHistory, PastExecution, overdue_executions, ticks_of
from fastlane.storage.base.retention import ALL, ONE_STEP, HistoryPage, LogPage, Most, Removed, StoredLog
from fastlane.storage.histories import job_history
from fastlane.storage.mongo import deletion, events, executions, logs
from fastlane.storage.mongo.commits.commits import current, is_there
from fastlane.storage.mongo.driver.database import Database, Document
from fastlane.storage.mongo.jobs import FIRST, LAST, following
from fastlane.storage.mongo.schema import CHUNKS, DELIVERIES, EXECUTIONS, GONE_AT, JOBS, TICKS, TO_COME, TO_SEND
from fastlane.storage.mongo.statuses import JobStatuses
from fastlane.storage.mongo.version import CommitCounter
from fastlane.storage.readable import readable

CANDIDATES = 500
"""Rows of which it is asked together whether they have an execution, or a log."""
A_FEW = 4
"""Executions, and ticks, of a job that has given out one number at most; it has more after retries and pauses."""

_JOB = ("task_id", "incarnation", "created_at", "modified_at", "sequence", "spec", TO_COME, GONE_AT)
_WAITS = ("created_at", "sequence", "last_tick", TO_COME)
_PAST = ("tick_id", "sequence", "finished_at", "settled", "cleaned")


class MongoRetention:
    """A ``RetentionStore`` beside the other verbs of the database."""

    def __init__(self, db: Database, commits: CommitCounter, statuses: JobStatuses) -> None:
        self._db = db
        self._commits = commits
        self._statuses = statuses

    async def histories(self, limit: int, after: tuple[int, str] | None = None) -> HistoryPage:
        return await self._db.call(lambda: _histories(self._db, limit, after))

    async def candidates(self, jobs: Sequence[JobHistory], cuts: Cuts) -> Set[str]:
        return await self._db.call(lambda: _candidates(self._db, jobs, cuts))

    async def is_over(self, job: JobHistory, before: int) -> bool:
        return await self._db.call(lambda: _is_over(self._db, job, before))

    async def overdue(self, job: JobHistory, cuts: Cuts, *, whole: bool = False) -> Removed:
        return await self._db.call(lambda: _overdue(self._db, job, cuts, ALL if whole else ONE_STEP))

    async def prune(self, job: JobHistory, cuts: Cuts) -> Removed:
        removed = await self._db.call(lambda: _prune(self._db, job, cuts))
        if removed.any:
            self._commits.committed()
        if removed.executions:
            await self._statuses.follow(job.job_id)
        return removed

    async def overdue_deliveries(self, before: int) -> int:
        return await self._db.call(lambda: self._db.count(DELIVERIES, _sent_before(before), "deliveries_by_age"))

    async def prune_events(self, before: int, limit: int) -> int:
        removed = await self._db.call(lambda: events.prune(self._db, before, limit))
        if removed:
            self._commits.committed()
        return removed

    async def prune_deliveries(self, before: int, limit: int) -> int:
        removed = await self._db.call(lambda: _prune_deliveries(self._db, before, limit))
        if removed:
            self._commits.committed()
        return removed

    async def log_bytes(self) -> int:
        return await self._db.call(lambda: self._db.size(CHUNKS))

    async def stored_logs(self, limit: int, after: tuple[int, str] | None = None) -> LogPage:
        return await self._db.call(lambda: _stored_logs(self._db, limit, after))

    async def prune_log(self, execution_id: str) -> bool:
        is_left, was_there = await self._db.call(lambda: _prune_log(self._db, execution_id))
        if was_there:
            self._commits.committed()
        return is_left

    async def release_space(self) -> bool:
        return False


async def _histories(db: Database, limit: int, after: tuple[int, str] | None) -> HistoryPage:
    filter = {"created_at": {"$gte": (after or FIRST)[0], "$lte": LAST}, **following("created_at", after)}
    page = await db.find(JOBS, filter, "jobs_by_creation", sort=[("created_at", 1), ("_id", 1)], limit=limit, fields=_WAITS)
    rows = await db.with_ids(JOBS, [row["_id"] for row in page if not _waits_for_its_first_tick(row)], _JOB)
    jobs = readable([rows[row["_id"]] for row in page if row["_id"] in rows], _history)
    return HistoryPage(jobs, (page[-1]["created_at"], page[-1]["_id"]) if len(page) == limit else None)


def _waits_for_its_first_tick(row: Document) -> bool:
    return bool(row.get(TO_COME)) and row.get("sequence") == 0 and row.get("last_tick") is None


async def _candidates(db: Database, jobs: Sequence[JobHistory], cuts: Cuts) -> set[str]:
    found, short = {job.job_id for job in jobs if job.sequence > 1}, [job.job_id for job in jobs if job.sequence <= 1]
    filter, most = {"job_id": {"$in": short}}, A_FEW * len(short)
    if not short:
        return found
    fields = ("job_id", "finished_at", "settled", "cleaned")
    rows = await db.find(EXECUTIONS, filter, "executions_of_job", limit=most, fields=fields)
    ticks = await db.find(TICKS, filter, "ticks_of_job", limit=most, fields=("job_id", "due", "execution_id"))
    if most in (len(rows), len(ticks)):
        return found | set(short)
    found |= {job_id for some in (rows, ticks) for job_id, count in Counter(row["job_id"] for row in some).items() if count > 1}
    without = set(await _without_execution(db, [tick for tick in ticks if tick["due"] < cuts.executions]))
    ended = {row["_id"] for row in rows if row.get("settled") and row.get("cleaned") and (row.get("finished_at") or cuts.logs) < cuts.logs}
    logged = set(await logs.with_log(db, sorted(ended)))
    return found | {row["job_id"] for row in rows if row["_id"] in logged} | {tick["job_id"] for tick in ticks if tick["_id"] in without}


def _history(row: Document) -> JobHistory:
    return job_history(row["_id"], *(row[name] for name in _JOB[:5]), row.get(TO_COME), row["spec"])


async def _is_over(db: Database, job: JobHistory, before: int) -> bool:
    row = await current(db, job.job_id)
    if row is None or not _is(row, job) or row.get(TO_COME) or row["modified_at"] >= before:
        return False
    newest = await _newest(db, job, 0)
    ended = newest is None or (newest["finished_at"] is not None and newest["finished_at"] < before)
    if not ended or await executions.unfinished(db, job.task_id, job.job_id, 1):
        return False
    ids = await db.find(EXECUTIONS, {"job_id": job.job_id}, "executions_of_job", fields=("_id",))
    return not await _owed(db, [row["_id"] for row in ids])


async def _overdue(db: Database, job: JobHistory, cuts: Cuts, most: Most) -> Removed:
    found = await _oldest(db, job, cuts, most)
    going = {execution.id for execution in found}
    ticks = [*ticks_of(found), *await _old_ticks(db, job, cuts, most)]
    logs = [id for id in await _old_logs(db, job, cuts, most) if id not in going]
    more = len(found) >= most.executions or len(ticks) >= most.ticks or len(logs) >= most.logs
    return Removed(len(found), len(ticks), len(logs), more)


async def _prune(db: Database, job: JobHistory, cuts: Cuts) -> Removed:
    row = await current(db, job.job_id)
    if row is None or not _is(row, job):
        return Removed()
    found = await _oldest(db, job, cuts)
    if found and found[-1].sequence > row["floor"]:
        raised = {"$set": {"floor": found[-1].sequence, "rev": row["rev"] + 1}}
        if not await db.update(JOBS, job.job_id, {"rev": row["rev"]}, raised):
            return Removed(more=True)  # it has changed meanwhile: the next step looks again
    gone, chunks = await deletion.delete_executions(db, [execution.id for execution in found[: ONE_STEP.executions]])
    left = set(ticks_of(found[gone:]))
    ticks = [id for id in ticks_of(found[:gone]) if id not in left]
    without = await _old_ticks(db, job, cuts)
    rows = await db.delete(TICKS, {"_id": {"$in": [*ticks, *without]}}) if ticks or without else 0
    logs = await _old_logs(db, job, cuts) if gone == len(found) else []
    more = bool(logs) or len(found) >= ONE_STEP.executions or gone < len(found) or len(without) >= ONE_STEP.ticks
    return Removed(gone, rows, await _delete_logs(db, logs, chunks), more)


def _is(row: Document, job: JobHistory) -> bool:
    return is_there(row) and row["incarnation"] == job.incarnation


async def _newest(db: Database, job: JobHistory, skipped: int) -> Document | None:
    """The job's newest execution, but for so many newer ones."""
    filter, fields = {"job_id": job.job_id}, ("sequence", "finished_at")
    rows = await db.find(EXECUTIONS, filter, "executions_of_job", sort=executions.NEWEST, skip=skipped, limit=1, fields=fields)
    return rows[0] if rows else None


async def _oldest(db: Database, job: JobHistory, cuts: Cuts, most: Most = ONE_STEP) -> list[PastExecution]:
    """The job's oldest executions that may go: so many at most, and the other attempts of the last one's tick."""
    newest, kept = await _newest(db, job, 0), await _newest(db, job, cuts.max_executions - 1)
    if newest is None:
        return []
    of_job = {"job_id": job.job_id}
    last = await db.find(
        EXECUTIONS, of_job, "executions_of_job", sort=executions.OLDEST, skip=most.executions - 1, limit=1, fields=("sequence",)
    )
    filter = {**of_job, "sequence": {"$gte": NEVER, "$lte": last[0]["sequence"] if last else LAST}}
    rows = await db.find(EXECUTIONS, filter, "executions_of_job", sort=executions.OLDEST, fields=_PAST)
    owed = await _owed(db, [row["_id"] for row in rows])
    found = [PastExecution(id=row["_id"], owed=row["_id"] in owed, **{name: row[name] for name in _PAST}) for row in rows]
    return overdue_executions(found, cuts, newest=newest["sequence"], kept_from=0 if kept is None else kept["sequence"])


async def _owed(db: Database, execution_ids: Sequence[str]) -> set[str]:
    """Those of these executions of which a webhook is still to be told."""
    filter = {"execution_id": {"$in": list(execution_ids)}, TO_SEND: True}
    rows = await db.find(DELIVERIES, filter, "deliveries_of_execution", fields=("execution_id",))
    return {row["execution_id"] for row in rows}


async def _old_ticks(db: Database, job: JobHistory, cuts: Cuts, most: Most = ONE_STEP) -> list[str]:
    """Old rows of the ledger that have no execution, or none any more."""
    of_job = {"job_id": job.job_id, "incarnation": job.incarnation}
    newest, oldest = ([("incarnation", way), ("due", way), ("_id", way)] for way in (-1, 1))
    kept = await db.find(TICKS, of_job, "ticks_of_job", sort=newest, skip=cuts.max_executions - 1, limit=1, fields=("due",))
    filter = {**of_job, "due": {"$gte": NEVER, "$lt": max(cuts.executions, kept[0]["due"] if kept else NEVER)}}
    found, page = list[str](), list[Document]()
    async with aclosing(db.walk(TICKS, filter, "ticks_of_job", oldest, fields=("execution_id",), batch=CANDIDATES)) as rows:
        async for row in rows:
            page.append(row)
            if len(page) == CANDIDATES:
                found, page = [*found, *await _without_execution(db, page)], []
            if len(found) >= most.ticks:
                break
    return [*found, *await _without_execution(db, page)][: most.ticks]


async def _without_execution(db: Database, ticks: Sequence[Document]) -> list[str]:
    there = await db.with_ids(EXECUTIONS, [tick["execution_id"] for tick in ticks if tick["execution_id"]], ("_id",))
    return [tick["_id"] for tick in ticks if tick["execution_id"] not in there]


async def _old_logs(db: Database, job: JobHistory, cuts: Cuts, most: Most = ONE_STEP) -> list[str]:
    """Executions with an old log, the oldest first."""
    filter = {"job_id": job.job_id, "finished_at": {"$gte": NEVER, "$lt": cuts.logs}, "settled": True, "cleaned": True}
    found, page = list[str](), list[str]()
    async with aclosing(db.walk(EXECUTIONS, filter, "executions_of_job", executions.OLDEST, fields=("_id",), batch=CANDIDATES)) as rows:
        async for row in rows:
            page.append(row["_id"])
            if len(page) == CANDIDATES:
                found, page = [*found, *await logs.with_log(db, page)], []
            if len(found) >= most.logs:
                break
    return [*found, *await logs.with_log(db, page)][: most.logs]


async def _delete_logs(db: Database, execution_ids: Sequence[str], chunks: int) -> int:
    """Deletes so many chunks of these logs, each from its end; how many logs are gone."""
    for number, id in enumerate(execution_ids):
        await db.update(EXECUTIONS, id, {}, {"$set": {"truncated": True}})
        chunks -= await logs.delete_chunks(db, id, chunks)
        if chunks == 0:
            return number + (not await logs.with_log(db, [id]))
    return len(execution_ids)


async def _stored_logs(db: Database, limit: int, after: tuple[int, str] | None) -> LogPage:
    filter = {"end_noted_at": {"$gte": max(1, (after or FIRST)[0]), "$lte": LAST}, **following("end_noted_at", after)}
    sort, fields = [("end_noted_at", 1), ("_id", 1)], ("end_noted_at", "stdout_bytes", "stderr_bytes", "settled", "cleaned")
    rows = await db.find(EXECUTIONS, filter, "executions_by_end", sort=sort, limit=limit, fields=fields)
    there = set(await logs.with_log(db, [row["_id"] for row in rows]))
    found = [_stored_log(row) for row in rows if row["_id"] in there]
    return LogPage(found, (rows[-1]["end_noted_at"], rows[-1]["_id"]) if len(rows) == limit else None)


def _stored_log(row: Document) -> StoredLog:
    return StoredLog(row["_id"], row["stdout_bytes"] + row["stderr_bytes"], bool(row["settled"] and row["cleaned"]))


async def _prune_log(db: Database, execution_id: str) -> tuple[bool, bool]:
    """Whether there is more of it, and whether it might go."""
    if not await db.update(EXECUTIONS, execution_id, {"settled": True, "cleaned": True}, {"$set": {"truncated": True}}):
        return False, False
    return await logs.delete_chunks(db, execution_id, logs.PRUNED_CHUNKS) == logs.PRUNED_CHUNKS, True


def _sent_before(before: int) -> Mapping[str, Any]:
    return {"created_at": {"$gte": NEVER, "$lt": before}, "due": None}


async def _prune_deliveries(db: Database, before: int, limit: int) -> int:
    sort = [("created_at", 1), ("_id", 1)]
    rows = await db.find(DELIVERIES, _sent_before(before), "deliveries_by_age", sort=sort, limit=limit, fields=("_id",))
    return await db.delete(DELIVERIES, {"_id": {"$in": [row["_id"] for row in rows]}}) if rows else 0
