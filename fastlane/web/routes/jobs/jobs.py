"""``/tasks/T/jobs/J``, and what can be done to a job: stop, retry, run, pause and resume."""

from fastlane.errors import Fault, Invalid
from fastlane.web.api.contract import ETAG, Parameter, flag, operation, pages
from fastlane.web.api.json_schema import enum
from fastlane.web.api.requests.job import JobChangeSchema, JobSchema
from fastlane.web.api.responses.actions import DELETED, DRY_RUN, ENQUEUED, STOPPED, WAITED
from fastlane.web.api.responses.jobs import JOB_DETAIL
from fastlane.web.api.responses.pages import Listing
from fastlane.web.api.versions import etag
from fastlane.web.handler.handler import Handler
from fastlane.web.http.paging import BY_NUMBER, ListUrl
from fastlane.web.http.problems import Problem
from fastlane.web.http.query import read_all, read_flag
from fastlane.web.routes.jobs.job_requests import (
    DELETE_QUERY,
    ENQUEUE_QUERY,
    answer_changed_preview,
    answer_enqueued,
    answer_preview,
    read_edit,
    read_enqueue_query,
    read_expected,
    read_idempotency_key,
    read_job_body,
    read_stop_first,
)

RUN_QUERY = {"force": flag("Starts it at once, whatever the job's overlap says while it runs.")}
EXECUTIONS = 20
"""Executions in a job's answer, unless ``perPage`` says otherwise."""


class JobHandler(Handler):
    """``/tasks/T/jobs/J``."""

    accepts_body = True
    chooses_job_id = True

    @operation(
        "getJob",
        JOB_DETAIL,
        query={"include": Parameter("logs: includes each execution's log and error.", enum(["logs"])), **pages(f"{EXECUTIONS}")},
        etag=True,
        refusals=(404,),
    )
    async def on_get(self, task_id: str, job_id: str) -> None:
        """The job with its last 20 executions, or another page of them."""
        url = ListUrl.of_query(self.render_context.job_url(task_id, job_id), self.query, BY_NUMBER)
        include_logs, window = read_all(self._include_logs, lambda: url.window(self.query, default=EXECUTIONS))
        detail = await self.services.details.job(task_id, job_id, window, texts=include_logs)
        self.set_header(ETAG, etag(detail.view.job))
        await self.answer(JOB_DETAIL, Listing(url, detail.executions, detail))

    @operation("putJob", *(ENQUEUED, WAITED, DRY_RUN), query=ENQUEUE_QUERY, body=JobSchema, idempotent=True, conditional=True)
    async def on_put(self, task_id: str, job_id: str) -> None:
        """Creates the job, or replaces its details and schedules it again; or previews that."""
        if not self.body.strip():
            raise Problem(400, 'the body is empty; send a job such as {"image": "ubuntu:latest", "command": "ls -lah"}')
        dry_run, seconds = read_enqueue_query(self)
        key, expected = read_idempotency_key(self, "put", task_id, job_id), read_expected(self)
        spec, schedule = read_job_body(self, task_id)
        submissions = self.services.submissions
        if dry_run:
            await submissions.check_put(task_id, job_id, expected)
            return await answer_preview(self, task_id, spec, schedule)
        made = await submissions.put(task_id, job_id, spec, schedule, self.requester, key, expected)
        return await answer_enqueued(self, made, seconds)

    @operation(
        "patchJob",
        *(ENQUEUED, WAITED, DRY_RUN),
        query=ENQUEUE_QUERY,
        body=JobChangeSchema,
        idempotent=True,
        conditional=True,
        refusals=(404,),
        more="Null removes a field. The job is scheduled again only when its startAt, startIn, cron or timezone changes.",
    )
    async def on_patch(self, task_id: str, job_id: str) -> None:
        """Changes fields of the job; or previews that."""
        if not self.body.strip():
            raise Problem(400, 'the body is empty; send the fields that change, such as {"image": "ubuntu:24.04"}')
        dry_run, seconds = read_enqueue_query(self)
        key, expected = read_idempotency_key(self, "patch", task_id, job_id), read_expected(self)
        edits, edit = self.services.edits, read_edit(self, task_id)
        if dry_run:
            return await answer_changed_preview(self, await edits.preview(task_id, job_id, edit, expected))
        made = await edits.edit(task_id, job_id, edit, self.requester, key, expected)
        return await answer_enqueued(self, made, seconds)

    @operation("deleteJob", DELETED, query=DELETE_QUERY, conditional=True, refusals=(404, 409))
    async def on_delete(self, task_id: str, job_id: str) -> None:
        """Deletes the job and everything in it."""
        stop, expected = read_stop_first(self), read_expected(self)
        await self.answer(
            DELETED, await self.services.deletions.delete_job(task_id, job_id, stop=stop, expected=expected, by=self.requester)
        )

    def _include_logs(self) -> bool:
        if self.query.get("include", "logs") != "logs":
            raise Invalid([Fault("include", 'is not "logs"')])
        return "include" in self.query


class StopJobHandler(Handler):
    """``/tasks/T/jobs/J/stop``."""

    @operation("stopJob", STOPPED, conditional=True, refusals=(404,), more="Safe to repeat at any time.")
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Stops the job's executions and keeps new ones from starting."""
        await self.answer(STOPPED, await self.services.stops.stop_job(task_id, job_id, read_expected(self), self.requester))


class RetryJobHandler(Handler):
    """``/tasks/T/jobs/J/retry``."""

    @operation("retryJob", ENQUEUED, idempotent=True, refusals=(404,))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Runs the job's last execution again now."""
        key = read_idempotency_key(self, "retry", task_id, job_id)
        await answer_enqueued(self, await self.services.manual_runs.retry(task_id, job_id, self.requester, key))


class RunJobHandler(Handler):
    """``/tasks/T/jobs/J/run``."""

    @operation("runJob", ENQUEUED, query=RUN_QUERY, idempotent=True, refusals=(404,))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Runs the job once now."""
        force = read_flag(self.query, "force")
        key = read_idempotency_key(self, "run", task_id, job_id, wish="force" if force else "")
        await answer_enqueued(self, await self.services.manual_runs.run(task_id, job_id, self.requester, key, force=force))


class PauseJobHandler(Handler):
    """``/tasks/T/jobs/J/pause``."""

    @operation("pauseJob", STOPPED, refusals=(404, 409))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Pauses the job's schedule."""
        await self.answer(STOPPED, await self.services.pauses.pause(task_id, job_id, self.requester))


class ResumeJobHandler(Handler):
    """``/tasks/T/jobs/J/resume``."""

    @operation("resumeJob", STOPPED, refusals=(404, 409))
    async def on_post(self, task_id: str, job_id: str) -> None:
        """Resumes the job's schedule."""
        await self.answer(STOPPED, await self.services.pauses.resume(task_id, job_id, self.requester))
