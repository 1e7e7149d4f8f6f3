"""The parameters of jobs: patterns, and which values a run may be given."""

import re
import time

import pytest
from hypothesis import given, strategies as st

from fastlane.models.parameter import MAX_MATCHED, MAX_PARTS, Parameter, matches, read_pattern, value_faults, values_of
from fastlane.secret_text import SecretText

PATTERNS = ["v[0-9]+", "a*b?c+", r"\d{2,3}-\w+", "[^a-c]x{0,2}", r"a{2}\.b{1,}", ".*", "[]a]+", r"[\]a-]?b", "a*a*a*b", r"\$a", r"^a\$$"]


@given(st.sampled_from(PATTERNS), st.text("abcvx019.-]$ü\n", max_size=12))
def test_a_pattern_matches_what_a_regular_expression_does(pattern: str, value: str) -> None:
    assert matches(read_pattern(pattern), value) is (re.fullmatch(pattern, value, re.DOTALL) is not None)


def test_no_value_makes_a_pattern_take_long() -> None:
    began = time.process_time()
    assert not matches(read_pattern("a*" * MAX_PARTS), "a" * 10_000 + "b")
    assert time.process_time() - began < 60  # a backtracking matcher would take longer than the universe is old
    with pytest.raises(ValueError, match="more than 64 characters and classes"):
        read_pattern("a*" * (MAX_PARTS + 1))
    assert "longer than 1024 characters" in str(Parameter(pattern="a*").fault("a" * (MAX_MATCHED + 1)))


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "1 to 200"),
        ("a" * 201, "1 to 200"),
        (5, "is not text"),
        ("(a|b)", "for alternatives there is choices"),
        ("a|b", "'|b'"),
        ("a++", "'+'"),
        ("[a", "'[a'"),
        ("[z-a]", "not a class of characters"),
        ("a{3,2}", "the smaller number first"),
        ("a{2000}", "at most 1000"),
        (r"a\b", r"'\\b'"),
        ("a$b", "'$b'"),
    ],
)
def test_a_pattern_that_is_not_understood_is_named(pattern: object, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        read_pattern(pattern)


DECLARED = {
    "SIZE": Parameter(choices=("small", "large"), default="small"),
    "VERSION": Parameter(pattern="v[0-9]+", required=True),
    "TOKEN": Parameter(secret=True, pattern="t.*"),
}


def test_all_faults_of_the_values_are_found_and_no_value_is_quoted() -> None:
    faults = {one.field: one.message for one in value_faults(DECLARED, {"SIZE": "huge", "TOKEN": "hunter2", "COLOUR": "red"})}
    assert faults.keys() == {"parameters.SIZE", "parameters.TOKEN", "parameters.COLOUR", "parameters.VERSION"}
    assert "it has: SIZE, VERSION, TOKEN" in faults["parameters.COLOUR"]
    assert "is missing" in faults["parameters.VERSION"]
    assert not any(value in words for words in faults.values() for value in ("huge", "hunter2", "red"))


def test_a_run_has_what_it_was_given_and_defaults_and_no_variable_for_the_rest() -> None:
    assert list(value_faults(DECLARED, {"VERSION": "v7"})) == []
    assert values_of(DECLARED, {"VERSION": "v7"}) == {"SIZE": "small", "VERSION": "v7"}
    assert isinstance(values_of(DECLARED, {"TOKEN": "t1"})["TOKEN"], SecretText)
