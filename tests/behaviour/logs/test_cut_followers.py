"""Clients that are cut, paused and moved at random, over a log whose lines are numbered: each line once, in order, and done at the end."""

import asyncio
import random
from contextlib import AsyncExitStack
from functools import partial
from itertools import pairwise

import pytest

from fastlane.services import assembly
from fastlane.streams.followers import Followers
from tests.behaviour.logs.cutting import Unsteady
from tests.support.fastlane import Fastlane
from tests.support.followers import Lossy

CLIENTS = 12
LINES = 800


def lines(number: int, dice: random.Random) -> bytes:
    """A numbered line, some short and some long, with characters of several bytes."""
    return f"{number} {dice.choice(('', 'ä', '✓ done', '🚀'))}{'x' * dice.choice((0, 20, 300, 9_000))}\n".encode()


def parts(data: bytes, dice: random.Random) -> list[bytes]:
    """It in pieces, cut anywhere: in the midst of characters too."""
    cuts = sorted({0, len(data), *(dice.randrange(len(data)) for _ in range(dice.randrange(4)))})
    return [data[start:end] for start, end in pairwise(cuts)]


async def write(server: Fastlane, reply: dict, seed: int) -> dict[int, bytes]:
    """Two attempts of a job that write such lines on both streams; all that stdout and stderr had."""
    dice = random.Random(seed)
    execution = await server.run(reply)
    whole = {1: b"", 2: b""}
    for number in range(LINES):
        stream = dice.choice((1, 1, 2))
        data = lines(number, dice)
        whole[stream] += data
        await server.append_log(execution, *((stream, part) for part in parts(data, dice)))
        if dice.random() < 0.02:
            await asyncio.sleep(0.05)  # a pause in the log, in which clients catch up
    await server.end(execution)
    return whole


LATER_SEEDS = [pytest.param(seed, marks=(pytest.mark.thorough, pytest.mark.repeated)) for seed in range(1, 20)]


@pytest.mark.parametrize("seed", [0, *LATER_SEEDS])
async def test_each_line_comes_once_and_in_order_however_a_client_is_cut(serve, seed, monkeypatch):
    """Half of the clients are cut by the server too, as too slow; and every third hint is lost."""
    installation = {"installation": f"cut-{seed}"}
    async with AsyncExitStack() as stack:
        with monkeypatch.context() as patch:
            patch.setattr(assembly, "Followers", partial(Followers, slow_after=0.05))
            hurried = await stack.enter_async_context(serve(**installation, hub=partial(Lossy, nth=3)))
        patient = await stack.enter_async_context(serve(**installation, hub=partial(Lossy, nth=3)))
        reply = await patient.enqueue(f"cut-{seed}")
        path = f"/tasks/cut-{seed}/jobs/{reply['jobId']}"
        clients = [Unsteady([hurried.base, patient.base], path, seed * 1_000 + number) for number in range(CLIENTS)]
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.follow())
            whole = await write(patient, reply, seed)
        for client in clients:
            end = client.messages[-1]
            assert end == {"event": "end", "status": "done", "exitCode": 0}
            assert all(message == end for message in client.messages if "event" in message)  # again for who was cut just then
            for number, stream in ((1, "stdout"), (2, "stderr")):
                got = "".join(message["text"] for message in client.messages if message.get("stream") == stream)
                assert got == whole[number].decode(), f"seed {seed}, {stream}"
        assert sum(client.cuts for client in clients) > CLIENTS * 5
