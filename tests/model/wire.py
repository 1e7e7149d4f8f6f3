"""What lies between a process and its ports, and how it fails: ``Node`` is one process, ``Port`` its way to the store, the queue or the
engines.

Every call passes the one wire, one at a time and in the order in which they come, so what happened has an order and a seed replays. A
node can be killed (none of its calls reaches anything any more), paused (its calls and its time wait, and go on late), and told that a
call fails before it is carried out, or that its answer is lost.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from fastlane.errors import HostDown, QueueDown, RegistryDown, StoreDown, TransientError
from fastlane.models.log import Portion
from fastlane.scheduler.worker import Worker
from tests.model.requests import LOOKED
from tests.support.clock import FakeClock
from tests.support.intercept import Call, Intercepted

DOWN: dict[str, type[TransientError]] = {"store": StoreDown, "queue": QueueDown, "engine": HostDown}
MEDDLING = ("stop", "put", "run", "retry", "pause", "resume", "delete", "pause_pool", "resume_pool")
"""What a client may do to a job just when a node stands still amid something about it."""
ANNOUNCED = 8
"""Of so many announcements one is carried out: they are many, and nothing depends on them."""

PACES = ((0.2, 0.05), (0.3, 0.5), (0.1, 2.0))
"""How often a node's calls linger on the wire, and for how many seconds at most: a node has one of these."""

LOOK: ContextVar[tuple[str, int]] = ContextVar("look", default=("", -1))
"""The execution at whose row a task looked last, and the event of that look."""

Observe = Callable[["Node", str, tuple[Any, ...], Any], None]


@dataclass(frozen=True)
class Launch:
    """A start: who does it, the event of the queue's word that it may (None: it did not ask), the event of its look at the row just before
    (that of the start's beginning if it did not look), and its moment by the node's clock."""

    node: str
    confirmed: int | None
    looked: int
    moment: int


class Wire:
    """Carries calls one after another, and tells ``observe`` of each that was carried out. ``events`` numbers what happens;
    ``launch`` is the start that is being carried out. ``faults`` are what befalls the next call of a point
    (``store.bind``): ``fail``, ``lose``, ``stall`` (its node stands still just before), ``die`` and ``die-after``, and the names of
    ``MEDDLING``, with ``-after`` too (its node stands still, and a client does something to what it is about)."""

    def __init__(self, clock: FakeClock, pulse: Any) -> None:
        self.clock = clock
        self.pulse = pulse
        self.lock = asyncio.Lock()
        self.observe: Observe = lambda *_: None
        self.queue_offset = 0
        self.outages: dict[str, int] = {}
        self.storms: dict[str, int] = {}
        self.faults: dict[str, str] = {}
        self.stall: Callable[[Node], None] = lambda _: None
        self.die: Callable[[Node], None] = lambda _: None
        self.flush: Callable[[Node], None] = lambda _: None
        self.meddle: Callable[[Node, str, str], None] = lambda *_: None
        self.dirty = False
        self.brisk = False
        self.slow = 0.0
        self.events = 0
        self.launch = Launch("", None, 0, 0)
        self.trace: list[tuple[int, str, str, object]] = []

    def queue_now(self) -> int:
        """The queue's moment."""
        return self.clock.now() + self.queue_offset

    def out(self, port: str) -> bool:
        """Whether nobody reaches this port now."""
        return self.clock.now() < self.outages.get(port, 0)

    def stormy(self, port: str) -> bool:
        """Whether calls of this port fail at random now."""
        return self.clock.now() < self.storms.get(port, 0)


def about(arguments: tuple[Any, ...]) -> str:
    """The id of the job or execution that a call is about; empty when it is about none."""
    for value in arguments:
        if isinstance(value, str) and value.startswith("service-"):
            return value.removeprefix("service-").rpartition("-")[0]
        if isinstance(value, str) and len(value) == 36:
            return value
        if hasattr(value, "execution_id"):
            return str(value.execution_id)
        if isinstance(value, list) and len(value) == 1:
            return about(tuple(value))
        if len(str(getattr(value, "id", ""))) == 36:
            return str(value.id)
    return ""


class NodeClock:
    """A node's clock: off by so many milliseconds, and standing still while the node is paused."""

    def __init__(self, node: "Node", clock: FakeClock) -> None:
        self._node = node
        self._clock = clock

    def now(self) -> int:
        return self._clock.now() + self._node.offset

    def elapsed(self) -> float:
        return self._clock.elapsed()

    async def sleep(self, seconds: float) -> None:
        await self._node.awake()
        await self._clock.sleep(seconds)
        await self._node.awake()


class Node:
    """One process. ``offset`` (milliseconds) is what its clock is off by; ``confirmed`` has the event of the queue's last word about a
    start."""

    def __init__(self, name: str, wire: Wire, seed: object) -> None:
        self.name = name
        self.wire = wire
        self.random = random.Random(f"{seed} {name}")
        self.alive = True
        self.offset = 0
        self.clock = NodeClock(self, wire.clock)
        self.confirmed: dict[str, tuple[int, int]] = {}
        self._going = asyncio.Event()
        self._going.set()
        self._hints: list[tuple[Callable[..., None], tuple[str, ...]]] = []
        self._ears: list[tuple[Callable[[], None], Callable[[str], None]]] = []
        self._under_way: dict[asyncio.Task[Any], list[int]] = {}
        self._announced = 0
        self.often, self.longest = self.random.choice(PACES)
        self.deafness = self.random.choice((0.0, 0.05, 0.5))

    @property
    def paused(self) -> bool:
        """Whether it stands still."""
        return not self._going.is_set()

    def kill(self) -> None:
        """From here on nothing that it does reaches anything."""
        self.alive = False
        for task, begun in self._under_way.items():
            if not begun:
                task.cancel()
        self._going.set()

    def pause(self) -> None:
        """It stands still: calls that were sent are carried out, their answers wait, and so does everything else."""
        self._going.clear()

    def resume(self) -> None:
        """It goes on, late."""
        self._going.set()
        hints, self._hints = self._hints, []
        for call, words in hints:
            call(*words)

    def listen(self, on_wake: Callable[[], None], on_stop: Callable[[str], None]) -> None:
        """The queue's hints."""
        self._ears.append((on_wake, on_stop))

    def hear(self, message: str) -> None:
        """One hint of the queue."""
        if not self.alive:
            return
        word, _, id = message.partition(":")
        for on_wake, on_stop in self._ears:
            call: tuple[Callable[..., None], tuple[str, ...]] = (on_stop, (id,)) if word == "stop" else (on_wake, ())
            if self.paused:
                self._hints.append(call)
            else:
                call[0](*call[1])

    async def awake(self) -> None:
        """Returns when it does not stand still."""
        await self._going.wait()

    async def call(self, port: str, point: str, carry: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        """One call over the wire, with what may befall it."""
        if not self.alive:
            raise DOWN[port](f"{self.name} is dead")
        fault = self._fault(port, point)
        if fault in MEDDLING:
            self.wire.meddle(self, fault, about(arguments))
        begun: list[int] = []
        task = asyncio.create_task(self._send(port, point, carry, arguments, fault, begun), name=f"wire {point}")
        self._under_way[task] = begun
        task.add_done_callback(self._arrived)
        try:
            answer = await asyncio.shield(task)
        except asyncio.CancelledError:
            if not begun and (not self.alive or self.random.random() < 0.5):
                task.cancel()
            raise
        if point == "store.execution":
            LOOK.set((arguments[0], begun[-1]))
        elif point == "store.waiting":
            LOOKED.set(begun[-1])
        if fault == "die-after":
            self.wire.die(self)
        elif fault is not None and fault.removesuffix("-after") in MEDDLING and fault not in MEDDLING:
            self.wire.meddle(self, fault.removesuffix("-after"), about(arguments))
        await self._linger()
        if fault == "lose" or not self.alive:
            self._note(point, "answer lost")
            raise DOWN[port](f"the answer to {point} was lost")
        return answer

    def _arrived(self, task: asyncio.Task[Any]) -> None:
        self._under_way.pop(task, None)
        if not task.cancelled():
            task.exception()

    async def _send(
        self, port: str, point: str, carry: Callable[[], Any], arguments: tuple[Any, ...], fault: str | None, begun: list[int]
    ) -> Any:
        await self._linger()
        if port == "engine" and self.wire.slow:
            await self.wire.clock.sleep(self.wire.slow * self.random.random() ** 2)
        if fault == "stall":
            self.wire.stall(self)
        elif fault == "die":
            self.wire.die(self)
            await asyncio.sleep(0)  # its death cancels this call: before a real one begins, whose answer nobody would see
        elif fault == "flush":
            self.wire.flush(self)
        if fault == "fail" or self.wire.out(port):
            self._note(point, "not carried out")
            raise (RegistryDown if point == "engine.resolve" else DOWN[port])(f"{point} was not carried out")
        async with self.wire.lock:
            if not self.paused:
                return await self._carry(port, point, carry, arguments, begun)
        await self.awake()
        return await self._send(port, point, carry, arguments, fault, begun)

    async def _carry(self, port: str, point: str, carry: Callable[[], Any], arguments: tuple[Any, ...], begun: list[int]) -> Any:
        begun.append(self.wire.events)
        self.wire.pulse.busy += 1
        try:
            answer = await carry()
            await self.wire.pulse.rest()
        except Exception as error:
            self._note(point, error)
            raise
        finally:
            self.wire.pulse.busy -= 1
        if port == "queue":
            self.wire.dirty = True
        self._note(point, answer)
        self.wire.observe(self, point, arguments, answer)
        begun.append(self.wire.events)
        return answer

    async def _linger(self) -> None:
        """Some calls take a while, either way."""
        if self.wire.brisk:
            await self.wire.clock.sleep(0.01 * self.random.random())
        elif self.random.random() < self.often:
            await self.wire.clock.sleep(self.random.choice((0.001, 0.01, 0.1, 1)) * self.longest * self.random.random())
        await self.awake()

    def _fault(self, port: str, point: str) -> str | None:
        if point in self.wire.faults:
            return self.wire.faults.pop(point)
        if self.wire.stormy(port) and self.random.random() < 0.2:
            return self.random.choice(("fail", "lose"))
        return None

    def _note(self, point: str, answer: object) -> None:
        self.wire.trace.append((self.wire.clock.now(), self.name, point, answer))


class Port(Intercepted):
    """A node's way to a real part: every call goes over the wire. A new verb of a port needs nothing here."""

    def __init__(self, node: Node, port: str, real: Any) -> None:
        super().__init__(real, self._send)
        self._node = node
        self._real = real
        self._name = port

    async def _send(self, call: Call) -> Any:
        return await self._node.call(self._name, f"{self._name}.{call.name}", call.carry, call.arguments)


class StorePort(Port):
    """The way to the store and its other ports."""

    def __init__(self, node: Node, real: Any) -> None:
        super().__init__(node, "store", real)
        self.retention = Port(node, "store", real.retention)
        self.history = Port(node, "store", real.history)
        self.transfer = Port(node, "store", real.transfer)
        self.backfills = Port(node, "store", real.backfills)


class QueuePort(Port):
    """The way to the timed queue and its other ports, with hints that may be lost."""

    def __init__(self, node: Node, real: Any, run_id: Callable[[], str]) -> None:
        super().__init__(node, "queue", real)
        self.generation = GenerationPort(node, real.generation, run_id)
        self.reports = ReportsPort(node, "queue", real.reports)

    def subscribe(self, on_wake: Callable[[], None], on_stop: Callable[[str], None]) -> None:
        self._node.listen(on_wake, on_stop)

    async def renew(self, generation: str, owner: str, ids: Any, *, lease: int) -> Any:
        """A renewal that the loop of renewals did not ask for is a confirmation, just before what cannot be taken back."""
        task = asyncio.current_task()
        by_loop = task is not None and getattr(task.get_coro(), "__name__", "") == Worker._repeat.__name__
        point = "queue.renew" if by_loop else "queue.confirm"
        arguments = (generation, owner, ids, self._node.wire.events)
        return await self._node.call("queue", point, lambda: self._real.renew(generation, owner, ids, lease=lease), arguments)


class ReportsPort(Port):
    """The way to the workers' reports."""

    async def announce(self, report: Any, *, ttl: int) -> None:
        self._node._announced += 1
        if self._node._announced % ANNOUNCED == 1:
            await self._node.call("queue", "queue.announce", lambda: self._real.announce(report, ttl=ttl), (report,))


class GenerationPort(Port):
    """The way to the queue's generation, with the run id that the simulation says."""

    def __init__(self, node: Node, real: Any, run_id: Callable[[], str]) -> None:
        super().__init__(node, "queue", real)
        self._run_id = run_id

    async def identity(self) -> Any:
        async def asked() -> Any:
            found = await self._real.identity()
            return replace(found, run_id=self._run_id())

        return await self._node.call("queue", "queue.identity", asked, ())


class EnginePort(Port):
    """The way to the engines. A look takes a while, as with a real one; what a node knows of its hosts it knows without asking."""

    def __init__(self, node: Node, real: Any) -> None:
        super().__init__(node, "engine", real)

    async def activate(self, host: str, service_id: str) -> Any:
        """What starts late was confirmed early: the confirmation goes with the call."""
        node, execution_id = self._node, about((service_id,))
        asked, confirmed = node.confirmed.pop(execution_id, (0, None))
        id, read = LOOK.get()
        read = read if id == execution_id else -1
        launch = Launch(node.name, confirmed, read if read >= asked else node.wire.events, node.clock.now())

        async def carry() -> Any:
            self._node.wire.launch = launch
            return await self._real.activate(host, service_id)

        return await self._node.call("engine", "engine.activate", carry, (host, service_id))

    async def snapshot(self, watched: Any = None) -> Any:
        await self._node.clock.sleep(0.25)
        return await self._real.snapshot(watched)

    async def logs(self, host: str, task_id: str, marks: Any, *, follow: bool) -> AsyncGenerator[Portion, None]:
        async def open() -> Any:
            return self._real.logs(host, task_id, marks, follow=follow)

        portions = await self._node.call("engine", "engine.logs", open, (host, task_id))
        async with aclosing(portions):
            async for portion in portions:
                await self._node.awake()
                if self._node.wire.faults.pop("engine.piece", None) or self._node.wire.out("engine"):
                    raise HostDown("the log's stream was cut")
                yield portion
