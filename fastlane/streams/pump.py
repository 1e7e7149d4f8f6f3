"""The log pump: copies an execution's log from the engine into the store, every byte once.

It reads with the engine's timestamps, and stores chunks. A chunk counts only while its start is the stored head, so two pumps at once
do no harm: the one that is refused reloads the head and drops what is there already. What is stored is the only position: whoever
comes next resumes from it.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

import structlog

from fastlane.clock import Clock
from fastlane.errors import HostDown, ServiceGone, TransientError
from fastlane.executors.base import Executor
from fastlane.models.hint import Hint
from fastlane.models.log import STDOUT, Chunk, Head, Mark, Piece
from fastlane.models.status import Status
from fastlane.storage.base import Store

log = structlog.get_logger()

FLUSH_AFTER = 0.025
"""Seconds that a piece waits at most for others before it is stored."""
FLUSH_AFTER_CAP = 5.0
"""The same once the cap is reached: then nothing is kept any more, and a row says only how much there was."""
FLUSH_BYTES = 64 * 1024
"""Bytes that are stored at once without waiting for more."""
MOST_WAITING = 1024 * 1024
"""Bytes that may wait for the store; beyond it the engine is not read."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two attempts to follow."""


def mute(_hint: Hint) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True)
class Tail:
    """Where a log ended: the stored head, and whether the engine had no log any more (it went with its node or service)."""

    head: Head
    gone: bool = False


class Pump:
    """The pump of one execution. ``most`` is the cap of bytes kept in the store; what comes beyond is counted only. ``tell`` sends a hint
    of each chunk that is stored. ``untouched``: nobody has stored any of it yet."""

    def __init__(
        self,
        store: Store,
        executor: Executor,
        clock: Clock,
        execution_id: str,
        *,
        most: int,
        tell: Callable[[Hint], None] = mute,
        untouched: bool = False,
    ) -> None:
        self._tell = tell
        self._store = store
        self._executor = executor
        self._clock = clock
        self._id = execution_id
        self._most = most
        self._untouched = untouched
        self._head: Head | None = None
        self._read_to = Head()
        self._waiting: list[Piece] = []
        self._bytes = 0
        self._come = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def follow(self, host: str, task_id: str) -> None:
        """Copies what comes, for ever: to be cancelled when the task has ended. A fault is waited out."""
        pause = SHORTEST_PAUSE
        while True:
            began = self._clock.now()
            try:
                await self._reload()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read(host, task_id, follow=True))
                    group.create_task(self._flush_as_it_comes())
            except* (TransientError, ServiceGone) as faults:
                log.warning("log.interrupted", execution_id=self._id, host=host, error=str(faults.exceptions[0]))
            if self._clock.now() - began > LONGEST_PAUSE * 1000:
                pause = SHORTEST_PAUSE
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def finish(self, host: str, task_id: str) -> Tail:
        """Reads a finished task's log from the stored head to its end, and stores it."""
        await self._reload()
        try:
            await self._read(host, task_id, follow=False)
        except ServiceGone:
            await self._flush()
            return Tail(await self._reload(), gone=True)
        while self._waiting:
            await self._flush()
        return Tail(self._head or await self._reload())

    async def _reload(self) -> Head:
        self._waiting.clear()
        self._bytes = 0
        self._room.set()
        known, self._untouched = self._untouched, False
        self._head = self._read_to = Head() if known else await self._store.log_head(self._id)
        return self._head

    async def _read(self, host: str, task_id: str, *, follow: bool) -> None:
        head = self._head or await self._reload()
        async with aclosing(self._executor.logs(host, task_id, head.marks, follow=follow)) as pieces:
            async for piece in pieces:
                self._waiting.append(piece)
                self._bytes += len(piece.data)
                self._come.set()
                if self._bytes < MOST_WAITING:
                    continue
                self._room.clear()
                if follow:
                    await self._room.wait()
                else:
                    await self._flush()
        if follow:
            raise HostDown("the engine ended a log that it was to follow")

    async def _flush_as_it_comes(self) -> None:
        while True:
            await self._come.wait()
            self._come.clear()
            full = self._head is not None and self._head.offset >= self._most
            if self._bytes < (MOST_WAITING // 2 if full else FLUSH_BYTES):
                await self._clock.sleep(FLUSH_AFTER_CAP if full else FLUSH_AFTER)
            await self._flush()

    async def _flush(self) -> None:
        """Stores what waits. Refused: another pump was quicker, so the head is reloaded and what it covers is dropped; or, where the head
        is as it was, the execution was deleted, and nobody wants its log any more."""
        pieces, self._waiting, self._bytes = self._waiting, [], 0
        self._room.set()
        begin, self._read_to = self._read_to, append_to(self._read_to, pieces, 0)[0]
        head = self._head or await self._reload()
        while left := beyond(begin, head, pieces):
            end, kept = append_to(head, left, self._most)
            stored = await self._store.append(Chunk(self._id, head, end, kept))
            before, head = head, end if stored else await self._store.log_head(self._id)
            self._head = head
            if stored and kept:
                self._tell(Hint(self._id, end.offset, Status.RUNNING))
            if stored or head == before:
                return


def append_to(head: Head, pieces: list[Piece], most: int) -> tuple[Head, tuple[Piece, ...]]:
    """The head after these pieces, and those of them that are kept under the cap; the rest is counted only."""
    sizes = {True: 0, False: 0}
    marks = dict(head.marks)
    room = max(0, most - head.offset)
    dropped = 0
    kept = []
    for piece in pieces:
        before = marks.get(piece.stream)
        same = before is not None and before.time == piece.time
        marks[piece.stream] = Mark(piece.time, before.ordinal + 1 if same and before else 1)
        data = piece.data[:room]
        room -= len(data)
        dropped += len(piece.data) - len(data)
        sizes[piece.stream == STDOUT] += len(data)
        if data:
            kept.append(piece if len(data) == len(piece.data) else replace(piece, data=data))
    end = Head(
        sequence=head.sequence + 1,
        offset=head.offset + sizes[True] + sizes[False],
        stdout=head.stdout + sizes[True],
        stderr=head.stderr + sizes[False],
        dropped=head.dropped + dropped,
        marks=marks,
    )
    return end, tuple(kept)


def beyond(head: Head, newer: Head, pieces: list[Piece]) -> list[Piece]:
    """Those of the pieces, which follow ``head``, that ``newer`` does not cover yet."""
    if newer.marks == head.marks:
        return pieces
    left = []
    marks = dict(head.marks)
    for piece in pieces:
        before = marks.get(piece.stream)
        same = before is not None and before.time == piece.time
        mark = marks[piece.stream] = Mark(piece.time, before.ordinal + 1 if same and before else 1)
        covered = newer.marks.get(piece.stream)
        if covered is None or (mark.time, mark.ordinal) > (covered.time, covered.ordinal):
            left.append(piece)
    return left
