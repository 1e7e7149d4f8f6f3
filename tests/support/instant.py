"""The second executor: it runs nothing, and ends each activated service at once. It obeys the suite that the real one obeys.

An order's command is a script of its own, words that are read from left to right:

- ``("exit", "3")`` ends with that exit code; ``("exit", "7,0")`` with 7 in the first attempt and with 0 in each later one;
- ``("out", "text")`` and ``("err", "text")`` write to stdout and stderr; ``("hex", "ff00")`` writes those bytes to stdout;
- ``("lines", "300", "10")`` writes 300 lines (``line``), one each 10 milliseconds of real time, every third to stderr;
- ``("hold",)`` runs until ``release(execution_id)``, or a stop, which ends it with exit code 143;
- ``("end", "oom")`` ends in one of the ways of ``TaskEnd`` (without an exit code but for ``oom`` and ``killed``: 137).

Words may follow each other: ``("out", "one\\n", "hold", "err", "two\\n", "exit", "3")``. Anything else, and no command at all, ends
with exit code 0 and an empty log.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fastlane.clock import Clock, SystemClock
from fastlane.errors import FastlaneError, HostDown, ImageRefused, OrderRefused, ServiceGone
from fastlane.executors.port import Activation, ClusterSnapshot, EngineService, EngineTask, Image, Order, Phase, ServiceTemplate, TaskEnd
from fastlane.models.host import EngineIdentity, HostView
from fastlane.models.image import ImageRemoval, pulled_name
from fastlane.models.job import Usage
from fastlane.models.job_source import LabelledService
from fastlane.models.log import STDERR, STDOUT, Mark, Piece, Portion
from fastlane.models.pool import KnownHost, Pull

LARGEST_PIECE = 16 * 1024
STOPPED_CODE = 143
LINE = b"%079d\n" % 0


def line(attempt: int, number: int) -> str:
    """One of the lines that an attempt writes in time."""
    return f"{attempt}:{number}\n"


@dataclass
class Run:
    """What a service of ours does once it is activated."""

    id: str
    order: Order
    created_at: int
    image: str = ""
    activated: bool = False
    stopping: bool = False
    stop_why: str = ""
    removed: bool = False
    fresh: bool = False
    task: EngineTask | None = None
    log: list[Piece] = field(default_factory=list)
    words: Iterator[str] = field(default_factory=lambda: iter(()))
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def running(self) -> bool:
        return self.task is not None and self.task.phase is Phase.RUNNING


class InstantExecutor:
    """An executor in memory. ``witness`` (a list, or a file that gets lines) is told the id of each execution that starts; several
    executors on one ``world`` share their services, as several workers share an engine."""

    def __init__(
        self,
        hosts: Sequence[str] = ("unix:///instant",),
        clock: Clock | None = None,
        *,
        witness: list[str] | Path | None = None,
        missing: frozenset[str] = frozenset(),
        world: dict[str, dict[str, Run]] | None = None,
    ) -> None:
        self.world: dict[str, dict[str, Run]] = {} if world is None else world
        for host in hosts:
            self.world.setdefault(host, {})
        self._names = tuple(hosts)
        self._clock = clock or SystemClock()
        self._witness: list[str] | Path = [] if witness is None else witness
        self._missing = missing
        self._down: dict[str, tuple[str, int]] = {}
        self._expected: dict[str, EngineIdentity | None] = {}
        self.engines: dict[str, EngineIdentity] = {}
        """Which engine answers at an address; without one, no worker notes any."""
        self._listeners: list[Callable[[], None]] = []
        self.refusals: list[FastlaneError] = []
        """What the next parks raise, one each."""
        self.images: dict[str, dict[str, bool]] = {}
        """The images of each host that were pulled, and whether someone gave them a name there."""
        self.used: dict[str, list[Usage | FastlaneError]] = {}
        """What the container of each execution has used, sample by sample; the last one stays."""
        self.labelled_services: dict[str, dict[str, LabelledService]] = {host: {} for host in hosts}
        """The other services of each host's swarm, by name, as a manager lists them."""
        self._watchers: list[Callable[[], None]] = []
        self.tags: dict[str, str] = {}
        """What a tag names now, where that is not its own."""
        self.deployed: dict[str, dict[str, ServiceTemplate]] = {}
        """The services of each host's swarm as whose containers jobs may run, by name."""

    # what a test does to it

    def down(self, host: str, reason: str = "refused the connection") -> None:
        """The host cannot be reached from here on."""
        self._down[host] = (reason, self._clock.now())
        self._changed()

    def up(self, host: str) -> None:
        """The host is back, with all that ran there."""
        del self._down[host]
        self._changed()

    def release(self, execution_id: str) -> None:
        """What holds in this execution goes on with the rest of its command."""
        for run in self._runs():
            if run.order.execution_id == execution_id and run.running:
                self._proceed(run)

    def write_lines(self, part: int, parts: int) -> None:
        """Of all that runs, one in ``parts`` writes a line; ``part`` says which."""
        for run in [run for run in self._runs() if run.running][part::parts]:
            self._write(run, STDOUT, LINE)

    @property
    def starts(self) -> list[str]:
        """The executions that started, in order, once for each start."""
        return self._witness.read_text().split() if isinstance(self._witness, Path) else list(self._witness)

    def tell_of_services(self) -> None:
        """Tells who watches that a service has changed."""
        for watcher in self._watchers:
            watcher()

    # the port

    async def open(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to end."""

    def subscribe(self, on_change: Callable[[], None]) -> None:
        self._listeners.append(on_change)

    def hosts(self) -> Sequence[HostView]:
        return [self._view(name) for name in self._names]

    async def use_hosts(self, hosts: Sequence[KnownHost]) -> None:
        self._names = tuple(known.endpoint.address for known in hosts)
        self._expected = {known.endpoint.address: known.expected for known in hosts}
        for name in self._names:
            self.world.setdefault(name, {})
        self._changed()

    async def labelled(self, host: str) -> Sequence[LabelledService]:
        self._services(host)
        return list(self.labelled_services[host].values())

    async def watch_services(self, host: str, on_change: Callable[[], None]) -> None:
        self._services(host)
        self._watchers.append(on_change)
        await asyncio.Event().wait()

    async def lacks(self, host: str, service_id: str) -> bool:
        self._services(host)
        return service_id not in {service.id for service in self.labelled_services[host].values()}

    async def resolve(self, host: str, image: str, pull: Pull) -> Image:
        self._services(host)
        if image in self._missing:
            raise ImageRefused(f"manifest for {image} not found")
        if "sha256:" in image:
            return Image(image, image.rpartition("@")[2])
        digest = "sha256:" + hashlib.sha256(self.tags.get(image, image).encode()).hexdigest()
        return Image(f"{image}@{digest}", digest)

    async def service_template(self, host: str, name: str) -> ServiceTemplate:
        self._services(host)
        if name not in self.deployed.get(host, {}):
            raise ServiceGone(f"service {name} not found")
        return self.deployed[host][name]

    async def park(self, host: str, order: Order, image: Image) -> str:
        services = self._services(host)
        if self.refusals:
            raise self.refusals.pop(0)
        if " " in image.reference:
            raise OrderRefused(f'"{image.reference}" is not a valid repository/tag')
        id = f"service-{order.execution_id}-{order.epoch}"
        services.setdefault(id, Run(id, order, self._clock.now(), image=image.reference))
        return id

    async def activate(self, host: str, service_id: str) -> Activation:
        run = self._run(host, service_id)
        if run.activated:
            return Activation.ALREADY
        if run.stopping:
            return Activation.STOPPED
        run.activated = True
        if (pulled := pulled_name(run.image)) is not None:
            self.images.setdefault(host, {}).setdefault(pulled, False)
        self._start(run)
        run.fresh = True
        return Activation.STARTED

    def just_activated(self, host: str, service_id: str) -> EngineService | None:
        run = None if host in self._down else self.world.get(host, {}).get(service_id)
        if run is None or not run.fresh:
            return None
        run.fresh = False
        return self._service_view(run, (run.task,) if run.task else ())

    async def stop(self, host: str, service_id: str, why: str = "") -> None:
        run = self._run(host, service_id)
        run.stop_why = run.stop_why if run.stopping else why
        run.stopping = True
        if run.running:
            self._end(run, TaskEnd.SHUTDOWN, STOPPED_CODE)

    async def inspect(self, host: str, service_id: str) -> EngineService:
        run = self._run(host, service_id)
        return self._service_view(run, (run.task,) if run.task else ())

    async def detail(self, host: str, task: EngineTask) -> EngineTask | None:
        self._services(host)
        return task

    async def snapshot(self, watched: Collection[str] | None = None) -> ClusterSnapshot:
        hosts = [name for name in self._names if name not in self._down]
        return ClusterSnapshot({host: {run.id: (run.task,) for run in self.world[host].values() if run.task} for host in hosts})

    async def services(self, host: str) -> Sequence[EngineService]:
        return [self._service_view(run, ()) for run in self._services(host).values()]

    async def remove(self, host: str, service_id: str) -> None:
        run = self._services(host).pop(service_id, None)
        if run is not None:
            run.removed = True

    async def has_image(self, host: str, reference: str) -> bool:
        self._services(host)
        return reference in self.images.get(host, {})

    async def remove_image(self, host: str, reference: str) -> ImageRemoval:
        runs = self._services(host).values()
        if reference not in self.images.get(host, {}):
            return ImageRemoval.GONE
        if any(pulled_name(run.image) == reference for run in runs):
            return ImageRemoval.IN_USE
        if self.images[host][reference]:
            return ImageRemoval.NAMED
        del self.images[host][reference]
        return ImageRemoval.REMOVED

    async def usage(self, host: str, task: EngineTask) -> Usage | None:
        samples = self.used.get(self._run(host, task.service_id).order.execution_id, [])
        sample = samples.pop(0) if len(samples) > 1 else next(iter(samples), None)
        if isinstance(sample, FastlaneError):
            raise sample
        return sample

    async def logs(self, host: str, task_id: str, marks: Mapping[int, Mark], *, follow: bool) -> AsyncGenerator[Portion, None]:
        run = self._services(host).get(task_id.removeprefix("task-"))
        if run is None or run.task is None:
            raise ServiceGone(f"task {task_id} not found")
        read, reached = 0, dict(marks)
        while True:
            run.grown.clear()
            while read < len(run.log):
                piece = run.log[read]
                read += 1
                mark = marks.get(piece.stream)
                if mark is None or piece.time > mark.time:
                    reached[piece.stream] = Mark(piece.time, 1)
                    yield Portion((piece,), dict(reached))
            if not follow:
                return
            await run.grown.wait()

    # how it does it

    def _view(self, name: str) -> HostView:
        reason, since = self._down.get(name, (None, None))
        running = sum(run.running or not (run.activated or run.stopping) for run in self.world[name].values())  # parked ones count
        found, expected = self.engines.get(name), self._expected.get(name)
        if reason is None and expected is not None and found != expected:
            reason, since = "answers as another engine than before", self._clock.now()
        swarm, engine = (found.swarm_id, found.engine_id) if found else (f"swarm of {name}", None)
        return HostView(name, usable=reason is None, reason=reason, since=since, swarm_id=swarm, running=running, engine_id=engine)

    def _services(self, host: str) -> dict[str, Run]:
        if host in self._down or host not in self._names:
            raise HostDown(f"{host} {self._down.get(host, ('is not a registered host', 0))[0]}")
        return self.world[host]

    def _run(self, host: str, service_id: str) -> Run:
        run = self._services(host).get(service_id)
        if run is None:
            raise ServiceGone(f"service {service_id} not found")
        return run

    def _runs(self) -> list[Run]:
        return [run for name in self._names for run in self.world[name].values()]

    def _service_view(self, run: Run, tasks: tuple[EngineTask, ...]) -> EngineService:
        return EngineService(run.id, run.order.execution_id, run.activated, run.stopping, run.created_at, tasks, run.stop_why)

    def _start(self, run: Run) -> None:
        if isinstance(self._witness, Path):
            with self._witness.open("a") as file:
                file.write(f"{run.order.execution_id}\n")
        else:
            self._witness.append(run.order.execution_id)
        now = self._clock.now()
        run.task = EngineTask(
            id=f"task-{run.id}",
            service_id=run.id,
            phase=Phase.RUNNING,
            state="running",
            container_id=f"container-{run.id}",
            node_id="node",
            changed_at=now,
            started_at=now,
        )
        run.words = iter(run.order.command or ())
        self._proceed(run)

    def _proceed(self, run: Run) -> None:
        for word in run.words:
            if word == "hold":
                return
            if word in {"out", "err", "hex"}:
                text = next(run.words)
                self._write(run, STDERR if word == "err" else STDOUT, bytes.fromhex(text) if word == "hex" else text.encode())
            elif word == "lines":
                return self._write_in_time(run, 0, int(next(run.words)), int(next(run.words)) / 1000)
            elif word == "exit":
                codes = next(run.words).split(",")
                return self._end(run, TaskEnd.EXITED, int(codes[min(run.order.attempt, len(codes)) - 1]))
            elif word == "end":
                end = TaskEnd(next(run.words))
                return self._end(run, end, 137 if end in {TaskEnd.OOM, TaskEnd.KILLED} else None)
        return self._end(run, TaskEnd.EXITED, 0)

    def _write_in_time(self, run: Run, number: int, count: int, pause: float) -> None:
        if number == count:
            return self._proceed(run)
        if run.running:
            self._write(run, STDOUT if number % 3 else STDERR, line(run.order.attempt, number).encode())
            asyncio.get_running_loop().call_later(pause, self._write_in_time, run, number + 1, count, pause)
        return None

    def _write(self, run: Run, stream: int, data: bytes) -> None:
        for start in range(0, len(data), LARGEST_PIECE):
            time = max(self._clock.now() * 1_000_000, run.log[-1].time + 1 if run.log else 0)
            run.log.append(Piece(stream, time, data[start : start + LARGEST_PIECE]))
        run.grown.set()

    def _end(self, run: Run, end: TaskEnd, code: int | None) -> None:
        assert run.task is not None
        state = {TaskEnd.SHUTDOWN: "shutdown", TaskEnd.IMAGE: "rejected", TaskEnd.REJECTED: "rejected"}.get(
            end, "failed" if code else "complete"
        )
        ran = end not in {TaskEnd.IMAGE, TaskEnd.REJECTED, TaskEnd.ENGINE}
        now = self._clock.now()
        run.task = replace(
            run.task,
            phase=Phase.ENDED,
            state=state,
            message=f"task: non-zero exit ({code})" if code else "finished",
            end=end,
            exit_code=code,
            changed_at=now,
            started_at=run.task.started_at if ran else None,
            finished_at=now,
        )

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()
