"""The pages on a slow line: what is there before the script, and what moves once more is known."""

import asyncio

import pytest
from playwright.async_api import expect

from tests.browser.logpage import DESK, PHONE, numbered
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOST_MOVED = 0.1
"""How much of a page may move by itself: what Core Web Vitals calls good."""
IS_PAINTED = "() => performance.getEntriesByName('first-contentful-paint').length === 1"
SHIFTS = """() => new Promise(resolve => {
    let sum = 0;
    new PerformanceObserver(list => {
        for (const one of list.getEntries()) if (!one.hadRecentInput) sum += one.value;
    }).observe({type: 'layout-shift', buffered: true});
    setTimeout(() => resolve(sum), 1000);
})"""


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("where", ["console", "log"])
async def test_the_frame_stands_before_the_script_and_nothing_moves_after_it(context, server, where, size):
    reply = await server.run_to_end("task", (1, numbered(0, 100)))
    page = await context.new_page()
    await page.set_viewport_size(size)
    goes_on = asyncio.Event()

    async def held(route):
        await goes_on.wait()
        await route.continue_()

    await page.route("**/*.js", held)
    await page.goto(server.base if where == "console" else f"{reply['jobUrl']}stream", wait_until="commit")
    await expect(page.get_by_role("link", name="fastlane")).to_be_visible()
    await until(lambda: page.evaluate(IS_PAINTED), "the first paint")
    goes_on.set()
    shown = page.locator("#page section").first if where == "console" else page.locator("#log .row .text", has_text="line 99 ")
    await expect(shown).to_be_visible()
    assert await page.evaluate(SHIFTS) < MOST_MOVED
