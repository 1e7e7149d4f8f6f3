"""A check that many share: when it is made, and what is left of one that was given up."""

import asyncio

from fastlane.services.reads.status import SharedCheck
from tests.support.clock import settle
from tests.support.waiting import until


class Part:
    """Counts the checks that are made of it, and holds them up until ``go``."""

    def __init__(self) -> None:
        self.checks = 0
        self.go = asyncio.Event()
        self.go.set()

    async def check(self) -> int:
        self.checks += 1
        await self.go.wait()
        return self.checks


async def test_who_asks_at_the_same_time_or_soon_after_gets_the_same_answer():
    part = Part()
    check = SharedCheck(part.check, 60)
    part.go.clear()
    asking = [asyncio.create_task(check.answer()) for _ in range(20)]
    await settle()
    part.go.set()
    assert set(await asyncio.gather(*asking)) == {1}
    assert (await check.answer(), part.checks) == (1, 1)


async def test_an_answer_that_is_too_old_is_asked_for_again():
    part = Part()
    check = SharedCheck(part.check, 0.01)
    assert await check.answer() == 1

    async def newer():
        return await check.answer() > 1

    await until(newer, "the answer never grew old")


async def test_a_check_that_is_given_up_leaves_no_answer_and_holds_nobody_up():
    part = Part()
    check = SharedCheck(part.check, 60)
    part.go.clear()
    first, second = asyncio.create_task(check.answer()), asyncio.create_task(check.answer())
    await settle()
    first.cancel()
    await settle()
    part.go.set()
    assert await second == 2


async def test_an_answer_that_was_cheap_counts_for_nobody_else():
    part = Part()
    check = SharedCheck(part.check, 60, share=10, cheap=3_600)
    assert [await check.answer(), await check.answer()] == [1, 2]
