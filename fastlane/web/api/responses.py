"""The JSON of answers about tasks, jobs and executions as schemas, for the OpenAPI document. ``rendering`` makes it; tests hold the two
together."""

from marshmallow import Schema, fields

from fastlane.models.execution import FailureReason
from fastlane.models.schedule.schedule import CatchUp, Overlap, ScheduleKind
from fastlane.models.schedule.tick import Outcome
from fastlane.models.status import Status
from fastlane.web.api.container_responses import ContainerAsked, ResourcesAsked
from fastlane.web.api.response_fields import link, many, moment, one, seconds, table, text, texts, uuid, whole, word, yes

JOB_STATUSES = (*Status, "scheduled", "paused")

# what several answers have


class Link(Schema):
    """The id and the URL of something."""

    id = text()
    url = link("Where it is read.")


class Requester(Schema):
    """Who asked for something."""

    user = text("The user or token; null when the server asks nobody who they are.", null=True)
    address = text("The IP address.", null=True)


class Page(Schema):
    """What stands beside a page of a list."""

    total = whole("Rows in the whole list.")
    page = whole(least=1)
    pages = whole("The number of pages; 1 for an empty list.", least=1)
    perPage = whole(least=1)
    hasNext = yes()
    hasPrev = yes()
    nextUrl = link("The next page, at the same cost however far it is.", null=True)
    prevUrl = link("The page before.", null=True)


class Schedule(Schema):
    """When a job runs."""

    kind = word(ScheduleKind)
    startAt = moment("Of a job that runs once, later.", null=True)
    cron = text("As it was given.", given=False)
    timezone = text("The zone whose clocks the cron means.", given=False)
    overlap = word(Overlap, given=False)
    catchUp = word(CatchUp, given=False)


class Failure(Schema):
    """Why an execution failed."""

    reason = word(FailureReason)
    message = text()


class LastExecution(Schema):
    """An execution in brief."""

    executionId = uuid()
    url = link("Where it is read.")
    status = word(Status)
    failure = one(Failure, null=True)
    createdAt = moment("When it was made.")
    startedAt = moment("When its container was seen running.", null=True)
    finishedAt = moment("When it ended.", null=True)
    exitCode = whole("The command's; null while there is none.", null=True, least=-(2**31))


class LogInfo(Schema):
    """How much log there is so far."""

    stdoutBytes = whole()
    stderrBytes = whole()
    truncated = yes("Whether some of it was dropped or lost.")


class Place(Schema):
    """Where an execution ran, under the names of fastlane 2.x."""

    docker_host = text(null=True)
    docker_port = whole(null=True, least=1)
    container_id = text(null=True)


class Execution(LastExecution):
    """An execution in full."""

    jobId = uuid()
    taskId = text()
    image = text()
    imageDigest = text("What the image's tag meant then.", null=True)
    command = text("As text that a shell splits into the same arguments.", null=True)
    attempt = whole("1, and one more for each retry.", least=1)
    scheduledFor = moment("When it was due.")
    durationMs = whole("How long it ran.", null=True)
    host = text(null=True)
    pool = text(null=True)
    serviceId = text(null=True)
    containerId = text(null=True)
    logInfo = one(LogInfo)
    requestedBy = one(Requester, null=True)
    metadata = one(Place)
    log = text("The end of its stdout, 64 KiB at most, where it was asked for.", given=False)
    error = text("The end of its stderr, likewise.", given=False)


# replies to writes


class Enqueued(Schema):
    """What an accepted job is called."""

    taskId = text()
    jobId = uuid()
    executionId = uuid("Null for a job that starts later: there is none yet.", null=True)
    queueJobId = uuid("The tick, as logs and /ticks name it.")
    taskUrl = link("The task.")
    jobUrl = link("The job.")
    executionUrl = link("The execution.", null=True)


class Waited(Enqueued):
    """The enqueue reply after ``wait``, with what is known by then."""

    execution = one(Execution, null=True)


class HostUse(Schema):
    """A host, and why it cannot be used, if so."""

    host = text()
    usable = yes()
    reason = text(null=True)


class Spec(Schema):
    """What a job runs, and by which rules."""

    image = text()
    command = text("As text that a shell splits into the same arguments.", null=True)
    envs = table(fields.String(), "A secret's value is shown as ********.")
    metadata = table(None, "What the client gave.")
    retries = whole()
    retryDelay = seconds("Seconds before each further attempt; null: exponential back-off.")
    timeout = seconds("Seconds of running.")
    expiration = moment("It does not start after that.", null=True)
    expiresIn = seconds("Nor so many seconds after it was due.")
    priority = whole(least=-100)
    concurrency = whole("It waits while so many of its task run.", null=True, least=1)
    resources = one(ResourcesAsked, null=True)
    container = one(ContainerAsked, null=True)


class DryRun(Schema):
    """What a job would be."""

    valid = yes()
    spec = one(Spec)
    schedule = one(Schedule)
    pool = text()
    resources = one(ResourcesAsked, null=True)
    hosts = many(HostUse)
    nextRuns = texts("The next due times, five at most.", format="date-time")


class Stopped(Schema):
    """What was told to stop, to pause or to go on, and how that left it."""

    taskId = text()
    jobId = uuid()
    taskUrl = link("The task.")
    jobUrl = link("The job.")
    status = word(JOB_STATUSES)


class ExecutionStopped(Stopped):
    """The same of one execution."""

    executionId = uuid()
    executionUrl = link("The execution.")


class TaskStopped(Schema):
    """How many of a task's jobs were told to stop: those that had anything before them."""

    taskId = text()
    taskUrl = link("The task.")
    stopped = whole()


class Deleted(Schema):
    """What is gone."""

    taskId = text()
    jobId = uuid("Null: the whole task.", null=True)
    deleted = yes()


class PoolPaused(Schema):
    """A pool, and whether it is held."""

    pool = text()
    paused = yes()


# what is there


class Task(Schema):
    """A task in a list."""

    taskId = text()
    createdAt = moment("When its first job was made.")
    lastModifiedAt = moment("When a job of it was made or changed last.")
    jobsCount = whole()
    url = link("Where its jobs are listed.")


class TaskPage(Page):
    """A page of tasks."""

    items = many(Task)


class JobRow(Schema):
    """A job in a list."""

    id = uuid()
    url = link("Where it is read.")
    createdAt = moment("When it was made.")
    lastModifiedAt = moment("When it was changed last.")
    image = text()
    command = text(null=True)
    schedule = one(Schedule)
    status = word(JOB_STATUSES)
    nextRunAt = moment("Its next tick.", null=True)
    lastExecution = one(LastExecution, null=True)


class TaskJobs(Page):
    """A task with a page of its jobs."""

    taskId = text()
    url = link("This task.")
    jobsCount = whole()
    jobs = many(JobRow)


class Listeners(Schema):
    """Who hears of a job's ends."""

    succeeds = fields.List(fields.Raw(), required=True)
    fails = fields.List(fields.Raw(), required=True)
    finishes = fields.List(fields.Raw(), required=True)


class JobMetadata(Schema):
    """What a job was given, under the names of fastlane 2.x."""

    custom = table(None, "The metadata that the client gave.")
    envs = table(fields.String(), "A secret's value is shown as ********.")
    retries = whole()
    timeout = seconds("Seconds of running.")
    cron = text(null=True)
    expiration = moment("It does not start after that.", null=True)
    notify = one(Listeners)
    webhooks = one(Listeners)


class JobFull(Schema):
    """A job in full."""

    id = uuid()
    url = link("This job.")
    taskId = text()
    createdAt = moment("When it was made.")
    lastModifiedAt = moment("When it was changed last.")
    scheduled = yes("Whether a tick is to come.")
    status = word(JOB_STATUSES)
    nextRunAt = moment("Its next tick.", null=True)
    spec = one(Spec)
    schedule = one(Schedule)
    executionCount = whole()
    executions = many(Execution, "A page of them, newest first.")
    metadata = one(JobMetadata)
    requestedBy = one(Requester, null=True)


class JobDetail(Page):
    """A job with a page of its executions, whose pagination stands beside it."""

    task = one(Link)
    job = one(JobFull)


class ExecutionDetail(Schema):
    """An execution with its task and job."""

    task = one(Link)
    job = one(Link)
    execution = one(Execution)


class ExecutionPage(Page):
    """A page of executions."""

    items = many(Execution)


class Tick(Schema):
    """A due time of a job, and what became of it."""

    id = uuid()
    due = moment("When it was due; of a run of ticks, the first.")
    until = moment("Of a run of missed ticks, the last.", null=True)
    count = whole("How many ticks the row stands for.", least=1)
    atLeast = yes("Whether there were more, which were not counted.")
    outcome = word(Outcome)
    reason = text("Why nothing started.", null=True)
    execution = one(Link, null=True)
    createdAt = moment("When this was decided.")


class TickPage(Page):
    """A page of a job's tick ledger."""

    items = many(Tick)


class Ticket(Schema):
    """What lets a browser in that can send no token, once and soon."""

    ticket = text("A secret; it stands in both addresses.")
    expiresAt = moment("Until when.")
    url = link("The WebSocket.")
    streamUrl = link("The page.")
