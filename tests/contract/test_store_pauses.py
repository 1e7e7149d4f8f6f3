"""What every store promises of paused pools."""

import asyncio

from fastlane.models.pool import Pauses


async def test_nothing_is_paused_at_first(store):
    assert await store.paused_pools() == Pauses(0, frozenset())


async def test_a_pause_is_kept_until_it_is_ended(store, open_store):
    assert await store.pause_pool("a", True) == Pauses(1, frozenset({"a"}))
    assert await store.pause_pool("b", True) == Pauses(2, frozenset({"a", "b"}))
    other = await open_store()
    assert await other.paused_pools() == Pauses(2, frozenset({"a", "b"}))
    assert await other.pause_pool("a", False) == Pauses(3, frozenset({"b"}))
    assert await store.paused_pools() == Pauses(3, frozenset({"b"}))


async def test_what_changes_nothing_raises_no_revision(store):
    await store.pause_pool("a", True)
    assert await store.pause_pool("a", True) == Pauses(1, frozenset({"a"}))
    assert await store.pause_pool("b", False) == Pauses(1, frozenset({"a"}))


async def test_each_of_many_pauses_at_once_has_a_revision_of_its_own_and_says_what_came_before_it(store, open_store):
    other = await open_store()
    names = [f"pool-{number}" for number in range(40)]
    answers = await asyncio.gather(*((store, other)[number % 2].pause_pool(name, True) for number, name in enumerate(names)))
    for name, answer in zip(names, answers, strict=True):
        assert name in answer.names
        assert len(answer.names) == answer.revision
    assert sorted(answer.revision for answer in answers) == list(range(1, 41))
    assert await store.paused_pools() == Pauses(40, frozenset(names))
