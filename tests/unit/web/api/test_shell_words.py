import shlex
import time

import pytest
from hypothesis import given, strategies as st

from fastlane.web.api.values import read_command, split

SIZE = 64 * 1024


def words(split_text, text):
    """What it gives; None when it refuses the text."""
    try:
        return split_text(text)
    except ValueError:
        return None


@given(st.text(st.sampled_from("ab'\"\\ \t\r\n\x0b\x1c\u00a0#$;é\U0001f600"), max_size=30))
def test_a_command_is_split_as_shlex_splits_it(text):
    assert words(split, text) == words(shlex.split, text)


@pytest.mark.parametrize(
    ("text", "fault"), [("a 'b", "quotation"), ('a "b\\" c', "quotation"), ("a b\\", "escaped"), ('"a" "', "quotation")]
)
def test_what_is_never_closed_is_named(text, fault):
    with pytest.raises(ValueError, match=fault):
        split(text)


def test_a_request_is_read_without_shlex(monkeypatch):
    monkeypatch.setattr(shlex, "shlex", None)
    assert read_command("a 'b c'") == ("a", "b c")


@pytest.mark.parametrize("part", ["'a' ", "a\\ b", "'", '"\\"', "'\"", '"\\', "\\'", "a" * 100 + " 'y z' "])
def test_no_command_keeps_other_requests_waiting(part):
    """Where ``shlex`` takes 30 to 80 ms, and a pattern that tries again and again would take minutes."""
    text = (part * SIZE)[:SIZE]
    began = time.process_time()
    words(split, text)
    assert time.process_time() - began < 1.0
