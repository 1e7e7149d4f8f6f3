"""The console's calendar, in a real browser: what comes by days, the hours and due times of a day, and what to look at."""

from datetime import datetime, timedelta

import pytest
from playwright.async_api import expect

from tests.browser.console import inspect, open_console

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_days_lead_by_keys_to_their_hours_and_due_times(context, server):
    tomorrow = f"{datetime.now().astimezone() + timedelta(days=1):%Y-%m-%d}"
    backup = await server.enqueue("night", cron="0 12 * * *", timezone="UTC", name="backup", overlap="allow")
    for number in range(12):
        await server.enqueue(f"crowd-{number}", cron="0 12 * * *", skipDates=[tomorrow] if number == 11 else None)
    console = await open_console(context, f"{server.base}/console/calendar")
    days = console.section("What will be due").locator("tbody tr")
    await expect(days.nth(2)).to_contain_text("13")
    await expect(days.nth(2)).to_contain_text("13 of 10 full")
    await expect(console.section("Most in one minute").locator("li").first).to_contain_text("13 due")
    await expect(console.section("Jobs to look at")).to_contain_text(f"a due time is skipped ({tomorrow})")
    await expect(console.section("Quiet minutes")).to_contain_text(":01 :02 :03 :04 :05 :06")
    assert await inspect(console.page, "calendar") == {}
    await console.page.get_by_label("Range").select_option("31")
    await expect(days.nth(30)).to_be_visible()
    assert console.page.url.endswith("?days=31")
    await console.page.keyboard.press("Tab")
    await console.page.locator("body").click(position={"x": 1, "y": 1})
    for _ in range(3):
        await console.page.keyboard.press("j")
    await console.page.keyboard.press("Enter")
    hours = console.section("By the hour").locator("tbody tr")
    await expect(hours).to_have_count(1)
    await expect(hours).to_contain_text("13 of 10 full")
    runs = console.section("Due times").locator("tbody tr")
    await expect(runs).to_have_count(13)
    job = f"{server.base}/console/tasks/night/jobs/{backup['jobId']}"
    await expect(runs.get_by_role("link", name="backup")).to_have_attribute("href", job)
    assert await inspect(console.page, "calendar-day") == {}
    await console.page.get_by_role("link", name="The day before").click()
    await expect(console.section("Due times").locator(".reason")).to_have_text(f"Skipped: {tomorrow}")
    assert console.faults == []


async def test_an_empty_calendar_leads_to_the_form_of_a_new_job(context, server):
    console = await open_console(context, f"{server.base}/console/calendar")
    await expect(console.page.get_by_text("No job has a time to come.")).to_be_visible()
    await expect(console.page.get_by_role("link", name="Schedule one")).to_be_visible()
    assert console.faults == []


async def test_the_form_says_what_a_new_job_would_do_to_its_pool(context, server):
    for number in range(10):
        await server.enqueue(f"crowd-{number}", cron="0 12 * * *")
    console = await open_console(context, f"{server.base}/console/new?task=new")
    page = console.page
    await page.locator("input").and_(page.get_by_label("Image", exact=True)).fill("ubuntu")
    await page.get_by_label("Again and again").check()
    await page.locator("input").and_(page.get_by_label("Cron", exact=True)).fill("0 12 * * *")
    await expect(page.locator(".when")).to_contain_text("At 12:00 every day")
    await expect(page.locator(".when")).to_contain_text("10 other jobs are due in that minute")
    place = console.section("Where it would run").locator(".impact")
    await place.get_by_role("button", name="What it does to the pool").click()
    await expect(place).to_contain_text("At most 11 run at once in its pool (10 without it), and 10 may.")
    await expect(place).to_contain_text("In 7 of its minutes others are due, too: 10 at")
    assert await inspect(page, "form-forecast") == {}
    assert console.faults == []
