"""Which host of a pool an execution goes to: a pure choice, with a reason for each host that was passed over.

The managers of one swarm stand in for each other: all that runs in their swarm counts for each of them, once, against the largest of their
weights and the least of their limits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastlane.models.host import HostView
from fastlane.models.pool import Pool


@dataclass(frozen=True, slots=True)
class Placement:
    """The chosen host (None when none can be used), and why each of the others was passed over."""

    host: str | None
    passed_over: Mapping[str, str]


@dataclass(slots=True)
class SwarmLoad:
    """How much runs in a swarm, its weight in a pool, and how much may run there (None: no limit)."""

    running: int = 0
    weight: int = 0
    limit: int | None = None

    @property
    def share(self) -> float:
        """The number of executions there, divided by its weight."""
        return self.running / self.weight

    @property
    def full(self) -> bool:
        """Whether no more may run there."""
        return self.limit is not None and self.running >= self.limit


def swarm_loads(pool: Pool, hosts: Mapping[str, HostView]) -> dict[str, SwarmLoad]:
    """The load of each swarm that a pool has hosts of."""
    loads: dict[str, SwarmLoad] = {}
    for name in pool.hosts:
        if (host := hosts.get(name)) is not None:
            load, rule = loads.setdefault(host.swarm, SwarmLoad()), pool.rule(name)
            load.weight = max(load.weight, rule.weight)
            load.limit = min((limit for limit in (load.limit, rule.max_running) if limit is not None), default=None)
    for host in hosts.values():
        if host.swarm in loads:
            loads[host.swarm].running += host.running
    return loads


def place(pool: Pool, hosts: Sequence[HostView]) -> Placement:
    """The open host of the pool whose swarm has the fewest running executions for its weight; among equals, the host with the fewest of its
    own, and then the first that the pool names."""
    known = {host.name: host for host in hosts}
    loads = swarm_loads(pool, known)
    passed_over: dict[str, str] = {}
    best: HostView | None = None
    for name in pool.hosts:
        host = known.get(name)
        load = None if host is None else loads[host.swarm]
        if host is None or load is None or not host.is_open:
            passed_over[name] = (host.reason or host.closed if host else None) or "is not known yet"
        elif load.full:
            passed_over[name] = f"has as many running as it may (maxRunning {load.limit})"
        elif best is None or _is_better(host, load, best, loads[best.swarm]):
            if best is not None:
                passed_over[best.name] = f"has more running ({loads[best.swarm].running})"
            best = host
        else:
            passed_over[name] = f"has as many running ({load.running}) or more"
    return Placement(best.name if best else None, passed_over)


def _is_better(host: HostView, load: SwarmLoad, best: HostView, best_load: SwarmLoad) -> bool:
    """Whether a host is better than the best so far, which the pool names before it."""
    return host.running < best.running if load is best_load else load.share < best_load.share


def slots_of(pool: Pool, hosts: Sequence[HostView]) -> int:
    """How many executions of a pool may run at once: no more than its hosts may have together."""
    if not pool.rules:
        return pool.max_running
    loads = swarm_loads(pool, {host.name: host for host in hosts})
    limits = [load.limit for load in loads.values()]
    limits += [pool.rule(name).max_running for name in {*pool.hosts} - {host.name for host in hosts}]
    known = [limit for limit in limits if limit is not None]
    return min(pool.max_running, sum(known)) if len(known) == len(limits) else pool.max_running


def has_place(pool: Pool, hosts: Sequence[HostView]) -> bool:
    """Whether an execution of this pool could be placed now."""
    names = frozenset(pool.hosts)
    if not pool.rules:
        return any(host.is_open and host.name in names for host in hosts)
    loads = swarm_loads(pool, {host.name: host for host in hosts})
    return any(host.is_open and host.name in names and not loads[host.swarm].full for host in hosts)


class Ranking:
    """The swarms of a pool with open hosts, the least loaded first, as these views show them. It changes no more; what was placed since is
    given with each question."""

    def __init__(self, pool: Pool, hosts: Sequence[HostView]) -> None:
        known = {host.name: host for host in hosts}
        self._swarms = {host.name: host.swarm for host in hosts}
        self._loads = swarm_loads(pool, known)
        self._managers: dict[str, list[tuple[int, str]]] = {}
        for name in pool.hosts:
            if (host := known.get(name)) is not None and host.is_open:
                self._managers.setdefault(host.swarm, []).append((host.running, name))
        first = {swarm: place for place, swarm in enumerate(self._managers)}
        self._ranked = sorted((self._loads[swarm].share, place, swarm) for swarm, place in first.items())

    def best(self, placed: Mapping[str, int], avoid: str | None = None, swarm: str | None = None) -> str | None:
        """The host for one more execution; None when none may have it. ``placed``: how many went to hosts that do not count them yet.
        ``avoid``: a host that gets it only when no other may have it. ``swarm``: the only swarm that may have it."""
        found = self._best(placed, avoid, swarm)
        return self._best(placed, None, swarm) if found is None and avoid is not None else found

    def is_open(self, swarm: str) -> bool:
        """Whether a host of this swarm gets new work, full or not."""
        return swarm in self._managers

    def _best(self, placed: Mapping[str, int], without: str | None, only: str | None) -> str | None:
        more: dict[str, int] = {}
        for name, count in placed.items():
            if count and (swarm := self._swarms.get(name)) is not None:
                more[swarm] = more.get(swarm, 0) + count
        best: tuple[float, int, str] | None = None
        for share, place, swarm in self._ranked:
            if only is not None and swarm != only:
                continue
            if best is not None and (share, place) > best[:2]:
                break  # those that follow have no less, and what was placed adds to it
            load, extra = self._loads[swarm], more.get(swarm, 0)
            is_other = without is None or any(name != without for _, name in self._managers[swarm])
            if is_other and not _is_full(load, extra):
                key = ((load.running + extra) / load.weight, place, swarm)
                best = key if best is None or key < best else best
        return None if best is None else self._manager(best[2], placed, without)

    def _manager(self, swarm: str, placed: Mapping[str, int], without: str | None) -> str:
        """The manager with the fewest executions of its own; among equals, the first that the pool names."""
        managers = [manager for manager in self._managers[swarm] if manager[1] != without]
        return min(managers, key=lambda manager: manager[0] + placed.get(manager[1], 0))[1]


def _is_full(load: SwarmLoad, extra: int) -> bool:
    return load.limit is not None and load.running + extra >= load.limit
