"""What every queue must do about groups: no more of one hold slots than each allows, and the next goes on. Moments are handed in."""

from uuid import uuid4

import pytest

from fastlane.queue.port import TICKS, Cancelled, Lane, LaneCounts
from tests.contract.claiming import LEASE, MAIN, OTHER, both, claim, claimed, counted, grouped
from tests.support.factories import NOW, make_entry


async def test_no_more_of_a_group_hold_slots_than_each_allows(queue):
    await queue.put(both(grouped(*"abcd", concurrency=2), [make_entry("free")]))
    assert await claimed(queue) == ["a", "b", "free"]
    assert await counted(queue) == LaneCounts(ready=0, timed=0, running=3, blocked=2)
    assert await claimed(queue) == []
    await queue.finish({"a": 0})
    assert await counted(queue) == LaneCounts(ready=1, timed=0, running=2, blocked=1)
    assert await claimed(queue) == ["c"]


async def test_what_is_blocked_keeps_its_rank(queue):
    await queue.put([make_entry("runs", NOW - 9, group="g", concurrency=1)])
    assert await claimed(queue) == ["runs"]
    for id, due, priority in (("late", NOW, 0), ("early", NOW - 5, 0), ("urgent", NOW, 1)):
        await queue.put(grouped(id, due=due, priority=priority))
    assert await claimed(queue) == []
    await queue.put([make_entry("other", NOW - 3)])
    order = ["runs"]
    for _ in range(4):
        await queue.finish({order[-1]: 0})
        order += await claimed(queue, Lane("main", 1))
    assert order == ["runs", "urgent", "early", "other", "late"]


async def test_a_newcomer_does_not_go_before_what_was_blocked_earlier(queue):
    await queue.put(grouped("runs"))
    await claim(queue)
    await queue.at(NOW + 1).put(grouped("first", due=NOW + 1))
    assert await claimed(queue, now=NOW + 1) == []
    await queue.at(NOW + 2).put(grouped("second", due=NOW + 2))
    await queue.at(NOW + 2).finish({"runs": 0})
    assert await claimed(queue, now=NOW + 2) == ["first"]


async def test_entries_of_one_moment_are_unblocked_in_the_order_in_which_they_were_put(queue):
    ids = [uuid4().hex for _ in range(20)]
    for id in ids:
        await queue.put(grouped(id))
    got: list[str] = []
    while len(got) < 20:
        got += await claimed(queue, Lane("main", 5))
        await queue.finish({got[-1]: 0})
    assert got == ids


async def test_a_group_counts_over_all_lanes_and_is_unblocked_in_each(queue):
    await queue.put(both(grouped("a"), grouped("b", lane="other"), grouped("c", lane="third")))
    assert await claimed(queue, MAIN) == ["a"]
    assert await claimed(queue, OTHER, Lane("third", 1)) == []
    assert [(await counted(queue, lane)).blocked for lane in ("main", "other", "third")] == [0, 1, 1]
    await queue.finish({"a": 0})
    assert [(await counted(queue, lane)).blocked for lane in ("main", "other", "third")] == [0, 0, 0]
    assert await claimed(queue, OTHER) == ["b"]
    assert await claimed(queue, Lane("third", 1)) == []
    await queue.finish({"b": 0})
    assert await claimed(queue, Lane("third", 1)) == ["c"]


async def test_groups_whose_names_begin_alike_do_not_count_for_each_other(queue):
    await queue.put(both(*(grouped(f"{name}-1", f"{name}-2", group=name) for name in ("g", "g1", "g:1", "g 1", "G"))))
    assert await claimed(queue) == ["g-1", "g1-1", "g:1-1", "g 1-1", "G-1"]
    await queue.finish({"g1-1": 0})
    assert await claimed(queue) == ["g1-2"]


async def test_one_without_a_limit_goes_and_counts_for_those_that_have_one(queue):
    await queue.put(both(grouped("a", "b", concurrency=0), grouped("c", concurrency=2)))
    assert await claimed(queue) == ["a", "b"]
    await queue.put(grouped("d", concurrency=0))
    assert await claimed(queue) == ["d"]
    await queue.finish({"a": 0, "d": 0})
    assert await claimed(queue) == ["c"]


async def test_a_limit_without_a_group_holds_nothing_back(queue):
    await queue.put([make_entry("a", concurrency=1), make_entry("b", concurrency=1)])
    assert await claimed(queue) == ["a", "b"]


async def test_what_takes_no_slot_neither_counts_nor_waits(queue):
    await queue.put(both(grouped("a", "b", lane=TICKS), grouped("c")))
    assert await claimed(queue, Lane(TICKS, None)) == ["a", "b"]
    assert await claimed(queue) == ["c"]


async def test_those_that_a_lane_without_a_limit_takes_do_not_strand_the_blocked(queue):
    await queue.put(grouped("a", "b", "c"))
    assert await claimed(queue) == ["a"]
    await queue.finish({"a": 0})
    assert await claimed(queue, Lane("main", None)) == ["b"]
    assert await claimed(queue) == ["c"]


async def test_a_lease_that_was_taken_over_or_released_still_counts(queue):
    await queue.put(grouped("a", "b"))
    await claim(queue)
    (resumed,) = (await claim(queue, owner="other", now=NOW + LEASE)).leases
    assert (resumed.id, resumed.resume) == ("a", True)
    await queue.at(NOW + LEASE).release("other", ["a"])
    assert await claimed(queue, now=NOW + LEASE) == ["a"]
    assert (await counted(queue)).blocked == 1


async def test_a_requeue_frees_the_place_in_the_group(queue):
    await queue.put(grouped("a", "b"))
    await claim(queue)
    await queue.requeue("me", "a", NOW + 5, lane="other")
    assert await claimed(queue, now=NOW) == ["b"]
    assert await claimed(queue, OTHER, now=NOW + 5) == []
    await queue.at(NOW + 5).finish({"b": 0})
    assert await claimed(queue, OTHER, now=NOW + 5) == ["a"]


async def test_those_behind_one_that_would_be_refused_wait_for_it(queue):
    await queue.put(both(grouped("a", "b", concurrency=3), grouped("c", concurrency=1), grouped("d", concurrency=3)))
    assert await claimed(queue) == ["a", "b", "d"]
    await queue.put(grouped("e", concurrency=3))
    assert await claimed(queue) == []
    await queue.finish({"a": 0})
    assert await counted(queue) == LaneCounts(0, 0, 2, blocked=2)
    await queue.finish({"b": 0, "d": 0})
    assert await claimed(queue) == ["c", "e"]


async def _leave_a_ready_one_before_a_blocked_one(queue) -> None:
    """``b`` is ready, ``c`` is blocked behind it, and nobody of their group runs."""
    await queue.put(grouped("a", "b", "c"))
    await claim(queue)
    await queue.finish({"a": 0})
    assert await counted(queue) == LaneCounts(ready=1, timed=0, running=0, blocked=1)


@pytest.mark.parametrize(
    "leave",
    [
        lambda queue: queue.cancel("b"),
        lambda queue: queue.finish({"b": 0}),
        lambda queue: queue.put([make_entry("b", NOW + 999, revision=1)]),
        lambda queue: queue.put([make_entry("b", revision=1, lane="elsewhere", group="g", concurrency=1)]),
        lambda queue: queue.generation.restore([make_entry("b", lane=TICKS)], []),
    ],
    ids=["cancelled", "finished", "moved to later", "moved to another lane", "restored without a slot"],
)
async def test_one_that_leaves_ready_unblocks_the_next(queue, leave):
    await _leave_a_ready_one_before_a_blocked_one(queue)
    await leave(queue)
    assert await claimed(queue, MAIN) in (["c"], ["b", "c"])


async def test_the_next_is_unblocked_once_the_one_before_it_has_expired(queue):
    await queue.put(both(grouped("a"), grouped("b", expires=NOW + 5), grouped("c")))
    await claim(queue)
    await queue.finish({"a": 0})
    assert await claimed(queue, now=NOW + 5) == ["b", "c"]


@pytest.mark.parametrize(
    "leave",
    [
        lambda queue: queue.cancel("b"),
        lambda queue: queue.finish({"b": 0}),
        lambda queue: queue.put([make_entry("b", revision=1, lane="elsewhere")]),
    ],
    ids=["cancelled", "finished", "moved"],
)
async def test_a_blocked_one_is_removed_from_where_it_waits(queue, leftovers, leave):
    await queue.put(grouped("a", "b"))
    await claim(queue)
    await leave(queue)
    assert (await counted(queue)).blocked == 0
    await queue.finish({"a": 0, "b": 9})
    assert leftovers() == set()


async def test_a_cancel_of_a_blocked_one_removes_it(queue):
    await queue.put(grouped("a", "b"))
    await claim(queue)
    assert await queue.cancel("b") is Cancelled.REMOVED
    assert await queue.cancel("b") is Cancelled.ABSENT


async def test_a_blocked_one_is_restored_as_a_lease(queue):
    await queue.put(grouped("a", "b", "c"))
    await claim(queue)
    await queue.generation.restore(grouped("b"), [MAIN])
    assert await counted(queue) == LaneCounts(0, 0, 2, blocked=1)
    await queue.finish({"a": 0})
    assert (await counted(queue)).blocked == 1
    await queue.finish({"b": 0})
    assert await claimed(queue) == ["c"]


async def test_restored_ones_count_in_their_group(queue):
    await queue.generation.restore(grouped("a"), [MAIN])
    await queue.put(grouped("b"))
    assert await claimed(queue) == ["a"]
    await queue.finish({"a": 0})
    assert await claimed(queue) == ["b"]


async def test_what_was_put_while_leased_is_of_its_new_group_and_lane(queue):
    await queue.put(both(grouped("a", revision=1), grouped("next"), grouped("runs", group="h")))
    assert await claimed(queue) == ["a", "runs"]
    await queue.put([make_entry("a", NOW, revision=2, group="h", concurrency=1, expires=NOW + 9)])
    await queue.finish({"a": 1})
    assert await claimed(queue) == ["next"]
    assert await counted(queue) == LaneCounts(0, 0, 2, blocked=1)
    (lease,) = (await claim(queue, now=NOW + 9)).leases
    assert (lease.id, lease.expired) == ("a", True)


async def test_a_full_group_is_not_a_reason_to_claim_again_at_once(queue):
    await queue.put(grouped("a", "b"))
    assert (await claim(queue)).next_at == NOW + LEASE
    assert (await claim(queue)).next_at == NOW + LEASE


async def test_a_claim_looks_at_no_more_than_256_and_says_that_there_is_more(queue):
    await queue.put(both(grouped("runs"), grouped(*(f"b{n:03}" for n in range(600))), [make_entry("free")]))
    first = await claim(queue)
    assert [lease.id for lease in first.leases] == ["runs"]
    assert first.next_at == NOW
    assert await counted(queue) == LaneCounts(ready=346, timed=0, running=1, blocked=255)
    rest = [await claim(queue) for _ in range(2)]
    assert [[lease.id for lease in one.leases] for one in rest] == [[], ["free"]]
    assert rest[1].next_at == NOW + LEASE


async def test_a_crowd_of_a_full_group_holds_no_other_lane_up(queue):
    await queue.put(both(grouped("runs"), grouped(*(f"b{n:03}" for n in range(600))), [make_entry("quiet", lane="other")]))
    assert set(await claimed(queue, MAIN, OTHER)) == {"runs", "quiet"}


async def test_more_than_256_that_may_go_at_once_all_go(queue):
    crowd = [f"b{n:03}" for n in range(700)]
    await queue.put(grouped("runs", concurrency=1))
    await claim(queue)
    await queue.put(grouped(*crowd, concurrency=650))
    await queue.put(grouped("last", concurrency=1))
    wide = Lane("main", 1000)
    got = [id for _ in range(4) for id in await claimed(queue, wide, count=256)]
    assert len(got) == 649
    assert await counted(queue) == LaneCounts(0, 0, 650, blocked=52)
    await queue.finish(dict.fromkeys([*got, "runs"], 0))
    more, next_at = [], NOW
    while next_at == NOW:
        one = await claim(queue, wide, count=256)
        more += [lease.id for lease in one.leases]
        next_at = one.next_at
    assert sorted(got + more) == crowd
    await queue.finish(dict.fromkeys(more, 0))
    assert await claimed(queue) == ["last"]


async def test_groups_that_are_freed_together_each_go_on(queue):
    names = [f"g{n}" for n in range(120)]
    wide = Lane("main", 1000)
    await queue.put(both(*(grouped(f"{name}-{n}", group=name) for n in range(3) for name in names)))
    for n in range(3):
        got = await claimed(queue, wide, count=256) + await claimed(queue, wide, count=256)
        assert sorted(got) == sorted(f"{name}-{n}" for name in names)
        await queue.finish(dict.fromkeys(got, 0))


async def test_nothing_is_left_when_all_is_finished(queue, leftovers):
    await queue.at(NOW).put(both(grouped(*"abc"), grouped(*"def", lane="other", expires=NOW + 3), grouped("t", due=NOW + 9)))
    while any(one.ready + one.timed + one.blocked for one in (await queue.counts(["main", "other"])).values()):
        got = await claimed(queue, MAIN, OTHER, now=NOW + 9)
        await queue.at(NOW + 9).finish(dict.fromkeys(got, 0))
    assert leftovers() == set()


@pytest.mark.parametrize(
    "act",
    [
        lambda queue: queue.finish({"a": 0}),
        lambda queue: queue.requeue("me", "a", NOW + 99, lane="far"),
    ],
    ids=["finish", "requeue"],
)
async def test_whoever_frees_a_place_in_a_group_wakes(queue, listened, act):
    await queue.put([*grouped("a", "b", "c"), make_entry("sooner", NOW + 9, lane="far")])
    assert await claimed(queue) == ["a"]
    assert (await counted(queue)).blocked == 2
    assert await listened(lambda: act(queue)) == ([], True)
    assert await claimed(queue) == ["b"]


async def test_a_cancel_wakes_when_others_wait_behind_and_not_otherwise(queue, listened):
    await _leave_a_ready_one_before_a_blocked_one(queue)
    assert await listened(lambda: queue.cancel("b")) == ([], True)
    assert await listened(lambda: queue.cancel("c")) == ([], False)
