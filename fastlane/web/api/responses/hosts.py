"""Hosts: which there are, which of them were registered, and what became of one."""

from collections.abc import Sequence

from fastlane.models.container import Policy, Resources
from fastlane.models.host import HostView
from fastlane.models.pool import PoolsRevision, Pull
from fastlane.models.schedule import show_duration
from fastlane.services.hosts import HostState
from fastlane.services.reads.pools import HostRow, PoolView
from fastlane.services.results import ExecutionCleaned, HostDrained, HostRemoved, QueueRebuild, WorkerForgotten
from fastlane.web.api.responses.actions import NOT_SEEN
from fastlane.web.api.serializer import Serializer, array, boolean, enum, integer, nested, number, string, strings, timestamp, url, uuid


def _fault(host: HostState) -> str | None:
    view = host.view
    if view is None:
        return NOT_SEEN
    return None if view.is_open else view.reason or view.closed


def _seen(view: HostView | None) -> HostView:
    return view or HostView("", False)


KNOWN_HOST = Serializer[HostState](
    "KnownHost",
    "A Docker host.",
    id=uuid(lambda host: host.record.id, "By which it can be removed."),
    address=string(lambda host: host.record.address, "How the workers reach it."),
    pools=strings(lambda host: host.pools, "The pools that give it work; none: what is there goes on, and nothing new comes."),
    registered=boolean(lambda host: host.record.pool is not None, "Whether it was registered; else the settings name it, or did."),
    weight=integer(lambda host: host.weight, "How much of its pool's work it gets, beside the others.", least=1),
    maxRunning=integer(lambda host: host.max_running, "How many executions it may have at once; null: no limit of its own.", null=True),
    swarm=string(lambda host: _seen(host.view).swarm_id or host.record.swarm_id, "The id of its swarm.", null=True),
    engine=string(lambda host: host.record.engine_id, "The id of the engine that has to answer there; null: none has yet.", null=True),
    available=boolean(lambda host: _seen(host.view).is_open, "Whether it may get new work."),
    blacklisted=boolean(lambda host: host.record.drained, "Whether it is drained: it gets no new work, and what runs there goes on."),
    error=string(_fault, "Why it gets no new work, if so.", null=True),
    running=integer(lambda host: _seen(host.view).running, "Executions on it."),
    registeredAt=timestamp(lambda host: host.record.registered_at, "When it was registered.", null=True),
    registeredBy=string(
        lambda host: host.record.registered_by.user if host.record.registered_by else None, "Who registered it.", null=True
    ),
)

KNOWN_HOSTS = Serializer[Sequence[HostState]](
    "KnownHosts",
    "All hosts, by address.",
    items=array(KNOWN_HOST, lambda hosts: hosts),
)

HOST_REMOVED = Serializer[HostRemoved](
    "HostRemoved",
    "A host that was removed.",
    id=uuid(lambda removed: removed.id),
    address=string(lambda removed: removed.address),
    removed=boolean(lambda _: True),
    lost=integer(lambda removed: removed.lost, "Executions that were bound there, and end as host-lost."),
)

HOST_DRAINED = Serializer[HostDrained](
    "HostDrained",
    "A host, and whether it is drained.",
    host=string(lambda drained: drained.address),
    blacklisted=boolean(lambda drained: drained.drained),
)


EXECUTION_CLEANED = Serializer[ExecutionCleaned](
    "ExecutionCleaned",
    "An execution whose service counts as removed.",
    executionId=uuid(lambda one: one.execution_id, "The execution's id."),
    executionUrl=url(lambda one, render: render.execution_url(one.task_id, one.job_id, one.execution_id), "The execution."),
    cleaned=boolean(lambda _: True, "Always true."),
)
QUEUE_REBUILD = Serializer[QueueRebuild](
    "QueueRebuild",
    "Whether the queue is being built anew.",
    begun=boolean(lambda rebuild: rebuild.begun, "Whether this request began it; false: a rebuild was under way already."),
)
WORKER_FORGOTTEN = Serializer[WorkerForgotten](
    "WorkerForgotten",
    "A worker that is forgotten until it reports itself again.",
    worker=string(lambda one: one.worker, "The worker's id."),
)


def _reason(row: HostRow) -> str | None:
    if row.view is None:
        return NOT_SEEN
    return row.fault


def _grace(policy: Policy) -> str | None:
    return None if policy.stop_grace is None else show_duration(policy.stop_grace / 1000)


POOL_HOST = Serializer[HostRow](
    "PoolHost",
    "A host of a pool.",
    host=string(lambda row: row.name, "Its address, as the settings or its registration have it."),
    weight=integer(lambda row: row.rule.weight, "How much of the pool's work it gets, beside the others.", least=1),
    maxRunning=integer(lambda row: row.rule.max_running, "How many executions it may have at once; null: no limit of its own.", null=True),
    running=integer(lambda row: row.view.running if row.view else 0, "Executions on it."),
    usable=boolean(lambda row: row.view is not None and row.view.is_open, "Whether work may go there now."),
    reason=string(_reason, "Why it cannot be used, if so.", null=True),
)

POLICY = Serializer[Policy](
    "Policy",
    "What a container of a pool may ask for, as patterns. An empty list allows nothing.",
    user=strings(lambda policy: policy.user, "Users."),
    workdir=strings(lambda policy: policy.workdir, "Directories in which a command starts."),
    init=boolean(lambda policy: policy.init, "Whether jobs may set it."),
    stopSignal=strings(lambda policy: policy.stop_signal, "Stop signals."),
    stopGrace=string(_grace, "The longest; null: jobs may not set it.", null=True, examples=["30s"]),
    mounts=strings(lambda policy: policy.mounts, "Paths of the node, volumes and tmpfs."),
    networks=strings(lambda policy: policy.networks, "Networks."),
    secrets=strings(lambda policy: policy.secrets, "Secrets of the swarm."),
    constraints=strings(lambda policy: policy.constraints, "Constraints of the node."),
    extraHosts=strings(lambda policy: policy.extra_hosts, "Host names."),
)

LIMITS = Serializer[Resources](
    "Limits",
    "The most that a container of a pool may use, and what it gets when it does not ask; null: no limit.",
    cpus=number(lambda limits: limits.cpus, "Processors; 0.5 is half of one."),
    memory=integer(lambda limits: limits.memory, "Bytes.", null=True),
    pids=integer(lambda limits: limits.pids, "Processes and threads.", null=True),
)

POOL = Serializer[PoolView](
    "Pool",
    "A pool: which tasks run there, on which hosts, how many at once, and what goes on.",
    name=string(lambda view: view.pool.name, "The pool's name."),
    match=string(lambda view: view.pool.match, "A regular expression: the first pool that it matches from the start takes a task."),
    hosts=array(POOL_HOST, lambda view: view.hosts),
    register=strings(lambda view: view.pool.register, "Patterns of the addresses that may be registered in it."),
    maxRunning=integer(lambda view: view.pool.max_running, "How many executions may run at once.", least=1),
    hardTimeout=number(lambda view: view.pool.hard_timeout, "Seconds that an execution may run; null: the setting hard_timeout."),
    running=integer(lambda view: view.running, "Executions that hold a slot."),
    waiting=integer(
        lambda view: view.waiting, "Executions that will want a slot: for a free one, for others of their task, or for their next try."
    ),
    paused=boolean(lambda view: view.paused, "Whether nothing is dispatched to it now."),
    pull=enum(Pull, lambda view: view.pool.pull, "When a registry is asked for an image."),
    policy=nested(POLICY, lambda view: view.pool.policy),
    limits=nested(LIMITS, lambda view: view.pool.limits),
)

POOLS = Serializer[Sequence[PoolView]](
    "Pools",
    "All pools, in the order in which a task looks for its own.",
    items=array(POOL, lambda views: views),
)

RELOADED = Serializer[PoolsRevision](
    "PoolsReloaded",
    "The pools that were read again.",
    revision=integer(lambda revision: revision.number, "Grows by one when other pools are read."),
    recordedAt=timestamp(lambda revision: revision.recorded_at, "When they were first."),
)
