"""A host as the scheduler sees it, what is to be removed from it, and which manager to ask about what runs there."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.models.container.container import Resources
from fastlane.models.placement.disk import Disk

IN_NO_POOL = "is in no pool any longer"
"""Why a host gets no new work that no settings name any longer, and that is not registered."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a swarm of several: its id, its machine's name, its state in the swarm's words, whether it takes work, its processors, and
    its memory in bytes (None where the swarm does not tell)."""

    id: str
    name: str
    state: str
    takes_work: bool
    cpus: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class HostView:
    """What is known of a host now. ``reason`` says in words why it is not usable, ``since`` (milliseconds) since when. ``circuit`` is the
    state of its breaker, ``faults`` the number in a row until now, ``retry_at`` (milliseconds) when an open breaker admits a call.
    ``clock_skew``: how far its clock is ahead of the worker's, in milliseconds; None while that is not known. ``node_cpus`` and
    ``node_memory`` (bytes): the most that one of its swarm's nodes has which takes work now; None while that is not known.

    ``running``: how many executions there are on its own node, and of its swarm's on no host's node, on one of its managers: the managers
    of a swarm together have each once. ``closed`` says why it gets no new work although it is usable; what is there goes on. ``record`` and
    ``version`` are those of the store's record that the worker goes by. ``cpus`` and ``memory`` (bytes) are those of its own machine.
    ``disk``: what is known of the disk of its engine; None when that is nothing. ``members``: the nodes of its swarm, if there are others.
    """

    name: str
    usable: bool
    reason: str | None = None
    since: int | None = None
    swarm_id: str | None = None
    circuit: str = "closed"
    running: int = 0
    faults: int = 0
    retry_at: int | None = None
    clock_skew: int | None = None
    node_cpus: float | None = None
    node_memory: int | None = None
    engine_id: str | None = None
    closed: str | None = None
    record: str | None = None
    version: int = 0
    cpus: int | None = None
    memory: int | None = None
    disk: Disk | None = None
    members: tuple[Node, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it may get new work."""
        return self.usable and self.closed is None

    @property
    def fault(self) -> str | None:
        """What is wrong with it, in words that follow its name; None when nothing is, although it may get no new work on purpose."""
        if not self.usable:
            return self.reason or "is not usable"
        return None if self.disk is None else self.disk.short

    @property
    def closed_since(self) -> int | None:
        """Since when (milliseconds) it gets no new work, where that is known."""
        if not self.usable:
            return self.since
        return self.disk.since if self.disk is not None and self.closed is not None and self.closed == self.disk.short else None

    @property
    def is_given_up(self) -> bool:
        """Whether it is away, and in no pool any longer: nobody may expect it back."""
        return not self.usable and self.closed == IN_NO_POOL

    @property
    def swarm(self) -> str:
        """What tells its swarm from others: the id, or its own name while that is not known."""
        return self.swarm_id or self.name

    def has(self, host: str | None, swarm_id: str | None) -> bool:
        """Whether what was placed on a host, in a swarm if that is known, can be asked about here: this is the host, or a manager of its
        swarm. The same address in another swarm is another host."""
        if swarm_id and self.swarm_id:
            return self.swarm_id == swarm_id
        return self.name == host

    def shortage(self, wanted: Resources) -> str | None:
        """Why no node of its swarm is large enough, in words that follow its name; None where one may be. A node refuses a limit above its
        processors, but none above its memory."""
        cpus, memory = max(wanted.cpus or 0, wanted.reserve_cpus or 0), wanted.reserve_memory or 0
        if self.node_cpus is not None and cpus > self.node_cpus:
            return f"has no node with {cpus:g} processors: its largest has {self.node_cpus:g}"
        if self.node_memory is not None and memory > self.node_memory:
            return f"has no node with {_gib(memory)} of memory: its largest has {_gib(self.node_memory)}"
        return None


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"


@dataclass(frozen=True, slots=True)
class Uncleaned:
    """How many executions of a host have ended although their services are not removed yet, and when the first of them ended
    (milliseconds)."""

    host: str | None
    count: int
    since: int | None


def reachable_manager(hosts: Sequence[HostView], name: str, swarm_id: str | None, *, first: str | None = None) -> str:
    """The first of the ``reachable_managers``: most often the one that is looked for, so that the others need no look. Each execution asks
    several times, and there may be a thousand hosts."""
    wanted = first or name
    found = next((host for host in hosts if host.name == wanted), None)
    if found is not None and found.usable and found.has(name, swarm_id):
        return wanted
    return reachable_managers(hosts, name, swarm_id, first=first)[0]


def reachable_managers(hosts: Sequence[HostView], name: str, swarm_id: str | None, *, first: str | None = None) -> Sequence[str]:
    """The usable managers to ask about what was placed on the host ``name``, in the order in which to ask them: ``first``, the host itself,
    the other managers of its swarm. The host itself when none of them is usable; but where its address is that of another swarm's host
    here, a name that no host has, since that one must not be asked."""
    usable = [host.name for host in hosts if host.usable and host.has(name, swarm_id)]
    if usable:
        return sorted(usable, key=lambda other: (other != first, other != name))
    taken = any(host.name == name and not host.has(name, swarm_id) for host in hosts)
    return [f"{name} of the swarm {swarm_id}" if taken else name]
