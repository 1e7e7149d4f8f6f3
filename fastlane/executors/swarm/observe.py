"""Snapshots of all hosts: one list of tasks for each swarm, and its nodes' states at most once a second. No host delays another.

A swarm on which nothing runs is listed rarely, and among many on which something runs each is listed less often. In between a snapshot has
what was last seen there.
"""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from fastlane.clock import Clock
from fastlane.errors import FastlaneError
from fastlane.executors.base import ClusterSnapshot, EngineTask, Phase
from fastlane.executors.swarm.client.faults import readable
from fastlane.executors.swarm.host import Host
from fastlane.executors.swarm.hosts import Hosts
from fastlane.executors.swarm.service.spec import INSTALLATION
from fastlane.executors.swarm.service.states import by_service, node_states

log = structlog.get_logger()

ANSWER_WITHIN = 5.0
"""Seconds that a host may take to answer."""
WAIT_FOR = 1.0
"""Seconds that a snapshot waits for a slow host, whose answer is then in a later one."""
NODES_EVERY = 1000
"""Milliseconds between two lists of a swarm's nodes."""

LISTS_A_SECOND = 400
"""How many lists of all swarms a worker makes in a second at most: among more of them each is listed less often."""
IDLE_EVERY = 2000
"""Milliseconds between two lists of a swarm on which nothing runs: another worker may have started something there."""

Tasks = Mapping[str, Sequence[EngineTask]]


class Observer:
    """Observes this installation's tasks on these hosts' swarms."""

    def __init__(self, hosts: Hosts, installation: str, clock: Clock) -> None:
        self._hosts = hosts
        self._label = f"{INSTALLATION}={installation}"
        self._clock = clock
        self._nodes: dict[str, tuple[int, Mapping[str, str]]] = {}
        self._answered: dict[str, str] = {}
        self._under_way: dict[str, asyncio.Task[Tasks | None]] = {}
        self._known: dict[str, tuple[int, Tasks]] = {}

    async def snapshot(self) -> ClusterSnapshot:
        """The tasks by host and service. A host that cannot be reached, or has not answered yet, is missing."""
        swarms = self._swarms()
        self._known = {swarm: known for swarm, known in self._known.items() if swarm in swarms}
        late = set(self._under_way)
        for swarm in self._due(swarms):
            if swarm not in self._under_way:
                self._under_way[swarm] = asyncio.create_task(self._ask(swarm, swarms[swarm]), name=f"look {swarm}")
        fresh = [task for swarm, task in self._under_way.items() if swarm not in late]
        if fresh:
            await asyncio.wait(fresh, timeout=WAIT_FOR)
        self._harvest(swarms)
        told = [swarm for swarm in self._known if swarm not in self._under_way]
        return ClusterSnapshot({host.name: self._known[swarm][1] for swarm in told for host in swarms[swarm]})

    def _due(self, swarms: Mapping[str, Sequence[Host]]) -> list[str]:
        """The swarms to list now."""
        busy = {swarm for swarm, hosts in swarms.items() if self._is_busy(swarm) or any(host.has_parked for host in hosts)}
        every, now = round(1000 * len(busy) / LISTS_A_SECOND), self._clock.now()
        pauses = {swarm: every if swarm in busy else max(every, IDLE_EVERY) for swarm in swarms}
        return [swarm for swarm in swarms if swarm not in self._known or not 0 <= now - self._known[swarm][0] < pauses[swarm]]

    def _is_busy(self, swarm: str) -> bool:
        """Whether something ran there when it was last listed."""
        return swarm in self._known and any(views and views[0].phase is not Phase.ENDED for views in self._known[swarm][1].values())

    async def close(self) -> None:
        """Cancels the calls that are under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._under_way.clear()

    def _swarms(self) -> dict[str, list[Host]]:
        """The hosts of each swarm that answer, including those that get no new work, since older work may be there."""
        swarms: dict[str, list[Host]] = {}
        for host in self._hosts:
            if host.reachable and host.facts is not None:
                swarms.setdefault(host.facts.swarm_id, []).append(host)
        return swarms

    def _harvest(self, swarms: Mapping[str, Sequence[Host]]) -> None:
        for swarm in [swarm for swarm, task in self._under_way.items() if task.done()]:
            task = self._under_way.pop(swarm)
            tasks = None if task.cancelled() else task.result()
            if tasks is None or swarm not in swarms:
                self._known.pop(swarm, None)
                continue
            self._known[swarm] = (self._clock.now(), tasks)
            self._count(swarm, tasks, swarms[swarm])

    def _count(self, swarm: str, tasks: Tasks, reachable: Sequence[Host]) -> None:
        """Tells each manager of a swarm what runs on its own node; the first that answers, what runs on no manager's. So each execution
        counts once."""
        running = {service: views[0].node_id for service, views in tasks.items() if views and views[0].phase is not Phase.ENDED}
        managers = [host for host in self._hosts if host.facts is not None and host.facts.swarm_id == swarm]
        nodes = {host.facts.node_id: host for host in reversed(managers) if host.facts is not None}
        rest = next(iter(reachable), None)
        counted: dict[str, set[str]] = {host.name: set() for host in managers}
        for service, node in running.items():
            host = nodes.get(node or "", rest)
            if host is not None:
                counted.setdefault(host.name, set()).add(service)
        for host in managers:
            host.saw(frozenset(counted[host.name]), frozenset(tasks))

    async def _ask(self, swarm: str, managers: Sequence[Host]) -> Tasks | None:
        """The tasks of a swarm from the first manager that answers, beginning with the one that did last time; None when none does."""
        for host in sorted(managers, key=lambda manager: manager.name != self._answered.get(swarm)):
            try:
                raws, nodes = await asyncio.gather(
                    host.get("/tasks", {"label": [self._label]}, ANSWER_WITHIN),
                    self._node_states(swarm, host),
                )
                with readable(host.name):
                    tasks = by_service(raws, nodes, self._hosts.clocks(host))
                self._answered[swarm] = host.name
                self._hosts.note_full_disks((view for views in tasks.values() for view in views), self._clock.now())
                return tasks
            except FastlaneError as error:
                log.info("host.look_failed", host=host.name, error=str(error))
        return None

    async def _node_states(self, swarm: str, host: Host) -> Mapping[str, str]:
        now = self._clock.now()
        known = self._nodes.get(swarm)
        if known is not None and 0 <= now - known[0] < NODES_EVERY:
            return known[1]
        nodes = await host.get("/nodes", deadline=ANSWER_WITHIN)
        with readable(host.name):
            states = node_states(nodes)
        self._nodes[swarm] = (now, states)
        return states
