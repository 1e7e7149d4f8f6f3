"""``/tasks/T/jobs/J``, and what can be done to a job: stop, retry, run, pause and resume."""

from fastlane.errors import Fault, Invalid
from fastlane.models.ids import IdempotencyKey
from fastlane.models.job import ExpectedVersions, Job, Spec
from fastlane.models.job_change import JobChange
from fastlane.models.paging import WantedJobs
from fastlane.models.pool import pool_for
from fastlane.models.schedule import Schedule
from fastlane.services.changes import Edit
from fastlane.services.results import Enqueued
from fastlane.web.api.actions import DELETED, DRY_RUN, ENQUEUED, STOPPED, WAITED, WaitedFor
from fastlane.web.api.contract import ETAG, IDEMPOTENCY_KEY, REPLAYED, Parameter, etag, flag, operation, pages, read_if_match, read_key
from fastlane.web.api.job import JOB_BODY, JOB_CHANGE_BODY, JobRules, read_change, read_job
from fastlane.web.api.jobs import JOB_DETAIL, JOB_PAGE, JOB_STATUSES, TICK_PAGE
from fastlane.web.api.json_schema import TASK_ID, comma_list, enum, integer
from fastlane.web.api.serializer import Listing
from fastlane.web.api.values import LABEL, MAX_LABEL
from fastlane.web.api.why import WHY
from fastlane.web.handler import Handler
from fastlane.web.http.problems import Problem
from fastlane.web.http.query import BY_NUMBER, ListUrl, read_all, read_flag, read_integer
from fastlane.web.http.strict_json import read_object
from fastlane.web.routes.executions import read_task

MAX_WAIT = 60

DELETE_QUERY = {"stop": flag("Stops it before deleting it.")}
ENQUEUE_QUERY = {
    "dryRun": flag("Previews the job and changes nothing."),
    "wait": Parameter(
        f"Answers when the job has ended, with its retries, or after this many seconds, {MAX_WAIT} at most.", integer(0, MAX_WAIT)
    ),
}


def read_job_body(handler: Handler, task_id: str) -> tuple[Spec, Schedule]:
    """What to run and when. Raises Invalid with every fault."""
    return read_job(read_object(bytes(handler.body)), handler.services.clock.now(), _rules(handler, task_id))


def read_edit(handler: Handler, task_id: str) -> Edit:
    """The change of a job that the body describes. Raises Invalid when it is not an object; the edit raises all other faults."""
    body, rules = read_object(bytes(handler.body)), _rules(handler, task_id)

    def edit(job: Job, now: int) -> tuple[Spec, Schedule]:
        return read_change(body, job, now, rules)

    return edit


def _rules(handler: Handler, task_id: str) -> JobRules:
    """The server's rules for a job of the task."""
    settings = handler.web_settings
    own = handler.services.pools.hard_timeout(task_id)
    timeout = settings.hard_timeout if own is None else own
    return JobRules(settings.hard_retries, timeout, settings.timezone, settings.webhook_allow, settings.notify_allow)


def read_enqueue_query(handler: Handler) -> tuple[bool, int]:
    """Whether a request is a dry run, and how many seconds it waits for the execution. Raises Invalid with every fault."""
    if not handler.query:
        return False, 0
    dry_run, seconds = read_all(
        lambda: read_flag(handler.query, "dryRun"),
        lambda: read_integer(handler.query, "wait", 0, 0, MAX_WAIT),
    )
    return dry_run, seconds


def read_stop_first(handler: Handler) -> bool:
    """Whether a deletion stops its target first."""
    return read_flag(handler.query, "stop")


def read_idempotency_key(handler: Handler, *scope: str, wish: str = "") -> IdempotencyKey | None:
    """The request's idempotency key. ``wish``: what the query asks for, which counts like a part of the body. Raises Invalid."""
    if IDEMPOTENCY_KEY not in handler.request.headers:
        return None  # without making up who asks, and a copy of the body
    return read_key(handler.request.headers, handler.requester.user, bytes(handler.body) + wish.encode(), *scope)


def read_expected(handler: Handler) -> ExpectedVersions | None:
    """The versions of the job that the request expects. Raises Invalid."""
    return read_if_match(handler.request.headers)


async def answer_preview(handler: Handler, task_id: str, spec: Spec, schedule: Schedule) -> None:
    """Answers with what a job would be."""
    await handler.answer(DRY_RUN, await handler.services.previewer.preview(task_id, spec, schedule))


async def answer_changed_preview(handler: Handler, change: JobChange) -> None:
    """Answers with what a job would be after a change."""
    await handler.answer(DRY_RUN, await handler.services.previewer.preview_change(change))


async def answer_enqueued(handler: Handler, made: Enqueued, seconds: int = 0) -> None:
    """Answers with the ids of an accepted job and, after waiting for at most so many seconds, with its execution."""
    if made.replayed:
        handler.set_header(REPLAYED, "true")
    else:
        pool = pool_for(handler.services.directory.pools, made.task_id)
        handler.context.metrics.enqueued(None if pool is None else pool.name)
    if not seconds:
        return await handler.answer(ENQUEUED, made)
    return await handler.answer(WAITED, WaitedFor(made, await handler.services.completion.wait(made, seconds)))


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

    @operation("putJob", *(ENQUEUED, WAITED, DRY_RUN), query=ENQUEUE_QUERY, body=JOB_BODY, idempotent=True, conditional=True)
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
        body=JOB_CHANGE_BODY,
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


FILTERS = {
    "status": Parameter(
        f"Only jobs with this status, or with one of several, separated by commas: {', '.join(JOB_STATUSES)}.", comma_list(JOB_STATUSES)
    ),
    "task": Parameter("Only jobs of this task.", TASK_ID),
    "label": Parameter(
        "Only jobs with this label: NAME=VALUE.",
        {"type": "string", "pattern": rf"^{LABEL.pattern}=[^\u0000-\u001f\u007f-\u009f]{{0,{MAX_LABEL}}}$"},
    ),
}


class JobsHandler(Handler):
    """``/jobs``."""

    @operation("listAllJobs", JOB_PAGE, query={**FILTERS, **pages()}, refusals=(404,))
    async def on_get(self) -> None:
        """Jobs of all tasks, newest first; by status, by task, by label."""
        url = ListUrl.of_query(f"{self.base_url}/jobs/", self.query, visible=self.visible_tasks)
        statuses, task_id, label, window = read_all(
            self._statuses,
            lambda: read_task(self.query),
            self._label,
            lambda: url.window(self.query, default=self.web_settings.per_page),
        )
        page = await self.services.lists.jobs(WantedJobs(statuses, task_id, label, self.visible_tasks), window)
        await self.answer(JOB_PAGE, Listing(url, page, page))

    def _statuses(self) -> frozenset[str]:
        words = self.query["status"].split(",") if "status" in self.query else []
        if any(word not in JOB_STATUSES for word in words):
            raise Invalid([Fault("status", f"is not one of {', '.join(JOB_STATUSES)} (separate several with commas)")])
        return frozenset(words)

    def _label(self) -> tuple[str, str] | None:
        if "label" not in self.query:
            return None
        name, equals, value = self.query["label"].partition("=")
        if not equals or not LABEL.fullmatch(name):
            raise Invalid([Fault("label", "is not a label with its value; write NAME=VALUE, such as team=data")])
        return name, value


class TicksHandler(Handler):
    """``/tasks/T/jobs/J/ticks``."""

    @operation("listTicks", TICK_PAGE, query=pages(), refusals=(404,))
    async def on_get(self, task_id: str, job_id: str) -> None:
        """The job's tick ledger, the latest due first."""
        url = ListUrl.of_query(f"{self.render_context.job_url(task_id, job_id)}ticks/", self.query)
        window = url.window(self.query, default=self.web_settings.per_page)
        view = await self.services.lists.ticks(task_id, job_id, window)
        await self.answer(TICK_PAGE, Listing(url, view.ticks, view))


class WhyHandler(Handler):
    """``…/why``, of a job or of one execution."""

    @operation("getWhy", WHY, refusals=(404,))
    async def on_get(self, task_id: str, job_id: str, execution_id: str | None = None) -> None:
        """What it waits for now."""
        why = self.services.why
        if execution_id is None:
            explained = await why.job(task_id, job_id)
        else:
            explained = await why.execution(task_id, job_id, execution_id)
        self.set_header("Cache-Control", "no-store")
        await self.answer(WHY, explained)
