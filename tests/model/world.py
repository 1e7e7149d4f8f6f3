"""What exists in a simulation: one store, one queue, two hosts, API replicas and workers, and what may be done to them."""

import asyncio
import random
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastlane import app
from fastlane.queue.port import TICKS
from fastlane.queue.redis.queue import RedisQueue
from fastlane.queue.redis.scripts import Keys as KeyNames
from fastlane.scheduler.worker import Worker
from fastlane.services.assembly import Services
from tests.model.checks import Witness
from tests.model.clients import Clients
from tests.model.loop import Pulse, Stuck
from tests.model.places import BEGINNING, HOSTS, LIMITS, POOLS, SETTINGS
from tests.model.side import Hints, Keys
from tests.model.wire import EnginePort, Node, QueuePort, StorePort, Wire
from tests.support.clock import FakeClock
from tests.support.defaults import ports_of
from tests.support.instant import InstantExecutor, Run
from tests.support.services import services_of
from tests.support.stored_data import name_store
from tests.support.stores import new_store, store_url

REPLICAS = 2
LOST = 0.15
"""The share of answers to requests with a key that get lost: nothing follows from the loss of others."""
FAR = 30_000
"""Milliseconds ahead from which on the end does not wait for a tick."""
PATIENCE = 60.0
"""Seconds for a real call: a machine may be busy, which is no fault of what is tested."""


class World:
    """All of it: ``workers``, ``replicas`` of the API, ``engines`` with what runs on them, ``clients``, and the ``witness`` of it all."""

    def __init__(self, folder: Path, redis: Path, installation: str, seed: object) -> None:
        self.seed = seed
        self.random = random.Random(f"{seed} world")
        self.pulse = Pulse()
        self.clock = FakeClock(BEGINNING)
        self.wire = Wire(self.clock, self.pulse)
        self.witness = Witness(self)
        self.wire.observe = self.witness.observe
        self.wire.slow = self.random.choice((0.0, 0.0, 2.0, 8.0))
        self.wire.stall = lambda node: self.pause(node, self.random.choice((1.0, 9.0, 20.0)))
        self.wire.die = self.kill
        self.wire.meddle = self.meddle
        self.wire.flush = self.flush_just_now
        self.store_url = store_url(folder)
        self.store = new_store(self.store_url, busy_timeout=PATIENCE)
        self.names = KeyNames(installation)
        self.installation = installation
        self.redis = redis
        self.hints = Hints(redis, self.names.channel)
        self.keys = Keys(redis, self.names.generation.removesuffix("gen").replace("{", "\\{") + "*")
        self.run_id = "run-1"
        self.remembered: dict[bytes, bytes] | None = None
        self.deaf_until = 0
        self.engines: dict[str, dict[str, Run]] = {}
        self.down: set[str] = set()
        self.ever_down: set[str] = set()
        self.absences: dict[str, list[tuple[int, int]]] = {}
        """From when to when each host was away (milliseconds); the last one may go on."""
        self.ending = False
        self.workers: list[Employee] = []
        self.replicas: list[Replica] = []
        self.clients = Clients(self)
        self._number = 0
        self._queues: list[RedisQueue] = []
        self._calls: set[asyncio.Task[None]] = set()
        self.pulse.on_quiet = self._quiet

    # beginning and end

    async def open(self) -> None:
        self.pulse.busy += 1
        await self.store.open()
        name_store(self.store_url, "model")  # the only thing in it that is random, and a seed must replay
        self.pulse.busy -= 1
        for _ in range(REPLICAS):
            self.replicas.append(await self._replica())

    async def close(self) -> None:
        for employee in self.workers:
            employee.kill()
        for replica in self.replicas:
            replica.node.kill()
            await replica.services.outbox.close()
        tasks = [*(employee.task for employee in self.workers), *self._calls]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.pulse.busy += 1
        for queue in self._queues:
            await queue.close()
        await self.store.close()  # the loop's own end waits for threads too: from here on time stands still
        self.hints.close()
        self.keys.flush()

    # processes

    async def hire(self) -> None:
        """One more worker."""
        node, queue = await self._node("worker")
        executor = InstantExecutor(HOSTS, self.clock, witness=self.witness, world=self.engines)  # type: ignore[arg-type]
        for host in self.down:
            executor.down(host)
        self.workers.append(Employee(node, executor, StorePort(node, self.store), queue))

    async def replace(self, replica: "Replica") -> None:
        """A replica of the API dies with all that it had in hand; another takes its place."""
        replica.node.kill()
        place = self.replicas.index(replica)
        self.replicas[place] = await self._replica()
        await replica.services.outbox.close()

    async def _replica(self) -> "Replica":
        node, queue = await self._node("api")
        return Replica(node, services_of(StorePort(node, self.store), queue, node.clock, POOLS))

    def loses(self) -> bool:
        """Whether an answer does not reach its client."""
        return not self.wire.brisk and self.random.random() < LOST

    def replica(self) -> "Replica":
        """One that takes a client's call: a balancer asks those that answer."""
        answering = [replica for replica in self.replicas if replica.node.alive and not replica.node.paused]
        return self.random.choice(answering or self.replicas)

    async def _node(self, kind: str) -> tuple[Node, QueuePort]:
        self._number += 1
        node = Node(f"{kind}-{self._number}", self.wire, self.seed)
        node.offset = self.wire.queue_offset
        real = RedisQueue(f"unix://{self.redis}", self.installation, deadline=PATIENCE, time=self.wire.queue_now)
        await real.open()
        self._queues.append(real)
        return node, QueuePort(node, real, lambda: self.run_id)

    def kill(self, node: Node) -> None:
        """kill -9; a replica of the API is replaced at once."""
        node.kill()
        for employee in self.workers:
            if employee.node is node:
                employee.kill()
        for replica in self.replicas:
            if replica.node is node:
                asyncio.get_running_loop().call_soon(self.begin, self.replace(replica))

    def pause(self, node: Node, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after that time."""
        if not self.ending:
            node.pause()
            self.later(seconds, node.resume)

    def worker(self, number: int) -> "Employee | None":
        """One of those that are alive."""
        alive = [employee for employee in self.workers if employee.node.alive]
        return alive[number % len(alive)] if alive else None

    @property
    def nodes(self) -> list[Node]:
        """All that are alive."""
        return [node for node in (one.node for one in (*self.replicas, *self.workers)) if node.alive]

    def later(self, seconds: float, call: Any) -> None:
        """Does something after that time, unless the simulation has ended."""

        async def wait() -> None:
            await self.clock.sleep(seconds)
            call()

        self._beside(wait(), "timer")

    def begin(self, call: Coroutine[Any, Any, None]) -> None:
        """A client's call, which goes on beside the program."""
        self._beside(call, "call")

    def _beside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._calls.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._calls.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.witness.complain(f"a call raised {task.exception()!r}")

    # what clients do

    def meddle(self, node: Node, what: str, id: str) -> None:
        """A client does something to a job, or to an execution's, while a node stands still amid something about it."""
        row = self.witness.rows.get(id)
        jobs = self.witness.jobs
        job = jobs.get(row.job_id if row else id) or next(reversed(jobs.values()), None)
        if job is not None:
            self.pause(node, self.random.choice((0.2, 1.0, 3.0)))
            self.begin(self.clients.meddle(what, job))

    def stop_endless(self) -> None:
        """What would go on forever is stopped."""
        far = self.clock.now() + FAR
        for job in list(self.witness.jobs.values()):
            if job.next_tick is not None and (job.schedule.cron is not None or job.next_tick > far):
                self.begin(self.clients.stop(job.task_id, job.id))

    def release(self, number: int) -> None:
        """One of the commands that hold goes on."""
        running = self.running()
        if running:
            self.let_go(running[number % len(running)].order.execution_id)

    def let_go(self, execution_id: str) -> None:
        """The command of this execution goes on."""
        for run in self.running():
            if run.order.execution_id == execution_id:
                self.workers[0].executor.release(execution_id)
                return

    def started(self, run: Run) -> None:
        """A command began: it holds for as long as its first word says, or until somebody lets it go."""
        words = run.order.command or ("",)
        if words[0].startswith("for:"):
            self.later(float(words[0].removeprefix("for:")), lambda: self.let_go(run.order.execution_id))

    def running(self) -> list[Run]:
        """What runs on the hosts."""
        return [run for host in HOSTS for run in self.engines.get(host, {}).values() if run.running]

    # what befalls them

    def host_down(self, host: str) -> None:
        if host not in self.down:
            self.down.add(host)
            self.ever_down.add(host)
            self.absences.setdefault(host, []).append((self.clock.now(), sys.maxsize))
            for employee in self.workers:
                employee.executor.down(host)

    def host_up(self, host: str) -> None:
        if host in self.down:
            self.down.discard(host)
            self.absences[host][-1] = (self.absences[host][-1][0], self.clock.now())
            for employee in self.workers:
                employee.executor.up(host)

    def was_lost(self, host: str, start: int) -> bool:
        """Whether a host was away after this moment for so long that workers no longer waited for it."""
        return any(until - max(since, start) >= LIMITS.host_lost_after * 1000 for since, until in self.absences.get(host, ()))

    async def lose_queue(self, state: "dict[bytes, bytes] | None", *, restarted: bool) -> None:
        """Redis has lost its data, or has those of an earlier moment; ``restarted``: another process of it answers from now on."""
        async with self.wire.lock:
            if state is None:
                self.keys.flush()
            else:
                self.keys.put_back(state)
            if restarted:
                self.new_server()
            self.witness.queue_lost()

    def flush_just_now(self, node: Node) -> None:
        """The queue's data are lost while a node stands still in the middle of something."""
        self.pause(node, self.random.choice((1.0, 3.0, 9.0)))
        self.begin(self.lose_queue(None, restarted=self.random.random() < 0.5))

    def new_server(self) -> None:
        """Another process of Redis answers from here on."""
        self.run_id = f"run-{int(self.run_id.removeprefix('run-')) + 1}"

    def clocks_right(self) -> None:
        """All clocks show the queue's time again."""
        for node in self.nodes:
            node.offset = self.wire.queue_offset

    async def calm(self) -> None:
        """The quiet end begins: no more faults, everybody works, nothing holds."""
        self.ending = True
        self.wire.faults.clear()
        self.wire.outages.clear()
        self.wire.storms.clear()
        self.deaf_until = 0
        for node in self.nodes:
            if node.paused:
                node.resume()
        self.clocks_right()
        for host in sorted(self.down):
            self.host_up(host)
        while len([employee for employee in self.workers if employee.node.alive and not employee.leaving]) < 2:
            await self.hire()

    async def left(self) -> list[str]:
        """What is still to be done, in words."""
        found = [f"pool {name} is paused" for name in self.witness.pauses.names]
        found += ["a client waits for its answer" for task in self._calls if task.get_name() == "call"]
        found += [f"job {job.id} has a tick at {job.next_tick}" for job in self.witness.jobs.values() if job.next_tick is not None]
        found += self.witness.book.unfilled()
        for row in self.witness.rows.values():
            if not (row.status.final and row.settled and row.cleaned):
                found.append(f"execution {row.id} is {row.status}, settled: {row.settled}, cleaned: {row.cleaned}")
        found += [f"service {service} is on {host}" for host, services in self.engines.items() for service in services]
        return found or await self._building() or [f"key {name} is in the queue" for name in self.leftover_keys()]

    async def _building(self) -> list[str]:
        """Whether somebody builds the queue anew, or will."""
        self.pulse.busy += 1
        stored = await self.store.generation()
        self.pulse.busy -= 1
        held = stored.builder is None and self.keys.get(self.names.generation) == str(stored.number) and stored.run_id == self.run_id
        return [] if held else [f"the queue is not the store's: {stored}"]

    def leftover_keys(self) -> list[str]:
        """The keys that a queue without entries has not."""
        names = self.names
        kept = {
            names.generation,
            names.lanes,
            names.workers,
            names.reports,
            names.check,
            names.pauses,
            names.store,
            names.generation.removesuffix("gen") + "arrivals",
        }
        return [name for name in self.keys.names() if name not in kept]

    async def queue_counts(self) -> Any:
        """What the queue counts."""
        return await self._queues[0].counts([TICKS, *(pool.name for pool in POOLS)])

    def _quiet(self) -> None:
        if self.wire.dirty:
            self.wire.dirty = False
            for message in self.hints.drain():
                for node in self.nodes:
                    if self.wire.brisk or (self.clock.now() >= self.deaf_until and node.random.random() >= node.deafness):
                        node.hear(message)
        elif not self.clock.step():
            raise Stuck


@dataclass
class Replica:
    """A process of the API."""

    node: Node
    services: Services


class Employee:
    """A worker and what it works with."""

    def __init__(self, node: Node, executor: InstantExecutor, store: StorePort, queue: QueuePort) -> None:
        self.node = node
        self.executor = executor
        self.leaving = False
        ports = ports_of(store, queue, node.clock, executor=EnginePort(node, executor), pools=POOLS, owner=app.worker_id())
        self.worker = Worker(ports, SETTINGS)
        self.task = asyncio.create_task(self.worker.run(), name=node.name)

    def kill(self) -> None:
        """kill -9: what its tasks still do in their ``finally`` reaches nothing."""
        self.node.kill()
        self.task.cancel()

    def dismiss(self) -> None:
        """SIGTERM: it hands its leases over, and is gone then."""
        self.leaving = True
        self.task.cancel()
        self.task.add_done_callback(lambda _: self.node.kill())
