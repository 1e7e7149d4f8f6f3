"""The expressions with which logs are searched: they match as Python's do, and no expression takes long."""

import random
import re
import time

import pytest
from hypothesis import given, strategies as st

from fastlane.models.pattern import MOST, MOST_PLACES, MOST_TRANSITIONS, REPEATS, BadPattern, Pattern

ATOMS = st.sampled_from(["a", "b", "_", " ", ".", r"\w", r"\W", r"\d", r"\s", "[ab]", "[^a]", "[b-d_]", r"\.", "é", "^", "$", r"\b"])
COUNTS = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,2}", "{2,}", "*?", "+?"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map("".join)
        | st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})")
        | st.tuples(inner, COUNTS).map(lambda two: f"(?:{two[0]}){two[1]}")
    ),
    max_leaves=8,
)


def found(pattern: Pattern, line: str) -> bool:
    return list(pattern.search(line))[-1] is True


@given(EXPRESSIONS, st.text("abcd_A .é", max_size=10), st.booleans())
def test_a_line_has_a_match_where_pythons_own_engine_finds_one(source: str, line: str, exact: bool) -> None:
    pattern = Pattern(source, exact=exact)
    ours, match = found(pattern, line), re.search(source, line, re.ASCII if exact else re.ASCII | re.IGNORECASE)
    assert ours is (match is not None)
    place = pattern.find(line)
    assert (place is not None) is ours
    if place is not None:
        begin, end = place
        assert re.compile(source, re.ASCII if exact else re.ASCII | re.IGNORECASE).search(line, begin) is not None
        assert 0 <= begin <= end <= len(line)
    if ours:
        data = line.encode()
        assert not data or pattern.contains(data)(0, len(data)) >= 0


@pytest.mark.parametrize(
    ("source", "line", "match"),
    [
        ("b+", "aabbba", (2, 5)),
        ("a|ab|abc", "xabcd", (1, 4)),
        ("^$", "", (0, 0)),
        (r"\bcat\b", "concat cat", (7, 10)),
        ("(?:x|y)z?$", "xzy", (2, 3)),
        ("[]a]+", "x]a]", (1, 4)),
        (r"\x41\u{1F600}", "A\U0001f600", (0, 2)),
        ("a.c", "abd", None),
    ],
)
def test_a_match_is_where_it_begins_and_as_long_as_it_can_be(source: str, line: str, match: tuple[int, int] | None) -> None:
    assert Pattern(source).find(line) == match


def test_the_text_itself_is_searched_whatever_its_characters_mean() -> None:
    assert Pattern("a.c[0]*", is_text=True).find("abc0 a.c[0]*") == (5, 12)
    assert Pattern("ÄB", exact=False).find("xäb") == (1, 3)


@pytest.mark.parametrize("source", ["(a+)+$", "(a*)*c", "(a|a)*c", "a*a*a*a*a*c", "(a|b)*a(a|b){50}c", "(.*)(.*)(.*)(.*)x"])
def test_no_expression_takes_long(source: str) -> None:
    pattern = Pattern(source)
    began = time.process_time()
    assert not found(pattern, "ab" * 10_000 + "-")
    assert pattern.find("ba" * 1_000 + "-") is None
    assert time.process_time() - began < 60  # an engine that goes back would take longer than the universe is old


def test_a_search_pauses_and_what_it_keeps_has_a_bound() -> None:
    pattern = Pattern("(a|b)*a(a|b){40}c")
    line = "".join(random.Random(1).choices("ab", k=20_000))
    assert list(pattern.search(line)).count(None) > 50
    assert sum(len(state.at) for state in pattern._anywhere._states.values()) <= MOST_PLACES + MOST
    assert pattern._anywhere._transitions <= MOST_TRANSITIONS


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "has 0 characters; write 1 to 1000"),
        ("(a", r"has no ) for the ( at character 1; write \( for the character itself"),
        ("a)", r"has no ( for the ) at character 2; write \) for the character itself"),
        ("[a", "has no ] for the ["),
        ("*a", "has nothing to repeat at character 1"),
        ("a**", "has nothing to repeat at character 3"),
        ("a{3,2}", "numbers in the wrong order"),
        (f"a{{{REPEATS + 1}}}", f"{REPEATS} times at most"),
        (f"(?:ab){{{MOST // 2}}}", "is too long"),
        ("((((a{50}){50}){50}){50})", "is too long"),
        ("(?=a)", "knows none of these"),
        (r"(a)\1", "knows none of these"),
        ("a\\", "which has nothing after it"),
        ("[z-a]", "in the wrong order"),
        ("(" * 51 + ")" * 51, "50 groups"),
    ],
)
def test_a_wrong_expression_is_told_in_words(source: str, words: str) -> None:
    with pytest.raises(BadPattern) as error:
        Pattern(source)
    assert words in str(error.value)
