"""Watches activated services until they end: one look at all of them at a time, and for each execution of this worker a follower.

A look is a hint: when a service's task changes phase, its follower reads the service itself before it concludes (``verdict.judge``), and
writes what follows. The final row is written only when the log is stored to its end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from fastlane.clock import Clock, first_of
from fastlane.errors import HostDown, LogLost, ServiceGone
from fastlane.executors.base import ClusterSnapshot, EngineService, EngineTask, Executor, Phase
from fastlane.models import transitions
from fastlane.models.execution import Ending, Execution
from fastlane.models.logs.hint import Hint
from fastlane.models.note import Note, Obstacle
from fastlane.models.placement.place import reachable_manager, reachable_managers
from fastlane.scheduler import notes
from fastlane.scheduler.leases import Assignment
from fastlane.scheduler.settler import is_last_word
from fastlane.scheduler.watch import failures
from fastlane.scheduler.watch.verdict import Finish, Limits, Run, ServiceMissing, Start, Stop, WaitUntil, gone, judge, lost, task_of
from fastlane.storage.base import Store
from fastlane.streams.pump import Pump, Tail, mute

log = structlog.get_logger()

FASTEST, SLOWEST = 0.02, 0.5
"""Seconds between looks. Looking takes at most a tenth of the time, so looks get rarer when lists grow."""

LOG_LOST_AFTER = 5.0
"""Seconds for which a log is asked for again that its own node says it has not got. It holds a slot meanwhile."""

RECHECK = 30.0
"""Seconds after which a follower reads its service even when no look showed a change."""


Activate = Callable[[Assignment, Execution], Awaitable[bool]]
"""Activates an execution's service; False when the execution is another worker's by now."""


Tell = Callable[[Hint], None]
"""Sends a hint to whoever follows the execution's log."""


UNEVENTFUL = frozenset({Phase.WAITING, Phase.PREPARING})


class ServiceObservation:
    """What the looks have shown of one service: ``changed`` is set when its task's phase is another than before."""

    def __init__(self, host: str, swarm_id: str | None) -> None:
        self.host = host
        self.swarm_id = swarm_id
        self.changed = asyncio.Event()
        self.tasks: Sequence[EngineTask] = ()
        self._phases: tuple[tuple[str, Phase], ...] | None = ()

    def show(self, tasks: Sequence[EngineTask] | None) -> None:
        """One look's answer (None: the host was silent); only what a follower would act upon counts as a change."""
        vanished = bool(self.tasks) and tasks is not None and not tasks
        self.tasks = self.tasks if tasks is None else tasks
        phases = None if tasks is None else tuple((task.id, task.phase) for task in tasks if task.phase not in UNEVENTFUL)
        if phases != self._phases or vanished:
            self._phases = phases
            self.changed.set()


class Watcher:
    """The looks, and the followers that wait for them. ``log_cap`` in bytes; ``activate`` starts a service that is found parked."""

    def __init__(
        self, store: Store, executor: Executor, clock: Clock, limits: Limits, *, activate: Activate, log_cap: int, tell: Tell = mute
    ) -> None:
        self._store = store
        self._executor = executor
        self._clock = clock
        self._limits = limits
        self._activate = activate
        self._log_cap = log_cap
        self._tell = tell
        self._sightings: dict[str, ServiceObservation] = {}
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Looks while there is anything to see, for ever."""
        while True:
            await self._wanted.wait()
            before = self._clock.now()
            self._show(await self._executor.look())
            took = (self._clock.now() - before) / 1000
            await self._clock.sleep(min(SLOWEST, max(FASTEST, took * 9)))

    def _show(self, look: ClusterSnapshot) -> None:
        hosts = self._executor.hosts()
        for service_id, sighting in self._sightings.items():
            seen_by = sighting.host if sighting.host in look.tasks else reachable_manager(hosts, sighting.host, sighting.swarm_id)
            services = look.tasks.get(seen_by)
            sighting.show(None if services is None else services.get(service_id, ()))

    async def follow(self, charge: Assignment, execution: Execution) -> Execution | None:
        """Watches a bound execution until it is final; the final row, or None when somebody else has it now."""
        if execution.service_id is None:
            raise ValueError(f"execution {execution.id} has no service to watch")
        sighting = self._sightings[execution.service_id] = ServiceObservation(execution.host or "", execution.swarm_id)
        self._wanted.set()
        follower = ExecutionWatch(self, charge, execution, sighting)
        charge.note = follower.note
        try:
            return await follower.run()
        finally:
            if self._sightings.get(execution.service_id) is sighting:
                del self._sightings[execution.service_id]
            if not self._sightings:
                self._wanted.clear()
            await follower.close()


class ExecutionWatch:
    """One execution under watch, by its owner."""

    def __init__(self, watcher: Watcher, charge: Assignment, execution: Execution, sighting: ServiceObservation) -> None:
        self._store = watcher._store
        self._executor = watcher._executor
        self._clock = watcher._clock
        self._limits = watcher._limits
        self._activate = watcher._activate
        self._charge = charge
        self._execution = execution
        self._sighting = sighting
        self._tell = watcher._tell
        untouched, charge.followed = execution.epoch == 1 and not charge.followed, True
        self._pump = Pump(
            self._store, self._executor, self._clock, execution.id, most=watcher._log_cap, tell=self._tell, untouched=untouched
        )
        self._copying: asyncio.Task[None] | None = None
        self._ending: Ending | None = None
        self._gone_since: int | None = None
        self._away_since: int | None = None
        self._unknown_since: int | None = None
        self._mute_since: int | None = None
        self._trouble: Note | None = None
        self._speaker: str | None = None
        self._theirs = False

    def note(self) -> Note | None:
        """What it waits for, as far as the last look and the last answer tell."""
        return self._trouble or notes.of_tasks(self._execution, self._sighting.tasks, self._limits)

    async def run(self) -> Execution | None:
        """Judges, acts and waits, until the execution is final or another's. The row is read again after every wait; the one that it begins
        with was just written by this worker, so that only the hint of a stop makes it old."""
        fresh: Execution | None = self._execution
        while not self._theirs:
            if self._charge.stop.is_set() or fresh is None:
                self._charge.stop.clear()
                fresh = await self._store.execution(self._execution.id)
            if fresh is None or fresh.epoch != self._execution.epoch:
                return None
            if fresh.status.final:
                return fresh
            self._execution, fresh = fresh, None
            final = await self._step()
            if final is not None:
                return final
        return None

    async def close(self) -> None:
        """Ends the copying of its log; what is stored stays."""
        copying, self._copying = self._copying, None
        if copying is not None:
            copying.cancel()
            await asyncio.wait([copying])  # not awaited itself: its cancellation would hide one of ours
            if not copying.cancelled():
                copying.result()

    async def _step(self) -> Execution | None:
        self._sighting.changed.clear()
        try:
            view = await self._seen()
            self._away_since = None
            task = task_of(self._execution, view)
            if task is not None and task.phase is Phase.UNKNOWN:
                return await self._unreachable_node(task)
            self._unknown_since = self._trouble = None
            return await self._act(view, task)
        except ServiceGone:
            return await self._missing(failures.REMOVED)
        except HostDown as error:
            self._gone_since = None  # a leader that was cut off says so falsely, falls silent, and may say so again as it comes back
            return await self._away(str(error))

    async def _seen(self) -> EngineService:
        """Its service. Raises ServiceGone when all managers of its swarm that can be asked say that it is gone: one may say so falsely.
        From here on the one that knows it is asked first."""
        service_id, gone_at = self._execution.service_id or "", None
        for host in self._managers():
            try:
                view = await self._executor.inspect(host, service_id)
            except ServiceGone as error:
                gone_at = error
                continue
            self._speaker = host
            return view
        raise gone_at or ServiceGone(service_id)

    async def _act(self, view: EngineService, task: EngineTask | None) -> Execution | None:
        verdict = judge(self._execution, view, self._clock.now(), self._limits)
        if isinstance(verdict, ServiceMissing):
            return await self._missing(verdict.why)
        self._gone_since = None
        match verdict:
            case Finish():
                return await self._finish(verdict.ending, verdict.task)
            case Run():
                self._copy(verdict.started.engine_task_id)
                ran = await self._store.change(transitions.run(self._execution, verdict.started))
                if ran is not None:
                    self._tell(Hint(ran.id, 0, ran.status))
                    log.info("execution.started", task_id=ran.task_id, job_id=ran.job_id, execution_id=ran.id, host=ran.host)
            case Stop():
                log.info("execution.stopping", execution_id=self._execution.id, why=verdict.why)
                await self._executor.stop(self._host(), self._execution.service_id or "", verdict.why)
            case Start():
                self._theirs = not await self._activate(self._charge, self._execution)
            case WaitUntil():
                if task is not None and task.phase is Phase.RUNNING:
                    self._copy(task.id)
                await self._wait(verdict.until, stop_shown=view.stopping)
        return None

    async def _finish(self, ending: Ending, task: EngineTask | None) -> Execution | None:
        """Stores the log to its end, then the final row."""
        self._ending = ending
        await self.close()
        tail = await self._rest(task.id) if task is not None and task.container_id is not None else None
        return await self._write(ending, tail)

    async def _rest(self, task_id: str) -> Tail:
        """Stores the rest of its log. Its node may be away while the managers know how it ended, or may not have it any more: waited out,
        for so long."""
        try:
            return await self._pump.finish(self._host(), task_id)
        except (HostDown, LogLost) as error:
            now, limits = self._clock.now(), self._limits
            self._mute_since = self._mute_since or now
            if now - self._mute_since < 1000 * (LOG_LOST_AFTER if isinstance(error, LogLost) else limits.host_lost_after):
                raise HostDown(str(error)) from error
            log.warning("log.given_up", execution_id=self._execution.id, error=str(error))
            return Tail(await self._store.log_head(self._execution.id), gone=True)

    async def _write(self, ending: Ending, tail: Tail | None) -> Execution | None:
        head = tail.head if tail is not None else await self._store.log_head(self._execution.id)
        ran = self._execution.has_started or ending.started is not None
        logged = ending.with_log(head, lost=ran if tail is None else tail.gone)
        ended = await self._store.change(transitions.end(self._execution, logged, settled=is_last_word(self._execution, logged)))
        if ended is not None:
            self._tell(Hint(ended.id, head.offset, ended.status))
            log.info(
                "execution.ended",
                task_id=ended.task_id,
                job_id=ended.job_id,
                execution_id=ended.id,
                status=ended.status.value,
                exit_code=ended.exit_code,
                reason=ended.failure.reason.value if ended.failure else None,
            )
        return ended

    async def _missing(self, why: str) -> Execution | None:
        """The engine says that the service, or its task, is gone: believed only when that holds, since a cut-off leader may say so too."""
        now = self._clock.now()
        self._gone_since = self._gone_since or now
        if now - self._gone_since >= self._limits.gone_after * 1000:
            return await self._write(self._ending or gone(self._execution, why, self._gone_since, self._limits), None)
        self._keep(Obstacle.SERVICE_GONE, why, self._gone_since, self._limits.gone_after)
        await self._clock.sleep(min(5.0, self._limits.gone_after / 3))
        return None

    async def _away(self, why: str) -> Execution | None:
        """No manager of its swarm answers: waited out, for so long."""
        now = self._clock.now()
        self._away_since = self._away_since or now
        if now - self._away_since >= self._limits.host_lost_after * 1000:
            words = f"its host could not be reached: {why.replace(' is not asked: ', ' ')}"
            return await self._write(self._ending or lost(self._execution, words, now, self._limits), None)
        self._keep(Obstacle.HOST_AWAY, why, self._away_since, self._limits.host_lost_after)
        await self._clock.sleep(1.0)
        return None

    async def _unreachable_node(self, task: EngineTask) -> Execution | None:
        now = self._clock.now()
        self._unknown_since = self._unknown_since or now
        if now - self._unknown_since >= self._limits.host_lost_after * 1000:
            why = f"its node ({task.node_id}) was down"
            return await self._write(lost(self._execution, why, now, self._limits), None)
        self._keep(Obstacle.NODE_DOWN, task.node_id or "", self._unknown_since, self._limits.host_lost_after)
        await self._clock.sleep(1.0)
        return None

    def _keep(self, obstacle: Obstacle, words: str, since: int, patience: float) -> None:
        self._trouble = notes.note(self._execution, obstacle, words, since, since + round(patience * 1000))

    def _host(self) -> str:
        """The manager that is asked first."""
        return self._managers()[0]

    def _managers(self) -> Sequence[str]:
        """Whom to ask about its service, in this order: who knew it last, its own host, other managers of the same swarm."""
        return reachable_managers(self._executor.hosts(), self._execution.host or "", self._execution.swarm_id, first=self._speaker)

    def _copy(self, task_id: str) -> None:
        if self._copying is None:
            self._copying = asyncio.create_task(self._pump.follow(self._host(), task_id), name=f"pump {self._execution.id}")

    async def _wait(self, until: int | None, *, stop_shown: bool) -> None:
        """Returns when a look shows a change, a stop is hinted at that is not on the service yet, or a deadline has come."""
        recheck = min(RECHECK, self._limits.pull_deadline)  # no look tells that a pull has begun
        left = recheck if until is None else max(0.0, min(recheck, (until - self._clock.now()) / 1000 + 0.001))
        events = [self._sighting.changed] if stop_shown else [self._sighting.changed, self._charge.stop]
        await first_of(self._clock, left, *events)
