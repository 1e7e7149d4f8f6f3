"""Each page looks as it did: both themes, on a desk and on a phone. ``scripts/screenshots`` keeps the looks of today instead."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.browser.console import VIEWS
from tests.browser.pictures import TOLERANCE, check, difference, picture
from tests.browser.sample import POOLS, Sample, StillClock, hold_still
from tests.support.fastlane import Fastlane

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = {
    "overview": ("/", "Monthly report|backup-database"),
    "tasks": ("/console/tasks", "invoices"),
    "task": ("/console/tasks/invoices", "Monthly report"),
    "jobs": ("/console/jobs", "Monthly report"),
    "job": ("/console/tasks/invoices/jobs/{invoices}", "Monthly report.*finance@example.com"),
    "executions": ("/console/executions", "ffmpeg"),
    "execution": ("/console/tasks/backup-database/jobs/{backup-database}/executions/{failed}", "No space left"),
    "hosts": ("/console/hosts", "Refused the connection"),
    "form": ("/console/new?like=invoices/{invoices}", "Every hour at minute 15.*1 of 2 usable"),
    "log": ("/tasks/invoices/jobs/{invoices}/stream", "Run now.*finance@example.com"),
    "login": ("/login", "This server needs no login."),
}
"""Each page's path, and what it says once it is there."""

SHOW = """([text, instead]) => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const shown = node => node.data.includes(text) ? node.data = node.data.replaceAll(text, instead) : node;
    while (texts.nextNode()) shown(texts.currentNode);
}"""
"""Shows another text in place of one that differs each time."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sample(shared_redis, tmp_path_factory) -> AsyncIterator[Sample]:
    clock = StillClock()
    server = Fastlane(tmp_path_factory.mktemp("sample"), shared_redis.url, pools=POOLS, queue_time=clock.now)
    server.clock = clock
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastlane.app.AlignedClock", lambda _machine: clock)
        async with server:
            filled = Sample(server, clock)
            await filled.fill()
            yield filled


@pytest_asyncio.fixture(loop_scope="session")
async def tool(browser: Browser) -> AsyncIterator[Page]:
    """An empty page in a window of its own."""
    page = await browser.new_page()
    yield page
    await page.close()


@pytest_asyncio.fixture(loop_scope="session")
async def still(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A window in which time stands still. Nothing moves there."""
    context = await browser.new_context(locale="en-GB", timezone_id="Europe/Berlin", reduced_motion="reduce")
    context.set_default_timeout(60_000)
    await hold_still(context)
    try:
        yield context
    finally:
        await context.unroute_all(behavior="ignoreErrors")
        await context.close()


async def open_page(context: BrowserContext, sample: Sample, name: str) -> Page:
    path, words = PAGES[name]
    ids = {task: reply["jobId"] for task, reply in sample.replies.items()}
    page = await context.new_page()
    await page.goto(sample.server.base + path.format(**ids, failed=sample.failed))
    await expect(page.locator("body")).to_contain_text(re.compile(words, re.DOTALL))
    if await page.locator("#live:visible").count():
        await expect(page.locator("#live")).to_have_text(re.compile("Live|Ended"))
    await page.evaluate(SHOW, [str(sample.server.port), "10000"])
    await page.evaluate(SHOW, [sample.failed, "019ca84d-0000-7000-8000-000000000000"])
    return page


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_looks_as_it_did(still, tool, sample, name):
    page = await open_page(still, sample, name)
    wrong = []
    for where, size, theme in VIEWS:
        await page.set_viewport_size(size)
        await page.emulate_media(color_scheme=theme)
        wrong.append(await check(tool, page, f"{name}-{where}-{theme}"))
    assert not any(wrong), "\n".join(["Look at the pictures. If they are as you want them: scripts/screenshots", *filter(None, wrong)])


async def test_small_changes_of_the_looks_are_noticed(browser, tool, sample):
    """And the same page once more is not."""
    context = await browser.new_context(bypass_csp=True, reduced_motion="reduce")
    await hold_still(context)
    page = await open_page(context, sample, "overview")
    before = await picture(tool, page)
    assert await difference(tool, before, await picture(tool, page)) == 0
    for change in ("#nav { gap: 0.75rem }", "td { padding-block: 0.6rem }", ".mark { color: var(--ink) !important }"):
        style = await page.add_style_tag(content=change)
        assert await difference(tool, before, await picture(tool, page)) > TOLERANCE, change
        await style.evaluate("style => style.remove()")
    await context.unroute_all(behavior="ignoreErrors")
    await context.close()
