"""The bodies that register a host, and that name one to drain."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from marshmallow import RAISE, Schema, ValidationError

from fastlane.errors import Fault, Invalid
from fastlane.models.event import MAX_DETAIL
from fastlane.models.host import read_address
from fastlane.services.hosts import Registration
from fastlane.web.api.requests.job import field, number
from fastlane.web.http.fields import MAX_FAULTS, unknown_field

MAX_TEXT = 1024
ADDRESS = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT, "examples": ["10.0.0.7:2376", "ssh://fastlane@worker-7"]}
NAME = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}


def _address(value: object) -> str:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise ValueError(f"is longer than {MAX_TEXT} characters; write HOST:2376 or ssh://USER@HOST")
    return read_address(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
        raise ValueError(f"is not a text of 1 to {MAX_TEXT} characters")
    return value.strip()


class HostRegistrationSchema(Schema):
    """The body of ``POST /hosts``."""

    class Meta:
        unknown = RAISE

    address = field(
        _address,
        ADDRESS,
        "How the workers reach it; one of the patterns in its pool's setting register must match.",
        null=False,
        required=True,
        error_messages={"required": "is missing; write HOST:2376, or ssh://USER@HOST"},
    )
    pool = field(
        _text,
        NAME,
        "The pool that gives it work; its setting also says with which certificates or keys it is reached.",
        null=False,
        required=True,
        error_messages={"required": "is missing; name one of the pools that GET /pools shows"},
    )
    weight = number(1, 1000, "How much of the pool's work it gets, beside the others; 1 unless given.")
    maxRunning = number(1, 100_000, "How many executions it may have at once; without it, as many as its pool.")


class DrainSchema(Schema):
    """The body of ``/docker-executor/blacklist``."""

    class Meta:
        unknown = RAISE

    host = field(
        _text,
        {**NAME, "examples": ["10.0.0.7:2376"]},
        "The host: its address or, where several hosts have that, its id.",
        null=False,
        required=True,
        error_messages={"required": 'is missing; write {{"host": "HOST:2375"}}'},
    )


REGISTRATION, DRAIN = HostRegistrationSchema(), DrainSchema()


def read_registration(body: Mapping[str, Any]) -> Registration:
    """The host to register. Raises Invalid with every fault."""
    wanted = _read(REGISTRATION, body, "a host")
    return Registration(wanted["address"], wanted["pool"], wanted.get("weight", 1), wanted.get("maxRunning"))


def read_drained(body: Mapping[str, Any]) -> str:
    """The host to drain, by address or id. Raises Invalid with every fault."""
    return str(_read(DRAIN, body, "this request")["host"])


def _read(schema: Schema, body: Mapping[str, Any], noun: str) -> Mapping[str, Any]:
    given = {name: value for name, value in body.items() if value is not None}
    try:
        wanted: Mapping[str, Any] = schema.load(given)
    except ValidationError as error:
        raise Invalid(list(islice(_faults(schema, error.messages_dict, noun), MAX_FAULTS))) from None
    return wanted


def _faults(schema: Schema, messages: Mapping[Any, Any], noun: str) -> list[Fault]:
    known = schema.fields
    return [
        Fault(str(name)[:80] or "(empty)", str(text) if name in known else unknown_field(str(name), known, noun, {}))
        for name, texts in messages.items()
        for text in texts
    ]


def _reason(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_DETAIL:
        raise ValueError(f"is not a text of 1 to {MAX_DETAIL} characters")
    return value.strip()


class ReasonSchema(Schema):
    """The body of an operator's action."""

    class Meta:
        unknown = RAISE

    reason = field(
        _reason,
        {"type": "string", "minLength": 1, "maxLength": MAX_DETAIL, "pattern": r"\S", "examples": ["the machine burnt down"]},
        "Why it has to be done by hand; the event of it says so.",
        null=False,
        required=True,
        error_messages={"required": 'is missing; write {{"reason": "the machine burnt down"}}'},
    )


SCHEMA = ReasonSchema()


def read_reason(body: Mapping[str, Any]) -> str:
    """The reason. Raises Invalid with every fault."""
    try:
        return str(SCHEMA.load({name: value for name, value in body.items() if value is not None})["reason"])
    except ValidationError as error:
        raise Invalid(list(islice(_reason_faults(error.messages_dict), MAX_FAULTS))) from None


def _reason_faults(messages: Mapping[Any, Any]) -> list[Fault]:
    known = SCHEMA.fields
    return [
        Fault(str(name)[:80] or "(empty)", str(text) if name in known else unknown_field(str(name), known, "this request", {}))
        for name, texts in messages.items()
        for text in texts
    ]
