"""Builds what ``fastlane up``, ``api`` and ``worker`` run. This is the one module that knows every concrete class.

``running`` opens the parts of a role and closes them in reverse order: no new requests and claims, leases handed over, containers left
running. A test passes ``Factories`` with its own store, queue, executor or clock, and gets everything else as in production.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from ssl import SSLContext
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import structlog
from tornado.httpserver import HTTPServer
from tornado.web import Application

from fastlane import __version__, process
from fastlane.archive.bucket import BucketAccess, LogBucket
from fastlane.archive.folder import LogFolder
from fastlane.clock import AlignedClock, Clock, SystemClock
from fastlane.config.access import AccessFiles
from fastlane.config.settings import Settings
from fastlane.config.types import Role
from fastlane.directory import CurrentPools, Directory
from fastlane.embedded import RedisServer
from fastlane.errors import FastlaneError, QueueDown, QueueRefused, QueueUnfit
from fastlane.executors.port import Executor
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.executors.swarm.hosts import HostRules
from fastlane.executors.swarm.local_engine import prepare_engines
from fastlane.executors.swarm.registries import Registries
from fastlane.liveness import answering
from fastlane.metrics import Metrics
from fastlane.models.pool import Pool, endpoints_of
from fastlane.models.receipt import SealKeys
from fastlane.notify.mail import MailServer, MakePayload, SmtpSender, mail_writer
from fastlane.notify.port import Mail, Notifier
from fastlane.notify.webhooks import WebhookSender
from fastlane.queue.port import Queue, QueueGeneration
from fastlane.queue.redis.hints import RedisHints
from fastlane.queue.redis.queue import RedisQueue
from fastlane.redaction import redaction_of
from fastlane.scheduler.deliverer import STANDS_IN_AFTER, FallbackDeliverer
from fastlane.scheduler.ports import Ports, WorkerSettings
from fastlane.scheduler.pruner import Pruner
from fastlane.scheduler.worker import Worker, retention_rules, worker_settings
from fastlane.sealing import Sealing
from fastlane.services.assembly import Services, build_services
from fastlane.services.receipts import Receipts
from fastlane.services.startup import HighWaterMark, StartProgress, aligned, opened_store
from fastlane.sources.labels import LabelSource, SourcePorts
from fastlane.storage.archive_port import LogObjects
from fastlane.storage.base import Store
from fastlane.storage.sqlite.connection import compact
from fastlane.storage.sqlite.store import SqliteStore
from fastlane.streams.reader import Hub
from fastlane.tracing.otel import OtelRecorder
from fastlane.tracing.port import Recorder
from fastlane.web.api.job_body import JobRules, job_rules
from fastlane.web.api.job_changes import change_describer
from fastlane.web.api.serializer import RenderContext
from fastlane.web.api.service_labels import label_reader
from fastlane.web.api.webhook_payload import body_writer, payload_maker
from fastlane.web.reload import FileWatch, TlsCertificate, access_watch
from fastlane.web.server import addresses_of, bound, close_server, make_application, make_server, measured
from fastlane.web.starting import answering_meanwhile

log = structlog.get_logger()

DRAIN = 5.0
"""Seconds that requests in flight have to finish when the process stops."""
COMPACT_PATIENCE = 5.0
"""Seconds that a rewriting of the store waits for other processes."""


class Resource(Protocol):
    """Something that is opened before use and closed afterwards."""

    async def open(self) -> None:
        """Opens it."""

    async def close(self) -> None:
        """Closes it."""


class ResourceHub(Hub, Resource, Protocol):
    """A hub that is opened and closed."""


R = TypeVar("R", bound=Resource)


def make_store(settings: Settings) -> Store:
    """The store that the settings name, with their archive of old logs. Removals from it are sealed, if they have keys for that."""
    store: Store = _mongo(settings.store_url) if settings.store_is_mongo else SqliteStore(settings.store_path)
    store.log_archive.objects = make_log_objects(settings)
    if settings.receipt_keys:
        store.retention.notes = Sealing(store, SystemClock(), SealKeys(settings.receipt_keys))
    return store


def make_log_objects(settings: Settings) -> LogObjects | None:
    """The folder or the bucket of archived logs, if the settings name one. Raises FastlaneError when a bucket's client is not installed."""
    if settings.archive_path is not None:
        return LogFolder(settings.archive_path)
    if settings.archive_bucket is None:
        return None
    keys = settings.archive_access_key or "", settings.archive_secret_key or ""
    return LogBucket(BucketAccess(*settings.archive_bucket, settings.archive_endpoint, settings.archive_region, *keys))


def _mongo(url: str) -> Store:
    from fastlane.storage.mongo.store import MongoStore  # its driver takes 10 MiB

    return MongoStore(url)


def make_hub(settings: Settings, redis_url: str) -> RedisHints:
    """The hub, which tells readers of a log that the log has grown."""
    return RedisHints(redis_url, settings.installation)


def make_queue(settings: Settings, redis_url: str) -> Queue:
    """The queue on this Redis server."""
    return RedisQueue(redis_url, settings.installation)


def make_executor(settings: Settings, clock: Clock) -> Executor:
    """The executor on the hosts of all pools."""
    return SwarmExecutor(
        endpoints_of(settings.pools),
        settings.installation,
        clock,
        HostRules(settings.breaker_max_fails, settings.breaker_reset, reserve=settings.min_free_disk),
        Registries(settings.registries, settings.docker_config),
    )


def make_notifier(settings: Settings) -> Notifier:
    """What sends notifications."""
    make_payload = payload_maker(settings.public_url, settings.redact_words)
    sender = WebhookSender(settings.webhook_allow, settings.webhook_timeout, __version__)
    return Notifier(body_writer(make_payload), sender, _mail(settings, make_payload))


def _mail(settings: Settings, make_payload: MakePayload) -> Mail | None:
    if settings.smtp_host is None or settings.smtp_from is None:
        return None
    server = MailServer(
        settings.smtp_host,
        settings.smtp_port,
        settings.smtp_tls,
        settings.smtp_from,
        settings.smtp_user,
        settings.smtp_password,
        settings.smtp_ca,
    )
    write = mail_writer(make_payload, redaction_of(settings.redact_words).message, settings.mail_interval)
    return Mail(write, SmtpSender(server, settings.smtp_timeout), round(settings.mail_interval * 1000), settings.notify_allow)


def worker_id() -> str:
    """A new worker's id."""
    return uuid4().hex[:12]


def make_pruner(settings: Settings, store: Store) -> Pruner:
    """The pruner that removes old history by these settings, outside of a worker."""
    return Pruner(store, SystemClock(), settings.pools, retention_rules(settings))


def compact_store(settings: Settings, progress: Callable[[], None]) -> tuple[int, int]:
    """Rewrites the SQLite file without its free space. Returns its bytes before and after. Raises FastlaneError, for MongoDB too."""
    if settings.store_is_mongo:
        raise FastlaneError("this is for a SQLite file; MongoDB reuses free space, and returns it by its own command compact")
    return compact(settings.store_path, COMPACT_PATIENCE, progress)


def make_recorder(role: Role, settings: Settings) -> Recorder | None:
    """The recorder that takes spans, if the settings name a collector."""
    if settings.traces_url is None:
        return None
    return OtelRecorder(settings.traces_url, version=__version__, installation=settings.installation, role=role)


def make_services(settings: Settings, store: Store, queue: Queue, hub: Hub, clock: Clock, directory: Directory | None = None) -> Services:
    """The services that the web layer calls. Close ``outbox`` at the end. ``directory``: the pools in force; None: the settings' pools."""
    directory = directory or Directory(store, CurrentPools(settings.pools, (), settings.calendars), clock)
    describe = change_describer(settings.redact_words)
    keys = SealKeys(settings.receipt_keys) if settings.receipt_keys else None
    services = build_services(store, queue, hub, clock, directory, start_wait=settings.ws_start_wait, describe_change=describe)
    return replace(services, receipts=Receipts(store, clock, keys))


@dataclass(frozen=True, slots=True)
class Factories:
    """How to make the parts that reach out of the process, and a worker's settings. The parts are returned closed."""

    clock: Callable[[], Clock] = SystemClock
    store: Callable[[Settings], Store] = make_store
    hub: Callable[[Settings, str], ResourceHub] = make_hub
    queue: Callable[[Settings, str], Queue] = make_queue
    executor: Callable[[Settings, Clock], Executor] = make_executor
    notifier: Callable[[Settings], Notifier] = make_notifier
    recorder: Callable[[Role, Settings], Recorder | None] = make_recorder
    worker_settings: Callable[[Settings], WorkerSettings] = worker_settings
    connection_limit: Callable[[], int] = process.connection_limit
    stands_in_after: int = STANDS_IN_AFTER


@dataclass(frozen=True, slots=True)
class Running:
    """The open parts of a role. An ``api`` has no worker; a ``worker`` has no services, no application, no server and no port.
    ``metrics_port``: None unless the settings name one."""

    store: Store
    queue: Queue
    hub: Hub
    clock: Clock
    directory: Directory
    metrics: Metrics
    metrics_port: int | None
    recorder: Recorder | None = None
    worker: Worker | None = None
    services: Services | None = None
    application: Application | None = None
    server: HTTPServer | None = None
    port: int | None = None

    async def reload(self) -> None:
        """Reads the pools again, and logs what is wrong with them."""
        try:
            await self.directory.reload()
        except FastlaneError as error:
            log.error("pools.not_reloaded", error=str(error))


PRODUCTION = Factories()


@asynccontextmanager
async def running(
    role: Role,
    settings: Settings,
    factories: Factories = PRODUCTION,
    access: AccessFiles | None = None,
    sockets: Sequence[socket.socket] | None = None,
    read_pools: Callable[[], Sequence[Pool]] | None = None,
    progress: StartProgress | None = None,
) -> AsyncIterator[Running]:
    """Everything that ``fastlane <role>`` consists of, open until the context ends. ``access``: the files of users and tokens, to be read
    again when they change. ``sockets``: bound sockets to serve on; closed at the end. ``read_pools`` reads the pools again. ``progress``
    learns what the start waits for."""
    sockets = bind(role, settings) if sockets is None else sockets
    progress = progress or StartProgress()
    machine, metrics = factories.clock(), Metrics(settings.metrics_tasks)
    clock = AlignedClock(machine)
    worker = None
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        for sock in sockets:
            stack.callback(sock.close)
        metrics_port = await enter(measured(metrics, settings, settings.metrics_port, settings.metrics_listen))
        recorder = factories.recorder(role, settings)
        if recorder is not None:
            await enter(opened(recorder))
        redis_url = settings.redis_url if settings.redis_url is not None else await enter(embedded_redis(settings))
        meanwhile, secure, most = AsyncExitStack(), None, 0
        if role != "worker":
            secure, most = await enter(tls(settings)), factories.connection_limit()
            await enter(meanwhile)
            await meanwhile.enter_async_context(answering_meanwhile(sockets, settings, metrics, progress, most, secure))
        store = await enter(opened_store(factories.store(settings), progress, awaited=settings.store_is_mongo))
        directory = await enter(opened(Directory(store, CurrentPools(settings.pools, (), settings.calendars), clock, read_pools)))
        hub = await enter(opened(factories.hub(settings, redis_url)))
        queue = factories.queue(settings, redis_url)
        if role != "api":
            executor = factories.executor(settings, clock)
            if directory.pools.records:
                await executor.use_hosts(directory.hosts())
            notifier = factories.notifier(settings)
            ports = Ports(worker_id(), store, queue, executor, clock, directory.pools, notifier, metrics, hub.publish, recorder)
            worker = Worker(ports, factories.worker_settings(settings), machine)
        await enter(opened(queue))  # after the worker has subscribed to it
        await refuse_unfit_queue(queue.generation)
        await enter(aligned(clock, queue.time))
        if worker is not None:
            await enter(opened(executor))
            await enter(repeating(worker.run(), "worker"))
            if settings.service_labels:
                await enter(following_labels(settings, ports, hub, directory, worker))
        else:
            parts_of = (store, queue.reports, factories.notifier(settings), clock, directory.pools)
            await enter(repeating(FallbackDeliverer(*parts_of, factories.stands_in_after, metrics).run(), "fallback deliverer"))
        parts = Running(store, queue, hub, clock, directory, metrics, metrics_port, recorder, worker)
        if role != "worker":
            await meanwhile.aclose()
            parts = await enter(served(settings, parts, access, sockets, most, secure))
        progress.end()
        yield parts


@asynccontextmanager
async def following_labels(settings: Settings, ports: Ports, hub: Hub, directory: Directory, worker: Worker) -> AsyncIterator[None]:
    """Follows the labels of the swarms' services until the context ends."""
    services = make_services(settings, ports.store, ports.queue, hub, ports.clock, directory)
    context = RenderContext("", settings.redact_words)

    def rules_of(task_id: str) -> JobRules:
        return job_rules(settings, task_id, services.pools.hard_timeout(task_id), context)

    own = SourcePorts(ports.store, ports.executor, ports.pools, ports.queue.reports, ports.clock, ports.owner)
    source = LabelSource(own, services.declared, label_reader(rules_of))
    worker.report_unread(source.unread)
    ports.metrics.show_compared(source.compared)
    try:
        async with repeating(source.run(), "labels"):
            yield
    finally:
        await services.outbox.close()


@asynccontextmanager
async def served(
    settings: Settings,
    parts: Running,
    access: AccessFiles | None,
    sockets: Sequence[socket.socket],
    most_connections: int,
    secure: SSLContext | None,
) -> AsyncIterator[Running]:
    """Adds the parts that serve HTTP to these, until the context ends."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        await enter(opened(HighWaterMark(parts.store, parts.queue.generation, parts.clock)))
        services = make_services(settings, parts.store, parts.queue, parts.hub, parts.clock, parts.directory)
        await enter(opened(services.access_events))
        application = make_application(services, settings, parts.metrics, parts.recorder)
        server = make_server(application, most_connections, secure)
        await enter(watching(None if access is None else access_watch(application, access)))
        await enter(serving(services, application, server, sockets))
        port = sockets[0].getsockname()[1]
        yield replace(parts, services=services, application=application, server=server, port=port)


def run(
    role: Role,
    settings: Settings,
    factories: Factories = PRODUCTION,
    access: AccessFiles | None = None,
    announce: Callable[[int], None] | None = None,
    read_pools: Callable[[], Sequence[Pool]] | None = None,
    sockets: Sequence[socket.socket] | None = None,
) -> int:
    """Runs ``fastlane <role>`` until a signal. Returns the exit code. ``announce`` is called with the port once it serves HTTP."""
    sockets = bind(role, settings) if sockets is None else sockets
    if role == "up":
        prepare_engines(endpoints_of(settings.pools))
    progress = StartProgress()
    parts = _announced(running(role, settings, factories, access, sockets, read_pools, progress), announce)
    return process.run(_checkable(role, settings, parts, progress))


@asynccontextmanager
async def _checkable(
    role: Role, settings: Settings, parts: AbstractAsyncContextManager[Running], progress: StartProgress
) -> AsyncIterator[Running]:
    """The parts, of a process that answers `fastlane check` before they are open and until they are closed."""
    async with answering(settings.check_socket, settings.data_dir, lambda: progress.whole, create=role == "up"), parts as running:
        yield running


@asynccontextmanager
async def _announced(parts: AbstractAsyncContextManager[Running], announce: Callable[[int], None] | None) -> AsyncIterator[Running]:
    async with parts as running:
        if announce is not None and running.port is not None:
            announce(running.port)
        yield running


@asynccontextmanager
async def opened(resource: R) -> AsyncIterator[R]:
    """The resource, open until the context ends."""
    await resource.open()
    try:
        yield resource
    finally:
        await resource.close()


async def refuse_unfit_queue(queue: QueueGeneration) -> None:
    """Raises QueueUnfit and QueueRefused. While Redis does not answer, the workers ask it again before they first use it."""
    try:
        await queue.refuse_eviction()
    except (QueueUnfit, QueueRefused):
        raise
    except QueueDown as error:
        log.warning("queue.not_checked", error=str(error))


@asynccontextmanager
async def embedded_redis(settings: Settings) -> AsyncIterator[str]:
    """The URL of this process's own Redis server. Raises Conflict when another ``fastlane up`` uses the data folder."""
    server = RedisServer(settings.data_dir)
    try:
        yield await server.start()
    finally:
        await server.stop()


@asynccontextmanager
async def repeating(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Runs work that has no end of its own."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def watching(watch: FileWatch | None) -> AsyncIterator[None]:
    """Watches files, if there are any to watch."""
    async with AsyncExitStack() as stack:
        if watch is not None:
            await stack.enter_async_context(repeating(watch.run(), "file watch"))
        yield


@asynccontextmanager
async def tls(settings: Settings) -> AsyncIterator[SSLContext | None]:
    """The TLS context for HTTPS, with a certificate that is read again when it changes; None: plain HTTP. Raises FastlaneError when its
    files cannot be used."""
    if settings.tls_certificate is None or settings.tls_key is None:
        yield None
        return
    certificate = TlsCertificate(settings.tls_certificate, settings.tls_key)
    async with watching(certificate.watch()):
        yield certificate.context


@asynccontextmanager
async def serving(
    services: Services, application: Application, server: HTTPServer, sockets: Sequence[socket.socket]
) -> AsyncIterator[None]:
    """Serves HTTP on these sockets. At the end, requests in flight get ``DRAIN`` seconds."""
    server.add_sockets(sockets)
    log.info("api.listening", addresses=addresses_of(sockets))
    try:
        yield
    finally:
        await close_server(server, application, DRAIN)
        await services.outbox.close()


def bind(role: Role, settings: Settings) -> list[socket.socket]:
    """The sockets to serve on; a worker has none. Bound before anything else starts, a port in use ends the process at once."""
    return [] if role == "worker" else bound(settings.port, settings.listen, "--port")
