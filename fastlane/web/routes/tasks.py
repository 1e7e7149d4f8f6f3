"""Tasks: their lists, the jobs of one, and enqueueing into one."""

from collections.abc import Mapping

from fastlane.errors import Fault, Invalid
from fastlane.web.api.contract import Parameter, pages
from fastlane.web.api.json_schema import enum
from fastlane.web.api.requests.job import JobSchema
from fastlane.web.api.responses.actions import DELETED, DRY_RUN, ENQUEUED, TASK_STOPPED, WAITED
from fastlane.web.api.responses.jobs import JOB_PAGE, JOB_STATUSES, TASK_JOBS, TASK_PAGE
from fastlane.web.api.serializer import Listing
from fastlane.web.handler import Handler
from fastlane.web.http.problems import Problem
from fastlane.web.http.query import NAMES, ListUrl, read_all
from fastlane.web.routes.executions import TASK
from fastlane.web.routes.jobs import (
    DELETE_QUERY,
    ENQUEUE_QUERY,
    accepted,
    preview,
    read_enqueue_query,
    read_idempotency_key,
    read_job_body,
    read_stop_first,
)
from fastlane.web.routing import route

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


@route("GET", "/tasks", "listTasks", TASK_PAGE, query=pages(), refusals=(404,))
async def list_tasks(handler: Handler) -> object:
    """All tasks, most recently changed first."""
    url = ListUrl.of_query(f"{handler.base_url}/tasks/", handler.query, visible=handler.visible_tasks)
    window = url.window(handler.query, default=handler.web_settings.per_page)
    page = await handler.services.lists.tasks(window, handler.visible_tasks)
    return Listing(url, page, page)


@route("GET", "/search", "searchTasks", TASK_PAGE, query={"query": SEARCH, **pages()}, refusals=(404,))
async def search_tasks(handler: Handler) -> object:
    """Tasks by the words in their ids."""
    url = ListUrl.of_query(f"{handler.base_url}/search/", handler.query, visible=handler.visible_tasks)
    words, window = read_all(lambda: _words(handler.query), lambda: url.window(handler.query, default=handler.web_settings.per_page))
    page = await handler.services.lists.search(words, window, handler.visible_tasks)
    return Listing(url, page, page)


def _words(query: Mapping[str, str]) -> list[str]:
    text = query.get("query", "").replace("\0", " ")
    if not text.strip():
        raise Invalid([Fault("query", "is missing; add words of task ids, or their beginnings: /search?query=nightly+back")])
    if len(text) > MAX_SEARCH:
        raise Invalid([Fault("query", f"is longer than {MAX_SEARCH} characters; a task id has 255 bytes at most")])
    words = list(dict.fromkeys(text.split()))
    if len(words) > MAX_WORDS:
        raise Invalid([Fault("query", f"has {len(words)} words; name at most {MAX_WORDS}, the ones that tell the task from others")])
    return words


@route(
    "GET",
    TASK,
    "listJobs",
    TASK_JOBS,
    query={**JOB_FILTERS, **pages(f"{JOBS:,}, fewer if the jobs are large", MAX_JOBS)},
    refusals=(404,),
)
async def list_jobs(handler: Handler, task_id: str) -> object:
    """The task and its jobs, newest first."""
    url = ListUrl.of_query(handler.render_context.task_url(task_id), handler.query)
    status, window = read_all(lambda: _read_status(handler.query), lambda: url.window(handler.query, default=JOBS, most=MAX_JOBS))
    view = await handler.services.lists.task(task_id, window, status, () if handler.query.keys() & NAMES else FEWER_JOBS)
    return Listing(url, view.jobs, view)


@route(
    "POST",
    TASK,
    "enqueue",
    *(ENQUEUED, WAITED, DRY_RUN),
    query=ENQUEUE_QUERY,
    idempotent=True,
    body=JobSchema,
    more="Creates the task if it is new. With wait the reply includes the execution; with dryRun it is a preview.",
)
async def enqueue(handler: Handler, task_id: str) -> object:
    """Creates a job and enqueues or schedules it; or previews it."""
    if not handler.body.strip():
        raise _empty_body(handler.render_context.task_url(task_id))
    dry_run, seconds = read_enqueue_query(handler)
    key = read_idempotency_key(handler, "enqueue", task_id)
    spec, schedule = read_job_body(handler, task_id)
    if dry_run:
        return await preview(handler, task_id, spec, schedule)
    made = await handler.services.submissions.enqueue(task_id, spec, schedule, handler.requester, key)
    return await accepted(handler, made, seconds)


@route("DELETE", TASK, "deleteTask", DELETED, query=DELETE_QUERY, refusals=(404, 409))
async def delete_task(handler: Handler, task_id: str) -> object:
    """Deletes the task and everything in it."""
    return await handler.services.deletions.delete_task(task_id, stop=read_stop_first(handler), by=handler.requester)


def _empty_body(url: str) -> Problem:
    return Problem(
        400,
        f"the body is empty. To list the jobs of this task: curl {url}. "
        f'To run one: curl -XPOST -d\'{{"image": "ubuntu:latest", "command": "ls -lah"}}\' {url} (only image is required)',
    )


@route("GET", TASK + "/jobs", "listJobsOfTask", JOB_PAGE, query={**JOB_FILTERS, **pages()}, refusals=(404,))
async def list_jobs_of_task(handler: Handler, task_id: str) -> object:
    """The task's jobs, newest first, as other lists."""
    url = ListUrl.of_query(f"{handler.render_context.task_url(task_id)}jobs/", handler.query)
    status, window = read_all(lambda: _read_status(handler.query), lambda: url.window(handler.query, default=handler.web_settings.per_page))
    view = await handler.services.lists.task(task_id, window, status)
    return Listing(url, view.jobs, view.jobs)


@route("POST", TASK + "/stop", "stopTask", TASK_STOPPED, refusals=(404,))
async def stop_task(handler: Handler, task_id: str) -> object:
    """Stops every job of the task."""
    return await handler.services.stops.stop_task(task_id, handler.requester)


def _read_status(query: Mapping[str, str]) -> str | None:
    status = query.get("status")
    if status is not None and status not in JOB_STATUSES:
        raise Invalid([Fault("status", f"is not one of {', '.join(JOB_STATUSES)}")])
    return status
