"""``/tasks/T/jobs/J``, and what can be done to a job: stop, retry, run, pause and resume."""

from fastlane.errors import Fault, Invalid
from fastlane.web.api import responses
from fastlane.web.api.contract import ONCE, ONCE_REFUSALS, REPLAYED, Parameter, operation, pages
from fastlane.web.api.idempotency import answer_once, read_once
from fastlane.web.api.json_schema import enum
from fastlane.web.api.requests import JobSchema
from fastlane.web.http.handler import Handler
from fastlane.web.http.paging import BY_NUMBER, ListUrl
from fastlane.web.http.problems import Problem
from fastlane.web.http.query import together
from fastlane.web.routes.job_requests import DELETE_QUERY, read_job_body, read_stop_first

EXECUTIONS = 20
"""Executions in a job's answer, unless ``perPage`` says otherwise."""


class JobHandler(Handler):
    """``/tasks/T/jobs/J``."""

    accepts_body = True
    chooses_job_id = True

    @operation(
        "getJob",
        responses.JobDetail,
        query={"include": Parameter("With each execution's log and error.", enum(["logs"])), **pages(f"{EXECUTIONS}")},
        refusals=(404,),
    )
    async def on_get(self, task_id: str, job_id: str) -> None:
        """The job with its last 20 executions, or another page of them."""
        url = ListUrl.of_query(self.renderer.job_url(task_id, job_id), self.query, BY_NUMBER)
        include_logs, window = together(self._include_logs, lambda: url.window(self.query, default=EXECUTIONS))
        await self.answer(self.renderer.job(url, await self.services.details.job(task_id, job_id, window, texts=include_logs)))

    @operation("putJob", responses.Enqueued, headers=ONCE, replies=REPLAYED, body=JobSchema, refusals=ONCE_REFUSALS)
    async def on_put(self, task_id: str, job_id: str) -> None:
        """Makes the job, or replaces its details and schedules it again."""
        if not self.body.strip():
            raise Problem(400, 'the body is empty; send what the job is to be, such as {"image": "ubuntu:latest", "command": "ls -lah"}')
        spec, schedule = read_job_body(self)
        key = read_once(self, "put", task_id, job_id)
        await answer_once(self, await self.services.submissions.put(task_id, job_id, spec, schedule, self.requester, key))

    @operation("deleteJob", responses.Deleted, query=DELETE_QUERY, refusals=(404, 409))
    async def on_delete(self, task_id: str, job_id: str) -> None:
        """Deletes the job with all that it has."""
        await self.services.deletions.delete_job(task_id, job_id, stop=read_stop_first(self))
        await self.answer({"taskId": task_id, "jobId": job_id, "deleted": True})

    def _include_logs(self) -> bool:
        if self.query.get("include", "logs") != "logs":
            raise Invalid([Fault("include", 'is not "logs"')])
        return "include" in self.query


class StopJobHandler(Handler):
    """``/tasks/T/jobs/J/stop``."""

    @operation("stopJob", responses.Stopped, refusals=(404,), more="Safe to repeat at any time.")
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Stops the job's executions and keeps new ones from starting."""
        await self.answer(self.renderer.stopped(await self.services.stops.stop_job(task_id, job_id)))


class RetryJobHandler(Handler):
    """``/tasks/T/jobs/J/retry``."""

    @operation("retryJob", responses.Enqueued, headers=ONCE, replies=REPLAYED, refusals=(404, *ONCE_REFUSALS))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Runs the job's last execution again now."""
        key = read_once(self, "retry", task_id, job_id)
        await answer_once(self, await self.services.manual_runs.retry(task_id, job_id, self.requester, key))


class RunJobHandler(Handler):
    """``/tasks/T/jobs/J/run``."""

    @operation("runJob", responses.Enqueued, headers=ONCE, replies=REPLAYED, refusals=(404, *ONCE_REFUSALS))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Runs the job once now."""
        key = read_once(self, "run", task_id, job_id)
        await answer_once(self, await self.services.manual_runs.run(task_id, job_id, self.requester, key))


class PauseJobHandler(Handler):
    """``/tasks/T/jobs/J/pause``."""

    @operation("pauseJob", responses.Stopped, refusals=(404, 409))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Pauses the job's schedule."""
        await self.answer(self.renderer.stopped(await self.services.pauses.pause(task_id, job_id)))


class ResumeJobHandler(Handler):
    """``/tasks/T/jobs/J/resume``."""

    @operation("resumeJob", responses.Stopped, refusals=(404, 409))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Resumes the job's schedule."""
        await self.answer(self.renderer.stopped(await self.services.pauses.resume(task_id, job_id)))
