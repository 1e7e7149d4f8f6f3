"""Joins the parts: the one place that knows every concrete class. ``fastlane up``, ``api`` and ``worker`` each run one of these.

SIGTERM and SIGINT end a process in order: no new requests and claims, leases handed over, running containers left running. A second
signal ends it at once.
"""

import asyncio
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from ipaddress import ip_address

import structlog
import uvloop
from tornado.netutil import bind_sockets

from fastlane import __version__
from fastlane.clock import SystemClock
from fastlane.config.settings import Settings
from fastlane.embedded.engine import ensure_swarm
from fastlane.embedded.redis_server import RedisServer
from fastlane.errors import FastlaneError
from fastlane.executors.base import Executor
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.executors.swarm.images.registries import Registries
from fastlane.models.placement.pool import Pool
from fastlane.queue.base import Queue
from fastlane.queue.redis.hints import RedisHints
from fastlane.queue.redis.queue import RedisQueue
from fastlane.scheduler.watch.verdict import Limits
from fastlane.scheduler.worker import Worker, WorkerSettings
from fastlane.services.assembly import build_services
from fastlane.storage.base import Store
from fastlane.storage.sqlite.store import SqliteStore
from fastlane.streams.hub import Hub
from fastlane.web.server.application import application, close_server, http_server
from fastlane.web.server.settings import WebSettings

log = structlog.get_logger()

SECOND_SIGNAL = 130
"""The exit code after a second signal."""
SWITCH_INTERVAL = 0.0001
"""Seconds for which a thread may keep the interpreter from others. With Python's own 5 ms a busy loop starved the store's threads: single
calls waited 1 to 3 s (measured)."""
DRAIN = 5.0
"""Seconds that requests under way have to end when the process is told to."""


MOST_FILES = 65_536
OTHER_FILES = 200
"""So many of the files that the process may have open are kept for all that is no connection of a client."""
FEWEST_CONNECTIONS = 50


def run_up(settings: Settings) -> int:
    """API and worker in one process, on a Redis server of its own unless one is named, until a signal; the exit code."""
    for host in hosts_of(settings.pools):
        if host.startswith("unix://"):
            ensure_swarm(host, lambda text: log.warning("engine.prepared", said=text))
    return _run(settings, _up)


def run_api(settings: Settings) -> int:
    """HTTP, until a signal; the exit code."""
    return _run(settings, _api)


def run_worker(settings: Settings) -> int:
    """A worker, until a signal; the exit code."""
    return _run(settings, _worker)


def hosts_of(pools: tuple[Pool, ...]) -> tuple[str, ...]:
    """Every host that a pool names, once, in order."""
    return tuple(dict.fromkeys(host for pool in pools for host in pool.hosts))


def worker_settings(settings: Settings) -> WorkerSettings:
    """What a worker needs of the settings."""
    return WorkerSettings(
        pools=settings.pools,
        limits=Limits(
            timeout=settings.hard_timeout,
            pending_deadline=settings.pending_deadline,
            pull_deadline=settings.pull_deadline,
            host_lost_after=settings.host_lost_after,
        ),
        lease=settings.lease,
        renew=settings.renew,
        log_cap=settings.max_log_bytes,
    )


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """The store that the settings name."""
    store = SqliteStore(settings.store_path)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def embedded_redis(settings: Settings) -> AsyncIterator[str]:
    """The URL of a Redis server of this process's own. Raises Conflict when another ``fastlane up`` has the data folder."""
    server = RedisServer(settings.data_dir)
    try:
        yield await server.start()
    finally:
        await server.stop()


@asynccontextmanager
async def serving(settings: Settings, store: Store, queue: Queue, hub: Hub, sockets: list[socket.socket]) -> AsyncIterator[None]:
    """HTTP on these sockets; requests under way are given a little time at the end."""
    services = build_services(store, queue, hub, SystemClock(), settings.pools, start_wait=settings.ws_start_wait)
    web = WebSettings(
        version=__version__,
        listen_is_loopback=ip_address(settings.listen).is_loopback,
        public_url=settings.public_url,
        trusted_proxies=settings.trusted_proxies,
        allowed_origins=settings.allowed_origins,
        users=settings.users,
        tokens=settings.tokens,
        redact_words=settings.redact_words,
        per_page=settings.per_page,
        max_body=settings.max_body,
        hard_retries=settings.hard_retries,
    )
    app = application(services, web)
    server = http_server(app, max(FEWEST_CONNECTIONS, files_allowed() - OTHER_FILES))
    server.add_sockets(sockets)
    log.info("api.listening", addresses=[":".join(map(str, sock.getsockname()[:2])) for sock in sockets])
    try:
        yield
    finally:
        await close_server(server, app, DRAIN)
        await services.outbox.close()


def make_worker(settings: Settings, store: Store, queue: Queue, hub: Hub) -> tuple[Executor, Worker]:
    """A worker and the executor that it uses, neither open yet. To be made before the queue is opened: it subscribes."""
    clock = SystemClock()
    executor = SwarmExecutor(
        hosts_of(settings.pools),
        settings.installation,
        clock,
        max_fails=settings.breaker_max_fails,
        reset=settings.breaker_reset,
        registries=Registries(settings.registries, settings.docker_config),
    )
    return executor, Worker(store, queue, executor, clock, worker_settings(settings), hub.publish)


@asynccontextmanager
async def working(executor: Executor, worker: Worker) -> AsyncIterator[None]:
    """The worker, running."""
    await executor.open()
    running = asyncio.create_task(worker.run(), name="worker")
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await executor.close()


@asynccontextmanager
async def hinting(url: str, settings: Settings) -> AsyncIterator[Hub]:
    """The hub, by which those who follow a log hear of more of it."""
    hints = RedisHints(url, settings.installation)
    await hints.open()
    try:
        yield hints
    finally:
        await hints.close()


@asynccontextmanager
async def opened(queue: Queue) -> AsyncIterator[None]:
    """The queue, open."""
    await queue.open()
    try:
        yield
    finally:
        await queue.close()


async def _up(settings: Settings, stop: asyncio.Event) -> None:
    sockets = listening(settings)
    async with AsyncExitStack() as stack:
        url = settings.redis_url
        if url is None:
            url = await stack.enter_async_context(embedded_redis(settings))
        store = await stack.enter_async_context(open_store(settings))
        hub = await stack.enter_async_context(hinting(url, settings))
        queue = RedisQueue(url, settings.installation)
        executor, worker = make_worker(settings, store, queue, hub)
        await stack.enter_async_context(opened(queue))
        await stack.enter_async_context(working(executor, worker))
        await stack.enter_async_context(serving(settings, store, queue, hub, sockets))
        await stop.wait()


async def _api(settings: Settings, stop: asyncio.Event) -> None:
    sockets = listening(settings)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings))
        hub = await stack.enter_async_context(hinting(settings.redis_url or "", settings))
        queue = RedisQueue(settings.redis_url or "", settings.installation)
        await stack.enter_async_context(opened(queue))
        await stack.enter_async_context(serving(settings, store, queue, hub, sockets))
        await stop.wait()


async def _worker(settings: Settings, stop: asyncio.Event) -> None:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings))
        hub = await stack.enter_async_context(hinting(settings.redis_url or "", settings))
        queue = RedisQueue(settings.redis_url or "", settings.installation)
        executor, worker = make_worker(settings, store, queue, hub)
        await stack.enter_async_context(opened(queue))
        await stack.enter_async_context(working(executor, worker))
        await stop.wait()


def files_allowed() -> int:
    """How many files and sockets this process may have open, after it was raised as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS has a bound of its own below what it names
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft


def listening(settings: Settings) -> list[socket.socket]:
    """The sockets to serve on, bound before anything else is begun."""
    try:
        return bind_sockets(settings.port, settings.listen)
    except OSError as error:
        raise FastlaneError(
            f"cannot listen on {settings.listen}:{settings.port}: {error.strerror or error}; stop what uses it, or choose another --port"
        ) from None


def _run(settings: Settings, main: Callable[[Settings, asyncio.Event], Awaitable[None]]) -> int:
    async def until_a_signal() -> None:
        stop = asyncio.Event()

        def ask_to_stop(number: int) -> None:
            if stop.is_set():
                os._exit(SECOND_SIGNAL)
            log.info("process.stopping", signal=signal.Signals(number).name)
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ask_to_stop, number)
        await main(settings, stop)

    sys.setswitchinterval(SWITCH_INTERVAL)
    uvloop.run(until_a_signal())
    return 0
