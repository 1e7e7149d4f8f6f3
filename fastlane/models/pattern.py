"""Regular expressions whose search takes a time in proportion to the text, whatever they are: all ways through an expression are followed
at once (Thompson's construction, as in RE2), where Python's ``re`` tries one after the other, and could try for hours. So there are no
references to groups, and nothing looks ahead or behind. The log page knows the same expressions (``static/src/log/pattern.ts``). Pure.

The states of a search are made when the text first leads to them, and are kept (a lazy automaton), so that a character costs one look into
a dictionary. What is kept has a bound.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

Test = Callable[[str], bool]

MAX_PATTERN = 1_000
"""Characters of an expression."""
MOST, REPEATS, DEPTH, MOST_ATOMS = 300, 200, 50, 5_000
"""Instructions of an expression, times that a part is repeated, groups in each other, and parts that are read: a part is read again each
time that it is repeated."""
MOST_PLACES, MOST_TRANSITIONS = 50_000, 50_000
"""Instructions that all kept states name together, and transitions between these states: some MB. Beyond them, all are made anew."""
MOST_TEXTS = 16
"""Texts of which each match contains one."""
STEP = 256
"""Characters after which a search may pause: each costs 300 instructions at most, where no state is known."""
UNKNOWN = "has a reference to a group, looks ahead or behind, or has \\p{…}; a search knows none of these"
TOO_LONG = "is too long once it is read; leave out repetitions, or make them smaller"


class BadPattern(ValueError):
    """What is wrong with an expression, after its name."""


class Edge(Enum):
    """A place in a line that an expression asks for."""

    BEGIN = "^"
    END = "$"
    WORD = "\\b"
    NO_WORD = "\\B"


@dataclass(frozen=True, slots=True)
class One:
    """One character that passes the test. ``text``: which one it is, if it can be only this one."""

    test: Test
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Sequence:
    """Parts that follow each other."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Parts of which one is there."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part that is there from ``least`` to ``most`` times; None: any number of times."""

    part: "Node"
    least: int
    most: int | None


Node = One | Sequence | Alternatives | Repeat | Edge


def is_word(character: str) -> bool:
    """Whether it is part of a word: an ASCII letter or digit, or a low line."""
    return character == "_" or (character.isascii() and character.isalnum())


def _is_digit(character: str) -> bool:
    return "0" <= character <= "9"


def _not(test: Test) -> Test:
    return lambda character: not test(character)


_CLASSES: dict[str, Test] = {
    "d": _is_digit,
    "D": _not(_is_digit),
    "w": is_word,
    "W": _not(is_word),
    "s": str.isspace,
    "S": _not(str.isspace),
}
_CONTROLS = {"t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "0": "\0"}
_COUNTS = re.compile(r"[*+?]|\{([0-9]{1,4})(?:(,)([0-9]{1,4})?)?\}", re.ASCII)
_AGAIN = re.compile(r"[*+?]|\{[0-9]", re.ASCII)
_GROUP = re.compile(r"\?(?::|<[A-Za-z_]\w*>)", re.ASCII)
_HEX = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|u\{([0-9A-Fa-f]{1,6})\}", re.ASCII)


def _cases(character: str) -> frozenset[str]:
    """A character in each case that it has."""
    return frozenset(one for one in (character, character.lower(), character.upper()) if len(one) == 1)


class _Reader:
    """Reads an expression. Raises BadPattern."""

    def __init__(self, source: str, *, exact: bool) -> None:
        self._source = source
        self._exact = exact
        self._at = 0
        self._depth = 0

    def read(self) -> Node:
        found = self._choice()
        if self._at < len(self._source):
            raise BadPattern(f"has no ( for the ) at character {self._at + 1}; write \\) for the character itself")
        return found

    @property
    def _next(self) -> str:
        return self._source[self._at : self._at + 1]

    def _choice(self) -> Node:
        parts = [self._sequence()]
        while self._next == "|":
            self._at += 1
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Alternatives(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._next not in ("", "|", ")"):
            parts.append(self._repeated())
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _repeated(self) -> Node:
        part = self._atom()
        counts = _COUNTS.match(self._source, self._at)
        if counts is None:
            return part
        self._at = counts.end()
        least, most = self._numbers(counts)
        if self._next == "?":
            self._at += 1  # a shorter match is a match as well
        if _AGAIN.match(self._source, self._at):
            raise BadPattern(f"has nothing to repeat at character {self._at + 1}; write \\{self._next} for the character itself")
        return Repeat(part, least, most)

    def _numbers(self, counts: re.Match[str]) -> tuple[int, int | None]:
        if counts[1] is None:
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[counts[0]]
        least = int(counts[1])
        most = int(counts[3]) if counts[3] is not None else None if counts[2] else least
        if most is not None and least > most:
            raise BadPattern(f"has {counts[0]}, with its numbers in the wrong order")
        if max(least, most or 0) > REPEATS:
            raise BadPattern(f"has {counts[0]}, which is too often: {REPEATS} times at most")
        return least, most

    def _atom(self) -> Node:
        begin, next = self._at, self._next
        self._at += 1
        if next == "(":
            return self._group(begin)
        if next == "[":
            return One(self._set(begin))
        if next == ".":
            return One(lambda character: character != "\n")
        if next in "^$":
            return Edge(next)
        if next == "\\":
            return self._escaped()
        if next in "*+?":
            raise BadPattern(f"has nothing to repeat at character {self._at}; write \\{next} for the character itself")
        return self._literal(next)

    def _group(self, begin: int) -> Node:
        self._depth += 1
        if self._depth > DEPTH:
            raise BadPattern(f"has more than {DEPTH} groups in each other")
        head = _GROUP.match(self._source, self._at)
        if head is not None:
            self._at = head.end()
        elif self._next == "?":
            raise BadPattern(UNKNOWN)
        found = self._choice()
        if self._next != ")":
            raise BadPattern(f"has no ) for the ( at character {begin + 1}; write \\( for the character itself")
        self._at += 1
        self._depth -= 1
        return found

    def _escaped(self) -> Node:
        if self._next in ("b", "B"):
            self._at += 1
            return Edge("\\" + self._source[self._at - 1])
        found = self._escape()
        return self._literal(found) if isinstance(found, str) else One(found)

    def _escape(self) -> str | Test:
        """The class or the character after a backslash."""
        next = self._next
        if not next:
            raise BadPattern("ends with a \\, which has nothing after it; write \\\\ for the character itself")
        if next in "123456789kpP":
            raise BadPattern(UNKNOWN)
        if next in _CLASSES:
            self._at += 1
            return _CLASSES[next]
        if (hex := _HEX.match(self._source, self._at)) is not None:
            self._at = hex.end()
            return chr(min(0x10FFFF, int(hex[1] or hex[2] or hex[3], 16)))
        self._at += 1
        return _CONTROLS.get(next, next)

    def _set(self, begin: int) -> Test:
        is_not = self._next == "^"
        self._at += is_not
        tests: list[Test] = []
        while self._next != "]" or not tests:
            if not self._next:
                raise BadPattern(f"has no ] for the [ at character {begin + 1}; write \\[ for the character itself")
            tests.append(self._member())
        self._at += 1

        def some(character: str) -> bool:
            cases = (character,) if self._exact else _cases(character)
            return any(test(one) for test in tests for one in cases)

        return _not(some) if is_not else some

    def _member(self) -> Test:
        """A character, a range or a class inside of brackets."""
        low = self._member_end()
        if not isinstance(low, str):
            return low
        if self._next != "-" or self._source[self._at + 1 : self._at + 2] in ("]", ""):
            return lambda character: character == low
        self._at += 1
        high = self._member_end()
        if not isinstance(high, str):
            return lambda character: character in (low, "-") or high(character)
        if high < low:
            raise BadPattern("has a range in brackets in the wrong order")
        return lambda character: low <= character <= high

    def _member_end(self) -> str | Test:
        next = self._next
        self._at += 1
        if next != "\\":
            return next
        if self._next == "b":
            self._at += 1
            return "\b"
        return self._escape()

    def _literal(self, wanted: str) -> One:
        if self._exact:
            return One(wanted.__eq__, wanted)
        cases = _cases(wanted)
        return One(cases.__contains__, wanted if wanted.isascii() else None)


Split = tuple[int, int]
Instruction = Test | Edge | Split | None
"""A character's test, an edge, two ways to go on, or the end of a match."""


class _Compiler:
    """Makes the instructions of an expression, for reading it forwards or backwards. Raises BadPattern."""

    def __init__(self, *, backwards: bool) -> None:
        self.program: list[Instruction] = []
        self._backwards = backwards
        self._atoms = 0

    def compile(self, node: Node) -> tuple[Instruction, ...]:
        self._add(node)
        self._emit(None)
        return tuple(self.program)

    def _emit(self, instruction: Instruction) -> int:
        if len(self.program) >= MOST:
            raise BadPattern(TOO_LONG)
        self.program.append(instruction)
        return len(self.program) - 1

    def _add(self, node: Node) -> None:
        self._atoms += 1
        if self._atoms > MOST_ATOMS:
            raise BadPattern(TOO_LONG)
        match node:
            case One(test):
                self._emit(test)
            case Edge():
                turned = {Edge.BEGIN: Edge.END, Edge.END: Edge.BEGIN}
                self._emit(turned.get(node, node) if self._backwards else node)
            case Sequence(parts):
                for part in reversed(parts) if self._backwards else parts:
                    self._add(part)
            case Alternatives(parts):
                self._choice(parts)
            case Repeat(part, least, most):
                self._repeat(part, least, most)

    def _choice(self, parts: tuple[Node, ...]) -> None:
        ends = []
        for part in parts[:-1]:
            split = self._emit(None)
            self._add(part)
            ends.append(self._emit(None))
            self.program[split] = (split + 1, len(self.program))
        self._add(parts[-1])
        for end in ends:
            self.program[end] = (len(self.program), len(self.program))

    def _repeat(self, part: Node, least: int, most: int | None) -> None:
        for _ in range(least):
            self._add(part)
        if most is None:
            loop = self._emit(None)
            self._add(part)
            self._emit((loop, loop))
            self.program[loop] = (loop + 1, len(self.program))
            return
        leaves = []
        for _ in range(most - least):
            leaves.append(self._emit(None))
            self._add(part)
        for leave in leaves:
            self.program[leave] = (leave + 1, len(self.program))


class _State(dict[str, "_State"]):
    """Where the search of a line may be: the next state by the next character. ``at``: the instructions to follow;
    ``is_begin``: nothing comes before; ``before_word``: what comes before is part of a word. ``matched``: a match was found, and whatever
    follows changes nothing."""

    __slots__ = ("at", "before_word", "is_begin", "machine", "matched")

    def __init__(self, machine: "_Machine", at: frozenset[int], *, is_begin: bool, before_word: bool) -> None:
        super().__init__()
        self.machine = machine
        self.at = at
        self.is_begin = is_begin
        self.before_word = before_word
        self.matched = False

    def __missing__(self, character: str) -> "_State":
        return self if self.matched else self.machine.step(self, character)


class _Machine:
    """A lazy automaton. ``anywhere``: a match may begin at any character, and the first one ends the search; else at the first character
    only."""

    def __init__(self, program: tuple[Instruction, ...], *, anywhere: bool) -> None:
        self._program = program
        self._anywhere = anywhere
        self._states: dict[tuple[frozenset[int], bool, bool], _State] = {}
        self._transitions = self._places = 0
        self._found = _State(self, frozenset(), is_begin=False, before_word=False)
        self._found.matched = True

    def begin(self, before: str | None) -> _State:
        """The state before the first character, which comes after this one; None: there is none."""
        return self._state(frozenset({0}), is_begin=before is None, before_word=before is not None and is_word(before))

    def step(self, state: _State, character: str) -> _State:
        """Makes the next state."""
        reached, is_match = self._closure(state, character)
        word = is_word(character)
        if is_match and self._anywhere:
            following = self._found
        else:
            at = {place + 1 for place, test in reached if test(character)}
            if self._anywhere:
                at.add(0)
            following = self._state(frozenset(at), is_begin=False, before_word=word)
        if self._transitions >= MOST_TRANSITIONS:
            self._forget()
        self._transitions += 1
        state[character] = following
        return following

    def matches_at(self, state: _State, following: str | None) -> bool:
        """Whether a match ends here, before this character (None: at the end of the line)."""
        return state.matched or self._closure(state, following)[1]

    def _state(self, at: frozenset[int], *, is_begin: bool, before_word: bool) -> _State:
        key = (at, is_begin, before_word)
        found = self._states.get(key)
        if found is None:
            if self._places >= MOST_PLACES:
                self._forget()
            self._places += len(at) + 1
            found = self._states[key] = _State(self, at, is_begin=is_begin, before_word=before_word)
        return found

    def _forget(self) -> None:
        """Lets all states go. The one that a search is in goes on, without what it knew."""
        for state in self._states.values():
            state.clear()
        self._states.clear()
        self._transitions = self._places = 0

    def _closure(self, state: _State, following: str | None) -> tuple[list[tuple[int, Test]], bool]:
        """The instructions that take the next character, with their tests, and whether a match ends before it."""
        is_edge = state.before_word != (following is not None and is_word(following))
        holds = {Edge.BEGIN: state.is_begin, Edge.END: following is None, Edge.WORD: is_edge, Edge.NO_WORD: not is_edge}
        open, seen, reached, is_match = list(state.at), set(state.at), list[tuple[int, Test]](), False
        while open:
            place = open.pop()
            instruction = self._program[place]
            if instruction is None:
                is_match = True
                continue
            if isinstance(instruction, tuple):
                ways: Iterable[int] = instruction
            elif isinstance(instruction, Edge):
                ways = (place + 1,) if holds[instruction] else ()
            else:
                reached.append((place, instruction))
                continue
            for way in ways:
                if way not in seen:
                    seen.add(way)
                    open.append(way)
        return reached, is_match


class Pattern:
    """An expression to search lines with. ``exact``: upper and lower case differ. ``is_text``: the expression is the text itself. Raises
    BadPattern, whose words follow the expression's name."""

    def __init__(self, source: str, *, exact: bool = True, is_text: bool = False) -> None:
        if not 1 <= len(source) <= MAX_PATTERN:
            raise BadPattern(f"has {len(source)} characters; write 1 to {MAX_PATTERN}")
        node = _Reader(re.sub(r"(\W)", r"\\\1", source, flags=re.ASCII) if is_text else source, exact=exact).read()
        forwards, backwards = (_Compiler(backwards=way).compile(node) for way in (False, True))
        self._anywhere = _Machine(forwards, anywhere=True)
        self._forwards = _Machine(forwards, anywhere=False)
        self._backwards = _Machine(backwards, anywhere=False)
        self._folds = not exact
        texts = sorted(text.encode() for text in _needed(node))
        self._needed = [text.lower() for text in texts] if self._folds else texts
        self._any_needed = re.compile(b"|".join(map(re.escape, self._needed)))  # texts alone, so that nothing can be tried for long

    def contains(self, data: bytes) -> Callable[[int, int], int]:
        """A function that finds, between two places of these bytes, the first at which a match may be; -1: there is none. It knows some
        texts of which each match contains one; without them, it finds the first place."""
        if not self._needed:
            return lambda start, end: start if start < end else -1
        searched = data.lower() if self._folds else data
        if len(self._needed) == 1:
            return lambda start, end: searched.find(self._needed[0], start, end)

        def first(start: int, end: int) -> int:
            found = self._any_needed.search(searched, start, end)
            return -1 if found is None else found.start()

        return first

    def search(self, line: str) -> Iterator[bool | None]:
        """Whether there is a match in the line: the last value. Each None before it is a pause, after some characters."""
        state = self._anywhere.begin(None)
        for start in range(0, len(line), STEP):
            for character in line[start : start + STEP]:
                state = state[character]
            if state.matched:
                break
            yield None
        yield self._anywhere.matches_at(state, None)

    def find(self, line: str) -> tuple[int, int] | None:
        """Where a match begins and ends. It is the one that begins first among the matches that end first, as long as it can be."""
        state, end = self._anywhere.begin(None), len(line)
        for at, character in enumerate(line):
            state = state[character]
            if state.matched:
                end = at
                break
        else:
            if not self._anywhere.matches_at(state, None):
                return None
        before = line[end] if end < len(line) else None
        begin = end - (_longest(self._backwards, line[:end][::-1], before) or 0)
        length = _longest(self._forwards, line[begin:], line[begin - 1] if begin else None)
        return begin, begin + (length or 0)


def _longest(machine: _Machine, text: str, before: str | None) -> int | None:
    """How many of the first characters the longest match has; None: there is no match."""
    state, found = machine.begin(before), None
    for at, character in enumerate(text):
        if machine.matches_at(state, character):
            found = at
        state = state[character]
        if not state.at:
            return found
    return len(text) if machine.matches_at(state, None) else found


def _needed(node: Node) -> frozenset[str]:
    """Texts of which each match contains one: few and long ones, if possible. Empty: nothing is known."""
    match node:
        case One(_, text):
            return frozenset() if text is None else frozenset({text})
        case Repeat(part, least, _):
            return _needed(part) if least else frozenset()
        case Alternatives(parts):
            texts = [_needed(part) for part in parts]
            joined = frozenset[str]().union(*texts)
            return joined if all(texts) and len(joined) <= MOST_TEXTS else frozenset()
        case Sequence(parts):
            return max(_needed_of_each(parts), key=lambda texts: min(map(len, texts), default=0), default=frozenset())
        case _:
            return frozenset()


def _needed_of_each(parts: "tuple[Node, ...]") -> Iterator[frozenset[str]]:
    """The texts of which each match of a part contains one, for each part; characters that follow each other are one text."""
    run = ""
    for part in parts:
        if isinstance(part, One) and part.text is not None:
            run += part.text
            yield frozenset({run})
        elif not isinstance(part, Edge):
            run = ""
            yield _needed(part)
