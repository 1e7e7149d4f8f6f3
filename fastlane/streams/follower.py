"""A follower: sends a job's or an execution's log to one client, from where that client wants to begin to the end.

It knows no protocol: it writes to a sink. It ends as ``done`` when nothing will follow and all was sent, and as ``retry`` when it cannot go
on: nothing has started for too long, the sink is too slow, or the process ends. Followers of one execution share its reader, and followers
that wait for the same rows share a poll.

Its next step is decided by pure rules on what the store says. A job's follower follows the newest tick that has started, through all its
attempts. While none has started, it waits a limited time for the next. Read the rows in the order in which the functions name them: then a
row that is written in between is seen or not needed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Generic, Protocol, TypeVar

import structlog

from fastlane.calendars import CalendarBook
from fastlane.clock import Clock
from fastlane.errors import StoreDown, TransientError
from fastlane.models.everywhere import is_one_of_many, is_unplanned, worst_of
from fastlane.models.job import Execution, Job, is_under_way, job_status
from fastlane.models.log import Cursor
from fastlane.models.status import UNDER_WAY, Status
from fastlane.models.tick import following_id
from fastlane.storage.base import Store
from fastlane.streams.batch import Batch, BatchCache
from fastlane.streams.named import NamedLines
from fastlane.streams.reader import BatchConsumer, Detached, HintWait, Hub, Reader, last_lines


@dataclass(frozen=True, slots=True)
class Follow:
    """Send this execution's log."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class AwaitStart:
    """Look again: an execution is about to start."""


@dataclass(frozen=True, slots=True)
class NothingFollows:
    """Nothing will follow. ``execution`` was the last one; None when there never was one, or its job was deleted."""

    execution: Execution | None


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Nothing has started, and the wait is over."""


@dataclass(frozen=True, slots=True)
class StartWait:
    """How long a follower waits for a start: until ``give_up_at`` (milliseconds), but not at all for what is due later than that, unless
    it is ``patient``."""

    give_up_at: int
    patient: bool = False

    def step(self, due: int | None, now: int) -> "AwaitStart | RetryLater":
        """Whether to wait for a start that is due then; None: it is not known when."""
        late = not self.patient and (due is None or due > self.give_up_at)
        return RetryLater() if late or now >= self.give_up_at else AwaitStart()


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job has come, read in this order: the job, its next execution under way (the soonest due), its newest execution, and the
    newest that has started."""

    job: Job | None
    under_way: Execution | None
    newest: Execution | None
    started: Execution | None


def first_step(progress: JobProgress, now: int, wait: StartWait) -> Follow | AwaitStart | NothingFollows | RetryLater:
    """The first step of a job's follower, at ``now`` (milliseconds)."""
    job, newest = progress.job, progress.newest
    if progress.started is not None:
        return Follow(progress.started)
    if job is None:
        return NothingFollows(None)
    under_way = progress.under_way or (newest if newest is not None and is_under_way(newest) else None)
    if under_way is not None:
        return wait.step(under_way.scheduled_for, now)
    if (next_run := job.next_run(now)) is not None:
        return wait.step(next_run, now)
    return wait.step(None, now) if job.paused or (job.schedule.is_manual and newest is None) else NothingFollows(newest)


def first_step_of_execution(execution: Execution | None, now: int, wait: StartWait) -> Follow | AwaitStart | NothingFollows | RetryLater:
    """The first step of an execution's follower."""
    if execution is None:
        return NothingFollows(None)
    if execution.has_started or execution.status.final:
        return Follow(execution)
    return wait.step(execution.scheduled_for, now)


def next_step(execution: Execution | None, following: Execution | None) -> Follow | AwaitStart | NothingFollows:
    """The step after the log of a final execution was sent. ``following`` is the next attempt, read after ``execution``."""
    if following is not None:
        return Follow(following) if following.has_started or following.status.final else AwaitStart()
    return AwaitStart() if execution is not None and is_under_way(execution) else NothingFollows(execution)


log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T]):
    """What a read showed. A hint of one of the executions ``ids`` is a reason to read again; ``soon``: so is a short wait."""

    value: T
    ids: frozenset[str]
    soon: bool = False


class SharedPoll(Generic[T]):
    """Reads repeatedly until it is closed. ``close`` ends its task."""

    def __init__(self, hub: Hub, read: Callable[[], Awaitable[Snapshot[T]]]) -> None:
        self._read = read
        self._hints = HintWait(hub)
        self._waiting: set[asyncio.Future[None]] = set()
        self._latest: Snapshot[T] | None = None
        self._number = 0
        self._task = asyncio.create_task(self._run(), name="shared poll")

    async def close(self) -> None:
        """Ends the reads."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._hints.close()

    async def after(self, number: int) -> tuple[int, T]:
        """What a read after the one with that number showed, and its own number; 0 comes before the first."""
        while self._latest is None or self._number <= number:
            next_read = asyncio.get_running_loop().create_future()
            self._waiting.add(next_read)
            try:
                await next_read
            finally:
                self._waiting.discard(next_read)
        return self._number, self._latest.value

    async def _run(self) -> None:
        while True:
            self._hints.clear()
            hurry = False
            try:
                snapshot = self._latest = await self._read()
                self._number += 1
                hurry = snapshot.soon
                self._hints.subscribe(snapshot.ids)
                self._wake()
            except TransientError as error:
                log.warning("log.lookout_blind", error=str(error))
            except Exception:
                log.exception("log.lookout_failed")
            await self._hints.wait(hurry=hurry)

    def _wake(self) -> None:
        for next_read in self._waiting:
            if not next_read.done():
                next_read.set_result(None)


MAX_CACHED = 32 * 1024 * 1024
"""Bytes of memory for what followers want who are at the same place: some 3 MB of a log with ordinary lines."""

ReadProgress = Callable[[], Awaitable[Snapshot[JobProgress]]]


class SharedReads:
    """Opens readers and polls for the first user, and closes them after the last."""

    def __init__(self, store: Store, hub: Hub, calendars: CalendarBook) -> None:
        self.calendars = calendars
        self._store = store
        self._hub = hub
        self._cache = BatchCache(MAX_CACHED)
        self._readers: dict[str, tuple[Reader, int]] = {}
        self._polls: dict[str, tuple[SharedPoll[JobProgress], int]] = {}

    def open_reader(self, execution_id: str) -> Reader:
        """The one reader of an execution, until ``close_reader``. A context manager would take half a kilobyte for each follower."""
        reader, users = self._readers.get(execution_id) or (Reader(self._store, self._hub, self._cache, execution_id), 0)
        self._readers[execution_id] = (reader, users + 1)
        return reader

    async def close_reader(self, execution_id: str) -> None:
        """A user of this execution's reader is done with it."""
        reader, users = self._readers.pop(execution_id)
        if users > 1:
            self._readers[execution_id] = (reader, users - 1)
        else:
            await reader.close()

    @asynccontextmanager
    async def poll(self, key: str, read: ReadProgress) -> AsyncIterator[SharedPoll[JobProgress]]:
        """The one poll of this key; the first user's ``read`` is used."""
        poll, users = self._polls.get(key) or (SharedPoll(self._hub, read), 0)
        self._polls[key] = (poll, users + 1)
        try:
            yield poll
        finally:
            poll, users = self._polls.pop(key)
            if users > 1:
                self._polls[key] = (poll, users - 1)
            else:
                await poll.close()


STORE_TRIES = 30
"""How often, a second apart, a follower that is behind asks a store that does not answer."""
MAX_ACTIVE = 100
UNPLANNED = 0.1
"""Seconds between two looks whether each target of a tick has an execution."""


class CloseReason(StrEnum):
    """Why a follower ended. ``gone``: its client went away."""

    DONE = "done"
    RETRY = "retry"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class FinalState:
    """How what was followed ended, and the cursor after its last byte. For a job that never ran the cursor names the job itself.
    ``failed``: the execution, if it failed and wrote nothing, so that its failure is all that a client can be shown."""

    status: str
    exit_code: int | None
    cursor: Cursor
    failed: Execution | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """Why a follower ended; ``end`` is set for ``done`` only. ``started``: whether something of what was followed had started."""

    reason: CloseReason
    end: FinalState | None = None
    started: bool = True


@dataclass(frozen=True, slots=True)
class StartPosition:
    """Where to begin: after a cursor; or at the start, but no earlier than the last ``tail`` lines (of one ``stream``, if only that one is
    wanted) and than what came ``since`` a moment (milliseconds)."""

    cursor: Cursor | None = None
    tail: int | None = None
    stream: int | None = None
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """The caller that a follower counts for (None: for none), and the revision of the callers' rights when it was admitted."""

    caller: str | None = None
    revision: int = 0


class Sink(Protocol):
    """Where a follower writes."""

    def encode(self, batch: Batch) -> bytes:
        """The bytes to send for a batch; empty when there is nothing to send."""

    def ready(self) -> bool:
        """Whether the client has taken enough of what was sent to get more."""

    def send(self, data: bytes) -> None:
        """Sends the bytes; does nothing when the client is gone."""

    async def drained(self, seconds: float) -> bool:
        """Waits until it is ready; False when the client takes nothing for that many seconds. Raises ConnectionError when it is gone."""

    async def finished(self, seconds: float) -> bool:
        """Waits until the client has taken all that was sent, so that the connection can be closed; else as ``drained``."""

    def begin(self, execution: Execution, *, first: bool) -> None:
        """Called before an attempt's log is sent; ``first``: it is the first of this follower."""


class Admission(Protocol):
    """Counts the followers that run."""

    def enter(self, follower: "Follower") -> bool:
        """Counts a follower; False when it may not run."""

    def leave(self, follower: "Follower") -> None:
        """Stops counting it."""


class TooSlow(Exception):
    """The sink took nothing for too long."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What a follower sends, and from where. ``only``: one execution of the job, None for all; ``resumed``: the execution that the start's
    cursor is of. ``patient``: see ``StartWait``."""

    job: Job
    only: Execution | None
    resumed: Execution | None
    start: StartPosition
    patient: bool = False


@dataclass(frozen=True, slots=True)
class FollowLimits:
    """For how many seconds a follower waits for a start, and for a client that takes nothing of what was sent."""

    start_wait: float
    slow_after: float


class Follower:
    """One follower: ``run`` it once; ``interrupt`` ends that as ``retry``."""

    def __init__(
        self,
        admission: Admission,
        admitted: Admitted,
        store: Store,
        clock: Clock,
        reads: SharedReads,
        followed: Followed,
        limits: FollowLimits,
    ) -> None:
        self.admitted = admitted
        self._admission = admission
        self._store = store
        self._clock = clock
        self._reads = reads
        self._followed = followed
        self._job = followed.job
        self._limits = limits
        self._sink: Sink | None = None
        self._giving = asyncio.Lock()
        self._task: asyncio.Task[object] | None = None
        self._interrupted = False

    async def run(self, sink: Sink) -> Closing:
        """Sends until there is nothing more to send or to wait for."""
        if not self._admission.enter(self):
            return Closing(CloseReason.RETRY, started=False)
        self._sink = sink
        task = self._task = asyncio.current_task()
        try:
            return await self._run(sink)
        except asyncio.CancelledError:
            if not self._interrupted or task is None:
                raise
            task.uncancel()
            return Closing(CloseReason.RETRY)
        except TooSlow:
            log.info("log.follower_slow", job_id=self._job.id)
            return Closing(CloseReason.RETRY)
        except ConnectionError:
            return Closing(CloseReason.GONE)
        except TransientError as error:
            log.warning("log.follower_cut", job_id=self._job.id, error=str(error))
            return Closing(CloseReason.RETRY)
        finally:
            self._task = None
            self._admission.leave(self)

    def interrupt(self) -> None:
        """Ends it as ``retry``, as soon as possible."""
        if self._task is not None:
            self._interrupted = True
            self._task.cancel()

    @property
    def is_ready(self) -> bool:
        """Whether a batch would be sent now."""
        return self._sink is not None and self._sink.ready()

    def consume(self, batch: Batch) -> bool:
        """Sends a batch; False, and sends nothing, while the client has not taken what was sent before (``reader.BatchConsumer``)."""
        sink = self._sink
        if sink is None or not sink.ready():
            return False
        if data := sink.encode(batch):
            sink.send(data)
        return True

    async def _run(self, sink: Sink) -> Closing:
        resumed = self._followed.resumed
        step: Follow | RetryLater | NothingFollows = Follow(resumed) if resumed else await self._await_start()
        if isinstance(step, Follow) and self._followed.only is None and is_one_of_many(step.execution):
            return await self._follow_targets(step.execution, sink)
        sent: Detached | None = None
        started = False
        while isinstance(step, Follow):
            execution = step.execution
            if execution.has_started:
                sink.begin(execution, first=sent is None)
                started = True
            cursor = await self._start_of(execution) if sent is None else Cursor(execution.id, 0)
            sent = await self._send(execution.id, cursor)
            step = NothingFollows(sent.execution) if self._followed.only else await self._await_next(execution, sent)
        if isinstance(step, RetryLater):
            return Closing(CloseReason.RETRY, started=False)
        await self._wait_for(sink.finished)
        return Closing(CloseReason.DONE, self._final_state(step.execution, sent), started=started)

    async def _follow_targets(self, found: Execution, sink: Sink) -> Closing:
        """Sends the logs of all executions of a tick that runs everywhere, as they come. The log that the start's cursor is of is resumed
        there, and the others begin at their beginnings."""
        sink.begin(found, first=True)
        leads = [one for one in await self._targets_of(found) if one.attempt == 1]
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(self._follow_target(one, sink), name=f"target of {found.tick_id}") for one in leads]
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        sizes = [task.result() for task in running]
        await self._wait_for(sink.finished)
        end = worst_of(await self._targets_of(found))
        silent = end.failure is not None and not any(sizes)
        state = FinalState(end.status.value, end.exit_code, Cursor(end.id, 0, ended=True), end if silent else None)
        return Closing(CloseReason.DONE, state)

    async def _targets_of(self, found: Execution) -> Sequence[Execution]:
        """The executions of a tick, once each target has one."""
        target = found.spec.target
        while True:
            rows = [] if target is None else await self._store.executions_between(found.job_id, target.first, target.last)
            of_tick = [one for one in rows if one.tick_id == found.tick_id]
            if not any(is_unplanned(one) and not one.status.final for one in of_tick):
                return of_tick or [found]
            await asyncio.sleep(UNPLANNED)

    async def _follow_target(self, first: Execution, sink: Sink) -> int:
        """Sends the log of a target, through all its attempts. Returns how much it has."""
        target, start, size = first.spec.target, self._followed.start.cursor, 0
        lines = NamedLines(first.id if target is None else target.name)
        execution: Execution | None = first
        while execution is not None:
            resumed = start is not None and start.execution_id == execution.id
            cursor = replace(start, ended=False) if start is not None and resumed else await self._tail_of(execution)
            if execution.attempt > 1:
                sink.begin(execution, first=False)
            sent = await self._send(execution.id, cursor, TargetConsumer(self, lines))
            if (rest := lines.rest(sent.cursor, self._clock.now() * 1_000_000)) is not None:
                await self._give(rest, self)
            size += sent.cursor.offset
            step = await self._await_next(execution, sent)
            execution = step.execution if isinstance(step, Follow) else None
        return size

    async def _start_of(self, execution: Execution) -> Cursor:
        start = self._followed.start
        if start.cursor is not None:
            return replace(start.cursor, ended=False)
        return await self._tail_of(execution)

    async def _tail_of(self, execution: Execution) -> Cursor:
        start = self._followed.start
        lines = 0 if start.tail is None else await last_lines(self._store, execution.id, start.tail, start.stream)
        since = 0 if start.since is None else await self._store.log_since(execution.id, None, start.since * 1_000_000)
        return Cursor(execution.id, max(lines, since))

    async def _await_start(self) -> Follow | NothingFollows | RetryLater:
        """Waits until there is something to follow."""
        only = self._followed.only
        wait = StartWait(self._clock.now() + int(self._limits.start_wait * 1000), self._followed.patient)
        if only is not None and (only.has_started or only.status.final):
            return Follow(only)
        name, read = (only.id, self._progress_of(only.id)) if only is not None else (self._job.id, self._job_progress)
        async with self._reads.poll(f"start {name}", read) as poll:
            number, progress = 0, None
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, (wait.give_up_at - self._clock.now()) / 1000)):
                        number, progress = await poll.after(number)
                if progress is None:
                    raise StoreDown("the store does not say what there is to follow")
                self._job = progress.job or self._job
                now = self._clock.now()
                step = first_step(progress, now, wait) if only is None else first_step_of_execution(progress.newest, now, wait)
                if (
                    isinstance(step, NothingFollows)
                    and step.execution is not None
                    and (await self._store.log_head(step.execution.id)).offset
                ):
                    return Follow(step.execution)  # it ran without having been seen
                if not isinstance(step, AwaitStart):
                    return step

    async def _await_next(self, execution: Execution, sent: Detached) -> Follow | NothingFollows:
        """Waits until the next attempt begins, or it is known that there is none."""
        ended = sent.execution
        if ended is None or ended.status is not Status.FAILED:
            return NothingFollows(ended)
        following = following_id(execution)
        async with self._reads.poll(f"after {execution.id}", self._progress_of(execution.id, following)) as poll:
            number = 0
            while True:
                number, progress = await poll.after(number)
                step = next_step(progress.newest, progress.under_way)
                if not isinstance(step, AwaitStart):
                    return step

    def _progress_of(self, execution_id: str, following: str | None = None) -> ReadProgress:
        """Reads an execution, and after that the attempt that follows it."""
        ids = frozenset([execution_id, *([following] if following else [])])

        async def read() -> Snapshot[JobProgress]:
            execution = await self._store.execution(execution_id)
            after = await self._store.execution(following) if following else None
            soon = after is None and execution is not None and execution.status.final and is_under_way(execution)
            return Snapshot(JobProgress(None, after, execution, None), ids, soon)

        return read

    async def _job_progress(self) -> Snapshot[JobProgress]:
        job = await self._store.job(self._job.id)
        under_way = await self._store.executions_of(self._job.id, MAX_ACTIVE, statuses=UNDER_WAY)
        newest = await self._store.executions_of(self._job.id, 1)
        started = await self._store.last_started(self._job.id)
        soonest = min(under_way, key=lambda one: one.scheduled_for, default=None)
        ids = frozenset(one.id for one in (soonest, *newest) if one is not None)
        dated = None if job is None else await self._reads.calendars.job(job)
        return Snapshot(JobProgress(dated, soonest, newest[0] if newest else None, started), ids)

    async def _send(self, execution_id: str, cursor: Cursor, consumer: BatchConsumer | None = None) -> Detached:
        """Sends an execution's log from a cursor to its end, by the follower itself or by another ``consumer``."""
        consumer = consumer or self
        reader = self._reads.open_reader(execution_id)
        try:
            while True:
                batch = await self._read_patiently(partial(reader.batch, cursor))
                if batch is not None:
                    await self._give(batch, consumer)
                    cursor = batch.end
                    continue
                attached = reader.attach(consumer, cursor)
                if attached is None:
                    await reader.moved()
                    continue
                try:
                    detached = await attached
                finally:
                    reader.detach(consumer)
                cursor = detached.cursor
                if detached.ended:
                    return detached
        finally:
            await self._reads.close_reader(execution_id)

    async def _give(self, batch: Batch, consumer: BatchConsumer) -> None:
        async with self._giving:
            while not consumer.consume(batch):
                if self._sink is not None:
                    await self._wait_for(self._sink.drained)

    async def _wait_for(self, taken: Callable[[float], Awaitable[bool]]) -> None:
        if not await taken(self._limits.slow_after):
            raise TooSlow

    async def _read_patiently(self, read: Callable[[], Awaitable[Batch | None]]) -> Batch | None:
        for _ in range(STORE_TRIES):
            with suppress(TransientError):
                return await read()
            await asyncio.sleep(1.0)
        return await read()

    def _final_state(self, execution: Execution | None, sent: Detached | None) -> FinalState:
        if execution is None:
            return FinalState(job_status(self._job, None, self._clock.now()), None, Cursor(self._job.id, 0, ended=True))
        was_sent = sent is not None and sent.cursor.execution_id == execution.id
        cursor = replace(sent.cursor, ended=True) if sent is not None and was_sent else Cursor(execution.id, 0, ended=True)
        silent = execution.failure is not None and cursor.offset == 0
        return FinalState(execution.status.value, execution.exit_code, cursor, execution if silent else None)


class TargetConsumer:
    """Sends the log of one of several targets, with its name before each line."""

    def __init__(self, follower: Follower, lines: NamedLines) -> None:
        self._follower = follower
        self._lines = lines

    def consume(self, batch: Batch) -> bool:
        """See ``reader.BatchConsumer``. Lines are kept only of a batch that is sent."""
        return self._follower.is_ready and self._follower.consume(self._lines.of(batch))
