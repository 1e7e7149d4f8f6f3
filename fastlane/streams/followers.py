"""All followers of this process: it admits them, checks where they want to begin, and ends them with the process."""

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from fastlane.calendars import CalendarBook
from fastlane.clock import Clock
from fastlane.errors import Fault, Invalid, TooMany, TransientError
from fastlane.models.job import Execution
from fastlane.models.log import Cursor
from fastlane.storage.base import Store, find_execution, find_job
from fastlane.streams.follower import Admitted, Followed, Follower, FollowLimits, SharedReads, StartPosition
from fastlane.streams.reader import Hub

MAX_FOLLOWERS = 5_000
"""Followers at once in one process."""
SHARE = 5
"""One caller may have one in this many of them."""
SLOW_AFTER = 300.0
"""Seconds for which a client may take nothing of what was sent. However slow it is, it is waited for."""


class TooManyFollowers(TransientError):
    """This process follows as many logs as it may, or is ending."""


class CallerFollowsTooMany(TooMany):
    """The caller follows as many logs as one caller may."""


class Followers:
    """Makes followers. Each waits ``start_wait`` seconds for a start, and ends when its sink takes nothing for ``slow_after`` seconds. At
    most ``most`` run at once. One caller may have a share of them."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        clock: Clock,
        calendars: CalendarBook,
        *,
        start_wait: float,
        slow_after: float = SLOW_AFTER,
        most: int = MAX_FOLLOWERS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._limits = FollowLimits(start_wait, slow_after)
        self._most = most
        self._reads = SharedReads(store, hub, calendars)
        self._most_of_caller = max(1, most // SHARE)
        self._running: set[Follower] = set()
        self._callers: Counter[str] = Counter()
        self._revision = 0
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

    def revoke(self, callers: Collection[str]) -> None:
        """Ends the followers of these callers as ``retry``: what they may do has changed. A follower that was admitted before and does not
        run yet never will."""
        self._revision += 1
        for follower in [one for one in self._running if one.admitted.caller in callers]:
            follower.interrupt()

    async def follow(
        self,
        task_id: str,
        job_id: str,
        execution_id: str | None,
        start: StartPosition,
        caller: str | None = None,
        *,
        patient: bool = False,
    ) -> Follower:
        """A follower of a job, or of one of its executions, to be run. It counts for ``caller`` (None: for none). ``patient``: it also
        waits for what is due later than it waits. Raises NotFound, TooManyFollowers, CallerFollowsTooMany, and Invalid for a cursor of
        another job or execution."""
        admitted = Admitted(caller, self._revision)
        if self._is_full():
            raise TooManyFollowers("this server ends" if self._closed else f"{self._most} logs are followed here already")
        if self._has_its_share(caller):
            raise CallerFollowsTooMany(f"you follow {self._most_of_caller} logs here already; close one first")
        job = await find_job(self._store, task_id, job_id)
        execution = None if execution_id is None else await find_execution(self._store, task_id, job_id, execution_id)
        if start.cursor is not None and start.cursor.ended and start.cursor.execution_id == job_id:
            start = replace(start, cursor=None)
        resumed = None if start.cursor is None else await self._resumed(start.cursor, job_id, execution_id)
        followed = Followed(job, execution, resumed, start, patient)
        return Follower(self, admitted, self._store, self._clock, self._reads, followed, self._limits)

    def enter(self, follower: Follower) -> bool:
        """Counts a follower that begins to run; False when it may not."""
        caller = follower.admitted.caller
        if self._is_full() or self._has_its_share(caller) or follower.admitted.revision != self._revision:
            return False
        self._running.add(follower)
        if caller is not None:
            self._callers[caller] += 1
        return True

    def leave(self, follower: Follower) -> None:
        """Stops counting it: it has ended."""
        if follower not in self._running:
            return
        self._running.remove(follower)
        caller = follower.admitted.caller
        if caller is not None:
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]

    def _has_its_share(self, caller: str | None) -> bool:
        return caller is not None and self._callers[caller] >= self._most_of_caller

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
