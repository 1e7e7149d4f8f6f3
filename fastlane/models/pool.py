"""A pool: a rule by which tasks find their hosts, how many of their executions run at once, and what these may ask for."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache

from fastlane.errors import Fault
from fastlane.models.container import (
    DEFAULT_POLICY,
    NO_CONTAINER,
    NO_RESOURCES,
    Policy,
    Resources,
    generic_faults,
    limit_faults,
    policy_faults,
    service_faults,
)
from fastlane.models.host import NO_SSH_FILES, Endpoint, EngineIdentity, HostRecord, Refusals, SshFiles, TlsFiles, is_among, is_local
from fastlane.models.job import Execution, Spec
from fastlane.models.notify import Webhook
from fastlane.models.retention import NO_RETENTION, Retention


class Pull(StrEnum):
    """When a registry is asked for an image: always, or only when a one-node swarm's engine does not have it."""

    ALWAYS = "always"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class HostRule:
    """The rule for one host of a pool: how much of the work it gets beside the others, and how many executions it may run at once,
    including executions of other pools (None: as many as its pools)."""

    weight: int = 1
    max_running: int | None = None


ANY = HostRule()


@dataclass(frozen=True, slots=True)
class SignedReceiver:
    """A receiver of a pool's messages whose ``secrets`` are its own (empty: the pool's), and to which bodies that jobs write are signed,
    too."""

    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Pool:
    """Tasks whose id ``match`` matches (Python's ``re.match``) run on ``hosts``, at most ``max_running`` at once.

    ``hosts`` are addresses of engines (see ``Endpoint``), which are reached with ``tls`` or ``ssh``; ``insecure``: by TCP without TLS.
    ``policy``: what a container may ask for. ``limits``: the most of a node that it may ask for, and what it gets when it does not ask
    (nothing is reserved). ``hard_timeout``: the longest that an execution may run, in seconds; None: as long as the setting of that name
    says. ``rules``: the rules for single hosts. ``register``: patterns of the addresses that may be registered while fastlane runs (see
    ``is_among``). ``webhooks`` serve jobs that have none of their own. ``webhook_secrets``: what its webhooks are signed
    with, at most two; ``webhook_receivers``: where these differ, or bodies of jobs are signed. ``retention``: rules for the history of its
    tasks' jobs, in place of the server's. ``max_waiting`` and ``max_waiting_of_task``: how many executions may wait in it, and of one task;
    None: any number. ``services``: patterns of the services of the swarm whose containers its jobs may run as, with all that these have.
    ``fair_share``: its tasks take turns.
    """

    name: str
    match: str
    hosts: tuple[str, ...]
    max_running: int = 10
    pull: Pull = Pull.MISSING
    policy: Policy = DEFAULT_POLICY
    limits: Resources = NO_RESOURCES
    hard_timeout: float | None = None
    tls: TlsFiles | None = None
    ssh: SshFiles = NO_SSH_FILES
    insecure: bool = False
    rules: Mapping[str, HostRule] = field(default_factory=dict)
    register: tuple[str, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    retention: Retention = NO_RETENTION
    max_waiting: int | None = None
    max_waiting_of_task: int | None = None
    webhook_receivers: tuple[SignedReceiver, ...] = field(default=(), repr=False)
    services: tuple[str, ...] = ()
    fair_share: bool = False

    def rule(self, host: str) -> HostRule:
        """The rule for one of its hosts."""
        return self.rules.get(host, ANY)

    def admits(self, address: str) -> bool:
        """Whether a host with this address may be registered in the pool."""
        return any(is_among(address, pattern) for pattern in self.register)

    def matches(self, task_id: str) -> bool:
        """Whether a task belongs here, were this the only pool."""
        return not self.match or re.match(self.match, task_id) is not None

    def secrets_for(self, webhook: Webhook) -> tuple[str, ...]:
        """What a message to a webhook is signed with. Anyone who may run jobs writes a job's webhooks. So only what fastlane or an operator
        wrote is signed, and other bodies only to receivers that an operator listed."""
        for receiver in self.webhook_receivers:
            if receiver.url == webhook.url:
                return receiver.secrets or self.webhook_secrets
        is_ours = webhook.body is None or any((own.url, own.body) == (webhook.url, webhook.body) for own in self.webhooks)
        return self.webhook_secrets if is_ours else ()

    def endpoint(self, host: str) -> Endpoint:
        """How one of its hosts is reached, or one that may be added to it."""
        match Endpoint(host).scheme:
            case "tcp":
                return Endpoint(host, tls=self.tls, insecure=self.insecure)
            case "ssh":
                return Endpoint(host, ssh=self.ssh)
            case _:
                return Endpoint(host)


REQUESTED, RESTORED = "*", "*restored"
"""The names under which all dispatch is paused: because somebody asked for it, or because the store went back to an earlier state. They
cannot be names of pools."""
HOLDS = frozenset({REQUESTED, RESTORED})


@dataclass(frozen=True, slots=True)
class Pauses:
    """Which pools are paused, by name, and whether all dispatch is. Each change raises ``revision`` (0: none yet), so that a stale set can
    be recognised."""

    revision: int = 0
    names: frozenset[str] = frozenset()

    @property
    def hold(self) -> str | None:
        """Why all dispatch is paused, one of ``HOLDS``; None while it is not."""
        return next((name for name in (RESTORED, REQUESTED) if name in self.names), None)


def pool_for(pools: Sequence[Pool], task_id: str) -> Pool | None:
    """The first pool that matches the task; None when none does."""
    for pool in pools:
        if pool.matches(task_id):
            return pool
    return None


def refusals(pool: Pool, spec: Spec) -> list[Fault]:
    """What is asked for a container that the pool's limits, its policy or its rule of services do not allow, by field."""
    if spec.resources is NO_RESOURCES and spec.container is NO_CONTAINER and spec.service is None:
        return []  # most jobs ask for nothing
    of_service = spec.service is not None
    named = [] if spec.service is None else service_faults(spec.service, pool.services, pool.name)
    limited = limit_faults(spec.resources, pool.limits, pool.name) + generic_faults(spec.resources, pool.policy, pool.name)
    return named + limited + policy_faults(spec.container, pool.policy, pool.name, of_service=of_service)


def pool_faults(pools: Sequence[Pool]) -> list[str]:
    """What is wrong with a list of pools, a sentence each."""
    faults = [] if pools else ["there is no pool; add one with an empty match"]
    names = [pool.name for pool in pools]
    faults += [f"two pools are named {name!r}" for name in sorted({n for n in names if names.count(n) > 1})]
    for place, pool in enumerate(pools):
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", pool.name):
            faults.append(f"pool {pool.name!r}: a name has 1 to 64 letters, digits, '_' and '-'")
        if pool.name == "reload":
            faults.append("pool 'reload': POST /pools/reload has that name; choose another")
        if not pool.hosts and not pool.register:
            faults.append(f'pool {pool.name!r} has no hosts; name some, or say which may be registered: register = ["10.0.0.*:2376"]')
        if len(set(pool.hosts)) < len(pool.hosts):
            faults.append(f"pool {pool.name!r} names a host twice")
        if not 1 <= pool.max_running <= 100_000:
            faults.append(f"pool {pool.name!r}: maxRunning is from 1 to 100000")
        try:
            re.compile(pool.match)
        except (re.error, OverflowError, RecursionError) as error:
            faults.append(f"pool {pool.name!r}: match is not a regular expression: {error}")
        if pool.match == "" and place != len(pools) - 1:
            faults.append(f"pool {pool.name!r} matches every task and stands before others; move it to the end")
        faults += [f"pool {pool.name!r}: {fault}" for fault in _reach_faults(pool)]
    return faults + _reached_in_two_ways(pools)


def _reach_faults(pool: Pool) -> list[str]:
    """What is wrong with the way in which a pool reaches its hosts."""
    endpoints = [pool.endpoint(host) for host in pool.hosts]
    schemes = {endpoint.scheme for endpoint in endpoints}
    faults = [fault for endpoint in endpoints if (fault := endpoint.fault)]
    if pool.tls is not None and pool.insecure:
        faults.append("has both tls and insecure = true; with tls, every host is verified, so remove insecure")
    if "tcp" not in schemes and not pool.register and (pool.tls is not None or pool.insecure):
        faults.append(f"has {'tls' if pool.tls else 'insecure = true'}, which is for hosts such as HOST:2376, and none of its hosts is one")
    if "ssh" not in schemes and not pool.register and pool.ssh != NO_SSH_FILES:
        faults.append("has ssh, which is for hosts such as ssh://USER@HOST, and none of its hosts is one")
    return faults if schemes else []


def _reached_in_two_ways(pools: Sequence[Pool]) -> list[str]:
    """A fault for each host that two pools name, and reach in different ways."""
    ways: dict[str, set[Endpoint]] = {}
    for pool in pools:
        for host in pool.hosts:
            ways.setdefault(host, set()).add(pool.endpoint(host))
    return [f"{host} is in pools that differ in tls, ssh or insecure; write the same in each" for host in ways if len(ways[host]) > 1]


def endpoints_of(pools: Sequence[Pool]) -> tuple[Endpoint, ...]:
    """How each host of the pools is reached, once, in order."""
    return tuple(dict.fromkeys(pool.endpoint(host) for pool in pools for host in pool.hosts))


def waiting_refusal(pool: Pool, of_pool: int, of_task: int) -> str | None:
    """Why nothing more may be added to what waits in a pool, in words; None when it may. ``of_pool`` and ``of_task``: how many wait."""
    if pool.max_waiting is not None and of_pool >= pool.max_waiting:
        return f"{of_pool} executions wait in pool {pool.name!r}, and its maxWaiting is {pool.max_waiting}"
    if pool.max_waiting_of_task is not None and of_task >= pool.max_waiting_of_task:
        return f"{of_task} executions of the task wait, and the maxWaitingPerTask of pool {pool.name!r} is {pool.max_waiting_of_task}"
    return None


@dataclass(frozen=True, slots=True)
class PoolsRevision:
    """A recorded state of all pools. ``number`` grows by one with each (0: none yet), ``digest`` stands for its pools, ``recorded_at`` is
    in milliseconds. ``reload``: a person asked for it while processes ran, so they are to read their settings again."""

    number: int = 0
    digest: str = ""
    recorded_at: int = 0
    reload: bool = False


@dataclass(frozen=True, slots=True)
class HostsRevision:
    """How often hosts have been written, and the ids of the hosts that were written last, in order."""

    number: int = 0
    recent: tuple[str, ...] = ()

    def after(self, id: str) -> "HostsRevision":
        """The revision after a host was written."""
        return HostsRevision(self.number + 1, (*self.recent, id)[-MOST_RECENT:])

    def since(self, other: "HostsRevision") -> Sequence[str] | None:
        """The ids of the hosts that were written after another revision; None when they are not known: there were too many, or this is
        the revision of a store that has lost the other one."""
        count = self.number - other.number
        written = self.recent[len(self.recent) - count :] if 0 <= count <= len(self.recent) else ()
        return written if count == len(written) and (*other.recent, *written)[-MOST_RECENT:] == self.recent else None


@dataclass(frozen=True, slots=True)
class DirectoryMark:
    """How far the pools and their hosts have come: the number of the ``PoolsRevision``, and the hosts' own."""

    pools: int
    hosts: HostsRevision


MOST_RECENT = 50
"""Ids of hosts in a revision: more than are written between two looks of a process."""


def pools_digest(pools: Sequence[Pool]) -> str:
    """A text that differs between pools that differ in anything, and is the same in every process."""
    hidden = tuple(hidden_of(pool) for pool in pools)
    shown = repr(tuple(pools)) + (_slow_digest(repr(hidden)) if any(hidden) else "")
    return hashlib.sha256(shown.encode()).hexdigest()[:16]


def hidden_of(pool: Pool) -> tuple[object, ...]:
    """What is secret in a pool, and therefore not in its ``repr``."""
    webhooks = tuple((webhook.url, tuple(sorted(webhook.headers.items())), repr(webhook.body)) for webhook in pool.webhooks)
    receivers = tuple((receiver.url, receiver.secrets) for receiver in pool.webhook_receivers)
    return (*webhooks, *pool.webhook_secrets, *receivers)


@lru_cache(maxsize=8)
def _slow_digest(hidden: str) -> str:
    """A digest from which nobody guesses the secrets: people see the digest that it becomes a part of."""
    return hashlib.scrypt(hidden.encode(), salt=b"fastlane pools", n=1 << 14, r=8, p=1, dklen=16).hex()


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A host to connect to: how it is reached, the engine that has to answer there (None: any engine), the starts that any worker saw
    it refuse for its full disk, and the ids of the engines at its address that are drained."""

    endpoint: Endpoint
    expected: EngineIdentity | None = None
    refusals: Refusals | None = None
    drained: frozenset[str] = frozenset()


def pools_in_force(pools: Sequence[Pool], records: Sequence[HostRecord]) -> tuple[Pool, ...]:
    """The pools of the settings, with the hosts that are registered in them. A host that the settings name stays as they have it."""
    named = {host for pool in pools for host in pool.hosts}
    registered = [row for row in records if is_registered(row) and row.address not in named]
    return tuple(_with_registered(pool, registered) for pool in pools)


def _with_registered(pool: Pool, rows: Sequence[HostRecord]) -> Pool:
    own = {row.address: row for row in rows if row.pool == pool.name}
    if not own:
        return pool
    rules = {address: HostRule(row.weight, row.max_running) for address, row in own.items()}
    return replace(pool, hosts=(*pool.hosts, *own), rules={**pool.rules, **rules})


def is_registered(record: HostRecord) -> bool:
    """Whether a host is registered in a pool now."""
    return record.pool is not None and record.removed_at is None


def hosts_to_know(pools: Sequence[Pool], records: Sequence[HostRecord]) -> tuple[KnownHost, ...]:
    """Every host that a worker with these pools in force connects to, once, in order: the hosts of the pools, and hosts that left their
    pool but were not removed, since work may still be there. (Only a worker's own settings know which engine a local address means.)"""
    records = [record for record in records if record.removed_at is None]
    expected, refusals = expected_engines(records), {record.address: record.refusals for record in records if _is_shared(record)}
    endpoints = {host: pool.endpoint(host) for pool in reversed(pools) for host in reversed(pool.hosts)}
    drained: dict[str, frozenset[str]] = {}
    for record in records:
        if record.drained and record.engine_id is not None:
            drained[record.address] = drained.get(record.address, frozenset()) | {record.engine_id}
    nothing: frozenset[str] = frozenset()
    found = [KnownHost(endpoints[host], expected.get(host), refusals.get(host), drained.get(host, nothing)) for host in reversed(endpoints)]
    for record in records:
        if record.identity and record.address not in endpoints and not is_local(record.address):
            endpoint = _way_to(record.address, pools)
            if endpoint is not None:
                found.append(KnownHost(endpoint, record.identity, record.refusals, drained.get(record.address, nothing)))
    return tuple(found)


def _way_to(address: str, pools: Sequence[Pool]) -> Endpoint | None:
    """How a host that no pool names any longer is reached: in the way of the first pool that can reach it, and with TLS where a pool has
    it."""
    ways = sorted((pool.endpoint(address) for pool in pools), key=lambda way: way.is_plain)
    return next((way for way in ways if way.fault is None), None)


def expected_engines(records: Sequence[HostRecord]) -> Mapping[str, EngineIdentity]:
    """The engine that has to answer at each address, where one has answered before. A local address means another engine on each
    machine."""
    return {record.address: record.identity for record in records if record.identity is not None and _is_shared(record)}


def _is_shared(record: HostRecord) -> bool:
    """Whether all workers mean the same engine by its address."""
    return record.removed_at is None and not is_local(record.address)


def by_address(records: Sequence[HostRecord]) -> Mapping[str, Sequence[HostRecord]]:
    """The records of each address."""
    found: dict[str, list[HostRecord]] = {}
    for record in records:
        found.setdefault(record.address, []).append(record)
    return found


def record_of(records: Sequence[HostRecord], address: str, identity: EngineIdentity | None) -> HostRecord | None:
    """The record of the engine that answers at an address, or, while none has answered (None), the address's own record. A record for which
    no engine has answered yet fits any engine."""
    own = [record for record in records if record.address == address]
    for wanted in (identity, None):
        found = next((record for record in own if record.identity == wanted), None)
        if found is not None:
            return found
    return own[0] if identity is None and len(own) == 1 else None


def names_of(pools: Sequence[Pool], address: str) -> tuple[str, ...]:
    """The pools that a host is in."""
    return tuple(pool.name for pool in pools if address in pool.hosts)


def removed_with(records: Sequence[HostRecord], execution: Execution) -> HostRecord | None:
    """The host that was removed by force, with which a bound execution is lost; None when there is none. ``records``: all of its address.
    What a worker bound there after the removal, before it heard of it, is lost as well, unless the host is in use again."""
    for record in records:
        until = record.lost_until
        if until is None or execution.bound_at is None:
            continue
        if record.lost_swarm is not None and execution.swarm_id and execution.swarm_id != record.lost_swarm:
            continue
        if execution.bound_at <= until or record.removed_at is not None:
            return record
    return None
