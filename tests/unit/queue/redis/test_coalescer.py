"""Calls of one turn of the loop become one, and each caller gets its own answers."""

import asyncio
from collections.abc import Sequence

import pytest

from fastlane.errors import QueueDown
from fastlane.queue.redis.connection import Coalescer
from tests.support.clock import settle


class Sender:
    """Answers each thing with itself, twice over; ``down`` refuses; a call waits while ``gate`` is not set."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, things: Sequence[int]) -> Sequence[int]:
        self.calls.append(list(things))
        await self.gate.wait()
        if self.down:
            raise QueueDown("away")
        return [2 * thing for thing in things]


async def test_what_is_brought_in_one_turn_goes_together_and_each_caller_gets_its_own_answers() -> None:
    sender = Sender()
    coalescer = Coalescer(sender.send)
    answers = await asyncio.gather(coalescer.call([1]), coalescer.call([2, 3]), coalescer.call([]), coalescer.call([4]))
    assert answers == [[2], [4, 6], [], [8]]
    assert sender.calls == [[1, 2, 3, 4]]


async def test_what_comes_while_a_call_is_under_way_does_not_wait_for_its_end() -> None:
    sender = Sender()
    coalescer = Coalescer(sender.send)
    sender.gate.clear()
    first = asyncio.ensure_future(coalescer.call([1]))
    await settle()
    second = asyncio.ensure_future(coalescer.call([2]))
    await settle()
    assert sender.calls == [[1], [2]]
    sender.gate.set()
    assert [await first, await second] == [[2], [4]]


async def test_every_caller_of_a_failed_call_gets_its_own_error() -> None:
    sender = Sender()
    sender.down = True
    coalescer = Coalescer(sender.send)
    errors = await asyncio.gather(coalescer.call([1]), coalescer.call([2]), return_exceptions=True)
    assert [str(error) for error in errors] == ["away", "away"]
    assert errors[0] is not errors[1]
    sender.down = False
    assert await coalescer.call([3]) == [6]


async def test_a_cancelled_caller_does_not_cancel_others() -> None:
    sender = Sender()
    coalescer = Coalescer(sender.send)
    sender.gate.clear()
    leaving, staying = asyncio.ensure_future(coalescer.call([1])), asyncio.ensure_future(coalescer.call([2]))
    await settle()
    leaving.cancel()
    sender.gate.set()
    assert await staying == [4]
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_closing_waits_for_the_calls_that_are_under_way() -> None:
    sender = Sender()
    coalescer = Coalescer(sender.send)
    sender.gate.clear()
    caller = asyncio.ensure_future(coalescer.call([1]))
    await settle()
    closing = asyncio.ensure_future(coalescer.close())
    await asyncio.sleep(0)
    assert not closing.done()
    sender.gate.set()
    await closing
    assert await caller == [2]
