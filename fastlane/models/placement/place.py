"""Which host of a pool an execution goes to: a pure choice, with a reason for each host that was passed over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastlane.models.placement.pool import Pool


@dataclass(frozen=True, slots=True)
class HostView:
    """What is known of a host now. ``reason`` says in words why it is not usable; ``since`` (milliseconds) since when. ``circuit``: the
    state of its breaker; ``faults``: in a row until now; ``retry_at`` (milliseconds): when an open one lets a call through again."""

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


def reachable_manager(hosts: Sequence[HostView], name: str, swarm_id: str | None) -> str:
    """Whom to ask about what was placed on the host ``name``: itself, or another manager of its swarm while it is not usable."""
    return reachable_managers(hosts, name, swarm_id)[0]


def reachable_managers(hosts: Sequence[HostView], name: str, swarm_id: str | None, *, first: str | None = None) -> Sequence[str]:
    """All who can be asked about what was placed on the host ``name``, in the order in which to ask them: ``first``, itself, the other
    managers of its swarm; as far as they are usable. Itself where none is."""
    able = [host.name for host in hosts if host.usable and (host.name == name or (swarm_id and host.swarm_id == swarm_id))]
    return sorted(able, key=lambda other: (other != first, other != name)) or [name]


@dataclass(frozen=True, slots=True)
class Placement:
    """The chosen host, None when none can be used; and why each other was passed over."""

    host: str | None
    passed_over: Mapping[str, str]


def place(pool: Pool, hosts: Sequence[HostView]) -> Placement:
    """The usable host of the pool that has the fewest running for its weight; the first named among equals."""
    known = {host.name: host for host in hosts}
    passed_over: dict[str, str] = {}
    best: HostView | None = None
    for name in pool.hosts:
        host = known.get(name)
        if host is None or not host.usable:
            passed_over[name] = (host.reason if host else None) or "is not known yet"
        elif best is None or host.running / host.weight < best.running / best.weight:
            if best is not None:
                passed_over[best.name] = f"has more running ({best.running})"
            best = host
        else:
            passed_over[name] = f"has as many running ({host.running}) or more"
    return Placement(best.name if best else None, passed_over)
