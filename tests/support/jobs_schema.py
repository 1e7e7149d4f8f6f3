"""``fastlane/cli/client/jobs.schema.json``, the JSON schema of the files of ``fastlane apply``. ``generated`` writes it."""

import json
from typing import Any

from fastlane.cli.client.job_file import ONCE, SET_NAME
from fastlane.web.openapi import ApiDocument
from fastlane.web.routes import ROUTES
from tests.support.docs import ROOT
from tests.support.web_settings import web_settings

TARGET = ROOT / "fastlane/cli/client/jobs.schema.json"


def content() -> str:
    """The schema, as text."""
    schemas = ApiDocument(ROUTES, web_settings()).content["components"]["schemas"]
    fields = {name: loose(value) for name, value in schemas["Job"]["properties"].items() if name not in ONCE}
    fields["task"] = {"type": "string", "description": "The task; the job's name unless given."}
    fields["id"] = {"type": "string", "description": "The id of a job that is there: the file takes it over."}
    job = {"type": "object", "properties": fields, "additionalProperties": False}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Schedules for fastlane apply",
        "type": "object",
        "required": ["set", "jobs"],
        "additionalProperties": False,
        "properties": {
            "set": {"type": "string", "pattern": f"^{SET_NAME.pattern}$", "description": "What was applied under it belongs to it."},
            "defaults": {"$ref": "#/$defs/job", "description": "Fields of each job that does not have its own."},
            "jobs": {"type": "object", "additionalProperties": {"$ref": "#/$defs/job"}, "description": "The jobs, by name."},
        },
        "$defs": {"job": job, "Data": {}},
    }
    return json.dumps(schema, indent=2, ensure_ascii=False).replace("#/components/schemas/Data", "#/$defs/Data") + "\n"


RULES = frozenset({"pattern", "not", "minLength", "maxLength", "format"})


def loose(schema: Any) -> Any:
    """The schema without the rules that a text with a variable in it breaks. A property may have the name of such a rule."""
    if isinstance(schema, list):
        return [loose(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: one for key, one in schema.items() if key not in RULES}
    return {key: _loose_part(key, one) for key, one in kept.items()}


def _loose_part(key: str, part: Any) -> Any:
    if key == "properties":
        return {name: loose(one) for name, one in part.items()}
    return part if key == "examples" else loose(part)
