"""Reads the fields of objects and lists inside a body, and finds all faults at once. Each fault is named by the path to its field."""

import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from marshmallow import ValidationError

from fastlane.errors import Fault, Invalid, nearest

Reader = Callable[[object], Any]
"""Turns a field into a value. Raises ValueError for a fault, or ValidationError when the field is an object with fields."""

MAX_FAULTS = 50
"""Faults that one answer names. A random body would have a hundred thousand."""


class Faults:
    """The faults of an object's fields, by name, or of a list's items, by index."""

    def __init__(self) -> None:
        self._found: dict[str | int, Any] = {}
        self._count = 0

    @property
    def enough(self) -> bool:
        """Whether an answer can name no more."""
        return self._count >= MAX_FAULTS

    def add(self, field: str | int, messages: Any) -> None:
        """Adds the faults of a field: a list of texts or, for a field with fields, faults by their names."""
        name = field[:80] if isinstance(field, str) else field
        self._found[name] = [*self._found[name], *messages] if name in self._found and isinstance(messages, list) else messages
        self._count += len(messages)

    def read(self, field: str | int, read: Reader, value: object) -> Any:
        """The value of a field; None when it has a fault."""
        try:
            return read(value)
        except ValidationError as error:
            self.add(field, error.messages)
        except ValueError as error:
            self.add(field, [str(error)])
        return None

    def raise_if_any(self) -> None:
        """Raises ValidationError if there are any faults."""
        if self._found:
            raise ValidationError(self._found)


NO_HOMES: Mapping[str, str] = {}


def unknown_field(name: str, known: Collection[str], noun: str, homes: Mapping[str, str]) -> str:
    """The fault of a name that an object does not have. ``homes``: what to write instead of a name that belongs elsewhere, by that name in
    small letters."""
    own = {field.lower() for field in known}
    if name.lower() not in own and (home := homes.get(name.lower())):
        return f"is not a field of {noun}; use {home}"
    near = nearest(name, known)
    hint = f'the nearest is "{near}" (its fields are: {", ".join(known)})' if near else f"its fields are: {', '.join(known)}"
    return f"is not a field of {noun}; {hint}"


def read_fields(
    value: object, readers: Mapping[str, Reader], noun: str, required: tuple[str, ...] = (), homes: Mapping[str, str] = NO_HOMES
) -> dict[str, Any]:
    """The values of an object's fields by name. A null field counts as absent. ``noun`` is what a fault calls the object; ``homes`` as in
    ``unknown_field``."""
    if not isinstance(value, dict):
        raise ValidationError(f'is not an object; write {{"{next(iter(readers))}": …}}')
    faults, found = Faults(), {}
    for name, given in value.items():
        if faults.enough:
            break
        if name not in readers:
            faults.add(name or "(empty)", [unknown_field(name, readers, noun, homes)])
        elif given is not None:
            found[name] = faults.read(name, readers[name], given)
    for name in required:
        if value.get(name) is None:
            faults.add(name, [f"is missing; {noun} needs one"])
    faults.raise_if_any()
    return found


def list_of(read: Reader, most: int, example: str) -> Callable[[object], tuple[Any, ...]]:
    """A reader of lists with at most this many items."""

    def read_list(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValidationError(f"is not a list; write [{example}]")
        if len(value) > most:
            raise ValidationError(f"has more than {most} parts; leave some out")
        faults, found = Faults(), []
        for index, item in enumerate(value):
            if not faults.enough:
                found.append(faults.read(index, read, item))
        faults.raise_if_any()
        return tuple(found)

    return read_list


MAX_DEPTH = 32
MAX_TOKENS = 50_000
"""Texts, brackets and commas: more than twice what the largest valid job has. Parsing more would delay all other requests."""
MAX_INTEGER = 2**63 - 1

TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]|,', re.DOTALL)
"""A text (perhaps not closed), a bracket, or a comma. It never backtracks far, so a scan takes linear time."""


def read_object(data: bytes) -> dict[str, Any]:
    """The object in these bytes. Raises Invalid, which says what is wrong and where."""
    text = _decoded(data)
    _check_shape(text)
    try:
        value = DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _invalid(_words(text, error)) from None
    if not isinstance(value, dict):
        raise _invalid(f"the body is a JSON {_kind(value)}, not an object; write {{…}}")
    if "\\u" in text:  # else there is none of what it refuses: the decoder refuses plain NULs, and UTF-8 has no surrogates
        for part in _texts(value):
            _check_text(part)
    return value


def _invalid(message: str) -> Invalid:
    return Invalid([Fault("", message)])


def _decoded(data: bytes) -> str:
    if data.startswith(b"\x1f\x8b"):
        raise _invalid("the body is compressed; send it uncompressed")
    if b"\0" in data[:4]:
        raise _invalid("the body looks like UTF-16 or UTF-32; send JSON as UTF-8")
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _invalid(f"the body is not UTF-8 at byte {error.start}; send JSON as UTF-8") from None


def _check_shape(text: str) -> None:
    if len(text) <= MAX_TOKENS and text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for count, match in enumerate(TOKEN.finditer(text)):
        if count >= MAX_TOKENS:
            raise _invalid(f"the body has more than {MAX_TOKENS} parts (texts, lists, objects, commas); make it smaller")
        first = text[match.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise _invalid(f"the body is nested more than {MAX_DEPTH} deep; make it flatter")
        elif first in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Invalid([Fault(_twice(pairs)[:80], "appears twice in one object; leave one out")])
    return value


def _twice(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            break
        seen.add(name)
    return name


def _integer(text: str) -> int:
    if len(text) > 20 or abs(int(text)) > MAX_INTEGER:
        raise _invalid(f"the number {text[:20]}… is beyond 64 bits; write it as text")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _invalid(f"the number {text[:20]} is too large; write it as text")
    return value


def _constant(name: str) -> Any:
    raise _invalid(f"{name} is not JSON; write null, or leave the field out")


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value, including field names."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise _invalid("the body has a NUL character (\\u0000), which no command, name or variable can contain; remove it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _invalid("the body has a lone surrogate (\\ud800 to \\udfff), which is not valid Unicode; send the whole pair") from None


def _kind(value: object) -> str:
    names = {list: "list", str: "text", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")


def _words(text: str, error: json.JSONDecodeError) -> str:
    start = text.lstrip()[:1]
    if start and start not in '{["' and re.match(r"[\w.%+-]+=", text.lstrip()):
        return "the body is a form, not JSON; send an object such as " + '{"image": "ubuntu:latest"}'
    hint = "; put names and texts in double quotes" if "'" in text[error.pos : error.pos + 2] or "quotes" in error.msg else ""
    return f"the body is not JSON at line {error.lineno}, column {error.colno}: {error.msg[0].lower()}{error.msg[1:]}{hint}"


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)
