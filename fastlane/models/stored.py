"""How the parts of a spec are stored as JSON. It follows from the types of their attributes: a new attribute is stored without more.

A spec and its parts are documents of the attributes that differ from the default. Small parts that stand in lists are lists of their
attributes' values. Nothing here knows a database; ``storage`` makes texts of the documents.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields
from enum import StrEnum
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from fastlane.models.container import ConfigFile, Mount, Secret, Ulimit
from fastlane.models.failing import Failing
from fastlane.models.job import JobSource, Spec
from fastlane.models.notify import Mailbox, Webhook

T = TypeVar("T")
Convert = Callable[[Any], Any]

NUMBERS: Mapping[type, tuple[type, ...]] = {float: (int, float)}
"""The types that JSON may have for a type of ours, where it has another."""


class StoredDocument(Generic[T]):
    """A dataclass whose values are stored as documents. ``always``: the attributes that are there even when they are the default.
    ``tolerant``: a document may have attributes that a newer fastlane knows."""

    def __init__(self, kind: type[T], *, always: tuple[str, ...] = (), tolerant: bool = False) -> None:
        forms = _forms(kind)
        defaults = {field.name: _default(field) for field in fields(kind)}  # type: ignore[arg-type]
        rest = [name for name in forms if name not in always]
        self._kind, self._tolerant = kind, tolerant
        self._always = _compiled({name: forms[name][0] for name in always})
        self._rest = [(name, defaults[name], forms[name][0]) for name in rest]
        self._values, self._defaults = _values_of(rest), tuple(defaults[name] for name in rest)
        self._readers = {name: read for name, (_, read) in forms.items()}
        self._needed = frozenset(always)

    def write(self, value: T) -> dict[str, Any]:
        """The document of a value: what orjson takes."""
        document = self._always(value)
        given = self._values(value)
        if given != self._defaults:
            for (name, default, write), own in zip(self._rest, given, strict=True):
                if own != default:
                    document[name] = own if write is None else write(own)
        return document

    def read(self, stored: Mapping[str, Any]) -> T:
        """The value of a document. Raises TypeError, ValueError, LookupError or AttributeError for what it cannot be."""
        readers = self._readers
        found = {name: readers[name](own) for name, own in stored.items() if name in readers}
        if len(found) < len(stored) and not self._tolerant:
            raise TypeError(f"{self._kind.__name__} has no {', '.join(stored.keys() - readers.keys())}")
        if not self._needed <= found.keys():
            raise LookupError(f"{self._kind.__name__} lacks {', '.join(sorted(self._needed - found.keys()))}")
        return self._kind(**found)


class StoredList(Generic[T]):
    """A dataclass whose values are stored as lists of at least ``least`` values. The others are left out while they are None."""

    def __init__(self, kind: type[T], least: int) -> None:
        forms = _forms(kind)
        self._kind, self._least = kind, least
        self._values = _values_of(forms)
        self._writers = [write for write, _ in forms.values()]
        self._readers = [read for _, read in forms.values()]

    def write(self, value: T) -> list[Any]:
        """The list of a value."""
        values = [own if write is None else write(own) for own, write in zip(self._values(value), self._writers, strict=True)]
        while len(values) > self._least and values[-1] is None:
            values.pop()
        return values

    def read(self, stored: Iterable[Any]) -> T:
        """The value of a list. Raises TypeError or ValueError for what it cannot be."""
        values = list(stored)
        if not self._least <= len(values) <= len(self._readers):
            raise TypeError(f"{self._kind.__name__} has {len(self._readers)} values, not {len(values)}")
        return self._kind(*(read(own) for read, own in zip(self._readers, values, strict=False)))


def _values_of(names: Iterable[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Reads these attributes, of which there may be a single one."""
    several = tuple(names)
    if len(several) > 1:
        return attrgetter(*several)
    return lambda value: tuple(getattr(value, name) for name in several)


def _compiled(writers: Mapping[str, Convert | None]) -> Callable[[Any], dict[str, Any]]:
    """One expression that writes all of these attributes: a loop takes twice as long, and each new job is written."""
    parts = [f"{name!r}: value.{name}" if write is None else f"{name!r}: {name}(value.{name})" for name, write in writers.items()]
    compiled: Callable[[Any], dict[str, Any]] = eval(f"lambda value: {{{', '.join(parts)}}}", dict(writers))
    return compiled


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _forms(kind: type) -> dict[str, tuple[Convert | None, Convert]]:
    """What writes and reads each attribute; None: it is written as it is."""
    return {name: _form(hint) for name, hint in get_type_hints(kind).items()}


def _form(hint: Any) -> tuple[Convert | None, Convert]:
    if hint in LISTS:
        return LISTS[hint].write, LISTS[hint].read
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _optional(*(_form(one) for one in inner if one is not NoneType))
    if origin is tuple:
        return _tuple(*_form(inner[0]))
    if hint is Any:
        return None, lambda value: value
    if origin is not None and issubclass(origin, Mapping):
        write, read = _form(inner[1])
        return _mapping_writer(write), _mapping_reader(read)
    if issubclass(hint, StrEnum):
        return None, hint
    if hint in NUMBERS or hint in (str, int, bool):
        return None, _checked(hint)
    document = StoredDocument(hint)
    return document.write, document.read


def _optional(form: tuple[Convert | None, Convert]) -> tuple[Convert | None, Convert]:
    write, read = form
    return write and (lambda value: None if value is None else write(value)), lambda value: None if value is None else read(value)


def _tuple(write: Convert | None, read: Convert) -> tuple[Convert | None, Convert]:
    def read_all(stored: Any) -> Any:
        if not isinstance(stored, list):
            raise TypeError(f"{type(stored).__name__} is not a list")
        return tuple(map(read, stored))

    return write and (lambda values: [write(value) for value in values]), read_all


def _mapping_writer(write: Convert | None) -> Convert:
    return dict if write is None else lambda values: {name: write(value) for name, value in values.items()}


def _mapping_reader(read: Convert) -> Convert:
    return lambda stored: {name: read(value) for name, value in stored.items()}


def _checked(kind: type) -> Convert:
    """Raises TypeError for a value that would fail only where it is used."""
    allowed = NUMBERS.get(kind, (kind,))

    def read(value: Any) -> Any:
        if not isinstance(value, allowed):
            raise TypeError(f"{type(value).__name__} is not {kind.__name__}")
        return value

    return read


LISTS: dict[Any, StoredList[Any]] = {}
"""The parts that are stored as lists."""
LISTS |= {Mount: StoredList(Mount, 5), Secret: StoredList(Secret, 2), Ulimit: StoredList(Ulimit, 2)}
LISTS |= {ConfigFile: StoredList(ConfigFile, 5)}
MAILBOX, WEBHOOK = StoredList(Mailbox, 2), StoredList(Webhook, 4)
LISTS |= {Mailbox: MAILBOX, Webhook: WEBHOOK}
SPEC = StoredDocument(Spec, always=("image", "command", "envs", "metadata"), tolerant=True)
FAILING = StoredDocument(Failing, tolerant=True)
SOURCE = StoredDocument(JobSource, always=("service", "swarm_id", "service_id"), tolerant=True)
