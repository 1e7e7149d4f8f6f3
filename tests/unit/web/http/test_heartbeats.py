"""One timer beats for all: each in its turn, none after it was stopped."""

import asyncio

from fastlane.web.http.connection import Heartbeats
from tests.support.waiting import until


async def test_each_beats_again_and_again_until_it_is_stopped() -> None:
    beats, counts = Heartbeats(0.02), [0, 0, 0]

    def beat(number: int) -> None:
        counts[number] += 1
        if number == 0:
            beats.stop(functions[1])

    functions = [lambda number=number: beat(number) for number in range(3)]
    for function in functions:
        beats.start(function)
    await until(lambda: counts[0] >= 3 and counts[2] >= 3, "the beats")
    assert counts[1] == 0, "the first beat stopped it"
    for function in functions:
        beats.stop(function)
        beats.stop(function)
    before = list(counts)
    await asyncio.sleep(0.1)  # five intervals, in which nothing may happen
    assert counts == before
    beats.start(functions[2])
    await until(lambda: counts[2] > before[2], "it goes on after a rest")
    beats.close()
