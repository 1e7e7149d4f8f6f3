"""Whether a store has all that was seen of it."""

import pytest

from fastlane.models.store_version import StoreVersion

SEEN = StoreVersion("a", 5)


@pytest.mark.parametrize(("store", "commits", "continues"), [("a", 4, False), ("a", 5, True), ("a", 6, True), ("b", 6, False)])
def test_a_store_continues_what_was_seen_of_it_unless_it_is_another_or_has_fewer_commits(store, commits, continues):
    assert StoreVersion(store, commits).continues(SEEN) is continues


@pytest.mark.parametrize(
    ("store", "commits", "had_queue", "back"),
    [("a", 5, True, False), ("a", 4, True, True), ("a", 4, False, True), ("b", 9, False, False), ("b", 9, True, True)],
    ids=["the same", "an older copy", "an older copy, from before its first queue", "a new one", "a copy from before stores had an id"],
)
def test_a_store_went_back_when_what_the_queue_saw_is_not_in_it(store, commits, had_queue, back):
    assert StoreVersion(store, commits).went_back(SEEN, had_queue=had_queue) is back


def test_a_store_of_which_the_queue_saw_nothing_did_not_go_back():
    assert not StoreVersion("a", 0).went_back(None, had_queue=True)
