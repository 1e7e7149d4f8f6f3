"""The methods of the store that are the same for every database: written once, on top of the verbs over records (``records``)."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from fastlane.models.access import Requester
from fastlane.models.delivery import Delivery, MailQuota, Receiver
from fastlane.models.event import Event, EventKind, Source, Span
from fastlane.models.host import HostLoad, HostRecord, Uncleaned
from fastlane.models.image import PulledImage
from fastlane.models.job import Execution, Job
from fastlane.models.pool import Pauses, PoolsRevision
from fastlane.models.status import UNDER_WAY, Status
from fastlane.models.tick import Outcome
from fastlane.storage import records
from fastlane.storage.base import Generation, Noted
from fastlane.storage.logs import logged
from fastlane.storage.records import Among, Between, Index, Part, Rows, Without, by_key, filled, readable, write_version
from fastlane.storage.values import FAULTS, failure_from_json, requester_from_json, unreadable

MAX_DELIVERIES = 1_000
"""Deliveries of an execution that are read: more than there can be."""


class StoreLogic:
    """The methods of ``Store`` that need only the verbs; ``base`` documents them."""

    _rows: Rows

    # jobs and executions

    async def jobs_of(self, task_id: str, limit: int) -> Sequence[Job]:
        return await self._rows.find(records.JOBS_OF_TASK, {"task_id": task_id}, Part(limit, newest=True))

    async def jobs_due(self, before: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[Job]:
        return await self._rows.find(records.JOBS_DUE, {"next_tick": Between(high=before - 1)}, Part(limit, after))

    async def jobs_to_check(self, before: int, limit: int) -> Sequence[Job]:
        return await self._rows.find(records.JOBS_TO_CHECK, {"check_at": Between(high=before)}, Part(limit))

    async def close_tick(self, tick_id: str, outcome: Outcome, reason: str | None) -> None:
        await self._rows.update(records.TICKS, tick_id, {"outcome": outcome, "reason": reason})

    async def insert(self, execution: Execution) -> bool:
        return await self._rows.insert(records.EXECUTIONS, execution)

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

    async def unsettled(self, limit: int) -> Sequence[Execution]:
        return await self._rows.find(records.EXECUTIONS_UNSETTLED, {}, Part(limit))

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

    async def directory_mark(self) -> str:
        revision, hosts = await asyncio.gather(self.pools_revision(), self._rows.select(by_key(records.HOSTS), {}, ("version",)))
        return f"{revision.number}/{len(hosts)}/{sum(host['version'] for host in hosts)}"

    async def hosts(self) -> Sequence[HostRecord]:
        return sorted(await self._rows.find(by_key(records.HOSTS), {}), key=lambda host: (host.address, host.id))

    async def write_host(self, record: HostRecord) -> bool:
        return await write_version(self._rows, records.HOSTS, record, record.version)

    async def prune_hosts(self, before: int) -> None:
        for host in await self.hosts():
            if host.removed_at is not None and host.removed_at < before:
                await self._rows.delete(records.HOSTS, [(host.id,)], {"version": host.version})

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

    # events

    async def add_events(self, events: Sequence[Event]) -> None:
        await self._rows.insert_missing(records.EVENTS, events)

    async def events(self, source: Source, span: Span, limit: int) -> Sequence[Event]:
        await self._rows.catch_up()
        reading = READINGS[source]
        index, where = reading.walk(span)
        first, last = (span.last, span.first) if span.backwards else (span.first, span.last)

        async def fetch(count: int) -> list[dict[str, Any]]:
            part = Part(count, first=(first.time, first.id), last=(last.time, last.id), newest=span.backwards)
            return await self._rows.select(index, where, reading.columns, part, listed=True)

        return await filled(fetch, limit, reading.read)

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


class TransferLogic:
    """The methods of ``TransferStore`` that need only the verbs."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

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
        return await logged(self._rows, execution_ids)

    async def mail_quotas(self, limit: int, after: str = "") -> Sequence[MailQuota]:
        return await self._rows.find(by_key(records.QUOTAS), {}, Part(limit, (after,)))


def creator_of(row: records.Row) -> Requester | None:
    """Who made the job of a row: ``created_by`` is None until somebody changes it. Raises Unreadable."""
    try:
        return requester_from_json(row["created_by"] or row["requested_by"])
    except FAULTS as error:
        raise unreadable(f"job {row['id']}", error) from error


def _created(row: records.Row) -> Event:
    kind = orjson.loads(row["schedule"])["kind"]
    return Event(row["id"], row["created_at"], EventKind.JOB_CREATED, creator_of(row), row["task_id"], row["id"], detail={"schedule": kind})


def _enqueued(row: records.Row) -> Event:
    detail = {"attempt": row["attempt"], "scheduledFor": row["scheduled_for"]}
    return _of_execution(row, EventKind.EXECUTION_ENQUEUED, row["created_at"], detail)


def _started(row: records.Row) -> Event:
    detail = {"attempt": row["attempt"], "startedAt": row["started_at"]}
    return _of_execution(row, EventKind.EXECUTION_STARTED, row["start_noted_at"], detail)


def _ended(row: records.Row) -> Event:
    failure = failure_from_json(row["failure"])
    found = {"exitCode": row["exit_code"], "reason": None if failure is None else failure.reason.value}
    detail = {"attempt": row["attempt"], "status": row["status"]} | {name: value for name, value in found.items() if value is not None}
    return _of_execution(row, EventKind.EXECUTION_ENDED, row["end_noted_at"], detail)


def _of_execution(row: records.Row, kind: EventKind, time: int, detail: Mapping[str, Any]) -> Event:
    actor = requester_from_json(row["requested_by"]) if kind is EventKind.EXECUTION_ENQUEUED else None
    ids = row["task_id"], row["job_id"], row["id"]
    return Event(row["id"], time, kind, actor, *ids, row.get("host"), row.get("pool"), detail)


class Reading:
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
READINGS: Mapping[Source, Reading] = {
    Source.RECORDED: Reading(records.EVENTS_BY_TIME, records.EVENTS.fields, records.EVENTS.read, execution="execution_id"),
    Source.CREATED: Reading(
        records.JOBS_BY_CREATION, ("id", "task_id", "created_at", "created_by", "requested_by", "schedule"), _created, job="id"
    ),
    Source.ENQUEUED: Reading(records.EXECUTIONS_BY_CREATION, (*_IDS, "created_at", "scheduled_for", "requested_by"), _enqueued),
    Source.STARTED: Reading(records.EXECUTIONS_BY_START, (*_IDS, "start_noted_at", "started_at", "host", "pool"), _started),
    Source.ENDED: Reading(records.EXECUTIONS_BY_END, (*_IDS, "end_noted_at", "status", "exit_code", "failure", "host", "pool"), _ended),
}
