"""Tickets in the queue: kept for a while, taken once, left alone by all else."""

import asyncio

from tests.support.clocked_queue import ClockedQueue
from tests.support.waiting import until

CLIENTS = 8


async def test_a_ticket_is_shown_as_often_as_one_likes_and_taken_once(queue):
    assert await queue.tickets.put("a", "text ä", ttl=10_000)
    assert [await queue.tickets.peek("a") for _ in range(2)] == ["text ä", "text ä"]
    assert [await queue.tickets.take("a") for _ in range(2)] == ["text ä", None]
    assert await queue.tickets.peek("a") is None


async def test_what_stands_there_already_stays(queue):
    assert await queue.tickets.put("a", "first", ttl=10_000)
    assert not await queue.tickets.put("a", "second", ttl=10_000)
    assert await queue.tickets.take("a") == "first"


async def test_of_many_who_take_it_at_once_one_has_it(queues):
    for turn in range(50):
        assert await queues[turn % CLIENTS].tickets.put("a", str(turn), ttl=10_000)
        taken = await asyncio.gather(*(queue.tickets.take("a") for queue in queues for _ in range(4)))
        assert [text for text in taken if text is not None] == [str(turn)]


async def test_after_its_time_it_is_gone(queue):
    assert await queue.tickets.put("a", "text", ttl=60_000)
    assert await queue.tickets.put("b", "text", ttl=1)

    async def gone() -> bool:
        return await queue.tickets.peek("b") is None

    await until(gone, "the end of it")
    assert await queue.tickets.take("b") is None
    assert await queue.tickets.take("a") == "text"


async def test_a_wipe_leaves_it_and_another_installation_has_it_not(queue, shared_redis):
    assert await queue.tickets.put("a", "text", ttl=10_000)
    await queue.generation.wipe()
    other = ClockedQueue(shared_redis.url, "another")
    await other.open()
    assert await other.tickets.take("a") is None
    await other.close()
    assert await queue.tickets.take("a") == "text"
