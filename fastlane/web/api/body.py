"""Objects and lists in the body of a request. A field is declared once, and its reader, its JSON Schema and its marshmallow field follow
from that.

The readers alone read what has no fault. Once there is one, marshmallow collects all, each named by the path to its field.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import islice
from typing import Any, Generic

from marshmallow import Schema, ValidationError, fields

from fastlane.errors import Fault, Invalid, nearest
from fastlane.models.container import as_integer
from fastlane.web.api import json_schema
from fastlane.web.api.json_schema import JsonSchema, nullable
from fastlane.web.api.serializer import Field, Serializer, Value

Reader = Callable[[object], Any]
"""Turns a JSON value into a value of ours. Raises ValueError with what is wrong, or marshmallow's ValidationError when parts of it are
wrong, with a list of faults, or a tree of them, for each name of a field or place in a list."""
Hints = Mapping[str, str]
"""Hints for names that belong elsewhere, by the name in small letters."""

MAX_FAULTS = 50
"""Faults that one answer names. A random body would have a hundred thousand."""
_CAPITAL = re.compile("[A-Z]")
WHOLE = None
"""Stands for a part as a whole in a tree of faults that has its parts by name or place."""


@dataclass(frozen=True, slots=True)
class UnknownName:
    """The fault of a name that an object does not have. ``noun`` names the object."""

    name: str
    known: Collection[str]
    noun: str
    hinted: bool = True

    def words(self, hints: Hints) -> str:
        """The name to write instead."""
        own = {field.lower() for field in self.known}
        if self.hinted and self.name.lower() not in own and (hint := hints.get(self.name.lower())):
            return f"is not a field of {self.noun}; use {hint}"
        near = nearest(self.name, self.known)
        fields = f"its fields are: {', '.join(self.known)}"
        return f"is not a field of {self.noun}; " + (f'the nearest is "{near}" ({fields})' if near else fields)


@dataclass(frozen=True, slots=True)
class Option:
    """The option of ``fastlane run`` and ``fastlane schedule`` that sets a field: its flags, separated by spaces. ``kind``: the type of its
    value; or its allowed words, separated by ``|``; or
    ``flag`` for one without a value, which sets true, and ``off`` for one that sets false. ``scheduled``: only ``fastlane schedule`` has
    it."""

    flags: str
    metavar: str
    help: str
    kind: str = "text"
    scheduled: bool = False


@dataclass(frozen=True, slots=True)
class BodyField:
    """A field of an object. One that is not required may be null, unless ``null`` says otherwise. ``missing``: the fault of a body without
    a required field, if it says more than that one is needed."""

    read: Reader
    schema: JsonSchema
    about: str = ""
    required: bool = False
    missing: str = ""
    option: Option | None = None
    null: bool = True

    @property
    def described(self) -> JsonSchema:
        """The schema with everything that the field declares."""
        schema = nullable(self.schema) if self.null and not self.required else self.schema
        return {**schema, "description": self.about} if self.about else dict(schema)


@dataclass(frozen=True, slots=True)
class Both(Generic[Value]):
    """A field of a body that is shown in answers as well."""

    body: BodyField
    answer: Field[Value]


class RoundTrip(Generic[Value]):
    """An object that bodies have and answers show: ``body`` reads it, ``answer`` shows it. ``component`` is the name of the answer's
    schema."""

    def __init__(self, noun: str, component: str, description: str, /, **fields: Both[Value]) -> None:
        self.body = BodyObject(noun, **{name: field.body for name, field in fields.items()})
        self.answer = Serializer[Value](component, description, **{name: field.answer for name, field in fields.items()})

    def read(self, value: object) -> dict[str, Any]:
        """The given fields, by attribute. Raises as a reader does."""
        return {attribute_of(name): part for name, part in self.body.read(value).items()}


def _part(read: Callable[[Any], Any], missing: str | None = None) -> fields.Function:
    """A part of a body as marshmallow reads it; ``missing`` is the fault of a body without it, if it is required."""

    def deserialize(value: Any) -> Any:
        try:
            return read(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        except ValidationError as error:
            raise ValidationError(error.messages) from None  # without what can be read of it, since a part counts as a whole

    return fields.Function(deserialize=deserialize, required=missing is not None, error_messages={"required": [missing]})


class BodyObject:
    """An object in a body: fields by their keys, and no others. ``noun`` is the object's name in a fault; ``component`` is the name of its
    schema in the OpenAPI document, if it is a whole body. ``hinted``: names that belong elsewhere in a job get a hint. ``optional``: a
    request may come without it."""

    def __init__(self, noun: str, component: str = "", hinted: bool = True, optional: bool = False, /, **fields: BodyField) -> None:
        self.fields = fields
        self.optional = optional
        self.component = component
        self.required = tuple(name for name, field in fields.items() if field.required)
        self._noun = noun
        self._hinted = hinted
        self._readers = {name: field.read for name, field in fields.items()}

    def read(self, value: object, *, partial: bool = False) -> dict[str, Any]:
        """The fields that are given, by name; null counts as not given. A ``partial`` object may lack fields. Raises ValidationError with
        all faults and, as ``valid_data``, the values of the fields that can be read."""
        if not isinstance(value, dict):
            raise ValueError(f'is not an object; write {{"{next(iter(self.fields))}": …}}')
        found, readers = {}, self._readers
        try:
            for name, given in value.items():
                read = readers[name]
                if given is not None:
                    found[name] = read(given)
        except (KeyError, ValueError, ValidationError):
            raise self._all_faults(value, partial) from None
        for name in () if partial else self.required:
            if name not in found:
                raise self._all_faults(value, partial)
        return found

    def read_whole(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a whole body. Raises Invalid with every fault."""
        try:
            return self.read({name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            raise Invalid(faults_of(error.messages_dict, given)) from None

    @cached_property
    def _collector(self) -> Schema:
        """Reads every field, and collects the faults."""
        missing = {name: self.fields[name].missing or f"is missing; {self._noun} needs one" for name in self.required}
        return Schema.from_dict({name: _part(read, missing.get(name)) for name, read in self._readers.items()})()

    def _all_faults(self, value: Mapping[str, Any], partial: bool) -> ValidationError:
        """The faults of what is given, in its order, and then of what is missing."""
        known = {name: value[name] for name in self.fields if value.get(name) is not None}
        looked_at = islice(value, len(self.fields) + MAX_FAULTS)  # all names, or more unknown ones than an answer has room for
        names = [name for name in looked_at if name in known or name not in self.fields]
        tree: dict[str, Any] = {name: [UnknownName(name, self.fields, self._noun, self._hinted)] for name in names if name not in known}
        try:
            found = self._collector.load(known, partial=partial)
        except ValidationError as error:
            found, tree = error.valid_data, tree | error.messages_dict
        return ValidationError({name: tree[name] for name in (*names, *tree) if name in tree}, valid_data=found)

    @property
    def schema(self) -> dict[str, Any]:
        """The object as JSON Schema."""
        properties = {name: field.described for name, field in self.fields.items()}
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": list(self.required)} if self.required else schema


def faults_of(tree: Mapping[Any, Any], given: Mapping[str, Any], hints: Hints | None = None) -> list[Fault]:
    """Lists a body's faults under dotted paths: missing fields first, then the body's order."""
    places = {name: place for place, name in enumerate(given)}
    in_order = dict(sorted(tree.items(), key=lambda item: places.get(item[0], -1)))
    return list(islice(_flat(in_order, hints or {}, ""), MAX_FAULTS))


def _flat(tree: Mapping[Any, Any], hints: Hints, path: str) -> Iterator[Fault]:
    for name, below in tree.items():
        field = path.removesuffix(".") if name is WHOLE else path + (str(name)[:80] or "(empty)")
        if isinstance(below, Mapping):
            yield from _flat(below, hints, f"{field}.")
        else:
            for message in below:
                yield Fault(field, message.words(hints) if isinstance(message, UnknownName) else message)


def attribute_of(name: str) -> str:
    """The attribute of a field with this name: ``stop_grace`` of ``stopGrace``."""
    return _CAPITAL.sub(lambda found: f"_{found[0].lower()}", name)


# readers of lists, numbers and words, with their schemas


def list_of(read: Reader, most: int, example: str) -> Callable[[object], tuple[Any, ...]]:
    """A reader of lists with at most this many items."""

    collector = fields.List(_part(lambda boxed: read(boxed[0])))  # each item in a tuple, since marshmallow hands on no null

    def read_list(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"is not a list; write [{example}]")
        if len(value) > most:
            raise ValueError(f"has more than {most} parts; leave some out")
        try:
            return tuple(map(read, value))
        except (ValueError, ValidationError):
            return tuple(collector.deserialize([(item,) for item in value]))

    return read_list


def integer_from(least: int, most: int) -> Reader:
    """A reader of whole numbers in a range."""

    def read(value: object) -> int:
        number = as_integer(value)
        if number is None or number < least:
            raise ValueError(f"is not a whole number from {least} to {most}")
        if number > most:
            raise ValueError(f"is too large; write a whole number from {least} to {most}")
        return number

    return read


def word_of(known: type[StrEnum]) -> Reader:
    """A reader of one of a few words."""

    def read(value: object) -> StrEnum:
        if not isinstance(value, str) or value not in set(known):
            raise ValueError(f"is not one of {', '.join(repr(word.value) for word in known)}")
        return known(value)

    return read


def whole_number(least: int, most: int, about: str) -> BodyField:
    """A field of whole numbers in a range."""
    return BodyField(integer_from(least, most), json_schema.integer(least, most), about)


def array(item: JsonSchema, most: int, **more: Any) -> JsonSchema:
    """The schema of a list of at most ``most`` items."""
    return {"type": "array", "items": item, "maxItems": most, **more}
