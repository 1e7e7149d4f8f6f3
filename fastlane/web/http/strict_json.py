"""Reads a body as JSON, strictly. JSON that different readers could understand differently is refused, with the fault and its place. The
size and depth of a body are checked before it is parsed, because parsing keeps all other requests waiting.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from fastlane.errors import Fault, Invalid

MAX_DEPTH = 32
MAX_TOKENS = 50_000
"""Texts, brackets and commas: more than twice what the largest valid job has. Parsing more would delay all other requests."""
MAX_INTEGER = 2**63 - 1

TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]|,', re.DOTALL)
"""A text (perhaps not closed), a bracket, or a comma. It never backtracks far, so a scan takes linear time."""


def read_object(data: bytes) -> dict[str, Any]:
    """The object in these bytes. Raises Invalid, which says what is wrong and where."""
    value = read_body_value(data)
    if not isinstance(value, dict):
        raise _invalid(f"the body is a JSON {_kind(value)}, not an object; write {{…}}")
    return value


def read_body_value(data: bytes) -> object:
    """The value in these bytes. Raises Invalid."""
    return read_value(_decoded(data))


def read_value(text: str) -> object:
    """Any value, read by the same rules. Raises Invalid."""
    _check_shape(text)
    try:
        value: object = DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _invalid(_words(text, error)) from None
    if "\\u" in text:  # nothing to refuse without an escape: the decoder refuses plain NULs, and UTF-8 has no surrogates
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
