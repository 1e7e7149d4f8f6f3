"""What a big queue may not do: hold up what was begun, starve a lane, or make any call cost more than in a small one."""

from collections.abc import Awaitable, Callable

import pytest

from fastlane.models.placement.host import HostView
from fastlane.models.placement.pool import Pauses
from fastlane.queue.base import TICKS, Entry, EntryKind, Lane, Report, TimedQueue
from fastlane.queue.redis.script import NAMES

NOW = 1_700_000_000_000
LEASE = 10_000
NEVER = 600_000
HUGE = 5_000
CROWD = 700
"""More than twice what a claim may look at (256)."""


def entries(name: str, count: int, lane: str, due: int = NOW, **values) -> list[Entry]:
    return [Entry(f"{name}-{number:05}", EntryKind.EXECUTION, lane, due, **values) for number in range(count)]


async def claim(queue: TimedQueue, *lanes: Lane, count: int = 8, owner: str = "me", lease: int = LEASE, now: int = NOW):
    return (await queue.claim("1", owner, lanes, count, lease=lease, now=now)).leases


async def claim_all(queue: TimedQueue, *lanes: Lane, **values) -> list:
    got = []
    while leases := await claim(queue, *lanes, count=256, **values):
        got += leases
    return got


# what was begun goes first


async def test_expired_leases_are_taken_over_before_new_work_however_many_and_however_urgent_that_is(queue):
    begun = entries("begun", CROWD, "main", priority=-100)
    await queue.put(begun, now=NOW)
    await claim_all(queue, Lane("main", CROWD), owner="dead")
    await queue.put(entries("new", 300, "other", NOW - NEVER, priority=100), now=NOW)
    got = []
    while len(got) < CROWD + 300:
        got += await claim(queue, Lane("other", 300), count=50, lease=NEVER, now=NOW + LEASE)
    assert [lease.resume for lease in got] == [True] * CROWD + [False] * 300
    assert {lease.id for lease in got[:CROWD]} == {one.id for one in begun}


async def test_a_lease_that_ran_out_is_taken_over_from_behind_a_huge_backlog(queue):
    await queue.put(entries("begun", 1, "main"), now=NOW)
    await claim(queue, Lane("main", 1), owner="dead")
    await queue.put(entries("new", HUGE, "main", NOW - NEVER, priority=100), now=NOW)
    (lease,) = await claim(queue, Lane("main", 1), count=1, now=NOW + LEASE)
    assert (lease.id, lease.resume) == ("begun-00000", True)


# no lane starves


async def piled_up(queue: TimedQueue, how: str) -> tuple[Lane, ...]:
    """A lane with a huge backlog of this kind; the lanes to ask for, beside it."""
    huge = Lane("huge", HUGE)
    match how:
        case "ready":
            await queue.put(entries("huge", HUGE, "huge", NOW - NEVER, priority=100), now=NOW)
        case "due at once":
            await queue.put(entries("huge", HUGE, "huge", NOW, priority=100), now=NOW - 1)
        case "full":
            await queue.put(entries("huge", HUGE, "huge", NOW - NEVER), now=NOW)
            huge = Lane("huge", 1)
            await claim(queue, huge, count=1, lease=NEVER)
        case "blocked by its group":
            await queue.put(entries("huge", HUGE, "huge", NOW - NEVER, group="g", concurrency=1), now=NOW)
        case "expired":
            await queue.put(entries("huge", HUGE, "huge", NOW - NEVER, expires=NOW), now=NOW - 1)
        case "ticks":
            await queue.put(entries("huge", HUGE, TICKS, NOW - NEVER, priority=100), now=NOW)
            huge = Lane(TICKS, None)
    return (huge,)


@pytest.mark.parametrize("how", ["ready", "due at once", "full", "blocked by its group", "expired", "ticks"])
async def test_a_lane_with_a_huge_backlog_does_not_starve_another(queue, how):
    lanes = (*await piled_up(queue, how), Lane("small", 2), Lane("tiny", 1))
    await queue.put([*entries("small", 5, "small"), *entries("tiny", 5, "tiny")], now=NOW)
    left = {"small": 5, "tiny": 5}
    while any(left.values()):  # whoever is first in turn: each claim gives at least one of each lane that has any
        got = await claim(queue, *lanes, count=8, lease=NEVER)
        for lane in [lane for lane in left if left[lane]]:
            mine = [lease.id for lease in got if lease.lane == lane]
            assert mine
            left[lane] -= len(mine)
            await queue.finish(dict.fromkeys(mine, 0), now=NOW)


async def test_of_a_backlog_what_waits_longest_is_not_passed_by_for_ever(queue):
    await queue.put([Entry("patient", EntryKind.EXECUTION, "main", NOW, priority=-1)], now=NOW)
    got, minute = [], 0
    while "patient" not in got:
        moment = NOW + minute * 60_000
        await queue.put(entries(f"newcomer-{minute}", 3, "main", moment, priority=5), now=moment)
        got = [lease.id for lease in await claim(queue, Lane("main", 3), count=3, lease=NEVER, now=moment)]
        await queue.finish(dict.fromkeys(got, 0), now=moment)
        minute += 1
        assert minute < 10, "it waits for ever"


# no loop without a bound


async def a_queue_of(queue: TimedQueue, count: int) -> None:
    """So many entries of everything that a script may meet, and eight of each with names that are known."""
    await queue.put(entries("lent", count, "lent"), now=NOW)
    await claim_all(queue, Lane("lent", count), owner="dead", lease=1)
    await queue.put(entries("mine", 8, "mine", group="mine", concurrency=8), now=NOW)
    await claim(queue, Lane("mine", 8), lease=NEVER, now=NOW - 1)
    await queue.put(entries("behind", count, "mine", group="mine", concurrency=8), now=NOW)
    for _ in range(0, count, 256):
        assert not await claim(queue, Lane("mine", 9), now=NOW - 1)
    await queue.put(entries("ready", count, "main"), now=NOW)
    await queue.put(entries("soon", count, "main", NOW + 1), now=NOW)
    await queue.put(entries("later", count, "main", NOW + NEVER), now=NOW)
    await queue.put(entries("late", count, "main", NOW + NEVER, expires=NOW + 1), now=NOW)
    await queue.put(entries("apart", count, "apart", NOW + 1), now=NOW)
    for number in range(count // 50):
        await queue.reports.announce(Report(f"w{number}", NOW, (HostView("a", True),)), ttl=LEASE * (number % 2) + 1, now=NOW)


AFTER = NOW + 2
LANES = (Lane("main", 10), Lane("mine", 8), Lane("apart", 10), Lane(TICKS, None))
CALLS: dict[str, Callable[[TimedQueue], Awaitable[object]]] = {
    "put": lambda queue: queue.put([*entries("new", 4, "main"), *entries("later", 4, "main", revision=1)], now=AFTER),
    "claim": lambda queue: queue.claim("1", "me", LANES, 300, lease=LEASE, watch=["apart"], now=AFTER),
    "renew": lambda queue: queue.renew("1", "me", [one.id for one in entries("mine", 8, "")], lease=LEASE, now=AFTER),
    "release": lambda queue: queue.release("me", [one.id for one in entries("mine", 8, "")], now=AFTER),
    "requeue": lambda queue: queue.requeue("me", "mine-00000", AFTER, now=AFTER),
    "cancel": lambda queue: queue.cancel("ready-00003", now=AFTER),
    "finish": lambda queue: queue.finish({one.id: 0 for one in entries("mine", 8, "")}, now=AFTER),
    "pause": lambda queue: queue.pause(Pauses(1, frozenset({"main", "apart"}))),
    "restore": lambda queue: queue.generation.restore(entries("later", 8, "main"), LANES, now=AFTER),
    "wipe": lambda queue: queue.generation.wipe(generation="2"),
    "set_generation": lambda queue: queue.generation.set_generation("2", before="1"),
    "counts": lambda queue: queue.counts([lane.name for lane in LANES]),
    "announce": lambda queue: queue.reports.announce(Report("new", NOW, ()), ttl=LEASE, now=AFTER),
    "reports": lambda queue: queue.reports.current(now=AFTER),
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
        await queue.finish({lease.id: 0 for lease in leases}, now=AFTER)


def done_by(server) -> int:
    """How many commands the server has carried out, those of scripts included."""
    with server.client() as client:
        stats = client.info("commandstats")
        return sum(row["calls"] for row in stats.values()) - sum(
            stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("info", "hello")
        )
