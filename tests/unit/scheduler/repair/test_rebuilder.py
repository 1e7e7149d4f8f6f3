"""What tells that the queue belongs to another state of the store."""

import pytest

from fastlane.models.store_version import StoreVersion
from fastlane.scheduler.repair.rebuilder import number_of, went_back
from fastlane.storage.base import Generation

SEEN = StoreVersion("a", 5)


@pytest.mark.parametrize(
    ("store", "commits", "number", "back"),
    [("a", 5, 3, False), ("a", 4, 3, True), ("a", 4, 0, True), ("b", 9, 0, False), ("b", 9, 1, True)],
    ids=["the same", "an older copy", "an older copy, from before its first queue", "a new one", "a copy from before stores had an id"],
)
def test_a_store_went_back_when_what_the_queue_saw_is_not_in_it(store, commits, number, back):
    assert went_back(StoreVersion(store, commits), SEEN, Generation(number, "", None, 0)) is back


@pytest.mark.parametrize(
    ("generation", "number"), [(None, 0), ("7", 7), ("12, damaged", 12), ("12, in the making by w", 12), ("", 0), ("x7", 0)]
)
def test_the_number_of_a_generation_is_what_it_begins_with(generation, number):
    assert number_of(generation) == number
