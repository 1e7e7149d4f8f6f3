"""People who log in with a token or a password on any page, go on there, and log out."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.console import log_in, open_console
from tests.browser.logpage import DESK, PHONE, LogPage, shoot, violations
from tests.support.credentials import bearer, token, user
from tests.support.fastlane import Fastlane

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def guarded(shared_redis, tmp_path) -> AsyncIterator[Fastlane]:
    tokens = (token("anna", "fl_anna"), token("ci", "fl_ci"))
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", tokens=tokens, ws_start_wait=1.0) as server:
        await server.report_worker()
        yield server


async def test_a_log_opens_after_a_login_and_closes_after_logging_out(context, guarded):
    reply = (await guarded.post("/tasks/task", {"image": "ubuntu:latest"}, headers=bearer("fl_ci"))).json
    execution = await guarded.run(reply)
    await guarded.append_log(execution, (1, b"first\n"))
    log = LogPage(await context.new_page())
    page = log.page
    await page.goto(f"{reply['jobUrl']}stream")
    await page.get_by_label("Token").fill("fl_wrong")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_have_text("The token is not valid here.")
    await page.get_by_label("Token").fill(" fl_anna ")
    await page.get_by_label("Token").press("Enter")
    await expect(log.lines).to_have_text(["first"])
    await guarded.append_log(execution, (1, b"second\n"))
    await expect(log.lines).to_have_text(["first", "second"])
    assert await page.evaluate("document.cookie") == ""
    await page.goto(f"{guarded.base}/login")
    await expect(page.locator("#words")).to_have_text("You are logged in as anna (run).")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("Token")).to_be_visible()
    await page.goto(f"{reply['jobUrl']}stream")
    await expect(page.get_by_role("button", name="Log in")).to_be_visible()
    assert log.faults == []


async def test_the_console_asks_for_a_login_and_then_says_who_is_there(context, guarded):
    console = await open_console(context, guarded.base)
    await console.page.get_by_label("Token").fill("fl_anna")
    await console.page.get_by_role("button", name="Log in").click()
    await expect(console.page.get_by_role("heading", name="Nothing has run here yet")).to_be_visible()
    await expect(console.page.get_by_role("link", name="anna")).to_have_attribute("href", f"{guarded.base}/login")
    await context.clear_cookies()
    await console.page.keyboard.press("r")
    await expect(console.trouble).to_contain_text("Your session has ended.")
    await console.page.get_by_role("button", name="Log in").click()
    await console.page.get_by_label("Token").fill("fl_anna")
    await console.page.get_by_role("dialog").get_by_role("button", name="Log in").click()
    await expect(console.trouble).to_be_empty()
    await expect(console.live).to_have_text("Live")
    assert console.faults == []


async def test_a_logged_in_person_tries_the_api_out(context, guarded):
    page = await context.new_page()
    await page.goto(f"{guarded.base}/docs")
    await page.get_by_label("Token").fill("fl_anna")
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("button", name="Schemas").click()
    await expect(page.get_by_role("button", name="Expand all").first).to_be_visible()
    assert await violations(page) == []  # what only a server with logins has, and the schemas
    one = page.locator("#operations-tasks-enqueue")
    await one.locator(".opblock-summary-control").click()
    await one.locator("tr[data-param-name=task_id] input").fill("by-hand")
    await one.get_by_role("button", name="Execute").click()
    await expect(one.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("200")
    tasks = (await guarded.get("/tasks", headers=bearer("fl_ci"))).json["items"]
    assert [row["taskId"] for row in tasks] == ["by-hand"]


async def test_a_user_logs_in_on_the_page_without_a_dialog_of_the_browser_and_goes_on_where_they_were(context, shared_redis, tmp_path):
    """With a password or a token, on any address; when the session ends, in a dialog above what was read."""
    access = {"users": (user("anna", "annas"),), "tokens": (token("ci", "fl_ci"),)}
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", ws_start_wait=1.0, **access) as server:
        await server.report_worker()
        reply = (await server.post("/tasks/task", {"image": "ubuntu:latest"}, headers=bearer("fl_ci"))).json
        execution = await server.run(reply)
        await server.append_log(execution, (1, b"first\nsecond\n"))
        log = LogPage(await context.new_page())
        page, alert = log.page, log.page.get_by_role("alert")
        await page.goto(f"{reply['jobUrl']}stream#L2")
        await log_in(page, "anna", "wrong")
        await expect(alert).to_have_text("The user or the password is wrong.")
        await page.get_by_role("button", name="Use a token instead").click()
        await expect(page.get_by_label("Token")).to_be_focused()
        await page.get_by_role("button", name="Use a password instead").click()
        await expect(alert).to_be_empty()
        await log_in(page, "anna", "annas")
        await expect(log.lines).to_have_text(["first", "second"])
        await expect(page.locator(".row.linked")).to_contain_text("second")
        account = page.get_by_role("link", name="anna")
        await expect(account).to_have_attribute("title", "Logged in as anna (run). Log out")
        await context.clear_cookies()
        server.followers.interrupt()
        await expect(log.notices).to_contain_text("You are not logged in here.")
        await page.get_by_role("button", name="Log in").click()
        assert await violations(page) == []
        await log_in(page.get_by_role("dialog", name="Log in"), "anna", "annas")
        await server.append_log(execution, (1, b"third\n"))
        await expect(log.lines).to_have_text(["first", "second", "third"])
        await expect(log.link).to_contain_text("Live")
        await expect(page.get_by_role("button", name="Stop this run")).to_be_enabled()
        address = page.url
        await account.click()
        await page.get_by_role("button", name="Log out").click()
        await log_in(page, "anna", "annas")
        await expect(log.lines).to_have_text(["first", "second", "third"])
        assert page.url == address
        assert log.faults == []


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_in_the_form(context, guarded, size, theme):
    page = await context.new_page()
    await page.set_viewport_size(size)
    await page.emulate_media(color_scheme=theme)
    await page.goto(f"{guarded.base}/docs")
    await page.get_by_label("Token").fill("fl_wrong")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_have_text("The token is not valid here.")
    assert await violations(page, theme) == []
    await shoot(page, f"login-{'desk' if size is DESK else 'phone'}-{theme}")
