"""The OpenAPI document: it names every route and method, says what validates, and nothing else does."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from openapi_spec_validator import OpenAPIV31SpecValidator

from fastlane import __version__
from fastlane.config.access import Token
from fastlane.config.settings import Settings
from fastlane.errors import Fault, Invalid
from fastlane.models.access import Principal, Role
from fastlane.web.api.contract import pages
from fastlane.web.api.job import JOB_BODY, NEEDED_FIELDS, NEEDED_STARTS
from fastlane.web.api.job_body import JobRules, read_job
from fastlane.web.http import query
from fastlane.web.http.problems import Problem
from fastlane.web.http.strict_json import read_object
from fastlane.web.openapi import EXAMPLES, ApiDocument
from fastlane.web.routes import ROUTES
from fastlane.web.security.auth import authorize
from tests.http.fuzzing import is_in_table
from tests.support import credentials
from tests.support.web_settings import web_settings
from tests.unit.web.api.test_job_body import bodies

NOW = 1_700_000_000_000
"""Milliseconds."""
OPEN = web_settings()


def document(settings: Settings = OPEN) -> dict[str, Any]:
    """As a client gets it."""
    return json.loads(json.dumps(ApiDocument(ROUTES, settings).content))


DOCUMENT = document()
JOB_FORM = Draft202012Validator({"$ref": "#/components/schemas/Job", "components": DOCUMENT["components"]})


def operations(content: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, verb.upper(), one) for path, row in content["paths"].items() for verb, one in row.items() if verb != "parameters"]


def faults(body: dict[str, Any]) -> Sequence[Fault]:
    """What the server has against it."""
    try:
        read_job(read_object(json.dumps(body).encode()), NOW, JobRules(hard_retries=10, hard_timeout=1800))
    except Invalid as error:
        return error.faults
    return ()


def test_every_route_and_each_of_its_methods_is_in_the_document_and_no_other() -> None:
    expected = {(path, method) for path, resource in ROUTES.items() for method in resource.routes}
    assert {(path, method) for path, method, _ in operations(DOCUMENT)} == expected


def test_the_document_is_valid_openapi() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"]["version"] == __version__


def test_every_operation_has_a_unique_name_a_summary_and_answers() -> None:
    found = operations(DOCUMENT)
    names = [one["operationId"] for _, _, one in found]
    assert len(set(names)) == len(names)
    for _, _, one in found:
        assert one["summary"]
        assert {"400", "403"} < one["responses"].keys()
        assert any(status.startswith(("1", "2")) for status in one["responses"])
    assert {tag["name"] for tag in DOCUMENT["tags"]} == {tag for _, _, one in found for tag in one["tags"]}


def test_every_parameter_and_field_says_what_it_means() -> None:
    for path, method, one in operations(DOCUMENT):
        for parameter in [*one["parameters"], *DOCUMENT["paths"][path].get("parameters", [])]:
            assert parameter["description"], (path, method, parameter["name"])
    assert all(field["description"] for field in DOCUMENT["components"]["schemas"]["Job"]["properties"].values())


def test_a_list_reads_the_names_that_its_pages_have() -> None:
    assert pages().keys() == query.NAMES
    for resource in ROUTES.values():
        names = query.NAMES & resource.routes["GET"].query.keys() if "GET" in resource.routes else frozenset()
        assert names in (frozenset(), query.NAMES, query.NAMES - {"page"})  # a list that is only walked has no page numbers


@pytest.mark.parametrize(
    "text", ["1s", "0.5s", "1.5s", "0m1s", "0m", "1m", "0h0.9s", "0m0.5s", "00.9s", "05s", "00s", "10d", "0d10.001s", "0d"]
)
def test_the_document_takes_for_expect_every_what_the_server_does(text: str) -> None:
    body = {"image": "ubuntu", "cron": "@daily", "expectEvery": text}
    assert JOB_FORM.is_valid(body) == (not faults(body))


def test_a_job_has_the_fields_that_validate_it_and_no_other() -> None:
    job = DOCUMENT["components"]["schemas"]["Job"]
    assert job["properties"].keys() == JOB_BODY.fields.keys()
    assert "required" not in job
    assert [form["required"] for form in job["allOf"][0]["oneOf"]] == [["image"], ["service"]]
    assert job["additionalProperties"] is False


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_of_the_how_to_is_valid_by_the_document_and_by_the_server(name: str) -> None:
    body = EXAMPLES[name][1]
    assert JOB_FORM.is_valid(body)
    read_job(body, NOW, JobRules(hard_retries=10, hard_timeout=1800))
    assert body in [example["value"] for example in _enqueue()["requestBody"]["content"]["application/json"]["examples"].values()]


BESIDE: dict[str, dict[str, Any]] = {name: {"cron": "@daily"} for name in NEEDED_STARTS}
BESIDE |= {name: {"cron": "@daily"} for name in ("pauseAfter", "notifyAfter", "doneBy")}
BESIDE |= {name: {"retries": 1, "concurrency": 1, "resources": {"memory": "64m"}} for name in NEEDED_FIELDS}
"""What some fields need beside them."""


def test_the_examples_of_each_field_are_valid_by_the_document_and_by_the_server() -> None:
    for name, field in DOCUMENT["components"]["schemas"]["Job"]["properties"].items():
        for example in field.get("examples", []):
            beside = BESIDE.get(name, {})
            body = {**({} if name == "service" else {"image": "ubuntu"}), **beside, name: example}
            assert JOB_FORM.is_valid(body), body
            read_job(body, NOW, JobRules(hard_retries=10, hard_timeout=1800, notify_allow=("*",)))


@given(bodies())
def test_what_the_document_calls_valid_is_read_but_for_what_no_schema_can_say(body: dict[str, Any]) -> None:
    if JOB_FORM.is_valid(body):
        for fault in faults(body):
            assert is_in_table(fault.field, fault.message), str(fault)


NARROWER = ("startIn", "retryDelay", "timeout", "expiresIn", "startAt", "expiration")
"""Fields of which the reader takes more forms than the document names."""


@given(bodies())
def test_what_is_read_is_valid_by_the_document(body: dict[str, Any]) -> None:
    plain = {name: value for name, value in body.items() if name not in NARROWER}
    if not faults(plain):
        assert JOB_FORM.is_valid(plain), list(JOB_FORM.iter_errors(plain))


@pytest.mark.parametrize("name", ["command", "envs", "cron", "priority", "metadata", "resources", "container"])
def test_null_is_valid_where_it_means_that_the_field_is_absent(name: str) -> None:
    assert JOB_FORM.is_valid({"image": "ubuntu", name: None})
    assert not JOB_FORM.is_valid({"image": None})


@pytest.mark.parametrize(
    "body",
    [
        {"startIn": "5m", "startAt": 1},
        {"startIn": "5m", "cron": "@daily"},
        {"timezone": "UTC"},
        {"timezone": "UTC", "startIn": "5m"},
        {"overlap": "skip"},
        {"retryDelay": "5s"},
        {"retryDelay": 5, "retries": None},
        {"colour": 1},
        {"image": "UPPER"},
        {"image": "app@sha256:abc"},
        {"image": "a" * 256},
        {"image": "0" * 64},
        {"command": "it's"},
        {"command": "\\"},
        {"command": ""},
        {"command": []},
        {"command": [1]},
        {"envs": {"A-B": 1}},
        {"envs": {"A": None}},
        {"envs": {"A": "********"}},
        {"startIn": "300"},
        {"startIn": 300},
        {"startIn": "-5m"},
        {"startAt": 1645113692000},
        {"startAt": True},
        {"cron": "* * * *"},
        {"cron": "0 * * * * *"},
        {"retries": 11},
        {"retries": -1},
        {"timeout": 0},
        {"expiresIn": "0s"},
        {"priority": 101},
        {"concurrency": 0},
        {"metadata": []},
        {"metadata": {"x": 2**63}},
        {"resources": {"cpus": 0}},
        {"resources": {"cpus": "1"}},
        {"resources": {"memory": 1024}},
        {"resources": {"memory": "3m"}},
        {"resources": {"memory": "512"}},
        {"resources": {"pids": 0}},
        {"resources": {"reserve": {"pids": 1}}},
        {"resources": {"reserve": {"generic": {"gpu": 0}}}},
        {"resources": {"reserve": {"generic": {"a b": 1}}}},
        {"resources": {"cpu": 1}},
        {"container": []},
        {"container": {"privileged": True}},
        {"container": {"user": "a b"}},
        {"container": {"user": ""}},
        {"container": {"workdir": "srv"}},
        {"container": {"workdir": "/srv/../etc"}},
        {"container": {"workdir": "//srv"}},
        {"container": {"init": 1}},
        {"container": {"stopSignal": "SIGFOO"}},
        {"container": {"stopSignal": 32}},
        {"container": {"stopGrace": "2h"}},
        {"container": {"stopGrace": "10"}},
        {"container": {"mounts": ["/srv/data"]}},
        {"container": {"mounts": ["/srv/./data:/data"]}},
        {"container": {"mounts": ["/srv/..:/data"]}},
        {"container": {"mounts": ["/srv:/data:z"]}},
        {"container": {"mounts": ["/srv:/"]}},
        {"container": {"mounts": ["/srv/{{.Node.ID}}:/data"]}},
        {"container": {"mounts": [{"type": "bind", "target": "/data"}]}},
        {"container": {"mounts": [{"type": "bind", "source": "data", "target": "/data"}]}},
        {"container": {"mounts": [{"type": "bind", "source": "/a:b", "target": "/data"}]}},
        {"container": {"mounts": [{"type": "volume", "source": "/srv", "target": "/data"}]}},
        {"container": {"mounts": [{"type": "tmpfs", "source": "data", "target": "/data"}]}},
        {"container": {"mounts": [{"type": "bind", "source": "/srv", "target": "/data", "size": "64m"}]}},
        {"container": {"mounts": [{"type": "npipe", "target": "/data"}]}},
        {"container": {"mounts": ["/srv:/data"] * 51}},
        {"container": {"networks": ["a b"]}},
        {"container": {"networks": ["a", "a"]}},
        {"container": {"secrets": ["a/b"]}},
        {"container": {"secrets": [{"name": "a", "target": ".."}]}},
        {"container": {"constraints": ["node.name==a"]}},
        {"container": {"constraints": ["node.role>=a"]}},
        {"container": {"extraHosts": {"a b": "10.0.0.7"}}},
        {"container": {"extraHosts": {"a": "b"}}},
        {"container": {"entrypoint": []}},
        {"container": {"entrypoint": "a 'b"}},
        {"container": {"hostname": "a b"}},
        {"container": {"hostname": "a" * 65}},
        {"container": {"readOnly": "true"}},
        {"container": {"dns": ["ns1"]}},
        {"container": {"capAdd": ["FLY"]}},
        {"container": {"configs": ["a/b"]}},
        {"container": {"configs": [{"name": "a", "mode": 440}]}},
        {"container": {"configs": [{"name": "a", "target": "etc/a"}]}},
        {"container": {"capDrop": "ALL"}},
        {"container": {"sysctls": {"somaxconn": 1}}},
        {"container": {"sysctls": {"net.core.somaxconn": True}}},
        {"container": {"ulimits": {"files": 1}}},
        {"container": {"ulimits": {"nofile": -2}}},
        {"container": {"ulimits": {"nofile": {"soft": 1}}}},
        {"additionalDNSEntries": {"a": None}},
    ],
)
def test_the_document_says_what_is_refused(body: dict[str, Any]) -> None:
    assert not JOB_FORM.is_valid({"image": "ubuntu:latest", **body})


@pytest.mark.parametrize(
    "body",
    [
        {"image": "registry.example.com:5000/team/app:1.2"},
        {"image": "a" * 255 + ":" + "b" * 128},
        {"image": "localhost:5000/app@sha256:" + "0" * 64},
        {"image": "[::1]:5000/app"},
        {"command": "sh -c 'echo \"it is\"'"},
        {"command": 'echo "a\\"b" \\\' c'},
        {"command": "''"},
        {"command": ["", "x"]},
        {"startIn": "4h30m25s"},
        {"startIn": "0s"},
        {"expiresIn": "1.5s", "retries": 0, "retryDelay": 0, "timeout": "1m30s"},
        {"expiresIn": 90, "retries": 3, "retryDelay": "0s", "timeout": 0.001},
        {"startAt": 1645113692.5},
        {"startAt": "1645113692"},
        {"startAt": "2022-02-17T16:01:32+02:00"},
        {"cron": "*/5 0-12 1,15 jan-MAR 0", "timezone": "America/Argentina/Buenos_Aires"},
        {"cron": "@Hourly"},
        {"retries": 3.0},
        {"resources": {"cpus": 0.001, "memory": "4m", "pids": 1.0, "reserve": {"cpus": None, "memory": 4 * 2**20}}},
        {"resources": {"memory": "4GiB", "reserve": None}},
        {"resources": {"reserve": {"generic": {"gpu": 1, "NVIDIA-GPU": "2"}}}},
        {"container": {"user": "1000:1000", "workdir": "/", "init": False, "stopSignal": "RTMIN+3", "stopGrace": "1h"}},
        {"container": {"stopSignal": 15, "mounts": None, "stopGrace": 1.5}},
        {"container": {"mounts": ["/:/host:ro", "data:/data/", "/srv/..data/x.y:/x/...", "/ü:/ö:rw"]}},
        {"container": {"mounts": [{"type": "bind", "source": "/srv/", "target": "/data", "readOnly": True, "size": None}]}},
        {"container": {"mounts": [{"type": "tmpfs", "target": "/tmp", "size": 4096, "source": None}]}},
        {"container": {"networks": ["host"], "secrets": ["a", {"name": "b", "target": "c.txt"}], "constraints": ["node.role == worker"]}},
        {"container": {"constraints": ["engine.labels.com.example.x!=a:b"], "extraHosts": {"db.internal": "::1", "b": "10.0.0.7"}}},
        {"container": {"entrypoint": "tini -- sh", "hostname": "Worker.lan", "readOnly": False, "dns": ["10.0.0.53", "::1"]}},
        {
            "container": {
                "capAdd": ["CAP_NET_ADMIN", "kill"],
                "capDrop": ["ALL", "cap_chown"],
                "sysctls": {"net.core.somaxconn": 1.0, "net.ipv4.x": "1 2"},
            }
        },
        {"container": {"configs": ["a", {"name": "b", "target": "/etc/b", "uid": 0, "gid": None, "mode": "0440"}]}},
        {"container": {"ulimits": {"nofile": "1:-1", "core": 0, "nproc": "5", "memlock": {"soft": -1, "hard": -1}}}},
        {"additionalDNSEntries": {"db": "10.0.0.7"}},
    ],
)
def test_the_document_and_the_server_take_the_same(body: dict[str, Any]) -> None:
    given = {"image": "ubuntu:latest", **body}
    assert JOB_FORM.is_valid(given), list(JOB_FORM.iter_errors(given))
    read_job(given, NOW, JobRules(hard_retries=10, hard_timeout=1800))


def test_a_server_s_settings_stand_in_its_document() -> None:
    fields = document(web_settings(hard_retries=2, timezone="Asia/Tokyo"))["components"]["schemas"]["Job"]["properties"]
    assert (fields["retries"]["maximum"], fields["timezone"]["default"]) == (2, "Asia/Tokyo")
    assert "securitySchemes" not in DOCUMENT["components"]
    assert not any("security" in one or "401" in one["responses"] for _, _, one in operations(DOCUMENT))


def test_a_server_with_users_says_how_to_log_in_and_where_nobody_has_to() -> None:
    user = credentials.user("ann", "secret", "admin")
    token = Token(Principal("ci", Role.RUN), b"0" * 32)
    content = document(web_settings(users=(user,), tokens=(token,)))
    assert {scheme["scheme"] for scheme in content["components"]["securitySchemes"].values()} == {"basic", "bearer"}
    open_to_all = {path for path, _, one in operations(content) if one["security"] == []}
    assert open_to_all == {path for path, resource in ROUTES.items() if resource.public}
    assert all({"401", "429"} <= one["responses"].keys() for _, _, one in operations(content) if one["security"])


def references(part: Any) -> Iterator[str]:
    """All that a part of the document refers to."""
    if isinstance(part, dict):
        if isinstance(found := part.get("$ref"), str):
            yield found
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from references(one)


def test_each_reference_of_the_document_leads_to_a_component() -> None:
    found = set(references(DOCUMENT))
    known = {f"#/components/{kind}/{name}" for kind, components in DOCUMENT["components"].items() for name in components}
    assert found
    assert found <= known


def test_every_schema_of_the_document_is_a_json_schema() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        validator_for(schema, default=Draft202012Validator).check_schema(schema)


def _enqueue() -> dict[str, Any]:
    return next(one for _, _, one in operations(DOCUMENT) if one["operationId"] == "enqueue")


def without_meaning(path: str, schema: dict[str, Any]) -> list[str]:
    """The fields of a schema, at every depth, of which nothing is said."""
    found = [f"{path}.{name}" for name, field in schema.get("properties", {}).items() if not field.get("description")]
    parts = [(f"{path}.{name}", field) for name, field in schema.get("properties", {}).items()]
    parts += [
        (path, form) for kind in ("anyOf", "oneOf") for form in schema.get(kind, ()) if "title" not in form
    ]  # those with one are rules
    parts += [(f"{path}[]", schema["items"])] if "items" in schema else []
    return found + [one for place, part in parts for one in without_meaning(place, part)]


def test_every_field_parameter_and_header_has_a_meaning() -> None:
    components = DOCUMENT["components"]
    assert [one for name, schema in components["schemas"].items() for one in without_meaning(name, schema)] == []
    assert [name for name, header in components["headers"].items() if not header["description"]] == []
    assert {"Retry-After", "Idempotent-Replayed", "Fastlane-Truncated", "Accept-Ranges", "Content-Range"} <= components["headers"].keys()
    assert [(path, one["name"]) for path, _, found in operations(DOCUMENT) for one in found["parameters"] if not one["description"]] == []


def test_the_headers_of_answers_stand_where_they_are_sent() -> None:
    by_id = {found["operationId"]: found for _, _, found in operations(DOCUMENT)}
    for id in ("getStdout", "getStderr", "getLogs", "getLogsOfExecution"):
        answers = by_id[id]["responses"]
        assert "Range" in [one["name"] for one in by_id[id]["parameters"]]
        assert {"Content-Range", "Fastlane-Truncated"} <= answers["206"]["headers"].keys()
        assert answers["416"] == {"$ref": "#/components/responses/OutOfRange"}
    assert "Idempotent-Replayed" in by_id["enqueue"]["responses"]["200"]["headers"]
    problems = DOCUMENT["components"]["responses"]
    assert {name for name, response in problems.items() if "Retry-After" in response["headers"]} == {"TooMany", "Unavailable"}
    assert "Content-Range" in problems["OutOfRange"]["headers"]


def test_the_role_of_each_route_is_the_one_that_the_server_asks_for() -> None:
    for path, method, found in operations(DOCUMENT):
        route = ROUTES[path].routes[method]
        if route.access.public:
            assert found["x-role"] is None
            continue
        allowed = [role for role in Role if may(role, method, path, route.access.role)]
        assert found["x-role"] == allowed[0], (path, method)


def may(role: Role, method: str, path: str, write_role: Role | None) -> bool:
    try:
        authorize(Principal("anna", role), method, "t" if "{task_id}" in path else None, write_role)
    except Problem:
        return False
    return True
