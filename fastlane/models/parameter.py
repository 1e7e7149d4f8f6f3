"""The parameters of a job: values that are given to a run, and reach its container as environment variables. Pure rules.

A pattern is a sequence of single characters and classes, each perhaps repeated. It has no groups and no alternatives, so that the time
that matching takes is at most the number of its parts times the length of the value, whatever somebody writes as either; and both have a
bound.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from fastlane.errors import Fault, quoted
from fastlane.secret_text import SecretText

MAX_PATTERN = 200
MAX_REPEAT = 1000
MAX_PARTS = 64
MAX_MATCHED = 1_024
"""Characters of a value that has a pattern."""
_ATOM = r"\\[dDwWsS]|\\[^A-Za-z0-9]|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[\](){}|*+?^$]"
_PART = re.compile(rf"({_ATOM})(?:([*+?])|\{{([0-9]{{1,4}})(?:(,)([0-9]{{0,4}}))?\}})?", re.DOTALL)
_COUNTS: Mapping[str | None, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1), None: (1, 1)}
PATTERN_FORMS = 'write characters, classes and repetitions, such as "v[0-9]+\\.[0-9]+"; for alternatives there is choices'


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter as its job declares it. ``default``: its value in a run that gives none. A ``required`` one without that must be given.
    ``choices`` (all that it can be; none: anything) and ``pattern`` (what it matches as a whole) restrict it. ``secret``: nobody is shown
    its values."""

    description: str | None = None
    default: str | None = None
    required: bool = False
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    secret: bool = False

    def fault(self, value: str) -> str | None:
        """Why it cannot have this value, which may be secret, so it is not quoted; None when it can."""
        if self.choices and value not in self.choices:
            return "is not one of its choices; a GET of the job shows them"
        if self.pattern is not None and len(value) > MAX_MATCHED:
            return f"is longer than {MAX_MATCHED} characters, as a value with a pattern may not be"
        if self.pattern is not None and not matches(self.pattern, value):
            return f"does not match its pattern, {self.pattern}"
        return None


@lru_cache(maxsize=256)
def _parts(pattern: str) -> tuple[tuple[re.Pattern[str], int, int | None], ...]:
    """The pattern's characters and classes, each with how often it comes at least and at most. Raises ValueError."""
    body = pattern.removeprefix("^")
    body = body.removesuffix("$") if not re.search(r"(?<!\\)(?:\\\\)*\\\$$", body) else body
    found, at = [], 0
    while at < len(body):
        part = _PART.match(body, at)
        if part is None:
            raise ValueError(f"has {quoted(body[at : at + 10])}, which is not understood here; {PATTERN_FORMS}")
        atom, sign, low, comma, high = part.groups()
        least, most = _COUNTS[sign] if low is None else (int(low), int(high) if high else None if comma else int(low))
        if max(least, most or 0) > MAX_REPEAT or (most is not None and most < least):
            raise ValueError(f"repeats {quoted(atom)} in a way that cannot be: write at most {MAX_REPEAT}, and the smaller number first")
        try:
            found.append((re.compile(atom, re.DOTALL), least, most))
        except re.error as error:
            raise ValueError(f"has {quoted(atom)}, which is not a class of characters ({error.msg}); {PATTERN_FORMS}") from None
        at = part.end()
    if len(found) > MAX_PARTS:
        raise ValueError(f"has more than {MAX_PARTS} characters and classes; repeat them, as in [0-9]{{8}}, or leave some out")
    return tuple(found)


def read_pattern(value: object) -> str:
    """Reads a pattern. Raises ValueError with what to write instead."""
    if not isinstance(value, str):
        raise ValueError(f"is not text; {PATTERN_FORMS}")
    if not 1 <= len(value) <= MAX_PATTERN:
        raise ValueError(f"is not 1 to {MAX_PATTERN} characters long; {PATTERN_FORMS}")
    _parts(value)
    return value


def matches(pattern: str, value: str) -> bool:
    """Whether the value as a whole is as the pattern says."""
    ends = [True] + [False] * len(value)
    for atom, least, most in _parts(pattern):
        if True not in ends:
            return False
        fits = [atom.fullmatch(character) is not None for character in value]
        runs = [0] * (len(value) + 1)  # how many characters from here on fit
        for place in range(len(value) - 1, -1, -1):
            runs[place] = runs[place + 1] + 1 if fits[place] else 0
        steps = [0] * (len(value) + 2)
        for place, can_end in enumerate(ends):
            longest = runs[place] if most is None else min(most, runs[place])
            if can_end and least <= longest:
                steps[place + least] += 1
                steps[place + longest + 1] -= 1
        ends = [count > 0 for count in accumulate(steps)][:-1]
    return ends[-1]


def value_faults(parameters: Mapping[str, Parameter], given: Mapping[str, str]) -> Iterator[Fault]:
    """What is wrong with the values that a run is given."""
    for name, value in given.items():
        if name not in parameters:
            known = f"it has: {', '.join(parameters)}" if parameters else "it has none"
            yield Fault(f"parameters.{name[:80]}", f"is not a parameter of this job; {known}")
        elif fault := parameters[name].fault(value):
            yield Fault(f"parameters.{name}", fault)
    for name, parameter in parameters.items():
        if parameter.required and parameter.default is None and name not in given:
            yield Fault(f"parameters.{name}", "is missing; this job's run needs it")


def values_of(parameters: Mapping[str, Parameter], given: Mapping[str, str]) -> dict[str, str]:
    """The value of each parameter that has one: the given one, or else its default."""
    found = {name: given.get(name, parameter.default) for name, parameter in parameters.items()}
    return {name: SecretText(value) if parameters[name].secret else value for name, value in found.items() if value is not None}
