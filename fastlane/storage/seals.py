"""The methods of ``SealStore``, and the form in which a stored row is sealed.

What is sealed of a row is what both databases have of it: each field that does not have its default, JSON as its value. So the digests stay
the same when a later fastlane adds a field, and when an export is imported into a store of the other kind.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from enum import StrEnum
from hashlib import sha256
from typing import Any, Protocol

import orjson

from fastlane.models.receipt import BOOKKEEPING, SHOWN, ChainHead, LogDigest, Seal, SealedRow, SealKind, SealPlace, canonical
from fastlane.models.status import FINAL
from fastlane.models.tick import execution_id
from fastlane.storage import records
from fastlane.storage.logs import CHUNKS_OF_EXECUTION
from fastlane.storage.records import CODECS, Among, Between, Part, Record, Row, Rows, write_version
from fastlane.storage.seal_port import EndedRow, HistoryRow
from fastlane.storage.values import PIECE

NOTED = ("start_noted_at", "end_noted_at")
"""When the store learned of an execution's start and end: stored beside the fields of its value."""
CHUNKS_AT_ONCE = 2
MOST_REMOVALS = 10
"""Removals of one job that are read. Each has what the ones before it have, but where two processes removed at the same time."""
_CHUNK = ("sequence", "start_offset", "start_stdout", "start_stderr", "end_offset", "end_stdout", "end_stderr")
_RECORDS: Mapping[SealKind, Record[Any]] = {SealKind.EXECUTION: records.EXECUTIONS, SealKind.TICK: records.TICKS}


class ArchivedChunks(Protocol):
    """The chunks of logs that are in the archive."""

    async def chunks(self, execution_id: str) -> AsyncGenerator[Row] | None:
        """The chunks of a log, as the store had them; None for one that is not there."""


class SealLogic:
    """The methods of ``SealStore``, with the verbs alone."""

    def __init__(self, rows: Rows, log_archive: ArchivedChunks) -> None:
        self._rows = rows
        self._log_archive = log_archive

    async def place(self) -> SealPlace | None:
        return await self._rows.get(records.SEAL_PLACE, SealPlace().id)

    async def write_place(self, place: SealPlace) -> bool:
        return await write_version(self._rows, records.SEAL_PLACE, place, place.version)

    async def head(self, job_id: str) -> ChainHead | None:
        return await self._rows.get(records.CHAIN_HEADS, job_id)

    async def heads_of(self, job_ids: Sequence[str]) -> Mapping[str, ChainHead]:
        rows = await self._rows.select_keys(records.CHAIN_HEADS, job_ids, records.CHAIN_HEADS.fields)
        return {one.id: one for one in records.readable(list(rows.values()), records.CHAIN_HEADS.read)}

    async def heads(self, task_id: str, limit: int, after: str = "") -> Sequence[ChainHead]:
        return await self._rows.find(records.CHAIN_HEADS_OF_TASK, {"task_id": task_id}, Part(limit, (after,)))

    async def write_head(self, head: ChainHead) -> bool:
        return await write_version(self._rows, records.CHAIN_HEADS, head, head.version)

    async def append_seal(self, seal: Seal) -> bool:
        return await self._rows.insert(records.SEALS, seal)

    async def last(self, job_id: str) -> Seal | None:
        found = await self._rows.find(records.SEALS_OF_JOB, {"job_id": job_id}, Part(1, newest=True))
        return found[0] if found else None

    async def of_row(self, row_id: str) -> Seal | None:
        found = await self._rows.find(records.SEALS_OF_ROW, {"row": row_id}, Part(1))
        return found[0] if found else None

    async def sealed(self, row_ids: Sequence[str]) -> Mapping[str, int]:
        rows = await self._rows.select(records.SEALS_OF_ROW, {"row": Among(sorted(set(row_ids)))}, ("row", "number"))
        return {row["row"]: row["number"] for row in rows}

    async def after(self, job_id: str, number: int, limit: int) -> Sequence[Seal]:
        return await self._rows.find(records.SEALS_OF_JOB, {"job_id": job_id}, Part(limit, (number,)))

    async def removals(self, job_id: str) -> Sequence[Seal]:
        return await self._rows.find(records.SEALS_OF_REMOVALS, {"job_id": job_id}, Part(MOST_REMOVALS, newest=True))

    async def rows(self, kind: SealKind, ids: Sequence[str]) -> Mapping[str, SealedRow]:
        record = _RECORDS[kind]
        fields = (*record.fields, *(NOTED if kind is SealKind.EXECUTION else ()))
        found = await self._rows.select_keys(record, sorted(set(ids)), fields)
        return {id: sealed_row(kind, row) for id, row in found.items()}

    async def ended(self, until: int, limit: int, after: tuple[int, str]) -> Sequence[EndedRow]:
        fields = ("id", "task_id", "job_id", "tick_id", "end_noted_at", "attempt", "settled", "status")
        rows = await self._rows.select(records.EXECUTIONS_BY_END, {"end_noted_at": Between(high=until)}, fields, Part(limit, after))
        return [EndedRow(**{**row, "settled": bool(row["settled"])}) for row in rows]

    async def unfinished_ticks(self, rows: Sequence[EndedRow]) -> frozenset[str]:
        following = {execution_id(row.tick_id, row.attempt + 1): row.tick_id for row in rows}
        found = await self._rows.select_keys(records.EXECUTIONS, list(following), ("id",))
        ticks = {row.tick_id for row in rows if not row.settled} | {following[id] for id in found}
        own = await self._rows.select_keys(records.EXECUTIONS, [row.id for row in rows], ("spec", "sequence"))
        for row in rows:  # of a tick that runs everywhere, each target has executions of its own
            if row.tick_id not in ticks and '"everywhere"' in (own[row.id]["spec"] if row.id in own else ""):
                where = {"task_id": row.task_id, "job_id": row.job_id}
                unfinished = await self._rows.select(records.EXECUTIONS_UNFINISHED, where, ("tick_id", "settled"))
                ticks |= {one["tick_id"] for one in unfinished if not one["settled"]}
        return frozenset(ticks)

    async def ticks_at(self, job_id: str, due: int) -> Sequence[str]:
        rows = await self._rows.select(records.TICKS_OF_JOB, {"job_id": job_id, "due": Between(due, due)}, ("id", "execution_id"))
        return [row["id"] for row in rows if row["execution_id"] is None]

    async def executions_of(self, job_id: str, limit: int, after: tuple[int, int]) -> Sequence[HistoryRow]:
        fields = ("id", "sequence", "attempt", "status", "end_noted_at")
        rows = await self._rows.select(records.EXECUTIONS_OF_JOB, {"job_id": job_id}, fields, Part(limit, after))
        return [
            HistoryRow(row["id"], (row["sequence"], row["attempt"]), row["end_noted_at"] if row["status"] in FINAL else None)
            for row in rows
        ]

    async def ticks_of(self, job_id: str, limit: int, after: tuple[int, str]) -> Sequence[HistoryRow]:
        fields = ("id", "due", "created_at", "execution_id", "outcome")
        rows = await self._rows.select(records.TICKS_OF_JOB, {"job_id": job_id}, fields, Part(limit, after))
        return [HistoryRow(row["id"], (row["due"], row["id"]), row["created_at"], row["execution_id"], row["outcome"]) for row in rows]

    async def log_digest(self, execution_id: str) -> LogDigest | None:
        stored = await _digest_of(self._stored_chunks(execution_id))
        archived = await self._log_archive.chunks(execution_id)
        return stored if archived is None else await _digest_of(archived)

    async def _stored_chunks(self, execution_id: str) -> AsyncGenerator[Row]:
        fields = (*_CHUNK, "dropped", "marks", "pieces", "data")
        sequence = -1
        while True:
            part = Part(CHUNKS_AT_ONCE, (sequence,))
            rows = await self._rows.select(CHUNKS_OF_EXECUTION, {"execution_id": execution_id}, fields, part)
            for row in rows:
                yield row
            if len(rows) < CHUNKS_AT_ONCE:
                return
            sequence = rows[-1]["sequence"]


async def _digest_of(chunks: AsyncGenerator[Row]) -> LogDigest | None:
    """The digest of a log, from its chunks in order; None when there are none."""
    content, whole, last, position = sha256(), sha256(), dict[str, Any](), (0, 0, 0)
    faults, sequence = list[str](), -1
    async with aclosing(chunks):
        async for row in chunks:
            if row["sequence"] != sequence + 1:
                faults.append(f"part {sequence + 1} of the log is missing")
            if (row["start_offset"], row["start_stdout"], row["start_stderr"]) != position:
                faults.append(f"part {row['sequence']} of the log does not begin where the one before it ends")
            sequence, position = row["sequence"], (row["end_offset"], row["end_stdout"], row["end_stderr"])
            content.update(row["data"])
            _add_pieces(whole, bytes(row["pieces"]), bytes(row["data"]))
            last = {name: row[name] for name in ("dropped", "marks")}
    if sequence < 0:
        return None
    end = canonical([*position, last["dropped"], parsed(last["marks"])])
    whole.update(end)
    return LogDigest(position[0], content.hexdigest(), whole.hexdigest(), tuple(faults))


def _add_pieces(digest: Any, index: bytes, data: bytes) -> None:
    """Adds pieces, each with its stream, its time and its length: an import may divide a log into other parts."""
    whole, start = len(index) - len(index) % PIECE.size, 0
    for place in range(0, whole, PIECE.size):
        piece = index[place : place + PIECE.size]
        end = start + PIECE.unpack(piece)[2]
        digest.update(piece + data[start:end])
        start = end
    digest.update(index[whole:] + data[start:])


def sealed_row(kind: SealKind, row: Mapping[str, Any]) -> SealedRow:
    """A stored row as it is sealed."""
    record = _RECORDS[kind]
    left_out = BOOKKEEPING if kind is SealKind.EXECUTION else frozenset[str]()
    values = {name: _plain(record, name, value) for name, value in row.items() if name not in left_out}
    values = {name: value for name, value in values.items() if value is not None and value != _default(record, name)}
    if kind is SealKind.EXECUTION and "everywhere" in _mapping(values.get("spec")):
        values.pop("sequence", None)  # the one of the execution that stands for its tick changes after its end
    return SealedRow(kind, str(row["id"]), values, _facts(kind, values))


def _facts(kind: SealKind, values: Mapping[str, Any]) -> dict[str, Any]:
    found = {fact: values.get(name) for name, fact in SHOWN.items() if values.get(name) is not None}
    if kind is SealKind.TICK:
        return {**found, "execution": values.get("execution_id"), "until": values.get("until"), "count": values.get("count", 1)}
    spec, requester = _mapping(values.get("spec")), _mapping(values.get("requested_by"))
    failure = _mapping(values.get("failure"))
    own = {"tick": values.get("tick_id"), "image": spec.get("image") or values.get("image_reference")}
    return {**found, **own, "requestedBy": requester.get("user"), "reason": failure.get("reason")}


def _plain(record: Record[Any], name: str, value: Any) -> Any:
    """A stored value as JSON has it: no enums, no truth values, and JSON texts as what they say."""
    hint = record.hints.get(name)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, str) and hint is not None and any(kind in CODECS for kind in (hint, *getattr(hint, "__args__", ()))):
        return parsed(value)
    return value


def parsed(text: Any) -> Any:
    """What a JSON text says; the text where it says nothing."""
    try:
        return orjson.loads(text)
    except (ValueError, TypeError):
        return text.encode(errors="surrogateescape").decode(errors="replace") if isinstance(text, str) else text


def _default(record: Record[Any], name: str) -> Any:
    default = record.defaults.get(name)
    return int(default) if isinstance(default, bool) else default


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
