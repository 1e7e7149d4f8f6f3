"""Entries of a queue, and claims of them, for the contract's tests of queues: moments are handed in."""

from fastlane.queue.port import Lane, LaneCounts
from tests.support.clocked_queue import ClockedQueue
from tests.support.factories import NOW, make_entry

MINUTE = 60_000
HOUR = 60 * MINUTE
LEASE = 10_000
MAIN = Lane("main", 10)
OTHER = Lane("other", 10)


async def claim(queue: ClockedQueue, *lanes: Lane, owner: str = "me", count: int = 100, lease: int = LEASE, now: int = NOW):
    return await queue.at(now).claim("1", owner, lanes or (MAIN,), count, lease=lease)


async def claimed(queue: ClockedQueue, *lanes: Lane, **values) -> list[str]:
    return [lease.id for lease in (await claim(queue, *lanes, **values)).leases]


def grouped(*ids: str, due: int = NOW, group: str = "g", concurrency: int = 1, **values) -> list:
    return [make_entry(id, due, group=group, concurrency=concurrency, **values) for id in ids]


def both(first, *more) -> list:
    return [one for some in (first, *more) for one in some]


async def watched(queue: ClockedQueue, *watch: str, lanes: tuple[Lane, ...] = (), count: int = 100, now: int = NOW):
    return await queue.at(now).claim("1", "me", lanes, count, lease=LEASE, watch=watch)


async def counted(queue: ClockedQueue, lane: str = "main") -> LaneCounts:
    return (await queue.counts([lane]))[lane]
