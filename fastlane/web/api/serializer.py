"""One declaration of each JSON object that the API answers with: its JSON and its schema in the OpenAPI document both come from it.

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

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, Generic, TypeVar

from fastlane.clock import iso
from fastlane.web.api.json_schema import JsonSchema, nullable
from fastlane.web.api.render_context import RenderContext

Value = TypeVar("Value")
Part = TypeVar("Part")

Json = dict[str, Any]


class Form(Enum):
    """How a field's reader is called, and where its result goes."""

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


EXPANDED = (Form.FLATTENED, Form.VARIANT)


@dataclass(frozen=True, slots=True)
class Field(Generic[Value]):
    """A key of an object: the schema of its value, how the value is read, and the serializer of the objects in it, if it has any."""

    schema: JsonSchema
    read: Callable[..., Any]
    form: Form = Form.PLAIN
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
            "required": [key for key, field in fields.items() if field.form is not Form.OPTIONAL],
            "additionalProperties": any(field.form is Form.VARIANT for field in self._fields.values()),
        }

    def family(self) -> "Iterator[Serializer[Any]]":
        """This serializer and those of the objects inside, at every depth."""
        yield self
        for _, field in self.flat_fields():
            if field.inner is not None:
                yield from field.inner.family()

    def flat_fields(self) -> Iterator[tuple[str, Field[Any]]]:
        """The fields by their keys in the JSON: those of a flattened object in place of that object."""
        for key, field in self._fields.items():
            if field.form in EXPANDED and field.inner is not None:
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
        call = f"read{number}(value)" if field.form is Form.PLAIN else f"read{number}(value, render)"
        if field.form in EXPANDED:
            parts.append(f"**{call}")
        elif field.form is Form.OPTIONAL:
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


def uuid(read: Callable[[Value], str | None], about: str = "", *, null: bool = False) -> Field[Value]:
    """A UUID."""
    return string(read, about, null=null, format="uuid")


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


def number(read: Callable[[Value], float | None], about: str) -> Field[Value]:
    """A number of 0 or more, or null."""

    def show(value: Value) -> float | None:
        found = read(value)
        return found if found is None or isinstance(found, int) or not found.is_integer() else int(found)

    return _plain(show, {"type": "number", "minimum": 0}, about, null=True)


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


def strings(read: Callable[[Value], Iterable[str]], about: str = "", **more: Any) -> Field[Value]:
    """A list of text."""
    return _plain(lambda value: list(read(value)), {"type": "array", "items": {"type": "string", **more}}, about)


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

    return Field(schema, show, Form.OPTIONAL if optional else Form.RENDERED)


def message(read: Callable[[Value], str], envs: Callable[[Value], Mapping[str, str]], about: str) -> Field[Value]:
    """A message that may quote environment variables: their secret values are redacted."""
    return _rendered(lambda value, render: render.redaction.message(read(value), envs(value)), {"type": "string"}, about)


def rendered_text(read: Callable[[Value, RenderContext], str | None], about: str) -> Field[Value]:
    """Text that depends on the request, or null."""
    return _rendered(read, {"type": "string"}, about, null=True)


def rendered(read: Callable[[Value, RenderContext], Any], schema: JsonSchema, about: str) -> Field[Value]:
    """Anything that depends on the request; no key where it is None."""
    return Field(_described(schema, about), read, Form.OPTIONAL)


def nested(inner: Serializer[Part], read: Callable[[Value], Part | None], *, null: bool = False, optional: bool = False) -> Field[Value]:
    """An object."""
    serialize = inner.serialize

    def show(value: Value, render: RenderContext) -> Json | None:
        part = read(value)
        return None if part is None else serialize(part, render)

    schema = {"anyOf": [inner.reference, {"type": "null"}]} if null else inner.reference
    return Field(schema, show, Form.OPTIONAL if optional else Form.RENDERED, inner)


def array(
    inner: Serializer[Part], read: Callable[[Value], Iterable[Part] | None], about: str = "", *, optional: bool = False
) -> Field[Value]:
    """A list of objects."""
    serialize = inner.serialize

    def show(value: Value, render: RenderContext) -> list[Json] | None:
        parts = read(value)
        return None if parts is None else [serialize(part, render) for part in parts]

    schema = _described({"type": "array", "items": inner.reference}, about)
    return Field(schema, show, Form.OPTIONAL if optional else Form.RENDERED, inner)


def table(inner: Serializer[Part], read: Callable[[Value], Mapping[str, Part]], about: str) -> Field[Value]:
    """An object whose keys are data and whose values are objects."""

    def show(value: Value, render: RenderContext) -> dict[str, Json]:
        return {name: inner.serialize(part, render) for name, part in read(value).items()}

    schema = _described({"type": "object", "additionalProperties": inner.reference}, about)
    return Field(schema, show, Form.RENDERED, inner)


def flattened(inner: Serializer[Part], read: Callable[[Value], Part]) -> Field[Value]:
    """The keys of another object, in this place. The field's own key is not used."""
    serialize = inner.serialize
    return Field({}, lambda value, render: serialize(read(value), render), Form.FLATTENED, inner)


def variants(read: Callable[[Value], Any], known: Mapping[type, Mapping[str, Field[Any]]]) -> Field[Value]:
    """The keys that belong to the type of a part, in this place; none for None. The field's own key is not used. The schema has the keys of
    all types, requires none of them, and allows others, so that types may be added."""
    serializers = {kind: _compiled(fields) for kind, fields in known.items()}

    def show(value: Value, render: RenderContext) -> Json:
        part = read(value)
        return {} if part is None else serializers[type(part)](part, render)

    keys = {key: replace(field, form=Form.OPTIONAL) for fields in known.values() for key, field in fields.items()}
    return Field({}, show, Form.VARIANT, Serializer("", "", **keys))


def _plain(
    read: Callable[[Value], Any], schema: Mapping[str, Any], about: str = "", null: bool = False, optional: bool = False
) -> Field[Value]:
    schema = _described(nullable(schema) if null else schema, about)
    return Field(schema, (lambda value, _: read(value)), Form.OPTIONAL) if optional else Field(schema, read)


def _rendered(read: Callable[[Value, RenderContext], Any], schema: Mapping[str, Any], about: str, null: bool = False) -> Field[Value]:
    return Field(_described(nullable(schema) if null else schema, about), read, Form.RENDERED)


def _described(schema: JsonSchema, about: str) -> JsonSchema:
    return {**schema, "description": about} if about else schema
