"""Tasks and their jobs: lists of both, enqueueing into a task, one job with its ticks, and what can be done to it: stop, start, retry, run,
pause and resume."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TypeVar

from fastlane.errors import Conflict, Fault, Invalid, NotFound
from fastlane.models.access import Role
from fastlane.models.ids import IdempotencyKey
from fastlane.models.job import Job, Spec
from fastlane.models.paging import WantedJobs
from fastlane.models.pool import pool_for
from fastlane.models.schedule import Schedule
from fastlane.services.chains import ChainedJob
from fastlane.services.jobs import Edit, Preview, RetryWish, RunWish
from fastlane.services.results import Enqueued
from fastlane.web.api.actions import DELETED, DRY_RUN, ENQUEUED, STOPPED, TASK_STOPPED, WAITED, WaitedFor
from fastlane.web.api.contract import ETAG, REPLAYED, ApiParameter, etag, flag, pages, read_if_match, read_key
from fastlane.web.api.job import JOB_BODY, JOB_CHANGE_BODY
from fastlane.web.api.job_body import JobRules, job_rules, read_change, read_job
from fastlane.web.api.jobs import CHAIN, FOLLOWING, JOB_DETAIL, JOB_PAGE, JOB_STATUSES, TASK_JOBS, TASK_PAGE, TICK_PAGE
from fastlane.web.api.json_schema import TASK_ID, comma_list, enum, integer
from fastlane.web.api.parameters import RETRY_BODY, RUN_BODY
from fastlane.web.api.serializer import Listing, RenderContext
from fastlane.web.api.values import LABEL, MAX_LABEL
from fastlane.web.api.why import WHY
from fastlane.web.handler import Handler
from fastlane.web.http.problems import Problem
from fastlane.web.http.query import BY_NUMBER, NAMES, ListUrl, read_all, read_flag, read_integer, read_text, read_words
from fastlane.web.http.strict_json import read_object
from fastlane.web.routes.executions import EXECUTION, JOB, TASK, read_task
from fastlane.web.routing import TRIGGER, Answer, route

MAX_WAIT = 60

DELETE_QUERY = {"stop": flag("Stops it before deleting it.")}
ENQUEUE_QUERY = {
    "dryRun": flag("Previews the job and changes nothing."),
    "forecast": flag("With dryRun: says what the job would do to its pool in the next 7 days."),
    "wait": ApiParameter(
        f"Answers when the job has ended, with its retries, or after this many seconds, {MAX_WAIT} at most.", integer(0, MAX_WAIT)
    ),
}


async def read_job_body(handler: Handler, task_id: str, job_id: str | None = None) -> tuple[Spec, Schedule]:
    """The job in the request's body: what to run and when. Raises Invalid with every fault, and what ``Chains.resolve`` raises."""
    spec, schedule = read_job(read_object(bytes(handler.body)), handler.services.clock.now(), _rules(handler, task_id))
    if schedule.after is None:
        return spec, await handler.services.calendars.known(schedule) if schedule.skip else schedule
    chained = ChainedJob(task_id, job_id, handler.visible_tasks)
    return spec, await handler.services.chains.resolve(chained, schedule)


async def read_edit(handler: Handler, task_id: str, job_id: str) -> Edit:
    """The change of a job that the body describes. Raises Invalid when it is not an object, and what ``Chains.resolve_edit`` or
    ``Calendars.known_edit`` raises; the edit raises all other faults."""
    body, rules = read_object(bytes(handler.body)), _rules(handler, task_id)

    def edit(job: Job, now: int) -> tuple[Spec, Schedule]:
        return read_change(body, job, now, rules)

    if body.get("skipDates"):
        dated = await handler.services.calendars.known_edit(task_id, job_id, edit)

        def edit_with_dates(job: Job, now: int) -> tuple[Spec, Schedule]:
            spec, schedule = edit(job, now)
            return spec, replace(schedule, known=dated.known) if schedule.skip == dated.skip else schedule

        return edit_with_dates
    if body.get("after") is None:
        return edit
    found = await handler.services.chains.resolve_edit(ChainedJob(task_id, job_id, handler.visible_tasks), job_id, edit)

    def edit_with_ids(job: Job, now: int) -> tuple[Spec, Schedule]:
        spec, schedule = edit(job, now)
        return spec, replace(schedule, after=found.after)

    return edit_with_ids


def _rules(handler: Handler, task_id: str) -> JobRules:
    """The server's rules for a job of the task."""
    return job_rules(handler.config, task_id, handler.services.pools.hard_timeout(task_id), handler.render_context)


def read_enqueue_query(handler: Handler) -> tuple[bool, int]:
    """Whether a request is a dry run, and how many seconds it waits for the execution. Raises Invalid with every fault."""
    if not handler.query:
        return False, 0
    dry_run, seconds, forecast = read_all(
        lambda: read_flag(handler.query, "dryRun"),
        lambda: read_integer(handler.query, "wait", 0, 0, MAX_WAIT),
        lambda: read_flag(handler.query, "forecast"),
    )
    if forecast and not dry_run:
        raise Invalid([Fault("forecast", "needs dryRun=1")])
    return dry_run, seconds


async def previewed(handler: Handler, task_id: str, job_id: str | None, preview: Preview) -> Answer:
    """The answer to a dry run; with what the job would do to its pool, if the query asks for that."""
    if read_flag(handler.query, "forecast"):
        async with handler.in_turn():
            impact = await handler.services.forecasts.impact(task_id, job_id, preview.spec, preview.schedule, preview.next_runs)
        preview = replace(preview, forecast=impact)
    return Answer(DRY_RUN, preview)


def read_idempotency_key(handler: Handler, *scope: str, wish: str = "") -> IdempotencyKey | None:
    """The request's idempotency key, which counts only for the same user and ``scope``. ``wish``: the query's own wishes, which count like
    a part of the body. Raises Invalid."""
    key = read_key(handler.request.headers)
    if key is None:
        return None
    user = "" if handler.principal is None else f"user {handler.principal.name}"
    return IdempotencyKey(_digest(user, *scope, key), _digest((bytes(handler.body) + wish.encode()).hex()))


T = TypeVar("T")


async def unless_repeated(handler: Handler, key: IdempotencyKey | None, reading: Awaitable[T]) -> T | Enqueued:
    """What ``reading`` makes of the request. Where it is refused by what is there now, such as a job or a calendar that is gone, or a
    moment that has passed: the answer to an earlier request with this key. Raises what ``reading`` raises when there was none, and
    KeyReused when that had another body."""
    try:
        return await reading
    except (Conflict, Invalid, NotFound):
        earlier = None if key is None else await handler.services.idempotency.earlier_answer(key)
        if earlier is None:
            raise
        return earlier


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()


async def accepted(handler: Handler, made: Enqueued, seconds: int = 0) -> Answer:
    """The ids of an accepted job and, after waiting for at most that many seconds, its execution."""
    if made.replayed:
        handler.set_header(REPLAYED, "true")
    else:
        pool = pool_for(handler.services.directory.pools, made.task_id)
        handler.context.metrics.enqueued(None if pool is None else pool.name)
    if not seconds:
        return Answer(ENQUEUED, made)
    return Answer(WAITED, WaitedFor(made, await handler.services.completion.wait(made, seconds)))


JOBS, FEWER_JOBS, MAX_JOBS = 1_000, (100, 10), 1_000
"""Jobs in a task's answer unless the query asks for a page; how many there are instead when they are too large; and the most of a page."""
MAX_SEARCH, MAX_WORDS = 1_000, 20
"""Characters and different words of a search: each word is a search of its own."""

SEARCH = ApiParameter(
    f"Words in task ids, or the beginnings of words; at most {MAX_WORDS}.",
    {"type": "string", "minLength": 1, "maxLength": MAX_SEARCH, "pattern": r"[^\s\u0000\u001c-\u001f\u0085]|\ufeff"},
    required=True,
)


JOB_FILTERS = {
    "status": ApiParameter(
        f"Only jobs with this status, or with one of several, separated by commas: {', '.join(JOB_STATUSES)}.", comma_list(JOB_STATUSES)
    ),
    "label": ApiParameter(
        "Only jobs with this label: NAME=VALUE.",
        {"type": "string", "pattern": rf"^{LABEL.pattern}=[^\u0000-\u001f\u007f-\u009f]{{0,{MAX_LABEL}}}$"},
    ),
}


def _wanted(query: Mapping[str, str]) -> WantedJobs:
    """The jobs that the query of a list asks for, by status and label. Raises Invalid."""
    statuses, label = read_all(lambda: read_words(query, "status", JOB_STATUSES), lambda: _label(query))
    return WantedJobs(statuses, label=label)


@route("GET", "/tasks", "listTasks", TASK_PAGE, query=pages(), refusals=(404,))
async def list_tasks(handler: Handler) -> object:
    """All tasks, most recently changed first."""
    url = ListUrl.of_query(f"{handler.base_url}/tasks/", handler.query, visible=handler.visible_tasks)
    window = url.window(handler.query, default=handler.config.per_page)
    page = await handler.services.lists.tasks(window, handler.visible_tasks)
    return Listing(url, page, page)


@route("GET", "/search", "searchTasks", TASK_PAGE, query={"query": SEARCH, **pages()}, refusals=(404,))
async def search_tasks(handler: Handler) -> object:
    """Tasks by the words in their ids."""
    url = ListUrl.of_query(f"{handler.base_url}/search/", handler.query, visible=handler.visible_tasks)
    words, window = read_all(lambda: _words(handler.query), lambda: url.window(handler.query, default=handler.config.per_page))
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
    wanted, window = read_all(lambda: _wanted(handler.query), lambda: url.window(handler.query, default=JOBS, most=MAX_JOBS))
    view = await handler.services.lists.task(task_id, window, wanted, () if handler.query.keys() & NAMES else FEWER_JOBS)
    return Listing(url, view.jobs, view)


@route(
    "POST",
    TASK,
    "enqueue",
    *(ENQUEUED, WAITED, DRY_RUN),
    query=ENQUEUE_QUERY,
    idempotent=True,
    body=JOB_BODY,
    more="Creates the task if it is new. With wait the reply includes the execution; with dryRun it is a preview.",
)
async def enqueue(handler: Handler, task_id: str) -> object:
    """Creates a job and enqueues or schedules it; or previews it."""
    if not handler.body.strip():
        raise _empty_body(handler.render_context.task_url(task_id))
    dry_run, seconds = read_enqueue_query(handler)
    key = read_idempotency_key(handler, "enqueue", task_id)
    wanted = await unless_repeated(handler, None if dry_run else key, read_job_body(handler, task_id))
    if isinstance(wanted, Enqueued):
        return await accepted(handler, wanted, seconds)
    spec, schedule = wanted
    if dry_run:
        return await previewed(handler, task_id, None, await handler.services.previewer.preview(task_id, spec, schedule))
    made = await handler.services.submissions.enqueue(task_id, spec, schedule, handler.requester, key)
    return await accepted(handler, made, seconds)


@route("DELETE", TASK, "deleteTask", DELETED, query=DELETE_QUERY, refusals=(404, 409))
async def delete_task(handler: Handler, task_id: str) -> object:
    """Deletes the task and everything in it."""
    return await handler.services.deletions.delete_task(task_id, stop=read_flag(handler.query, "stop"), by=handler.requester)


def _empty_body(url: str) -> Problem:
    return Problem(
        400,
        f"the body is empty. To list the jobs of this task: curl {url}. "
        f'To run one: curl -XPOST -d\'{{"image": "ubuntu:latest", "command": "ls -lah"}}\' {url} (only image is required)',
    )


@route("POST", TASK + "/stop", "stopTask", TASK_STOPPED, refusals=(404,))
async def stop_task(handler: Handler, task_id: str) -> object:
    """Stops every job of the task."""
    return await handler.services.stops.stop_task(task_id, handler.requester)


@route("GET", TASK + "/jobs", "listJobsOfTask", JOB_PAGE, query={**JOB_FILTERS, **pages()}, refusals=(404,))
async def list_jobs_of_task(handler: Handler, task_id: str) -> object:
    """The task's jobs, newest first, as other lists."""
    url = ListUrl.of_query(f"{handler.render_context.task_url(task_id)}jobs/", handler.query)
    wanted, window = read_all(lambda: _wanted(handler.query), lambda: url.window(handler.query, default=handler.config.per_page))
    view = await handler.services.lists.task(task_id, window, wanted)
    return Listing(url, view.jobs, view.jobs)


RUN_QUERY = {"force": flag("Starts it at once, whatever the job's overlap says while it runs.")}
EXECUTIONS = 20
"""Executions in a job's answer, unless ``perPage`` says otherwise."""


@route(
    "GET",
    JOB,
    "getJob",
    JOB_DETAIL,
    query={"include": ApiParameter("logs: includes each execution's log and error.", enum(["logs"])), **pages(f"{EXECUTIONS}")},
    etag=True,
    refusals=(404,),
)
async def get_job(handler: Handler, task_id: str, job_id: str) -> object:
    """The job with its last 20 executions, or another page of them."""
    url = ListUrl.of_query(handler.render_context.job_url(task_id, job_id), handler.query, BY_NUMBER)
    include_logs, window = read_all(lambda: _include_logs(handler.query), lambda: url.window(handler.query, default=EXECUTIONS))
    detail = await handler.services.details.job(task_id, job_id, window, texts=include_logs)
    handler.set_header(ETAG, etag(detail.view.job))
    return Listing(url, detail.executions, detail)


@route("PUT", JOB, "putJob", *(ENQUEUED, WAITED, DRY_RUN), query=ENQUEUE_QUERY, body=JOB_BODY, idempotent=True, conditional=True)
async def put_job(handler: Handler, task_id: str, job_id: str) -> object:
    """Creates the job, or replaces its details and schedules it again; or previews that."""
    if not handler.body.strip():
        raise Problem(400, 'the body is empty; send a job such as {"image": "ubuntu:latest", "command": "ls -lah"}')
    dry_run, seconds = read_enqueue_query(handler)
    key, expected = read_idempotency_key(handler, "put", task_id, job_id), read_if_match(handler.request.headers)
    wanted = await unless_repeated(handler, None if dry_run else key, read_job_body(handler, task_id, job_id))
    if isinstance(wanted, Enqueued):
        return await accepted(handler, wanted, seconds)
    spec, schedule = wanted
    submissions = handler.services.submissions
    if dry_run:
        await submissions.check_put(task_id, job_id, expected)
        return await previewed(handler, task_id, job_id, await handler.services.previewer.preview(task_id, spec, schedule, job_id))
    made = await submissions.put(task_id, job_id, spec, schedule, handler.requester, key, expected)
    return await accepted(handler, made, seconds)


@route(
    "PATCH",
    JOB,
    "patchJob",
    *(ENQUEUED, WAITED, DRY_RUN),
    query=ENQUEUE_QUERY,
    body=JOB_CHANGE_BODY,
    idempotent=True,
    conditional=True,
    refusals=(404,),
    more="Null removes a field. The job is scheduled again only when its startAt, startIn, cron, manual, after, afterOn or timezone "
    "changes. Without its start it runs now; without its after it becomes manual, unless the change gives a start.",
)
async def patch_job(handler: Handler, task_id: str, job_id: str) -> object:
    """Changes fields of the job; or previews that."""
    if not handler.body.strip():
        raise Problem(400, 'the body is empty; send the fields that change, such as {"image": "ubuntu:24.04"}')
    dry_run, seconds = read_enqueue_query(handler)
    key, expected = read_idempotency_key(handler, "patch", task_id, job_id), read_if_match(handler.request.headers)
    edits, edit = handler.services.edits, await unless_repeated(handler, None if dry_run else key, read_edit(handler, task_id, job_id))
    if isinstance(edit, Enqueued):
        return await accepted(handler, edit, seconds)
    if dry_run:
        change = await edits.preview(task_id, job_id, edit, expected)
        return await previewed(handler, task_id, job_id, await handler.services.previewer.preview_change(change))
    made = await edits.edit(task_id, job_id, edit, handler.requester, key, expected)
    return await accepted(handler, made, seconds)


@route("DELETE", JOB, "deleteJob", DELETED, query=DELETE_QUERY, conditional=True, refusals=(404, 409))
async def delete_job(handler: Handler, task_id: str, job_id: str) -> object:
    """Deletes the job and everything in it."""
    stop, expected = read_flag(handler.query, "stop"), read_if_match(handler.request.headers)
    deleted = await handler.services.deletions.delete_job(task_id, job_id, stop=stop, expected=expected, by=handler.requester)
    seen = ChainedJob(task_id, job_id, handler.visible_tasks)
    return replace(deleted, followers=tuple(one for one in deleted.followers if seen.sees(one[0])))


def _include_logs(query: Mapping[str, str]) -> bool:
    if query.get("include", "logs") != "logs":
        raise Invalid([Fault("include", 'is not "logs"')])
    return "include" in query


@route("POST", JOB + "/stop", "stopJob", STOPPED, conditional=True, refusals=(404,), access=TRIGGER, more="Safe to repeat at any time.")
async def stop_job(handler: Handler, task_id: str, job_id: str) -> object:
    """Stops the job's executions and keeps new ones from starting."""
    return await handler.services.stops.stop_job(task_id, job_id, read_if_match(handler.request.headers), handler.requester)


@route("POST", JOB + "/retry", "retryJob", ENQUEUED, idempotent=True, refusals=(404,))
async def retry_job(handler: Handler, task_id: str, job_id: str) -> object:
    """Runs the job's last execution again now."""
    key = read_idempotency_key(handler, "retry", task_id, job_id)
    return await accepted(handler, await handler.services.manual_runs.retry(task_id, job_id, handler.requester, key))


@route(
    "POST",
    EXECUTION + "/retry",
    "retryExecution",
    ENQUEUED,
    query=RUN_QUERY,
    body=RETRY_BODY,
    idempotent=True,
    refusals=(404,),
    more="With the details that it had; a service is read again. With image, another image runs.",
)
async def retry_execution(handler: Handler, task_id: str, job_id: str, execution_id: str) -> object:
    """Runs this execution again now, whatever its job is now."""
    force = read_flag(handler.query, "force")
    key = read_idempotency_key(handler, "retry", task_id, job_id, execution_id, wish="force" * force)
    wish = RetryWish(execution_id, handler.read_body().get("image"), force)
    return await accepted(handler, await handler.services.manual_runs.retry_execution(task_id, job_id, wish, handler.requester, key))


@route(
    "POST",
    JOB + "/run",
    "runJob",
    ENQUEUED,
    query=RUN_QUERY,
    body=RUN_BODY,
    idempotent=True,
    refusals=(404,),
    access=TRIGGER,
    more="The role trigger is enough, unless force is set.",
)
async def run_job(handler: Handler, task_id: str, job_id: str) -> object:
    """Runs the job once now."""
    force = read_flag(handler.query, "force")
    if force:
        handler.check_role(Role.RUN, task_id)
    key = read_idempotency_key(handler, "run", task_id, job_id, wish="force" if force else "")
    given = handler.read_body()
    wish = RunWish(force, given.get("parameters", {}), given.get("reschedule", False))
    return await accepted(handler, await handler.services.manual_runs.run(task_id, job_id, handler.requester, key, wish=wish))


@route("POST", JOB + "/pause", "pauseJob", STOPPED, refusals=(404, 409))
async def pause_job(handler: Handler, task_id: str, job_id: str) -> object:
    """Pauses the job's schedule."""
    return await handler.services.pauses.pause(task_id, job_id, handler.requester)


@route("POST", JOB + "/resume", "resumeJob", STOPPED, refusals=(404, 409))
async def resume_job(handler: Handler, task_id: str, job_id: str) -> object:
    """Resumes the job's schedule."""
    return await handler.services.pauses.resume(task_id, job_id, handler.requester)


@route("POST", JOB + "/start", "startJob", STOPPED, refusals=(404, 409), more="Ticks that were due while it was stopped do not run.")
async def start_job(handler: Handler, task_id: str, job_id: str) -> object:
    """Starts the schedule of a stopped job again."""
    return await handler.services.pauses.start(task_id, job_id, handler.requester)


ALL_JOB_FILTERS = {
    "task": ApiParameter("Only jobs of this task.", TASK_ID),
    **JOB_FILTERS,
    "query": ApiParameter(
        f"Only jobs that have all of these words, at most {MAX_WORDS}, in their name, task, image, service, command or labels, or whose id "
        "contains them. Small and capital letters are the same.",
        {"type": "string", "minLength": 1, "maxLength": MAX_SEARCH},
    ),
    "late": flag("Only jobs that are late by their expectEvery or doneBy."),
}


@route("GET", "/jobs", "listAllJobs", JOB_PAGE, query={**ALL_JOB_FILTERS, **pages()}, refusals=(404,))
async def list_all_jobs(handler: Handler) -> object:
    """Jobs of all tasks, newest first; by status, by task, by label, by words, or those that are late."""
    url = ListUrl.of_query(f"{handler.base_url}/jobs/", handler.query, visible=handler.visible_tasks)
    wanted, task_id, words, late, window = read_all(
        lambda: _wanted(handler.query),
        lambda: read_task(handler.query),
        lambda: _job_words(handler.query),
        lambda: read_flag(handler.query, "late"),
        lambda: url.window(handler.query, default=handler.config.per_page),
    )
    wanted, lists = replace(wanted, task_id=task_id, visible=handler.visible_tasks, late=late), handler.services.lists
    if words:
        render = handler.render_context
        page = await lists.matching_jobs(wanted, window, lambda job: _has_words(job, words, render))
    else:
        page = await lists.jobs(wanted, window)
    return Listing(url, page, page)


def _job_words(query: Mapping[str, str]) -> list[str]:
    text = read_text(query, "query", MAX_SEARCH) or ""
    words = list(dict.fromkeys(text.casefold().split()))
    if len(words) > MAX_WORDS:
        raise Invalid([Fault("query", f"has {len(words)} words; name at most {MAX_WORDS}, the ones that tell the job from others")])
    return words


def _has_words(job: Job, words: Sequence[str], render: RenderContext) -> bool:
    """Whether each of these words (casefolded) is part of the job's id, name, task, image, service, command or labels, as answers show
    them: no word finds a secret."""
    command = map(render.redaction.text, job.spec.command or ())
    labels = (f"{name}={value}" for name, value in job.spec.labels.items())
    text = "\0".join((job.id, job.spec.name or "", job.task_id, job.spec.image, job.spec.service or "", *command, *labels)).casefold()
    return all(word in text for word in words)


def _label(query: Mapping[str, str]) -> tuple[str, str] | None:
    if "label" not in query:
        return None
    name, equals, value = query["label"].partition("=")
    if not equals or not LABEL.fullmatch(name):
        raise Invalid([Fault("label", "is not a label with its value; write NAME=VALUE, such as team=data")])
    return name, value


@route("GET", JOB + "/ticks", "listTicks", TICK_PAGE, query=pages(), refusals=(404,))
async def list_ticks(handler: Handler, task_id: str, job_id: str) -> object:
    """The job's tick ledger, the latest due first."""
    url = ListUrl.of_query(f"{handler.render_context.job_url(task_id, job_id)}ticks/", handler.query)
    window = url.window(handler.query, default=handler.config.per_page)
    view = await handler.services.lists.ticks(task_id, job_id, window)
    return Listing(url, view.ticks, view)


@route("GET", JOB + "/chain", "getChain", CHAIN, refusals=(404,))
async def get_chain(handler: Handler, task_id: str, job_id: str) -> object:
    """The jobs that the job follows, and those that follow it."""
    return await handler.services.chain_reader.job(task_id, job_id, handler.visible_tasks)


@route("GET", EXECUTION + "/following", "getFollowing", FOLLOWING, refusals=(404,))
async def get_following(handler: Handler, task_id: str, job_id: str, execution_id: str) -> object:
    """The ticks of other jobs that the execution's end made."""
    return await handler.services.chain_reader.execution(task_id, job_id, execution_id, handler.visible_tasks)


@route("GET", (JOB + "/why", EXECUTION + "/why"), "getWhy", WHY, refusals=(404,))
async def get_why(handler: Handler, task_id: str, job_id: str, execution_id: str | None = None) -> object:
    """What it waits for now."""
    handler.set_header("Cache-Control", "no-store")
    if execution_id is None:
        return await handler.services.why.job(task_id, job_id, visible=handler.visible_tasks)
    return await handler.services.why.execution(task_id, job_id, execution_id, visible=handler.visible_tasks)
