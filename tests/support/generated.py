"""The committed files that are written from the declarations of the API's fields. To write all of them anew:
``python -m tests.support.generated``.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from fastlane.web.api.body import BodyObject, Option
from fastlane.web.api.container import CONTAINER_BODY, RESERVE_BODY, RESOURCES_BODY
from fastlane.web.api.failing import ON_OOM_BODY
from fastlane.web.api.job import JOB_BODY
from fastlane.web.openapi import ApiDocument
from fastlane.web.routes import ROUTES
from tests.support import api_page, jobs_schema, mcp_tools
from tests.support.docs import ROOT
from tests.support.web_settings import web_settings

OPTIONS_TARGET = ROOT / "fastlane/cli/client/options.json"
TYPES_TARGET = ROOT / "static/src/contract.ts"

TYPES = """\
// What the API answers, and the options of fastlane's commands: written from the server's declarations by tests/support/generated.py.

%s
/** The option of each field that has one of its own. */
export const OPTIONS: Record<string, string> = {
%s
};

/** Options whose value is a duration: seconds where the body has a number. */
export const DURATIONS = %s;

/** Options without a value, which set true. */
export const FLAGS = %s;

/** Options without a value, which set false. */
export const OFFS = %s;

/** Options that may be given several times: with a text of a list, or with a name and its value. */
export const LISTS = %s;
export const PAIRS = %s;
"""
ROOTS = (
    "TaskPage",
    "JobPage",
    "JobDetail",
    "Pools",
    "Calendars",
    "ServerStatus",
    "TickPage",
    "BackfillPreview",
    "History",
    "ExecutionDetail",
    "FailedJobPage",
    "Forecast",
    "ForecastImpact",
    "PlannedRuns",
    "Why",
    "Chain",
    "EventPage",
    "JobDeliveries",
    "JobStats",
    "JobAdvice",
)
"""The answers that pages read."""
PLAIN = {
    "integer": "number",
    "number": "number",
    "string": "string",
    "boolean": "boolean",
    "null": "null",
    "object": "Record<string, unknown>",
}

Json = Mapping[str, Any]


@cache
def document() -> Json:
    """The OpenAPI document of a server that sets nothing."""
    return ApiDocument(ROUTES, web_settings()).content


def options() -> str:
    """``fastlane/cli/client/options.json``: the options of ``fastlane run`` and ``fastlane schedule``."""
    rows = [{"field": path, **asdict(option), "flags": option.flags.split()} for path, option in _options()]
    return "[\n" + ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in rows) + "\n]\n"


def _options() -> Iterator[tuple[str, Option]]:
    """The options by the paths of their fields."""
    bodies: Mapping[str, BodyObject] = {
        "": JOB_BODY,
        "onOom.": ON_OOM_BODY,
        "resources.": RESOURCES_BODY,
        "resources.reserve.": RESERVE_BODY,
        "container.": CONTAINER_BODY,
    }
    for place, body in bodies.items():
        yield from ((f"{place}{name}", field.option) for name, field in body.fields.items() if field.option)


def types() -> str:
    """``static/src/contract.ts``: a type for each object that a page reads, and the options of fields."""
    schemas = document()["components"]["schemas"]
    found: dict[str, str] = {}
    for root in ROOTS:
        _add(root, schemas, found)
    known = {path: option for path, option in _options() if option.kind not in ("mounts", "configs", "failures")}
    rows = [f'  "{path}": "{option.flags.split()[-1]}",' for path, option in known.items()]
    durations = [path for path, option in known.items() if option.metavar == "DURATION" and path != "startIn"]  # that is text alone
    kinds = [
        [path for path, option in known.items() if option.kind in of] for of in (("flag",), ("off",), ("list",), ("pairs", "variables"))
    ]
    return TYPES % ("\n".join(found.values()), "\n".join(rows), *map(json.dumps, (durations, *kinds)))


def _add(name: str, schemas: Json, found: dict[str, str]) -> None:
    """Adds an object's type, after the types of the objects inside it."""
    if name in found:
        return
    found[name] = ""
    schema = schemas[name]
    rows = [
        f"  {key}{'' if key in schema.get('required', ()) else '?'}: {_type(value, schemas, found)};"
        for key, value in schema["properties"].items()
    ]
    del found[name]
    found[name] = "\n".join([f"/** {schema['description']} */", f"export interface {name} {{", *rows, "}\n"])


def _type(schema: Json, schemas: Json, found: dict[str, str]) -> str:
    if "$ref" in schema:
        name = str(schema["$ref"].rpartition("/")[2])
        _add(name, schemas, found)
        return name
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_type(one, schemas, found) for one in schema["anyOf"]))
    kinds = schema.get("type", [])
    return " | ".join(_plain(kind, schema, schemas, found) for kind in ([kinds] if isinstance(kinds, str) else kinds)) or "unknown"


def _plain(kind: str, schema: Json, schemas: Json, found: dict[str, str]) -> str:
    if kind == "array":
        inner = _type(schema["items"], schemas, found)
        return f"({inner})[]" if " " in inner else f"{inner}[]"
    if kind == "object" and schema.get("additionalProperties"):
        return f"Record<string, {_type(schema['additionalProperties'], schemas, found)}>"
    if kind == "string" and "enum" in schema:
        return " | ".join(json.dumps(word) for word in schema["enum"] if word is not None)
    return PLAIN.get(kind, kind)


FILES: Mapping[Path, Callable[[], str]] = {
    ROOT / "docs/api.md": api_page.content,
    jobs_schema.TARGET: jobs_schema.content,
    OPTIONS_TARGET: options,
    TYPES_TARGET: types,
    mcp_tools.TARGET: lambda: mcp_tools.content(document()),
}


if __name__ == "__main__":
    for path, content in FILES.items():
        path.write_text(content(), "utf-8")
