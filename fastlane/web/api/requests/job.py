"""The body that describes a job: a marshmallow schema validates it, all faults at once, and ``read_job`` makes values of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from itertools import chain, count, islice
from typing import Any, cast

from marshmallow import RAISE, Schema, ValidationError, fields, validates_schema

from fastlane.errors import Fault, Invalid
from fastlane.models.container import NO_CONTAINER, Container
from fastlane.models.cron import read_cron, read_timezone
from fastlane.models.image import EXAMPLES
from fastlane.models.job import Spec
from fastlane.models.notify import ADDRESS, MAX_ADDRESS, MAX_MAILBOXES, MAX_WEBHOOKS, Mailbox, NotificationTrigger, may_mail, read_address
from fastlane.models.retention import LEAST_AGE, MOST_EXECUTIONS, Retention, show_age
from fastlane.models.schedule import (
    CatchUp,
    Overlap,
    Schedule,
    ScheduleKind,
    read_duration,
    read_duration_or_seconds,
    read_moment,
    show_duration,
)
from fastlane.web.api import json_schema
from fastlane.web.api.container import (
    CONTAINER,
    HOSTS,
    NOT_THE_SAME,
    OLD_HOSTS,
    RESOURCES,
    BodyField,
    BodyObject,
    differs,
    read_container,
    read_hosts,
    read_resources,
)
from fastlane.web.api.field_hints import HINTS
from fastlane.web.api.json_schema import JsonSchema, nullable
from fastlane.web.api.requests import readers
from fastlane.web.api.requests.webhooks import WEBHOOKS, address_faults, read_webhooks
from fastlane.web.http.fields import MAX_FAULTS, list_of, read_fields, unknown_field

EXAMPLE = '"team@example.com"'
NO_SERVER = "needs a mail server, and this installation has none; ask for smtp_host to be set, or leave this out"
NOT_ALLOWED = "may get no mail from here; give an address of a domain that may, or ask for it to be in notify_allow"


def read_notify(value: object) -> tuple[Mailbox, ...]:
    """The lists of addresses of a job, as one."""
    readers = {trigger.value: list_of(partial(_read_mailbox, trigger), MAX_MAILBOXES, EXAMPLE) for trigger in NotificationTrigger}
    return tuple(chain.from_iterable(read_fields(value, readers, "notify").values()))


def mail_faults(mailboxes: Sequence[Mailbox], allowed: Sequence[str] | None) -> list[Fault]:
    """A fault for mailboxes that nobody could send a mail to, or for each that is not among the ``allowed``. None: there is no mail
    server."""
    if allowed is None:
        return [Fault("notify", NO_SERVER)] if mailboxes else []
    faults, places = [], {trigger: count() for trigger in NotificationTrigger}
    for mailbox in mailboxes:
        place = next(places[mailbox.trigger])
        if not may_mail(mailbox.address, allowed):
            faults.append(Fault(f"notify.{mailbox.trigger}.{place}", NOT_ALLOWED))
    return faults


def _read_mailbox(trigger: NotificationTrigger, value: object) -> Mailbox:
    try:
        return Mailbox(trigger, read_address(value))
    except ValueError as error:
        raise ValidationError(str(error)) from None


MAILBOX: JsonSchema = {"type": "string", "maxLength": MAX_ADDRESS, "pattern": f"^(?=.{{1,64}}@){ADDRESS.pattern}$"}
NOTIFY: JsonSchema = {
    "type": "object",
    "properties": {
        trigger.value: nullable({"type": "array", "items": MAILBOX, "maxItems": MAX_MAILBOXES}) for trigger in NotificationTrigger
    },
    "additionalProperties": False,
    "examples": [{"fails": ["team@example.com"]}],
}


def _read_age(value: object) -> int:
    milliseconds = round(read_duration_or_seconds(value) * 1000)
    if milliseconds < LEAST_AGE:
        raise ValueError(f"is too short; the shortest is {show_age(LEAST_AGE)}")
    return milliseconds


def _age(about: str) -> BodyField:
    return BodyField(_read_age, json_schema.AGE, about)


_RETENTION = BodyObject(
    "retention",
    jobs=_age("How long the job stays once it will not run again, with all that it has."),
    executions=_age("How long an execution stays after its end, with its tick and its log; the newest stays."),
    maxExecutions=BodyField(
        readers.integer(1, MOST_EXECUTIONS), json_schema.integer(1, MOST_EXECUTIONS), "How many of the newest executions stay."
    ),
    logs=_age("How long a log stays after the end of its execution."),
)
RETENTION: JsonSchema = {**_RETENTION.schema, "examples": [{"executions": "7d", "maxExecutions": 100, "logs": "1d"}]}


def read_retention(value: object) -> Retention:
    """The job's own rules."""
    given = _RETENTION.read(value)
    return Retention(given.get("jobs"), given.get("executions"), given.get("maxExecutions"), given.get("logs"))


def field(read: Callable[[object], Any], schema: JsonSchema, about: str, *, null: bool = True, **options: Any) -> fields.Function:
    """A field whose value a reader makes, which raises ValidationError or ValueError with what is wrong. ``schema`` is what JSON Schema can
    say of the values that it reads. ``null``: it may be null."""

    def load(value: object) -> Any:
        try:
            return read(value)
        except ValidationError:
            raise
        except ValueError as error:
            raise ValidationError(str(error)) from None

    own = json_schema.nullable(schema) if null else schema
    return fields.Function(deserialize=load, metadata={"description": about, JSON_SCHEMA: own}, **options)


def number(least: int, most: int, about: str) -> fields.Function:
    """A field of whole numbers in a range."""
    return field(readers.integer(least, most), json_schema.integer(least, most), about)


def choice(known: type[StrEnum], about: str) -> fields.Function:
    """A field of a few words."""
    return field(readers.enum(known), json_schema.enum(tuple(known)), about)


JSON_SCHEMA = "json_schema"
"""The key of a field's JSON Schema in its metadata."""

STARTS = ("startIn", "startAt", "cron")
"""The fields that say when a job is due. Without one of them it is due now."""
CRON_FIELDS = ("timezone", "overlap", "catchUp")
"""The fields that are only valid together with ``cron``."""
NEEDS_CRON = "is for a job with a cron; give one, or leave this out"
NEEDS_RETRIES = 'is the wait before a retry, and the job has no retries; give retries, such as "retries": 3, or leave this out'


class JobSchema(Schema):
    """The body of ``POST /tasks/T`` and of ``PUT /tasks/T/jobs/J``: what to run, and when."""

    class Meta:
        unknown = RAISE

    image = field(
        readers.read_image,
        {**json_schema.IMAGE, "examples": ["ubuntu:latest", "registry.example.com:5000/team/app:1.2"]},
        "The image: any reference, with a registry, a path, a tag or a digest.",
        null=False,
        required=True,
        error_messages={"required": f"is missing; {EXAMPLES}"},
    )
    command = field(
        readers.read_command,
        readers.COMMAND,
        "What to run in place of the image's own command: text, split as a POSIX shell would split it (no shell runs it), or a list.",
    )
    envs = field(
        readers.read_envs,
        readers.ENVS,
        f"Environment variables: text, numbers or booleans by name, {readers.MAX_ENVS_BYTES >> 10} KiB in all.",
    )
    startIn = field(read_duration, json_schema.DURATION, f"When it starts: this long from now, {json_schema.DURATION_WORDS}.")
    startAt = field(
        read_moment, json_schema.MOMENT, f"When it starts: at a moment, as {json_schema.MOMENT_WORDS}; a moment in the past means now."
    )
    cron = field(
        read_cron,
        json_schema.CRON,
        "When it starts, repeatedly: five fields (minute, hour, day, month, day of week; 0 and 7 are Sunday).",
    )
    timezone = field(
        read_timezone,
        json_schema.TIMEZONE,
        "The IANA name of the zone whose clocks the cron means; that of the settings unless given.",
    )
    overlap = choice(
        Overlap,
        "What a tick of the cron, or run, does while an earlier execution is under way: it starts beside it (allow, the default), does not "
        "start (skip), waits for its end (queue: one does, a second is skipped), or stops it and waits for that (replace).",
    )
    catchUp = choice(CatchUp, "What follows when ticks were missed: the latest of them runs late (the default), or none does.")
    retries = field(
        readers.read_retries,
        json_schema.integer(0),
        "How many further attempts may follow a failed one: up to the setting hard_retries; 0 unless given.",
    )
    retryDelay = field(
        read_duration_or_seconds,
        json_schema.DURATION_OR_SECONDS,
        f"The time before a further attempt: {json_schema.LIKE_DURATION}. Needs retries; exponential back-off unless given.",
    )
    timeout = field(
        readers.read_timeout,
        json_schema.POSITIVE_DURATION_OR_SECONDS,
        f"How long it may run: {json_schema.LIKE_DURATION}, up to its pool's hardTimeout, else the setting hard_timeout.",
    )
    expiration = field(
        read_moment, json_schema.MOMENT, f"The moment, after its first start, by which it must have started: {json_schema.MOMENT_WORDS}."
    )
    expiresIn = field(
        readers.read_time_to_start,
        json_schema.POSITIVE_DURATION_OR_SECONDS,
        f"How long after it was due it may still start: {json_schema.LIKE_DURATION}.",
    )
    priority = number(-100, 100, "From -100 to 100: within its pool, a point counts as a minute of waiting; 0 unless given.")
    concurrency = number(1, 1000, "From 1 to 1,000: it waits while this many executions of its task run.")
    resources = field(read_resources, RESOURCES, "How much of a node it gets, within the limits of its pool.")
    container = field(
        read_container,
        CONTAINER,
        "How its container is set up. The policy of its pool says what is allowed; anything else is a 403.",
    )
    additionalDNSEntries = field(read_hosts, {**HOSTS, "deprecated": True}, "The name of container.extraHosts in fastlane 2.x.")
    name = field(readers.read_name, readers.NAME, f"A name for people, up to {readers.MAX_NAME} characters.")
    labels = field(
        readers.read_labels, readers.LABELS, f"Up to {readers.MAX_LABELS} labels, by which GET /jobs?label=NAME=VALUE finds the job."
    )
    expectEvery = field(
        readers.read_expectation,
        json_schema.EXPECTATION,
        f"How often it is to succeed: {json_schema.LIKE_DURATION}, 1 second at least. Without a success for so long it is late.",
    )
    webhooks = field(
        read_webhooks,
        WEBHOOKS,
        f"Where to post how each execution ended, by what is told; up to {MAX_WEBHOOKS} in each list.",
    )
    notify = field(
        read_notify,
        NOTIFY,
        f"E-mail addresses, of domains that `notify_allow` has, that get a mail about each end; up to {MAX_MAILBOXES} in each list.",
    )
    retention = field(
        read_retention,
        RETENTION,
        "How long its history stays, where that is to be less than its pool or the server keeps it.",
    )
    metadata = field(
        readers.read_metadata, json_schema.DATA, f"Any JSON object, up to {readers.MAX_METADATA >> 10} KiB; it comes back with the job."
    )

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def rules(self, data: Mapping[str, Any], original: Mapping[str, Any], *, partial: bool = False, **_options: Any) -> None:
        """What must hold between fields: a job has one kind of start, fields about a cron's ticks need a cron, and a delay of retries needs
        retries. In a ``partial`` body these may be the job's own."""
        faults: dict[str, list[str]] = {}
        starts = [name for name in STARTS if name in original]
        if len(starts) > 1:
            faults[starts[0]] = [f"cannot be used together with {' and '.join(starts[1:])}; keep one of them"]
        for name in CRON_FIELDS:
            if name in original and "cron" not in original and not partial:
                faults[name] = [NEEDS_CRON]
        if "retryDelay" in original and "retries" not in original and not partial:
            faults["retryDelay"] = [NEEDS_RETRIES]
        container: Container = data.get("container") or NO_CONTAINER
        if differs(data.get("additionalDNSEntries"), container.extra_hosts):
            faults["additionalDNSEntries"] = [NOT_THE_SAME]
        if faults:
            raise ValidationError(faults)


class JobChangeSchema(JobSchema):
    """The body of ``PATCH /tasks/T/jobs/J``: the fields that change. Null removes a field."""

    image = field(readers.read_image, json_schema.IMAGE, "Another image. It cannot be removed.", null=False)


JOB = JobSchema()
READERS: Mapping[str, Callable[[Any], Any]] = {name: cast(Any, one).deserialize_func for name, one in JOB.fields.items()}
"""What reads the value of each field."""
REQUIRED = {name for name, one in JOB.fields.items() if one.required}


def read_job(
    body: Mapping[str, Any],
    now: int,
    *,
    hard_retries: int,
    hard_timeout: float,
    timezone: str = "UTC",
    webhook_allow: Sequence[str] = (),
    notify_allow: Sequence[str] | None = None,
) -> tuple[Spec, Schedule]:
    """What to run and when, of a decoded body; ``now`` in milliseconds, ``hard_timeout`` in seconds, ``timezone`` for a cron that names
    none, ``webhook_allow`` as in ``is_allowed``, ``notify_allow``: as in ``mail_faults``. Raises Invalid with every fault."""
    given = {name: value for name, value in body.items() if value is not None}
    wanted, faults = read_given(
        given, hard_retries=hard_retries, hard_timeout=hard_timeout, webhook_allow=webhook_allow, notify_allow=notify_allow
    )
    if faults:
        raise Invalid(faults)
    spec, schedule = Spec(**spec_values(wanted)), schedule_of(wanted, now, timezone)
    if fault := never_in_time(spec, schedule, now):
        raise Invalid([fault])
    return spec, schedule


def read_given(
    given: Mapping[str, Any],
    *,
    hard_retries: int,
    hard_timeout: float,
    webhook_allow: Sequence[str] = (),
    notify_allow: Sequence[str] | None = None,
    partial: bool = False,
) -> tuple[Mapping[str, Any], list[Fault]]:
    """The values of a body's fields that can be read, and the faults of the others. A ``partial`` body may lack fields."""
    faults: list[Fault] = []
    wanted = read_valid(given, partial=partial)
    if wanted is None:
        wanted, faults = _read_invalid(given, partial=partial)
    if wanted.get("retries", 0) > hard_retries:
        faults.append(Fault("retries", f"is more than this server allows ({hard_retries}); choose fewer, or ask for a higher hard_retries"))
    if wanted.get("timeout", 0) > hard_timeout:
        longest = show_duration(hard_timeout)
        faults.append(
            Fault("timeout", f"is more than this server allows ({longest}); choose a shorter one, or ask for a higher hard_timeout")
        )
    if "webhooks" in wanted:
        faults += address_faults(wanted["webhooks"], webhook_allow)
    if "notify" in wanted:
        faults += mail_faults(wanted["notify"], notify_allow)
    return wanted, faults


def read_valid(given: Mapping[str, Any], *, partial: bool = False) -> Mapping[str, Any] | None:
    """The values of a body without a fault, by the schema's own readers and rules; None for any other body. ``JOB.load`` does the same at
    ten times the cost: it visits every field of the schema."""
    try:
        wanted = {name: READERS[name](value) for name, value in given.items()}
        JOB.rules(wanted, given, partial=partial)
    except (KeyError, ValidationError):
        return None
    return wanted if partial or wanted.keys() >= REQUIRED else None


def _read_invalid(given: Mapping[str, Any], *, partial: bool) -> tuple[Mapping[str, Any], list[Fault]]:
    """The values of a body that can be read, and the faults of the others, in the body's order: marshmallow has those of unknown fields in
    any order."""
    try:
        return JOB.load(given, partial=partial), []
    except ValidationError as error:
        wanted = error.valid_data if isinstance(error.valid_data, dict) else {}
        places = {name: place for place, name in enumerate(given)}
        in_order = dict(sorted(error.messages_dict.items(), key=lambda item: places.get(item[0], -1)))
        return wanted, list(islice(_faults(in_order), MAX_FAULTS))


def spec_values(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a spec, by its attributes, that these fields give."""
    known = ((SPEC_FIELDS[name], value) for name, value in wanted.items() if name in SPEC_FIELDS)
    values = {attribute: convert(value) for (attribute, convert), value in known}
    if hosts := wanted.get(OLD_HOSTS):
        values["container"] = replace(wanted.get("container", NO_CONTAINER), extra_hosts=hosts)
    return values


def schedule_of(wanted: Mapping[str, Any], now: int, timezone: str) -> Schedule:
    """The schedule that these fields give; ``timezone`` for a cron without one."""
    if "startIn" in wanted:
        return Schedule(ScheduleKind.AT, now + round(wanted["startIn"] * 1000))
    if "startAt" in wanted:
        return Schedule(ScheduleKind.AT, wanted["startAt"])
    if "cron" not in wanted:
        return Schedule()
    cron = replace(wanted["cron"], timezone=wanted.get("timezone", timezone))
    return Schedule(ScheduleKind.CRON, None, cron, wanted.get("overlap", Overlap.ALLOW), wanted.get("catchUp", CatchUp.LATEST))


def never_in_time(spec: Spec, schedule: Schedule, now: int) -> Fault | None:
    """The fault of a job that would expire before it is first due."""
    first = schedule.first_tick(now)
    due = now if first is None else first
    if spec.expiration is not None and spec.expiration <= max(due, now):
        return Fault("expiration", "is before the job first starts, so it would never run; choose a later moment")
    if spec.expires_in is not None and due + spec.expires_in <= now:
        return Fault("expiresIn", "ended before now, counted from startAt, so it would never run; choose a longer one, or a later startAt")
    return None


def _same(value: Any) -> Any:
    return value


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


SPEC_FIELDS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    **{name: (name, _same) for name in ("image", "command", "envs", "metadata", "retries", "priority", "concurrency")},
    **{name: (name, _same) for name in ("expiration", "resources", "container", "name", "labels", "webhooks", "notify", "retention")},
    "retryDelay": ("retry_delay", _milliseconds),
    "timeout": ("timeout", _milliseconds),
    "expiresIn": ("expires_in", _milliseconds),
    "expectEvery": ("expect_every", _milliseconds),
}
"""The fields that make a spec: what ``Spec`` calls each, and how its value is converted."""


def _faults(messages: Mapping[Any, Any], path: str = "") -> Iterator[Fault]:
    """Marshmallow's tree of messages as a flat list with dotted paths."""
    for name, below in messages.items():
        field = f"{path}{name}"
        if not path and name not in JOB.fields:
            yield Fault(field[:80] or "(empty)", unknown_field(name, JOB.fields, "a job", HINTS))
        elif isinstance(below, Mapping):
            yield from _faults(below, f"{field}.")
        else:
            yield from (Fault(field, str(message)) for message in below)
