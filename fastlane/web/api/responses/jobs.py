"""Jobs: what they run and when, in lists and in full; and their ticks."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastlane.clock import iso
from fastlane.log import MASK
from fastlane.models.cron import describe
from fastlane.models.job import Job, Spec, Task, next_runs
from fastlane.models.notify import Mailbox, NotificationTrigger, Webhook
from fastlane.models.retention import NO_RETENTION, Retention, show_age
from fastlane.models.schedule import CatchUp, Overlap, Schedule, ScheduleKind, show_duration
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick
from fastlane.services.reads.lists import JobDetail, JobView, TaskJobsView, TicksView
from fastlane.web.api.requests.readers import MAX_COMMAND_TEXT
from fastlane.web.api.responses.container import CONTAINER, RESOURCES, asked_container, asked_resources
from fastlane.web.api.responses.executions import EXECUTION, LAST_EXECUTION, REQUESTER, command
from fastlane.web.api.serializer import (
    LINK,
    Field,
    Listing,
    RenderContext,
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
    rendered,
    seconds,
    string,
    strings,
    timestamp,
    url,
    uuid,
)


def own_retention(retention: Retention) -> Retention | None:
    """None when the job has no rules of its own."""
    return None if retention == NO_RETENTION else retention


def _shown(age: int | None) -> str | None:
    return None if age is None else show_age(age)


RETENTION = Serializer[Retention](
    "RetentionRules",
    "A job's own rules of retention, which count where they are stricter than those of its pool or the server.",
    jobs=string(
        lambda rules: _shown(rules.jobs),
        "How long the job stays once it will not run again; null: no rule.",
        null=True,
        examples=["7d"],
    ),
    executions=string(lambda rules: _shown(rules.executions), "How long an execution stays after its end; null: no rule.", null=True),
    maxExecutions=integer(lambda rules: rules.max_executions, "How many of the newest executions stay; null: no rule.", null=True, least=1),
    logs=string(lambda rules: _shown(rules.logs), "How long a log stays after the end of its execution; null: no rule.", null=True),
)


def shown_url(webhook: Webhook, render: RenderContext) -> str:
    """A webhook's URL, without a password in it."""
    return render.redaction.text(webhook.url)


def _shown_body(part: Any, render: RenderContext) -> Any:
    """A part of a template. What has a secret name, such as a service's own key, is masked."""
    match part:
        case dict():
            return {
                name: MASK if isinstance(value, str) and render.redaction.is_secret(name) else _shown_body(value, render)
                for name, value in part.items()
            }
        case list():
            return [_shown_body(value, render) for value in part]
        case str():
            return render.redaction.text(part)
        case _:
            return part


def _headers(webhook: Webhook) -> Mapping[str, str] | None:
    return dict.fromkeys(webhook.headers, MASK) or None


WEBHOOK = Serializer[Webhook](
    "Webhook",
    "Where an end is posted to.",
    url=rendered(shown_url, {"type": "string"}, "The receiver's URL. A password in it is shown as ********."),
    headers=mapping(
        _headers, "Headers that go with each request. Every value is shown as ********.", values={"type": "string"}, optional=True
    ),
    retries=integer(lambda webhook: webhook.retries, "How many attempts may follow a failed one."),
    body=rendered(
        lambda webhook, render: None if webhook.body is None else _shown_body(webhook.body, render),
        {"type": "object", "additionalProperties": {}},
        "The template of what is posted, if it has one. Texts with a secret name are shown as ********.",
    ),
)


def _of(trigger: NotificationTrigger, webhooks: Sequence[Webhook]) -> list[Webhook]:
    return [webhook for webhook in webhooks if webhook.trigger is trigger]


WEBHOOKS = Serializer[Sequence[Webhook]](
    "Webhooks",
    "The webhooks of a job, by what they are told of.",
    succeeds=array(WEBHOOK, lambda webhooks: _of(NotificationTrigger.SUCCEEDS, webhooks), "When an execution is done."),
    fails=array(WEBHOOK, lambda webhooks: _of(NotificationTrigger.FAILS, webhooks), "When one fails, times out or expires."),
    finishes=array(WEBHOOK, lambda webhooks: _of(NotificationTrigger.FINISHES, webhooks), "When one ends, however it does."),
    late=array(WEBHOOK, lambda webhooks: _of(NotificationTrigger.LATE, webhooks), "When the job is late by its expectEvery."),
    recovered=array(WEBHOOK, lambda webhooks: _of(NotificationTrigger.RECOVERED, webhooks), "When it succeeds after that."),
)


def _addresses(trigger: NotificationTrigger) -> Callable[[Sequence[Mailbox]], list[str]]:
    return lambda mailboxes: [mailbox.address for mailbox in mailboxes if mailbox.trigger is trigger]


LISTENERS = Serializer[Sequence[Mailbox]](
    "Listeners",
    "The e-mail addresses of a job, by what they get a mail about.",
    succeeds=strings(_addresses(NotificationTrigger.SUCCEEDS), "When an execution is done."),
    fails=strings(_addresses(NotificationTrigger.FAILS), "When one fails, times out or expires."),
    finishes=strings(_addresses(NotificationTrigger.FINISHES), "When one ends, however it does."),
    late=strings(_addresses(NotificationTrigger.LATE), "When the job is late by its expectEvery."),
    recovered=strings(_addresses(NotificationTrigger.RECOVERED), "When it succeeds after that."),
)


def _command(job: Job, render: RenderContext) -> str | list[str] | None:
    arguments: Sequence[str] | None = job.spec.command
    if arguments is None:
        return None
    shown = [render.redaction.text(argument) for argument in arguments]
    text = shlex.join(shown)
    return text if len(text) <= MAX_COMMAND_TEXT else shown


def _duration(name: str, about: str) -> Field[Job]:
    """A duration of the spec, as text, unless it is None."""

    def show(job: Job) -> str | None:
        milliseconds = getattr(job.spec, name)
        return None if milliseconds is None else show_duration(milliseconds / 1000)

    return string(show, about, optional=True, examples=["1m30s"])


def _given(values: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return values or None


def _cron(job: Job) -> str | None:
    return job.schedule.cron.text if job.schedule.cron else None


def _overlap(job: Job) -> Overlap | None:
    return None if job.schedule.overlap is Overlap.ALLOW else job.schedule.overlap


def _catch_up(job: Job) -> CatchUp | None:
    return None if job.schedule.catch_up is CatchUp.LATEST else job.schedule.catch_up


def _integer(name: str, about: str, least: int = 1) -> Field[Job]:
    """A number of the spec, unless it is 0."""
    return integer(lambda job: getattr(job.spec, name) or None, about, optional=True, least=least)


def _retries(job: Job) -> int | None:
    """A retryDelay needs retries beside it, if only 0."""
    return job.spec.retries if job.spec.retries or job.spec.retry_delay is not None else None


DEFINITION = Serializer[Job](
    "Definition",
    "The job as the body that PUT takes. Only redacted values (********) must be filled in before it is sent.",
    name=string(lambda job: job.spec.name, "A name for people.", optional=True),
    labels=mapping(lambda job: _given(job.spec.labels), "Its labels, by name.", values={"type": "string"}, optional=True),
    image=string(lambda job: job.spec.image, "The image."),
    command=rendered(
        _command,
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        f"Text; a list when it is longer than {MAX_COMMAND_TEXT:,} characters.",
    ),
    envs=envs(lambda job: job.spec.envs, optional=True),
    startAt=timestamp(lambda job: job.schedule.at, "When a job that runs once, later, is due.", optional=True),
    cron=string(_cron, "The cron, as it was given.", optional=True),
    timezone=string(
        lambda job: job.schedule.cron.timezone if job.schedule.cron else None, "The zone whose clocks the cron means.", optional=True
    ),
    overlap=enum(Overlap, _overlap, "What a tick does while an earlier execution is under way; absent: allow.", optional=True),
    catchUp=enum(CatchUp, _catch_up, "What follows when ticks were missed; absent: latest.", optional=True),
    retries=integer(_retries, "How many further attempts may follow a failed one; absent: 0.", optional=True),
    retryDelay=_duration("retry_delay", "The time before each further attempt; absent: exponential back-off."),
    timeout=_duration("timeout", "How long it may run; absent: as its pool or the setting hard_timeout says."),
    expiration=timestamp(lambda job: job.spec.expiration, "The moment by which it must have started.", optional=True),
    expiresIn=_duration("expires_in", "How long after it was due it may still start."),
    priority=_integer("priority", "Within its pool, a point counts as a minute of waiting; absent: 0.", -100),
    concurrency=_integer("concurrency", "It waits while this many executions of its task run."),
    resources=nested(RESOURCES, lambda job: asked_resources(job.spec.resources), optional=True),
    container=nested(CONTAINER, lambda job: asked_container(job.spec.container), optional=True),
    webhooks=nested(WEBHOOKS, lambda job: job.spec.webhooks or None, optional=True),
    expectEvery=_duration("expect_every", "How often it is to succeed; absent: it is never late."),
    notify=nested(LISTENERS, lambda job: job.spec.notify or None, optional=True),
    retention=nested(RETENTION, lambda job: own_retention(job.spec.retention), optional=True),
    metadata=mapping(lambda job: _given(job.spec.metadata), "What the client gave.", optional=True),
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

SPEC = Serializer[Spec](
    "Spec",
    "What a job runs, and by which rules.",
    image=string(lambda spec: spec.image, "The image."),
    command=command(lambda spec: spec.command),
    envs=envs(lambda spec: spec.envs),
    metadata=mapping(lambda spec: spec.metadata, "What the client gave."),
    retries=integer(lambda spec: spec.retries, "How many further attempts may follow a failed one."),
    retryDelay=seconds(lambda spec: spec.retry_delay, "Seconds before each further attempt; null: exponential back-off."),
    timeout=seconds(lambda spec: spec.timeout, "Seconds of running."),
    expiration=timestamp(lambda spec: spec.expiration, "It does not start after that.", null=True),
    expiresIn=seconds(lambda spec: spec.expires_in, "It does not start more than this many seconds after it was due."),
    priority=integer(lambda spec: spec.priority, "Within its pool, a point counts as a minute of waiting.", least=-100),
    concurrency=integer(lambda spec: spec.concurrency or None, "It waits while this many of its task run.", null=True, least=1),
    resources=nested(RESOURCES, lambda spec: asked_resources(spec.resources), null=True),
    container=nested(CONTAINER, lambda spec: asked_container(spec.container), null=True),
    webhooks=nested(WEBHOOKS, lambda spec: spec.webhooks),
    retention=nested(RETENTION, lambda spec: own_retention(spec.retention), null=True),
    expectEvery=seconds(lambda spec: spec.expect_every, "Seconds within which it is to succeed; null: it is never late."),
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
