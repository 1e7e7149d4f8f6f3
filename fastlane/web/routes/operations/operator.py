"""What an operator puts right by hand: ends an execution that does not end, marks one as cleaned, rebuilds the queue, forgets a worker."""

from fastlane.models.access import Role
from fastlane.web.api.contract import operation
from fastlane.web.api.requests.reason import ReasonSchema, read_reason
from fastlane.web.api.responses.actions import EXECUTION_STOPPED
from fastlane.web.api.responses.operator import EXECUTION_CLEANED, QUEUE_REBUILD, WORKER_FORGOTTEN
from fastlane.web.handler.handler import Handler
from fastlane.web.http.strict_json import read_object


class OperatorHandler(Handler):
    """An action that only administrators may do, and that says why."""

    accepts_body = True
    write_role = Role.ADMIN

    @property
    def reason(self) -> str:
        """Why it is done. Raises Invalid."""
        return read_reason(read_object(bytes(self.body)))


class EndExecutionHandler(OperatorHandler):
    """``/tasks/T/jobs/J/executions/E/end``."""

    @operation(
        "endExecution",
        EXECUTION_STOPPED,
        body=ReasonSchema,
        refusals=(404, 409),
        more="It must have been asked to stop. Its container may still be running until its host answers.",
    )
    async def on_post(self, task_id: str, job_id: str, execution_id: str) -> None:
        """Ends an execution as stopped that does not end by itself."""
        done = await self.services.operator.end_execution(task_id, job_id, execution_id, self.reason, self.requester)
        await self.answer(EXECUTION_STOPPED, done)


class MarkCleanedHandler(OperatorHandler):
    """``/tasks/T/jobs/J/executions/E/mark-cleaned``."""

    @operation("markExecutionCleaned", EXECUTION_CLEANED, body=ReasonSchema, refusals=(404, 409))
    async def on_post(self, task_id: str, job_id: str, execution_id: str) -> None:
        """Counts the service of an execution that has ended as removed."""
        done = await self.services.operator.mark_cleaned(task_id, job_id, execution_id, self.reason, self.requester)
        await self.answer(EXECUTION_CLEANED, done)


class RebuildQueueHandler(OperatorHandler):
    """``/queue/rebuild``."""

    @operation("rebuildQueue", QUEUE_REBUILD, body=ReasonSchema)
    async def on_post(self) -> None:
        """Has the workers build the queue anew from the store. What runs goes on."""
        await self.answer(QUEUE_REBUILD, await self.services.operator.rebuild_queue(self.reason, self.requester))


class ForgetWorkerHandler(OperatorHandler):
    """``/workers/W/forget``."""

    @operation("forgetWorker", WORKER_FORGOTTEN, body=ReasonSchema, refusals=(404,))
    async def on_post(self, worker: str) -> None:
        """Drops what a worker last said of itself; one that is alive reports itself again."""
        await self.answer(WORKER_FORGOTTEN, await self.services.operator.forget_worker(worker, self.reason, self.requester))
