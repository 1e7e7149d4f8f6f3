"""Errors (RFC 9457)."""

from fastlane.errors import Fault
from fastlane.web.api.responses.jobs import JOB_STATUSES
from fastlane.web.api.serializer import Serializer, array, enum, integer, string
from fastlane.web.http.problems import Problem

FAULT = Serializer[Fault](
    "Fault",
    "One thing that is wrong with the request.",
    field=string(lambda fault: fault.field, "A dotted path; empty for the whole."),
    message=string(lambda fault: fault.message, "What to do about it."),
)

PROBLEM = Serializer[Problem](
    "Problem",
    "An error (RFC 9457).",
    type=string(lambda _: "about:blank", "Always about:blank; title and status say what kind it is."),
    title=string(lambda problem: problem.title, "The status in words."),
    status=integer(lambda problem: problem.status, "The HTTP status.", least=400),
    detail=string(lambda problem: problem.detail, "What is wrong and what to do, for people; of several faults, the names of the fields."),
    error=string(lambda problem: problem.detail, "The detail again, for clients of fastlane 2.x."),
    errors=array(FAULT, lambda problem: problem.faults or None, "Every fault by its field, for programs and forms.", optional=True),
    executionStatus=enum(JOB_STATUSES, lambda problem: problem.execution_status, "The status of what has no log yet.", optional=True),
)
