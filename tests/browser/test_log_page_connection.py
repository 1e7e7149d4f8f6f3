"""The log page when its connection is cut or its server is away."""

import re

import pytest
from playwright.async_api import expect

from fastlane.models import transitions
from tests.browser.console import open_console
from tests.browser.logpage import numbered, open_log, shoot, violations
from tests.support.relay import Relay
from tests.support.waiting import until

RECONNECT_NOW = "[...document.querySelectorAll('button')].find((one) => one.innerText === 'Reconnect now')?.click()"
"""Presses the button if the page has not reconnected by itself, as it does every 5 s: then there is none."""

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
            await log.page.evaluate(RECONNECT_NOW)
            await expect(log.lines.last).to_have_text(f"line {start + 999} ")
            await expect(log.notices).to_be_empty()
        assert await log.copied() == numbered(0, 3_000).decode()
    assert log.faults == []


async def test_while_the_server_is_away_what_was_read_stays_and_is_not_fetched_again(context, server):
    """However often it tries; also when a job with the same id has taken the place of the one that was read."""
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"before\n"))
    async with Relay(0, server.port) as relay:
        log = await open_log(context, reply["jobUrl"].replace(f":{server.port}/", f":{relay.place}/"))
        sockets: list[str] = []
        log.page.on("websocket", lambda socket: sockets.append(socket.url))
        again = log.page.get_by_role("button", name="Reconnect now")
        await expect(log.lines).to_have_text(["before"])
        await expect(log.link).to_contain_text("Live")
        await relay.stop()
        await expect(log.link).to_have_text(re.compile("^Not connected"))
        await expect(log.notices).to_contain_text(re.compile("Reconnecting in [1-4] s"))
        await expect(log.notices).to_contain_text("The server cannot be reached")  # it has tried by itself
        for count in (2, 3):
            await again.click()
            await until(lambda count=count: len(sockets) >= count, "one more connection")
            await expect(log.notices).to_contain_text("The server cannot be reached")
        await expect(log.lines).to_have_text(["before"])
        await shoot(log.page, "away")
        await relay.start()
        await server.append_log(execution, (1, b"meanwhile\n"))
        await log.page.evaluate(RECONNECT_NOW)
        await expect(log.lines).to_have_text(["before", "meanwhile"])
        await expect(log.link).to_contain_text("Live")
        assert all(f"from={execution.id}" in url for url in sockets)
        await relay.stop()
        await expect(log.link).to_have_text(re.compile("^Not connected"))
        ended = await server.end(execution)
        await server.change(transitions.clean(await server.change(transitions.settle(ended))))
        assert (await server.ask("DELETE", reply["jobUrl"])).status == 200
        await server.put(reply["jobUrl"], {"image": "ubuntu:latest"})
        await relay.start()
        await log.page.evaluate(RECONNECT_NOW)
        await expect(log.notices).to_contain_text("The run whose log is shown was deleted on the server. What was read stays here.")
        await expect(log.lines).to_have_text(["before", "meanwhile"])
        await expect(log.page.get_by_role("button", name="Show the newest run")).to_be_visible()
    assert log.faults == []


async def test_a_server_that_is_silent_is_noticed_within_seconds(context, server):
    """On the console, too, in another tab; both go on when the server is back."""
    reply = await server.enqueue()
    execution = await server.run(reply)
    async with Relay(0, server.port) as relay:
        log = await open_log(context, reply["jobUrl"].replace(f":{server.port}/", f":{relay.place}/"))
        console = await open_console(context, f"http://localhost:{relay.place}/")
        await expect(log.link).to_contain_text("Live")
        await expect(console.live).to_have_text("Live")
        relay.hang()
        await expect(log.link).to_have_text(re.compile("^Not connected"))
        await expect(log.notices).to_contain_text("The connection was lost")
        await expect(console.live).to_have_text("Not connected")
        await expect(console.page.locator("#lost")).to_contain_text("Not connected since")
        await expect(console.section("Pools")).to_be_visible()
        assert await violations(console.page) == []
        await shoot(console.page, "console-lost")
        relay.flow()
        await server.append_log(execution, (1, b"meanwhile\n"))
        await log.page.evaluate(RECONNECT_NOW)
        await expect(log.lines).to_have_text(["meanwhile"])
        await expect(log.notices).to_be_empty()
        await expect(console.live).to_have_text("Live")
        await expect(console.page.locator("#lost")).to_be_empty()
    assert log.faults == console.faults == []
