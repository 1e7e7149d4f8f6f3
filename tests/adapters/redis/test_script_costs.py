"""What each script costs Redis: no loop without a bound, and in a big queue no more than in a small one."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from fastlane.models.host import HostView
from fastlane.models.pool import Pauses
from fastlane.models.store_version import StoreVersion
from fastlane.queue.port import TICKS, Lane, Report
from fastlane.queue.redis.connection import Script
from tests.support.clocked_queue import ClockedQueue, claim_all, clocked_queues
from tests.support.factories import NOW, make_entries
from tests.support.redis import RealRedis

LEASE = 10_000
NEVER = 600_000
CROWD = 700
"""More than twice what a claim may look at (256)."""


@pytest.fixture(scope="module")
def server() -> Iterator[RealRedis]:
    with RealRedis() as server:
        yield server


@pytest.fixture
async def queue(server: RealRedis, installation: str) -> AsyncIterator[ClockedQueue]:
    async with clocked_queues(server.url, installation, 1) as (queue,):
        yield queue


async def claim(queue: ClockedQueue, *lanes: Lane, count: int = 8, lease: int = LEASE, now: int = NOW):
    return (await queue.at(now).claim("1", "me", lanes, count, lease=lease)).leases


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
    "remember_store": lambda queue: queue.generation.remember_store(StoreVersion("s", 1)),
    "audit": lambda queue: queue.generation.audit("1", "slots:mine:0"),
    "adopt": lambda queue: queue.at(AFTER).adopt(make_entries(4, "main", name="behind"), ["mine"]),
    "lane_of": lambda queue: queue.lane_of("ready-00003"),
    "members": lambda queue: queue.members("main"),
    "counts": lambda queue: queue.counts([lane.name for lane in LANES]),
    "oldest": lambda queue: queue.oldest_waiting([lane.name for lane in LANES]),
    "turns": lambda queue: queue.turns("main", "ready-00003"),
    "announce": lambda queue: queue.at(AFTER).reports.announce(Report("new", NOW, ()), ttl=LEASE),
    "reports": lambda queue: queue.at(AFTER).reports.current(),
}


def test_every_script_is_among_those_whose_cost_is_looked_at():
    assert sorted(CALLS) == sorted(Script.read_all())


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
