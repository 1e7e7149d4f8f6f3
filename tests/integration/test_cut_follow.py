"""A log that is followed while its job is silent and its host's network goes: packets vanish, and nobody says so."""

import asyncio
import contextlib

import pytest

from fastlane.errors import HostDown
from tests.integration.test_swarm_hosts import HOLD, opened, running_task, start
from tests.support.swarms import Swarms

NOTICED_WITHIN = 90.0
"""Seconds; it takes 25."""


@pytest.mark.thorough
@pytest.mark.timeout(200)
async def test_a_follow_of_a_silent_job_notices_that_its_host_has_gone(three_swarms: Swarms) -> None:
    node = three_swarms.nodes[0]
    async with opened([node.tcp], "cut-follow") as executor:
        task = await running_task(executor, node.tcp, await start(executor, node.tcp, HOLD))
        follow = executor.logs(node.tcp, task, {}, follow=True)
        async with contextlib.aclosing(follow):
            assert [piece.data for piece in (await anext(follow)).pieces] == [b"begun\n"]
            waiting = asyncio.ensure_future(anext(follow))
            await asyncio.wait([waiting], timeout=2.0)
            assert not waiting.done()
            node.cut()
            try:
                with pytest.raises(HostDown):
                    await asyncio.wait_for(waiting, NOTICED_WITHIN)
            finally:
                node.mend()
