"""``/tasks``, ``/search``, ``/tasks/T``, ``/tasks/T/jobs`` and ``/tasks/T/stop``."""

from collections.abc import Mapping

from fastlane.errors import Fault, Invalid
from fastlane.web.api.actions import DELETED, DRY_RUN, ENQUEUED, TASK_STOPPED, WAITED
from fastlane.web.api.contract import Parameter, operation, pages
from fastlane.web.api.job import JOB_BODY
from fastlane.web.api.jobs import JOB_PAGE, JOB_STATUSES, TASK_JOBS, TASK_PAGE
from fastlane.web.api.json_schema import enum
from fastlane.web.api.serializer import Listing
from fastlane.web.handler import Handler
from fastlane.web.http.problems import Problem
from fastlane.web.http.query import NAMES, ListUrl, read_all
from fastlane.web.routes.jobs import (
    DELETE_QUERY,
    ENQUEUE_QUERY,
    answer_enqueued,
    answer_preview,
    read_enqueue_query,
    read_idempotency_key,
    read_job_body,
    read_stop_first,
)

JOBS, FEWER_JOBS, MAX_JOBS = 1_000, (100, 10), 1_000
"""Jobs in a task's answer: unless the query asks for a page, when so many of its jobs are too large for one, and at most."""
MAX_SEARCH, MAX_WORDS = 1_000, 20
"""Characters and different words of a search: each word is a search of its own."""

SEARCH = Parameter(
    f"Words in task ids, or the beginnings of words; at most {MAX_WORDS}.",
    {"type": "string", "minLength": 1, "maxLength": MAX_SEARCH, "pattern": r"[^\s\u0000\u001c-\u001f\u0085]|\ufeff"},
    required=True,
)


JOB_FILTERS = {"status": Parameter("Only jobs with this status.", enum(JOB_STATUSES))}


class TasksHandler(Handler):
    """``/tasks``."""

    @operation("listTasks", TASK_PAGE, query=pages(), refusals=(404,))
    async def on_get(self) -> None:
        """All tasks, most recently changed first."""
        url = ListUrl.of_query(f"{self.base_url}/tasks/", self.query, visible=self.visible_tasks)
        window = url.window(self.query, default=self.web_settings.per_page)
        page = await self.services.lists.tasks(window, self.visible_tasks)
        await self.answer(TASK_PAGE, Listing(url, page, page))


class SearchHandler(Handler):
    """``/search``."""

    @operation("searchTasks", TASK_PAGE, query={"query": SEARCH, **pages()}, refusals=(404,))
    async def on_get(self) -> None:
        """Tasks by the words in their ids."""
        url = ListUrl.of_query(f"{self.base_url}/search/", self.query, visible=self.visible_tasks)
        words, window = read_all(self._words, lambda: url.window(self.query, default=self.web_settings.per_page))
        page = await self.services.lists.search(words, window, self.visible_tasks)
        await self.answer(TASK_PAGE, Listing(url, page, page))

    def _words(self) -> list[str]:
        text = self.query.get("query", "").replace("\0", " ")
        if not text.strip():
            raise Invalid([Fault("query", "is missing; add words of task ids, or their beginnings: /search?query=nightly+back")])
        if len(text) > MAX_SEARCH:
            raise Invalid([Fault("query", f"is longer than {MAX_SEARCH} characters; a task id has 255 bytes at most")])
        words = list(dict.fromkeys(text.split()))
        if len(words) > MAX_WORDS:
            raise Invalid([Fault("query", f"has {len(words)} words; name at most {MAX_WORDS}, the ones that tell the task from others")])
        return words


class TaskHandler(Handler):
    """``/tasks/T``."""

    accepts_body = True

    @operation(
        "listJobs",
        TASK_JOBS,
        query={**JOB_FILTERS, **pages(f"{JOBS:,}, fewer if the jobs are large", MAX_JOBS)},
        refusals=(404,),
    )
    async def on_get(self, task_id: str) -> None:
        """The task and its jobs, newest first."""
        url = ListUrl.of_query(self.render_context.task_url(task_id), self.query)
        status, window = read_all(lambda: _read_status(self.query), lambda: url.window(self.query, default=JOBS, most=MAX_JOBS))
        view = await self.services.lists.task(task_id, window, status, () if self.query.keys() & NAMES else FEWER_JOBS)
        await self.answer(TASK_JOBS, Listing(url, view.jobs, view))

    @operation(
        "enqueue",
        *(ENQUEUED, WAITED, DRY_RUN),
        query=ENQUEUE_QUERY,
        idempotent=True,
        body=JOB_BODY,
        more="Creates the task if it is new. With wait the reply includes the execution; with dryRun it is a preview.",
    )
    async def on_post(self, task_id: str) -> None:
        """Creates a job and enqueues or schedules it; or previews it."""
        if not self.body.strip():
            raise self._empty_body(task_id)
        dry_run, seconds = read_enqueue_query(self)
        key = read_idempotency_key(self, "enqueue", task_id)
        spec, schedule = read_job_body(self, task_id)
        if dry_run:
            return await answer_preview(self, task_id, spec, schedule)
        made = await self.services.submissions.enqueue(task_id, spec, schedule, self.requester, key)
        return await answer_enqueued(self, made, seconds)

    @operation("deleteTask", DELETED, query=DELETE_QUERY, refusals=(404, 409))
    async def on_delete(self, task_id: str) -> None:
        """Deletes the task and everything in it."""
        await self.answer(DELETED, await self.services.deletions.delete_task(task_id, stop=read_stop_first(self), by=self.requester))

    def _empty_body(self, task_id: str) -> Problem:
        url = self.render_context.task_url(task_id)
        return Problem(
            400,
            f"the body is empty. To list the jobs of this task: curl {url}. "
            f'To run one: curl -XPOST -d\'{{"image": "ubuntu:latest", "command": "ls -lah"}}\' {url} (only image is required)',
        )


class TaskJobsHandler(Handler):
    """``/tasks/T/jobs``."""

    @operation("listJobsOfTask", JOB_PAGE, query={**JOB_FILTERS, **pages()}, refusals=(404,))
    async def on_get(self, task_id: str) -> None:
        """The task's jobs, newest first, as other lists."""
        url = ListUrl.of_query(f"{self.render_context.task_url(task_id)}jobs/", self.query)
        status, window = read_all(lambda: _read_status(self.query), lambda: url.window(self.query, default=self.web_settings.per_page))
        view = await self.services.lists.task(task_id, window, status)
        await self.answer(JOB_PAGE, Listing(url, view.jobs, view.jobs))


class StopTaskHandler(Handler):
    """``/tasks/T/stop``."""

    @operation("stopTask", TASK_STOPPED, refusals=(404,))
    async def on_post(self, task_id: str) -> None:
        """Stops every job of the task."""
        await self.answer(TASK_STOPPED, await self.services.stops.stop_task(task_id, self.requester))


def _read_status(query: Mapping[str, str]) -> str | None:
    status = query.get("status")
    if status is not None and status not in JOB_STATUSES:
        raise Invalid([Fault("status", f"is not one of {', '.join(JOB_STATUSES)}")])
    return status
