"""``fastlane/cli/client/jobs.schema.json``: the JSON schema of the files of ``fastlane apply``, from that of a job in the OpenAPI document.

To write it: ``python -m tests.support.jobs_schema``.
"""

import json
from typing import Any

from fastlane.cli.client.job_file import ONCE, SET_NAME
from fastlane.web.openapi import Document
from fastlane.web.routes import ROUTES
from tests.support.docs import ROOT
from tests.support.web_settings import web_settings

TARGET = ROOT / "fastlane/cli/client/jobs.schema.json"


def content() -> str:
    """The schema, as text."""
    schemas = Document(ROUTES, web_settings()).content["components"]["schemas"]
    fields = {name: loose(value) for name, value in schemas["Job"]["properties"].items() if name not in ONCE}
    fields["task"] = {"type": "string", "description": "The task; the job's name unless given."}
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


def loose(value: Any) -> Any:
    """The schema without the rules that a text with a variable in it breaks."""
    if isinstance(value, dict):
        return {key: loose(one) for key, one in value.items() if key not in ("pattern", "not", "minLength", "maxLength", "format")}
    return [loose(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    TARGET.write_text(content(), "utf-8")
