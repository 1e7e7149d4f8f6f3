"""The logs that are in the archive, on top of the verbs over records: the methods of ``LogArchive``, and what readers of logs need.

A log's row says which object has it. The row is written before the object is, and goes after it. So what a process leaves behind when it
ends, a row names. Each try to write an object has a name of its own.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, BinaryIO, Generic, TypeVar

from fastlane.errors import ArchiveDamaged, ArchiveDown
from fastlane.models.ids import nonce
from fastlane.models.log import Head, Slice
from fastlane.models.log_archive import ARCHIVED, ArchivedLog, ArchiveState
from fastlane.storage import records
from fastlane.storage.archive_port import BEGINNING, ArchivePage, LogObjects, Place, RipeLogs
from fastlane.storage.log_object import HEAD, NUMBERS, LogIndex, LogObjectWriter, Segment, chunks_of
from fastlane.storage.logs import (
    CHUNKS,
    CHUNKS_OF_EXECUTION,
    MAX_CHUNKS,
    OFFSETS,
    SliceBuilder,
    cut_logs,
    end_of,
    head_of,
    logged,
    offset_since,
    reached,
)
from fastlane.storage.records import ARCHIVED_LOGS, ARCHIVED_LOGS_UNMOVED, Between, Part, Row, Rows, by_key, write_version
from fastlane.storage.values import marks_from_json, unpack_pieces

PACKED_AT_ONCE = 2
"""Chunks that are read together to be packed."""
SEGMENTS_KEPT, INDEXES_KEPT = 16, 64
"""Decompressed segments, of some 256 KiB, and indexes that a process keeps for its next reads."""

Key = TypeVar("Key")
Kept = TypeVar("Kept")
Answer = TypeVar("Answer")


class _Recent(Generic[Key, Kept]):
    """The last few things that were read."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Key, Kept] = OrderedDict()

    def get(self, key: Key) -> Kept | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def keep(self, key: Key, value: Kept) -> Kept:
        self._kept[key] = value
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return value


class LogArchiveLogic:
    """A ``LogArchive``, and the logs in it. Without ``objects``, and where nothing was archived when the store was opened, no log is looked
    for in it."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.objects: LogObjects | None = None
        self._was_used = False
        self._indexes: _Recent[str, LogIndex] = _Recent(INDEXES_KEPT)
        self._segments: _Recent[tuple[str, int], Sequence[Row]] = _Recent(SEGMENTS_KEPT)

    async def open(self) -> None:
        """Looks whether anything has been archived."""
        self._was_used = await self.any()

    async def any(self) -> bool:
        return bool(await self._rows.select(by_key(ARCHIVED_LOGS), {}, ("id",), Part(1)))

    async def ripe(self, before: int, limit: int, after: Place | None = None) -> RipeLogs:
        where, fields = {"end_noted_at": Between(high=before)}, ("id", "end_noted_at", "settled", "cleaned")
        rows = await self._rows.select(records.EXECUTIONS_BY_END, where, fields, Part(limit, after or BEGINNING))
        ids = [row["id"] for row in rows if row["settled"] and row["cleaned"]]
        there = await logged(self._rows, ids) if ids else frozenset[str]()
        known = await self._rows.select_keys(ARCHIVED_LOGS, sorted(there), ("id",)) if there else {}
        found = [(row["end_noted_at"], row["id"]) for row in rows if row["id"] in there and row["id"] not in known]
        return RipeLogs(found, (rows[-1]["end_noted_at"], rows[-1]["id"]) if len(rows) == limit else None)

    async def get(self, execution_id: str) -> ArchivedLog | None:
        return await self._rows.get(ARCHIVED_LOGS, execution_id)

    async def pack(self, execution_id: str, file: BinaryIO, now: int) -> ArchivedLog | None:
        writer, position = LogObjectWriter(), (0, 0)
        async with aclosing(self._stored(execution_id)) as chunks:
            async for chunk in chunks:
                if (chunk["sequence"], chunk["start_offset"]) != position:
                    return None
                position = chunk["sequence"] + 1, chunk["end_offset"]
                await asyncio.to_thread(_write, file, writer.add, chunk)
        if writer.last is None:
            return None
        last = writer.last
        await asyncio.to_thread(lambda: file.write(writer.finish()))
        head = {name: last[name] for name in HEAD}
        key = f"{execution_id[-2:]}/{execution_id}.{nonce()}.log.gz"
        object: dict[str, Any] = {
            "key": key,
            "digest": writer.digest,
            "size": writer.size,
            "index_at": writer.index_at,
            "lines": writer.lines,
        }
        log = ArchivedLog(execution_id, ArchiveState.WRITING, **object, **head, archived_at=now)
        return log if await self.is_as_packed(log) else None

    async def is_as_packed(self, log: ArchivedLog) -> bool:
        part = Part(1, newest=True)
        rows = await self._rows.select(CHUNKS_OF_EXECUTION, {"execution_id": log.id}, ("sequence", "end_offset"), part)
        return [(row["sequence"], row["end_offset"]) for row in rows] == [(log.sequence, log.end_offset)]

    async def write_archived(self, log: ArchivedLog) -> bool:
        if log.state is ArchiveState.WRITING:  # of a new object
            return await write_version(self._rows, ARCHIVED_LOGS, log, log.version)
        return await self._rows.replace(ARCHIVED_LOGS, log, {"version": log.version - 1, "key": log.key})

    async def clear_archived(self, execution_id: str) -> bool:
        cut = await cut_logs(self._rows, [execution_id], MAX_CHUNKS)
        await self._rows.delete(CHUNKS, cut.keys)
        return cut.left == 0

    async def forget(self, log: ArchivedLog) -> bool:
        return await self._rows.delete(ARCHIVED_LOGS, [(log.id,)], {"version": log.version}) == 1

    async def unfinished(self, limit: int, after: str = "") -> Sequence[ArchivedLog]:
        return await self._rows.find(ARCHIVED_LOGS_UNMOVED, {}, Part(limit, (after,)))

    async def orphans(self, limit: int, after: str = "") -> ArchivePage:
        found = await self._rows.find(by_key(ARCHIVED_LOGS), {}, Part(limit, (after,)))
        there = await self._rows.select_keys(records.EXECUTIONS, [log.id for log in found], ("id",))
        return ArchivePage([log for log in found if log.id not in there], found[-1].id if len(found) == limit else None)

    async def among(self, execution_ids: Sequence[str]) -> frozenset[str]:
        return frozenset(await self._archived(execution_ids, ("id", "state")))

    async def give_up(self, execution_ids: Sequence[str]) -> None:
        """Removes these logs from the archive, also those that are about to be there: the move of such a log then ends, and objects go."""
        for id in await self._rows_of(execution_ids, ("id",)):
            log = await self.get(id)
            while log is not None and log.state is not ArchiveState.GOING:
                if await self.write_archived(replace(log, state=ArchiveState.GOING, version=log.version + 1)):
                    break
                log = await self.get(id)

    async def head(self, execution_id: str) -> Head | None:
        """Where the log ends."""
        return (await self.heads([execution_id])).get(execution_id)

    async def heads(self, execution_ids: Sequence[str]) -> Mapping[str, Head]:
        """Where these logs end, as far as they are there."""
        found = await self._archived(execution_ids, ("id", "state", *HEAD))
        return {id: head_of(row) for id, row in found.items()}

    async def slice(self, execution_id: str, offset: int, limit: int, stream: int | None) -> Slice | None:
        """As ``LogStore.read_log``; None for a log that is not in the archive."""
        return await self._unless_removed(execution_id, lambda log: self._slice(log, offset, limit, stream))

    async def _slice(self, log: ArchivedLog, offset: int, limit: int, stream: int | None) -> Slice:
        found, (start, end) = SliceBuilder(offset, limit, stream), OFFSETS[stream]
        for segment in (await self._index(log)).after(offset, end):
            for chunk in await self._segment(log, segment):
                has_more = chunk[end] > max(offset, chunk[start])
                if has_more and not found.add(chunk[end], unpack_pieces(chunk["pieces"], chunk["data"])):
                    return Slice(tuple(found.pieces), found.position)
        return Slice(tuple(found.pieces), found.position)

    async def since(self, execution_id: str, stream: int | None, moment: int) -> int | None:
        """As ``LogStore.log_since``; None for a log that is not in the archive."""
        return await self._unless_removed(execution_id, lambda log: self._since(log, stream, moment))

    async def _since(self, log: ArchivedLog, stream: int | None, moment: int) -> int:
        for segment in (await self._index(log)).segments:
            if reached(marks_from_json(segment.end["marks"]), stream) >= moment:
                for chunk in await self._segment(log, segment):
                    if reached(marks_from_json(chunk["marks"]), stream) >= moment:
                        pieces = unpack_pieces(chunk["pieces"], chunk["data"])
                        return offset_since(chunk[OFFSETS[stream][0]], pieces, stream, moment)
        return end_of(head_of({name: getattr(log, name) for name in HEAD}), stream)

    async def chunks(self, execution_id: str) -> AsyncGenerator[Row] | None:
        """The chunks of a log, as the store had them; None for a log that is not in the archive."""
        log = await self._readable(execution_id)
        return None if log is None else self._walk(log)

    async def _walk(self, log: ArchivedLog) -> AsyncGenerator[Row]:
        for segment in (await self._index(log)).segments:
            for chunk in await self._segment(log, segment):
                yield chunk

    async def _stored(self, execution_id: str) -> AsyncGenerator[Row]:
        """The chunks of a log in the store."""
        sequence, where = -1, {"execution_id": execution_id}
        while True:
            fields = (*NUMBERS, "pieces", "data")
            rows = await self._rows.select(CHUNKS_OF_EXECUTION, where, fields, Part(PACKED_AT_ONCE, (sequence,)))
            for row in rows:
                yield row
            if len(rows) < PACKED_AT_ONCE:
                return
            sequence = rows[-1]["sequence"]

    async def _archived(self, execution_ids: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        """These fields of the rows of logs that are read from the archive."""
        rows = await self._rows_of(execution_ids, fields)
        return {id: row for id, row in rows.items() if row["state"] in ARCHIVED}

    async def _rows_of(self, execution_ids: Sequence[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        """These fields of the rows of logs, in any state."""
        if not execution_ids or (self.objects is None and not self._was_used):
            return {}
        return await self._rows.select_keys(ARCHIVED_LOGS, execution_ids, fields)

    async def _readable(self, execution_id: str) -> ArchivedLog | None:
        if self.objects is None and not self._was_used:
            return None
        log = await self.get(execution_id)
        return log if log is not None and log.state in ARCHIVED else None

    async def _unless_removed(self, execution_id: str, read: Callable[[ArchivedLog], Awaitable[Answer]]) -> Answer | None:
        """What is read of a log; None when it is not in the archive, or goes from there while it is read."""
        log = await self._readable(execution_id)
        if log is None:
            return None
        try:
            return await read(log)
        except ArchiveDamaged:
            if await self._readable(execution_id) is not None:
                raise
            return None

    async def _index(self, log: ArchivedLog) -> LogIndex:
        known = self._indexes.get(log.key)
        if known is not None:
            return known
        data = await self._read(log, log.index_at, log.size - log.index_at)
        return self._indexes.keep(log.key, LogIndex.read(data, _name(log)))

    async def _segment(self, log: ArchivedLog, segment: Segment) -> Sequence[Row]:
        known = self._segments.get((log.key, segment.at))
        if known is not None:
            return known
        data = await self._read(log, segment.at, segment.length)
        return self._segments.keep((log.key, segment.at), tuple(chunks_of(data, segment, _name(log))))

    async def _read(self, log: ArchivedLog, start: int, length: int) -> bytes:
        if self.objects is None:
            raise ArchiveDown(f"{_name(log)} is in an archive, and archive_url is not set; set it as it was")
        return await self.objects.read(log.key, start, length)


def _name(log: ArchivedLog) -> str:
    return f"the archived log {log.key} of execution {log.id}"


def _write(file: BinaryIO, add: Callable[[Row], bytes], chunk: Row) -> None:
    file.write(add(chunk))
