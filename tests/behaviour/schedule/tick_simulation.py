"""A year of ticks in virtual time: the real timer, rebuilder, reconciler and settler on a real SQLite store and a real Redis; workers die,
everything is restarted, and the queue is lost, at random moments.

Time moves on to the next moment that a claim named, so a year costs what its ticks cost. What has to do with containers is played: an
execution that a worker claims starts (once, as an engine starts a service once) and ends after its job's time.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fastlane.errors import QueueDown
from fastlane.models import transitions
from fastlane.models.cron import Cron, read_cron, resolved
from fastlane.models.job import Ending, Execution, Spec, Started
from fastlane.models.pool import Pool
from fastlane.models.schedule import CatchUp, Overlap, Schedule, ScheduleKind
from fastlane.models.skip_dates import read_range
from fastlane.models.status import Status
from fastlane.models.tick import Outcome
from fastlane.queue.port import TICKS, Claim, EntryKind, Lane, Lease
from fastlane.queue.redis.queue import RedisQueue
from fastlane.queue.redis.scripts import Keys as KeyNames
from fastlane.scheduler.rebuilder import BUILDER_LOST_AFTER
from fastlane.scheduler.worker import build_parts
from fastlane.storage.sqlite.store import SqliteStore
from tests.model.side import Keys
from tests.support.defaults import WithGeneration, default_worker, ports_of
from tests.support.instant import InstantExecutor
from tests.support.intercept import Call, Died, Intercepted
from tests.support.services import services_of

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
LEASE = 15 * SECOND
HALF_A_RUN = 6 * HOUR
"""Half of the longest time for which an execution is leased here at once, so that it need not be renewed every few seconds: a claim takes a
lease of more than twice its own for one of a clock that was set back."""
HOST = "unix:///instant"
POOLS = (Pool("default", "", (HOST,), max_running=50),)
LANES = (Lane(TICKS, None), Lane("default", 50))
LONGEST_RESTART = 25
"""Seconds that a worker which died is missing: with the lease that it leaves, or the rebuild that it began, less than a tick's grace."""
REPAIRED_AFTER = LEASE + BUILDER_LOST_AFTER
"""Milliseconds after a disturbance by which nothing of it is felt any more."""


@dataclass(frozen=True)
class Plan:
    """A job to be watched: ``lasts`` minutes is what each of its executions takes. ``skip``: ranges of dates, as the API takes them."""

    cron: str
    timezone: str
    overlap: Overlap = Overlap.ALLOW
    catch_up: CatchUp = CatchUp.LATEST
    lasts: int = 0
    spread: int = 0
    expires_in: int | None = None
    skip: tuple[str, ...] = ()


@dataclass
class SetClock:
    """A ``Clock`` that the simulation moves."""

    moment: int

    def now(self) -> int:
        return self.moment

    def elapsed(self) -> float:
        return self.moment / SECOND

    async def sleep(self, seconds: float) -> None:
        """Time does not pass in here: who waits lets others go first."""
        await asyncio.sleep(0)


@dataclass
class Trouble:
    """A time in which not everything worked, and whether it was so long that ticks may be missed."""

    first: int
    last: int
    long: bool


@dataclass
class Witness:
    """What happened to executions: how often each started, when, when it will be over, and when the store knew that it was."""

    starts: Counter[str] = field(default_factory=Counter)
    began: dict[str, int] = field(default_factory=dict)
    over: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)


class SimulatedWorker:
    """One worker: the parts of fastlane that have to do with ticks, and a loop whose turns the simulation takes."""

    def __init__(self, simulation: "TickSimulation", number: int) -> None:
        self.name = f"worker-{number}"
        self.clock = simulation.clock
        self.dead = False
        self.left: int | None = None
        """So many calls are left until something befalls it; None: nothing is to come."""
        self._world = simulation
        self.store: Any = Intercepted(simulation.store, self._call)
        self.queue: Any = Intercepted(simulation.queue, self._call)
        self.queue.around("claim", self._shortened)
        generation: Any = Intercepted(simulation.queue.generation, self._call)
        executor: Any = InstantExecutor((HOST,), self.clock)
        queue = WithGeneration(self.queue, generation)
        ports = ports_of(self.store, queue, self.clock, executor=executor, pools=POOLS, owner=self.name)
        parts = build_parts(ports, default_worker(lease=LEASE / 1000))
        self.settler, self.timer, self.rebuilder, self.reconciler = parts.settler, parts.timer, parts.rebuilder, parts.reconciler
        self.generation = ""

    async def _call(self, call: Call) -> Any:
        """Each call may be its last: before it is carried out, or before its answer is known."""
        self.pass_by()
        answer = await call.carry()
        self.pass_by()
        return answer

    def pass_by(self) -> None:
        """It makes a call, or has its answer."""
        if self.dead:
            raise Died
        if self.left is None:
            return
        self.left -= 1
        if self.left == 0:
            self.left = None
            self._world.strike(self)

    async def turn(self) -> int:
        """Does all that is to be done now; the moment at which there may be more."""
        while True:
            try:
                if not self.generation or self._world.unsettled:
                    self.generation = await self.rebuilder.ensure()
                    await self._streamed()
                claim = await self._claim()
            except QueueDown:
                return self.clock.now() + SECOND
            if claim.cold:
                self.rebuilder.doubt()
                self.generation = ""
                continue
            if not claim.leases:
                return claim.next_at or self.clock.now() + DAY
            done = await asyncio.gather(*(self._work(lease, claim.now) for lease in claim.leases), return_exceptions=True)
            for error in done:
                if error is not None:
                    raise error

    async def _claim(self) -> Claim:
        claim: Claim = await self.queue.claim(self.generation, self.name, LANES, 64, lease=HALF_A_RUN)
        return claim

    async def _shortened(self, call: Call) -> Claim:
        """A claim whose leases last as long as a worker's, until they are renewed."""
        claim: Claim = await call.carry()
        if claim.leases:
            await self._world.queue.renew(self.generation, self.name, [lease.id for lease in claim.leases], lease=LEASE)
        return claim

    async def _streamed(self) -> None:
        """Returns when nothing is being streamed into the queue any more; it would go on beside, while virtual time stood still."""
        streams = [task for task in asyncio.all_tasks() if task.get_name() == "rebuild"]
        await asyncio.gather(*streams, return_exceptions=True)
        self.pass_by()

    async def _work(self, lease: Lease, now: int) -> None:
        if lease.kind is EntryKind.JOB:
            await self.timer.handle(lease, now)
            return
        row: Execution | None = await self.store.execution(lease.id)
        if row is not None and row.status is Status.ENQUEUED:
            row = await self._begin(row, expired=lease.expired)
        elif row is not None and not row.status.final:
            row = await self.store.change(transitions.take_over(row))
        if row is None:
            await self.queue.finish({lease.id: lease.revision})
        elif not row.status.final:
            await self._go_on(row)
        else:
            await self.settler.settle(row)

    async def _begin(self, row: Execution, *, expired: bool) -> Execution | None:
        now = self.clock.now()
        if expired or (row.expires_at is not None and now >= row.expires_at):
            ended: Execution | None = await self.store.change(transitions.expire(row, now=now))
            return ended
        taken: Execution | None = await self.store.change(transitions.claim(row, host=HOST, pool="default", now=now))
        return taken

    async def _go_on(self, row: Execution) -> None:
        """Binds and starts it, where that was not done yet; and ends it when its time is over."""
        now, witness = self.clock.now(), self._world.witness
        if row.service_id is None:
            bound = transitions.bind(row, service_id=f"service-{row.id}", swarm_id=f"swarm of {HOST}", image_digest=None, now=now)
            row = await self.store.change(bound)
        if row.id not in witness.over:  # an engine starts a service once, whoever asks
            witness.starts[row.id] += 1
            witness.began[row.id] = now
            witness.over[row.id] = now + self._world.plan_of(row).lasts * MINUTE
        over = witness.over[row.id]
        if now < over:
            await self.queue.renew(self.generation, self.name, [row.id], lease=over - now)
            return
        ending = Ending(Status.DONE, over, 0, started=Started("task", "container", now))
        final = await self.store.change(transitions.end(row, ending))
        if final is not None:
            witness.known[row.id] = now
            self.pass_by()
            await self.settler.clean(await self.settler.settle(final))


class TickSimulation:
    """One installation, its workers, and the troubles that it has; ``plans`` by the id of their job."""

    def __init__(self, folder: Path, redis: Path, seed: int, begins: int) -> None:
        self.random = random.Random(seed)
        self.clock = SetClock(begins)
        self.witness = Witness()
        self.plans: dict[str, Plan] = {}
        self.troubles: list[Trouble] = []
        self.seen: set[Outcome] = set()
        self.workers: list[SimulatedWorker] = []
        self._folder = folder
        self._redis = redis
        self._installation = f"year-{folder.name}-{seed}"
        self._keys = Keys(redis, KeyNames(self._installation).generation.removesuffix("gen").replace("{", "\\{") + "*")
        self._number = 0
        self._events: list[tuple[int, int, Callable[[], Any]]] = []
        self._order = 0

    async def __aenter__(self) -> "TickSimulation":
        self.queue = RedisQueue(f"unix://{self._redis}", self._installation, deadline=60, time=self.clock.now)
        await self.queue.open()
        await self._open()
        for _ in range(2):
            self.hire()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._close()
        await self.queue.close()
        self._keys.flush()

    async def _open(self) -> None:
        self.store = SqliteStore(self._folder / "store.db", busy_timeout=60)
        await self.store.open()

    async def _close(self) -> None:
        for worker in self.workers:
            worker.dead = True
            await worker.rebuilder.close()
        self.workers.clear()
        await self.store.close()

    async def plan(self, plan: Plan) -> None:
        """Somebody enqueues this job."""
        services = services_of(self.store, self.queue, self.clock, POOLS)
        cron = read_cron(plan.cron, plan.timezone).spread_over(plan.spread)
        schedule = Schedule(ScheduleKind.CRON, None, cron, plan.overlap, plan.catch_up, skip=tuple(map(read_range, plan.skip)))
        job = await services.submissions.enqueue("task", Spec("ubuntu:latest", None, expires_in=plan.expires_in), schedule)
        await services.outbox.close()
        self.plans[job.job_id] = plan

    async def cron_of(self, job_id: str) -> Cron:
        """The cron of a job, with what was chosen for the job."""
        job = await self.store.job(job_id)
        assert job is not None
        assert job.schedule.cron is not None
        return job.schedule.cron

    async def in_numbers(self, plan: Plan) -> Plan:
        """The plan as its job has it: with the numbers that were chosen for each H."""
        cron = await self.cron_of(next(job_id for job_id, own in self.plans.items() if own is plan))
        return plan if cron.seed is None else replace(plan, cron=resolved(cron.text, cron.seed))

    async def delay_of(self, job_id: str) -> int:
        """By how much the due times of a job are delayed."""
        return (await self.cron_of(job_id)).delay

    def plan_of(self, row: Execution) -> Plan:
        """The plan of this execution's job."""
        return self.plans[row.job_id]

    @property
    def unsettled(self) -> bool:
        """Whether there was trouble a short while ago: only then is there anything to find out about the queue."""
        return bool(self.troubles) and self.clock.now() <= self.troubles[-1].last + REPAIRED_AFTER

    # time

    def later(self, moment: int, event: Callable[[], Any]) -> None:
        """Something happens then: a function, or a coroutine's."""
        self._order += 1
        self._events.append((moment, self._order, event))
        self._events.sort()

    async def live(self, until: int) -> None:
        """Lets time pass up to that moment."""
        while True:
            following = await self._turns()
            if self._events:
                following = min(following, self._events[0][0])
            if following >= until:
                self.clock.moment = until
                return
            self.clock.moment = max(self.clock.moment, following)
            while self._events and self._events[0][0] <= self.clock.moment:
                call = self._events.pop(0)[2]()
                if call is not None:
                    await call

    async def _turns(self) -> int:
        """One worker has its turn, and now and then all of them at once."""
        if not self.workers:
            return self.clock.now() + DAY
        some = list(self.workers) if self.random.random() < 0.2 else [self.random.choice(self.workers)]
        answers = await asyncio.gather(*(worker.turn() for worker in some), return_exceptions=True)
        moments = []
        for answer in answers:
            if isinstance(answer, Died):
                moments.append(self.clock.now())
            elif isinstance(answer, BaseException):
                raise answer
            else:
                moments.append(answer)
        return min(moments)

    # what befalls them

    def hire(self) -> None:
        """One more worker."""
        self._number += 1
        self.workers.append(SimulatedWorker(self, self._number))

    def strike(self, worker: SimulatedWorker) -> None:
        """What was to befall a worker amid its calls does: the queue is lost, or it dies and another takes its place."""
        now = self.clock.now()
        restart = self.random.randint(0, LONGEST_RESTART) * SECOND
        self._trouble(now, now + restart, long=False)
        if self.random.random() < 0.5:
            self._keys.flush()
            if self.random.random() < 0.5:
                return
        worker.dead = True
        self.workers.remove(worker)
        self.later(now + restart, self.hire)
        raise Died

    def doom(self) -> None:
        """Something befalls one of the workers in the middle of what it does next."""
        if self.workers:
            self.random.choice(self.workers).left = self.random.randint(1, 25)

    def lose_queue(self) -> None:
        """Redis has lost all that it had."""
        self._keys.flush()
        self._trouble(self.clock.now(), self.clock.now(), long=False)

    async def restart(self, seconds: int, *, empty: bool) -> None:
        """Everything ends, and is back after so long; ``empty``: Redis has lost all meanwhile."""
        now = self.clock.now()
        await self._close()
        self._trouble(now, now + seconds * SECOND, long=seconds > LONGEST_RESTART)

        async def begin() -> None:
            await self._open()
            if empty:
                self._keys.flush()
            for _ in range(2):
                self.hire()

        self._events = [event for event in self._events if event[2] != self.hire]
        self.later(now + seconds * SECOND, begin)

    def _trouble(self, first: int, last: int, *, long: bool) -> None:
        self.troubles.append(Trouble(first, last + REPAIRED_AFTER, long))
        for delay in (SECOND, REPAIRED_AFTER):
            self.later(last + delay, self._repair)

    async def _repair(self) -> None:
        """A round of the reconciler, as one worker makes one every so often, and the walk with which a new one begins."""
        for worker in self.workers[:1]:
            try:
                await worker.reconciler.requeue()
                await worker.reconciler.requeue_all()
                await worker.reconciler.settle()
            except Died:
                return
