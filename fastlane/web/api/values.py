"""Readers of the values of a job's fields, each with its JSON Schema. A reader raises ValueError with what is wrong and what to write
instead."""

import json
import re
from collections.abc import Callable
from itertools import islice
from typing import Any

from marshmallow import ValidationError

from fastlane.log import MASK
from fastlane.models.container import ESCAPED, OPENING, SERVICE, as_integer, literal_size, read_service as read_service_name
from fastlane.models.image import EXAMPLES, reference_fault
from fastlane.models.job import CONTROL
from fastlane.models.schedule import read_duration_or_seconds
from fastlane.redaction import has_mask
from fastlane.web.api import json_schema
from fastlane.web.api.body import MAX_FAULTS, Reader
from fastlane.web.api.json_schema import MILLISECOND, JsonSchema

_PART = r"""[^ \t\r\n'"\\]++|'[^']*+'|"(?:[^"\\]++|\\.)*+"|\\."""
_WORD = re.compile(f"(?:{_PART})++", re.DOTALL)
_WHOLE = re.compile(rf"(?:[ \t\r\n]++|{_PART})*+", re.DOTALL)
_QUOTED = re.compile(r"""'([^']*+)'|"((?:[^"\\]++|\\.)*+)"|\\(.)""", re.DOTALL)
_ESCAPED = re.compile(r"""\\(["\\])""")
_QUOTES = re.compile(r"['\"\\]")


def split(text: str) -> list[str]:
    """The words of a command, the same as from ``shlex.split``, which takes a step of Python for each character, 80 ms for 64 KiB, and
    keeps all other requests waiting. Raises ValueError for a quote that is never closed and for a backslash at the end."""
    whole = _WHOLE.match(text)
    end = whole.end() if whole else 0
    if end < len(text):
        raise ValueError("No escaped character" if text[end] == "\\" else "No closing quotation")
    return [_unquoted(word) if _QUOTES.search(word) else word for word in _WORD.findall(text)]


def _unquoted(word: str) -> str:
    return _QUOTED.sub(_content, word) if "\\" in word else _QUOTED.sub(r"\1\2", word)


def _content(part: re.Match[str]) -> str:
    single, double, character = part.groups()
    if double is not None:
        return _ESCAPED.sub(r"\1", double)
    return str(single if single is not None else character)


MAX_COMMAND_TEXT = 64 * 1024
MAX_COMMAND = 256 * 1024
MAX_ARGUMENT = 128 * 1024 - 1
"""Bytes. Linux takes no longer argument, and no longer variable with its name (MAX_ARG_STRLEN)."""

LONGEST = f"{MAX_ARGUMENT + 1 >> 10} KiB"
MAX_ARGUMENTS = 10_000
MAX_ENVS = 1_000
MAX_ENVS_BYTES = 256 * 1024
MAX_METADATA = 16 * 1024

MASKED = f"has {MASK}, which fastlane shows instead of a secret; give the secret itself, or PATCH other fields, which keeps it as it is"

MAX_NAME = 255
MAX_LABELS = 50
LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?", re.ASCII)
"""The name of a label. It has no ``=``, which ends it in a query."""
MAX_LABEL = 255
"""Characters of a label's value."""

OWN_PREFIX = "FASTLANE_"
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def read_image(value: object) -> str:
    """An image reference."""
    if not isinstance(value, str):
        raise ValueError(f"is not text; {EXAMPLES}")
    if fault := reference_fault(value):
        raise ValueError(fault)
    return value


def read_service(value: object) -> str:
    """The name of a service of the swarm."""
    if not isinstance(value, str):
        raise ValueError('is not text; give the name of a service of the swarm, such as "shop_web"')
    return read_service_name(value)


def read_command(value: object) -> tuple[str, ...]:
    """Text, split as a POSIX shell would split it, or a list of texts."""
    arguments = _split(value) if isinstance(value, str) else _listed(value)
    if not arguments:
        raise ValueError("is empty; leave it out to run the image's own command")
    if any(map(has_mask, arguments)):
        raise ValueError(MASKED)
    if len(arguments) > MAX_ARGUMENTS:
        raise ValueError(f"has more than {MAX_ARGUMENTS} arguments; put them into a file of the image or a variable")
    sizes = [len(argument.encode()) for argument in arguments]
    if max(sizes) > MAX_ARGUMENT or sum(sizes) > MAX_COMMAND:
        raise ValueError(f"is longer than {LONGEST} in one argument or {MAX_COMMAND >> 10} KiB in all; shorten it")
    return arguments


def read_envs(value: object) -> dict[str, str]:
    """Environment variables: names to text, numbers or booleans."""
    if not isinstance(value, dict):
        raise ValueError('is not an object; write {"NAME": "value"}')
    if len(value) > MAX_ENVS:
        raise ValueError(f"has more than {MAX_ENVS} variables; put them into a file of the image")
    faults = {name: [fault] for name, given in value.items() if (fault := _env_fault(name, given))}
    if faults:
        raise ValidationError(faults)
    envs = {name: given if isinstance(given, str) else json.dumps(given) for name, given in value.items()}
    sizes = [len(name) + 1 + len(given.encode()) for name, given in envs.items()]
    if sizes and (max(sizes) > MAX_ARGUMENT or sum(sizes) > MAX_ENVS_BYTES):
        raise ValueError(f"is longer than {LONGEST} in one variable or {MAX_ENVS_BYTES >> 10} KiB in all; shorten it")
    if sum(len(name) + 1 + literal_size(given) for name, given in envs.items()) > MAX_ENVS_BYTES:
        raise ValueError(
            f"is longer than {MAX_ENVS_BYTES >> 10} KiB in all, because each {OPENING} takes {len(ESCAPED)} bytes (Swarm would expand it "
            "otherwise); write fewer of them, or put the text into a file of the image"
        )
    return envs


def read_metadata(value: object) -> dict[str, Any]:
    """Any JSON object of at most 16 KiB."""
    if not isinstance(value, dict):
        raise ValueError('is not an object; write {"name": "value"}')
    if len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_METADATA:
        raise ValueError(f"is longer than {MAX_METADATA >> 10} KiB; keep what is large elsewhere and name it here")
    return value


def line_of(most: int, noun: str, example: str) -> Reader:
    """A reader of one line of text for people."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f'is not text; write a {noun} for people, such as "{example}"')
        if not value.strip() or len(value) > most or CONTROL.search(value):
            raise ValueError(f"is not 1 to {most} characters without control characters; choose another {noun}")
        return value

    return read


def line_schema(most: int) -> JsonSchema:
    """The schema of text that ``line_of`` reads."""
    pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    return {"type": "string", "minLength": 1, "maxLength": most, "pattern": pattern}


def read_labels(value: object) -> dict[str, str]:
    """Labels: names to text."""
    if not isinstance(value, dict):
        raise ValueError('is not an object; write {"team": "data"}')
    if len(value) > MAX_LABELS:
        raise ValueError(f"has more than {MAX_LABELS} labels; put the others into metadata")
    if faults := {name: [fault] for name, given in value.items() if (fault := _label_fault(name, given))}:
        raise ValidationError(faults)
    return value


def read_retries(value: object) -> int:
    """How many attempts may follow the first. ``read_job`` compares it with the setting ``hard_retries``."""
    number = as_integer(value)
    if number is None or number < 0:
        raise ValueError("is not a whole number, 0 or more")
    return number


def duration_from(least: float, too_short: str) -> Callable[[object], float]:
    """A reader of durations, in seconds. ``too_short``: the fault of one below the least."""

    def read(value: object) -> float:
        seconds = read_duration_or_seconds(value)
        if seconds < least:
            raise ValueError(too_short)
        return seconds

    return read


read_timeout = duration_from(MILLISECOND, "is zero, so it would be stopped at once; choose a longer one, or leave it out")
read_time_to_start = duration_from(MILLISECOND, "is zero, so nothing would ever start; choose a longer one")
read_expectation = duration_from(1, "is shorter than a second; choose a longer one")


SERVICE_NAME: JsonSchema = {"type": "string", "maxLength": 63, "pattern": f"^{SERVICE.pattern}$", "examples": ["shop_web"]}
COMMAND: JsonSchema = {
    "anyOf": [
        {**json_schema.COMMAND_TEXT, "maxLength": MAX_COMMAND_TEXT},
        {"type": "array", "items": {"type": "string", "maxLength": MAX_ARGUMENT}, "minItems": 1, "maxItems": MAX_ARGUMENTS},
    ],
    "examples": ["ls -lah", ["sh", "-c", "echo $HOME"]],
}
VARIABLE: JsonSchema = {"anyOf": [{"type": "string", "maxLength": MAX_ARGUMENT, "not": {"const": MASK}}, {"type": ["number", "boolean"]}]}
ENVS: JsonSchema = {
    "type": "object",
    "propertyNames": {"pattern": f"^(?!{OWN_PREFIX}){ENV_NAME.pattern}$"},
    "additionalProperties": VARIABLE,
    "maxProperties": MAX_ENVS,
    "examples": [{"LEVEL": "debug", "WORKERS": 4}],
}


LABELS: JsonSchema = {
    "type": "object",
    "propertyNames": {"pattern": f"^{LABEL.pattern}$"},
    "additionalProperties": {"type": "string", "maxLength": MAX_LABEL, "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"},
    "maxProperties": MAX_LABELS,
    "examples": [{"team": "data", "env": "production"}],
}


def _split(text: str) -> tuple[str, ...]:
    if len(text) > MAX_COMMAND_TEXT:
        raise ValueError(f"is longer than {MAX_COMMAND_TEXT} characters; give a list of texts, or shorten it")
    try:
        return tuple(split(text))
    except ValueError as error:
        words = "has a quote that is never closed" if "quotation" in str(error) else "ends in a backslash"
        raise ValueError(f'{words}; close or escape it, or give a list of texts such as ["sh", "-c", "echo it\'s"]') from None


def _listed(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError('is neither text nor a list of texts; write "ls -lah" or ["ls", "-lah"]')
    faults = {place: ["is not text; put it in quotes"] for place, part in enumerate(value) if not isinstance(part, str)}
    if faults:
        raise ValidationError(dict(islice(faults.items(), MAX_FAULTS)))
    return tuple(value)


def _label_fault(name: str, value: object) -> str | None:
    if not LABEL.fullmatch(name):
        return "is not a label's name: up to 63 letters, digits, '.', '_', '-' and '/', with a letter or digit at both ends"
    if not isinstance(value, str):
        return "is not text; put it in quotes, or leave it out"
    if len(value) > MAX_LABEL or CONTROL.search(value):
        return f"is longer than {MAX_LABEL} characters, or has control characters; shorten it, or put it into metadata"
    return None


def variable_name_fault(name: str) -> str | None:
    """Why an environment variable of a container cannot have this name; None when it can."""
    if not ENV_NAME.fullmatch(name):
        return "is not a variable's name: letters, digits and _, not beginning with a digit"
    if name.startswith(OWN_PREFIX):
        return f"begins with {OWN_PREFIX}, which is for the variables that fastlane sets; choose another name"
    return None


def _env_fault(name: str, value: object) -> str | None:
    if fault := variable_name_fault(name):
        return fault
    if not isinstance(value, str | int | float):
        return "is not text, a number or a boolean; put it in quotes, or leave it out"
    if isinstance(value, str) and has_mask(value):
        return MASKED
    return None
