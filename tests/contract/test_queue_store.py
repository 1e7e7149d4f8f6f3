"""What every queue must remember of the store, so that it is noticed when that goes back."""

import asyncio

from fastlane.models.store_version import StoreVersion


async def seen(queue) -> StoreVersion | None:
    return (await queue.generation.identity()).store


async def test_it_remembers_the_highest_that_it_heard_of_until_a_wipe(queue):
    assert await seen(queue) is None
    for commits, highest in ((5, 5), (4, 5), (10_000_000_000_000, 10_000_000_000_000), (7, 10_000_000_000_000)):
        await queue.generation.remember_store(StoreVersion("a", commits))
        assert await seen(queue) == StoreVersion("a", highest)
    await queue.generation.set_generation("2")
    assert await seen(queue) == StoreVersion("a", 10_000_000_000_000)
    await queue.generation.wipe()
    assert await seen(queue) is None


async def test_another_store_does_not_take_the_place_of_the_one_to_which_the_data_belong(queue):
    await queue.generation.remember_store(StoreVersion("a", 5))
    await queue.generation.remember_store(StoreVersion("b", 9))
    assert await seen(queue) == StoreVersion("a", 5)


async def test_the_highest_of_many_at_once_is_remembered(queue):
    await asyncio.gather(*(queue.generation.remember_store(StoreVersion("a", commits)) for commits in (3, 1, 9, 4, 9, 2)))
    assert await seen(queue) == StoreVersion("a", 9)
