"""The methods of the store that are the same for every database: written once, on top of the verbs over records (``records``)."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from fastlane.clock import unless_cancelled
from fastlane.errors import Unreadable
from fastlane.models.access import Requester, may_see
from fastlane.models.delivery import Delivery, MailQuota, Receiver
from fastlane.models.event import Event, EventKind, Source, Span
from fastlane.models.host import HostLoad, HostRecord, Uncleaned, place_of
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.image import PulledImage
from fastlane.models.job import Execution, ExpectedVersions, Job, JobBounds, LateJob, RunningContainer, Task, is_under_way, job_version
from fastlane.models.job_change import STOPPED, unfired
from fastlane.models.pool import DirectoryMark, HostsRevision, Pauses, PoolsRevision
from fastlane.models.retention import ENDS, HourCount, TaskHour, WantedHours
from fastlane.models.status import UNDER_WAY, Status
from fastlane.models.tick import Outcome, Tick
from fastlane.storage import records
from fastlane.storage.archive_port import LogArchive
from fastlane.storage.base import Deletion, Generation, Noted
from fastlane.storage.links import Links
from fastlane.storage.logs import logged
from fastlane.storage.records import (
    COMPARED,
    MAX_UNDER_WAY,
    NEVER_AGAIN,
    Among,
    Between,
    Commit,
    Condition,
    Effects,
    Index,
    Part,
    Rows,
    Without,
    by_key,
    filled,
    readable,
    write_version,
)
from fastlane.storage.retention import delete_executions
from fastlane.storage.retention_port import ONE_STEP, GoingJob, RetentionStore
from fastlane.storage.values import FAULTS, failure_from_json, requester_from_json, schedule_from_json, unreadable

CANDIDATES = 100
"""Jobs, and executions, that are looked at together."""
UNBOUND = frozenset({Status.ENQUEUED, Status.PULLING})
"""Statuses in which an execution may not be bound to a service yet."""
_BOUNDS = ("incarnation", "floor", "stop_sequence")
_DELETED = (*COMPARED, "task_id", "stop_sequence", "held_tick")
_CONTAINER = ("id", "task_id", "job_id", "host", "container_id", "spec", "epoch")
_LATE, _EVERY, _DONE_BY = ("id", "task_id", "late_since"), "spec.expect_every", "spec.done_by"
_TICKS = replace(records.TICKS_OF_JOB, order=())
_UNFINISHED_BY_JOB = replace(records.EXECUTIONS_UNFINISHED, equal=("task_id",), order=("job_id",))
_RECORDS = Index(records.RECEIPTS, "receipts_by_age", (), ("created_at", "key"), where=Condition("TRUE", "done"))
"""All records; but for reservations, which MongoDB has in the same collection."""

HOST_TRIES = 50
"""Tries to add a host to the hosts' revision, each lost to another writer. After them, the comparison of all hosts finds it."""
TOGETHER = 500
"""Records of hosts that are deleted together."""
MAX_DELIVERIES = 1_000
"""Deliveries of an execution that are read: more than there can be."""


class StoreLogic(Links):
    """The methods of ``Store`` that need only the verbs; ``base`` documents them."""

    _rows: Rows
    retention: RetentionStore

    # jobs

    async def create(self, job: Job, tick: Tick | None, execution: Execution | None, record: IdempotencyRecord | None = None) -> None:
        effects = Effects(() if tick is None else (tick,), execution, record)
        await self._rows.commit(Commit(job.id, job.task_id, None, job, job.modified_at, effects))

    async def advance(
        self,
        seen: Job,
        job: Job,
        ticks: Sequence[Tick],
        execution: Execution | None,
        record: IdempotencyRecord | None = None,
        events: Sequence[Event] = (),
    ) -> bool:
        changed_at = None if job.modified_at == seen.modified_at else job.modified_at
        compared = records.JOBS.changes({name: getattr(seen, name) for name in COMPARED})
        return await self._rows.commit(Commit(seen.id, job.task_id, compared, job, changed_at, Effects(ticks, execution, record, events)))

    async def stop_job(self, job_id: str, now: int, expected: ExpectedVersions | None = None, event: Event | None = None) -> Job | None:
        while (seen := await self.job(job_id)) is not None:
            if expected is not None:
                expected.check(job_id, seen.version)
            ticks, last = unfired(seen, Outcome.STOPPED, STOPPED, now=now)
            sequence = seen.sequence + 1
            after = replace(
                seen,
                sequence=sequence,
                stop_sequence=sequence,
                next_tick=None,
                held_tick=None,
                last_tick=last,
                modified_at=now,
                unique_key=None,
            )
            if await self.advance(seen, after, ticks, None, events=[] if event is None else [event]):
                return after
        return None

    async def delete_job(
        self, job_id: str, incarnation: str, now: int, expected: ExpectedVersions | None = None, event: Event | None = None
    ) -> Deletion:
        """Raises the job's floor first, so that an attempt that is inserted late never runs. Rows are deleted by ids that were read while
        the job was as it is seen: so a process that slept deletes nothing from a job that ran again, or was made again, meanwhile."""
        row = await self._floored(job_id, incarnation, expected)
        if isinstance(row, Deletion):
            return row
        seen = {name: row[name] for name in COMPARED}
        ticks, executions = await unless_cancelled(
            asyncio.gather(
                self._rows.select(_TICKS, {"job_id": job_id}, ("id",), Part(ONE_STEP.ticks)),
                self._rows.select(records.EXECUTIONS_OF_JOB, {"job_id": job_id}, ("id",), Part(ONE_STEP.executions)),
            )
        )
        stored = (await self._rows.select_keys(records.JOBS, [job_id], COMPARED)).get(job_id, {})
        if any(stored.get(name) != value for name, value in seen.items()):
            return Deletion.MORE
        if (notes := self.retention.notes) is not None:
            await notes.before_jobs([GoingJob(job_id, row["task_id"], [one["id"] for one in executions], [one["id"] for one in ticks])])
        await self._rows.delete(records.TICKS, [(tick["id"],) for tick in ticks])
        if len(ticks) == ONE_STEP.ticks:
            return Deletion.MORE
        _, chunks = await delete_executions(self._rows, [execution["id"] for execution in executions])
        if len(executions) == ONE_STEP.executions or chunks == 0:
            return Deletion.MORE
        commit = Commit(job_id, row["task_id"], seen, None, now, Effects(events=() if event is None else (event,)))
        return Deletion.DONE if await self._rows.commit(commit) else Deletion.MORE

    async def _floored(self, job_id: str, incarnation: str, expected: ExpectedVersions | None) -> records.Row | Deletion:
        """The job's row with its floor raised, or how the deletion ends before that. Raises Changed."""
        while True:
            await self._rows.catch_up(job_id)
            row = (await self._rows.select_keys(records.JOBS, [job_id], _DELETED)).get(job_id)
            if row is None or row["incarnation"] != incarnation:
                return Deletion.DONE
            if expected is not None:
                expected.check(job_id, job_version(incarnation, row["revision"], row["stop_sequence"]))
            is_to_come = row["next_tick"] is not None or row["held_tick"] is not None
            if is_to_come or await self.unfinished(row["task_id"], job_id, 1):
                return Deletion.KEPT
            after = {"floor": row["sequence"]}
            seen = {name: row[name] for name in COMPARED}
            if row["floor"] == row["sequence"] or await self._rows.update(records.JOBS, job_id, after, seen):
                return {**row, **after}

    async def idempotency_record(self, key: str, since: int) -> IdempotencyRecord | None:
        record = await self._rows.get(records.RECEIPTS, key)
        return None if record is None or record.created_at < since else record

    async def job(self, job_id: str) -> Job | None:
        return await self._rows.get(records.JOBS, job_id)

    async def task(self, task_id: str) -> Task | None:
        return await self._rows.get(records.TASKS, task_id)

    async def job_bounds(self, job_id: str) -> JobBounds | None:
        return (await self._bounds([job_id])).get(job_id)

    async def _bounds(self, job_ids: Sequence[str]) -> dict[str, JobBounds]:
        """The bounds of several jobs, by id."""
        rows = await self._rows.select_keys(records.JOBS, job_ids, _BOUNDS)
        return {id: JobBounds(*(row[name] for name in _BOUNDS)) for id, row in rows.items() if row["incarnation"] is not None}

    async def open_jobs(self, task_id: str, limit: int, after: str = "") -> Sequence[Job]:
        await self._rows.catch_up()
        found: list[Job] = []
        until: str | None = after
        while until is not None and len(found) < limit:
            ids, until = await self._open_ids(task_id, until)
            rows = await self._rows.select_keys(records.JOBS, ids, records.JOBS.fields)
            found += readable([rows[id] for id in ids if id in rows and rows[id]["incarnation"] is not None], records.JOBS.read)
        return found[:limit]

    async def _open_ids(self, task_id: str, after: str) -> tuple[list[str], str | None]:
        """Ids of the next open jobs after this one, and up to which id it was looked; None: there are no more."""
        part, of_task = Part(CANDIDATES, (after,)), {"task_id": task_id}
        fields = ("job_id", "incarnation", "sequence")
        to_come = [row["id"] for row in await self._rows.select(records.JOBS_TO_COME, of_task, ("id",), part)]
        unsettled = await self._rows.select(_UNFINISHED_BY_JOB, {**of_task, "settled": False}, fields, part)
        looked_at = [row["job_id"] for row in unsettled]
        until = min((ids[-1] for ids in (to_come, looked_at) if len(ids) == CANDIDATES), default=None)
        bounds = await self._bounds(sorted(set(looked_at)))
        belonging = {
            row["job_id"]
            for row in unsettled
            if (limits := bounds.get(row["job_id"])) is not None and limits.include(row["incarnation"], row["sequence"])
        }
        if until is not None and until not in belonging and await self.unfinished(task_id, until, 1):
            belonging.add(until)  # the page ends amid its executions
        return [id for id in sorted({*to_come, *belonging}) if until is None or id <= until], until

    async def jobs_of(self, task_id: str, limit: int) -> Sequence[Job]:
        return await self._rows.find(records.JOBS_OF_TASK, {"task_id": task_id}, Part(limit, newest=True))

    async def jobs_due(self, before: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[Job]:
        return await self._rows.find(records.JOBS_DUE, {"next_tick": Between(high=before - 1)}, Part(limit, after))

    async def jobs_to_check(self, before: int, limit: int) -> Sequence[Job]:
        return await self._rows.find(records.JOBS_TO_CHECK, {"check_at": Between(high=before)}, Part(limit))

    async def jobs_of_services(self, limit: int, after: str = "") -> Sequence[Job]:
        return await self._rows.find(records.JOBS_OF_SERVICES, {}, Part(limit, (after,)))

    async def late_jobs(self, limit: int, visible: str | None = None) -> Sequence[LateJob]:
        where: dict[str, Any] = {"late_since": Between(low=1)}
        if visible is not None:
            where["task_id"] = Among(await self._rows.visible_tasks(visible))
        rows = await self._rows.select(records.JOBS_LATE, where, (*_LATE, *records.OF_SPEC), Part(limit))
        # A document of MongoDB that an older fastlane wrote has these parts in its spec only.
        unknown = await self._rows.select_keys(
            records.JOBS, [row["id"] for row in rows if row[_EVERY] is None and row[_DONE_BY] is None], ("spec",)
        )
        found = [{**row, **_parts(unknown[row["id"]]["spec"])} if row["id"] in unknown else row for row in rows]
        known = [row for row in found if isinstance(row[_EVERY], int) or isinstance(row[_DONE_BY], str)]
        return [LateJob(*(row[name] for name in (*_LATE, _EVERY, "spec.name", _DONE_BY))) for row in known]

    async def count_late_jobs(self, most: int) -> int:
        return await self._rows.count(records.JOBS_LATE, {"late_since": Between(low=1)}, most)

    async def tick(self, tick_id: str) -> Tick | None:
        return await self._rows.get(records.TICKS, tick_id)

    async def close_tick(self, tick_id: str, outcome: Outcome, reason: str | None) -> None:
        await self._rows.update(records.TICKS, tick_id, {"outcome": outcome, "reason": reason})

    # executions

    async def insert(self, execution: Execution) -> bool:
        return await self._rows.insert(records.EXECUTIONS, execution)

    async def discard(self, execution: Execution) -> bool:
        fields = ("epoch", "service_id", "status", "op")
        row = (await self._rows.select_keys(records.EXECUTIONS, [execution.id], fields)).get(execution.id)
        if row is None or row["epoch"] != execution.epoch or row["service_id"] is not None or row["status"] not in UNBOUND:
            return False
        return await self._rows.delete(records.EXECUTIONS, [(execution.id,)], {"op": row["op"]}) == 1

    async def was_deleted(self, execution_id: str) -> bool:
        if not await self._rows.select_keys(records.DELETED, [execution_id], ("id",)):
            return False
        return not await self._rows.select_keys(records.EXECUTIONS, [execution_id], ("id",))

    async def waiting(self, job_id: str) -> Execution | None:
        found = await self._rows.find(records.EXECUTIONS_WAITING, {"job_id": job_id}, Part(1, newest=True))
        return found[0] if found else None

    async def waiting_of(self, task_id: str, most: int) -> int:
        return await self._rows.count(records.EXECUTIONS_UNFINISHED, {"task_id": task_id, "status": Status.ENQUEUED.value}, most)

    async def unfinished(self, task_id: str, job_id: str, limit: int) -> Sequence[Execution]:
        return await self._unfinished(await self._belonging(task_id, job_id), Part(limit))

    async def under_way_of(self, task_id: str, job_id: str) -> Sequence[Execution]:
        """They are read from the oldest on. A failed one is settled after the attempt after it was inserted, so a read that comes too late
        for the first still comes to the second."""
        where = await self._belonging(task_id, job_id)
        if where is not None:
            where |= {"settled": False, "status": Without(NEVER_AGAIN)}
        found, page = list[Execution](), await self._unfinished(where, Part(MAX_UNDER_WAY))
        while len(found := [*found, *filter(is_under_way, page)]) < MAX_UNDER_WAY:
            if len(page) < MAX_UNDER_WAY:
                return found
            page = await self._unfinished(where, Part(MAX_UNDER_WAY, (page[-1].sequence, page[-1].attempt)))
        oldest, last = found[:MAX_UNDER_WAY], await self.waiting(job_id)
        return oldest if last is None or last in oldest else [*oldest, last]

    async def _belonging(self, task_id: str, job_id: str) -> dict[str, Any] | None:
        """``JobBounds.include`` as a condition on the executions of a job, whose commits can be seen from now on; None when it is gone."""
        await self._rows.catch_up(job_id)
        bounds = await self.job_bounds(job_id)
        if bounds is None:
            return None
        own = {"incarnation": Among(("", bounds.incarnation)), "sequence": Between(low=bounds.floor + 1)}
        return {"task_id": task_id, "job_id": job_id, **own}

    async def _unfinished(self, where: dict[str, Any] | None, part: Part) -> list[Execution]:
        """Unfinished executions, oldest first. Raises Unreadable: one that cannot be read may run."""
        if where is None:
            return []
        rows = await self._rows.select(records.EXECUTIONS_UNFINISHED, where, records.EXECUTIONS.fields, part)
        return [records.EXECUTIONS.read(row) for row in rows]

    async def running_containers(self, limit: int, visible: str | None = None) -> Sequence[RunningContainer]:
        where: dict[str, Any] = {"status": Status.RUNNING.value}
        if visible is not None:
            where["task_id"] = Among(await self._rows.visible_tasks(visible))

        async def fetch(count: int) -> list[dict[str, Any]]:
            return await self._rows.select(records.EXECUTIONS_BY_STATUS, where, _CONTAINER, Part(count), listed=True)

        return await filled(fetch, limit, _container)

    async def executions_of(
        self, job_id: str, limit: int, offset: int = 0, *, statuses: frozenset[Status] | None = None
    ) -> Sequence[Execution]:
        await self._rows.catch_up(job_id)
        index, where = records.EXECUTIONS_OF_JOB, dict[str, Any](job_id=job_id)
        if statuses is not None:
            where["status"] = Among([status.value for status in statuses])
        if statuses and statuses <= UNDER_WAY:
            index = records.EXECUTIONS_UNDER_WAY  # this walk is short even when the job's history is long
        return await self._rows.find(index, where, Part(limit, newest=True, skip=offset))

    async def last_started(self, job_id: str) -> Execution | None:
        where = {"job_id": job_id, "started_at": Between()}
        return next(iter(await self._rows.find(records.EXECUTIONS_OF_JOB, where, Part(1, newest=True))), None)

    async def executions_in(self, statuses: frozenset[Status], limit: int, after: tuple[int, str] | None = None) -> Sequence[Execution]:
        if after is None:
            await self._rows.catch_up()
        where = {"status": Among([status.value for status in statuses])}
        return await self._rows.find(records.EXECUTIONS_BY_STATUS, where, Part(limit, after))

    async def unsettled(self, limit: int, after: tuple[int, str] | None = None) -> Sequence[Execution]:
        return await self._rows.find(records.EXECUTIONS_UNSETTLED, {}, Part(limit, after))

    async def uncleaned(self, limit: int, after: tuple[int, str] | None = None) -> Sequence[Execution]:
        return await self._rows.find(records.EXECUTIONS_UNCLEANED, {}, Part(limit, after))

    async def uncleaned_by_host(self, limit: int) -> Sequence[Uncleaned]:
        moments: dict[str | None, list[int | None]] = {}
        for row in await self._rows.select(records.EXECUTIONS_UNCLEANED, {}, ("host", "finished_at"), Part(limit)):
            moments.setdefault(row["host"], []).append(row["finished_at"])
        found = [Uncleaned(host, len(some), some[0]) for host, some in moments.items()]
        return sorted(found, key=lambda one: (one.since is not None, one.since or 0, one.host is not None, one.host or ""))

    # pools and hosts

    async def pause_pool(self, name: str, paused: bool) -> Pauses:
        while True:
            before = await self.paused_pools()
            names = before.names | {name} if paused else before.names - {name}
            after = Pauses(before.revision + 1, names)
            if names == before.names:
                return before
            if await self._rows.replace(records.PAUSES, after, {"revision": before.revision}):
                return after

    async def paused_pools(self) -> Pauses:
        return await self._rows.get(records.PAUSES) or Pauses()

    async def directory_mark(self) -> DirectoryMark:
        pools, hosts = await unless_cancelled(asyncio.gather(self.pools_revision(), self._hosts_revision()))
        return DirectoryMark(pools.number, hosts)

    async def _hosts_revision(self) -> HostsRevision:
        """The revision of the hosts. It is only a hint: without a readable one, processes compare all hosts once a minute."""
        try:
            return await self._rows.get(records.HOSTS_REVISION) or HostsRevision()
        except Unreadable as error:
            records.report(str(error))
            return HostsRevision()

    async def hosts(self, known: Sequence[HostRecord] = ()) -> Sequence[HostRecord]:
        if not known:
            return sorted(await self._rows.find(by_key(records.HOSTS), {}), key=place_of)
        stored = await self._rows.select(by_key(records.HOSTS), {}, ("id", "version", "removed_at"))
        # One that is made again begins at version 1, and the one before it was removed.
        states = {row["id"]: (row["version"], row["removed_at"]) for row in stored}
        same = [host for host in known if states.get(host.id) == (host.version, host.removed_at)]
        if len(same) == len(states) == len(known):
            return known
        kept = {host.id for host in same}
        return sorted([*same, *await self.hosts_of([id for id in states if id not in kept])], key=place_of)

    async def hosts_of(self, ids: Sequence[str]) -> Sequence[HostRecord]:
        rows = await self._rows.select_keys(records.HOSTS, ids, records.HOSTS.fields)
        return readable(list(rows.values()), records.HOSTS.read)

    async def write_host(self, record: HostRecord) -> bool:
        if not await write_version(self._rows, records.HOSTS, record, record.version):
            return False
        for _ in range(HOST_TRIES):  # after the record: a process that reads the new number finds it
            seen = await self._hosts_revision()
            if await self._rows.replace(records.HOSTS_REVISION, seen.after(record.id), {"number": seen.number}):
                break
        return True

    async def prune_hosts(self, before: int) -> None:
        removed, part = {"removed_at": Between(high=before - 1)}, Part(TOGETHER)
        while await self._rows.delete_some(records.HOSTS_BY_REMOVAL, removed, part) == TOGETHER:
            pass

    async def host_load(self, address: str, swarm_id: str | None, since: int = 0) -> HostLoad:
        fields = ("status", "service_id", "swarm_id", "placed_at")
        rows = await self._rows.select(records.EXECUTIONS_ON_HOST, {"host": address}, fields)
        here = [row for row in rows if swarm_id is None or row["swarm_id"] in (None, swarm_id)]
        bound = [row for row in here if row["service_id"] is not None]
        placed = [row for row in here if row["service_id"] is None and row["placed_at"] is not None and row["placed_at"] >= since]
        under_way = [row for row in bound if row["status"] in UNDER_WAY]
        return HostLoad(len(under_way), len([row for row in placed if row["status"] in UNDER_WAY]), len(bound) - len(under_way))

    async def pools_revision(self) -> PoolsRevision:
        return await self._rows.get(records.POOLS_REVISION) or PoolsRevision()

    async def record_pools(self, revision: PoolsRevision) -> bool:
        return await self._rows.replace(records.POOLS_REVISION, revision, {"number": revision.number - 1})

    async def generation(self) -> Generation:
        return await self._rows.get(records.GENERATION) or Generation(0, "", None, 0)

    async def change_generation(self, seen: Generation, new: Generation) -> bool:
        return await self._rows.replace(records.GENERATION, new, records.GENERATION.row(seen))

    # images

    async def pulled_images(self, engine_id: str) -> Sequence[PulledImage]:
        return await self._rows.find(by_key(records.IMAGES), {"engine_id": engine_id})

    async def write_image(self, image: PulledImage) -> bool:
        return await write_version(self._rows, records.IMAGES, image, image.version)

    async def drop_image(self, image: PulledImage) -> bool:
        return await self._rows.delete(records.IMAGES, [(image.engine_id, image.reference)], {"version": image.version}) == 1

    async def prune_images(self, before: int) -> int:
        return await self._rows.delete_some(records.IMAGES_BY_AGE, {"keep_until": Between(high=before - 1)})

    # events

    async def add_events(self, events: Sequence[Event]) -> None:
        await self._rows.insert_missing(records.EVENTS, events)

    async def events(self, source: Source, span: Span, limit: int) -> Sequence[Event]:
        await self._rows.catch_up()
        reader = READERS[source]
        index, where = reader.walk(span)
        first, last = (span.last, span.first) if span.backwards else (span.first, span.last)

        async def fetch(count: int) -> list[dict[str, Any]]:
            part = Part(count, first=(first.time, first.id), last=(last.time, last.id), newest=span.backwards)
            return await self._rows.select(index, where, reader.columns, part, listed=True)

        return await filled(fetch, limit, reader.read)

    # deliveries

    async def insert_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        await self._rows.insert_missing(records.DELIVERIES, deliveries)

    async def delivery(self, delivery_id: str) -> Delivery | None:
        return await self._rows.get(records.DELIVERIES, delivery_id)

    async def deliveries_of(self, execution_id: str) -> Sequence[Delivery]:
        return await self._rows.find(records.DELIVERIES_OF_EXECUTION, {"execution_id": execution_id}, Part(MAX_DELIVERIES))

    async def deliveries_due(
        self, now: int, limit: int, without: Collection[str] = (), without_tasks: Collection[str] = ()
    ) -> Sequence[Delivery]:
        where: dict[str, object] = {"due": Between(high=now), "origin": Without(sorted(without))}
        if without_tasks:
            where["task_id"] = Without(sorted(without_tasks))
        return await self._rows.find(records.DELIVERIES_DUE, where, Part(limit))

    async def write_delivery(self, delivery: Delivery) -> bool:
        return await self._rows.replace(records.DELIVERIES, delivery, {"version": delivery.version - 1})

    async def drop_delivery(self, delivery_id: str) -> None:
        await self._rows.delete(records.DELIVERIES, [(delivery_id,)])

    async def receiver(self, receiver_id: str) -> Receiver | None:
        return await self._rows.get(records.RECEIVERS, receiver_id)

    async def receivers(self, receiver_ids: Sequence[str]) -> Mapping[str, Receiver]:
        rows = await self._rows.select_keys(records.RECEIVERS, receiver_ids, records.RECEIVERS.fields)
        return {one.id: one for one in readable(list(rows.values()), records.RECEIVERS.read)}

    async def failing_receivers(self, limit: int) -> Sequence[Receiver]:
        return await self._rows.find(records.RECEIVERS_BY_AGE, {}, Part(limit))

    async def write_receiver(self, receiver: Receiver) -> bool:
        return await write_version(self._rows, records.RECEIVERS, receiver, receiver.version)

    async def drop_receiver(self, receiver: Receiver) -> bool:
        return await self._rows.delete(records.RECEIVERS, [(receiver.id,)], {"version": receiver.version}) == 1

    async def prune_receivers(self, before: int) -> None:
        await self._rows.delete_some(records.QUOTAS_BY_AGE, {"told_at": Between(high=before - 1)})
        await self._rows.delete_some(records.RECEIVERS_BY_FAILURE, {"failed_at": Between(high=before - 1)})

    async def mail_quota(self, quota_id: str) -> MailQuota | None:
        return await self._rows.get(records.QUOTAS, quota_id)

    async def write_mail_quota(self, quota: MailQuota) -> bool:
        return await write_version(self._rows, records.QUOTAS, quota, quota.version)


def _parts(spec: str) -> dict[str, Any]:
    """The parts of a spec that ``records.OF_SPEC`` names; None where it has no such part, or cannot be read."""
    try:
        found = orjson.loads(spec)
    except ValueError:
        found = None
    return {name: found.get(name.removeprefix("spec.")) if isinstance(found, dict) else None for name in records.OF_SPEC}


def _container(row: records.Row) -> RunningContainer:
    try:
        spec = orjson.loads(row["spec"])
        image, service = spec["image"], spec.get("service")
    except (ValueError, LookupError, TypeError, AttributeError):
        image = service = None
    if not isinstance(image, str) or not image.isascii():
        raise Unreadable(f"execution {row['id']} cannot be read from the store: its spec has no image")
    return RunningContainer(
        row["id"], row["task_id"], row["job_id"], row["host"], row["container_id"], image or None, service, row["epoch"]
    )


class HistoryLogic:
    """The methods of ``HistoryStore`` that need only the verbs. The store counts each end in the commit that writes it."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def count_ends(self, limit: int) -> int:
        del limit
        return 0

    async def hours(self, wanted: WantedHours) -> Sequence[HourCount]:
        where: dict[str, Any] = {"hour": Between(wanted.since, wanted.until - 1)}
        if wanted.task_id is not None:
            if not may_see(wanted.visible, wanted.task_id):
                return []
            where["task_id"] = wanted.task_id
        elif wanted.visible is not None:
            where["task_id"] = Among(await self._rows.visible_tasks(wanted.visible))
        if wanted.pool is not None:
            where["pool"] = wanted.pool
        index = records.HOURS_BY_AGE if wanted.task_id is None else records.HOURS_OF_TASK
        rows = await self._rows.sums(index, where, "hour", (*ENDS, "started", "late"), ("latest",))
        return [count_of(row) for row in rows]

    async def overdue_hours(self, before: int) -> int:
        return await self._rows.count(records.HOURS_BY_AGE, {"hour": Between(high=before - 1)})

    async def prune_hours(self, before: int, limit: int) -> int:
        return await self._rows.delete_some(records.HOURS_BY_AGE, {"hour": Between(high=before - 1)}, Part(limit))


def count_of(row: records.Row) -> HourCount:
    """The counts of an hour in a row of ``HOURS``."""
    ended = {status: row[status] for status in ENDS if row[status]}
    return HourCount(row["hour"], ended, row["started"], row["late"], row["latest"])


def task_hour_of(row: records.Row) -> TaskHour:
    """The counts of a task and a pool in an hour."""
    return TaskHour(row["task_id"], row["pool"], count_of(row))


def hours_row(one: TaskHour) -> dict[str, Any]:
    """The counts of a task and a pool in an hour, as they are stored."""
    count = one.count
    ended = {status.value: count.ended.get(status, 0) for status in ENDS}
    sums = {"started": count.started, "late": count.late, "latest": count.latest}
    return {"task_id": one.task_id, "pool": one.pool, "hour": count.hour, **ended, **sums}


class TransferLogic:
    """The methods of ``TransferStore`` that need only the verbs."""

    def __init__(self, rows: Rows, log_archive: LogArchive) -> None:
        self._rows = rows
        self._log_archive = log_archive

    async def idempotency_records(self, since: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[IdempotencyRecord]:
        await self._rows.catch_up()
        return await self._rows.find(_RECORDS, {"created_at": Between(low=since)}, Part(limit, after))

    async def restore_record(self, record: IdempotencyRecord) -> None:
        await self._rows.insert(records.RECEIPTS, record)

    async def creators(self, job_ids: Sequence[str]) -> Mapping[str, Requester | None]:
        rows = await self._rows.select_keys(records.JOBS, job_ids, ("created_by", "requested_by"))
        return dict(readable(list(rows.values()), lambda row: (str(row["id"]), creator_of(row))))

    async def noted(self, execution_ids: Sequence[str]) -> Mapping[str, Noted]:
        rows = await self._rows.select_keys(records.EXECUTIONS, execution_ids, ("start_noted_at", "end_noted_at"))
        return {id: Noted(row["start_noted_at"], row["end_noted_at"]) for id, row in rows.items()}

    async def deliveries(self, ids: Sequence[str]) -> Mapping[str, Sequence[Delivery]]:
        found: dict[str, list[Delivery]] = {}
        index = replace(records.DELIVERIES_OF_EXECUTION, order=())
        for delivery in sorted(await self._rows.find(index, {"execution_id": Among(ids)}), key=lambda one: one.id):
            found.setdefault(delivery.execution_id, []).append(delivery)
        return found

    async def logged(self, execution_ids: Sequence[str]) -> frozenset[str]:
        return await logged(self._rows, execution_ids) | await self._log_archive.among(execution_ids)

    async def mail_quotas(self, limit: int, after: str = "") -> Sequence[MailQuota]:
        return await self._rows.find(by_key(records.QUOTAS), {}, Part(limit, (after,)))


def creator_of(row: records.Row) -> Requester | None:
    """Who made the job of a row: ``created_by`` is None until somebody changes it. Raises Unreadable."""
    try:
        return requester_from_json(row["created_by"] or row["requested_by"])
    except FAULTS as error:
        raise unreadable(f"job {row['id']}", error) from error


def _created(row: records.Row) -> Event:
    detail = {"schedule": schedule_from_json(row["schedule"]).kind.value}
    return Event(row["id"], row["created_at"], EventKind.JOB_CREATED, creator_of(row), row["task_id"], row["id"], detail=detail)


def _enqueued(row: records.Row) -> Event:
    detail = {"attempt": row["attempt"], "scheduledFor": row["scheduled_for"]}
    return _of_execution(row, EventKind.EXECUTION_ENQUEUED, row["created_at"], detail)


def _started(row: records.Row) -> Event:
    detail = {"attempt": row["attempt"], "startedAt": row["started_at"], **_node(row)}
    return _of_execution(row, EventKind.EXECUTION_STARTED, row["start_noted_at"], detail)


def _node(row: records.Row) -> Mapping[str, Any]:
    """The name of the node, if the row has it."""
    node = row.get("node")
    return {} if node is None else {"node": node}


def _ended(row: records.Row) -> Event:
    failure = failure_from_json(row["failure"])
    found = {"exitCode": row["exit_code"], "reason": None if failure is None else failure.reason.value}
    given = {name: value for name, value in found.items() if value is not None}
    detail = {"attempt": row["attempt"], "status": row["status"], **given, **_node(row)}
    return _of_execution(row, EventKind.EXECUTION_ENDED, row["end_noted_at"], detail)


def _of_execution(row: records.Row, kind: EventKind, time: int, detail: Mapping[str, Any]) -> Event:
    actor = requester_from_json(row["requested_by"]) if kind is EventKind.EXECUTION_ENQUEUED else None
    ids = row["task_id"], row["job_id"], row["id"]
    return Event(row["id"], time, kind, actor, *ids, row.get("host"), row.get("pool"), detail)


class SourceReader:
    """How the events of a source are read: the index by time, the columns of a row, and the function that makes an event of it."""

    def __init__(self, index: Index[Any], columns: tuple[str, ...], make: Any, job: str = "job_id", execution: str = "id") -> None:
        self._index, self.columns, self._make = index, columns, make
        self._job, self._execution = job, execution

    def walk(self, span: Span) -> tuple[Index[Any], Mapping[str, str]]:
        """The index to walk, and the values of its first fields. A list that is narrowed to a job or an execution walks its own rows."""
        record, order = self._index.record, self._index.order
        if span.execution_id is not None and record is not records.JOBS:
            index = records.EVENTS_OF_EXECUTION if record is records.EVENTS else Index(record, "", ("id",), order)
            return index, {self._execution: span.execution_id}
        if span.job_id is not None:
            own: Mapping[str, Index[Any]] = {
                records.EVENTS.name: records.EVENTS_OF_JOB,
                records.EXECUTIONS.name: replace(records.EXECUTIONS_OF_JOB, order=order),
            }
            return own.get(record.name, Index(record, "", ("id",), order)), {self._job: span.job_id}
        return self._index, {} if span.task_id is None else {"task_id": span.task_id}

    def read(self, row: records.Row) -> Event:
        """The event of a row. Raises Unreadable."""
        try:
            event: Event = self._make(row)
        except FAULTS as error:
            raise unreadable(f"an event of {row.get('id')}", error) from error
        return event


_IDS = ("id", "task_id", "job_id", "attempt")
READERS: Mapping[Source, SourceReader] = {
    Source.RECORDED: SourceReader(records.EVENTS_BY_TIME, records.EVENTS.fields, records.EVENTS.read, execution="execution_id"),
    Source.CREATED: SourceReader(
        records.JOBS_BY_CREATION, ("id", "task_id", "created_at", "created_by", "requested_by", "schedule"), _created, job="id"
    ),
    Source.ENQUEUED: SourceReader(records.EXECUTIONS_BY_CREATION, (*_IDS, "created_at", "scheduled_for", "requested_by"), _enqueued),
    Source.STARTED: SourceReader(records.EXECUTIONS_BY_START, (*_IDS, "start_noted_at", "started_at", "host", "pool", "node"), _started),
    Source.ENDED: SourceReader(
        records.EXECUTIONS_BY_END, (*_IDS, "end_noted_at", "status", "exit_code", "failure", "host", "pool", "node"), _ended
    ),
}
