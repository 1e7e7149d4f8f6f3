"""An index of a pool's open hosts, so that a placement among a thousand does not go through all of them. It chooses as ``place`` does."""

from collections.abc import Mapping, Sequence

from fastlane.models.placement.host import HostView
from fastlane.models.placement.place import SwarmLoad, swarm_loads
from fastlane.models.placement.pool import Pool


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

    def best(self, placed: Mapping[str, int]) -> str | None:
        """The host for one more execution; None when none may have it. ``placed``: how many went to hosts that do not count them yet."""
        more: dict[str, int] = {}
        for name, count in placed.items():
            if count and (swarm := self._swarms.get(name)) is not None:
                more[swarm] = more.get(swarm, 0) + count
        best: tuple[float, int, str] | None = None
        for share, place, swarm in self._ranked:
            if best is not None and (share, place) > best[:2]:
                break  # those that follow have no less, and what was placed adds to it
            load, extra = self._loads[swarm], more.get(swarm, 0)
            if not _is_full(load, extra):
                key = ((load.running + extra) / load.weight, place, swarm)
                best = key if best is None or key < best else best
        return None if best is None else self._manager(best[2], placed)

    def _manager(self, swarm: str, placed: Mapping[str, int]) -> str:
        """The manager with the fewest of its own; of equals the one that the pool names first."""
        return min(self._managers[swarm], key=lambda manager: manager[0] + placed.get(manager[1], 0))[1]


def _is_full(load: SwarmLoad, extra: int) -> bool:
    return load.limit is not None and load.running + extra >= load.limit
