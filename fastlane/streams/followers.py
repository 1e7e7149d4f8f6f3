"""All followers of this process: it admits them, checks where they want to begin, and ends them with the process."""

from dataclasses import replace

from fastlane.clock import Clock
from fastlane.errors import Fault, Invalid, TransientError
from fastlane.models.execution import Execution
from fastlane.models.logs.cursor import Cursor
from fastlane.storage.base import Store
from fastlane.storage.lookup import find_execution, find_job
from fastlane.streams.follower import Follower, StartPosition
from fastlane.streams.hub import Hub
from fastlane.streams.shared_reads import SharedReads

MAX_FOLLOWERS = 5_000
"""Followers at once in one process."""
SLOW_AFTER = 15.0
"""Seconds that a sink may take for one batch (128 KiB at most)."""


class TooManyFollowers(TransientError):
    """This process follows as many logs as it may, or it ends."""


class Followers:
    """Makes followers. Each waits ``start_wait`` seconds for a start, and gives its sink up when a batch takes ``slow_after`` seconds."""

    def __init__(
        self, store: Store, hub: Hub, clock: Clock, *, start_wait: float, slow_after: float = SLOW_AFTER, most: int = MAX_FOLLOWERS
    ) -> None:
        self._store = store
        self._clock = clock
        self._start_wait = start_wait
        self._slow_after = slow_after
        self._most = most
        self._reads = SharedReads(store, hub)
        self._running: set[Follower] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._running)

    def close(self) -> None:
        """Ends every follower as ``retry``, and admits no more."""
        self._closed = True
        self.interrupt()

    def interrupt(self) -> None:
        """Ends every follower as ``retry``."""
        for follower in list(self._running):
            follower.interrupt()

    async def follow(self, task_id: str, job_id: str, execution_id: str | None, start: StartPosition) -> Follower:
        """A follower of a job, or of one of its executions, to be run. Raises NotFound, TooManyFollowers, and Invalid for a cursor of
        another job or execution."""
        if self._is_full():
            raise TooManyFollowers("this server ends" if self._closed else f"{self._most} logs are followed here already")
        job = await find_job(self._store, task_id, job_id)
        execution = None if execution_id is None else await find_execution(self._store, task_id, job_id, execution_id)
        if start.cursor is not None and start.cursor.ended and start.cursor.execution_id == job_id:
            start = replace(start, cursor=None)
        resumed = None if start.cursor is None else await self._resumed(start.cursor, job_id, execution_id)
        return Follower(
            self,
            self._store,
            self._clock,
            self._reads,
            job,
            execution,
            resumed,
            start,
            start_wait=self._start_wait,
            slow_after=self._slow_after,
        )

    def enter(self, follower: Follower) -> bool:
        """Counts a follower that begins to run; False when it may not."""
        if self._is_full():
            return False
        self._running.add(follower)
        return True

    def leave(self, follower: Follower) -> None:
        """Counts it no more: it has ended."""
        self._running.discard(follower)

    def _is_full(self) -> bool:
        return self._closed or len(self._running) >= self._most

    async def _resumed(self, cursor: Cursor, job_id: str, execution_id: str | None) -> Execution:
        """The execution that the cursor is of."""
        execution = await self._store.execution(cursor.execution_id)
        if execution is None or execution.job_id != job_id or execution_id not in (None, execution.id):
            raise Invalid([Fault("from", "is a cursor of something else; leave it out to start from the beginning")])
        if cursor.offset > (await self._store.log_head(execution.id)).offset:
            raise Invalid([Fault("from", "lies past the end of the log; send one back as a message had it")])
        return execution
