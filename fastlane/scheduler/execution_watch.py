"""The watch of one execution by its owner: it inspects the service, judges what it sees (``verdict.judge``), and acts on the verdict.

The final row is written only after the log is stored to its end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import structlog

from fastlane.clock import Clock, first_of
from fastlane.errors import FastlaneError, HostDown, LogLost, OrderRefused, ServiceGone
from fastlane.executors.port import EngineService, EngineTask, Executor, Phase
from fastlane.models import transitions
from fastlane.models.event import Note, Obstacle
from fastlane.models.execution import Ending, Execution, Usage
from fastlane.models.host import reachable_manager, reachable_managers
from fastlane.models.log import Hint
from fastlane.models.status import Status
from fastlane.scheduler import assignment as notes
from fastlane.scheduler import verdict as failures
from fastlane.scheduler.assignment import Assignment
from fastlane.scheduler.settler import is_last_word
from fastlane.scheduler.verdict import (
    ActivateService,
    Limits,
    RecordEnd,
    RecordStart,
    ServiceMissing,
    StopService,
    WaitUntil,
    ending_when_gone,
    ending_when_host_removed,
    ending_when_lost,
    ending_when_removed,
    is_start_or_success,
    judge,
    task_of,
)
from fastlane.storage.base import LogStore, Store
from fastlane.streams.pump import LogEnd, Pump

log = structlog.get_logger()

LOG_LOST_AFTER = 5.0
"""Seconds for which a log is requested again after its node has said that it does not have it. The execution keeps its slot."""


class LogCopy:
    """Drives the pump of one execution. ``patience``: seconds for which a host that does not give the log is waited for."""

    def __init__(self, pump: Pump, store: LogStore, clock: Clock, execution_id: str, patience: float) -> None:
        self._pump = pump
        self._store = store
        self._clock = clock
        self._id = execution_id
        self._patience = patience
        self._copying: asyncio.Task[None] | None = None
        self._missing_since: int | None = None

    def start(self, host: str, task_id: str) -> None:
        """Copies what the task writes, from now on; does nothing when that has begun already."""
        if self._copying is None:
            self._copying = asyncio.create_task(self._pump.follow(host, task_id), name=f"pump {self._id}")

    async def close(self) -> None:
        """Ends the copying; what is stored stays."""
        copying, self._copying = self._copying, None
        if copying is not None:
            copying.cancel()
            await asyncio.wait([copying])  # not awaited itself: its cancellation would hide one of ours
            if not copying.cancelled():
                copying.result()

    async def finish(self, host: str, task_id: str) -> LogEnd:
        """Stores the rest of an ended task's log. Raises HostDown while that may still succeed: the task's node may be away although the
        managers know how the task ended, or may not have its log any more."""
        try:
            return await self._pump.finish(host, task_id)
        except (HostDown, LogLost) as error:
            now = self._clock.now()
            self._missing_since = self._missing_since or now
            if now - self._missing_since < 1000 * (LOG_LOST_AFTER if isinstance(error, LogLost) else self._patience):
                raise HostDown(str(error)) from error
            log.warning("log.given_up", execution_id=self._id, error=str(error))
            return LogEnd(await self._store.log_head(self._id), gone=True)


FIRST = 1.0
"""Seconds until the first sample, and between two samples at least. Most containers that end sooner than that cost nothing."""
SHARE = 0.25
"""The next sample comes after this part of the time for which the container has been measured, so that what the end of a container is not
measured of is a small part of the whole."""


class UsageMeter:
    """Takes samples of one container, and the more seldom the longer it runs. ``every``: seconds between two samples at most; 0: takes
    none."""

    def __init__(self, executor: Executor, clock: Clock, execution_id: str, every: float) -> None:
        self._executor = executor
        self._clock = clock
        self._id = execution_id
        self._every = every
        self._measuring: asyncio.Task[None] | None = None
        self.usage: Usage | None = None
        """What it has used, as far as it was measured."""

    def start(self, host: str, task: EngineTask) -> None:
        """Measures the task's container from now on; does nothing when that has begun already."""
        if self._measuring is None and self._every:
            self._measuring = asyncio.create_task(self._measure(host, task), name=f"measure {self._id}")

    async def close(self) -> None:
        """Ends the measuring."""
        measuring, self._measuring = self._measuring, None
        if measuring is not None:
            measuring.cancel()
            await asyncio.wait([measuring])  # not awaited itself: its cancellation would hide one of ours

    async def _measure(self, host: str, task: EngineTask) -> None:
        """Measures until it is cancelled. Whatever goes wrong, the execution ends as it would without."""
        try:
            await self._take_samples(host, task)
        except Exception:
            log.exception("usage.failed", execution_id=self._id, host=host)

    async def _take_samples(self, host: str, task: EngineTask) -> None:
        measured = 0.0
        while True:
            pause = min(self._every, max(FIRST, SHARE * measured))
            await self._clock.sleep(pause)
            measured += pause
            try:
                sample = await self._executor.usage(host, task)
            except (OrderRefused, ServiceGone) as error:  # it has ended, or a proxy does not let the question through
                log.debug("usage.refused", execution_id=self._id, host=host, error=str(error))
                return
            except FastlaneError as error:
                log.debug("usage.not_measured", execution_id=self._id, host=host, error=str(error))
                continue
            if sample is not None:
                self.usage = sample if self.usage is None else self.usage.then(sample)


UNEVENTFUL = frozenset({Phase.WAITING, Phase.PREPARING})


class ServiceObservation:
    """The tasks of one service as last seen. ``changed`` is set when a snapshot shows what its watch would act upon."""

    def __init__(self, host: str, swarm_id: str | None) -> None:
        self.host = host
        self.swarm_id = swarm_id
        self.changed = asyncio.Event()
        self._tasks: Sequence[EngineTask] = ()
        self._phases: tuple[tuple[str, Phase], ...] | None = ()

    @property
    def tasks(self) -> Sequence[EngineTask]:
        """Its tasks, in order of creation, when a host last showed them."""
        return self._tasks

    @property
    def shown(self) -> Sequence[EngineTask]:
        """Its tasks, if a host showed them in the last snapshot; else none."""
        return () if self._phases is None else self._tasks

    def update(self, tasks: Sequence[EngineTask] | None) -> None:
        """Records what a snapshot shows; None: no host answered."""
        vanished = bool(self._tasks) and tasks is not None and not tasks
        self._tasks = self._tasks if tasks is None else tasks
        phases = None if tasks is None else tuple((task.id, task.phase) for task in tasks if task.phase not in UNEVENTFUL)
        if phases != self._phases or vanished:
            self._phases = phases
            self.changed.set()


RECHECK = 30.0
"""Seconds after which the service is inspected even when no snapshot showed a change."""

MIN_PAUSE, MAX_PAUSE = 0.25, 5.0
"""Bounds, in seconds, of the wait before a service that was not started or stopped is told so again: a quarter of the time since then."""

Lost = Callable[..., str | None]
"""Why an execution is lost with its host, which was removed by force; None when it is not. ``node_down=True``: its node is down."""


def never_lost(_execution: Execution, *, node_down: bool = False) -> None:
    """No host was removed."""


Activate = Callable[[Assignment, Execution], Awaitable[bool]]
"""Activates an execution's service; False when another worker has taken the execution."""


class ExecutionWatch:
    """One execution under watch. ``run`` it once, then ``close`` it."""

    def __init__(
        self,
        store: Store,
        executor: Executor,
        clock: Clock,
        limits: Limits,
        assignment: Assignment,
        execution: Execution,
        observation: ServiceObservation,
        log_copy: LogCopy,
        meter: UsageMeter,
        *,
        activate: Activate,
        publish: Callable[[Hint], None],
        is_elsewhere: Callable[[Execution], Awaitable[bool]],
        lost: Lost,
    ) -> None:
        self._store = store
        self._executor = executor
        self._clock = clock
        self._limits = limits
        self._assignment = assignment
        self._execution = execution
        self._observation = observation
        self._log_copy = log_copy
        self._meter = meter
        self._activate = activate
        self._publish = publish
        self._is_elsewhere = is_elsewhere
        self._lost = lost
        self._ending: Ending | None = None
        self._gone_since: int | None = None
        self._away_since: int | None = None
        self._node_down_since: int | None = None
        self._disobeyed_since: int | None = None
        self._trouble: Note | None = None
        self._ran: EngineTask | None = None
        self._last_manager: str | None = None
        self._is_ours = True

    def note(self) -> Note | None:
        """What delays it, as far as the last snapshot and the last answer tell."""
        return self._trouble or notes.of_tasks(self._execution, self._observation.tasks, self._limits)

    async def run(self) -> Execution | None:
        """Judges, acts and waits until the execution is final (the final row) or another worker's (None).

        The row is read again after every wait. The first one was just written by this worker, so it is read again only after the hint of a
        stop.
        """
        fresh: Execution | None = self._execution
        while self._is_ours:
            if self._assignment.take_stop_request() or fresh is None:
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
        """Ends the copying of its log, and the measuring of its container."""
        await self._meter.close()
        await self._log_copy.close()

    async def _step(self) -> Execution | None:
        self._observation.changed.clear()
        if (why := self._lost(self._execution)) is not None:
            return await self._write_lost(why)
        try:
            service = await self._known_service() or await self._inspect()
            self._away_since = None
            task = task_of(self._execution, service)
            if task is not None and task.phase is Phase.UNKNOWN:
                return await self._node_down(task)
            self._node_down_since = self._trouble = None
            return await self._act(service, task)
        except ServiceGone:
            return await self._missing(failures.REMOVED)
        except (HostDown, OrderRefused) as error:
            self._gone_since = None  # a leader that is cut off answers 404 falsely, falls silent, and may answer 404 again as it comes back
            return await self._unseen(error)

    async def _known_service(self) -> EngineService | None:
        """Its service without asking for it again, where the activation or a snapshot tells all that matters: that it has just been
        activated, that its container runs, or that its command ended with 0. None for everything else, and where it is to be stopped."""
        service = self._executor.just_activated(self._manager(), self._execution.service_id or "") or await self._shown_service()
        if service is None:
            return None
        verdict = judge(self._execution, service, self._clock.now(), self._limits)
        return service if isinstance(verdict, WaitUntil | RecordStart | RecordEnd) else None

    async def _shown_service(self) -> EngineService | None:
        """Its service as the last snapshot shows it, if that says what the row does not have yet."""
        shown = EngineService(self._execution.service_id or "", self._execution.id, True, False, 0, tuple(self._observation.shown))
        task = task_of(self._execution, shown)
        if task is None or not is_start_or_success(self._execution, task):
            return None
        detailed = await self._detailed(task)
        if detailed is None:
            return None
        return replace(shown, tasks=tuple(detailed if one is task else one for one in shown.tasks))

    async def _detailed(self, task: EngineTask) -> EngineTask | None:
        """The task with its container's times. A short container has ended before its task is seen to run, and is not asked for again."""
        ran, self._ran = self._ran, None
        if ran is not None and ran.container_id == task.container_id and task.phase is Phase.ENDED:
            return replace(task, started_at=ran.started_at, finished_at=ran.finished_at)
        detailed = await self._executor.detail(self._manager(), task)
        if detailed is not None and detailed.phase is Phase.RUNNING and detailed.finished_at is not None:
            self._ran = detailed
        return detailed

    async def _inspect(self) -> EngineService:
        """Its service. Raises ServiceGone only when every manager of its swarm that can be asked answers so, since one may do so falsely.
        The manager that shows the service is asked first from then on."""
        service_id = self._execution.service_id or ""
        fault: ServiceGone | OrderRefused | None = None
        for host in self._managers():
            try:
                service = await self._executor.inspect(host, service_id)
            except (ServiceGone, OrderRefused) as error:
                fault = error if fault is None or isinstance(error, OrderRefused) else fault
                continue
            self._last_manager = host
            return service
        raise fault or ServiceGone(service_id)

    async def _act(self, service: EngineService, task: EngineTask | None) -> Execution | None:
        verdict = judge(self._execution, service, self._clock.now(), self._limits)
        if isinstance(verdict, ServiceMissing):
            return await self._missing(verdict.why)
        self._gone_since = None
        if isinstance(verdict, StopService | ActivateService):
            return await self._demand(verdict, service)
        self._disobeyed_since = None
        match verdict:
            case RecordEnd():
                return await self._finish(verdict.ending, verdict.task)
            case RecordStart():
                if self._ran is None:  # else its log is read to the end at once, when a look shows that
                    self._log_copy.start(self._manager(), verdict.started.engine_task_id)
                    self._measure(task)
                ran = await self._store.change(transitions.run(self._execution, verdict.started, now=self._clock.now()))
                if ran is not None:
                    self._publish(Hint(ran.id, 0, ran.status))
                    log.info("execution.started", task_id=ran.task_id, job_id=ran.job_id, execution_id=ran.id, host=ran.host)
                    await self._wait_while_it_runs(ran, service)
            case WaitUntil():
                if task is not None and task.phase is Phase.RUNNING:
                    self._log_copy.start(self._manager(), task.id)
                    self._measure(task)
                await self._wait(verdict.until, stop_shown=service.stopping)
        return None

    async def _wait_while_it_runs(self, ran: Execution, service: EngineService) -> None:
        """Waits after a start was recorded, if there is nothing else to do by the same answer of the engine."""
        verdict = judge(ran, service, self._clock.now(), self._limits)
        if isinstance(verdict, WaitUntil):
            await self._wait(verdict.until, stop_shown=service.stopping)

    def _measure(self, task: EngineTask | None) -> None:
        if task is not None and task.phase is Phase.RUNNING:
            self._meter.start(self._manager(), task)

    async def _demand(self, demand: StopService | ActivateService, service: EngineService) -> Execution | None:
        """Stops or activates its service. When the host does not do so for a while, the execution ends nevertheless."""
        try:
            if isinstance(demand, ActivateService):
                self._is_ours = await self._activate(self._assignment, self._execution)
            else:
                await self._stop(demand.why)
        except (HostDown, OrderRefused, ServiceGone) as error:  # a proxy may answer 404 to an update of a service that is there
            return await self._disobeyed(demand, service, error)
        self._disobeyed_since = None
        return None

    async def _stop(self, why: str) -> None:
        if self._disobeyed_since is None:
            log.info("execution.stopping", **self._execution.names, why=why)
        await self._executor.stop(self._manager(), self._execution.service_id or "", why)

    async def _disobeyed(
        self, demand: StopService | ActivateService, service: EngineService, error: HostDown | OrderRefused | ServiceGone
    ) -> Execution | None:
        """Handles a host that shows its service, but does not start or stop it."""
        now = self._clock.now()
        since = self._disobeyed_since = self._disobeyed_since or now
        patience = self._limits.host_lost_after if isinstance(error, HostDown) else self._limits.refused_after
        if now - since < patience * 1000:
            self._explain(_obstacle(error), str(error), since, patience)
            pause = min(max(MIN_PAUSE, (now - since) / 4000), MAX_PAUSE, patience / 3)
            await first_of(self._clock, pause, self._assignment.stop_event)
            return None
        if isinstance(demand, StopService):
            return await self._remove(ending_when_removed(self._execution, service, demand.why, now, self._limits), service)
        # The row first: no owner activates a service of a final row, and its service is removed after that.
        return await self._write(Ending(Status.FAILED, now, failure=failures.not_started(self._execution, error, patience)), None)

    async def _remove(self, ending: Ending, service: EngineService) -> Execution | None:
        """Removes a service that its host does not stop: that takes no room in the swarm, and ends a container as a stop does, but may lose
        its result and the end of its log. When the host refuses this for as long as it may be away, the execution ends nevertheless."""
        fresh = await self._store.execution(self._execution.id)
        if fresh is None or fresh.epoch != self._execution.epoch:
            return None
        since = self._disobeyed_since or self._clock.now()
        try:
            await self._executor.remove(self._manager(), service.id)
        except (HostDown, OrderRefused) as error:
            if self._clock.now() - since >= self._limits.host_lost_after * 1000:
                return await self._write(ending, None)
            self._explain(_obstacle(error), str(error), since, self._limits.host_lost_after)
            await self._clock.sleep(min(5.0, self._limits.host_lost_after / 10))
            return None
        log.warning("service.removed_early", **self._execution.names, service_id=service.id, status=ending.status.value)
        if not service.activated:
            return await self._write(ending, None)
        self._ending = ending  # written once it is certain that the service is gone; until then its log is copied
        await self._clock.sleep(MIN_PAUSE)
        return None

    async def _finish(self, ending: Ending, task: EngineTask | None) -> Execution | None:
        """Stores the log to its end, then the final row."""
        self._ending = ending
        await self._meter.close()
        await self._log_copy.close()
        has_log = task is not None and task.container_id is not None
        log_end = await self._log_copy.finish(self._manager(), task.id) if task is not None and has_log else None
        return await self._write(ending, log_end)

    async def _write(self, ending: Ending, log_end: LogEnd | None) -> Execution | None:
        head = log_end.head if log_end is not None else await self._store.log_head(self._execution.id)
        ran = self._execution.has_started or ending.started is not None
        logged = replace(ending.with_log(head, lost=ran if log_end is None else log_end.gone), usage=self._meter.usage)
        settled = is_last_word(self._execution, logged, self._limits.pools)
        ended = await self._store.change(transitions.end(self._execution, logged, settled=settled, now=self._clock.now()))
        if ended is not None:
            self._publish(Hint(ended.id, head.offset, ended.status))
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
        """Handles a service, or its task, that the engine says is gone: believed only after a while, since a cut-off leader says so
        too."""
        now = self._clock.now()
        self._gone_since = self._gone_since or now
        if now - self._gone_since >= self._limits.gone_after * 1000:
            return await self._write(self._ending or ending_when_gone(self._execution, why, self._gone_since, self._limits), None)
        self._explain(Obstacle.SERVICE_GONE, why, self._gone_since, self._limits.gone_after)
        await self._clock.sleep(min(5.0, self._limits.gone_after / 3))
        return None

    async def _unseen(self, error: HostDown | OrderRefused) -> Execution | None:
        """Handles a swarm whose managers do not answer, or refuse to show its service: waits, and ends the execution as lost after a while.
        When this worker does not know any of them, it leaves the execution to one that does."""
        if await self._is_elsewhere(self._execution):
            self._assignment.give_away()
            self._is_ours = False
            return None
        now, why = self._clock.now(), str(error)
        self._away_since = self._away_since or now
        if now - self._away_since >= self._limits.host_lost_after * 1000:
            words = f"its host {'refused to show it' if isinstance(error, OrderRefused) else 'could not be reached'}: "
            ending = self._ending or ending_when_lost(self._execution, words + why.replace(" is not asked: ", " "), now, self._limits)
            return await self._write(ending, None)
        self._explain(_obstacle(error), why, self._away_since, self._limits.host_lost_after)
        await self._clock.sleep(1.0)
        return None

    async def _node_down(self, task: EngineTask) -> Execution | None:
        """Handles a task whose node is down, as ``_unseen`` does a host."""
        if (why := self._lost(self._execution, node_down=True)) is not None:
            return await self._write_lost(why)
        now = self._clock.now()
        self._node_down_since = self._node_down_since or now
        if now - self._node_down_since >= self._limits.host_lost_after * 1000:
            why = f"its node ({task.node_id}) was down"
            return await self._write(ending_when_lost(self._execution, why, now, self._limits), None)
        self._explain(Obstacle.NODE_DOWN, task.node_id or "", self._node_down_since, self._limits.host_lost_after)
        await self._clock.sleep(1.0)
        return None

    async def _write_lost(self, why: str) -> Execution | None:
        return await self._write(self._ending or ending_when_host_removed(self._execution, why, self._clock.now(), self._limits), None)

    def _explain(self, obstacle: Obstacle, words: str, since: int, patience: float) -> None:
        self._trouble = notes.note(self._execution, obstacle, words, since, since + round(patience * 1000))

    def _manager(self) -> str:
        """The manager to ask first."""
        return reachable_manager(self._executor.hosts(), self._execution.host or "", self._execution.swarm_id, first=self._last_manager)

    def _managers(self) -> Sequence[str]:
        """The managers to ask about its service, in this order: the one that knew it last, its own host, others of the same swarm."""
        return reachable_managers(self._executor.hosts(), self._execution.host or "", self._execution.swarm_id, first=self._last_manager)

    async def _wait(self, until: int | None, *, stop_shown: bool) -> None:
        """Returns when a snapshot shows a change, at a deadline, or on the hint of a stop that is not on the service yet."""
        recheck = min(RECHECK, self._limits.pull_deadline)  # no snapshot shows that a pull has begun
        left = recheck if until is None else max(0.0, min(recheck, (until - self._clock.now()) / 1000 + 0.001))
        changed = self._observation.changed
        events = [changed] if stop_shown else [changed, self._assignment.stop_event]
        await first_of(self._clock, left, *events)


def _obstacle(error: HostDown | OrderRefused | ServiceGone) -> Obstacle:
    return Obstacle.HOST_AWAY if isinstance(error, HostDown) else Obstacle.REFUSED
