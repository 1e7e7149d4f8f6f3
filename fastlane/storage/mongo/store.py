"""The store in a MongoDB database, which processes on several machines share.

The calls are in the modules named for what they read and write, the collections and indexes in ``schema``, the driver in ``database``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

from fastlane.models.delivery import Delivery, MailQuota, Receiver
from fastlane.models.event import Event, Source, Span
from fastlane.models.execution import Execution, RunningContainer
from fastlane.models.host import HostLoad, HostRecord, Uncleaned
from fastlane.models.ids import IdempotencyRecord, nonce
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
from fastlane.storage.mongo import (
    deletion,
    executions,
    generations,
    hosts,
    idempotency,
    images,
    jobs,
    logs,
    migration,
    overlaps,
    pauses,
    status_walks,
    tasks,
)
from fastlane.storage.mongo import events as event_rows
from fastlane.storage.mongo.commits import commits, intents
from fastlane.storage.mongo.commits.finisher import Finisher
from fastlane.storage.mongo.driver.database import Database
from fastlane.storage.mongo.driver.turns import Turns
from fastlane.storage.mongo.driver.url import read_url
from fastlane.storage.mongo.history import MongoHistory
from fastlane.storage.mongo.lists import counts, execution_lists, job_lists, paged, task_lists
from fastlane.storage.mongo.notify import deliveries as delivery_rows
from fastlane.storage.mongo.notify import quotas, receivers
from fastlane.storage.mongo.retention import MongoRetention
from fastlane.storage.mongo.statuses import JobStatuses
from fastlane.storage.mongo.transfer import MongoTransfer
from fastlane.storage.mongo.version import CommitCounter

DEADLINE = 5.0
"""Seconds that a call may take."""
LIST_ADVICE = "ask for less: one task, a status, a later since; or walk by nextUrl instead of by page numbers"

SHOWN = frozenset({"status", "waits"})
"""Values of an execution from which its job's status follows."""

T = TypeVar("T")


class MongoStore:
    """A ``Store`` in the database that a URL names. Every call ends within ``deadline`` seconds, with StoreDown if it must."""

    def __init__(self, url: str, *, deadline: float = DEADLINE) -> None:
        self._db = Database(read_url(url), deadline)
        self._finisher = Finisher(self._db)
        self._commits = CommitCounter(self._db)
        self._turns = Turns()
        self._statuses = JobStatuses(self._db)
        self.history = MongoHistory(self._db, self._commits)
        self.retention = MongoRetention(self._db, self._commits, self._statuses)
        self.transfer = MongoTransfer(self._db, self._commits, self._statuses)

    async def open(self) -> None:
        """Raises FastlaneError for a database that only a newer fastlane may use."""
        await asyncio.to_thread(self._db.open)  # a URL with +srv asks DNS
        try:
            await migration.prepare(self._db)
            await self._db.call(self._commits.open)
            await self._db.call(lambda: intents.complete_pending(self._db))
        except BaseException:
            await self._db.close()
            raise
        self._finisher.start()

    async def close(self) -> None:
        await self._finisher.close()
        await self._statuses.close()
        await self._commits.close()
        await self._db.close()

    async def check(self) -> None:
        await self._db.call(self._commits.check)

    # jobs

    async def create(self, job: Job, tick: Tick | None, execution: Execution | None, record: IdempotencyRecord | None = None) -> None:
        written = await self._db.call(lambda: commits.create(self._db, job, tick, execution, record))
        self._commits.committed()
        await self._finisher.finish(written)

    async def advance(
        self,
        seen: Job,
        job: Job,
        ticks: Sequence[Tick],
        execution: Execution | None,
        record: IdempotencyRecord | None = None,
        events: Sequence[Event] = (),
    ) -> bool:
        advanced, written = await self._db.call(lambda: commits.advance(self._db, seen, job, ticks, execution, record, events))
        if advanced:
            self._commits.committed()
        await self._finisher.finish(written)
        return advanced

    async def idempotency_record(self, key: str, since: int) -> IdempotencyRecord | None:
        return await self._db.call(lambda: idempotency.get(self._db, key, since, lambda id: commits.current(self._db, id)))

    async def stop_job(self, job_id: str, now: int, expected: ExpectedVersions | None = None, event: Event | None = None) -> Job | None:
        stopped, written = await self._db.call(lambda: commits.stop(self._db, job_id, now, expected, event))
        if stopped is not None:
            self._commits.committed()
        await self._finisher.finish(written)
        return stopped

    async def delete_job(
        self, job_id: str, incarnation: str, now: int, expected: ExpectedVersions | None = None, event: Event | None = None
    ) -> Deletion:
        step, written = await self._db.call(lambda: deletion.delete_job(self._db, job_id, incarnation, now, expected, event))
        if step is not Deletion.KEPT:
            self._commits.committed()
        await self._finisher.finish(written)
        if step is Deletion.MORE:
            await self._statuses.follow(job_id)
        return step

    async def delete_task(self, task_id: str, event: Event | None = None) -> bool:
        return await self._written(lambda: tasks.delete(self._db, task_id, event))

    async def open_jobs(self, task_id: str, limit: int, after: str = "") -> Sequence[Job]:
        return await self._db.call(lambda: deletion.open_of_task(self._db, task_id, limit, after))

    async def job(self, job_id: str) -> Job | None:
        return await self._db.call(lambda: jobs.get(self._db, job_id))

    async def job_bounds(self, job_id: str) -> JobBounds | None:
        return await self._db.call(lambda: jobs.bounds(self._db, job_id))

    async def task(self, task_id: str) -> Task | None:
        return await self._db.call(lambda: task_lists.get(self._db, task_id))

    async def jobs_of(self, task_id: str, limit: int) -> Sequence[Job]:
        return await self._db.call(lambda: jobs.of_task(self._db, task_id, limit))

    async def jobs_due(self, before: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[Job]:
        return await self._db.call(lambda: jobs.due(self._db, before, limit, after))

    async def jobs_to_check(self, before: int, limit: int) -> Sequence[Job]:
        return await self._db.call(lambda: jobs.to_check(self._db, before, limit))

    async def next_jobs(self, limit: int, now: int, visible: str | None = None) -> Sequence[Job]:
        return await self._listed(lambda: job_lists.next_jobs(self._db, limit, now, visible))

    # lists

    async def list_tasks(self, window: Window, *, visible: str | None = None) -> Page[Task]:
        return await self._listed(lambda: task_lists.tasks(self._db, window, visible))

    async def search_tasks(self, words: Sequence[str], window: Window, *, visible: str | None = None) -> Page[Task]:
        return await self._listed(lambda: task_lists.tasks_with(self._db, words, window, visible))

    async def list_jobs(self, task_id: str, window: Window, *, status: str | None = None) -> JobPage:
        return await self.list_all_jobs(WantedJobs(frozenset() if status is None else frozenset({status}), task_id), window)

    async def list_all_jobs(self, wanted: WantedJobs, window: Window) -> JobPage:
        return await self._listed(lambda: job_lists.all_jobs(self._db, wanted, window))

    async def list_ticks(self, job_id: str, window: Window) -> Page[Tick]:
        return await self._listed(lambda: paged.ticks(self._db, job_id, window))

    async def list_executions_of(self, job_id: str, window: Window) -> Page[Execution]:
        return await self._listed(lambda: paged.executions_of(self._db, job_id, window))

    async def list_executions(self, wanted: Wanted, window: Window) -> Page[Execution]:
        return await self._listed(lambda: execution_lists.executions(self._db, wanted, window))

    # executions

    async def insert(self, execution: Execution) -> bool:
        made = nonce()
        return await self._followed(execution, lambda: executions.insert(self._db, execution, made))

    async def discard(self, execution: Execution) -> bool:
        return await self._followed(execution, lambda: executions.discard(self._db, execution))

    async def was_deleted(self, execution_id: str) -> bool:
        return await self._db.call(lambda: executions.was_deleted(self._db, execution_id))

    async def execution(self, execution_id: str) -> Execution | None:
        return await self._db.call(lambda: executions.get(self._db, execution_id))

    async def change(self, change: ExecutionChange) -> Execution | None:
        """Raises ValueError for a value whose name is not a field of an execution."""
        changed = await self._written(lambda: executions.change_in_turn(self._db, self._turns, change))
        if changed is not None and SHOWN.intersection(change.values):
            await self._statuses.follow(changed.job_id)
        return changed

    async def claim(self, execution_id: str, decide: Decide) -> Claimed | None:
        claimed = await self._written(lambda: executions.claim_in_turn(self._db, self._turns, execution_id, decide))
        if claimed is not None and claimed.changed:
            await self._statuses.follow(claimed.execution.job_id)
        return claimed

    async def executions_of(
        self, job_id: str, limit: int, offset: int = 0, *, statuses: frozenset[Status] | None = None
    ) -> Sequence[Execution]:
        return await self._db.call(lambda: executions.of_job(self._db, job_id, limit, offset, statuses))

    async def last_started(self, job_id: str) -> Execution | None:
        return await self._db.call(lambda: executions.last_started(self._db, job_id))

    async def latest(self, job_ids: Sequence[str]) -> Mapping[str, Execution]:
        return await self._db.call(lambda: executions.latest(self._db, job_ids))

    async def waiting(self, job_id: str) -> Execution | None:
        return await self._db.call(lambda: overlaps.waiting(self._db, job_id))

    async def waiting_of(self, task_id: str, most: int) -> int:
        return await self._db.call(lambda: overlaps.waiting_of(self._db, task_id, most))

    async def under_way_of(self, task_id: str, job_id: str) -> Sequence[Execution]:
        return await self._db.call(lambda: overlaps.under_way_of(self._db, task_id, job_id))

    async def executions_in(self, statuses: frozenset[Status], limit: int, after: tuple[int, str] | None = None) -> Sequence[Execution]:
        return await self._db.call(lambda: executions.in_statuses(self._db, statuses, limit, after))

    async def running_containers(self, limit: int, visible: str | None = None) -> Sequence[RunningContainer]:
        return await self._listed(lambda: execution_lists.running_containers(self._db, limit, visible))

    async def unsettled(self, limit: int) -> Sequence[Execution]:
        return await self._db.call(lambda: executions.unsettled(self._db, limit))

    async def unfinished(self, task_id: str, job_id: str, limit: int) -> Sequence[Execution]:
        return await self._db.call(lambda: executions.unfinished(self._db, task_id, job_id, limit))

    async def uncleaned(self, limit: int, after: tuple[int, str] | None = None) -> Sequence[Execution]:
        return await self._db.call(lambda: executions.uncleaned(self._db, limit, after))

    async def uncleaned_by_host(self, limit: int) -> Sequence[Uncleaned]:
        return await self._db.call(lambda: executions.uncleaned_by_host(self._db, limit))

    async def close_tick(self, tick_id: str, outcome: Outcome, reason: str | None) -> None:
        await self._written(lambda: jobs.close_tick(self._db, tick_id, outcome, reason))

    async def counts(self, visible: str | None = None) -> Counts:
        return await self._listed(lambda: counts.counts(self._db, visible))

    async def jobs_by_status(self, visible: str | None = None) -> Mapping[str, int]:
        return await self._listed(lambda: job_lists.jobs_by_status(self._db, visible))

    async def walk_statuses(self, now: int, after: str, limit: int) -> StatusWalk:
        walk = await self._db.call(lambda: status_walks.walk(self._db, now, after, limit))
        if walk.repaired:
            self._commits.committed()
        return walk

    # logs

    async def append(self, chunk: Chunk) -> bool:
        """Raises ValueError for a chunk whose end is not what its start and pieces come to."""
        row = logs.chunk_row(chunk)
        return await self._written(lambda: logs.append(self._db, row))

    async def prune_logs(self, after: str, limit: int) -> str | None:
        return await self._db.call(lambda: logs.prune(self._db, after, limit))

    async def log_head(self, execution_id: str) -> Head:
        return await self._db.call(lambda: logs.head(self._db, execution_id))

    async def read_log(self, execution_id: str, offset: int, limit: int, stream: int | None = None) -> Slice:
        return await self._db.call(lambda: logs.read(self._db, execution_id, offset, limit, stream))

    async def log_since(self, execution_id: str, stream: int | None, moment: int) -> int:
        return await self._db.call(lambda: logs.since(self._db, execution_id, stream, moment))

    # pools and images

    async def pause_pool(self, name: str, paused: bool) -> Pauses:
        after, changed = await self._db.call(lambda: pauses.pause(self._db, name, paused))
        if changed:
            self._commits.committed()
        return after

    async def paused_pools(self) -> Pauses:
        return await self._db.call(lambda: pauses.pauses(self._db))

    async def pulled_images(self, engine_id: str) -> Sequence[PulledImage]:
        return await self._db.call(lambda: images.of_engine(self._db, engine_id))

    async def write_image(self, image: PulledImage) -> bool:
        return await self._written(lambda: images.write(self._db, image))

    async def drop_image(self, image: PulledImage) -> bool:
        return await self._written(lambda: images.drop(self._db, image))

    async def images_under_way(self) -> frozenset[str]:
        return await self._listed(lambda: images.under_way(self._db))

    # events

    async def add_events(self, events: Sequence[Event]) -> None:
        await self._written(lambda: event_rows.insert(self._db, events))

    async def events(self, source: Source, span: Span, limit: int) -> Sequence[Event]:
        return await self._listed(lambda: event_rows.read(self._db, source, span, limit))

    # deliveries

    async def insert_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        await self._written(lambda: delivery_rows.insert(self._db, deliveries))

    async def delivery(self, delivery_id: str) -> Delivery | None:
        return await self._db.call(lambda: delivery_rows.get(self._db, delivery_id))

    async def deliveries_of(self, execution_id: str) -> Sequence[Delivery]:
        return await self._db.call(lambda: delivery_rows.of_execution(self._db, execution_id))

    async def deliveries_due(self, now: int, limit: int, without: Collection[str] = ()) -> Sequence[Delivery]:
        return await self._db.call(lambda: delivery_rows.due(self._db, now, limit, without))

    async def write_delivery(self, delivery: Delivery) -> bool:
        return await self._written(lambda: delivery_rows.write(self._db, delivery))

    async def drop_delivery(self, delivery_id: str) -> None:
        await self._written(lambda: delivery_rows.drop(self._db, delivery_id))

    async def receiver(self, receiver_id: str) -> Receiver | None:
        return await self._db.call(lambda: receivers.get(self._db, receiver_id))

    async def failing_receivers(self, limit: int) -> Sequence[Receiver]:
        return await self._db.call(lambda: receivers.failing(self._db, limit))

    async def write_receiver(self, receiver: Receiver) -> bool:
        return await self._written(lambda: receivers.write(self._db, receiver))

    async def drop_receiver(self, receiver: Receiver) -> bool:
        return await self._written(lambda: receivers.drop(self._db, receiver))

    async def prune_receivers(self, before: int) -> None:
        await self._written(lambda: receivers.prune(self._db, before))

    async def mail_quota(self, quota_id: str) -> MailQuota | None:
        return await self._db.call(lambda: quotas.get(self._db, quota_id))

    async def write_mail_quota(self, quota: MailQuota) -> bool:
        return await self._written(lambda: quotas.write(self._db, quota))

    # hosts

    async def directory_mark(self) -> str:
        return await self._db.call(lambda: hosts.mark(self._db))

    async def hosts(self) -> Sequence[HostRecord]:
        return await self._db.call(lambda: hosts.all_hosts(self._db))

    async def write_host(self, record: HostRecord) -> bool:
        return await self._written(lambda: hosts.write(self._db, record))

    async def prune_hosts(self, before: int) -> None:
        await self._written(lambda: hosts.prune(self._db, before))

    async def host_load(self, address: str, swarm_id: str | None, since: int = 0) -> HostLoad:
        return await self._db.call(lambda: hosts.load(self._db, address, swarm_id, since))

    async def pools_revision(self) -> PoolsRevision:
        return await self._db.call(lambda: hosts.pools_revision(self._db))

    async def record_pools(self, revision: PoolsRevision) -> bool:
        return await self._written(lambda: hosts.record_pools(self._db, revision))

    # the queue's generation

    async def generation(self) -> Generation:
        return await self._db.call(lambda: generations.generation(self._db))

    async def change_generation(self, seen: Generation, new: Generation) -> bool:
        return await self._written(lambda: generations.change(self._db, seen, new))

    async def version(self) -> StoreVersion:
        return await self._db.call(self._commits.version)

    async def _written(self, write: Callable[[], Awaitable[T]]) -> T:
        """What a write returns; it is counted as a commit when that says that something was written."""
        written = await self._db.call(write)
        if written:
            self._commits.committed()
        return written

    async def _followed(self, execution: Execution, write: Callable[[], Awaitable[bool]]) -> bool:
        """The same of a write that inserts or deletes an execution: its job's status follows."""
        if written := await self._written(write):
            await self._statuses.follow(execution.job_id)
        return written

    async def _listed(self, read: Callable[[], Awaitable[T]]) -> T:
        return await self._db.call(read, advice=LIST_ADVICE)
