"""What a person does in the log page: follow, scroll, search, copy, in windows of any size."""

from dataclasses import replace

import pytest
from playwright.async_api import expect

from fastlane.models.tick import next_execution
from tests.browser.logpage import DESK, PHONE, numbered, open_log, shoot, violations
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_scrolling_up_pauses_and_the_end_is_one_press_away(context, server):
    execution, log = await five_hundred_lines(context, server)
    await log.page.locator("#log").hover()
    await log.page.mouse.wheel(0, -2_000)
    follow = log.page.locator("#follow")
    await expect(follow).to_have_attribute("aria-pressed", "false")
    seen = await log.page.locator("#log").evaluate("(log) => log.scrollTop")
    await server.append_log(execution, (1, numbered(500, 700)))
    await expect(log.page.locator("#newer")).to_have_text("↓ 200 new lines")
    assert await log.page.locator("#log").evaluate("(log) => log.scrollTop") == seen
    await log.page.locator("#newer").click()
    await expect(log.lines.last).to_be_in_viewport()
    await server.append_log(execution, (1, numbered(700, 900)))
    await expect(log.page.locator("#log .text", has_text="line 899 ")).to_be_in_viewport()
    await follow.click()
    await server.append_log(execution, (1, numbered(900, 950)))
    await expect(log.page.locator("#newer")).to_have_text("↓ 50 new lines")


async def test_scrolling_up_even_gently_pauses_and_scrolling_to_the_end_follows_again(context, server):
    execution, log = await five_hundred_lines(context, server)
    follow, view = log.page.locator("#follow"), log.page.locator("#log")
    await view.hover()
    for up in (lambda: log.page.mouse.wheel(0, -3), lambda: view.press("ArrowUp")):
        await up()
        await expect(follow).to_have_attribute("aria-pressed", "false")
        await until(lambda: view.evaluate("log => log.scrollTop < log.scrollHeight - log.clientHeight - 2"), "the log to scroll up")
        await log.page.mouse.wheel(0, 200)
        await expect(follow).to_have_attribute("aria-pressed", "true")
    await view.evaluate("(log) => { log.scrollTop -= 3 }")  # as a finger or the bar does
    await expect(follow).to_have_attribute("aria-pressed", "false")
    await server.append_log(execution, (1, numbered(500, 600)))
    await expect(log.page.locator("#newer")).to_have_text("↓ 100 new lines")


async def test_selecting_text_pauses_and_leaves_it_selected_while_more_comes(context, server):
    execution, log = await five_hundred_lines(context, server)
    line = log.page.locator("#log .text", has_text="line 497 ")
    await line.hover(position={"x": 2, "y": 5})
    await log.page.mouse.down()
    await line.hover(position={"x": 40, "y": 5})
    follow = log.page.locator("#follow")
    await expect(follow).to_have_attribute("aria-pressed", "false")
    await server.append_log(execution, (1, numbered(500, 600)))
    await expect(log.page.locator("#newer")).to_have_text("↓ 100 new lines")
    await log.page.mouse.up()
    selected = await log.page.evaluate("getSelection().toString()")
    assert selected
    assert "line 497 ".startswith(selected)
    await follow.click()
    await server.append_log(execution, (1, numbered(600, 700)))
    await expect(log.page.locator("#log .text", has_text="line 699 ")).to_be_in_viewport()
    await expect(follow).to_have_attribute("aria-pressed", "true")


async def five_hundred_lines(context, server):
    """A running execution that wrote 500 lines, and its page, which follows."""
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, (1, numbered(0, 500)))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.page.locator("#log .text", has_text="line 499 ")).to_be_in_viewport()
    return execution, log


async def test_search_and_choices_by_the_keyboard_alone(context, server):
    reply = await server.run_to_end("task", (1, b"one apple\n\x1b[32mtwo\x1b[0m pears\n"), (2, b"three APPLES\n"), (1, b"four\n"))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_count(4)
    keyboard = log.page.keyboard
    await keyboard.press("Control+f")
    await keyboard.type("apple")
    found, current = log.page.locator("#found"), log.page.locator("#log .row.current .text")
    await expect(found).to_have_text("2")
    await keyboard.press("Enter")
    await expect(current).to_have_text("one apple")
    await keyboard.press("Enter")
    await expect(current).to_have_text("three APPLES")
    await expect(found).to_have_text("2 of 2")
    assert await log.page.evaluate("[...CSS.highlights.get('current')].map(String)") == ["APPLE"]
    await shoot(log.page, "search")
    await keyboard.press("Escape")
    await expect(log.page.locator("#log")).to_be_focused()
    await log.view(shown="stderr")
    await expect(log.lines).to_have_text(["three APPLES"])
    await log.view(shown="found", times=True)
    await expect(log.lines).to_have_text(["one apple", "three APPLES"])
    await expect(log.page.locator("#log .time").first).to_be_visible()
    await log.view(shown="all")
    await expect(log.lines).to_have_count(4)


async def test_enter_right_after_the_last_key_goes_to_the_first_match(context, server):
    reply = await server.run_to_end("task", (1, b"one\ntwo\nthree\n"))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_count(3)
    current = log.page.locator("#log .row.current .text")
    for words in ("two", "three"):
        await log.page.locator("#query").evaluate(TYPE_AND_ENTER, words)
        await expect(current).to_have_text(words)
    await expect(log.page.locator("#found")).to_have_text("1 of 1")


TYPE_AND_ENTER = """(query, words) => {
    query.value = words;
    query.dispatchEvent(new InputEvent("input"));
    query.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter"}));
}"""
"""Types these words and presses Enter before the page can do anything in between."""


async def test_line_numbers_of_any_length_are_beside_their_lines(context, server):
    reply = await server.run_to_end("task", (1, b"x\n" * 100_001))
    log = await open_log(context, reply["jobUrl"])
    last = log.page.locator("#log .row").last
    await expect(last.locator(".no")).to_have_attribute("data-no", "100001")
    for size in (DESK, PHONE):
        await log.page.set_viewport_size(size)
        assert await last.evaluate(NUMBER_FITS), size


NUMBER_FITS = """(row) => {
    const column = row.querySelector(".no"), style = getComputedStyle(column);
    const room = column.clientWidth - parseFloat(style.paddingRight);
    const ruler = document.createElement("span");
    ruler.textContent = column.dataset.no;
    column.append(ruler);
    const width = ruler.getBoundingClientRect().width;
    ruler.remove();
    return width <= room;
}"""


async def test_jobs_posted_together_can_be_told_apart(context, server):
    ids = [(await server.enqueue("task", startIn="1h"))["jobId"] for _ in range(5)]
    shown = set()
    for one in ids:
        log = await open_log(context, f"{server.base}/tasks/task/jobs/{one}/")
        await expect(log.page.locator("#job")).to_have_text(f"task {one[-8:]}")
        shown.add(await log.page.locator("#job").text_content())
    assert len(shown) == 5


async def test_the_download_is_the_log_byte_for_byte(context, server):
    reply = await server.run_to_end("my%20task!", (1, b"\x1b[31mred\x1b[0m\r\n"), (2, b"\xff\n"))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_count(2)
    async with log.page.expect_download() as started:
        await log.page.locator("#download").click()
    download = await started.value
    assert download.suggested_filename == f"my-task--{reply['executionId'][-8:]}.log.txt"
    assert (await download.path()).read_bytes() == b"\x1b[31mred\x1b[0m\r\n\xff\n"


# windows of any size


@pytest.mark.parametrize(("width", "height"), [(844, 390), (640, 400), (1280, 300)])
async def test_in_a_low_window_the_log_has_the_room(context, server, width, height):
    """A phone on its side, 200 % zoom of a small screen, docked developer tools."""
    reply = await server.run_to_end("task", (1, numbered(0, 300)), code=3)
    one = await server.execution(reply)
    for _ in range(20):
        one = replace(next_execution(one, due=1, now=1), sequence=9)
        assert await server.store.insert(one)
    log = await open_log(context, reply["executionUrl"])
    await log.page.set_viewport_size({"width": width, "height": height})
    await expect(log.lines.last).to_be_in_viewport()
    await expect(log.link).to_contain_text("Ended")
    await expect(log.page.locator("#facts")).to_be_hidden()
    await shoot(log.page, f"low-{width}-{height}")
    assert await log.page.evaluate("document.getElementById('log').clientHeight / innerHeight") > 0.65
    assert await log.page.evaluate(OVERFLOW) == {"x": 0, "y": 0}
    await log.page.locator("#about summary").click()
    if not await log.page.locator("#executions").is_visible():
        await log.page.locator("#others summary").click()
        await expect(log.page.locator("#executions a").first).to_be_in_viewport()
    await shoot(log.page, f"low-open-{width}-{height}")
    assert await log.page.evaluate("document.getElementById('log').clientHeight / innerHeight") > 0.5
    assert await violations(log.page) == []


OVERFLOW = "({x: document.body.scrollWidth - innerWidth, y: document.body.scrollHeight - innerHeight})"


async def test_the_details_are_opened_from_the_first_row_of_a_head_that_has_two(context, server):
    reply = await server.enqueue("nightly-export-of-all-customers", retries=1)
    running = await server.run(reply)
    await server.append_log(running, (1, b"x\n"))
    log = await open_log(context, reply["jobUrl"])
    await log.page.set_viewport_size({"width": 844, "height": 390})
    await expect(log.page.locator("#gist")).to_contain_text("attempt 1 of 2")
    await expect(log.link).to_contain_text("Live")
    await shoot(log.page, "low-two-rows")
    rows = await log.page.evaluate(HEAD)
    assert rows["last"] - rows["first"] > 10, "the head has one row, and shows nothing"
    assert abs(rows["details"] - rows["first"]) < 5


HEAD = """() => {
    const middle = (element) => (({top, height}) => top + height / 2)(element.getBoundingClientRect());
    const parts = [...document.querySelectorAll(".head > *")].filter((part) => part.getBoundingClientRect().height);
    const middles = parts.map(middle);
    return {first: Math.min(...middles), last: Math.max(...middles), details: middle(document.querySelector("#about summary"))};
}"""
"""The middles of the first and the last row of the head, and of what opens the details."""


@pytest.mark.parametrize(("width", "height"), [(390, 780), (320, 256), (844, 390)])
async def test_all_of_the_view_menu_is_in_the_window(context, server, width, height):
    reply = await server.run_to_end("task", (1, b"x\n"))
    log = await open_log(context, reply["jobUrl"])
    await log.page.set_viewport_size({"width": width, "height": height})
    await expect(log.link).to_contain_text("Ended")
    await log.page.locator("#view summary").click()
    await shoot(log.page, f"view-{width}-{height}")
    for label in await log.page.locator("#view label:visible").all():
        await label.scroll_into_view_if_needed()
        await expect(label).to_be_in_viewport(ratio=0.95)
    assert await log.page.evaluate("document.body.scrollWidth <= innerWidth")
