"""Declares each JSON object in the API's answers once: its JSON and its schema in the OpenAPI document both follow from that.

A ``Serializer`` is a table of fields. Each field's line has its key, its type, its description, and where its value comes from::

    TASK = Serializer[Task](
        "Task",
        "A task in a list.",
        taskId=string(lambda task: task.id),
        createdAt=timestamp(lambda task: task.created_at, "When its first job was made."),
        url=url(lambda task, render: render.task_url(task.id), "Where its jobs are listed."),
    )

Keys keep their order. A key is always there and its value is not null, unless the field says ``null`` or ``optional``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from fastlane.clock import iso
from fastlane.models.job import Spec
from fastlane.models.paging import Page
from fastlane.redaction import redaction_of
from fastlane.services.reads.lists import ExecutionView, FailedJobView, JobDetail, JobView, TaskView
from fastlane.web.api.json_schema import JsonSchema, nullable
from fastlane.web.http.query import ListUrl


class RenderContext:
    """Belongs to one request. ``base`` is the URL before every path. ``redaction`` are the rules of ``redact_words``."""

    def __init__(self, base: str, redact_words: Sequence[str]) -> None:
        self._base = base
        self.redaction = redaction_of(tuple(redact_words))

    def dispatch_url(self) -> str:
        """The base of the URLs that pause and resume all dispatch."""
        return f"{self._base}/dispatch/"

    def pool_url(self, pool: str) -> str:
        """The URL of a pool."""
        return f"{self._base}/pools/{quote(pool, safe='')}/"

    def calendar_url(self, name: str) -> str:
        """The URL of a calendar."""
        return f"{self._base}/calendars/{quote(name, safe='')}/"

    def task_url(self, task_id: str) -> str:
        """The URL of a task."""
        return f"{self._base}/tasks/{_quoted(task_id)}/"

    def job_url(self, task_id: str, job_id: str) -> str:
        """The URL of a job."""
        return f"{self._base}/tasks/{_quoted(task_id)}/jobs/{job_id}/"

    def execution_url(self, task_id: str, job_id: str, execution_id: str) -> str:
        """The URL of an execution."""
        return f"{self._base}/tasks/{_quoted(task_id)}/jobs/{job_id}/executions/{execution_id}/"

    def resource_url(self, task_id: str, job_id: str | None = None, execution_id: str | None = None) -> str:
        """The URL of an execution; of a job, without an execution; of a task, without both."""
        if job_id is None:
            return self.task_url(task_id)
        return self.job_url(task_id, job_id) if execution_id is None else self.execution_url(task_id, job_id, execution_id)

    def page_url(self, task_id: str, job_id: str, execution_id: str | None = None) -> str:
        """The page of the console that shows an execution; of a job, without an execution."""
        page = f"{self._base}/console/tasks/{_quoted(task_id)}/jobs/{job_id}"
        return page if execution_id is None else f"{page}/executions/{execution_id}"

    def log_page_url(self, task_id: str, job_id: str, execution_id: str) -> str:
        """The page with an execution's log."""
        return f"{self.execution_url(task_id, job_id, execution_id)}stream"


@lru_cache(maxsize=1024)
def _quoted(task_id: str) -> str:
    """A task id as a part of a path. Remembered, because the rows of a page often have the same one."""
    return quote(task_id, safe="")


Value = TypeVar("Value")
Part = TypeVar("Part")

Json = dict[str, Any]


class FieldPlacement(Enum):
    """The ways to call a field's reader and to place its result."""

    PLAIN = auto()
    """``read(value)``"""
    RENDERED = auto()
    """``read(value, context)``"""
    OPTIONAL = auto()
    """``read(value, context)``; when that is None there is no key."""
    FLATTENED = auto()
    """``read(value, context)`` gives several keys with their values."""
    VARIANT = auto()
    """As FLATTENED, but which keys there are depends on the value."""


EXPANDED = (FieldPlacement.FLATTENED, FieldPlacement.VARIANT)


@dataclass(frozen=True, slots=True)
class Field(Generic[Value]):
    """A key of an object: the schema of its value, how the value is read, and the serializer of the objects in it, if it has any."""

    schema: JsonSchema
    read: Callable[..., Any]
    placement: FieldPlacement = FieldPlacement.PLAIN
    inner: "Serializer[Any] | None" = None


class Serializer(Generic[Value]):
    """Makes JSON objects of values, and describes them. ``name`` is the schema's name in the OpenAPI document."""

    serialize: Callable[[Value, RenderContext], Json]
    """Makes the JSON object for a value."""

    def __init__(self, name: str, description: str, /, **fields: Field[Value]) -> None:
        self.name = name
        self.description = description
        self._fields = fields
        self.serialize = _compiled(fields)

    @property
    def reference(self) -> JsonSchema:
        """How other schemas name this one."""
        return {"$ref": f"#/components/schemas/{self.name}"}

    @property
    def schema(self) -> Json:
        """The object as JSON Schema."""
        fields = dict(self.flat_fields())
        return {
            "type": "object",
            "description": self.description,
            "properties": {key: dict(field.schema) for key, field in fields.items()},
            "required": [key for key, field in fields.items() if field.placement is not FieldPlacement.OPTIONAL],
            "additionalProperties": any(field.placement is FieldPlacement.VARIANT for field in self._fields.values()),
        }

    def family(self) -> "Iterator[Serializer[Any]]":
        """Yields this serializer and the serializers of the objects inside, at every depth."""
        yield self
        for _, field in self.flat_fields():
            if field.inner is not None:
                yield from field.inner.family()

    def flat_fields(self) -> Iterator[tuple[str, Field[Any]]]:
        """Yields the fields by their keys in the JSON; a flattened object's fields stand in its place."""
        for key, field in self._fields.items():
            if field.placement in EXPANDED and field.inner is not None:
                yield from field.inner.flat_fields()
            else:
                yield key, field


def _compiled(fields: Mapping[str, Field[Value]]) -> Callable[[Value, RenderContext], Json]:
    """One expression that reads all fields, such as ``{"id": read0(value), "url": read1(value, render)}``. A loop over the fields takes
    twice as long, and a page may have 1,000 rows."""
    names: dict[str, Any] = {}
    parts = []
    for number, (key, field) in enumerate(fields.items()):
        names[f"read{number}"] = field.read
        call = f"read{number}(value)" if field.placement is FieldPlacement.PLAIN else f"read{number}(value, render)"
        if field.placement in EXPANDED:
            parts.append(f"**{call}")
        elif field.placement is FieldPlacement.OPTIONAL:
            parts.append(f"**({{}} if (found := {call}) is None else {{{key!r}: found}})")
        else:
            parts.append(f"{key!r}: {call}")
    compiled: Callable[[Value, RenderContext], Json] = eval(f"lambda value, render: {{{', '.join(parts)}}}", names)
    return compiled


# the types of fields


def string(
    read: Callable[[Value], str | None], about: str = "", *, null: bool = False, optional: bool = False, **more: Any
) -> Field[Value]:
    """Text."""
    return _plain(read, {"type": "string", **more}, about, null, optional)


def uuid(read: Callable[[Value], str | None], about: str = "", *, null: bool = False, optional: bool = False) -> Field[Value]:
    """A UUID."""
    return string(read, about, null=null, optional=optional, format="uuid")


def enum(known: Iterable[str], read: Callable[[Value], str | None], about: str = "", *, optional: bool = False) -> Field[Value]:
    """One of a few words."""
    return string(read, about, optional=optional, enum=[str(word) for word in known])


def timestamp(read: Callable[[Value], int | None], about: str, *, null: bool = False, optional: bool = False) -> Field[Value]:
    """Milliseconds, shown as ISO 8601 in UTC."""

    def show(value: Value) -> str | None:
        moment = read(value)
        return None if moment is None else iso(moment)

    return string(show, about, null=null, optional=optional, format="date-time", examples=["2022-02-17T16:01:32.000Z"])


def integer(
    read: Callable[[Value], int | None], about: str = "", *, null: bool = False, optional: bool = False, least: int | None = 0
) -> Field[Value]:
    """A whole number of at least ``least`` (None: any)."""
    return _plain(read, {"type": "integer", **({} if least is None else {"minimum": least})}, about, null, optional)


def number(read: Callable[[Value], float | None], about: str, *, null: bool = True) -> Field[Value]:
    """A number of 0 or more, or null."""

    def show(value: Value) -> float | None:
        found = read(value)
        return found if found is None or isinstance(found, int) or not found.is_integer() else int(found)

    return _plain(show, {"type": "number", "minimum": 0}, about, null)


def seconds(read: Callable[[Value], int | None], about: str) -> Field[Value]:
    """Milliseconds or null, shown as seconds."""

    def show(value: Value) -> float | None:
        milliseconds = read(value)
        if milliseconds is None:
            return None
        return milliseconds / 1000 if milliseconds % 1000 else milliseconds // 1000

    return _plain(show, {"type": "number", "minimum": 0}, about, null=True)


def boolean(read: Callable[[Value], bool | None], about: str = "", *, null: bool = False, optional: bool = False) -> Field[Value]:
    """True or false."""
    return _plain(read, {"type": "boolean"}, about, null, optional)


def strings(read: Callable[[Value], Iterable[str] | None], about: str = "", *, optional: bool = False, **more: Any) -> Field[Value]:
    """A list of text."""

    def show(value: Value) -> list[str] | None:
        found = read(value)
        return None if found is None else list(found)

    return _plain(show, {"type": "array", "items": {"type": "string", **more}}, about, optional=optional)


def strings_if_any(read: Callable[[Value], Iterable[str]], about: str = "") -> Field[Value]:
    """A list of text, which is absent when it is empty."""
    return _plain(lambda value: list(read(value)) or None, {"type": "array", "items": {"type": "string"}}, about, optional=True)


def mapping(
    read: Callable[[Value], Mapping[str, Any] | None], about: str = "", *, values: JsonSchema | None = None, optional: bool = False
) -> Field[Value]:
    """An object whose keys are data. ``values``: the schema of its values."""
    return _plain(read, {"type": "object", "additionalProperties": values or {}}, about, optional=optional)


def url(read: Callable[[Value, RenderContext], str | None], about: str, *, null: bool = False) -> Field[Value]:
    """An absolute URL."""
    return _rendered(read, {"type": "string", "format": "uri"}, about, null)


def envs(read: Callable[[Value], Mapping[str, str]], *, optional: bool = False) -> Field[Value]:
    """Environment variables; secrets are redacted. ``optional``: no key where there are none."""
    schema = _described(
        {"type": "object", "additionalProperties": {"type": "string"}},
        "A secret's value, and the password of a URL, are shown as ********.",
    )

    def show(value: Value, render: RenderContext) -> Mapping[str, str] | None:
        return render.redaction.envs(read(value)) or (None if optional else {})

    return Field(schema, show, FieldPlacement.OPTIONAL if optional else FieldPlacement.RENDERED)


def message(read: Callable[[Value], str], envs: Callable[[Value], Mapping[str, str]], about: str) -> Field[Value]:
    """A message that may quote environment variables: their secret values are redacted."""
    return _rendered(lambda value, render: render.redaction.message(read(value), envs(value)), {"type": "string"}, about)


def rendered_text(read: Callable[[Value, RenderContext], str | None], about: str) -> Field[Value]:
    """Text that depends on the request, or null."""
    return _rendered(read, {"type": "string"}, about, null=True)


def rendered(
    read: Callable[[Value, RenderContext], Any], schema: JsonSchema, about: str, *, null: bool = False, always: bool = False
) -> Field[Value]:
    """Anything that depends on the request. Where it is None, there is no key, or null if ``null`` says so; ``always``: it never is."""
    if null or always:
        return _rendered(read, schema, about, null)
    return Field(_described(schema, about), read, FieldPlacement.OPTIONAL)


def nested(
    inner: Serializer[Part], read: Callable[[Value], Part | None], about: str = "", *, null: bool = False, optional: bool = False
) -> Field[Value]:
    """An object. Its meaning is the object's own unless ``about`` says more."""
    serialize = inner.serialize

    def show(value: Value, render: RenderContext) -> Json | None:
        part = read(value)
        return None if part is None else serialize(part, render)

    schema = _described({"anyOf": [inner.reference, {"type": "null"}]} if null else inner.reference, about or inner.description)
    return Field(schema, show, FieldPlacement.OPTIONAL if optional else FieldPlacement.RENDERED, inner)


def array(
    inner: Serializer[Part], read: Callable[[Value], Iterable[Part] | None], about: str = "", *, optional: bool = False
) -> Field[Value]:
    """A list of objects."""
    serialize = inner.serialize

    def show(value: Value, render: RenderContext) -> list[Json] | None:
        parts = read(value)
        return None if parts is None else [serialize(part, render) for part in parts]

    each = f"Each: {inner.description[:1].lower()}{inner.description[1:]}"
    schema = _described({"type": "array", "items": inner.reference}, about or each)
    return Field(schema, show, FieldPlacement.OPTIONAL if optional else FieldPlacement.RENDERED, inner)


def table(inner: Serializer[Part], read: Callable[[Value], Mapping[str, Part]], about: str) -> Field[Value]:
    """An object whose keys are data and whose values are objects."""

    def show(value: Value, render: RenderContext) -> dict[str, Json]:
        return {name: inner.serialize(part, render) for name, part in read(value).items()}

    schema = _described({"type": "object", "additionalProperties": inner.reference}, about)
    return Field(schema, show, FieldPlacement.RENDERED, inner)


def flattened(inner: Serializer[Part], read: Callable[[Value], Part]) -> Field[Value]:
    """The keys of another object, in this place. The field's own key is not used."""
    serialize = inner.serialize
    return Field({}, lambda value, render: serialize(read(value), render), FieldPlacement.FLATTENED, inner)


def variants(read: Callable[[Value], Any], known: Mapping[type, Mapping[str, Field[Any]]]) -> Field[Value]:
    """The keys for the type of a part, in this place; none for None. The field's own key is not used. The schema has the keys of all types,
    requires none of them, and allows others, so that types may be added."""
    serializers = {kind: _compiled(fields) for kind, fields in known.items()}

    def show(value: Value, render: RenderContext) -> Json:
        part = read(value)
        return {} if part is None else serializers[type(part)](part, render)

    keys = {key: replace(field, placement=FieldPlacement.OPTIONAL) for fields in known.values() for key, field in fields.items()}
    return Field({}, show, FieldPlacement.VARIANT, Serializer("", "", **keys))


def _plain(
    read: Callable[[Value], Any], schema: Mapping[str, Any], about: str = "", null: bool = False, optional: bool = False
) -> Field[Value]:
    schema = _described(nullable(schema) if null else schema, about)
    return Field(schema, (lambda value, _: read(value)), FieldPlacement.OPTIONAL) if optional else Field(schema, read)


def _rendered(read: Callable[[Value, RenderContext], Any], schema: Mapping[str, Any], about: str, null: bool = False) -> Field[Value]:
    return Field(_described(nullable(schema) if null else schema, about), read, FieldPlacement.RENDERED)


def _described(schema: JsonSchema, about: str) -> JsonSchema:
    return {**schema, "description": about} if about else schema


LINK = Serializer[tuple[str, ...]](
    "Link",
    "The id and the URL of something.",
    id=string(lambda ids: ids[-1], "Its id."),
    url=url(lambda ids, render: render.resource_url(*ids), "Where it is read."),
)
"""Serializes the ids of a task, of its job, and of the job's execution, as far as they are given: the last one names the resource."""


LONG_LIST = 50
"""Rows that take long to render: a thousand jobs take 30 ms, and more when they are large."""
LONG_COMMAND = 10_000
"""Characters of a command that take long: each argument is quoted, and searched for passwords. 256 KiB take up to 0.1 s."""

View = TypeVar("View")
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Listing(Generic[View]):
    """The answer of a list's route: ``view`` has the page's rows, and may have more. ``list`` makes the URLs of the pages before and
    after."""

    list: ListUrl
    page: Page[Any]
    view: View

    @property
    def takes_long(self) -> bool:
        """Whether it takes long to render: because of its length, logs, long commands, or messages that are searched for secrets."""
        return len(self.page.rows) >= LONG_LIST or any(map(_takes_long, (self.view, *self.page.rows)))


def _takes_long(row: object) -> bool:
    if isinstance(row, JobDetail):
        return _is_long(row.view.job.spec)
    if isinstance(row, ExecutionView):
        return (
            row.stdout is not None or row.execution.failure is not None or row.execution.outputs is not None or _is_long(row.execution.spec)
        )
    if isinstance(row, JobView):
        return (row.latest is not None and row.latest.failure is not None) or _is_long(row.job.spec)
    if isinstance(row, TaskView):
        return row.summary.latest is not None and row.summary.latest.failure is not None
    return isinstance(row, FailedJobView)


def _is_long(spec: Spec) -> bool:
    return sum(map(len, spec.command or ())) > LONG_COMMAND


PAGE = Serializer[Listing[Any]](
    "Page",
    "The place of a page in its list.",
    total=integer(lambda listing: listing.page.total, "Rows in the whole list."),
    page=integer(lambda listing: listing.page.window.page, "This page's number; the first is 1.", least=1),
    pages=integer(lambda listing: listing.page.pages, "The number of pages; 1 for an empty list.", least=1),
    perPage=integer(lambda listing: listing.page.window.per_page, "The most rows that a page has.", least=1),
    hasNext=boolean(lambda listing: listing.page.next is not None, "Whether there is a page after this one."),
    hasPrev=boolean(lambda listing: listing.page.window.page > 1, "Whether there is a page before this one."),
    nextUrl=url(lambda listing, _: listing.list.next_url(listing.page), "The next page, at the same cost however far it is.", null=True),
    prevUrl=url(lambda listing, _: listing.list.prev_url(listing.page), "The page before.", null=True),
)


def pagination() -> Field[Listing[Any]]:
    """The keys of ``PAGE``, merged into the page's object."""
    return flattened(PAGE, lambda listing: listing)


def page_of(name: str, description: str, row: Serializer[Row]) -> Serializer[Listing[Page[Row]]]:
    """A page that consists only of its rows."""
    rows: Callable[[Listing[Page[Row]]], tuple[Row, ...]] = lambda listing: listing.page.rows  # noqa: E731
    return Serializer(name, description, items=array(row, rows), page=pagination())
