"""The shared poll of all services that this worker watches: one snapshot of all hosts at a time, whose changes wake single watches.

A snapshot is only a hint: when a service's task changes phase, the execution's watch inspects the service itself before it concludes.
"""

import asyncio
from time import thread_time

import structlog

from fastlane.clock import first_of
from fastlane.errors import HostDown, OrderRefused, ServiceGone
from fastlane.executors.port import ClusterSnapshot, Phase
from fastlane.models.execution import Execution
from fastlane.models.host import reachable_manager, reachable_managers
from fastlane.scheduler.assignment import Assignment
from fastlane.scheduler.execution_watch import ExecutionWatch, ServiceObservation, Starter
from fastlane.scheduler.known_workers import Hosts
from fastlane.scheduler.ports import Ports, WorkerSettings

log = structlog.get_logger()

FASTEST, SLOWEST = 0.02, 0.5
"""Seconds between snapshots."""
REST = 19
"""They get rarer when lists grow: their processor time is followed by this many times as much rest, since they cost an engine about as much
as this process. The time for which a busy engine lets a short list wait does not count."""
LATER, AT_MOST = 0.01, 0.2
"""They get rarer when nothing has started for a while: an end may be seen late by this part of the time for which its container has been
watched, and by this many seconds."""


class Watcher:
    """Takes the snapshots, and makes the watches that wait for them. The ``starter`` starts a service that is found parked."""

    def __init__(self, ports: Ports, settings: WorkerSettings, hosts: Hosts, starter: Starter) -> None:
        self._ports = ports
        self._settings = settings
        self._hosts = hosts
        self._starter = starter
        self._executor = ports.executor
        self._clock = ports.clock
        self._observations: dict[str, ServiceObservation] = {}
        self._watched: dict[str, Execution] = {}
        self._wanted = asyncio.Event()
        self._begun = asyncio.Event()
        self._begun_at = 0

    async def run(self) -> None:
        """Takes snapshots as long as anything is watched, forever."""
        while True:
            await self._wanted.wait()
            self._begun.clear()
            before, worked = self._clock.now(), thread_time()
            watched = {observation.swarm_id or observation.host for observation in self._observations.values()}
            self._update_observations(await self._executor.snapshot(watched))
            cost = min((self._clock.now() - before) / 1000, thread_time() - worked)  # the thread may have done other work, too
            await self._rest(min(SLOWEST, max(FASTEST, cost * REST)))

    async def _rest(self, least: float) -> None:
        """Waits until the next snapshot is due. One that is rarer because all has run for a while comes sooner when a watch begins."""
        await self._clock.sleep(least)
        age = (self._clock.now() - self._begun_at) / 1000
        more = min(AT_MOST, age * LATER) - least
        if more > 0:
            await first_of(self._clock, more, self._begun)

    def _update_observations(self, snapshot: ClusterSnapshot) -> None:
        hosts = self._executor.hosts()
        for service_id, observation in self._observations.items():
            host = observation.host
            seen_by = host if host in snapshot.tasks else reachable_manager(hosts, host, observation.swarm_id)
            services = snapshot.tasks.get(seen_by)
            observation.update(None if services is None else services.get(service_id, ()))

    def wake_lost(self) -> None:
        """Wakes the watches of what is lost with a host that was removed."""
        for execution in self._watched.values():
            if self._hosts.lost(execution) is not None:
                self._observations[execution.service_id or ""].changed.set()

    async def watch(self, assignment: Assignment, execution: Execution) -> Execution | None:
        """Watches a bound execution until it is final; the final row, or None when another worker has the execution now."""
        if execution.service_id is None:
            raise ValueError(f"execution {execution.id} has no service to watch")
        self._watched[execution.service_id] = execution
        observation = self._observations[execution.service_id] = ServiceObservation(execution.host or "", execution.swarm_id)
        self._begun_at = self._clock.now()
        self._wanted.set()
        self._begun.set()
        watch = ExecutionWatch(self._ports, self._settings, self._hosts, self._starter, assignment, execution, observation)
        assignment.explain_with(watch.note)
        try:
            return await watch.run()
        finally:
            if self._observations.get(execution.service_id) is observation:
                del self._observations[execution.service_id]
                del self._watched[execution.service_id]
            if not self._observations:
                self._wanted.clear()
            await watch.close()

    async def has_ended(self, service_id: str, host: str, swarm_id: str | None) -> bool | None:
        """Whether a service has run to its end; None when no manager has it. For an execution whose row cannot be read."""
        gone = False
        for manager in reachable_managers(self._executor.hosts(), host, swarm_id):
            try:
                tasks = (await self._executor.inspect(manager, service_id)).tasks
            except ServiceGone:
                gone = True
            except (HostDown, OrderRefused):
                return False
            else:
                return bool(tasks) and tasks[0].phase is Phase.ENDED and not tasks[0].lingering  # a stop leaves a second one
        return None if gone else False
