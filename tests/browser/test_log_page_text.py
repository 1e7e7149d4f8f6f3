"""Much text, and hostile text, in the log page."""

import pytest
from playwright.async_api import expect

from tests.browser.logpage import numbered, open_log, shoot, violations

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.thorough
async def test_ten_megabytes_are_all_there_with_few_of_them_drawn(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    for start in range(0, 100_000, 5_000):
        await server.append_log(execution, (1, numbered(start, start + 5_000, 90)))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines.last).to_contain_text("line 99999 ")
    assert await log.page.locator("#log .row").count() < 2_000
    view = log.page.locator("#log")
    for place, line in ((0.0, 0), (0.5, 50_000), (1.0, 99_999)):
        await view.evaluate("(log, place) => { log.scrollTop = place * log.scrollHeight }", place)
        await expect(log.page.locator("#log .row .text", has_text=f"line {line} ")).to_be_visible()
    drawn = await view.evaluate(SCROLLED)
    assert drawn["longest"] < 2_000, drawn
    assert drawn["blank"] == 0, drawn
    await log.page.locator("#query").fill("line 12345 ")
    await expect(log.page.locator("#found")).to_have_text("1")
    await log.page.locator("#query").press("Enter")
    await expect(log.page.locator("#log .row.current .text")).to_contain_text("line 12345 ")
    await expect(log.page.locator("#log .row.current")).to_be_in_viewport()
    await server.append_log(execution, (1, b"one more\n"))
    await expect(log.page.locator("#newer")).to_have_text("↓ 1 new line")
    assert len(await log.copied()) == len(numbered(0, 100_000, 90)) + len("one more\n")


SCROLLED = """async (log) => {
    const frame = () => new Promise(requestAnimationFrame);
    let longest = 0, blank = 0, last = performance.now();
    for (let at = 0; at < 30; at++) {
        log.scrollTop = (log.scrollHeight * at) / 30;
        await frame();
        await frame();
        const box = log.getBoundingClientRect();
        blank += document.elementFromPoint(box.left + 40, box.top + box.height / 2).closest(".row") ? 0 : 1;
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
    }
    return {longest, blank};
}"""
"""How long a frame took at most, and in how many of them there was nothing in the middle of the view."""


async def test_memory_has_a_bound_and_what_is_missing_is_told(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    for start in range(0, 211_000, 10_550):
        await server.append_log(execution, (1, b"".join(b"%d\n" % number for number in range(start, start + 10_550))))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines.last).to_have_text("210999")
    await expect(log.notices).to_contain_text("The first 10,000 lines are no longer shown.")
    assert (await log.copied()).split("\n", 1)[0] == "10000"
    await log.page.locator("#log").evaluate("(log) => { log.scrollTop = 0 }")
    await expect(log.page.locator("#log .no[data-no='10001'] ~ .text")).to_have_text("10000")


async def test_of_a_very_long_log_the_last_lines_are_asked_for(context, server):
    reply = await server.run_to_end("task", (1, b"x\n"))

    async def enlarge(route):
        answer = await route.fetch()
        await route.fulfill(response=answer, body=(await answer.text()).replace('"stdoutBytes":2', '"stdoutBytes":99000000'))

    await context.route(reply["jobUrl"], enlarge)
    page = await context.new_page()
    async with page.expect_websocket() as opened:
        await page.goto(f"{reply['jobUrl']}stream")
    assert "tail=100000" in (await opened.value).url
    await expect(page.locator("#notices")).to_contain_text("Only the last 100,000 lines are shown")
    await expect(page.locator("#facts")).to_contain_text("99 MB")


async def test_hostile_text_stays_text(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    parts = [
        (b"<script>alert(1)</script><img src=x onerror=alert(2)>", "<script>alert(1)</script><img src=x onerror=alert(2)>"),
        (b"\x1b[2J\x1b[H\x1b[1A\x1b[999Ccursor \x1b[2Kkept\x1b[8m and not hidden", "cursor kept and not hidden"),
        (b"\x1b]0;title\x07\x1b]8;;javascript:alert(3)\x1b\\link\x1b]8;;\x1b\\ \x1bPsixel\x1b\\end", "link end"),
        (b"\x1b]0;never ended", "^[]0;never ended"),
        (b"nul \x00 bell \x07 back\x08space \x7f", "nul ^@ bell ^G back^Hspace ^?"),
        ("turned \u202egnp.exe\u202c".encode(), "turned [U+202E]gnp.exe[U+202C]"),
        (b"first\rsecond\rlast", "last"),
        (b"kept\r", "kept"),
        (b"\x1b[31;99999999m\x1b[38;2;300;1;1mred\x1b[m", "red"),
        (b"\xff\xfe bytes", "\ufffd\ufffd bytes"),
        (b"windows\r", "windows"),
    ]
    await server.append_log(execution, (1, b"".join(data + b"\n" for data, _ in parts)))
    await server.append_log(execution, (1, b"x" * 1_000_000), (1, b"\nafter\n"))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines.last).to_have_text("after")
    assert await log.page.title() == "running · task · fastlane"
    copied = (await log.copied()).split("\n")
    assert copied[: len(parts)] == [text for _, text in parts]
    assert "".join(copied[len(parts) : -2]) == "x" * 1_000_000
    assert await log.page.locator("#log :is(script, img, a)").count() == 0
    await log.page.locator("#log").evaluate("(log) => { log.scrollTop = 0 }")
    await expect(log.lines.first).to_be_visible()
    for text in ("cursor kept and not hidden", "^[]0;never ended"):
        await expect(log.page.locator("#log .text", has_text=text)).to_be_visible()
    await shoot(log.page, "hostile")
    assert log.faults == []


async def test_a_sequence_that_is_cut_between_messages_is_still_one(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    for part in (b"a \x1b", b"[3", b"1mred\x1b]0;ti", b"tle\x07 and ", b"\x1b[0", b"mplain\r", b"\nnext \x1b[4"):
        await server.append_log(execution, (1, part))
    await server.end(execution)
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_text(["a red and plain", "next ^[[4"])
    red = log.page.locator("#log .row span[style]")
    await expect(red).to_have_text("red and ")


ADDRESSES = {
    "see https://example.com/a?b=c&d=%20#e.": "https://example.com/a?b=c&d=%20#e",
    "(http://example.com/wiki/One_(two)), next": "http://example.com/wiki/One_(two)",
    "[https://example.com/x]!": "https://example.com/x",
    'href="https://example.com/quoted">': "https://example.com/quoted",
    "\x1b[31mred http://exam\x1b[32mple.com/green\x1b[0m, plain": "http://example.com/green",
    "HTTPS://EXAMPLE.COM/Up": "https://example.com/Up",
    "http://[::1]:8080/six": "http://[::1]:8080/six",
    "javascript://example.com/%0aalert(1)": None,
    "data:text/html,<b> file:///etc/passwd ftp://example.com/": None,
    "https://trusted.example@evil.example/": None,
    "https:// http://: xhttp://example.com": None,
    "https://exam\u202eple.com/\u202d": None,
}
"""Lines of a log, and where the link in each leads."""


async def test_addresses_in_a_log_are_links_and_nothing_else_is(context, server):
    reply = await server.run_to_end(
        "task", (1, "".join(f"{line}\n" for line in ADDRESSES).encode()), (1, b"https://example.com/" + b"x" * 9_000)
    )
    log = await open_log(context, reply["jobUrl"])
    rows = log.page.locator("#log .row .text")
    await expect(rows).to_have_count(len(ADDRESSES) + 3)
    for number, href in enumerate(ADDRESSES.values()):
        links = rows.nth(number).locator("a")
        if href is None:
            await expect(links).to_have_count(0)
        else:
            await expect(links).to_have_attribute("href", href)
            await expect(links).to_have_attribute("rel", "noopener noreferrer")
    assert await rows.locator("a").count() == sum(href is not None for href in ADDRESSES.values())
    await expect(rows.nth(4).locator("a")).to_have_text("http://example.com/green")
    await expect(rows.nth(4).locator("a span")).to_have_count(2)
    assert (await log.copied()).split("\n")[:2] == list(ADDRESSES)[:2]
    await shoot(log.page, "links")
    assert await violations(log.page) == []
    assert log.faults == []
