"""The registered hosts together: which one is meant, which one is a task's node, and which one to ask when a host does not answer."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from fastlane.errors import HostDown
from fastlane.executors.port import EngineTask, TaskEnd
from fastlane.executors.swarm.clocks import Clocks
from fastlane.executors.swarm.faults import NO_SPACE
from fastlane.executors.swarm.host import Host
from fastlane.models.host import Refusals


class Hosts:
    """The registered hosts by name."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = {host.name: host for host in hosts}
        self._refusals: dict[str, Refusals] = {}

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

    def clocks(self, asked: Host, leader: str | None = None, among: Iterable[Host] | None = None) -> Clocks:
        """The clocks that were measured. ``leader``: the node that leads the swarm of the host that was asked. While it is not a host, the
        asked one's clock stands for its. ``among``: the hosts of that swarm, where the caller knows them."""
        hosts = among if among is not None else self._of_swarm(asked)
        known = {facts.node_id: facts.skew for host in hosts if (facts := host.facts) is not None and facts.skew is not None}
        own = asked.facts.skew if asked.facts is not None else None
        return Clocks(known, known.get(leader or "", own or 0))

    async def explained(self, tasks: Iterable[EngineTask], reference: str, *, asked: Host) -> tuple[EngineTask, ...]:
        """The tasks with why their nodes could not pull the image, where such a node is a host and tells. (An image without a digest is the
        node's own, and not pulled.)"""
        return tuple([await self._explained(task, reference, asked) if task.end is TaskEnd.IMAGE else task for task in tasks])

    async def _explained(self, task: EngineTask, reference: str, asked: Host) -> EngineTask:
        at = self.at_node(task.node_id or "", asked=asked)
        words = await at.failed_pulls.cause(reference) if at is not None and "@" in reference else None
        if words is None:
            return task
        return replace(task, message=words, end=TaskEnd.NO_SPACE if NO_SPACE in words else TaskEnd.IMAGE)

    def note_full_disks(self, tasks: Iterable[EngineTask], now: int) -> None:
        """Takes in which of these tasks had no space left on their node's disk. Of a node that is no host, only this process knows."""
        for task in tasks:
            if task.end is not TaskEnd.NO_SPACE or task.node_id is None:
                continue
            at = min(task.changed_at or now, now)
            own = [host for host in self if host.facts is not None and host.facts.node_id == task.node_id]
            for host in own:
                host.disk.refused_at(at)
            if not own:
                known = self._refusals.get(task.node_id)
                self._refusals[task.node_id] = Refusals(at, at) if known is None else known.and_at(at)

    def full_nodes(self, swarm: Host, now: int) -> Sequence[str]:
        """The nodes of a host's swarm that are short of disk, if the swarm has other ones."""
        if swarm.facts is None or swarm.facts.one_node:
            return ()
        short = {host.facts.node_id for host in self if host.facts is not None and host.disk.short is not None}
        short |= {node for node, refusals in self._refusals.items() if now < refusals.until}
        return sorted(short & swarm.facts.nodes.keys())

    def silent_nodes(self, asked: Host) -> frozenset[str]:
        """The nodes of a host's swarm that are hosts and do not answer now."""
        return frozenset(host.facts.node_id for host in self._of_swarm(asked) if host.facts is not None and not host.reachable)

    def _of_swarm(self, asked: Host) -> Iterable[Host]:
        """The hosts of that one's swarm, and maybe others."""
        return (asked,) if asked.facts is not None and asked.facts.one_node else self
