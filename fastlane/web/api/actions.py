"""Replies to requests that change something, and the schema of the problems that any request may get (RFC 9457)."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.clock import iso
from fastlane.errors import Fault
from fastlane.services.due_then import DueThen
from fastlane.services.jobs import Preview
from fastlane.services.reads.lists import ExecutionView
from fastlane.services.reads.pools import HostRow
from fastlane.services.results import CurrentStatus, Deleted, DispatchPaused, Enqueued, PoolPaused, TaskStopped
from fastlane.services.tickets import Ticket
from fastlane.web.api import serializer as show
from fastlane.web.api.container import RESOURCES, asked_resources
from fastlane.web.api.executions import EXECUTION
from fastlane.web.api.forecast import FORECAST_IMPACT
from fastlane.web.api.hosts import is_usable, why_unusable
from fastlane.web.api.job import SPEC
from fastlane.web.api.jobs import JOB_STATUSES, SCHEDULE
from fastlane.web.api.serializer import RenderContext, Serializer
from fastlane.web.http.problems import Problem

ENQUEUED = Serializer[Enqueued](
    "Enqueued",
    "The ids and URLs of an accepted job.",
    taskId=show.string(lambda made: made.task_id, "The task's id."),
    jobId=show.uuid(lambda made: made.job_id, "The job's id."),
    executionId=show.uuid(
        lambda made: made.execution_id,
        "Null for a job with a start, even one in the past: a worker makes it when that is due. Null for a manual job.",
        null=True,
    ),
    queueJobId=show.uuid(lambda made: made.tick_id, "The tick, as logs and /ticks name it. Null for a manual job.", null=True),
    taskUrl=show.url(lambda made, render: render.task_url(made.task_id), "The task."),
    jobUrl=show.url(lambda made, render: render.job_url(made.task_id, made.job_id), "The job."),
    executionUrl=show.url(
        lambda made, render: render.execution_url(made.task_id, made.job_id, made.execution_id) if made.execution_id else None,
        "The execution.",
        null=True,
    ),
)


@dataclass(frozen=True, slots=True)
class WaitedFor:
    """An accepted job whose execution the client waited for. ``execution``: None when it has none yet."""

    enqueued: Enqueued
    execution: ExecutionView | None


WAITED = Serializer[WaitedFor](
    "Waited",
    "The enqueue reply after wait, with what is known by then.",
    enqueued=show.flattened(ENQUEUED, lambda waited: waited.enqueued),
    execution=show.nested(EXECUTION, lambda waited: waited.execution, null=True),
)

HOST_USE = Serializer[HostRow](
    "HostUse",
    "A host, and why it cannot be used, if so.",
    host=show.string(lambda row: row.name, "Its address, as the settings or its registration have it."),
    usable=show.boolean(lambda row: is_usable(row.view), "Whether the job could go there now."),
    reason=show.string(lambda row: why_unusable(row.view), "Why it could not, if so.", null=True),
)


def _next_runs(preview: Preview) -> Sequence[str]:
    return [iso(moment) for moment in preview.next_runs]


DUE_THEN = Serializer[DueThen](
    "DueThen",
    "Who else is due at the next run of a cron, so that a quieter minute can be chosen.",
    minute=show.timestamp(lambda then: then.minute, "The minute in which the job is next due."),
    otherJobs=show.integer(lambda then: then.others, "How many other jobs of the installation are due in that minute."),
    atLeast=show.boolean(
        lambda then: then.at_least or None, "True: there may be more, because not all jobs were looked at.", optional=True
    ),
)

DRY_RUN = Serializer[Preview](
    "DryRun",
    "What a job would be.",
    valid=show.boolean(lambda _: True, "Always true: a job that is not valid is refused."),
    spec=show.nested(SPEC, lambda preview: preview.spec),
    schedule=show.nested(SCHEDULE, lambda preview: preview.schedule),
    pool=show.string(lambda preview: preview.pool.name, "The pool that takes the task."),
    resources=show.nested(RESOURCES, lambda preview: asked_resources(preview.resources), null=True),
    hosts=show.array(HOST_USE, lambda preview: preview.hosts),
    nextRuns=show.strings(_next_runs, "The next due times, up to five.", format="date-time"),
    dueThen=show.nested(DUE_THEN, lambda preview: preview.due_then, "Of a cron whose next run is known.", optional=True),
    forecast=show.nested(
        FORECAST_IMPACT, lambda preview: preview.forecast, "With `forecast`, of a job whose next run is known.", optional=True
    ),
)

STOPPED = Serializer[CurrentStatus](
    "Stopped",
    "What was asked to stop, pause or resume, and its status afterwards.",
    taskId=show.string(lambda stopped: stopped.task_id, "The task's id."),
    jobId=show.uuid(lambda stopped: stopped.job_id, "The job's id."),
    taskUrl=show.url(lambda stopped, render: render.task_url(stopped.task_id), "The task."),
    jobUrl=show.url(lambda stopped, render: render.job_url(stopped.task_id, stopped.job_id), "The job."),
    status=show.enum(JOB_STATUSES, lambda stopped: stopped.status, "The job's status now, or of the execution that was to stop."),
    stopping=show.boolean(lambda stopped: stopped.stopping or None, "True while a stop has not taken effect yet.", optional=True),
)

EXECUTION_STOPPED = Serializer[CurrentStatus](
    "ExecutionStopped",
    "An execution that was asked to stop, and its status afterwards.",
    job=show.flattened(STOPPED, lambda stopped: stopped),
    executionId=show.uuid(lambda stopped: stopped.execution_id, "The execution's id."),
    executionUrl=show.url(lambda one, render: render.resource_url(one.task_id, one.job_id, one.execution_id), "The execution."),
)

TASK_STOPPED = Serializer[TaskStopped](
    "TaskStopped",
    "How many of a task's jobs were asked to stop: those that were running or still had to run.",
    taskId=show.string(lambda task: task.task_id, "The task's id."),
    taskUrl=show.url(lambda task, render: render.task_url(task.task_id), "The task."),
    stopped=show.integer(lambda task: task.stopped, "How many."),
)

JOB_LINK = Serializer[tuple[str, str]](
    "JobLink",
    "A job, by its task and its id.",
    taskId=show.string(lambda of: of[0], "The task's id."),
    jobId=show.uuid(lambda of: of[1], "The job's id."),
    url=show.url(lambda of, render: render.job_url(*of), "The job."),
)

DELETED = Serializer[Deleted](
    "Deleted",
    "What was deleted.",
    taskId=show.string(lambda deleted: deleted.task_id, "The task's id."),
    jobId=show.uuid(lambda deleted: deleted.job_id, "Null: the whole task.", null=True),
    deleted=show.boolean(lambda _: True, "Always true."),
    followers=show.array(
        JOB_LINK, lambda deleted: deleted.followers or None, "Jobs that followed it, and now do not run; up to 100.", optional=True
    ),
)

POOL_PAUSED = Serializer[PoolPaused](
    "PoolPaused",
    "A pool, and whether it is paused.",
    pool=show.string(lambda pool: pool.pool, "The pool's name."),
    paused=show.boolean(lambda pool: pool.paused, "Whether it is paused now."),
)

DISPATCH_PAUSED = Serializer[DispatchPaused](
    "DispatchPaused",
    "Whether all dispatch is paused.",
    paused=show.boolean(lambda dispatch: dispatch.paused, "Whether it is paused now."),
)


@dataclass(frozen=True, slots=True)
class TicketFor:
    """A ticket, and the ids of the job or execution that it opens."""

    ticket: Ticket
    ids: tuple[str, ...]


def _socket_url(of: TicketFor, render: RenderContext) -> str:
    return f"ws{render.resource_url(*of.ids).removeprefix('http')}ws/?ticket={of.ticket.text}"


TICKET = Serializer[TicketFor](
    "Ticket",
    "A ticket that lets a browser in once, within a short time: it cannot send a token.",
    ticket=show.string(lambda of: of.ticket.text, "A secret; both URLs contain it."),
    expiresAt=show.timestamp(lambda of: of.ticket.expires_at, "When it expires."),
    url=show.url(_socket_url, "The WebSocket."),
    streamUrl=show.url(lambda of, render: f"{render.resource_url(*of.ids)}stream/?ticket={of.ticket.text}", "The page."),
)

FAULT = Serializer[Fault](
    "Fault",
    "One thing that is wrong with the request.",
    field=show.string(lambda fault: fault.field, "A dotted path; empty for the whole."),
    message=show.string(lambda fault: fault.message, "What to do about it."),
)

PROBLEM = Serializer[Problem](
    "Problem",
    "An error (RFC 9457).",
    type=show.string(lambda _: "about:blank", "Always about:blank; title and status say what kind it is."),
    title=show.string(lambda problem: problem.title, "The status in words."),
    status=show.integer(lambda problem: problem.status, "The HTTP status.", least=400),
    detail=show.string(
        lambda problem: problem.detail, "What is wrong and what to do, for people; of several faults, the names of the fields."
    ),
    error=show.string(lambda problem: problem.detail, "The detail again, for clients of fastlane 2.x."),
    errors=show.array(FAULT, lambda problem: problem.faults or None, "Every fault by its field, for programs and forms.", optional=True),
    executionStatus=show.enum(
        JOB_STATUSES, lambda problem: problem.execution_status, "The status of an execution without a log yet.", optional=True
    ),
    jobId=show.string(lambda problem: problem.job and problem.job[1], "The job that a unique one equals, and that waits.", optional=True),
    jobUrl=show.string(lambda problem: problem.job_url, "The URL of that job.", optional=True),
)
