"""The server itself: its health, its status at a glance, and the gauges of ``/metrics``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fastlane.metrics import GaugeValues
from fastlane.models.delivery import Receiver
from fastlane.models.host import Disk, Node, Uncleaned
from fastlane.models.job import Job, LateJob
from fastlane.models.pool import REQUESTED, RESTORED, Pauses
from fastlane.models.status import Status
from fastlane.services.reads.pools import HostRow
from fastlane.services.reads.status import (
    HealthProblem,
    HealthReport,
    InstallationGauges,
    PoolGauges,
    PoolsRow,
    QueueRow,
    RunningRow,
    StatusView,
    StrandedRow,
    WorkerRow,
)
from fastlane.web.api import serializer as show
from fastlane.web.api.executions import host_name, host_port, image, service, split_host
from fastlane.web.api.hosts import is_usable, why_unusable
from fastlane.web.api.jobs import JOB_STATUSES
from fastlane.web.api.serializer import Field, Serializer

ALIVE = Serializer[None]("Alive", "This process serves.", alive=show.boolean(lambda _: True, "Always true."))

READY = Serializer[None]("Ready", "This process can take requests.", ready=show.boolean(lambda _: True, "Always true."))

HEALTH_PROBLEM = Serializer[HealthProblem](
    "Trouble",
    "What is wrong with one part.",
    source=show.enum(("store", "redis", "dispatch", "workers", "docker"), lambda problem: problem.source, "Which part."),
    message=show.string(lambda problem: problem.message, "Why; on a server with users or tokens, for callers who log in."),
)

HEALTH = Serializer[HealthReport](
    "Health",
    "Which parts are well.",
    redis=show.boolean(lambda health: health.redis, "Whether the queue takes writes."),
    store=show.boolean(lambda health: health.store, "Whether the store takes writes."),
    mongo=show.boolean(
        lambda health: health.store if health.is_mongo else None,
        "The store, under the name that it had in fastlane 2.x; only where it is MongoDB.",
        optional=True,
    ),
    docker=show.boolean(lambda health: health.docker, "Whether every pool has a usable host."),
    workers=show.boolean(lambda health: health.workers, "Whether one is alive."),
    dispatch=show.boolean(lambda health: health.dispatch, "Whether all dispatch is not paused, as far as the store says."),
    errors=show.array(HEALTH_PROBLEM, lambda health: health.errors),
)


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """The status at a glance, and the version of the server that gives it."""

    version: str
    view: StatusView


ABOUT = Serializer[str](
    "About",
    "What answers.",
    version=show.string(lambda version: version, "The server's version."),
    executor=show.enum(("swarm",), lambda _: "swarm", "What runs the containers."),
)

WORKER = Serializer[WorkerRow](
    "Worker",
    "A worker that is alive.",
    id=show.string(lambda worker: worker.id, "The worker's id, as logs have it."),
    version=show.string(lambda worker: worker.version, "Its version; null: it does not say, so it is an older one.", null=True),
    startedAt=show.timestamp(lambda worker: worker.started_at, "When it started."),
    clockSkewMs=show.integer(lambda worker: worker.clock_skew, "How far its machine's clock is ahead of Redis's.", null=True, least=None),
    poolsCurrent=show.boolean(lambda worker: worker.has_pools, "Whether it has the pools that were read last.", null=True),
)

POOLS_REVISION = Serializer[PoolsRow](
    "PoolsRevision",
    "The pools that all processes must have: the ones that were read last.",
    revision=show.integer(lambda row: row.revision.number, "Grows by one when other pools are read."),
    recordedAt=show.timestamp(lambda row: row.revision.recorded_at or None, "When they were.", null=True),
    current=show.boolean(lambda row: row.is_current, "Whether the process that answers has them."),
    error=show.string(lambda row: row.fault, "Why it has others, if it tried to read them.", null=True),
)

WORKERS = Serializer[Sequence[WorkerRow]](
    "Workers",
    "The workers that are alive.",
    alive=show.integer(len, "How many."),
    items=show.array(WORKER, lambda workers: workers),
)

DISK = Serializer[Disk](
    "Disk",
    "The disk on which an engine keeps images and containers.",
    freeBytes=show.integer(lambda disk: disk.free, "What is free of it; null where no worker runs on the engine's machine.", null=True),
    totalBytes=show.integer(lambda disk: disk.total, "How large it is; null likewise.", null=True),
    short=show.boolean(lambda disk: disk.short is not None, "Whether too little is free, so that the host gets no new work."),
    since=show.timestamp(lambda disk: disk.since, "Since when, if so.", null=True),
    until=show.timestamp(
        lambda disk: disk.until,
        "When it gets new work again, after a start that had no space left; null: once enough is free.",
        null=True,
    ),
)

NODE = Serializer[Node](
    "SwarmNode",
    "A node of a swarm of several.",
    id=show.string(lambda node: node.id, "Its id in the swarm."),
    name=show.string(lambda node: node.name, "Its machine's name."),
    state=show.string(lambda node: node.state, "ready, down, disconnected or unknown: what the swarm says."),
    takesWork=show.boolean(lambda node: node.takes_work, "Whether the swarm gives it work: it is ready, and neither drained nor paused."),
    cpus=show.number(lambda node: node.cpus, "Its processors."),
    memoryBytes=show.integer(lambda node: node.memory, "Its memory.", null=True),
)

HOST = Serializer[HostRow](
    "Host",
    "A Docker host of a pool, as the workers see it.",
    id=show.uuid(lambda row: row.id, "Its id in /hosts; null until a worker has reached it.", null=True),
    host=host_name(lambda row: row.name, null=False),
    port=show.integer(lambda row: split_host(row.name)[1], "Its port; null for a socket.", null=True, least=1),
    pool=show.string(lambda row: row.pool, "The pool that it belongs to."),
    swarm=show.string(lambda row: row.view.swarm_id if row.view else None, "The id of its swarm, once that is known.", null=True),
    available=show.boolean(lambda row: is_usable(row.view), "Whether it may get new work."),
    blacklisted=show.boolean(lambda row: row.drained, "Whether it is drained: it gets no new work, and what runs there goes on."),
    circuit=show.string(lambda row: row.view.circuit if row.view else None, "closed, open or half-open.", null=True),
    error=show.string(lambda row: why_unusable(row.view), "Why it gets no new work, if so.", null=True),
    since=show.timestamp(lambda row: row.fault_since, "Since when; null where that is not known.", null=True),
    running=show.integer(
        lambda row: row.view.running if row.view else 0,
        "Executions on it. One manager of a swarm also counts the executions on nodes that are not hosts here.",
    ),
    cpus=show.integer(lambda row: row.view.cpus if row.view else None, "Processors of its machine.", null=True),
    memoryBytes=show.integer(lambda row: row.view.memory if row.view else None, "The memory of its machine.", null=True),
    disk=show.nested(DISK, lambda row: row.view.disk if row.view else None, null=True),
    nodes=show.array(NODE, lambda row: row.view.members if row.view else (), "The nodes of its swarm, if there are others than its own."),
    clockSkewMs=show.integer(
        lambda row: row.view.clock_skew if row.view else None, "How far its clock is ahead of a worker's.", null=True, least=None
    ),
)

RUNNING = Serializer[RunningRow](
    "Container",
    "A container that runs.",
    host=host_name(lambda row: row.container.host),
    port=host_port(lambda row: row.container.host),
    task=show.string(lambda row: row.container.task_id, "The task's id."),
    job=show.uuid(lambda row: row.container.job_id, "The job's id."),
    execution=show.uuid(lambda row: row.container.execution_id, "The execution's id."),
    id=show.string(lambda row: row.container.container_id, "The container's id.", null=True),
    image=image(lambda row: row.container.image),
    service=service(lambda row: row.container.service),
    error=show.string(
        lambda row: row.hangs, "Why its worker cannot follow it, since its host or node is away; null while it can.", null=True
    ),
)

CONTAINERS = Serializer[Sequence[RunningRow]](
    "Containers",
    "What runs, up to a thousand.",
    running=show.array(RUNNING, lambda rows: rows),
)

STRANDED = Serializer[QueueRow | StrandedRow](
    "StrandedLane",
    "How many entries of a queue that no worker serves are in each state.",
    ready=show.integer(lambda queue: queue.ready, "How many wait for a slot."),
    timed=show.integer(lambda queue: queue.timed, "How many wait for their time."),
    running=show.integer(lambda queue: queue.running, "How many hold a slot."),
    blocked=show.integer(lambda queue: queue.blocked, "How many wait until fewer of their task, or with their key, run (concurrency)."),
)

QUEUE = Serializer[QueueRow](
    "Lane",
    "How many entries of a pool's queue are in each state, and how many may run.",
    states=show.flattened(STRANDED, lambda queue: queue),
    maxRunning=show.integer(lambda queue: queue.max_running, "How many executions of the pool may run at once.", least=1),
    paused=show.boolean(lambda queue: queue.paused, "Whether the pool is paused."),
)

HOLD_REASONS = {REQUESTED: "requested", RESTORED: "restored"}

DISPATCH = Serializer[StatusView](
    "Dispatch",
    "Whether all dispatch is paused.",
    paused=show.boolean(lambda view: view.hold is not None, "Whether it is paused now."),
    reason=show.string(
        lambda view: None if view.hold is None else HOLD_REASONS[view.hold],
        "requested, or restored: the store went back to an earlier state, as after a backup was restored.",
        null=True,
    ),
)

UNCLEANED = Serializer[Uncleaned](
    "Uncleaned",
    "Executions of a host that have ended, but whose services are not removed yet.",
    host=host_name(lambda row: row.host),
    port=host_port(lambda row: row.host),
    count=show.integer(lambda row: row.count, "How many; a thousand at most on all hosts together."),
    since=show.timestamp(lambda row: row.since, "When the first of them ended.", null=True),
)

TASK_COUNT = Serializer[StatusView](
    "TaskCount", "How many tasks there are.", count=show.integer(lambda view: view.counts.tasks, "How many.")
)

SCHEDULED = Serializer[Job](
    "Scheduled",
    "A job that is due some time.",
    taskId=show.string(lambda job: job.task_id, "Its task's id."),
    jobId=show.uuid(lambda job: job.id, "The job's id."),
    name=show.string(lambda job: job.spec.name, "Its name for people.", null=True),
    url=show.url(lambda job, render: render.job_url(job.task_id, job.id), "The job."),
    nextRunAt=show.timestamp(lambda job: job.schedule.unskipped_from(job.next_tick), "Its next tick.", null=True),
    stopUrl=show.url(lambda job, render: f"{render.job_url(job.task_id, job.id)}stop/", "POST here to stop it."),
)


LATE_JOB = Serializer[LateJob](
    "LateJob",
    "A job that has not succeeded in time, by its expectEvery or doneBy.",
    taskId=show.string(lambda job: job.task_id, "Its task's id."),
    jobId=show.uuid(lambda job: job.id, "The job's id."),
    url=show.url(lambda job, render: render.job_url(job.task_id, job.id), "The job."),
    name=show.string(lambda job: job.name, "A name for people.", null=True),
    lateSince=show.timestamp(lambda job: job.late_since, "Since when it is late."),
    expectEvery=show.seconds(lambda job: job.expect_every, "Seconds within which it must succeed; null: it has a doneBy."),
    doneBy=show.string(lambda job: job.done_by, "The time of day by which it must have succeeded; null: it has an expectEvery.", null=True),
)


def _job_count(status: str) -> Field[Mapping[str, int]]:
    return show.integer(lambda counts: counts.get(status, 0), f"How many are {status}.")


JOBS_BY_STATUS = Serializer[Mapping[str, int]](
    "JobsByStatus",
    "How many jobs have each status; null when there are too many to count in time.",
    **{str(status): _job_count(str(status)) for status in JOB_STATUSES},
)

JOB_COUNT = Serializer[StatusView](
    "JobCount",
    "How many jobs there are, and the next that are due.",
    count=show.integer(lambda view: view.counts.jobs, "How many."),
    byStatus=show.nested(JOBS_BY_STATUS, lambda view: view.jobs_by_status, null=True),
    scheduled=show.array(SCHEDULED, lambda view: view.scheduled, "The next that are due, up to 20."),
    late=show.array(LATE_JOB, lambda view: view.late, "The late jobs, up to 100, the ones that have been late for longest first."),
)


def _count(status: Status) -> Field[StatusView]:
    return show.integer(lambda view: view.counts.executions.get(status, 0), f"How many are {status.value}.")


EXECUTION_COUNTS = Serializer[StatusView](
    "ExecutionsByStatus", "How many executions have each status.", **{status.value: _count(status) for status in Status}
)

FAILING = Serializer[Receiver](
    "FailingReceiver",
    "A receiver of webhooks that no attempt has reached for a while.",
    receiver=show.string(lambda row: row.origin, "Its scheme, host and port.", examples=["https://example.com:443"]),
    failingSince=show.timestamp(lambda row: row.failing_since, "When the first of these attempts failed."),
    lastFailureAt=show.timestamp(lambda row: row.failed_at, "When the last one did."),
    error=show.string(lambda row: row.error, "Why."),
    paused=show.boolean(lambda row: row.is_paused, "Whether it is paused, because every attempt has failed for a day."),
)

WEBHOOK_STATUS = Serializer[StatusView](
    "WebhookStatus",
    "How webhooks fare.",
    failing=show.array(FAILING, lambda view: view.failing, "The receivers that fail, up to 100, those that have failed for longest first."),
)

SERVER_STATUS = Serializer[ServerStatus](
    "ServerStatus",
    "What goes on, at a glance.",
    fastlane=show.nested(ABOUT, lambda status: status.version),
    uptime=show.integer(lambda status: status.view.uptime // 1000, "Seconds since this process started."),
    workers=show.nested(WORKERS, lambda status: status.view.workers),
    hosts=show.array(HOST, lambda status: status.view.hosts),
    containers=show.nested(CONTAINERS, lambda status: status.view.running),
    dispatch=show.nested(DISPATCH, lambda status: status.view),
    pools=show.nested(POOLS_REVISION, lambda status: status.view.pools),
    queues=show.table(QUEUE, lambda status: status.view.queues, "By pool."),
    strandedQueues=show.table(
        STRANDED,
        lambda status: status.view.stranded,
        "Queues of pools that were renamed or removed, until a worker moves what waits there.",
    ),
    tasks=show.nested(TASK_COUNT, lambda status: status.view),
    jobs=show.nested(JOB_COUNT, lambda status: status.view),
    executions=show.nested(EXECUTION_COUNTS, lambda status: status.view),
    uncleaned=show.array(UNCLEANED, lambda status: status.view.uncleaned, "What has yet to be removed from each host; usually empty."),
    webhooks=show.nested(WEBHOOK_STATUS, lambda status: status.view),
)


Values = Sequence[tuple[tuple[str, ...], float]]


def gauges_of(now: InstallationGauges) -> tuple[GaugeValues, ...]:
    """One gauge for each figure; a figure that could not be read has no value."""
    return (*_of_installation(now), *_of_pools(now), *_of_deliveries(now), *_of_hosts(now))


def _of_installation(now: InstallationGauges) -> tuple[GaugeValues, ...]:
    return (
        GaugeValues("fastlane_store_up", "Whether the store takes writes.", (), _one(now.store_up)),
        GaugeValues("fastlane_store_migrating", "Whether another process is bringing the store up to date.", (), _one(now.migrating)),
        GaugeValues("fastlane_queue_up", "Whether Redis takes writes.", (), _one(now.queue_up)),
        GaugeValues("fastlane_store_read_seconds", "How long one small read of the store took just now.", (), _one(now.store_seconds)),
        GaugeValues("fastlane_queue_read_seconds", "How long one small read of the queue took just now.", (), _one(now.queue_seconds)),
        GaugeValues("fastlane_stored_log_bytes", "About how many bytes all stored logs take.", (), _one(now.log_bytes)),
        GaugeValues("fastlane_jobs_late", "Jobs that are late by their expectEvery or doneBy.", (), _one(now.late)),
        GaugeValues("fastlane_workers", "Workers that are alive.", (), _one(now.workers)),
        GaugeValues(
            "fastlane_dispatch_paused",
            "Whether all dispatch is paused, because somebody asked for it or because the store went back to an earlier state.",
            ("reason",),
            _holds(now.pauses),
        ),
        GaugeValues("fastlane_followers", "Logs that this process is sending to followers.", (), _one(now.followers)),
    )


def _of_pools(now: InstallationGauges) -> tuple[GaugeValues, ...]:
    return (
        GaugeValues(
            "fastlane_pool_executions",
            "Executions of a pool that wait for a slot (ready), their time (timed) or others of their task (blocked), or hold a slot.",
            ("pool", "state"),
            [value for pool in now.pools for value in _states(pool)],
        ),
        GaugeValues(
            "fastlane_pool_oldest_waiting_seconds",
            "For how long the execution that has waited longest for a slot of its pool has been due.",
            ("pool",),
            _by_pool(now, lambda row: None if row.oldest is None else row.oldest / 1000),
        ),
        GaugeValues(
            "fastlane_pool_slots",
            "How many executions of a pool may run at once.",
            ("pool",),
            _by_pool(now, lambda row: row.pool.max_running),
        ),
        GaugeValues("fastlane_pool_paused", "Whether a pool is paused.", ("pool",), _by_pool(now, lambda row: row.paused)),
    )


def _of_deliveries(now: InstallationGauges) -> tuple[GaugeValues, ...]:
    return (
        GaugeValues(
            "fastlane_delivery_overdue_seconds",
            "For how long the webhook or mail that has waited longest to be sent has been due; 0 when none is.",
            (),
            _one(None if now.overdue is None else now.overdue / 1000),
        ),
        GaugeValues(
            "fastlane_receivers_failing",
            "Receivers of webhooks whose last attempt failed, by whether sending to them is paused.",
            ("paused",),
            _receivers(now.receivers),
        ),
    )


def _of_hosts(now: InstallationGauges) -> tuple[GaugeValues, ...]:
    return (
        GaugeValues(
            "fastlane_host_usable",
            "Whether a host may get new work, as the workers see it.",
            ("pool", "host"),
            [((row.pool, row.name), float(row.fault is None and not row.drained and row.view is not None)) for row in now.hosts],
        ),
        GaugeValues(
            "fastlane_host_executions",
            "Executions on a host.",
            ("pool", "host"),
            [((row.pool, row.name), float(row.view.running)) for row in now.hosts if row.view is not None],
        ),
        GaugeValues(
            "fastlane_host_circuit", "1 for the state of a host's circuit breaker.", ("pool", "host", "state"), _circuits(now.hosts)
        ),
    )


def _one(value: float | None) -> Values:
    return () if value is None else [((), float(value))]


def _holds(pauses: Pauses | None) -> Values:
    return () if pauses is None else [((word,), float(name in pauses.names)) for name, word in HOLD_REASONS.items()]


def _states(row: PoolGauges) -> Values:
    if row.lane is None:
        return ()
    states = {"ready": row.lane.ready, "timed": row.lane.timed, "blocked": row.lane.blocked, "running": row.lane.running}
    return [((row.pool.name, state), float(count)) for state, count in states.items()]


def _by_pool(now: InstallationGauges, value_of: Callable[[PoolGauges], float | None]) -> Values:
    return [((row.pool.name,), float(value)) for row in now.pools if (value := value_of(row)) is not None]


def _receivers(failing: Sequence[Receiver] | None) -> Values:
    paused = sum(receiver.is_paused for receiver in failing or ())
    return () if failing is None else [(("true",), float(paused)), (("false",), float(len(failing) - paused))]


def _circuits(hosts: Sequence[HostRow]) -> Values:
    return [((row.pool, row.name, row.view.circuit), 1.0) for row in hosts if row.view is not None]
