"""Values as MongoDB's documents, and back: those of ``storage.documents``, with the fields from which indexes are made."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import orjson

from fastlane.models.event import Event
from fastlane.models.execution import Execution
from fastlane.models.ids import IdempotencyRecord
from fastlane.models.job import Job, Task
from fastlane.models.status import FINAL, UNDER_WAY, Status
from fastlane.models.tick import Tick
from fastlane.storage.documents import execution_document, execution_from, job_document, job_from, tick_document, tick_from
from fastlane.storage.event_rows import event_document
from fastlane.storage.mongo import schema
from fastlane.storage.mongo.driver.database import Document
from fastlane.storage.words import words_of

LATER: Document = {"usage": None}
"""Fields of an execution that older versions of fastlane do not write."""
ADDED: Mapping[str, Any] = {"check_at": None, "late_since": None}
"""Fields that jobs of an older fastlane do not have, with their values then."""
RECORD_FIELDS = tuple(field.name for field in fields(IdempotencyRecord))


def job_row(job: Job) -> Document:
    """A job. ``is_cron`` and ``expiration`` are what its status follows from beside its fields."""
    row = _under_id(job_document(job))
    row |= {"labels": orjson.loads(row["labels"]), "is_cron": job.schedule.cron is not None, "expiration": job.spec.expiration}
    to_come = job.next_tick is not None or job.held_tick is not None
    return row | _true({schema.TO_COME: to_come, schema.TO_CHECK: job.check_at is not None})


def read_job(row: Document) -> Job:
    """The job of a row. Raises Unreadable."""
    return job_from({**ADDED, **row, "id": row["_id"]})


def tick_row(tick: Tick, incarnation: str, made: str) -> Document:
    """A tick. With its job's incarnation, so that one that is inserted late is not shown of another job under the same id."""
    return {**_under_id(tick_document(tick)), "incarnation": incarnation, "made": made}


def read_tick(row: Document) -> Tick:
    """The tick of a row. Raises Unreadable."""
    return tick_from({**row, "id": row["_id"]})


def event_row(event: Event) -> Document:
    """A recorded event."""
    return _under_id(event_document(event))


def execution_row(execution: Execution, made: str) -> Document:
    """A new execution. One that has ended, as an import makes them, is not counted yet."""
    uncounted = {schema.UNCOUNTED: execution.status in FINAL}
    return {**_under_id(execution_document(execution)), **_true(flags(execution) | uncounted), "made": made}


def read_execution(row: Document) -> Execution:
    """The execution of a row. Raises Unreadable."""
    return execution_from({**LATER, **row, "id": row["_id"]})


def flags(execution: Execution) -> dict[str, bool]:
    """The conditions of an execution's partial indexes."""
    final = execution.status in FINAL
    return {
        schema.UNDER_WAY: execution.status in UNDER_WAY,
        schema.UNSETTLED: final and not execution.settled,
        schema.UNCLEANED: execution.settled and not execution.cleaned,
        schema.UNFINISHED: not execution.settled or not execution.cleaned,
        schema.ON_HOST: execution.host is not None and not execution.cleaned,
        schema.WAITING: execution.waits is not None and execution.status is Status.ENQUEUED,
    }


def flag_changes(execution: Execution) -> dict[str, dict[str, Any]]:
    """The change that gives a row the flags of this execution."""
    after = flags(execution)
    raised, lowered = _true(after), {name: "" for name, is_true in after.items() if not is_true}
    return {"$set": raised, "$unset": lowered}


def task_words(task_id: str) -> list[str]:
    """The words by which a task is found."""
    return sorted(set(words_of(task_id)))


def read_task(row: Document, jobs_count: int) -> Task:
    """The task of a row."""
    return Task(row["_id"], row["created_at"], row["modified_at"], jobs_count)


def record_row(record: IdempotencyRecord) -> Document:
    """A record of a request."""
    row = asdict(record)
    return {"_id": row.pop("key"), **row}


def read_record(row: Document) -> IdempotencyRecord:
    """The record of a row."""
    return IdempotencyRecord(row["_id"], *(row[name] for name in RECORD_FIELDS[1:]))


def _under_id(document: dict[str, Any]) -> Document:
    return {"_id": document.pop("id"), **document}


def _true(conditions: Mapping[str, bool]) -> dict[str, bool]:
    return {name: True for name, is_true in conditions.items() if is_true}
