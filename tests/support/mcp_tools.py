"""``fastlane/mcp/tools.json``: the operations of the API that are tools for programs which talk. ``generated`` writes it from the OpenAPI
document; ``TOOLS`` says which operations, with which of their parameters."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastlane.web.api.json_schema import FLAG
from tests.support.docs import ROOT

TARGET = ROOT / "fastlane/mcp/tools.json"
PAGE = ("perPage", "after")

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Offer:
    """An operation that is a tool: what of its query, headers and body a call may give, by the names there, and a sentence more for its
    description. ``query`` is always in its query. An operation that is there for an execution, too, takes ``execution``."""

    id: str
    arguments: tuple[str, ...] = ()
    more: str = ""
    query: Mapping[str, str] = field(default_factory=dict)


TOOLS = (
    Offer("listAllJobs", ("task", "status", "label", "query", "late", *PAGE)),
    Offer("getJob", PAGE),
    Offer("getWhy"),
    Offer("listExecutions", ("task", "status", "since", *PAGE)),
    Offer("getExecution", more="getLogs has more of its log."),
    Offer("getLogs", ("tail", "since", "Range"), "The last 32 KiB unless range names others.", {"interleaved": "1"}),
    Offer("listFailures", ("task", "since", *PAGE)),
    Offer("listTicks", PAGE),
    Offer("getStats", PAGE),
    Offer("getAdvice"),
    Offer("listAdvice", ("task", *PAGE)),
    Offer("getUsage", ("by", "task", "since", "until", "after")),
    Offer("listEvents", ("kind", "task", "job", "execution", "actor", "host", "pool", "since", "until", *PAGE)),
    Offer("getStatus"),
    Offer("listPools"),
    Offer("listHosts"),
    Offer("runJob", ("parameters", "Idempotency-Key"), "getJob shows the parameters that it takes."),
)
NAMES = {"task_id": "task", "job_id": "job", "execution_id": "execution", "Range": "range", "Idempotency-Key": "idempotencyKey"}
"""The names of arguments that have another name in the API."""


def content(document: Json) -> str:
    """The file."""
    rows = [_row(offer, document) for offer in TOOLS]
    return "[\n" + ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in rows) + "\n]\n"


def _row(offer: Offer, document: Json) -> Json:
    method, path, operation = _operation(offer.id, document)
    try:
        of_execution = f"{offer.id}OfExecution", _operation(f"{offer.id}OfExecution", document)[1]
    except StopIteration:
        of_execution = None
    named = [*document["paths"][path].get("parameters", ()), *operation["parameters"]]
    if of_execution is not None:
        named.append(next(row for row in document["paths"][of_execution[1]]["parameters"] if row["name"] == "execution_id"))
    named = [row for row in named if row["in"] == "path" or row["name"] in offer.arguments]
    found = {NAMES.get(row["name"], row["name"]): (row["in"], row["name"], row) for row in named}
    found |= {name: ("body", name, row) for name, row in _body(operation, document) if name in offer.arguments}
    required = [
        name for name, (place, key, row) in found.items() if (f"{{{key}}}" in path if place == "path" else row.get("required") is True)
    ]
    properties = {name: _schema(row) for name, (_, _, row) in found.items()}
    return {
        "name": offer.id,
        "description": _sentences(operation["summary"], operation.get("description", "") if offer.id != "getLogs" else "", offer.more),
        "method": method.upper(),
        "path": path,
        "schema": {"type": "object", "properties": properties, "required": required, "additionalProperties": False},
        "place": {name: (place, key) for name, (place, key, _) in found.items()},
        "query": dict(offer.query),
        "of_execution": of_execution,
        "is_list": "perPage" in found,
        "is_text": "Range" in offer.arguments,
    }


def _sentences(*texts: str) -> str:
    return " ".join(f"{' '.join(text.split()).removesuffix('.')}." for text in texts if text)


def _operation(id: str, document: Json) -> tuple[str, str, Json]:
    """The method, path and operation of this id. Raises StopIteration when there is none."""
    return next(
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "parameters" and operation["operationId"] == id
    )


def _body(operation: Json, document: Json) -> Iterator[tuple[str, Json]]:
    """The fields of an operation's body, each with its schema."""
    if "requestBody" in operation:
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        yield from document["components"]["schemas"][reference.rpartition("/")[2]]["properties"].items()


def _schema(row: Json) -> Json:
    """The schema of an argument, from a parameter or from a field of a body. A flag is a boolean here."""
    if "schema" not in row:
        return row
    if row["schema"] == FLAG:
        return {"type": "boolean", "description": row["description"].partition(" On with ")[0]}
    return {**row["schema"], "description": row["description"]}
