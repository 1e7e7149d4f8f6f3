"""The routes of tasks, jobs and executions: parse, call one service, render."""

from fastlane.web.handler import Handler
from fastlane.web.lists import TaskJobsHandler
from fastlane.web.problems import Problem
from fastlane.web.schemas import read_job
from fastlane.web.strictjson import read_object


class TaskHandler(TaskJobsHandler):
    """``/tasks/T``: a task's jobs, and one more of them."""

    reads_body = True

    async def on_post(self, task_id: str) -> None:
        """Makes a job and enqueues or schedules it."""
        if not self.body.strip():
            raise self._nothing_sent(task_id)
        now, most = self.services.clock.now(), self.context.settings.hard_retries
        spec, schedule = read_job(read_object(bytes(self.body)), now, hard_retries=most)
        await self.answer(self.renderer.enqueued(await self.services.jobs.enqueue(task_id, spec, schedule, self.requester)))

    def _nothing_sent(self, task_id: str) -> Problem:
        url = self.renderer.task_url(task_id)
        return Problem(
            400,
            f"the body is empty. To list the jobs of this task: curl {url} "
            f'To run one: curl -XPOST -d\'{{"image": "ubuntu:latest", "command": "ls -lah"}}\' {url} (only image is required)',
        )


class StopJobHandler(Handler):
    """``/tasks/T/jobs/J/stop``."""

    async def on_post(self, task_id: str, job_id: str) -> None:
        """Stops what runs of it and keeps the rest from starting."""
        await self.answer(self.renderer.stopped(await self.services.jobs.stop_job(task_id, job_id)))


class ExecutionHandler(Handler):
    """``/tasks/T/jobs/J/executions/E``."""

    async def on_get(self, task_id: str, job_id: str, execution_id: str) -> None:
        """The execution in full, with the end of its log."""
        await self.answer(self.renderer.execution(await self.services.queries.execution(task_id, job_id, execution_id)))


class StopExecutionHandler(Handler):
    """``/tasks/T/jobs/J/executions/E/stop``."""

    async def on_post(self, task_id: str, job_id: str, execution_id: str) -> None:
        """Stops this one."""
        await self.answer(self.renderer.stopped(await self.services.jobs.stop_execution(task_id, job_id, execution_id)))
