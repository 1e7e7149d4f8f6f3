"""The registered hosts. ``SwarmHost`` has the client of one host behind its breaker, the loop that probes it, and its known state.
``SwarmHosts`` has all of them: it finds a host by name or node, and chooses another one to ask when a host does not answer.

Hosts know how to call an engine and when not to; the executor knows what to call.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import is_
from typing import Any

import structlog

from fastlane.clock import Clock, end_if_cancelled, first_of, unless_cancelled
from fastlane.errors import FastlaneError, HostDown
from fastlane.executors.port import EngineTask, Image, TaskEnd
from fastlane.executors.swarm.client import Breaker, CallTimeouts, Circuit, EngineClient, Request
from fastlane.executors.swarm.clocks import Clocks, SetBack, set_back
from fastlane.executors.swarm.faults import NO_SPACE, DiskFull, HostTimeout, NotHostsFault, timeout_words
from fastlane.executors.swarm.images import ASKED_AT_ONCE, FailedPulls, Images, remove_image
from fastlane.executors.swarm.probe import NO_RESERVE, EngineDisk, EngineFacts, Pace, probe
from fastlane.executors.swarm.registries import Registries
from fastlane.executors.swarm.transport import EngineTransport
from fastlane.log import one_line
from fastlane.models.host import Endpoint, EngineIdentity, HostView, Refusals, Reserve
from fastlane.models.image import ImageRemoval
from fastlane.models.pool import Pull

log = structlog.get_logger()

FIRST_PROBE_WITHIN = 0.5
"""Seconds that a host's first probe may delay the start. A host that is well answers in some milliseconds, and is usable from the start."""
PLAIN = "anyone who can connect to such a port, a container too, controls the engine and its machine"
REMOVED_AT_ONCE = 2
"""How many services are removed at once at most. Removals of many jobs that end together would take all of a client's connections, and
starts would wait for them."""
REMOVAL_WITHIN = 30.0
"""Seconds that a removal waits for its turn. The reconciler repeats one that is given up."""
REGISTRY_TIMEOUTS = CallTimeouts(read=25.0, whole=30.0)
BESIDE = 2
"""Connections in addition to the ones for questions to registries: for a repeated pull, and the removal of an image."""
PARK_SEEN_WITHIN = 30_000
"""Milliseconds after which a parked service that no snapshot has shown no longer counts as running."""


@dataclass(frozen=True, slots=True)
class HostRules:
    """How hosts are treated. The breaker of one opens after ``max_fails`` faults, for ``reset`` seconds. A host is probed every
    ``probe_every`` seconds, and gets no new work while less than ``reserve`` of its disk is free."""

    max_fails: int
    reset: float
    probe_every: float = 2.0
    reserve: Reserve = NO_RESERVE


class SwarmHost:
    """A host. It calls ``on_change`` whenever it becomes usable or unusable, or short of disk; ``pace``: how it is probed; ``reserve``: how
    much of its disk has to be free."""

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        breaker: Breaker,
        pace: Pace,
        registries: Registries,
        on_change: Callable[[], None],
        reserve: Reserve = NO_RESERVE,
    ) -> None:
        self.name = endpoint.address
        self.endpoint = endpoint
        self.transport = EngineTransport(endpoint)
        self.client = EngineClient(self.transport)
        self._registry = EngineClient(self.transport, timeouts=REGISTRY_TIMEOUTS, connections=ASKED_AT_ONCE + BESIDE)
        self._images = Images(self.get, self._registry, registries, clock)
        self.failed_pulls = FailedPulls(self._registry, registries)
        self.facts: EngineFacts | None = None
        self.set_back: SetBack | None = None
        """The times that its clock may have shown twice; None when no probe saw it being set back."""
        self.drained_engines: frozenset[str] = frozenset()
        """The ids of the drained engines among all that have answered at its address."""
        self._shown: tuple[int, float] | None = None
        self._clock = clock
        self._breaker = breaker
        breaker.subscribe(self._circuit_changed)
        self._pace = pace
        self._on_change = on_change
        self._fault: str | None = "is not probed yet"
        self._last_fault = ""
        self._since = clock.now()
        self._usable = False
        self._hurry = asyncio.Event()
        self._probed = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._seen: frozenset[str] = frozenset()
        self._expected: EngineIdentity | None = None
        self._first: EngineIdentity | None = None
        self._is_stranger = False
        self._parked: dict[str, int] = {}
        self._removals = asyncio.Semaphore(REMOVED_AT_ONCE)
        self._view: tuple[tuple[object, ...], HostView] | None = None
        self.disk = EngineDisk(endpoint, reserve, clock, on_change)
        self.starts = EngineStarts(endpoint.address, clock, breaker.anew(), on_change)
        self._viewed: tuple[object, ...] = ()
        self._info_at = 0.0

    async def open(self) -> None:
        """Begins to probe. Returns after the first probe, or sooner when the host takes long to answer."""
        self._since = self._clock.now()
        self._loop = asyncio.create_task(self._probing(), name=f"probe {self.name}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_PROBE_WITHIN):
                await self._probed.wait()

    async def close(self) -> None:
        """Ends its loop and connections."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        await self._images.close()
        await unless_cancelled(asyncio.gather(self.client.close(), self._registry.close()))
        await self.transport.close()

    def expect(self, identity: EngineIdentity | None) -> None:
        """Sets the engine that has to answer there; None: the one that answers first. Another engine is not used, and not asked
        anything."""
        if identity == self._expected:
            return
        self._expected, self._first = identity, None
        self._hurry.set()

    # what is known of it

    @property
    def usable(self) -> bool:
        """Whether new work may go there."""
        return self.reason is None

    @property
    def reachable(self) -> bool:
        """Whether it answers, so that its containers can be seen."""
        return self._trouble is None and self.facts is not None

    @property
    def reason(self) -> str | None:
        """The reason for which it cannot be used, in words that follow its name; None when it can."""
        return self._trouble or (self.facts.flaw if self.facts else "is not probed yet")

    @property
    def _trouble(self) -> str | None:
        if self._fault is None and self._breaker.circuit(self._clock.now()) is Circuit.OPEN:
            return f"failed too often: {self._last_fault}"
        return self._fault

    def view(self) -> HostView:
        """Its known state; the same view until something changes."""
        marks = (self.facts, self._seen, self._fault, self._since, self.disk.now())
        quiet = not self._parked and not self._breaker.faults and not self.starts.faults  # nothing that time alone changes
        if quiet and self._view is not None and len(self._viewed) == len(marks) and all(map(is_, marks, self._viewed)):
            return self._view[1]
        self._viewed = marks if quiet else ()
        now = self._clock.now()
        self._parked = {service: at for service, at in self._parked.items() if 0 <= now - at < PARK_SEEN_WITHIN}
        reason, running, disk = self.reason, len(self._seen) + len(self._parked), self.disk.now()
        breaker = (self._breaker.circuit(now), self._breaker.faults, self._breaker.retry_at(now))
        shown = (reason, self._since, self.facts, running, disk, breaker, self.starts.failing)
        if self._view is None or self._view[0] != shown:  # facts are compared first by identity
            self._view = (shown, self._make_view(now, reason, running))
        return self._view[1]

    def _make_view(self, now: int, reason: str | None, running: int) -> HostView:
        return HostView(
            name=self.name,
            usable=reason is None,
            reason=reason,
            since=None if reason is None else self._since,
            swarm_id=self.facts.swarm_id if self.facts else None,
            circuit=self._breaker.circuit(now).value,
            running=running,
            faults=self._breaker.faults,
            retry_at=self._breaker.retry_at(now),
            clock_skew=self.facts.skew if self.facts else None,
            node_cpus=self.facts.node_cpus if self.facts else None,
            node_memory=self.facts.node_memory if self.facts else None,
            engine_id=self.facts.engine_id if self.facts else None,
            cpus=self.facts.cpus if self.facts else None,
            memory=self.facts.memory if self.facts else None,
            closed=self.disk.short or self.starts.failing,
            disk=self.disk.now(),
            members=self.facts.members if self.facts else (),
        )

    @property
    def skew(self) -> int:
        """How far its clock was ahead when it was asked last, milliseconds; 0 when it did not say."""
        return (self.facts.skew if self.facts else None) or 0

    @property
    def has_parked(self) -> bool:
        """Whether a service was parked there that no snapshot has shown yet."""
        return bool(self._parked)

    def parked(self, service_id: str) -> None:
        """Counts a parked service as running, until a snapshot shows its state."""
        self._parked[service_id] = self._clock.now()

    def forget(self, service_id: str) -> None:
        """No longer counts a stopped or removed service."""
        self._parked.pop(service_id, None)
        self._seen -= {service_id}

    def saw(self, running: frozenset[str], services: frozenset[str]) -> None:
        """Takes in a snapshot of its swarm: the services with a task, and those that run and count for this host."""
        if running != self._seen:
            self._seen = running
        self._parked = {service: at for service, at in self._parked.items() if service not in services}

    # calls

    async def resolve(self, image: str, pull: Pull) -> Image:
        """The image to submit for a reference (see ``images.py``). Raises ImageRefused, RegistryDown, HostDown."""
        if not self.usable:
            raise NotHostsFault(f"{self.name} is not asked: {self.reason}")
        return await self._images.resolve(image, pull, one_node=self.facts is not None and self.facts.one_node)

    async def get(self, path: str, filters: Mapping[str, Sequence[str]] | None = None, deadline: float | None = None) -> Any:
        """``EngineClient.get`` through the breaker, as ``send`` is."""
        return await self.send(Request(path, filters=filters), deadline)

    async def send(self, request: Request, deadline: float | None = None) -> Any:
        """``EngineClient.send`` through the breaker, which counts the host's faults. Raises NotHostsFault while it is open."""
        async with self.guarded():
            return await self.client.send(request, deadline)

    @contextlib.asynccontextmanager
    async def removing(self) -> AsyncIterator[None]:
        """Holds a turn among the removals around a block. Raises NotHostsFault when none comes in time."""
        try:
            async with asyncio.timeout(REMOVAL_WITHIN):
                await self._removals.acquire()
        except TimeoutError:
            raise NotHostsFault(f"{self.name} is not asked: other removals there took {REMOVAL_WITHIN:g} s") from None
        try:
            yield
        finally:
            self._removals.release()

    async def remove_image(self, reference: str) -> ImageRemoval:
        """Removes an image, within half a minute. The breaker counts no fault, since a slow removal says nothing about the host."""
        if not self.usable:
            raise NotHostsFault(f"{self.name} is not asked: {self.reason}")
        try:
            async with asyncio.timeout(REGISTRY_TIMEOUTS.whole):
                return await remove_image(self._registry, reference)
        except TimeoutError:
            raise HostTimeout(f"{self.name} {timeout_words(REGISTRY_TIMEOUTS.whole)}") from None

    @contextlib.asynccontextmanager
    async def guarded(self) -> AsyncIterator[None]:
        """Puts the breaker around a block that talks to the host and raises fastlane's exceptions. Before a probe has succeeded nothing is
        asked: in an older version of its API a host would show, and take back, a service without the parts that are new."""
        if self.facts is None or self._is_stranger:
            raise NotHostsFault(f"{self.name} is not asked: {self.reason}")
        if not self._breaker.admit(self._clock.now()):
            raise NotHostsFault(f"{self.name} is not asked: {self.reason or 'one call at a time finds out whether it works again'}")
        try:
            yield
        except NotHostsFault:
            self._breaker.abandoned()
            raise
        except HostDown as error:
            self._failed(error)
            raise
        except FastlaneError:
            self._breaker.succeeded()
            raise
        except BaseException:  # a cancellation or an internal fault, which says nothing about the host
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()

    def _circuit_changed(self, circuit: Circuit) -> None:
        reason = None if circuit is Circuit.CLOSED else self._last_fault
        log.warning("host.circuit", host=self.name, circuit=circuit.value, faults=self._breaker.faults, reason=reason)

    def _failed(self, error: HostDown) -> None:
        self._last_fault = self._words(error)
        self._breaker.failed(self._clock.now(), visible=not isinstance(error, HostTimeout))
        if isinstance(error, DiskFull):
            self.disk.refused_at(self._clock.now())
        self._hurry.set()
        self._compare()

    # probing

    async def _probing(self) -> None:
        """Probes forever. The first pause is a random part of one, so that the probes of many hosts do not come all at once."""
        part = random.random()
        while True:
            self._hurry.clear()
            try:
                await self._probe()
            except Exception:
                log.exception("host.probe_raised", host=self.name)
                end_if_cancelled()
                self._fault = "could not be probed: see the log"
                self._compare()
            self._probed.set()
            await self._pause(part * self._pace.pause(well=self._fault is None))
            part = 1.0

    async def _probe(self) -> None:
        was_well, before = self._fault is None, self.facts
        try:
            await self.transport.connect()
            now = asyncio.get_running_loop().time()
            info_too = not was_well or self._pace.asks_info(now - self._info_at)
            facts = self._recognized(await probe(self.client, before if was_well else None, self._clock, info_too=info_too))
            if info_too:  # many hosts that come up together are not asked again together
                self._info_at = now if was_well else now - random.random() * self._pace.info_pause
            self._registry.version = self.client.version
            self.facts = facts if facts != before else before
            self.transport.node = facts.names.get(facts.node_id)
            await self.disk.measure(facts)  # before it counts as usable
        except NotHostsFault:
            return  # all connections are busy, and their calls show how the host is
        except FastlaneError as error:
            self._fault = self._last_fault = self._words(error)
            self._breaker.failed(self._clock.now(), visible=True)
        else:
            self._fault = None
            self._breaker.recovered()
            if info_too:
                self._note_clock(facts)
        self._compare()

    def _recognized(self, facts: EngineFacts) -> EngineFacts:
        """The facts, if the expected engine gave them. Raises HostDown otherwise: another engine knows nothing of what was placed on the
        expected one, and would say that it is gone."""
        expected = self._expected or self._first
        self._is_stranger = expected is not None and facts.identity != expected
        if expected is not None and self._is_stranger:
            raise HostDown(
                f"{self.name} answers as another engine than before (engine {facts.engine_id} in swarm {facts.swarm_id}, not engine "
                f"{expected.engine_id} in swarm {expected.swarm_id}); if it took the place of the old one, DELETE /hosts/ADDRESS?force=1"
            )
        self._first = facts.identity
        return facts

    def _note_clock(self, facts: EngineFacts) -> None:
        """Notes the time of its clock, and compares it with a steady clock: this process's own clock may be set as well, or be the same
        one."""
        if facts.skew is None:
            return
        before, now = self._shown, (self._clock.now() + facts.skew, asyncio.get_running_loop().time())
        self._shown = now
        step = set_back(before[0], now[0], round(1000 * (now[1] - before[1]))) if before is not None else None
        if step is not None:
            log.warning("host.clock_set_back", host=self.name, milliseconds=step.latest - now[0])
            self.set_back = step.joined(self.set_back)

    async def _pause(self, pause: float) -> None:
        """Waits until the next probe is due, which is at once when a call to a host that seemed well has failed."""
        await first_of(self._clock, pause, *([self._hurry] if self._fault is None else []))

    def _words(self, error: FastlaneError) -> str:
        return str(error).removeprefix(f"{self.name} ")

    def _compare(self) -> None:
        if self.usable is self._usable:
            return
        self._usable, self._since = self.usable, self._clock.now()
        log.info("host.usable" if self._usable else "host.unusable", host=self.name, reason=self.reason)
        self._on_change()


MAX_COUNTED = 1_000
"""Failed tasks that are remembered, so that each counts once."""


class EngineStarts:
    """The containers that one engine failed to start, by its own fault. After as many in a row as open the breaker of its host, and for as
    long, the host gets no new work; then the next one decides. It calls ``on_change`` when the host gets work again, or no more."""

    def __init__(self, host: str, clock: Clock, breaker: Breaker, on_change: Callable[[], None]) -> None:
        self._host = host
        self._clock = clock
        self._breaker = breaker
        self._last = 0
        self._counted: dict[str, None] = {}
        self._words = ""
        self._on_change = on_change
        breaker.subscribe(self._circuit_changed)

    @property
    def faults(self) -> int:
        """How many starts have failed since the last one that succeeded."""
        return self._breaker.faults

    @property
    def failing(self) -> str | None:
        """The reason for which the host gets no new work, in words that follow its name; None when it may."""
        if self._breaker.circuit(self._clock.now()) is not Circuit.OPEN:
            return None
        return f"failed to start {self.faults} containers in a row: {self._words}"

    def failed(self, task: EngineTask, skew: int) -> None:
        """Counts a task that failed to start, once: it is seen in each look until its service is removed. ``skew``: how far the engine's
        clock was taken to be ahead in this look, in milliseconds; the next look may know better, so the engine's own times are compared."""
        if task.id in self._counted:
            return
        self._counted[task.id] = None
        if len(self._counted) > MAX_COUNTED:
            del self._counted[next(iter(self._counted))]
        self._last, self._words = max(self._last, task.changed_at + skew), one_line(task.message)
        self._breaker.failed(self._clock.now(), visible=False)

    def succeeded(self, at: int, skew: int) -> None:
        """Takes in a container that started at that moment: if that was after the last failure, they are over. ``skew`` is as above."""
        if at + skew > self._last and self.faults:
            self._breaker.succeeded()

    def _circuit_changed(self, circuit: Circuit) -> None:
        if circuit is Circuit.OPEN:
            log.warning("host.starts_fail", host=self._host, failed=self.faults, reason=self._words)
        elif circuit is Circuit.CLOSED:
            log.info("host.starts_again", host=self._host)
        self._on_change()


class SwarmHosts:
    """All hosts by name."""

    def __init__(self, hosts: Sequence[SwarmHost]) -> None:
        self._hosts = {host.name: host for host in hosts}
        self._failing: set[str] = set()
        self._refusals: dict[str, Refusals] = {}

    def __iter__(self) -> Iterator[SwarmHost]:
        return iter(tuple(self._hosts.values()))

    def has(self, name: str) -> bool:
        """Whether a host of this name is registered."""
        return name in self._hosts

    def add(self, host: SwarmHost) -> None:
        """Registers a host."""
        self._hosts[host.name] = host

    def remove(self, host: SwarmHost) -> None:
        """Removes a host from the registered ones."""
        del self._hosts[host.name]

    def __len__(self) -> int:
        return len(self._hosts)

    def named(self, name: str) -> SwarmHost:
        """The host of this name. Raises HostDown when it is not registered, as a host that cannot be reached would."""
        host = self._hosts.get(name)
        if host is None:
            raise HostDown(f"{name} is not a registered host: no pool of the worker has it")
        return host

    def reachable_manager(self, host: SwarmHost) -> SwarmHost:
        """The host, or another manager of its swarm while it does not answer."""
        if host.reachable or host.facts is None:
            return host
        swarm_id = host.facts.swarm_id
        others = (other for other in self if other.reachable and other.facts is not None and other.facts.swarm_id == swarm_id)
        return next(others, host)

    def at_node(self, node_id: str, *, asked: SwarmHost) -> SwarmHost | None:
        """The host that is this node, if it answers; ``asked``, the host that is asked anyway, counts as one that does."""
        candidates = (host for host in (asked, *self) if host is asked or host.reachable)
        return next((host for host in candidates if host.facts is not None and host.facts.node_id == node_id), None)

    def clocks(self, asked: SwarmHost, leader: str | None = None, among: Iterable[SwarmHost] | None = None) -> Clocks:
        """The clocks that were measured. ``leader``: the node that leads the swarm of the host that was asked. While it is not a host, the
        asked one's clock stands for its. ``among``: the hosts of that swarm, where the caller knows them."""
        hosts = among if among is not None else self._of_swarm(asked)
        known = {facts.node_id: facts.skew for host in hosts if (facts := host.facts) is not None and facts.skew is not None}
        own = asked.facts.skew if asked.facts is not None else None
        return Clocks(known, known.get(leader or "", own or 0))

    async def explained(self, tasks: Iterable[EngineTask], reference: str, *, asked: SwarmHost) -> tuple[EngineTask, ...]:
        """The tasks, with the reason for which their nodes could not pull the image, where the node is a host and gives one. (An image
        without a digest is the node's own, and not pulled.)"""
        return tuple([await self._explained(task, reference, asked) if task.end is TaskEnd.IMAGE else task for task in tasks])

    async def _explained(self, task: EngineTask, reference: str, asked: SwarmHost) -> EngineTask:
        at = self.at_node(task.node_id or "", asked=asked)
        words = await at.failed_pulls.cause(reference) if at is not None and "@" in reference else None
        if words is None:
            return task
        return replace(task, message=words, end=TaskEnd.NO_SPACE if NO_SPACE in words else TaskEnd.IMAGE)

    def note_starts(self, tasks: Iterable[EngineTask], now: int) -> None:
        """Notes which of these tasks their node's engine failed to start, by its own fault or for its full disk. If a node with a full disk
        is not a host, only this process knows."""
        failing = {host.facts.node_id: host for host in map(self._hosts.get, self._failing) if host is not None and host.facts is not None}
        for task in tasks:
            if task.node_id is None:
                continue
            if task.started_at is not None and task.node_id in failing:
                failing[task.node_id].starts.succeeded(task.started_at, failing[task.node_id].skew)
            if task.end is TaskEnd.ENGINE:
                for host in self._at(task.node_id):
                    host.starts.failed(task, host.skew)
                    self._failing.add(host.name)
            if task.end is not TaskEnd.NO_SPACE:
                continue
            at = min(task.changed_at or now, now)
            own = self._at(task.node_id)
            for host in own:
                host.disk.refused_at(at)
            if not own:
                known = self._refusals.get(task.node_id)
                self._refusals[task.node_id] = Refusals(at, at) if known is None else known.and_at(at)
        self._failing = {host.name for host in map(self._hosts.get, self._failing) if host is not None and host.starts.faults}

    def _at(self, node_id: str) -> list[SwarmHost]:
        return [host for host in self if host.facts is not None and host.facts.node_id == node_id]

    def closed_nodes(self, swarm: SwarmHost, now: int) -> Sequence[str]:
        """The nodes of a host's swarm that are to get no new work, if the swarm has other ones: they are short of disk, or their hosts are
        drained. Each manager of a swarm places on all of its nodes."""
        if swarm.facts is None or swarm.facts.one_node:
            return ()
        drained = {host.facts.node_id for host in self if host.facts is not None and host.facts.engine_id in host.drained_engines}
        short = {host.facts.node_id for host in self if host.facts is not None and host.disk.short is not None}
        short |= {node for node, refusals in self._refusals.items() if now < refusals.until}
        return sorted((short | drained) & swarm.facts.nodes.keys())

    def silent_nodes(self, asked: SwarmHost) -> frozenset[str]:
        """The nodes of a host's swarm that are hosts and do not answer now."""
        return frozenset(host.facts.node_id for host in self._of_swarm(asked) if host.facts is not None and not host.reachable)

    def _of_swarm(self, asked: SwarmHost) -> Iterable[SwarmHost]:
        """The hosts of that host's swarm, and maybe others."""
        return (asked,) if asked.facts is not None and asked.facts.one_node else self
