"""Backfills: the body that asks for one, and the answers about one and about its preview."""

from fastlane.clock import iso
from fastlane.models.backfill import MOST_AT_ONCE, MOST_DUE_TIMES, Backfill, BackfillState
from fastlane.models.schedule import read_moment
from fastlane.services.backfills import BackfillPreview
from fastlane.web.api import json_schema, serializer as show
from fastlane.web.api.body import BodyField, BodyObject, whole_number
from fastlane.web.api.executions import REQUESTER
from fastlane.web.api.serializer import Serializer

SINCE = BodyField(
    read_moment,
    json_schema.MOMENT,
    f"The first moment of the range: {json_schema.MOMENT_WORDS}.",
    required=True,
    missing='is missing; give the first moment of the range, such as {"from": "2026-11-24T00:00:00Z"}',
)
UNTIL = BodyField(read_moment, json_schema.MOMENT, "The last moment of the range; now unless given.")
BACKFILL_BODY = BodyObject(
    "a backfill",
    "BackfillRange",
    False,
    **{
        "from": SINCE,
        "to": UNTIL,
        "limit": whole_number(1, MOST_AT_ONCE, "How many of its executions may be under way at the same time; 1 unless given."),
    },
)
"""The body of ``POST …/backfill``."""

BACKFILL = Serializer[Backfill](
    "Backfill",
    "A backfill of a job, and how far it is.",
    taskId=show.string(lambda one: one.task_id, "The task's id."),
    jobId=show.uuid(lambda one: one.id, "The job's id."),
    jobUrl=show.url(lambda one, render: render.job_url(one.task_id, one.id), "The job."),
    backfill=show.uuid(lambda one: one.request, "Its own id, which its executions have."),
    status=show.enum(BackfillState, lambda one: one.state, "Whether it goes on."),
    reason=show.string(lambda one: one.reason, "Why it ended early.", null=True),
    **{
        "from": show.timestamp(lambda one: one.since, "The first moment of the range."),
        "to": show.timestamp(lambda one: one.until, "The last moment of the range."),
    },
    limit=show.integer(lambda one: one.most, "How many of its executions may be under way at the same time.", least=1),
    total=show.integer(lambda one: one.total, f"Its due times, up to {MOST_DUE_TIMES:,}."),
    left=show.integer(lambda one: len(one.remaining), "Due times that have not begun."),
    running=show.integer(lambda one: len(one.open), "Due times whose execution has begun and is not known to have ended."),
    succeeded=show.integer(lambda one: one.succeeded, "Due times that ended with a success."),
    failed=show.integer(lambda one: one.failed, "Due times that ended without one."),
    expired=show.integer(lambda one: one.expired, "Due times that made no execution, since they had expired."),
    next=show.timestamp(lambda one: next(iter(one.remaining), None), "The due time that begins next.", null=True),
    createdAt=show.timestamp(lambda one: one.created_at, "When it was asked for. Expiration counts from then."),
    endedAt=show.timestamp(lambda one: one.ended_at, "When it ended.", null=True),
    requestedBy=show.nested(REQUESTER, lambda one: one.requested_by, null=True),
)

BACKFILL_PREVIEW = Serializer[BackfillPreview](
    "BackfillPreview",
    "What a backfill would run.",
    **{
        "from": show.timestamp(lambda one: one.since, "The first moment of the range."),
        "to": show.timestamp(lambda one: one.until, "The last moment of the range."),
    },
    limit=show.integer(lambda one: one.most, "How many of its executions would be under way at the same time.", least=1),
    total=show.integer(lambda one: len(one.found.due), "How many due times would run."),
    dueTimes=show.strings(lambda one: map(iso, one.found.due), "These, oldest first.", format="date-time"),
    succeeded=show.integer(lambda one: one.found.succeeded, "Due times of the range that have a success, and would not run."),
    underWay=show.integer(lambda one: one.found.under_way, "Due times of the range that are under way, and would not run."),
)
