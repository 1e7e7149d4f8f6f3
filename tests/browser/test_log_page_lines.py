"""Addresses of lines in the log page: ``#L500``, and ``#L500-L510``."""

import pytest
from playwright.async_api import expect

from fastlane.models.tick import next_execution
from tests.browser.logpage import numbered, open_log, shoot, violations

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_click_on_a_number_gives_the_line_an_address_that_opens_there(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, (1, numbered(1, 401)), (2, b"an error\n"))
    log = await open_log(context, reply["jobUrl"])
    page, linked = log.page, log.page.locator("#log .linked .text")
    await page.locator("#log .no[data-no='390']").click()
    await expect(linked).to_have_text(["line 390 "])
    await expect(log.page.locator("#follow")).to_have_attribute("aria-pressed", "false")
    await page.locator("#log .no[data-no='392']").click(modifiers=["Shift"])
    await expect(linked).to_have_text(["line 390 ", "line 391 ", "line 392 "])
    assert page.url == f"{reply['executionUrl']}stream#L390-L392"
    assert await violations(page) == []
    other = await open_log(context, f"{reply['executionUrl']}stream#L200-L201")
    linked = other.page.locator("#log .linked .text")
    await expect(linked).to_have_text(["line 200 ", "line 201 "])
    await expect(linked.first).to_be_in_viewport()
    server.followers.interrupt()
    await other.page.get_by_role("button", name="Reconnect now").click()
    await server.append_log(execution, (1, numbered(401, 500)))
    await expect(other.page.locator("#newer")).to_have_text("↓ To the end")
    await expect(linked.first).to_be_in_viewport()
    await shoot(other.page, "line")
    await other.page.evaluate("location.hash = '#L401'")
    await expect(linked).to_have_text(["an error"])
    await expect(linked).to_be_in_viewport()
    await other.page.locator("#log").press("l")
    await expect(linked).to_be_visible()
    assert "#L" in other.page.url
    assert other.faults == []


async def test_a_line_that_is_not_there_is_said_and_one_that_comes_is_marked_then(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    await server.append_log(execution, (1, b"one\ntwo\n"))
    log = await open_log(context, f"{reply['executionUrl']}stream#L4")
    await expect(log.notices).to_have_text("Line 4 has not come yet: so far, the log has 2 lines.")
    await server.append_log(execution, (1, b"three\nfour\n"))
    await expect(log.page.locator("#log .linked .text")).to_have_text(["four"])
    await expect(log.notices).to_be_empty()
    await server.end(execution)
    late = await open_log(context, f"{reply['executionUrl']}stream#L9")
    await expect(late.notices).to_have_text("There is no line 9: the log has 4 lines.")
    assert await violations(late.page) == []
    odd = await open_log(context, f"{reply['executionUrl']}stream#L0-<b>")
    await expect(odd.lines).to_have_count(4)
    await expect(odd.notices).to_be_empty()


async def test_each_attempt_counts_from_its_own_first_line(context, server):
    reply = await server.enqueue(retries=1)
    first = await server.run(reply)
    await server.append_log(first, (1, b"one\ntwo\n"))
    await server.end(first, 1)
    second = next_execution(await server.execution(reply), due=1, now=1)
    assert await server.store.insert(second)
    again = await server.run({"executionId": second.id})
    await server.append_log(again, (1, b"uno\ndue\n"))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_text(["one", "two", "uno", "due"])
    await log.page.locator("#log .no[data-no='2']").last.click()
    await expect(log.page.locator("#log .linked .text")).to_have_text(["due"])
    assert log.page.url == f"{server.base}/tasks/task/jobs/{reply['jobId']}/executions/{second.id}/stream#L2"
    await log.page.reload()
    await expect(log.page.locator("#log .linked .text")).to_have_text(["due"])


@pytest.mark.thorough
async def test_in_a_log_of_more_lines_than_are_kept_a_named_line_stays_and_the_rest_waits(context, server):
    reply = await server.enqueue()
    execution = await server.run(reply)
    for start in range(0, 230_000, 10_000):
        await server.append_log(execution, (1, b"".join(b"%d\n" % number for number in range(start + 1, start + 10_001))))
    log = await open_log(context, f"{reply['executionUrl']}stream#L500")
    linked = log.page.locator("#log .linked .text")
    await expect(log.notices).to_contain_text("so that line 500 can stay.")
    await expect(linked).to_have_text(["500"])
    await expect(linked).to_be_in_viewport()
    await expect(log.link).to_contain_text("Paused")
    await log.page.get_by_role("button", name="Load them").click()
    await log.page.locator("#newer").click()
    await expect(log.lines.last).to_have_text("230000")
    await expect(log.page.locator("#log .row").last.locator(".no")).to_have_attribute("data-no", "230000")
    await log.page.evaluate("location.hash = '#L501'")
    await expect(log.notices).to_contain_text("Line 501 is not loaded: only the last lines are.")
    await log.page.get_by_role("button", name="Load it").click()
    await expect(linked).to_have_text(["501"])


async def test_of_a_very_long_log_a_named_line_is_found_from_the_start(context, server):
    reply = await server.run_to_end("task", (1, numbered(1, 50)))

    async def enlarge(route):
        answer = await route.fetch()
        body = await answer.text()
        await route.fulfill(response=answer, body=body.replace('"stdoutBytes":', '"stdoutBytes":99000000,"was":'))

    await context.route(reply["jobUrl"], enlarge)
    log = await open_log(context, reply["executionUrl"])
    await expect(log.notices).to_contain_text("Only the last 100,000 lines are shown, without their numbers.")
    await expect(log.page.locator("#log .no").first).to_have_attribute("data-no", "")
    await log.page.evaluate("location.hash = '#L7'")
    await expect(log.notices).to_contain_text("Line 7 is not loaded")
    await log.page.get_by_role("button", name="Load it").click()
    await expect(log.page.locator("#log .linked .text")).to_have_text(["line 7 "])
    await expect(log.notices).to_be_empty()
