"""Which host of a pool an execution goes to: a pure choice, with a reason for each host that was passed over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastlane.models.placement.host import HostView
from fastlane.models.placement.pool import Pool


@dataclass(frozen=True, slots=True)
class Placement:
    """The chosen host (None when none can be used), and why each of the others was passed over."""

    host: str | None
    passed_over: Mapping[str, str]


def place(pool: Pool, hosts: Sequence[HostView]) -> Placement:
    """The usable host of the pool with the fewest running executions for its weight; among equals the one that the pool names first."""
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
