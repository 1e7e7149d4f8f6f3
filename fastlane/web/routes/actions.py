"""The routes that do something to a job, a task or a pool that is there already: one service each, and its answer."""

from typing import Any

from fastlane.models.access import Role
from fastlane.services.jobs.results import Deleted, PoolPaused
from fastlane.web.api import responses
from fastlane.web.api.contract import ONCE, ONCE_REFUSALS, REPLAYED, flag, operation
from fastlane.web.api.idempotency import answer_once, read_once
from fastlane.web.http.handler import Handler
from fastlane.web.http.query import read_flag

STOP = "stop"
DELETION = {STOP: flag("Stops it first.")}
"""The query of a deletion."""


class RetryHandler(Handler):
    """``/tasks/T/jobs/J/retry``."""

    @operation("retryJob", responses.Enqueued, headers=ONCE, replies=REPLAYED, refusals=(404, *ONCE_REFUSALS))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Runs the job's last execution again now."""
        once = read_once(self, "retry", task_id, job_id)
        await answer_once(self, await self.services.jobs.retry(task_id, job_id, self.requester, once))


class RunHandler(Handler):
    """``/tasks/T/jobs/J/run``."""

    @operation("runJob", responses.Enqueued, headers=ONCE, replies=REPLAYED, refusals=(404, *ONCE_REFUSALS))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Runs the job once now."""
        once = read_once(self, "run", task_id, job_id)
        await answer_once(self, await self.services.jobs.run(task_id, job_id, self.requester, once))


class PauseHandler(Handler):
    """``/tasks/T/jobs/J/pause``."""

    @operation("pauseJob", responses.Stopped, refusals=(404, 409))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Holds the job's schedule."""
        await self.answer(self.renderer.stopped(await self.services.jobs.pause(task_id, job_id)))


class ResumeHandler(Handler):
    """``/tasks/T/jobs/J/resume``."""

    @operation("resumeJob", responses.Stopped, refusals=(404, 409))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Releases the job's schedule."""
        await self.answer(self.renderer.stopped(await self.services.jobs.resume(task_id, job_id)))


class StopJobHandler(Handler):
    """``/tasks/T/jobs/J/stop``."""

    @operation("stopJob", responses.Stopped, refusals=(404,), more="Safe to repeat, at every moment of the job's life.")
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Stops what runs of it and keeps the rest from starting."""
        await self.answer(self.renderer.stopped(await self.services.jobs.stop_job(task_id, job_id)))


class StopExecutionHandler(Handler):
    """``/tasks/T/jobs/J/executions/E/stop``."""

    @operation("stopExecution", responses.ExecutionStopped, refusals=(404,))
    async def on_post(self, task_id: str, job_id: str, execution_id: str) -> None:
        """Stops this one."""
        await self.answer(self.renderer.stopped(await self.services.jobs.stop_execution(task_id, job_id, execution_id)))


class StopTaskHandler(Handler):
    """``/tasks/T/stop``."""

    @operation("stopTask", responses.TaskStopped, refusals=(404,))
    async def on_post(self, task_id: str) -> None:
        """Stops every job of the task."""
        stopped = await self.services.jobs.stop_task(task_id)
        await self.answer({"taskId": task_id, "taskUrl": self.renderer.task_url(task_id), "stopped": stopped.stopped})


class PausePoolHandler(Handler):
    """``/pools/P/pause``."""

    write_role = Role.ADMIN

    @operation("pausePool", responses.PoolPaused, refusals=(404,))
    async def on_post(self, pool: str) -> None:
        """Holds all dispatch to the pool."""
        await self.answer(pool_paused(await self.services.jobs.pause_pool(pool)))


class ResumePoolHandler(Handler):
    """``/pools/P/resume``."""

    write_role = Role.ADMIN

    @operation("resumePool", responses.PoolPaused, refusals=(404,))
    async def on_post(self, pool: str) -> None:
        """Dispatches to the pool again."""
        await self.answer(pool_paused(await self.services.jobs.resume_pool(pool)))


async def delete(handler: Handler, task_id: str, job_id: str | None = None) -> None:
    """Answers a DELETE of a job, or (without one) of a whole task."""
    stop = read_flag(handler.query, STOP)
    jobs = handler.services.jobs
    gone = await (jobs.delete_task(task_id, stop=stop) if job_id is None else jobs.delete_job(task_id, job_id, stop=stop))
    await handler.answer(deleted(gone))


def deleted(gone: Deleted) -> dict[str, Any]:
    """What is gone; ``jobId`` is null for a whole task."""
    return {"taskId": gone.task_id, "jobId": gone.job_id, "deleted": True}


def pool_paused(held: PoolPaused) -> dict[str, Any]:
    """A pool, and whether it is held."""
    return {"pool": held.pool, "paused": held.paused}
