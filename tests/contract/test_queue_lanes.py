"""What every queue must do with entries whose pool was renamed or removed: they move to another lane as they are."""

from fastlane.models.pool import Pauses
from fastlane.queue.port import TICKS, Lane, LaneCounts, Renewal
from tests.contract.claiming import LEASE, claimed, watched
from tests.support.clocked_queue import ClockedQueue
from tests.support.factories import NOW, make_entry

OLD, NEW = Lane("old", 10), Lane("new", 10)


async def adopt(queue: ClockedQueue, *names: str, lane: str = "new", lanes: tuple[str, ...] | None = None) -> int:
    return await queue.adopt([make_entry(name, lane=lane) for name in names], lanes)


async def test_what_is_ready_moves_at_its_rank(queue):
    await queue.put([make_entry("first", NOW - 20, "old"), make_entry("urgent", NOW - 1, "old", priority=5)])
    await queue.put([make_entry("second", NOW - 10, "new")])
    assert await adopt(queue, "first", "urgent") == 2
    assert await queue.counts() == {"new": LaneCounts(3, 0, 0)}
    assert await claimed(queue, NEW, OLD) == ["urgent", "first", "second"]


async def test_what_is_due_later_keeps_its_time(queue):
    await queue.put([make_entry("later", NOW + 50, "old")])
    await adopt(queue, "later")
    assert await queue.counts() == {"new": LaneCounts(0, 1, 0)}
    assert await claimed(queue, NEW, now=NOW + 49) == []
    assert await claimed(queue, NEW, now=NOW + 50) == ["later"]


async def test_what_waits_for_its_group_goes_on_waiting_for_it(queue):
    await queue.put([make_entry(name, NOW - rank, "old", group="g", concurrency=1) for rank, name in enumerate("cba")])
    assert await claimed(queue, OLD) == ["a"]
    assert (await queue.counts(["old"]))["old"] == LaneCounts(0, 0, 1, 2)
    await adopt(queue, "c", "b")
    assert await claimed(queue, NEW) == []
    for done, following in (("a", ["b"]), ("b", ["c"])):
        await queue.finish({done: 0})
        assert await claimed(queue, NEW) == following


async def test_one_that_leaves_its_lane_blocks_nobody_there(queue):
    await queue.put([make_entry("runs", NOW - 9, "other", group="g", concurrency=1)])
    assert await claimed(queue, Lane("other", 1)) == ["runs"]
    await queue.put([make_entry(name, NOW - 5, "old", group="g", concurrency=1) for name in "ab"])
    assert await claimed(queue, OLD) == []
    await queue.finish({"runs": 0})
    assert await queue.counts() == {"old": LaneCounts(1, 0, 0, 1)}
    await adopt(queue, "a")
    assert await queue.counts() == {"new": LaneCounts(1, 0, 0), "old": LaneCounts(1, 0, 0)}


async def test_what_is_leased_keeps_its_lease_and_takes_its_slot_along(queue):
    await queue.put([make_entry("runs", lane="old", group="g", concurrency=1), make_entry("waits", lane="new")])
    assert await claimed(queue, OLD) == ["runs"]
    await adopt(queue, "runs")
    assert await queue.counts() == {"new": LaneCounts(1, 0, 1)}
    assert await claimed(queue, Lane("new", 1)) == []
    assert await queue.renew("1", "me", ["runs"], lease=LEASE) == {"runs": Renewal.OK}
    await queue.finish({"runs": 0})
    assert await claimed(queue, Lane("new", 1)) == ["waits"]


async def test_what_expires_is_ended_in_its_new_lane(queue):
    await queue.put([make_entry("late", NOW + 100_000, "old", expires=NOW + 5), make_entry("late too", lane="old", expires=NOW + 6)])
    await adopt(queue, "late", "late too")
    assert (await watched(queue, "new", now=NOW + 4)).leases == ()
    assert [(lease.id, lease.expired) for lease in (await watched(queue, "new", now=NOW + 6)).leases] == [
        ("late", True),
        ("late too", True),
    ]
    assert await queue.counts() == {}


async def test_nothing_leaves_the_lane_without_slots_and_nothing_leased_goes_there(queue):
    await queue.put([make_entry("ends", lane=TICKS), make_entry("runs", NOW - 1, "old"), make_entry("waits", lane="old")])
    assert await claimed(queue, Lane("old", 1)) == ["runs"]
    await adopt(queue, "ends")
    assert await adopt(queue, "runs", "waits", lane=TICKS) == 1
    assert await queue.counts() == {"old": LaneCounts(0, 0, 1), TICKS: LaneCounts(2, 0, 0)}


async def test_only_what_is_in_the_named_lanes_moves(queue):
    await queue.put([make_entry("a", lane="old"), make_entry("b", lane="older"), make_entry("c", lane="served")])
    assert await adopt(queue, "a", "b", "c", "unknown", lanes=("old", "older")) == 2
    assert await queue.counts() == {"new": LaneCounts(2, 0, 0), "served": LaneCounts(1, 0, 0)}
    assert await adopt(queue, "c", lanes=()) == 0
    assert await adopt(queue, "a", "c") == 1
    assert await queue.counts() == {"new": LaneCounts(3, 0, 0)}


async def test_what_moves_is_served_under_the_pauses_of_its_new_lane_and_wakes_the_workers(queue, listened):
    await queue.put([make_entry("a", lane="old"), make_entry("b", NOW + 9, "old")])
    await queue.pause(Pauses(1, frozenset({"old"})))
    for name in ("a", "b"):
        assert (await listened(lambda name=name: adopt(queue, name)))[1]
    assert not (await listened(lambda: adopt(queue, "a", "b")))[1]
    assert await claimed(queue, OLD, NEW) == ["a"]


async def test_the_lane_of_an_entry_can_be_asked_for(queue):
    await queue.put([make_entry("a", lane="old")])
    assert (await queue.lane_of("a"), await queue.lane_of("b")) == ("old", None)
    await adopt(queue, "a")
    assert await queue.lane_of("a") == "new"


async def members(queue: ClockedQueue, lane: str) -> list[str]:
    page = await queue.members(lane)
    ids = [*page.ids]
    while page.next is not None:
        page = await queue.members(lane, page.next)
        ids += page.ids
    return ids


async def test_the_members_of_a_lane_are_what_holds_a_slot_and_then_all_that_waits(queue):
    await queue.put([make_entry(name, NOW - rank, "old", group="g", concurrency=1) for rank, name in enumerate(("waits", "runs"))])
    assert await claimed(queue, Lane("old", 1)) == ["runs"]
    await queue.put([make_entry("ready", lane="old"), make_entry("later", NOW + 50, "old"), make_entry("elsewhere", lane="new")])
    first, *others = await members(queue, "old")
    assert (first, sorted(others)) == ("runs", ["later", "ready", "waits"])
    assert await members(queue, "unknown") == []


async def test_a_walk_through_a_lane_meets_all_members_although_those_that_were_met_leave_it(queue):
    names = [f"{number:04}" for number in range(1_000)]
    await queue.put([make_entry(name, NOW + int(name) % 2, "old") for name in names])
    met: list[str] = []
    following: str | None = ""
    while following is not None:
        page = await queue.members("old", following or None)
        assert await adopt(queue, *page.ids) == len(page.ids) < 600
        met += page.ids
        following = page.next
    assert sorted(met) == names
    assert await queue.counts() == {"new": LaneCounts(500, 500, 0)}
