"""Variables in a compose file, as Docker replaces them: ``$NAME``, ``${NAME:-default}``, ``${NAME:?what is wrong}``, ``${NAME:+other}``,
and ``$$`` for a dollar sign; and files of variables. Pure, except for the reading."""

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
BRACED = re.compile(rf"({NAME.pattern})(?:(:?[-?+])(.*))?", re.DOTALL)
MAX_DEPTH = 20
"""Levels of variables in the defaults of variables."""


def filled(text: str, variables: Mapping[str, str], depth: int = 0) -> str:
    """The text with its variables replaced. Raises ValueError with what is wrong with them."""
    if depth > MAX_DEPTH:
        raise ValueError(f"has variables in each other, more than {MAX_DEPTH} deep")
    parts, place = [], 0
    while (dollar := text.find("$", place)) >= 0:
        parts.append(text[place:dollar])
        place = dollar + 1
        if text.startswith("$", place):
            parts.append("$")
            place += 1
        elif name := NAME.match(text, place):
            parts.append(_value(name[0], variables))
            place = name.end()
        elif text.startswith("{", place) and (end := _end(text, place + 1)):
            parts.append(_braced(text[place + 1 : end], variables, depth))
            place = end + 1
        else:
            raise ValueError("has a $ that begins no variable; write $$ for a dollar sign")
    return "".join((*parts, text[place:]))


def _end(text: str, place: int) -> int:
    """Where the brace ends that was opened before this place; 0: nowhere."""
    depth = 1
    for at in range(place, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return 0


def _braced(text: str, variables: Mapping[str, str], depth: int) -> str:
    found = BRACED.fullmatch(text)
    if found is None:
        raise ValueError(f"${{{text}}} is not a variable; write ${{NAME}}, or $${{ for the text itself")
    name, sign, rest = found[1], found[2] or "", found[3] or ""
    value = variables.get(name)
    is_there = value is not None and (value != "" or not sign.startswith(":"))
    if sign.endswith("+"):
        return filled(rest, variables, depth + 1) if is_there else ""
    if sign.endswith("-") and not is_there:
        return filled(rest, variables, depth + 1)
    if sign.endswith("?") and not is_there:
        raise ValueError(f"the variable {name} is not set{f': {rest}' if rest else ''}")
    return _value(name, variables)


def _value(name: str, variables: Mapping[str, str]) -> str:
    if name not in variables:
        raise ValueError(f"the variable {name} is not set; set it, or write ${{{name}:-}} where it may be empty, or $$ for a dollar sign")
    return variables[name]


def variables_of(file: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of a file with NAME=VALUE lines, with the variables in its values replaced, but for those in single quotes. They
    come from ``variables``, else from the lines above; a name alone has the value that it has in ``variables``, if any. Raises
    ValueError with all faults. No fault has a text of the file, which may be a part of a secret."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}") from None
    found: dict[str, str] = {}
    faults = []
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            faults.append(f"{file} line {_line(binding)} cannot be read; write NAME=VALUE, and a value with quotes in single ones")
        elif binding.key is not None:
            value = variables.get(binding.key) if binding.value is None else binding.value
            try:
                if value is not None:
                    found[binding.key] = value if _is_literal(binding) else filled(value.replace("\\$", "$$"), {**found, **variables})
            except ValueError:
                remedy = "write $$ for a dollar sign, or put the value in single quotes"
                faults.append(f"{file} line {_line(binding)} has a $ in its value that begins no variable which is set; {remedy}")
    if faults:
        raise ValueError("; ".join(faults))
    return found


def _line(binding: Binding) -> int:
    """The line of a binding, below the empty ones that it begins with."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _is_literal(binding: Binding) -> bool:
    """Whether no variables are replaced in a value: it is in single quotes, or the environment has given it."""
    return binding.value is None or binding.original.string.partition("=")[2].lstrip().startswith("'")
