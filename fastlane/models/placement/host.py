"""A host as the scheduler sees it, what is to be removed from it, and which manager to ask about what runs there."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.models.container.container import Resources


@dataclass(frozen=True, slots=True)
class HostView:
    """What is known of a host now. ``reason`` says in words why it is not usable, ``since`` (milliseconds) since when. ``circuit`` is the
    state of its breaker, ``faults`` the number in a row until now, ``retry_at`` (milliseconds) when an open breaker admits a call.
    ``clock_skew``: how far its clock is ahead of the worker's, in milliseconds; None while that is not known. ``node_cpus`` and
    ``node_memory`` (bytes): the most that one of its swarm's nodes has which takes work now; None while that is not known."""

    name: str
    usable: bool
    reason: str | None = None
    since: int | None = None
    swarm_id: str | None = None
    circuit: str = "closed"
    running: int = 0
    weight: int = 1
    faults: int = 0
    retry_at: int | None = None
    clock_skew: int | None = None
    node_cpus: float | None = None
    node_memory: int | None = None

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


def reachable_manager(hosts: Sequence[HostView], name: str, swarm_id: str | None) -> str:
    """The manager to ask about what was placed on the host ``name``: the host itself, or another of its swarm while it is unusable."""
    return reachable_managers(hosts, name, swarm_id)[0]


def reachable_managers(hosts: Sequence[HostView], name: str, swarm_id: str | None, *, first: str | None = None) -> Sequence[str]:
    """The usable managers to ask about what was placed on the host ``name``, in the order in which to ask them: ``first``, the host itself,
    the other managers of its swarm. The host itself when none of them is usable."""
    usable = [host.name for host in hosts if host.usable and (host.name == name or (swarm_id and host.swarm_id == swarm_id))]
    return sorted(usable, key=lambda other: (other != first, other != name)) or [name]
