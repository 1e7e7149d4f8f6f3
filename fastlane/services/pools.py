"""Pauses and resumes pools, or all dispatch: nothing is dispatched to a paused pool; what runs there goes on, and what expires there ends.

Actions by which an operator puts right what fastlane cannot are here, too. Each is recorded with its reason before it is done, and is safe
to repeat.
"""

import structlog

from fastlane.errors import Conflict, NotFound, QueueDown
from fastlane.models import transitions
from fastlane.models.access import Requester
from fastlane.models.event import Event, EventKind
from fastlane.models.ids import derived_id
from fastlane.models.job import Ending, Execution
from fastlane.models.pool import HOLDS, REQUESTED, pool_for
from fastlane.models.status import Status
from fastlane.services.parts import Service
from fastlane.services.results import CurrentStatus, DispatchPaused, ExecutionCleaned, PoolPaused, QueueRebuild, WorkerForgotten
from fastlane.storage.lookup import find_execution, find_job

log = structlog.get_logger()


class Pools(Service):
    """Pauses and resumes single pools or all dispatch: the store remembers it, and the queue enforces it."""

    def hard_timeout(self, task_id: str) -> float | None:
        """The longest that an execution of the task may run, in seconds, where its pool has a limit of its own."""
        pool = pool_for(self._pools, task_id)
        return None if pool is None else pool.hard_timeout

    async def pause(self, name: str, by: Requester | None = None) -> PoolPaused:
        """Pauses a pool: nothing of it is claimed from the answer on. Safe to repeat. Raises NotFound for an unknown pool, and QueueDown;
        the pause may be stored by then, and takes effect once the queue is back."""
        if not await self._set_paused(name, by, paused=True):
            raise QueueDown(f"the pause of pool {name!r} is stored, but the queue does not answer: it takes effect once the queue does")
        return PoolPaused(name, True)

    async def resume(self, name: str, by: Requester | None = None) -> PoolPaused:
        """Dispatches to the pool again, as soon as the queue answers; safe to repeat. Raises NotFound for an unknown pool."""
        await self._set_paused(name, by, paused=False)
        return PoolPaused(name, False)

    async def pause_all(self, by: Requester | None = None) -> DispatchPaused:
        """Pauses all dispatch, as ``pause`` does a pool."""
        await self._outbox.check()
        await self._record(EventKind.DISPATCH_PAUSED, by)
        pauses = await self._store.pause_pool(REQUESTED, True)
        log.info("dispatch.paused", revision=pauses.revision)
        if not await self._outbox.pause(pauses):
            raise QueueDown("the pause of all dispatch is stored, but the queue does not answer: it takes effect once the queue does")
        return DispatchPaused(True)

    async def resume_all(self, by: Requester | None = None) -> DispatchPaused:
        """Ends the pause of all dispatch, whatever it was for; paused pools stay paused. Safe to repeat."""
        await self._outbox.check()
        await self._record(EventKind.DISPATCH_RESUMED, by)
        for hold in sorted(HOLDS):
            pauses = await self._store.pause_pool(hold, False)
        log.info("dispatch.resumed", revision=pauses.revision)
        await self._outbox.pause(pauses)
        return DispatchPaused(False)

    async def _record(self, kind: EventKind, by: Requester | None, pool: str | None = None) -> None:
        """Records who asks for it, before it is done."""
        await self._store.add_events([Event.now(kind, self._clock.now(), by, pool=pool)])

    async def _set_paused(self, name: str, by: Requester | None, *, paused: bool) -> bool:
        """Returns whether the queue has it already."""
        if name not in {pool.name for pool in self._pools}:
            known = ", ".join(sorted(pool.name for pool in self._pools))
            raise NotFound(f"there is no pool {name!r}; the pools are: {known}")
        await self._outbox.check()
        await self._record(EventKind.POOL_PAUSED if paused else EventKind.POOL_RESUMED, by, name)
        pauses = await self._store.pause_pool(name, paused)
        log.info("pool.paused" if paused else "pool.resumed", pool=name, revision=pauses.revision)
        return await self._outbox.pause(pauses)


ROUNDS = 10
TO_BE_REBUILT = ", to be rebuilt"


class OperatorActions(Service):
    """Ends, cleans, rebuilds and forgets by hand. Raises StoreDown and QueueDown."""

    async def end_execution(self, task_id: str, job_id: str, execution_id: str, reason: str, by: Requester | None = None) -> CurrentStatus:
        """Ends an execution that was asked to stop and does not end; its status is ``stopped``. Its service is removed as soon as its host
        answers; until then its container may still be running. Raises NotFound, and Conflict when no stop was asked for."""
        await find_job(self._store, task_id, job_id)
        execution = await find_execution(self._store, task_id, job_id, execution_id)
        for _ in range(ROUNDS):
            if execution.status.final:
                break
            if execution.stop_requested_at is None:
                raise Conflict(f"execution {execution_id} is {execution.status}, and no stop was asked for; stop it first")
            ended = await self._end(execution, reason, by)
            if ended is not None:
                log.warning("execution.ended_by_hand", **ended.names, host=ended.host, reason=reason)
                execution = ended
                break
            execution = await self._store.execution(execution_id) or execution
        await self._outbox.pass_on_stop(execution)
        return CurrentStatus(task_id, job_id, execution_id, execution.status, execution.is_stopping)

    async def mark_cleaned(
        self, task_id: str, job_id: str, execution_id: str, reason: str, by: Requester | None = None
    ) -> ExecutionCleaned:
        """Counts an execution's service as removed, because its host will not come back. Should it, the service is removed as a leftover.
        Raises NotFound, and Conflict when the execution has not ended, or is not settled."""
        execution = await find_execution(self._store, task_id, job_id, execution_id)
        if not execution.status.final:
            raise Conflict(f"execution {execution_id} is {execution.status}; stop it first or, when that has no effect, end it by hand")
        if not execution.settled:
            raise Conflict(f"execution {execution_id} has ended, but a worker has not settled it yet; try again in a moment")
        if not execution.cleaned:
            await self._record(EventKind.EXECUTION_MARKED_CLEANED, execution, reason, by)
            await self._store.change(transitions.clean(execution))
            log.warning("execution.marked_cleaned", **execution.names, host=execution.host, service_id=execution.service_id, reason=reason)
        return ExecutionCleaned(task_id, job_id, execution_id)

    async def rebuild_queue(self, reason: str, by: Requester | None = None) -> QueueRebuild:
        """Makes the workers build the queue anew from the store. Nothing is dispatched until then; what runs goes on. While a rebuild is
        requested or under way, another request changes nothing."""
        seen, stored = await self._queue.generation.identity(), await self._store.generation()
        if seen.generation != str(stored.number) or stored.builder is not None:
            return QueueRebuild(begun=False)
        now, number = self._clock.now(), stored.number
        id = derived_id(REBUILD_REQUESTS, str(number))
        await self._store.add_events([Event.now(EventKind.QUEUE_REBUILD, now, by, id=id, reason=reason, generation=number)])
        begun = await self._queue.generation.set_generation(f"{number}{TO_BE_REBUILT}", before=seen.generation)
        log.warning("queue.rebuild_requested", generation=number, reason=reason)
        return QueueRebuild(begun)

    async def forget_worker(self, worker: str, reason: str, by: Requester | None = None) -> WorkerForgotten:
        """Drops a worker's last report, so that nobody waits for the worker or counts on it. Its leases run out by themselves. A worker
        that is alive reports again within a second. Raises NotFound for a worker without a report."""
        known = [report for report in await self._reports.current() if report.worker == worker]
        if not known:
            alive = ", ".join(report.worker for report in await self._reports.current()) or "none"
            raise NotFound(f"there is no worker {worker[:200]!r}; the workers are: {alive}")
        await self._store.add_events([Event.now(EventKind.WORKER_FORGOTTEN, self._clock.now(), by, worker=worker, reason=reason)])
        await self._reports.announce(known[0], ttl=0)
        log.warning("worker.forgotten", worker=worker, reason=reason)
        return WorkerForgotten(worker)

    async def _end(self, execution: Execution, reason: str, by: Requester | None) -> Execution | None:
        now = self._clock.now()
        await self._record(EventKind.EXECUTION_ENDED_BY_HAND, execution, reason, by)
        head = await self._store.log_head(execution.id)
        ending = Ending(Status.STOPPED, now).with_log(head, lost=execution.has_started)
        return await self._store.change(transitions.end_by_hand(execution, ending, now=now))

    async def _record(self, kind: EventKind, execution: Execution, reason: str, by: Requester | None) -> None:
        """Records who asked for it first."""
        id, where = derived_id(execution.id, kind), {"host": execution.host, "pool": execution.pool}
        await self._store.add_events([Event.now(kind, self._clock.now(), by, id=id, **execution.names, **where, reason=reason)])


REBUILD_REQUESTS = "00000000-0000-7000-8000-000000000001"
"""The ids of events about requested rebuilds derive from this and the number of the generation."""
