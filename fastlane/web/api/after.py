"""The fields ``after`` and ``afterOn`` of a job: the jobs that it follows, as a body names them and as answers show them."""

from typing import Any

from fastlane.models.job import Job
from fastlane.models.schedule import Schedule
from fastlane.models.upstream import MAX_UPSTREAM, AfterOn
from fastlane.web.api.json_schema import JsonSchema
from fastlane.web.api.serializer import RenderContext

MAX_REFERENCE = 600
"""Characters of a task's id, a slash, and the name or id of a job."""
FORMS = 'write the name or id of a job of the same task, or "task/job"'
_ONE: JsonSchema = {"type": "string", "minLength": 1, "maxLength": MAX_REFERENCE}
IDS: JsonSchema = {"type": "array", "items": {"type": "string"}}
SCHEMA: JsonSchema = {
    "anyOf": [_ONE, {"type": "array", "items": _ONE, "minItems": 1, "maxItems": MAX_UPSTREAM, "uniqueItems": True}],
    "examples": ["extract", ["extract", "shop/prices"]],
}


def read_after(value: object) -> tuple[str, ...]:
    """The jobs that a body names, not looked up yet. Raises ValueError."""
    given = value if isinstance(value, list) else [value]
    if not given:
        raise ValueError("is an empty list; name at least one job, or leave it out")
    if len(given) > MAX_UPSTREAM:
        raise ValueError(f"names {len(given)} jobs; a job may follow {MAX_UPSTREAM} at most")
    if not all(isinstance(one, str) and len(one) <= MAX_REFERENCE for one in given):
        raise ValueError(f"is neither text nor a list of texts of up to {MAX_REFERENCE} characters; {FORMS}, or a list of these")
    names = tuple(str(one).strip() for one in given)
    if not all(names):
        raise ValueError(f"is empty, or has an empty text; {FORMS}")
    if twice := next((one for place, one in enumerate(names) if one in names[:place]), None):
        raise ValueError(f"names {twice!r} twice; leave it out once")
    return names


def defined_after(job: Job, _render: RenderContext) -> str | list[Any] | None:
    """The ids of the jobs that a job follows, as a body takes them."""
    after = job.schedule.after
    return None if after is None else after.jobs[0] if len(after.jobs) == 1 else list(after.jobs)


def defined_on(job: Job) -> AfterOn | None:
    """Which ends count, where that is not the default."""
    after = job.schedule.after
    return None if after is None or after.on is AfterOn.SUCCEEDS else after.on


def shown_after(schedule: Schedule, _render: RenderContext) -> list[str] | None:
    """The ids of the jobs that it follows; None for none."""
    return None if schedule.after is None else list(schedule.after.jobs)


def shown_on(schedule: Schedule) -> AfterOn | None:
    """Which ends count; None for a job that follows none."""
    return None if schedule.after is None else schedule.after.on
