"""The body of a PATCH: the fields of a job that change. What it does not name stays, secrets too."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastlane.errors import Fault, Invalid
from fastlane.models.container import NO_CONTAINER
from fastlane.models.job import Job, Spec
from fastlane.models.schedule import Schedule
from fastlane.web.api.container import OLD_HOSTS
from fastlane.web.api.requests.job import (
    CRON_FIELDS,
    NEEDS_CRON,
    NEEDS_RETRIES,
    READERS,
    REQUIRED,
    SPEC_FIELDS,
    STARTS,
    never_in_time,
    read_given,
    schedule_of,
    spec_values,
)

DEFAULTS = Spec("")
"""What a removed field is then."""


def read_change(
    body: Mapping[str, Any],
    job: Job,
    now: int,
    *,
    hard_retries: int,
    hard_timeout: float,
    timezone: str,
    webhook_allow: Sequence[str] = (),
    notify_allow: Sequence[str] | None = None,
) -> tuple[Spec, Schedule]:
    """What to run and when, after the change; the other arguments are those of ``read_job``. Raises Invalid with every fault."""
    removed = {name for name, value in body.items() if value is None and name in READERS}
    given = {name: value for name, value in body.items() if name not in removed}
    wanted, faults = read_given(
        given, hard_retries=hard_retries, hard_timeout=hard_timeout, webhook_allow=webhook_allow, notify_allow=notify_allow, partial=True
    )
    faults += [Fault(name, "cannot be removed, because a job needs one; give another") for name in sorted(removed & REQUIRED)]
    start = _start(job.schedule, wanted, removed)
    if "cron" not in start and "cron" not in given:
        faults += [Fault(name, NEEDS_CRON) for name in CRON_FIELDS if name in wanted]
    if "retryDelay" in wanted and "retries" not in given and ("retries" in removed or not job.spec.retries):
        faults.append(Fault("retryDelay", NEEDS_RETRIES))
    if faults:
        raise Invalid(faults)
    spec, schedule = _spec(job.spec, wanted, removed), schedule_of(start, now, timezone)
    if (not job.schedule.starts_as(schedule) or "expiration" in given) and (fault := never_in_time(spec, schedule, now)):
        raise Invalid([fault])
    return spec, schedule


def _spec(spec: Spec, wanted: Mapping[str, Any], removed: set[str]) -> Spec:
    attributes = {SPEC_FIELDS[name][0] for name in removed if name in SPEC_FIELDS}
    values = {attribute: getattr(DEFAULTS, attribute) for attribute in attributes} | spec_values(wanted)
    container = wanted.get("container", NO_CONTAINER if "container" in removed else spec.container)
    if OLD_HOSTS in wanted or (OLD_HOSTS in removed and "container" not in wanted):
        container = replace(container, extra_hosts=wanted.get(OLD_HOSTS) or {})
    return replace(spec, **values | {"container": container})


def _start(schedule: Schedule, wanted: Mapping[str, Any], removed: set[str]) -> dict[str, Any]:
    """The fields that say when the job is due, after the change: a new kind of start takes the place of the old one, and what belongs to a
    cron goes with it."""
    start = _fields(schedule)
    if any(name in wanted for name in STARTS):
        start = {name: value for name, value in start.items() if name not in STARTS}
    start = {name: value for name, value in start.items() if name not in removed}
    start |= {name: wanted[name] for name in (*STARTS, *CRON_FIELDS) if name in wanted}
    return start if "cron" in start else {name: value for name, value in start.items() if name not in CRON_FIELDS}


def _fields(schedule: Schedule) -> dict[str, Any]:
    """A schedule as the values of the fields that make it."""
    if schedule.cron is not None:
        return {
            "cron": schedule.cron,
            "timezone": schedule.cron.timezone,
            "overlap": schedule.overlap,
            "catchUp": schedule.catch_up,
        }
    return {} if schedule.at is None else {"startAt": schedule.at}
