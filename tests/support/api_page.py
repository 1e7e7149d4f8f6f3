"""``docs/api.md``: every route and field, from the OpenAPI document. ``generated`` writes it."""

from collections.abc import Iterator, Mapping
from textwrap import fill
from typing import Any

from fastlane.web.openapi import ApiDocument
from fastlane.web.routes import ROUTES
from fastlane.web.routing import PRETTY
from tests.support.web_settings import web_settings

HEAD = """\
# Every route and field

A running server shows the same at `/docs`, where you can try it, and as `/openapi.json`. This page is
written from that document.

`T` is a task id, `J` a job id, `E` an execution id, `P` a pool. A path works with and without a slash
at its end, and HEAD works where GET does. In a body, `null` is the same as leaving a field out. Times
in answers are ISO 8601 in UTC; in requests they are Unix seconds, or ISO 8601 with an offset. Every
route that answers JSON takes `pretty=1`.

`role` is what a route needs on a server with [users or tokens](security.md#who-may-do-what): this role or one that
includes it; `none` needs no login.
"""
QUERIES = """\
## Queries and headers

What the routes above take in their query or as a header. A flag is on with `1` or `true`, and off with
`0` or `false`. What a route has for a job, it has for an execution, too.
"""
HEADERS = """\
## Headers of answers

Every answer has the first two.
"""
BODY = """\
## The body of a job

What `POST /tasks/T` and `PUT /tasks/T/jobs/J` take. Only `image` is required. `PATCH` takes any of these
fields.
"""
NAMES = {
    "task_id": "T",
    "job_id": "J",
    "execution_id": "E",
    "delivery_id": "D",
    "pool": "P",
    "host": "H",
    "worker": "W",
    "calendar": "NAME",
}
DEEPEST = 4
BODIES = ("Job", "JobChange", "HostRegistration", "Drain", "Reason")
"""The schemas of bodies, which have a table of their own."""
TYPES = {"string": "text", "array": "list", "integer": "whole number"}
WIDTH = 100

Json = Mapping[str, Any]


def page(document: Json) -> str:
    """The page in Markdown."""
    return "\n".join([HEAD, *_routes(document), *_queries(document), *_headers(document), *_bodies(document), *_answers(document)])


def _routes(document: Json) -> Iterator[str]:
    for tag in document["tags"]:
        rows = [row for path, methods in document["paths"].items() for row in _operations(path, methods, tag["name"])]
        yield f"## {tag['name'].capitalize()}\n\n{fill(tag['description'], WIDTH)}\n"
        yield "\n".join(["| route | role | what it does | query and headers | answer |", "| --- | --- | --- | --- | --- |", *rows, ""])


def _operations(path: str, methods: Json, tag: str) -> Iterator[str]:
    for method, operation in methods.items():
        if method != "parameters" and tag in operation["tags"]:
            about = _text(f"{operation['summary'].removesuffix('.')}. {operation.get('description', '')}")
            taken = ", ".join(f"`{row['name']}`" for row in _parameters(operation))
            role = operation["x-role"] or "none"
            yield f"| `{method.upper()} {short(path)}` | {role} | {about} | {taken} | {', '.join(_answered(operation))} |"


def _answered(operation: Json) -> list[str]:
    """The objects that an operation answers with, or else the types of what it sends."""
    named = dict.fromkeys(name for response in operation["responses"].values() for name in _schemas(response))
    sent = (media.partition(";")[0] for status, response in operation["responses"].items() for media in _media(status, response))
    return [*map(_link, named)] or [f"`{media}`" for media in dict.fromkeys(sent)] or ["messages"]


def _media(status: str, response: Json) -> Iterator[str]:
    return iter(response.get("content", {}) if status.startswith("2") else ())


def _parameters(operation: Json) -> list[Json]:
    return [row for row in operation["parameters"] if row["name"] not in PRETTY]


def short(path: str) -> str:
    """A route with the letters that the docs use for its parameters."""
    for name, short in NAMES.items():
        path = path.replace(f"{{{name}}}", short)
    return path


def _schemas(response: Json) -> Iterator[str]:
    for media in response.get("content", {}).values():
        for schema in (media["schema"], *media["schema"].get("anyOf", ())):
            if "$ref" in schema:
                yield schema["$ref"].rpartition("/")[2]


def _queries(document: Json) -> Iterator[str]:
    """A row for each meaning that a name has, with the routes that take it so."""
    routes: dict[tuple[str, str], list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for row in _parameters(operation) if method != "parameters" else ():
                found = routes.setdefault((row["name"], _text(row["description"])), [])
                if not path.startswith("/tasks/{task_id}/jobs/{job_id}/executions/{execution_id}/"):
                    found.append(f"`{method.upper()} {short(path)}`")
    yield QUERIES
    by_name = sorted(routes.items(), key=lambda item: item[0][0].lower())
    rows = [f"| `{name}` | {about} | {', '.join(found)} |" for (name, about), found in by_name]
    yield "\n".join(["| name | meaning | routes |", "| --- | --- | --- |", *rows, ""])


def _headers(document: Json) -> Iterator[str]:
    yield HEADERS
    rows = [f"| `{name}` | {_text(header['description'])} |" for name, header in document["components"]["headers"].items()]
    yield "\n".join(["| header | meaning |", "| --- | --- |", *rows, ""])


def _bodies(document: Json) -> Iterator[str]:
    yield BODY
    job = document["components"]["schemas"]["Job"]
    rows = [f"| `{name}` | {types} | {about} |" for name, types, about in _fields(job, "")]
    yield "\n".join(["| field | type | meaning |", "| --- | --- | --- |", *rows, ""])


def _answers(document: Json) -> Iterator[str]:
    schemas = document["components"]["schemas"]
    yield "## The objects of answers\n"
    for name, schema in schemas.items():
        if "properties" in schema and name not in BODIES:
            yield f"### {name}\n\n{fill(_text(schema.get('description', '')), WIDTH)}\n"
            yield "\n".join(["| field | type | meaning |", "| --- | --- | --- |"])
            yield "\n".join([*(_answer_field(field, value) for field, value in schema["properties"].items()), ""])


def _answer_field(name: str, schema: Json) -> str:
    return f"| `{name}` | {_type(schema)} | {_text(schema['description'])} |"


def _fields(schema: Json, path: str, depth: int = 0) -> Iterator[tuple[str, str, str]]:
    """The fields of a body, with those inside them: the name, the type and the meaning of each."""
    for name, value in schema.get("properties", {}).items():
        yield f"{path}{name}", _plain_type(value), _text(value.get("description", ""))
        if depth < DEEPEST:
            yield from _inner(value, f"{path}{name}.", depth)


def _inner(value: Json, path: str, depth: int) -> Iterator[tuple[str, str, str]]:
    """The fields of all forms that an object may have, each once."""
    found = [value, value.get("items", {}), *value.get("anyOf", ()), *value.get("items", {}).get("anyOf", ())]
    rows = [row for schema in found if "properties" in schema for row in _fields(schema, path, depth + 1)]
    for name in dict.fromkeys(row[0] for row in rows):
        same = [row for row in rows if row[0] == name]
        yield name, ", ".join(dict.fromkeys(row[1] for row in same if row[1])), max((row[2] for row in same), key=len)


def _plain_type(schema: Json) -> str:
    """The types of a field of a body, which may be null in any case."""
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{word}`" for word in schema.get("enum", [schema.get("const")]) if word is not None)
    types = schema.get("type", ())
    found = [types] if isinstance(types, str) else list(types)
    for one in schema.get("anyOf", ()):
        found += [one["type"]] if isinstance(one.get("type"), str) else one.get("type", ())
    return " or ".join(dict.fromkeys(TYPES.get(one, one) for one in found if one != "null"))


def _type(schema: Json) -> str:
    if "$ref" in schema:
        return _link(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict) and "$ref" in schema["additionalProperties"]:
        return f"{_type(schema['additionalProperties'])} by name"
    words = [f"`{word}`" for word in schema.get("enum", ()) if word is not None]
    types = schema.get("type", "any")
    null = " or null" if isinstance(types, list) and "null" in types else ""
    plain = " or ".join(one for one in types if one != "null") if isinstance(types, list) else types
    return f"{', '.join(words) if words else TYPES.get(plain, plain)}{null}"


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def content() -> str:
    """The page for a server that sets nothing."""
    return page(ApiDocument(ROUTES, web_settings()).content)
