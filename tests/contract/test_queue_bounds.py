"""What a big queue may not do: hold up what was begun, starve a lane, or make any call cost more than in a small one."""

from collections.abc import Awaitable, Callable

import pytest

from fastlane.models.placement.host import HostView
from fastlane.models.placement.pool import Pauses
from fastlane.queue.base import TICKS, Entry, EntryKind, Lane, Report
from fastlane.queue.redis.script import NAMES
from tests.support.clocked_queue import ClockedQueue
from tests.support.factories import NOW, make_entries

LEASE = 10_000
NEVER = 600_000
HUGE = 5_000
CROWD = 700
"""More than twice what a claim may look at (256)."""


async def claim(queue: ClockedQueue, *lanes: Lane, count: int = 8, owner: str = "me", lease: int = LEASE, now: int = NOW):
    return (await queue.at(now).claim("1", owner, lanes, count, lease=lease)).leases


async def claim_all(queue: ClockedQueue, *lanes: Lane, **values) -> list:
    got = []
    while leases := await claim(queue, *lanes, count=256, **values):
        got += leases
    return got


# what was begun goes first


async def test_expired_leases_are_taken_over_before_new_work_however_many_and_however_urgent_that_is(queue):
    begun = make_entries(CROWD, name="begun", priority=-100)
    await queue.at(NOW).put(begun)
    await claim_all(queue, Lane("main", CROWD), owner="dead")
    await queue.at(NOW).put(make_entries(300, "other", NOW - NEVER, name="new", priority=100))
    got = []
    while len(got) < CROWD + 300:
        got += await claim(queue, Lane("other", 300), count=50, lease=NEVER, now=NOW + LEASE)
    assert [lease.resume for lease in got] == [True] * CROWD + [False] * 300
    assert {lease.id for lease in got[:CROWD]} == {one.id for one in begun}


async def test_a_lease_that_ran_out_is_taken_over_from_behind_a_huge_backlog(queue):
    await queue.put(make_entries(1, name="begun"))
    await claim(queue, Lane("main", 1), owner="dead")
    await queue.put(make_entries(HUGE, "main", NOW - NEVER, name="new", priority=100))
    (lease,) = await claim(queue, Lane("main", 1), count=1, now=NOW + LEASE)
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
        got = await claim(queue, *lanes, count=8, lease=NEVER)
        for lane in [lane for lane in left if left[lane]]:
            mine = [lease.id for lease in got if lease.lane == lane]
            assert mine
            left[lane] -= len(mine)
            await queue.finish(dict.fromkeys(mine, 0))


async def test_of_a_backlog_what_waits_longest_is_not_passed_by_for_ever(queue):
    await queue.at(NOW).put([Entry("patient", EntryKind.EXECUTION, "main", NOW, priority=-1)])
    got, minute = [], 0
    while "patient" not in got:
        moment = NOW + minute * 60_000
        await queue.at(moment).put(make_entries(3, "main", moment, name=f"newcomer-{minute}", priority=5))
        got = [lease.id for lease in await claim(queue, Lane("main", 3), count=3, lease=NEVER, now=moment)]
        await queue.at(moment).finish(dict.fromkeys(got, 0))
        minute += 1
        assert minute < 10, "it waits for ever"


# no loop without a bound


async def a_queue_of(queue: ClockedQueue, count: int) -> None:
    """So many entries of everything that a script may meet, and eight of each with names that are known."""
    await queue.at(NOW).put(make_entries(count, "lent"))
    await claim_all(queue, Lane("lent", count), owner="dead", lease=1)
    await queue.at(NOW).put(make_entries(8, "mine", group="mine", concurrency=8))
    await claim(queue, Lane("mine", 8), lease=NEVER, now=NOW - 1)
    await queue.at(NOW).put(make_entries(count, "mine", name="behind", group="mine", concurrency=8))
    for _ in range(0, count, 256):
        assert not await claim(queue, Lane("mine", 9), now=NOW - 1)
    await queue.at(NOW).put(make_entries(count, name="ready"))
    await queue.at(NOW).put(make_entries(count, "main", NOW + 1, name="soon"))
    await queue.at(NOW).put(make_entries(count, "main", NOW + NEVER, name="later"))
    await queue.at(NOW).put(make_entries(count, "main", NOW + NEVER, name="late", expires=NOW + 1))
    await queue.at(NOW).put(make_entries(count, "apart", NOW + 1, name="apart"))
    for number in range(count // 50):
        await queue.at(NOW).reports.announce(Report(f"w{number}", NOW, (HostView("a", True),)), ttl=LEASE * (number % 2) + 1)


AFTER = NOW + 2
LANES = (Lane("main", 10), Lane("mine", 8), Lane("apart", 10), Lane(TICKS, None))
CALLS: dict[str, Callable[[ClockedQueue], Awaitable[object]]] = {
    "put": lambda queue: queue.at(AFTER).put([*make_entries(4, name="new"), *make_entries(4, name="later", revision=1)]),
    "claim": lambda queue: queue.at(AFTER).claim("1", "me", LANES, 300, lease=LEASE, watch=["apart"]),
    "renew": lambda queue: queue.at(AFTER).renew("1", "me", [one.id for one in make_entries(8, name="mine")], lease=LEASE),
    "release": lambda queue: queue.at(AFTER).release("me", [one.id for one in make_entries(8, name="mine")]),
    "requeue": lambda queue: queue.at(AFTER).requeue("me", "mine-00000", AFTER),
    "cancel": lambda queue: queue.at(AFTER).cancel("ready-00003"),
    "finish": lambda queue: queue.at(AFTER).finish({one.id: 0 for one in make_entries(8, name="mine")}),
    "pause": lambda queue: queue.pause(Pauses(1, frozenset({"main", "apart"}))),
    "restore": lambda queue: queue.at(AFTER).generation.restore(make_entries(8, name="later"), LANES),
    "wipe": lambda queue: queue.generation.wipe(generation="2"),
    "set_generation": lambda queue: queue.generation.set_generation("2", before="1"),
    "counts": lambda queue: queue.counts([lane.name for lane in LANES]),
    "announce": lambda queue: queue.at(AFTER).reports.announce(Report("new", NOW, ()), ttl=LEASE),
    "reports": lambda queue: queue.at(AFTER).reports.current(),
}


def test_every_script_is_among_those_whose_cost_is_looked_at():
    assert sorted(CALLS) == sorted(NAMES)


@pytest.mark.parametrize("name", CALLS)
async def test_no_call_has_an_unbounded_loop_and_a_bigger_queue_costs_no_more(queue, server, name):
    costs = []
    for count in (1, CROWD, 3 * CROWD):  # the first round loads the script
        await queue.generation.wipe()
        await queue.generation.set_generation("1")
        await a_queue_of(queue, count)
        before = done_by(server)
        await CALLS[name](queue)
        costs.append(done_by(server) - before)
    assert 0 < costs[1] == costs[2] < 3_000


async def test_a_claim_of_any_moment_of_a_backlog_costs_no_more_than_its_bound(queue, server):
    await a_queue_of(queue, CROWD)
    while True:
        before = done_by(server)
        leases = await claim(queue, *LANES, count=256, lease=NEVER, now=AFTER)
        assert done_by(server) - before < 3_000
        if not leases:
            return
        await queue.at(AFTER).finish({lease.id: 0 for lease in leases})


def done_by(server) -> int:
    """How many commands the server has carried out, those of scripts included."""
    with server.client() as client:
        stats = client.info("commandstats")
        return sum(row["calls"] for row in stats.values()) - sum(
            stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("info", "hello")
        )
