"""Whatever the document allows of ``resources`` and ``container`` is read: bodies made from the schemas alone, as clients make them."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies as st
from jsonschema import Draft202012Validator
from schemathesis.config import SchemathesisConfig

from fastlane.errors import Fault, Invalid
from fastlane.web.api.container import CONTAINER_SCHEMA, HOSTS, RESOURCES_SCHEMA
from fastlane.web.api.job_body import JobRules, read_job
from tests.http.fuzzing import is_in_table

SCHEMAS = {"resources": RESOURCES_SCHEMA, "container": CONTAINER_SCHEMA, "additionalDNSEntries": HOSTS}


@cache
def values(name: str) -> st.SearchStrategy[Any]:
    """Values that this schema allows, but for the empty one."""
    body = {"required": True, "content": {"application/json": {"schema": {**SCHEMAS[name], "minProperties": 1}}}}
    paths = {"/x": {"post": {"requestBody": body, "responses": {"200": {"description": "x"}}}}}
    document = {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "paths": paths}
    operation = schemathesis.openapi.from_dict(document, config=SchemathesisConfig())["/x"]["POST"]
    return operation.as_strategy().map(lambda case: case.body)


def faults_of(body: dict[str, Any]) -> Sequence[Fault]:
    """What the server has against it."""
    try:
        read_job(body, 0, JobRules(hard_retries=10, hard_timeout=1800))
    except Invalid as error:
        return error.faults
    return ()


@settings(suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from(sorted(SCHEMAS)))
def test_what_the_schema_allows_is_read_but_for_what_no_schema_can_say(data: st.DataObject, name: str) -> None:
    value = data.draw(values(name))
    assert [str(fault) for fault in faults_of({"image": "ubuntu", name: value}) if not is_in_table(fault.field, fault.message)] == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_s_examples_are_valid(name: str) -> None:
    for example in SCHEMAS[name].get("examples", ()):
        assert Draft202012Validator(SCHEMAS[name]).is_valid(example)
        read_job({"image": "ubuntu", name: example}, 0, JobRules(hard_retries=10, hard_timeout=1800))
