"""The port of the store, the one source of truth: a protocol for each group of users, and ``Store``, which joins them.

The methods take and return values. Every write is a compare-and-set on one document or an insert under derived ids, so that a database
without transactions over several documents can keep the same promises. Everything else that a commit writes follows from that one document.

Every method raises ``StoreDown`` when the store cannot be read or written now (locked for too long, disk full, unreachable); then nothing
is half-written. A method that returns one row raises ``Unreadable`` when that row cannot be read. A method that returns several reports the
row and leaves it out; all but the paged lists return the next row in its place.

Moments are in milliseconds. A page has ``limit`` rows; it starts at ``offset`` or after a named row.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from fastlane.errors import NotFound
from fastlane.models.access import Requester
from fastlane.models.backfill import Backfill
from fastlane.models.calendar import Calendar
from fastlane.models.delivery import Delivery, MailQuota, Receiver
from fastlane.models.event import Event, Source, Span
from fastlane.models.host import HostLoad, HostRecord, Uncleaned
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.image import PulledImage
from fastlane.models.job import Execution, ExpectedVersions, FailedJob, Job, JobBounds, LateJob, RunningContainer, Task, TaskSummary
from fastlane.models.log import Chunk, Head, Slice
from fastlane.models.paging import JobPage, Page, Wanted, WantedFailures, WantedJobs, Window
from fastlane.models.pool import DirectoryMark, Pauses, PoolsRevision
from fastlane.models.retention import TaskHour
from fastlane.models.status import Status
from fastlane.models.store_version import StoreVersion
from fastlane.models.tick import Outcome, Tick
from fastlane.models.transitions import ExecutionChange
from fastlane.storage.archive_port import LogArchive
from fastlane.storage.retention_port import HistoryStore, RetentionStore
from fastlane.storage.seal_port import SealStore

DELETED_STAY, GIVEN_UP_STAYS = 86_400, 30 * 86_400
"""Seconds for which the id of a deleted execution is kept; and for which it is kept after its service could not be removed, since its host
may be away for so long, and come back with it."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Which queue belongs to this store. ``number`` is raised at each rebuild; ``run_id`` is the Redis process that holds the queue.
    ``builder`` is the id of the worker that has been building the queue since ``since``, None once it is complete."""

    number: int
    run_id: str
    builder: str | None
    since: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tasks and jobs there are, and how many executions in each status."""

    tasks: int
    jobs: int
    executions: Mapping[Status, int]


class Deletion(StrEnum):
    """The result of one step of a deletion: more is left to delete, all of it is gone, or nothing may go yet."""

    MORE = "more"
    DONE = "done"
    KEPT = "kept"


Decide = Callable[[Execution], ExecutionChange | None]
"""Decides how to change an execution; None: not at all. Pure: it may be called twice, in any thread."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The execution after a claim, and whether it was changed. ``bounds``: the bounds of its job, read after the change; None when the job
    is gone, and when nothing was changed."""

    execution: Execution
    changed: bool = False
    bounds: JobBounds | None = None


@dataclass(frozen=True, slots=True)
class StatusWalk:
    """The result of one step of a walk through the stored statuses: the id after which it continues (None at its end), and how many were
    corrected."""

    after: str | None
    repaired: int = 0


class JobStore(Protocol):
    """Tasks, jobs and their ledgers of ticks.

    The lists take a window (see ``models.paging``) and raise Invalid, which names ``perPage``, when the rows of a page are too large to
    hold. ``visible`` is a regular expression that the task id must match, see ``Wanted``.
    """

    async def create(self, job: Job, tick: Tick | None, execution: Execution | None, record: IdempotencyRecord | None = None) -> None:
        """In one commit, inserts the job, its first tick and execution if it has them, and the record of the request if that had a key;
        makes the task or moves its ``modified_at``. Raises Repeated when a record with that key is at most a day old, NotUnique when
        another job has its ``unique_key``, and Conflict when a job with this id exists."""

    async def advance(
        self,
        seen: Job,
        job: Job,
        ticks: Sequence[Tick],
        execution: Execution | None,
        record: IdempotencyRecord | None = None,
        events: Sequence[Event] = (),
    ) -> bool:
        """In one commit, replaces ``seen`` by ``job`` and inserts ticks, the execution of one of them, a record, and what is recorded of
        it; its task's ``modified_at`` follows the job's. False, and nothing written, when the stored job no longer has the incarnation,
        revision, sequence, next tick, floor, check, lateness, ends of ticks and unique key of ``seen``. Raises Repeated
        and NotUnique as ``create`` does."""

    async def unique_job(self, key: str) -> Job | None:
        """The job with this ``unique_key``."""

    async def take_unique_key(self, seen: Job) -> bool:
        """Takes its ``unique_key`` from a job. False, and nothing written, when the job has changed since, or has another key."""

    async def idempotency_record(self, key: str, since: int) -> IdempotencyRecord | None:
        """The record of a key, if it was written at that moment or later."""

    async def stop_job(self, job_id: str, now: int, expected: ExpectedVersions | None = None, event: Event | None = None) -> Job | None:
        """In one commit, gives the job's next sequence to a stop, removes its next tick, held or not, and records the event. Ticks that
        came due by ``now`` and have not fired get their rows in the ledger. Returns the job after it, None when there is none with this id.
        Raises Changed, and nothing is written, when the job has none of the expected versions."""

    async def delete_job(
        self, job_id: str, incarnation: str, now: int, expected: ExpectedVersions | None = None, event: Event | None = None
    ) -> Deletion:
        """Takes one step of a job's deletion, a commit of bounded size. Raises Changed, and nothing is written, when the job has none of
        the expected versions. The step with which the job goes records the event.

        KEPT, and nothing written, while the job has a tick to come or held, or while ``unfinished`` finds an execution. Otherwise its
        floor is raised to its sequence, and the oldest rows of its ledger go, then its oldest executions with their logs, and with the last
        of them the job, which its task no longer counts. DONE also when the job is gone, or has another incarnation.

        No execution can begin between the look and the write: a new tick changes the job, and a further attempt is inserted before the one
        that it follows is settled, or a stop covers it.
        """

    async def delete_task(self, task_id: str, event: Event | None = None) -> bool:
        """Deletes a task without jobs, and records the event; False, and nothing deleted, when it has any."""

    async def open_jobs(self, task_id: str, limit: int, after: str = "") -> Sequence[Job]:
        """A task's jobs that have a tick to come or held, or an execution under way or not settled, by id, after the named one. The task's
        other jobs do not make it slower."""

    async def job(self, job_id: str) -> Job | None:
        """One job."""

    async def job_bounds(self, job_id: str) -> JobBounds | None:
        """Which of a job's executions may start. Much cheaper than the whole job: it is read before each start."""

    async def task(self, task_id: str) -> Task | None:
        """One task."""

    async def jobs_of(self, task_id: str, limit: int) -> Sequence[Job]:
        """A task's newest jobs, newest first."""

    async def jobs_due(self, before: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[Job]:
        """Jobs whose next tick is due before that moment, soonest first (then by id), after the named (next tick, id)."""

    async def jobs_to_check(self, before: int, limit: int) -> Sequence[Job]:
        """Jobs whose ``check_at`` is that moment or earlier, the earliest first (then by id)."""

    async def jobs_of_services(self, limit: int, after: str = "") -> Sequence[Job]:
        """Jobs that have a ``source``, by id, after that id."""

    async def late_jobs(self, limit: int, visible: str | None = None) -> Sequence[LateJob]:
        """Jobs that are late by their ``expect_every`` and not stopped, of tasks whose id matches ``visible``, by (late_since, id). Their
        specs, which may be large, are not read."""

    async def count_late_jobs(self, most: int) -> int:
        """How many such jobs there are of all tasks; ``most``, if there are more."""

    async def followers(self, job_id: str, limit: int, after: str = "") -> Sequence[Job]:
        """Jobs whose ``after`` names this job, by id, after that id. Cheap: it is asked at each execution's end."""

    async def jobs_named(self, task_id: str, name: str) -> Sequence[str]:
        """The ids of a task's jobs with this name. Looks at the names of the task's newest 20,000 jobs."""

    async def followed_by(self, job_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Which jobs each of these follows by its ``after``; none that follows none, is gone, or cannot be read. One query for 500."""

    async def next_jobs(self, limit: int, now: int, visible: str | None = None) -> Sequence[Job]:
        """Jobs that have a ``next_run`` at ``now``, soonest first (then by id), of the tasks whose id matches ``visible`` (``Wanted``)."""

    async def tick(self, tick_id: str) -> Tick | None:
        """One row of a ledger."""

    async def close_tick(self, tick_id: str, outcome: Outcome, reason: str | None) -> None:
        """Writes the outcome of a tick; safe to repeat."""

    async def change_tick(self, seen: Tick, after: Tick) -> bool:
        """Writes the reason and the execution of a tick, if its outcome, reason and execution are still as they were seen; whether they
        were."""

    async def list_tasks(self, window: Window, *, visible: str | None = None) -> Page[Task]:
        """All tasks, those changed last first."""

    async def search_tasks(self, words: Sequence[str], window: Window, *, visible: str | None = None) -> Page[Task]:
        """Tasks whose id contains all of these words, each whole or as the beginning of a word, regardless of case and accents; those
        changed last first. A word is a run of letters, digits and symbols (So of Unicode). Several in one of ``words`` must follow each
        other. Text without a word is ignored; without any word no task is found."""

    async def task_summaries(self, tasks: Sequence[Task], now: int) -> Mapping[str, TaskSummary]:
        """Each of these tasks in short at ``now``, by id, one that does not exist, too. Looks at indexes of their jobs (not for
        ``by_status`` where all have it), and reads one execution of each. Raises Invalid, which names ``perPage``, when the specs of these
        are too large to hold."""

    async def list_jobs(
        self, task_id: str, window: Window, *, statuses: frozenset[str] = frozenset(), label: tuple[str, str] | None = None
    ) -> JobPage:
        """A task's jobs (with one of these stored statuses, with this label), newest first."""

    async def list_all_jobs(self, wanted: WantedJobs, window: Window) -> JobPage:
        """Jobs of all tasks, newest first.

        Lists by status and ``jobs_by_status`` go by a status that is stored with each job (``models.job.status_of``). It follows each
        write of the job or its executions, in MongoDB after it, so a list may be a moment late. It changes neither the job's revision nor
        its version."""

    async def list_ticks(self, job_id: str, window: Window) -> Page[Tick]:
        """A job's ledger, the latest due first."""


class ExecutionStore(Protocol):
    """Executions. The lists take a window and raise Invalid, like the lists of ``JobStore``."""

    async def insert(self, execution: Execution) -> bool:
        """Inserts a further attempt; False, and nothing written, when an execution has its id already. The job may have been deleted: the
        worker that claims the execution checks ``Execution.belongs_to`` and discards it."""

    async def discard(self, execution: Execution) -> bool:
        """Removes an execution that no longer belongs to its job and was never bound to a service. False, and nothing removed, when it
        has been bound or has another epoch."""

    async def was_deleted(self, execution_id: str) -> bool:
        """Whether the store had this execution, a worker claimed it, and it was deleted or discarded at most ``DELETED_STAY`` seconds ago,
        or given up at most ``GIVEN_UP_STAYS`` ago: a service that is left of it can be removed at once."""

    async def give_up(self, execution_id: str) -> None:
        """Notes that an execution's service is left on a host that is gone, for when the execution is deleted and the host comes back."""

    async def execution(self, execution_id: str) -> Execution | None:
        """One execution."""

    async def change(self, change: ExecutionChange) -> Execution | None:
        """Applies the change. The execution after it, None when its condition does not hold or there is none. A repeat of an
        applied change (same ``op``) is not refused. An end that also settles leaves the execution unsettled when a job follows its
        job (``followers``): that is looked at with the write."""

    async def claim(self, execution_id: str, decide: Decide) -> Claimed | None:
        """Reads an execution, applies the change that ``decide`` makes of it, and then reads the bounds of its job, so that a stop which
        these do not show finds the execution changed. A change that is refused leaves the execution as it was read. None when there is no
        execution with this id."""

    async def executions_of(
        self, job_id: str, limit: int, offset: int = 0, *, statuses: frozenset[Status] | None = None
    ) -> Sequence[Execution]:
        """A job's executions (of these statuses), newest first: by sequence, then attempt."""

    async def last_started(self, job_id: str) -> Execution | None:
        """A job's newest execution whose container has started; None when none has."""

    async def latest(self, job_ids: Sequence[str]) -> Mapping[str, Execution]:
        """For each job that has executions, the newest under way that belongs to it (one that waits for others if there are no others), or
        else the newest that has ended."""

    async def waiting(self, job_id: str) -> Execution | None:
        """A job's newest execution that waits for others of the job; None when none does. Cheap: it is read at each execution's end. May
        miss one that is being committed, which looks itself when it is claimed."""

    async def waiting_of(self, task_id: str, most: int) -> int:
        """How many executions of a task are enqueued; ``most`` when there are more, or more."""

    async def under_way_of(self, task_id: str, job_id: str) -> Sequence[Execution]:
        """The executions that belong to a job and are under way (``retry.is_under_way``), oldest first: the first 100, and the newest one
        that waits. They are of one moment: a failed one is among them until the attempt after it is. Raises Unreadable when one cannot be
        read, since that may run."""

    async def executions_in(self, statuses: frozenset[Status], limit: int, after: tuple[int, str] | None = None) -> Sequence[Execution]:
        """Executions with one of these statuses, by (scheduled_for, id), after the named one."""

    async def running_containers(self, limit: int, visible: str | None = None) -> Sequence[RunningContainer]:
        """The running containers of tasks whose id matches ``visible``, by (scheduled_for, id). Reads no execution whole."""

    async def unsettled(self, limit: int, after: tuple[int, str] | None = None) -> Sequence[Execution]:
        """Final executions that are not settled yet, by (finished_at, id), after the named one."""

    async def uncleaned(self, limit: int, after: tuple[int, str] | None = None) -> Sequence[Execution]:
        """Settled executions whose service's removal has not been verified yet, by (finished_at, id), after the named one."""

    async def uncleaned_by_host(self, limit: int) -> Sequence[Uncleaned]:
        """How many of the ``limit`` oldest of these each host has, the host with the oldest first. Reads none of them whole."""

    async def under_way_between(self, job_id: str, first: int, last: int) -> bool:
        """Whether an execution of a job with a sequence from the first to the last one is enqueued, pulling or running."""

    async def executions_between(self, job_id: str, first: int, last: int) -> Sequence[Execution]:
        """The executions of a job with a sequence from the first to the last one, in order."""

    async def unfinished(self, task_id: str, job_id: str, limit: int) -> Sequence[Execution]:
        """The executions that keep a job from being deleted: those that belong to it and are under way, not settled or not cleaned. Oldest
        first."""

    async def list_executions_of(self, job_id: str, window: Window) -> Page[Execution]:
        """A job's executions, newest first: by sequence, then attempt."""

    async def list_executions(self, wanted: Wanted, window: Window) -> Page[Execution]:
        """Executions of all jobs, the latest due first."""

    async def list_failures(self, wanted: WantedFailures, window: Window) -> Page[FailedJob]:
        """The jobs that failed, each with its last failure, the last end first. Looks at an index of failures, at the newest
        ``pages.MOST_FAILURES`` since then, of all tasks, so that a task with few of them costs no more."""


class LogStore(Protocol):
    """The stored logs of executions, in chunks that follow on each other."""

    async def append(self, chunk: Chunk) -> bool:
        """Stores a chunk; False, and nothing written, when its ``start`` is not the stored head. A chunk that comes after its execution was
        deleted is stored, never read, and pruned. Raises ValueError for a chunk whose end does not follow from its start and pieces."""

    async def prune_logs(self, after: str, limit: int) -> str | None:
        """Looks at the logs of the next ``limit`` executions by id after the named one, and removes those whose execution is gone. The id
        to go on after; None when there are no more."""

    async def log_head(self, execution_id: str) -> Head:
        """Where the stored log of an execution ends; an empty head when there is none."""

    async def log_heads(self, execution_ids: Sequence[str]) -> Mapping[str, Head]:
        """Where the stored log of each of these executions ends, by id."""

    async def read_log(self, execution_id: str, offset: int, limit: int, stream: int | None = None) -> Slice:
        """About ``limit`` bytes at most (at least one chunk, if there is any) from ``offset`` on: of the whole log in stored order or, when
        ``stream`` is named, of that stream by its own offsets. The first piece is cut to begin at ``offset``."""

    async def log_since(self, execution_id: str, stream: int | None, moment: int) -> int:
        """The offset of the first byte that came at a moment (nanoseconds, the engine's time) or later: within a stream, or in stored order
        (None). The end of the stream, or of the log, when no byte came after it."""


class PoolStore(Protocol):
    """Which pools are paused. All dispatch is paused under the names of ``models.placement.pool.HOLDS``."""

    async def pause_pool(self, name: str, paused: bool) -> Pauses:
        """Pauses a pool, or ends its pause; safe to repeat. The paused pools after it."""

    async def paused_pools(self) -> Pauses:
        """The paused pools."""


class HostStore(Protocol):
    """The hosts, and the revision of the pools. Both are small, and read by every process."""

    async def directory_mark(self) -> DirectoryMark:
        """A mark that changes after each change of a host, but for their deletion, or of the revision of the pools. Every process reads it
        twice a second, so it costs the same for any number of hosts. A process that ends amid a change of a host may leave it as it was."""

    async def hosts(self, known: Sequence[HostRecord] = ()) -> Sequence[HostRecord]:
        """The hosts, removed ones too, by address and id. Those that are as they are ``known`` are not read again; when all are, the
        answer is ``known``."""

    async def hosts_of(self, ids: Sequence[str]) -> Sequence[HostRecord]:
        """The hosts with these ids that there are."""

    async def write_host(self, record: HostRecord) -> bool:
        """Replaces the record of this id whose version is one less, or inserts it when its version is 1 and there is none. False, and
        nothing written, when the stored one has another version."""

    async def prune_hosts(self, before: int) -> None:
        """Deletes the records of hosts that were removed before that time, some at a time."""

    async def host_load(self, address: str, swarm_id: str | None, since: int = 0) -> HostLoad:
        """The load of a host, by its address: the executions that are placed there, of ``placed`` only if they were placed at ``since`` or
        later. Executions that are bound in another swarm than ``swarm_id`` (None: any) count for another host."""

    async def pools_revision(self) -> PoolsRevision:
        """The revision that was recorded last; its number is 0 when none was."""

    async def record_pools(self, revision: PoolsRevision) -> bool:
        """Replaces the revision whose number is one less. False, and nothing written, when the stored one has another number."""


class ImageStore(Protocol):
    """The images that engines pulled for executions."""

    async def pulled_images(self, engine_id: str) -> Sequence[PulledImage]:
        """The images of one engine, by reference."""

    async def write_image(self, image: PulledImage) -> bool:
        """Replaces the row of this engine and reference whose version is one less, or inserts it when its version is 1 and there is none.
        False, and nothing written, when the stored one has another version."""

    async def drop_image(self, image: PulledImage) -> bool:
        """Deletes the row if it has this version."""

    async def prune_images(self, before: int) -> int:
        """Deletes the rows of images that nothing kept since that moment (milliseconds); how many."""

    async def images_under_way(self) -> frozenset[str]:
        """The images of all executions under way: the names in their specs, and the references that were chosen for them. Looks at each
        execution under way."""


class GenerationStore(Protocol):
    """Which queue belongs to the store."""

    async def generation(self) -> Generation:
        """The stored generation; its number is 0 when no queue was ever built."""

    async def change_generation(self, seen: Generation, new: Generation) -> bool:
        """Replaces ``seen`` by ``new``; False when something else is stored by now."""

    async def version(self, confirmed: bool = False, /) -> StoreVersion:
        """The store's version, which every commit that changes anything raises. So it goes back only when an older copy of the store was
        put in its place. ``confirmed``: by a server that can write, since one that the others have left may answer reads for a while."""


class DeliveryStore(Protocol):
    """Past and future deliveries to webhooks and mailboxes, the receivers that fail, and the quotas of mails."""

    async def insert_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Inserts the deliveries whose ids no row has yet; safe to repeat."""

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """One delivery."""

    async def deliveries_of(self, execution_id: str) -> Sequence[Delivery]:
        """The deliveries of an execution, by id. They are few."""

    async def deliveries_due(
        self, now: int, limit: int, without: Collection[str] = (), without_tasks: Collection[str] = ()
    ) -> Sequence[Delivery]:
        """Deliveries that are due at ``now``, soonest first, without those to receivers with one of these origins, or of these tasks."""

    async def write_delivery(self, delivery: Delivery) -> bool:
        """Replaces the delivery of this id whose version is one less. False, and nothing written, when there is none, or one of another
        version."""

    async def drop_delivery(self, delivery_id: str) -> None:
        """Deletes a delivery; safe to repeat. (The deliveries of an execution that is deleted go with it.)"""

    async def receiver(self, receiver_id: str) -> Receiver | None:
        """A receiver that fails; None when it does not."""

    async def receivers(self, receiver_ids: Sequence[str]) -> Mapping[str, Receiver]:
        """The receivers among these that fail, by id."""

    async def failing_receivers(self, limit: int) -> Sequence[Receiver]:
        """The receivers that fail, those that have failed for longest first."""

    async def write_receiver(self, receiver: Receiver) -> bool:
        """Replaces the row of this id whose version is one less, or inserts it when its version is 1 and there is none. False, and nothing
        written, when the stored one has another version."""

    async def drop_receiver(self, receiver: Receiver) -> bool:
        """Deletes the row if it has this version."""

    async def prune_receivers(self, before: int) -> None:
        """Deletes the receivers that have failed last before that moment, and the quotas whose last mail was before it."""

    async def mail_quota(self, quota_id: str) -> MailQuota | None:
        """The quota of a job's mails to an address; None when none was sent for long."""

    async def write_mail_quota(self, quota: MailQuota) -> bool:
        """Replaces the row of this id whose version is one less, or inserts it when its version is 1 and there is none. False, and nothing
        written, when the stored one has another version."""


class EventStore(Protocol):
    """Events: recorded ones, and ones that are read from the rows of jobs and executions."""

    async def add_events(self, events: Sequence[Event]) -> None:
        """Records the events whose ids no row has yet; safe to repeat."""

    async def events(self, source: Source, span: Span, limit: int) -> Sequence[Event]:
        """The first ``limit`` events of this source in the span, in its order."""


@dataclass(frozen=True, slots=True)
class Noted:
    """When the store heard that an execution started, and that it ended: its events are read from these."""

    start: int | None = None
    end: int | None = None


NOT_NOTED = Noted()


class TransferStore(Protocol):
    """The methods that exports and imports need in addition to the other protocols. Answers need only ``creators``."""

    async def idempotency_records(self, since: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[IdempotencyRecord]:
        """The records that were written at that moment or later, by (created_at, key), after the named one."""

    async def restore_task(self, task: Task) -> None:
        """Gives a task the times of this one; makes it, without jobs, when there is none. Safe to repeat."""

    async def restore_record(self, record: IdempotencyRecord) -> None:
        """Inserts a record, unless its key has one. Safe to repeat."""

    async def creators(self, job_ids: Sequence[str]) -> Mapping[str, Requester | None]:
        """Who made each of these jobs. Jobs that do not exist are left out."""

    async def noted(self, execution_ids: Sequence[str]) -> Mapping[str, Noted]:
        """The notes about each of these executions. Executions that do not exist are left out."""

    async def deliveries(self, ids: Sequence[str]) -> Mapping[str, Sequence[Delivery]]:
        """The deliveries of each of these executions or jobs that has any, by id."""

    async def logged(self, execution_ids: Sequence[str]) -> frozenset[str]:
        """Which of these executions have a log."""

    async def restore_execution(self, execution: Execution, noted: Noted, *, is_counted: bool) -> bool:
        """Inserts an execution with the notes about it. False, and nothing written, when an execution has its id already. ``is_counted``:
        the counts of its hour include it already."""

    async def hour_rows(self, limit: int, after: TaskHour | None = None) -> Sequence[TaskHour]:
        """The counts of each hour, task and pool, in an order of the store's own, after the named one."""

    async def restore_hours(self, rows: Sequence[TaskHour]) -> None:
        """Replaces the counts of the same hour, task and pool. Safe to repeat."""

    async def mail_quotas(self, limit: int, after: str = "") -> Sequence[MailQuota]:
        """The quotas of mails, by id, after the named one."""


class BackfillStore(Protocol):
    """The records of backfills, and what is looked up to make one."""

    async def of_job(self, job_id: str) -> Backfill | None:
        """The present or last backfill of a job, or of a deleted one under its id."""

    async def of_jobs(self, job_ids: Sequence[str]) -> Mapping[str, Backfill]:
        """As ``of_job``, of each of these jobs that has one, by the job's id."""

    async def current(self, job: Job, now: int) -> Backfill | None:
        """The present or last backfill of this job as it is now, whether or not a worker has written that yet (``backfill.as_it_is``)."""

    async def last_statuses(self, backfill: Backfill) -> Mapping[int, Status | None]:
        """The last status of the execution of each due time in ``open``, as ``attempts`` has it; None when none is stored."""

    async def write(self, backfill: Backfill) -> bool:
        """Replaces the record whose version is one less, or inserts the first. False, and nothing written, for another stored version."""

    async def running(self, limit: int, after: tuple[int, str] | None = None) -> Sequence[Backfill]:
        """Those that have not ended, by (created_at, id), after the named one."""

    async def prune(self, before: int, limit: int) -> int:
        """Deletes records of backfills that ended before that time (milliseconds), up to ``limit``; how many."""

    async def kept_since(self, job_id: str) -> int | None:
        """When the job's oldest execution was due (milliseconds); None without one."""

    async def ticks_between(self, job_id: str, since: int, until: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[Tick]:
        """Rows of a ledger with a due time from ``since`` to ``until``, both included, by (due, id), after the named one."""

    async def attempts(self, tick_ids: Sequence[str]) -> Mapping[str, Sequence[Status]]:
        """The statuses of the executions of each of these ticks, as far as they are stored, by the number of the attempt. One that failed
        and is not settled counts as enqueued: the attempt after it may still come."""


class CalendarStore(Protocol):
    """The calendars that requests write, and the jobs that name any."""

    async def named(self, names: Sequence[str]) -> Mapping[str, Calendar | None]:
        """The stored calendars with these names, by name; None: its row cannot be read."""

    async def all(self, limit: int, after: str = "") -> Sequence[Calendar]:
        """The calendars whose rows can be read, by name, after the named one."""

    async def names(self, limit: int) -> Sequence[str]:
        """The names of calendars, in order. It reads no dates, so it takes little also when there are many."""

    async def write(self, calendar: Calendar) -> bool:
        """Replaces the calendar whose version is one less, or inserts the first. False, and nothing written, for another stored version."""

    async def delete(self, calendar: Calendar) -> bool:
        """Deletes this version of a calendar; False, and nothing deleted, when another is stored, or none."""

    async def jobs_naming(self, limit: int, after: str = "") -> Sequence[Job]:
        """Jobs whose schedule names calendars, by id, after that id. Other jobs do not make it slower."""


class Store(
    JobStore,
    ExecutionStore,
    LogStore,
    PoolStore,
    HostStore,
    ImageStore,
    EventStore,
    DeliveryStore,
    GenerationStore,
    Protocol,
):
    """The whole store, as ``app`` opens it and passes it on."""

    @property
    def history(self) -> HistoryStore:
        """The counts of ended executions."""

    @property
    def backfills(self) -> BackfillStore:
        """The part that keeps backfills."""

    @property
    def calendars(self) -> CalendarStore:
        """The part that keeps calendars."""

    @property
    def seals(self) -> SealStore:
        """The part that keeps the seals of receipts."""

    @property
    def log_archive(self) -> LogArchive:
        """The part that knows which logs are in the archive."""

    @property
    def transfer(self) -> TransferStore:
        """The part for exports and imports."""

    @property
    def retention(self) -> RetentionStore:
        """The part that removes old history."""

    async def open(self) -> None:
        """Connects and brings the schema up to date."""

    async def close(self) -> None:
        """Ends its connections, threads and tasks."""

    async def check(self) -> None:
        """Returns when the store can be written; raises StoreDown otherwise."""

    async def is_migrating(self) -> bool:
        """Whether another process brings the store up to date while this one serves. New processes wait for it until it has ended."""

    async def counts(self, visible: str | None = None) -> Counts:
        """The counts of tasks, jobs and executions: of all tasks, or only of tasks whose id matches ``visible``."""

    async def jobs_by_status(self, visible: str | None = None) -> Mapping[str, int]:
        """How many jobs of the same tasks have each stored status; statuses without jobs are left out. Looks at an index of all jobs."""

    async def walk_statuses(self, now: int, after: str, limit: int) -> StatusWalk:
        """Corrects stored statuses: of the next ``limit`` jobs by id after the named one, and wherever a wrong one is likely, for example
        on jobs that at ``now`` have expired before their tick came."""


async def find_task(store: JobStore, task_id: str) -> Task:
    """The task with this id."""
    task = await store.task(task_id)
    if task is None:
        raise NotFound(f"there is no task {task_id!r}")
    return task


async def version_after(store: GenerationStore, seen: StoreVersion | None) -> StoreVersion:
    """The store's version, read after what the queue has ``seen`` of it: a commit in between would look like a loss. When it looks like one
    nevertheless, the version is read again, confirmed."""
    version = await store.version()
    return version if seen is None or version.continues(seen) else await store.version(True)


async def find_job(store: JobStore, task_id: str, job_id: str) -> Job:
    """The job with this id, if it belongs to the task."""
    job = await store.job(job_id)
    if job is None or job.task_id != task_id:
        raise no_such_job(task_id, job_id)
    return job


async def find_execution(store: ExecutionStore, task_id: str, job_id: str, execution_id: str) -> Execution:
    """The execution with this id, if it belongs to the job and the task."""
    execution = await store.execution(execution_id)
    if execution is None or execution.job_id != job_id or execution.task_id != task_id:
        raise NotFound(f"job {job_id} of task {task_id!r} has no execution {execution_id}")
    return execution


def no_such_job(task_id: str, job_id: str) -> NotFound:
    """The error for a job that does not exist in its task."""
    return NotFound(f"task {task_id!r} has no job {job_id}")
