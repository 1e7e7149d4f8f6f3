"""Compares counts with those that are committed, and says what to do when they differ. Pure, but for the file.

A count that grew fails; one that shrank is to be written down, so that it cannot grow back unnoticed.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOLERANCE = 0.04
"""By how much of the expectation instructions may differ. Runs on one machine differ by 1 % at most, on a busy one too."""
INSTRUCTIONS = "instructions"
ABOUT = "about"

Counts = Mapping[str, Mapping[str, int]]
"""Numbers by what costs them (such as ``enqueue: statements``) and of what."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A count that differs from what was expected: more is a fault, less is good news."""

    of: str
    expected: int
    found: int

    @property
    def is_growth(self) -> bool:
        """Whether it costs more than before."""
        return self.found > self.expected

    def __str__(self) -> str:
        return f"{self.of}: {self.found:,}, expected {self.expected:,} ({(self.found - self.expected) / max(1, self.expected):+.1%})"


def read(file: Path) -> tuple[dict[str, Any], Counts]:
    """What instructions were counted on, and what is expected."""
    document = json.loads(file.read_text())
    return document.pop(ABOUT), document


def write(file: Path, about: Mapping[str, Any], counts: Counts) -> None:
    """Makes these the expectations."""
    file.write_text(json.dumps({ABOUT: about, **counts}, indent=2) + "\n")


def differences(expected: Counts, found: Counts) -> Iterator[Difference]:
    """Each count that differs; one that is missing on a side is 0 there."""
    for group in [*expected, *(group for group in found if group not in expected)]:
        before, now = expected.get(group, {}), found.get(group, {})
        for name in [*before, *(name for name in now if name not in before)]:
            allowed = TOLERANCE * before.get(name, 0) if group == INSTRUCTIONS else 0
            if abs(now.get(name, 0) - before.get(name, 0)) > allowed:
                yield Difference(f"{group}: {name}", before.get(name, 0), now.get(name, 0))
