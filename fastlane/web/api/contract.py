"""What a route declares of itself: the names that its query takes, its responses, its refusals.

``operation`` decorates a handler's methods: ``on_get``, ``on_post``, ``on_put``, ``on_patch``, ``on_delete``. Requests are checked against
it (an unknown query name is refused), and the OpenAPI document is made from it, with the method's docstring as the summary.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, TypeVar

from fastlane.errors import Fault, Invalid
from fastlane.models.ids import IdempotencyKey
from fastlane.models.job import ExpectedVersions, Job
from fastlane.web.api.body import BodyObject
from fastlane.web.api.json_schema import FLAG, JsonSchema, integer
from fastlane.web.api.serializer import Serializer
from fastlane.web.http.query import MAX_PAGE, MAX_ROWS, MAX_TOKEN

Act = TypeVar("Act", bound=Callable[..., object])

TEXT, EVENTS = "text/plain; charset=utf-8", "text/event-stream"
METRICS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A name in a query, or a header: what it means, and its schema."""

    description: str
    schema: JsonSchema
    required: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """A response other than a problem: JSON that one of ``bodies`` makes, or other media. ``headers``: those that it may have in
    addition to the ones that every response has."""

    description: str
    bodies: Sequence[Serializer[Any]] = ()
    media: Sequence[str] = ()
    headers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a route. ``id`` is its name in clients generated from the document. ``refusals`` are the statuses of the problems that it
    may answer in addition to those of every route. ``more`` adds to its summary."""

    id: str
    answers: Mapping[int, Response]
    query: Mapping[str, Parameter] = field(default_factory=dict)
    headers: Mapping[str, Parameter] = field(default_factory=dict)
    body: BodyObject | None = None
    refusals: Sequence[int] = ()
    summary: str = ""
    more: str = ""


IDEMPOTENCY_KEY, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
MAX_KEY = 255
IDEMPOTENCY_HEADERS = {
    IDEMPOTENCY_KEY: Parameter(
        f"A key of the client's own, up to {MAX_KEY} printable characters: the same request sent again under it within a day has no "
        "second effect and gets the same answer.",
        {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_KEY,
            "pattern": r"^[!-~\u00a1-\u00ac\u00ae-\u00ff](?:[ -~\u00a1-\u00ac\u00ae-\u00ff]*[!-~\u00a1-\u00ac\u00ae-\u00ff])?$",
        },
    )
}
IDEMPOTENCY_REFUSALS = (409, 422)

IF_MATCH, ETAG = "If-Match", "ETag"
IF_MATCH_HEADERS = {
    IF_MATCH: Parameter(
        "The job's ETag as the client knows it, or several, or *: if the job is in another version now, nothing happens.",
        {"type": "string", "minLength": 2, "pattern": '^"[!#-~]*"$'},
    )
}


def operation(
    id: str,
    *bodies: Serializer[Any],
    answers: Mapping[int, Response] | None = None,
    query: Mapping[str, Parameter] | None = None,
    body: BodyObject | None = None,
    idempotent: bool = False,
    conditional: bool = False,
    etag: bool = False,
    refusals: Sequence[int] = (),
    more: str = "",
) -> Callable[[Act], Act]:
    """Declares what a handler's method does. With 200 it answers one of ``bodies``, or it answers as ``answers`` says. ``idempotent``: it
    takes an ``Idempotency-Key``; ``conditional``: it takes an ``If-Match``; ``etag``: its answer has an ``ETag``."""

    def declare(act: Act) -> Act:
        summary = (act.__doc__ or "").strip().rstrip(".")
        response = Response("What was asked for.", bodies, headers=(*((REPLAYED,) if idempotent else ()), *((ETAG,) if etag else ())))
        responses = {**({200: response} if bodies else {}), **(answers or {})}
        headers = (IDEMPOTENCY_HEADERS if idempotent else {}) | (IF_MATCH_HEADERS if conditional else {})
        refused = (*refusals, *(IDEMPOTENCY_REFUSALS if idempotent else ()), *((412,) if conditional else ()))
        declared = Operation(id, responses, query or {}, headers, body, refused, summary, more)
        act.__dict__["operation"] = declared
        return act

    return declare


def declared(act: object) -> Operation | None:
    """What a handler's method declares of itself, if anything."""
    found = getattr(act, "operation", None)
    return found if isinstance(found, Operation) else None


def flag(description: str) -> Parameter:
    """A parameter that is on or off."""
    return Parameter(f"{description} On with 1 or true, off with 0 or false.", FLAG)


PRETTY = {"pretty": flag("Indents the answer's JSON, for people.")}
"""The query of every method that answers JSON."""


def query_of(found: Operation) -> Mapping[str, Parameter]:
    """What a request to this method may have in its query."""
    answers_json = any(answer.bodies or "application/json" in answer.media for answer in found.answers.values())
    return {**found.query, **PRETTY} if answers_json else found.query


def query_names(act: object) -> frozenset[str]:
    """The names that a request to this method may have in its query."""
    found = declared(act)
    return frozenset(query_of(found)) if found else frozenset()


def pages(default: str = "10 unless the server's settings say otherwise", most: int = MAX_ROWS) -> dict[str, Parameter]:
    """The query of a list."""
    token = {"type": "string", "pattern": f"^[A-Za-z0-9_-]{{1,{MAX_TOKEN}}}$"}
    return {
        "page": Parameter("Which page, from 1 on; one past the end is a 404.", integer(1, MAX_PAGE)),
        "perPage": Parameter(f"How many rows a page has: {default}; {most:,} at most.", integer(1, most)),
        "after": Parameter("Where the page goes on. It comes with nextUrl; clients do not make it up.", token),
    }


def read_key(headers: Mapping[str, str], user: str | None, body: bytes, *scope: str) -> IdempotencyKey | None:
    """A request's key, which counts only for the same user and ``scope``; None without one. Raises Invalid when it cannot be a key."""
    if IDEMPOTENCY_KEY not in headers:
        return None
    key = headers[IDEMPOTENCY_KEY]
    if not key.strip() or len(key) > MAX_KEY or not key.isprintable():
        words = f"is not 1 to {MAX_KEY} printable characters; send a key that no other request has, such as a new UUID"
        raise Invalid([Fault(IDEMPOTENCY_KEY, words)])
    return IdempotencyKey(_digest("" if user is None else f"user {user}", *scope, key), _digest(body.hex()))


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()


_TAG = r'(?:W/)?"[!#-~]*"'
_TAGS = re.compile(rf"\*|{_TAG}(?:[ \t]*,[ \t]*{_TAG})*")
_OPAQUE = re.compile(r'"([^"]*)"')


def etag(job: Job) -> str:
    """The job's ETag."""
    return f'"{job.version}"'


def read_if_match(headers: Mapping[str, str]) -> ExpectedVersions | None:
    """The versions that a request expects; None without the header. A tag that a proxy made weak (``W/"…"``), because it compressed the
    answer, counts too: ours name a job's version, not an answer's bytes. Raises Invalid."""
    if IF_MATCH not in headers:
        return None
    text = headers[IF_MATCH].strip()
    if not _TAGS.fullmatch(text):
        raise Invalid([Fault(IF_MATCH, f'is not * or an ETag with its quotes; send the one that the GET had: {IF_MATCH}: "…"')])
    return ExpectedVersions(frozenset({"*"} if text == "*" else _OPAQUE.findall(text)))
