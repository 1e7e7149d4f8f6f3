"""The store on one SQLite file, for one machine: any number of processes may share it on a local disk.

Writes go through one thread with group commit (``writer``), reads through a few others (``readers``). The statements are in the modules
named for what they read and write, the tables in ``schema``.
"""

import asyncio
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastlane.errors import StoreDown
from fastlane.models.delivery import Delivery, MailQuota, Receiver
from fastlane.models.event import Event, Source, Span
from fastlane.models.execution import Execution, RunningContainer, status_of
from fastlane.models.host import HostLoad, HostRecord, Uncleaned
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.image import PulledImage
from fastlane.models.job import ExpectedVersions, Job, JobBounds, Task
from fastlane.models.log import Chunk, Head
from fastlane.models.paging import JobPage, Page, Wanted, WantedJobs, Window
from fastlane.models.pool import Pauses, PoolsRevision
from fastlane.models.status import Status
from fastlane.models.store_version import StoreVersion
from fastlane.models.tick import Outcome, Tick
from fastlane.models.transitions import ExecutionChange
from fastlane.storage.base import Claimed, Counts, Decide, Deletion, Generation, Slice, StatusWalk
from fastlane.storage.documents import execution_document, first_execution_document, host_document, job_document, tick_document
from fastlane.storage.notices import delivery_document
from fastlane.storage.sqlite import (
    creation,
    deletion,
    executions,
    generations,
    hosts,
    idempotency,
    images,
    job_statuses,
    jobs,
    logs,
    overlaps,
    pauses,
    version,
)
from fastlane.storage.sqlite import events as event_rows
from fastlane.storage.sqlite.driver.checkpointer import Checkpointer
from fastlane.storage.sqlite.driver.connection import connect
from fastlane.storage.sqlite.driver.memory import keep_freed_memory
from fastlane.storage.sqlite.driver.migration import Progress, prepare
from fastlane.storage.sqlite.driver.readers import Readers
from fastlane.storage.sqlite.driver.work_queue import BatchOperation
from fastlane.storage.sqlite.driver.writer import Writer
from fastlane.storage.sqlite.history import SqliteHistory
from fastlane.storage.sqlite.lists import counts, execution_lists, job_lists, paged
from fastlane.storage.sqlite.notify import deliveries as delivery_rows
from fastlane.storage.sqlite.notify import quotas, receivers
from fastlane.storage.sqlite.retention import SqliteRetention
from fastlane.storage.sqlite.transfer import SqliteTransfer

GRACE = 2.0
"""Seconds beyond ``busy_timeout`` after which a call is given up."""

LIST_THREADS, LIST_DEADLINE = 2, 5.0
"""Threads for lists, and the seconds that one may take: a list that grows with what is stored never delays the other reads."""
LIST_ADVICE = "ask for less: one task, a status, a later since; or walk by nextUrl instead of by page numbers"

Document = Mapping[str, Any]


class SqliteStore:
    """A ``Store`` on the file at ``path``, in an existing folder. A write waits at most ``busy_timeout`` seconds for other processes; every
    call ends at most ``GRACE`` seconds later, with StoreDown if it must."""

    def __init__(self, path: Path | str, *, busy_timeout: float = 5.0) -> None:
        self._path = Path(path)
        self._busy_timeout = busy_timeout
        self._deadline = busy_timeout + GRACE
        self._checkpointer = Checkpointer(self._connect, self._deadline)
        self._writer = Writer(self._connect, busy_timeout, self._deadline, version.count_commit, self._checkpointer.count_commit)
        self._readers = Readers(self._connect, self._deadline)
        self._list_readers = Readers(
            self._connect, LIST_DEADLINE, threads=LIST_THREADS, batch=1, name="sqlite-list-reader", advice=LIST_ADVICE
        )
        self.retention = SqliteRetention(self._writer, self._readers)
        self.history = SqliteHistory(self._writer, self._list_readers)
        self.transfer = SqliteTransfer(self._writer, self._readers)

    async def open(self) -> None:
        """Raises FastlaneError for a file that only a newer fastlane may use. A migration has no deadline while it gets on."""
        keep_freed_memory()
        progress = Progress()
        preparation = asyncio.ensure_future(asyncio.to_thread(prepare, self._path, self._busy_timeout, progress))
        try:
            await progress.watch(preparation, self._deadline + self._busy_timeout)
        except (sqlite3.Error, OSError) as error:
            raise StoreDown(f"the store {self._path} cannot be opened: {str(error) or 'no answer in time'}") from error
        self._checkpointer.start()
        self._writer.start()
        self._readers.start()
        self._list_readers.start()

    async def close(self) -> None:
        await self._writer.close()
        await self._checkpointer.close()
        await self._readers.close()
        await self._list_readers.close()

    async def check(self) -> None:
        await self._writer.run(lambda db: db.execute("UPDATE checks SET count = count + 1").rowcount)

    # jobs

    async def create(self, job: Job, tick: Tick | None, execution: Execution | None, record: IdempotencyRecord | None = None) -> None:
        stored = job_document(job)
        row = None if execution is None else first_execution_document(execution, job, stored)
        stored["job_status"] = status_of(job, () if execution is None else (execution,))
        new = creation.NewJob(stored, None if tick is None else tick_document(tick), row, record)
        await self._writer.run(BatchOperation(new, creation.create))

    async def advance(
        self,
        seen: Job,
        job: Job,
        ticks: Sequence[Tick],
        execution: Execution | None,
        record: IdempotencyRecord | None = None,
        events: Sequence[Event] = (),
    ) -> bool:
        rows = ([tick_document(tick) for tick in ticks], None if execution is None else execution_document(execution))
        return await self._writer.run(lambda db: creation.advance(db, seen, job_document(job), rows, record, events))

    async def idempotency_record(self, key: str, since: int) -> IdempotencyRecord | None:
        return await self._readers.run(lambda db: idempotency.get(db, key, since))

    async def stop_job(self, job_id: str, now: int, expected: ExpectedVersions | None = None, event: Event | None = None) -> Job | None:
        return await self._writer.run(lambda db: jobs.stop(db, job_id, now, expected, event))

    async def delete_job(
        self, job_id: str, incarnation: str, now: int, expected: ExpectedVersions | None = None, event: Event | None = None
    ) -> Deletion:
        return await self._writer.run(lambda db: deletion.delete_job(db, job_id, incarnation, now, expected, event))

    async def delete_task(self, task_id: str, event: Event | None = None) -> bool:
        return await self._writer.run(lambda db: deletion.delete_task(db, task_id, event))

    async def open_jobs(self, task_id: str, limit: int, after: str = "") -> Sequence[Job]:
        return await self._readers.run(lambda db: deletion.open_of_task(db, task_id, limit, after))

    async def job(self, job_id: str) -> Job | None:
        return await self._readers.run(BatchOperation(job_id, jobs.get))

    async def job_bounds(self, job_id: str) -> JobBounds | None:
        return await self._readers.run(BatchOperation(job_id, jobs.bounds))

    async def task(self, task_id: str) -> Task | None:
        return await self._readers.run(lambda db: jobs.task(db, task_id))

    async def jobs_of(self, task_id: str, limit: int) -> Sequence[Job]:
        return await self._readers.run(lambda db: jobs.of_task(db, task_id, limit))

    async def jobs_due(self, before: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[Job]:
        return await self._readers.run(lambda db: jobs.due(db, before, limit, after))

    async def jobs_to_check(self, before: int, limit: int) -> Sequence[Job]:
        return await self._readers.run(lambda db: jobs.to_check(db, before, limit))

    async def next_jobs(self, limit: int, now: int, visible: str | None = None) -> Sequence[Job]:
        return await self._list_readers.run(lambda db: job_lists.next_jobs(db, limit, now, visible))

    # lists

    async def list_tasks(self, window: Window, *, visible: str | None = None) -> Page[Task]:
        return await self._list_readers.run(lambda db: paged.tasks(db, window, visible))

    async def search_tasks(self, words: Sequence[str], window: Window, *, visible: str | None = None) -> Page[Task]:
        return await self._list_readers.run(lambda db: paged.tasks_with(db, words, window, visible))

    async def list_jobs(self, task_id: str, window: Window, *, status: str | None = None) -> JobPage:
        return await self.list_all_jobs(WantedJobs(frozenset() if status is None else frozenset({status}), task_id), window)

    async def list_all_jobs(self, wanted: WantedJobs, window: Window) -> JobPage:
        return await self._list_readers.run(lambda db: job_lists.all_jobs(db, wanted, window))

    async def list_ticks(self, job_id: str, window: Window) -> Page[Tick]:
        return await self._list_readers.run(lambda db: paged.ticks(db, job_id, window))

    async def list_executions_of(self, job_id: str, window: Window) -> Page[Execution]:
        return await self._list_readers.run(lambda db: paged.executions_of(db, job_id, window))

    async def list_executions(self, wanted: Wanted, window: Window) -> Page[Execution]:
        return await self._list_readers.run(lambda db: execution_lists.executions(db, wanted, window))

    # executions

    async def insert(self, execution: Execution) -> bool:
        row = execution_document(execution)
        return await self._writer.run(lambda db: executions.insert_attempt(db, row))

    async def discard(self, execution: Execution) -> bool:
        return await self._writer.run(lambda db: deletion.discard(db, execution.id, execution.epoch))

    async def was_deleted(self, execution_id: str) -> bool:
        return await self._readers.run(lambda db: deletion.was_deleted(db, execution_id))

    async def execution(self, execution_id: str) -> Execution | None:
        return await self._readers.run(BatchOperation(execution_id, executions.get))

    async def change(self, change: ExecutionChange) -> Execution | None:
        """Raises ValueError for a value whose name is not a field of an execution."""
        return await self._writer.run(BatchOperation(executions.as_stored(change), executions.apply))

    async def claim(self, execution_id: str, decide: Decide) -> Claimed | None:
        return await self._writer.run(BatchOperation((execution_id, decide), executions.claim))

    async def executions_of(
        self, job_id: str, limit: int, offset: int = 0, *, statuses: frozenset[Status] | None = None
    ) -> Sequence[Execution]:
        return await self._readers.run(lambda db: executions.of_job(db, job_id, limit, offset, statuses))

    async def last_started(self, job_id: str) -> Execution | None:
        return await self._readers.run(lambda db: executions.last_started(db, job_id))

    async def latest(self, job_ids: Sequence[str]) -> Mapping[str, Execution]:
        return await self._readers.run(lambda db: executions.latest(db, job_ids))

    async def waiting(self, job_id: str) -> Execution | None:
        return await self._readers.run(BatchOperation(job_id, overlaps.waiting))

    async def waiting_of(self, task_id: str, most: int) -> int:
        return await self._readers.run(lambda db: overlaps.waiting_of(db, task_id, most))

    async def under_way_of(self, task_id: str, job_id: str) -> Sequence[Execution]:
        return await self._readers.run(lambda db: overlaps.under_way_of(db, task_id, job_id))

    async def executions_in(self, statuses: frozenset[Status], limit: int, after: tuple[int, str] | None = None) -> Sequence[Execution]:
        return await self._readers.run(lambda db: executions.in_statuses(db, statuses, limit, after))

    async def running_containers(self, limit: int, visible: str | None = None) -> Sequence[RunningContainer]:
        return await self._list_readers.run(lambda db: execution_lists.running_containers(db, limit, visible))

    async def unsettled(self, limit: int) -> Sequence[Execution]:
        return await self._readers.run(lambda db: executions.unsettled(db, limit))

    async def unfinished(self, task_id: str, job_id: str, limit: int) -> Sequence[Execution]:
        return await self._readers.run(lambda db: deletion.unfinished(db, task_id, job_id, limit))

    async def uncleaned(self, limit: int, after: tuple[int, str] | None = None) -> Sequence[Execution]:
        return await self._readers.run(lambda db: executions.uncleaned(db, limit, after))

    async def uncleaned_by_host(self, limit: int) -> Sequence[Uncleaned]:
        return await self._readers.run(lambda db: executions.uncleaned_by_host(db, limit))

    async def close_tick(self, tick_id: str, outcome: Outcome, reason: str | None) -> None:
        await self._writer.run(lambda db: jobs.close_tick(db, tick_id, outcome, reason))

    async def counts(self, visible: str | None = None) -> Counts:
        return await (self._readers if visible is None else self._list_readers).run(lambda db: counts.counts(db, visible))

    async def jobs_by_status(self, visible: str | None = None) -> Mapping[str, int]:
        return await self._list_readers.run(lambda db: counts.jobs_by_status(db, visible))

    async def walk_statuses(self, now: int, after: str, limit: int) -> StatusWalk:
        walk, wrong = await self._readers.run(lambda db: job_statuses.wrong(db, now, after, limit))
        return replace(walk, repaired=await self._writer.run(lambda db: job_statuses.write(db, wrong, now))) if wrong else walk

    # logs

    async def append(self, chunk: Chunk) -> bool:
        row = logs.chunk_row(chunk)
        return await self._writer.run(lambda db: logs.append(db, row))

    async def prune_logs(self, after: str, limit: int) -> str | None:
        last, gone = await self._readers.run(lambda db: logs.orphans(db, after, limit))
        pruned = not gone or await self._writer.run(lambda db: logs.prune(db, gone))
        return last if pruned else after

    async def log_head(self, execution_id: str) -> Head:
        return await self._readers.run(lambda db: logs.head(db, execution_id))

    async def read_log(self, execution_id: str, offset: int, limit: int, stream: int | None = None) -> Slice:
        return await self._readers.run(lambda db: logs.read(db, execution_id, offset, limit, stream))

    async def log_since(self, execution_id: str, stream: int | None, moment: int) -> int:
        return await self._readers.run(lambda db: logs.since(db, execution_id, stream, moment))

    # pools and images

    async def pause_pool(self, name: str, paused: bool) -> Pauses:
        return await self._writer.run(lambda db: pauses.pause(db, name, paused))

    async def paused_pools(self) -> Pauses:
        return await self._readers.run(pauses.pauses)

    async def pulled_images(self, engine_id: str) -> Sequence[PulledImage]:
        return await self._readers.run(lambda db: images.of_engine(db, engine_id))

    async def write_image(self, image: PulledImage) -> bool:
        return await self._writer.run(lambda db: images.write(db, image))

    async def drop_image(self, image: PulledImage) -> bool:
        return await self._writer.run(lambda db: images.drop(db, image))

    async def images_under_way(self) -> frozenset[str]:
        return await self._list_readers.run(images.under_way)

    # events

    async def add_events(self, events: Sequence[Event]) -> None:
        await self._writer.run(lambda db: event_rows.insert(db, events))

    async def events(self, source: Source, span: Span, limit: int) -> Sequence[Event]:
        return await self._list_readers.run(lambda db: event_rows.read(db, source, span, limit))

    # deliveries

    async def insert_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        rows = [delivery_document(delivery) for delivery in deliveries]
        await self._writer.run(lambda db: delivery_rows.insert(db, rows))

    async def delivery(self, delivery_id: str) -> Delivery | None:
        return await self._readers.run(lambda db: delivery_rows.get(db, delivery_id))

    async def deliveries_of(self, execution_id: str) -> Sequence[Delivery]:
        return await self._readers.run(lambda db: delivery_rows.of_execution(db, execution_id))

    async def deliveries_due(self, now: int, limit: int, without: Collection[str] = ()) -> Sequence[Delivery]:
        return await self._readers.run(lambda db: delivery_rows.due(db, now, limit, without))

    async def write_delivery(self, delivery: Delivery) -> bool:
        row = delivery_document(delivery)
        return await self._writer.run(lambda db: delivery_rows.write(db, row))

    async def drop_delivery(self, delivery_id: str) -> None:
        await self._writer.run(lambda db: delivery_rows.drop(db, delivery_id))

    async def receiver(self, receiver_id: str) -> Receiver | None:
        return await self._readers.run(lambda db: receivers.get(db, receiver_id))

    async def failing_receivers(self, limit: int) -> Sequence[Receiver]:
        return await self._readers.run(lambda db: receivers.failing(db, limit))

    async def write_receiver(self, receiver: Receiver) -> bool:
        return await self._writer.run(lambda db: receivers.write(db, receiver))

    async def drop_receiver(self, receiver: Receiver) -> bool:
        return await self._writer.run(lambda db: receivers.drop(db, receiver))

    async def prune_receivers(self, before: int) -> None:
        await self._writer.run(lambda db: receivers.prune(db, before))

    async def mail_quota(self, quota_id: str) -> MailQuota | None:
        return await self._readers.run(lambda db: quotas.get(db, quota_id))

    async def write_mail_quota(self, quota: MailQuota) -> bool:
        return await self._writer.run(lambda db: quotas.write(db, quota))

    # hosts

    async def directory_mark(self) -> str:
        return await self._readers.run(hosts.mark)

    async def hosts(self) -> Sequence[HostRecord]:
        return await self._readers.run(hosts.all_hosts)

    async def write_host(self, record: HostRecord) -> bool:
        row = host_document(record)
        return await self._writer.run(lambda db: hosts.write(db, row))

    async def prune_hosts(self, before: int) -> None:
        await self._writer.run(lambda db: hosts.prune(db, before))

    async def host_load(self, address: str, swarm_id: str | None, since: int = 0) -> HostLoad:
        return await self._readers.run(lambda db: hosts.load(db, address, swarm_id, since))

    async def pools_revision(self) -> PoolsRevision:
        return await self._readers.run(hosts.pools_revision)

    async def record_pools(self, revision: PoolsRevision) -> bool:
        return await self._writer.run(lambda db: hosts.record_pools(db, revision))

    # the queue's generation

    async def generation(self) -> Generation:
        return await self._readers.run(generations.generation)

    async def change_generation(self, seen: Generation, new: Generation) -> bool:
        return await self._writer.run(lambda db: generations.change(db, seen, new))

    async def version(self) -> StoreVersion:
        return await self._readers.run(version.version)

    def _connect(self) -> sqlite3.Connection:
        return connect(self._path, self._busy_timeout)
