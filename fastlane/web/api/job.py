"""A job as it is posted, put and patched, and as answers return it. Each of its fields is declared once, in ``FIELDS``; ``job_body`` reads
bodies by that.

A field's declaration determines the reading of bodies, with all faults at once; PATCH; the OpenAPI document, and with it docs/api.md, the
Python client's types and the schema of files for ``fastlane apply``; the options of ``fastlane run`` and ``fastlane schedule``; the hint
for a name in the wrong place; and the contents of ``definition`` and ``spec``. The stored form of an attribute follows from its type in
``models.job.Spec``.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from operator import attrgetter
from typing import Any

from fastlane.models.container import read_boolean
from fastlane.models.cron import read_timezone
from fastlane.models.done_by import read_time
from fastlane.models.job import Job, Spec
from fastlane.models.notify import MAX_MAILBOXES, MAX_WEBHOOKS
from fastlane.models.retention import LEAST_AGE, MOST_EXECUTIONS, NO_RETENTION, Retention, show_age
from fastlane.models.run_target import Everywhere
from fastlane.models.schedule import (
    CatchUp,
    Overlap,
    read_duration,
    read_duration_or_seconds,
    read_moment,
    show_duration,
)
from fastlane.models.skip_dates import MAX_SKIPPED, NAME as CALENDAR, PATTERN as DATE, read_skipped
from fastlane.models.upstream import AfterOn
from fastlane.web.api import after, container, failing, json_schema, notifications, parameters, schedules, serializer, values
from fastlane.web.api.body import (
    BodyField,
    BodyObject,
    Both,
    Option,
    Reader,
    RoundTrip,
    array,
    attribute_of,
    integer_from,
    list_of,
    word_of,
)
from fastlane.web.api.executions import command
from fastlane.web.api.json_schema import LIKE_DURATION, JsonSchema
from fastlane.web.api.serializer import (
    RenderContext,
    Serializer,
    boolean,
    enum,
    envs,
    integer,
    mapping,
    nested,
    rendered,
    seconds,
    string,
    strings_if_any,
    timestamp,
)

# retention


def own_retention(retention: Retention) -> Retention | None:
    """None when the job has no rules of its own."""
    return None if retention == NO_RETENTION else retention


def _read_age(value: object) -> int:
    milliseconds = round(read_duration_or_seconds(value) * 1000)
    if milliseconds < LEAST_AGE:
        raise ValueError(f"is too short; the shortest is {show_age(LEAST_AGE)}")
    return milliseconds


def _age(attribute: str, about: str, shown: str, **more: Any) -> Both[Retention]:
    def show(rules: Retention) -> str | None:
        age = getattr(rules, attribute)
        return None if age is None else show_age(age)

    return Both(BodyField(_read_age, json_schema.AGE, about), string(show, shown, null=True, **more))


_RETENTION = RoundTrip[Retention](
    "retention",
    "RetentionRules",
    "A job's own rules of retention, which count where they are stricter than the rules of its pool or the server.",
    jobs=_age(
        "jobs",
        "How long the job stays once it will not run again, with all that it has.",
        "How long the job stays once it will not run again; null: no rule.",
        examples=["7d"],
    ),
    executions=_age(
        "executions",
        "How long an execution stays after its end, with its tick and its log; the newest stays.",
        "How long an execution stays after its end; null: no rule.",
    ),
    maxExecutions=Both(
        BodyField(integer_from(1, MOST_EXECUTIONS), json_schema.integer(1, MOST_EXECUTIONS), "How many of the newest executions stay."),
        integer(attrgetter("max_executions"), "How many of the newest executions stay; null: no rule.", null=True, least=1),
    ),
    logs=_age(
        "logs",
        "How long a log stays after the end of its execution.",
        "How long a log stays after the end of its execution; null: no rule.",
    ),
)
RETENTION = _RETENTION.answer


def read_retention(value: object) -> Retention:
    """The job's own rules."""
    return Retention(**_RETENTION.read(value))


# what a field's declaration says


Shown = Callable[[str, str], serializer.Field[Any]]
"""Makes an answer's field from the attribute's path and its description."""


@dataclass(frozen=True, slots=True)
class JobType:
    """A type of field: how a body's value is read, its JSON Schema, and how the definition and the spec show the attribute."""

    read: Reader
    schema: JsonSchema
    defined: Shown | None = None
    shown: Shown | None = None


@dataclass(frozen=True, slots=True)
class JobField:
    """A field of a job. ``about`` is its description in a body, for the OpenAPI document; ``defined`` and ``shown`` are its descriptions in
    an answer's ``definition`` and ``spec``, or the field of the answer itself; None: it is not there. ``scheduled``: it is a part of the
    schedule, and no attribute of the spec."""

    type: JobType
    about: str
    defined: str | serializer.Field[Job] | None = None
    shown: str | serializer.Field[Spec] | None = None
    option: Option | None = None
    scheduled: bool = False

    @property
    def body(self) -> BodyField:
        """The field of a body."""
        return BodyField(self.type.read, self.type.schema, self.about, option=self.option)


# types


def _given(path: str) -> Callable[[Any], Any]:
    """Reads an attribute; None where it is empty."""
    get = attrgetter(path)
    return lambda value: get(value) or None


def _duration_text(path: str, about: str) -> serializer.Field[Job]:
    get = attrgetter(path)

    def show(job: Job) -> str | None:
        milliseconds = get(job)
        return None if milliseconds is None else show_duration(milliseconds / 1000)

    return string(show, about, optional=True, examples=["1m30s"])


def _seconds(path: str, about: str) -> serializer.Field[Spec]:
    return seconds(attrgetter(path), about)


def _duration(read: Callable[[object], float], schema: JsonSchema) -> JobType:
    """A duration, which a body has as text or as seconds, and a spec in milliseconds."""
    return JobType(lambda value: round(read(value) * 1000), schema, _duration_text, _seconds)


def _number(least: int, most: int) -> JobType:
    """A whole number, 0 unless given. Where 0 cannot be given, it is shown as null."""

    def defined(path: str, about: str) -> serializer.Field[Job]:
        return integer(_given(path), about, optional=True, least=least)

    def shown(path: str, about: str) -> serializer.Field[Spec]:
        null = least > 0
        return integer(_given(path) if null else attrgetter(path), about, null=null, least=least)

    return JobType(integer_from(least, most), json_schema.integer(least, most), defined, shown)


def _line(most: int, noun: str, example: str) -> JobType:
    """One line of text for people."""
    return JobType(
        values.line_of(most, noun, example),
        values.line_schema(most),
        lambda path, about: string(attrgetter(path), about, optional=True),
        lambda path, about: string(attrgetter(path), about, null=True),
    )


def _object(read: Reader, schema: JsonSchema, values: Any) -> JobType:
    """An object whose names are data; its values have a schema of their own."""
    return JobType(
        read,
        schema,
        lambda path, about: mapping(_given(path), about, values=values, optional=True),
        lambda path, about: mapping(attrgetter(path), about, values=values),
    )


def _word(known: type[StrEnum]) -> JobType:
    return JobType(word_of(known), json_schema.enum(tuple(known)))


MOMENT = JobType(
    read_moment,
    json_schema.MOMENT,
    lambda path, about: timestamp(attrgetter(path), about, optional=True),
    lambda path, about: timestamp(attrgetter(path), about, null=True),
)
_TEXT_SCHEMA = {"type": "string"}


# what the definition shows of more than one attribute


def _command(job: Job, render: RenderContext) -> str | list[str] | None:
    arguments: Sequence[str] | None = job.spec.command
    if arguments is None:
        return None
    shown = [render.redaction.text(argument) for argument in arguments]
    text = shlex.join(shown)
    return text if len(text) <= values.MAX_COMMAND_TEXT else shown


def _overlap(job: Job) -> Overlap | None:
    return None if job.schedule.overlap is Overlap.ALLOW else job.schedule.overlap


def _catch_up(job: Job) -> CatchUp | None:
    return None if job.schedule.catch_up is CatchUp.LATEST else job.schedule.catch_up


def _spread(job: Job) -> str | None:
    return show_duration(job.schedule.cron.spread / 1000) if job.schedule.cron and job.schedule.cron.spread else None


def _retries(job: Job) -> int | None:
    """The retries; 0, too, beside a field that needs them (``NEEDED_FIELDS``)."""
    spec = job.spec
    return spec.retries if spec.retries or any(rule is not None for rule in (spec.retry_delay, spec.retry_on, spec.on_oom)) else None


# the fields

FIELDS: Mapping[str, JobField] = {
    "image": JobField(
        JobType(values.read_image, {**json_schema.IMAGE, "examples": ["ubuntu:latest", "registry.example.com:5000/team/app:1.2"]}),
        "The image: any reference, with a registry, a path, a tag or a digest.",
        defined=string(lambda job: job.spec.shown_image, "The image; absent where a service decides it.", optional=True),
        shown=string(lambda spec: spec.shown_image, "The image; null: the service decides it.", null=True),
    ),
    "service": JobField(
        JobType(values.read_service, values.SERVICE_NAME),
        "Instead of an image, a service of the swarm: the job runs as its container. Its pool must allow that.",
        defined=string(lambda job: job.spec.service, "The service as whose container it runs.", optional=True),
        shown=string(lambda spec: spec.service, "The service as whose container it runs; null: it has an image.", null=True),
        option=Option("--service", "NAME", "Run as the container of this service of the swarm, instead of IMAGE."),
    ),
    "command": JobField(
        JobType(values.read_command, values.COMMAND),
        "What to run instead of the image's own command: text, split as a POSIX shell would split it (no shell runs it), or a list.",
        defined=rendered(
            _command,
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            f"Text; a list when it is longer than {values.MAX_COMMAND_TEXT:,} characters.",
        ),
        shown=command(lambda spec: spec.command),
    ),
    "envs": JobField(
        JobType(values.read_envs, values.ENVS),
        f"Environment variables: text, numbers or booleans by name, {values.MAX_ENVS_BYTES >> 10} KiB in all.",
        defined=envs(lambda job: job.spec.envs, optional=True),
        shown=envs(lambda spec: spec.envs),
        option=Option("-e --env", "NAME=VALUE", "A variable; NAME alone takes the value that it has here.", "variables"),
    ),
    "parameters": JobField(
        JobType(parameters.read_parameters, parameters.PARAMETERS_SCHEMA),
        f"Values that a run may be given, by name, up to {parameters.MAX_PARAMETERS}; the container has them as variables.",
        defined=parameters.DEFINED,
        shown=parameters.SHOWN,
    ),
    "startIn": JobField(
        JobType(lambda value: round(read_duration(value) * 1000), json_schema.DURATION),
        f"When it starts: this long from now, {json_schema.DURATION_WORDS}.",
        scheduled=True,
        option=Option("--in", "DURATION", "Once, this long from now: 10s, 2h30m.", scheduled=True),
    ),
    "startAt": JobField(
        MOMENT,
        f"When it starts: at a moment, as {json_schema.MOMENT_WORDS}; a moment in the past means now.",
        defined=timestamp(lambda job: job.schedule.at, "When a job that runs once, later, is due.", optional=True),
        scheduled=True,
        option=Option("--at", "TIME", "Once, at this time: ISO 8601 with an offset, or Unix seconds.", scheduled=True),
    ),
    "cron": JobField(
        JobType(schedules.read_crons, schedules.CRON),
        "When it starts, repeatedly: five fields (minute, hour, day, month, day of week; 0 and 7 are Sunday); or a list of entries.",
        defined=rendered(schedules.defined, schedules.CRON, "The cron, as it was given."),
        scheduled=True,
        option=Option("--cron", "CRON", "Again and again: five fields (minute, hour, day, month, day of week), or @daily.", scheduled=True),
    ),
    "timezone": JobField(
        JobType(read_timezone, json_schema.TIMEZONE),
        "The IANA name of the zone whose clocks the cron and doneBy mean; the zone of the settings unless given.",
        defined=string(lambda job: job.schedule.own_zone, "The zone whose clocks the cron and doneBy mean.", optional=True),
        scheduled=True,
        option=Option("--timezone", "ZONE", "The zone whose clocks the cron means: Europe/Berlin.", scheduled=True),
    ),
    "manual": JobField(
        JobType(read_boolean, {"type": "boolean"}),
        "True: it runs only when somebody runs it (`POST …/run`). False is the same as leaving it out.",
        defined=boolean(
            lambda job: (job.schedule.is_manual and job.schedule.after is None) or None,
            "True: it runs only when somebody runs it.",
            optional=True,
        ),
        scheduled=True,
        option=Option("--manual", "", "Only when somebody runs it: fastlane run-now.", "flag", scheduled=True),
    ),
    "after": JobField(
        JobType(after.read_after, after.SCHEMA),
        "The job that it follows, by name or id within the task, or as task/job; or a list, which waits for all of them.",
        defined=rendered(after.defined_after, after.SCHEMA, "The ids of the jobs that it follows."),
        scheduled=True,
        option=Option(
            "--after", "JOB", "After this job of the task, or TASK/JOB; may be repeated: after all of them.", "list", scheduled=True
        ),
    ),
    "afterOn": JobField(
        _word(AfterOn),
        "Which ends of these jobs count: successes (the default), failures with their last attempt, or all.",
        defined=enum(AfterOn, after.defined_on, "Which ends of these jobs count; absent: succeeds.", optional=True),
        scheduled=True,
        option=Option("--after-on", "", "Which ends of these jobs count.", "|".join(AfterOn), scheduled=True),
    ),
    "overlap": JobField(
        _word(Overlap),
        "What a tick of the cron, or run, does while an earlier execution is under way: it starts beside it (allow, the default), does not "
        "start (skip), waits for its end (queue: one does, a second is skipped), or stops it and waits for that (replace).",
        defined=enum(Overlap, _overlap, "What a tick does while an earlier execution is under way; absent: allow.", optional=True),
        scheduled=True,
        option=Option("--overlap", "", "What a tick does while an earlier run goes on.", "|".join(Overlap), scheduled=True),
    ),
    "catchUp": JobField(
        _word(CatchUp),
        "What follows when ticks were missed: the latest of them runs late (the default), or none does.",
        defined=enum(CatchUp, _catch_up, "What follows when ticks were missed; absent: latest.", optional=True),
        scheduled=True,
        option=Option("--catch-up", "", "What follows when ticks were missed.", "|".join(CatchUp), scheduled=True),
    ),
    "spread": JobField(
        JobType(schedules.read_spread, json_schema.SPREAD),
        f"Delays each due time of the cron by up to this long, a time that is chosen for the job and stays: {LIKE_DURATION}, in minutes.",
        defined=string(_spread, "The longest delay of its due times.", optional=True, examples=["30m"]),
        scheduled=True,
        option=Option("--spread", "DURATION", "Delays each due time by up to this long, chosen for the job: 30m.", scheduled=True),
    ),
    "skipDates": JobField(
        JobType(
            list_of(read_skipped, MAX_SKIPPED, '"2026-12-24..2026-12-26"'),
            {
                **array({"type": "string", "pattern": rf"^(?:{DATE}(?:\.\.{DATE})?|{CALENDAR})$"}, MAX_SKIPPED),
                "examples": [["2026-12-24..2026-12-26", "2027-01-01", "holidays"]],
            },
        ),
        "Dates, ranges of dates and names of calendars: on these dates a tick of the cron is skipped, by the clocks of the job's zone. "
        "An empty list is the same as none.",
        defined=strings_if_any(lambda job: map(str, job.schedule.skip), "Dates on which its ticks are skipped."),
        scheduled=True,
        option=Option("--skip-date", "DATE", "A date, a range FIRST..LAST or a calendar, when it does not run.", "list", scheduled=True),
    ),
    "retries": JobField(
        JobType(values.read_retries, json_schema.integer(0)),
        "How many further attempts may follow a failed one: up to the setting hard_retries; 0 unless given.",
        defined=integer(_retries, "How many further attempts may follow a failed one; absent: 0.", optional=True),
        shown=integer(lambda spec: spec.retries, "How many further attempts may follow a failed one."),
        option=Option("--retries", "NUMBER", "How many further attempts may follow a failed one.", "integer"),
    ),
    "retryDelay": JobField(
        _duration(read_duration_or_seconds, json_schema.DURATION_OR_SECONDS),
        f"The time before a further attempt: {LIKE_DURATION}. Needs retries; exponential back-off unless given.",
        defined="The time before each further attempt; absent: exponential back-off.",
        shown="Seconds before each further attempt; null: exponential back-off.",
        option=Option("--retry-delay", "DURATION", "The time before each further attempt."),
    ),
    "retryOn": JobField(
        JobType(failing.read_retry_on, failing.RETRY_ON),
        "Which failures are tried again: reasons, and exit codes whatever the reason is; needs retries. Unless given: exit, oom, killed, "
        "host-lost and engine.",
        defined=rendered(
            lambda job, _: failing.shown_retry_on(job.spec.retry_on),
            failing.RETRY_ON,
            "Which failures are tried again; absent: exit, oom, killed, host-lost and engine.",
        ),
        shown=rendered(
            lambda spec, _: failing.shown_retry_on(spec.retry_on),
            failing.RETRY_ON,
            "Which failures are tried again; null: exit, oom, killed, host-lost and engine.",
            null=True,
        ),
        option=Option("--retry-on", "FAILURE", "Try again only after this: a reason such as oom, or an exit code.", "failures"),
    ),
    "onOom": JobField(
        JobType(failing.read_on_oom, failing.ON_OOM_SCHEMA),
        "How much memory the next attempt gets after one that ran out of resources.memory; needs retries.",
        defined=nested(failing.ON_OOM, lambda job: job.spec.on_oom, optional=True),
        shown=nested(failing.ON_OOM, lambda spec: spec.on_oom, null=True),
    ),
    "pauseAfter": JobField(
        _number(1, failing.MAX_ROW),
        f"From 1 to {failing.MAX_ROW}: how many failed ticks in a row pause a job with a cron, until a person resumes it.",
        defined="How many failed ticks in a row pause it.",
        shown="How many failed ticks in a row pause it; null: none do.",
        option=Option("--pause-after", "NUMBER", "How many failed ticks in a row pause it.", "integer", scheduled=True),
    ),
    "notifyAfter": JobField(
        _number(1, failing.MAX_ROW),
        f"From 1 to {failing.MAX_ROW}: how many ticks in a row have to fail before anyone is notified.",
        defined="How many ticks in a row have to fail before anyone is notified.",
        shown="How many ticks in a row have to fail before anyone is notified; null: one.",
        option=Option(
            "--notify-after", "NUMBER", "How many ticks in a row have to fail before anyone is notified.", "integer", scheduled=True
        ),
    ),
    "timeout": JobField(
        _duration(values.read_timeout, json_schema.POSITIVE_DURATION_OR_SECONDS),
        f"How long it may run: {LIKE_DURATION}, up to its pool's hardTimeout, else the setting hard_timeout.",
        defined="How long it may run; absent: as its pool or the setting hard_timeout says.",
        shown="Seconds of running.",
        option=Option("--timeout", "DURATION", "How long it may run: 5m."),
    ),
    "expiration": JobField(
        MOMENT,
        f"The moment, after its first start, by which it must have started: {json_schema.MOMENT_WORDS}.",
        defined="The moment by which it must have started.",
        shown="It does not start after that.",
    ),
    "expiresIn": JobField(
        _duration(values.read_time_to_start, json_schema.POSITIVE_DURATION_OR_SECONDS),
        f"How long after it was due it may still start: {LIKE_DURATION}.",
        defined="How long after it was due it may still start.",
        shown="It does not start more than this many seconds after it was due.",
        option=Option("--expires-in", "DURATION", "How long after it was due it may still start."),
    ),
    "priority": JobField(
        _number(-100, 100),
        "From -100 to 100: within its pool, a point counts as a minute of waiting; 0 unless given.",
        defined="Within its pool, a point counts as a minute of waiting; absent: 0.",
        shown="Within its pool, a point counts as a minute of waiting.",
        option=Option("--priority", "NUMBER", "A point counts as a minute of waiting.", "integer"),
    ),
    "concurrency": JobField(
        _number(1, 1000),
        "From 1 to 1,000: it waits while this many executions of its task run.",
        defined="It waits while this many executions of its task run.",
        shown="It waits while this many of its task run.",
        option=Option("--concurrency", "NUMBER", "It waits while this many executions of its task run.", "integer"),
    ),
    "concurrencyKey": JobField(
        _line(100, "key", "db"),
        "A limit that jobs of all tasks of the pool share: with it, `concurrency` counts the executions with the same key "
        "instead of the task's. Up to 100 characters; needs concurrency.",
        defined="What the executions have in common that its concurrency counts; absent: their task.",
        shown="What the executions have in common that its concurrency counts; null: their task.",
        option=Option("--concurrency-key", "TEXT", "--concurrency counts the executions of its pool with the same key."),
    ),
    "unique": JobField(
        JobType(read_boolean, {"type": "boolean"}),
        "True: no equal job of its task may be enqueued or scheduled beside it; one that would be is a 409 with its `jobId` and `jobUrl`. "
        "Equal jobs may differ in `name`, `labels`, `metadata`, `startIn`, `startAt` and `expiration`.",
        defined=boolean(lambda job: job.spec.unique or None, "True: no equal job may wait beside it.", optional=True),
        shown=boolean(lambda spec: spec.unique, "Whether no equal job may wait beside it."),
        option=Option("--unique", "", "Only if no equal job of the task is enqueued or scheduled.", "flag"),
    ),
    "everywhere": JobField(
        _word(Everywhere),
        "Each tick runs at once on every usable swarm of its pool (swarms), or on every usable node of these (nodes): an execution each, "
        "256 at most, which belong to one tick. The tick has ended when all have.",
        defined=enum(Everywhere, lambda job: job.spec.everywhere, "On what each tick runs at once; absent: one host.", optional=True),
        shown=string(lambda spec: spec.everywhere, "On what each tick runs at once; null: one host.", null=True),
        option=Option("--everywhere", "", "On each swarm of the pool at once, or on each node.", "|".join(Everywhere), scheduled=True),
    ),
    "resources": JobField(
        JobType(container.read_resources, container.RESOURCES_SCHEMA),
        "How much of a node it gets, within the limits of its pool.",
        defined=nested(container.RESOURCES, lambda job: container.asked_resources(job.spec.resources), optional=True),
        shown=nested(container.RESOURCES, lambda spec: container.asked_resources(spec.resources), null=True),
    ),
    "container": JobField(
        JobType(container.read_container, container.CONTAINER_SCHEMA),
        "How its container is set up. The policy of its pool says what is allowed; anything else is a 403.",
        defined=nested(container.CONTAINER, lambda job: container.asked_container(job.spec.container), optional=True),
        shown=nested(container.CONTAINER, lambda spec: container.asked_container(spec.container), null=True),
    ),
    container.OLD_HOSTS: JobField(
        JobType(container.read_hosts, {**container.HOSTS, "deprecated": True}),
        "The name of container.extraHosts in fastlane 2.x.",
        scheduled=True,
    ),
    "name": JobField(
        _line(values.MAX_NAME, "name", "nightly backup"),
        f"A name for people, up to {values.MAX_NAME} characters.",
        defined="A name for people.",
        option=Option("--name", "TEXT", "A name for people, and for other commands: TASK/NAME."),
    ),
    "labels": JobField(
        _object(values.read_labels, values.LABELS, _TEXT_SCHEMA),
        f"Up to {values.MAX_LABELS} labels, by which GET /jobs?label=NAME=VALUE finds the job.",
        defined="Its labels, by name.",
        option=Option("-l --label", "NAME=VALUE", "A label.", "pairs"),
    ),
    "webhooks": JobField(
        JobType(notifications.read_webhooks, notifications.WEBHOOKS_SCHEMA),
        f"Where to post how each execution ended, by what starts the post; up to {MAX_WEBHOOKS} in each list.",
        defined=nested(notifications.WEBHOOKS, lambda job: job.spec.webhooks or None, optional=True),
        shown=nested(notifications.WEBHOOKS, lambda spec: spec.webhooks),
    ),
    "expectEvery": JobField(
        _duration(values.read_expectation, json_schema.EXPECTATION),
        f"How often it must succeed: {LIKE_DURATION}, 1 second at least. It is late when it has not succeeded for that long.",
        defined="How often it must succeed; absent: it is never late.",
        shown="Seconds within which it must succeed; null: it is never late.",
    ),
    "doneBy": JobField(
        JobType(read_time, failing.DONE_BY),
        "The time of day, in the zone of its cron, by which each tick before it must have succeeded; else the job is late.",
        defined=string(lambda job: job.spec.done_by, "The time of day by which it must have succeeded.", optional=True),
        shown=string(lambda spec: spec.done_by, "The time of day by which it must have succeeded; null: there is none.", null=True),
        option=Option("--done-by", "TIME", "The time of day by which it must have succeeded: 06:00.", scheduled=True),
    ),
    "notify": JobField(
        JobType(notifications.read_notify, notifications.NOTIFY_SCHEMA),
        f"E-mail addresses, of domains that `notify_allow` has, that get a mail about each end; up to {MAX_MAILBOXES} in each list.",
        defined=nested(notifications.LISTENERS, lambda job: job.spec.notify or None, optional=True),
    ),
    "retention": JobField(
        JobType(read_retention, {**_RETENTION.body.schema, "examples": [{"executions": "7d", "maxExecutions": 100, "logs": "1d"}]}),
        "How long its history stays, if that is shorter than its pool or the server keeps it.",
        defined=nested(RETENTION, lambda job: own_retention(job.spec.retention), optional=True),
        shown=nested(RETENTION, lambda spec: own_retention(spec.retention), null=True),
    ),
    "annotations": JobField(
        JobType(read_boolean, {"type": "boolean"}),
        "False: lines of the log such as `::set-output` and `::error::` are plain text; true unless given.",
        defined=boolean(lambda job: None if job.spec.annotations else False, "False: ::lines of the log are plain text.", optional=True),
        shown=boolean(lambda spec: spec.annotations, "Whether lines of the log such as ::set-output mean something."),
        option=Option("--no-annotations", "", "Lines of the log such as ::error:: are plain text.", "off"),
    ),
    "metadata": JobField(
        _object(values.read_metadata, json_schema.DATA, None),
        f"Any JSON object, up to {values.MAX_METADATA >> 10} KiB; it comes back with the job.",
        defined="What the client gave.",
        shown="What the client gave.",
    ),
}

STARTS = ("startIn", "startAt", "cron", "manual", "after")
"""The fields that say when a job is due. Without one of them it is due now."""
NEEDED_STARTS: Mapping[str, tuple[str, ...]] = {
    "timezone": ("cron",),
    "overlap": ("cron", "manual", "after"),
    "catchUp": ("cron",),
    "afterOn": ("after",),
    "spread": ("cron",),
    "skipDates": ("cron",),
}
"""The fields that are only valid together with one of these."""
NEEDED_FIELDS: Mapping[str, str] = {"retryDelay": "retries", "retryOn": "retries", "onOom": "retries", "concurrencyKey": "concurrency"}
"""The fields that are only valid together with another one."""

SUBJECTS = ("image", "service")
"""The fields that say what runs. A job has one of them."""

JOB_BODY = BodyObject("a job", "Job", **{name: one.body for name, one in FIELDS.items()})
"""The body of ``POST /tasks/T`` and of ``PUT /tasks/T/jobs/J``: what to run, and when."""
_OTHER = "Another {} instead of the job's image or service. It cannot be removed."
_OTHERS = {name: replace(JOB_BODY.fields[name], about=_OTHER.format(name), null=False) for name in SUBJECTS}
JOB_CHANGE_BODY = BodyObject("a job", "JobChange", **{**JOB_BODY.fields, **_OTHERS})
"""The body of ``PATCH /tasks/T/jobs/J``: the fields that change. Null removes a field."""

ATTRIBUTES = {name: attribute_of(name) for name, one in FIELDS.items() if not one.scheduled}
"""The attribute of a spec for each field."""


def _ordered(fields: Mapping[str, Any], first: Sequence[str], last: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of an answer, in its order: these ``first``, these ``last``, and between them the order of ``FIELDS``."""
    between = [name for name in fields if name not in first and name not in last]
    return {name: fields[name] for name in (*first, *between, *last)}


def _answer(path: str, make: Shown | None, answer: Any) -> Any:
    return make(path, answer) if isinstance(answer, str) and make else answer


DEFINITION = Serializer[Job](
    "Definition",
    "The job as the body that PUT takes. Only redacted values (********) must be filled in before it is sent.",
    **_ordered(
        {
            name: _answer(f"spec.{attribute_of(name)}", one.type.defined, one.defined)
            for name, one in FIELDS.items()
            if one.defined is not None
        },
        first=("name", "labels"),
    ),
)
SPEC = Serializer[Spec](
    "Spec",
    "What a job runs, and by which rules.",
    **_ordered(
        {name: _answer(attribute_of(name), one.type.shown, one.shown) for name, one in FIELDS.items() if one.shown is not None},
        first=("image", "service", "command", "envs", "metadata"),
        last=("expectEvery",),
    ),
)
