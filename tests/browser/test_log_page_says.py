"""Lines of a log such as ``::error::…`` and ``::group::…`` on its page: as annotations, and as groups that are folded."""

import pytest
from playwright.async_api import expect

from tests.browser.console import open_console
from tests.browser.logpage import DESK, PHONE, LogPage, open_log, violations
from tests.support.fastlane import Fastlane

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOG = (
    (1, b"begins\n::group::Build it\ncompiling\n"),
    (2, b"::warning file=a%2Cb.c,line=3,title=Old::\x1b[1munused\x1b[0m http://x.example/y\n"),
    (1, b"::endgroup::\n::error::no such table\n::group::Test\n"),
    (1, b"one\n::group::Deploy\ntwo\n ::error::is only text\n"),
)
TEXT = b"".join(data for _, data in LOG).decode().replace("\x1b[1m", "").replace("\x1b[0m", "")


async def said(log: LogPage) -> list[str]:
    """The rows as they are seen: the name of an annotation, and its words."""
    script = """rows => rows.map(row => {
        const text = row.querySelector(".text");
        return (text.dataset.label ?? "") + text.innerText;
    })"""
    rows: list[str] = await log.page.locator("#log .row").evaluate_all(script)
    return rows


async def run(server: Fastlane, **fields: object) -> dict:
    reply = await server.enqueue("said", **fields)
    execution = await server.run(reply)
    await server.append_log(execution, *LOG)
    await server.end(execution, 3)
    return reply


async def test_annotations_are_named_and_the_text_stays_what_was_written(context, server):
    reply = await run(server)
    log = await open_log(context, reply["executionUrl"])
    await expect(log.lines).to_have_count(11)
    assert await said(log) == [
        *("begins", "Build it", "compiling", "Warning Old (a,b.c:3): unused http://x.example/y", "End of the group"),
        *("Error: no such table", "Test", "one", "Deploy", "two", " ::error::is only text"),
    ]
    assert await log.copied() == TEXT
    await log.page.locator("#query").fill("no such")
    await expect(log.page.locator("#found")).to_have_text("1")
    for size in (DESK, PHONE):
        await log.page.set_viewport_size(size)
        assert await violations(log.page) == []
    assert log.faults == []
    console = await open_console(context, reply["executionUrl"].replace(server.base, f"{server.base}/console"))
    await expect(console.page.locator(".tail .says-error .text")).to_have_attribute("data-label", "Error: ")


async def test_groups_are_folded_by_pointer_and_keys_and_opened_by_a_search(context, server):
    reply = await run(server)
    log = await open_log(context, reply["executionUrl"])
    build = log.page.get_by_role("button", name="Group Build it")
    await build.click()
    await expect(build).to_have_attribute("aria-expanded", "false")
    await expect(build).to_be_focused()
    await expect(log.lines).to_have_count(8)
    assert "compiling" not in await log.copied()
    await build.press("Enter")
    await expect(log.lines).to_have_count(11)
    await log.page.get_by_text("Build it").click()
    await expect(log.lines).to_have_count(8)
    await log.page.locator("#log").focus()
    await log.page.keyboard.press("g")
    await expect(log.lines).to_have_count(11)
    await log.page.keyboard.press("g")
    await expect(log.lines).to_have_count(5)
    assert await said(log) == ["begins", "Build it", "Error: no such table", "Test", "Deploy"]
    await log.page.locator("#query").fill("compiling")
    await log.page.keyboard.press("Enter")
    await expect(build).to_have_attribute("aria-expanded", "true")
    await expect(log.lines).to_have_count(8)
    await log.page.set_viewport_size(PHONE)
    mark, words = await build.bounding_box(), await log.page.get_by_text("Build it").bounding_box()
    assert mark["width"] >= 24
    assert mark["x"] + mark["width"] <= words["x"]
    await log.page.locator("#view summary").click()
    await log.page.get_by_role("button", name="Open all groups").click()
    await expect(log.lines).to_have_count(11)


async def test_a_job_without_annotations_has_plain_lines(context, server):
    reply = await run(server, annotations=False)
    log = await open_log(context, reply["executionUrl"])
    await expect(log.lines).to_have_text(TEXT.splitlines())
    await expect(log.page.locator(".says")).to_have_count(0)
    await expect(log.page.locator("#groups")).to_be_hidden()


async def test_a_line_that_comes_in_parts_becomes_a_group(context, server):
    reply = await server.enqueue("said")
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"::gro"))
    log = await open_log(context, reply["executionUrl"])
    await expect(log.lines).to_have_text(["::gro"])
    await server.append_log(execution, (1, b"up::Build\ncompiling\n"))
    await expect(log.lines).to_have_count(2)
    await log.page.get_by_role("button", name="Group Build").click()
    await expect(log.lines).to_have_count(1)
    await server.append_log(execution, (1, b"linking\n::endgroup::\nafter\n"))
    await expect(log.lines).to_have_count(2)
    assert await said(log) == ["Build", "after"]
