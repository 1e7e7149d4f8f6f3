"""The lines of a log by which a job says something to fastlane, in the form of GitHub Actions: ``::set-output NAME=VALUE``,
``::error::WORDS`` and others. A scanner is fed with the pieces of a stored log in their order, and knows the outputs and the first error
of all that it was fed with, however the log was cut into pieces. All is pure.
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import compress

from fastlane.models.log import STDERR, STDOUT, Piece

MAX_OUTPUTS = 16 * 1024
"""Bytes of the names and values of an execution's outputs, in all."""
MAX_DROPPED = 20
"""Names of outputs that were dropped and are kept."""
MAX_LINE = 64 * 1024
"""Bytes of a line that is read. No longer one is an output; of an error, this much is read."""
MAX_ERROR = 300
"""The longest first error, in characters."""
VARIABLE = "FASTLANE_OUTPUT_"
"""How the names of variables with outputs begin."""

START = b"::"
_NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,99}"
_FORMS = (re.compile(rf"::set-output name=({_NAME})::(.*)", re.DOTALL), re.compile(rf"::set-output ({_NAME})=(.*)", re.DOTALL))
"""GitHub's form, and the short one."""
_ERROR = re.compile(r"::error(?: .*?)?::(.*)", re.DOTALL)
_ESCAPED = re.compile("%(25|0D|0A)", re.IGNORECASE)
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
_HIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of an execution by name, in the order in which they were last set. ``dropped``: the names of
    outputs for which there was no room, ``MAX_DROPPED`` at most."""

    values: Mapping[str, str]
    dropped: Sequence[str] = ()


def environment_of_outputs(values: Mapping[str, str]) -> dict[str, str]:
    """The variables by which another job has these outputs. Of names that make the same variable, the one that was set last counts."""
    return {VARIABLE + name.upper().replace("-", "_"): value for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class LogFindings:
    """What a log says to fastlane: the outputs, and the first error in one line; None where there is none."""

    outputs: Outputs | None = None
    error: str | None = None


NO_FINDINGS = LogFindings()


class LogScanner:
    """Reads the commands in a log. It holds the outputs, and of each stream no more than the beginning of a line that may be a command."""

    def __init__(self) -> None:
        self._begun: dict[int, bytes | None] = {STDOUT: b"", STDERR: b""}
        self._values: dict[str, str] = {}
        self._size = 0
        self._dropped: dict[str, None] = {}
        self._error: str | None = None

    def feed(self, pieces: Sequence[Piece]) -> None:
        """Reads on. Nearly all logs have no command: then this looks at each stream as a whole, and at no single line."""
        if not pieces:
            return
        if len(pieces) == 1:
            stream, _, data = pieces[0]
            self._take(stream, data) if self._may_have_command(stream, data) else self._pass_by(stream, data)
            return
        numbers, texts = [piece.stream for piece in pieces], [piece.data for piece in pieces]
        if numbers.count(numbers[0]) == len(numbers):
            streams = {numbers[0]: b"".join(texts)}
        else:
            streams = {one: b"".join(compress(texts, map(one.__eq__, numbers))) for one in (STDOUT, STDERR)}
        if any([self._may_have_command(stream, data) for stream, data in streams.items()]):
            for stream, _, data in pieces:  # in the order of arrival, since the last value counts
                self._take(stream, data)
        else:
            for stream, data in streams.items():
                self._pass_by(stream, data)

    def end_lines(self) -> None:
        """Reads the lines whose ends have not come as if they had."""
        for stream in (STDOUT, STDERR):
            self._take(stream, b"\n")

    @property
    def findings(self) -> LogFindings:
        """What it has read, if the log ends here: the last lines count without their ends, too."""
        if any(begun is not None and begun.startswith(START) for begun in self._begun.values()):
            ended = deepcopy(self)
            ended.end_lines()
            return ended.findings
        outputs = Outputs(dict(self._values), tuple(self._dropped)) if self._values or self._dropped else None
        return NO_FINDINGS if outputs is None and self._error is None else LogFindings(outputs, self._error)

    def _may_have_command(self, stream: int, data: bytes) -> bool:
        begun = self._begun[stream]
        return bool(begun) or (begun is not None and data.startswith(START)) or b"\n::" in data

    def _pass_by(self, stream: int, data: bytes) -> None:
        """Notes where the last line begins. No line of this text is a command, but its last one may become one."""
        line_end = data.rfind(b"\n")
        if line_end >= 0:
            self._begun[stream] = _beginning(data[line_end + 1 : line_end + 3])
        elif data and self._begun[stream] is not None:
            self._begun[stream] = _beginning(data[:2])

    def _take(self, stream: int, data: bytes) -> None:
        first, *rest = data.split(b"\n")
        begun = self._begun[stream]
        line = None if begun is None else begun + first
        for following in rest:
            if line is not None and line.startswith(START):
                self._read(line)
            line = following
        self._begun[stream] = None if line is None else _beginning(line)

    def _read(self, line: bytes) -> None:
        text = line[:MAX_LINE].decode(errors="replace").removesuffix("\r")
        if text.startswith("::set-output "):
            found = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
            if found is not None:
                self._set(found[1], _HIDDEN.sub("", _unescaped(found[2])) if len(line) <= MAX_LINE else None)
        elif self._error is None and text.startswith("::error") and (found := _ERROR.fullmatch(text)):
            self._error = _one_line(_unescaped(found[1])) or None

    def _set(self, name: str, value: str | None) -> None:
        """Keeps an output in place of an earlier one of that name; None: it is too long. Without room for it, there is none of that
        name: an old value must not be taken for the new one."""
        before = self._values.pop(name, None)
        self._size -= 0 if before is None else _size(name, before)
        self._dropped.pop(name, None)
        if value is not None and self._size + _size(name, value) <= MAX_OUTPUTS:
            self._values[name] = value
            self._size += _size(name, value)
        elif len(self._dropped) < MAX_DROPPED:
            self._dropped[name] = None


def _beginning(line: bytes) -> bytes | None:
    """What is kept of the beginning of a line; None for one that is no command."""
    return line[: MAX_LINE + 1] if START.startswith(line[:2]) else None


def _size(name: str, value: str) -> int:
    return len(name) + len(value.encode())


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "%" in text else text


def _one_line(words: str) -> str:
    line = " ".join(_HIDDEN.sub(" ", _SEQUENCE.sub("", words)).split())
    line = "".join(sign if sign.isprintable() else "\ufffd" for sign in line)
    return line if len(line) <= MAX_ERROR else f"{line[: MAX_ERROR - 1]}…"
