"""Selecting and copying in the log page, which has only the lines near the view in its document."""

import pytest
from playwright.async_api import expect

from tests.browser.logpage import numbered, open_log

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def clipboard(log):
    """What Ctrl+C copies."""
    await log.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await log.page.keyboard.press("Control+c")
    return await log.page.evaluate("navigator.clipboard.readText()")


async def test_select_all_and_copy_gives_every_line(context, server):
    text = numbered(0, 100_001)
    reply = await server.run_to_end("task", (1, text))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines.last).to_have_text("line 100000 ")
    assert await log.lines.count() < 2_000
    await log.page.keyboard.press("Control+a")
    assert await clipboard(log) == text.decode()
    assert await log.copied() == text.decode()
    await log.page.evaluate("getSelection().selectAllChildren(document.body)")  # as in the browser's menu
    page = await clipboard(log)
    assert text.decode() in page
    assert page.startswith("Skip to the log")
    assert "exit code 0" in page
    assert log.faults == []


async def test_a_selection_across_a_long_scroll_is_copied_whole(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, (1, numbered(0, 5_000)), (2, b"x" * 5_000 + b"\n"), (1, numbered(5_001, 10_000)))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines.last).to_have_text("line 9999 ")
    view = log.page.locator("#log")
    await view.evaluate("(log) => { log.scrollTop = 0 }")
    at_its_start = {"x": 1, "y": 5}
    await log.page.get_by_text("line 5 ", exact=True).hover(position=at_its_start)
    await log.page.mouse.down()
    await log.page.mouse.move(300, 300)
    for place in (0.25, 0.95):
        await view.evaluate("(log, place) => { log.scrollTop = place * log.scrollHeight }", place)
        await expect(log.page.get_by_text(f"line {int(place * 10_000)} ", exact=True)).to_be_visible()
    last = log.page.get_by_text("line 9500 ", exact=True)
    await last.hover(position=at_its_start)
    await log.page.mouse.up()
    expected = numbered(5, 5_000) + b"x" * 5_000 + b"\n" + numbered(5_001, 9_500)
    assert await clipboard(log) == expected.decode()
    await log.page.emulate_media(color_scheme="dark")  # which draws all rows again
    await server.append_log(execution, (1, b"more\n"))
    await expect(log.page.locator("#newer")).to_have_text("↓ 1 new line")
    assert await log.copied() == expected.decode()
    await expect(log.page.locator("#said")).to_have_text("Selection copied")
    assert log.faults == []


async def test_a_part_of_a_line_stays_selected_while_the_line_grows(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"first\n\x1b[31mred\x1b[0m and pla"))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_text(["first", "red and pla"])
    await log.page.evaluate(SELECT)
    await server.append_log(execution, (1, b"in\nlast\n"))
    await expect(log.lines).to_have_text(["first", "red and plain", "last"])
    assert await clipboard(log) == "st\nred and"
    await log.page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject(new Error('no TLS')))")
    for _ in range(2):  # the old way to copy leaves the text selected
        assert await log.copied() == "st\nred and"


SELECT = """() => {
    const [first, second] = document.querySelectorAll("#log .text");
    getSelection().setBaseAndExtent(second.lastChild, 4, first.firstChild, 3);
}"""
"""Selects from the fourth character after the red ones back into the first line."""
