"""Searching in the log page: by regular expressions, by case, and for lines of stderr."""

import pytest
from playwright.async_api import expect

from tests.browser.logpage import PHONE, numbered, open_log, shoot, violations

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = ["(a+)+$", "(a|a)*b", "a*a*a*a*a*a*b", "(.*a){20}x"]
"""What a browser's own engine would try for longer than anybody waits."""


async def marked(log):
    """What is marked in the line that is current."""
    return await log.page.evaluate("[...CSS.highlights.get('current')].map(String)")


async def test_regular_expressions_and_case(context, server):
    reply = await server.run_to_end(
        "task", (1, b"GET /a 200\nget /b 404\nGET /c 500 \x1b[31mERROR\x1b[0m 7\n"), (2, "Größe é ß\n".encode())
    )
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_count(4)
    page, found, query = log.page, log.page.locator("#found"), log.page.locator("#query")
    pattern, exact = page.get_by_role("button", name="Regular expression"), page.get_by_role("button", name="Match case")
    await query.fill(r"^get .*\b[45]\d\d\b")
    await expect(found).to_have_text("none")
    await pattern.click()
    await expect(found).to_have_text("2")
    await exact.click()
    await expect(found).to_have_text("1")
    await query.fill(r"^GET|ERR\w+ \d")
    await expect(found).to_have_text("2")
    await query.press("Shift+Enter")
    await expect(log.page.locator("#log .row.current .text")).to_have_text("GET /c 500 ERROR 7")
    assert await marked(log) == ["GET", "ERROR 7"]
    await shoot(page, "search-pattern")
    assert await violations(page) == []
    await query.fill("(oops")
    await expect(found).to_have_text("?")
    await expect(log.notices).to_have_text("There is no ) for the ( at character 1.")
    assert await violations(page) == []
    for source, words in (
        ("a**", "nothing to repeat"),
        (r"(a)\1", "no references"),
        ("(?=a)", "no looking ahead"),
        ("[z-a]", "wrong order"),
    ):
        await query.fill(source)
        await expect(log.notices).to_contain_text(words)
    await pattern.click()
    await expect(log.notices).to_be_empty()
    await query.fill("größe É")
    await expect(found).to_have_text("none")
    await exact.click()
    await expect(found).to_have_text("1")
    await page.set_viewport_size(PHONE)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert log.faults == []


async def test_no_expression_makes_the_page_stand_still(context, server):
    reply = await server.run_to_end("task", (1, (b"a" * 4_000 + b"!\n") * 20))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines.last).to_be_in_viewport()
    found, query = log.page.locator("#found"), log.page.locator("#query")
    await log.page.get_by_role("button", name="Regular expression").click()
    await log.page.evaluate(WATCH)
    for source in HOSTILE:
        await query.fill(source)
        await expect(found).to_have_text("none")
        await query.fill("a!$")
        await expect(found).to_have_text("20")
    assert await log.page.evaluate("watched") < 5_000


WATCH = """() => {
    let last = performance.now();
    window.watched = 0;
    setInterval(() => {
        window.watched = Math.max(window.watched, performance.now() - last);
        last = performance.now();
    }, 10);
}"""
"""Measures the longest time for which the page did nothing else."""


async def test_a_search_goes_on_while_lines_come_and_shows_matches_only(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, (1, numbered(0, 30_000)))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.page.locator("#log .text", has_text="line 29999 ")).to_be_in_viewport()
    await log.page.get_by_role("button", name="Regular expression").click()
    await log.page.locator("#query").fill("line .*99 ")
    await log.page.locator("#query").press("Enter")
    await expect(log.page.locator("#log .row.current .text")).to_have_text("line 99 ")
    await expect(log.page.locator("#found")).to_have_text("1 of 300")
    await server.append_log(execution, (1, numbered(30_000, 30_100)))
    await expect(log.page.locator("#found")).to_have_text("1 of 301")
    await log.view(shown="found")
    await log.page.locator("#follow").click()
    await expect(log.lines.last).to_have_text("line 30099 ")
    await server.append_log(execution, (1, numbered(30_100, 30_200)))
    await expect(log.lines.last).to_have_text("line 30199 ")


async def test_lines_of_stderr_are_a_press_apart(context, server):
    pieces = [(1, numbered(0, 300)), (2, b"first\n"), (1, numbered(300, 600)), (2, b"second\nthird\n"), (1, numbered(600, 900))]
    reply = await server.run_to_end("task", *pieces)
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines.last).to_be_in_viewport()
    jumped, view = log.page.locator("#log .row.jumped .text"), log.page.locator("#log")
    for key, words in (("Shift+E", "third"), ("Shift+E", "second"), ("Shift+E", "first"), ("e", "second")):
        await view.press(key)
        await expect(jumped).to_have_text(words)
        await expect(jumped).to_be_in_viewport()
    await log.page.get_by_role("button", name="↓ stderr").click()
    await expect(jumped).to_have_text("third")
    await view.press("e")
    await expect(log.page.locator("#said")).to_have_text("No line of stderr follows")
    assert await violations(log.page) == []
