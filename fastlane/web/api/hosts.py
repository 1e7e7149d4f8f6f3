"""Hosts and pools: the bodies that register and drain a host or repair something by hand, and the forms of hosts and pools in answers."""

from collections.abc import Sequence

from fastlane.models.container import Policy, Resources
from fastlane.models.event import MAX_DETAIL
from fastlane.models.host import HostView, read_address
from fastlane.models.pool import PoolsRevision, Pull
from fastlane.models.schedule import show_duration
from fastlane.services.operations import HostState
from fastlane.services.reads.pools import HostRow, PoolView
from fastlane.services.results import ExecutionCleaned, HostDrained, HostRemoved, QueueRebuild, WorkerForgotten
from fastlane.web.api import serializer as show
from fastlane.web.api.body import BodyField, BodyObject, Reader, whole_number
from fastlane.web.api.serializer import Serializer

MAX_TEXT = 1024
_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}


def _address(value: object) -> str:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise ValueError(f"is longer than {MAX_TEXT} characters; write HOST:2376 or ssh://USER@HOST")
    return read_address(value)


def _text(most: int) -> Reader:
    def read(value: object) -> str:
        if not isinstance(value, str) or not value.strip() or len(value) > most:
            raise ValueError(f"is not a text of 1 to {most} characters")
        return value.strip()

    return read


HOST_BODY = BodyObject(
    "a host",
    "HostRegistration",
    address=BodyField(
        _address,
        {**_NAME, "examples": ["10.0.0.7:2376", "ssh://fastlane@worker-7"]},
        "How the workers reach it; one of the patterns in its pool's setting register must match.",
        required=True,
        missing="is missing; write HOST:2376, or ssh://USER@HOST",
    ),
    pool=BodyField(
        _text(MAX_TEXT),
        _NAME,
        "The pool that gives it work; its setting also says with which certificates or keys it is reached.",
        required=True,
        missing="is missing; name one of the pools that GET /pools shows",
    ),
    weight=whole_number(1, 1000, "How much of the pool's work it gets, beside the others; 1 unless given."),
    maxRunning=whole_number(1, 100_000, "How many executions it may have at once; without it, as many as its pool."),
)
"""The body of ``POST /hosts``."""

DRAIN_BODY = BodyObject(
    "this request",
    "Drain",
    host=BodyField(
        _text(MAX_TEXT),
        {**_NAME, "examples": ["10.0.0.7:2376"]},
        "The host: its address or, where several hosts have that, its id.",
        required=True,
        missing='is missing; write {"host": "HOST:2375"}',
    ),
)
"""The body of ``/docker-executor/blacklist``."""

REASON_BODY = BodyObject(
    "this request",
    "Reason",
    reason=BodyField(
        _text(MAX_DETAIL),
        {"type": "string", "minLength": 1, "maxLength": MAX_DETAIL, "pattern": r"\S", "examples": ["the machine burnt down"]},
        "Why it has to be done by hand; the event of it says so.",
        required=True,
        missing='is missing; write {"reason": "the machine burnt down"}',
    ),
)
"""The body of an operator's action."""


NOT_SEEN = "no worker is alive that sees it"
"""The reason for which a host that no worker reports cannot be used."""


def is_usable(view: HostView | None) -> bool:
    """Whether new work may go to a host, as the worker that sees it has it; None: no worker does."""
    return view is not None and view.is_open


def why_unusable(view: HostView | None) -> str | None:
    """Why no new work may go to a host; None when it may."""
    if view is None:
        return NOT_SEEN
    return None if view.is_open else view.reason or view.closed


def _seen(view: HostView | None) -> HostView:
    return view or HostView("", False)


KNOWN_HOST = Serializer[HostState](
    "KnownHost",
    "A Docker host.",
    id=show.uuid(lambda host: host.record.id, "By which it can be removed."),
    address=show.string(lambda host: host.record.address, "How the workers reach it."),
    pools=show.strings(lambda host: host.pools, "The pools that give it work; none: what is there goes on, and nothing new comes."),
    registered=show.boolean(lambda host: host.record.pool is not None, "Whether it was registered; else the settings name it, or did."),
    weight=show.integer(lambda host: host.weight, "How much of its pool's work it gets, beside the others.", least=1),
    maxRunning=show.integer(
        lambda host: host.max_running, "How many executions it may have at once; null: no limit of its own.", null=True
    ),
    swarm=show.string(lambda host: _seen(host.view).swarm_id or host.record.swarm_id, "The id of its swarm.", null=True),
    engine=show.string(lambda host: host.record.engine_id, "The id of the engine that has to answer there; null: none has yet.", null=True),
    available=show.boolean(lambda host: is_usable(host.view), "Whether it may get new work."),
    blacklisted=show.boolean(lambda host: host.record.drained, "Whether it is drained: it gets no new work, and what runs there goes on."),
    error=show.string(lambda host: why_unusable(host.view), "Why it gets no new work, if so.", null=True),
    running=show.integer(lambda host: _seen(host.view).running, "Executions on it."),
    registeredAt=show.timestamp(lambda host: host.record.registered_at, "When it was registered.", null=True),
    registeredBy=show.string(
        lambda host: host.record.registered_by.user if host.record.registered_by else None, "Who registered it.", null=True
    ),
)

KNOWN_HOSTS = Serializer[Sequence[HostState]](
    "KnownHosts",
    "All hosts, by address.",
    items=show.array(KNOWN_HOST, lambda hosts: hosts),
)

HOST_REMOVED = Serializer[HostRemoved](
    "HostRemoved",
    "A host that was removed.",
    id=show.uuid(lambda removed: removed.id, "The id that it had."),
    address=show.string(lambda removed: removed.address, "The address that it had."),
    removed=show.boolean(lambda _: True, "Always true."),
    lost=show.integer(lambda removed: removed.lost, "Executions that were bound there, and end as host-lost."),
)

HOST_DRAINED = Serializer[HostDrained](
    "HostDrained",
    "A host, and whether it is drained.",
    host=show.string(lambda drained: drained.address, "The host's address."),
    blacklisted=show.boolean(lambda drained: drained.drained, "Whether it is drained now."),
)


EXECUTION_CLEANED = Serializer[ExecutionCleaned](
    "ExecutionCleaned",
    "An execution whose service counts as removed.",
    executionId=show.uuid(lambda one: one.execution_id, "The execution's id."),
    executionUrl=show.url(lambda one, render: render.execution_url(one.task_id, one.job_id, one.execution_id), "The execution."),
    cleaned=show.boolean(lambda _: True, "Always true."),
)
QUEUE_REBUILD = Serializer[QueueRebuild](
    "QueueRebuild",
    "Whether the queue is being rebuilt.",
    begun=show.boolean(lambda rebuild: rebuild.begun, "Whether this request began it; false: a rebuild was under way already."),
)
WORKER_FORGOTTEN = Serializer[WorkerForgotten](
    "WorkerForgotten",
    "A worker that is forgotten until it reports itself again.",
    worker=show.string(lambda one: one.worker, "The worker's id."),
)


def _grace(policy: Policy) -> str | None:
    return None if policy.stop_grace is None else show_duration(policy.stop_grace / 1000)


POOL_HOST = Serializer[HostRow](
    "PoolHost",
    "A host of a pool.",
    host=show.string(lambda row: row.name, "Its address, as the settings or its registration have it."),
    weight=show.integer(lambda row: row.rule.weight, "How much of the pool's work it gets, beside the others.", least=1),
    maxRunning=show.integer(
        lambda row: row.rule.max_running, "How many executions it may have at once; null: no limit of its own.", null=True
    ),
    running=show.integer(lambda row: row.view.running if row.view else 0, "Executions on it."),
    usable=show.boolean(lambda row: is_usable(row.view), "Whether work may go there now."),
    reason=show.string(lambda row: why_unusable(row.view), "Why it cannot be used, if so.", null=True),
)

POLICY = Serializer[Policy](
    "Policy",
    "What a container of a pool may ask for, as patterns. An empty list allows nothing.",
    user=show.strings(lambda policy: policy.user, "Users."),
    workdir=show.strings(lambda policy: policy.workdir, "Directories in which a command starts."),
    init=show.boolean(lambda policy: policy.init, "Whether jobs may set it."),
    stopSignal=show.strings(lambda policy: policy.stop_signal, "Stop signals."),
    stopGrace=show.string(_grace, "The longest; null: jobs may not set it.", null=True, examples=["30s"]),
    mounts=show.strings(lambda policy: policy.mounts, "Paths of the node, volumes and tmpfs."),
    networks=show.strings(lambda policy: policy.networks, "Networks."),
    secrets=show.strings(lambda policy: policy.secrets, "Secrets of the swarm."),
    constraints=show.strings(lambda policy: policy.constraints, "Constraints of the node."),
    extraHosts=show.strings(lambda policy: policy.extra_hosts, "Host names."),
    entrypoint=show.boolean(lambda policy: policy.entrypoint, "Whether jobs that run as a service's container may set it; others may."),
    hostname=show.strings(lambda policy: policy.hostname, "Its own host names, which others in its networks find it by."),
    dns=show.strings(lambda policy: policy.dns, "Addresses of name servers."),
    capAdd=show.strings(lambda policy: policy.cap_add, "Capabilities."),
    sysctls=show.strings(lambda policy: policy.sysctls, "Names of kernel parameters."),
    ulimits=show.strings(lambda policy: policy.ulimits, "Names of ulimits."),
    configs=show.strings(lambda policy: policy.configs, "Configs of the swarm."),
    generic=show.strings(lambda policy: policy.generic, "Generic resources of nodes."),
)

LIMITS = Serializer[Resources](
    "Limits",
    "The most that a container of a pool may use, and what it gets when it does not ask; null: no limit.",
    cpus=show.number(lambda limits: limits.cpus, "Processors; 0.5 is half of one."),
    memory=show.integer(lambda limits: limits.memory, "Bytes.", null=True),
    pids=show.integer(lambda limits: limits.pids, "Processes and threads.", null=True),
)

POOL = Serializer[PoolView](
    "Pool",
    "A pool: which tasks run there, on which hosts, how many at once, and what goes on.",
    name=show.string(lambda view: view.pool.name, "The pool's name."),
    match=show.string(lambda view: view.pool.match, "A regular expression: the first pool that it matches from the start takes a task."),
    hosts=show.array(POOL_HOST, lambda view: view.hosts),
    register=show.strings(lambda view: view.pool.register, "Patterns of the addresses that may be registered in it."),
    maxRunning=show.integer(lambda view: view.pool.max_running, "How many executions may run at once.", least=1),
    fairShare=show.boolean(lambda view: view.pool.fair_share, "Whether its tasks take turns."),
    hardTimeout=show.number(lambda view: view.pool.hard_timeout, "Seconds that an execution may run; null: the setting hard_timeout."),
    running=show.integer(lambda view: view.running, "Executions that hold a slot."),
    waiting=show.integer(
        lambda view: view.waiting, "Executions that will want a slot: for a free one, for others of their task, or for their next try."
    ),
    paused=show.boolean(lambda view: view.paused, "Whether nothing is dispatched to it now."),
    pull=show.enum(Pull, lambda view: view.pool.pull, "When a registry is asked for an image."),
    policy=show.nested(POLICY, lambda view: view.pool.policy),
    services=show.strings(lambda view: view.pool.services, "Services of the swarm as whose containers jobs may run, as patterns."),
    limits=show.nested(LIMITS, lambda view: view.pool.limits),
)

POOLS = Serializer[Sequence[PoolView]](
    "Pools",
    "All pools, in the order in which a task looks for its own.",
    items=show.array(POOL, lambda views: views),
)

RELOADED = Serializer[PoolsRevision](
    "PoolsReloaded",
    "The pools that were read again.",
    revision=show.integer(lambda revision: revision.number, "Grows by one when other pools are read."),
    recordedAt=show.timestamp(lambda revision: revision.recorded_at, "When they were first."),
)
