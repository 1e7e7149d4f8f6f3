"""The contract as OpenAPI 3.1, made from the table of routes, the declarations of their methods, the bodies of requests, and the
serializers of responses. It describes this server under its settings: how to log in, where it has users or tokens, and how many retries it
allows."""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from apispec import APISpec

from fastlane import __version__
from fastlane.config.settings import Settings
from fastlane.models.skip_dates import NAME as CALENDAR_NAME
from fastlane.web.api.actions import ENQUEUED, PROBLEM, WAITED
from fastlane.web.api.body import BodyObject
from fastlane.web.api.contract import EVENTS, ApiParameter, Response
from fastlane.web.api.job import JOB_BODY, JOB_CHANGE_BODY, NEEDED_FIELDS, NEEDED_STARTS, STARTS, SUBJECTS
from fastlane.web.api.json_schema import ANY_DATA, TASK_ID, UUID, JsonSchema
from fastlane.web.api.serializer import Serializer
from fastlane.web.api.webhook_payload import EXECUTION_PAYLOAD, JOB_PAYLOAD
from fastlane.web.routing import PathRoutes, Route

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

PATH_PARAMETERS: Mapping[str, ApiParameter] = {
    "task_id": ApiParameter("The task: up to 255 bytes of UTF-8.", TASK_ID),
    "job_id": ApiParameter("The job.", UUID),
    "execution_id": ApiParameter("The execution.", UUID),
    "delivery_id": ApiParameter("The delivery.", UUID),
    "host": ApiParameter("The host: its id or, where no other host has it, its address.", PLAIN),
    "worker": ApiParameter("The worker's id, as GET /status shows it.", PLAIN),
    "pool": ApiParameter("The pool.", PLAIN),
    "calendar": ApiParameter("The calendar's name.", {"type": "string", "pattern": f"^{CALENDAR_NAME}$"}),
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
    412: ("Changed", "The job or calendar is not in the version that If-Match names."),
    413: ("TooLarge", "The body is too large."),
    416: ("OutOfRange", "The range lies past the end."),
    422: ("KeyReused", "The Idempotency-Key was sent with another request before."),
    426: ("UpgradeRequired", "This route is a WebSocket."),
    429: ("TooMany", "Too many requests, failed logins, tickets or followed logs, or as many executions wait as the pool allows."),
    503: ("Unavailable", "The store or the queue does not answer; nothing is wrong with the request."),
}

HEADERS: Mapping[str, ApiParameter] = {
    "X-Request-Id": ApiParameter(
        "The id of the request: the one that the client sent, if valid, or a new one.", {"type": "string"}, required=True
    ),
    "X-Fastlane-Version": ApiParameter("The server's version.", {"type": "string"}, required=True),
    "Fastlane-Execution-Id": ApiParameter("The execution whose log it is.", UUID),
    "Fastlane-Status": ApiParameter("The execution's status.", {"type": "string"}),
    "Fastlane-Exit-Code": ApiParameter("The exit code, once there is one.", {"type": "integer"}),
    "Fastlane-Truncated": ApiParameter("A part of the log is not there, or not any more.", {"type": "string", "enum": ["true"]}),
    "Idempotent-Replayed": ApiParameter(
        "This is the answer to an earlier request with the same key.", {"type": "string", "enum": ["true"]}
    ),
    "ETag": ApiParameter("The version of the job or calendar, for If-Match; it says nothing of executions.", {"type": "string"}),
    "Accept-Ranges": ApiParameter("bytes: the route takes a Range.", {"type": "string", "enum": ["bytes"]}),
    "Content-Disposition": ApiParameter("The name under which a browser keeps the file.", {"type": "string"}),
    "Location": ApiParameter("Where to continue.", {"type": "string"}),
    "Content-Range": ApiParameter("Which bytes these are.", {"type": "string"}),
    "Retry-After": ApiParameter("Seconds after which to try again.", {"type": "integer", "minimum": 0}),
}

WEBHOOK_HEADERS: Mapping[str, ApiParameter] = {
    "webhook-id": ApiParameter(
        "The delivery's id: the same in every attempt, so that the receiver can tell a repeat.", UUID, required=True
    ),
    "webhook-timestamp": ApiParameter("When this attempt began, in Unix seconds.", {"type": "integer", "minimum": 0}, required=True),
    "webhook-signature": ApiParameter(
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
    "notifying": ("With a webhook for failures", {**SIMPLE, "webhooks": {"fails": [{"url": "https://example.com/hook"}]}}),
    "nightly": ("Each night, by the clocks of a zone", {**SIMPLE, "cron": "30 2 * * *", "timezone": "Europe/Berlin", "overlap": "skip"}),
}


METHODS = ("GET", "PUT", "PATCH", "POST", "DELETE")
OPENAPI = "3.1.0"

Json = dict[str, Any]

ALWAYS = (400, 403, 503)
"""The refusals of every operation."""
WITH_AUTH, LIMITED = (401, 429), (429,)
"""The further refusals of operations that need a login where the server has one, and of all operations except the public ones."""
ON_ALL = ("X-Request-Id", "X-Fastlane-Version")
"""The headers of every response."""

TO_JOB = ("getJob", "getWhy", "getStdout", "getStderr", "getLogs", "stopJob", "retryJob", "runJob")
TO_EXECUTION = ("getExecution", *(f"{one}OfExecution" for one in ("getWhy", "getStdout", "getStderr", "getLogs")), "stopExecution")
"""The operations that take the ids of an enqueue reply."""
STREAM_EVENT: JsonSchema = {"type": "object", "properties": {name: {"type": "string"} for name in ("id", "event", "data")}}
"""One of the events of a stream of them."""
JOB_IDS = {"task_id": "$response.body#/taskId", "job_id": "$response.body#/jobId"}
EXECUTION_IDS = {**JOB_IDS, "execution_id": "$response.body#/executionId"}


class ApiDocument:
    """The document of these routes under these settings. It is made at the first request for it."""

    def __init__(self, routes: Mapping[str, PathRoutes], settings: Settings) -> None:
        self._routes = dict(routes)
        self._settings = settings

    @cached_property
    def content(self) -> Mapping[str, Any]:
        """The document without ``servers``, which depends on the request."""
        about = {"description": ABOUT}
        spec = APISpec("fastlane", __version__, OPENAPI, info=about, tags=_tags())
        self._add_components(spec)
        for path, resource in self._routes.items():
            spec.path(path, parameters=_path_parameters(path), operations=dict(self._operations(path, resource)))
        posts = {
            "executionEnded": _webhook("executionEnded", "when an execution has ended", EXECUTION_PAYLOAD),
            "jobLate": _webhook("jobLate", "when it is late, and when it has recovered", JOB_PAYLOAD),
        }
        content: Json = {**spec.to_dict(), "webhooks": {name: {"post": post} for name, post in posts.items()}}
        return _with_rules(content, self._settings)

    def _add_components(self, spec: APISpec) -> None:
        spec.components.schema("Data", dict(ANY_DATA))
        for serializer in self._serializers():
            spec.components.schema(serializer.name, serializer.schema)
        for body in self._bodies():
            spec.components.schema(body.component, body.schema)
        for name, header in HEADERS.items():
            spec.components.header(name, {"description": header.description, "required": header.required, "schema": dict(header.schema)})
        for name, description in PROBLEMS.values():
            spec.components.response(name, _problem(name, description))
        for id in (*TO_JOB, *TO_EXECUTION):
            spec.components.link(id, {"operationId": id, "parameters": EXECUTION_IDS if id in TO_EXECUTION else JOB_IDS})
        for name, scheme in self._schemes().items():
            spec.components.security_scheme(name, scheme)

    def _serializers(self) -> dict[Serializer[Any], None]:
        """The serializers of all responses. Two of the same name are refused where they are added."""
        responses = [
            response for resource in self._routes.values() for route in _ordered(resource) for response in route.operation.answers.values()
        ]
        answered = (body for response in responses for body in response.bodies)
        bodies: tuple[Serializer[Any], ...] = (PROBLEM, *answered, EXECUTION_PAYLOAD, JOB_PAYLOAD)
        return dict.fromkeys(one for body in bodies for one in body.family())

    def _bodies(self) -> dict[BodyObject, None]:
        """The bodies of all requests, in the order of the routes."""
        found = (route.operation.body for resource in self._routes.values() for route in _ordered(resource))
        return dict.fromkeys(body for body in found if body is not None)

    def _schemes(self) -> dict[str, Json]:
        """How to log in."""
        basic = {"basic": {"type": "http", "scheme": "basic"}} if self._settings.users else {}
        return basic | ({"bearer": {"type": "http", "scheme": "bearer"}} if self._settings.tokens else {})

    def _operations(self, path: str, resource: PathRoutes) -> Iterator[tuple[str, Json]]:
        for route in _ordered(resource):
            yield route.method.lower(), self._operation(path, resource, route)

    def _operation(self, path: str, resource: PathRoutes, route: Route) -> Json:
        found = route.operation
        secured = self._settings.has_auth and not resource.public
        more = (*(WITH_AUTH if secured else ()), *(() if resource.public else LIMITED), *((413,) if found.body else ()))
        refusals = {*ALWAYS, *found.refusals, *more} - set(found.answers)
        responses: Json = {str(status): _response(response) for status, response in found.answers.items()}
        responses |= {str(status): PROBLEMS[status][0] for status in sorted(refusals)}
        parameters = [_parameter(name, "query", parameter) for name, parameter in route.query.items()]
        parameters += [_parameter(name, "header", parameter) for name, parameter in found.headers.items()]
        about: Json = {"operationId": route.id_at(path), "summary": route.summary, "tags": [_tag(path)]}
        if found.more:
            about["description"] = found.more
        about["x-role"] = route.role_at(path)
        if found.body:
            about["requestBody"] = _body(found.body)
        if self._settings.has_auth:
            about["security"] = [{name: []} for name in self._schemes()] if secured else []
        return {**about, "parameters": parameters, "responses": responses}


def _ordered(resource: PathRoutes) -> list[Route]:
    """The routes of a path, in the order of ``METHODS``."""
    return [resource.routes[method] for method in METHODS if method in resource.routes]


def _webhook(id: str, when: str, event: Serializer[Any]) -> Json:
    """The requests that the webhooks of a job get."""
    return {
        "operationId": id,
        "summary": f"Posted to the webhooks of a job {when}",
        "parameters": [_parameter(name, "header", parameter) for name, parameter in WEBHOOK_HEADERS.items()],
        "requestBody": {"required": True, "content": {"application/json": {"schema": dict(event.reference)}}},
        "responses": {"2XX": {"description": "The receiver has it. After anything else it is sent again."}},
    }


def _tags() -> list[Json]:
    return [{"name": name, "description": description} for name, description in TAGS.items()]


def _tag(route: str) -> str:
    if route.endswith(("/stdout", "/stderr", "/logs", "/ws", "/ws-ticket", "/stream")):
        return "logs"
    if "{execution_id}" in route or route.endswith("/executions"):
        return "executions"
    if "{job_id}" in route or route == "/jobs":
        return "jobs"
    return "tasks" if route.startswith(("/tasks", "/search")) else "server"


def _path_parameters(route: str) -> list[Json]:
    return [_parameter(name, "path", PATH_PARAMETERS[name]) for name in re.findall(r"{(\w+)}", route)]


def _parameter(name: str, place: str, parameter: ApiParameter) -> Json:
    required = parameter.required or place == "path"
    return {"name": name, "in": place, "description": parameter.description, "required": required, "schema": dict(parameter.schema)}


def _body(body: BodyObject) -> Json:
    content: Json = {"schema": {"$ref": f"#/components/schemas/{body.component}"}}
    if body in (JOB_BODY, JOB_CHANGE_BODY):
        content["examples"] = {name: {"summary": summary, "value": value} for name, (summary, value) in EXAMPLES.items()}
    return {"required": not body.optional, "content": {"application/json": content}}


def _headers(names: tuple[str, ...]) -> dict[str, str]:
    return {name: name for name in names}


def _response(response: Response) -> Json:
    schemas = [dict(body.reference) for body in response.bodies]
    content: Json = {"application/json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}} if schemas else {}
    content |= {media: {"schema": _media_schema(media)} for media in response.media}
    described: Json = {"description": response.description, "headers": _headers((*ON_ALL, *response.headers))}
    if ENQUEUED in response.bodies or WAITED in response.bodies:
        described["links"] = {id: id for id in (*TO_JOB, *TO_EXECUTION)}
    return described | ({"content": content} if content else {})


def _media_schema(media: str) -> JsonSchema:
    if media == EVENTS:
        return STREAM_EVENT
    return {"type": "object"} if media == "application/json" else {"type": "string"}


def _problem(name: str, description: str) -> Json:
    own = {"TooMany": ("Retry-After",), "Unavailable": ("Retry-After",), "OutOfRange": ("Content-Range",)}
    headers = _headers((*ON_ALL, *own.get(name, ())))
    return {"description": description, "headers": headers, "content": {"application/problem+json": {"schema": dict(PROBLEM.reference)}}}


def _with_rules(content: Json, settings: Settings) -> Json:
    """Adds rules that the fields of a job's schema cannot express: which fields exclude each other, and the server's own limits."""
    job, change = (content["components"]["schemas"][body.component] for body in (JOB_BODY, JOB_CHANGE_BODY))
    job["properties"]["timezone"]["default"] = settings.timezone
    for schema in (job, change):
        schema["properties"]["retries"]["maximum"] = settings.hard_retries
    change["oneOf"] = [_start("as before", None, STARTS), *(_start(f"by {name}", name, {*STARTS} - {name}) for name in STARTS)]
    job["oneOf"] = [
        _start("now", None, (*STARTS, *NEEDED_STARTS)),
        *(_start(f"by {name}", name, {*STARTS, *_not_beside(name)} - {name}) for name in STARTS),
    ]
    job["allOf"] = [{"oneOf": [_subject(name) for name in SUBJECTS]}, _needing("retries")]
    return content


def _needing(other: str) -> Json:
    """The fields that are only valid together with this one. They stand in one rule, and what ``concurrencyKey`` needs in its description
    alone: each further rule doubles the cases that a reader of the schema has to try, and some take no more than a few dozen."""
    names = [name for name, needed in NEEDED_FIELDS.items() if needed == other]
    without = {"title": f"without {', '.join(names)}", "properties": {name: {"type": "null"} for name in names}}
    return {"anyOf": [without, {"title": f"with {other}", "required": [other], "properties": {other: {"not": {"type": "null"}}}}]}


def _subject(name: str) -> Json:
    """What a job runs: an image, or what a service does."""
    others = {other: {"type": "null"} for other in SUBJECTS if other != name}
    return {"title": f"with {name}", "required": [name], "properties": {**others, name: {"type": "string"}}}


def _start(title: str, name: str | None, absent: Any) -> Json:
    """One way in which a job may start. The absent fields may be null, ``manual`` may be false, and ``skipDates`` empty."""
    empty = {"manual": {"enum": [None, False]}, "skipDates": {"enum": [None, []]}}
    properties: Json = {one: empty.get(one, {"type": "null"}) for one in sorted(absent)}
    if name is None:
        return {"title": title, "properties": properties}
    given: Json = {"const": True} if name == "manual" else {"not": {"type": "null"}}
    return {"title": title, "required": [name], "properties": {**properties, name: given}}


def _not_beside(start: str) -> list[str]:
    """The fields that need another start than this."""
    return [name for name, needed in NEEDED_STARTS.items() if start not in needed]
