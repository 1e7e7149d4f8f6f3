"""What a route says of itself: the names that its query takes, its answers, its refusals.

``operation`` stands above a handler's ``on_get``, ``on_post``, ``on_put`` or ``on_delete``. Requests are checked by it (no other query
name is let by), and the OpenAPI document is made of it; the method's docstring is the summary there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from marshmallow import Schema

from fastlane.web.api.json_schema import FLAG, JsonSchema, integer
from fastlane.web.http.paging import LONGEST_TOKEN, MOST_PAGE, MOST_ROWS

Act = TypeVar("Act", bound=Callable[..., object])

TEXT, EVENTS = "text/plain; charset=utf-8", "text/event-stream"
LONGEST_KEY = 255


@dataclass(frozen=True, slots=True)
class Parameter:
    """A name in a query, or a header: what it means, and its form."""

    description: str
    shape: JsonSchema
    required: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that is no problem: JSON of a schema, or other media. ``headers``: names of those that it may have beside what every
    answer has."""

    description: str
    schemas: Sequence[type[Schema]] = ()
    media: Sequence[str] = ()
    headers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a route. ``id`` is its name in clients that are made of the document; ``refusals`` are the problems that it may answer
    beside those of every route; ``more`` says what its summary does not."""

    id: str
    answers: Mapping[int, Answer]
    query: Mapping[str, Parameter] = field(default_factory=dict)
    headers: Mapping[str, Parameter] = field(default_factory=dict)
    body: type[Schema] | None = None
    refusals: Sequence[int] = ()
    summary: str = ""
    more: str = ""


def operation(
    id: str,
    *schemas: type[Schema],
    answers: Mapping[int, Answer] | None = None,
    query: Mapping[str, Parameter] | None = None,
    headers: Mapping[str, Parameter] | None = None,
    replies: Sequence[str] = (),
    body: type[Schema] | None = None,
    refusals: Sequence[int] = (),
    more: str = "",
) -> Callable[[Act], Act]:
    """Declares what a handler's method does: with 200 it answers one of these schemas, perhaps with the headers ``replies``, or as
    ``answers`` says."""

    def declare(act: Act) -> Act:
        summary = (act.__doc__ or "").strip().rstrip(".")
        given = {200: Answer("What was asked for.", schemas, headers=replies)} if schemas else {}
        declared = Operation(id, {**given, **(answers or {})}, query or {}, headers or {}, body, refusals, summary, more)
        act.__dict__["operation"] = declared
        return act

    return declare


def declared(act: object) -> Operation | None:
    """What a handler's method says of itself, if it does."""
    found = getattr(act, "operation", None)
    return found if isinstance(found, Operation) else None


def query_names(act: object) -> frozenset[str]:
    """The names that may stand in the query of a request that this method answers."""
    found = declared(act)
    return frozenset(found.query) if found else frozenset()


ONCE = {
    "Idempotency-Key": Parameter(
        f"A key of the client's own, {LONGEST_KEY} printable characters at most: the same request again under it, within a day, has no "
        "second effect and gets the same answer.",
        {
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_KEY,
            "pattern": r"^[!-~\u00a1-\u00ac\u00ae-\u00ff](?:[ -~\u00a1-\u00ac\u00ae-\u00ff]*[!-~\u00a1-\u00ac\u00ae-\u00ff])?$",
        },
    )
}
"""The headers of what makes an execution."""
ONCE_REFUSALS = (409, 422)
REPLAYED = ("Idempotent-Replayed",)


def flag(description: str) -> Parameter:
    """Something that is on or off."""
    return Parameter(f"{description} On with 1 or true, off with 0 or false.", FLAG)


def pages(default: str = "10 unless the server's settings say otherwise", most: int = MOST_ROWS) -> dict[str, Parameter]:
    """The query of a list."""
    token = {"type": "string", "pattern": f"^[A-Za-z0-9_-]{{1,{LONGEST_TOKEN}}}$"}
    return {
        "page": Parameter("Which page; one past the end is a 404.", integer(1, MOST_PAGE)),
        "perPage": Parameter(f"How many rows a page has: {default}.", integer(1, most)),
        "after": Parameter("Where a page goes on, as the nextUrl of the one before had it: not made up by clients.", token),
    }
