"""The runner: takes one assignment from the present state of its row to its end.

Each step reads the row or gets it from the step before. A step that fails and may succeed later is tried again, from the row as it is then.
"""

import asyncio
import random
from collections import deque
from contextlib import suppress

import structlog

from fastlane.clock import end_if_cancelled
from fastlane.errors import HostDown, OrderRefused, ServiceGone, StoreDown, TransientError, Unreadable
from fastlane.log import may_quote
from fastlane.metrics import StorePart
from fastlane.models import transitions
from fastlane.models.job import Execution
from fastlane.models.status import STARTING, Status
from fastlane.models.trace import spans_of
from fastlane.queue.port import EntryKind
from fastlane.scheduler.known_workers import WorkerHosts
from fastlane.scheduler.launcher import Launcher
from fastlane.scheduler.leases import Assignment, Leases, note_of_error, note_of_fault
from fastlane.scheduler.ports import Ports
from fastlane.scheduler.settler import Settler
from fastlane.scheduler.timer import Timer
from fastlane.scheduler.watcher import Watcher

log = structlog.get_logger()

MIN_PAUSE, MAX_PAUSE = 0.1, 5.0
"""Seconds between two tries of a step, doubled each time."""
UNREADABLE_BACK_OFF = 60_000
"""Milliseconds until a worker reads an unreadable row again."""
REPORTED = 1024
"""How many unreadable rows are reported only once. Each is met every minute, and would fill the log."""
HAND_OVER_AFTER = 0.5
"""Seconds."""


class Runner:
    """Runs assignments: the timer's for a job, the launcher's, watcher's and settler's steps for an execution."""

    def __init__(
        self, ports: Ports, hosts: WorkerHosts, leases: Leases, timer: Timer, launcher: Launcher, watcher: Watcher, settler: Settler
    ) -> None:
        self._store = ports.store
        self._queue = ports.queue
        self._clock = ports.clock
        self._metrics = ports.metrics
        self._recorder = ports.recorder
        self._hosts = hosts
        self._leases = leases
        self._timer = timer
        self._launcher = launcher
        self._watcher = watcher
        self._settler = settler
        self._reported: deque[str] = deque(maxlen=REPORTED)

    async def run(self, assignment: Assignment, now: int) -> None:
        """Does all the work on an assignment, with as many tries as it takes. ``now``: the queue's time at the claim."""
        pause, logged = MIN_PAUSE, ""
        while True:
            try:
                await self._attempt(assignment, now)
                if assignment.given_away:
                    await self._hand_over(assignment)
                return
            except TransientError as error:
                if isinstance(error, StoreDown):
                    self._metrics.store_failed(StorePart.CLAIMED)
                if logged != str(error):  # once for each reason, or an outage of an hour fills a disk
                    logged = str(error)
                    log.warning("assignment.waiting", id=assignment.id, error=logged)
            except Exception as error:
                if logged != str(error):
                    logged = str(error)
                    log.exception("assignment.failed", id=assignment.id)
                assignment.explain(note_of_fault(assignment.id, assignment.epoch, assignment.note, self._clock.now()))
                pause = MAX_PAUSE
            end_if_cancelled()
            if assignment.lease.kind is EntryKind.JOB:
                self._leases.count_failed_tick(assignment)
            await self._clock.sleep(pause * (0.5 + random.random() / 2))
            pause = min(pause * 2, MAX_PAUSE)

    async def _attempt(self, assignment: Assignment, now: int) -> None:
        """Does all the work on an assignment. When its row cannot be read, another worker gets it after a while: a newer one may be able to
        read it. If it cannot be running, it has no slot until then, because others of its pool must not wait for it."""
        try:
            if assignment.lease.kind is EntryKind.JOB:
                await self._timer.handle(assignment.lease, now)
            else:
                await self._run_execution(assignment)
        except Unreadable as error:
            if assignment.id not in self._reported:
                self._reported.append(assignment.id)
                log.error("assignment.unreadable", id=assignment.id, error=str(error))
            if error.service_id is not None and not await self._has_ended(error, error.service_id):
                assignment.give_away()
                return
            # Strictly, or one that has expired or is to be stopped would be back at once, again and again.
            await self._queue.requeue(self._leases.owner, assignment.id, self._clock.now() + UNREADABLE_BACK_OFF, strict=True)

    async def _has_ended(self, unreadable: Unreadable, service_id: str) -> bool:
        """Whether the service of an unreadable row has ended. If it may still run, or is missing, the answer takes a while; a service that
        is missing all that time has ended."""
        where = (service_id, unreadable.host or "", unreadable.swarm_id)
        ended = await self._watcher.has_ended(*where)
        if not ended:
            await self._clock.sleep(UNREADABLE_BACK_OFF / 1000)
            return ended is None and await self._watcher.has_ended(*where) is not False
        return ended

    async def _hand_over(self, assignment: Assignment) -> None:
        """Leaves it to a worker that can ask its host. If that worker is too slow, this one claims it again, but not too often."""
        log.info("assignment.handed_over", id=assignment.id)
        await self._clock.sleep(HAND_OVER_AFTER)
        await self._leases.hand_over(assignment)

    async def _run_execution(self, assignment: Assignment) -> None:
        execution = await self._launcher.claim(assignment)
        if execution is None:
            await self._queue.finish({assignment.id: assignment.lease.revision})
            return
        may_quote(execution.spec.variables)
        if execution.status in STARTING and assignment.epoch is None:
            if await self._hosts.is_elsewhere(execution):
                assignment.give_away()
                return
            if not assignment.lease.resume and not await self._leases.confirm(assignment):
                return  # it was claimed as new, and had another owner before it was read
            taken = await self._store.change(transitions.take_over(execution))
            if taken is not None:
                assignment.take_over(taken.epoch)
                log_it = log.info if assignment.lease.resume else log.debug
                log_it("execution.taken_over", execution_id=taken.id, epoch=taken.epoch)
            execution = taken or await self._store.execution(assignment.id)
        while execution is not None and not execution.status.final:
            if execution.status in STARTING and execution.epoch != assignment.epoch:
                return
            execution = await self._step_with_note(assignment, execution)
        if execution is not None:
            settled = await self._settler.follow_up(execution)
            both = await asyncio.gather(self._release(assignment, settled), self._settler.clean(settled), return_exceptions=True)
            for fault in both:
                if isinstance(fault, BaseException):
                    raise fault

    async def _release(self, assignment: Assignment, settled: Execution) -> None:
        await self._settler.release(settled)
        self._count(settled)
        if self._recorder is not None:
            for span in spans_of(settled):
                self._recorder.record(span)
        self._leases.forget(assignment)

    def _count(self, ended: Execution) -> None:
        seconds = None
        if ended.started_at is not None and ended.finished_at is not None:
            seconds = (ended.finished_at - ended.started_at) / 1000
        reason = None if ended.failure is None else ended.failure.reason.value
        self._metrics.ended(ended.pool, ended.status.value, reason, seconds, ended.stdout_bytes, ended.stderr_bytes)
        if (usage := ended.usage) is not None:
            self._metrics.tasks.measured(
                ended.task_id,
                cpu_seconds=usage.cpu_ms / 1000,
                memory_peak=usage.memory_peak,
                read_bytes=usage.read_bytes or 0,
                written_bytes=usage.written_bytes or 0,
            )

    async def _step_with_note(self, assignment: Assignment, execution: Execution) -> Execution | None:
        """Takes a step, and records the cause of the delay if the step must be repeated."""
        try:
            after = await self._step(assignment, execution)
        except TransientError as error:
            assignment.explain(note_of_error(error, execution, assignment.note, self._clock.now(), self._launcher.limits))
            if assignment.stop_requested or not self._launcher.backs_off(execution, error):
                raise
            await self._launcher.put_back(assignment, execution, error)
            return None
        assignment.explain(None)
        return after

    async def _step(self, assignment: Assignment, execution: Execution) -> Execution | None:
        if execution.status is Status.ENQUEUED:
            return await self._launcher.decline(assignment, execution)
        if execution.service_id is None:
            return await self._launcher.bind(assignment, execution)
        self._leases.count_as_execution(assignment)
        with suppress(ServiceGone, HostDown, OrderRefused):  # the watch tries it again, within a bound
            if not await self._launcher.activate(assignment, execution):
                return None
        return await self._watcher.watch(assignment, execution)
