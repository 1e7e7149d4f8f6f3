"""The port of the store, the one truth. It speaks values and a handful of verbs; every write is a compare-and-set or an insert under
derived ids.

Every method raises ``StoreDown`` when the store cannot be read or written now (locked for too long, disk full, unreachable); nothing is
half-written then. A page is (``limit``, ``offset``) or starts after a row that is named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from fastlane.models.execution import Execution
from fastlane.models.idempotency import IdempotencyRecord
from fastlane.models.job import Job
from fastlane.models.logs.chunk import Chunk, Head, Piece
from fastlane.models.paging import Page, Wanted, Window
from fastlane.models.placement.pool import Pauses
from fastlane.models.schedule.tick import Outcome, Tick
from fastlane.models.status import Status
from fastlane.models.task import Task
from fastlane.models.transitions import ExecutionChange


@dataclass(frozen=True, slots=True)
class Generation:
    """Which queue belongs to this store. ``number`` is raised at each rebuild; ``run_id`` is the Redis process that holds it; ``builder``
    (a worker's id) has been making it since ``since`` (milliseconds), and is None when it is whole."""

    number: int
    run_id: str
    builder: str | None
    since: int


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a log: pieces in stored order, and the offset after the last one."""

    pieces: tuple[Piece, ...]
    next_offset: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is: tasks, jobs, and executions by status."""

    tasks: int
    jobs: int
    executions: Mapping[Status, int]


class Deletion(StrEnum):
    """What a step of a deletion came to: there is more to delete, all of it is gone, or nothing may go yet."""

    MORE = "more"
    DONE = "done"
    KEPT = "kept"


class Store(Protocol):
    """The store, as the services and the scheduler use it."""

    async def open(self) -> None:
        """Connects and brings the schema up to date."""

    async def close(self) -> None:
        """Ends every connection, thread and task of it."""

    async def check(self) -> None:
        """Returns when the store can be written; raises StoreDown otherwise."""

    # jobs

    async def create(self, job: Job, tick: Tick | None, execution: Execution | None, receipt: IdempotencyRecord | None = None) -> None:
        """In one commit: the task if it is new (its ``modified_at`` else), the job, its first tick and execution if it has them, and the
        receipt of the request that asked for it if that had a key. Raises Repeated when there is a receipt with its key, at most a day
        old, and Conflict when a job with this id is there."""

    async def advance(
        self, seen: Job, job: Job, ticks: Sequence[Tick], execution: Execution | None, receipt: IdempotencyRecord | None = None
    ) -> bool:
        """In one commit: replaces ``seen`` by ``job``, inserts ticks, the execution of one of them, and a receipt; False, and nothing
        written, when the stored job's incarnation, revision, sequence, next tick or floor is not ``seen``'s any more. Its task's
        ``modified_at`` follows the job's. Raises Repeated as ``create`` does."""

    async def receipt(self, key: str, since: int) -> IdempotencyRecord | None:
        """The receipt of a key, if it was written since that moment (milliseconds)."""

    async def stop_job(self, job_id: str, now: int) -> Job | None:
        """Takes the job's next sequence as its stop's, and removes its next tick, held or not; the job after it, None if there is none.
        What came up by ``now`` and had not fired gets its rows in the ledger."""

    async def delete_job(self, job_id: str, incarnation: str, now: int) -> Deletion:
        """Takes one step of a job's deletion, a commit of bounded size. KEPT, and nothing written, while a tick of it is to come or held,
        or while ``unfinished`` finds an execution. Otherwise its floor is raised to its sequence, and the
        oldest of its ledger's rows go, then of its executions with their logs, and with the last of them the job, which its task no longer
        counts.
        DONE also when there is no such job, or one of another incarnation.

        No execution can begin between the look and the write: a new tick changes the job, and a further attempt is inserted before the one
        that it follows is settled, or a stop covers it."""

    async def delete_task(self, task_id: str) -> bool:
        """Deletes a task that has no jobs; False, and nothing written, when it has any."""

    async def open_jobs(self, task_id: str, limit: int, after: str = "") -> Sequence[Job]:
        """A task's jobs that have something before them: a tick to come or held, or an execution under way or not settled. By id, after the
        one that is named. However many others the task has, this is as quick."""

    async def job(self, job_id: str) -> Job | None:
        """One job."""

    async def task(self, task_id: str) -> Task | None:
        """One task."""

    async def jobs_of(self, task_id: str, limit: int, offset: int = 0) -> Sequence[Job]:
        """A task's jobs, newest first."""

    async def jobs_due(self, before: int, limit: int, after: tuple[int, str] | None = None) -> Sequence[Job]:
        """Jobs whose next tick is due before that moment, soonest first (then by id), after the (next tick, id) that is named."""

    async def ticks_of(self, job_id: str, limit: int, offset: int = 0) -> Sequence[Tick]:
        """A job's ledger, the latest due first."""

    async def count_ticks(self, job_id: str) -> int:
        """How many rows a job's ledger has."""

    # lists, in pages: see ``models.paging``. They raise Invalid, which names ``perPage``, when a page's rows are too large to be held.

    async def list_tasks(self, window: Window, *, visible: str | None = None) -> Page[Task]:
        """All tasks (whose id ``visible`` matches, see ``Wanted``), those changed last first."""

    async def search_tasks(self, words: Sequence[str], window: Window, *, visible: str | None = None) -> Page[Task]:
        """Tasks whose id has all of these words, each as a whole word or the beginning of one, without regard to case and accents; those
        changed last first. A word is a run of letters, digits and pictures (So of Unicode); where one of ``words`` has several, they must
        follow on each other. What has none says nothing, and with nothing said no task is found."""

    async def list_jobs(self, task_id: str, window: Window, *, status: str | None = None) -> Page[Job]:
        """A task's jobs (with this status, as ``job_status`` tells it), newest first."""

    async def list_ticks(self, job_id: str, window: Window) -> Page[Tick]:
        """A job's ledger, the latest due first."""

    async def list_executions_of(self, job_id: str, window: Window) -> Page[Execution]:
        """A job's executions, newest first: by sequence, then attempt."""

    async def list_executions(self, wanted: Wanted, window: Window) -> Page[Execution]:
        """Executions of all jobs, the latest due first."""

    # executions

    async def insert(self, execution: Execution) -> bool:
        """Inserts a further attempt; False, and nothing written, when an execution has its id already. It may come so late that its job is
        gone: ``Execution.belongs_to`` tells whoever claims it, who then discards it."""

    async def discard(self, execution: Execution) -> bool:
        """Removes an execution that does not belong to its job any more, and was never bound to a service. False, and nothing removed, when
        it is bound or its epoch is another by now."""

    async def execution(self, execution_id: str) -> Execution | None:
        """One execution."""

    async def change(self, change: ExecutionChange) -> Execution | None:
        """Applies the change; the execution after it, None when its condition does not hold (or there is no such execution). A repeat of a
        change that was applied (same ``op``) is not refused."""

    async def executions_of(
        self, job_id: str, limit: int, offset: int = 0, *, statuses: frozenset[Status] | None = None
    ) -> Sequence[Execution]:
        """A job's executions (of these statuses), newest first: by sequence, then attempt."""

    async def last_started(self, job_id: str) -> Execution | None:
        """A job's newest execution whose container has started; None when none has."""

    async def count_executions(self, job_id: str) -> int:
        """How many executions a job has."""

    async def latest(self, job_ids: Sequence[str]) -> Mapping[str, Execution]:
        """Of each job that has one: its newest execution under way, or else its newest."""

    async def executions_in(self, statuses: frozenset[Status], limit: int, after: tuple[int, str] | None = None) -> Sequence[Execution]:
        """Executions with one of these statuses, by (scheduled_for, id), after the one that is named."""

    async def unsettled(self, limit: int) -> Sequence[Execution]:
        """Final executions that are not settled yet, oldest first."""

    async def unfinished(self, task_id: str, job_id: str, limit: int) -> Sequence[Execution]:
        """The executions that keep a job from being deleted: those that belong to it and are under way, not settled or not cleaned. Oldest
        first."""

    async def uncleaned(self, limit: int) -> Sequence[Execution]:
        """Settled executions whose service's removal was not verified yet, oldest first."""

    async def tick(self, tick_id: str) -> Tick | None:
        """One tick."""

    async def close_tick(self, tick_id: str, outcome: Outcome, reason: str | None) -> None:
        """Writes what became of a tick; safe to repeat."""

    async def counts(self) -> Counts:
        """How much there is."""

    # logs

    async def append(self, chunk: Chunk) -> bool:
        """Stores a chunk; False, and nothing written, when its ``start`` is not the stored head. A chunk that comes after its execution was
        deleted is stored, never read, and pruned."""

    async def prune_logs(self, after: str, limit: int) -> str | None:
        """Looks at the logs of the next ``limit`` executions by id after the named one, and removes those whose execution is gone. The id
        to go on after; None when there are no more."""

    async def log_head(self, execution_id: str) -> Head:
        """Where the stored log of an execution ends; an empty head when there is none."""

    async def read_log(self, execution_id: str, offset: int, limit: int, stream: int | None = None) -> Slice:
        """At most about ``limit`` bytes (at least one chunk's worth, if there is any) from ``offset`` on: of the whole in stored order, or,
        when ``stream`` is named, of that stream alone by its own offsets. Pieces are cut so that the first begins at ``offset``."""

    async def log_since(self, execution_id: str, stream: int, moment: int) -> int:
        """The offset within one stream of its first byte that came at a moment (nanoseconds, the engine's time) or later; the stream's end
        when none did."""

    # pools

    async def pause_pool(self, name: str, paused: bool) -> Pauses:
        """Pauses a pool, or ends its pause; safe to repeat. Which are paused after it."""

    async def paused_pools(self) -> Pauses:
        """Which pools are paused."""

    # the queue's generation

    async def generation(self) -> Generation:
        """Which queue belongs to this store; number 0 when none was ever made."""

    async def change_generation(self, seen: Generation, new: Generation) -> bool:
        """Replaces ``seen`` by ``new``; False when it is not what is stored any more."""
