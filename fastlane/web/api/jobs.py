"""Jobs in lists and in full, tasks, the ticks of jobs, and what jobs follow, as answers show them. ``job`` has the fields of a job."""

from collections.abc import Mapping, Sequence

from fastlane.clock import iso
from fastlane.models.cron import Cron
from fastlane.models.delivery import Kind, Target
from fastlane.models.job import Job, JobSource, next_runs
from fastlane.models.notify import Mailbox, NotificationTrigger
from fastlane.models.schedule import CatchUp, EntryRules, Overlap, Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick, TickOrigin, origin_of
from fastlane.models.upstream import AfterOn
from fastlane.services.reads.chain import ChainView, LinkedJob, MadeTick, MadeTicks
from fastlane.services.reads.lists import JobDetail, JobView, TaskJobsView, TaskView, TicksView
from fastlane.web.api import serializer as show
from fastlane.web.api.after import IDS, shown_after, shown_on
from fastlane.web.api.executions import EXECUTION, LAST_EXECUTION, REQUESTER, command, image, service
from fastlane.web.api.job import DEFINITION, SPEC
from fastlane.web.api.notifications import LISTENERS, RECEIVER_COUNTS, WEBHOOKS, shown_url
from fastlane.web.api.schedules import ENTRY, RESOLVED_WORDS, described, resolved_text
from fastlane.web.api.serializer import LINK, Listing, RenderContext, Serializer


def _receivers(view: JobView) -> list[tuple[Target, bool]]:
    """Each target that gets messages about the job, and whether its pool has it."""
    spec = view.job.spec
    return [*((webhook, webhook not in spec.webhooks) for webhook in view.webhooks), *((mailbox, False) for mailbox in spec.notify)]


def _receiver(of: tuple[Target, bool], render: RenderContext) -> str:
    target, is_of_pool = of
    if isinstance(target, Mailbox):
        return target.address
    return target.origin if is_of_pool else shown_url(target, render)


JOB_STATUSES = (*Status, "scheduled", "paused", "idle")
STATUS_WORDS = (
    "paused; else the status of its execution under way; else idle (a manual job that has not run), stopped or scheduled; else the status "
    "of its last execution."
)

CRON_WORDS = "As it was given; the expressions of several entries are joined by semicolons."
KIND_WORDS = "now: once, when it was posted; at: once, later; cron: repeatedly; manual: when somebody runs it."


def _entries(schedule: Schedule) -> Sequence[tuple[Cron, EntryRules]] | None:
    return schedule.entries if len(schedule.entries) > 1 or schedule.rules or schedule.timezone else None


SCHEDULE = Serializer[Schedule](
    "Schedule",
    "When a job runs.",
    kind=show.enum(ScheduleKind, lambda schedule: schedule.kind, KIND_WORDS),
    startAt=show.timestamp(lambda schedule: schedule.at, "Of a job that runs once, later.", null=True),
    cron=show.string(lambda schedule: schedule.cron.texts if schedule.cron else None, CRON_WORDS, optional=True),
    timezone=show.string(lambda schedule: schedule.own_zone, "The zone whose clocks the cron and doneBy mean.", optional=True),
    resolved=show.string(
        lambda schedule: resolved_text(schedule.cron) if schedule.cron and not schedule.cron.also else None, RESOLVED_WORDS, optional=True
    ),
    description=show.string(
        lambda schedule: described(schedule.cron) if schedule.cron else None,
        "The cron in words, by the clocks of its zone.",
        optional=True,
    ),
    entries=show.array(ENTRY, _entries, "The entries of a cron that has several, or rules or a zone of their own.", optional=True),
    after=show.rendered(shown_after, IDS, "The ids of the jobs that it follows."),
    afterOn=show.enum(AfterOn, shown_on, "Which ends of these jobs count.", optional=True),
    overlap=show.enum(
        Overlap,
        lambda schedule: schedule.overlap if schedule.cron or schedule.is_manual else None,
        "What a tick of a cron, or a run of a manual job, does while an earlier execution is under way.",
        optional=True,
    ),
    catchUp=show.enum(
        CatchUp,
        lambda schedule: schedule.catch_up if schedule.cron else None,
        "What follows when ticks of a cron were missed.",
        optional=True,
    ),
    skipDates=show.strings_if_any(lambda schedule: map(str, schedule.skip), "Dates on which its ticks are skipped."),
    spread=show.integer(
        lambda schedule: schedule.cron.spread // 1000 or None if schedule.cron else None,
        "Seconds by which its due times are delayed at most.",
        optional=True,
    ),
    delay=show.integer(
        lambda schedule: schedule.cron.delay // 1000 if schedule.cron and schedule.cron.spread and schedule.cron.seed is not None else None,
        "Seconds by which they are delayed; absent while the job has no id to choose by.",
        optional=True,
    ),
)

RECEIVER = Serializer[tuple[Target, bool]](
    "Receiver",
    "A webhook or an address that gets messages about a job.",
    list=show.enum(NotificationTrigger, lambda of: of[0].trigger, "What it gets a message about."),
    kind=show.enum(Kind, lambda of: Kind.MAIL if isinstance(of[0], Mailbox) else Kind.WEBHOOK, "How the message is sent."),
    receiver=show.rendered(
        _receiver, {"type": "string"}, "The address, or the webhook's URL; of its pool's webhook, scheme, host and port."
    ),
    ofPool=show.boolean(lambda of: of[1], "Whether it is a webhook of the job's pool, which counts where the job has none."),
)

JOB_SOURCE = Serializer[JobSource](
    "JobSource",
    "The service whose labels declare a job. Only they change its definition.",
    service=show.string(lambda source: source.service, "The service's name."),
    suffix=show.string(lambda source: source.suffix or None, "NAME of its labels fastlane.job.NAME.…", null=True),
    fault=show.string(lambda source: source.fault, "What is wrong with its newer labels, which the job does not follow.", null=True),
    gone=show.string(lambda source: source.gone, "Why it declares the job no more.", null=True),
)

JOB_ROW = Serializer[JobView](
    "JobRow",
    "A job in a list.",
    id=show.uuid(lambda view: view.job.id, "The job's id."),
    url=show.url(lambda view, render: render.job_url(view.job.task_id, view.job.id), "Where it is read."),
    taskId=show.string(lambda view: view.job.task_id, "Its task's id."),
    name=show.string(lambda view: view.job.spec.name, "A name for people.", null=True),
    labels=show.mapping(lambda view: view.job.spec.labels, "Its labels, by name.", values={"type": "string"}),
    createdAt=show.timestamp(lambda view: view.job.created_at, "When it was made."),
    lastModifiedAt=show.timestamp(lambda view: view.job.modified_at, "When it was last changed."),
    image=image(lambda view: view.job.spec.shown_image),
    service=service(lambda view: view.job.spec.service),
    command=command(lambda view: view.job.spec.command),
    schedule=show.nested(SCHEDULE, lambda view: view.job.schedule),
    status=show.enum(JOB_STATUSES, lambda view: view.status, STATUS_WORDS),
    nextRunAt=show.timestamp(lambda view: view.next_run, "Its next tick.", null=True),
    lastExecution=show.nested(LAST_EXECUTION, lambda view: view.latest, null=True),
    expectEvery=show.seconds(
        lambda view: view.job.spec.expect_every, "Seconds within which it must succeed; null: it has a doneBy, or is never late."
    ),
    doneBy=show.string(lambda view: view.job.spec.done_by, "The time of day by which it must have succeeded; null: none.", null=True),
    lateSince=show.timestamp(lambda view: view.late_since, "Since when it is late by that; null when it is not.", null=True),
    receivers=show.nested(RECEIVER_COUNTS, lambda view: (*view.webhooks, *view.job.spec.notify)),
)

JOB_PAGE = show.page_of("JobPage", "A page of jobs.", JOB_ROW)


def _by_status(view: TaskView) -> Mapping[str, int]:
    """In the order of the statuses."""
    counted = view.summary.by_status
    return {str(status): counted[status] for status in JOB_STATUSES if status in counted}


TASK = Serializer[TaskView](
    "Task",
    "A task in a list.",
    taskId=show.string(lambda view: view.task.id, "The task's id."),
    createdAt=show.timestamp(lambda view: view.task.created_at, "When its first job was made."),
    lastModifiedAt=show.timestamp(lambda view: view.task.modified_at, "When a job of it was last made or changed."),
    jobsCount=show.integer(lambda view: view.task.jobs_count, "How many jobs it has."),
    jobsByStatus=show.mapping(_by_status, "How many of its jobs have a status, by status.", values={"type": "integer"}),
    lateJobs=show.integer(lambda view: view.summary.late, "How many of its jobs are late by their expectEvery or doneBy."),
    nextRunAt=show.timestamp(lambda view: view.summary.next_run, "The first next tick of its jobs.", null=True),
    lastExecution=show.nested(LAST_EXECUTION, lambda view: view.summary.latest, "Its execution that was due last, in brief.", null=True),
    url=show.url(lambda view, render: render.task_url(view.task.id), "Where its jobs are listed."),
)


TASK_PAGE = show.page_of("TaskPage", "A page of tasks.", TASK)

TASK_JOBS = Serializer[Listing[TaskJobsView]](
    "TaskJobs",
    "A task with a page of its jobs.",
    taskId=show.string(lambda listing: listing.view.task.id, "The task's id."),
    url=show.url(lambda listing, render: render.task_url(listing.view.task.id), "This task."),
    jobsCount=show.integer(lambda listing: listing.view.task.jobs_count, "How many jobs it has."),
    jobs=show.array(JOB_ROW, lambda listing: listing.view.jobs.rows),
    page=show.pagination(),
)

JOB_METADATA = Serializer[Job](
    "JobMetadata",
    "What a job was given, under the names of fastlane 2.x.",
    custom=show.mapping(lambda job: job.spec.metadata, "The metadata that the client gave."),
    envs=show.envs(lambda job: job.spec.envs),
    retries=show.integer(lambda job: job.spec.retries, "How many further attempts may follow a failed one."),
    timeout=show.seconds(lambda job: job.spec.timeout, "Seconds of running."),
    cron=show.string(lambda job: job.schedule.cron.texts if job.schedule.cron else None, CRON_WORDS, null=True),
    expiration=show.timestamp(lambda job: job.spec.expiration, "It does not start after that.", null=True),
    notify=show.nested(LISTENERS, lambda job: job.spec.notify),
    webhooks=show.nested(WEBHOOKS, lambda job: job.spec.webhooks),
)


def _next_runs(detail: JobDetail) -> Sequence[str]:
    job = detail.view.job
    return [iso(moment) for moment in next_runs(job.spec, job.schedule, detail.view.next_run)]


JOB_FULL = Serializer[JobDetail](
    "JobFull",
    "A job in full.",
    id=show.uuid(lambda detail: detail.view.job.id, "The job's id."),
    url=show.url(lambda detail, render: render.job_url(detail.view.job.task_id, detail.view.job.id), "This job."),
    taskId=show.string(lambda detail: detail.view.job.task_id, "Its task's id."),
    createdAt=show.timestamp(lambda detail: detail.view.job.created_at, "When it was made."),
    lastModifiedAt=show.timestamp(lambda detail: detail.view.job.modified_at, "When it was last changed."),
    scheduled=show.boolean(lambda detail: detail.view.next_run is not None, "Whether it has a tick to come."),
    status=show.enum(JOB_STATUSES, lambda detail: detail.view.status, STATUS_WORDS),
    nextRunAt=show.timestamp(lambda detail: detail.view.next_run, "Its next tick.", null=True),
    nextRuns=show.strings(_next_runs, "Its next ticks, up to five.", format="date-time"),
    spec=show.nested(SPEC, lambda detail: detail.view.job.spec),
    schedule=show.nested(SCHEDULE, lambda detail: detail.view.job.schedule),
    executionCount=show.integer(lambda detail: detail.executions.total, "How many executions it has."),
    executions=show.array(EXECUTION, lambda detail: detail.executions.rows, "A page of them, newest first."),
    metadata=show.nested(JOB_METADATA, lambda detail: detail.view.job),
    requestedBy=show.nested(REQUESTER, lambda detail: detail.view.job.requested_by, "Who made it as it is now.", null=True),
    createdBy=show.nested(REQUESTER, lambda detail: detail.created_by, "Who created it, however it was changed since.", null=True),
    name=show.string(lambda detail: detail.view.job.spec.name, "A name for people.", null=True),
    labels=show.mapping(lambda detail: detail.view.job.spec.labels, "Its labels, by name.", values={"type": "string"}),
    lateSince=show.timestamp(
        lambda detail: detail.view.late_since, "Since when it is late by its expectEvery or doneBy; null when it is not.", null=True
    ),
    receivers=show.array(RECEIVER, lambda detail: _receivers(detail.view), "The receivers of messages about it, and about what."),
    source=show.nested(JOB_SOURCE, lambda detail: detail.view.job.source, "The service that declares it.", null=True),
    definition=show.nested(DEFINITION, lambda detail: detail.view.job),
)

JOB_DETAIL = Serializer[Listing[JobDetail]](
    "JobDetail",
    "A job with a page of its executions; the pagination is about these.",
    task=show.nested(LINK, lambda listing: (listing.view.view.job.task_id,)),
    job=show.nested(JOB_FULL, lambda listing: listing.view),
    page=show.pagination(),
)

TICK = Serializer[tuple[Job, Tick]](
    "Tick",
    "A due time of a job, and what became of it.",
    id=show.uuid(lambda of: of[1].id, "The tick's id, which logs show, too."),
    due=show.timestamp(lambda of: of[1].due, "When it was due; of a run of missed ticks, the first."),
    until=show.timestamp(lambda of: of[1].until, "Of a run of missed ticks, the last.", null=True),
    count=show.integer(lambda of: of[1].count, "How many ticks the row stands for.", least=1),
    atLeast=show.boolean(lambda of: of[1].at_least, "Whether there were more, which were not counted."),
    outcome=show.enum(Outcome, lambda of: of[1].outcome, "What became of it."),
    reason=show.string(lambda of: of[1].reason, "Why nothing started, or what it waited for.", null=True),
    execution=show.nested(LINK, lambda of: (of[0].task_id, of[0].id, of[1].execution_id) if of[1].execution_id else None, null=True),
    entries=show.string(lambda of: of[1].entries, "The entries that it came from, of a cron of several.", optional=True),
    createdAt=show.timestamp(lambda of: of[1].created_at, "When this was decided."),
    origin=show.enum(
        TickOrigin,
        lambda of: origin_of(of[1].key),
        "Where it came from: the job's only start, its schedule, a run or retry by hand, a backfill, or the ends of jobs that it follows.",
        optional=True,
    ),
)

TICK_PAGE = Serializer[Listing[TicksView]](
    "TickPage",
    "A page of a job's tick ledger.",
    items=show.array(TICK, lambda listing: [(listing.view.job, tick) for tick in listing.view.ticks.rows]),
    page=show.pagination(),
)

LINKED_JOB = Serializer[LinkedJob](
    "LinkedJob",
    "A job at the other end of a link. Its task, name and status are null when it is gone, or when you may not see it.",
    jobId=show.uuid(lambda one: one.id, "Its id."),
    taskId=show.string(lambda one: one.job.task_id if one.job else None, "Its task's id.", null=True),
    name=show.string(lambda one: one.job.spec.name if one.job else None, "Its name for people.", null=True),
    url=show.url(lambda one, render: render.job_url(one.job.task_id, one.job.id) if one.job else None, "Where it is read.", null=True),
    gone=show.boolean(lambda one: one.is_gone, "Whether there is no such job any more."),
    status=show.string(lambda one: one.status, "Its status.", null=True),
    lastExecution=show.nested(LAST_EXECUTION, lambda one: one.latest, null=True),
    arrived=show.string(
        lambda one: one.arrived, "The execution whose end was taken in, and waits for the other jobs.", null=True, format="uuid"
    ),
)

CHAIN = Serializer[ChainView](
    "Chain",
    "What a job follows, and what follows it.",
    taskId=show.string(lambda view: view.job.task_id, "The task's id."),
    jobId=show.uuid(lambda view: view.job.id, "The job's id."),
    afterOn=show.enum(AfterOn, lambda view: shown_on(view.job.schedule), "Which ends of the jobs that it follows count.", optional=True),
    follows=show.array(LINKED_JOB, lambda view: view.follows, "The jobs that it follows, in the order of its after."),
    followedBy=show.array(LINKED_JOB, lambda view: view.followed_by, "The jobs that follow it and that you may see, up to 100."),
)

MADE_TICK = Serializer[MadeTick](
    "MadeTick",
    "The tick of a job that the end of an execution made.",
    taskId=show.string(lambda made: made.job.task_id, "The task's id."),
    jobId=show.uuid(lambda made: made.job.id, "The id of the job that follows."),
    name=show.string(lambda made: made.job.spec.name, "Its name for people.", null=True),
    outcome=show.enum(Outcome, lambda made: made.tick.outcome, "What became of the tick."),
    reason=show.string(lambda made: made.tick.reason, "Why, if the outcome needs a reason.", null=True),
    execution=show.nested(LAST_EXECUTION, lambda made: made.execution, "The tick's last attempt so far; null: it made none.", null=True),
)

FOLLOWING = Serializer[MadeTicks](
    "Following",
    "What the end of an execution made.",
    executionId=show.uuid(lambda made: made.execution.id, "The execution's id."),
    complete=show.boolean(lambda made: made.is_settled, "Whether everything that follows the execution is there."),
    ticks=show.array(MADE_TICK, lambda made: made.ticks, "The ticks of other jobs that it made, as far as their ledgers have them."),
)
