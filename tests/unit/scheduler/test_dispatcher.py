"""Which lanes a worker asks for work."""

import pytest

from fastlane.models.placement.pool import Pool
from fastlane.queue.base import TICKS, Lane
from fastlane.scheduler.dispatcher import lanes_of

FAST = Pool("fast", "f", ("a", "b"), 3)
SLOW = Pool("slow", "", ("b", "c"), 7)


@pytest.mark.parametrize(
    ("usable", "lanes"),
    [
        ((), []),
        (("a",), [Lane("fast", 3)]),
        (("b",), [Lane("fast", 3), Lane("slow", 7)]),
        (("c",), [Lane("slow", 7)]),
        (("a", "b", "c"), [Lane("fast", 3), Lane("slow", 7)]),
        (("of nobody",), []),
    ],
)
def test_a_pools_lane_is_asked_for_only_while_one_of_its_hosts_is_usable(usable: tuple[str, ...], lanes: list[Lane]) -> None:
    assert lanes_of((FAST, SLOW), frozenset(usable)) == [Lane(TICKS, None), *lanes]


def test_ticks_are_asked_for_whatever_the_hosts_do() -> None:
    assert lanes_of((), frozenset()) == [Lane(TICKS, None)]
