"""The words of a text, by which tasks are found, for stores that do not split texts themselves.

They are those of SQLite's tokenizer ``unicode61`` with ``remove_diacritics 2`` and the categories L*, N*, Co and So, so that all stores
find the same.
"""

import unicodedata
from collections.abc import Sequence

FIRST_MARK, LAST_MARK = 0x300, 0x331
"""Combining marks. Inside a word they are left out, so that an accent counts as little when it is a character of its own."""


def words_of(text: str) -> list[str]:
    """The words of a text, in order, regardless of case and of accents on Latin letters."""
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
