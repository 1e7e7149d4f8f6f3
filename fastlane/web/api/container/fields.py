"""Fields of the objects in a body: the reader of each field's value, and its JSON Schema."""

from dataclasses import dataclass
from typing import Any

from fastlane.models.container import options
from fastlane.web.api.field_homes import HOMES
from fastlane.web.api.json_schema import JsonSchema, integer, nullable
from fastlane.web.http.fields import Reader, read_fields

NULL: JsonSchema = {"type": "null"}
NO_TEMPLATE = r"(?![\s\S]*\{\{)"
"""Swarm would fill in a template, so that a path could become another one."""
SIZE_WORDS = 'in bytes, or with a unit of memory such as "512m", "1.5g" or "512MiB"'

_ANY_SIZE = r"^(?:(?:[4-9]|[1-9][0-9]{1,8})(?:[mM]|MiB)|[1-9][0-9]{0,5}(?:[gG]|GiB))$"


@dataclass(frozen=True, slots=True)
class BodyField:
    """A field of an object. ``read`` raises ValueError or ValidationError with what is wrong. A field that is not required may be null."""

    read: Reader
    schema: JsonSchema
    about: str = ""
    required: bool = False

    @property
    def described(self) -> JsonSchema:
        """The schema with all that the field says."""
        schema = self.schema if self.required or self.schema is NULL else nullable(self.schema)
        return {**schema, "description": self.about} if self.about else dict(schema)


class BodyObject:
    """An object in a body: fields by their keys, and no others. ``noun`` is what a fault calls the object."""

    def __init__(self, noun: str, /, **fields: BodyField) -> None:
        self.fields = fields
        self._noun = noun
        self._readers = {name: field.read for name, field in fields.items()}
        self._required = tuple(name for name, field in fields.items() if field.required)

    def read(self, value: object) -> dict[str, Any]:
        """The fields that are given, by name; null counts as not given. Raises ValidationError with all faults."""
        return read_fields(value, self._readers, self._noun, self._required, HOMES)

    @property
    def schema(self) -> JsonSchema:
        """The object as JSON Schema."""
        properties = {name: field.described for name, field in self.fields.items()}
        schema: JsonSchema = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": list(self._required)} if self._required else schema


def text(pattern: str, longest: int) -> JsonSchema:
    """Text that matches a pattern as a whole."""
    return {"type": "string", "minLength": 1, "maxLength": longest, "pattern": f"^{pattern}$"}


def size(least: int) -> JsonSchema:
    """A size of memory."""
    return {"anyOf": [integer(least, options.MAX_BYTES), {"type": "string", "maxLength": 20, "pattern": _ANY_SIZE}]}


def array(item: JsonSchema, most: int, **more: Any) -> JsonSchema:
    """A list of at most ``most`` items."""
    return {"type": "array", "items": item, "maxItems": most, **more}
