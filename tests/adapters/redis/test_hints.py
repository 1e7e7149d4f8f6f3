"""Hints on a real Redis: they reach who listens, cost nobody else anything, and come back with Redis."""

import asyncio
from uuid import uuid4

import pytest

from fastlane.models.log import Hint
from fastlane.models.status import Status
from fastlane.queue.redis.hints import RedisHints
from tests.support.redis import RealRedis
from tests.support.waiting import until

E, F = "0190a1b2-c3d4-8e5f-9a6b-7c8d9e0f1a2b", "0190a1b2-c3d4-8e5f-9a6b-7c8d9e0f1a2c"


@pytest.fixture
async def pair(own_redis: RealRedis):
    """Two processes' hubs."""
    name = f"test-{uuid4()}"
    hubs = [RedisHints(own_redis.url, name, deadline=1.0) for _ in range(2)]
    for hub in hubs:
        await hub.open()
    yield hubs
    for hub in hubs:
        await hub.close()


async def test_a_hint_reaches_all_who_listen_to_that_execution_in_every_process(pair):
    near, far = pair
    heard: dict[str, list[Hint | None]] = {name: [] for name in ("near", "far", "far too", "other")}
    near.subscribe(E, heard["near"].append)
    far.subscribe(E, heard["far"].append)
    far.subscribe(E, heard["far too"].append)
    far.subscribe(F, heard["other"].append)
    await until(lambda: all(heard.values()), "no word that they hear")
    hint = Hint(E, 81, Status.RUNNING)
    near.publish(hint)
    await until(lambda: all(hint in heard[name] for name in ("near", "far", "far too")), "the hint")
    assert hint not in heard["other"]


async def test_of_many_hints_at_once_the_last_of_each_execution_arrives(pair):
    near, far = pair
    heard: list[Hint | None] = []
    for id in (E, F):
        far.subscribe(id, heard.append)
    await until(lambda: len(heard) >= 2, "no word that they hear")
    for offset in range(1_000):
        near.publish(Hint(E, offset, Status.RUNNING))
        near.publish(Hint(F, offset, Status.DONE))
    await until(lambda: {Hint(E, 999, Status.RUNNING), Hint(F, 999, Status.DONE)} <= set(heard), "the last hints")
    assert len(heard) < 100


async def test_who_stopped_listening_hears_nothing_and_redis_knows_of_no_channel(pair, own_redis):
    near, far = pair
    heard: list[Hint | None] = []
    stop = far.subscribe(E, heard.append)
    await until(lambda: bool(heard), "no word that it hears")
    stop()
    others: list[Hint | None] = []
    far.subscribe(F, others.append)
    await until(lambda: bool(others), "no word that it hears")
    with own_redis.client() as client:
        await until(lambda: not [name for name in client.pubsub_channels() if name.endswith(E)], "the channel stays")
    near.publish(Hint(E, 1, Status.DONE))
    near.publish(Hint(F, 1, Status.DONE))
    await until(lambda: len(others) == 2, "the hint that came after it")
    assert heard == [None]


async def test_after_a_loss_of_redis_everybody_is_told_to_look_and_hears_again(pair, own_redis):
    near, far = pair
    heard: list[Hint | None] = []
    far.subscribe(E, heard.append)
    await until(lambda: bool(heard), "no word that it hears")
    own_redis.kill()
    for offset in range(100):
        near.publish(Hint(E, offset, Status.RUNNING))
    heard.clear()
    own_redis.start()
    await until(lambda: None in heard, "no word of the gap")

    def again() -> bool:
        near.publish(Hint(E, 5, Status.RUNNING))
        return Hint(E, 5, Status.RUNNING) in heard

    await until(again, "hints after the loss")


async def test_a_redis_that_hangs_holds_nobody_up(pair, own_redis):
    near, far = pair
    heard: list[Hint | None] = []
    far.subscribe(E, heard.append)
    await until(lambda: bool(heard), "no word that it hears")
    own_redis.pause()
    try:
        began = asyncio.get_running_loop().time()
        for offset in range(20_000):
            near.publish(Hint(f"{offset}", offset, Status.RUNNING))
        await near.close()
        assert asyncio.get_running_loop().time() - began < 5
    finally:
        own_redis.go_on()
