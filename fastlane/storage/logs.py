"""Logs on top of the verbs over records: stored chunks, and the slices that readers ask for."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Protocol

from fastlane.clock import unless_cancelled
from fastlane.models.log import STDERR, STDOUT, Chunk, Head, Mark, Piece, Slice
from fastlane.storage.records import EXECUTIONS, Among, Index, Part, Record, Rows
from fastlane.storage.values import marks_from_json, marks_to_json, pack_pieces, unpack_pieces

MAX_CHUNKS = 32
"""Chunks that one step deletes at most, which takes some milliseconds: all pages of a chunk, up to 256 KiB, must be visited."""
OFFSETS = {
    None: ("start_offset", "end_offset"),
    STDOUT: ("start_stdout", "end_stdout"),
    STDERR: ("start_stderr", "end_stderr"),
}
"""The fields of a stored chunk that say where it begins and ends: in the whole log, or in one stream."""


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as it is stored: where it begins and ends in the whole log and in each stream, the marks of its end, and its pieces, packed.
    The bytes come last, so that what is before them is read without them."""

    execution_id: str
    sequence: int
    start_offset: int
    start_stdout: int
    start_stderr: int
    end_offset: int
    end_stdout: int
    end_stderr: int
    dropped: int
    marks: str
    pieces: bytes
    data: bytes

    @classmethod
    def of(cls, chunk: Chunk) -> "StoredChunk":
        """The chunk as it is stored. Raises ValueError when its end does not follow from its start and pieces."""
        start, end = chunk.start, chunk.end
        sizes = {stream: sum([len(piece.data) for piece in chunk.pieces if piece.stream == stream]) for stream in (STDOUT, STDERR)}
        expected = (start.sequence + 1, start.offset + sum(sizes.values()), start.stdout + sizes[STDOUT], start.stderr + sizes[STDERR])
        if (end.sequence, end.offset, end.stdout, end.stderr) != expected:
            raise ValueError(f"a log chunk's end {end} does not follow from its start {start} and its pieces")
        starts, ends = (start.offset, start.stdout, start.stderr), (end.offset, end.stdout, end.stderr)
        return cls(chunk.execution_id, start.sequence, *starts, *ends, end.dropped, marks_to_json(end.marks), *pack_pieces(chunk.pieces))


CHUNKS = Record("log_chunks", StoredChunk, "a part of a log", key=("execution_id", "sequence"))
CHUNKS_OF_EXECUTION = Index(CHUNKS, "chunks_of_execution", ("execution_id",), ("sequence",), is_key=True)
LOGS = Index(CHUNKS, "logs", (), ("execution_id",), is_key=True)

HEAD = ("sequence", "end_offset", "end_stdout", "end_stderr", "dropped", "marks")


def head_of(row: Mapping[str, Any]) -> Head:
    """The head of a log after this chunk, of which the fields ``HEAD`` are needed."""
    sequence, offset, stdout, stderr, dropped, marks = (row[name] for name in HEAD)
    return Head(sequence + 1, offset, stdout, stderr, dropped, marks_from_json(marks))


HEADS_AT_ONCE = 8
"""Heads that are read at the same time, so that one list does not take all of a store's readers."""


class ArchivedLogs(Protocol):
    """The logs that are in the archive, as readers of a log need them. Each method answers None for a log that is not there."""

    async def head(self, execution_id: str) -> Head | None:
        """Where the log ends."""

    async def heads(self, execution_ids: Sequence[str]) -> Mapping[str, Head]:
        """Where these logs end, as far as they are there."""

    async def slice(self, execution_id: str, offset: int, limit: int, stream: int | None) -> Slice | None:
        """As ``LogStore.read_log``."""

    async def since(self, execution_id: str, stream: int | None, moment: int) -> int | None:
        """As ``LogStore.log_since``."""


class LogLogic(ABC):
    """The methods of ``LogStore`` that need only the verbs, and the one way to a log wherever it is.

    A log is looked for in the store, and then in the archive, which counts. What was read in the store was whole if the log was not in the
    archive afterwards: only then do its parts go.
    """

    _rows: Rows
    log_archive: ArchivedLogs

    @abstractmethod
    async def _stored_slice(self, execution_id: str, offset: int, limit: int, stream: int | None) -> Slice:
        """``read_log`` of what the store has."""

    async def log_head(self, execution_id: str) -> Head:
        stored = await self._stored_head(execution_id)
        archived = await self.log_archive.head(execution_id)
        return stored if archived is None else archived

    async def log_heads(self, execution_ids: Sequence[str]) -> Mapping[str, Head]:
        stored = await self._stored_heads(execution_ids)
        archived = await self.log_archive.heads(execution_ids)
        return {**stored, **archived} if archived else stored

    async def read_log(self, execution_id: str, offset: int, limit: int, stream: int | None = None) -> Slice:
        stored = await self._stored_slice(execution_id, offset, limit, stream)
        archived = await self.log_archive.slice(execution_id, offset, limit, stream)
        return stored if archived is None else archived

    async def log_since(self, execution_id: str, stream: int | None, moment: int) -> int:
        stored = await self._stored_since(execution_id, stream, moment)
        archived = await self.log_archive.since(execution_id, stream, moment)
        return stored if archived is None else archived

    async def _stored_head(self, execution_id: str) -> Head:
        rows = await self._rows.select(CHUNKS_OF_EXECUTION, {"execution_id": execution_id}, HEAD, Part(1, newest=True))
        return head_of(rows[0]) if rows else Head()

    async def _stored_heads(self, execution_ids: Sequence[str]) -> Mapping[str, Head]:
        found: dict[str, Head] = {}
        for start in range(0, len(execution_ids), HEADS_AT_ONCE):
            some = execution_ids[start : start + HEADS_AT_ONCE]
            heads = await unless_cancelled(asyncio.gather(*map(self._stored_head, some)))
            found |= dict(zip(some, heads, strict=True))
        return found

    async def _stored_since(self, execution_id: str, stream: int | None, moment: int) -> int:
        """A binary search by the chunks' marks: the first chunk at whose end the stream, or one of them, had reached the moment."""
        whole = await self._stored_head(execution_id)
        low, high = 0, whole.sequence
        while low < high:
            middle = (low + high) // 2
            row = await self._chunk(execution_id, middle, ("marks",))
            is_reached = row is not None and reached(marks_from_json(row["marks"]), stream) >= moment
            low, high = (low, middle) if is_reached else (middle + 1, high)
        start = OFFSETS[stream][0]
        row = await self._chunk(execution_id, low, (start, "pieces", "data"))
        if row is None:
            return end_of(whole, stream)
        return offset_since(row[start], unpack_pieces(row["pieces"], row["data"]), stream, moment)

    async def prune_logs(self, after: str, limit: int) -> str | None:
        ids = await self._logs_after(after, limit)
        there = await self._rows.select_keys(EXECUTIONS, ids, ("id",))
        cut = await cut_logs(self._rows, [id for id in ids if id not in there], MAX_CHUNKS)
        await self._rows.delete(CHUNKS, cut.keys)
        if cut.left == 0:
            return after
        return ids[-1] if len(ids) == limit else None

    async def _logs_after(self, after: str, limit: int) -> list[str]:
        """The executions that have a log, by id after the named one."""
        rows = await self._rows.select(LOGS, {"sequence": 0}, ("execution_id",), Part(limit, (after,)))
        return [row["execution_id"] for row in rows]

    async def _chunk(self, execution_id: str, sequence: int, fields: Sequence[str]) -> Mapping[str, Any] | None:
        where = {"execution_id": execution_id, "sequence": sequence}
        return next(iter(await self._rows.select(CHUNKS_OF_EXECUTION, where, fields, Part(1))), None)


@dataclass(frozen=True, slots=True)
class LogCut:
    """The chunks of logs that one step deletes: their keys, the logs that it comes to, how many of these go whole, and how many chunks it
    may delete beside these."""

    keys: Sequence[tuple[str, int]]
    touched: Sequence[str]
    gone: int
    left: int


async def cut_logs(rows: Rows, execution_ids: Sequence[str], most: int) -> LogCut:
    """The last chunks of these logs, in order, ``most`` at most. A log goes from its end, so that its beginning is left."""
    keys, touched, gone, left = list[tuple[str, int]](), list[str](), 0, most
    lengths = await unless_cancelled(asyncio.gather(*(_length(rows, id) for id in execution_ids)))
    for id, length in zip(execution_ids, lengths, strict=True):
        if left == 0:
            break
        first = max(0, length - left)
        keys += [(id, sequence) for sequence in range(first, length)]
        touched.append(id)
        left -= length - first
        gone += first == 0
    return LogCut(keys, touched, gone, left)


async def _length(rows: Rows, execution_id: str) -> int:
    """How many chunks a log has."""
    last = await rows.select(CHUNKS_OF_EXECUTION, {"execution_id": execution_id}, ("sequence",), Part(1, newest=True))
    return last[0]["sequence"] + 1 if last else 0


async def logged(rows: Rows, execution_ids: Sequence[str]) -> frozenset[str]:
    """Which of these executions have a log."""
    where = {"execution_id": Among(execution_ids), "sequence": 0}
    return frozenset(row["execution_id"] for row in await rows.select(LOGS, where, ("execution_id",)))


class SliceBuilder:
    """Joins whole chunks from an offset on (the first is cut there): as many as fit into ``limit`` bytes, but at least one."""

    def __init__(self, offset: int, limit: int, stream: int | None) -> None:
        self._offset = offset
        self._limit = limit
        self._stream = stream
        self.pieces: list[Piece] = []
        self.position = offset

    def add(self, end: int, pieces: Sequence[Piece]) -> bool:
        """Adds the next chunk, which ends at ``end``; False, and nothing added, when it does not fit."""
        if self.position > self._offset and end - self._offset > self._limit:
            return False
        wanted = [piece for piece in pieces if self._stream is None or piece.stream == self._stream]
        size = sum(len(piece.data) for piece in wanted)
        self.pieces.extend(_without(wanted, self.position - (end - size)))
        self.position = end
        return True


def offset_since(start: int, pieces: Sequence[Piece], stream: int | None, moment: int) -> int:
    """The offset, in a chunk that starts at ``start``, of the first byte that came at a moment (nanoseconds) or later."""
    wanted = [piece for piece in pieces if stream is None or piece.stream == stream]
    return start + sum(len(piece.data) for piece in takewhile(lambda piece: piece.time < moment, wanted))


def end_of(head: Head, stream: int | None) -> int:
    """Where a stream, or the whole log, ends."""
    return head.offset if stream is None else head.stdout if stream == STDOUT else head.stderr


def reached(marks: dict[int, Mark], stream: int | None) -> int:
    """The latest time that a stream, or one of them, had at a chunk's end; -1 for none."""
    return max([mark.time for number, mark in marks.items() if stream in (None, number)], default=-1)


def _without(pieces: Sequence[Piece], count: int) -> Iterator[Piece]:
    """The pieces without their first ``count`` bytes."""
    for piece in pieces:
        if count < len(piece.data) or count <= 0:
            yield piece if count <= 0 else Piece(piece.stream, piece.time, piece.data[count:])
        count -= len(piece.data)
