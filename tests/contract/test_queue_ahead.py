"""Entries of the lane without slots that a claim leases before they are due."""

import pytest

from fastlane.queue.port import TICKS, Lane, LaneCounts, Renewal
from tests.contract.claiming import LEASE, MAIN, claim, counted
from tests.support.audits import audited
from tests.support.clocked_queue import ClockedQueue
from tests.support.factories import NOW, make_entry

EVERY = (MAIN, Lane(TICKS, None))
AHEAD = 20


async def ahead(queue: ClockedQueue, *lanes: Lane, owner: str = "me", count: int = 100, now: int = NOW):
    return await queue.at(now).claim("1", owner, lanes or EVERY, count, lease=LEASE, ahead=AHEAD)


def due_of(claim) -> dict[str, int | None]:
    return {lease.id: lease.due for lease in claim.leases}


async def test_a_tick_that_is_due_soon_is_leased_with_its_due_time(queue):
    dues = {"now": NOW, "soon": NOW + 5, "last": NOW + AHEAD, "later": NOW + AHEAD + 1}
    await queue.put([make_entry(id, due, lane=TICKS) for id, due in dues.items()])
    assert due_of(await ahead(queue)) == {"now": None, "soon": NOW + 5, "last": NOW + AHEAD}
    assert await counted(queue, TICKS) == LaneCounts(0, 1, 0)
    assert await audited(queue) is None


async def test_what_needs_a_slot_is_never_leased_ahead(queue):
    await queue.put([make_entry("slot", NOW + 5)])
    claim = await ahead(queue)
    assert (claim.leases, claim.next_at) == ((), NOW + 5)


async def test_what_is_due_goes_before_what_is_due_soon(queue):
    await queue.put([make_entry("soon", NOW + 1, lane=TICKS), make_entry("due")])
    assert due_of(await ahead(queue, count=1)) == {"due": None}
    assert due_of(await ahead(queue, count=1)) == {"soon": NOW + 1}


async def test_the_next_claim_is_early_enough_to_take_what_follows_together(queue):
    await queue.put([make_entry("a", NOW + 100, lane=TICKS), make_entry("b", NOW + 110, lane=TICKS)])
    claim = await ahead(queue)
    assert (claim.leases, claim.next_at) == ((), NOW + 100 - AHEAD // 2)
    assert due_of(await ahead(queue, now=claim.next_at)) == {"a": NOW + 100, "b": NOW + 110}


async def test_what_was_leased_ahead_is_renewed_taken_over_and_finished_as_any_other(queue):
    await queue.put([make_entry("tick", NOW + 5, lane=TICKS)])
    await ahead(queue)
    assert await queue.at(NOW + 1).renew("1", "me", ["tick"], lease=LEASE) == {"tick": Renewal.OK}
    (taken,) = (await claim(queue, *EVERY, owner="you", now=NOW + 1 + LEASE)).leases
    assert (taken.id, taken.resume, taken.due) == ("tick", True, None)
    await queue.finish({"tick": 0})
    assert await counted(queue, TICKS) == LaneCounts(0, 0, 0)
    assert await audited(queue) is None


async def test_what_was_leased_ahead_and_put_back_waits_for_its_due_time(queue):
    await queue.put([make_entry("tick", NOW + 5, lane=TICKS)])
    await ahead(queue)
    await queue.at(NOW + 1).requeue("me", "tick", NOW + 5)
    assert (await claim(queue, *EVERY, now=NOW + 4)).leases == ()
    assert [lease.id for lease in (await claim(queue, *EVERY, now=NOW + 5)).leases] == ["tick"]


@pytest.mark.parametrize("revision", [1, 2])
async def test_a_put_meanwhile_moves_what_was_leased_ahead_at_its_end(queue, revision):
    await queue.put([make_entry("tick", NOW + 5, lane=TICKS, revision=1)])
    await ahead(queue)
    await queue.put([make_entry("tick", NOW + 500, lane=TICKS, revision=revision)])
    await queue.at(NOW + 5).finish({"tick": 1})
    assert await counted(queue, TICKS) == LaneCounts(0, revision - 1, 0)


async def test_a_lane_that_is_only_watched_gives_nothing_ahead(queue):
    await queue.put([make_entry("tick", NOW + 5, lane=TICKS)])
    watching = await queue.at(NOW).claim("1", "me", [MAIN], 100, lease=LEASE, watch=[TICKS], ahead=AHEAD)
    assert (watching.leases, watching.next_at) == ((), None)
