"""Reads stored logs: one execution's log as it grows, for all of its followers in this process, and parts of a log, such as its last lines.

A follower that is behind asks for one batch after another. One that has reached the reader's position attaches itself, and gets each new
batch from there on; attaching takes no await, so there is neither a gap nor a repeat. A follower that cannot take a batch at once is
detached, and is behind again: the store is its buffer.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from fastlane.errors import TransientError
from fastlane.models.job import Execution
from fastlane.models.log import Cursor, Hint, Piece
from fastlane.storage.base import LogStore, Store
from fastlane.streams.batch import Batch, BatchCache, batch_of, cut, last_batch

OnHint = Callable[[Hint | None], None]
"""Called with a hint; with None when some may have been missed."""


class Hub(Protocol):
    """Publishes hints and subscribes to them, over one connection in each direction for a process."""

    def publish(self, hint: Hint) -> None:
        """Sends the hint soon, or drops it when that is not possible. Never waits and never fails."""

    def subscribe(self, execution_id: str, on_hint: OnHint) -> Callable[[], None]:
        """Calls back with each hint about this execution, and with None once the subscription has begun and after each gap, until the
        function that it returns is called."""


EVERY = 1.0
"""Seconds after which a reader reads although no hint came."""
HURRIED = 0.05
"""Seconds after which a reader first asks for what is about to exist and comes without a hint; doubled each time."""


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Returns when the event is set, or after that many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


class HintWait:
    """The waits of one reader. Call ``clear`` before each read, so that a hint that arrives during the read ends the wait after it."""

    def __init__(self, hub: Hub, execution_ids: Iterable[str] = ()) -> None:
        self._hub = hub
        self._hinted = asyncio.Event()
        self._unsubscribe: dict[str, Callable[[], None]] = {}
        self._hurried = HURRIED
        self.subscribe(execution_ids)

    def subscribe(self, execution_ids: Iterable[str]) -> None:
        """Listens to the hints of exactly these executions."""
        wanted = set(execution_ids)
        for id in self._unsubscribe.keys() - wanted:
            self._unsubscribe.pop(id)()
        for id in wanted - self._unsubscribe.keys():
            self._unsubscribe[id] = self._hub.subscribe(id, self._on_hint)

    def clear(self) -> None:
        """Forgets hints that came before."""
        self._hinted.clear()

    def end(self) -> None:
        """Ends the wait that is under way, or the next one."""
        self._hinted.set()

    async def wait(self, *, hurry: bool, at_most: float = EVERY) -> None:
        """Waits for a hint. ``hurry``: not for a whole second, but briefly at first and longer each time; a wait without it starts over."""
        seconds = self._hurried if hurry else EVERY
        self._hurried = min(EVERY, self._hurried * 2) if hurry else HURRIED
        await wait_for(self._hinted, min(seconds, at_most))

    def close(self) -> None:
        """Ends the subscriptions."""
        self.subscribe(())

    def _on_hint(self, _hint: Hint | None) -> None:
        self._hinted.set()


log = structlog.get_logger()

SLICE = 128 * 1024
"""The largest batch, in bytes."""
GATHER = 0.005
"""The shortest time between two batches, in seconds: what comes faster is gathered."""
SHARE, MAX_REST = 10, 0.07
"""The reader rests for SHARE times as long as it took to hand out a batch, so that many followers get fewer, larger batches; but at most
for MAX_REST seconds: then a thousand get their lines no later than by a broadcast every 0.1 s."""
AT_ONCE = 200
"""How many followers get a batch before other tasks run."""


class BatchConsumer(Protocol):
    """A follower, as the reader sees it."""

    def consume(self, batch: Batch) -> bool:
        """Sends the batch; False, and sends nothing, when its client has not taken what was sent before."""


@dataclass(frozen=True, slots=True)
class Detached:
    """Where a detached follower goes on by itself. ``ended``: all of the log was sent and the execution is final; ``execution`` is then its
    row, or None when it was deleted."""

    cursor: Cursor
    ended: bool = False
    execution: Execution | None = None


class Reader:
    """The reader of one execution. ``close`` it when no follower is attached any more."""

    def __init__(self, store: Store, hub: Hub, cache: BatchCache, execution_id: str) -> None:
        self._store = store
        self._cache = cache
        self._last: Batch | None = None
        self._id = execution_id
        self._at = Cursor(execution_id, 0)
        self._time = 0
        self._attached: dict[BatchConsumer, asyncio.Future[Detached]] = {}
        self._moved: set[asyncio.Future[None]] = set()
        self._catching_up = asyncio.Lock()
        self._hinted = asyncio.Event()
        self._row_wanted = True
        self._row_read = 0.0
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe = hub.subscribe(execution_id, self._on_hint)

    async def close(self) -> None:
        """Ends its task."""
        self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def batch(self, start: Cursor) -> Batch | None:
        """The batch after a cursor, as far as the reader has come; None when there is none. Only one is read at a time."""
        async with self._catching_up:
            room = self._at.offset - start.offset if self._attached else SLICE
            if room <= 0:
                return None
            known = self._known(start, min(room, SLICE))
            if known is not None:
                return known
            part = await self._store.read_log(self._id, start.offset, min(SLICE, room))
            for pieces in cut(part.pieces, min(SLICE, room)):
                batch = batch_of(start, pieces)
                self._keep(batch, part.next_offset)
                return batch
        return None

    def _known(self, start: Cursor, room: int) -> Batch | None:
        """The batch at a cursor, if it was read before and is worth sending: one that is much smaller than what there is now would be the
        first of many."""
        known = self._cache.get(start)
        if known is not None and known.size <= room:
            return known
        last = self._last
        if last is None or last.start != start or last.size > room or (self._attached and last.size * 2 < room):
            return None
        return last

    def _keep(self, batch: Batch, next_offset: int) -> None:
        """Keeps a batch, from a part of the log that ends at ``next_offset``, for those that come to where it starts. Of small ones that
        may still grow only the last, so that those that come at once share it: others come later, and read what there is then at once."""
        more_follows = batch.end.offset < max(next_offset, self._at.offset)
        if more_follows or batch.size * 2 >= SLICE:
            self._cache.keep(batch)
        else:
            self._last = batch

    def attach(self, consumer: BatchConsumer, cursor: Cursor) -> asyncio.Future[Detached] | None:
        """Hands each batch after the cursor to a follower, until the future has its result; a caller that gives the future up calls
        ``detach``. None when the reader is elsewhere: then there is a batch to read, or one to wait for (``moved``)."""
        if not self._attached:
            self._at = cursor
            self._row_wanted = True
            self._hinted.set()
        elif cursor != self._at:
            return None
        loop = asyncio.get_running_loop()
        detached = self._attached[consumer] = loop.create_future()
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run(), name=f"log reader {self._id}")
        return detached

    def detach(self, consumer: BatchConsumer) -> None:
        """Hands no more batches to it."""
        self._attached.pop(consumer, None)

    async def moved(self) -> None:
        """Returns when the reader has moved on or reached the end, or after a second."""
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
        while self._attached:
            self._hinted.clear()
            spent, began = 0.0, loop.time()
            try:
                row, was_read = await self._row()
                over = was_read and (row is None or row.status.final)
                spent = await self._hand_out_new(to_the_end=over)
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
                await asyncio.sleep(max(GATHER, min(MAX_REST, SHARE * spent - (loop.time() - began))))
            await wait_for(self._hinted, max(0.0, self._row_read + EVERY - loop.time()))

    async def _row(self) -> tuple[Execution | None, bool]:
        """The execution, and whether it was read: on a hint, and once a second. It is read before the log, so that a final one's log is
        whole."""
        now = asyncio.get_running_loop().time()
        if not self._row_wanted and now < self._row_read + EVERY:
            return None, False
        self._row_wanted = False
        self._row_read = now
        return await self._store.execution(self._id), True

    async def _hand_out_new(self, *, to_the_end: bool) -> float:
        """Hands out what the store has; the seconds that it took. A small remainder waits for a rest, unless ``to_the_end``."""
        spent = 0.0
        while self._attached:
            start, offset = self._at, self._at.offset
            part = await self._store.read_log(self._id, start.offset, SLICE)
            if self._at is not start:  # in the await, all were detached and others attached elsewhere
                continue
            if not part.pieces:
                return spent
            for pieces in cut(part.pieces, SLICE):
                if self._at is not start:
                    break
                batch = batch_of(start, pieces)
                start = self._at = batch.end
                self._time = pieces[-1].time
                self._keep(batch, part.next_offset)
                spent += await self._hand_out(batch)
                await asyncio.sleep(0)  # a part of many pieces is many batches
            if not to_the_end and self._at is start and part.next_offset - offset < SLICE // 2:
                self._hinted.set()
                return spent
        return spent

    async def _hand_out(self, batch: Batch) -> float:
        """Hands one batch to all that are attached now; the seconds that it took. Those that attach during the call get the next one."""
        spent, began = 0.0, time.thread_time()
        for number, consumer in enumerate(list(self._attached), 1):
            if consumer in self._attached and not consumer.consume(batch):
                self._release(consumer, Detached(batch.start))
            if number % AT_ONCE == 0:
                spent += time.thread_time() - began
                await asyncio.sleep(0)
                began = time.thread_time()
        self._wake_waiters()
        return spent + time.thread_time() - began

    async def _end(self, row: Execution | None) -> None:
        while any(self._at.unfinished):  # again if all were detached in the await, and a new one has not had it
            batch = last_batch(self._at, self._time)
            self._at = batch.end
            await self._hand_out(batch)
        for consumer in list(self._attached):
            self._release(consumer, Detached(self._at, ended=True, execution=row))
        self._wake_waiters()

    def _release(self, consumer: BatchConsumer, detached: Detached) -> None:
        future = self._attached.pop(consumer)
        if not future.done():
            future.set_result(detached)

    def _wake_waiters(self) -> None:
        for moved in self._moved:
            if not moved.done():
                moved.set_result(None)


async def read_slices(
    store: LogStore, execution_id: str, start: int, end: int, stream: int | None = None
) -> AsyncGenerator[list[Piece], None]:
    """The pieces from ``start`` to ``end``, a slice at a time: of one stream by its own offsets, or else of both in stored order."""
    while start < end:
        part = await store.read_log(execution_id, start, min(SLICE, end - start), stream)
        pieces = []
        for piece in part.pieces:
            data = piece.data[: end - start]
            start += len(data)
            pieces.append(Piece(piece.stream, piece.time, data))
        if not any(piece.data for piece in pieces):
            return
        yield pieces


async def last_lines(store: LogStore, execution_id: str, lines: int, stream: int | None = None) -> int:
    """The offset in stored order at which the last ``lines`` lines begin: of one stream, or of both in order of arrival. Text after the
    last line end counts as a line."""
    head = await store.log_head(execution_id)
    return await _start_of_lines(store, execution_id, head.offset, lines, only=stream)


async def last_lines_before(store: LogStore, execution_id: str, stream: int | None, end: int, lines: int) -> int:
    """The offset, within a stream or in stored order (None), at which the last ``lines`` lines of the first ``end`` bytes begin."""
    return await _start_of_lines(store, execution_id, end, lines, within=stream)


async def _start_of_lines(
    store: LogStore, execution_id: str, end: int, lines: int, *, only: int | None = None, within: int | None = None
) -> int:
    """Reads backwards, a slice at a time. ``only``: the stream whose lines count; ``within``: the stream whose own offsets are used."""
    if lines == 0:
        return end
    missing: int | None = None  # line ends to go back over; known once the last byte has been seen
    upper = end
    while upper > 0:
        lower = max(0, upper - SLICE)
        offset = upper
        pieces = [piece async for part in read_slices(store, execution_id, lower, upper, within) for piece in part]
        for piece in reversed(pieces):
            offset -= len(piece.data)
            if not piece.data or (only is not None and piece.stream != only):
                continue
            missing = lines + piece.data.endswith(b"\n") if missing is None else missing
            found = piece.data.count(b"\n")
            if found >= missing:
                return offset + _after_line_end(piece.data, missing)
            missing -= found
        upper = lower
    return 0


def _after_line_end(data: bytes, count: int) -> int:
    """The offset after the line end that is the ``count``-th from the last."""
    end = len(data)
    for _ in range(count):
        end = data.rfind(b"\n", 0, end)
    return end + 1
