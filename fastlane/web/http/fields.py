"""Objects and lists inside a body, read part by part so that all faults are found at once; each fault is named by the way to its part."""

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import ValidationError

from fastlane.web.http.query import nearest

Reader = Callable[[object], Any]
"""Makes a value of a part; says what is wrong by a ValueError, or by a ValidationError where the part has parts."""

MOST_FAULTS = 50
"""So many faults one answer names; a body of noise would have a hundred thousand."""


class Faults:
    """What is wrong with the parts of something, by their names or places."""

    def __init__(self) -> None:
        self._found: dict[str | int, Any] = {}
        self._count = 0

    @property
    def enough(self) -> bool:
        """Whether there are as many as one answer names."""
        return self._count >= MOST_FAULTS

    def add(self, part: str | int, messages: Any) -> None:
        """These are wrong with a part: a list of texts, or the same as this by the names of its own parts."""
        name = part[:80] if isinstance(part, str) else part
        self._found[name] = [*self._found[name], *messages] if name in self._found and isinstance(messages, list) else messages
        self._count += len(messages)

    def read(self, part: str | int, read: Reader, value: object) -> Any:
        """What a reader makes of a part; None when that is wrong."""
        try:
            return read(value)
        except ValidationError as error:
            self.add(part, error.messages)
        except ValueError as error:
            self.add(part, [str(error)])
        return None

    def end(self) -> None:
        """Raises ValidationError when there were any."""
        if self._found:
            raise ValidationError(self._found)


def read_parts(value: object, readers: Mapping[str, Reader], noun: str, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object's parts by their names, each as its reader has it; null is the same as an absent one. ``noun``: what a fault calls the
    object."""
    if not isinstance(value, dict):
        raise ValidationError(f'is not an object; write {{"{next(iter(readers))}": …}}')
    faults, found = Faults(), {}
    for name, given in value.items():
        if faults.enough:
            break
        if name not in readers:
            words = f'is not a field of {noun}; the nearest is "{nearest(name, readers)}" (there are: {", ".join(readers)})'
            faults.add(name or "(empty)", [words])
        elif given is not None:
            found[name] = faults.read(name, readers[name], given)
    for name in required:
        if value.get(name) is None:
            faults.add(name, [f"is missing; {noun} needs one"])
    faults.end()
    return found


def list_of(read: Reader, most: int, example: str) -> Callable[[object], tuple[Any, ...]]:
    """A reader of lists of at most so many parts."""

    def read_all(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValidationError(f"is not a list; write [{example}]")
        if len(value) > most:
            raise ValidationError(f"has more than {most} parts; leave some out")
        faults, found = Faults(), []
        for place, part in enumerate(value):
            if not faults.enough:
                found.append(faults.read(place, read, part))
        faults.end()
        return tuple(found)

    return read_all
