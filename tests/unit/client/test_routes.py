"""The client has a method for each route."""

import re

from builder.client import ASYNCHRONOUS, openapi, operations

WITHOUT_METHOD = {
    "followLog": "a WebSocket; ``client.logs`` follows by server-sent events",
    "followLogOfExecution": "the same",
    "openLog": "a page",
    "openLogOfExecution": "a page",
    "readDocs": "a page",
    "readLogin": "a page",
    "getRoot": "a page, or what /healthcheck answers",
    "drainHostByPut": "another method of the path of drainHost",
}
"""Operations that the client has no method for, and why."""


def test_each_operation_has_a_method():
    document = openapi()
    constants = {match[2]: match[1] for line in operations(document) if (match := re.match(r'(\w+):.*?\("(\w+)"', line))}
    source = "".join(path.read_text("utf-8") for path in ASYNCHRONOUS.glob("*.py"))
    called = set(re.findall(r"\bcontract\.([A-Z_]+)\b", source))
    ids = {found["operationId"] for methods in document["paths"].values() for name, found in methods.items() if name != "parameters"}
    described = {re.sub(r"_AS_\w+$", "", name) for name in called}
    without = {id for id in ids if constants.get(id) is None or re.sub(r"_AS_\w+$", "", constants[id]) not in described}
    assert without == set(WITHOUT_METHOD)
