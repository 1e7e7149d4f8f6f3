"""Logs: a document for each chunk, found by its offset in the whole log or in one stream along an index."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from fastlane.models.ids import nonce
from fastlane.models.log import STDERR, STDOUT, Chunk, Head, Piece
from fastlane.storage.base import Slice
from fastlane.storage.chunks import OFFSETS, SliceBuilder, offset_since, reached, stream_sizes
from fastlane.storage.mongo.database import Database, Document
from fastlane.storage.mongo.rows import MongoRows
from fastlane.storage.mongo.schema import CHUNKS, EXECUTIONS
from fastlane.storage.records import LAST
from fastlane.storage.values import marks_from_json, marks_to_json, pack_pieces, unpack_pieces

PRUNED_CHUNKS = 32
"""Chunks that one step deletes at most."""

_HEAD = ("sequence", "end_offset", "end_stdout", "end_stderr", "dropped", "marks")
_INDEXES = {
    None: ("chunks_by_offset", "bytes"),
    STDOUT: ("chunks_by_stdout", "stdout_bytes"),
    STDERR: ("chunks_by_stderr", "stderr_bytes"),
}
"""The index for each stream, and the field whose value is above 0 for the chunks in it."""


class MongoLogs:
    """A ``LogStore`` of the database."""

    _db: Database
    _rows: MongoRows

    async def append(self, chunk: Chunk) -> bool:
        """Raises ValueError for a chunk whose end is not what its start and pieces come to."""
        row = chunk_row(chunk)
        return await self._rows.written(lambda: append(self._db, row))

    async def prune_logs(self, after: str, limit: int) -> str | None:
        return await self._db.call(lambda: prune(self._db, after, limit))

    async def log_head(self, execution_id: str) -> Head:
        return await self._db.call(lambda: head(self._db, execution_id))

    async def read_log(self, execution_id: str, offset: int, limit: int, stream: int | None = None) -> Slice:
        return await self._db.call(lambda: read(self._db, execution_id, offset, limit, stream))

    async def log_since(self, execution_id: str, stream: int | None, moment: int) -> int:
        return await self._db.call(lambda: since(self._db, execution_id, stream, moment))


def chunk_row(chunk: Chunk) -> Document:
    """A chunk as it is stored. Raises ValueError when its end does not follow from its start and pieces."""
    stdout, stderr = stream_sizes(chunk)
    start, end = chunk.start, chunk.end
    index, data = pack_pieces(chunk.pieces)
    return {
        "_id": _id(chunk.execution_id, start.sequence),
        "execution_id": chunk.execution_id,
        "sequence": start.sequence,
        "start_offset": start.offset,
        "start_stdout": start.stdout,
        "start_stderr": start.stderr,
        "end_offset": end.offset,
        "end_stdout": end.stdout,
        "end_stderr": end.stderr,
        "bytes": stdout + stderr,
        "stdout_bytes": stdout,
        "stderr_bytes": stderr,
        "dropped": end.dropped,
        "marks": marks_to_json(end.marks),
        "pieces": index,
        "data": data,
        "made": nonce(),
    }


async def append(db: Database, row: Document) -> bool:
    """Stores a chunk; False when it does not start at the stored head. Its id holds its number, so one of several that start there is kept;
    the chunk before it never changes."""
    if row["sequence"] == 0:
        return row["start_offset"] == 0 and await db.insert(CHUNKS, row)
    before = await db.one(CHUNKS, _id(row["execution_id"], row["sequence"] - 1), ("end_offset",))
    return before is not None and before["end_offset"] == row["start_offset"] and await db.insert(CHUNKS, row)


async def head(db: Database, execution_id: str) -> Head:
    """Where the stored log ends."""
    filter, sort = {"execution_id": execution_id}, [("sequence", -1)]
    rows = await db.find(CHUNKS, filter, "chunks_of_execution", sort=sort, limit=1, fields=_HEAD)
    if not rows:
        return Head()
    sequence, offset, stdout, stderr, dropped, marks = (rows[0][name] for name in _HEAD)
    return Head(sequence + 1, offset, stdout, stderr, dropped, marks_from_json(marks))


async def prune(db: Database, after: str, limit: int) -> str | None:
    """Removes the logs of executions that are gone, of the next ``limit`` that have a log. The id to go on after; None at the end."""
    filter = {"execution_id": {"$gt": after}, "sequence": 0}
    first = await db.find(CHUNKS, filter, "logs", sort=[("execution_id", 1)], limit=limit, fields=("execution_id",))
    ids = [row["execution_id"] for row in first]
    there = await db.with_ids(EXECUTIONS, ids, ("_id",))
    left = PRUNED_CHUNKS
    for id in ids:
        if id not in there:
            left -= await delete_chunks(db, id, left)
        if left == 0:
            return after
    return ids[-1] if len(ids) == limit else None


async def with_log(db: Database, execution_ids: Sequence[str]) -> list[str]:
    """Those of these executions that have a log, in their order."""
    if not execution_ids:
        return []
    filter = {"execution_id": {"$in": list(execution_ids)}, "sequence": 0}
    there = {row["execution_id"] for row in await db.find(CHUNKS, filter, "logs", fields=("execution_id",))}
    return [id for id in execution_ids if id in there]


async def delete_chunks(db: Database, execution_id: str, limit: int) -> int:
    """Deletes the last chunks of a log, ``limit`` at most; how many."""
    filter, sort = {"execution_id": execution_id}, [("sequence", -1)]
    rows = await db.find(CHUNKS, filter, "chunks_of_execution", sort=sort, limit=limit, fields=("sequence",))
    if rows:
        await db.delete(CHUNKS, {"_id": {"$in": [row["_id"] for row in rows]}})
    return len(rows)


async def read(db: Database, execution_id: str, offset: int, limit: int, stream: int | None) -> Slice:
    """Whole chunks from ``offset`` on (the first is cut there): as many as fit into ``limit`` bytes, but at least one."""
    found = SliceBuilder(offset, limit, stream)
    async with aclosing(_chunks(db, execution_id, offset, stream)) as chunks:
        async for end, pieces in chunks:
            if not found.add(end, pieces):
                break
    return Slice(tuple(found.pieces), found.position)


async def since(db: Database, execution_id: str, stream: int | None, moment: int) -> int:
    """The offset, within a stream or in stored order, of the first byte that came at a moment (nanoseconds) or later."""
    whole = await head(db, execution_id)
    low, high = 0, whole.sequence
    while low < high:
        middle = (low + high) // 2
        row = await db.one(CHUNKS, _id(execution_id, middle), ("marks",))
        is_reached = row is not None and reached(marks_from_json(row["marks"]), stream) >= moment
        low, high = (low, middle) if is_reached else (middle + 1, high)
    row = await db.one(CHUNKS, _id(execution_id, low))
    if row is None:
        return whole.offset if stream is None else whole.stdout if stream == STDOUT else whole.stderr
    return offset_since(row[OFFSETS[stream][0]], unpack_pieces(row["pieces"], row["data"]), stream, moment)


async def _chunks(db: Database, execution_id: str, offset: int, stream: int | None) -> AsyncGenerator[tuple[int, Sequence[Piece]]]:
    """The end offset and the pieces of each chunk that has bytes from ``offset`` on."""
    start, end = OFFSETS[stream]
    index, size = _INDEXES[stream]
    inside: dict[str, Any] = {"execution_id": execution_id, size: {"$gt": 0}}
    before = {**inside, start: {"$gte": 0, "$lte": offset}}
    first = await db.find(CHUNKS, before, index, sort=[(start, -1)], limit=1, fields=(start,))
    lowest = first[0][start] if first else 0
    filter = {**inside, start: {"$gte": lowest, "$lte": LAST}, end: {"$gt": offset}}
    async with aclosing(db.walk(CHUNKS, filter, index, [(start, 1)], fields=(end, "pieces", "data"))) as rows:
        async for row in rows:
            yield row[end], unpack_pieces(row["pieces"], row["data"])


def _id(execution_id: str, sequence: int) -> str:
    return f"{execution_id}/{sequence}"
