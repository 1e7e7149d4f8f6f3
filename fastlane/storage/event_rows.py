"""Events as they are stored, and as they are read from the rows of jobs and executions. All adapters use these functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import orjson

from fastlane.models.access import Requester
from fastlane.models.event import Event, EventKind, Source
from fastlane.storage.documents import FAULTS, requester_from_json, requester_to_json, unreadable
from fastlane.storage.execution_values import failure_from_json

EVENT_FIELDS = tuple(field.name for field in fields(Event))
Row = Mapping[str, Any]


def event_document(event: Event) -> dict[str, Any]:
    """An event as it is stored, in the order of ``EVENT_FIELDS``."""
    row = {name: getattr(event, name) for name in EVENT_FIELDS}
    return {**row, "kind": event.kind.value, "actor": requester_to_json(event.actor), "detail": orjson.dumps(dict(event.detail)).decode()}


def event_from(row: Row) -> Event:
    """The event of a stored document; other fields of the document are ignored. Raises Unreadable."""
    return READINGS[Source.RECORDED].read(row)


def creator_of(job_id: str, created_by: str | None, requested_by: str | None) -> Requester | None:
    """Who made a job: ``created_by`` is None until somebody changes it. Raises Unreadable."""
    try:
        return requester_from_json(created_by or requested_by)
    except FAULTS as error:
        raise unreadable(f"job {job_id}", error) from error


def _recorded(row: Row) -> Event:
    converted = {"kind": EventKind(row["kind"]), "actor": requester_from_json(row["actor"]), "detail": orjson.loads(row["detail"])}
    return Event(**{name: row[name] for name in EVENT_FIELDS} | converted)


def _created(row: Row) -> Event:
    kind = orjson.loads(row["schedule"])["kind"]
    actor = creator_of(row["id"], row["created_by"], row["requested_by"])
    return Event(row["id"], row["created_at"], EventKind.JOB_CREATED, actor, row["task_id"], row["id"], detail={"schedule": kind})


def _enqueued(row: Row) -> Event:
    detail = {"attempt": row["attempt"], "scheduledFor": row["scheduled_for"]}
    return _of_execution(row, EventKind.EXECUTION_ENQUEUED, row["created_at"], detail)


def _started(row: Row) -> Event:
    detail = {"attempt": row["attempt"], "startedAt": row["started_at"]}
    return _of_execution(row, EventKind.EXECUTION_STARTED, row["start_noted_at"], detail)


def _ended(row: Row) -> Event:
    failure = failure_from_json(row["failure"])
    found = {"exitCode": row["exit_code"], "reason": None if failure is None else failure.reason.value}
    detail = {"attempt": row["attempt"], "status": row["status"]} | {name: value for name, value in found.items() if value is not None}
    return _of_execution(row, EventKind.EXECUTION_ENDED, row["end_noted_at"], detail)


def _of_execution(row: Row, kind: EventKind, time: int, detail: Mapping[str, Any]) -> Event:
    actor = requester_from_json(row["requested_by"]) if kind is EventKind.EXECUTION_ENQUEUED else None
    ids = row["task_id"], row["job_id"], row["id"]
    return Event(row["id"], time, kind, actor, *ids, row.get("host"), row.get("pool"), detail)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the events of a source are read: the columns of a row, the one with their time, the one with the job's id, and what makes an
    event of it."""

    columns: tuple[str, ...]
    time: str
    job: str
    make: Callable[[Row], Event]

    def read(self, row: Row) -> Event:
        """The event of a row. Raises Unreadable."""
        try:
            return self.make(row)
        except FAULTS as error:
            raise unreadable(f"an event of {row.get('id')}", error) from error


_IDS = ("id", "task_id", "job_id", "attempt")
READINGS: Mapping[Source, Reading] = {
    Source.RECORDED: Reading(EVENT_FIELDS, "time", "job_id", _recorded),
    Source.CREATED: Reading(("id", "task_id", "created_at", "created_by", "requested_by", "schedule"), "created_at", "id", _created),
    Source.ENQUEUED: Reading((*_IDS, "created_at", "scheduled_for", "requested_by"), "created_at", "job_id", _enqueued),
    Source.STARTED: Reading((*_IDS, "start_noted_at", "started_at", "host", "pool"), "start_noted_at", "job_id", _started),
    Source.ENDED: Reading((*_IDS, "end_noted_at", "status", "exit_code", "failure", "host", "pool"), "end_noted_at", "job_id", _ended),
}
