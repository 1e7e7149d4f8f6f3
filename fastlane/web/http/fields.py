"""Reads the fields of objects and lists inside a body, and finds all faults at once. Each fault is named by the path to its field."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from marshmallow import ValidationError

from fastlane.errors import nearest

Reader = Callable[[object], Any]
"""Turns a field into a value. Raises ValueError for a fault, or ValidationError when the field is an object with fields."""

MAX_FAULTS = 50
"""Faults that one answer names. A random body would have a hundred thousand."""


class Faults:
    """The faults of an object's fields, by name, or of a list's items, by index."""

    def __init__(self) -> None:
        self._found: dict[str | int, Any] = {}
        self._count = 0

    @property
    def enough(self) -> bool:
        """Whether an answer can name no more."""
        return self._count >= MAX_FAULTS

    def add(self, field: str | int, messages: Any) -> None:
        """Adds the faults of a field: a list of texts or, for a field with fields, faults by their names."""
        name = field[:80] if isinstance(field, str) else field
        self._found[name] = [*self._found[name], *messages] if name in self._found and isinstance(messages, list) else messages
        self._count += len(messages)

    def read(self, field: str | int, read: Reader, value: object) -> Any:
        """The value of a field; None when it has a fault."""
        try:
            return read(value)
        except ValidationError as error:
            self.add(field, error.messages)
        except ValueError as error:
            self.add(field, [str(error)])
        return None

    def raise_if_any(self) -> None:
        """Raises ValidationError if there are any faults."""
        if self._found:
            raise ValidationError(self._found)


NO_HOMES: Mapping[str, str] = {}


def unknown_field(name: str, known: Collection[str], noun: str, homes: Mapping[str, str]) -> str:
    """The fault of a name that an object does not have. ``homes``: what to write instead of a name that belongs elsewhere, by that name in
    small letters."""
    own = {field.lower() for field in known}
    if name.lower() not in own and (home := homes.get(name.lower())):
        return f"is not a field of {noun}; use {home}"
    near = nearest(name, known)
    hint = f'the nearest is "{near}" (its fields are: {", ".join(known)})' if near else f"its fields are: {', '.join(known)}"
    return f"is not a field of {noun}; {hint}"


def read_fields(
    value: object, readers: Mapping[str, Reader], noun: str, required: tuple[str, ...] = (), homes: Mapping[str, str] = NO_HOMES
) -> dict[str, Any]:
    """The values of an object's fields by name. A null field counts as absent. ``noun`` is what a fault calls the object; ``homes`` as in
    ``unknown_field``."""
    if not isinstance(value, dict):
        raise ValidationError(f'is not an object; write {{"{next(iter(readers))}": …}}')
    faults, found = Faults(), {}
    for name, given in value.items():
        if faults.enough:
            break
        if name not in readers:
            faults.add(name or "(empty)", [unknown_field(name, readers, noun, homes)])
        elif given is not None:
            found[name] = faults.read(name, readers[name], given)
    for name in required:
        if value.get(name) is None:
            faults.add(name, [f"is missing; {noun} needs one"])
    faults.raise_if_any()
    return found


def list_of(read: Reader, most: int, example: str) -> Callable[[object], tuple[Any, ...]]:
    """A reader of lists with at most this many items."""

    def read_list(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValidationError(f"is not a list; write [{example}]")
        if len(value) > most:
            raise ValidationError(f"has more than {most} parts; leave some out")
        faults, found = Faults(), []
        for index, item in enumerate(value):
            if not faults.enough:
                found.append(faults.read(index, read, item))
        faults.raise_if_any()
        return tuple(found)

    return read_list
