"""Converts values to documents and back. A document is flat: it has the value's fields under their own names, each a scalar that every
database has.

A spec, a failure, a schedule and a requester are JSON text, so that no key inside them can mean anything to a database; a log's pieces are
packed bytes. All adapters use these functions; nothing here knows a database.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from struct import Struct
from struct import error as StructError
from typing import Any

import orjson

from fastlane.errors import FastlaneError, Unreadable
from fastlane.models.access import Requester
from fastlane.models.container import NO_CONTAINER, NO_RESOURCES, Container, Mount, MountKind, Secret
from fastlane.models.cron import Cron
from fastlane.models.execution import Execution
from fastlane.models.host import HostRecord
from fastlane.models.job import Job, Spec
from fastlane.models.log import Mark, Piece
from fastlane.models.retention import NO_RETENTION
from fastlane.models.schedule import CatchUp, Overlap, Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick
from fastlane.storage.execution_values import (
    failure_from_json,
    failure_to_json,
    usage_from_json,
    usage_to_json,
    waits_from_text,
    waits_to_text,
)
from fastlane.storage.targets import mailbox_from, webhook_from, webhook_values

JOB_FIELDS = tuple(field.name for field in fields(Job))
JOB_COLUMNS = (*JOB_FIELDS, "labels")
"""What is stored of a job: its fields, and the labels of its spec as a list, by which it is found."""
TICK_FIELDS = tuple(field.name for field in fields(Tick))
EXECUTION_FIELDS = tuple(field.name for field in fields(Execution))
HOST_FIELDS = tuple(field.name for field in fields(HostRecord))
_JOB_VALUES, _TICK_VALUES, _EXECUTION_VALUES = attrgetter(*JOB_FIELDS), attrgetter(*TICK_FIELDS), attrgetter(*EXECUTION_FIELDS)

SPEC_RULES = ("retries", "retry_delay", "timeout", "expires_in", "expiration", "priority", "concurrency", "expect_every")
SPEC_DEFAULTS = {field.name: field.default for field in fields(Spec)}
_RULE_VALUES = attrgetter(*SPEC_RULES)
NO_RULES = tuple(SPEC_DEFAULTS[name] for name in SPEC_RULES)
SPEC_PARTS = {"resources": NO_RESOURCES, "retention": NO_RETENTION}
PARTS: tuple[Any, ...] = (NO_RESOURCES, NO_CONTAINER, NO_RETENTION)
PART_FIELDS = {type(part): tuple(field.name for field in fields(part)) for part in PARTS}
_MOUNT_VALUES = attrgetter(*(field.name for field in fields(Mount)))

REMEMBERED_SPECS, MAX_REMEMBERED = 1024, 2048
"""How many parsed specs are cached, and the length in characters of the longest: an execution's row is read several times on its way."""

FAULTS = (LookupError, ValueError, TypeError, AttributeError, StructError, FastlaneError)
"""What the reading of a stored value raises when it is damaged, or when a newer fastlane wrote it."""

PIECE = Struct("<BqI")
"""A piece in a chunk's index: its stream, its time in nanoseconds, its length in bytes."""


def spec_to_json(spec: Spec) -> str:
    """A spec as JSON text. Raises TypeError for values that JSON does not have."""
    given = _RULE_VALUES(spec)
    rules: dict[str, Any] = {}
    if given != NO_RULES:
        rules = {name: value for name, value in zip(SPEC_RULES, given, strict=True) if value != SPEC_DEFAULTS[name]}
    for name, default in SPEC_PARTS.items():
        if (part := getattr(spec, name)) is not default and part != default:
            rules[name] = _differences(default, part)
    if spec.container is not NO_CONTAINER and spec.container != NO_CONTAINER:
        rules["container"] = _container_document(spec.container)
    if spec.name is not None:
        rules["name"] = spec.name
    if spec.labels:
        rules["labels"] = dict(spec.labels)
    if spec.webhooks:
        rules["webhooks"] = [webhook_values(webhook) for webhook in spec.webhooks]
    if spec.notify:
        rules["notify"] = [[mailbox.trigger, mailbox.address] for mailbox in spec.notify]
    stored = {"image": spec.image, "command": spec.command, "envs": dict(spec.envs), "metadata": dict(spec.metadata), **rules}
    return orjson.dumps(stored).decode()


def spec_from_json(text: str) -> Spec:
    """The spec that ``spec_to_json`` wrote; the same object for the same text, if that is short."""
    return _remembered_spec(text) if len(text) <= MAX_REMEMBERED else _spec(text)


def _spec(text: str) -> Spec:
    stored = orjson.loads(text)
    command = stored["command"]
    rules = {name: stored[name] for name in SPEC_RULES if name in stored}
    _check_types(stored, rules)
    rules |= {name: type(default)(**stored[name]) for name, default in SPEC_PARTS.items() if name in stored}
    if "container" in stored:
        rules["container"] = _container(stored["container"])
    rules |= {name: stored[name] for name in ("name", "labels") if name in stored}
    if "webhooks" in stored:
        rules["webhooks"] = tuple(webhook_from(values) for values in stored["webhooks"])
    if "notify" in stored:
        rules["notify"] = tuple(mailbox_from(*values) for values in stored["notify"])
    return Spec(stored["image"], None if command is None else tuple(command), stored["envs"], stored["metadata"], **rules)


def _check_types(stored: Mapping[str, Any], rules: Mapping[str, Any]) -> None:
    """Raises TypeError for a value that would fail only where it is used."""
    command = stored["command"]
    texts = [stored["image"], *(command if command is not None else ()), *stored["envs"].values()]
    texts += [stored.get("name", ""), *stored.get("labels", {}).values()]
    if not all(isinstance(text, str) for text in texts) or not isinstance(stored["metadata"], dict):
        raise TypeError("its spec has a value of the wrong type")
    if not all(value is None or isinstance(value, int) for value in rules.values()):
        raise TypeError(f"one of its {', '.join(rules)} is not a number")


def _container_document(container: Container) -> dict[str, Any]:
    """A container as a document of the fields that differ from the default; mounts and secrets as lists of their fields' values."""
    parts = _differences(NO_CONTAINER, container)
    if container.mounts:
        parts["mounts"] = [_MOUNT_VALUES(mount) for mount in container.mounts]
    if container.secrets:
        parts["secrets"] = [[secret.name, secret.target] for secret in container.secrets]
    return parts


def _container(parts: dict[str, Any]) -> Container:
    parts |= {name: tuple(parts[name]) for name in ("networks", "constraints") if name in parts}
    if "mounts" in parts:
        parts["mounts"] = tuple(Mount(MountKind(kind), *rest) for kind, *rest in parts["mounts"])
    if "secrets" in parts:
        parts["secrets"] = tuple(Secret(name, target) for name, target in parts["secrets"])
    return Container(**parts)


def _differences(default: object, value: object) -> dict[str, Any]:
    """The fields in which a value differs from the default."""
    return {name: own for name in PART_FIELDS[type(default)] if (own := getattr(value, name)) != getattr(default, name)}


_remembered_spec = lru_cache(maxsize=REMEMBERED_SPECS)(_spec)


def schedule_to_json(schedule: Schedule) -> str:
    """A schedule as JSON text."""
    stored: dict[str, Any] = {"kind": schedule.kind, "at": schedule.at}
    if schedule.cron is not None:
        stored |= {"cron": schedule.cron.text, "timezone": schedule.cron.timezone}
        stored |= {"overlap": schedule.overlap, "catch_up": schedule.catch_up}
    return orjson.dumps(stored).decode()


def schedule_from_json(text: str) -> Schedule:
    """The schedule that ``schedule_to_json`` wrote."""
    stored = orjson.loads(text)
    if "cron" not in stored:
        return Schedule(ScheduleKind(stored["kind"]), stored["at"])
    cron = Cron(stored["cron"], stored["timezone"])
    return Schedule(ScheduleKind(stored["kind"]), stored["at"], cron, Overlap(stored["overlap"]), CatchUp(stored["catch_up"]))


def requester_to_json(requester: Requester | None) -> str | None:
    """A requester as JSON text; None for None."""
    if requester is None:
        return None
    trace = {} if requester.trace is None else {"trace": requester.trace}
    return orjson.dumps({"user": requester.user, "address": requester.address, **trace}).decode()


def requester_from_json(text: str | None) -> Requester | None:
    """The requester that ``requester_to_json`` wrote."""
    if text is None:
        return None
    stored = orjson.loads(text)
    return Requester(stored["user"], stored["address"], stored.get("trace"))


def marks_to_json(marks: Mapping[int, Mark]) -> str:
    """A log head's marks as JSON text."""
    return orjson.dumps({str(stream): _mark_values(mark) for stream, mark in marks.items()}).decode()


def _mark_values(mark: Mark) -> list[int]:
    return [mark.time, mark.ordinal, *([mark.latest] if mark.latest else [])]


def marks_from_json(text: str) -> dict[int, Mark]:
    """The marks that ``marks_to_json`` wrote. Raises Unreadable."""
    try:
        return {int(stream): Mark(*values) for stream, values in orjson.loads(text).items()}
    except FAULTS as error:
        raise unreadable("a part of a log", error) from error


def pack_pieces(pieces: Sequence[Piece]) -> tuple[bytes, bytes]:
    """Pieces as two byte strings: an index with an entry for each piece, and their joined bytes."""
    index = b"".join([PIECE.pack(piece.stream, piece.time, len(piece.data)) for piece in pieces])
    return index, b"".join([piece.data for piece in pieces])


def unpack_pieces(index: bytes, data: bytes) -> tuple[Piece, ...]:
    """The pieces that ``pack_pieces`` packed. Raises Unreadable."""
    pieces = []
    start = 0
    try:
        for stream, time, length in PIECE.iter_unpack(index):
            pieces.append(Piece(stream, time, data[start : start + length]))
            start += length
    except FAULTS as error:
        raise unreadable("a part of a log", error) from error
    return tuple(pieces)


Convert = Callable[[Any], Any]

_JOB_TO: Mapping[str, Convert] = {"spec": spec_to_json, "schedule": schedule_to_json, "requested_by": requester_to_json}
_JOB_FROM: Mapping[str, Convert] = {"spec": spec_from_json, "schedule": schedule_from_json, "requested_by": requester_from_json}
_TICK_TO: Mapping[str, Convert] = {"outcome": str}
_TICK_FROM: Mapping[str, Convert] = {"outcome": Outcome, "at_least": bool}
_EXECUTION_TO: Mapping[str, Convert] = {
    "spec": spec_to_json,
    "failure": failure_to_json,
    "status": str,
    "requested_by": requester_to_json,
    "waits": waits_to_text,
    "usage": usage_to_json,
}
_FIRST_EXECUTION_TO = {name: convert for name, convert in _EXECUTION_TO.items() if name not in ("spec", "requested_by")}
_EXECUTION_FROM: Mapping[str, Convert] = {
    "spec": spec_from_json,
    "failure": failure_from_json,
    "status": {status.value: status for status in Status}.__getitem__,
    "truncated": bool,
    "settled": bool,
    "cleaned": bool,
    "requested_by": requester_from_json,
    "waits": waits_from_text,
    "usage": usage_from_json,
}
_HOST_TO: Mapping[str, Convert] = {"registered_by": requester_to_json}
_HOST_FROM: Mapping[str, Convert] = {"registered_by": requester_from_json, "drained": bool}
_ID = EXECUTION_FIELDS.index("id")
_WHERE = tuple(map(EXECUTION_FIELDS.index, ("service_id", "host", "swarm_id")))
_EXECUTION_NAMES = frozenset(EXECUTION_FIELDS)
_EXECUTION_PLACES = tuple((EXECUTION_FIELDS.index(name), convert) for name, convert in _EXECUTION_FROM.items())


def job_document(job: Job) -> dict[str, Any]:
    """A job as it is stored, in the order of ``JOB_COLUMNS``."""
    document = converted(dict(zip(JOB_FIELDS, _JOB_VALUES(job), strict=True)), _JOB_TO)
    labels = job.spec.labels
    document["labels"] = orjson.dumps([label_text(*label) for label in sorted(labels.items())]).decode() if labels else "[]"
    return document


def label_text(name: str, value: str) -> str:
    """A label as it is stored and found."""
    return f"{name}={value}"


def job_from(document: Mapping[str, Any]) -> Job:
    """The job of a stored document; other fields of the document are ignored. Raises Unreadable."""
    try:
        return Job(**converted({name: document[name] for name in JOB_FIELDS}, _JOB_FROM))
    except FAULTS as error:
        raise unreadable(f"job {document.get('id')}", error) from error


def tick_document(tick: Tick) -> dict[str, Any]:
    """A tick as it is stored."""
    return converted(dict(zip(TICK_FIELDS, _TICK_VALUES(tick), strict=True)), _TICK_TO)


def tick_from(document: Mapping[str, Any]) -> Tick:
    """The tick of a stored document. Raises Unreadable."""
    try:
        return Tick(**converted({name: document[name] for name in TICK_FIELDS}, _TICK_FROM))
    except FAULTS as error:
        raise unreadable(f"tick {document.get('id')}", error) from error


def host_document(record: HostRecord) -> dict[str, Any]:
    """A host as it is stored."""
    return converted({name: getattr(record, name) for name in HOST_FIELDS}, _HOST_TO)


def host_from(document: Mapping[str, Any]) -> HostRecord:
    """The host that is stored like this. Raises Unreadable."""
    try:
        return HostRecord(**converted(dict(document), _HOST_FROM))
    except FAULTS as error:
        raise unreadable(f"the host {document.get('id')}", error) from error


def execution_document(execution: Execution) -> dict[str, Any]:
    """An execution as it is stored."""
    return converted(dict(zip(EXECUTION_FIELDS, _EXECUTION_VALUES(execution), strict=True)), _EXECUTION_TO)


def first_execution_document(execution: Execution, job: Job, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The execution of a new job, which is ``stored``: what both share is written only once."""
    values = dict(zip(EXECUTION_FIELDS, _EXECUTION_VALUES(execution), strict=True))
    if execution.spec is not job.spec or execution.requested_by is not job.requested_by:
        return converted(values, _EXECUTION_TO)
    values["spec"], values["requested_by"] = stored["spec"], stored["requested_by"]
    return converted(values, _FIRST_EXECUTION_TO)


def execution_from(document: Mapping[str, Any]) -> Execution:
    """The execution of a stored document; other fields of the document are ignored. Raises Unreadable."""
    return execution_of([document[name] for name in EXECUTION_FIELDS])


def execution_of(values: list[Any]) -> Execution:
    """The execution of these stored values, which are in the order of ``EXECUTION_FIELDS``. Changes the list. Raises Unreadable."""
    try:
        for place, convert in _EXECUTION_PLACES:
            values[place] = convert(values[place])
        return Execution(*values)
    except FAULTS as error:
        raise unreadable(f"execution {values[_ID]}", error, *(values[place] for place in _WHERE)) from error


def unreadable(
    what: str, error: Exception, service_id: str | None = None, host: str | None = None, swarm_id: str | None = None
) -> Unreadable:
    """The error of a row that cannot be read; the rest says where its service is."""
    kind = type(error).__name__
    words = f"{what} cannot be read from the store ({kind}): a newer fastlane wrote it, or it is damaged"
    return Unreadable(f"{words}; upgrade fastlane, or repair the row", service_id=service_id, host=host, swarm_id=swarm_id)


def change_document(values: Mapping[str, Any]) -> dict[str, Any]:
    """A change's values as they are stored. Raises ValueError for a name that is not a field of an execution."""
    unknown = values.keys() - _EXECUTION_NAMES
    if unknown:
        raise ValueError(f"an execution has no {', '.join(sorted(unknown))}")
    return converted(dict(values), _EXECUTION_TO)


def converted(document: dict[str, Any], converts: Mapping[str, Convert]) -> dict[str, Any]:
    """A document with these of its values converted."""
    for name, convert in converts.items():
        if name in document:
            document[name] = convert(document[name])
    return document
