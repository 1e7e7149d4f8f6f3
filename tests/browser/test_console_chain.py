"""Chains on the console: a job's page names what it follows and what follows it, and the form makes a job after others."""

import json
import re

import pytest
from playwright.async_api import expect

from tests.browser.console import inspect, open_console
from tests.browser.test_console_form import create, definition, fault, field, open_form
from tests.browser.test_console_job import page_of, run

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_jobs_page_draws_what_it_follows_and_what_follows_it_with_their_last_statuses(context, server):
    extract = await server.enqueue("etl", name="extract", manual=True)
    prices = await server.enqueue("etl", name="prices", manual=True)
    load = await server.enqueue("etl", name="load", after=["extract", "prices"], afterOn="finishes")
    await server.enqueue("etl", name="report", after="load")
    await run(server, extract, 5)
    assert (await server.ask("DELETE", f"/tasks/etl/jobs/{prices['jobId']}")).status == 200
    console = await open_console(context, page_of(server, load))
    chain = console.page.locator("section", has=console.page.get_by_role("heading", name="Chain"))
    await expect(chain.get_by_role("listitem")).to_have_text(
        [re.compile("extract.*done", re.IGNORECASE), re.compile("is gone"), re.compile("report.*idle", re.IGNORECASE)]
    )
    await expect(console.page.get_by_text("Each time that each of the jobs that it follows has ended again")).to_be_visible()
    await chain.get_by_role("link", name="report").click()
    await expect(console.page.get_by_role("heading", level=1)).to_contain_text("report")
    await expect(console.page.get_by_text("Each time that the job that it follows has succeeded")).to_be_visible()


async def test_the_form_makes_a_job_after_others_by_the_keyboard(context, server):
    upstream = [await server.enqueue("etl", name=name, manual=True) for name in ("extract", "prices")]
    console = await open_form(context, server, "?task=etl")
    page = console.page
    await field(page, "Image").fill("ubuntu")
    await page.get_by_label("By hand", exact=True).check()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_label("After other jobs", exact=True)).to_be_checked()
    await page.keyboard.press("Tab")
    await expect(field(page, "After")).to_be_focused()
    await page.keyboard.type("extract, prices")
    await page.keyboard.press("Tab")
    await field(page, "Each time that").select_option("finishes")
    await expect(page.locator(".lead")).to_have_text("Each time that each of the jobs that it follows has ended again")
    await expect(page.get_by_text("The next run")).to_have_count(0)
    assert await inspect(page, "new-after") == {}
    await field(page, "After").fill("extract,")
    await expect(page.locator(".lead")).to_have_text("Each time that the job that it follows has ended")
    await expect(page.locator(".commands")).to_contain_text("--after=extract --after-on=finishes ubuntu")
    await field(page, "After").fill("")
    await expect(fault(page, "After")).to_contain_text("After is empty")
    await field(page, "After").fill("extract, prices")
    await create(page)
    made = await definition(server, page.url.replace("/console", ""))
    assert (made["after"], made["afterOn"]) == ([one["jobId"] for one in upstream], "finishes")
    assert console.faults == []


RULES = {"Pause after": "5", "Notify after": "3", "Concurrency": "2", "Shared limit": "db"}


async def test_the_rules_of_a_schedule_are_folded_away_set_in_the_form_and_shown_by_the_jobs_page(context, server):
    console = await open_form(context, server, "?task=reports")
    page = console.page
    await field(page, "Image").fill("ubuntu")
    await page.get_by_label("Again and again", exact=True).check()
    for label, value in (("Cron", "H 2 * * *"), ("Delayed by up to", "30m"), ("Not on", "2026-12-24..2026-12-26, 2027-01-01")):
        await field(page, label).fill(value)
    await expect(page.locator(".lead")).to_contain_text("with numbers for H that are chosen when the job is created")
    await expect(page.get_by_text("The next run")).to_have_count(0)
    await field(page, "Delayed by up to").fill("1800")
    await expect(page.locator(".commands")).to_contain_text("--spread=1800s")
    for label in (*RULES, "Done by"):
        await expect(field(page, label)).to_be_hidden()
    for words in ("Name, labels, priority and other rules", "When it is late, mail and webhooks"):
        await page.get_by_text(words).click()
    for label, value in {**RULES, "Done by": "06:00"}.items():
        await field(page, label).fill(value)
    assert await inspect(page, "new-rules") == {}
    await create(page)
    made = await definition(server, page.url.replace("/console", ""))
    assert made["skipDates"] == ["2026-12-24..2026-12-26", "2027-01-01"]
    names = ("cron", "spread", "pauseAfter", "notifyAfter", "concurrency", "concurrencyKey", "doneBy")
    assert [made[name] for name in names] == ["H 2 * * *", "30m", 5, 3, 2, "db", "06:00"]
    for words in ("5 failed ticks in a row", "3 failed ticks in a row", "of up to 30 m", "2026-12-24..2026-12-26, 2027-01-01", "by 06:00"):
        await expect(console.section("Schedule")).to_contain_text(words)
    await expect(console.section("What it runs")).to_contain_text("2 with the key db at once")
    assert await inspect(page, "job-rules") == {}
    assert console.faults == []


@pytest.mark.parametrize(("choice", "sent"), [("By hand", {"after": None, "manual": True}), ("Now", {"after": None, "manual": False})])
async def test_the_form_says_whether_a_job_that_follows_no_others_any_more_runs_now(context, server, choice, sent):
    await server.enqueue("etl", name="extract", manual=True)
    reply = await server.enqueue("etl", after="extract")
    console = await open_console(context, f"{server.base}/console/new?edit=etl/{reply['jobId']}")
    page = console.page
    await page.get_by_label(choice, exact=True).check()
    await expect(console.section("The same from a terminal").locator("code").first).to_contain_text(json.dumps(sent))
    await page.get_by_role("button", name="Save the changes").click()
    await expect(page).to_have_url(re.compile("/console/tasks/"))
    job = (await server.get(reply["jobUrl"])).json["job"]
    assert (job["definition"].get("manual"), job["executionCount"]) == ((True, 0) if sent["manual"] else (None, 1))
    assert console.faults == []
