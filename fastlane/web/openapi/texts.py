"""What the OpenAPI document says of the API as a whole: its descriptions, tags, parameters, headers, problems, webhooks and examples."""

from collections.abc import Mapping
from typing import Any

from fastlane.web.api.contract import Parameter
from fastlane.web.api.json_schema import TASK_ID, UUID

ABOUT = """\
Runs commands in containers: now, later or on a schedule.

Every path works with or without a trailing slash, `/task/…` is `/tasks/…`, and HEAD works where GET does. A body is a JSON object
whatever the Content-Type says; in it `null` is the same as leaving the field out. Errors are `application/problem+json`: their `detail`
says what to do, and `errors` names every fault of a request at once."""

TAGS = {
    "tasks": "Tasks, the names under which jobs are grouped; and running jobs in them.",
    "jobs": "One job: what to run, and when.",
    "executions": "Attempts at running a job.",
    "logs": "What the containers write.",
    "server": "For the people who operate fastlane.",
}

PLAIN = {"type": "string", "minLength": 1, "pattern": r"^[^/\u0000-\u001f\u007f-\u009f]+$"}
"""Text in a path."""

PATH_PARAMETERS: Mapping[str, Parameter] = {
    "task_id": Parameter("The task: up to 255 bytes of UTF-8.", TASK_ID),
    "job_id": Parameter("The job.", UUID),
    "execution_id": Parameter("The execution.", UUID),
    "delivery_id": Parameter("The delivery.", UUID),
    "host": Parameter(
        "The host: its id or, where no other host has it, its address.",
        {"type": "string", "minLength": 1, "pattern": r"^[^/\u0000-\u001f\u007f-\u009f]+$"},
    ),
    "worker": Parameter("The worker's id, as GET /status shows it.", PLAIN),
    "pool": Parameter("The pool.", PLAIN),
}

PROBLEMS: Mapping[int, tuple[str, str]] = {
    400: ("BadRequest", "The request is not valid; errors names each fault."),
    401: ("Unauthorized", "Log in first: this server has users or tokens."),
    403: (
        "Forbidden",
        "Not allowed: by the policy or the limits of the task's pool (errors names each fault), by the caller's role or tasks, or because "
        "the request comes from a page of another site or names another Host.",
    ),
    404: ("NotFound", "It does not exist."),
    409: ("Conflict", "It conflicts with the current state."),
    412: ("Changed", "The job is not in the version that If-Match names."),
    413: ("TooLarge", "The body is too large."),
    416: ("OutOfRange", "The range lies past the end."),
    422: ("KeyReused", "The Idempotency-Key was sent with another request before."),
    426: ("UpgradeRequired", "This route is a WebSocket."),
    429: ("TooMany", "Too many requests, failed logins, tickets or followed logs, or as many executions wait as the pool allows."),
    503: ("Unavailable", "The store or the queue does not answer; nothing is wrong with the request."),
}

HEADERS: Mapping[str, Parameter] = {
    "X-Request-Id": Parameter(
        "The id of the request: the one that the client sent, if valid, or a new one.", {"type": "string"}, required=True
    ),
    "X-Fastlane-Version": Parameter("The server's version.", {"type": "string"}, required=True),
    "Fastlane-Execution-Id": Parameter("The execution whose log it is.", UUID),
    "Fastlane-Status": Parameter("The execution's status.", {"type": "string"}),
    "Fastlane-Exit-Code": Parameter("The exit code, once there is one.", {"type": "integer"}),
    "Fastlane-Truncated": Parameter("A part of the log is not there, or not any more.", {"type": "string", "enum": ["true"]}),
    "Idempotent-Replayed": Parameter("This is the answer to an earlier request with the same key.", {"type": "string", "enum": ["true"]}),
    "ETag": Parameter("The version of the job, for If-Match; it says nothing of executions.", {"type": "string"}),
    "Location": Parameter("Where to continue.", {"type": "string"}),
    "Content-Range": Parameter("Which bytes these are.", {"type": "string"}),
    "Retry-After": Parameter("Seconds after which to try again.", {"type": "integer", "minimum": 0}),
}

WEBHOOK_HEADERS: Mapping[str, Parameter] = {
    "webhook-id": Parameter("The delivery's id: the same in every attempt, so that the receiver can tell a repeat.", UUID, required=True),
    "webhook-timestamp": Parameter("When this attempt began, in Unix seconds.", {"type": "integer", "minimum": 0}, required=True),
    "webhook-signature": Parameter(
        "Where the pool has secrets: v1, and the base64 of the HMAC-SHA256 of id, timestamp and body, joined by dots, for each secret.",
        {"type": "string"},
    ),
}

SIMPLE = {"image": "ubuntu:latest", "command": "ls -lah"}
EXAMPLES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "now": ("As soon as there is a free worker", SIMPLE),
    "moment": ("At a given time; this one is in the past, which means now", {**SIMPLE, "startAt": 1645113692}),
    "later": ("In five minutes", {**SIMPLE, "startIn": "5m"}),
    "periodically": ("Each minute", {**SIMPLE, "cron": "* * * * *"}),
    "told": ("With a webhook for failures", {**SIMPLE, "webhooks": {"fails": [{"url": "https://example.com/hook"}]}}),
    "nightly": ("Each night, by the clocks of a zone", {**SIMPLE, "cron": "30 2 * * *", "timezone": "Europe/Berlin", "overlap": "skip"}),
}
