"""What may be a task's id."""

import pytest
from hypothesis import given, strategies as st

from fastlane.models.job import MAX_TASK_ID_BYTES, task_id_fault


@pytest.mark.parametrize(
    "task_id",
    ["test-task", "a", "...", ".a", "a b", " ", "%2F", "a:b?c#d", "täsk", "任务", "🚂", "@ticks", "a" * 255, "é" * 127, "\u2028", "a\\b"],
)
def test_any_text_that_stands_in_one_part_of_a_path_names_a_task(task_id: str) -> None:
    assert task_id_fault(task_id) is None


@pytest.mark.parametrize(
    ("task_id", "words"),
    [
        ("", "empty"),
        (".", '"."'),
        ("..", '".."'),
        ("a/b", '"/"'),
        ("/", '"/"'),
        ("a\nb", "control"),
        ("\x00", "control"),
        ("\x1f", "control"),
        ("\x7f", "control"),
        ("\x80", "control"),
        ("\x9f", "control"),
        ("a\ud800", "Unicode"),
        ("\udfff", "Unicode"),
        ("a" * 256, "255 bytes"),
        ("é" * 128, "255 bytes"),
        ("🚂" * 64, "255 bytes"),
    ],
)
def test_what_cannot_name_a_task_is_refused_in_words(task_id: str, words: str) -> None:
    assert words in (task_id_fault(task_id) or "")


@given(st.text(max_size=300, alphabet=st.characters()))
def test_an_accepted_name_is_short_valid_unicode_without_controls(task_id: str) -> None:
    if task_id_fault(task_id) is None:
        assert 0 < len(task_id.encode()) <= MAX_TASK_ID_BYTES
        assert "/" not in task_id
        assert task_id.isprintable() or all(ord(character) > 0x9F for character in task_id if not character.isprintable())
