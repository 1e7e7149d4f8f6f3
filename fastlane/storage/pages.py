"""Rules for lists that all stores share: the size of a page, its place in the list, the tasks that a caller may see, and the words by which
tasks are found."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from fastlane.errors import Fault, Invalid
from fastlane.models.paging import Window

MAX_TEXT = 16 * 1024 * 1024
"""Characters that the specs of one page may have in total: a thousand jobs with a megabyte each would take all memory, and its JSON keeps
the event loop for a millisecond for each 400 KiB."""

FEW_TASKS, NEAR = 200, 1_000
"""Up to this many visible tasks, and this many rows into the list, each task is walked separately, and the walks are merged."""

MOST_FAILURES = 100_000
"""Failures that a list of failed jobs looks at, the newest ones: more than a job has in a day that fails every second."""

LITERAL = re.compile(r"[A-Za-z0-9_/ -]*")
FIRST_MARK, LAST_MARK = 0x300, 0x331
"""Combining marks. Inside a word they are left out, so that an accent counts as little when it is a character of its own."""


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
    """A part of a list: ``size`` rows after ``skip`` others, from its beginning or (``backwards``) its end."""

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
    """Whether to walk each of this number of tasks separately."""
    return tasks <= FEW_TASKS and (window.after is not None or window.offset + window.per_page <= NEAR)


def literal_start(pattern: str) -> str:
    """A text with which every match of a regular expression begins, as ``re.match`` matches. It may be shorter than it could be, or
    empty."""
    found = LITERAL.match(pattern)
    start = found.group() if found else ""
    rest = pattern[len(start) :]
    if "|" in pattern:
        return ""
    return start[:-1] if rest[:1] in ("*", "?", "{") else start


def after_all_with(start: str) -> str:
    """A text after all that begin with this one; empty for an empty one."""
    return start[:-1] + chr(ord(start[-1]) + 1) if start else ""


def words_of(text: str) -> list[str]:
    """The words of a text, in order, regardless of case and of accents on Latin letters. They are the words of SQLite's tokenizer
    ``unicode61`` with ``remove_diacritics 2`` and the categories L*, N*, Co and So, so that all stores find the same."""
    words, word = [], ""
    for character in text:
        category = unicodedata.category(character)
        if category[0] in "LN" or category in ("Co", "So"):
            word += _folded(character)
        elif not (word and FIRST_MARK <= ord(character) <= LAST_MARK):
            words.append(word)
            word = ""
    return [word for word in (*words, word) if word]


def contains(words: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether the words of a phrase follow each other in ``words``, the last of them as the beginning of a word."""
    *whole, last = phrase
    places = range(len(words) - len(whole))
    return any(list(words[place : place + len(whole)]) == whole and words[place + len(whole)].startswith(last) for place in places)


def _folded(character: str) -> str:
    lower = character.lower()
    base = unicodedata.normalize("NFD", lower)
    return base[0] if base[0].isascii() and all(unicodedata.combining(mark) for mark in base[1:]) else lower
