"""What every queue gives to a worker that asks: what is due, in which order, from which lanes, and no more than their limits."""

from uuid import uuid4

from fastlane.queue.port import TICKS, EntryKind, Lane, LaneCounts
from tests.contract.claiming import LEASE, MINUTE, claim, claimed
from tests.support.factories import NOW, make_entry


async def test_an_entry_that_is_due_is_claimed_once(queue):
    await queue.put([make_entry("a")])
    (lease,) = (await claim(queue)).leases
    assert (lease.id, lease.kind, lease.lane, lease.revision, lease.resume, lease.stop) == (
        "a",
        EntryKind.EXECUTION,
        "main",
        0,
        False,
        False,
    )
    assert await claimed(queue, owner="other") == []


async def test_an_entry_is_not_claimed_before_it_is_due(queue):
    await queue.put([make_entry("a", NOW + 500, kind=EntryKind.JOB, lane=TICKS)])
    first = await claim(queue, Lane(TICKS, None), now=NOW + 499)
    assert first.leases == ()
    assert first.next_at == NOW + 500
    assert await claimed(queue, Lane(TICKS, None), now=NOW + 500) == ["a"]


async def test_a_claim_tells_redis_s_time_and_when_there_may_be_more(queue):
    assert (await claim(queue)).next_at is None
    await queue.put(
        [
            make_entry("far", NOW + 90_000),
            make_entry("near", NOW + 30_000),
            make_entry("now"),
            make_entry("elsewhere", NOW + 5, lane="other"),
        ]
    )
    first = await claim(queue)
    assert first.now == NOW
    assert first.next_at == NOW + LEASE
    await queue.finish({"now": 0})
    assert (await claim(queue)).next_at == NOW + 30_000


async def test_a_claim_that_left_some_says_that_there_is_more_now(queue):
    await queue.put([make_entry(str(number)) for number in range(3)])
    assert (await claim(queue, count=2)).next_at == NOW
    assert (await claim(queue, count=2)).next_at == NOW + LEASE


async def test_a_full_lane_is_not_a_reason_to_claim_again_at_once(queue):
    await queue.put([make_entry("a"), make_entry("b")])
    first = await claim(queue, Lane("main", 1))
    assert [lease.id for lease in first.leases] == ["a"]
    assert first.next_at == NOW + LEASE
    assert (await claim(queue, Lane("main", 1))).next_at == NOW + LEASE


async def test_entries_of_one_due_time_are_claimed_in_the_order_in_which_they_were_put(queue):
    ids = [uuid4().hex for _ in range(30)]
    for id in ids:
        await queue.at(NOW).put([make_entry(id, NOW + 10)])
    assert await claimed(queue, Lane("main", None), now=NOW + 20) == ids


async def test_what_was_due_earlier_is_claimed_first(queue):
    await queue.put([make_entry("late", NOW - 1), make_entry("early", NOW - 5), make_entry("middle", NOW - 3)])
    assert await claimed(queue) == ["early", "middle", "late"]


async def test_a_point_of_priority_counts_as_a_minute_of_waiting(queue):
    waiting = [
        make_entry("plain", NOW - MINUTE + 1),
        make_entry("old", NOW - 3 * MINUTE),
        make_entry("urgent", priority=2),
        make_entry("idle", NOW - MINUTE, priority=-5),
    ]
    await queue.put(waiting)
    assert await claimed(queue) == ["old", "urgent", "plain", "idle"]


async def test_no_more_than_the_limit_of_a_lane_are_leased(queue):
    await queue.put([make_entry(str(number)) for number in range(5)])
    assert await claimed(queue, Lane("main", 2)) == ["0", "1"]
    assert await claimed(queue, Lane("main", 2), owner="other") == []
    await queue.finish({"0": 0})
    assert await claimed(queue, Lane("main", 2), owner="other") == ["2"]
    assert await queue.counts(["main"]) == {"main": LaneCounts(ready=2, timed=0, running=2)}


async def test_a_lane_without_a_limit_takes_no_slots(queue):
    await queue.put([make_entry(str(number), lane=TICKS, kind=EntryKind.JOB) for number in range(50)])
    assert len(await claimed(queue, Lane(TICKS, None))) == 50
    assert await queue.counts([TICKS]) == {TICKS: LaneCounts(ready=0, timed=0, running=0)}


async def test_no_lane_starves_behind_a_full_one(queue):
    await queue.put([make_entry(f"busy{number}", NOW - 1000) for number in range(100)])
    await queue.put([make_entry("quiet", lane="other")])
    assert "quiet" in await claimed(queue, Lane("main", 50), Lane("other", 50), count=4)


async def test_each_lane_is_served_even_one_entry_at_a_time(queue):
    for lane in ("a", "b", "c"):
        await queue.put([make_entry(f"{lane}{number}", lane=lane) for number in range(4)])
    lanes = [Lane("a", 9), Lane("b", 9), Lane("c", 9)]
    first = [(await claimed(queue, *lanes, count=1))[0][0] for _ in range(3)]
    assert sorted(first) == ["a", "b", "c"]


async def test_a_lane_that_is_not_asked_for_is_left_alone(queue):
    await queue.put([make_entry("a", lane="paused")])
    assert await claimed(queue) == []
    assert await queue.counts(["paused", "unheard"]) == {"paused": LaneCounts(1, 0, 0), "unheard": LaneCounts(0, 0, 0)}


async def test_a_backlog_is_worked_off_completely(queue):
    ids = [f"{number:04}" for number in range(1000)]
    await queue.at(NOW).put([make_entry(id, NOW + number) for number, id in enumerate(ids)])
    got, next_at = [], NOW + 5000
    while next_at == NOW + 5000:
        one = await claim(queue, Lane("main", None), Lane("other", 5), count=200, now=NOW + 5000)
        got += [lease.id for lease in one.leases]
        next_at = one.next_at
    assert sorted(got) == ids
