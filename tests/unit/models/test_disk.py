"""When a node is short of disk, by what is measured and by what it refused."""

import pytest

from fastlane.models.host import LONGEST_PAUSE, PAUSE, Disk, Refusals, Reserve, Space, judge

MIB, NOW = 2**20, 1_000_000_000
HALF = Reserve(part=0.5)


def measured(free: int, before: Disk | None = None, now: int = NOW) -> Disk:
    disk = judge(Space(free * MIB, 1000 * MIB), None, HALF, before, now)
    assert disk is not None
    return disk


def test_nothing_is_known_of_a_disk_that_is_elsewhere_and_refused_nothing() -> None:
    assert judge(None, None, HALF, None, NOW) is None


def test_a_disk_is_short_below_the_reserve_since_then_and_well_only_clearly_above_it() -> None:
    assert measured(500).short is None
    short = measured(499, measured(500), NOW + 1)
    assert short.short == "is short of disk: less than 500 MiB of 1,000 MiB is free (min_free_disk)"
    assert short.since == NOW + 1
    still = measured(549, short, NOW + 2)
    assert (still.short, still.since) == (short.short, NOW + 1)
    assert measured(550, still, NOW + 3) == measured(550)


@pytest.mark.parametrize(("reserve", "least"), [(Reserve(), 0), (Reserve(7), 7), (Reserve(part=0.001), 1)])
def test_a_reserve_is_bytes_or_a_part(reserve: Reserve, least: int) -> None:
    assert reserve.of(1000) == least


def test_a_disk_without_a_reserve_is_never_short() -> None:
    disk = judge(Space(0, MIB), None, Reserve(), None, NOW)
    assert disk is not None
    assert disk.short is None


def test_a_node_that_refused_a_start_is_left_alone_for_a_while() -> None:
    refused = Refusals(NOW, NOW)
    disk = judge(None, refused, HALF, None, NOW)
    assert disk is not None
    assert (disk.free, disk.since, disk.until, disk.refusals) == (None, NOW, NOW + PAUSE, refused)
    assert "it had no space left for a start" in (disk.short or "")
    later = judge(None, refused, HALF, disk, NOW + PAUSE)
    assert later is not None
    assert (later.short, later.since, later.until, later.refusals) == (None, None, None, refused)


def test_the_pause_grows_while_a_node_goes_on_refusing_up_to_half_an_hour() -> None:
    refusals, pauses = Refusals(NOW, NOW), []
    for _ in range(9):
        pauses.append(refusals.until - refusals.last)
        refusals = refusals.and_at(refusals.until)
    assert pauses[:4] == [PAUSE, PAUSE, 2 * PAUSE, 4 * PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert refusals.and_at(refusals.last) is refusals


def test_a_refusal_long_after_the_others_is_the_first_of_another_row() -> None:
    row = Refusals(NOW, NOW + PAUSE)
    at = row.until + PAUSE
    assert row.and_at(at - 1) == Refusals(NOW, at - 1)
    assert row.and_at(at) == Refusals(at, at)
