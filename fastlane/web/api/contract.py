"""The declarations of routes: names in a query, responses, and the headers of idempotency keys and versions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastlane.errors import Fault, Invalid
from fastlane.models.job import ExpectedVersions, Job
from fastlane.web.api.json_schema import FLAG, JsonSchema, integer
from fastlane.web.api.serializer import Serializer
from fastlane.web.http.query import MAX_PAGE, MAX_ROWS, MAX_TOKEN

TEXT, EVENTS = "text/plain; charset=utf-8", "text/event-stream"
METRICS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ApiParameter:
    """A name in a query, or a header: what it means, and its schema."""

    description: str
    schema: JsonSchema
    required: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """A response other than a problem: JSON that one of ``bodies`` makes, or other media. ``headers``: the headers that it may have in
    addition to the ones of every response."""

    description: str
    bodies: Sequence[Serializer[Any]] = ()
    media: Sequence[str] = ()
    headers: Sequence[str] = ()


IDEMPOTENCY_KEY, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
MAX_KEY = 255
IDEMPOTENCY_HEADERS = {
    IDEMPOTENCY_KEY: ApiParameter(
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
    IF_MATCH: ApiParameter(
        "The job's or calendar's ETag as the client knows it, or several, or *: in another version now, nothing happens.",
        {"type": "string", "minLength": 2, "pattern": '^"[!#-~]*"$'},
    )
}

RANGE_HEADERS = {
    "Range": ApiParameter(
        "Which bytes of the answer: one range, such as bytes=0-99, bytes=100- or bytes=-100. With tail or since, bytes of that part. "
        "Several ranges, other units, and a Range beside If-Range, timestamps or follow get the whole answer.",
        {"type": "string", "examples": ["bytes=0-99"]},
    )
}


def flag(description: str) -> ApiParameter:
    """A parameter that is on or off."""
    return ApiParameter(f"{description} On with 1 or true, off with 0 or false.", FLAG)


def pages(default: str = "10 unless the server's settings say otherwise", most: int = MAX_ROWS) -> dict[str, ApiParameter]:
    """The query of a list."""
    token = {"type": "string", "pattern": f"^[A-Za-z0-9_-]{{1,{MAX_TOKEN}}}$"}
    return {
        "page": ApiParameter("Which page, from 1 on; one past the end is a 404.", integer(1, MAX_PAGE)),
        "perPage": ApiParameter(f"How many rows a page has: {default}; {most:,} at most.", integer(1, most)),
        "after": ApiParameter("Where the page goes on. It comes with nextUrl; clients do not make it up.", token),
    }


def read_key(headers: Mapping[str, str]) -> str | None:
    """The request's idempotency key; None without one. Raises Invalid when it cannot be a key."""
    key = headers.get(IDEMPOTENCY_KEY)
    if key is not None and (not key.strip() or len(key) > MAX_KEY or not key.isprintable()):
        words = f"is not 1 to {MAX_KEY} printable characters; send a key that no other request has, such as a new UUID"
        raise Invalid([Fault(IDEMPOTENCY_KEY, words)])
    return key


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
