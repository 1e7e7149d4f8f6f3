"""The search in the logs of a task's runs, on the task's page; in a real browser."""

import re

import pytest
from playwright.async_api import expect

from fastlane.errors import StoreDown
from fastlane.models.log import STDERR, STDOUT, Head
from tests.browser.console import inspect, open_console
from tests.support.endless_log import EndlessLog

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_lines_of_all_runs_are_found_and_lead_to_their_place_in_the_log(context, server, monkeypatch):
    gone = await server.run_to_end("nightly", (STDOUT, b"ERROR long ago\n"))
    await server.run_to_end("nightly", (STDOUT, b"start\n"), (STDERR, b"error <b>one</b>\n"))
    await server.run_to_end("other", (STDOUT, b"ERROR of another task\n"))
    real, cuts = server.store.log_head, 1

    async def head(id):
        nonlocal cuts
        if id != gone["executionId"]:
            return await real(id)
        if cuts:
            cuts -= 1
            raise StoreDown("away for a moment")
        return Head()

    monkeypatch.setattr(server.store, "log_head", head)
    console = await open_console(context, f"{server.base}/console/tasks/nightly")
    page, search = console.page, console.page.locator(".logsearch")
    await search.get_by_text("Search the logs").click()
    await search.get_by_label("Search the logs").fill("ERROR.<")
    await page.keyboard.press("Enter")
    outcome, hits = search.locator(".outcome"), search.locator(".hits li")
    await expect(outcome).to_have_text(
        re.compile(r"^1 line, in 1 log with \d+ B\. Not searched whole: the logs of some runs \(1 removed\)\.$")
    )
    await expect(hits).to_have_count(1)
    await expect(hits).to_contain_text("error <b>one</b>")
    await expect(hits.locator("mark")).to_have_text("error <")
    assert await inspect(page, "log-search") == {}
    await search.get_by_label("Upper and lower case differ").check()
    await search.get_by_role("button", name="Search").click()
    await expect(outcome).to_have_text(re.compile("^0 lines, in 1 log"))
    await search.get_by_label("Search the logs").fill("(error")
    await search.get_by_role("button", name="Search").click()
    await expect(outcome).to_have_text(re.compile(r"has no \) for the \( at character 1"))
    await search.get_by_label("Search the logs").fill("^error")
    await search.get_by_role("button", name="Search").click()
    await hits.get_by_role("link").click()
    await expect(page).to_have_url(re.compile(r"/stream#L2$"))
    await expect(page.get_by_text("error <b>one</b>")).to_be_visible()
    assert console.faults == []


async def test_a_search_can_be_stopped(context, server, monkeypatch):
    await server.run_to_end("nightly", (STDOUT, b"a line\n" * 1000))
    EndlessLog(server, monkeypatch)
    console = await open_console(context, f"{server.base}/console/tasks/nightly")
    search = console.page.locator(".logsearch")
    await search.get_by_text("Search the logs").click()
    await search.get_by_label("Search the logs").fill("nothing like it")
    await search.get_by_role("button", name="Search").click()
    await expect(search.locator(".outcome")).to_have_text(re.compile(r"^Searching… 0 lines so far, in "), timeout=30_000)
    await search.get_by_role("button", name="Stop").click()
    await expect(search.locator(".outcome")).to_have_text("Stopped. 0 lines.")
    await expect(search.get_by_role("button", name="Search")).to_be_visible()
    assert console.faults == []
