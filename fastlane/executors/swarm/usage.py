"""What containers use, as their nodes' own engines measure it.

An engine has one connection for this, which nothing else uses, and is asked about one container at a time. So one whose answers stall
delays only them. It is asked for a single sample each time: a stream would make it sample every second for as long as the container runs.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from fastlane.executors.base import EngineTask
from fastlane.executors.swarm.client.faults import readable
from fastlane.executors.swarm.client.http import HttpClient, Request
from fastlane.executors.swarm.host import Host
from fastlane.executors.swarm.hosts import Hosts
from fastlane.models.usage import Usage

CONNECT_WITHIN, ANSWER_WITHIN = 2.0, 5.0
ONE_SAMPLE = {"stream": "false", "one-shot": "true"}
NANOSECONDS = 1_000_000

Raw = Mapping[str, Any]


class UsageReader:
    """Asks the engines of these hosts."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._clients: dict[str, HttpClient] = {}

    async def read(self, manager: Host, task: EngineTask) -> Usage | None:
        """What the task's container has used so far; None when its node is no host, or its engine says nothing, as of one that has ended.
        Raises what ``HttpClient.send`` does."""
        at = self._hosts.at_node(task.node_id or "", asked=manager)
        if at is None or task.container_id is None:
            return None
        client = self._clients.get(at.name)
        if client is None:
            client = self._clients[at.name] = HttpClient(at.transport, CONNECT_WITHIN, ANSWER_WITHIN, connections=1)
        path = f"/v{at.client.version}/containers/{quote(task.container_id, safe='')}/stats"
        raw = await client.send(Request(path, params=ONE_SAMPLE), ANSWER_WITHIN)
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
    """What one sample of an engine says; None for one without measurements, which engines give of a container that does not run."""
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
    """The sum over all devices; None when there is no entry of that kind. (Version 1 writes ``Read``, version 2 ``read``.)"""
    found = [int(entry["value"]) for entry in moved if str(entry["op"]).lower() == operation]
    return sum(found) if found else None
