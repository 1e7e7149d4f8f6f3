"""Objects and lists in the body of a request. A field is declared once, and its reader and its JSON Schema both follow from that.

All faults are found at once. Each is named by the path to its field.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, Generic

from fastlane.errors import Fault, Invalid, nearest
from fastlane.models.container import as_integer
from fastlane.web.api import json_schema
from fastlane.web.api.json_schema import JsonSchema, nullable
from fastlane.web.api.serializer import Field, Serializer, Value

Reader = Callable[[object], Any]
"""Turns a JSON value into a value of ours. Raises ValueError with what is wrong, or FieldFaults when parts of it are wrong."""
Hints = Mapping[str, str]
"""Hints for names that belong elsewhere, by the name in small letters."""

MAX_FAULTS = 50
"""Faults that one answer names. A random body would have a hundred thousand."""
_CAPITAL = re.compile("[A-Z]")


class FieldFaults(ValueError):
    """Faults in the parts of a value. ``tree`` has a list of faults, or another tree, for each name of a field or place in a list."""

    def __init__(self, tree: Mapping[Any, Any]) -> None:
        super().__init__(f"has faults in {', '.join(map(str, tree))}")
        self.tree = tree


def key_of(name: str) -> str:
    """The name under which an answer reports a fault."""
    return name[:80] or "(empty)"


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


class Faults:
    """The faults of an object's fields, by name, or of a list's items, by index."""

    def __init__(self) -> None:
        self.tree: dict[str | int, Any] = {}
        self._count = 0

    @property
    def enough(self) -> bool:
        """Whether an answer can name no more."""
        return self._count >= MAX_FAULTS

    def add(self, field: str | int, messages: Any) -> None:
        """Adds the faults of a field: a list of them or, for a field with fields, a tree."""
        name = key_of(field) if isinstance(field, str) else field
        self.tree[name] = [*self.tree[name], *messages] if name in self.tree and isinstance(messages, list) else messages
        self._count += len(messages)

    def read(self, field: str | int, read: Reader, value: object) -> Any:
        """The value of a field; None when it has a fault."""
        try:
            return read(value)
        except ValueError as error:
            self.add(field, error.tree if isinstance(error, FieldFaults) else [str(error)])
        return None

    def raise_if_any(self) -> None:
        """Raises FieldFaults if there are any faults."""
        if self.tree:
            raise FieldFaults(self.tree)


@dataclass(frozen=True, slots=True)
class Option:
    """The option of ``fastlane run`` and ``fastlane schedule`` that sets a field: its flags, separated by spaces. ``kind``: the type of its
    value; or its allowed words, separated by ``|``. ``scheduled``: only ``fastlane schedule`` has it."""

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
        """The given fields, by attribute. Raises ValueError."""
        return {attribute_of(name): part for name, part in self.body.read(value).items()}


class BodyObject:
    """An object in a body: fields by their keys, and no others. ``noun`` is the object's name in a fault; ``component`` is the name of its
    schema in the OpenAPI document, if it is a whole body. ``hinted``: names that belong elsewhere in a job get a hint."""

    def __init__(self, noun: str, component: str = "", hinted: bool = True, /, **fields: BodyField) -> None:
        self.fields = fields
        self.component = component
        self.required = tuple(name for name, field in fields.items() if field.required)
        self._noun = noun
        self._hinted = hinted
        self._readers = {name: field.read for name, field in fields.items()}

    def read(self, value: object) -> dict[str, Any]:
        """The fields that are given, by name; null counts as not given. Raises FieldFaults with all faults."""
        if not isinstance(value, dict):
            raise ValueError(f'is not an object; write {{"{next(iter(self.fields))}": …}}')
        found, faults = self.read_parts(value)
        faults.raise_if_any()
        return found

    def read_parts(self, given: Mapping[str, Any], *, partial: bool = False) -> tuple[dict[str, Any], Faults]:
        """The values of the fields that can be read, and the faults of the others. A ``partial`` object may lack fields."""
        found, faults, readers = {}, Faults(), self._readers
        for name, value in given.items():
            read = readers.get(name)
            if read is None:
                faults.add(name, [UnknownName(name, self.fields, self._noun, self._hinted)])
            elif value is not None:
                try:
                    found[name] = read(value)
                    continue
                except FieldFaults as error:
                    faults.add(name, error.tree)
                except ValueError as error:
                    faults.add(name, [str(error)])
            if faults.enough:
                break
        for name in () if partial else self.required:
            if given.get(name) is None:
                faults.add(name, [self.fields[name].missing or f"is missing; {self._noun} needs one"])
        return found, faults

    @property
    def schema(self) -> dict[str, Any]:
        """The object as JSON Schema."""
        properties = {name: field.described for name, field in self.fields.items()}
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": list(self.required)} if self.required else schema


def read_body(body: BodyObject, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a whole body. Raises Invalid with every fault."""
    found, faults = body.read_parts({name: value for name, value in given.items() if value is not None})
    if faults.tree:
        raise Invalid(faults_of(faults.tree, given))
    return found


def faults_of(tree: Mapping[Any, Any], given: Mapping[str, Any], hints: Hints | None = None) -> list[Fault]:
    """Lists a body's faults under dotted paths: missing fields first, then the body's order."""
    places = {key_of(name): place for place, name in enumerate(given)}
    in_order = dict(sorted(tree.items(), key=lambda item: places.get(item[0], -1)))
    return list(islice(_flat(in_order, hints or {}, ""), MAX_FAULTS))


def _flat(tree: Mapping[Any, Any], hints: Hints, path: str) -> Iterator[Fault]:
    for name, below in tree.items():
        if isinstance(below, Mapping):
            yield from _flat(below, hints, f"{path}{name}.")
        else:
            for message in below:
                yield Fault(f"{path}{name}", message.words(hints) if isinstance(message, UnknownName) else message)


def attribute_of(name: str) -> str:
    """The attribute of a field with this name: ``stop_grace`` of ``stopGrace``."""
    return _CAPITAL.sub(lambda found: f"_{found[0].lower()}", name)


# readers of lists, numbers and words, with their schemas


def list_of(read: Reader, most: int, example: str) -> Callable[[object], tuple[Any, ...]]:
    """A reader of lists with at most this many items."""

    def read_list(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"is not a list; write [{example}]")
        if len(value) > most:
            raise ValueError(f"has more than {most} parts; leave some out")
        faults, found = Faults(), []
        for index, item in enumerate(value):
            if not faults.enough:
                found.append(faults.read(index, read, item))
        faults.raise_if_any()
        return tuple(found)

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
