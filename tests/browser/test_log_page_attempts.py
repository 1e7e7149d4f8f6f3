"""The log page of a job with retries: all attempts, what is said between two of them, and the list of executions."""

import re
from dataclasses import replace

import pytest
from playwright.async_api import expect

from fastlane.models import transitions
from fastlane.models.job import Ending
from fastlane.models.status import Status
from fastlane.models.tick import next_execution
from tests.browser.logpage import open_log, shoot, violations

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOUR = 3_600_000


async def failed(server, execution, *, due=0, code=1):
    """Ends the attempt, and settles it: the next one is due so many milliseconds from now. Returns it."""
    ended = await server.end(execution, code)
    now = server.clock.now()
    following = next_execution(ended, due=now + due, now=now)
    assert await server.store.insert(following)
    assert await server.store.change(transitions.settle(ended))
    return following


async def attempted(server, *texts, task="again", retries=2):
    """A job whose attempts wrote these texts and failed; the enqueue reply, and the attempt that is due in an hour."""
    reply = await server.enqueue(task, retries=retries, retryDelay="1h")
    running = await server.run(reply)
    for at, text in enumerate(texts):
        if text:
            await server.append_log(running, (1, text))
        following = await failed(server, running, due=0 if at + 1 < len(texts) else HOUR)
        if at + 1 < len(texts):
            running = await server.run({"executionId": following.id})
    return reply, following


def headings(log):
    return log.page.locator("#log .row.attempt")


async def test_all_attempts_are_in_one_log_live_and_after_a_reload_and_each_has_a_page(context, server):
    reply = await server.enqueue("again", retries=2)
    first = await server.run(reply)
    await server.append_log(first, (1, b"in vain\n"))
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_text(["in vain"])
    await expect(headings(log)).to_have_text([re.compile("^Attempt 1 of 3 · running · ")])
    second = await server.run({"executionId": (await failed(server, first)).id})
    third = await server.run({"executionId": (await failed(server, second, code=2)).id})
    await server.append_log(third, (1, b"at last"))
    told = [
        re.compile(r"^Attempt 1 of 3 · failed · exit code 1 · .* UTC|GMT"),
        re.compile("^Attempt 2 of 3 · failed · exit code 2 · "),
        re.compile("^Attempt 3 of 3 · running · "),
    ]
    for _ in range(2):
        await expect(log.lines).to_have_text(["in vain", "at last"])
        await expect(headings(log)).to_have_text(told)
        await expect(log.status).to_have_text("running")
        await log.page.reload()
    await server.append_log(third, (1, b" and on\n"))
    await server.end(third)
    await expect(log.lines).to_have_text(["in vain", "at last and on"])
    await expect(log.status).to_have_text("done")
    await expect(log.page.locator("#gist")).to_contain_text("attempt 3 of 3")
    assert await log.copied() == "in vain\nat last and on\n"
    await log.page.locator("#log").focus()
    for key in ("Control+a", "Control+c"):
        await log.page.keyboard.press(key)
    assert await log.page.evaluate("navigator.clipboard.readText()") == "in vain\nat last and on\n"
    assert await violations(log.page) == []
    await shoot(log.page, "attempts")
    others = log.page.locator("#executions a")
    await expect(others).to_have_count(3)
    await expect(others.nth(0)).to_have_attribute("aria-current", "true")
    await others.nth(2).click()
    await expect(log.lines).to_have_text(["in vain"])
    await expect(log.status).to_have_text("failed")
    await expect(others.nth(2)).to_have_attribute("aria-current", "true")
    await expect(headings(log)).to_have_count(0)
    assert log.faults == []


async def test_an_attempt_is_folded_away_and_a_search_unfolds_it(context, server):
    reply, _ = await attempted(server, b"one apple\none pear\n", b"two apples\n")
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_text(["one apple", "one pear", "two apples"])
    first = headings(log).nth(0).get_by_role("button")
    await first.focus()
    await log.page.keyboard.press("Enter")
    await expect(log.lines).to_have_text(["two apples"])
    await expect(first).to_have_attribute("aria-expanded", "false")
    await expect(first).to_be_focused()
    assert await log.copied() == "two apples\n"
    await log.page.locator("#query").fill("apple")
    await expect(log.page.locator("#found")).to_have_text("2")
    await log.page.keyboard.press("Enter")
    await expect(log.page.locator("#log .row.current .text")).to_have_text("one apple")
    await expect(log.lines).to_have_text(["one apple", "one pear", "two apples"])
    await expect(first).to_have_attribute("aria-expanded", "true")


async def test_between_two_attempts_the_page_says_when_the_retry_is_due(context, server):
    reply, following = await attempted(server, b"in vain\n")
    log = await open_log(context, reply["jobUrl"])
    for _ in range(2):
        await expect(log.status).to_have_text(re.compile(r"^retry due in (1 h|59 m \d+ s|59 m)$"))
        await expect(log.status).to_have_attribute("title", re.compile(r"\d\d:\d\d:\d\d"))
        words = (
            r"^Attempt 1 of 3 failed: exit code 1\. 2 of 2 retries left; attempt 2 is due at [^;]*\d\d:\d\d:\d\d [^;]*, in (1 h|59 m.*)$"
        )
        await expect(log.notices).to_have_text(re.compile(words))
        await expect(log.page).to_have_title("retry due · again · fastlane")
        await shoot(log.page, "retry-due")
        await log.page.reload()
    await expect(log.lines).to_have_text(["in vain"])
    running = await server.run({"executionId": following.id})
    await server.append_log(running, (1, b"again\n"))
    await expect(log.status).to_have_text("running")
    await expect(log.notices).to_be_empty()
    last = await server.run({"executionId": (await failed(server, running)).id})
    await server.append_log(last, (1, b"the last time\n"))
    await server.end(last, 4)
    await expect(log.status).to_have_text("failed")
    await expect(log.notices).to_have_text("Attempt 3 of 3 failed: exit code 4. No retries left (2 of 2 used).")


async def test_a_retry_that_never_ran_is_how_the_job_ended(context, server):
    reply, following = await attempted(server, b"in vain\n")
    assert await server.store.change(transitions.expire(following, now=server.clock.now())) is not None
    log = await open_log(context, reply["jobUrl"])
    await expect(log.status).to_have_text("expired")
    await expect(log.notices).to_contain_text("Attempt 2 of 3 expired: it had not started before it expired. This is not retried.")
    await expect(log.lines).to_have_text(["in vain"])
    await expect(log.page.locator("#download")).to_have_attribute("title", "Download the log of attempt 1 of 3")
    await expect(log.page.locator("#download")).to_have_attribute("href", re.compile(reply["executionId"]))


async def test_of_attempts_whose_logs_are_too_long_together_the_last_are_shown(context, server):
    reply, _ = await attempted(server, b"one\n", b"two\n", b"three\n", retries=3)

    async def enlarge(route):
        answer = await route.fetch()
        await route.fulfill(response=answer, body=(await answer.text()).replace('"stdoutBytes":4', '"stdoutBytes":47999999'))

    await context.route(reply["jobUrl"], enlarge)
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_text(["three"])
    await expect(headings(log)).to_have_text([re.compile("^Attempt 3 of 4 · failed")])
    await expect(log.notices).to_contain_text("Attempts before attempt 3 are not shown; the list of executions leads to them.")
    await context.unroute_all(behavior="wait")


async def test_the_list_of_executions_follows_every_execution_to_its_end(context, server):
    """A tick runs beside the page of an earlier one, and ends, although the next tick is far away."""
    reply = await server.run_to_end("task", (1, b"before\n"))
    assert (await server.put(f"/tasks/task/jobs/{reply['jobId']}", {"image": "ubuntu:latest", "cron": "0 0 1 1 *"})).status == 200
    again = replace(next_execution(await server.execution(reply), due=1, now=server.clock.now()), sequence=9, tick_id="other", attempt=1)
    assert await server.store.insert(again)
    running = await server.run({"executionId": again.id})
    log = await open_log(context, reply["executionUrl"])
    marks = log.page.locator("#executions .mark")
    await expect(marks).to_have_text(["running", "done"])
    await expect(log.link).to_contain_text("Ended")
    await server.change(transitions.end(running, Ending(Status.DONE, server.clock.now(), 0)))
    await expect(marks).to_have_text(["done", "done"])


async def test_copying_leaves_out_the_headings_of_attempts(context, server):
    reply, _ = await attempted(server, b"one\n", b"two\n")
    log = await open_log(context, reply["jobUrl"])
    await expect(log.lines).to_have_text(["one", "two"])
    await log.page.keyboard.press("Control+a")
    assert await log.copied() == "one\ntwo\n"
    await expect(log.page.locator("#said")).to_have_text("Selection copied")
