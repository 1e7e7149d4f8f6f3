"""Finds the log that a path names, and what to tell where there is none."""

from fastlane.models.execution import Execution
from fastlane.services.reads.logs import LogView
from fastlane.web.api.render_context import RenderContext
from fastlane.web.handler.handler import Handler


async def find_log(handler: Handler, task_id: str, job_id: str, execution_id: str | None) -> LogView:
    """The log of an execution or, without one, of the job's newest execution that has started. Raises NotFound or NotStarted."""
    if execution_id is None:
        return await handler.services.logs.of_job(task_id, job_id)
    return await handler.services.logs.of_execution(task_id, job_id, execution_id)


def failure_words(context: RenderContext, execution: Execution) -> str:
    """Why an execution failed, without the secrets that the message may quote."""
    failure = execution.failure
    return "" if failure is None else context.redaction.message(failure.message, execution.spec.envs)
