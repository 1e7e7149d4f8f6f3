"""Reads one execution's log from the store as it grows, for all of its followers in this process.

A follower that is behind asks for one batch after another; one that has come to the place where the reader is joins it, and is handed
each new batch from there on. To join takes no await, so that there is neither a gap nor a repeat. A follower that cannot take a batch at
once drops out and is behind again: the store is its buffer.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

import structlog

from fastlane.errors import TransientError
from fastlane.models.execution import Execution
from fastlane.models.logs.cursor import Cursor
from fastlane.models.logs.hint import Hint
from fastlane.storage.base import Store
from fastlane.streams.batch import Batch, BatchCache, batch_of, cut, last_batch
from fastlane.streams.hint_wait import EVERY, wait_for
from fastlane.streams.hub import Hub

log = structlog.get_logger()

SLICE = 128 * 1024
"""The bytes of a batch at most."""
GATHER = 0.005
"""Seconds between two batches at least: what comes faster is gathered."""
SHARE, LONGEST_REST = 6, 0.1
"""Handing out takes the processor for at most one part in so many of the time, so that many followers get fewer, larger batches; but the
reader rests no longer than so many seconds."""
AT_ONCE = 200
"""So many followers get a batch before others have their turn on the loop."""


class BatchConsumer(Protocol):
    """A follower, as the reader sees it."""

    def take(self, batch: Batch) -> bool:
        """Sends it; False, and nothing sent, when what was sent before is not taken yet."""


@dataclass(frozen=True, slots=True)
class Detached:
    """Where a follower that had joined goes on by itself. ``ended``: the execution was final (``execution`` is its row; None: it was
    deleted), and all of its log was sent."""

    cursor: Cursor
    ended: bool = False
    execution: Execution | None = None


class Reader:
    """The reader of one execution. ``close`` ends its task; whoever follows must have left."""

    def __init__(self, store: Store, hub: Hub, recent: BatchCache, execution_id: str) -> None:
        self._store = store
        self._recent = recent
        self._id = execution_id
        self._at = Cursor(execution_id, 0)
        self._time = 0
        self._joined: dict[BatchConsumer, asyncio.Future[Detached]] = {}
        self._moved: set[asyncio.Future[None]] = set()
        self._catching_up = asyncio.Lock()
        self._hinted = asyncio.Event()
        self._row_wanted = True
        self._row_read = 0.0
        self._task: asyncio.Task[None] | None = None
        self._deaf = hub.subscribe(execution_id, self._on_hint)

    async def close(self) -> None:
        """Ends it."""
        self._deaf()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def batch(self, start: Cursor) -> Batch | None:
        """The batch after a cursor, up to where the reader is at most; None when there is none. One is read at a time, for all."""
        async with self._catching_up:
            room = self._at.offset - start.offset if self._joined else SLICE
            if room <= 0:
                return None
            known = self._recent.get(start)
            if known is not None and known.size <= room:
                return known
            part = await self._store.read_log(self._id, start.offset, min(SLICE, room))
            for pieces in cut(part.pieces, min(SLICE, room)):
                batch = batch_of(start, pieces)
                self._recent.keep(batch)
                return batch
        return None

    def join(self, taker: BatchConsumer, cursor: Cursor) -> asyncio.Future[Detached] | None:
        """Hands each batch from the cursor on to a follower, until the future has its result. None when the reader is elsewhere: then
        there is something to read, or to wait for (``moved``). Who gives the future up calls ``leave``."""
        if not self._joined:
            self._at = cursor
            self._row_wanted = True
            self._hinted.set()
        elif cursor != self._at:
            return None
        loop = asyncio.get_running_loop()
        left = self._joined[taker] = loop.create_future()
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run(), name=f"log reader {self._id}")
        return left

    def leave(self, taker: BatchConsumer) -> None:
        """Hands it nothing any more."""
        self._joined.pop(taker, None)

    async def moved(self) -> None:
        """Returns when the reader has gone on or come to the end, or after a second."""
        moved = asyncio.get_running_loop().create_future()
        self._moved.add(moved)
        try:
            await asyncio.wait([moved], timeout=EVERY)
        finally:
            self._moved.discard(moved)

    def _on_hint(self, hint: Hint | None) -> None:
        if hint is None or hint.status.final:
            self._row_wanted = True
        elif hint.offset <= self._at.offset:
            return
        self._hinted.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._joined:
            self._hinted.clear()
            spent, began = 0.0, loop.time()
            try:
                row, was_read = await self._row()
                over = was_read and (row is None or row.status.final)
                spent = await self._read_on(to_the_end=over)
                if over:
                    await self._end(row)
                    continue
            except TransientError as error:
                log.warning("log.reader_blind", execution_id=self._id, error=str(error))
                await asyncio.sleep(EVERY)
            except Exception:
                log.exception("log.reader_failed", execution_id=self._id)
                await asyncio.sleep(EVERY)
            if spent:
                await asyncio.sleep(max(GATHER, min(LONGEST_REST, SHARE * spent - (loop.time() - began))))
            await wait_for(self._hinted, max(0.0, self._row_read + EVERY - loop.time()))

    async def _row(self) -> tuple[Execution | None, bool]:
        """The execution, when a hint or a second's time is a reason to read it. It is read before the log: of a final one that is whole."""
        now = asyncio.get_running_loop().time()
        if not self._row_wanted and now < self._row_read + EVERY:
            return None, False
        self._row_wanted = False
        self._row_read = now
        return await self._store.execution(self._id), True

    async def _read_on(self, *, to_the_end: bool) -> float:
        """Hands out what is there; the seconds that it took. The little that may be left goes after a rest, unless ``to_the_end``."""
        spent = 0.0
        while self._joined:
            start, offset = self._at, self._at.offset
            part = await self._store.read_log(self._id, start.offset, SLICE)
            if self._at is not start:  # all had left meanwhile, and others have come elsewhere
                continue
            if not part.pieces:
                return spent
            for pieces in cut(part.pieces, SLICE):
                if self._at is not start:
                    break
                batch = batch_of(start, pieces)
                start = self._at = batch.end
                self._time = pieces[-1].time
                self._recent.keep(batch)
                spent += await self._hand_out(batch)
            if not to_the_end and self._at is start and part.next_offset - offset < SLICE // 2:
                self._hinted.set()
                return spent
        return spent

    async def _hand_out(self, batch: Batch) -> float:
        """Those that join while others have their turn have joined after it."""
        spent, began = 0.0, time.thread_time()
        for number, taker in enumerate(list(self._joined), 1):
            if taker in self._joined and not taker.take(batch):
                self._dismiss(taker, Detached(batch.start))
            if number % AT_ONCE == 0:
                spent += time.thread_time() - began
                await asyncio.sleep(0)
                began = time.thread_time()
        self._tell_moved()
        return spent + time.thread_time() - began

    async def _end(self, row: Execution | None) -> None:
        while any(self._at.unfinished):  # again when all had dropped out meanwhile, and one has come that has not had it
            batch = last_batch(self._at, self._time)
            self._at = batch.end
            await self._hand_out(batch)
        for taker in list(self._joined):
            self._dismiss(taker, Detached(self._at, ended=True, execution=row))
        self._tell_moved()

    def _dismiss(self, taker: BatchConsumer, left: Detached) -> None:
        future = self._joined.pop(taker)
        if not future.done():
            future.set_result(left)

    def _tell_moved(self) -> None:
        for moved in self._moved:
            if not moved.done():
                moved.set_result(None)
