"""What every queue does with an entry that is leased, or was put again: until it is finished, lost, given back or cancelled."""

from fastlane.queue.port import Cancelled, Lane, LaneCounts, Renewal
from tests.contract.claiming import HOUR, LEASE, MAIN, MINUTE, claim, claimed
from tests.support.factories import NOW, make_entry


async def test_a_put_again_changes_nothing(queue):
    await queue.put([make_entry("a", NOW + 10, revision=3)])
    await queue.put([make_entry("a", NOW + 99, revision=3), make_entry("a", NOW + 99, revision=2)])
    assert (await claim(queue)).next_at == NOW + 10
    assert await queue.counts(["main"]) == {"main": LaneCounts(0, 1, 0)}


async def test_a_put_with_a_higher_revision_moves_the_entry(queue):
    await queue.put([make_entry("a", NOW + 10, revision=1), make_entry("b", revision=1)])
    await queue.put([make_entry("a", NOW - 5, revision=2, lane="other"), make_entry("b", NOW + 7, revision=2)])
    assert await queue.counts(["main", "other"]) == {"main": LaneCounts(0, 1, 0), "other": LaneCounts(1, 0, 0)}
    (lease,) = (await claim(queue, Lane("other", 1))).leases
    assert lease.revision == 2
    assert (await claim(queue)).next_at == NOW + 7


async def test_the_same_id_twice_in_one_put_ends_at_the_higher_revision(queue):
    await queue.put([make_entry("a", NOW + 10, revision=1), make_entry("a", NOW, revision=2)])
    (lease,) = (await claim(queue)).leases
    assert lease.revision == 2
    assert await queue.counts(["main"]) == {"main": LaneCounts(0, 0, 1)}


async def test_what_is_put_while_leased_comes_after_the_finish(queue):
    await queue.put([make_entry("a", revision=1)])
    await claim(queue)
    await queue.put([make_entry("a", NOW + 50, revision=2, lane="other", priority=4)])
    assert await claimed(queue, MAIN, Lane("other", 1), owner="other", now=NOW + 60) == []
    await queue.at(NOW).finish({"a": 1})
    assert await queue.counts(["main", "other"]) == {"main": LaneCounts(0, 0, 0), "other": LaneCounts(0, 1, 0)}
    (lease,) = (await claim(queue, Lane("other", 1), now=NOW + 60)).leases
    assert (lease.id, lease.revision, lease.resume) == ("a", 2, False)


async def test_the_highest_of_several_puts_while_leased_counts(queue):
    await queue.put([make_entry("a", revision=1)])
    await claim(queue)
    await queue.put([make_entry("a", NOW + 50, revision=3), make_entry("a", NOW + 1, revision=2)])
    await queue.finish({"a": 1})
    assert (await claim(queue)).next_at == NOW + 50


async def test_what_was_put_while_leased_and_worked_on_already_goes_with_the_finish(queue):
    await queue.put([make_entry("a", revision=1)])
    await claim(queue)
    await queue.put([make_entry("a", NOW + 50, revision=2)])
    await queue.finish({"a": 2})
    assert (await claim(queue)).next_at is None


async def test_a_finish_is_safe_to_repeat(queue):
    await queue.put([make_entry("a", revision=1), make_entry("b")])
    await claim(queue)
    await queue.put([make_entry("a", NOW + 50, revision=2)])
    for _ in range(3):
        await queue.finish({"a": 1, "b": 0, "never heard of": 7})
    assert await queue.counts(["main"]) == {"main": LaneCounts(0, 1, 0)}


async def test_a_late_finish_does_not_end_the_lease_of_what_was_put_since(queue):
    await queue.put([make_entry("a", revision=1)])
    await claim(queue)
    await queue.put([make_entry("a", NOW, revision=2)])
    await queue.finish({"a": 1})
    assert await claimed(queue, owner="other") == ["a"]
    await queue.finish({"a": 1})
    assert await queue.renew("1", "other", ["a"], lease=LEASE) == {"a": Renewal.OK}


async def test_a_finish_removes_an_entry_that_nobody_has(queue):
    await queue.put([make_entry("timed", NOW + 5), make_entry("ready")])
    await queue.finish({"timed": 0, "ready": 0})
    assert (await claim(queue, now=NOW + 10)).next_at is None


async def test_leases_that_ran_out_are_resumed_before_new_work_and_keep_their_slots(queue):
    await queue.at(NOW - 1).put([make_entry("a"), make_entry("b"), make_entry("c"), make_entry("urgent", priority=50)])
    assert await claimed(queue, Lane("main", 2), count=2) == ["urgent", "a"]
    later = NOW + LEASE
    given = (await claim(queue, Lane("main", 2), owner="other", now=later)).leases
    assert [(lease.id, lease.resume) for lease in given] == [("a", True), ("urgent", True)]
    assert (await queue.counts(["main"]))["main"].running == 2
    await queue.at(later).finish({"a": 0})
    assert await claimed(queue, Lane("main", 2), now=later) == ["b"]


async def test_a_lease_of_a_lane_that_is_not_asked_for_is_resumed(queue):
    await queue.put([make_entry("a", lane="paused")])
    await claim(queue, Lane("paused", 1))
    assert (await claim(queue)).next_at == NOW + LEASE
    (lease,) = (await claim(queue, owner="other", now=NOW + LEASE)).leases
    assert (lease.id, lease.lane, lease.resume) == ("a", "paused", True)


async def test_a_renewed_lease_is_not_resumed(queue):
    await queue.put([make_entry("a")])
    await claim(queue)
    assert await queue.at(NOW + LEASE - 1).renew("1", "me", ["a"], lease=LEASE) == {"a": Renewal.OK}
    assert await claimed(queue, owner="other", now=NOW + LEASE + 1) == []


async def test_a_lease_that_another_took_over_is_lost(queue):
    await queue.put([make_entry("a"), make_entry("mine")])
    await claim(queue, count=1)
    assert await claimed(queue, owner="other", count=1, now=NOW + LEASE) == ["a"]
    answer = await queue.at(NOW + LEASE).renew("1", "me", ["a", "mine", "unheard"], lease=LEASE)
    assert answer == {"a": Renewal.LOST, "mine": Renewal.LOST, "unheard": Renewal.LOST}
    assert await queue.at(NOW + LEASE).renew("1", "other", ["a"], lease=LEASE) == {"a": Renewal.OK}


async def test_a_lease_from_before_the_clock_was_set_back_ends_soon_unless_its_owner_renews_it(queue):
    await queue.put([make_entry("a"), make_entry("b")])
    (alive,) = await claimed(queue, owner="me", count=1, now=NOW + HOUR)
    (dead,) = await claimed(queue, owner="dead", now=NOW + HOUR)
    assert (await claim(queue, owner="other")).next_at == NOW + 2 * LEASE
    assert await queue.at(NOW + 2 * LEASE - 1).renew("1", "me", [alive], lease=LEASE) == {alive: Renewal.OK}
    (lease,) = (await claim(queue, owner="other", now=NOW + 2 * LEASE)).leases
    assert (lease.id, lease.resume) == (dead, True)


async def test_a_released_lease_is_resumed_at_once_with_its_slot(queue):
    await queue.put([make_entry("a"), make_entry("b")])
    await claim(queue, Lane("main", 1))
    await queue.release("someone else", ["a"])
    assert await claimed(queue, Lane("main", 1), owner="other") == []
    await queue.release("me", ["a", "unheard"])
    assert await queue.renew("1", "me", ["a"], lease=LEASE) == {"a": Renewal.LOST}
    (lease,) = (await claim(queue, Lane("main", 1), owner="other")).leases
    assert (lease.id, lease.resume) == ("a", True)


async def test_a_requeued_entry_frees_its_slot_and_comes_back_when_due(queue):
    await queue.put([make_entry("a"), make_entry("b")])
    await claim(queue, Lane("main", 1))
    await queue.requeue("someone else", "a", NOW)
    assert await claimed(queue, Lane("main", 1)) == []
    await queue.requeue("me", "a", NOW + 500)
    assert await claimed(queue, Lane("main", 1)) == ["b"]
    assert await claimed(queue, Lane("main", 2), now=NOW + 500) == ["a"]


async def test_an_entry_is_requeued_into_another_lane(queue):
    await queue.put([make_entry("a")])
    await claim(queue)
    await queue.requeue("me", "a", NOW, lane="other")
    assert await queue.counts(["main", "other"]) == {"main": LaneCounts(0, 0, 0), "other": LaneCounts(1, 0, 0)}
    assert await claimed(queue, Lane("other", 1)) == ["a"]


async def test_what_was_put_while_leased_goes_before_a_requeue(queue):
    await queue.put([make_entry("a", revision=1)])
    await claim(queue)
    await queue.put([make_entry("a", NOW + 70, revision=2)])
    await queue.requeue("me", "a", NOW + 5)
    assert (await claim(queue)).next_at == NOW + 70


async def test_a_cancel_removes_what_nobody_has(queue):
    await queue.at(NOW).put([make_entry("timed", NOW + 5), make_entry("ready", lane="other")])
    assert [await queue.at(NOW).cancel(id) for id in ("timed", "ready", "ready", "unheard")] == ["removed", "removed", "absent", "absent"]
    assert (await claim(queue, MAIN, Lane("other", 1), now=NOW + 10)).next_at is None


async def test_a_cancel_of_a_leased_entry_tells_its_owner_and_whoever_resumes_it(queue):
    await queue.put([make_entry("a")])
    await claim(queue)
    assert await queue.cancel("a") is Cancelled.NOTIFIED
    assert await queue.renew("1", "me", ["a"], lease=LEASE) == {"a": Renewal.STOP}
    (lease,) = (await claim(queue, owner="other", now=NOW + LEASE)).leases
    assert lease.stop


async def test_what_is_to_be_stopped_is_claimed_at_once_after_a_requeue(queue):
    await queue.put([make_entry("a")])
    await claim(queue)
    await queue.cancel("a")
    await queue.requeue("me", "a", NOW + 90_000)
    (lease,) = (await claim(queue)).leases
    assert lease.stop


async def test_an_owner_that_got_the_stop_with_its_claim_says_when_the_entry_is_claimed_again(queue):
    """Such as the entry of a job that was stopped, and then changed: its next tick is to come."""
    await queue.put([make_entry("a")])
    await claim(queue)
    await queue.cancel("a")
    await queue.requeue("me", "a", NOW + 90_000)
    assert await claimed(queue) == ["a"]
    assert await queue.renew("1", "me", ["a"], lease=LEASE) == {"a": Renewal.STOP}
    await queue.requeue("me", "a", NOW + 90_000)
    assert (await claim(queue)).next_at == NOW + 90_000
    (lease,) = (await claim(queue, now=NOW + 90_000)).leases
    assert lease.stop
    await queue.cancel("a")
    await queue.requeue("me", "a", NOW + 180_000)
    assert await claimed(queue, now=NOW + 90_000) == ["a"]


async def test_what_is_requeued_strictly_is_not_claimed_before_that_although_it_is_to_be_stopped_and_has_expired(queue):
    await queue.put([make_entry("a", expires=NOW + 5)])
    await claim(queue)
    await queue.cancel("a")
    for due in (NOW + MINUTE, NOW + 2 * MINUTE):
        await queue.requeue("me", "a", due, strict=True)
        early = await claim(queue, now=due - 1)
        assert (early.leases, early.next_at) == ((), due)
        (lease,) = (await claim(queue, now=due)).leases
        assert (lease.stop, lease.expired) == (True, True)


async def test_what_is_put_after_a_cancel_is_not_to_be_stopped(queue):
    await queue.put([make_entry("a", revision=1)])
    await claim(queue)
    await queue.put([make_entry("a", revision=2)])
    await queue.cancel("a")
    await queue.put([make_entry("a", revision=3)])
    await queue.finish({"a": 1})
    (lease,) = (await claim(queue)).leases
    assert (lease.revision, lease.stop) == (3, False)


async def test_a_cancel_takes_what_was_put_while_leased_with_it(queue):
    await queue.put([make_entry("a", revision=1)])
    await claim(queue)
    await queue.put([make_entry("a", revision=2)])
    await queue.cancel("a")
    await queue.finish({"a": 1})
    assert (await claim(queue)).next_at is None
