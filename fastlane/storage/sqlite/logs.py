"""Logs in SQLite: a row for each chunk, found by its offset in the whole log or in one stream along an index."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from fastlane.models.log import Chunk, Piece, Slice
from fastlane.storage.logs import CHUNKS, OFFSETS, LogLogic, SliceBuilder, StoredChunk
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.rows import insert_into
from fastlane.storage.values import unpack_pieces

_INSERT = insert_into("log_chunks", CHUNKS.columns)
_END = "SELECT sequence + 1, end_offset FROM log_chunks WHERE execution_id = ? ORDER BY sequence DESC LIMIT 1"

_LOGS_AFTER = """
    WITH RECURSIVE page(id) AS (
        SELECT min(execution_id) FROM log_chunks WHERE execution_id > ?
        UNION ALL SELECT (SELECT min(execution_id) FROM log_chunks WHERE execution_id > page.id) FROM page WHERE page.id IS NOT NULL
    )
    SELECT id FROM page WHERE id IS NOT NULL LIMIT ?"""
"""Jumps from log to log: the key has an entry for each chunk, and no index holds the first chunks alone."""


class SqliteLogs(LogLogic):
    """A ``LogStore`` of the file."""

    _file: SqliteFile

    async def append(self, chunk: Chunk) -> bool:
        stored = StoredChunk.of(chunk)
        row = tuple(CHUNKS.row(stored).values())

        def append(db: sqlite3.Connection) -> bool:
            if (db.execute(_END, (chunk.execution_id,)).fetchone() or (0, 0)) != (stored.sequence, stored.start_offset):
                return False
            return db.execute(_INSERT, row).rowcount == 1

        return await self._file.write(append)

    async def _logs_after(self, after: str, limit: int) -> list[str]:
        return await self._file.read(lambda db: [id for (id,) in db.execute(_LOGS_AFTER, (after, limit))])

    async def _stored_slice(self, execution_id: str, offset: int, limit: int, stream: int | None) -> Slice:
        return await self._file.read(lambda db: read(db, execution_id, offset, limit, stream))


def read(db: sqlite3.Connection, execution_id: str, offset: int, limit: int, stream: int | None) -> Slice:
    """Whole chunks from ``offset`` on (the first is cut there): as many as fit into ``limit`` bytes, but at least one."""
    found = SliceBuilder(offset, limit, stream)
    for end, pieces in _chunks(db, execution_id, offset, stream):
        if not found.add(end, pieces):
            break
    return Slice(tuple(found.pieces), found.position)


def _chunks(db: sqlite3.Connection, execution_id: str, offset: int, stream: int | None) -> Iterator[tuple[int, tuple[Piece, ...]]]:
    """The end offset and the pieces of each chunk that has bytes from ``offset`` on."""
    start, end = OFFSETS[stream]
    inside = f"execution_id = :id AND {end} > {start}"
    query = f"""SELECT {end}, pieces, data FROM log_chunks WHERE {inside} AND {end} > :offset AND {start} >= ifnull(
        (SELECT {start} FROM log_chunks WHERE {inside} AND {start} <= :offset ORDER BY {start} DESC LIMIT 1), 0) ORDER BY {start}"""
    with closing(db.execute(query, {"id": execution_id, "offset": offset})) as rows:
        for end_offset, index, data in rows:
            yield end_offset, unpack_pieces(index, data)
