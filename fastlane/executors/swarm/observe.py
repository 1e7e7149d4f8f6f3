"""Observes the running tasks on all hosts, and what they use. A snapshot takes one list of tasks for each swarm, and its nodes' states at
most once a second. No host delays another.

Swarms on which the caller watches something are listed often, and each less often when there are many. Swarms that only other workers watch
are listed rarely, just to know how much runs there. Between lists a snapshot has the tasks as last seen.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import structlog

from fastlane.clock import Clock, unless_cancelled
from fastlane.errors import FastlaneError
from fastlane.executors.port import ClusterSnapshot, EngineTask, Phase
from fastlane.executors.swarm.client import CallTimeouts, EngineClient, Request
from fastlane.executors.swarm.faults import readable
from fastlane.executors.swarm.hosts import SwarmHost, SwarmHosts
from fastlane.executors.swarm.spec import INSTALLATION
from fastlane.executors.swarm.states import NO_NAMES, by_service, node_states
from fastlane.models.job import Usage

log = structlog.get_logger()

ANSWER_WITHIN = 5.0
"""Seconds that a host may take to answer."""
WAIT_FOR = 1.0
"""Seconds that a snapshot waits for a slow host, whose answer is then in a later one."""
NODES_EVERY = 1000
"""Milliseconds between two lists of a swarm's nodes."""

LISTS_A_SECOND = 400
"""How many lists of swarms on which it watches something a worker makes in a second at most: among more of them each is listed less
often."""
OTHERS_A_SECOND = 100
"""How many lists of other swarms it makes in a second at most."""
OTHERS_EVERY = 2000
"""Milliseconds between two lists of another worker's swarm: that worker may have started something there."""
OTHERS_AT_ONCE = 64
"""How many of them one snapshot lists at most, since it waits for its lists."""

Tasks = Mapping[str, Sequence[EngineTask]]


class Observer:
    """Observes this installation's tasks on these hosts' swarms."""

    def __init__(self, hosts: SwarmHosts, installation: str, clock: Clock) -> None:
        self._hosts = hosts
        self._label = f"{INSTALLATION}={installation}"
        self._clock = clock
        self._nodes: dict[str, tuple[int, Mapping[str, str]]] = {}
        self._answered: dict[str, str] = {}
        self._under_way: dict[str, asyncio.Task[Tasks | None]] = {}
        self._slow: set[str] = set()
        self._listed: dict[str, int] = {}
        self._known: dict[str, Tasks] = {}

    async def snapshot(self, watched: Collection[str] | None) -> ClusterSnapshot:
        """The tasks by host and service, as last seen; ``watched``: the swarms on which the caller watches something, by id or by one of
        their hosts (None: all). A host that cannot be reached, or has not been asked yet, is missing."""
        managers = self._managers()
        swarms = {swarm: reachable for swarm, hosts in managers.items() if (reachable := [host for host in hosts if host.reachable])}
        self._known = {swarm: tasks for swarm, tasks in self._known.items() if swarm in swarms}
        self._listed = {swarm: at for swarm, at in self._listed.items() if swarm in managers}
        self._slow &= managers.keys()
        fresh = [self._list(swarm, managers[swarm], swarms[swarm]) for swarm in self._due(swarms, watched)]
        waits = [task for swarm, task in fresh if swarm not in self._slow]
        if waits:
            await asyncio.wait(waits, timeout=WAIT_FOR)
        self._slow |= {swarm for swarm, task in fresh if not task.done()}
        self._harvest(managers, swarms)
        return ClusterSnapshot({host.name: tasks for swarm, tasks in self._known.items() for host in swarms[swarm]})

    def _due(self, swarms: Mapping[str, Sequence[SwarmHost]], watched: Collection[str] | None) -> list[str]:
        """The swarms to list now."""
        ours = {
            swarm
            for swarm, hosts in swarms.items()
            if watched is None or swarm in watched or any(host.name in watched or host.has_parked for host in hosts)
        }
        every = round(1000 * len(ours) / LISTS_A_SECOND)
        rarely = max(every, OTHERS_EVERY, 1000 * (len(swarms) - len(ours)) / OTHERS_A_SECOND)
        now = self._clock.now()
        is_due = {swarm: not 0 <= now - self._listed.get(swarm, 0) < (every if swarm in ours else rarely) for swarm in swarms}
        others = [swarm for swarm in swarms if is_due[swarm] and swarm not in ours and swarm not in self._under_way]
        return [swarm for swarm in ours if is_due[swarm] and swarm not in self._under_way] + others[:OTHERS_AT_ONCE]

    def _list(self, swarm: str, managers: Sequence[SwarmHost], reachable: Sequence[SwarmHost]) -> tuple[str, "asyncio.Task[Tasks | None]"]:
        self._listed[swarm] = self._clock.now()
        task = self._under_way[swarm] = asyncio.create_task(self._ask(swarm, managers, reachable), name=f"look {swarm}")
        return swarm, task

    async def close(self) -> None:
        """Cancels the calls that are under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._under_way.clear()

    def _managers(self) -> dict[str, list[SwarmHost]]:
        """The hosts of each swarm, including those that get no new work, since older work may be there."""
        managers: dict[str, list[SwarmHost]] = {}
        for host in self._hosts:
            if host.facts is not None:
                managers.setdefault(host.facts.swarm_id, []).append(host)
        return managers

    def _harvest(self, managers: Mapping[str, Sequence[SwarmHost]], swarms: Mapping[str, Sequence[SwarmHost]]) -> None:
        """Takes in the answers. A swarm's last tasks stay while it is asked again, and go when no manager answers."""
        for swarm in [swarm for swarm, task in self._under_way.items() if task.done()]:
            task = self._under_way.pop(swarm)
            tasks = None if task.cancelled() else task.result()
            if tasks is None or swarm not in swarms:
                self._known.pop(swarm, None)
                continue
            if self._clock.now() - self._listed.get(swarm, 0) < WAIT_FOR * 1000:
                self._slow.discard(swarm)
            self._known[swarm] = tasks
            self._count(tasks, managers[swarm], swarms[swarm])

    def _count(self, tasks: Tasks, managers: Sequence[SwarmHost], reachable: Sequence[SwarmHost]) -> None:
        """Tells each manager of a swarm what runs on its own node. The first that answers also gets what runs on the nodes of no manager.
        So each execution counts once."""
        running = {service: views[0].node_id for service, views in tasks.items() if views and views[0].phase is not Phase.ENDED}
        nodes = {host.facts.node_id: host for host in reversed(managers) if host.facts is not None}
        rest = next(iter(reachable), None)
        counted: dict[str, set[str]] = {host.name: set() for host in managers}
        for service, node in running.items():
            host = nodes.get(node or "", rest)
            if host is not None:
                counted.setdefault(host.name, set()).add(service)
        for host in managers:
            host.saw(frozenset(counted[host.name]), frozenset(tasks))

    async def _ask(self, swarm: str, managers: Sequence[SwarmHost], reachable: Sequence[SwarmHost]) -> Tasks | None:
        """The tasks of a swarm from the first manager that answers, beginning with the one that answered last time; None when none does."""
        for host in sorted(reachable, key=lambda manager: manager.name != self._answered.get(swarm)):
            try:
                raws, nodes = await unless_cancelled(
                    asyncio.gather(
                        host.get("/tasks", {"label": [self._label]}, ANSWER_WITHIN),
                        self._node_states(swarm, host),
                    )
                )
                with readable(host.name):
                    tasks = by_service(raws, nodes, self._hosts.clocks(host, among=managers), host.facts.names if host.facts else NO_NAMES)
                self._answered[swarm] = host.name
                self._hosts.note_starts((view for views in tasks.values() for view in views), self._clock.now())
                return tasks
            except FastlaneError as error:
                log.info("host.look_failed", host=host.name, error=str(error))
        return None

    async def _node_states(self, swarm: str, host: SwarmHost) -> Mapping[str, str]:
        """The states of a swarm's nodes. A swarm's only node has the state that its probe saw: without it no manager answers."""
        if host.facts is not None and host.facts.one_node:
            return host.facts.nodes
        now = self._clock.now()
        known = self._nodes.get(swarm)
        if known is not None and 0 <= now - known[0] < NODES_EVERY:
            return known[1]
        nodes = await host.get("/nodes", deadline=ANSWER_WITHIN)
        with readable(host.name):
            states = node_states(nodes)
        self._nodes[swarm] = (now, states)
        return states


USAGE_TIMEOUTS = CallTimeouts(read=5.0, whole=5.0)
ONE_SAMPLE = {"stream": "false", "one-shot": "true"}
NANOSECONDS = 1_000_000

Raw = Mapping[str, Any]


class UsageReader:
    """Asks the engines of these hosts."""

    def __init__(self, hosts: SwarmHosts) -> None:
        self._hosts = hosts
        self._clients: dict[str, EngineClient] = {}

    async def read(self, manager: SwarmHost, task: EngineTask) -> Usage | None:
        """The usage of the task's container so far; None when its node is not a host, or its engine has no sample, as after the end. Raises
        the same as ``EngineClient.send``."""
        at = self._hosts.at_node(task.node_id or "", asked=manager)
        if at is None or task.container_id is None:
            return None
        client = self._clients.get(at.name)
        if client is None:
            client = self._clients[at.name] = EngineClient(at.transport, timeouts=USAGE_TIMEOUTS, connections=1)
        client.version = at.client.version
        raw = await client.send(Request(f"/containers/{quote(task.container_id, safe='')}/stats", params=ONE_SAMPLE))
        with readable(at.name):
            return usage_of(raw)

    async def leave(self, host: str) -> None:
        """Ends the connection to a host."""
        client = self._clients.pop(host, None)
        if client is not None:
            await client.close()

    async def close(self) -> None:
        """Ends all connections."""
        for host in tuple(self._clients):
            await self.leave(host)


def usage_of(raw: Raw) -> Usage | None:
    """The usage in one sample of an engine; None for a sample without measurements, which engines give for a container that does not
    run."""
    memory = raw.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    moved = (raw.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    return Usage(
        memory_peak=max(0, int(memory["usage"]) - _droppable(memory.get("stats") or {})),
        cpu_ms=int(raw["cpu_stats"]["cpu_usage"]["total_usage"]) // NANOSECONDS,
        read_bytes=_bytes(moved, "read"),
        written_bytes=_bytes(moved, "write"),
    )


def _droppable(stats: Raw) -> int:
    """Pages of files that nothing has used lately. ``docker stats`` leaves them out too: a limit of memory drops them before it kills. With
    cgroups of version 1, the figure that includes child groups has another name."""
    return int(stats.get("total_inactive_file", stats.get("inactive_file", 0)))


def _bytes(moved: Iterable[Raw], operation: str) -> int | None:
    """The sum over all devices; None without an entry for the operation. (Version 1 of cgroups writes ``Read``, version 2 ``read``.)"""
    found = [int(entry["value"]) for entry in moved if str(entry["op"]).lower() == operation]
    return sum(found) if found else None
