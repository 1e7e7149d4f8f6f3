"""Followers: each sends a job's or an execution's log to one reader, from where that one begins to the end.

A follower knows no protocol: it is given a sink. It ends as ``done`` when nothing will follow and all was sent, as ``retry`` when it cannot
go on: nothing has started for too long, the sink takes too little, the process ends.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Protocol

import structlog

from fastlane.clock import Clock
from fastlane.errors import Fault, Invalid, NotFound, StoreDown, TransientError
from fastlane.models.execution import Execution
from fastlane.models.job import Job, job_status
from fastlane.models.logs.cursor import Cursor
from fastlane.models.logs.following import (
    AwaitStart,
    Finished,
    Follow,
    Progress,
    RetryLater,
    first_step,
    first_step_of_execution,
    next_step,
)
from fastlane.models.schedule.retry import is_under_way
from fastlane.models.schedule.tick import execution_id as attempt_id
from fastlane.models.status import UNDER_WAY, Status
from fastlane.storage.base import Store
from fastlane.streams.batch import Batch, BatchCache
from fastlane.streams.hub import Hub
from fastlane.streams.reader import Detached, Reader
from fastlane.streams.shared_poll import SharedPoll, Snapshot
from fastlane.streams.stored_log import last_lines

log = structlog.get_logger()

MOST = 5_000
"""Followers at once in one process."""
MOST_RECENT = 4 * 1024 * 1024
"""Bytes of logs that are kept for followers who want the same."""
START_WAIT = 25.0
"""Seconds for which a follower waits for an execution to start."""
SLOW_AFTER = 15.0
"""Seconds that a sink may take for one batch (128 KiB at most)."""
PATIENCE = 30
"""So many times, a second apart, a follower that is behind asks a store that does not answer."""
MOST_UNDER_WAY = 100

ReadProgress = Callable[[], Awaitable[Snapshot[Progress]]]


class TooManyFollowers(TransientError):
    """Too many logs are followed in this process, or it ends."""


class CloseReason(StrEnum):
    """Why a follower ended. ``gone``: nobody listens any more."""

    DONE = "done"
    RETRY = "retry"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class FinalState:
    """How what was followed ended, and the cursor after its last byte; of a job that never ran, one that names the job itself."""

    status: str
    exit_code: int | None
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Closing:
    """Why a follower ended; ``end`` when it is ``done``. ``started``: whether there was a log to send."""

    reason: CloseReason
    end: FinalState | None = None
    started: bool = True


@dataclass(frozen=True, slots=True)
class StartPosition:
    """Where to begin: after a cursor, with the last ``tail`` lines (of one ``stream``, when only that one is wanted), else at the start."""

    cursor: Cursor | None = None
    tail: int | None = None
    stream: int | None = None


class Sink(Protocol):
    """Where a follower sends."""

    def encode(self, batch: Batch) -> bytes:
        """What is sent of a batch; nothing is sent when that is empty."""

    def ready(self) -> bool:
        """Whether all that was sent is taken."""

    def send(self, data: bytes) -> None:
        """Sends it, or nothing when nobody listens any more."""

    async def drained(self, seconds: float) -> bool:
        """Waits until all that was sent is taken; False after so many seconds. Raises ConnectionError when nobody listens any more."""

    def begin(self, execution: Execution, *, first: bool) -> None:
        """An attempt begins; ``first``: it is the first of this follower."""


class TooSlow(Exception):
    """The sink took too little for too long."""


class Followers:
    """All followers of this process, and what they share. ``start_wait``: seconds for which one waits for a start."""

    def __init__(
        self, store: Store, hub: Hub, clock: Clock, *, start_wait: float = START_WAIT, slow_after: float = SLOW_AFTER, most: int = MOST
    ) -> None:
        self.store = store
        self.clock = clock
        self.start_wait = start_wait
        self.slow_after = slow_after
        self._hub = hub
        self._most = most
        self._recent = BatchCache(MOST_RECENT)
        self._readers: dict[str, tuple[Reader, int]] = {}
        self._lookouts: dict[str, tuple[SharedPoll[Progress], int]] = {}
        self._running: set[Follower] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._running)

    def close(self) -> None:
        """Ends every follower as ``retry``, and takes no more."""
        self._closed = True
        for follower in list(self._running):
            follower.interrupt()

    async def follow(self, task_id: str, job_id: str, execution_id: str | None, wish: StartPosition) -> "Follower":
        """A follower of a job, or of one of its executions, that does not run yet. Raises NotFound; Invalid for a cursor of something
        else; TooManyFollowers."""
        if self._closed or len(self._running) >= self._most:
            raise TooManyFollowers("this server ends" if self._closed else f"{self._most} logs are followed here already")
        job = await self.store.job(job_id)
        if job is None or job.task_id != task_id:
            raise NotFound(f"task {task_id!r} has no job {job_id}")
        execution = None if execution_id is None else await self.store.execution(execution_id)
        if execution_id is not None and (execution is None or execution.job_id != job_id):
            raise NotFound(f"job {job_id} of task {task_id!r} has no execution {execution_id}")
        if wish.cursor is not None and wish.cursor.ended and wish.cursor.execution_id == job_id:
            wish = replace(wish, cursor=None)
        resumed = None if wish.cursor is None else await self._resumed(wish.cursor, job_id, execution_id)
        return Follower(self, job, execution, resumed, wish)

    def enter(self, follower: "Follower") -> bool:
        """Counts one that runs; False when it may not."""
        if self._closed or len(self._running) >= self._most:
            return False
        self._running.add(follower)
        return True

    def leave(self, follower: "Follower") -> None:
        """It has ended."""
        self._running.discard(follower)

    @asynccontextmanager
    async def reader(self, execution_id: str) -> AsyncIterator[Reader]:
        """The one reader of an execution."""
        reader, users = self._readers.get(execution_id) or (Reader(self.store, self._hub, self._recent, execution_id), 0)
        self._readers[execution_id] = (reader, users + 1)
        try:
            yield reader
        finally:
            reader, users = self._readers.pop(execution_id)
            if users > 1:
                self._readers[execution_id] = (reader, users - 1)
            else:
                await reader.close()

    @asynccontextmanager
    async def lookout(self, key: str, look: ReadProgress) -> AsyncIterator[SharedPoll[Progress]]:
        """The one lookout of this name."""
        lookout, users = self._lookouts.get(key) or (SharedPoll(self._hub, look), 0)
        self._lookouts[key] = (lookout, users + 1)
        try:
            yield lookout
        finally:
            lookout, users = self._lookouts.pop(key)
            if users > 1:
                self._lookouts[key] = (lookout, users - 1)
            else:
                await lookout.close()

    async def _resumed(self, cursor: Cursor, job_id: str, execution_id: str | None) -> Execution:
        execution = await self.store.execution(cursor.execution_id)
        if execution is None or execution.job_id != job_id or execution_id not in (None, execution.id):
            raise Invalid([Fault("from", "is a cursor of something else; leave it out to begin anew")])
        if cursor.offset > (await self.store.log_head(execution.id)).offset:
            raise Invalid([Fault("from", "lies past the end of the log; send one back as a message had it")])
        return execution


class Follower:
    """One follower. ``run`` once; ``interrupt`` ends that as ``retry``."""

    def __init__(self, followers: Followers, job: Job, execution: Execution | None, resumed: Execution | None, wish: StartPosition) -> None:
        self._followers = followers
        self._store = followers.store
        self._job = job
        self._only = execution
        self._resumed = resumed
        self._wish = wish
        self._sink: Sink | None = None
        self._task: asyncio.Task[object] | None = None
        self._interrupted = False

    async def run(self, sink: Sink) -> Closing:
        """Sends until there is nothing more to send, or to wait for."""
        if not self._followers.enter(self):
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
            self._followers.leave(self)

    def interrupt(self) -> None:
        """Ends it as ``retry``, as soon as may be."""
        if self._task is not None:
            self._interrupted = True
            self._task.cancel()

    def take(self, batch: Batch) -> bool:
        """See ``reader.Taker``."""
        sink = self._sink
        if sink is None or not sink.ready():
            return False
        if data := sink.encode(batch):
            sink.send(data)
        return True

    async def _run(self, sink: Sink) -> Closing:
        step: Follow | RetryLater | Finished = Follow(self._resumed) if self._resumed else await self._begin()
        left: Detached | None = None
        while isinstance(step, Follow):
            execution = step.execution
            if execution.has_started:
                sink.begin(execution, first=left is None)
            cursor = await self._start_of(execution) if left is None else Cursor(execution.id, 0)
            left = await self._send(execution.id, cursor)
            step = Finished(left.execution) if self._only else await self._after(execution, left)
        if isinstance(step, RetryLater):
            return Closing(CloseReason.RETRY, started=False)
        await self._drain(sink)
        return Closing(CloseReason.DONE, self._end(step.execution, left), started=left is not None)

    async def _start_of(self, execution: Execution) -> Cursor:
        wish = self._wish
        if wish.cursor is not None:
            return replace(wish.cursor, ended=False)
        return Cursor(execution.id, 0 if wish.tail is None else await last_lines(self._store, execution.id, wish.tail, wish.stream))

    async def _begin(self) -> Follow | Finished | RetryLater:
        """What there is to follow, once it has started."""
        clock, only = self._followers.clock, self._only
        give_up_at = clock.now() + int(self._followers.start_wait * 1000)
        if only is not None and (only.has_started or only.status.final):
            return Follow(only)
        name, look = (only.id, self._look_at(only.id)) if only is not None else (self._job.id, self._look_at_job)
        async with self._followers.lookout(f"start {name}", look) as lookout:
            turn, prospect = 0, None
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, (give_up_at - clock.now()) / 1000)):
                        turn, prospect = await lookout.after(turn)
                if prospect is None:
                    raise StoreDown("the store does not tell what there is to follow")
                self._job = prospect.job or self._job
                now = clock.now()
                pick = (
                    first_step(prospect, now=now, give_up_at=give_up_at)
                    if only is None
                    else first_step_of_execution(prospect.newest, now, give_up_at)
                )
                if not isinstance(pick, AwaitStart):
                    return pick

    async def _after(self, execution: Execution, left: Detached) -> Follow | Finished:
        """The next attempt once it begins, or that there is none."""
        ended = left.execution
        if ended is None or ended.status is not Status.FAILED:
            return Finished(ended)
        following = attempt_id(execution.tick_id, execution.attempt + 1)
        async with self._followers.lookout(f"after {execution.id}", self._look_at(execution.id, following)) as lookout:
            turn = 0
            while True:
                turn, prospect = await lookout.after(turn)
                step = next_step(prospect.newest, prospect.under_way)
                if not isinstance(step, AwaitStart):
                    return step

    def _look_at(self, execution_id: str, following: str | None = None) -> ReadProgress:
        """Looks at an execution, and after that at the attempt that follows it."""
        ids = frozenset([execution_id, *([following] if following else [])])

        async def look() -> Snapshot[Progress]:
            execution = await self._store.execution(execution_id)
            after = await self._store.execution(following) if following else None
            soon = after is None and execution is not None and execution.status.final and is_under_way(execution)
            return Snapshot(Progress(None, after, execution, None), ids, soon)

        return look

    async def _look_at_job(self) -> Snapshot[Progress]:
        job = await self._store.job(self._job.id)
        under_way = await self._store.executions_of(self._job.id, MOST_UNDER_WAY, statuses=UNDER_WAY)
        newest = await self._store.executions_of(self._job.id, 1)
        started = await self._store.last_started(self._job.id)
        soonest = min(under_way, key=lambda one: one.scheduled_for, default=None)
        ids = frozenset(one.id for one in (soonest, *newest) if one is not None)
        return Snapshot(Progress(job, soonest, newest[0] if newest else None, started), ids)

    async def _send(self, execution_id: str, cursor: Cursor) -> Detached:
        """Sends an execution's log from a cursor to its end."""
        async with self._followers.reader(execution_id) as reader:
            while True:
                batch = await self._patiently(partial(reader.batch, cursor))
                if batch is not None:
                    await self._give(batch)
                    cursor = batch.end
                    continue
                joined = reader.join(self, cursor)
                if joined is None:
                    await reader.moved()
                    continue
                try:
                    left = await joined
                finally:
                    reader.leave(self)
                cursor = left.cursor
                if left.ended:
                    return left

    async def _give(self, batch: Batch) -> None:
        while not self.take(batch):
            if self._sink is not None:
                await self._drain(self._sink)

    async def _drain(self, sink: Sink) -> None:
        if not await sink.drained(self._followers.slow_after):
            raise TooSlow

    async def _patiently(self, read: Callable[[], Awaitable[Batch | None]]) -> Batch | None:
        for _ in range(PATIENCE):
            with suppress(TransientError):
                return await read()
            await asyncio.sleep(1.0)
        return await read()

    def _end(self, execution: Execution | None, left: Detached | None) -> FinalState:
        if execution is None:
            return FinalState(job_status(self._job, None), None, Cursor(self._job.id, 0, ended=True))
        sent = left is not None and left.cursor.execution_id == execution.id
        cursor = replace(left.cursor, ended=True) if left is not None and sent else Cursor(execution.id, 0, ended=True)
        return FinalState(execution.status.value, execution.exit_code, cursor)
