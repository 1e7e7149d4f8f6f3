"""The log pump: copies an execution's log from the engine into the store, every byte once.

It reads with the engine's timestamps, and stores chunks. The store accepts a chunk only while its start is the stored head, so two pumps
at once do no harm: the one that is refused reads again from the new head. The stored head is the only position: the next pump resumes
from it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

import structlog

from fastlane.clock import Clock, first_of
from fastlane.errors import HostDown, LogLost, ServiceGone, TransientError
from fastlane.executors.port import Executor
from fastlane.models.log import STDOUT, Chunk, Head, Hint, Piece, Portion
from fastlane.models.log_commands import NO_FINDINGS, LogFindings, LogScanner
from fastlane.models.status import Status
from fastlane.storage.base import LogStore
from fastlane.streams.reader import read_slices

log = structlog.get_logger()

FLUSH_AFTER = 0.025
"""The shortest time between two chunks of a log that does not come fast, in seconds; so a piece waits for others no longer than that."""
FIRST_AFTER = 0.002
"""Seconds that a piece waits for others when the chunk before it is longer ago."""
FLUSH_BYTES = 256 * 1024
"""Bytes that are stored without waiting for more: a chunk of a log that comes fast."""
MAX_WAITING = 512 * 1024
"""Bytes that may wait for the store; while more wait, the engine is not read."""
FLUSH_AFTER_CAP = 5.0
"""The same once the cap is reached: then nothing more is kept, and a row only counts the bytes."""
MIN_PAUSE, MAX_PAUSE = 0.1, 5.0
"""Seconds between two attempts to follow."""


def no_hints(_hint: Hint) -> None:
    """Publishes nothing."""


class ChunkStore(Protocol):
    """What a pump needs of a store, which says more about it."""

    async def log_head(self, execution_id: str) -> Head:
        """Where the stored log ends."""

    async def append(self, chunk: Chunk) -> bool:
        """Stores a chunk; False when the stored log does not end where it starts."""


class CommandReader:
    """Reads the commands in an execution's stored log (see ``log_commands``): a store of chunks that passes them on, and reads what was
    stored. What another pump has stored, in a process that ended, or at the same time, is read from the store in the end: so what is found
    depends on the stored log alone."""

    def __init__(self, store: LogStore, execution_id: str) -> None:
        self._store = store
        self._id = execution_id
        self._scanner: LogScanner | None = None  # of many logs there is nothing
        self._offset = 0

    async def log_head(self, execution_id: str) -> Head:
        """Where the stored log ends."""
        return await self._store.log_head(execution_id)

    async def append(self, chunk: Chunk) -> bool:
        """Stores a chunk, and reads it if it follows what was read before."""
        is_stored = await self._store.append(chunk)
        if is_stored and chunk.start.offset == self._offset:
            self._read(chunk.pieces)
        return is_stored

    async def findings(self, head: Head) -> LogFindings:
        """What a log says that ends at this head. Raises StoreDown."""
        if self._offset < head.offset:
            async for pieces in read_slices(self._store, self._id, self._offset, head.offset):
                self._read(pieces)
        return NO_FINDINGS if self._scanner is None else self._scanner.findings

    def _read(self, pieces: Sequence[Piece]) -> None:
        if pieces:
            if self._scanner is None:
                self._scanner = LogScanner()
            self._scanner.feed(pieces)
            self._offset += sum([len(piece.data) for piece in pieces])


@dataclass(frozen=True, slots=True)
class LogEnd:
    """Where a log ended: the stored head, and whether the engine no longer had the log (it went with its node or service)."""

    head: Head
    gone: bool = False


class Pump:
    """The pump of one execution. It stores up to ``most`` bytes, and only counts the rest. It calls ``publish`` with a hint for
    each stored chunk. ``untouched``: none of the log is stored yet."""

    def __init__(
        self,
        store: ChunkStore,
        executor: Executor,
        clock: Clock,
        execution_id: str,
        *,
        most: int,
        publish: Callable[[Hint], None] = no_hints,
        untouched: bool = False,
    ) -> None:
        self._publish = publish
        self._store = store
        self._executor = executor
        self._clock = clock
        self._id = execution_id
        self._most = most
        self._untouched = untouched
        self._head = Head()
        self._waiting: list[Portion] = []
        self._bytes = 0
        self._stored_at = 0
        self._come = asyncio.Event()
        self._enough = asyncio.Event()
        self._room = asyncio.Event()

    async def follow(self, host: str, task_id: str) -> None:
        """Copies what the task writes, forever; cancel it when the task has ended. Tries again after a fault."""
        pause = MIN_PAUSE
        while True:
            began = self._clock.now()
            try:
                await self._copy(host, task_id, follow=True)
            except (TransientError, ServiceGone, LogLost, _Overtaken) as fault:
                log.warning("log.interrupted", execution_id=self._id, host=host, error=str(fault))
            if self._clock.now() - began > MAX_PAUSE * 1000:
                pause = MIN_PAUSE
            await self._clock.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE)

    async def finish(self, host: str, task_id: str) -> LogEnd:
        """Stores a finished task's log from the stored head to its end. Raises HostDown, StoreDown, LogLost; what was read before that is
        stored."""
        while True:
            try:
                await self._copy(host, task_id, follow=False)
            except ServiceGone:
                return LogEnd(self._head, gone=True)
            except _Overtaken as fault:
                log.warning("log.interrupted", execution_id=self._id, host=host, error=str(fault))
            else:
                return LogEnd(self._head)

    async def _copy(self, host: str, task_id: str, *, follow: bool) -> None:
        """Reads and stores at the same time, from the stored head on. What was read is stored even when the reading fails."""
        await self._reload()
        reading = asyncio.create_task(self._read(host, task_id, follow=follow), name=f"read log {self._id}")
        reading.add_done_callback(self._wake)
        try:
            await self._store_until(reading)
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if follow:
            raise HostDown("the engine ended a log that is being followed")

    async def _reload(self) -> None:
        self._waiting.clear()
        self._bytes = 0
        self._come.clear()
        self._enough.clear()
        self._room.set()
        known, self._untouched = self._untouched, False
        self._head = Head() if known else await self._store.log_head(self._id)

    async def _read(self, host: str, task_id: str, *, follow: bool) -> None:
        async with aclosing(self._executor.logs(host, task_id, self._head.marks, follow=follow)) as portions:
            async for portion in portions:
                self._put(portion)
                if self._bytes >= MAX_WAITING:
                    self._room.clear()
                    await self._room.wait()

    def _put(self, portion: Portion) -> None:
        """Queues a portion for the store; beyond the cap only the count of its bytes."""
        if self._full:
            before = self._waiting.pop().dropped if self._waiting and not self._waiting[-1].pieces else 0
            portion = Portion((), portion.marks, before + portion.dropped + portion.size)
        self._waiting.append(portion)
        self._bytes += portion.size
        self._come.set()
        if self._bytes >= FLUSH_BYTES:
            self._enough.set()

    @property
    def _full(self) -> bool:
        return self._head.offset >= self._most

    def _wake(self, _reading: asyncio.Task[None]) -> None:
        self._come.set()
        self._enough.set()

    async def _store_until(self, reading: asyncio.Task[None]) -> None:
        """Stores what is read, until the reading has ended and nothing waits."""
        while self._waiting or not reading.done():
            await self._come.wait()
            if not (reading.done() or self._enough.is_set()):
                await first_of(self._clock, self._gathering(), self._enough)
            if self._waiting:
                await self._append(self._take())

    def _gathering(self) -> float:
        """Seconds for which what has come waits for more. A line that comes alone hardly waits: its follower sees it at once."""
        if self._full:
            return FLUSH_AFTER_CAP
        rest = FLUSH_AFTER - (self._clock.now() - self._stored_at) / 1000
        return min(max(rest, FIRST_AFTER), FLUSH_AFTER)

    def _take(self) -> list[Portion]:
        """The first portions that wait, up to a chunk's size."""
        size = count = 0
        while count < len(self._waiting) and size < FLUSH_BYTES:
            size += self._waiting[count].size
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._bytes -= size
        self._room.set()
        if self._bytes < FLUSH_BYTES:
            self._enough.clear()
        if not self._waiting:
            self._come.clear()
        return taken

    async def _append(self, portions: list[Portion]) -> None:
        """Stores a chunk; raises _Overtaken when another pump was quicker."""
        start = self._head
        end, kept = append_to(start, portions, self._most)
        if not await self._store.append(Chunk(self._id, start, end, kept)):
            raise _Overtaken("another worker has stored some of it")
        self._head, self._stored_at = end, self._clock.now()
        if kept:
            self._publish(Hint(self._id, end.offset, Status.RUNNING))


class _Overtaken(Exception):
    """The stored log no longer ends where this pump left it."""


def append_to(head: Head, portions: Sequence[Portion], most: int) -> tuple[Head, tuple[Piece, ...]]:
    """The head after these portions (at least one), and their pieces that are kept under the cap; the rest is only counted."""
    pieces = [piece for portion in portions for piece in portion.pieces if piece.data]
    size = sum([len(piece.data) for piece in pieces])
    room = max(0, most - head.offset)
    kept = pieces if size <= room else _first(pieces, room)
    stdout = sum([len(piece.data) for piece in kept if piece.stream == STDOUT])
    end = Head(
        sequence=head.sequence + 1,
        offset=head.offset + min(size, room),
        stdout=head.stdout + stdout,
        stderr=head.stderr + min(size, room) - stdout,
        dropped=head.dropped + sum(portion.dropped for portion in portions) + max(0, size - room),
        marks=portions[-1].marks,
    )
    return end, tuple(kept)


def _first(pieces: Sequence[Piece], size: int) -> list[Piece]:
    """The pieces of the first ``size`` bytes."""
    kept = []
    for stream, time, data in pieces:
        if size <= 0:
            break
        kept.append(Piece(stream, time, data[:size]))
        size -= len(data)
    return kept
