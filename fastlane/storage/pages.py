"""What stores share about the pages of lists: how much a page may hold, and which part of a list it is."""

from dataclasses import dataclass

from fastlane.errors import Fault, Invalid
from fastlane.models.paging import Window

MAX_TEXT = 16 * 1024 * 1024
"""Characters that the specs of one page may have in total: a thousand jobs with a megabyte each would take all memory, and its JSON keeps
the event loop for a millisecond for each 400 KiB."""

FEW_TASKS, NEAR = 200, 1_000
"""Up to this many visible tasks, and this many rows into the list, each task is walked separately, and the walks are merged."""


class TextBudget:
    """Adds up the specs of a page."""

    def __init__(self) -> None:
        self._left = MAX_TEXT

    def spend(self, text: str) -> None:
        """Raises Invalid when the page has too much."""
        self._left -= len(text)
        if self._left < 0:
            words = f"the rows of this page come to more than {MAX_TEXT >> 20} MiB; ask for fewer of them"
            raise Invalid([Fault("perPage", words)])


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a list: so many rows after so many others, from its beginning or (``backwards``) its end."""

    skip: int
    size: int
    backwards: bool = False


def stretch_of(window: Window, total: int, *, forwards: bool = False) -> Stretch | None:
    """Where the page with the window's number is, from the nearer end (``forwards``: from the beginning); None when it is empty."""
    first, last = window.offset, min(window.offset + window.per_page, total)
    if first >= last:
        return None
    backwards = not forwards and total - last < first
    return Stretch(total - last if backwards else first, last - first, backwards)


def is_near(window: Window, tasks: int) -> bool:
    """Whether to walk each of so many tasks separately."""
    return tasks <= FEW_TASKS and (window.after is not None or window.offset + window.per_page <= NEAR)
