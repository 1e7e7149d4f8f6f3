"""The probe of a host: its questions to the engine, whether the answers make the host usable, how often it is probed, and whether its disk
has room.

``/nodes`` shows whether the host is a manager of a swarm with a leader (``_ping`` is answered without one), ``/info`` which swarm that is.
``/info`` may hang when ``/nodes`` does not; an earlier answer then stays valid. It also shows the time of the host's clock. Among many
hosts it is asked for less often than ``/nodes``, but at once when the host's own node is no longer among the nodes: another engine
answers there.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from fastlane.clock import Clock, corrected
from fastlane.errors import HostDown
from fastlane.executors.swarm.client import EngineClient, negotiate
from fastlane.executors.swarm.clocks import milliseconds
from fastlane.executors.swarm.faults import NOT_A_MANAGER, HostTimeout, readable
from fastlane.executors.swarm.states import node_names, node_states
from fastlane.models.host import Disk, Endpoint, EngineIdentity, Node, Refusals, Reserve, Space, judge

LEAST_HISTORY = 2
"""With fewer old tasks kept, Swarm deletes a stopped task together with its exit code."""

NODES_WITHIN = 10.0
INFO_WITHIN = 5.0
PROBES_A_SECOND = 50
"""The most probes a second of hosts that are well: they take some 2 % of a core."""
INFOS_A_SECOND = 20
"""The most questions a second for their ``/info``."""
AWAY_A_SECOND = 20
"""The most probes a second of hosts that are away."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often hosts are probed: each ``every`` seconds, and among many ``hosts``, or many of them that are ``away``, less often. A call
    that fails is followed by a probe at once, so only the failure of an idle host is noticed later."""

    every: float
    hosts: Callable[[], int]
    away: Callable[[], int]

    def pause(self, *, well: bool) -> float:
        """The seconds until a host's next probe."""
        return max(self.every, self.hosts() / PROBES_A_SECOND if well else self.away() / AWAY_A_SECOND)

    @property
    def info_pause(self) -> float:
        """The seconds between two questions for a host's ``/info``."""
        return max(self.every, self.hosts() / INFOS_A_SECOND)

    def asks_info(self, elapsed: float) -> bool:
        """Whether a probe asks for ``/info``, ``elapsed`` seconds after the last one that did."""
        return not 0 <= elapsed < self.info_pause - self.every / 2


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What a host says about itself: its swarm's id, its own node's id, how many old tasks its swarm keeps, its nodes' states. ``skew``:
    how far its clock is ahead of this process's, in milliseconds; None while that was not measured. ``node_cpus``
    and ``node_memory`` (bytes): the most that one of the nodes has which take work now; None where there is none. ``engine_id``: the
    engine's own id; ``cpus`` and ``memory`` (bytes): its own machine's, None where it does not say. ``folder``: where it keeps its
    data, on its machine. ``members``: the nodes of its swarm, if it has others. ``names``: the name of each node's machine, by the
    node's id."""

    swarm_id: str
    node_id: str
    history: int
    nodes: Mapping[str, str]
    skew: int | None = None
    node_cpus: float | None = None
    node_memory: int | None = None
    engine_id: str = ""
    cpus: int | None = None
    memory: int | None = None
    folder: str = ""
    members: tuple[Node, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> EngineIdentity:
        """Which engine it is, in which swarm."""
        return EngineIdentity(self.engine_id, self.swarm_id)

    @property
    def one_node(self) -> bool:
        """Whether its swarm has no other node."""
        return len(self.nodes) == 1

    @property
    def flaw(self) -> str | None:
        """The reason for which the host cannot be used although it answers; None when it can."""
        if self.history < LEAST_HISTORY:
            return (
                f"its swarm keeps {self.history} old tasks, and a stop would lose its result: "
                "run docker swarm update --task-history-limit 5"
            )
        return None


@dataclass(frozen=True, slots=True)
class Info:
    """An engine's ``/info``, and when it was asked for and answered (milliseconds of this process's clock)."""

    values: Mapping[str, Any]
    before: int
    after: int

    def skew(self, known: int) -> int | None:
        """How far the engine's clock is ahead, given what an earlier answer showed; None when the engine does not give its time."""
        theirs = milliseconds(self.values.get("SystemTime"))
        return None if theirs is None else corrected(known, theirs, self.before, self.after)


async def probe(client: EngineClient, known: EngineFacts | None, clock: Clock, *, info_too: bool = True) -> EngineFacts:
    """The facts of a host; without ``info_too`` those that are ``known``, if it still has the same node. Raises what the client raises, and
    HostDown when the host is not a manager."""
    if known is None:
        client.version = await negotiate(client, NODES_WITHIN)
    elif not info_too:
        answer = await client.get("/nodes", deadline=NODES_WITHIN)
        with readable(client.host):
            states, sizes = node_states(answer), {**largest(answer), "names": node_names(answer)}
        if known.node_id in states:
            return replace(known, nodes=states, **sizes)
    answers: tuple[Any, Info | BaseException] = await asyncio.gather(
        client.get("/nodes", deadline=NODES_WITHIN),
        _info(client, clock),
        return_exceptions=True,
    )
    nodes, info = answers
    if isinstance(nodes, BaseException):
        raise nodes
    with readable(client.host):
        states, sizes = node_states(nodes), {**largest(nodes), "members": members(nodes), "names": node_names(nodes)}
    if isinstance(info, HostTimeout) and known is not None:
        return replace(known, nodes=states, **sizes)
    if isinstance(info, BaseException):
        raise info
    earlier = known.skew if known is not None else None
    with readable(client.host):
        return replace(read_info(info.values, states, client.host), skew=info.skew(earlier or 0), **sizes)


def largest(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``node_cpus`` and ``node_memory`` of the facts."""
    able = [node for node in nodes if _takes_work(node)]
    found = [(node.get("Description") or {}).get("Resources") or {} for node in able]
    nano, memory = (max((int(one.get(name) or 0) for one in found), default=0) for name in ("NanoCPUs", "MemoryBytes"))
    return {"node_cpus": nano / 1e9 or None, "node_memory": memory or None}


def members(nodes: Sequence[Mapping[str, Any]]) -> tuple[Node, ...]:
    """The nodes of a swarm of several, by name and id."""
    found = [_member(node) for node in nodes] if len(nodes) > 1 else []
    return tuple(sorted(found, key=lambda node: (node.name, node.id)))


def _member(node: Mapping[str, Any]) -> Node:
    about: Mapping[str, Any] = node.get("Description") or {}
    resources: Mapping[str, Any] = about.get("Resources") or {}
    nano, memory, state = resources.get("NanoCPUs"), resources.get("MemoryBytes"), str((node.get("Status") or {}).get("State", "unknown"))
    cpus = nano / 1e9 if nano else None
    return Node(str(node["ID"]), str(about.get("Hostname") or ""), state, _takes_work(node), cpus, memory or None)


def _takes_work(node: Mapping[str, Any]) -> bool:
    return (node.get("Status") or {}).get("State") == "ready" and (node.get("Spec") or {}).get("Availability") == "active"


async def _info(client: EngineClient, clock: Clock) -> Info:
    before = clock.now()
    values = await client.get("/info", deadline=INFO_WITHIN)
    return Info(values, before, clock.now())


def read_info(info: Mapping[str, Any], nodes: Mapping[str, str], host: str) -> EngineFacts:
    """The facts in an ``/info``. Raises HostDown when the host is not a manager of a swarm."""
    swarm: Mapping[str, Any] = info.get("Swarm") or {}
    cluster: Mapping[str, Any] = swarm.get("Cluster") or {}
    if not swarm.get("ControlAvailable") or not cluster.get("ID"):
        raise HostDown(f"{host} {NOT_A_MANAGER}")
    orchestration: Mapping[str, Any] = (cluster.get("Spec") or {}).get("Orchestration") or {}
    history = orchestration.get("TaskHistoryRetentionLimit")
    return EngineFacts(
        swarm_id=str(cluster["ID"]),
        node_id=str(swarm.get("NodeID", "")),
        history=5 if history is None else int(history),
        nodes=nodes,
        engine_id=str(info.get("ID", "")),
        cpus=info.get("NCPU") or None,
        memory=info.get("MemTotal") or None,
        folder=str(info.get("DockerRootDir") or ""),
    )


log = structlog.get_logger()

ENGINE_ID = "engine-id"
"""The file in an engine's folder that holds its id."""
MEASURED_WITHIN = 1.0
"""Seconds that a look at a disk may take: a file server's may hang."""
NO_RESERVE = Reserve()


class EngineDisk:
    """The known state of one engine's disk. It calls ``on_change`` when the engine becomes short of disk, or has enough again."""

    def __init__(self, endpoint: Endpoint, reserve: Reserve, clock: Clock, on_change: Callable[[], None]) -> None:
        self._host = endpoint.address
        self._may_be_here = endpoint.scheme == "unix"
        self._reserve = reserve
        self._clock = clock
        self._on_change = on_change
        self._space: Space | None = None
        self._refusals: Refusals | None = None
        self._disk: Disk | None = None

    def now(self) -> Disk | None:
        """The known state; None when nothing is known."""
        if self._disk is not None and self._disk.until is not None and self._clock.now() >= self._disk.until:
            self._judge()
        return self._disk

    @property
    def short(self) -> str | None:
        """The reason for which the engine gets no new work, in words that follow its name; None when it has room."""
        disk = self.now()
        return None if disk is None else disk.short

    async def measure(self, facts: EngineFacts) -> None:
        """Measures it, if it is a disk of this machine."""
        if not self._may_be_here or not facts.folder:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MEASURED_WITHIN):
                self._space = await asyncio.to_thread(measure, facts.folder, facts.engine_id)
        self._judge()

    def refused(self, refusals: Refusals | None) -> None:
        """Takes in the starts that the engine refused because its disk was full, unless it knows of later ones."""
        if refusals is not None and (self._refusals is None or refusals.last > self._refusals.last):
            self._refusals = refusals
            self._judge()

    def refused_at(self, moment: int) -> None:
        """Takes in one more refused start."""
        self.refused(Refusals(moment, moment) if self._refusals is None else self._refusals.and_at(moment))

    def _judge(self) -> None:
        was, self._disk = self._disk, judge(self._space, self._refusals, self._reserve, self._disk, self._clock.now())
        before, words = was.short if was else None, self._disk.short if self._disk else None
        if (before is None) is (words is None):
            return
        free = self._disk.free if self._disk is not None else None
        if words is not None:
            log.warning("host.disk_short", host=self._host, reason=words, free=free)
        else:
            log.info("host.disk_enough", host=self._host, free=free)
        self._on_change()


def measure(folder: str, engine_id: str) -> Space | None:
    """The space of the disk that an engine's folder is on; None when the engine is elsewhere."""
    try:
        with_id = (Path(folder) / ENGINE_ID).read_text(encoding="ascii").strip()
    except PermissionError:
        with_id = engine_id
    except (OSError, ValueError):
        return None
    if with_id != engine_id:
        return None
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return Space(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)
