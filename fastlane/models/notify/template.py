"""Fills a template of a webhook's body with the fields of an event, for receivers that take JSON of their own shape. Pure.

A text in the template may have names of fields in double braces, with dots for fields of fields: ``{{metadata.custom.team}}``. A text that
is one such name becomes the field's own value, of whatever type; in a longer text, values that are not text stand as JSON.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

NAME = re.compile(r"\{\{\s*([A-Za-z0-9_.-]{1,200})\s*\}\}")


def filled(template: Any, event: Mapping[str, Any]) -> Any:
    """The template with an event's values. A field that the event does not have is null, and nothing in a longer text."""
    match template:
        case str():
            whole = NAME.fullmatch(template)
            return _value(event, whole[1]) if whole else NAME.sub(lambda found: _text(_value(event, found[1])), template)
        case dict():
            return {key: filled(value, event) for key, value in template.items()}
        case list():
            return [filled(value, event) for value in template]
        case _:
            return template


def _value(event: Mapping[str, Any], name: str) -> Any:
    found: Any = event
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
