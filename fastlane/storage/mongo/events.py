"""Reads and inserts of events: recorded ones are documents of their own, the others are read from jobs and executions along indexes by
time."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastlane.models.event import Event, Source, Span
from fastlane.storage.event_rows import READINGS
from fastlane.storage.mongo.commits.intents import complete_pending
from fastlane.storage.mongo.driver.database import Database, Document
from fastlane.storage.mongo.jobs import LAST
from fastlane.storage.mongo.rows import event_row
from fastlane.storage.mongo.schema import BY_ID, EVENTS, EXECUTIONS, GONE_AT, JOBS
from fastlane.storage.readable import filled

_COLLECTIONS: Mapping[Source, tuple[str, str]] = {
    Source.RECORDED: (EVENTS, "events_by_time"),
    Source.CREATED: (JOBS, "jobs_by_creation"),
    Source.ENQUEUED: (EXECUTIONS, "executions_by_creation"),
    Source.STARTED: (EXECUTIONS, "executions_by_start"),
    Source.ENDED: (EXECUTIONS, "executions_by_end"),
}
"""The collection of each source, and its index by time."""


async def insert(db: Database, events: Sequence[Event]) -> bool:
    """Records those whose ids no document has; whether any were given."""
    await db.insert_missing(EVENTS, [event_row(event) for event in events])
    return bool(events)


async def read(db: Database, source: Source, span: Span, limit: int) -> Sequence[Event]:
    """The first events of a source in a span. What was committed before is carried out, so that it is among them."""
    await complete_pending(db)
    collection, index = _COLLECTIONS[source]
    reading = READINGS[source]
    direction = -1 if span.backwards else 1
    filter, index = _narrowed(source, span, index)
    filter |= _between(reading.time, span)
    fields = tuple(name for name in reading.columns if name != "id")

    def event(row: Document) -> Event:
        return reading.read({"created_by": None, **row, "id": row["_id"]})

    async def fetch(count: int) -> list[Document]:
        sort = [(reading.time, direction), ("_id", direction)]
        return await db.find(collection, filter, index, sort=sort, limit=count, fields=fields)

    return await filled(fetch, limit, event)


async def prune(db: Database, before: int, limit: int) -> int:
    """Deletes the oldest from before a moment."""
    filter = {"time": {"$gte": 0, "$lt": before}}
    rows = await db.find(EVENTS, filter, "events_by_time", sort=[("time", 1), ("_id", 1)], limit=limit, fields=("time",))
    return await db.delete(EVENTS, {"_id": {"$in": [row["_id"] for row in rows]}}) if rows else 0


def _narrowed(source: Source, span: Span, index: str) -> tuple[dict[str, Any], str]:
    """The filter by which a span is narrowed, and the index to walk."""
    of_recorded, of_jobs = source is Source.RECORDED, source is Source.CREATED
    filter: dict[str, Any] = {GONE_AT: {"$exists": False}} if of_jobs else {}
    if span.execution_id is not None and not of_jobs:
        return (
            ({"execution_id": span.execution_id}, "events_of_execution") if of_recorded else ({"_id": {"$in": [span.execution_id]}}, BY_ID)
        )
    if span.job_id is not None:
        if of_jobs:
            return {"_id": {"$in": [span.job_id]}, **filter}, BY_ID
        return {"job_id": span.job_id}, "events_of_job" if of_recorded else "executions_of_job"
    return ({"task_id": span.task_id, **filter} if span.task_id is not None else filter), index


def _between(field: str, span: Span) -> Mapping[str, Any]:
    first, last = (span.last, span.first) if span.backwards else (span.first, span.last)
    return {
        field: {"$gte": max(1, first.time), "$lte": min(last.time, LAST)},
        "$and": [
            {"$or": [{field: {"$gt": first.time}}, {field: first.time, "_id": {"$gte": first.id}}]},
            {"$or": [{field: {"$lt": last.time}}, {field: last.time, "_id": {"$lte": last.id}}]},
        ],
    }
