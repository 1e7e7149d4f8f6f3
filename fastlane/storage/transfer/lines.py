"""The format of an export: a line of JSON for each thing that a store keeps.

The first line says which format this is, the last one how many lines of each kind came before it, so that a cut file is noticed. A line has
one key, its kind. The counts of hours come before the jobs, a job before its ticks, these before its executions, and these before their
deliveries and logs. Values stand as ``storage.documents`` stores them. A field that is missing has its default: an older fastlane did not
have it.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_type_hints

import orjson

from fastlane.errors import FastlaneError
from fastlane.models.access import Requester
from fastlane.models.delivery import Delivery, MailQuota
from fastlane.models.event import Event
from fastlane.models.execution import Execution
from fastlane.models.host import HostRecord
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.image import PulledImage
from fastlane.models.job import Job, Task
from fastlane.models.log import Mark, Piece
from fastlane.models.retention import HourCount, TaskHour
from fastlane.models.status import Status
from fastlane.models.tick import Tick
from fastlane.storage.base.transfer import NOT_NOTED, Noted
from fastlane.storage.documents import (
    FAULTS,
    execution_document,
    execution_from,
    host_document,
    host_from,
    job_document,
    job_from,
    marks_from_json,
    marks_to_json,
    pack_pieces,
    requester_from_json,
    requester_to_json,
    tick_document,
    tick_from,
    unpack_pieces,
)
from fastlane.storage.event_rows import event_document, event_from
from fastlane.storage.notices import delivery_document, delivery_from, quota_document, quota_from

FORMAT = 2
"""The version of the format. A later one may add kinds and fields; a file of a later version is refused."""

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
    """The last line: how many lines of each kind there are."""

    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job, and who made it; its own field says who asked for it as it is now."""

    job: Job
    created_by: Requester | None


@dataclass(frozen=True, slots=True)
class ExecutionLine:
    """An execution, and what is noted of it. ``is_counted``: the counts of its hour, which came before, have it."""

    execution: Execution
    noted: Noted = NOT_NOTED
    is_counted: bool = False


Other = PausedPools | HostRecord | PulledImage | TaskHour | Delivery | Task | IdempotencyRecord | MailQuota | Event
"""What is written without regard to other lines."""
Line = Start | JobLine | Tick | ExecutionLine | LogPart | Other | End

KINDS: Mapping[type, str] = {
    Start: "export",
    PausedPools: "pauses",
    HostRecord: "host",
    PulledImage: "image",
    TaskHour: "hour",
    JobLine: "job",
    Tick: "tick",
    ExecutionLine: "execution",
    Delivery: "delivery",
    LogPart: "log",
    Task: "task",
    IdempotencyRecord: "request",
    MailQuota: "quota",
    Event: "event",
    End: "end",
}
"""What may be on a line, and the key of its line."""


def encode(line: Line) -> bytes:
    """A line, with its end."""
    return orjson.dumps({KINDS[type(line)]: _document(line)}, option=orjson.OPT_APPEND_NEWLINE)


def decode(text: bytes) -> Line:
    """What a line says. Raises FastlaneError for a line that is none, or that a newer fastlane wrote."""
    try:
        ((kind, document),) = orjson.loads(text).items()
        return _checked(_value(kind, document))
    except FastlaneError:
        raise
    except FAULTS as error:
        raise FastlaneError("this is no line of an export, or it is damaged") from error


def _document(line: Line) -> dict[str, Any]:
    match line:
        case Start():
            return {"format": FORMAT, **_fields(line)}
        case JobLine():
            document = job_document(line.job)
            del document["labels"]  # they are in its spec
            return {**document, "created_by": requester_to_json(line.created_by)}
        case Tick():
            return tick_document(line)
        case ExecutionLine():
            document = execution_document(line.execution)
            del document["op"]
            return {**document, "noted": [line.noted.start, line.noted.end], "is_counted": line.is_counted}
        case Delivery():
            document = delivery_document(line)
            del document["origin"]  # it is in its webhook
            return document
        case HostRecord():
            return host_document(line)
        case TaskHour():
            ended = {status.value: count for status, count in line.count.ended.items()}
            return {"task_id": line.task_id, "pool": line.pool, **_fields(line.count), "ended": ended}
        case MailQuota():
            return quota_document(line)
        case Event():
            return event_document(line)
        case LogPart():
            index, data = (base64.b64encode(part).decode() for part in pack_pieces(line.pieces))
            marks = marks_to_json(line.marks)
            return {"execution_id": line.execution_id, "pieces": index, "data": data, "marks": marks, "dropped": line.dropped}
        case _:
            return _fields(line)


def _value(kind: str, document: Mapping[str, Any]) -> Line:
    match kind:
        case "export":
            if document["format"] > FORMAT:
                words = f"a newer fastlane wrote this export (format {document['format']}, this one reads {FORMAT})"
                raise FastlaneError(f"{words}; install that one, at least {document['fastlane']}")
            return _built(Start, document)
        case "job":
            job = job_from(_completed(Job, document))
            return JobLine(job, requester_from_json(document["created_by"]) if "created_by" in document else job.requested_by)
        case "tick":
            return tick_from(_completed(Tick, document))
        case "execution":
            execution = execution_from(_completed(Execution, document))
            noted = Noted(*document["noted"]) if "noted" in document else Noted(execution.started_at, execution.finished_at)
            return ExecutionLine(execution, noted, bool(document.get("is_counted")))
        case "delivery":
            return delivery_from(_completed(Delivery, document))
        case "host":
            return host_from({name: value for name, value in document.items() if name in _names(HostRecord)})
        case "log":
            pieces = unpack_pieces(*(base64.b64decode(document[name], validate=True) for name in ("pieces", "data")))
            return LogPart(document["execution_id"], pieces, marks_from_json(document["marks"]), document["dropped"])
        case "hour":
            ended = {Status(name): int(count) for name, count in document["ended"].items()}
            return TaskHour(document["task_id"], document["pool"], replace(_built(HourCount, document), ended=ended))
        case "quota":
            return quota_from(document)
        case "event":
            return event_from(document)
        case "image":
            return _built(PulledImage, document)
        case "pauses":
            return PausedPools(_texts(document["names"]))
        case "task":
            return _built(Task, document)
        case "request":
            return _built(IdempotencyRecord, document)
        case "end":
            return _built(End, document)
    raise FastlaneError(f"no export has a line of the kind {kind!r}")


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


def _completed(kind: type, document: Mapping[str, Any]) -> dict[str, Any]:
    """A document with the defaults of the fields that it does not have."""
    return {field.name: field.default for field in fields(kind) if field.default is not MISSING} | dict(document)
