"""Jobs in lists and in full; tasks; and the ticks of jobs. ``job`` has what a job is made of."""

from collections.abc import Sequence

from fastlane.clock import iso
from fastlane.models.cron import describe
from fastlane.models.job import Job, Task, next_runs
from fastlane.models.schedule import CatchUp, Overlap, Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick
from fastlane.services.reads.lists import JobDetail, JobView, TaskJobsView, TicksView
from fastlane.web.api.executions import EXECUTION, LAST_EXECUTION, REQUESTER, command
from fastlane.web.api.job import DEFINITION, SPEC
from fastlane.web.api.notifications import LISTENERS, WEBHOOKS
from fastlane.web.api.serializer import (
    LINK,
    Listing,
    Serializer,
    array,
    boolean,
    enum,
    envs,
    integer,
    mapping,
    nested,
    page_of,
    pagination,
    seconds,
    string,
    strings,
    timestamp,
    url,
    uuid,
)

JOB_STATUSES = (*Status, "scheduled", "paused")
STATUS_WORDS = "paused; else that of its execution under way; else stopped or scheduled; else that of its last execution."

SCHEDULE = Serializer[Schedule](
    "Schedule",
    "When a job runs.",
    kind=enum(ScheduleKind, lambda schedule: schedule.kind, "now: once, when it was posted; at: once, later; cron: repeatedly."),
    startAt=timestamp(lambda schedule: schedule.at, "Of a job that runs once, later.", null=True),
    cron=string(lambda schedule: schedule.cron.text if schedule.cron else None, "As it was given.", optional=True),
    timezone=string(
        lambda schedule: schedule.cron.timezone if schedule.cron else None, "The zone whose clocks the cron means.", optional=True
    ),
    description=string(
        lambda schedule: describe(schedule.cron.text) if schedule.cron else None,
        "The cron in words, by the clocks of its zone.",
        optional=True,
    ),
    overlap=enum(
        Overlap,
        lambda schedule: schedule.overlap if schedule.cron else None,
        "What a tick of a cron does while an earlier execution is under way.",
        optional=True,
    ),
    catchUp=enum(
        CatchUp,
        lambda schedule: schedule.catch_up if schedule.cron else None,
        "What follows when ticks of a cron were missed.",
        optional=True,
    ),
)

JOB_ROW = Serializer[JobView](
    "JobRow",
    "A job in a list.",
    id=uuid(lambda view: view.job.id, "The job's id."),
    url=url(lambda view, render: render.job_url(view.job.task_id, view.job.id), "Where it is read."),
    taskId=string(lambda view: view.job.task_id, "Its task's id."),
    name=string(lambda view: view.job.spec.name, "A name for people.", null=True),
    labels=mapping(lambda view: view.job.spec.labels, "Its labels, by name.", values={"type": "string"}),
    createdAt=timestamp(lambda view: view.job.created_at, "When it was made."),
    lastModifiedAt=timestamp(lambda view: view.job.modified_at, "When it was last changed."),
    image=string(lambda view: view.job.spec.image, "The image that it runs."),
    command=command(lambda view: view.job.spec.command),
    schedule=nested(SCHEDULE, lambda view: view.job.schedule),
    status=enum(JOB_STATUSES, lambda view: view.status, STATUS_WORDS),
    nextRunAt=timestamp(lambda view: view.next_run, "Its next tick.", null=True),
    lastExecution=nested(LAST_EXECUTION, lambda view: view.latest, null=True),
)

JOB_PAGE = page_of("JobPage", "A page of jobs.", JOB_ROW)

TASK = Serializer[Task](
    "Task",
    "A task in a list.",
    taskId=string(lambda task: task.id, "The task's id."),
    createdAt=timestamp(lambda task: task.created_at, "When its first job was made."),
    lastModifiedAt=timestamp(lambda task: task.modified_at, "When a job of it was last made or changed."),
    jobsCount=integer(lambda task: task.jobs_count, "How many jobs it has."),
    url=url(lambda task, render: render.task_url(task.id), "Where its jobs are listed."),
)

TASK_PAGE = page_of("TaskPage", "A page of tasks.", TASK)

TASK_JOBS = Serializer[Listing[TaskJobsView]](
    "TaskJobs",
    "A task with a page of its jobs.",
    taskId=string(lambda listing: listing.view.task.id, "The task's id."),
    url=url(lambda listing, render: render.task_url(listing.view.task.id), "This task."),
    jobsCount=integer(lambda listing: listing.view.task.jobs_count, "How many jobs it has."),
    jobs=array(JOB_ROW, lambda listing: listing.view.jobs.rows),
    page=pagination(),
)

JOB_METADATA = Serializer[Job](
    "JobMetadata",
    "What a job was given, under the names of fastlane 2.x.",
    custom=mapping(lambda job: job.spec.metadata, "The metadata that the client gave."),
    envs=envs(lambda job: job.spec.envs),
    retries=integer(lambda job: job.spec.retries, "How many further attempts may follow a failed one."),
    timeout=seconds(lambda job: job.spec.timeout, "Seconds of running."),
    cron=string(lambda job: job.schedule.cron.text if job.schedule.cron else None, "The cron, as it was given.", null=True),
    expiration=timestamp(lambda job: job.spec.expiration, "It does not start after that.", null=True),
    notify=nested(LISTENERS, lambda job: job.spec.notify),
    webhooks=nested(WEBHOOKS, lambda job: job.spec.webhooks),
)


def _next_runs(detail: JobDetail) -> Sequence[str]:
    job = detail.view.job
    return [iso(moment) for moment in next_runs(job.spec, job.schedule, detail.view.next_run)]


def _late_since(detail: JobDetail) -> int | None:
    job = detail.view.job
    return None if job.stopped else job.late_since


JOB_FULL = Serializer[JobDetail](
    "JobFull",
    "A job in full.",
    id=uuid(lambda detail: detail.view.job.id, "The job's id."),
    url=url(lambda detail, render: render.job_url(detail.view.job.task_id, detail.view.job.id), "This job."),
    taskId=string(lambda detail: detail.view.job.task_id, "Its task's id."),
    createdAt=timestamp(lambda detail: detail.view.job.created_at, "When it was made."),
    lastModifiedAt=timestamp(lambda detail: detail.view.job.modified_at, "When it was last changed."),
    scheduled=boolean(lambda detail: detail.view.next_run is not None, "Whether a tick is to come."),
    status=enum(JOB_STATUSES, lambda detail: detail.view.status, STATUS_WORDS),
    nextRunAt=timestamp(lambda detail: detail.view.next_run, "Its next tick.", null=True),
    nextRuns=strings(_next_runs, "Its next ticks, up to five.", format="date-time"),
    spec=nested(SPEC, lambda detail: detail.view.job.spec),
    schedule=nested(SCHEDULE, lambda detail: detail.view.job.schedule),
    executionCount=integer(lambda detail: detail.executions.total, "How many executions it has."),
    executions=array(EXECUTION, lambda detail: detail.executions.rows, "A page of them, newest first."),
    metadata=nested(JOB_METADATA, lambda detail: detail.view.job),
    requestedBy=nested(REQUESTER, lambda detail: detail.view.job.requested_by, null=True),
    name=string(lambda detail: detail.view.job.spec.name, "A name for people.", null=True),
    labels=mapping(lambda detail: detail.view.job.spec.labels, "Its labels, by name.", values={"type": "string"}),
    lateSince=timestamp(_late_since, "Since when it is late by its expectEvery; null when it is not.", null=True),
    definition=nested(DEFINITION, lambda detail: detail.view.job),
)

JOB_DETAIL = Serializer[Listing[JobDetail]](
    "JobDetail",
    "A job with a page of its executions; the pagination is about these.",
    task=nested(LINK, lambda listing: (listing.view.view.job.task_id,)),
    job=nested(JOB_FULL, lambda listing: listing.view),
    page=pagination(),
)

TICK = Serializer[tuple[Job, Tick]](
    "Tick",
    "A due time of a job, and what became of it.",
    id=uuid(lambda of: of[1].id, "The tick's id, which logs show, too."),
    due=timestamp(lambda of: of[1].due, "When it was due; of a run of missed ticks, the first."),
    until=timestamp(lambda of: of[1].until, "Of a run of missed ticks, the last.", null=True),
    count=integer(lambda of: of[1].count, "How many ticks the row stands for.", least=1),
    atLeast=boolean(lambda of: of[1].at_least, "Whether there were more, which were not counted."),
    outcome=enum(Outcome, lambda of: of[1].outcome, "What became of it."),
    reason=string(lambda of: of[1].reason, "Why nothing started, or what it waited for.", null=True),
    execution=nested(LINK, lambda of: (of[0].task_id, of[0].id, of[1].execution_id) if of[1].execution_id else None, null=True),
    createdAt=timestamp(lambda of: of[1].created_at, "When this was decided."),
)

TICK_PAGE = Serializer[Listing[TicksView]](
    "TickPage",
    "A page of a job's tick ledger.",
    items=array(TICK, lambda listing: [(listing.view.job, tick) for tick in listing.view.ticks.rows]),
    page=pagination(),
)
