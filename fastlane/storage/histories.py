"""What a store tells retention of a job."""

from typing import Any

import orjson

from fastlane.models.retention import JobHistory, Retention
from fastlane.storage.documents import FAULTS, unreadable


def job_history(*values: Any) -> JobHistory:
    """The values of ``JobHistory``, with the job's spec in place of the rules in it. Raises Unreadable."""
    *fields, to_come, spec = values
    try:
        fields += [bool(to_come), Retention(**orjson.loads(spec).get("retention", {}))]
        return JobHistory(*fields)
    except FAULTS as error:
        raise unreadable(f"job {values[0]}", error) from error
