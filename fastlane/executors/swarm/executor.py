"""The executor for production: each execution is one Docker Swarm service on one of the registered hosts.

Every method keeps the promise of the port (``executors/port.py``) with a few calls to an engine. ``spec.py`` knows what to submit,
``states.py`` what the answers mean, ``hosts.py`` how to call and probe a host, ``images.py`` which image to run, and ``logs.py`` how to
read a log.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from operator import is_
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import aiohttp
import orjson
import structlog
from yarl import URL

from fastlane.clock import Clock, unless_cancelled
from fastlane.errors import FastlaneError, HostDown, OrderRefused, ServiceGone
from fastlane.executors.port import Activation, ClusterSnapshot, EngineService, EngineTask, Image, Order, ServiceTemplate
from fastlane.executors.swarm import likeness, spec
from fastlane.executors.swarm.client import Breaker, Request
from fastlane.executors.swarm.clocks import leader_of
from fastlane.executors.swarm.faults import (
    HostTimeout,
    NameTaken,
    NotHostsFault,
    OutOfSequence,
    connection_words,
    message,
    readable,
    refusal,
    timeout_words,
)
from fastlane.executors.swarm.hosts import PLAIN, HostRules, SwarmHost, SwarmHosts
from fastlane.executors.swarm.images import image_path
from fastlane.executors.swarm.logs import LogReader
from fastlane.executors.swarm.observe import Observer, UsageReader
from fastlane.executors.swarm.probe import Pace
from fastlane.executors.swarm.registries import Registries
from fastlane.executors.swarm.spec import ids_for
from fastlane.executors.swarm.states import container_id, node_details, node_names, node_states, task_views, wait_for_engine, with_times
from fastlane.executors.swarm.transport import EngineTransport
from fastlane.models.host import Endpoint, HostView, Views
from fastlane.models.image import ImageRemoval
from fastlane.models.job import Usage
from fastlane.models.job_source import LabelledService
from fastlane.models.log import Mark, Portion
from fastlane.models.pool import KnownHost, Pull

log = structlog.get_logger()

UPDATE_TRIES = 6
UPDATE_WITHIN = 40.0
REMOVE_TRIES = 5
MOST_ACTIVATED = 1000
"""How many activated services are remembered until their watch begins, which is at once."""
FEW = 100
VIEW_KEPT = 1e-4
"""Seconds for which views are kept, for each host above a few: a tenth of a second among a thousand hosts."""

EVENTS_WITHIN = 5.0
"""Seconds for a connection to an engine's stream of events."""
LONGEST_STREAM = 60.0
"""Seconds after which an engine is asked for its events again, so that a connection that died unnoticed does not last."""
OF_SERVICES = quote(json.dumps({"type": ["service"]}, separators=(",", ":")), safe="")
"""The filter, letter by letter as a proxy in front of the engine may compare it (``stack/engine-filter.cfg``)."""

Raw = Mapping[str, Any]


class SwarmExecutor:
    """Runs executions on Docker Swarm. ``installation`` marks the services of this installation. It closes ``registries``, which find the
    credentials for a registry."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        installation: str,
        clock: Clock,
        rules: HostRules,
        registries: Registries | None = None,
    ) -> None:
        self._installation = installation
        self._clock = clock
        self._registries = registries or Registries()
        self._listeners: list[Callable[[], None]] = []
        pace = Pace(rules.probe_every, lambda: len(self._hosts), lambda: self._away)
        reset = round(rules.reset * 1000)
        self._make: Callable[[Endpoint], SwarmHost] = lambda endpoint: SwarmHost(
            endpoint, clock, Breaker(rules.max_fails, reset), pace, self._registries, self._changed, rules.reserve
        )
        self._hosts = SwarmHosts([self._make(endpoint) for endpoint in dict.fromkeys(endpoints)])
        self._is_open = False
        self._leaving: set[asyncio.Task[None]] = set()
        self._readers: dict[str, LogReader] = {}
        self._views: tuple[float, Sequence[HostView]] | None = None
        self._away = 0
        self._observer = Observer(self._hosts, installation, clock)
        self._usage = UsageReader(self._hosts)
        self._activated: dict[str, EngineService] = {}

    # its life

    async def open(self) -> None:
        self._is_open = True
        await self._enter(list(self._hosts))

    async def close(self) -> None:
        self._is_open = False
        await self._observer.close()
        leaving = (self._leave(host, self._readers.pop(host.name, None)) for host in self._hosts)
        await unless_cancelled(asyncio.gather(*leaving, *self._leaving, self._usage.close()))
        await self._registries.close()

    async def use_hosts(self, hosts: Sequence[KnownHost]) -> None:
        wanted = {known.endpoint.address: known for known in hosts}
        for host in [host for host in self._hosts if host.name not in wanted or wanted[host.name].endpoint != host.endpoint]:
            self._hosts.remove(host)
            if self._is_open:
                leaving = asyncio.create_task(self._leave(host, self._readers.pop(host.name, None)), name=f"leave {host.name}")
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)
        new = [self._make(known.endpoint) for name, known in wanted.items() if not self._hosts.has(name)]
        for host in new:
            self._hosts.add(host)
        for host in self._hosts:
            host.expect(wanted[host.name].expected)
            host.disk.refused(wanted[host.name].refusals)
            host.drained_engines = wanted[host.name].drained
        if self._is_open:
            await self._enter(new)
        self._changed()

    async def _enter(self, hosts: Sequence[SwarmHost]) -> None:
        plain = [host.name for host in hosts if host.transport.is_plain]
        if plain:
            log.warning("host.insecure", hosts=plain, meaning=PLAIN)
        self._readers.update({host.name: LogReader(host.transport) for host in hosts})
        await unless_cancelled(asyncio.gather(*(host.open() for host in hosts)))

    async def _leave(self, host: SwarmHost, reader: LogReader | None) -> None:
        if reader is not None:
            await reader.close()
        await self._usage.leave(host.name)
        await host.close()

    def subscribe(self, on_change: Callable[[], None]) -> None:
        self._listeners.append(on_change)

    def hosts(self) -> Sequence[HostView]:
        """The views of all hosts. With many hosts the views may be some milliseconds old, so that not every step of an execution looks at
        all of them."""
        now = time.monotonic()
        if self._views is None or now >= self._views[0]:
            self._views = (now + max(0, len(self._hosts) - FEW) * VIEW_KEPT, self._views_now())
        return self._views[1]

    def _views_now(self) -> Sequence[HostView]:
        """The views of all hosts; the list of the last time when none has changed."""
        views = Views(host.view() for host in self._hosts)
        self._away = sum(not view.usable for view in views)
        known = self._views[1] if self._views is not None else ()
        return known if len(known) == len(views) and all(map(is_, known, views)) else views

    def _changed(self) -> None:
        self._views = None
        for listener in self._listeners:
            listener()

    # starting

    async def resolve(self, host: str, image: str, pull: Pull) -> Image:
        return await self._hosts.named(host).resolve(image, pull)

    async def service_template(self, host: str, name: str) -> ServiceTemplate:
        raw = await self._inspected(self._hosts.named(host), name)
        with readable(host):
            return likeness.read_template(raw, name, spec.INSTALLATION)

    async def park(self, host: str, order: Order, image: Image) -> str:
        found = self._hosts.named(host)
        with readable(host):
            ids = await ids_for(order.container, found.get)
        wanted = spec.creation(order, image, self._installation, ids, self._hosts.closed_nodes(found, self._clock.now()))
        if (size := spec.size(wanted)) > spec.MAX_SIZE:  # the swarm might take it now, and then neither start nor stop it
            raise OrderRefused(f"its service would take {size} bytes, of {spec.MAX_SIZE} at most: shorten its envs, command or mounts")
        # The nodes need the credentials to pull the image; the swarm stores these but never returns them.
        credentials = await self._registries.credentials(image.reference)
        try:
            raw: Raw = await found.send(Request("/services/create", "POST", body=wanted, credentials=credentials))
        except NameTaken:
            raw = await self._existing(found, order)
        except ServiceGone as error:  # a network or secret is gone since its id was found
            raise OrderRefused(str(error)) from error
        with readable(host):
            service_id = str(raw["ID"])
        found.parked(service_id)
        return service_id

    async def _existing(self, host: SwarmHost, order: Order) -> Raw:
        """The service of this name, if it is the one that an earlier call made for the same order."""
        name = spec.service_name(order)
        try:
            raw = await self._inspected(host, name)
        except ServiceGone as error:
            raise HostDown(f"{host.name} says that the name {name} is taken, and that there is no such service") from error
        if not spec.is_made_for(raw, order, self._installation):
            raise OrderRefused(f"a service named {name} is there and is not this execution's; remove it by hand")
        if not spec.is_up_to_date(raw, order) and not spec.is_activated(raw):
            await self.remove(host.name, str(raw["ID"]))  # it has never run, so its name may be used again
            raise NotHostsFault(f"{host.name} had parked {name} before its service changed; it is parked again")
        return raw

    async def activate(self, host: str, service_id: str) -> Activation:
        nonce = uuid4().hex
        parked: list[EngineService] = []

        def change(raw: Raw) -> dict[str, Any] | None:
            if spec.is_activated(raw) or spec.is_stopped(raw):
                return None
            parked[:] = [spec.view(raw)]
            return spec.activation(raw, nonce)

        raw = await self._update(self._hosts.named(host), service_id, change)
        if raw is None or spec.activator(raw) == nonce:
            self._note_activated(parked)
            return Activation.STARTED
        return Activation.ALREADY if spec.is_activated(raw) else Activation.STOPPED

    def _note_activated(self, services: Sequence[EngineService]) -> None:
        for service in services:
            self._activated[service.id] = replace(service, activated=True)
        while len(self._activated) > MOST_ACTIVATED:
            del self._activated[next(iter(self._activated))]

    def just_activated(self, host: str, service_id: str) -> EngineService | None:
        known = self._activated.pop(service_id, None)
        return known if self._hosts.has(host) else None

    async def stop(self, host: str, service_id: str, why: str = "") -> None:
        found = self._hosts.named(host)
        await self._update(found, service_id, lambda raw: None if spec.is_stopped(raw) else spec.stop(raw, why))
        found.forget(service_id)

    async def _update(self, host: SwarmHost, service_id: str, change: Callable[[Raw], dict[str, Any] | None]) -> Raw | None:
        """Writes ``change(inspected)`` at the version that was inspected. None once that is done; the service as inspected when ``change``
        returns None. After a refusal or a lost answer it inspects again, since the update may have been made."""
        try:
            async with asyncio.timeout(UPDATE_WITHIN):
                return await self._try_update(host, service_id, change)
        except TimeoutError:
            raise HostTimeout(f"{host.name} {timeout_words(UPDATE_WITHIN)}") from None

    async def _try_update(self, host: SwarmHost, service_id: str, change: Callable[[Raw], dict[str, Any] | None]) -> Raw | None:
        fault: FastlaneError | None = None
        for _ in range(UPDATE_TRIES):
            raw = await self._inspected(host, service_id)
            with readable(host.name):
                wanted, version = change(raw), spec.version(raw)
            if wanted is None:
                return raw
            try:
                await host.send(_updating(service_id, version, wanted))
                return None
            except (OutOfSequence, HostDown) as error:
                fault = error
                log.info("service.update_unsure", host=host.name, service_id=service_id, error=str(error))
        raise HostDown(f"{host.name} did not take an update of {service_id}: {fault}")

    # observing

    async def inspect(self, host: str, service_id: str) -> EngineService:
        found = self._hosts.named(host)
        raw, tasks, nodes = await unless_cancelled(
            asyncio.gather(
                self._inspected(found, service_id),
                found.get("/tasks", {"service": [service_id]}),
                found.get("/nodes"),
            )
        )
        with readable(host):
            clocks = self._hosts.clocks(found, leader_of(nodes))
            containers, silent = await self._containers(found, tasks)
            raw_views = task_views(tasks, node_states(nodes), containers, node_details(nodes), clocks, node_names(nodes))
            views = await self._hosts.explained(raw_views, spec.image(raw), asked=found)
            self._hosts.note_starts(views, self._clock.now())
            return spec.view(raw, tuple(wait_for_engine(view, silent) for view in views))

    async def detail(self, host: str, task: EngineTask) -> EngineTask | None:
        found = self._hosts.named(host)
        at = self._hosts.at_node(task.node_id or "", asked=found)
        if at is None or at.facts is None or at.facts.skew is None or task.container_id is None:
            return None
        try:
            container = await self._container(at, task.container_id)
        except HostDown:
            if at is found:
                raise
            container = None
        with readable(host):
            return task if container is None else with_times(task, container, at.facts.skew)

    async def snapshot(self, watched: Collection[str] | None = None) -> ClusterSnapshot:
        return await self._observer.snapshot(watched)

    async def services(self, host: str) -> Sequence[EngineService]:
        found = self._hosts.named(host)
        raws = await found.get("/services", {"label": [f"{spec.INSTALLATION}={self._installation}"]})
        with readable(host):
            views = [spec.view(raw) for raw in raws]
        clocks = self._hosts.clocks(found)
        return [replace(view, created_at=clocks.of_leader(view.created_at)) for view in views]

    async def labelled(self, host: str) -> Sequence[LabelledService]:
        raws = await self._hosts.named(host).get("/services")
        with readable(host):
            return [spec.labelled(raw) for raw in raws]

    async def watch_services(self, host: str, on_change: Callable[[], None]) -> None:
        found = self._hosts.named(host)
        await _follow_services(found.transport, found.client.version, spec.OWN_NAMES, on_change)

    async def lacks(self, host: str, service_id: str) -> bool:
        return not await self._is_shown(self._hosts.named(host), service_id)

    async def _inspected(self, host: SwarmHost, service_id: str) -> Raw:
        raw: Raw = await host.get(f"/services/{quote(service_id, safe='')}")
        return raw

    async def _containers(self, host: SwarmHost, tasks: Sequence[Raw]) -> tuple[dict[str, Raw], set[str]]:
        """The nodes' answers about these tasks' containers, by container id, and the nodes that are hosts and gave none because they did
        not answer. A node may refuse to answer, as some proxies do."""
        found, silent = dict[str, Raw](), set[str]()
        for task in tasks:
            container, node = container_id(task), str(task.get("NodeID", ""))
            if container is None:
                continue
            at = self._hosts.at_node(node, asked=host)
            if at is None:
                silent |= self._hosts.silent_nodes(host) & {node}
                continue
            try:
                raw = await self._container(at, container)
            except HostDown:
                if at is host:
                    raise
                silent.add(node)
                continue
            if raw is not None:
                found[container] = raw
        return found, silent

    async def _container(self, at: SwarmHost, id: str) -> Raw | None:
        try:
            raw: Raw = await at.get(f"/containers/{quote(id, safe='')}/json")
        except (ServiceGone, OrderRefused) as error:
            log.info("container.not_shown", host=at.name, container_id=id, error=str(error))
            return None
        return raw

    # removing

    async def remove(self, host: str, service_id: str) -> None:
        found = self._hosts.named(host)
        async with found.removing():
            await self._remove(found, service_id)

    async def _remove(self, found: SwarmHost, service_id: str) -> None:
        for _ in range(REMOVE_TRIES):
            try:
                await found.send(Request(f"/services/{quote(service_id, safe='')}", "DELETE"))
            except ServiceGone:  # not believed: a proxy may answer 404 for what it does not allow
                if await self._is_shown(found, service_id):
                    continue
            found.forget(service_id)
            return
        raise HostDown(f"{found.name} still has the service {service_id} after its removal")

    async def _is_shown(self, host: SwarmHost, service_id: str) -> bool:
        try:
            await self._inspected(host, service_id)
        except ServiceGone:
            return False
        return True

    # images

    async def has_image(self, host: str, reference: str) -> bool:
        try:
            await self._hosts.named(host).get(image_path(reference))
        except ServiceGone:
            return False
        return True

    async def remove_image(self, host: str, reference: str) -> ImageRemoval:
        return await self._hosts.named(host).remove_image(reference)

    # a running container

    async def usage(self, host: str, task: EngineTask) -> Usage | None:
        return await self._usage.read(self._hosts.reachable_manager(self._hosts.named(host)), task)

    async def logs(self, host: str, task_id: str, marks: Mapping[int, Mark], *, follow: bool) -> AsyncGenerator[Portion, None]:
        at, container = await self._log_source(self._hosts.reachable_manager(self._hosts.named(host)), task_id)
        reader = self._readers[at.name]
        async with at.guarded():
            response = await reader.open(at.client.version, task_id, marks, follow=follow, container=container, set_back=at.set_back)
        async with aclosing(reader.portions(response, marks, follow=follow, of_container=container is not None)) as portions:
            async for portion in portions:
                yield portion

    async def _log_source(self, manager: SwarmHost, task_id: str) -> tuple[SwarmHost, str | None]:
        """The host to read a task's log from, and the container to name there: the task's own node where that is a host, else a manager
        (no container). A manager's log comes through the swarm's leader. It stops when the leader does, and a node that sends much to a
        cut-off leader loses its place in the swarm (see docs/swarm.md)."""
        if manager.facts is None or manager.facts.one_node:
            return manager, None
        try:
            task: Raw = await manager.get(f"/tasks/{quote(task_id, safe='')}")
        except OrderRefused:
            return manager, None  # it may still give the log
        container, at = container_id(task), self._hosts.at_node(str(task.get("NodeID", "")), asked=manager)
        return (manager, None) if container is None or at is None else (at, container)


def _updating(service_id: str, version: int, wanted: dict[str, Any]) -> Request:
    """The request that updates a service with a whole spec. An update without credentials keeps the credentials of the create."""
    return Request(f"/services/{quote(service_id, safe='')}/update", "POST", params={"version": str(version)}, body=wanted)


async def _follow_services(transport: EngineTransport, version: str, ignored: str, on_change: Callable[[], None]) -> None:
    """Calls ``on_change`` at each event about a service whose name does not begin with ``ignored``. Returns after a minute. Events only
    hasten a look: what happened while nothing was connected comes in no later stream. ``version``: of the API. Raises HostDown and
    OrderRefused."""
    timeout, context = aiohttp.ClientTimeout(total=None, sock_connect=EVENTS_WITHIN), await transport.context()
    url = URL(f"{transport.base}/v{version}/events?filters={OF_SERVICES}", encoded=True)
    try:
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(LONGEST_STREAM),
                transport.session(timeout, limit=1) as session,
                session.get(url, allow_redirects=False, ssl=context) as response,
            ):
                if response.status != 200:
                    raise refusal(response.status, message(await response.read()), transport.name)
                async for line in response.content:
                    if not _service_of(line).startswith(ignored):
                        on_change()
                raise HostDown(f"{transport.name} ended its stream of events")
    except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as error:
        raise transport.explain(HostDown(f"{transport.name} {connection_words(error) or 'sent no events'}")) from error


def _service_of(line: bytes) -> str:
    """The name of the service that an event is about; empty where it has none."""
    actor = orjson.loads(line).get("Actor") or {}
    return str((actor.get("Attributes") or {}).get("name", ""))
