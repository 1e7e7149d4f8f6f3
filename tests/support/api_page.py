"""``docs/api.md``: every route and field, from the OpenAPI document. To write it: ``python -m tests.support.api_page > docs/api.md``."""

from collections.abc import Iterator, Mapping
from textwrap import fill
from typing import Any

from fastlane.web.api.contract import PRETTY
from fastlane.web.openapi.document import Document
from fastlane.web.routes.table import ROUTES
from tests.support.web_settings import web_settings

HEAD = """\
# Every route and field

A running server shows the same at `/docs`, where you can try it, and as `/openapi.json`. This page is
written from that document.

`T` is a task id, `J` a job id, `E` an execution id. A path works with and without a slash at its end,
and HEAD works where GET does. In a body, `null` is the same as leaving a field out. Times in answers
are ISO 8601 in UTC; in requests they are Unix seconds, or ISO 8601 with an offset. Every route that
answers JSON takes `pretty=1`.
"""
NAMES = {"task_id": "T", "job_id": "J", "execution_id": "E", "pool": "P"}
DEEPEST = 4
BODIES = ("Job", "JobChange")
"""The schemas of bodies, which have a table of their own."""
WIDTH = 100

Json = Mapping[str, Any]


def page(document: Json) -> str:
    """The page in Markdown."""
    return "\n".join([HEAD, *_routes(document), *_bodies(document), *_answers(document)])


def _routes(document: Json) -> Iterator[str]:
    for tag in document["tags"]:
        rows = [row for path, methods in document["paths"].items() for row in _operations(path, methods, tag["name"])]
        yield f"## {tag['name'].capitalize()}\n\n{fill(tag['description'], WIDTH)}\n"
        yield "\n".join(["| route | what it does | query and headers | answer |", "| --- | --- | --- | --- |", *rows, ""])


def _operations(path: str, methods: Json, tag: str) -> Iterator[str]:
    for method, operation in methods.items():
        if method != "parameters" and tag in operation["tags"]:
            about = _text(f"{operation['summary'].removesuffix('.')}. {operation.get('description', '')}")
            answers = dict.fromkeys(name for response in operation["responses"].values() for name in _schemas(response))
            taken = ", ".join(f"`{row['name']}`" for row in operation["parameters"] if row["name"] not in PRETTY)
            yield f"| `{method.upper()} {short(path)}` | {about} | {taken or '–'} | {', '.join(map(_link, answers)) or '–'} |"


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


def _bodies(document: Json) -> Iterator[str]:
    job = document["components"]["schemas"]["Job"]
    yield "## The body of a job\n"
    yield (
        fill("What `POST /tasks/T` and `PUT /tasks/T/jobs/J` take. Only `image` is required. `PATCH` takes any of these fields.", WIDTH)
        + "\n"
    )
    yield "\n".join(["| field | meaning |", "| --- | --- |", *_fields(job, ""), ""])


def _answers(document: Json) -> Iterator[str]:
    yield "## The objects of answers\n"
    for name, schema in document["components"]["schemas"].items():
        if "properties" in schema and name not in BODIES:
            yield f"### {name}\n\n{fill(_text(schema.get('description', '')), WIDTH)}\n"
            yield "\n".join(["| field | type | meaning |", "| --- | --- | --- |"])
            yield "\n".join([*(_answer_field(field, value) for field, value in schema["properties"].items()), ""])


def _answer_field(name: str, schema: Json) -> str:
    return f"| `{name}` | {_type(schema)} | {_text(schema.get('description', ''))} |"


def _fields(schema: Json, path: str, depth: int = 0) -> Iterator[str]:
    """The fields of a body, with those inside them."""
    for name, value in schema.get("properties", {}).items():
        yield f"| `{path}{name}` | {_text(value.get('description', ''))} |"
        if depth < DEEPEST:
            yield from _inner(value, f"{path}{name}.", depth)


def _inner(value: Json, path: str, depth: int) -> Iterator[str]:
    found = [value, value.get("items", {}), *value.get("anyOf", ()), *value.get("items", {}).get("anyOf", ())]
    rows = dict.fromkeys(row for schema in found if "properties" in schema for row in _fields(schema, path, depth + 1))
    named: dict[str, str] = {}
    for row in rows:
        field = row.split("|")[1]
        named[field] = max(named.get(field, ""), row, key=len)
    yield from named.values()


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
    return f"{', '.join(words) if words else {'string': 'text'}.get(plain, plain)}{null}"


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;") or "–"


def content() -> str:
    """The page for a server that sets nothing."""
    return page(Document(ROUTES, web_settings()).content)


if __name__ == "__main__":
    import sys

    sys.stdout.write(content())
