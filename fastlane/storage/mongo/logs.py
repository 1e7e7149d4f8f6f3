"""Logs in MongoDB: a document for each chunk, found by its offset in the whole log or in one stream along an index."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from fastlane.models.ids import nonce
from fastlane.models.log import STDERR, STDOUT, Chunk, Head, Piece, Slice
from fastlane.storage import logs
from fastlane.storage.logs import HEAD, OFFSETS, LogLogic, SliceBuilder, StoredChunk, head_of
from fastlane.storage.mongo.database import Database, Document
from fastlane.storage.mongo.jobs import CommittedRows
from fastlane.storage.mongo.rows import CHUNKS
from fastlane.storage.records import LAST
from fastlane.storage.values import unpack_pieces

_INDEXES = {
    None: ("chunks_by_offset", "bytes"),
    STDOUT: ("chunks_by_stdout", "stdout_bytes"),
    STDERR: ("chunks_by_stderr", "stderr_bytes"),
}
"""The index for each stream, and the field whose value is above 0 for the chunks in it."""
_NEWEST = {"execution_id": -1, "sequence": -1}


class MongoLogs(LogLogic):
    """A ``LogStore`` of the database."""

    _db: Database
    _rows: CommittedRows

    async def append(self, chunk: Chunk) -> bool:
        """Raises ValueError for a chunk whose end does not follow from its start and pieces."""
        row = chunk_row(StoredChunk.of(chunk))
        return await self._rows.written(lambda: append(self._db, row))

    async def _stored_heads(self, execution_ids: Sequence[str]) -> Mapping[str, Head]:
        return await self._db.call(lambda: heads(self._db, execution_ids))

    async def _stored_slice(self, execution_id: str, offset: int, limit: int, stream: int | None) -> Slice:
        return await self._db.call(lambda: read(self._db, execution_id, offset, limit, stream))


def chunk_row(chunk: StoredChunk) -> Document:
    """A chunk as a document, with the bytes that it has of each stream."""
    sizes = {size: getattr(chunk, OFFSETS[stream][1]) - getattr(chunk, OFFSETS[stream][0]) for stream, (_, size) in _INDEXES.items()}
    return {"_id": _id(chunk.execution_id, chunk.sequence), **logs.CHUNKS.row(chunk), **sizes, "made": nonce()}


async def append(db: Database, row: Document) -> bool:
    """Stores a chunk; False when it does not start at the stored head. Its id holds its number, so one of several that start there is kept;
    the chunk before it never changes."""
    if row["sequence"] == 0:
        return row["start_offset"] == 0 and await db.insert(CHUNKS, row)
    before = await db.one(CHUNKS, _id(row["execution_id"], row["sequence"] - 1), ("end_offset",))
    return before is not None and before["end_offset"] == row["start_offset"] and await db.insert(CHUNKS, row)


async def heads(db: Database, execution_ids: Sequence[str]) -> dict[str, Head]:
    """Where each of these logs ends. The number of each last chunk is found in the index alone."""
    if not execution_ids:
        return {}
    newest = {"_id": "$execution_id", "sequence": {"$first": "$sequence"}}
    stages = ({"$match": {"execution_id": {"$in": list(execution_ids)}}}, {"$sort": _NEWEST}, {"$group": newest})
    last = await db.group(CHUNKS, stages, "chunks_of_execution")
    rows = await db.with_ids(CHUNKS, [_id(row["_id"], row["sequence"]) for row in last], ("execution_id", *HEAD))
    return dict.fromkeys(execution_ids, Head()) | {row["execution_id"]: head_of(row) for row in rows.values()}


async def read(db: Database, execution_id: str, offset: int, limit: int, stream: int | None) -> Slice:
    """Whole chunks from ``offset`` on (the first is cut there): as many as fit into ``limit`` bytes, but at least one."""
    found = SliceBuilder(offset, limit, stream)
    async with aclosing(_chunks(db, execution_id, offset, stream)) as chunks:
        async for end, pieces in chunks:
            if not found.add(end, pieces):
                break
    return Slice(tuple(found.pieces), found.position)


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
