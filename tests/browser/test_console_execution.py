"""The console's page of one execution, to which an alert leads, and addresses below the console without a page."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.console import CUT_OFF, inspect, open_console
from tests.browser.logpage import DESK, PHONE, open_log
from tests.browser.test_console_job import page_of
from tests.browser.test_log_page_attempts import failed
from tests.support.fastlane import Fastlane

LATER = """() => { for (const cell of document.querySelectorAll("td time")) cell.textContent = cell.textContent.includes("ago")
    ? "59\\u00a0min ago" : "59\\u00a0min"; }"""
"""Makes the times in tables as long as they get within an hour."""

pytestmark = pytest.mark.asyncio(loop_scope="session")

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def execution_page(server: Fastlane, url: str) -> str:
    """The page of an execution, whose path is that of the API below ``/console``."""
    return url.replace(server.base, f"{server.base}/console")


async def test_the_page_of_a_failed_execution_shows_that_one_although_newer_ones_follow(context, server):
    reply = await server.enqueue("reports", name="Nightly report", retries=1)
    first = await server.run(reply)
    await server.append_log(first, (1, b"reading\n"), (2, b"out of paper\n"))
    second = await server.run({"executionId": (await failed(server, first, code=3)).id})
    await server.append_log(second, (1, b"printed\n"))
    ends = f"{server.base}/console/tasks/reports/jobs/{reply['jobId'][-8:]}/executions/"
    console = await open_console(context, ends + first.id[-8:])
    page = console.page
    await expect(page).to_have_url(execution_page(server, reply["executionUrl"]).rstrip("/"))
    await expect(page.get_by_role("group", name="Actions").get_by_role("button")).to_have_text(["Run again"])
    await expect(page.get_by_role("heading", level=1)).to_have_text(f"Execution {first.id[-8:]}")
    await expect(page.locator(".notice.bad")).to_have_text("Attempt 1 of 2 failed: exit code 3. Attempt 2 followed.")
    await expect(page.locator(".tail .text")).to_have_text(["reading", "out of paper"])
    await expect(console.section("How it went")).to_contain_text("Exit code3")
    await expect(page.get_by_role("link", name="Open the log")).to_have_attribute("href", f"{reply['executionUrl']}stream")
    await expect(page.get_by_role("link", name="Nightly report")).to_have_attribute("href", page_of(server, reply).rstrip("/"))
    assert await inspect(page, "execution") == {}
    await page.set_viewport_size(PHONE)
    assert await page.evaluate(f"() => {{ ({LATER})(); return ({CUT_OFF})(); }}") == []
    await page.set_viewport_size(DESK)
    newest = page.get_by_role("link", name="The newest execution")
    await expect(newest).to_have_attribute("href", re.compile(f"/executions/{second.id}$"))
    await console.section("Attempts of this run").get_by_role("link", name="Attempt 2").click()
    await expect(page.locator(".tail .text")).to_have_text(["printed"])
    await expect(newest).to_have_count(0)
    stop = page.get_by_role("button", name="Stop this run", exact=True)
    await stop.click()
    await page.get_by_role("alertdialog").get_by_role("button", name="Stop this run").click()
    await expect(stop).to_have_attribute("title", "It is being stopped.")
    assert (await server.execution({"executionId": second.id})).stop_requested_at is not None
    log = await open_log(context, reply["executionUrl"])
    way_back = log.page.locator("#facts").get_by_role("link", name=first.id)
    await expect(way_back).to_have_attribute("href", re.compile(f"/console/.*{first.id}$"))
    await page.goto(f"{ends}zz")
    await expect(console.trouble).to_contain_text("There is no execution 'zz'")
    assert console.faults == log.faults == []


async def test_an_address_below_the_console_without_a_page_is_a_page_that_says_so(context, server):
    for path in ("/console/nothing", "/console/tasks/task/jobs"):
        answer = await server.get(path, headers=HTML)
        assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert (await server.get(path)).headers["Content-Type"] == "application/problem+json"
    assert (await server.get("/nothing", headers=HTML)).json["status"] == 404
    console = await open_console(context, f"{server.base}/console/nothing")
    await expect(console.page.get_by_role("heading", name="There is no such page")).to_be_visible()
    await console.page.get_by_role("link", name="overview", exact=True).click()
    await expect(console.page.get_by_role("heading", name="Nothing has run here yet")).to_be_visible()
    assert console.faults == []
