"""What an operator puts right by hand, when fastlane cannot. Each action is recorded with its reason before it is done, and is safe to
repeat."""

import structlog

from fastlane.errors import Conflict, NotFound
from fastlane.models import transitions
from fastlane.models.access import Requester
from fastlane.models.event import Event, EventKind
from fastlane.models.execution import Ending, Execution
from fastlane.models.ids import derived_id
from fastlane.models.status import Status
from fastlane.services.parts import Service
from fastlane.services.results import CurrentStatus, ExecutionCleaned, QueueRebuild, WorkerForgotten
from fastlane.storage.lookup import find_execution, find_job

ROUNDS = 10
TO_BE_REBUILT = ", to be rebuilt"

log = structlog.get_logger()


class OperatorActions(Service):
    """Ends, cleans, rebuilds and forgets by hand. Raises StoreDown and QueueDown."""

    async def end_execution(self, task_id: str, job_id: str, execution_id: str, reason: str, by: Requester | None = None) -> CurrentStatus:
        """Ends an execution as stopped that was asked to stop and does not end. Its service is removed as soon as its host answers; until
        then its container may still be running. Raises NotFound, and Conflict when no stop was asked for."""
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
            await self._tell(EventKind.EXECUTION_MARKED_CLEANED, execution, reason, by)
            await self._store.change(transitions.clean(execution))
            log.warning("execution.marked_cleaned", **execution.names, host=execution.host, service_id=execution.service_id, reason=reason)
        return ExecutionCleaned(task_id, job_id, execution_id)

    async def rebuild_queue(self, reason: str, by: Requester | None = None) -> QueueRebuild:
        """Has the workers build the queue anew from the store. Nothing is dispatched until then; what runs goes on. While a rebuild is to
        come or goes on, another one changes nothing."""
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
        """Drops what a worker last said of itself, so that nobody waits for it or counts on it. Its leases run out by themselves. One that
        is alive reports itself again within a second. Raises NotFound for a worker of which nothing is known."""
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
        await self._tell(EventKind.EXECUTION_ENDED_BY_HAND, execution, reason, by)
        head = await self._store.log_head(execution.id)
        ending = Ending(Status.STOPPED, now).with_log(head, lost=execution.has_started)
        return await self._store.change(transitions.end_by_hand(execution, ending, now=now))

    async def _tell(self, kind: EventKind, execution: Execution, reason: str, by: Requester | None) -> None:
        """Records who asked for it; the first who did."""
        id, where = derived_id(execution.id, kind), {"host": execution.host, "pool": execution.pool}
        await self._store.add_events([Event.now(kind, self._clock.now(), by, id=id, **execution.names, **where, reason=reason)])


REBUILD_REQUESTS = "00000000-0000-7000-8000-000000000001"
"""From which the ids of events about requested rebuilds derive, with the number of the generation."""
