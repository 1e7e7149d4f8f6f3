"""The format of an export, a line of JSON for each thing that a store keeps, and exports as files. A file appears whole or not at all, and
is checked as a whole before any line of it is imported.

The first line names the format, the last one how many lines of each kind came before it and their digest, so that a cut or changed file is
noticed. Anyone can write a digest anew: it is signed where there are keys of receipts, since what a check of receipts leaves out follows
from the moment in the first line. (A signature of that moment alone could be taken from an older export.)

A line has one key, its kind. The counts of hours come before the jobs, a job before its ticks, ticks before executions, and executions
before their deliveries and logs. Of receipts, the ends of all chains come before the seals, and the seals of a job stand together, in
order. Values are written as ``storage.records`` stores them. A missing field has its default: an older fastlane did not have it.
"""

import base64
import gzip
import os
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, BinaryIO, TypeVar, get_args, get_type_hints

import orjson

from fastlane.errors import FastlaneError
from fastlane.models.access import Requester
from fastlane.models.backfill import Backfill
from fastlane.models.calendar import Calendar
from fastlane.models.delivery import Delivery, MailQuota
from fastlane.models.event import Event
from fastlane.models.host import HostRecord
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.image import PulledImage
from fastlane.models.job import Execution, Job, Task
from fastlane.models.log import Mark, Piece
from fastlane.models.receipt import ChainHead, Seal, SealKeys, SealPlace
from fastlane.models.retention import HourCount, TaskHour
from fastlane.models.status import Status
from fastlane.models.tick import Tick
from fastlane.storage import records
from fastlane.storage.base import NOT_NOTED, Noted
from fastlane.storage.records import Record
from fastlane.storage.values import (
    FAULTS,
    marks_from_json,
    marks_to_json,
    pack_pieces,
    requester_from_json,
    requester_to_json,
    unpack_pieces,
)

FORMAT = 2
"""The version of the format. A later one may add kinds and fields; a file of a later version is refused."""

GZIP = b"\x1f\x8b"

LARGEST = 2**63 - 1
"""The largest integer that a store keeps."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LogPart:
    """The next bytes of an execution's log, and how far each stream of the engine's log was read and how much was dropped by their end."""

    execution_id: str
    pieces: tuple[Piece, ...]
    marks: Mapping[int, Mark]
    dropped: int


@dataclass(frozen=True, slots=True)
class PausedPools:
    """The names of the paused pools."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """The first line. ``started_at`` in milliseconds; ``with_logs``: whether logs are among the lines."""

    fastlane: str
    installation: str
    started_at: int
    with_logs: bool


@dataclass(frozen=True, slots=True)
class End:
    """The last line: how many lines of each kind there are, and the SHA-256 of all bytes before it; None in files of fastlane 0.1. ``key``:
    the id of the key of receipts that signed that; empty: none did."""

    counts: Mapping[str, int]
    digest: str | None = None
    key: str = ""
    signature: str = ""

    @property
    def body(self) -> dict[str, Any]:
        """What is signed: with the digest, all of the file."""
        return {"export": self.digest, "key": self.key}

    def signed(self, keys: SealKeys) -> "End":
        """The line with its signature."""
        end = replace(self, key=keys.ids[0])
        return replace(end, signature=keys.sign(end.body))

    def fault(self, keys: SealKeys) -> str | None:
        """For people: what is wrong with the signature; None: nothing."""
        if not self.signature:
            return "is not signed: it was written without receipt_keys, by an older fastlane, or was changed"
        return keys.fault(self.key, self.signature, self.body)


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job and its maker; the job's own field names the requester of its present form."""

    job: Job
    created_by: Requester | None


@dataclass(frozen=True, slots=True)
class ExecutionLine:
    """An execution, and the notes about it. ``is_counted``: the counts of its hour, which came before, include it."""

    execution: Execution
    noted: Noted = NOT_NOTED
    is_counted: bool = False


Other = PausedPools | HostRecord | Calendar | PulledImage | Delivery | Backfill | Task | IdempotencyRecord | MailQuota
"""The kinds of lines that are written one by one, without regard to other lines."""
ReceiptLine = SealPlace | ChainHead | Seal
Line = Start | TaskHour | JobLine | Tick | ExecutionLine | LogPart | Other | Event | ReceiptLine | End

Progress = Callable[[Line], None]
"""Called with each line."""

KINDS: Mapping[type, str] = {
    Start: "export",
    PausedPools: "pauses",
    HostRecord: "host",
    Calendar: "calendar",
    PulledImage: "image",
    TaskHour: "hour",
    JobLine: "job",
    Tick: "tick",
    ExecutionLine: "execution",
    Delivery: "delivery",
    LogPart: "log",
    Backfill: "backfill",
    Task: "task",
    IdempotencyRecord: "request",
    MailQuota: "quota",
    Event: "event",
    SealPlace: "sealed",
    ChainHead: "chain",
    Seal: "seal",
    End: "end",
}
"""The types of the values on lines, and the key of each line."""


_RECORDS: Mapping[str, Record[Any]] = {
    "host": records.HOSTS,
    "calendar": records.CALENDARS,
    "image": records.IMAGES,
    "tick": records.TICKS,
    "delivery": records.DELIVERIES,
    "backfill": records.BACKFILLS,
    "task": records.TASKS,
    "request": records.RECEIPTS,
    "quota": records.QUOTAS,
    "event": records.EVENTS,
    "sealed": records.SEAL_PLACE,
    "chain": records.CHAIN_HEADS,
    "seal": records.SEALS,
}
"""The kinds of lines whose values are written as they are stored."""


def encode(line: Line) -> bytes:
    """A line, with its end."""
    return orjson.dumps({KINDS[type(line)]: _document(line)}, option=orjson.OPT_APPEND_NEWLINE)


def decode(text: bytes) -> Line:
    """The value of a line. Raises FastlaneError for text that is not a line, or that a newer fastlane wrote."""
    try:
        ((kind, document),) = orjson.loads(text).items()
        return _checked(_value(kind, document))
    except FastlaneError:
        raise
    except FAULTS as error:
        raise FastlaneError("this is not a line of an export, or it is damaged") from error


def _document(line: Line) -> dict[str, Any]:
    match line:
        case Start():
            return {"format": FORMAT, **_fields(line)}
        case JobLine():
            return {**_stored(records.JOBS, line.job), "created_by": requester_to_json(line.created_by)}
        case ExecutionLine():
            document = _stored(records.EXECUTIONS, line.execution)
            del document["op"]
            return {**document, "noted": [line.noted.start, line.noted.end], "is_counted": line.is_counted}
        case TaskHour():
            ended = {status.value: count for status, count in line.count.ended.items()}
            return {"task_id": line.task_id, "pool": line.pool, **_fields(line.count), "ended": ended}
        case LogPart():
            index, data = (base64.b64encode(part).decode() for part in pack_pieces(line.pieces))
            marks = marks_to_json(line.marks)
            return {"execution_id": line.execution_id, "pieces": index, "data": data, "marks": marks, "dropped": line.dropped}
    record = _RECORDS.get(KINDS[type(line)])
    return _fields(line) if record is None else _stored(record, line)


def _value(kind: str, document: Mapping[str, Any]) -> Line:
    if kind in _RECORDS:
        line: Line = _read(_RECORDS[kind], document)
        return line
    match kind:
        case "export":
            if document["format"] > FORMAT:
                words = f"a newer fastlane wrote this export (format {document['format']}, this one reads {FORMAT})"
                raise FastlaneError(f"{words}; install that one, at least {document['fastlane']}")
            return _built(Start, document)
        case "job":
            job = _read(records.JOBS, document)
            return JobLine(job, requester_from_json(document["created_by"]) if "created_by" in document else job.requested_by)
        case "execution":
            execution = _read(records.EXECUTIONS, document)
            noted = Noted(*document["noted"]) if "noted" in document else Noted(execution.started_at, execution.finished_at)
            return ExecutionLine(execution, noted, bool(document.get("is_counted")))
        case "log":
            pieces = unpack_pieces(*(base64.b64decode(document[name], validate=True) for name in ("pieces", "data")))
            return LogPart(document["execution_id"], pieces, marks_from_json(document["marks"]), document["dropped"])
        case "hour":
            ended = {Status(name): int(count) for name, count in document["ended"].items()}
            return TaskHour(document["task_id"], document["pool"], replace(_built(HourCount, document), ended=ended))
        case "pauses":
            return PausedPools(_texts(document["names"]))
        case "end":
            return _built(End, document)
    raise FastlaneError(f"no export has a line of the kind {kind!r}")


def _stored(record: Record[Any], value: Any) -> dict[str, Any]:
    """A value as it is stored, without what is derived from its fields."""
    row = record.row(value)
    return {name: row[name] for name in record.fields}


def _read(record: Record[T], document: Mapping[str, Any]) -> T:
    """The value of a document. The fields that it does not have have their defaults."""
    return record.read({**record.defaults, **document})


def _texts(value: Any) -> tuple[str, ...]:
    """A list of texts. Raises TypeError for anything else."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError("not a list of texts")
    return tuple(value)


def _checked(value: Line) -> Line:
    """The value. Raises FastlaneError for a field of another type than a store has there."""
    for part in _parts(value):
        for name, expected in _PLAIN_TYPES[type(part)].items():
            found = getattr(part, name)
            if not isinstance(found, expected) or (isinstance(found, int) and abs(found) > LARGEST):
                raise FastlaneError(f"{name} is {found!r:.40}, which cannot be stored there: was this file changed?")
    if isinstance(value, Backfill) and not all(isinstance(due, int) for due in (*value.remaining, *value.open)):
        raise FastlaneError(f"remaining or open of the backfill of job {value.id} has no due times: was this file changed?")
    return value


def _parts(value: Line) -> Sequence[object]:
    """The values with the fields of a line."""
    match value:
        case JobLine():
            return (value.job,)
        case ExecutionLine():
            return (value.execution, value.noted)
        case TaskHour():
            return (value, value.count)
    return (value,)


def _plain_types(kind: type) -> Mapping[str, Any]:
    """The types of the fields that are stored as they are."""
    plain = {int, str, bool, NoneType}
    hints = get_type_hints(kind).items()
    return {name: hint for name, hint in hints if hint in plain or (isinstance(hint, UnionType) and plain.issuperset(get_args(hint)))}


_PLAIN_TYPES: Mapping[type, Mapping[str, Any]] = {kind: _plain_types(kind) for kind in (*KINDS, Job, Execution, Noted, HourCount)}


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in _names(type(value))}


def _names(kind: type) -> list[str]:
    return [field.name for field in fields(kind)]


def _built(kind: type[T], document: Mapping[str, Any]) -> T:
    return kind(**{name: document[name] for name in _names(kind) if name in document})


class Checker:
    """Checks the lines of an export as they come, before any of it is imported."""

    def __init__(self) -> None:
        self._start: Start | None = None
        self.counts: Counter[str] = Counter()
        self._end: End | None = None
        self._job: str | None = None

    def check(self, line: Line) -> None:
        """Raises FastlaneError for a line that must not stand here."""
        if isinstance(line, Start) != (self._start is None):
            raise FastlaneError("an export begins with its line of the kind 'export', and has one")
        if self._end is not None:
            raise FastlaneError("there is more after the end of the export: are these two files?")
        match line:
            case Start():
                self._start = line
                return
            case End():
                self._end = line
                return
            case JobLine():
                self._job = line.job.id
            case Tick() | Delivery():
                self._check_job(line, line.job_id)
            case Backfill():
                self._check_job(line, line.id)
            case ExecutionLine():
                self._check_job(line, line.execution.job_id)
        self.counts[KINDS[type(line)]] += 1

    def _check_job(self, line: Line, job_id: str) -> None:
        if job_id != self._job:
            raise FastlaneError(f"this {KINDS[type(line)]} does not follow its job {job_id}")

    def fault(self, keys: SealKeys | None) -> str | None:
        """For people: what is wrong with the signature of the file; None: nothing, or there are no keys to check it with."""
        return None if self._end is None or keys is None else self._end.fault(keys)

    def finish(self, digest: str) -> None:
        """Raises FastlaneError when lines are missing or were changed. ``digest``: of all lines but the last one."""
        if self._start is None:
            raise FastlaneError("the file is empty")
        if self._end is None:
            raise FastlaneError("the export was cut: its last line is missing; make another one")
        if dict(self._end.counts) != dict(self.counts):
            raise FastlaneError(f"lines of the export are missing: it should have {dict(self._end.counts)}, and has {dict(self.counts)}")
        if self._end.digest not in (None, digest):
            raise FastlaneError(
                "the file was changed or damaged after the export: the digest in its last line does not fit; use another copy"
            )


async def write(lines: AsyncIterator[Line], path: Path, progress: Progress, keys: SealKeys | None = None) -> None:
    """Writes an export to a file that only its owner may read, since jobs may hold secrets; packed when its name ends with ``.gz``. A file
    of this name is replaced once the export is complete. ``keys``: of receipts, which sign the file."""
    partial = path.with_name(path.name + ".part")
    partial.unlink(missing_ok=True)
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)  # a new file: no link, and nobody else has it open
    try:
        with os.fdopen(file, "wb") as raw:
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed:
                    await write_to(lines, packed, progress, keys)
            else:
                await write_to(lines, raw, progress, keys)
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


async def write_to(lines: AsyncIterator[Line], out: BinaryIO | gzip.GzipFile, progress: Progress, keys: SealKeys | None = None) -> None:
    """Writes an export to an open file. Its last line gets the digest of what was written before, and the signature of that."""
    written = sha256()
    async for line in lines:
        text = encode(_whole(line, written.hexdigest(), keys) if isinstance(line, End) else line)
        written.update(text)
        out.write(text)
        progress(line)


def _whole(end: End, digest: str, keys: SealKeys | None) -> End:
    end = replace(end, digest=digest)
    return end if keys is None else end.signed(keys)


def check(path: Path, progress: Progress) -> Checker:
    """Reads a whole export. Raises FastlaneError, which names the line, when it cannot be imported."""
    checker, found = Checker(), sha256()
    for number, text in _read_lines(path):
        try:
            line = decode(text)
            checker.check(line)
            if not isinstance(line, End):
                found.update(text)
        except FastlaneError as error:
            raise FastlaneError(f"{path}, line {number}: {error}") from None
        progress(line)
    try:
        checker.finish(found.hexdigest())
    except FastlaneError as error:
        raise FastlaneError(f"{path}: {error}") from None
    return checker


def read(path: Path) -> Iterator[Line]:
    """The lines of an export."""
    for _, text in _read_lines(path):
        line = decode(text)
        if not isinstance(line, End):
            yield line


def _read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as raw:
        is_packed = raw.read(2) == GZIP
        raw.seek(0)
        try:
            with gzip.GzipFile(fileobj=raw) if is_packed else raw as file:
                yield from enumerate(file, 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise FastlaneError(f"{path}: the file is damaged or was cut: {error}") from None
