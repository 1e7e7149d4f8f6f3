"""The log page when its connection is cut, its server is away, or its reader has to log in."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.logpage import numbered, open_log, shoot
from tests.support.credentials import user
from tests.support.fastlane import Fastlane
from tests.support.relay import Relay

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_after_a_cut_it_goes_on_without_a_gap_or_a_repeat(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    async with Relay(0, server.port) as relay:
        log = await open_log(context, reply["jobUrl"].replace(f":{server.port}/", f":{relay.place}/"))
        for start in range(0, 3_000, 1_000):
            await server.append_log(execution, (1, numbered(start, start + 499)), (2, numbered(start + 499, start + 500)))
            await expect(log.lines.last).to_have_text(f"line {start + 499} ")
            await relay.cut()
            await server.append_log(execution, (1, numbered(start + 500, start + 1_000)))
            await expect(log.notices).to_contain_text("The connection was lost")
            await log.page.get_by_role("button", name="Reconnect now").click()
            await expect(log.lines.last).to_have_text(f"line {start + 999} ")
            await expect(log.notices).to_be_empty()
        assert await log.copied() == numbered(0, 3_000).decode()
    assert log.faults == []


async def test_while_the_server_is_away_it_tries_every_five_seconds(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    async with Relay(0, server.port) as relay:
        log = await open_log(context, reply["jobUrl"].replace(f":{server.port}/", f":{relay.place}/"))
        await expect(log.link).to_contain_text("Live")
        await relay.stop()
        await expect(log.link).to_contain_text("Reconnecting in")
        await expect(log.link).to_contain_text(re.compile("Reconnecting in [1-4] s"))
        await expect(log.notices).to_contain_text("The server cannot be reached", timeout=15_000)
        await shoot(log.page, "away")
        await relay.start()
        await server.append_log(execution, (1, b"meanwhile\n"))
        await log.page.get_by_role("button", name="Reconnect now").click()
        await expect(log.lines).to_have_text(["meanwhile"])
        await expect(log.link).to_contain_text("Live")


async def test_whoever_has_logged_in_by_the_browser_follows_too(context, shared_redis, tmp_path):
    users = {"users": (user("anna", "annas", "read"),)}
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0") as server:
        reply = await server.run_to_end("task", (1, b"for anna\n"))
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", **users) as server:
        path = f"localhost:{server.port}/tasks/task/jobs/{reply['jobId']}/stream"
        log = await open_log(context, f"http://anna:annas@{path}")
        await expect(log.lines).to_have_text(["for anna"])
        await expect(log.link).to_contain_text("Ended")
