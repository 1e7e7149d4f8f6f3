"""What every queue must do about entries that must not start any more: they are only leased to be ended. Moments are handed in."""

import pytest

from fastlane.queue.port import Lane, LaneCounts, Renewal
from tests.contract.claiming import LEASE, MAIN, MINUTE, OTHER, claim, claimed, counted, grouped, watched
from tests.support.factories import NOW, make_entry


async def test_from_its_moment_on_it_is_only_leased_to_be_ended(queue):
    await queue.put([make_entry("a", expires=NOW + 5), make_entry("b", expires=NOW + 4)])
    (lease,) = (await claim(queue, count=1, now=NOW + 3)).leases
    assert (lease.id, lease.expired) == ("a", False)
    (lease,) = (await claim(queue, now=NOW + 4)).leases
    assert (lease.id, lease.expired, lease.resume, lease.stop) == ("b", True, False, False)
    assert (await counted(queue)).running == 1


async def test_one_that_has_its_lease_in_time_is_left_alone(queue, leftovers):
    await queue.put([make_entry("a", expires=NOW + 5)])
    assert (await claim(queue)).next_at == NOW + LEASE
    assert await claimed(queue, now=NOW + 6) == []
    (lease,) = (await claim(queue, owner="other", now=NOW + LEASE)).leases
    assert (lease.resume, lease.expired) == (True, False)
    await queue.at(NOW + LEASE).finish({"a": 0})
    assert leftovers() == set()


@pytest.mark.parametrize("place", ["ready", "timed", "blocked"])
async def test_it_is_ended_wherever_it_waits_and_even_when_its_lane_is_full(queue, place):
    full = Lane("main", 1)
    await queue.at(NOW - 1).put(grouped("runs"))
    await claim(queue, full)
    due = NOW + 99 if place == "timed" else NOW
    await queue.at(NOW).put([make_entry("a", due, group="g", concurrency=1, expires=NOW + 5)])
    await claim(queue, Lane("main", 2) if place == "blocked" else full)
    assert getattr(await counted(queue), place) == 1
    (lease,) = (await claim(queue, full, now=NOW + 5)).leases
    assert (lease.id, lease.expired) == ("a", True)
    assert await counted(queue) == LaneCounts(0, 0, 1, 0)
    await queue.at(NOW + 5).finish({"a": 0, "runs": 0})
    assert (await claim(queue, full, now=NOW + 200)).next_at is None


async def test_a_lane_that_is_only_watched_gives_what_must_be_ended_and_nothing_else(queue):
    waiting = [
        make_entry("late", lane="paused", expires=NOW + 5),
        make_entry("ready", lane="paused"),
        make_entry("timed", NOW + 2, lane="paused"),
    ]
    await queue.at(NOW).put([*waiting, make_entry("ours")])
    first = await watched(queue, "paused")
    assert (first.leases, first.next_at) == ((), NOW + 5)
    second = await watched(queue, "paused", "main", lanes=(MAIN,), now=NOW + 5)
    assert [(lease.id, lease.expired) for lease in second.leases] == [("late", True), ("ours", False)]
    assert await counted(queue, "paused") == LaneCounts(ready=1, timed=1, running=0)


async def test_a_claim_wakes_for_the_next_that_expires(queue):
    await queue.put([make_entry("a", NOW + 50, expires=NOW + 20), make_entry("b", lane="other", expires=NOW + 10)])
    assert (await claim(queue)).next_at == NOW + 20
    assert (await watched(queue, "other")).next_at == NOW + 10
    assert (await claim(queue, count=0, now=NOW + 30)).next_at == NOW + 30


async def test_a_crowd_that_expired_does_not_hold_up_work_in_other_lanes(queue):
    await queue.at(NOW - 1).put(
        [make_entry(f"late{n}", expires=NOW) for n in range(20)] + [make_entry(f"work{n}", lane="other") for n in range(5)]
    )
    first = (await claim(queue, MAIN, OTHER, count=8)).leases
    assert {lease.expired for lease in first} == {True, False}
    given = [lease for _ in range(3) for lease in (await claim(queue, MAIN, OTHER, count=8)).leases]
    assert sorted(lease.id for lease in (*first, *given) if not lease.expired) == [f"work{n}" for n in range(5)]
    assert len(first) + len(given) == 25


async def test_one_to_be_ended_whose_worker_died_is_passed_on_as_such(queue):
    await queue.put([make_entry("a", expires=NOW)])
    await claim(queue)
    (lease,) = (await claim(queue, owner="other", now=NOW + LEASE)).leases
    assert (lease.resume, lease.expired) == (True, True)
    assert await queue.at(NOW + LEASE).renew("1", "other", ["a"], lease=LEASE) == {"a": Renewal.OK}
    assert (await counted(queue)).running == 0


async def test_one_to_be_ended_that_was_given_back_comes_again_as_such(queue):
    await queue.put([make_entry("a", expires=NOW)])
    await claim(queue)
    await queue.requeue("me", "a", NOW + 500)
    (lease,) = (await claim(queue)).leases
    assert (lease.resume, lease.expired) == (False, True)


async def test_a_higher_revision_changes_the_moment(queue):
    await queue.at(NOW).put([make_entry("a", expires=NOW + 1), make_entry("b", expires=NOW + 1)])
    await queue.at(NOW).put([make_entry("a", revision=1), make_entry("b", revision=1, expires=NOW + MINUTE)])
    assert [lease.expired for lease in (await claim(queue, now=NOW + 2)).leases] == [False, False]


async def test_a_cancel_takes_the_moment_with_it(queue, leftovers):
    await queue.put([make_entry("a", NOW + 3, expires=NOW + 5), make_entry("b", expires=NOW + 5)])
    assert [await queue.cancel(id) for id in "ab"] == ["removed", "removed"]
    assert leftovers() == set()


async def test_a_put_that_expires_sooner_than_all_others_wakes(queue, listened):
    await queue.put([make_entry("far", NOW + 10, expires=NOW + 99)])
    assert await listened(lambda: queue.put([make_entry("a", NOW + 900, expires=NOW + 5)])) == ([], True)
    assert await listened(lambda: queue.put([make_entry("b", NOW + 900, expires=NOW + 7)])) == ([], False)
