"""The registered hosts together: which one is meant, which one is a task's node, and which one to ask when a host does not answer."""

from collections.abc import Iterator, Sequence

from fastlane.errors import HostDown
from fastlane.executors.swarm.host import Host
from fastlane.executors.swarm.service.clocks import Clocks


class Hosts:
    """The registered hosts by name."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = {host.name: host for host in hosts}

    def __iter__(self) -> Iterator[Host]:
        return iter(tuple(self._hosts.values()))

    def has(self, name: str) -> bool:
        """Whether a host of this name is registered."""
        return name in self._hosts

    def add(self, host: Host) -> None:
        """Registers a host."""
        self._hosts[host.name] = host

    def remove(self, host: Host) -> None:
        """Registers a host no longer."""
        del self._hosts[host.name]

    def __len__(self) -> int:
        return len(self._hosts)

    def named(self, name: str) -> Host:
        """The host of this name. Raises HostDown when it is not registered, as a host that cannot be reached would."""
        host = self._hosts.get(name)
        if host is None:
            raise HostDown(f"{name} is not a registered host: no pool of the worker has it")
        return host

    def reachable_manager(self, host: Host) -> Host:
        """The host, or another manager of its swarm while it does not answer."""
        if host.reachable or host.facts is None:
            return host
        swarm_id = host.facts.swarm_id
        others = (other for other in self if other.reachable and other.facts is not None and other.facts.swarm_id == swarm_id)
        return next(others, host)

    def at_node(self, node_id: str, *, asked: Host) -> Host | None:
        """The host that is this node, if it answers; ``asked``, the host that is asked anyway, counts as one that does."""
        candidates = (host for host in (asked, *self) if host is asked or host.reachable)
        return next((host for host in candidates if host.facts is not None and host.facts.node_id == node_id), None)

    def clocks(self, asked: Host, leader: str | None = None) -> Clocks:
        """The clocks that were measured. ``leader``: the node that leads the swarm of the host that was asked. While it is not a host, the
        asked one's clock stands for its."""
        known = {facts.node_id: facts.skew for host in self if (facts := host.facts) is not None and facts.skew is not None}
        own = asked.facts.skew if asked.facts is not None else None
        return Clocks(known, known.get(leader or "", own or 0))

    def silent_nodes(self) -> frozenset[str]:
        """The nodes that are hosts and do not answer now."""
        return frozenset(host.facts.node_id for host in self if host.facts is not None and not host.reachable)
