"""What a process does at its start and goes on with: waits for the store, keeps its clock at the queue's time, and marks how far the store
has come.

The queue's time counts however wrong the machine's clock is. So what a client asks for now is due now, and a worker ends nothing before its
time. The high-water mark is kept in the queue: a store that has come less far than its mark was restored from a backup.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from fastlane.clock import AlignedClock, Clock
from fastlane.errors import StoreDown, StoreRefused, TransientError
from fastlane.models.pool import RESTORED
from fastlane.models.store_version import StoreVersion
from fastlane.queue.port import QueueGeneration, mark_went_back
from fastlane.storage.base import Store, version_after

log = structlog.get_logger()

EVERY = 2.0
"""Seconds between two looks at the queue's time."""
FIRST_WITHIN = 0.5
"""Seconds that the first look may delay the start."""
WRONG = 2_000
"""Milliseconds from which on the log says that the machine's clock is wrong."""


@asynccontextmanager
async def aligned(clock: AlignedClock, ask: Callable[[], Awaitable[int]]) -> AsyncIterator[None]:
    """Keeps the clock at the time that ``ask`` returns, until the context ends. While there is no answer, whatever is down, the
    clock goes on by itself."""
    with suppress(TransientError, TimeoutError):
        async with asyncio.timeout(FIRST_WITHIN):
            await clock.align(ask)
    keeping = asyncio.create_task(_keep(clock, ask), name="align clock")
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _keep(clock: AlignedClock, ask: Callable[[], Awaitable[int]]) -> None:
    wrong = False
    while True:
        if wrong != (abs(clock.skew) > WRONG):
            wrong = not wrong
            log.warning("clock.skewed" if wrong else "clock.right_again", milliseconds=-clock.skew)
        await clock.sleep(EVERY)
        with suppress(TransientError):
            await clock.align(ask)


class HighWaterMark:
    """The high-water mark of one process. ``open`` it before the process writes to the store; ``close`` writes it a last time."""

    def __init__(self, store: Store, queue: QueueGeneration, clock: Clock) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._marked: StoreVersion | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Looks whether the store went back. From then on it writes the mark every two seconds, if the store has changed."""
        await self._try_to_mark()
        self._task = asyncio.create_task(self._run(), name="high-water-mark")

    async def close(self) -> None:
        """Ends the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with suppress(TransientError):
            await self._mark()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            await self._try_to_mark()

    async def _try_to_mark(self) -> None:
        try:
            await self._mark()
        except TransientError as error:
            log.debug("high_water.not_written", error=str(error))
        except Exception:
            log.exception("high_water.failed")

    async def _mark(self) -> None:
        version = await (self._compare() if self._marked is None else self._store.version())
        if version != self._marked:
            await self._queue.remember_store(version)
            self._marked = version

    async def _compare(self) -> StoreVersion:
        """How far the store has come. When that is less than the queue has seen, marks the queue and pauses all dispatch."""
        identity = await self._queue.identity()
        version = await version_after(self._store, identity.store)
        stored = await self._store.generation()
        went_back = version.went_back(identity.store, had_queue=stored.number > 0)
        if went_back and not identity.store_went_back and await mark_went_back(self._queue, identity):
            await self._store.pause_pool(RESTORED, True)
            log.error("store.went_back", commits=version.commits, seen=identity.store and identity.store.commits)
        return version


PAUSE = 1.0
"""Seconds between two tries. A try may take some seconds itself."""


class StartProgress:
    """What a process that starts is waiting for: ``waits_for``, None once it has started. ``details`` may name servers and users."""

    def __init__(self) -> None:
        self.waits_for: str | None = "its parts to open"
        self.details = ""

    @property
    def whole(self) -> str | None:
        """All that is known of the wait."""
        return f"{self.waits_for}: {self.details}" if self.waits_for and self.details else self.waits_for

    def wait_for(self, what: str, details: str = "") -> None:
        """Notes what the process is waiting for."""
        self.waits_for, self.details = what, details

    def end(self) -> None:
        """Notes that the process has started."""
        self.waits_for, self.details = None, ""


@asynccontextmanager
async def opened_store(store: Store, progress: StartProgress, *, awaited: bool) -> AsyncIterator[Store]:
    """The store, open until the context ends. Raises StoreRefused. With ``awaited`` it waits, and says so, while the store cannot be
    reached or used for another reason: a restart would not end that."""
    progress.wait_for("the store to open, which may have to be brought up to date first")
    waited = False
    while True:
        try:
            await store.open()
            break
        except StoreDown as error:
            if not awaited or isinstance(error, StoreRefused):
                raise
            log.warning("store.waiting", error=str(error))
            waited = True
            progress.wait_for("the store to answer", str(error))
        await asyncio.sleep(PAUSE)
    if waited:
        log.info("store.opened")
    try:
        yield store
    finally:
        await store.close()
