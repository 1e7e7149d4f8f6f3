"""Retention on top of the verbs over records. Each step is a few writes, in an order that allows a process to end after any of them.

First the job's floor is raised, so that a removed execution cannot come back and run. Then logs, deliveries and executions are removed by
their ids, and the rows of the ledger after them: rows that a crash leaves behind have no execution any more, and are removed in a later
step.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import astuple, dataclass, replace
from functools import partial
from typing import Any

import orjson

from fastlane.clock import unless_cancelled
from fastlane.models.retention import NEVER, Cuts, JobHistory, PastExecution, Retention, is_over, overdue_executions, ticks_of
from fastlane.models.run_target import MAX_TARGETS
from fastlane.storage import records
from fastlane.storage.archive import LogArchiveLogic
from fastlane.storage.logs import CHUNKS, CHUNKS_OF_EXECUTION, MAX_CHUNKS, cut_logs, logged
from fastlane.storage.records import LAST, Among, Between, Part, Rows, readable
from fastlane.storage.retention_port import (
    ALL,
    ONE_STEP,
    EndedPage,
    GoingJob,
    HistoryPage,
    LogPage,
    Most,
    RemovalNotes,
    Removed,
    StoredLog,
    Swept,
)
from fastlane.storage.values import FAULTS, MANUAL, unreadable

FIRST = (-LAST - 1, "")
"""Less than every (moment, id)."""
TOGETHER = 500
"""Rows that are checked together for an execution, a log, or something that is still to be sent."""

SHORT = 4
"""A job that has given out more numbers than this does not go together with others."""
SHORT_ROWS = 4 * SHORT
"""Executions, and rows of the ledger, of such a job on average; it has more after retries and pauses."""
MANY_CHUNKS, OF_JOBS = 1_000, 50
"""The most chunks that the logs of this many jobs have, or fewer jobs, that go together: with more, each job goes by itself."""

_JOB = ("task_id", "incarnation", "created_at", "modified_at", "sequence", "floor", "next_tick", "held_tick", "spec", "schedule", "source")
SEEN = ("task_id", "incarnation", "modified_at", "sequence", "floor", "next_tick", "held_tick")
_WAITS = ("id", "created_at", "sequence", "last_tick", "next_tick", "held_tick")
_PAST = ("id", "tick_id", "sequence", "finished_at", "settled", "cleaned")
_LOG = ("id", "end_noted_at", "stdout_bytes", "stderr_bytes", "settled", "cleaned")
_EXECUTIONS, _TICKS, _CHUNKS = (
    replace(index, order=()) for index in (records.EXECUTIONS_OF_JOB, records.TICKS_OF_JOB, CHUNKS_OF_EXECUTION)
)
"""Of several jobs, or executions, at once."""


@dataclass(frozen=True, slots=True)
class WholeJob:
    """A job that goes with all that it has: its row as it was seen, the ids of its executions and of its rows of the ledger, and for each
    chunk of a log its execution. ``late``: for how many milliseconds it has been over."""

    row: records.Row
    executions: Sequence[str]
    ticks: Sequence[str]
    chunks: Sequence[tuple[str, int]]
    late: int


def _further(spec: str) -> int:
    """How much further the sequences of the other executions of a tick may be than the one of an execution with this stored spec."""
    return MAX_TARGETS if '"everywhere"' in spec else 0


async def _nobody(*_: object) -> None:
    """Nobody wants to know what is removed."""


class RetentionLogic(ABC):
    """The methods of ``RetentionStore`` that need only the verbs. ``_chunks``: of the logs that go in one step with whole jobs;
    ``_most``: what else goes in it."""

    _most, _chunks = ONE_STEP, MAX_CHUNKS

    def __init__(self, rows: Rows, log_archive: LogArchiveLogic) -> None:
        self._rows = rows
        self._log_archive = log_archive
        self.notes: RemovalNotes | None = None

    @abstractmethod
    async def _delete_jobs(self, jobs: Sequence[WholeJob], now: int) -> frozenset[str]:
        """Deletes these jobs with all that they have, unless they have changed meanwhile, and the tasks that have no job after that. Which
        of the jobs went."""

    async def _seen(self, job_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The rows of these jobs whose last commit is whole."""
        return await self._rows.select_keys(records.JOBS, job_ids, SEEN)

    def _ticks_of(self, job: JobHistory) -> records.Where:
        """The part of the ledger that belongs to the job."""
        return {"job_id": job.job_id}

    async def histories(self, limit: int, after: tuple[int, str] | None = None, skip: int = 0) -> HistoryPage:
        page = await self._rows.select(records.JOBS_BY_CREATION, {}, _WAITS, Part(limit, after or FIRST, skip=skip))
        ids = [row["id"] for row in page if not (_to_come(row) and row["sequence"] == 0 and row["last_tick"] is None)]
        return HistoryPage(await self.histories_of(ids), (page[-1]["created_at"], page[-1]["id"]) if len(page) == limit else None)

    async def histories_of(self, job_ids: Sequence[str]) -> Sequence[JobHistory]:
        rows = await self._rows.select_keys(records.JOBS, job_ids, _JOB)
        return readable([rows[id] for id in job_ids if id in rows and rows[id]["incarnation"]], _history)

    async def ended(self, limit: int, before: int, after: tuple[int, str] | None = None) -> EndedPage:
        part = Part(limit, after or FIRST)
        rows = await self._rows.select(records.EXECUTIONS_BY_END, {"end_noted_at": _before(before)}, ("id", "job_id", "end_noted_at"), part)
        place = (rows[-1]["end_noted_at"], rows[-1]["id"]) if rows else after
        return EndedPage(list(dict.fromkeys(row["job_id"] for row in rows)), place, len(rows) == limit)

    async def delete_over(self, jobs: Sequence[tuple[JobHistory, int]], now: int) -> Swept:
        short = {job.job_id: (job, before) for job, before in jobs if job.sequence <= SHORT}
        left = frozenset(job.job_id for job, _ in jobs) - short.keys()
        found = await self._whole_jobs(short)
        if found is None:
            return Swept(left=left | short.keys())
        together = [whole for whole in found if len(whole.chunks) <= MAX_CHUNKS]
        left |= {whole.row["id"] for whole in found if len(whole.chunks) > MAX_CHUNKS}
        gone = frozenset[str]()
        for some in self._steps(together):
            if self.notes is not None:
                await self.notes.before_jobs([GoingJob(job.row["id"], job.row["task_id"], job.executions, job.ticks) for job in some])
            gone |= await self._delete_jobs(some, now)
        went = [whole for whole in together if whole.row["id"] in gone]
        counts = sum(len(whole.executions) for whole in went), sum(len(whole.ticks) for whole in went)
        return Swept(gone, *counts, late=max((whole.late for whole in went), default=0), left=left)

    async def _whole_jobs(self, jobs: Mapping[str, tuple[JobHistory, int]]) -> list[WholeJob] | None:
        """The jobs among these that are over, each before its moment. None when some of them have a long history after all."""
        rows = await self._seen(list(jobs))  # before the executions: of a later one, the job's row would tell
        rows = {id: row for id, row in rows.items() if _is_ripe(row, *jobs[id])}
        where, part = {"job_id": Among(list(rows))}, Part(SHORT_ROWS * len(rows))
        many = MANY_CHUNKS * max(1, -(-len(rows) // OF_JOBS))
        executions = await self._rows.select(_EXECUTIONS, where, (*_PAST, "job_id", "attempt"), part)
        ticks = await self._rows.select(_TICKS, where, ("id", "job_id"), part)
        ids = [row["id"] for row in executions]
        chunks = await self._rows.select(_CHUNKS, {"execution_id": Among(ids)}, ("execution_id", "sequence"), Part(many))
        if (rows and part.limit in (len(executions), len(ticks))) or len(chunks) == many:
            return None
        owed = await self._owed(ids)
        past: dict[str, list[PastExecution]] = {id: [] for id in rows}
        for row in sorted(executions, key=lambda row: (row["sequence"], row["attempt"])):
            past[row["job_id"]].append(_past(row, owed))
        of_job: dict[str, list[str]] = {id: [] for id in rows}
        for tick in ticks:
            of_job[tick["job_id"]].append(tick["id"])
        of_execution: dict[str, list[tuple[str, int]]] = {id: [] for id in ids}
        for chunk in chunks:
            of_execution[chunk["execution_id"]].append((chunk["execution_id"], chunk["sequence"]))
        found = []
        for id, some in past.items():
            before = jobs[id][1]
            if is_over(some, before):
                last = max(rows[id]["modified_at"], some[-1].finished_at or 0 if some else 0)
                parts = [chunk for one in some for chunk in of_execution[one.id]]
                found.append(WholeJob(rows[id], [one.id for one in some], of_job[id], parts, before - last))
        return found

    def _steps(self, jobs: Sequence[WholeJob]) -> Iterator[list[WholeJob]]:
        """The jobs in groups, each of which one step may delete."""
        step, sums = list[WholeJob](), (0, 0, 0)
        for job in jobs:
            size = len(job.executions), len(job.ticks), len(job.chunks)
            sums = sums[0] + size[0], sums[1] + size[1], sums[2] + size[2]
            if step and (sums[0] > self._most.executions or sums[1] > self._most.ticks or sums[2] > self._chunks):
                yield step
                step, sums = [], size
            step.append(job)
        if step:
            yield step

    async def is_over(self, job: JobHistory, before: int) -> bool:
        row = await self._job(job)
        if row is None or job.to_come or _to_come(row) or row["modified_at"] >= before:
            return False
        newest = await self._newest(job, 0)
        ended = newest is None or (newest["finished_at"] is not None and newest["finished_at"] < before)
        of_job = {"task_id": job.task_id, "job_id": job.job_id}
        if not ended or await self._rows.select(records.EXECUTIONS_UNFINISHED, of_job, ("id",), Part(1)):
            return False
        after: tuple[int, int] | None = None
        while True:
            part = Part(TOGETHER, after)
            rows = await self._rows.select(records.EXECUTIONS_OF_JOB, {"job_id": job.job_id}, ("id", "sequence", "attempt"), part)
            if await self._owed([one["id"] for one in rows]):
                return False
            if len(rows) < TOGETHER:
                return True
            after = (rows[-1]["sequence"], rows[-1]["attempt"])

    async def overdue(self, job: JobHistory, cuts: Cuts, *, whole: bool = False) -> Removed:
        most = ALL if whole else ONE_STEP
        executions = await self._oldest(job, cuts, most)
        ticks = [*ticks_of(executions), *await self._old_ticks(job, cuts, most)]
        going = {execution.id for execution in executions}
        logs = [id for id in await self._old_logs(job, cuts, most) if id not in going]
        more = len(executions) >= most.executions or len(ticks) >= most.ticks or len(logs) >= most.logs
        return Removed(len(executions), len(ticks), len(logs), more)

    async def prune(self, job: JobHistory, cuts: Cuts) -> Removed:
        row = await self._job(job)
        if row is None:
            return Removed()
        executions = await self._oldest(job, cuts)
        if executions and executions[-1].sequence > row["floor"]:
            seen = {"incarnation": job.incarnation, "floor": row["floor"]}
            if not await self._rows.update(records.JOBS, job.job_id, {"floor": executions[-1].sequence}, seen):
                return Removed(more=True)  # it has changed meanwhile: the next step looks again
        note = partial(_nobody if self.notes is None else self.notes.before_rows, job.job_id, job.task_id)
        if executions:
            await note([execution.id for execution in executions], ticks_of(executions))
        gone, chunks = await delete_executions(self._rows, [execution.id for execution in executions[: ONE_STEP.executions]])
        left = set(ticks_of(executions[gone:]))
        ticks = [id for id in ticks_of(executions[:gone]) if id not in left]
        without = await self._old_ticks(job, cuts)
        if without:
            await note([], without)
        rows = await self._rows.delete(records.TICKS, [(id,) for id in (*ticks, *without)])
        logs = await self._old_logs(job, cuts) if gone == len(executions) else []
        more = bool(logs) or len(executions) >= ONE_STEP.executions or gone < len(executions) or len(without) >= ONE_STEP.ticks
        cut = await cut_logs(self._rows, logs, chunks)
        if cut.touched:
            await note([], [], cut.touched)
        await unless_cancelled(asyncio.gather(*(self._rows.update(records.EXECUTIONS, id, {"truncated": True}) for id in cut.touched)))
        await self._log_archive.give_up(cut.touched)  # before the parts go, or a move would prove a log that has been removed
        await self._rows.delete(CHUNKS, cut.keys)
        return Removed(gone, rows, cut.gone, more)

    async def overdue_deliveries(self, before: int) -> int:
        return await self._rows.count(records.DELIVERIES_BY_AGE, {"created_at": _before(before)})

    async def prune_events(self, before: int, limit: int) -> int:
        return await self._rows.delete_some(records.EVENTS_BY_TIME, {"time": _before(before)}, Part(limit))

    async def prune_deliveries(self, before: int, limit: int) -> int:
        return await self._rows.delete_some(records.DELIVERIES_BY_AGE, {"created_at": _before(before)}, Part(limit))

    async def prune_log(self, execution_id: str) -> bool:
        if await self._log_archive.among([execution_id]):
            return await self._log_archive.clear_archived(execution_id)  # it is whole there, so it is not truncated
        if self.notes is not None:
            for row in (await self._rows.select_keys(records.EXECUTIONS, [execution_id], ("job_id", "task_id"))).values():
                await self.notes.before_rows(row["job_id"], row["task_id"], logs=[execution_id])
        if not await self._rows.update(records.EXECUTIONS, execution_id, {"truncated": True}, {"settled": True, "cleaned": True}):
            return False
        await self._log_archive.give_up([execution_id])
        cut = await cut_logs(self._rows, [execution_id], MAX_CHUNKS)
        await self._rows.delete(CHUNKS, cut.keys)
        return cut.left == 0

    async def stored_logs(self, limit: int, after: tuple[int, str] | None = None) -> LogPage:
        rows = await self._rows.select(records.EXECUTIONS_BY_END, {}, _LOG, Part(limit, after or FIRST))
        there = await logged(self._rows, [row["id"] for row in rows])
        found = [
            StoredLog(row["id"], row["stdout_bytes"] + row["stderr_bytes"], bool(row["settled"] and row["cleaned"]))
            for row in rows
            if row["id"] in there
        ]
        return LogPage(found, (rows[-1]["end_noted_at"], rows[-1]["id"]) if len(rows) == limit else None)

    async def _job(self, job: JobHistory) -> dict[str, Any] | None:
        """The job as it is now; None when it is gone, or another one."""
        await self._rows.catch_up(job.job_id)
        row = (await self._rows.select_keys(records.JOBS, [job.job_id], _JOB)).get(job.job_id)
        return row if row is not None and row["incarnation"] == job.incarnation else None

    async def _newest(self, job: JobHistory, skipped: int) -> dict[str, Any] | None:
        """The job's newest execution but for ``skipped`` newer ones."""
        part = Part(1, newest=True, skip=skipped)
        return next(
            iter(await self._rows.select(records.EXECUTIONS_OF_JOB, {"job_id": job.job_id}, ("sequence", "finished_at"), part)), None
        )

    async def _oldest(self, job: JobHistory, cuts: Cuts, most: Most = ONE_STEP) -> list[PastExecution]:
        """The job's oldest executions that may go, up to ``most``, and the other executions of the last one's tick."""
        newest, kept = await self._newest(job, 0), await self._newest(job, cuts.max_executions - 1)
        if newest is None:
            return []
        index, of_job = records.EXECUTIONS_OF_JOB, {"job_id": job.job_id}
        last = await self._rows.select(index, of_job, ("sequence", "spec"), Part(1, skip=most.executions - 1))
        within = {"sequence": Between(NEVER, last[0]["sequence"] + _further(last[0]["spec"]))} if last else {}
        rows = await self._rows.select(index, {**of_job, **within}, _PAST)
        owed = await self._owed([row["id"] for row in rows])
        found = [_past(row, owed) for row in rows]
        return overdue_executions(found, cuts, newest=newest["sequence"], kept_from=0 if kept is None else kept["sequence"])

    async def _owed(self, execution_ids: Sequence[str]) -> set[str]:
        """The executions of which a webhook has still to be sent."""
        found: set[str] = set()
        for start in range(0, len(execution_ids), TOGETHER):
            where = {"execution_id": Among(execution_ids[start : start + TOGETHER]), "due": Between()}
            found |= {row["execution_id"] for row in await self._rows.select(_DELIVERIES, where, ("execution_id",))}
        return found

    async def _old_ticks(self, job: JobHistory, cuts: Cuts, most: Most = ONE_STEP) -> list[str]:
        """Old rows of the ledger that have no execution, or none any more."""
        of_job, part = self._ticks_of(job), Part(1, newest=True, skip=cuts.max_executions - 1)
        kept = await self._rows.select(records.TICKS_OF_JOB, of_job, ("due",), part)
        where = {**of_job, "due": _before(max(cuts.executions, kept[0]["due"] if kept else NEVER))}
        found, after = list[str](), None
        while len(found) < most.ticks:
            page = await self._rows.select(records.TICKS_OF_JOB, where, ("id", "due", "execution_id"), Part(TOGETHER, after))
            found += await self._without_execution(page)
            if len(page) < TOGETHER:
                break
            after = (page[-1]["due"], page[-1]["id"])
        return found[: most.ticks]

    async def _without_execution(self, ticks: Sequence[records.Row]) -> list[str]:
        there = await self._rows.select_keys(records.EXECUTIONS, [tick["execution_id"] for tick in ticks if tick["execution_id"]], ("id",))
        return [tick["id"] for tick in ticks if tick["execution_id"] not in there]

    async def _logged(self, execution_ids: Sequence[str]) -> frozenset[str]:
        """Which of these executions have a log, here or in the archive."""
        return await logged(self._rows, execution_ids) | await self._log_archive.among(execution_ids)

    async def _old_logs(self, job: JobHistory, cuts: Cuts, most: Most = ONE_STEP) -> list[str]:
        """Executions with an old log, the oldest first."""
        where = {"job_id": job.job_id, "finished_at": _before(cuts.logs), "settled": True, "cleaned": True}
        found, after = list[str](), None
        while len(found) < most.logs:
            page = await self._rows.select(records.EXECUTIONS_OF_JOB, where, ("id", "sequence", "attempt"), Part(TOGETHER, after))
            there = await self._logged([row["id"] for row in page])
            found += [row["id"] for row in page if row["id"] in there]
            if len(page) < TOGETHER:
                break
            after = (page[-1]["sequence"], page[-1]["attempt"])
        return found[: most.logs]


async def delete_executions(rows: Rows, ids: Sequence[str]) -> tuple[int, int]:
    """Deletes these executions with their logs, as far as one step may: how many, and how many chunks it may still delete."""
    cut = await cut_logs(rows, ids, MAX_CHUNKS)
    going = [(id,) for id in ids[: cut.gone]]
    await unless_cancelled(asyncio.gather(rows.delete(CHUNKS, cut.keys), rows.delete(records.EXECUTIONS, going)))
    return cut.gone, cut.left


_DELIVERIES = records.Index(records.DELIVERIES, "deliveries_of_execution", ("execution_id",))


def _past(row: records.Row, owed: Set[str]) -> PastExecution:
    values = {name: row[name] for name in _PAST} | {"settled": bool(row["settled"]), "cleaned": bool(row["cleaned"])}
    return PastExecution(**values, owed=row["id"] in owed)


def _is_ripe(row: records.Row, job: JobHistory, before: int) -> bool:
    """Whether the row is still the job's, without a further tick and unchanged since that moment."""
    return row["incarnation"] == job.incarnation and not _to_come(row) and bool(row["modified_at"] < before)


def _before(moment: int) -> Between:
    return Between(NEVER, max(NEVER, moment - 1))


def _to_come(row: records.Row) -> bool:
    return row["next_tick"] is not None or row["held_tick"] is not None


def _is_declared(row: records.Row) -> bool:
    """Whether a service declares the job. Deleted, it would come back, and a person's stop would be forgotten."""
    return row["source"] is not None and orjson.loads(row["source"]).get("gone") is None


def _history(row: records.Row) -> JobHistory:
    """The facts about a job that retention needs, with the rules in its spec. Raises Unreadable."""
    try:
        rules = Retention(**orjson.loads(row["spec"]).get("retention", {}))
        if not all(rule is None or isinstance(rule, int) for rule in astuple(rules)):
            raise ValueError("its rules of retention are not numbers")
        ids = row["id"], row["task_id"], row["incarnation"]
        stays = _to_come(row) or row["schedule"].startswith(MANUAL) or _is_declared(row)
        return JobHistory(*ids, row["created_at"], row["modified_at"], row["sequence"], stays, rules, row["floor"])
    except FAULTS as error:
        raise unreadable(f"job {row['id']}", error) from error
