"""What this worker knows of one entry that it holds by lease: its epoch, its host, a stop asked for, and what delays it.

It reads and writes nothing outside itself, and only its own methods change it.
"""

import asyncio
from collections.abc import Callable, Collection

from fastlane.models.job import JobBounds
from fastlane.models.note import Note
from fastlane.queue.base import Lease
from fastlane.scheduler.capacity import Work, work_of


class Assignment:
    """One entry of the queue, from its claim until this worker has finished it or lost it."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._work = work_of(lease)
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._epoch: int | None = None
        self._bounds: JobBounds | None = None
        self._watched = False
        self._given_away = False
        self._host: str | None = None
        self._refused_since: int | None = None
        self._note: Callable[[], Note | None] = lambda: None
        if lease.stop:
            self._stop.set()

    @property
    def lease(self) -> Lease:
        """The lease as the queue granted it."""
        return self._lease

    @property
    def id(self) -> str:
        """The id of the job or execution."""
        return self._lease.id

    # the work on it

    @property
    def work(self) -> Work:
        """What it is counted as."""
        return self._work

    def count_as(self, work: Work) -> None:
        """Counts it as this, whatever it was claimed for."""
        self._work = work

    def start(self, task: asyncio.Task[None]) -> None:
        """Records the task that works on it."""
        self._task = task

    def cancel(self, *, spared: Collection[asyncio.Task[None] | None] = ()) -> None:
        """Cancels the work on it, unless its task is one of the spared ones."""
        if self._task is not None and self._task not in spared:
            self._task.cancel()

    # a stop

    def request_stop(self) -> None:
        """Records a hint that a stop of it was asked for. The row says whether that is so."""
        self._stop.set()

    @property
    def stop_requested(self) -> bool:
        """Whether there is such a hint that has not been handled."""
        return self._stop.is_set()

    @property
    def stop_event(self) -> asyncio.Event:
        """Set while there is such a hint: for waiting only."""
        return self._stop

    def take_stop_request(self) -> bool:
        """Whether there is such a hint; the caller follows it up by reading the row."""
        requested = self._stop.is_set()
        self._stop.clear()
        return requested

    # the execution

    @property
    def epoch(self) -> int | None:
        """The epoch under which this worker owns the execution in the store; None before it does."""
        return self._epoch

    def take_over(self, epoch: int) -> None:
        """Records that the store has this worker as the owner, under this epoch."""
        self._epoch = epoch

    def keep_bounds(self, bounds: JobBounds | None) -> None:
        """Records the bounds of its job, which were read once this worker owned it; None: there is no such job, or they were not read."""
        self._bounds = bounds

    def take_bounds(self) -> JobBounds | None:
        """These bounds, once: a step that is tried again reads its job again."""
        bounds, self._bounds = self._bounds, None
        return bounds

    def begin_watch(self) -> bool:
        """Records that a watch of the execution begins; whether it is the first, so that this worker cannot have stored any of its log."""
        first, self._watched = not self._watched, True
        return first

    @property
    def given_away(self) -> bool:
        """Whether another worker is to have it."""
        return self._given_away

    def give_away(self) -> None:
        """Records that another worker is to have it, which can ask its host."""
        self._given_away = True

    @property
    def host(self) -> str | None:
        """The host that was chosen for it; None before that, and again once its service is there."""
        return self._host

    def place_on(self, host: str | None) -> None:
        """Records the chosen host; None: its service is there now."""
        self._host = host

    def refused_since(self, now: int) -> int:
        """Records that an engine refuses to make its service; since when (milliseconds) this worker knows that."""
        self._refused_since = now if self._refused_since is None else self._refused_since
        return self._refused_since

    # what delays it

    @property
    def note(self) -> Note | None:
        """What delays it now, for the worker's report."""
        return self._note()

    def explain(self, note: Note | None) -> None:
        """Records what delays it from now on; None: nothing does."""
        self._note = lambda: note

    def explain_with(self, source: Callable[[], Note | None]) -> None:
        """Asks ``source`` for what delays it, each time that a report is made."""
        self._note = source
