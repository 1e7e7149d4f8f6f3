"""Reads a job from a body: a whole one, as POST and PUT take it (``read_job``), or a change of one (``read_change``), with every fault at
once. ``job`` declares the fields; here are the rules between fields, and the server's own limits (``JobRules``).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from marshmallow import ValidationError

from fastlane.config.settings import Settings
from fastlane.errors import Fault, Invalid
from fastlane.models.container import NO_CONTAINER
from fastlane.models.image import EXAMPLES
from fastlane.models.job import Job, Spec, never_in_time
from fastlane.models.schedule import CatchUp, Overlap, Schedule, ScheduleKind, show_duration
from fastlane.models.upstream import AfterJobs, AfterOn
from fastlane.web.api import container, failing, notifications
from fastlane.web.api.body import WHOLE, Hints, faults_of
from fastlane.web.api.job import ATTRIBUTES, FIELDS, JOB_BODY, NEEDED_FIELDS, NEEDED_STARTS, STARTS, SUBJECTS
from fastlane.web.api.schedules import GivenCron, given_cron
from fastlane.web.api.serializer import RenderContext
from fastlane.web.api.webhook_payload import template_faults

NEEDS_CRON = "is for a job with a cron; give one, or leave this out"
NEEDS_CRON_OR_MANUAL = "is for a job with a cron, or a manual one, or one after others; give cron, manual or after, or leave this out"
NEEDS_AFTER = "is for a job that follows others; give after, or leave this out"
NEEDS_WORDS: Mapping[tuple[str, ...], str] = {("cron",): NEEDS_CRON, ("after",): NEEDS_AFTER}
NEEDS_START = {name: NEEDS_WORDS.get(needed, NEEDS_CRON_OR_MANUAL) for name, needed in NEEDED_STARTS.items()}
NEEDS_SUBJECT = f"is missing; {EXAMPLES}, or name a service of the swarm in service"
NEEDS_FIELD = {
    "concurrencyKey": 'says what its concurrency counts, and the job has none; give one, such as "concurrency": 1, or leave this out',
} | {
    name: f'{meaning}, and the job has no retries; give retries, such as "retries": 3, or leave this out'
    for name, meaning in {
        "retryDelay": "is the wait before a retry",
        "retryOn": "says which failures are tried again",
        "onOom": "is for the next attempt",
    }.items()
}
"""What to say of a field of ``NEEDED_FIELDS`` without the other one."""

HINTS: Hints = {
    **{name.lower(): f"resources.{name}" for name in container.RESOURCES_BODY.fields},
    **{name.lower(): f"container.{name}" for name in container.CONTAINER_BODY.fields},
    **{name.lower(): f"{name}, a field of the job itself" for name in FIELDS if name != container.OLD_HOSTS},
    "args": "command",
    "restartpolicy": "retries, or retryOn",
    "backoff": "retryDelay",
    "cpu": "resources.cpus",
    "delay": "startIn",
    "dependson": "after",
    "depends_on": "after",
    "needs": "after",
    "requires": "after",
    "upstream": "after",
    "environment": "envs",
    "retry": "retries",
    "every": "cron",
    "gpus": "resources.reserve.generic",
    "interval": "cron",
    "ondemand": "manual",
    "triggers": "manual, or cron",
    "jitter": "spread",
    "exclude": "skipDates",
    "holidays": "skipDates",
    "history": "retention",
    "keep": "retention",
    "limits": "resources",
    "inputs": "parameters",
    "mem": "resources.memory",
    "parallelism": "concurrency",
    "schedule": "cron",
    "ttl": "expiresIn",
    "tz": "timezone",
    "volumes": "container.mounts",
}
"""The right place of a name that is a field elsewhere in a job, or that other tools use for the same thing."""


@dataclass(frozen=True, slots=True)
class JobRules:
    """The server's rules for a job of a task. ``hard_timeout`` in seconds; ``timezone`` for a cron that names none; ``webhook_allow`` as in
    ``may_post``; ``notify_allow`` as in ``mail_faults``; ``posts``: finds the faults of webhooks by the whole spec."""

    hard_retries: int
    hard_timeout: float
    timezone: str = "UTC"
    webhook_allow: Sequence[str] = ()
    notify_allow: Sequence[str] | None = None
    posts: Callable[[Spec], list[Fault]] = lambda _spec: []

    def faults(self, wanted: Mapping[str, Any]) -> list[Fault]:
        """The faults of a job that the server does not allow."""
        faults: list[Fault] = []
        if wanted.get("retries", 0) > self.hard_retries:
            words = f"is more than this server allows ({self.hard_retries}); choose fewer, or ask for a higher hard_retries"
            faults.append(Fault("retries", words))
        if wanted.get("timeout", 0) > self.hard_timeout * 1000:
            longest = show_duration(self.hard_timeout)
            words = f"is more than this server allows ({longest}); choose a shorter one, or ask for a higher hard_timeout"
            faults.append(Fault("timeout", words))
        if "webhooks" in wanted:
            faults += notifications.address_faults(wanted["webhooks"], self.webhook_allow)
        if "notify" in wanted:
            faults += notifications.mail_faults(wanted["notify"], self.notify_allow)
        return faults


def job_rules(settings: Settings, task_id: str, pool_timeout: float | None, context: RenderContext) -> JobRules:
    """The server's rules for a job of the task, whose pool has this limit of its own in seconds (None: it has none)."""
    timeout = settings.hard_timeout if pool_timeout is None else pool_timeout
    posts = partial(template_faults, task_id, context=context)
    return JobRules(settings.hard_retries, timeout, settings.timezone, settings.webhook_allow, settings.mail_allow, posts)


def read_job(body: Mapping[str, Any], now: int, rules: JobRules, *, again: bool = False) -> tuple[Spec, Schedule]:
    """The job in a decoded body: what to run and when; ``now`` in milliseconds. ``again``: of a job that may be there, whose moments
    may be over. Raises Invalid with every fault."""
    given = {name: value for name, value in body.items() if not _is_absent(name, value)}
    wanted, faults = _read_given(given, rules, partial=False)
    if faults:
        raise Invalid(faults)
    spec, schedule = Spec(**{"image": "", **_spec_values(wanted)}), _schedule_of(wanted, now, rules.timezone)
    if faults := list(_faults_of_whole(spec, schedule)):
        raise Invalid(faults)
    if not again and (fault := never_in_time(spec, schedule, now)):
        raise Invalid([fault])
    if faults := rules.posts(spec):
        raise Invalid(faults)
    return spec, schedule


def _is_absent(name: str, value: object) -> bool:
    """Whether a field counts as left out: null, a ``manual`` that is not, or no dates to skip."""
    return value is None or (name == "manual" and value is False) or (name == "skipDates" and value == [])


def _read_given(given: Mapping[str, Any], rules: JobRules, *, partial: bool) -> tuple[Mapping[str, Any], list[Fault]]:
    """The values of a body's fields that can be read, and the faults of the others. A ``partial`` body may lack fields."""
    tree: dict[str, Any] = {}
    try:
        wanted = JOB_BODY.read(given, partial=partial)
    except ValidationError as error:
        wanted, tree = cast(dict[str, Any], error.valid_data), error.messages_dict
    for name, words in _combination_faults(given, wanted, partial):
        below = tree.setdefault(name, [])
        if isinstance(below, dict):
            below.setdefault(WHOLE, []).append(words)
        else:
            below.append(words)
    return wanted, [*(faults_of(tree, given, HINTS) if tree else ()), *rules.faults(wanted)]


def _combination_faults(given: Mapping[str, Any], wanted: Mapping[str, Any], partial: bool) -> Iterator[tuple[str, str]]:
    """The faults between fields: a job has an image or a service, and one kind of start; fields about a cron's ticks need a cron, and
    some fields need another one. For a ``partial`` body the job itself may have the needed fields."""
    starts = [name for name in STARTS if name in given]
    if len(starts) > 1:
        yield starts[0], f"cannot be used together with {' and '.join(starts[1:])}; keep one of them"
    if all(name in given for name in SUBJECTS):
        yield "service", "cannot be used together with image; keep one of them"
    if not partial:
        if not any(name in given for name in SUBJECTS):
            yield "image", NEEDS_SUBJECT
        for name, needed in NEEDED_STARTS.items():
            if name in given and not any(one in given for one in needed):
                yield name, NEEDS_START[name]
        for name, other in NEEDED_FIELDS.items():
            if name in given and other not in given:
                yield name, NEEDS_FIELD[name]
    if container.OLD_HOSTS in wanted and container.differs(wanted[container.OLD_HOSTS], wanted.get("container", NO_CONTAINER).extra_hosts):
        yield container.OLD_HOSTS, container.NOT_THE_SAME


def _spec_values(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a spec, by its attributes, that these fields give."""
    found = {ATTRIBUTES[name]: value for name, value in wanted.items() if name in ATTRIBUTES}
    if hosts := wanted.get(container.OLD_HOSTS):
        found["container"] = replace(wanted.get("container", NO_CONTAINER), extra_hosts=hosts)
    return found


def _schedule_of(wanted: Mapping[str, Any], now: int, timezone: str) -> Schedule:
    """The schedule that these fields give; ``timezone`` for a cron without one."""
    if "startIn" in wanted:
        return Schedule(ScheduleKind.AT, now + wanted["startIn"])
    if "startAt" in wanted:
        return Schedule(ScheduleKind.AT, wanted["startAt"])
    if "manual" in wanted or "after" in wanted:
        after = AfterJobs(wanted["after"], wanted.get("afterOn", AfterOn.SUCCEEDS)) if "after" in wanted else None
        return Schedule(ScheduleKind.MANUAL, overlap=wanted.get("overlap", Overlap.ALLOW), after=after)
    if "cron" not in wanted:
        return Schedule()
    given: GivenCron = wanted["cron"]
    rules = wanted.get("overlap", Overlap.ALLOW), wanted.get("catchUp", CatchUp.LATEST)
    scheduled = given.scheduled(wanted.get("timezone"), timezone, *rules, wanted.get("spread", 0))
    return replace(scheduled, skip=wanted.get("skipDates", ()))


def _faults_of_whole(spec: Spec, schedule: Schedule) -> Iterator[Fault]:
    """The faults between fields that only the whole job shows. A run that nobody asks for has only the defaults of parameters."""
    yield from failing.failure_faults(spec, schedule)
    if spec.unique and schedule.is_manual:
        yield Fault("unique", "is for a job that is enqueued or scheduled, and a manual one waits for nothing; leave one of them out")
    for name, parameter in spec.parameters.items():
        if name in spec.envs:
            yield Fault(f"parameters.{name}", "is in envs as well; leave it out in one of them")
        if parameter.required and parameter.default is None and (not schedule.is_manual or schedule.after is not None):
            words = "is required, and the job also runs when nobody gives it; give it a default, or make the job manual"
            yield Fault(f"parameters.{name}", words)


_DEFAULTS = Spec("")
"""The value of a removed field."""


def read_change(body: Mapping[str, Any], job: Job, now: int, rules: JobRules) -> tuple[Spec, Schedule]:
    """The job after the change that a body describes: fields that it does not name stay, secrets too. Raises Invalid with every fault."""
    removed = {name for name, value in body.items() if _is_absent(name, value) and name in FIELDS}
    given = {name: value for name, value in body.items() if name not in removed}
    wanted, faults = _read_given(given, rules, partial=True)
    faults += _removal_faults(job.spec, given, removed)
    start = _start(job.schedule, wanted, removed)
    for name, needed in NEEDED_STARTS.items():
        if name in wanted and not any(one in start or one in given for one in needed):
            faults.append(Fault(name, NEEDS_START[name]))
    for name, other in NEEDED_FIELDS.items():
        if name in wanted and other not in given and (other in removed or not getattr(job.spec, ATTRIBUTES[other])):
            faults.append(Fault(name, NEEDS_FIELD[name]))
    if faults:
        raise Invalid(faults)
    spec, schedule = _changed_spec(job.spec, wanted, removed), _schedule_of(start, now, rules.timezone)
    if faults := list(_faults_of_whole(spec, schedule)):
        raise Invalid(faults)
    if (not job.schedule.starts_as(schedule) or "expiration" in given) and (fault := never_in_time(spec, schedule, now)):
        raise Invalid([fault])
    if (faults := rules.posts(spec)) and not rules.posts(job.spec):
        raise Invalid(faults)
    return spec, schedule


def _removal_faults(spec: Spec, given: Mapping[str, Any], removed: set[str]) -> Iterator[Fault]:
    """The faults of a change that leaves a job without an image or a service."""
    if any(name in given for name in SUBJECTS):
        return
    for name in SUBJECTS:
        if name in removed and getattr(spec, name):
            yield Fault(name, "cannot be removed, because a job needs an image or a service; give another")


def _changed_spec(spec: Spec, wanted: Mapping[str, Any], removed: set[str]) -> Spec:
    if any(name in wanted for name in SUBJECTS):  # the new one takes the place of the old one
        removed = removed.union(SUBJECTS)
    if "concurrency" in removed:  # the key has no use without it
        removed = removed.union({"concurrencyKey"})
    attributes = {ATTRIBUTES[name] for name in removed if name in ATTRIBUTES}
    changed = {attribute: getattr(_DEFAULTS, attribute) for attribute in attributes} | _spec_values(wanted)
    options = wanted.get("container", NO_CONTAINER if "container" in removed else spec.container)
    if container.OLD_HOSTS in wanted or (container.OLD_HOSTS in removed and "container" not in wanted):
        options = replace(options, extra_hosts=wanted.get(container.OLD_HOSTS) or {})
    return replace(spec, **changed | {"container": options})


def _start(schedule: Schedule, wanted: Mapping[str, Any], removed: set[str]) -> dict[str, Any]:
    """The fields that say when the job is due, after the change: a new kind of start takes the place of the old one, and a cron's own
    fields are removed with it. A job that no longer follows others runs by hand only, unless it is said not to be manual."""
    start = _fields(schedule)
    if "after" in start and "after" in removed and "manual" not in removed:
        start["manual"] = True
    if any(name in wanted for name in STARTS):
        start = {name: value for name, value in start.items() if name not in STARTS}
    start = {name: value for name, value in start.items() if name not in removed}
    start |= {name: wanted[name] for name in (*STARTS, *NEEDED_STARTS) if name in wanted}
    return {name: value for name, value in start.items() if any(one in start for one in NEEDED_STARTS.get(name, (name,)))}


def _fields(schedule: Schedule) -> dict[str, Any]:
    """A schedule as the values of the fields that make it."""
    if schedule.cron is not None:
        return {
            "cron": given_cron(schedule),
            "timezone": schedule.own_zone,
            "overlap": schedule.overlap,
            "catchUp": schedule.catch_up,
            "spread": schedule.cron.spread,
            "skipDates": schedule.skip,
        }
    if schedule.after is not None:
        return {"after": schedule.after.jobs, "afterOn": schedule.after.on, "overlap": schedule.overlap}
    if schedule.is_manual:
        return {"manual": True, "overlap": schedule.overlap}
    return {} if schedule.at is None else {"startAt": schedule.at}
