"""``/tasks/T/jobs/J``, and what can be done to a job: stop, retry, run, pause and resume."""

from fastlane.errors import Fault, Invalid
from fastlane.web.api.contract import Parameter, operation, pages
from fastlane.web.api.json_schema import enum
from fastlane.web.api.requests.job import JobSchema
from fastlane.web.api.responses.actions import DELETED, ENQUEUED, STOPPED
from fastlane.web.api.responses.jobs import JOB_DETAIL
from fastlane.web.api.responses.pages import Listing
from fastlane.web.handler.handler import Handler
from fastlane.web.http.paging import BY_NUMBER, ListUrl
from fastlane.web.http.problems import Problem
from fastlane.web.http.query import read_all
from fastlane.web.routes.job_requests import DELETE_QUERY, answer_enqueued, read_idempotency_key, read_job_body, read_stop_first

EXECUTIONS = 20
"""Executions in a job's answer, unless ``perPage`` says otherwise."""


class JobHandler(Handler):
    """``/tasks/T/jobs/J``."""

    accepts_body = True
    chooses_job_id = True

    @operation(
        "getJob",
        JOB_DETAIL,
        query={"include": Parameter("Includes each execution's log and error.", enum(["logs"])), **pages(f"{EXECUTIONS}")},
        refusals=(404,),
    )
    async def on_get(self, task_id: str, job_id: str) -> None:
        """The job with its last 20 executions, or another page of them."""
        url = ListUrl.of_query(self.render_context.job_url(task_id, job_id), self.query, BY_NUMBER)
        include_logs, window = read_all(self._include_logs, lambda: url.window(self.query, default=EXECUTIONS))
        detail = await self.services.details.job(task_id, job_id, window, texts=include_logs)
        await self.answer(JOB_DETAIL, Listing(url, detail.executions, detail))

    @operation("putJob", ENQUEUED, body=JobSchema, idempotent=True)
    async def on_put(self, task_id: str, job_id: str) -> None:
        """Creates the job, or replaces its details and schedules it again."""
        if not self.body.strip():
            raise Problem(400, 'the body is empty; send a job such as {"image": "ubuntu:latest", "command": "ls -lah"}')
        spec, schedule = read_job_body(self)
        key = read_idempotency_key(self, "put", task_id, job_id)
        await answer_enqueued(self, await self.services.submissions.put(task_id, job_id, spec, schedule, self.requester, key))

    @operation("deleteJob", DELETED, query=DELETE_QUERY, refusals=(404, 409))
    async def on_delete(self, task_id: str, job_id: str) -> None:
        """Deletes the job and everything in it."""
        await self.answer(DELETED, await self.services.deletions.delete_job(task_id, job_id, stop=read_stop_first(self)))

    def _include_logs(self) -> bool:
        if self.query.get("include", "logs") != "logs":
            raise Invalid([Fault("include", 'is not "logs"')])
        return "include" in self.query


class StopJobHandler(Handler):
    """``/tasks/T/jobs/J/stop``."""

    @operation("stopJob", STOPPED, refusals=(404,), more="Safe to repeat at any time.")
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Stops the job's executions and keeps new ones from starting."""
        await self.answer(STOPPED, await self.services.stops.stop_job(task_id, job_id))


class RetryJobHandler(Handler):
    """``/tasks/T/jobs/J/retry``."""

    @operation("retryJob", ENQUEUED, idempotent=True, refusals=(404,))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Runs the job's last execution again now."""
        key = read_idempotency_key(self, "retry", task_id, job_id)
        await answer_enqueued(self, await self.services.manual_runs.retry(task_id, job_id, self.requester, key))


class RunJobHandler(Handler):
    """``/tasks/T/jobs/J/run``."""

    @operation("runJob", ENQUEUED, idempotent=True, refusals=(404,))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Runs the job once now."""
        key = read_idempotency_key(self, "run", task_id, job_id)
        await answer_enqueued(self, await self.services.manual_runs.run(task_id, job_id, self.requester, key))


class PauseJobHandler(Handler):
    """``/tasks/T/jobs/J/pause``."""

    @operation("pauseJob", STOPPED, refusals=(404, 409))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Pauses the job's schedule."""
        await self.answer(STOPPED, await self.services.pauses.pause(task_id, job_id))


class ResumeJobHandler(Handler):
    """``/tasks/T/jobs/J/resume``."""

    @operation("resumeJob", STOPPED, refusals=(404, 409))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Resumes the job's schedule."""
        await self.answer(STOPPED, await self.services.pauses.resume(task_id, job_id))
