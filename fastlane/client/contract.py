"""What the server takes and answers: written from its OpenAPI document by tests/support/client_contract.py, never by hand."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from fastlane.client.operation import Operation


class Problem(TypedDict):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    error: str
    errors: NotRequired[list[Fault]]
    executionStatus: NotRequired[
        Literal["enqueued", "pulling", "running", "done", "failed", "timedout", "stopped", "expired", "scheduled", "paused"]
    ]


class Fault(TypedDict):
    """One thing that is wrong with the request."""

    field: str
    message: str


class TaskPage(TypedDict):
    """A page of tasks."""

    items: list[Task]
    total: int
    page: int
    pages: int
    perPage: int
    hasNext: bool
    hasPrev: bool
    nextUrl: str | None
    prevUrl: str | None


class Task(TypedDict):
    """A task in a list."""

    taskId: str
    createdAt: str
    lastModifiedAt: str
    jobsCount: int
    url: str


class TaskJobs(TypedDict):
    """A task with a page of its jobs."""

    taskId: str
    url: str
    jobsCount: int
    jobs: list[JobRow]
    total: int
    page: int
    pages: int
    perPage: int
    hasNext: bool
    hasPrev: bool
    nextUrl: str | None
    prevUrl: str | None


class JobRow(TypedDict):
    """A job in a list."""

    id: str
    url: str
    taskId: str
    name: str | None
    labels: dict[str, str]
    createdAt: str
    lastModifiedAt: str
    image: str
    command: str | None
    schedule: Schedule
    status: Literal["enqueued", "pulling", "running", "done", "failed", "timedout", "stopped", "expired", "scheduled", "paused"]
    nextRunAt: str | None
    lastExecution: LastExecution | None


class Schedule(TypedDict):
    """When a job runs."""

    kind: Literal["now", "at", "cron"]
    startAt: str | None
    cron: NotRequired[str]
    timezone: NotRequired[str]
    description: NotRequired[str]
    overlap: NotRequired[Literal["allow", "skip", "queue", "replace"]]
    catchUp: NotRequired[Literal["latest", "none"]]


class LastExecution(TypedDict):
    """An execution in brief."""

    executionId: str
    url: str
    status: Literal["enqueued", "pulling", "running", "done", "failed", "timedout", "stopped", "expired"]
    failure: Failure | None
    createdAt: str
    startedAt: str | None
    finishedAt: str | None
    exitCode: int | None


class Failure(TypedDict):
    """Why an execution failed."""

    reason: Literal["exit", "oom", "killed", "image", "rejected", "unschedulable", "host-lost"]
    message: str


class Enqueued(TypedDict):
    """The ids and URLs of an accepted job."""

    taskId: str
    jobId: str
    executionId: str | None
    queueJobId: str
    taskUrl: str
    jobUrl: str
    executionUrl: str | None


class Waited(TypedDict):
    """The enqueue reply after wait, with what is known by then."""

    taskId: str
    jobId: str
    executionId: str | None
    queueJobId: str
    taskUrl: str
    jobUrl: str
    executionUrl: str | None
    execution: Execution | None


class Execution(TypedDict):
    """An execution in full."""

    executionId: str
    url: str
    status: Literal["enqueued", "pulling", "running", "done", "failed", "timedout", "stopped", "expired"]
    failure: Failure | None
    createdAt: str
    startedAt: str | None
    finishedAt: str | None
    exitCode: int | None
    jobId: str
    taskId: str
    queueJobId: str
    image: str
    imageDigest: str | None
    command: str | None
    attempt: int
    retries: int
    timeout: float | None
    expiresAt: str | None
    scheduledFor: str
    durationMs: int | None
    host: str | None
    pool: str | None
    serviceId: str | None
    containerId: str | None
    logInfo: LogInfo
    usage: Usage | None
    stopRequestedAt: str | None
    requestedBy: Requester | None
    metadata: Place
    log: NotRequired[str]
    error: NotRequired[str]


class LogInfo(TypedDict):
    """How long the log is so far."""

    stdoutBytes: int
    stderrBytes: int
    truncated: bool


class Usage(TypedDict):
    """What a container used, as far as it was measured while it ran."""

    memoryPeakBytes: int
    cpuSeconds: float | None
    readBytes: int | None
    writtenBytes: int | None


class Requester(TypedDict):
    """Who asked for something."""

    user: str | None
    address: str | None


class Place(TypedDict):
    """Where an execution ran, under the names of fastlane 2.x."""

    docker_host: str | None
    docker_port: int | None
    container_id: str | None


class DryRun(TypedDict):
    """What a job would be."""

    valid: bool
    spec: Spec
    schedule: Schedule
    pool: str
    resources: ResourcesAsked | None
    hosts: list[HostUse]
    nextRuns: list[str]


class Spec(TypedDict):
    """What a job runs, and by which rules."""

    image: str
    command: str | None
    envs: dict[str, str]
    metadata: dict[str, Any]
    retries: int
    retryDelay: float | None
    timeout: float | None
    expiration: str | None
    expiresIn: float | None
    priority: int
    concurrency: int | None
    resources: ResourcesAsked | None
    container: ContainerAsked | None
    webhooks: Webhooks
    retention: RetentionRules | None
    expectEvery: float | None


class ResourcesAsked(TypedDict):
    """How much of a node a container gets; null: as much as its pool allows."""

    cpus: float | None
    memory: int | None
    pids: int | None
    reserve: Reserved


class Reserved(TypedDict):
    """What its node keeps free for a container."""

    cpus: float | None
    memory: int | None


class ContainerAsked(TypedDict):
    """How a container is set up; null: as the image and the engine have it."""

    user: str | None
    workdir: str | None
    init: bool | None
    stopSignal: str | None
    stopGrace: str | None
    mounts: list[Mounted]
    networks: list[str]
    secrets: list[SecretGiven]
    constraints: list[str]
    extraHosts: dict[str, str]


class Mounted(TypedDict):
    """Something mounted in a container."""

    type: Literal["bind", "volume", "tmpfs"]
    source: str | None
    target: str
    readOnly: bool
    size: int | None


class SecretGiven(TypedDict):
    """A secret of the swarm that a container is given."""

    name: str
    target: str


class Webhooks(TypedDict):
    """The webhooks of a job, by what they are told of."""

    succeeds: list[Webhook]
    fails: list[Webhook]
    finishes: list[Webhook]
    late: list[Webhook]
    recovered: list[Webhook]


class Webhook(TypedDict):
    """Where an end is posted to."""

    url: NotRequired[str]
    headers: NotRequired[dict[str, str]]
    retries: int
    body: NotRequired[dict[str, Any]]


class RetentionRules(TypedDict):
    """A job's own rules of retention, which count where they are stricter than those of its pool or the server."""

    jobs: str | None
    executions: str | None
    maxExecutions: int | None
    logs: str | None


class HostUse(TypedDict):
    """A host, and why it cannot be used, if so."""

    host: str
    usable: bool
    reason: str | None


class Deleted(TypedDict):
    """What was deleted."""

    taskId: str
    jobId: str | None
    deleted: bool


class TaskStopped(TypedDict):
    """How many of a task's jobs were asked to stop: those that were running or still had to run."""

    taskId: str
    taskUrl: str
    stopped: int


class JobPage(TypedDict):
    """A page of jobs."""

    items: list[JobRow]
    total: int
    page: int
    pages: int
    perPage: int
    hasNext: bool
    hasPrev: bool
    nextUrl: str | None
    prevUrl: str | None


class JobDetail(TypedDict):
    """A job with a page of its executions; the pagination is about these."""

    task: Link
    job: JobFull
    total: int
    page: int
    pages: int
    perPage: int
    hasNext: bool
    hasPrev: bool
    nextUrl: str | None
    prevUrl: str | None


class Link(TypedDict):
    """The id and the URL of something."""

    id: str
    url: str


class JobFull(TypedDict):
    """A job in full."""

    id: str
    url: str
    taskId: str
    createdAt: str
    lastModifiedAt: str
    scheduled: bool
    status: Literal["enqueued", "pulling", "running", "done", "failed", "timedout", "stopped", "expired", "scheduled", "paused"]
    nextRunAt: str | None
    nextRuns: list[str]
    spec: Spec
    schedule: Schedule
    executionCount: int
    executions: list[Execution]
    metadata: JobMetadata
    requestedBy: Requester | None
    name: str | None
    labels: dict[str, str]
    lateSince: str | None
    definition: Definition


class JobMetadata(TypedDict):
    """What a job was given, under the names of fastlane 2.x."""

    custom: dict[str, Any]
    envs: dict[str, str]
    retries: int
    timeout: float | None
    cron: str | None
    expiration: str | None
    notify: Listeners
    webhooks: Webhooks


class Listeners(TypedDict):
    """The e-mail addresses of a job, by what they get a mail about."""

    succeeds: list[str]
    fails: list[str]
    finishes: list[str]
    late: list[str]
    recovered: list[str]


class Definition(TypedDict):
    """The job as the body that PUT takes. Only redacted values (********) must be filled in before it is sent."""

    name: NotRequired[str]
    labels: NotRequired[dict[str, str]]
    image: str
    command: NotRequired[str | list[str]]
    envs: NotRequired[dict[str, str]]
    startAt: NotRequired[str]
    cron: NotRequired[str]
    timezone: NotRequired[str]
    overlap: NotRequired[Literal["allow", "skip", "queue", "replace"]]
    catchUp: NotRequired[Literal["latest", "none"]]
    retries: NotRequired[int]
    retryDelay: NotRequired[str]
    timeout: NotRequired[str]
    expiration: NotRequired[str]
    expiresIn: NotRequired[str]
    priority: NotRequired[int]
    concurrency: NotRequired[int]
    resources: NotRequired[ResourcesAsked]
    container: NotRequired[ContainerAsked]
    webhooks: NotRequired[Webhooks]
    expectEvery: NotRequired[str]
    notify: NotRequired[Listeners]
    retention: NotRequired[RetentionRules]
    metadata: NotRequired[dict[str, Any]]


class Stopped(TypedDict):
    """What was asked to stop, pause or resume, and its status afterwards."""

    taskId: str
    jobId: str
    taskUrl: str
    jobUrl: str
    status: Literal["enqueued", "pulling", "running", "done", "failed", "timedout", "stopped", "expired", "scheduled", "paused"]
    stopping: NotRequired[bool]


class TickPage(TypedDict):
    """A page of a job's tick ledger."""

    items: list[Tick]
    total: int
    page: int
    pages: int
    perPage: int
    hasNext: bool
    hasPrev: bool
    nextUrl: str | None
    prevUrl: str | None


class Tick(TypedDict):
    """A due time of a job, and what became of it."""

    id: str
    due: str
    until: str | None
    count: int
    atLeast: bool
    outcome: Literal["started", "queued", "replaced", "skipped", "missed", "expired", "stopped"]
    reason: str | None
    execution: Link | None
    createdAt: str


class Why(TypedDict):
    """What a job or an execution waits for now: nothing, one thing or several; and why its last end or due time was not as wanted."""

    status: Literal["enqueued", "pulling", "running", "done", "failed", "timedout", "stopped", "expired", "scheduled", "paused"]
    waitingFor: list[Wait]
    outOfMemory: NotRequired[OutOfMemory]
    lastTick: NotRequired[Tick]


class Wait(TypedDict):
    """One thing that is waited for. Its reason decides which keys follow until."""

    reason: Literal[
        "due",
        "retry",
        "paused",
        "no-pool",
        "no-queue",
        "no-worker",
        "dispatch-paused",
        "pool-paused",
        "other-lane",
        "no-host",
        "pool-full",
        "workers-full",
        "concurrency",
        "overlap",
        "registry",
        "no-node",
        "image",
        "host-away",
        "refused",
        "breaker",
        "node-down",
        "service-gone",
        "store",
        "fault",
        "stop",
    ]
    message: str
    since: str | None
    until: str | None
    heldTick: NotRequired[str]
    resumeUrl: NotRequired[str]
    pool: NotRequired[str | None]
    running: NotRequired[int]
    maxRunning: NotRequired[int]
    ready: NotRequired[int]
    hosts: NotRequired[list[HostDown]]
    concurrency: NotRequired[int]
    executionId: NotRequired[str | None]
    image: NotRequired[str]
    host: NotRequired[str | None]
    attempt: NotRequired[int]


class HostDown(TypedDict):
    """A host that cannot be used."""

    host: str
    reason: str
    since: str | None
    circuit: NotRequired[str]
    faults: NotRequired[int]
    retryAt: NotRequired[str]


class OutOfMemory(TypedDict):
    """How much memory an execution that ran out of it had, and how much it used."""

    message: str
    limitBytes: int | None
    peakBytes: int | None


class ExecutionPage(TypedDict):
    """A page of executions."""

    items: list[Execution]
    total: int
    page: int
    pages: int
    perPage: int
    hasNext: bool
    hasPrev: bool
    nextUrl: str | None
    prevUrl: str | None


class ExecutionDetail(TypedDict):
    """An execution with its task and job."""

    task: Link
    job: Link
    execution: Execution


class ExecutionStopped(TypedDict):
    """An execution that was asked to stop, and its status afterwards."""

    taskId: str
    jobId: str
    taskUrl: str
    jobUrl: str
    status: Literal["enqueued", "pulling", "running", "done", "failed", "timedout", "stopped", "expired", "scheduled", "paused"]
    stopping: NotRequired[bool]
    executionId: str
    executionUrl: str


class Deliveries(TypedDict):
    """The deliveries of an execution. They are few, so they are not paginated."""

    executionId: str
    executionUrl: str
    items: list[Delivery]


class Delivery(TypedDict):
    """A message about an execution or a job to a webhook or an e-mail address."""

    id: str
    kind: Literal["webhook", "mail"]
    event: str
    list: Literal["succeeds", "fails", "finishes", "late", "recovered"]
    receiver: NotRequired[str]
    state: Literal["pending", "delivered", "failed", "held"]
    createdAt: str
    nextAttemptAt: str | None
    attemptsMade: int
    attemptsLeft: int
    receiverPaused: bool
    attempts: list[DeliveryAttempt]
    redeliverUrl: str


class DeliveryAttempt(TypedDict):
    """One attempt of a delivery."""

    at: str
    durationMs: int
    status: int | None
    error: str | None
    excerpt: str


class JobDeliveries(TypedDict):
    """The deliveries about a job itself: that it was late, and that it has recovered. They are few, so they are not paginated."""

    jobId: str
    jobUrl: str
    items: list[Delivery]


class History(TypedDict):
    """How executions ended, by the hour. They are counted when they end, and stay counted when they are removed."""

    since: str
    until: str
    hours: list[HistoryHour]


class HistoryHour(TypedDict):
    """What ended within an hour."""

    hour: str
    done: int
    failed: int
    timedout: int
    stopped: int
    expired: int
    lateness: HourLateness


class HourLateness(TypedDict):
    """How late containers started after they were due, of the executions that ended in this hour."""

    started: int
    meanMs: float | None
    maxMs: int


class Ticket(TypedDict):
    """What lets a browser in once, soon, in place of a token that it cannot send."""

    ticket: str
    expiresAt: str
    url: str
    streamUrl: str


class EventPage(TypedDict):
    """A page of events, newest first. With filters that take few events a page may have fewer than perPage, or none, and yet a next one."""

    items: list[Event]
    perPage: int
    hasNext: bool
    nextUrl: str | None


class Event(TypedDict):
    """Something that somebody or fastlane did."""

    id: str
    time: str
    kind: Literal[
        "job.created",
        "job.changed",
        "job.run",
        "job.retried",
        "job.paused",
        "job.resumed",
        "job.stopped",
        "job.deleted",
        "task.stopped",
        "task.deleted",
        "tick.skipped",
        "tick.missed",
        "tick.expired",
        "execution.enqueued",
        "execution.started",
        "execution.stop",
        "execution.ended",
        "execution.ended-by-hand",
        "execution.marked-cleaned",
        "delivery.requested",
        "host.registered",
        "host.drained",
        "host.undrained",
        "host.removed",
        "host.unusable",
        "host.usable",
        "pool.paused",
        "pool.resumed",
        "pools.reloaded",
        "dispatch.paused",
        "dispatch.resumed",
        "queue.rebuild",
        "queue.rebuilt",
        "worker.forgotten",
        "login",
        "login.refused",
        "access.refused",
    ]
    actor: Requester | None
    taskId: str | None
    jobId: str | None
    executionId: str | None
    host: str | None
    pool: str | None
    detail: dict[str, Any]
    url: str | None


class DispatchPaused(TypedDict):
    """Whether all dispatch is paused."""

    paused: bool


class KnownHosts(TypedDict):
    """All hosts, by address."""

    items: list[KnownHost]


class KnownHost(TypedDict):
    """A Docker host."""

    id: str
    address: str
    pools: list[str]
    registered: bool
    weight: int
    maxRunning: int | None
    swarm: str | None
    engine: str | None
    available: bool
    blacklisted: bool
    error: str | None
    running: int
    registeredAt: str | None
    registeredBy: str | None


class HostRemoved(TypedDict):
    """A host that was removed."""

    id: str
    address: str
    removed: bool
    lost: int


class HostDrained(TypedDict):
    """A host, and whether it is drained."""

    host: str
    blacklisted: bool


class ExecutionCleaned(TypedDict):
    """An execution whose service counts as removed."""

    executionId: str
    executionUrl: str
    cleaned: bool


class QueueRebuild(TypedDict):
    """Whether the queue is being built anew."""

    begun: bool


class WorkerForgotten(TypedDict):
    """A worker that is forgotten until it reports itself again."""

    worker: str


class Pools(TypedDict):
    """All pools, in the order in which a task looks for its own."""

    items: list[Pool]


class Pool(TypedDict):
    """A pool: which tasks run there, on which hosts, how many at once, and what goes on."""

    name: str
    match: str
    hosts: list[PoolHost]
    register: list[str]
    maxRunning: int
    hardTimeout: float | None
    running: int
    waiting: int
    paused: bool
    pull: Literal["always", "missing"]
    policy: Policy
    limits: Limits


class PoolHost(TypedDict):
    """A host of a pool."""

    host: str
    weight: int
    maxRunning: int | None
    running: int
    usable: bool
    reason: str | None


class Policy(TypedDict):
    """What a container of a pool may ask for, as patterns. An empty list allows nothing."""

    user: list[str]
    workdir: list[str]
    init: bool
    stopSignal: list[str]
    stopGrace: str | None
    mounts: list[str]
    networks: list[str]
    secrets: list[str]
    constraints: list[str]
    extraHosts: list[str]


class Limits(TypedDict):
    """The most that a container of a pool may use, and what it gets when it does not ask; null: no limit."""

    cpus: float | None
    memory: int | None
    pids: int | None


class PoolsReloaded(TypedDict):
    """The pools that were read again."""

    revision: int
    recordedAt: str


class PoolPaused(TypedDict):
    """A pool, and whether it is paused."""

    pool: str
    paused: bool


class Alive(TypedDict):
    """This process serves."""

    alive: bool


class Ready(TypedDict):
    """This process can take requests."""

    ready: bool


class Health(TypedDict):
    """Which parts are well."""

    redis: bool
    store: bool
    mongo: bool
    docker: bool
    workers: bool
    errors: list[Trouble]


class Trouble(TypedDict):
    """What is wrong with one part."""

    source: Literal["store", "redis", "workers", "docker"]
    message: str


class ServerStatus(TypedDict):
    """What goes on, at a glance."""

    fastlane: About
    uptime: int
    workers: Workers
    hosts: list[Host]
    containers: Containers
    dispatch: Dispatch
    pools: PoolsRevision
    queues: dict[str, Lane]
    strandedQueues: dict[str, StrandedLane]
    tasks: TaskCount
    jobs: JobCount
    executions: ExecutionsByStatus
    uncleaned: list[Uncleaned]
    webhooks: WebhookStatus


class About(TypedDict):
    """What answers."""

    version: str
    executor: Literal["swarm"]


class Workers(TypedDict):
    """The workers that are alive."""

    alive: int
    items: list[Worker]


class Worker(TypedDict):
    """A worker that is alive."""

    id: str
    startedAt: str
    clockSkewMs: int | None
    poolsCurrent: bool | None


class Host(TypedDict):
    """A Docker host of a pool, as the workers see it."""

    id: str | None
    host: str
    port: int | None
    pool: str
    swarm: str | None
    available: bool
    blacklisted: bool
    circuit: str | None
    error: str | None
    since: str | None
    running: int
    cpus: int | None
    memoryBytes: int | None
    disk: Disk | None
    nodes: list[SwarmNode]
    clockSkewMs: int | None


class Disk(TypedDict):
    """The disk on which an engine keeps images and containers."""

    freeBytes: int | None
    totalBytes: int | None
    short: bool
    since: str | None
    until: str | None


class SwarmNode(TypedDict):
    """A node of a swarm of several."""

    id: str
    name: str
    state: str
    takesWork: bool
    cpus: float | None
    memoryBytes: int | None


class Containers(TypedDict):
    """What runs, up to a thousand."""

    running: list[Container]


class Container(TypedDict):
    """A container that runs."""

    host: str | None
    port: int | None
    task: str
    job: str
    execution: str
    id: str | None
    image: str


class Dispatch(TypedDict):
    """Whether all dispatch is paused."""

    paused: bool
    reason: str | None


class PoolsRevision(TypedDict):
    """Which pools the processes are to have: those that were read last."""

    revision: int
    recordedAt: str | None
    current: bool
    error: str | None


class Lane(TypedDict):
    """How many entries of a pool's queue are in each state, and how many may run."""

    ready: int
    timed: int
    running: int
    blocked: int
    maxRunning: int
    paused: bool


class StrandedLane(TypedDict):
    """How many entries of a queue that no worker serves are in each state."""

    ready: int
    timed: int
    running: int
    blocked: int


class TaskCount(TypedDict):
    """How many tasks there are."""

    count: int


class JobCount(TypedDict):
    """How many jobs there are, and the next that are due."""

    count: int
    byStatus: JobsByStatus | None
    scheduled: list[Scheduled]


class JobsByStatus(TypedDict):
    """How many jobs have each status; null when there are too many to count in time."""

    enqueued: int
    pulling: int
    running: int
    done: int
    failed: int
    timedout: int
    stopped: int
    expired: int
    scheduled: int
    paused: int


class Scheduled(TypedDict):
    """A job that is due some time."""

    taskId: str
    jobId: str
    url: str
    nextRunAt: str | None
    stopUrl: str


class ExecutionsByStatus(TypedDict):
    """How many executions have each status."""

    enqueued: int
    pulling: int
    running: int
    done: int
    failed: int
    timedout: int
    stopped: int
    expired: int


class Uncleaned(TypedDict):
    """Executions of a host that have ended, but whose services are not removed yet."""

    host: str | None
    port: int | None
    count: int
    since: str | None


class WebhookStatus(TypedDict):
    """How webhooks fare."""

    failing: list[FailingReceiver]


class FailingReceiver(TypedDict):
    """A receiver of webhooks of which no attempt has succeeded for a while."""

    receiver: str
    failingSince: str
    lastFailureAt: str
    error: str
    paused: bool


class ExecutionEvent(TypedDict):
    """What a webhook gets when an execution has ended: the execution, and what this message is."""

    id: str
    type: str
    version: int
    timestamp: str | None
    willRetry: bool
    executionId: str
    url: str
    status: Literal["enqueued", "pulling", "running", "done", "failed", "timedout", "stopped", "expired"]
    failure: Failure | None
    createdAt: str
    startedAt: str | None
    finishedAt: str | None
    exitCode: int | None
    jobId: str
    taskId: str
    queueJobId: str
    image: str
    imageDigest: str | None
    command: str | None
    attempt: int
    retries: int
    timeout: float | None
    expiresAt: str | None
    scheduledFor: str
    durationMs: int | None
    host: str | None
    pool: str | None
    serviceId: str | None
    containerId: str | None
    logInfo: LogInfo
    usage: Usage | None
    stopRequestedAt: str | None
    requestedBy: Requester | None
    metadata: EventMetadata
    log: NotRequired[str]
    error: NotRequired[str]
    job_id: str
    name: str | None
    labels: dict[str, str]


class EventMetadata(TypedDict):
    """What the job's client gave, and where the execution ran, under the names of fastlane 2.x."""

    custom: dict[str, Any]
    docker_host: str | None
    docker_port: int | None
    container_id: str | None


class JobEvent(TypedDict):
    """What a webhook gets when a job has had no success for as long as its expectEvery says, and after the next success."""

    id: str
    type: str
    version: int
    timestamp: str
    status: Literal["late", "recovered"]
    taskId: str
    jobId: str
    job_id: str
    url: str
    name: str | None
    labels: dict[str, str]
    image: str
    expectEvery: str
    nextRunAt: str | None
    lastExecution: Execution | None
    metadata: JobEventMetadata


class JobEventMetadata(TypedDict):
    """What the job's client gave."""

    custom: dict[str, Any]


class JobResourcesReserve(TypedDict):
    """What its node must have free, and keeps for it."""

    cpus: NotRequired[float | None]
    memory: NotRequired[int | str | None]


class JobResources(TypedDict):
    """How much of a node it gets, within the limits of its pool."""

    cpus: NotRequired[float | None]
    memory: NotRequired[int | str | None]
    pids: NotRequired[int | None]
    reserve: NotRequired[JobResourcesReserve | None]


class JobContainerMounts2(TypedDict):
    """The fields of JobContainerMounts2."""

    type: Literal["bind"]
    source: str
    target: str
    readOnly: NotRequired[bool | None]
    size: NotRequired[None]


class JobContainerMounts3(TypedDict):
    """The fields of JobContainerMounts3."""

    type: Literal["volume"]
    source: str
    target: str
    readOnly: NotRequired[bool | None]
    size: NotRequired[None]


class JobContainerMounts4(TypedDict):
    """The fields of JobContainerMounts4."""

    type: Literal["tmpfs"]
    source: NotRequired[None]
    target: str
    readOnly: NotRequired[bool | None]
    size: NotRequired[int | str | None]


class JobContainerSecrets2(TypedDict):
    """The fields of JobContainerSecrets2."""

    name: str
    target: NotRequired[str | None]


class JobContainer(TypedDict):
    """How its container is set up. The policy of its pool says what is allowed; anything else is a 403."""

    user: NotRequired[str | None]
    workdir: NotRequired[str | None]
    init: NotRequired[bool | None]
    stopSignal: NotRequired[str | int | None]
    stopGrace: NotRequired[str | float | None]
    mounts: NotRequired[list[str | JobContainerMounts2 | JobContainerMounts3 | JobContainerMounts4] | None]
    networks: NotRequired[list[str] | None]
    secrets: NotRequired[list[str | JobContainerSecrets2] | None]
    constraints: NotRequired[list[str] | None]
    extraHosts: NotRequired[dict[str, Any] | None]
    additionalDNSEntries: NotRequired[dict[str, Any] | None]


class JobWebhooksSucceeds(TypedDict):
    """The fields of JobWebhooksSucceeds."""

    url: str
    headers: NotRequired[dict[str, str] | None]
    retries: NotRequired[int | None]
    body: NotRequired[dict[str, Any] | None]


class JobWebhooksFails(TypedDict):
    """The fields of JobWebhooksFails."""

    url: str
    headers: NotRequired[dict[str, str] | None]
    retries: NotRequired[int | None]
    body: NotRequired[dict[str, Any] | None]


class JobWebhooksFinishes(TypedDict):
    """The fields of JobWebhooksFinishes."""

    url: str
    headers: NotRequired[dict[str, str] | None]
    retries: NotRequired[int | None]
    body: NotRequired[dict[str, Any] | None]


class JobWebhooksLate(TypedDict):
    """The fields of JobWebhooksLate."""

    url: str
    headers: NotRequired[dict[str, str] | None]
    retries: NotRequired[int | None]
    body: NotRequired[dict[str, Any] | None]


class JobWebhooksRecovered(TypedDict):
    """The fields of JobWebhooksRecovered."""

    url: str
    headers: NotRequired[dict[str, str] | None]
    retries: NotRequired[int | None]
    body: NotRequired[dict[str, Any] | None]


class JobWebhooks(TypedDict):
    """Where to post how each execution ended, by what is told; up to 10 in each list."""

    succeeds: NotRequired[list[JobWebhooksSucceeds] | None]
    fails: NotRequired[list[JobWebhooksFails] | None]
    finishes: NotRequired[list[JobWebhooksFinishes] | None]
    late: NotRequired[list[JobWebhooksLate] | None]
    recovered: NotRequired[list[JobWebhooksRecovered] | None]


class JobNotify(TypedDict):
    """E-mail addresses, of domains that `notify_allow` has, that get a mail about each end; up to 20 in each list."""

    succeeds: NotRequired[list[str] | None]
    fails: NotRequired[list[str] | None]
    finishes: NotRequired[list[str] | None]
    late: NotRequired[list[str] | None]
    recovered: NotRequired[list[str] | None]


class JobRetention(TypedDict):
    """How long its history stays, where that is to be less than its pool or the server keeps it."""

    jobs: NotRequired[str | float | None]
    executions: NotRequired[str | float | None]
    maxExecutions: NotRequired[int | None]
    logs: NotRequired[str | float | None]


class JobFields(TypedDict):
    """The fields of JobFields."""

    image: str
    command: NotRequired[str | list[str] | None]
    envs: NotRequired[dict[str, str | float | bool] | None]
    startIn: NotRequired[str | None]
    startAt: NotRequired[float | str | None]
    cron: NotRequired[str | None]
    timezone: NotRequired[str | None]
    overlap: NotRequired[Literal["allow", "skip", "queue", "replace"] | None]
    catchUp: NotRequired[Literal["latest", "none"] | None]
    retries: NotRequired[int | None]
    retryDelay: NotRequired[str | float | None]
    timeout: NotRequired[str | float | None]
    expiration: NotRequired[float | str | None]
    expiresIn: NotRequired[str | float | None]
    priority: NotRequired[int | None]
    concurrency: NotRequired[int | None]
    resources: NotRequired[JobResources | None]
    container: NotRequired[JobContainer | None]
    additionalDNSEntries: NotRequired[dict[str, Any] | None]
    name: NotRequired[str | None]
    labels: NotRequired[dict[str, str] | None]
    expectEvery: NotRequired[str | float | None]
    webhooks: NotRequired[JobWebhooks | None]
    notify: NotRequired[JobNotify | None]
    retention: NotRequired[JobRetention | None]
    metadata: NotRequired[dict[str, Any] | None]


class JobChanges(TypedDict):
    """The fields of JobChanges."""

    image: NotRequired[str]
    command: NotRequired[str | list[str] | None]
    envs: NotRequired[dict[str, str | float | bool] | None]
    startIn: NotRequired[str | None]
    startAt: NotRequired[float | str | None]
    cron: NotRequired[str | None]
    timezone: NotRequired[str | None]
    overlap: NotRequired[Literal["allow", "skip", "queue", "replace"] | None]
    catchUp: NotRequired[Literal["latest", "none"] | None]
    retries: NotRequired[int | None]
    retryDelay: NotRequired[str | float | None]
    timeout: NotRequired[str | float | None]
    expiration: NotRequired[float | str | None]
    expiresIn: NotRequired[str | float | None]
    priority: NotRequired[int | None]
    concurrency: NotRequired[int | None]
    resources: NotRequired[JobResources | None]
    container: NotRequired[JobContainer | None]
    additionalDNSEntries: NotRequired[dict[str, Any] | None]
    name: NotRequired[str | None]
    labels: NotRequired[dict[str, str] | None]
    expectEvery: NotRequired[str | float | None]
    webhooks: NotRequired[JobWebhooks | None]
    notify: NotRequired[JobNotify | None]
    retention: NotRequired[JobRetention | None]
    metadata: NotRequired[dict[str, Any] | None]


class HostRegistration(TypedDict):
    """The fields of HostRegistration."""

    address: str
    pool: str
    weight: NotRequired[int | None]
    maxRunning: NotRequired[int | None]


class Drain(TypedDict):
    """The fields of Drain."""

    host: str


class Reason(TypedDict):
    """The fields of Reason."""

    reason: str


LIST_TASKS: Operation[TaskPage] = Operation("listTasks", "GET", "/tasks")
SEARCH_TASKS: Operation[TaskPage] = Operation("searchTasks", "GET", "/search")
LIST_JOBS: Operation[TaskJobs] = Operation("listJobs", "GET", "/tasks/{task_id}")
ENQUEUE: Operation[Enqueued] = Operation("enqueue", "POST", "/tasks/{task_id}", keyed=True)
ENQUEUE_AS_WAITED: Operation[Waited] = Operation("enqueue", "POST", "/tasks/{task_id}", keyed=True)
ENQUEUE_AS_DRY_RUN: Operation[DryRun] = Operation("enqueue", "POST", "/tasks/{task_id}", keyed=True)
DELETE_TASK: Operation[Deleted] = Operation("deleteTask", "DELETE", "/tasks/{task_id}")
STOP_TASK: Operation[TaskStopped] = Operation("stopTask", "POST", "/tasks/{task_id}/stop")
LIST_JOBS_OF_TASK: Operation[JobPage] = Operation("listJobsOfTask", "GET", "/tasks/{task_id}/jobs")
GET_JOB: Operation[JobDetail] = Operation("getJob", "GET", "/tasks/{task_id}/jobs/{job_id}")
PUT_JOB: Operation[Enqueued] = Operation("putJob", "PUT", "/tasks/{task_id}/jobs/{job_id}", keyed=True)
PUT_JOB_AS_WAITED: Operation[Waited] = Operation("putJob", "PUT", "/tasks/{task_id}/jobs/{job_id}", keyed=True)
PUT_JOB_AS_DRY_RUN: Operation[DryRun] = Operation("putJob", "PUT", "/tasks/{task_id}/jobs/{job_id}", keyed=True)
PATCH_JOB: Operation[Enqueued] = Operation("patchJob", "PATCH", "/tasks/{task_id}/jobs/{job_id}", keyed=True)
PATCH_JOB_AS_WAITED: Operation[Waited] = Operation("patchJob", "PATCH", "/tasks/{task_id}/jobs/{job_id}", keyed=True)
PATCH_JOB_AS_DRY_RUN: Operation[DryRun] = Operation("patchJob", "PATCH", "/tasks/{task_id}/jobs/{job_id}", keyed=True)
DELETE_JOB: Operation[Deleted] = Operation("deleteJob", "DELETE", "/tasks/{task_id}/jobs/{job_id}")
STOP_JOB: Operation[Stopped] = Operation("stopJob", "POST", "/tasks/{task_id}/jobs/{job_id}/stop")
RETRY_JOB: Operation[Enqueued] = Operation("retryJob", "POST", "/tasks/{task_id}/jobs/{job_id}/retry", keyed=True)
RUN_JOB: Operation[Enqueued] = Operation("runJob", "POST", "/tasks/{task_id}/jobs/{job_id}/run", keyed=True)
PAUSE_JOB: Operation[Stopped] = Operation("pauseJob", "POST", "/tasks/{task_id}/jobs/{job_id}/pause")
RESUME_JOB: Operation[Stopped] = Operation("resumeJob", "POST", "/tasks/{task_id}/jobs/{job_id}/resume")
LIST_ALL_JOBS: Operation[JobPage] = Operation("listAllJobs", "GET", "/jobs")
LIST_TICKS: Operation[TickPage] = Operation("listTicks", "GET", "/tasks/{task_id}/jobs/{job_id}/ticks")
GET_WHY: Operation[Why] = Operation("getWhy", "GET", "/tasks/{task_id}/jobs/{job_id}/why")
GET_WHY_OF_EXECUTION: Operation[Why] = Operation("getWhyOfExecution", "GET", "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/why")
LIST_EXECUTIONS: Operation[ExecutionPage] = Operation("listExecutions", "GET", "/executions")
LIST_EXECUTIONS_OF_JOB: Operation[ExecutionPage] = Operation("listExecutionsOfJob", "GET", "/tasks/{task_id}/jobs/{job_id}/executions")
GET_EXECUTION: Operation[ExecutionDetail] = Operation("getExecution", "GET", "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}")
STOP_EXECUTION: Operation[ExecutionStopped] = Operation(
    "stopExecution", "POST", "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/stop"
)
LIST_DELIVERIES: Operation[Deliveries] = Operation(
    "listDeliveries", "GET", "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/deliveries"
)
REDELIVER: Operation[Delivery] = Operation(
    "redeliver", "POST", "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/deliveries/{delivery_id}/redeliver"
)
LIST_DELIVERIES_OF_JOB: Operation[JobDeliveries] = Operation("listDeliveriesOfJob", "GET", "/tasks/{task_id}/jobs/{job_id}/deliveries")
REDELIVER_OF_JOB: Operation[Delivery] = Operation(
    "redeliverOfJob", "POST", "/tasks/{task_id}/jobs/{job_id}/deliveries/{delivery_id}/redeliver"
)
GET_HISTORY: Operation[History] = Operation("getHistory", "GET", "/history")
GET_LOGS: Operation[None] = Operation("getLogs", "GET", "/tasks/{task_id}/jobs/{job_id}/logs")
GET_LOGS_OF_EXECUTION: Operation[None] = Operation(
    "getLogsOfExecution", "GET", "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/logs"
)
MAKE_TICKET: Operation[Ticket] = Operation("makeTicket", "POST", "/tasks/{task_id}/jobs/{job_id}/ws-ticket")
MAKE_TICKET_OF_EXECUTION: Operation[Ticket] = Operation(
    "makeTicketOfExecution", "POST", "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/ws-ticket"
)
LIST_EVENTS: Operation[EventPage] = Operation("listEvents", "GET", "/events")
PAUSE_DISPATCH: Operation[DispatchPaused] = Operation("pauseDispatch", "POST", "/dispatch/pause")
RESUME_DISPATCH: Operation[DispatchPaused] = Operation("resumeDispatch", "POST", "/dispatch/resume")
LIST_HOSTS: Operation[KnownHosts] = Operation("listHosts", "GET", "/hosts")
REGISTER_HOST: Operation[KnownHost] = Operation("registerHost", "POST", "/hosts")
REMOVE_HOST: Operation[HostRemoved] = Operation("removeHost", "DELETE", "/hosts/{host}")
DRAIN_HOST_BY_PUT: Operation[HostDrained] = Operation("drainHostByPut", "PUT", "/docker-executor/blacklist")
DRAIN_HOST: Operation[HostDrained] = Operation("drainHost", "POST", "/docker-executor/blacklist")
UNDRAIN_HOST: Operation[HostDrained] = Operation("undrainHost", "DELETE", "/docker-executor/blacklist")
END_EXECUTION: Operation[ExecutionStopped] = Operation(
    "endExecution", "POST", "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/end"
)
MARK_EXECUTION_CLEANED: Operation[ExecutionCleaned] = Operation(
    "markExecutionCleaned", "POST", "/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/mark-cleaned"
)
REBUILD_QUEUE: Operation[QueueRebuild] = Operation("rebuildQueue", "POST", "/queue/rebuild")
FORGET_WORKER: Operation[WorkerForgotten] = Operation("forgetWorker", "POST", "/workers/{worker}/forget")
LIST_POOLS: Operation[Pools] = Operation("listPools", "GET", "/pools")
RELOAD_POOLS: Operation[PoolsReloaded] = Operation("reloadPools", "POST", "/pools/reload")
PAUSE_POOL: Operation[PoolPaused] = Operation("pausePool", "POST", "/pools/{pool}/pause")
RESUME_POOL: Operation[PoolPaused] = Operation("resumePool", "POST", "/pools/{pool}/resume")
GET_LIVENESS: Operation[Alive] = Operation("getLiveness", "GET", "/livez")
GET_READINESS: Operation[Ready] = Operation("getReadiness", "GET", "/readyz")
GET_HEALTH: Operation[Health] = Operation("getHealth", "GET", "/healthcheck")
GET_STATUS: Operation[ServerStatus] = Operation("getStatus", "GET", "/status")
GET_ROOT: Operation[Health] = Operation("getRoot", "GET", "/")
GET_OPEN_API: Operation[None] = Operation("getOpenApi", "GET", "/openapi.json")
