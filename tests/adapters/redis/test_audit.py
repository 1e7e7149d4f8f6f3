"""Keys of the queue that are lost, or changed by somebody else: an audit finds it, and condemns the data."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from fastlane.errors import QueueUnfit
from fastlane.queue.port import TICKS, AuditPage, EntryKind, Lane
from fastlane.queue.redis.queue import RedisQueue
from tests.support.audits import audited
from tests.support.clocked_queue import ClockedQueue
from tests.support.factories import NOW, make_entries, make_entry
from tests.support.redis import RealRedis

LEASE = 10_000
MAIN = (Lane("main", 300), Lane(TICKS, None))


@pytest.fixture
async def queue(shared_redis: RealRedis, installation: str) -> AsyncIterator[ClockedQueue]:
    queue = ClockedQueue(shared_redis.url, installation)
    await queue.open()
    await queue.generation.set_generation("1")
    yield queue
    await queue.close()


@pytest.fixture
def client(shared_redis: RealRedis) -> Iterator[object]:
    with shared_redis.client() as client:
        yield client


async def fill(queue: ClockedQueue) -> None:
    """An entry of every kind in every place."""
    await queue.put([make_entry("job", NOW + 9, TICKS, kind=EntryKind.JOB), make_entry("ending", NOW - 9, TICKS)])
    await queue.put([make_entry(f"member-{number}", NOW - 8 + number, group="g", concurrency=1) for number in range(3)])
    await queue.put([make_entry("late", NOW - 7, expires=NOW - 1), make_entry("released", NOW - 6), make_entry("plain", NOW - 5)])
    await claimed(queue, 7)
    await queue.release("me", ["released"])
    await queue.put([make_entry("expiring", NOW + 5, expires=NOW + 7), make_entry("later", NOW + 50), make_entry("ready")])
    await queue.put([make_entry("elsewhere", lane="other", expires=NOW + 7)])


async def claimed(queue: ClockedQueue, count: int) -> None:
    claim = await queue.claim("1", "me", MAIN, count, lease=LEASE)
    assert not claim.cold


def key(installation: str, name: str) -> str:
    return f"{{fl:{installation}:v1}}:{name}"


async def is_condemned(queue: ClockedQueue) -> bool:
    return (await queue.claim("1", "me", MAIN, 0, lease=LEASE)).cold


async def test_what_the_scripts_leave_is_sound(queue: ClockedQueue) -> None:
    assert await audited(queue) is None
    await fill(queue)
    counts = await queue.counts()
    assert (counts["main"].ready, counts["main"].timed, counts["main"].blocked) == (1, 2, 2)
    assert await audited(queue) is None
    await queue.finish({"member-0": 0, "late": 0, "ending": 0})
    assert await audited(queue) is None
    assert not await is_condemned(queue)


LOST = ["entries", "leases", "lanes", "blocked", "groups"]
LOST_OF_LANE = ["timed", "ready", "slots", "waiting"]


@pytest.mark.parametrize("name", [*LOST, *(f"{name}:main" for name in LOST_OF_LANE), f"timed:{TICKS}", "expiries:main", "expiries:other"])
async def test_the_loss_of_a_key_is_found_and_nothing_is_claimed_from_then_on(queue, client, installation, name: str) -> None:
    await fill(queue)
    assert client.delete(key(installation, name)) == 1
    assert await audited(queue)
    assert await is_condemned(queue)
    assert await audited(queue) is None, "what is condemned is not looked at again"


@pytest.mark.parametrize(
    ("command", "name", "arguments"),
    [
        ("sadd", "slots:main", ("nobody",)),
        ("sadd", "slots:main", ("ready",)),
        ("srem", "slots:main", ("plain",)),
        ("srem", "slots:main", ("released",)),
        ("zadd", "groups", ({"g\0ready": 0},)),
        ("zrem", "groups", ("g\0member-0",)),
        ("zadd", "leases", ({"ready": NOW},)),
        ("zrem", "leases", ("plain",)),
        ("hdel", "entries", ("plain",)),
    ],
    ids=str,
)
async def test_what_does_not_agree_is_found(queue, client, installation, command: str, name: str, arguments: tuple) -> None:
    await fill(queue)
    assert getattr(client, command)(key(installation, name), *arguments) == 1
    assert await audited(queue)
    assert await is_condemned(queue)


async def test_an_audit_of_another_generation_finds_and_condemns_nothing(queue, client, installation) -> None:
    await fill(queue)
    client.delete(key(installation, "leases"))
    assert await audited(queue, "2") is None
    assert not await is_condemned(queue)


async def test_much_is_looked_at_in_pages(queue, client, installation) -> None:
    await queue.put(make_entries(600, group="g"))
    for _ in range(2):
        await claimed(queue, 256)
    assert await audited(queue) is None
    found, pages = AuditPage(None, None), 0
    while pages == 0 or found.next is not None:
        found = await queue.generation.audit("1", found.next)
        pages += 1
    assert pages > 3
    client.srem(key(installation, "slots:main"), "main-00017")
    assert "main-00017" in str(await audited(queue))


async def test_a_wipe_takes_lanes_along_that_the_list_of_lanes_has_lost(queue, client, installation) -> None:
    await fill(queue)
    client.delete(key(installation, "lanes"))
    await queue.generation.wipe(generation="2", lanes=["main", "other", TICKS])
    assert client.keys(key(installation, "").replace("{", "\\{") + "*") == [key(installation, "gen")]


# a server that drops keys on its own


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "volatile-ttl"])
async def test_a_server_that_evicts_is_refused_in_words_that_say_what_to_set(policy: str) -> None:
    with RealRedis("--maxmemory-policy", policy) as redis:
        queue = RedisQueue(redis.url, "test")
        await queue.open()
        with pytest.raises(QueueUnfit, match=f"maxmemory-policy is {policy}: set it to noeviction"):
            await queue.generation.refuse_eviction()
        with redis.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
        await queue.generation.refuse_eviction()
        await queue.close()


async def test_what_is_leased_comes_before_what_waits(queue: ClockedQueue) -> None:
    await queue.put(make_entries(300, group="g"))
    await claimed(queue, 256)
    await queue.put([make_entry(f"later-{number}", NOW + 9_000, TICKS) for number in range(2_000)])
    pages, found = [], AuditPage(None, None)
    while not pages or found.next is not None:
        found = await queue.generation.audit("1", found.next)
        pages.append(found)
    first = next(number for number, page in enumerate(pages) if page.is_rest)
    assert 1 < first < len(pages) - 4
    assert [page.is_rest for page in pages[first:]] == [True] * (len(pages) - first - 1) + [False]


async def test_a_lane_that_is_new_since_the_first_page_is_looked_at_too(queue: ClockedQueue, client: Any, installation: str) -> None:
    await queue.put(make_entries(600))
    found = await queue.generation.audit("1")
    await queue.put([make_entry("hurries", lane="new", expires=NOW + 7)])
    client.delete(key(installation, "expiries:new"))
    while found.wrong is None and found.next is not None:
        found = await queue.generation.audit("1", found.next)
    assert "hurries" in str(found.wrong)
