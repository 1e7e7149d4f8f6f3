"""The body that says why an operator does something by hand."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from marshmallow import RAISE, Schema, ValidationError

from fastlane.errors import Fault, Invalid
from fastlane.models.event import MAX_DETAIL
from fastlane.web.api.requests.job import field
from fastlane.web.http.fields import MAX_FAULTS, unknown_field


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
        raise Invalid(list(islice(_faults(error.messages_dict), MAX_FAULTS))) from None


def _faults(messages: Mapping[Any, Any]) -> list[Fault]:
    known = SCHEMA.fields
    return [
        Fault(str(name)[:80] or "(empty)", str(text) if name in known else unknown_field(str(name), known, "this request", {}))
        for name, texts in messages.items()
        for text in texts
    ]
