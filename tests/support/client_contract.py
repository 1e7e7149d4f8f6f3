"""``fastlane/client/contract.py``: the types of the client's requests and answers, and its operations, from the OpenAPI document.

To write it: ``python -m tests.support.client_contract``.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastlane.web.openapi import Document
from fastlane.web.routes.table import ROUTES
from tests.support.docs import ROOT
from tests.support.formatting import formatted
from tests.support.web_settings import web_settings

TARGET = ROOT / "fastlane/client/contract.py"
HEAD = '''\
"""What the server takes and answers: written from its OpenAPI document by tests/support/client_contract.py, never by hand."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from fastlane.client.operation import Operation

'''
BODIES = {"Job": "JobFields", "JobChange": "JobChanges"}
"""The schemas of bodies, and the names of their types."""
UNTYPED = {"Data"}
PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "object": "dict[str, Any]", "null": "None"}
JSON = "application/json"
MEDIA = {JSON, "text/event-stream"}
"""What the client reads."""

Json = Mapping[str, Any]


class Types:
    """The types of a document's schemas, those inside others first."""

    def __init__(self, schemas: Json) -> None:
        self.classes: dict[str, str] = {}
        for name, schema in schemas.items():
            if name not in UNTYPED:
                self._add(BODIES.get(name, name), schema, nested="Job" if name in BODIES else name)

    def _add(self, name: str, schema: Json, nested: str) -> None:
        rows = [self._field(field, value, schema, nested) for field, value in schema.get("properties", {}).items()]
        words = " ".join(schema.get("description", "").split()) or f"The fields of {name}."
        self.classes[name] = f'class {name}(TypedDict):\n    """{words}"""\n\n    ' + "\n    ".join(rows) + "\n"

    def _field(self, field: str, value: Json, schema: Json, nested: str) -> str:
        type = self._type(value, f"{nested}{field[0].upper()}{field[1:]}")
        required = field in schema.get("required", ())
        return f"{field}: {type}" if required else f"{field}: NotRequired[{type}]"

    def _type(self, schema: Json, name: str) -> str:
        if "$ref" in schema:
            target = schema["$ref"].rpartition("/")[2]
            return "Any" if target in UNTYPED else target
        if "anyOf" in schema:
            return " | ".join(dict.fromkeys(self._type(one, f"{name}{number}") for number, one in enumerate(schema["anyOf"], 1)))
        if "const" in schema or "type" not in schema:
            return f"Literal[{schema['const']!r}]" if "const" in schema else "Any"
        types = schema["type"]
        found = [self._plain(one, schema, name) for one in (types if isinstance(types, list) else [types])]
        return " | ".join(dict.fromkeys(found))

    def _plain(self, type: str, schema: Json, name: str) -> str:
        if type == "string" and "enum" in schema:
            return f"Literal[{', '.join(repr(word) for word in schema['enum'] if word is not None)}]"
        if type == "array":
            return f"list[{self._type(schema.get('items', {}), name)}]"
        if type == "object" and "properties" in schema:
            self._add(name, schema, nested=name)
            return name
        if type == "object" and isinstance(schema.get("additionalProperties"), dict):
            return f"dict[str, {self._type(schema['additionalProperties'], name)}]"
        return PLAIN[type]


def operations(document: Json) -> Iterator[str]:
    """A constant for each kind of JSON that an operation answers with."""
    for path, methods in document["paths"].items():
        for method, found in methods.items():
            if method == "parameters" or not MEDIA & set(found["responses"].get("200", {}).get("content", {})):
                continue
            keyed = any(row["name"] == "Idempotency-Key" for row in found["parameters"])
            for number, answer in enumerate(_answers(found)):
                constant = _constant(found["operationId"]) + (f"_AS_{_constant(answer)}" if number else "")
                more = ", keyed=True" if keyed else ""
                yield f'{constant}: Operation[{answer}] = Operation("{found["operationId"]}", "{method.upper()}", "{path}"{more})'


def _answers(operation: Json) -> list[str]:
    """The types of JSON that it answers with."""
    schema = operation["responses"].get("200", {}).get("content", {}).get(JSON, {}).get("schema", {})
    found = [one["$ref"].rpartition("/")[2] for one in schema.get("anyOf", [schema]) if "$ref" in one]
    return found or ["None"]


def _constant(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def content() -> str:
    """The module for a server that sets nothing."""
    document = Document(ROUTES, web_settings()).content
    types = Types(document["components"]["schemas"])
    return formatted(HEAD + "\n\n".join(types.classes.values()) + "\n\n" + "\n".join(operations(document)) + "\n", TARGET)


if __name__ == "__main__":
    TARGET.write_text(content(), "utf-8")
