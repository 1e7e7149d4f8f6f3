"""Watches the services of a worker. ``Watcher`` takes one snapshot of all hosts at a time; its changes wake the single watches. An
``ExecutionWatch`` looks at its service, judges it (``verdict.judge``), and acts on the verdict. Meanwhile a ``Recording`` copies the
container's log and samples its usage.

A snapshot is only a hint: when a service's task changes phase, the execution's watch inspects the service itself before it concludes. The
final row is written only after the log is stored to its end.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from time import thread_time
from typing import Protocol

import structlog

from fastlane.clock import Clock, first_of
from fastlane.errors import FastlaneError, HostDown, LogLost, OrderRefused, ServiceGone
from fastlane.executors.port import ClusterSnapshot, EngineService, EngineTask, Executor, Phase
from fastlane.models import transitions
from fastlane.models.delivery import start_notices
from fastlane.models.event import Note
from fastlane.models.host import reachable_manager, reachable_managers
from fastlane.models.job import Ending, Execution, Started, Usage
from fastlane.models.log import Head, Hint
from fastlane.models.log_commands import NO_FINDINGS, LogFindings
from fastlane.scheduler.known_workers import WorkerHosts
from fastlane.scheduler.leases import Assignment, note_of_tasks
from fastlane.scheduler.ports import Ports, WorkerSettings
from fastlane.scheduler.settler import is_last_word
from fastlane.scheduler.verdict import (
    NO_TROUBLES,
    ActivateService,
    DemandRefused,
    LookAgain,
    LostWithHost,
    NotShown,
    RecordEnd,
    RecordStart,
    RemoveService,
    ServiceRemoved,
    Sight,
    StopService,
    Verdict,
    WaitUntil,
    is_start_or_success,
    judge,
    saying,
    task_of,
    verdict_of,
)
from fastlane.storage.base import LogStore
from fastlane.streams.pump import CommandReader, LogEnd, Pump

log = structlog.get_logger()

LOG_LOST_AFTER = 5.0
"""Seconds for which a log is requested again after its node has answered that it does not have it. The execution keeps its slot."""


class LogCopy:
    """Drives the pump of one execution. ``patience``: seconds for which it waits for a host that does not give the log."""

    def __init__(self, pump: Pump, store: LogStore, clock: Clock, execution_id: str, patience: float) -> None:
        self._pump = pump
        self._store = store
        self._clock = clock
        self._id = execution_id
        self._patience = patience
        self._copying: asyncio.Task[None] | None = None
        self._missing_since: int | None = None

    def start(self, host: str, task_id: str) -> None:
        """Copies the task's output from now on; does nothing when that has begun already."""
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
"""The next sample comes after this part of the time for which the container has been measured, so only a small part of it, at its end, is
not measured."""


class UsageMeter:
    """Takes samples of one container, the more rarely the longer it runs. ``every``: the longest time between two samples in seconds; 0:
    takes none."""

    def __init__(self, executor: Executor, clock: Clock, execution_id: str, every: float) -> None:
        self._executor = executor
        self._clock = clock
        self._id = execution_id
        self._every = every
        self._measuring: asyncio.Task[None] | None = None
        self.usage: Usage | None = None
        """The usage, as far as it was measured."""

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
        """Measures until it is cancelled. A failure does not change how the execution ends."""
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


class Recording:
    """The records of one container: its log, and samples of its usage. ``untouched``: none of the log is stored yet."""

    def __init__(self, ports: Ports, settings: WorkerSettings, execution: Execution, *, untouched: bool) -> None:
        store, executor, clock, id = ports.store, ports.executor, ports.clock, execution.id
        self._store = store
        self._id = id
        self._commands = CommandReader(store, id) if execution.spec.annotations else None
        copied = self._commands or store
        pump = Pump(copied, executor, clock, id, most=settings.log_cap, publish=ports.publish, untouched=untouched)
        self._log_copy = LogCopy(pump, store, clock, id, settings.limits.host_lost_after)
        self._meter = UsageMeter(executor, clock, id, settings.usage_every)

    @property
    def usage(self) -> Usage | None:
        """The container's usage, as far as it was measured."""
        return self._meter.usage

    def start(self, host: str, task: EngineTask) -> None:
        """Records a task that runs, from now on; does nothing when that has begun already."""
        self._log_copy.start(host, task.id)
        self._meter.start(host, task)

    async def close(self) -> None:
        """Ends the recording; what is stored stays."""
        await self._meter.close()
        await self._log_copy.close()

    async def finish(self, host: str, task: EngineTask | None) -> LogEnd | None:
        """Ends the recording, and stores the rest of an ended task's log; None when the task has no log. Raises HostDown while that may
        still succeed."""
        await self.close()
        if task is None or task.container_id is None:
            return None
        return await self._log_copy.finish(host, task.id)

    async def findings(self, head: Head) -> LogFindings:
        """What the stored log says to fastlane, which ends at this head; nothing where the job does not want that. Raises StoreDown."""
        return NO_FINDINGS if self._commands is None else await self._commands.findings(head)


UNEVENTFUL = frozenset({Phase.WAITING, Phase.PREPARING})


class ServiceObservation:
    """The tasks of one service as last seen. ``changed`` is set when a snapshot shows something that its watch would act upon."""

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


class Starter(Protocol):
    """Activates services."""

    async def activate(self, assignment: Assignment, execution: Execution) -> bool:
        """Starts the bound service of a pulling execution, unless a stop came first; False when another worker has taken the execution.
        Raises HostDown, OrderRefused, ServiceGone."""


class ExecutionWatch:
    """One execution under watch. ``run`` it once, then ``close`` it."""

    def __init__(
        self,
        ports: Ports,
        settings: WorkerSettings,
        hosts: WorkerHosts,
        starter: Starter,
        assignment: Assignment,
        execution: Execution,
        observation: ServiceObservation,
    ) -> None:
        self._store = ports.store
        self._executor = ports.executor
        self._clock = ports.clock
        self._publish = ports.publish
        self._limits = settings.limits
        self._hosts = hosts
        self._starter = starter
        self._assignment = assignment
        self._execution = execution
        self._observation = observation
        self._recording = Recording(ports, settings, execution, untouched=assignment.begin_watch() and execution.epoch == 1)
        self._troubles = NO_TROUBLES
        self._ran: EngineTask | None = None
        self._last_manager: str | None = None
        self._is_ours = True

    def note(self) -> Note | None:
        """The cause of its delay, as far as the last snapshot and the last answer show."""
        return self._troubles.note or note_of_tasks(self._execution, self._observation.tasks, self._limits)

    async def run(self) -> Execution | None:
        """Looks, judges, acts and waits until the execution is final (the final row) or another worker's (None).

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
        """Ends the recording of its container."""
        await self._recording.close()

    async def _step(self) -> Execution | None:
        """Looks once, and acts until nothing more follows from that. Returns the final row, if it was written."""
        self._observation.changed.clear()
        seen: Sight | Execution | None = await self._look()
        while seen is not None and not isinstance(seen, Execution):
            if isinstance(seen, NotShown) and not isinstance(seen.error, ServiceGone) and await self._hosts.is_elsewhere(self._execution):
                self._assignment.give_away()
                self._is_ours = False
                return None
            verdict, self._troubles = judge(self._execution, seen, self._troubles, self._clock.now(), self._limits)
            try:
                seen = await self._act(verdict, seen)
            except (ServiceGone, HostDown, OrderRefused) as error:
                seen = NotShown(error)
        return seen

    # looking

    async def _look(self) -> Sight:
        if (why := self._hosts.lost(self._execution)) is not None:
            return LostWithHost(why)
        try:
            service = await self._known_service() or await self._inspect()
        except (ServiceGone, HostDown, OrderRefused) as error:
            return NotShown(error)
        task = task_of(self._execution, service)
        if task is not None and task.phase is Phase.UNKNOWN and (why := self._hosts.lost(self._execution, node_down=True)) is not None:
            return LostWithHost(why)
        return service

    async def _known_service(self) -> EngineService | None:
        """Its service without asking for it again, if the activation or a snapshot shows all that matters: that it has just been
        activated, that its container runs, or that its command ended with 0. None for everything else, and if it must be stopped."""
        service = self._executor.just_activated(self._manager(), self._execution.service_id or "") or await self._shown_service()
        if service is None:
            return None
        verdict = verdict_of(self._execution, service, self._clock.now(), self._limits)
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

    # acting

    async def _act(self, verdict: Verdict, seen: Sight) -> Sight | Execution | None:
        """Acts on the verdict, and waits if nothing has to be done. Returns the final row, or another result of the action."""
        match verdict:
            case LookAgain(seconds):
                await first_of(self._clock, seconds, self._assignment.stop_event)
            case RecordEnd(ending, task):
                return await self._write(ending, await self._recording.finish(self._manager(), task))
            case ActivateService() | StopService() if isinstance(seen, EngineService):
                return await self._demand(verdict, seen)
            case RemoveService() if isinstance(seen, DemandRefused):
                return await self._demand(verdict, seen.service)
            case RecordStart(started) if isinstance(seen, EngineService):
                await self._record_start(started, seen)
            case WaitUntil(until) if isinstance(seen, EngineService):
                self._record(seen)
                await self._wait(until, stop_shown=seen.stopping)
        return None

    async def _demand(self, demand: StopService | ActivateService | RemoveService, service: EngineService) -> Sight | None:
        """Activates, stops or removes its service. Returns the refusal when the host does not do so."""
        try:
            match demand:
                case ActivateService():
                    self._is_ours = await self._starter.activate(self._assignment, self._execution)
                case StopService(why):
                    if self._troubles.disobeyed is None:
                        log.info("execution.stopping", **self._execution.names, why=why)
                    await self._executor.stop(self._manager(), service.id, why)
                case RemoveService(ending):
                    return await self._remove(ending, service)
        except (HostDown, OrderRefused, ServiceGone) as error:  # a proxy may answer 404 to an update of a service that is there
            return DemandRefused(service, demand, error)
        self._troubles = self._troubles.without("disobeyed")
        return None

    async def _remove(self, ending: Ending, service: EngineService) -> Sight | None:
        fresh = await self._store.execution(self._execution.id)
        if fresh is None or fresh.epoch != self._execution.epoch:
            return None
        await self._executor.remove(self._manager(), service.id)
        log.warning("service.removed_early", **self._execution.names, service_id=service.id, status=ending.status.value)
        return ServiceRemoved(service, ending)

    async def _record_start(self, started: Started, service: EngineService) -> None:
        """Writes the row of a running container. Then waits, unless the same answer of the engine demands something else."""
        if self._ran is None:  # else its log is read to the end at once, when a look shows that
            self._record(service)
        await self._announce_start()
        ran = await self._store.change(transitions.run(self._execution, started, now=self._clock.now()))
        if ran is None:
            return
        self._publish(Hint(ran.id, 0, ran.status))
        log.info("execution.started", task_id=ran.task_id, job_id=ran.job_id, execution_id=ran.id, host=ran.host, node=ran.node)
        verdict = verdict_of(ran, service, self._clock.now(), self._limits)
        if isinstance(verdict, WaitUntil):
            await self._wait(verdict.until, stop_shown=service.stopping)

    async def _announce_start(self) -> None:
        """Inserts the deliveries of a start before the start itself is written: when this worker ends in between, the next one finds the
        start not written, and inserts the same ones again."""
        if deliveries := start_notices(self._execution, self._limits.pools, self._clock.now()):
            await self._store.insert_deliveries(deliveries)

    def _record(self, service: EngineService) -> None:
        task = task_of(self._execution, service)
        if task is not None and task.phase is Phase.RUNNING:
            self._recording.start(self._manager(), task)

    async def _write(self, ending: Ending, log_end: LogEnd | None) -> Execution | None:
        head = log_end.head if log_end is not None else await self._store.log_head(self._execution.id)
        ran = self._execution.has_started or ending.started is not None
        logged = ending.with_log(head, lost=ran if log_end is None else log_end.gone, usage=self._recording.usage)
        if ending.started is not None:
            await self._announce_start()
        logged = saying(logged, await self._recording.findings(head))
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
                node=ended.node,
            )
        return ended

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


FASTEST, SLOWEST = 0.02, 0.5
"""Seconds between snapshots."""
REST = 19
"""Snapshots get rarer when lists grow: each is followed by a rest of this many times its processor time, since it costs an engine about as
much as this process. The time for which a busy engine lets a short list wait does not count."""
LATER, AT_MOST = 0.01, 0.2
"""Snapshots get rarer when nothing has started for a while: an end may be seen late by this part of the time for which its container has
been watched, and by this many seconds."""


IDLE = 2.0
"""Seconds between snapshots of a worker that watches nothing: they only count what runs on each host, which other workers have started."""


class Watcher:
    """Takes the snapshots, and makes the watches that wait for them. The ``starter`` starts a service that is found parked."""

    def __init__(self, ports: Ports, settings: WorkerSettings, hosts: WorkerHosts, starter: Starter) -> None:
        self._ports = ports
        self._settings = settings
        self._hosts = hosts
        self._starter = starter
        self._executor = ports.executor
        self._clock = ports.clock
        self._observations: dict[str, ServiceObservation] = {}
        self._watched: dict[str, Execution] = {}
        self._wanted = asyncio.Event()
        self._begun = asyncio.Event()
        self._begun_at = 0

    async def run(self) -> None:
        """Takes snapshots forever: rarely while nothing is watched, so that what is shown of the hosts stays true."""
        while True:
            if not self._wanted.is_set():
                await first_of(self._clock, IDLE, self._wanted)
            self._begun.clear()
            before, worked = self._clock.now(), thread_time()
            watched = {observation.swarm_id or observation.host for observation in self._observations.values()}
            self._update_observations(await self._executor.snapshot(watched))
            cost = min((self._clock.now() - before) / 1000, thread_time() - worked)  # the thread may have done other work, too
            await self._rest(min(SLOWEST, max(FASTEST, cost * REST)))

    async def _rest(self, least: float) -> None:
        """Waits until the next snapshot is due. One that is rarer because all has run for a while comes sooner when a watch begins."""
        await self._clock.sleep(least)
        age = (self._clock.now() - self._begun_at) / 1000
        more = min(AT_MOST, age * LATER) - least
        if more > 0:
            await first_of(self._clock, more, self._begun)

    def _update_observations(self, snapshot: ClusterSnapshot) -> None:
        hosts = self._executor.hosts()
        for service_id, observation in self._observations.items():
            host = observation.host
            seen_by = host if host in snapshot.tasks else reachable_manager(hosts, host, observation.swarm_id)
            services = snapshot.tasks.get(seen_by)
            observation.update(None if services is None else services.get(service_id, ()))

    def wake_lost(self) -> None:
        """Wakes the watches of executions that are lost with a removed host."""
        for execution in self._watched.values():
            if self._hosts.lost(execution) is not None:
                self._observations[execution.service_id or ""].changed.set()

    async def watch(self, assignment: Assignment, execution: Execution) -> Execution | None:
        """Watches a bound execution until it is final. Returns the final row, or None when another worker has the execution now."""
        if execution.service_id is None:
            raise ValueError(f"execution {execution.id} has no service to watch")
        self._watched[execution.service_id] = execution
        observation = self._observations[execution.service_id] = ServiceObservation(execution.host or "", execution.swarm_id)
        self._begun_at = self._clock.now()
        self._wanted.set()
        self._begun.set()
        watch = ExecutionWatch(self._ports, self._settings, self._hosts, self._starter, assignment, execution, observation)
        assignment.explain_with(watch.note)
        try:
            return await watch.run()
        finally:
            if self._observations.get(execution.service_id) is observation:
                del self._observations[execution.service_id]
                del self._watched[execution.service_id]
            if not self._observations:
                self._wanted.clear()
            await watch.close()

    async def has_ended(self, service_id: str, host: str, swarm_id: str | None) -> bool | None:
        """Whether a service has run to its end; None when no manager has it. For an execution whose row cannot be read."""
        gone = False
        for manager in reachable_managers(self._executor.hosts(), host, swarm_id):
            try:
                tasks = (await self._executor.inspect(manager, service_id)).tasks
            except ServiceGone:
                gone = True
            except (HostDown, OrderRefused):
                return False
            else:
                return bool(tasks) and tasks[0].phase is Phase.ENDED and not tasks[0].lingering  # a stop leaves a second one
        return None if gone else False
