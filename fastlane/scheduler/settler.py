"""What must follow a final state: the tick's row, the queue's slot; then, apart, the removal of its service."""

import structlog

from fastlane.errors import FastlaneError
from fastlane.executors.base import Executor
from fastlane.models import status
from fastlane.models.execution import Execution
from fastlane.models.status import Status
from fastlane.models.tick import Outcome
from fastlane.queue.base import Queue
from fastlane.storage.base import Store

log = structlog.get_logger()


class Settler:
    """Settles and cleans final executions. Both are safe to repeat, by anyone, from any point."""

    def __init__(self, store: Store, queue: Queue, executor: Executor) -> None:
        self._store = store
        self._queue = queue
        self._executor = executor

    async def settle(self, execution: Execution) -> Execution:
        """Writes what became of its tick, marks it settled, and frees its slot; the row after it."""
        settled: Execution | None = execution
        if not execution.settled:
            if execution.status is Status.STOPPED and not execution.has_started:
                await self._store.close_tick(execution.tick_id, Outcome.STOPPED, "stopped before its container started")
            settled = await self._store.change(status.settle(execution))
        await self._queue.finish({execution.id: 0})
        return settled or execution

    async def clean(self, execution: Execution) -> None:
        """Removes its service and marks it clean. A host that is away delays only this: the reconciler comes back to it."""
        if execution.cleaned:
            return
        if execution.service_id is not None and execution.host is not None:
            try:
                await self._executor.remove(execution.host, execution.service_id)
            except FastlaneError as error:
                log.warning("service.not_removed", execution_id=execution.id, host=execution.host, error=str(error))
                return
        await self._store.change(status.clean(execution))
