"""What requests about tasks and about jobs have in common: the body that describes a job, the headers and the queries, the answers."""

from typing import Any

from fastlane.models.idempotency import IdempotencyKey
from fastlane.models.job import ExpectedVersions, Job, Spec
from fastlane.models.job_change import JobChange
from fastlane.models.placement.pool import pool_for
from fastlane.models.schedule.schedule import Schedule
from fastlane.services.jobs.edits import Edit
from fastlane.services.results import Enqueued
from fastlane.web.api.contract import IDEMPOTENCY_KEY, REPLAYED, Parameter, flag
from fastlane.web.api.idempotency import read_key
from fastlane.web.api.json_schema import integer
from fastlane.web.api.requests.change import read_change
from fastlane.web.api.requests.job import read_job
from fastlane.web.api.responses.actions import DRY_RUN, ENQUEUED, WAITED, WaitedFor
from fastlane.web.api.versions import read_if_match
from fastlane.web.handler.handler import Handler
from fastlane.web.http.query import read_all, read_flag, read_integer
from fastlane.web.http.strict_json import read_object

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
    return read_job(read_object(bytes(handler.body)), handler.services.clock.now(), **_rules(handler, task_id))


def read_edit(handler: Handler, task_id: str) -> Edit:
    """The change of a job that the body describes. Raises Invalid when it is not an object; the edit raises all other faults."""
    body, rules = read_object(bytes(handler.body)), _rules(handler, task_id)

    def edit(job: Job, now: int) -> tuple[Spec, Schedule]:
        return read_change(body, job, now, **rules)

    return edit


def _rules(handler: Handler, task_id: str) -> dict[str, Any]:
    """The server's rules for a job of the task: its limits, the zone of a cron that names none, and where notifications may
    go."""
    settings = handler.web_settings
    own = handler.services.pools.hard_timeout(task_id)
    timeout = settings.hard_timeout if own is None else own
    return {
        "hard_retries": settings.hard_retries,
        "hard_timeout": timeout,
        "timezone": settings.timezone,
        "webhook_allow": settings.webhook_allow,
        "notify_allow": settings.notify_allow,
    }


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
