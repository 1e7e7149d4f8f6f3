"""One fastlane on trial: its store, queue and engine as they are, seen from outside, and the processes that run or crash on them.

A witness outside fastlane counts starts: a file to which each container adds a line.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import docker
import orjson

from fastlane.clock import SystemClock
from fastlane.config.access import make_token
from fastlane.models.event import EventKind, Source, Span, at
from fastlane.models.job import Execution, Spec
from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.queue.port import TICKS, Lane
from fastlane.queue.redis.queue import RedisQueue
from fastlane.scheduler.rebuilder import Rebuilder
from fastlane.services.results import Enqueued
from tests.support.defaults import ports_of
from tests.support.engine_views import DockerEngine
from tests.support.fork_server import Child, ForkServer
from tests.support.installation import Installation
from tests.support.lost_answers import LostAnswer, engine_filters, redis_filters
from tests.support.process_options import ProcessOptions
from tests.support.redis import RealRedis
from tests.support.relay import Relay
from tests.support.scratch import short_folder
from tests.support.seams import Journal, Trip
from tests.support.services import services_of
from tests.support.stores import DATABASES, ON_MONGO, new_store, store_url
from tests.support.waiting import until

T = TypeVar("T")

PATIENCE = 60.0
IMAGE = "ubuntu:latest"
POOL = "default"
SCRIPT = """trap 'echo stopped; exit 5' TERM
echo start >> /witness/starts
echo ::set-output first=1
seq 1 300
: > /witness/ready
until [ -e /witness/go ]; do sleep 0.05; done
echo ::error::warned >&2
seq 301 600
echo ::set-output second=2
exit ${CODE:-3}"""
COMMAND = ("sh", "-c", SCRIPT)
"""Tells the witness, writes half of its log, waits for the word to go on, writes the rest, and ends with ``CODE``, or 3; with 5 when it is
stopped."""

QUICK = ProcessOptions(
    renew=0.5,
    gone_after=3.0,
    recheck=1.0,
    breaker_reset=2.0,
    record_within=3.0,
    builder_lost_after_ms=3000,
    seal_lag_ms=500,
    archive_every=0.2,
)
"""What takes minutes in production takes seconds here."""

HALF = "".join(["::set-output first=1\n", *(f"{number}\n" for number in range(1, 301))]).encode()
WHOLE = HALF + "".join([*(f"{number}\n" for number in range(301, 601)), "::set-output second=2\n"]).encode()


@dataclass(frozen=True)
class World:
    """What all trials share: an engine, a Redis in which each has keys of its own, and what starts processes."""

    engine: str
    redis: RealRedis
    docker: docker.APIClient
    fork_server: ForkServer


@dataclass(frozen=True)
class Lost:
    """The answer that a relay loses, before ``redis`` or ``engine``; see ``LostAnswer``. ``kept`` bytes of an engine's pass."""

    before: str
    call: str
    nth: int = 1
    kept: int = 0


@dataclass
class Process:
    """A process on trial."""

    role: str
    running: Child
    journal: Journal
    log: Path

    @property
    def works(self) -> bool:
        """Whether it is a worker that runs."""
        return self.role == "worker" and not self.ended and not self.frozen

    @property
    def ended(self) -> bool:
        return self.running.returncode is not None

    @property
    def tripped(self) -> bool:
        """Whether it was killed, or is frozen, at its seam."""
        return self.running.returncode == -signal.SIGKILL or (not self.ended and self.frozen)

    @property
    def frozen(self) -> bool:
        words = [word for word, _ in self.journal.read() if word in {"frozen", "woken"}]
        if words[-1:] != ["frozen"]:
            return False
        with contextlib.suppress(FileNotFoundError):
            return Path(f"/proc/{self.running.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        return False


@dataclass
class Ground:
    """One installation. Used as an async context manager; everything of it is gone afterwards."""

    world: World
    hosts: tuple[str, ...] = ()
    lost: "Lost | None" = None
    settings: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    requests: list[asyncio.StreamWriter] = field(default_factory=list)
    ends_by_itself: bool = True

    async def __aenter__(self) -> "Ground":
        self.folder = short_folder("flc")
        self.witness = self.folder / "witness"
        self.witness.mkdir()
        self.name = f"crash-{os.urandom(4).hex()}"
        self.hosts = self.hosts or (self.world.engine,)
        self.redis_url = self.world.redis.url
        self.loss: LostAnswer | None = None
        self._relay: Relay | None = None
        if self.lost is not None:
            self._put_between(self.lost)
        engine = DockerEngine(self.world.engine)
        url = DATABASES.new_url() if ON_MONGO else store_url(self.folder)
        self.token, self.config = make_token(), self.folder / "fastlane.toml"
        insecure = json.dumps(any(host.startswith("tcp://") for host in self.hosts))
        self.config.write_text(f'[[pools]]\nname = "{POOL}"\nmatch = ""\nhosts = {json.dumps(self.hosts)}\ninsecure = {insecure}\n')
        settings = {"LEASE": "2s", "STORE_URL": url, "CONFIG": str(self.config), **self.settings}
        self.installation = Installation(self.folder, engine, self.name, self.redis_url, settings, token=self.token)
        self.pools = (Pool(POOL, "", self.hosts, services=("trial_*",)),)
        self.clock = SystemClock()
        self.store = new_store(url)
        self.queue = RedisQueue(self.world.redis.url, self.name, deadline=PATIENCE)
        self.services = services_of(self.store, self.queue, self.clock, self.pools)
        async with contextlib.AsyncExitStack() as stack:
            stack.push(self._forget)
            if self._relay is not None:
                await stack.enter_async_context(self._relay)
            await self.store.open()
            stack.push_async_callback(self.store.close)
            await self.queue.open()
            stack.push_async_callback(self.queue.close)
            stack.push_async_callback(self.services.outbox.close)
            stack.push_async_callback(self._end)
            await self._first_generation()
            self.leaving = stack.pop_all()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.leaving.__aexit__(*error)

    def _forget(self, kind: object, *_error: object) -> None:
        """What is left of a failed trial may be looked at."""
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    async def _end(self) -> None:
        for process in self.processes:
            if not process.ended:
                process.running.kill()
            await process.running.wait()
        for writer in self.requests:
            writer.close()
        await self.queue.generation.wipe()
        for service in await self.engine_services():
            with contextlib.suppress(docker.errors.NotFound):
                await asyncio.to_thread(self.world.docker.remove_service, service["ID"])

    def _put_between(self, lost: "Lost") -> None:
        """Puts the relay that loses an answer before Redis or before the engine."""
        url = f"unix://{self.folder / 'relay'}"
        self.loss = LostAnswer(lost.call, lost.nth)
        if lost.before == "redis":
            self._relay = Relay(url, self.world.redis.url, redis_filters(self.loss))
            self.redis_url = url
        else:
            self._relay = Relay(url, self.world.engine, engine_filters(self.loss, lost.kept))
            self.hosts = tuple(url if host == self.world.engine else host for host in self.hosts)

    async def _first_generation(self) -> None:
        """Makes the queue the store's, so that a process on trial finds it so."""
        rebuilder = Rebuilder(ports_of(self.store, self.queue, self.clock, pools=self.pools, owner="ground"))
        await rebuilder.ensure()

        async def whole() -> bool:
            return (await self.store.generation()).builder is None

        await self.until(whole, "a first generation")
        await rebuilder.close()

    # processes

    async def start(self, role: str = "worker", trip: Trip | None = None, *, reconcile: float = 1.0) -> Process:
        """A process on trial; without a trip a common one."""
        number = len(self.processes)
        journal, log = Journal(self.folder / f"{number}.journal"), self.folder / f"{number}.log"
        options = replace(
            QUICK,
            reconcile=reconcile,
            mount=str(self.witness),
            journal=str(journal.path),
            trip=trip.text() if trip and trip.signal else "",
        )
        running = await self.world.fork_server.start(role, self.installation.environment(options), log)
        process = Process(role, running, journal, log)
        self.processes.append(process)
        return process

    async def post(self, path: str, body: object, *, method: str = "POST", key: str | None = None) -> asyncio.StreamReader:
        """Sends a request to the API on trial once it serves, with an idempotency key if one is given; where its answer will come."""
        reader, writer = await self.until(self._connected, "the API to serve")
        data = orjson.dumps(body)
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {len(data)}"]
        lines += [f"Authorization: Bearer {self.token}", *([] if key is None else [f"Idempotency-Key: {key}"])]
        writer.write("\r\n".join([*lines, "", ""]).encode() + data)
        await writer.drain()
        self.requests.append(writer)
        return reader

    async def serves(self) -> None:
        """Returns once the API on trial serves."""
        _, writer = await self.until(self._connected, "the API to serve")
        writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection("127.0.0.1", self.installation.port)
        return None

    async def trips(self, process: Process) -> None:
        """Returns once the process was killed or is frozen, or an answer was lost; lets the job go on meanwhile when it is seen running."""

        async def tripped() -> bool:
            if self.loss is not None:
                await self.go_when_running()
                return self.loss.dropped
            assert not process.ended or process.tripped, f"it ended with {process.running.returncode}\n{await self.told()}"
            await self.go_when_running()
            return process.tripped

        await self.until(tripped, "the seam to be passed")

    async def go_when_running(self) -> None:
        """Lets the container go on once its execution is known to run and its first half is stored, if it is to end by itself."""
        for row in await self.executions() if self.ends_by_itself else ():
            if row.status is Status.RUNNING and (await self.store.log_head(row.id)).stdout == len(HALF):
                (self.witness / "go").touch()

    async def wake(self, process: Process) -> None:
        """Wakes a frozen process, and returns when it has done all that it would still do for what it had."""
        process.running.send_signal(signal.SIGCONT)

        async def idle() -> bool:
            words = [word for word, _ in process.journal.read()]
            after = words[words.index("woken") :] if "woken" in words else []
            state = next((word for word in reversed(words) if word in {"working", "idle"}), "idle")
            return process.ended or (any(word not in {"woken", "working"} for word in after) and state == "idle")

        await self.until(idle, "the woken process to be done")

    # what there is

    async def enqueue(self, image: str = IMAGE, *, at: int | None = None, **rules: Any) -> Enqueued:
        """The job on trial, due at ``at`` (None: now); ``rules`` are fields of its spec."""
        schedule = Schedule() if at is None else Schedule(ScheduleKind.AT, at)
        return await self.services.submissions.enqueue("trial", Spec(image, COMMAND, **rules), schedule)

    async def stop(self) -> None:
        """Stops every job."""
        for job in await self.store.jobs_of("trial", 10):
            await self.services.stops.stop_job("trial", job.id)

    async def executions(self) -> list[Execution]:
        """All executions, the first attempt first."""
        found: list[Execution] = []
        for job in await self.store.jobs_of("trial", 10):
            found += reversed(await self.store.executions_of(job.id, 10))
        return found

    async def row(self) -> Execution:
        """The one execution."""
        (execution,) = await self.executions()
        return execution

    async def log(self, stream: int) -> bytes:
        """What is stored of one stream, of all executions."""
        return b"".join([await self._log(row.id, stream) for row in await self.executions()])

    async def _log(self, id: str, stream: int) -> bytes:
        return b"".join(piece.data for piece in (await self.store.read_log(id, 0, 1 << 30, stream)).pieces)

    async def events(self, kind: EventKind) -> int:
        """How often this has happened, by the records."""
        found = await self.store.events(Source.RECORDED, Span(at(0), at(self.clock.now() + 1)), 1000)
        return sum(event.kind is kind for event in found)

    @property
    def starts(self) -> int:
        """How often the container started, by the witness."""
        path = self.witness / "starts"
        return path.read_text().count("start") if path.exists() else 0

    @property
    def ready(self) -> bool:
        """Whether the container waits."""
        return (self.witness / "ready").exists()

    async def engine_services(self) -> list[dict[str, Any]]:
        """This installation's services on the engine."""
        return await asyncio.to_thread(self.world.docker.services, filters={"label": f"fastlane.installation={self.name}"})

    def queued(self) -> dict[str, int]:
        """The keys of the queue that hold entries, and how many."""
        prefix = f"{{fl:{self.name}:v1}}:"
        found = {}
        with self.world.redis.client() as client:
            for key in client.keys(f"{prefix.replace('{', '[{]')}*"):
                name = key.removeprefix(prefix)
                if name == "entries":
                    found[name] = client.hlen(key)
                elif name == "leases" or name.startswith(("timed:", "ready:")):
                    found[name] = client.zcard(key)
                elif name.startswith("slots:"):
                    found[name] = client.scard(key)
        return found

    # the end

    async def over(self) -> None:
        """Returns when all is final, settled and cleaned, and nothing is left in the queue or on the engine."""

        async def over() -> bool:
            assert not any((process.running.returncode or 0) > 0 for process in self.processes), await self.told()
            rows = await self.executions()
            for job in await self.store.jobs_of("trial", 10):
                if job.next_tick is not None:
                    return False
            await self.go_when_running()
            if not all(row.status.final and row.settled and row.cleaned for row in rows):
                return False
            return not self.queued() and not await self.engine_services()

        await self.until(over, "everything to be over")

    async def until(self, condition: Callable[[], Awaitable[T]], what: str, patience: float = PATIENCE) -> T:
        """What the condition answers once it is true; fails with all that is known when that does not come."""
        try:
            return await until(condition, what, patience)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{await self.told()}") from None

    async def told(self) -> str:
        """All that is known, for whoever reads a failure."""
        rows = [replace(row, spec=Spec("")) for row in await self.executions()]
        services = [service["Spec"]["Name"] for service in await self.engine_services()]
        parts = [f"{self.folder} is kept: starts {self.starts}, queue {self.queued()}, services {services}"]
        parts += [repr(row) for row in rows]
        if self.loss is not None:
            parts.append(f"lost answer: {self.loss.dropped} {' '.join(self.loss.seen[-60:])}")
        for number, process in enumerate(self.processes):
            parts.append(f"--- process {number}, exit {process.running.returncode}, frozen {process.frozen}")
            parts.append(" ".join(f"{word}{'' if answer is None else f'={answer}'}" for word, answer in process.journal.read()[-60:]))
            parts.append(process.log.read_text()[-3000:])
        return "\n".join(parts)


LANES = [Lane(TICKS, None), Lane(POOL, 10)]
