"""What a big queue may not do: hold up what was begun, starve a lane, or make any call cost more than in a small one."""

import pytest

from fastlane.queue.port import TICKS, Entry, EntryKind, Lane
from tests.contract.claiming import LEASE, claim
from tests.support.clocked_queue import ClockedQueue, claim_all
from tests.support.factories import NOW, make_entries

NEVER = 600_000
HUGE = 5_000
CROWD = 700
"""More than twice what a claim may look at (256)."""


# what was begun goes first


async def test_expired_leases_are_taken_over_before_new_work_however_many_and_however_urgent_that_is(queue):
    begun = make_entries(CROWD, name="begun", priority=-100)
    await queue.at(NOW).put(begun)
    await claim_all(queue, Lane("main", CROWD), owner="dead")
    await queue.at(NOW).put(make_entries(300, "other", NOW - NEVER, name="new", priority=100))
    got = []
    while len(got) < CROWD + 300:
        got += (await claim(queue, Lane("other", 300), count=50, lease=NEVER, now=NOW + LEASE)).leases
    assert [lease.resume for lease in got] == [True] * CROWD + [False] * 300
    assert {lease.id for lease in got[:CROWD]} == {one.id for one in begun}


async def test_a_lease_that_ran_out_is_taken_over_from_behind_a_huge_backlog(queue):
    await queue.put(make_entries(1, name="begun"))
    await claim(queue, Lane("main", 1), owner="dead")
    await queue.put(make_entries(HUGE, "main", NOW - NEVER, name="new", priority=100))
    (lease,) = (await claim(queue, Lane("main", 1), count=1, now=NOW + LEASE)).leases
    assert (lease.id, lease.resume) == ("begun-00000", True)


# no lane starves


async def piled_up(queue: ClockedQueue, how: str) -> tuple[Lane, ...]:
    """A lane with a huge backlog of this kind; the lanes to ask for, beside it."""
    huge = Lane("huge", HUGE)
    match how:
        case "ready":
            await queue.put(make_entries(HUGE, "huge", NOW - NEVER, name="huge", priority=100))
        case "due at once":
            await queue.at(NOW - 1).put(make_entries(HUGE, "huge", NOW, name="huge", priority=100))
        case "full":
            await queue.at(NOW).put(make_entries(HUGE, "huge", NOW - NEVER, name="huge"))
            huge = Lane("huge", 1)
            await claim(queue, huge, count=1, lease=NEVER)
        case "blocked by its group":
            await queue.at(NOW).put(make_entries(HUGE, "huge", NOW - NEVER, name="huge", group="g", concurrency=1))
        case "expired":
            await queue.at(NOW - 1).put(make_entries(HUGE, "huge", NOW - NEVER, name="huge", expires=NOW))
        case "ticks":
            await queue.at(NOW).put(make_entries(HUGE, TICKS, NOW - NEVER, name="huge", priority=100))
            huge = Lane(TICKS, None)
    return (huge,)


@pytest.mark.parametrize("how", ["ready", "due at once", "full", "blocked by its group", "expired", "ticks"])
async def test_a_lane_with_a_huge_backlog_does_not_starve_another(queue, how):
    lanes = (*await piled_up(queue, how), Lane("small", 2), Lane("tiny", 1))
    await queue.put([*make_entries(5, "small"), *make_entries(5, "tiny")])
    left = {"small": 5, "tiny": 5}
    while any(left.values()):  # whoever is first in turn: each claim gives at least one of each lane that has any
        got = (await claim(queue, *lanes, count=8, lease=NEVER)).leases
        for lane in [lane for lane in left if left[lane]]:
            mine = [lease.id for lease in got if lease.lane == lane]
            assert mine
            left[lane] -= len(mine)
            await queue.finish(dict.fromkeys(mine, 0))


async def test_of_a_backlog_what_waits_longest_is_not_passed_by_forever(queue):
    await queue.at(NOW).put([Entry("patient", EntryKind.EXECUTION, "main", NOW, priority=-1)])
    got, minute = [], 0
    while "patient" not in got:
        moment = NOW + minute * 60_000
        await queue.at(moment).put(make_entries(3, "main", moment, name=f"newcomer-{minute}", priority=5))
        got = [lease.id for lease in (await claim(queue, Lane("main", 3), count=3, lease=NEVER, now=moment)).leases]
        await queue.at(moment).finish(dict.fromkeys(got, 0))
        minute += 1
        assert minute < 10, "it waits forever"
