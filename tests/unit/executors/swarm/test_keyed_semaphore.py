"""A semaphore for each key: a key that hangs leaves the others alone."""

import asyncio

import pytest

from fastlane.executors.swarm.registries import KeyedSemaphore


async def test_so_many_have_a_turn_at_once_and_the_others_follow_in_order() -> None:
    semaphore, go_on, order = KeyedSemaphore(2, 9, 30), asyncio.Event(), []

    async def one(number: int) -> None:
        async with semaphore.hold("a"):
            order.append(number)
            await go_on.wait()

    running = [asyncio.create_task(one(number)) for number in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == [0, 1]
    async with semaphore.hold("b"):
        pass
    go_on.set()
    await asyncio.gather(*running)
    assert order == [0, 1, 2, 3, 4]


async def test_a_turn_that_does_not_come_in_time_is_given_up_and_leaves_nothing() -> None:
    semaphore = KeyedSemaphore(1, 9, 0.05)
    async with semaphore.hold("a"):
        with pytest.raises(TimeoutError):
            async with semaphore.hold("a"):
                raise AssertionError
    async with semaphore.hold("a"):
        pass
    assert semaphore.keys == frozenset()


async def test_one_that_is_cancelled_gives_its_turn_back() -> None:
    semaphore = KeyedSemaphore(1, 9, 30)
    async with semaphore.hold("a"):
        waiting = asyncio.create_task(semaphore.hold("a").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with semaphore.hold("a"):
        assert semaphore.keys == {"a"}
    assert semaphore.keys == frozenset()


async def test_all_keys_together_have_a_bound_and_what_waits_for_it_leaves_nothing() -> None:
    semaphore = KeyedSemaphore(1, 2, 0.05)
    async with semaphore.hold("a"), semaphore.hold("b"):
        with pytest.raises(TimeoutError):
            async with semaphore.hold("c"):
                raise AssertionError
    async with semaphore.hold("c"), semaphore.hold("a"):
        assert semaphore.keys == {"a", "c"}
    assert semaphore.keys == frozenset()
