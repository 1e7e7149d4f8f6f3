"""A pool: a rule by which tasks find their hosts, how many of their executions run at once, and what these may ask for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from fastlane.errors import Fault
from fastlane.models.container.container import NO_CONTAINER, NO_RESOURCES, Resources
from fastlane.models.container.policy import DEFAULT_POLICY, Policy, limit_faults, policy_faults
from fastlane.models.job import Spec
from fastlane.models.notify.webhook import Webhook
from fastlane.models.placement.endpoint import NO_SSH_FILES, Endpoint, SshFiles, TlsFiles
from fastlane.models.retention import NO_RETENTION, Retention


class Pull(StrEnum):
    """When a registry is asked for an image: always, or only when a one-node swarm's engine does not have it."""

    ALWAYS = "always"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class HostRule:
    """What goes for one host of a pool: how much of the work it gets beside the others, and how many executions it may have at once, those
    of other pools too (None: as many as its pools)."""

    weight: int = 1
    max_running: int | None = None


ANY = HostRule()


@dataclass(frozen=True, slots=True)
class Pool:
    """Tasks whose id ``match`` matches (Python's ``re.match``) run on ``hosts``, at most ``max_running`` at once.

    ``hosts`` are addresses of engines (see ``endpoint.py``), which are reached with ``tls`` or ``ssh``; ``insecure``: by TCP without TLS.
    ``policy``: what a container may ask for. ``limits``: the most of a node that it may ask for, and what it gets when it does not ask
    (nothing is reserved). ``hard_timeout``: the longest that an execution may run, in seconds; None: as long as the setting of that name
    says. ``rules``: what goes for single hosts. ``register``: patterns of the addresses that may be registered while fastlane runs, in
    which ``*`` stands for any text. ``webhooks``: those of jobs that have none of their own. ``webhook_secrets``: what its webhooks are
    signed with, at most two. ``retention``: rules for the history of its tasks' jobs, in place of the server's.
    ``max_waiting`` and ``max_waiting_of_task``: how many executions may wait in it, and of one task; None: any number.
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

    def rule(self, host: str) -> HostRule:
        """What goes for one of its hosts."""
        return self.rules.get(host, ANY)

    def admits(self, address: str) -> bool:
        """Whether a host with this address may be registered in the pool."""
        return any(fnmatchcase(address, pattern.replace("[", "[[]").replace("?", "[?]")) for pattern in self.register)

    def matches(self, task_id: str) -> bool:
        """Whether a task belongs here, were this the only pool."""
        return not self.match or re.match(self.match, task_id) is not None

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
    """What is asked for a container that the pool's limits or its policy do not allow, by field."""
    if spec.resources is NO_RESOURCES and spec.container is NO_CONTAINER:
        return []  # most jobs ask for nothing
    return limit_faults(spec.resources, pool.limits, pool.name) + policy_faults(spec.container, pool.policy, pool.name)


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
