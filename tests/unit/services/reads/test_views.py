"""The text of a log that begins in the middle of a character."""

from hypothesis import given, strategies as st

from fastlane.services.reads.lists import from_whole_character


@given(st.text(max_size=10), st.integers(0, 40))
def test_text_that_is_cut_at_its_start_begins_with_a_whole_character(text, cut):
    data = text.encode()[cut:]
    assert "\ufffd" not in from_whole_character(data).decode(errors="replace").replace("\ufffd", "", text.count("\ufffd"))
