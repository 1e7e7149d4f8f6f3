"""Whether a store has all that was seen of it."""

import pytest

from fastlane.models.store_version import StoreVersion

SEEN = StoreVersion("a", 5)


@pytest.mark.parametrize(("store", "commits", "continues"), [("a", 4, False), ("a", 5, True), ("a", 6, True), ("b", 6, False)])
def test_a_store_continues_what_was_seen_of_it_unless_it_is_another_or_has_fewer_commits(store, commits, continues):
    assert StoreVersion(store, commits).continues(SEEN) is continues
