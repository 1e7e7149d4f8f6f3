"""Paused lanes, and cancels that leave what was put later: alone, and raced by eight clients."""

import asyncio
from collections import Counter

import pytest

from fastlane.models.pool import REQUESTED, RESTORED, Pauses
from fastlane.queue.port import TICKS, Cancelled, Lane
from tests.support.clocked_queue import ClockedQueue
from tests.support.factories import NOW, make_entry
from tests.support.waiting import PATIENCE

LEASE = 10_000
CLIENTS = 8
LANES = (Lane("main", 50), Lane("other", 50), Lane(TICKS, None))


async def claim(queue: ClockedQueue, now: int = NOW, **more):
    return await queue.at(now).claim("1", "me", LANES, 256, lease=LEASE, **more)


async def ids(queue: ClockedQueue, now: int = NOW) -> list[str]:
    return sorted(lease.id for lease in (await claim(queue, now)).leases)


# pauses


async def test_a_paused_lane_is_not_served_and_the_others_are(queue):
    await queue.put([make_entry("a"), make_entry("b", lane="other"), make_entry("c", lane=TICKS)])
    await queue.pause(Pauses(1, frozenset({"main"})))
    assert await ids(queue) == ["b", "c"]
    assert (await queue.counts(["main"]))["main"].ready == 1
    await queue.pause(Pauses(2))
    assert await ids(queue) == ["a"]


@pytest.mark.parametrize("names", [{REQUESTED}, {RESTORED}, {REQUESTED, RESTORED, "main"}])
async def test_while_all_dispatch_is_paused_only_what_needs_no_slot_is_served_and_what_expires_is_ended(queue, names):
    await queue.put([make_entry("a"), make_entry("b", lane="other", expires=NOW + 5), make_entry("c", lane=TICKS)])
    await queue.pause(Pauses(1, frozenset(names)))
    assert await ids(queue) == ["c"]
    (lease,) = (await claim(queue, NOW + 5)).leases
    assert (lease.id, lease.expired) == ("b", True)
    await queue.pause(Pauses(2))
    assert await ids(queue) == ["a"]


async def test_of_a_paused_lane_what_expires_is_ended(queue):
    await queue.put([make_entry("late", expires=NOW + 5), make_entry("a")])
    await queue.pause(Pauses(1, frozenset({"main"})))
    first = await claim(queue)
    assert (first.leases, first.next_at) == ((), NOW + 5)
    (lease,) = (await claim(queue, NOW + 5)).leases
    assert (lease.id, lease.expired) == ("late", True)


async def test_of_a_paused_lane_what_was_leased_is_taken_over(queue):
    await queue.put([make_entry("a")])
    assert await ids(queue) == ["a"]
    await queue.pause(Pauses(1, frozenset({"main"})))
    (lease,) = (await claim(queue, NOW + LEASE)).leases
    assert (lease.id, lease.resume) == ("a", True)


async def test_what_only_waits_in_paused_lanes_wakes_nobody_by_time(queue):
    await queue.put([make_entry("a"), make_entry("b", due=NOW + 50)])
    await queue.pause(Pauses(1, frozenset({"main"})))
    assert (await claim(queue)).next_at is None


async def test_an_older_word_and_the_same_one_change_nothing(queue):
    await queue.put([make_entry("a")])
    await queue.pause(Pauses(5, frozenset({"main"})))
    for older in (Pauses(4), Pauses(5), Pauses(0)):
        await queue.pause(older)
        assert await ids(queue) == []
    await queue.pause(Pauses(6, frozenset({"other"})))
    assert await ids(queue) == ["a"]


async def test_before_anything_was_paused_the_queue_is_told_so_for_nothing(queue):
    await queue.pause(Pauses())
    await queue.put([make_entry("a")])
    assert await ids(queue) == ["a"]


async def test_a_wipe_forgets_the_pauses(queue):
    await queue.pause(Pauses(5, frozenset({"main"})))
    await queue.generation.wipe(generation="1")
    await queue.put([make_entry("a")])
    assert await ids(queue) == ["a"]
    await queue.pause(Pauses(1, frozenset({"main"})))
    await queue.put([make_entry("b")])
    assert await ids(queue) == []


async def test_workers_are_woken_when_a_pause_ends(queue, listened):
    await queue.pause(Pauses(1, frozenset({"main"})))
    assert await listened(lambda: queue.pause(Pauses(2))) == ([], True)
    assert await listened(lambda: queue.pause(Pauses(1))) == ([], False)


async def test_lanes_of_any_name_can_be_paused(queue):
    names = ["main", "0", "revision", "ä b:c"]
    await queue.put([make_entry(name, lane=name) for name in names])
    await queue.pause(Pauses(1, frozenset(names)))
    lanes = [Lane(name, 5) for name in names]
    assert (await queue.claim("1", "me", lanes, 9, lease=LEASE)).leases == ()
    await queue.pause(Pauses(2, frozenset({"0"})))
    assert {lease.id for lease in (await queue.claim("1", "me", lanes, 9, lease=LEASE)).leases} == {*names} - {"0"}


async def test_nothing_is_claimed_between_a_pause_and_its_end_whoever_asks(queues):
    """Two clients pause and resume, six claim: a claim that began after a pause was answered, and ended before the resume was asked for,
    gives nothing; and all of it is worked on once in the end."""
    things = [make_entry(f"{number:04}", lane=("main", "other")[number % 2]) for number in range(600)]
    await queues[0].put(things)
    worked: Counter[str] = Counter()
    resting, revisions = [0, 0], iter(range(1, 10_000))
    held: set[str] = set()

    async def say(queue: ClockedQueue) -> None:
        await queue.pause(Pauses(next(revisions), frozenset(held)))

    async def pause(number: int, queue: ClockedQueue) -> None:
        lane = ("main", "other")[number]
        for _ in range(40):
            held.add(lane)
            await say(queue)
            resting[number] += 1
            for _ in range(3):
                await asyncio.sleep(0)
            resting[number] += 1
            held.discard(lane)
            await say(queue)

    async def work(number: int, queue: ClockedQueue) -> None:
        while worked.total() < len(things):
            before = list(resting)
            leases = (await queue.claim("1", f"w{number}", LANES[:2], 3, lease=LEASE)).leases
            for lease in leases:
                at = ("main", "other").index(lease.lane)
                assert before[at] % 2 == 0 or before[at] != resting[at], "claimed from a paused lane"
            worked.update(lease.id for lease in leases)
            await queue.finish({lease.id: 0 for lease in leases})

    async with asyncio.timeout(PATIENCE * 2):
        await asyncio.gather(*(pause(number, queues[number]) for number in range(2)), *(work(n, queues[n]) for n in range(2, CLIENTS)))
    assert set(worked.values()) == {1}
    assert len(worked) == len(things)


async def test_of_racing_pauses_the_newest_stays(queues):
    await queues[0].put([make_entry("a"), make_entry("b", lane="other")])
    words = [Pauses(revision, frozenset({"main"} if revision % 2 else {"other"})) for revision in range(1, 201)]
    await asyncio.gather(*(queues[revision % CLIENTS].pause(word) for revision, word in enumerate(reversed(words))))
    assert await ids(queues[0]) == ["a"]


# cancels up to a revision


async def test_a_cancel_of_a_revision_leaves_what_was_put_later(queue):
    await queue.put([make_entry("a", revision=3)])
    assert await queue.cancel("a", revision=2) is Cancelled.ABSENT
    assert await queue.cancel("a", revision=3) is Cancelled.REMOVED
    await queue.put([make_entry("a", revision=1)])
    assert await queue.cancel("a", revision=9) is Cancelled.REMOVED
    assert await ids(queue) == []


async def test_a_cancel_of_a_revision_leaves_what_was_put_while_it_was_leased(queue):
    await queue.put([make_entry("a", revision=3)])
    await claim(queue)
    await queue.put([make_entry("a", revision=4, due=NOW + 50)])
    assert await queue.cancel("a", revision=3) is Cancelled.ABSENT
    await queue.finish({"a": 3})
    (lease,) = (await claim(queue, NOW + 50)).leases
    assert (lease.revision, lease.stop) == (4, False)


async def test_a_cancel_of_a_revision_tells_the_owner_and_drops_what_was_put_up_to_it(queue):
    await queue.put([make_entry("a", revision=3)])
    await claim(queue)
    await queue.put([make_entry("a", revision=4)])
    assert await queue.cancel("a", revision=4) is Cancelled.NOTIFIED
    await queue.finish({"a": 3})
    assert await ids(queue) == []


async def test_whichever_of_a_put_and_the_cancel_before_it_comes_first_what_was_put_stays(queues):
    for turn in range(40):
        name = f"job-{turn}"
        await queues[0].put([make_entry(name, lane=TICKS, revision=1, due=NOW + 9)])
        cancels = [queue.cancel(name, revision=1) for queue in queues[1:]]
        await asyncio.gather(*cancels[:3], queues[0].put([make_entry(name, lane=TICKS, revision=2)]), *cancels[3:])
        assert await ids(queues[0]) == [name]
