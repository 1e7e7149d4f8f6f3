"""Which tasks a caller may see: those whose id a regular expression matches from its start, as ``re.match`` does."""

import re

LITERAL = re.compile(r"[A-Za-z0-9_/ -]*")


def literal_start(pattern: str) -> str:
    """A text with which every match of a regular expression begins. It may be shorter than it could be, or empty."""
    found = LITERAL.match(pattern)
    start = found.group() if found else ""
    rest = pattern[len(start) :]
    if "|" in pattern:
        return ""
    return start[:-1] if rest[:1] in ("*", "?", "{") else start


def after_all_with(start: str) -> str:
    """A text after all that begin with this one; empty for an empty one."""
    return start[:-1] + chr(ord(start[-1]) + 1) if start else ""
