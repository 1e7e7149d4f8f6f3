"""What exists in a simulation: one store, one queue, two hosts, API replicas and workers, and what may be done to them."""

import asyncio
import random
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from fastlane.errors import FastlaneError
from fastlane.models.cron import Cron
from fastlane.models.job import Spec
from fastlane.models.schedule import CatchUp, Kind, Overlap, Schedule
from fastlane.queue.base import TICKS
from fastlane.queue.keys import Keys as KeyNames
from fastlane.queue.redis import RedisQueue
from fastlane.scheduler.worker import Worker
from fastlane.services.jobs import Enqueued, Jobs
from fastlane.storage.sqlite import SqliteStore
from tests.model.checks import Witness
from tests.model.loop import Pulse, Stuck
from tests.model.places import HOSTS, POOLS, SETTINGS
from tests.model.side import Hints, Keys
from tests.model.wire import EnginePort, Node, Port, QueuePort, Wire
from tests.support.clock import FakeClock
from tests.support.instant import InstantExecutor, Run

EACH_MINUTE = Cron("* * * * *")
PATIENCE = 60.0
"""Seconds for a real call: a machine may be busy, which is no fault of what is tested."""


class World:
    """All of it. ``at_work`` are the workers, ``api`` the replica that takes calls now; ``jobs`` and ``executions`` are what programs
    name."""

    def __init__(self, folder: Path, redis: Path, installation: str, seed: object) -> None:
        self.seed = seed
        self.random = random.Random(f"{seed} world")
        self.pulse = Pulse()
        self.clock = FakeClock()
        self.wire = Wire(self.clock, self.pulse)
        self.witness = Witness(self)
        self.wire.observe = self.witness.observe
        self.wire.slow = self.random.choice((0.0, 0.0, 2.0, 8.0))
        self.wire.stall = lambda node: self.pause(node, self.random.choice((1.0, 9.0, 20.0)))
        self.wire.die = self.kill
        self.wire.stop = self.stop_just_now
        self.wire.flush = self.flush_just_now
        self.store = SqliteStore(folder / "store.db", busy_timeout=PATIENCE)
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
        self.ending = False
        self.workers: list[Employee] = []
        self.jobs: Any = None
        self.enqueued: list[Enqueued] = []
        self._number = 0
        self._queues: list[RedisQueue] = []
        self._calls: set[asyncio.Task[None]] = set()
        self.pulse.on_quiet = self._quiet

    # beginning and end

    async def open(self) -> None:
        self.pulse.busy += 1
        await self.store.open()
        self.pulse.busy -= 1
        self.api, self.jobs = await self._replica()

    async def close(self) -> None:
        for employee in self.workers:
            employee.kill()
        if self.jobs is not None:
            self.api.kill()
            await self.jobs.close()
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
        self.workers.append(Employee(node, executor, Port(node, "store", self.store), queue))

    async def new_api(self) -> None:
        """The API's replica dies with all that it had in hand; another takes its place."""
        self.api.kill()
        await self.jobs.close()
        self.api, self.jobs = await self._replica()

    async def _replica(self) -> tuple[Node, Jobs]:
        node, queue = await self._node("api")
        return node, Jobs(Port(node, "store", self.store), queue, node.clock, POOLS)  # type: ignore[arg-type]

    async def _node(self, kind: str) -> tuple[Node, QueuePort]:
        self._number += 1
        node = Node(f"{kind}-{self._number}", self.wire, self.seed)
        node.offset = self.wire.queue_offset
        real = RedisQueue(f"unix://{self.redis}", self.installation, deadline=PATIENCE)
        await real.open()
        self._queues.append(real)
        return node, QueuePort(node, real, lambda: self.run_id)

    def kill(self, node: Node) -> None:
        """kill -9; a replica of the API is replaced at once."""
        node.kill()
        for employee in self.workers:
            if employee.node is node:
                employee.kill()
        if node is self.api:
            asyncio.get_running_loop().call_soon(self.begin, self.new_api())

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
        return [node for node in (self.api, *(employee.node for employee in self.workers)) if node.alive]

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

    async def enqueue(
        self,
        task: str,
        command: tuple[str, ...],
        image: str,
        when: float | tuple[Overlap, CatchUp] | None,
        rules: tuple[tuple[str, Any], ...],
    ) -> None:
        """A client's POST, to run now (None), in so many seconds, or at each minute; ``rules``: fields of the spec."""
        node = self.api
        match when:
            case None:
                schedule = Schedule()
            case (overlap, catch_up):
                schedule = Schedule(Kind.CRON, None, EACH_MINUTE, overlap, catch_up)
            case delay:
                schedule = Schedule(Kind.AT, node.clock.now() + round(delay * 1000))
        try:
            job = await self.jobs.enqueue(task, Spec(image, command, **dict(rules)), schedule)
        except FastlaneError:
            return
        if node.alive:
            self.enqueued.append(job)
            self.witness.accept(job)

    async def enqueue_and_stop(self, after: float, *values: Any) -> None:
        """A client that thinks better of it."""
        await self.enqueue(*values)
        await self.clock.sleep(after)
        await self.stop_job(-1)

    async def stop_job(self, number: int) -> None:
        """A client's POST to a job's stop."""
        if self.enqueued:
            job = self.enqueued[number % len(self.enqueued)]
            await self._stop(job.task_id, job.job_id)

    def stop_just_now(self, node: Node, id: str) -> None:
        """A client stops a job, or the job of an execution, while a node stands still in the middle of it."""
        row = self.witness.rows.get(id)
        job = self.witness.jobs.get(row.job_id if row else id)
        if job is not None:
            self.pause(node, self.random.choice((0.2, 1.0, 3.0)))
            self.begin(self._stop(job.task_id, job.id))

    async def stop_execution(self, number: int) -> None:
        """A client's POST to an execution's stop."""
        known = list(self.witness.rows)
        if known:
            row = self.witness.rows[known[number % len(known)]]
            node = self.api
            try:
                await self.jobs.stop_execution(row.task_id, row.job_id, row.id)
            except FastlaneError:
                return
            if node.alive:
                self.witness.execution_stop_answered(row.id)

    def stop_crons(self) -> None:
        """What would go on for ever is stopped."""
        for job in list(self.witness.jobs.values()):
            if job.schedule.cron is not None and job.next_tick is not None:
                self.begin(self._stop(job.task_id, job.id))

    async def _stop(self, task_id: str, job_id: str) -> None:
        node = self.api
        try:
            await self.jobs.stop_job(task_id, job_id)
        except FastlaneError:
            return
        if node.alive:
            self.witness.stop_answered(job_id)

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
            for employee in self.workers:
                employee.executor.down(host)

    def host_up(self, host: str) -> None:
        if host in self.down:
            self.down.discard(host)
            for employee in self.workers:
                employee.executor.up(host)

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
        found = ["a client waits for its answer" for task in self._calls if task.get_name() == "call"]
        found += [f"job {job.id} has a tick at {job.next_tick}" for job in self.witness.jobs.values() if job.next_tick is not None]
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
        kept = {names.generation, names.lanes, names.workers, names.reports, names.check, names.generation.removesuffix("gen") + "arrivals"}
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


class Employee:
    """A worker and what it works with."""

    def __init__(self, node: Node, executor: InstantExecutor, store: Port, queue: QueuePort) -> None:
        self.node = node
        self.executor = executor
        self.leaving = False
        self.worker = Worker(store, queue, EnginePort(node, executor), node.clock, SETTINGS)  # type: ignore[arg-type]
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
