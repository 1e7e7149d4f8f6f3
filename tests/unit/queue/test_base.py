"""What the name of a generation tells."""

import pytest

from fastlane.queue.port import Identity


@pytest.mark.parametrize(
    ("generation", "number"),
    [(None, 0), ("7", 7), ("12, damaged", 12), ("12, in the making by w", 12), ("9, store went back", 9), ("", 0), ("x7", 0)],
)
def test_the_number_of_a_generation_is_what_it_begins_with(generation, number):
    identity = Identity(generation, "run")
    assert (identity.number, identity.store_went_back) == (number, number == 9)
