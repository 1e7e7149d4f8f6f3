"""The rules of a job for what follows a failure, in bodies and in answers: which failures are tried again, and with how much memory."""

import re
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any

from fastlane.errors import Fault
from fastlane.models.container import LEAST_MEMORY, read_memory
from fastlane.models.done_by import TIME
from fastlane.models.job import Spec
from fastlane.models.retry import FailureReason, OnOom, RetryOn
from fastlane.models.schedule import Schedule
from fastlane.web.api import container, json_schema
from fastlane.web.api.body import BodyField, BodyObject, Both, Option, RoundTrip, integer_from, list_of
from fastlane.web.api.json_schema import JsonSchema
from fastlane.web.api.serializer import integer, string

MAX_CODES, MOST_CODE = 50, 255
"""Exit codes of one list, and the largest."""
MAX_FAILURES = len(FailureReason) + 1
LEAST_FACTOR, MOST_FACTOR = 1.01, 16.0

_CODES = BodyObject(
    "exit codes",
    "",
    False,
    exitCodes=BodyField(
        list_of(integer_from(1, MOST_CODE), MAX_CODES, "75, 137"),
        {"type": "array", "items": json_schema.integer(1, MOST_CODE), "minItems": 1, "maxItems": MAX_CODES},
        "Exit codes after which it is tried again, whatever the reason is.",
        required=True,
    ),
)


def _read_failure(value: object) -> FailureReason | tuple[int, ...]:
    """A reason, or exit codes."""
    if isinstance(value, dict):
        codes: tuple[int, ...] = _CODES.read(value)["exitCodes"]
        if not codes:
            raise ValueError('has no exit code; write {"exitCodes": [75, 137]}')
        return codes
    if not isinstance(value, str) or value not in set(FailureReason):
        raise ValueError(f'is not one of {", ".join(map(repr, map(str, FailureReason)))}, nor exit codes: {{"exitCodes": [75, 137]}}')
    return FailureReason(value)


_FAILURES = list_of(_read_failure, MAX_FAILURES, '"oom", {"exitCodes": [75, 137]}')
RETRY_ON: JsonSchema = {
    "type": "array",
    "items": {"anyOf": [json_schema.enum(tuple(FailureReason)), _CODES.schema]},
    "minItems": 1,
    "maxItems": MAX_FAILURES,
    "examples": [["oom", "host-lost", {"exitCodes": [75, 137]}]],
}


def read_retry_on(value: object) -> RetryOn:
    """The failures after which a job is tried again."""
    given = _FAILURES(value)
    if not given:
        raise ValueError('is empty, so nothing would be tried again; name reasons such as "oom", or leave it out')
    reasons = dict.fromkeys(one for one in given if isinstance(one, FailureReason))
    codes = dict.fromkeys(code for one in given if not isinstance(one, FailureReason) for code in one)
    return RetryOn(tuple(reasons), tuple(codes))


def shown_retry_on(rule: RetryOn | None) -> list[Any] | None:
    """The failures as a body has them."""
    if rule is None:
        return None
    return [*rule.reasons, *([{"exitCodes": list(rule.exit_codes)}] if rule.exit_codes else [])]


_FACTOR = re.compile(r"x([0-9]{1,2}(?:\.[0-9]{1,2})?)", re.ASCII)


def _read_factor(value: object) -> float:
    found = _FACTOR.fullmatch(value) if isinstance(value, str) else None
    if found is None or not LEAST_FACTOR <= float(found[1]) <= MOST_FACTOR:
        raise ValueError(f'is not a factor above 1 and up to {MOST_FACTOR:g}; write "x2" for twice the memory, or "x1.5"')
    return float(found[1])


_ON_OOM = RoundTrip[OnOom](
    "onOom",
    "OnOutOfMemory",
    "How much memory the next attempt gets after one that ran out of it.",
    memory=Both(
        BodyField(
            _read_factor,
            {
                "type": "string",
                "pattern": r"^x(?:1\.(?:[1-9][0-9]?|0[1-9])|0?[2-9](?:\.[0-9]{1,2})?|1[0-5](?:\.[0-9]{1,2})?|16(?:\.00?)?)$",
            },
            "How many times as much as the attempt before: x2.",
            required=True,
            option=Option("--on-oom", "FACTOR", "After it ran out of memory, the next attempt has this many times as much: x2."),
        ),
        string(lambda rule: f"x{rule.factor:g}", "How many times as much as the attempt before."),
    ),
    max=Both(
        BodyField(
            read_memory,
            container.size(LEAST_MEMORY),
            f"The most that an attempt gets so, {container.SIZE_WORDS}. The limit of its pool counts as well.",
            option=Option("--on-oom-max", "SIZE", "The most memory that an attempt gets so: 8g."),
        ),
        integer(attrgetter("max"), "The most bytes that an attempt gets so; null: as many as its pool allows.", null=True),
    ),
)
ON_OOM, ON_OOM_BODY = _ON_OOM.answer, _ON_OOM.body
ON_OOM_SCHEMA: JsonSchema = {**ON_OOM_BODY.schema, "examples": [{"memory": "x2", "max": "8g"}]}


def read_on_oom(value: object) -> OnOom:
    """How much memory the next attempt gets after one that ran out of it."""
    given: Mapping[str, Any] = _ON_OOM.read(value)
    return OnOom(given["memory"], given.get("max"))


DONE_BY: JsonSchema = {"type": "string", "pattern": f"^{TIME}$", "examples": ["06:00"]}

MAX_ROW = 100
"""Failures in a row after which a rule may count."""


def failure_faults(spec: Spec, schedule: Schedule) -> Iterator[Fault]:
    """The faults of these rules beside the job's other fields."""
    if spec.pause_after and schedule.cron is None:
        yield Fault("pauseAfter", "is for a job with a cron, which a pause holds; give one, or leave this out")
    if spec.notify_after and schedule.cron is None and not schedule.is_manual:
        yield Fault("notifyAfter", "is for a job with a cron, or a manual one, which runs again; give cron or manual, or leave this out")
    if spec.done_by is not None and schedule.cron is None:
        yield Fault("doneBy", "is for a job with a cron, whose ticks must succeed by then; give one, or leave this out")
    if spec.done_by is not None and spec.expect_every is not None:
        yield Fault("doneBy", "cannot be used together with expectEvery; keep one of them")
    rule, memory = spec.on_oom, spec.resources.memory
    if rule is None:
        return
    if memory is None:
        yield Fault("onOom", 'raises resources.memory, and the job has none; give it, such as "512m", or leave this out')
    elif rule.max is not None and rule.max <= memory:
        yield Fault("onOom.max", "is not more than resources.memory, so no attempt would get more; choose a higher one")
    if spec.retry_on is not None and FailureReason.OOM not in spec.retry_on.reasons and not spec.retry_on.exit_codes:
        yield Fault("onOom", 'never counts, because retryOn does not have "oom"; add it there, or leave this out')
