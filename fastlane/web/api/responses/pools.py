"""Pools: what the settings say of them, and what goes on in them."""

from collections.abc import Sequence

from fastlane.models.container.container import Resources
from fastlane.models.container.policy import Policy
from fastlane.models.placement.pool import Pull
from fastlane.models.placement.pools_revision import PoolsRevision
from fastlane.models.schedule.schedule import show_duration
from fastlane.services.reads.host_rows import HostRow
from fastlane.services.reads.pools import PoolView
from fastlane.web.api.responses.actions import NOT_SEEN
from fastlane.web.api.serializer import Serializer, array, boolean, enum, integer, nested, number, string, strings, timestamp


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
