"""The fields of which the schemas of answers are made: always there and never null, unless it is said."""

from collections.abc import Iterable
from typing import Any

from marshmallow import Schema, fields


def text(about: str = "", *, null: bool = False, given: bool = True, **form: Any) -> fields.String:
    """Text. ``null``: or null; ``given``: it is always there."""
    return fields.String(required=given, allow_none=null, metadata={"description": about, **form})


def uuid(about: str = "", *, null: bool = False) -> fields.String:
    """A UUID."""
    return text(about, null=null, format="uuid")


def moment(about: str, *, null: bool = False, given: bool = True) -> fields.String:
    """ISO 8601 in UTC, with milliseconds and Z."""
    return text(about, null=null, given=given, format="date-time", examples=["2022-02-17T16:01:32.000Z"])


def link(about: str, *, null: bool = False, given: bool = True) -> fields.String:
    """An absolute URL."""
    return text(about, null=null, given=given, format="uri")


def word(known: Iterable[str], about: str = "", *, null: bool = False, given: bool = True) -> fields.String:
    """One of a few words."""
    return text(about, null=null, given=given, enum=[str(one) for one in known])


def whole(about: str = "", *, null: bool = False, given: bool = True, least: int = 0) -> fields.Integer:
    """A whole number."""
    return fields.Integer(strict=True, required=given, allow_none=null, metadata={"description": about, "minimum": least})


def seconds(about: str) -> fields.Float:
    """A duration in seconds, or null."""
    return fields.Float(required=True, allow_none=True, metadata={"description": about, "minimum": 0})


def yes(about: str = "") -> fields.Boolean:
    """True or false."""
    return fields.Boolean(required=True, metadata={"description": about})


def one(schema: type[Schema], *, null: bool = False, given: bool = True) -> fields.Nested:
    """An object."""
    return fields.Nested(schema, required=given, allow_none=null)


def many(schema: type[Schema], about: str = "", *, given: bool = True) -> fields.List[Any]:
    """A list of objects."""
    return fields.List(fields.Nested(schema), required=given, metadata={"description": about})


def texts(about: str = "", **form: Any) -> fields.List[str]:
    """A list of texts."""
    return fields.List(fields.String(metadata=form), required=True, metadata={"description": about})


def table(values: fields.Field[Any] | None = None, about: str = "") -> fields.Dict:
    """An object whose names are data."""
    return fields.Dict(values=values, required=True, metadata={"description": about})
