"""The console in several tabs of one browser: what happens in one is seen in the others, logging out as well."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, expect

from tests.browser.console import Console, inspect, open_console
from tests.browser.test_console_job import page_of
from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def guarded(shared_redis, tmp_path) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", tokens=(token("ci", "fl_ci"),)) as server:
        await server.report_worker()
        yield server


async def log_in(console: Console) -> None:
    await console.page.get_by_label("Token").fill("fl_ci")
    await console.page.get_by_role("button", name="Log in").last.click()  # above a page, it is in a dialog
    await expect(console.live).to_have_text("Live")


async def two_tabs(context: BrowserContext, server: Fastlane) -> tuple[Console, Console]:
    """The page of a job, and the overview, by someone who is logged in."""
    body = {"image": "ubuntu", "cron": "0 2 * * *", "name": "Nightly"}
    reply = (await server.post("/tasks/reports", body, headers=bearer("fl_ci"))).json
    job = await open_console(context, page_of(server, reply))
    await log_in(job)
    return job, await open_console(context, server.base)


async def test_what_one_tab_does_appears_in_the_other(context, guarded):
    job, overview = await two_tabs(context, guarded)
    await expect(overview.live).to_have_text("Live")
    await job.page.get_by_role("button", name="Run now").click()
    await expect(overview.section("Now")).to_contain_text("Nightly")
    await job.page.get_by_role("button", name="Delete").click()
    await job.page.get_by_role("alertdialog").get_by_role("button", name="Delete the job").click()
    await expect(overview.section("Now")).not_to_contain_text("Nightly")


async def test_logging_out_in_one_tab_is_said_in_the_others_and_a_login_brings_them_back(context, guarded):
    job, overview = await two_tabs(context, guarded)
    await overview.page.get_by_role("link", name="ci").click()
    await overview.page.get_by_role("button", name="Log out").click()
    await expect(job.trouble).to_contain_text("You logged out in another tab.")
    assert await inspect(job.page, "logged-out") == {}
    await overview.page.get_by_label("Token").fill("fl_ci")
    await overview.page.get_by_role("button", name="Log in").click()
    await expect(job.trouble).to_be_empty()
    await expect(job.live).to_have_text("Live")
    await job.page.get_by_role("button", name="Run now").click()
    await expect(job.section("Executions").locator("tbody tr")).to_have_count(1)


async def test_a_session_that_has_ended_says_so_and_the_login_leads_back_to_the_page(context, guarded):
    job, overview = await two_tabs(context, guarded)
    await context.clear_cookies()
    await job.page.get_by_role("button", name="Run now").click()
    await expect(job.trouble).to_contain_text("Your session has ended.")
    await expect(job.page.locator("#refused")).to_be_empty()
    address = job.page.url
    await job.page.get_by_role("button", name="Log in").click()
    await log_in(job)
    assert job.page.url == address
    await expect(job.page.get_by_role("button", name="Run now")).to_be_enabled()
    assert job.faults == overview.faults == []


async def test_a_page_whose_stream_was_lost_finds_out_that_the_session_ended_meanwhile(context, guarded):
    """The stream of events cannot begin again, and a browser does not say why."""
    job, overview = await two_tabs(context, guarded)
    await overview.page.close()
    away = re.compile(r".*/events\?.*")
    await context.route(away, lambda route: route.abort())
    await job.page.reload()
    await expect(job.live).to_have_text("Not connected")
    await context.clear_cookies()
    await context.unroute(away)
    await expect(job.trouble).to_contain_text("Your session has ended.")
