"""A server with tokens only, and people's browsers, which have none: tickets open the log to them, and to nobody else."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect

from tests.browser.logpage import LogPage, shoot
from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane

pytestmark = pytest.mark.asyncio(loop_scope="session")

EYES = bearer("fl_eyes")
TOKENS = {"listen": "0.0.0.0", "tokens": (token("eyes", "fl_eyes", "read"), token("ci", "fl_ci"))}

SOCKET = """(url) => new Promise((resolve) => {
    let text = "";
    const socket = new WebSocket(url);
    socket.onmessage = (event) => { text += event.data; };
    socket.onclose = (event) => resolve(`${event.code} ${event.reason} ${text}`);
})"""
FETCH = """async ([url, options]) => {
    try { const answer = await fetch(url, options); return answer.ok ? await answer.text() : answer.status } catch { return "refused" }
}"""
LINK = """(url) => { const link = document.createElement("a"); link.href = url; document.body.append(link); link.click(); }"""


@pytest_asyncio.fixture(loop_scope="session")
async def guarded(shared_redis, site, tmp_path) -> AsyncIterator[Fastlane]:
    listed = (f"http://dash.example.com:{site}",)
    async with Fastlane(tmp_path, shared_redis.url, **TOKENS, allowed_origins=listed, ws_start_wait=1.0) as server:
        await server.report_worker()
        yield server


async def begun(server: Fastlane) -> tuple[dict[str, Any], Any]:
    """A job that runs and has written a line."""
    reply = (await server.post("/tasks/task", {"image": "ubuntu:latest"}, headers=bearer("fl_ci"))).json
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"first\n"))
    return reply, execution


async def link_to(server: Fastlane, url: str) -> str:
    """A new link to the page of a log, as somebody with a token makes it for a person."""
    made = await server.post(f"{url}ws-ticket", headers=EYES)
    assert made.status == 200, made.body
    return made.json["streamUrl"]


async def page_of(context: BrowserContext, site: int, name: str) -> Page:
    page = await context.new_page()
    await page.goto(f"http://{name}.example.com:{site}/")
    return page


async def follow_link(page: Page, url: str) -> LogPage:
    """Clicks a link to the page of a log."""
    log = LogPage(page)
    await page.evaluate(LINK, url)
    await page.wait_for_url("**/stream")
    return log


async def test_a_link_with_a_ticket_opens_the_page_for_as_long_as_it_is_looked_at(context, site, guarded):
    reply, execution = await begun(guarded)
    page = await page_of(context, site, "elsewhere")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.url} {request.headers}"))
    page.on("websocket", lambda socket: asked.append(socket.url))
    link = await link_to(guarded, reply["jobUrl"])
    log = await follow_link(page, link)
    await expect(log.lines).to_have_text(["first"])
    assert page.url == f"{reply['jobUrl']}stream"
    assert [one for one in asked if "ticket=" in one and not one.startswith(link)] == []
    assert [one for one in asked if "/events" in one] == []
    assert await page.evaluate("document.referrer + document.cookie") == ""
    await guarded.append_log(execution, (1, b"second\n"))
    await expect(log.lines).to_have_text(["first", "second"])
    guarded.followers.interrupt()
    await page.get_by_role("button", name="Reconnect now").click()
    await guarded.append_log(execution, (2, b"third\n"))
    await expect(log.lines).to_have_text(["first", "second", "third"])
    await page.reload()
    await expect(log.lines).to_have_text(["first", "second", "third"])
    await guarded.end(execution)
    await expect(log.status).to_have_text("done")
    async with page.expect_download() as started:
        await page.locator("#download").click()
    assert (await (await started.value).path()).read_bytes() == b"first\nsecond\nthird\n"
    await page.locator("#executions a").first.click()
    await expect(log.lines).to_have_text(["first", "second", "third"])
    assert page.url == f"{reply['executionUrl']}stream"
    assert log.faults == []


async def test_a_link_to_one_execution_does_so_too(context, site, guarded):
    reply, _ = await begun(guarded)
    log = await follow_link(await page_of(context, site, "elsewhere"), await link_to(guarded, reply["executionUrl"]))
    await expect(log.lines).to_have_text(["first"])
    await expect(log.page.locator("#facts")).to_contain_text("ubuntu:latest")


async def test_a_link_that_was_used_says_so(browser, context, site, guarded):
    reply, _ = await begun(guarded)
    link = await link_to(guarded, reply["jobUrl"])
    log = await follow_link(await page_of(context, site, "elsewhere"), link)
    await expect(log.lines).to_have_text(["first"])
    again = await follow_link(await page_of(context, site, "elsewhere"), link)  # the same browser is let in
    await expect(again.lines).to_have_text(["first"])
    other = await browser.new_context()
    late = LogPage(await other.new_page())
    await late.page.goto(link)
    await expect(late.notices).to_contain_text("it was used before or is too old. Ask for a new one.")
    await expect(late.status).to_have_text("not allowed")
    await expect(late.link).to_have_text("Not allowed ")
    assert late.page.url == f"{reply['jobUrl']}stream/"
    await shoot(late.page, "used-link")
    assert late.faults == []
    await other.close()


async def test_no_other_page_can_use_the_visit(context, site, guarded):
    reply, _ = await begun(guarded)
    log = await follow_link(await page_of(context, site, "elsewhere"), await link_to(guarded, reply["jobUrl"]))
    await expect(log.lines).to_have_text(["first"])
    ws = reply["jobUrl"].replace("http", "ws", 1) + "ws"
    for name in ("evil", "dash"):
        page = await page_of(context, site, name)
        for options in ({}, {"credentials": "include"}):
            assert await page.evaluate(FETCH, [reply["jobUrl"], options]) in (401, "refused")
        assert (await page.evaluate(SOCKET, ws)).split()[0] == "1006"
    assert await log.page.evaluate(FETCH, [reply["jobUrl"] + "stop", {"method": "POST"}]) == 401
    assert await log.page.evaluate(FETCH, ["/tasks", {}]) == 401


async def test_a_listed_page_with_a_token_follows_by_the_docs_program(context, site, guarded):
    reply, execution = await begun(guarded)
    await guarded.end(execution)
    page = await page_of(context, site, "dash")
    url = (await guarded.post(f"{reply['jobUrl']}ws-ticket", headers=EYES)).json["url"]
    assert await page.evaluate(SOCKET, url) == "1000 done first\n"
    assert (await page.evaluate(SOCKET, url)).split()[0] == "1006"
    evil = await page_of(context, site, "evil")
    made = await page.evaluate(FETCH, [f"{reply['jobUrl']}ws-ticket", {"method": "POST", "headers": EYES}])
    assert '"ticket"' in made
    assert await evil.evaluate(FETCH, [f"{reply['jobUrl']}ws-ticket", {"method": "POST", "headers": EYES}]) == "refused"
