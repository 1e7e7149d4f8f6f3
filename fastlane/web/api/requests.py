"""The bodies that requests carry: marshmallow schemas that validate them, all faults at once, and make values of them."""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from itertools import islice
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validates_schema

from fastlane.errors import Fault, Invalid
from fastlane.models.container.container import NO_CONTAINER, NO_RESOURCES, Container
from fastlane.models.container.image_reference import EXAMPLES, reference_fault
from fastlane.models.container.options import read_whole
from fastlane.models.job import Spec
from fastlane.models.schedule.cron import read_cron
from fastlane.models.schedule.schedule import TEN_YEARS, CatchUp, Overlap, Schedule, ScheduleKind, read_duration, read_moment
from fastlane.models.schedule.timezone import read_timezone
from fastlane.web.api import container_shapes, json_schema
from fastlane.web.api.containers import NOT_THE_SAME, differs, read_container, read_hosts, read_resources
from fastlane.web.api.json_schema import MILLISECOND, JsonSchema
from fastlane.web.api.rendering import REDACTED
from fastlane.web.http.fields import MOST_FAULTS
from fastlane.web.http.query import nearest

MAX_COMMAND_TEXT = 64 * 1024
MAX_COMMAND = 256 * 1024
MAX_ARGUMENT = 128 * 1024 - 1
"""Linux gives one argument, or one variable with its name, no more (MAX_ARG_STRLEN)."""

MAX_ARGUMENTS = 10_000
MAX_ENVS = 1_000
MAX_ENVS_BYTES = 256 * 1024
MAX_METADATA = 16 * 1024

QUOTING = re.compile(r"['\"\\]")
WORD = re.compile(r"[^ \t\r\n]+")
"""What a shell's words are made of where nothing is quoted: ``shlex`` knows these four blanks."""

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def read_image(value: object) -> str:
    """An image reference."""
    if not isinstance(value, str):
        raise ValidationError(f"is not text; {EXAMPLES}")
    if fault := reference_fault(value):
        raise ValidationError(fault)
    return value


def read_command(value: object) -> tuple[str, ...]:
    """Text, split as a POSIX shell would split it, or a list of texts."""
    arguments = _split(value) if isinstance(value, str) else _listed(value)
    if not arguments:
        raise ValidationError("is empty; leave it out to run the image's own command")
    if len(arguments) > MAX_ARGUMENTS:
        raise ValidationError(f"has more than {MAX_ARGUMENTS} arguments; put them into a file of the image or a variable")
    sizes = [len(argument.encode()) for argument in arguments]
    if max(sizes) > MAX_ARGUMENT or sum(sizes) > MAX_COMMAND:
        raise ValidationError(f"is longer than {MAX_ARGUMENT} bytes in one argument or {MAX_COMMAND} in all; shorten it")
    return arguments


def read_envs(value: object) -> dict[str, str]:
    """Environment variables: names to text, numbers or booleans."""
    if not isinstance(value, dict):
        raise ValidationError('is not an object; write {"NAME": "value"}')
    if len(value) > MAX_ENVS:
        raise ValidationError(f"has more than {MAX_ENVS} variables; put them into a file of the image")
    faults = {name[:80] or "(empty)": [fault] for name, given in value.items() if (fault := _env_fault(name, given))}
    if faults:
        raise ValidationError(faults)
    envs = {name: given if isinstance(given, str) else json.dumps(given) for name, given in value.items()}
    sizes = [len(name) + 1 + len(given.encode()) for name, given in envs.items()]
    if sizes and (max(sizes) > MAX_ARGUMENT or sum(sizes) > MAX_ENVS_BYTES):
        raise ValidationError(f"is longer than {MAX_ARGUMENT} bytes in one variable or {MAX_ENVS_BYTES} in all; shorten it")
    return envs


def read_metadata(value: object) -> dict[str, Any]:
    """Any JSON object of at most 16 KiB."""
    if not isinstance(value, dict):
        raise ValidationError('is not an object; write {"name": "value"}')
    if len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_METADATA:
        raise ValidationError(f"is longer than {MAX_METADATA} bytes; keep what is large elsewhere and name it here")
    return value


def whole(least: int, most: int) -> Callable[[object], int]:
    """A reader of whole numbers in a range."""

    def read(value: object) -> int:
        number = read_whole(value)
        if number is None or not least <= number <= most:
            raise ValidationError(f"is not a whole number from {least} to {most}")
        return number

    return read


def read_retries(value: object) -> int:
    """How many attempts may follow the first; the setting ``hard_retries`` says how many are too many."""
    number = read_whole(value)
    if number is None or number < 0:
        raise ValidationError("is not a whole number, 0 or more")
    return number


def read_seconds(value: object) -> float:
    """Seconds, as a number of at least a thousandth, and of ten years at most."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not MILLISECOND <= value <= TEN_YEARS:
        raise ValidationError("is not a number of seconds above 0, such as 60")
    return value


def read_span(value: object) -> float:
    """A duration that is longer than nothing."""
    seconds = read_duration(value)
    if seconds < MILLISECOND:
        raise ValidationError("is no time at all, so nothing would ever start; choose a longer one")
    return seconds


def one_of(words: type[StrEnum]) -> Callable[[object], StrEnum]:
    """A reader of one of a few words."""

    def read(value: object) -> StrEnum:
        if not isinstance(value, str) or value not in set(words):
            raise ValidationError(f"is none of {', '.join(repr(word.value) for word in words)}")
        return words(value)

    return read


def field(read: Callable[[object], Any], shape: JsonSchema, about: str, **options: Any) -> fields.Function:
    """A field whose value a reader makes. The reader says what is wrong by a ValidationError or a ValueError; ``shape`` is what JSON
    Schema can say of what it reads, ``about`` is its description."""

    def load(value: object) -> Any:
        try:
            return read(value)
        except ValidationError:
            raise
        except ValueError as error:
            raise ValidationError(str(error)) from None

    form = shape if options.get("required") else json_schema.nullable(shape)
    return fields.Function(deserialize=load, metadata={"description": about, SHAPE: form}, **options)


def number(least: int, most: int, about: str) -> fields.Function:
    """A field of whole numbers in a range."""
    return field(whole(least, most), json_schema.integer(least, most), about)


def choice(known: type[StrEnum], about: str) -> fields.Function:
    """A field of a few words."""
    return field(one_of(known), json_schema.enum(tuple(known)), about)


SHAPE = "shape"
"""Where a field's metadata have its JSON schema."""

STARTS = ("startIn", "startAt", "cron")
"""One of these says when a job is due; without any it is now."""
OF_CRON = ("timezone", "overlap", "catchUp")
"""What means something only beside ``cron``."""

COMMAND: JsonSchema = {
    "anyOf": [
        {**json_schema.COMMAND_TEXT, "maxLength": MAX_COMMAND_TEXT},
        {"type": "array", "items": {"type": "string", "maxLength": MAX_ARGUMENT}, "minItems": 1, "maxItems": MAX_ARGUMENTS},
    ],
    "examples": ["ls -lah", ["sh", "-c", "echo $HOME"]],
}
VARIABLE: JsonSchema = {
    "anyOf": [{"type": "string", "maxLength": MAX_ARGUMENT, "not": {"const": REDACTED}}, {"type": ["number", "boolean"]}]
}
ENVS: JsonSchema = {
    "type": "object",
    "propertyNames": {"pattern": f"^{ENV_NAME.pattern}$"},
    "additionalProperties": VARIABLE,
    "maxProperties": MAX_ENVS,
    "examples": [{"LEVEL": "debug", "WORKERS": 4}],
}


class JobSchema(Schema):
    """The body of ``POST /tasks/T`` and of ``PUT /tasks/T/jobs/J``: what to run, and when."""

    class Meta:
        unknown = RAISE

    image = field(
        read_image,
        {**json_schema.IMAGE, "examples": ["ubuntu:latest", "registry.example.com:5000/team/app:1.2"]},
        "The image: any reference, with a registry, a path, a tag or a digest.",
        required=True,
        error_messages={"required": f"is missing; {EXAMPLES}"},
    )
    command = field(
        read_command,
        COMMAND,
        "What it runs, in place of the image's own command: text, split as a POSIX shell would split it (no shell runs it), or a list.",
    )
    envs = field(read_envs, ENVS, f"Environment variables, {MAX_ENVS_BYTES} bytes in all.")
    startIn = field(read_duration, json_schema.DURATION, f"When it starts: so long from now, {json_schema.DURATION_WORDS}.")
    startAt = field(
        read_moment, json_schema.MOMENT, f"When it starts: at a moment, as {json_schema.MOMENT_WORDS}; one that is past means now."
    )
    cron = field(
        read_cron,
        json_schema.CRON,
        "When it starts, again and again: five fields (minute, hour, day, month, day of week; 0 and 7 are Sunday).",
    )
    timezone = field(read_timezone, json_schema.TIMEZONE, "The IANA name of the zone whose clocks the cron means; UTC unless given.")
    overlap = choice(Overlap, "What a tick of the cron does while an earlier execution runs: allow (the default) or skip.")
    catchUp = choice(CatchUp, "What follows when ticks were missed: the latest of them runs late (the default), or none does.")
    retries = field(read_retries, json_schema.integer(0), "How many further attempts may follow a failed one; 0 unless given.")
    retryDelay = field(read_duration, json_schema.DURATION, "The time before each further attempt; exponential back-off unless given.")
    timeout = field(read_seconds, json_schema.SECONDS, "Seconds that it may run; at most what the server's hard_timeout says.")
    expiration = field(
        read_moment, json_schema.MOMENT, f"The moment, after its first start, by which it must have started: {json_schema.MOMENT_WORDS}."
    )
    expiresIn = field(read_span, json_schema.SPAN, f"So long after it was due it must have started: {json_schema.DURATION_WORDS}.")
    priority = number(-100, 100, "Within a pool a point counts as a minute of waiting; 0 unless given.")
    concurrency = number(1, 1000, "It waits while so many executions of its task run.")
    resources = field(read_resources, container_shapes.RESOURCES, "How much of a node it gets, within the limits of its pool.")
    container = field(
        read_container,
        container_shapes.CONTAINER,
        "How its container is set up; each as far as the policy of its pool allows it, else 403.",
    )
    additionalDNSEntries = field(
        read_hosts, {**container_shapes.HOSTS, "deprecated": True}, "The name of container.extraHosts in fastlane 2.x."
    )
    metadata = field(read_metadata, json_schema.DATA, f"Whatever the client wants to find again, {MAX_METADATA} bytes of JSON at most.")

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def rules(self, data: Mapping[str, Any], original: Mapping[str, Any], **_options: Any) -> None:
        """What must hold between fields: a job starts now, once at a moment, or by a cron, and what is said of a cron's ticks needs one."""
        faults: dict[str, list[str]] = {}
        starts = [name for name in STARTS if name in original]
        if len(starts) > 1:
            faults[starts[0]] = [f"stands beside {' and '.join(starts[1:])}; leave one of them"]
        for name in OF_CRON:
            if name in original and "cron" not in original:
                faults[name] = ["is for a job with a cron; give one, or leave this out"]
        container: Container = data.get("container") or NO_CONTAINER
        if differs(data.get("additionalDNSEntries"), container.extra_hosts):
            faults["additionalDNSEntries"] = [NOT_THE_SAME]
        if faults:
            raise ValidationError(faults)


JOB = JobSchema()
READERS = {name: one.deserialize for name, one in JOB.fields.items()}
REQUIRED = {name for name, one in JOB.fields.items() if one.required}


def read_job(body: Mapping[str, Any], now: int, *, hard_retries: int) -> tuple[Spec, Schedule]:
    """What to run and when, of a decoded body; ``now`` in milliseconds. Raises Invalid with every fault."""
    faults: list[Fault] = []
    given = {name: value for name, value in body.items() if value is not None}
    wanted = plainly_valid(given)
    if wanted is None:
        wanted, faults = _examined(given)
    if wanted.get("retries", 0) > hard_retries:
        faults.append(Fault("retries", f"is more than this server allows ({hard_retries}); choose fewer, or ask for a higher hard_retries"))
    schedule = _schedule(wanted, now)
    if not faults and (fault := _never_in_time(wanted, schedule, now)):
        faults.append(fault)
    if faults:
        raise Invalid(faults)
    return _spec(wanted), schedule


def plainly_valid(given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the schema makes of a body without a fault, by the schema's own readers and rules; None for any other. ``JOB.load`` says the
    same at five times the cost: it visits every field that there could be."""
    try:
        wanted = {name: READERS[name](value) for name, value in given.items()}
        JOB.rules(wanted, given)
    except (KeyError, ValidationError):
        return None
    return wanted if wanted.keys() >= REQUIRED else None


def _examined(given: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Fault]]:
    """What can be read of a body, and its faults."""
    try:
        return JOB.load(given), []
    except ValidationError as error:
        wanted = error.valid_data if isinstance(error.valid_data, dict) else {}
        return wanted, list(islice(_faults(error.messages_dict), MOST_FAULTS))


def _spec(wanted: Mapping[str, Any]) -> Spec:
    return Spec(
        image=wanted["image"],
        command=wanted.get("command"),
        envs=wanted.get("envs", {}),
        metadata=wanted.get("metadata", {}),
        retries=wanted.get("retries", 0),
        retry_delay=_milliseconds(wanted.get("retryDelay")),
        timeout=_milliseconds(wanted.get("timeout")),
        expires_in=_milliseconds(wanted.get("expiresIn")),
        expiration=wanted.get("expiration"),
        priority=wanted.get("priority", 0),
        concurrency=wanted.get("concurrency", 0),
        resources=wanted.get("resources", NO_RESOURCES),
        container=_container(wanted),
    )


def _container(wanted: Mapping[str, Any]) -> Container:
    container: Container = wanted.get("container", NO_CONTAINER)
    hosts = wanted.get("additionalDNSEntries")
    return replace(container, extra_hosts=hosts) if hosts else container


def _schedule(wanted: Mapping[str, Any], now: int) -> Schedule:
    if "startIn" in wanted:
        return Schedule(ScheduleKind.AT, now + round(wanted["startIn"] * 1000))
    if "startAt" in wanted:
        return Schedule(ScheduleKind.AT, wanted["startAt"])
    if "cron" not in wanted:
        return Schedule()
    cron = replace(wanted["cron"], timezone=wanted.get("timezone", "UTC"))
    return Schedule(ScheduleKind.CRON, None, cron, wanted.get("overlap", Overlap.ALLOW), wanted.get("catchUp", CatchUp.LATEST))


def _never_in_time(wanted: Mapping[str, Any], schedule: Schedule, now: int) -> Fault | None:
    """Whether the job would expire before it is first due."""
    first = schedule.first_tick(now)
    due = now if first is None else first
    if "expiration" in wanted and wanted["expiration"] <= max(due, now):
        return Fault("expiration", "is before the job first starts, so it would never run; choose a later moment")
    if "expiresIn" in wanted and due + wanted["expiresIn"] * 1000 <= now:
        return Fault("expiresIn", "is over already, so long ago is startAt, so it would never run; choose a longer one, or a later startAt")
    return None


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _split(text: str) -> tuple[str, ...]:
    if len(text) > MAX_COMMAND_TEXT:
        raise ValidationError(f"is longer than {MAX_COMMAND_TEXT} characters; give a list of texts, or shorten it")
    try:
        return tuple(shlex.split(text) if QUOTING.search(text) else WORD.findall(text))  # shlex is slow: a step a character
    except ValueError as error:
        words = "has a quote that is never closed" if "quotation" in str(error) else "ends in a backslash"
        raise ValidationError(f'{words}; close or escape it, or give a list of texts such as ["sh", "-c", "echo it\'s"]') from None


def _listed(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValidationError('is neither text nor a list of texts; write "ls -lah" or ["ls", "-lah"]')
    faults = {place: ["is not text; put it in quotes"] for place, part in enumerate(value) if not isinstance(part, str)}
    if faults:
        raise ValidationError(dict(islice(faults.items(), MOST_FAULTS)))
    return tuple(value)


def _env_fault(name: str, value: object) -> str | None:
    if not ENV_NAME.fullmatch(name):
        return "is not a variable's name: letters, digits and _, not beginning with a digit"
    if not isinstance(value, str | int | float):
        return "is not text, a number or a boolean; put it in quotes, or leave it out"
    if value == REDACTED:
        return f"is {REDACTED}, which fastlane shows in place of a secret; give the secret itself"
    return None


def _faults(messages: Mapping[Any, Any], path: str = "") -> Iterator[Fault]:
    """marshmallow's tree of messages as a flat list with dotted paths."""
    for name, below in messages.items():
        field = f"{path}{name}"
        if not path and name not in JOB.fields:
            yield Fault(
                field[:80], f'is not a field of a job; the nearest is "{nearest(name, JOB.fields)}" (there are: {", ".join(JOB.fields)})'
            )
        elif isinstance(below, Mapping):
            yield from _faults(below, f"{field}.")
        else:
            yield from (Fault(field, str(message)) for message in below)
