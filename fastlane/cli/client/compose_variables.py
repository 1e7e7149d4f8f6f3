"""Variables in a compose file, as Docker replaces them: ``$NAME``, ``${NAME:-default}``, ``${NAME:?what is wrong}``, ``${NAME:+other}``,
and ``$$`` for a dollar sign; and files of variables. Pure, except for the reading."""

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
BRACED = re.compile(rf"({NAME.pattern})(?:(:?[-?+])(.*))?", re.DOTALL)


def filled(text: str, variables: Mapping[str, str]) -> str:
    """The text with its variables replaced. Raises ValueError with all that is wrong with them."""
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
            parts.append(_braced(text[place + 1 : end], variables))
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


def _braced(text: str, variables: Mapping[str, str]) -> str:
    found = BRACED.fullmatch(text)
    if found is None:
        raise ValueError(f"${{{text}}} is not a variable; write ${{NAME}}, or $${{ for the text itself")
    name, sign, rest = found[1], found[2] or "", found[3] or ""
    value = variables.get(name)
    is_there = value is not None and (value != "" or not sign.startswith(":"))
    if sign.endswith("+"):
        return filled(rest, variables) if is_there else ""
    if sign.endswith("-") and not is_there:
        return filled(rest, variables)
    if sign.endswith("?") and not is_there:
        raise ValueError(f"the variable {name} is not set{f': {rest}' if rest else ''}")
    return _value(name, variables)


def _value(name: str, variables: Mapping[str, str]) -> str:
    if name not in variables:
        raise ValueError(f"the variable {name} is not set; set it, or write ${{{name}:-}} where it may be empty, or $$ for a dollar sign")
    return variables[name]


def variables_of(file: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of a file with NAME=VALUE lines; a name alone has the value that it has in ``variables``, if any. Raises ValueError for
    a file that cannot be read."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}") from None
    found = dotenv_values(stream=StringIO(text), interpolate=False)
    if nested := [name for name, value in found.items() if value and "${" in value]:
        raise ValueError(f"{file} has variables in the value of {', '.join(nested)}; only `docker compose config` fills them in")
    values = {name: variables.get(name) if value is None else value for name, value in found.items()}
    return {name: value for name, value in values.items() if value is not None}
