"""Statements for logs: a row for each chunk, found by its offset in the whole log or in one stream along an index."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing

from fastlane.models.log import STDOUT, Chunk, Head, Piece
from fastlane.storage.base import Slice
from fastlane.storage.chunks import OFFSETS, SliceBuilder, offset_since, reached, stream_sizes
from fastlane.storage.sqlite.file import SqliteFile
from fastlane.storage.sqlite.rows import as_json
from fastlane.storage.values import marks_from_json, marks_to_json, pack_pieces, unpack_pieces

_HEAD = """SELECT sequence + 1, end_offset, end_stdout, end_stderr, dropped, marks FROM log_chunks
    WHERE execution_id = ? ORDER BY sequence DESC LIMIT 1"""
_PAGE = """WITH RECURSIVE page (id) AS (
        SELECT min(execution_id) FROM log_chunks WHERE execution_id > :after
        UNION ALL SELECT (SELECT min(execution_id) FROM log_chunks WHERE execution_id > page.id) FROM page WHERE page.id IS NOT NULL
        LIMIT :limit)
    SELECT id, EXISTS (SELECT 1 FROM executions WHERE executions.id = page.id) FROM page WHERE id IS NOT NULL"""
_PRUNE = "DELETE FROM log_chunks WHERE rowid IN (SELECT rowid FROM log_chunks WHERE execution_id = ? ORDER BY sequence DESC LIMIT ?)"

_LOGGED = "SELECT value FROM json_each(?) AS asked WHERE EXISTS (SELECT 1 FROM log_chunks WHERE execution_id = asked.value)"

PRUNED_CHUNKS = 32
"""Chunks that one transaction deletes at most."""

Row = tuple[str, int, int, int, int, int, int, int, int, str, bytes, bytes]


class SqliteLogs:
    """A ``LogStore`` of the file."""

    _file: SqliteFile

    async def append(self, chunk: Chunk) -> bool:
        row = chunk_row(chunk)
        return await self._file.write(lambda db: append(db, row))

    async def prune_logs(self, after: str, limit: int) -> str | None:
        page = await self._file.read(lambda db: db.execute(_PAGE, {"after": after, "limit": limit}).fetchall())
        gone = [id for id, is_there in page if not is_there]
        pruned = not gone or await self._file.write(lambda db: prune(db, gone))
        return after if not pruned else page[-1][0] if len(page) == limit else None

    async def log_head(self, execution_id: str) -> Head:
        return await self._file.read(lambda db: head(db, execution_id))

    async def read_log(self, execution_id: str, offset: int, limit: int, stream: int | None = None) -> Slice:
        return await self._file.read(lambda db: read(db, execution_id, offset, limit, stream))

    async def log_since(self, execution_id: str, stream: int | None, moment: int) -> int:
        return await self._file.read(lambda db: since(db, execution_id, stream, moment))


def chunk_row(chunk: Chunk) -> Row:
    """A chunk as it is stored. Raises ValueError when its end does not follow from its start and pieces."""
    stream_sizes(chunk)
    start, end = chunk.start, chunk.end
    index, data = pack_pieces(chunk.pieces)
    starts = (start.sequence, start.offset, start.stdout, start.stderr)
    return (chunk.execution_id, *starts, end.offset, end.stdout, end.stderr, end.dropped, marks_to_json(end.marks), index, data)


def logged(db: sqlite3.Connection, execution_ids: Sequence[str]) -> frozenset[str]:
    """Which of these executions have a log."""
    return frozenset(id for (id,) in db.execute(_LOGGED, (as_json(execution_ids),)).fetchall())


def append(db: sqlite3.Connection, row: Row) -> bool:
    """Stores a chunk's row; False when it does not start at the stored head."""
    stored = head(db, row[0])
    if (stored.sequence, stored.offset) != row[1:3]:
        return False
    db.execute(f"INSERT INTO log_chunks VALUES ({', '.join('?' * len(row))})", row)
    return True


def head(db: sqlite3.Connection, execution_id: str) -> Head:
    """Where the stored log ends."""
    rows = db.execute(_HEAD, (execution_id,)).fetchall()
    if not rows:
        return Head()
    sequence, offset, stdout, stderr, dropped, marks = rows[0]
    return Head(sequence, offset, stdout, stderr, dropped, marks_from_json(marks))


def prune(db: sqlite3.Connection, execution_ids: Sequence[str]) -> bool:
    """Deletes the logs of these executions; False when they may have more chunks than one transaction deletes."""
    left = PRUNED_CHUNKS
    for execution_id in execution_ids:
        left -= db.execute(_PRUNE, (execution_id, left)).rowcount
    return left > 0


def read(db: sqlite3.Connection, execution_id: str, offset: int, limit: int, stream: int | None) -> Slice:
    """Whole chunks from ``offset`` on (the first is cut there): as many as fit into ``limit`` bytes, but at least one."""
    found = SliceBuilder(offset, limit, stream)
    for end, pieces in _chunks(db, execution_id, offset, stream):
        if not found.add(end, pieces):
            break
    return Slice(tuple(found.pieces), found.position)


def since(db: sqlite3.Connection, execution_id: str, stream: int | None, moment: int) -> int:
    """The offset, within a stream or in stored order, of the first byte that came at a moment (nanoseconds) or later."""
    whole = head(db, execution_id)
    sequence = _first_since(db, execution_id, whole.sequence, stream, moment)
    query = f"SELECT {OFFSETS[stream][0]}, pieces, data FROM log_chunks WHERE execution_id = ? AND sequence = ?"
    rows = db.execute(query, (execution_id, sequence)).fetchall()
    if not rows:
        return whole.offset if stream is None else whole.stdout if stream == STDOUT else whole.stderr
    start, index, data = rows[0]
    return offset_since(start, unpack_pieces(index, data), stream, moment)


def _first_since(db: sqlite3.Connection, execution_id: str, count: int, stream: int | None, moment: int) -> int:
    """The first of ``count`` chunks at whose end the stream, or one of them, had reached the moment: a binary search by the chunks'
    marks."""
    query = "SELECT marks FROM log_chunks WHERE execution_id = ? AND sequence = ?"
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        ((marks,),) = db.execute(query, (execution_id, middle)).fetchall()
        is_reached = reached(marks_from_json(marks), stream) >= moment
        low, high = (low, middle) if is_reached else (middle + 1, high)
    return low


def _chunks(db: sqlite3.Connection, execution_id: str, offset: int, stream: int | None) -> Iterator[tuple[int, tuple[Piece, ...]]]:
    """The end offset and the pieces of each chunk that has bytes from ``offset`` on."""
    start, end = OFFSETS[stream]
    inside = f"execution_id = :id AND {end} > {start}"
    query = f"""SELECT {end}, pieces, data FROM log_chunks WHERE {inside} AND {end} > :offset AND {start} >= ifnull(
        (SELECT {start} FROM log_chunks WHERE {inside} AND {start} <= :offset ORDER BY {start} DESC LIMIT 1), 0) ORDER BY {start}"""
    with closing(db.execute(query, {"id": execution_id, "offset": offset})) as rows:
        for end_offset, index, data in rows:
            yield end_offset, unpack_pieces(index, data)
