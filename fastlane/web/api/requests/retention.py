"""``retention`` in the body that describes a job: how long its history stays."""

from fastlane.models.retention import LEAST_AGE, MOST_EXECUTIONS, Retention, show_age
from fastlane.models.schedule.schedule import read_duration_or_seconds
from fastlane.web.api import json_schema
from fastlane.web.api.container.fields import BodyField, BodyObject
from fastlane.web.api.json_schema import JsonSchema
from fastlane.web.api.requests import readers


def _read_age(value: object) -> int:
    milliseconds = round(read_duration_or_seconds(value) * 1000)
    if milliseconds < LEAST_AGE:
        raise ValueError(f"is too short; the shortest is {show_age(LEAST_AGE)}")
    return milliseconds


def _age(about: str) -> BodyField:
    return BodyField(_read_age, json_schema.AGE, about)


_RETENTION = BodyObject(
    "retention",
    jobs=_age("How long the job stays once it will not run again, with all that it has."),
    executions=_age("How long an execution stays after its end, with its tick and its log; the newest stays."),
    maxExecutions=BodyField(
        readers.integer(1, MOST_EXECUTIONS), json_schema.integer(1, MOST_EXECUTIONS), "How many of the newest executions stay."
    ),
    logs=_age("How long a log stays after the end of its execution."),
)
RETENTION: JsonSchema = {**_RETENTION.schema, "examples": [{"executions": "7d", "maxExecutions": 100, "logs": "1d"}]}


def read_retention(value: object) -> Retention:
    """The job's own rules."""
    given = _RETENTION.read(value)
    return Retention(given.get("jobs"), given.get("executions"), given.get("maxExecutions"), given.get("logs"))
