"""Makes the generated half of ``fastlane/client``: the types and operations of the API, and the client without asyncio.

``python -m builder.client`` makes them where they are older than the code, ``--always`` in any case. ``scripts/venv``, the tests and each
build run it.

- ``contract.py`` is made from the OpenAPI document: a ``TypedDict`` for each object, an ``Operation`` for each route and kind of answer.
- ``synchronous/`` is made from ``asynchronous/`` by exchanging words.
"""

import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from keyword import iskeyword
from pathlib import Path
from typing import Any

from builder import version

ROOT = Path(__file__).parents[1]
CLIENT = ROOT / "fastlane/client"
CONTRACT, ASYNCHRONOUS, SYNCHRONOUS = CLIENT / "contract.py", CLIENT / "asynchronous", CLIENT / "synchronous"

HEAD = '''\
"""What the server takes and answers. Made from its OpenAPI document by builder/client.py; changes are overwritten."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from fastlane.client.exchange import ListOperation, Operation
'''
BODIES = {"Job": "JobFields", "JobChange": "JobChanges"}
"""Schemas of request bodies whose types have another name. What is nested in them is named after ``Job``."""
NAMES = {
    "JobContainerMountsBind": "BindMount",
    "JobContainerMountsVolume": "VolumeMount",
    "JobContainerMountsTmpfs": "TmpfsMount",
    "JobContainerSecrets": "JobSecret",
    "JobWebhooksSucceeds": "JobWebhook",
    "ProblemExecutionStatus": "JobStatus",
    "LastExecutionStatus": "ExecutionStatus",
    "ScheduleOverlap": "Overlap",
    "ScheduleCatchUp": "CatchUp",
    "MountedType": "MountType",
}
"""Names of nested types that are better than the name of their first place. Equal types are one type."""
UNTYPED = {"Data"}
PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "object": "dict[str, Any]", "null": "None"}
JSON = "application/json"
MEDIA = {JSON, "text/event-stream", "text/plain", "application/gzip"}
"""What the client reads."""
WIDTH = 140

WORDS = {
    r"async (?=def|with|for)": "",
    r"await ": "",
    r"AsyncIterator": "Iterator",
    r"AsyncGenerator\[(.+), None\]": r"Generator[\1, None, None]",
    r"AsyncGenerator": "Generator",
    r"asynccontextmanager": "contextmanager",
    r"__a(enter|exit)__": r"__\1__",
    r"\baclos(e|ing)\b": r"clos\1",
    r"\baread\b": "read",
    r"\baiter_raw\b": "iter_raw",
    r"import asyncio\n": "",
    r"asyncio\.sleep": "time.sleep",
    r"httpx\.AsyncClient": "httpx.Client",
    r"\bAsync(?=[A-Z])": "",
    r"client\.asynchronous": "client.synchronous",
}
"""Each pattern in the client with asyncio, and what the client without it has in its place."""

Json = Mapping[str, Any]


class Types:
    """The types of a document's schemas, by name: ``aliases`` of literals, and ``classes``, those inside others first."""

    def __init__(self, document: Json) -> None:
        self.aliases: dict[str, str] = {}
        self.classes: dict[str, tuple[list[str], str]] = {}
        self.given: set[str] = set()
        """The names of NAMES that were needed."""
        bodies = dict(_bodies(document))
        for name, schema in document["components"]["schemas"].items():
            if name in UNTYPED:
                continue
            words = schema.get("description") or f"The body of {', '.join(bodies[name])}."
            self.classes[BODIES.get(name, name)] = self._rows(schema, "Job" if name in BODIES else name), words

    def text(self) -> str:
        """The source of all types."""
        aliases = [f"{name} = Literal[{_wrapped(words)}]" for name, words in self.aliases.items()]
        classes = [_class(name, rows, words) for name, (rows, words) in self.classes.items()]
        return "\n".join(aliases) + "\n\n\n" + "\n\n".join(classes)

    def _rows(self, schema: Json, place: str) -> list[str]:
        """The lines of a class's fields. ``place``: what nested types are named after."""
        rows = []
        for field, value in schema["properties"].items():
            type = self._type(value, f"{place}{field[0].upper()}{field[1:]}", field)
            rows.append(f"    {field}: {type if field in schema.get('required', ()) else f'NotRequired[{type}]'}\n")
        return rows

    def _type(self, schema: Json, place: str, field: str) -> str:
        if "$ref" in schema:
            target = _target(schema)
            return "Any" if target in UNTYPED else target
        if "anyOf" in schema:
            return " | ".join(dict.fromkeys(self._type(one, place, field) for one in schema["anyOf"]))
        if "const" in schema or "type" not in schema:
            return f"Literal[{schema['const']!r}]" if "const" in schema else "Any"
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return " | ".join(dict.fromkeys(self._plain(one, schema, place, field) for one in types))

    def _plain(self, type: str, schema: Json, place: str, field: str) -> str:
        if type == "string" and "enum" in schema:
            return self._literal([word for word in schema["enum"] if word is not None], place)
        if type == "array":
            return f"list[{self._type(schema.get('items', {}), place, field)}]"
        if type == "object" and "properties" in schema:
            return self._nested(schema, place, field)
        if type == "object" and isinstance(schema.get("additionalProperties"), dict):
            return f"dict[str, {self._type(schema['additionalProperties'], place, field)}]"
        return PLAIN[type]

    def _literal(self, words: list[str], place: str) -> str:
        text = ", ".join(f'"{word}"' for word in words)
        if len(words) == 1:
            return f"Literal[{text}]"
        return self._named(self.aliases, text, place)

    def _nested(self, schema: Json, place: str, field: str) -> str:
        """The class of an object inside another. In a union it is named after the value that tells it from the others."""
        place += "".join(str(value["const"]).title() for value in schema["properties"].values() if "const" in value)
        rows = self._rows(schema, place)
        known = {name: rows for name, (rows, _) in self.classes.items()}
        name = self._named(known, rows, place)
        self.classes.setdefault(name, (rows, schema.get("description") or f"One of {field}."))
        return name

    def _named(self, known: dict[str, Any], value: Any, place: str) -> str:
        """The name of this value; a new one if no known one is equal."""
        for name, found in known.items():
            if found == value and name not in BODIES.values():
                return name
        name = NAMES.get(place, place)
        self.given |= {place} & NAMES.keys()
        if name in self.aliases or name in self.classes:
            raise ValueError(f"two types would have the name {name}: give the one at {place} another in NAMES")
        known[name] = value
        return name


def _wrapped(words: str) -> str:
    return words if len(words) < WIDTH - 50 else f"\n{textwrap.indent(_filled(words), '    ')}\n"


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH - 4, break_long_words=False, break_on_hyphens=False)


def _docstring(words: str) -> str:
    return textwrap.indent(_filled(f'"""{" ".join(words.split())}"""'), "    ")


def _target(schema: Json) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _bodies(document: Json) -> Iterator[tuple[str, list[str]]]:
    """The schemas of request bodies, and the operations that take them."""
    found: dict[str, list[str]] = {}
    for methods in document["paths"].values():
        for method, operation in methods.items():
            if method != "parameters" and "requestBody" in operation:
                found.setdefault(_target(operation["requestBody"]["content"][JSON]["schema"]), []).append(operation["operationId"])
    return iter(found.items())


def _class(name: str, rows: list[str], words: str) -> str:
    """The source of a class. One with a field that is a keyword of Python is made by a call."""
    if not any(iskeyword(row.partition(":")[0].strip()) for row in rows):
        return f"class {name}(TypedDict):\n{_docstring(words)}\n\n{''.join(rows)}"
    pairs = (row.strip().partition(": ") for row in rows)
    fields = "".join(f"        {field!r}: {type!r},\n" for field, _, type in pairs)
    return f"{name} = TypedDict(\n    {name!r},\n    {{\n{fields}    }},\n)\n{textwrap.dedent(_docstring(words))}\n"


def operations(document: Json) -> Iterator[str]:
    """A constant for each kind of JSON that an operation answers with."""
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, found in methods.items():
            if method == "parameters" or not MEDIA & {media.partition(";")[0] for media in _contents(found)}:
                continue
            keyed = ", keyed=True" if any(row["name"] == "Idempotency-Key" for row in found["parameters"]) else ""
            for number, answer in enumerate(_answers(found)):
                constant = _constant(found["operationId"]) + (f"_AS_{_constant(answer)}" if number else "")
                fields = schemas.get(answer, {}).get("properties", {})
                row = f", {_target(fields['items']['items'])}" if {"items", "nextUrl"} <= fields.keys() else ""
                type = f"{'ListOperation' if row else 'Operation'}[{answer}{row}]"
                kind = type.partition("[")[0]
                yield f'{constant}: {type} = {kind}("{found["operationId"]}", "{method.upper()}", "{path}"{keyed})'


def _answers(operation: Json) -> list[str]:
    """The types of JSON that it answers with."""
    schema = _contents(operation).get(JSON, {}).get("schema", {})
    found = [_target(one) for one in schema.get("anyOf", [schema]) if "$ref" in one]
    return found or ["dict[str, object]" if JSON in _contents(operation) else "None"]


def _contents(operation: Json) -> Json:
    """The kinds of media of its answer."""
    found: Json = operation["responses"].get("200", {}).get("content", {})
    return found


def _constant(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def contract(document: Json) -> str:
    """The source of ``contract.py``."""
    return f"{HEAD}\n{Types(document).text()}\n\n" + "\n".join(operations(document)) + "\n"


def without_asyncio(source: str) -> str:
    """The same code without asyncio."""
    for pattern, words in WORDS.items():
        source = re.sub(pattern, words, source)
    return source


def openapi() -> Json:
    """The OpenAPI document of a server that sets nothing."""
    from fastlane.config.settings import Settings
    from fastlane.web.openapi import ApiDocument
    from fastlane.web.routes import ROUTES

    return ApiDocument(ROUTES, Settings.defaults()).content


def made() -> dict[Path, str]:
    """The source of each file that is made."""
    found = {CONTRACT: contract(openapi())}
    for path in sorted(ASYNCHRONOUS.glob("*.py")):
        head = f"# Made from {path.relative_to(ROOT).as_posix()} by builder/client.py; changes are overwritten.\n"
        found[SYNCHRONOUS / path.name] = head + without_asyncio(path.read_text("utf-8"))
    return found


def is_stale() -> bool:
    """Whether a file is missing, or older than any of the code."""
    files = [CONTRACT, *(SYNCHRONOUS / path.name for path in ASYNCHRONOUS.glob("*.py"))]
    if not all(file.exists() for file in files):
        return True
    made = {CONTRACT, ROOT / version.FILE}
    sources = (path for path in (ROOT / "fastlane").rglob("*.py") if path not in made and path.parent != SYNCHRONOUS)
    return max(path.stat().st_mtime for path in (*sources, Path(__file__))) >= min(file.stat().st_mtime for file in files)


def make() -> None:
    """Writes what differs, each file at once, since another process may be reading it; and removes what is not made any more."""
    found = made()
    SYNCHRONOUS.mkdir(exist_ok=True)
    for path, text in found.items():
        if path.exists() and path.read_text("utf-8") == text:
            os.utime(path)
            continue
        new = path.with_name(f".{path.name}.{os.getpid()}")
        new.write_text(text, "utf-8")
        new.replace(path)
    for path in SYNCHRONOUS.glob("*.py"):
        if path not in found:
            path.unlink()


if __name__ == "__main__":
    version.write(ROOT)
    if "--always" in sys.argv[1:] or is_stale():
        make()
