"""Parts of JSON Schema: the values that the readers of bodies and queries take, for the OpenAPI document.

A schema cannot express everything that a reader checks (for example, that a range in a cron does not run backwards, or that a moment is in
the future). Where a schema is wider than its reader, the refusal says what is wrong. Where it is narrower, its description names the other
accepted forms.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastlane.models.cron import MAX_TEXT, MAX_TIMEZONE
from fastlane.models.image import MAX_NAME, MAX_REFERENCE, REFERENCE
from fastlane.models.job import MAX_TASK_ID_BYTES
from fastlane.models.schedule import LARGEST_UNIX_SECONDS, TEN_YEARS
from fastlane.web.http.strict_json import MAX_INTEGER

JsonSchema = Mapping[str, Any]

MILLISECOND = 0.001
"""The shortest duration, in seconds."""

FLAG: JsonSchema = {"type": "string", "enum": ["1", "true", "0", "false"]}

UUID: JsonSchema = {"type": "string", "format": "uuid", "pattern": "^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"}

TASK_ID: JsonSchema = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_TASK_ID_BYTES,
    "pattern": r"^(?!\.{1,2}$)[^/\u0000-\u001f\u007f-\u009f]+$",
}

IMAGE: JsonSchema = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_REFERENCE,
    "pattern": f"^{re.sub('[?]P<[a-z]+>', '?:', REFERENCE.pattern)}$",
    "not": {
        "anyOf": [
            {"pattern": "^[0-9a-f]{64}$"},
            {"pattern": "@sha256:(?![0-9a-f]{64}$)"},
            {"pattern": rf"^(?:[^:@]|:(?=[^@]*[\]/])){{{MAX_NAME + 1}}}"},
        ]
    },
}

_UNIT = r"""\\[\s\S]|'[^']*'|"(?:[^"\\]|\\[\s\S])*\""""
COMMAND_TEXT: JsonSchema = {"type": "string", "minLength": 1, "pattern": rf"""^[ \t\r\n]*(?:{_UNIT}|[^ \t\r\n'"\\])(?:{_UNIT}|[^'"\\])*$"""}
"""Text that a POSIX shell splits into at least one word: each quote is closed, and no backslash is the last character."""

_PARTS = ("[0-9]{1,2}w", "[0-9]{1,3}d", "[0-9]{1,4}h", "[0-9]{1,6}m", r"[0-9]{1,7}(?:\.[0-9]{1,3})?s")
DURATION: JsonSchema = {
    "type": "string",
    "minLength": 2,
    "maxLength": 64,
    "pattern": f"^(?=[0-9]){''.join(f'(?:{part})?' for part in _PARTS)}$",
}
POSITIVE_DURATION: JsonSchema = {**DURATION, "pattern": f"^(?=.*[1-9]){''.join(f'(?:{part})?' for part in _PARTS)}$"}
DURATION_WORDS = (
    'a duration such as "2m30s", with the units w, d, h, m and s, the largest first ("1:30", "2 hours" and the like are understood, too); '
    "ten years at most"
)
LIKE_DURATION = "a duration like startIn, or a number of seconds"
DURATION_OR_SECONDS: JsonSchema = {"anyOf": [DURATION, {"type": "number", "minimum": 0, "maximum": TEN_YEARS}]}
POSITIVE_DURATION_OR_SECONDS: JsonSchema = {
    "anyOf": [POSITIVE_DURATION, {"type": "number", "minimum": MILLISECOND, "maximum": TEN_YEARS}],
    "examples": ["1m30s", 90],
}
_WHOLE = "".join(f"(?:{part})?" for part in _PARTS[:-1])
EXPECTATION: JsonSchema = {
    "anyOf": [
        {**DURATION, "pattern": rf"^(?=[0-9])(?=.*[1-9][0-9]*[wdhm]|(?:.*[wdhm])?0*[1-9][0-9]*(?:\.[0-9]+)?s){_WHOLE}(?:{_PARTS[-1]})?$"},
        {"type": "number", "minimum": 1, "maximum": TEN_YEARS},
    ],
    "examples": ["25h", 90_000],
}
"""A duration of a second at least."""
SPREAD: JsonSchema = {
    "anyOf": [
        {
            **DURATION,
            "pattern": "^(?:[1-9][0-9]{0,2}m|1[0-3][0-9]{2}m|14[0-3][0-9]m|1440m|(?:[1-9]|1[0-9]|2[0-3])h(?:[0-5]?[0-9]m)?|24h|1d)$",
        },
        {"type": "integer", "minimum": 60, "maximum": 86_400, "multipleOf": 60},
    ],
    "examples": ["30m", 1_800],
}
"""Whole minutes, from one to a day."""
AGE: JsonSchema = {
    "anyOf": [
        {**DURATION, "pattern": f"^(?=.*[1-9]){_WHOLE}$"},
        {"type": "number", "minimum": 60, "maximum": TEN_YEARS},
    ],
    "examples": ["7d", 604_800],
}
"""A duration of at least a minute."""

_SINCE_1970: JsonSchema = {"type": "string", "format": "date-time", "pattern": "^(?:19[7-9][0-9]|[2-9][0-9]{3})-"}
_DIGITS: JsonSchema = {"type": "string", "pattern": r"^[0-9]{1,11}(?:\.[0-9]{1,9})?$"}
MOMENT: JsonSchema = {"anyOf": [{"type": "number", "minimum": 0, "maximum": LARGEST_UNIX_SECONDS}, _DIGITS, _SINCE_1970]}
MOMENT_WORDS = "Unix seconds, or ISO 8601 with an offset"
SINCE: JsonSchema = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": LARGEST_UNIX_SECONDS}, _DIGITS, _SINCE_1970, DURATION]}
"""A time in a query, or how long ago it was."""
QUERY_MOMENT: JsonSchema = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": LARGEST_UNIX_SECONDS}, _DIGITS, _SINCE_1970]}
"""A time in a query."""
SINCE_WORDS = f"{MOMENT_WORDS}; or a duration ago (1h)"

_FIELD = r"(?:[0-9A-Za-z*,/#-]|H\([0-9A-Za-z]+-[0-9A-Za-z]+\))+"
_INTERVAL = "(?:[1-9][0-9]{0,2}(?:[mh]|h[1-9][0-9]{0,2}m)|[1-9][0-9]?d)"
CRON: JsonSchema = {
    "type": "string",
    "maxLength": MAX_TEXT,
    "pattern": rf"^\s*(?:@[A-Za-z]+|@every\s+{_INTERVAL}|{_FIELD}(?:\s+{_FIELD}){{4}})\s*$",
}
TIMEZONE: JsonSchema = {"type": "string", "maxLength": MAX_TIMEZONE, "pattern": "^[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*$"}

DATA: JsonSchema = {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Data"}}
"""Any JSON object of a body."""
ANY_DATA: JsonSchema = {
    "description": "Any JSON; whole numbers have 64 bits, and no text has a NUL.",
    "anyOf": [
        {"type": ["boolean", "null"]},
        {"type": "number", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
        {"type": "string"},
        {"type": "array", "items": {"$ref": "#/components/schemas/Data"}},
        DATA,
    ],
}


def integer(least: int, most: int | None = None) -> JsonSchema:
    """A whole number in a range."""
    return {"type": "integer", "minimum": least} | ({} if most is None else {"maximum": most})


def text(most: int) -> JsonSchema:
    """Text of 1 to ``most`` characters."""
    return {"type": "string", "minLength": 1, "maxLength": most}


def enum(known: Sequence[str]) -> JsonSchema:
    """One of a few words."""
    return {"type": "string", "enum": [str(word) for word in known]}


def comma_list(known: Sequence[str]) -> JsonSchema:
    """Some of a few words, separated by commas."""
    word = f"(?:{'|'.join(known)})"
    return {"type": "string", "pattern": f"^{word}(?:,{word})*$"}


def nullable(schema: JsonSchema) -> dict[str, Any]:
    """The same schema, or null."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "type" not in schema:
        return dict(schema)
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    null = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [*types, "null"], **null}
